package meta

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"tributary/canonical"
	"tributary/destinations"
)

// The action sources used here; the sheet lists more.
const (
	website   = "website"
	generated = "system_generated"
	other     = "other"
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
	if !d.user(e, k).sufficient(d.ExternalIDAlone) {
		return refuse(canonical.ReasonAwaitingIdentity, "Meta needs an e-mail, telephone number, click id, browser cookie or lead id")
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
	return []destinations.Part{{Name: "event", Route: route}}, destinations.Refusal{Detail: warning(e)}
}

func needsValue(event string) bool { return event == "Purchase" }

func warning(e canonical.Event) string {
	if source(e) == website && strings.TrimSpace(e.Browser.UserAgent) == "" {
		return "a website event without client_user_agent: Meta asks for it and may not match the event"
	}
	return ""
}

// source says where an event came about, in Meta's words.
func source(e canonical.Event) string {
	switch {
	case fromCRM(e):
		return generated
	case e.Way == canonical.WayMeta:
		if s, _ := e.Properties["action_source"].(string); slices.Contains([]string{"email", "phone_call", "chat", other, generated}, s) {
			return s
		}
	}
	if pageURL(e) != "" {
		return website
	}
	return other
}

// fromCRM is true for what a CRM reports: its own ways in, and anything about one of its
// records.
func fromCRM(e canonical.Event) bool {
	switch e.Object.Type {
	case "contact", "company", "deal":
		return e.Way != canonical.WayPixel && e.Way != canonical.WayMeta
	}
	return e.Way == canonical.WayCRM || e.Way == canonical.WayHubSpot
}

func pageURL(e canonical.Event) string {
	if u := destinations.CleanURL(e.Browser.URL); u != "" {
		return u
	}
	if e.Touch != nil {
		return destinations.CleanURL(e.Touch.Page)
	}
	return ""
}

// An event as Meta wants it. Fields stand in the order of their JSON names.
type event struct {
	ActionSource      string         `json:"action_source"`
	CustomData        map[string]any `json:"custom_data,omitempty"`
	DataProcessing    []string       `json:"data_processing_options,omitempty"`
	ProcessingCountry *int           `json:"data_processing_options_country,omitempty"`
	ProcessingState   *int           `json:"data_processing_options_state,omitempty"`
	ID                string         `json:"event_id"`
	Name              string         `json:"event_name"`
	SourceURL         string         `json:"event_source_url,omitempty"`
	Time              int64          `json:"event_time"` // seconds
	Referrer          string         `json:"referrer_url,omitempty"`
	UserData          userData       `json:"user_data"`
}

// Build gives one POST with every event of the batch.
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
	for i, it := range batch {
		ev, value, err := d.event(it)
		if err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
		}
		if q.Bodies[i], err = destinations.JSON(ev); err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
		}
		q.Values[i] = value
	}
	rest := ""
	if d.testing && d.TestEventCode != "" {
		code, err := destinations.JSON(d.TestEventCode)
		if err != nil {
			return destinations.Request{}, fmt.Errorf("test event code: %w", err)
		}
		rest = `,"test_event_code":` + string(code)
	}
	q.Body = destinations.List("data", q.Bodies, rest)
	return q, nil
}

func (d destination) event(it destinations.Item) (event, destinations.Value, error) {
	e, route := it.Event, it.Part.Route
	ev := event{
		ActionSource: source(e),
		ID:           eventID(e),
		Name:         route.Event,
		Time:         destinations.HappenedAt(e).Unix(),
		UserData:     d.user(e, it.Known),
	}
	value, _ := destinations.ValueOf(e.Revenue, route)
	switch {
	case ev.Name == "":
		return event{}, destinations.Value{}, errors.New("no Meta event name")
	case len(ev.UserData) == 0:
		return event{}, destinations.Value{}, errors.New("nothing to find the person by")
	case needsValue(ev.Name) && value == nil:
		return event{}, destinations.Value{}, errors.New("a Purchase without value")
	}
	ev.CustomData = d.customData(e, route, value)
	if ev.ActionSource == website {
		ev.SourceURL = pageURL(e)
		ev.Referrer = destinations.CleanURL(e.Browser.Referrer)
	}
	limitDataUse(&ev, e.Consent)
	if value == nil {
		return ev, destinations.Value{}, nil
	}
	return ev, *value, nil
}

func (d destination) customData(e canonical.Event, route canonical.Route, value *destinations.Value) map[string]any {
	data := map[string]any{}
	for k, v := range route.Properties {
		if v != nil {
			data[k] = v
		}
	}
	if fromCRM(e) { // without these two, conversion leads are not registered
		data["event_source"] = "crm"
		data["lead_event_source"] = d.LeadEventSource
	}
	if value != nil {
		data["value"] = value.Amount
		data["currency"] = value.Currency
	}
	return data
}

// limitDataUse passes on what the person said. Country and state go together; 0 and 0
// let Meta find the place.
func limitDataUse(ev *event, c *canonical.Consent) {
	if c == nil || len(c.DataProcessing) == 0 {
		return
	}
	zero := 0
	ev.DataProcessing = c.DataProcessing
	ev.ProcessingCountry, ev.ProcessingState = &zero, &zero
	if c.ProcessingCountry != nil {
		ev.ProcessingCountry = c.ProcessingCountry
	}
	if c.ProcessingState != nil {
		ev.ProcessingState = c.ProcessingState
	}
}

// eventID is the id itself: a browser's copy at Meta carries the same one. Only an id of
// our own making that is longer than Meta is known to take is hashed.
func eventID(e canonical.Event) string {
	if e.IDRecipe != 0 && len(e.ID) > 64 {
		return canonical.SHA256(string(e.ID))
	}
	return string(e.ID)
}
