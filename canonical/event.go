package canonical

import "time"

// An Event is a canonical event: one business fact with a canonical name, an event id
// and the time it happened. Two events are the same when name and id are the same.
type Event struct {
	ID         EventID   `json:"event_id"`
	Name       string    `json:"name"`
	OccurredAt time.Time `json:"occurred_at"` // when it happened; drives attribution
	// TimeBasis is "" when OccurredAt is the time of the change and "reported" when only
	// the time of reporting is known.
	TimeBasis  string     `json:"time_basis,omitempty"`
	ObservedAt *time.Time `json:"observed_at,omitempty"` // what the source said about reporting it
	ReceivedAt time.Time  `json:"received_at"`           // our clock; for logs only

	Source   string `json:"source"`
	Way      Way    `json:"way"`
	Reported string `json:"reported_as,omitempty"` // the name the source gave
	Object   Object `json:"object"`
	Pipeline string `json:"pipeline,omitempty"`
	RawStage string `json:"raw_stage,omitempty"`
	Stage    string `json:"stage,omitempty"` // the canonical stage: equals Name for funnel names

	// Funnel is true for a name of the vocabulary: it has slots and a rank (1 is first).
	Funnel bool `json:"funnel,omitempty"`
	Rank   int  `json:"rank,omitempty"`
	// CountedBy is "deal" or "person": what a slot of this event is held by. CoveredBy is
	// "deal" where the mapping lets the deal report count this name and this is not one.
	CountedBy string `json:"counted_by,omitempty"`
	CoveredBy string `json:"covered_by,omitempty"`
	Ignored   string `json:"ignored,omitempty"` // the reason of the ignore rule that matched
	Rule      string `json:"rule,omitempty"`    // the mapping rule: file:line

	Node        NodeID       `json:"node,omitempty"`         // of the person: the strongest identifier given
	AccountNode NodeID       `json:"account_node,omitempty"` // of the account: company id, else domain
	Identifiers []Identifier `json:"identifiers,omitempty"`
	Contact     Contact      `json:"contact,omitzero"`
	Company     Company      `json:"company,omitzero"`
	Contacts    []string     `json:"contacts,omitempty"`
	Touch       *Touch       `json:"touch,omitempty"`
	Revenue     *Revenue     `json:"revenue,omitempty"`
	Known       *Known       `json:"known,omitempty"`
	Consent     *Consent     `json:"consent,omitempty"`

	Browser        BrowserContext `json:"browser,omitzero"`
	Properties     map[string]any `json:"properties,omitempty"`
	MappingVersion string         `json:"mapping_version"`
	IDRecipe       int            `json:"id_recipe,omitempty"` // 0: the caller's id was kept
	ReceiptID      ReceiptID      `json:"receipt_id"`
}

// Key is what makes two events the same.
func (e Event) Key() EventKey { return EventKey{Name: e.Name, ID: e.ID} }

// A Touch is a marketing contact that attribution can credit.
type Touch struct {
	Kind       string    `json:"kind"` // ad_click, page_view, form, email_open, email_click, meeting
	At         time.Time `json:"at"`
	Platform   string    `json:"platform,omitempty"` // linkedin, meta, google, …: from the click id, else the UTM source
	Source     string    `json:"utm_source,omitempty"`
	Medium     string    `json:"utm_medium,omitempty"`
	Campaign   string    `json:"utm_campaign,omitempty"`
	Term       string    `json:"utm_term,omitempty"`
	Content    string    `json:"utm_content,omitempty"`
	CampaignID string    `json:"campaign_id,omitempty"`
	AdSet      string    `json:"ad_set,omitempty"`
	Ad         string    `json:"ad,omitempty"`
	Page       string    `json:"page,omitempty"` // URL without query and fragment
	Referrer   string    `json:"referrer,omitempty"`
	Form       string    `json:"form,omitempty"`
	Subject    string    `json:"subject,omitempty"` // of an e-mail
	Clicks     []Click   `json:"clicks,omitempty"`
	// Carried is true for the click that another report brings along (a conversion with the
	// click id of its person): it says who was clicking, and is no touch of its own.
	Carried bool `json:"carried,omitempty"`
}

