package canonical

import "time"

// A Subject says what a report is about, before any mapping.
type Subject string

// The subjects. Lifecycle, deal_stage, touch and custom become events; lead_status,
// property and association do where a line of the mapping says so; all state facts.
const (
	SubjectLifecycle   Subject = "lifecycle"   // a contact's or company's lifecycle stage changed
	SubjectLeadStatus  Subject = "lead_status" // hs_lead_status changed
	SubjectDealStage   Subject = "deal_stage"  // a deal entered a stage
	SubjectMerge       Subject = "merge"       // two CRM records became one
	SubjectAssociation Subject = "association" // a contact, company or deal was tied or untied
	SubjectDeletion    Subject = "deletion"    // a CRM record was deleted, restored or erased
	SubjectTouch       Subject = "touch"       // a page view, ad click, form, e-mail open
	SubjectCustom      Subject = "custom"      // any other named event
	SubjectProperty    Subject = "property"    // any other property of a CRM object changed
)

// A Report is what one receipt says, read but not yet mapped: the common shape of all
// ways in. Package wire makes it; mappings names it; identity takes its facts.
type Report struct {
	Subject Subject
	Event   string  // the name the source gave: hubspot.lifecycle_changed, deal.propertyChange, page_view
	EventID EventID // as the caller sent it, or ""
	Object  Object
	// RawStage and Pipeline as sent; StageLabel and PipelineLabel where a read gave them.
	RawStage, StageLabel    string
	Pipeline, PipelineLabel string
	// Claimed is the canonical name that the sender takes it to be (tracklayer_stage and the like);
	// the mapping decides.
	Claimed string
	// Outcome is "won" or "lost" where the CRM's own metadata says so of a deal's stage.
	Outcome string
	// Property and Value are the internal name and new value of a property change.
	Property, Value string
	// Deal is the CRM id of the deal that a report of something else names.
	Deal string

	OccurredAt time.Time
	// TimeText is the time as the caller wrote it, where it was text: recipe 1 hashes the
	// text itself, so that the caller's own middleware agrees.
	TimeText string
	// Reported is true when OccurredAt is only the time of reporting (CRM workflow bodies
	// with {{ date_now }} and no entered-date).
	Reported   bool
	ObservedAt time.Time

	Contact     Contact // of the person concerned, in the clear
	Company     Company
	Contacts    []string     // CRM ids of a deal's contacts; the one who counts first
	Companies   []string     // CRM ids of companies concerned; the primary first
	Identifiers []Identifier // of the person, normalised and hashed; the strongest first
	Touch       *Touch
	Revenue     *Revenue
	Consent     *Consent
	Merge       *Merge
	Restored    bool // of a deletion: it was undone
	Forgotten   bool // of a deletion: the person wants to be forgotten
	Association *Association
	// Echo is true where the CRM reports what this router wrote itself.
	Echo       bool
	Browser    BrowserContext
	Properties map[string]any // fields we have no name for, kept
}

// An Object is the thing in the source that a report is about.
type Object struct {
	Account string `json:"account,omitempty"` // the connected CRM account's name in the configuration; "" is "hubspot"
	Type    string `json:"type"`              // contact, company, deal, page, form, …
	ID      string `json:"id"`
}

// A Contact is a person's data in the clear. It stands in the log and in requests;
// never in logs, metrics, errors, identity facts or an unsealed column.
type Contact struct {
	ID        string `json:"id,omitempty"` // CRM id
	Email     string `json:"email,omitempty"`
	Phone     string `json:"phone,omitempty"`
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
	City      string `json:"city,omitempty"`
	State     string `json:"state,omitempty"`
	Zip       string `json:"zip,omitempty"`
	Country   string `json:"country,omitempty"`
	Title     string `json:"title,omitempty"`
	LeadID    string `json:"lead_id,omitempty"` // Meta lead ads id
	// Hashed holds values that arrived hashed already, by key: em, ph, fn, ln, …
	Hashed map[string][]string `json:"hashed,omitempty"`
}

// A Company is what a report says of the account.
type Company struct {
	ID     string `json:"id,omitempty"`
	Domain string `json:"domain,omitempty"`
	Name   string `json:"name,omitempty"`
	Owner  string `json:"owner,omitempty"`
	Target *bool  `json:"target,omitempty"`
	Tier   string `json:"tier,omitempty"`
}

// A BrowserContext is what only a browser's request can say.
type BrowserContext struct {
	URL       string `json:"url,omitempty"`
	Referrer  string `json:"referrer,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	IP        string `json:"ip,omitempty"`
	FBP       string `json:"fbp,omitempty"`
	FBC       string `json:"fbc,omitempty"`
	// IPAppendix is what Meta's library appended to the address: for Meta only.
	IPAppendix string `json:"ip_appendix,omitempty"`
}

// A Merge is a statement that CRM records are one: Survivor holds the result and may
// be a fresh id.
type Merge struct {
	Type     string // contact, company
	Survivor string
	Merged   []string
	Undone   bool // they are several again
}

// An Association is a statement that two CRM objects belong together, or no longer.
type Association struct {
	FromType, FromID string
	ToType, ToID     string
	Primary, Removed bool
	Label            string // the type id of a label of the account's own, else ""
}
