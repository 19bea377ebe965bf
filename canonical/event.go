package canonical

import (
	"slices"
	"strings"
	"time"
)

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
	// Claimed is what the sender took Name to be, where it said so and it is another.
	Claimed string `json:"claimed,omitempty"`

	// Funnel is true for a name of the vocabulary: it has slots and a rank (1 is first).
	Funnel bool `json:"funnel,omitempty"`
	Rank   int  `json:"rank,omitempty"`
	// CountedBy is "deal" or "person": what a slot of this event is held by; "event" where it
	// holds none and is sent each time. CoveredBy is "deal" where the mapping lets the deal
	// report count this name and this is not one.
	CountedBy string `json:"counted_by,omitempty"`
	CoveredBy string `json:"covered_by,omitempty"`
	// Deal is the CRM id of the deal that a report of something else names.
	Deal string `json:"deal,omitempty"`
	// Recycle is what becomes of a step back to this name: "" it is not sent, or one of the
	// Recycle words.
	Recycle string `json:"recycle,omitempty"`
	Ignored string `json:"ignored,omitempty"` // the reason of the ignore rule that matched
	// IgnoredBy is the place of that rule: file:line.
	IgnoredBy string `json:"ignored_by,omitempty"`
	Echo      bool   `json:"echo,omitempty"` // the CRM reports what this router wrote itself
	// History is true for what was imported of the time before the account was connected: a fact
	// and a stage reached, and sent nowhere.
	History bool   `json:"history,omitempty"`
	Rule    string `json:"rule,omitempty"` // the mapping rule: file:line

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

// Less says whether an event is a copy of another with people left out of it: what they share is
// then shared still.
func (e *Event) Less(whole *Event) bool {
	return len(e.Identifiers) < len(whole.Identifiers) || len(e.Contacts) < len(whole.Contacts) || e.Touch != whole.Touch || e.Known != whole.Known
}

// What a mapping's recycle policy says of a lead that goes back.
const (
	RecycleReport = "report" // it is sent by the destination's line for lead_recycled
	RecycleSend   = "send"   // it is sent again, and so is the same name reached again after another
)

// NameRecycled is the canonical name of a lead that went back.
const NameRecycled = "lead_recycled"

// SameName is true where a sender's word for an event means the canonical name: "Proposal sent"
// and "proposal_sent" are one. No word at all is no other.
func SameName(said, name string) bool {
	return said == "" || strings.EqualFold(strings.ReplaceAll(strings.TrimSpace(said), " ", "_"), name)
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
	// Consent is the newest that the person said, whatever the event says itself.
	Consent *Consent `json:"consent,omitempty"`
	// Fields are what was said last of the account: its owner, tier, parent, by AccountField.
	Fields map[string]string `json:"account_fields,omitempty"`
	// Contacts are the persons of the deal that the event is about, the one who counts first.
	Contacts []DealContact `json:"contacts,omitempty"`
	// Contact is the contact whose identifiers and touches these are where they are not those of
	// the event's own person, and Others the deal's other ones: see DealContact. Zero: the own.
	Contact NodeID   `json:"contact,omitempty"`
	Others  []NodeID `json:"others,omitempty"`
	// Counts is how many distinct events of each canonical name the person has had. It is asked
	// for what is written over and over (Part.Slotless) and nil elsewhere.
	Counts map[string]int `json:"counts,omitempty"`
}

// A DealContact is one person among the contacts of a deal, by what the associations say at
// the offset. What is known of the person is left out of the event's own: it stands in Known.
type DealContact struct {
	Node        NodeID       `json:"node"` // of the contact
	Person      PersonID     `json:"person"`
	Primary     bool         `json:"primary,omitempty"`
	Since       time.Time    `json:"since,omitzero"`  // first said to be there, since it was last gone
	Roles       []string     `json:"roles,omitempty"` // labels of the association, as told
	Identifiers []Identifier `json:"identifiers,omitempty"`
	Clicks      []Click      `json:"clicks,omitempty"`
	FirstTouch  *Touch       `json:"first_touch,omitempty"`
	LastTouch   *Touch       `json:"last_touch,omitempty"`
	Consent     *Consent     `json:"consent,omitempty"`
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
	TermMonths    int    `json:"term_months,omitempty"` // of the contract; 0: not given
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
	DataProcessing    []string `json:"data_processing_options,omitzero"` // Meta LDU; an empty list says that it is none
	ProcessingCountry *int     `json:"data_processing_options_country,omitempty"`
	ProcessingState   *int     `json:"data_processing_options_state,omitempty"`
}