// A Click is a click id with the time of the click.
type Click struct {
	Scheme Scheme    `json:"scheme"` // fbclid, li_fat_id, gclid, …
	Value  string    `json:"value"`  // exactly as given: click ids are case-sensitive
	At     time.Time `json:"at"`
}

// Known is what the identity log said of an event's person when it was built, and the
// offset it was known at. A retry and a dead letter reuse it.
type Known struct {
	Offset  int64     `json:"offset"` // the last identity offset folded; -1: none
	Person  PersonID  `json:"person,omitempty"`
	Account AccountID `json:"account,omitempty"`
	// Identifiers of the whole person: hashed e-mails, CRM contact ids (the survivor
	// first), cookies; sorted by scheme and time first seen.
	Identifiers []Identifier `json:"identifiers,omitempty"`
	Clicks      []Click      `json:"clicks,omitempty"` // the newest of each scheme not later than the event
	FirstTouch  *Touch       `json:"first_touch,omitempty"`
	LastTouch   *Touch       `json:"last_touch,omitempty"`
	// Counts is how many distinct events of each canonical name the person has had. It is asked
	// for what is written over and over (Part.Slotless) and nil elsewhere.
	Counts map[string]int `json:"counts,omitempty"`
}

// First gives the value of the first identifier of a scheme, or "".
func (k *Known) First(s Scheme) string {
	if k == nil {
		return ""
	}
	return first(k.Identifiers, s)
}

// First gives the value of the event's own first identifier of a scheme, or "".
func (e Event) First(s Scheme) string { return first(e.Identifiers, s) }

func first(ids []Identifier, s Scheme) string {
	for _, id := range ids {
		if id.Scheme == s {
			return id.Value
		}
	}
	return ""
}

// Revenue keeps every value a report gave side by side. A nil field was not given;
// zero was.
type Revenue struct {
	Amount        *Money `json:"amount,omitempty"`
	MRR           *Money `json:"mrr,omitempty"`
	ARR           *Money `json:"arr,omitempty"`
	ACV           *Money `json:"acv,omitempty"`
	TCV           *Money `json:"tcv,omitempty"` // also contract_value
	Currency      string `json:"currency,omitempty"`
	BillingPeriod string `json:"billing_period,omitempty"`
}

// By gives the value of one basis: amount, mrr, arr, acv, tcv. Nil: not given, or
// basis is none.
func (r *Revenue) By(basis string) *Money {
	if r == nil {
		return nil
	}
	switch basis {
	case "amount":
		return r.Amount
	case "mrr":
		return r.MRR
	case "arr":
		return r.ARR
	case "acv":
		return r.ACV
	case "tcv", "contract_value":
		return r.TCV
	}
	return nil
}

// Consent is what the person agreed to. Nil: nothing was said; what then holds is the
// destination's setting.
type Consent struct {
	AdStorage         *bool    `json:"ad_storage,omitempty"`
	AdUserData        *bool    `json:"ad_user_data,omitempty"`
	DataProcessing    []string `json:"data_processing_options,omitempty"` // Meta LDU
	ProcessingCountry *int     `json:"data_processing_options_country,omitempty"`
	ProcessingState   *int     `json:"data_processing_options_state,omitempty"`
}

// DeniesAds is true when the person said no to advertising use.
func (c *Consent) DeniesAds() bool {
	return c != nil && (c.AdUserData != nil && !*c.AdUserData || c.AdStorage != nil && !*c.AdStorage)
}

// A Route is one line of a mapping's destinations: what an event of one canonical name
// becomes at one destination.
type Route struct {
	Event string `json:"event,omitempty"` // the vendor's event name
	Rule  string `json:"rule,omitempty"`  // LinkedIn: a rule's name, bound to an id in the destination's configuration
	// Value is the basis sent: none, amount, mrr, arr, acv, tcv. "" is none.
	Value string `json:"value,omitempty"`
	// IfMissing says what to do when the basis was not given: hold, send_without_value (the
	// default), use:<basis>.
	IfMissing  string         `json:"if_missing,omitempty"`
	Properties map[string]any `json:"properties,omitempty"` // constants added to the vendor's custom data
	At         string         `json:"at"`                   // file:line
}
