package meta

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"tributary/canonical"
	"tributary/destinations"
)

// maxName is what is widely said of event names; Meta does not document it.
const maxName = 50

// Plan gives one part, "event".
func (d destination) Plan(e canonical.Event, k canonical.Known, route canonical.Route) ([]destinations.Part, destinations.Refusal) {
	refuse := func(reason, format string, args ...any) ([]destinations.Part, destinations.Refusal) {
		return nil, destinations.Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
	}
	switch n := route.Event; {
	case n == "":
		return refuse(canonical.ReasonNotMapped, "the mapping names no Meta event for %s", e.Name)
	case n != strings.TrimSpace(n) || utf8.RuneCountInString(n) > maxName:
		return refuse(canonical.ReasonNotConfigured, "Meta event %q is longer than %d characters or begins or ends with a space (%s)", n, maxName, route.At)
	}
	from := source(&e)
	if d.StoreEvents && from != store {
		return refuse(canonical.ReasonNotConfigured, "this destination takes events of physical_store only (store_events), and this one is %s", from)
	}
	if d.ConsentUnsaid == unsaidSuppress && !said(e.Consent) {
		return refuse(canonical.ReasonNoConsent, "nothing was said on advertising, and consent_unsaid is suppress")
	}
	if len(route.Match) > 0 || !plainlyKnown(&e, &k) {
		p := person{unwritten: true}
		d.gather(&p, &e, &k, from)
		p.keep(&route)
		if !p.used.sufficient(d.ExternalIDAlone) {
			return refuse(canonical.ReasonAwaitingIdentity, "Meta needs an e-mail, telephone number, click id, browser cookie or lead id")
		}
	}
	value, gap := destinations.ValueOf(e.Revenue, route)
	if held, ok := destinations.HoldsForValue(gap, route); ok {
		return nil, held
	}
	if needsValue(route.Event) && value == nil {
		if gap == "" {
			gap = "the mapping names no value"
		}
		return refuse(canonical.ReasonNotConfigured,
			"Meta takes no Purchase without value: %s; name another basis with if_missing: use:<basis>, or if_missing: hold (%s)", gap, route.At)
	}
	if lacks := lacksOriginal(&e, route.Event, from, value != nil); lacks != "" {
		return refuse(canonical.ReasonNotConfigured, "Meta takes no %s without %s (%s)", route.Event, lacks, route.At)
	}
	return []destinations.Part{{Name: "event", Route: route}}, destinations.Refusal{Detail: warning(&e, from)}
}

func needsValue(event string) bool { return event == "Purchase" }

// lacksOriginal says what is missing of an event that points at an earlier one (meta.md §1.9).
func lacksOriginal(e *canonical.Event, name, from string, valued bool) string {
	if name != "AppendValue" && name != "AppendAttribution" {
		return ""
	}
	p := passed(e, from)
	switch {
	case p.original == nil:
		return "original_event_data"
	case name == "AppendValue":
		return ""
	case p.attribution == nil:
		return "attribution_data"
	case !valued:
		return "a value with its currency"
	case from != website || strings.TrimSpace(e.Browser.UserAgent) == "":
		return "event_source_url and client_user_agent"
	}
	given, _ := p.attribution.(map[string]any)
	for _, k := range [...]string{"ad_id", "touchpoint_ts", "attribution_share", "attribution_value"} {
		if given[k] == nil {
			return "attribution_data." + k
		}
	}
	return ""
}

func warning(e *canonical.Event, from string) string {
	if from == website && strings.TrimSpace(e.Browser.UserAgent) == "" {
		return "a website event without client_user_agent: Meta asks for it and may not match the event"
	}
	if said, _ := e.Properties["action_source"].(string); e.Way == canonical.WayMeta && (said == app || said == messaging) && from != said {
		return "action_source " + said + " without what Meta asks for with it: sent as " + from
	}
	return ""
}

