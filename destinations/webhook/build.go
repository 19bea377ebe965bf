package webhook

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// Plan gives one part, "event", for every event but those that the mapping holds for
// want of a value.
func (d destination) Plan(e canonical.Event, _ canonical.Known, route canonical.Route) ([]destinations.Part, destinations.Refusal) {
	_, gap := destinations.ValueOf(e.Revenue, route)
	if held, ok := destinations.HoldsForValue(gap, route); ok {
		return nil, held
	}
	return []destinations.Part{{Name: "event", Route: route}}, destinations.Refusal{}
}

// An event as it is posted: the canonical event without what is personal in the clear,
// and what the identity log knew. Fields stand in the order of their JSON names.
type event struct {
	AccountID      *canonical.NodeID      `json:"account,omitempty"`
	Company        canonical.Company      `json:"company,omitzero"`
	Contact        *canonical.Contact     `json:"contact,omitempty"` // include_contact
	ContactID      string                 `json:"contact_id,omitempty"`
	CountedBy      string                 `json:"counted_by,omitempty"`
	CoveredBy      string                 `json:"covered_by,omitempty"`
	ID             canonical.EventID      `json:"event_id"` // drop what you have: an event may come twice
	FirstTouch     *canonical.Touch       `json:"first_touch,omitempty"`
	Funnel         bool                   `json:"funnel,omitempty"`
	Identifiers    []canonical.Identifier `json:"identifiers,omitempty"` // hashes and ids
	LastTouch      *canonical.Touch       `json:"last_touch,omitempty"`
	MappingVersion string                 `json:"mapping_version,omitempty"`
	Name           string                 `json:"name"`
	Object         *canonical.Object      `json:"object,omitempty"`
	ObservedAt     *time.Time             `json:"observed_at,omitempty"`
	OccurredAt     string                 `json:"occurred_at"`
	PersonID       *canonical.NodeID      `json:"person,omitempty"`
	Pipeline       string                 `json:"pipeline,omitempty"`
	Properties     map[string]any         `json:"properties,omitempty"` // include_properties, and those of the mapping's line
	Rank           int                    `json:"rank,omitempty"`
	RawStage       string                 `json:"raw_stage,omitempty"`
	ReceiptID      canonical.ReceiptID    `json:"receipt_id,omitempty"`
	Revenue        *canonical.Revenue     `json:"revenue,omitempty"` // include_revenue
	Source         string                 `json:"source,omitempty"`
	Stage          string                 `json:"stage,omitempty"`
	TimeBasis      string                 `json:"time_basis,omitempty"`
	Touch          *canonical.Touch       `json:"touch,omitempty"`
	Value          *value                 `json:"value,omitempty"` // the one that the mapping chose
}

type value struct {
	Amount   canonical.Money `json:"amount"`
	Currency string          `json:"currency"`
}

// Build gives one request: the event itself, or a list where batches are configured; each
// event as it is, or as the template says.
func (d destination) Build(batch []destinations.Item) (destinations.Request, error) {
	if len(batch) == 0 {
		return destinations.Request{}, errors.New("an empty batch")
	}
	q := destinations.Request{
		Method:   d.Method,
		Path:     cmp.Or(d.url.EscapedPath(), "/"),
		RawQuery: d.url.RawQuery,
		Header:   destinations.JSONHeader(),
		Bodies:   make([][]byte, len(batch)),
		Values:   make([]destinations.Value, len(batch)),
	}
	for i, it := range batch {
		body, v, err := d.one(it)
		if err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
		}
		q.Bodies[i], q.Values[i] = body, v
	}
	if err := d.fillHeaders(q.Header, batch[0]); err != nil {
		return destinations.Request{}, fmt.Errorf("event %s: %w", batch[0].Event.ID, err)
	}
	switch {
	case d.Batch > 1 && d.BatchKey == "":
		q.Body = slices.Concat([]byte("["), bytes.Join(q.Bodies, []byte(",")), []byte("]"))
	case d.Batch > 1:
		q.Body = destinations.List(d.BatchKey, q.Bodies, "")
	case len(batch) > 1:
		return destinations.Request{}, errors.New("more than one event, and batch is 1")
	default:
		q.Body = q.Bodies[0]
	}
	return q, nil
}

// one gives an event's body and what it sends as value.
func (d destination) one(it destinations.Item) ([]byte, destinations.Value, error) {
	var sent destinations.Value
	if v, _ := destinations.ValueOf(it.Event.Revenue, it.Part.Route); v != nil {
		sent = *v
	}
	if d.body != nil {
		body, err := d.body.render(d.fieldsOf(it))
		return body, sent, err
	}
	body, err := destinations.JSON(d.event(it))
	return body, sent, err
}

// fillHeaders writes the configured headers. What an event puts into one loses what may not
// stand there.
func (d destination) fillHeaders(h http.Header, it destinations.Item) error {
	var f *fields
	for name, t := range d.headers {
		if f == nil {
			f = d.fieldsOf(it)
		}
		v, err := t.value(f)
		if err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
		s, err := asText(v)
		if err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
		if s = destinations.Clip(destinations.Text(s), 1000); s != "" {
			h.Set(name, s)
		}
	}
	return nil
}

func (d destination) event(it destinations.Item) event {
	e, k := it.Event, it.Known
	out := event{
		ID: e.ID, Name: e.Name, OccurredAt: canonical.FormatTime(e.OccurredAt), TimeBasis: e.TimeBasis, ObservedAt: e.ObservedAt,
		Source: e.Source, Pipeline: e.Pipeline, RawStage: e.RawStage, Stage: e.Stage, Funnel: e.Funnel, Rank: e.Rank,
		CountedBy: e.CountedBy, CoveredBy: e.CoveredBy, Identifiers: e.Identifiers, Company: e.Company,
		ContactID: destinations.CRMContact(e, k), Touch: public(e.Touch), FirstTouch: public(k.FirstTouch), LastTouch: public(k.LastTouch),
		MappingVersion: e.MappingVersion, ReceiptID: e.ReceiptID,
	}
	if v, _ := destinations.ValueOf(e.Revenue, it.Part.Route); v != nil {
		out.Value = &value{v.Amount, v.Currency}
	}
	if e.Object.Type != "" {
		out.Object = &e.Object
	}
	if k.Person != 0 {
		out.PersonID = &k.Person
	}
	if k.Account != 0 {
		out.AccountID = &k.Account
	}
	if d.IncludeContact && !isEmpty(e.Contact) {
		out.Contact = &e.Contact
	}
	if d.IncludeProperties {
		out.Properties = e.Properties
	}
	if added := it.Part.Route.Properties; len(added) > 0 { // the mapping's own
		out.Properties = maps.Clone(out.Properties)
		if out.Properties == nil {
			out.Properties = make(map[string]any, len(added))
		}
		maps.Copy(out.Properties, added)
	}
	if d.IncludeRevenue {
		out.Revenue = e.Revenue
	}
	return out
}

func isEmpty(c canonical.Contact) bool {
	hashed := c.Hashed
	c.Hashed = nil
	return len(hashed) == 0 && c.ID+c.Email+c.Phone+c.FirstName+c.LastName+c.City+c.State+c.Zip+c.Country+c.Title+c.LeadID == ""
}

// public gives a touch whose addresses hold no e-mail address.
func public(t *canonical.Touch) *canonical.Touch {
	if t == nil {
		return nil
	}
	c := *t
	c.Page, c.Referrer = destinations.CleanURL(c.Page), destinations.CleanURL(c.Referrer)
	return &c
}
