package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
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
	Properties     map[string]any         `json:"properties,omitempty"` // include_properties
	Rank           int                    `json:"rank,omitempty"`
	RawStage       string                 `json:"raw_stage,omitempty"`
	ReceiptID      canonical.ReceiptID    `json:"receipt_id,omitempty"`
	Revenue        *canonical.Revenue     `json:"revenue,omitempty"`
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

// Build gives one POST: the event itself, or a list where batches are configured.
func (d destination) Build(batch []destinations.Item) (destinations.Request, error) {
	if len(batch) == 0 {
		return destinations.Request{}, errors.New("an empty batch")
	}
	q := destinations.Request{
		Method: http.MethodPost,
		Path:   cmp.Or(d.url.Path, "/"),
		Query:  d.url.Query(),
		Header: destinations.JSONHeader(),
		Bodies: make([][]byte, len(batch)),
		Values: make([]destinations.Value, len(batch)),
	}
	for name, value := range d.Headers {
		q.Header.Set(name, value)
	}
	for i, it := range batch {
		ev := d.event(it)
		body, err := destinations.JSON(ev)
		if err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
		}
		q.Bodies[i] = body
		if ev.Value != nil {
			q.Values[i] = destinations.Value(*ev.Value)
		}
	}
	if d.Batch > 1 {
		q.Body = destinations.List("events", q.Bodies, "")
		return q, nil
	}
	if len(batch) > 1 {
		return destinations.Request{}, errors.New("more than one event, and batch is 1")
	}
	q.Body = q.Bodies[0]
	return q, nil
}

func (d destination) event(it destinations.Item) event {
	e, k := it.Event, it.Known
	out := event{
		ID: e.ID, Name: e.Name, OccurredAt: canonical.FormatTime(e.OccurredAt), TimeBasis: e.TimeBasis, ObservedAt: e.ObservedAt,
		Source: e.Source, Pipeline: e.Pipeline, RawStage: e.RawStage, Stage: e.Stage, Funnel: e.Funnel, Rank: e.Rank,
		CountedBy: e.CountedBy, CoveredBy: e.CoveredBy, Identifiers: e.Identifiers, Company: e.Company,
		ContactID: destinations.CRMContact(e, k), Touch: public(e.Touch), FirstTouch: public(k.FirstTouch), LastTouch: public(k.LastTouch),
		Revenue: e.Revenue, MappingVersion: e.MappingVersion, ReceiptID: e.ReceiptID,
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