// DeniesAds is true when the person said no to advertising use.
func (c *Consent) DeniesAds() bool {
	return c != nil && (c.AdUserData != nil && !*c.AdUserData || c.AdStorage != nil && !*c.AdStorage)
}

// AllowsAds is true when the person said yes to advertising use, and to none of it no.
func (c *Consent) AllowsAds() bool {
	return c != nil && !c.DeniesAds() && (c.AdUserData != nil || c.AdStorage != nil)
}

// LimitsUse is true where the person's data may be used in a limited way only (Meta's LDU): an
// opt-out of sale and targeting by the law of the place. A vendor that has no word for it gets nothing.
func (c *Consent) LimitsUse() bool {
	return c != nil && slices.ContainsFunc(c.DataProcessing, func(s string) bool { return strings.TrimSpace(s) != "" })
}

// A Route is one line of a mapping's destinations: what an event of one canonical name
// becomes at one destination.
type Route struct {
	Event string `json:"event,omitempty"` // the vendor's event name
	Rule  string `json:"rule,omitempty"`  // LinkedIn: a rule's name, bound to an id in the destination's configuration
	// MoreRules are further rules that the event goes to.
	MoreRules []string `json:"more_rules,omitempty"`
	// Value is the basis sent: none, amount, mrr, arr, acv, tcv. "" is none.
	Value string `json:"value,omitempty"`
	// IfMissing says what to do when the basis was not given: hold, send_without_value (the
	// default), use:<basis>.
	IfMissing string `json:"if_missing,omitempty"`
	// Currency is what the value is sent in; "" is the event's own. Where the two differ Rate says
	// what one unit of the event's is in it, a decimal above 0; "" there: no rate was declared.
	Currency   string         `json:"currency,omitempty"`
	Rate       string         `json:"rate,omitempty"`
	Properties map[string]any `json:"properties,omitempty"` // added to the vendor's custom data
	// Match lists the vendor's keys that the person may be found by; none: all that the
	// destination has.
	Match []string `json:"match,omitempty"`
	// Consent says what the person must have said of advertising: required, not_denied ("" is
	// this) or ignore.
	Consent string        `json:"consent,omitempty"`
	Delay   time.Duration `json:"delay,omitempty"` // from the time it happened until it is decided on
	// Accounts are the destinations that the line is for; none: all of its kind.
	Accounts []string `json:"accounts,omitempty"`
	// Fields are the contact properties that the mapping fills by an expression.
	Fields map[string]any `json:"fields,omitempty"`
	// NotMeant is true where the line's condition does not hold for the event, or a Segment call
	// says that it is not for this destination; Broken says in
	// words why that could not be told.
	NotMeant bool   `json:"not_meant,omitempty"`
	Broken   string `json:"broken,omitempty"`
	At       string `json:"at"` // file:line
}

// Rules lists every rule of the line.
func (r Route) Rules() []string {
	if r.Rule == "" {
		return r.MoreRules
	}
	return append([]string{r.Rule}, r.MoreRules...)
}

// MayMatch is true for a key of the vendor's that the person may be found by.
func (r Route) MayMatch(key string) bool { return len(r.Match) == 0 || slices.Contains(r.Match, key) }

// Permits is true where what the person said allows what a line of the mapping is for.
func (r Route) Permits(c *Consent) bool {
	switch r.Consent {
	case "ignore":
		return true
	case "required":
		return c.AllowsAds()
	}
	return !c.DeniesAds()
}

// ContactProperties is what a mapping says of the properties that the CRM's contacts get.
type ContactProperties struct {
	Prefix string // of our own properties; "" is the destination's own default
	// SourceFrom is the touch that tells where the person came from: first_touch or last_touch;
	// "" is the destination's own default.
	SourceFrom string
	Fields     []ContactField // by name
}

// A ContactField is one field of contacts.
type ContactField struct {
	Name     string // one of ours, such as source_campaign, or the customer's own
	Own      bool   // the customer's own
	Property string // "" is the prefix with the name; one of ours: its default
	Left     bool   // one of ours that is not written
	Type     string // of an own one: text, number, bool, date, datetime, enumeration
	Options  []string
	Label    string
	// From says where an own one is taken from: properties.<name>, a field of the event such as
	// title, first_touch.<field> or last_touch.<field>; "=" is an expression of the mapping, whose result is
	// in Route.Fields.
	From string
	At   string // file:line
}
