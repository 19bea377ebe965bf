package linkedin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// Plan gives a part for each conversion rule that the route's rule is bound to: "rule:<name>"
// for the first, "rule:<name>:<id>" for the others, so that a rule added later sends nothing
// again to the first. Each has batches of its own: a rule that was deleted spoils no other's.
func (d destination) Plan(e canonical.Event, k canonical.Known, route canonical.Route) ([]destinations.Part, destinations.Refusal) {
	refuse := func(reason, format string, args ...any) ([]destinations.Part, destinations.Refusal) {
		return nil, destinations.Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
	}
	if route.Rule == "" {
		return refuse(canonical.ReasonNotMapped, "the mapping names no LinkedIn rule for %s", e.Name)
	}
	unbound := ""
	for _, rule := range route.Rules() {
		if len(d.rules[rule]) == 0 && unbound == "" {
			unbound = rule
		}
	}
	if unbound != "" && len(route.MoreRules) == 0 {
		return refuse(canonical.ReasonNotConfigured, "%s", notBound(unbound, route))
	}
	if e.Consent.LimitsUse() && route.Consent != "ignore" {
		return refuse(canonical.ReasonNoConsent, "the person's data is of limited use (data_processing_options), and LinkedIn has no word for that")
	}
	if !d.sufficient(d.user(e, k, route)) {
		return refuse(canonical.ReasonAwaitingIdentity, "LinkedIn needs an e-mail, a li_fat_id, both names or a lead form response")
	}
	_, gap := destinations.ValueOf(e.Revenue, route)
	if held, ok := destinations.HoldsForValue(gap, route); ok {
		return nil, held
	}
	var parts []destinations.Part
	for _, rule := range route.Rules() {
		own := route
		own.Rule, own.MoreRules = rule, nil
		parts = append(parts, d.partsOf(rule, own)...)
	}
	return parts, destinations.Refusal{}
}

func notBound(rule string, route canonical.Route) string {
	return fmt.Sprintf("rule %q of the mapping (%s) is bound to no conversion rule: add it under rules in this destination's configuration", rule, route.At)
}

// partsOf gives the parts of one of the line's rules.
func (d destination) partsOf(rule string, route canonical.Route) []destinations.Part {
	ids := d.rules[rule]
	if len(ids) == 0 { // one of several: the others go
		name := "rule:" + rule
		return []destinations.Part{{Name: name, Batch: name, Route: route, Refused: destinations.Refusal{Reason: canonical.ReasonNotConfigured, Detail: notBound(rule, route)}}}
	}
	parts := make([]destinations.Part, len(ids))
	for i, id := range ids {
		name := "rule:" + rule
		if i > 0 {
			name += ":" + id
		}
		parts[i] = destinations.Part{Name: name, Batch: name, Route: route}
		if why := d.stopped[id]; why != "" {
			parts[i].Refused = destinations.Refusal{Reason: canonical.ReasonHold, Detail: why}
		}
	}
	return parts
}

// ruleOf gives the number of a part's rule; "" where it is bound no more.
func (d destination) ruleOf(p destinations.Part) string {
	ids := d.rules[p.Route.Rule]
	id, further := strings.CutPrefix(p.Name, "rule:"+p.Route.Rule+":")
	switch {
	case len(ids) == 0:
		return ""
	case !further:
		return ids[0]
	case slices.Contains(ids[1:], id):
		return id
	}
	return ""
}

// An element is one event as LinkedIn wants it. Nothing else may stand in it, no null and
// no empty text. Fields stand in the order of their JSON names.
type element struct {
	Conversion string `json:"conversion"`
	HappenedAt int64  `json:"conversionHappenedAt"` // milliseconds
	Value      *value `json:"conversionValue,omitempty"`
	EventID    string `json:"eventId"`
	User       user   `json:"user"`
}

type value struct {
	Amount   string `json:"amount"`
	Currency string `json:"currencyCode"`
}

type user struct {
	ExternalIDs []string  `json:"externalIds,omitempty"`
	Lead        string    `json:"lead,omitempty"`
	IDs         []userID  `json:"userIds"` // always there, be it empty
	Info        *userInfo `json:"userInfo,omitempty"`
}

type userID struct {
	Type  string `json:"idType"`
	Value string `json:"idValue"`
}

type userInfo struct {
	Company         string `json:"companyName,omitempty"`
	Country         string `json:"countryCode,omitempty"`
	FirstName       string `json:"firstName,omitempty"`
	HashedFirstName string `json:"hashedFirstName,omitempty"`
	HashedLastName  string `json:"hashedLastName,omitempty"`
	LastName        string `json:"lastName,omitempty"`
	Title           string `json:"title,omitempty"`
}

// Build gives one BATCH_CREATE, for a single event too.
func (d destination) Build(batch []destinations.Item) (destinations.Request, error) {
	if len(batch) == 0 {
		return destinations.Request{}, errors.New("an empty batch")
	}
	q := destinations.Request{
		Method: http.MethodPost,
		Path:   "/rest/conversionEvents",
		Header: destinations.JSONHeader(),
		Bodies: make([][]byte, len(batch)),
		Values: make([]destinations.Value, len(batch)),
	}
	q.Header.Set("LinkedIn-Version", d.Version)
	q.Header.Set("X-RestLi-Method", "BATCH_CREATE")
	q.Header.Set("X-Restli-Protocol-Version", "2.0.0")
	for i, it := range batch {
		el, v, err := d.element(it)
		if err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
		}
		if q.Bodies[i], err = destinations.JSON(el); err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
		}
		q.Values[i] = v
	}
	q.Body = destinations.List("elements", q.Bodies, "")
	return q, nil
}

func (d destination) element(it destinations.Item) (element, destinations.Value, error) {
	e, route := it.Event, it.Part.Route
	rule := d.ruleOf(it.Part)
	el := element{
		Conversion: ruleURN + rule,
		HappenedAt: destinations.HappenedAt(e).UnixMilli(),
		EventID:    d.eventID(e.ID),
		User:       d.user(e, it.Known, route),
	}
	switch {
	case rule == "":
		return element{}, destinations.Value{}, fmt.Errorf("rule %q is bound to no conversion rule", route.Rule)
	case e.ID == "":
		return element{}, destinations.Value{}, errors.New("no event id")
	case len(el.User.IDs) == 0 && el.User.Info == nil && el.User.Lead == "" && len(el.User.ExternalIDs) == 0:
		return element{}, destinations.Value{}, errors.New("nothing to find the person by")
	}
	v, _ := destinations.ValueOf(e.Revenue, route)
	if v == nil {
		return el, destinations.Value{}, nil
	}
	el.Value = &value{Amount: v.Amount.Fixed(), Currency: v.Currency}
	return el, *v, nil
}

// eventID is the id itself, hashed where it is longer than the 64 characters that one
// connector documents (or what the setting says).
func (d destination) eventID(id canonical.EventID) string {
	if len(id) > d.EventIDMax {
		return canonical.SHA256(string(id))
	}
	return string(id)
}