// Build gives one POST with every event of the batch. Bodies are parts of Body.
func (d destination) Build(batch []destinations.Item) (destinations.Request, error) {
	if len(batch) == 0 {
		return destinations.Request{}, errors.New("an empty batch")
	}
	q := destinations.Request{
		Method: http.MethodPost,
		Path:   "/" + d.Version + "/" + d.DatasetID + "/events",
		Header: destinations.JSONHeader(),
		Bodies: make([][]byte, len(batch)),
		Values: make([]destinations.Value, len(batch)),
	}
	ends := make([]int, len(batch))
	b := append(make([]byte, 0, 64+1400*len(batch)), `{"data":[`...)
	for i := range batch {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, q.Values[i], err = d.write(b, &batch[i]); err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", batch[i].Event.ID, err)
		}
		ends[i] = len(b)
	}
	b = append(b, ']')
	if d.PartnerAgent != "" {
		b = destinations.AppendText(append(b, `,"partner_agent":`...), d.PartnerAgent)
	}
	if d.testing && d.TestEventCode != "" {
		b = destinations.AppendText(append(b, `,"test_event_code":`...), d.TestEventCode)
	}
	q.Body = append(b, '}')
	begin := len(`{"data":[`)
	for i, end := range ends {
		q.Bodies[i] = q.Body[begin:end:end]
		begin = end + 1
	}
	return q, nil
}

// write appends one event, its keys in the order of their names.
func (d *destination) write(b []byte, it *destinations.Item) ([]byte, destinations.Value, error) {
	e, route := &it.Event, &it.Part.Route
	none := destinations.Value{}
	from := source(e)
	value, _ := destinations.ValueOf(e.Revenue, *route)
	var p person
	d.gather(&p, e, &it.Known, from)
	p.keep(route)
	switch {
	case route.Event == "":
		return nil, none, errors.New("no Meta event name")
	case len(p.values) == 0:
		return nil, none, errors.New("nothing to find the person by")
	case needsValue(route.Event) && value == nil:
		return nil, none, errors.New("a Purchase without value")
	}
	pass := passed(e, from)
	var err error
	text := func(name, v string) {
		if v != "" {
			b = destinations.AppendText(append(b, name...), v)
		}
	}
	object := func(name string, v any) {
		if v != nil && err == nil {
			b, err = appendAny(append(b, name...), v)
		}
	}
	text(`{"action_source":`, from)
	text(`,"advanced_measurement_table":`, pass.table)
	object(`,"advertiser_tracking_enabled":`, pass.tracking)
	object(`,"app_data":`, pass.app)
	object(`,"attribution_data":`, pass.attribution)
	var c custom
	if d.fill(&c, e, route, value); len(c.fields) > 0 && err == nil {
		b, err = c.write(append(b, `,"custom_data":`...))
	}
	text(`,"customer_segmentation":`, pass.segmentation)
	b = d.limitOf(e).write(b)
	text(`,"event_id":`, eventID(e))
	text(`,"event_name":`, route.Event)
	if from == website {
		text(`,"event_source_url":`, pageURL(e))
	}
	b = strconv.AppendInt(append(b, `,"event_time":`...), destinations.HappenedAt(*e).Unix(), 10)
	text(`,"messaging_channel":`, pass.channel)
	if pass.optOut || d.ConsentUnsaid == unsaidOptOut && !said(e.Consent) {
		b = append(b, `,"opt_out":true`...)
	}
	object(`,"original_event_data":`, pass.original)
	if from == website && e.Browser.Referrer != "" {
		text(`,"referrer_url":`, destinations.CleanURL(e.Browser.Referrer))
	}
	if err != nil {
		return nil, none, err
	}
	b = append(p.write(append(b, `,"user_data":`...)), '}')
	if value == nil {
		return b, none, nil
	}
	return b, *value, nil
}

// eventID is the id itself: a browser's copy at Meta carries the same one. Only an id of
// our own making that is longer than Meta is known to take is hashed.
func eventID(e *canonical.Event) string {
	if e.IDRecipe != 0 && len(e.ID) > 64 {
		return canonical.SHA256(string(e.ID))
	}
	return string(e.ID)
}
