package webhook

import (
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// fields is what a template can name. README.md lists them. What an event does not have is
// "" or 0, and nil where 0 would say something (amounts).
type fields struct {
	EventID      string         `expr:"event_id"`
	Name         string         `expr:"name"`
	OccurredAt   string         `expr:"occurred_at"` // 2026-04-23T11:04:19Z
	OccurredOn   string         `expr:"occurred_on"` // 2026-04-23, UTC
	OccurredUnix int            `expr:"occurred_unix"`
	OccurredMS   int            `expr:"occurred_ms"`
	TimeBasis    string         `expr:"time_basis"`
	Source       string         `expr:"source"`
	Pipeline     string         `expr:"pipeline"`
	RawStage     string         `expr:"raw_stage"`
	Stage        string         `expr:"stage"`
	Rank         int            `expr:"rank"`
	Funnel       bool           `expr:"funnel"`
	Object       object         `expr:"object"`
	Person       string         `expr:"person"`
	Account      string         `expr:"account"`
	ContactID    string         `expr:"contact_id"`
	EmailHash    string         `expr:"email_hash"` // the first there is
	Identifiers  []identifier   `expr:"identifiers"`
	Company      company        `expr:"company"`
	Contact      contact        `expr:"contact"` // include_contact
	Touch        touch          `expr:"touch"`
	FirstTouch   touch          `expr:"first_touch"`
	LastTouch    touch          `expr:"last_touch"`
	Revenue      revenue        `expr:"revenue"`
	Value        chosen         `expr:"value"`
	Properties   map[string]any `expr:"properties"` // include_properties
	Route        route          `expr:"route"`
	ReceiptID    string         `expr:"receipt_id"`
	Mapping      string         `expr:"mapping_version"`
}

type object struct {
	Type string `expr:"type" json:"type"`
	ID   string `expr:"id" json:"id"`
}

type identifier struct {
	Scheme string `expr:"scheme" json:"scheme"`
	Value  string `expr:"value" json:"value"`
}

type company struct {
	ID     string `expr:"id" json:"id"`
	Domain string `expr:"domain" json:"domain"`
	Name   string `expr:"name" json:"name"`
	Owner  string `expr:"owner" json:"owner"`
	Tier   string `expr:"tier" json:"tier"`
}

type contact struct {
	Email     string `expr:"email" json:"email"`
	Phone     string `expr:"phone" json:"phone"`
	FirstName string `expr:"first_name" json:"first_name"`
	LastName  string `expr:"last_name" json:"last_name"`
	Title     string `expr:"title" json:"title"`
	City      string `expr:"city" json:"city"`
	State     string `expr:"state" json:"state"`
	Zip       string `expr:"zip" json:"zip"`
	Country   string `expr:"country" json:"country"`
}

type touch struct {
	Kind       string `expr:"kind" json:"kind"`
	At         string `expr:"at" json:"at"`
	Platform   string `expr:"platform" json:"platform"`
	Source     string `expr:"source" json:"source"`
	Medium     string `expr:"medium" json:"medium"`
	Campaign   string `expr:"campaign" json:"campaign"`
	Term       string `expr:"term" json:"term"`
	Content    string `expr:"content" json:"content"`
	CampaignID string `expr:"campaign_id" json:"campaign_id"`
	AdSet      string `expr:"ad_set" json:"ad_set"`
	Ad         string `expr:"ad" json:"ad"`
	Page       string `expr:"page" json:"page"`
	Referrer   string `expr:"referrer" json:"referrer"`
	Form       string `expr:"form" json:"form"`
}

type revenue struct {
	Amount   *float64 `expr:"amount" json:"amount"`
	MRR      *float64 `expr:"mrr" json:"mrr"`
	ARR      *float64 `expr:"arr" json:"arr"`
	ACV      *float64 `expr:"acv" json:"acv"`
	TCV      *float64 `expr:"tcv" json:"tcv"`
	Currency string   `expr:"currency" json:"currency"`
	Period   string   `expr:"billing_period" json:"billing_period"`
}

// chosen is the value that the mapping's route chose.
type chosen struct {
	Given    bool     `expr:"given" json:"given"`
	Amount   *float64 `expr:"amount" json:"amount"`
	Text     string   `expr:"text" json:"text"` // 36000.00
	Currency string   `expr:"currency" json:"currency"`
}

// route is what the mapping says of this event at this destination.
type route struct {
	Event      string         `expr:"event" json:"event"`
	Properties map[string]any `expr:"properties" json:"properties"`
}

// fieldNames lists what templates can name, for suggestions.
var fieldNames = []string{
	"event_id", "name", "occurred_at", "occurred_on", "occurred_unix", "occurred_ms", "time_basis", "source", "pipeline", "raw_stage", "stage",
	"rank", "funnel", "object", "person", "account", "contact_id", "email_hash", "identifiers", "company", "contact", "touch", "first_touch",
	"last_touch", "revenue", "value", "properties", "route", "receipt_id", "mapping_version",
}

// fieldsOf fills the fields from an item. What is personal in the clear, and what the source
// sent beside, is there only where the settings say so.
func (d destination) fieldsOf(it destinations.Item) *fields {
	e, k := it.Event, it.Known
	f := &fields{
		EventID: string(e.ID), Name: e.Name, OccurredAt: canonical.FormatTime(e.OccurredAt), OccurredOn: e.OccurredAt.UTC().Format(time.DateOnly),
		OccurredUnix: int(e.OccurredAt.Unix()), OccurredMS: int(e.OccurredAt.UnixMilli()), TimeBasis: e.TimeBasis,
		Source: e.Source, Pipeline: e.Pipeline, RawStage: e.RawStage, Stage: e.Stage, Rank: e.Rank, Funnel: e.Funnel,
		Object: object{e.Object.Type, e.Object.ID}, ContactID: destinations.CRMContact(e, k),
		Company: company{e.Company.ID, e.Company.Domain, e.Company.Name, e.Company.Owner, e.Company.Tier},
		Touch:   touchOf(e.Touch), FirstTouch: touchOf(k.FirstTouch), LastTouch: touchOf(k.LastTouch),
		Revenue: revenueOf(e.Revenue), Value: d.chosenOf(it),
		Route:     route{it.Part.Route.Event, it.Part.Route.Properties},
		ReceiptID: string(e.ReceiptID), Mapping: e.MappingVersion,
	}
	if k.Person != 0 {
		f.Person = k.Person.String()
	}
	if k.Account != 0 {
		f.Account = k.Account.String()
	}
	if hashes := destinations.EmailHashes(e, k); len(hashes) > 0 {
		f.EmailHash = hashes[0]
	}
	for _, id := range e.Identifiers {
		f.Identifiers = append(f.Identifiers, identifier{string(id.Scheme), id.Value})
	}
	if c := e.Contact; d.IncludeContact {
		f.Contact = contact{c.Email, c.Phone, c.FirstName, c.LastName, c.Title, c.City, c.State, c.Zip, c.Country}
	}
	if d.IncludeProperties {
		f.Properties = e.Properties
	}
	return f
}

func (d destination) chosenOf(it destinations.Item) chosen {
	v, _ := destinations.ValueOf(it.Event.Revenue, it.Part.Route)
	if v == nil {
		return chosen{}
	}
	return chosen{true, number(&v.Amount), v.Amount.Fixed(), v.Currency}
}

func number(m *canonical.Money) *float64 {
	if m == nil {
		return nil
	}
	f := float64(*m) / 1e6
	return &f
}

func revenueOf(r *canonical.Revenue) revenue {
	if r == nil {
		return revenue{}
	}
	return revenue{number(r.Amount), number(r.MRR), number(r.ARR), number(r.ACV), number(r.TCV), r.Currency, r.BillingPeriod}
}

func touchOf(t *canonical.Touch) touch {
	if t == nil {
		return touch{}
	}
	return touch{
		t.Kind, canonical.FormatTime(t.At), t.Platform, t.Source, t.Medium, t.Campaign, t.Term, t.Content, t.CampaignID, t.AdSet, t.Ad,
		destinations.CleanURL(t.Page), destinations.CleanURL(t.Referrer), t.Form,
	}
}
