package canonical

import "time"

// A FactKind says what a fact states.
type FactKind string

// The kinds of fact. Past tense would lie: a fact is a statement, true from At on.
const (
	FactLink        FactKind = "link"        // two identifiers belong to one person, or to one account
	FactMerge       FactKind = "merge"       // CRM records are one; Nodes[0] survives
	FactUnmerge     FactKind = "unmerge"     // no merge of Nodes[0] with each other one, said at or before At, holds
	FactBlock       FactKind = "block"       // the two nodes never belong together
	FactAllow       FactKind = "allow"       // the two nodes belong together, whatever else is said
	FactDeletion    FactKind = "deletion"    // Nodes[0], a CRM record, was deleted; Removed: restored
	FactGuards      FactKind = "guards"      // Guards hold from this fact on
	FactAssociation FactKind = "association" // Nodes[0] (person or deal) belongs to Nodes[1] (account, or the deal's contact)
	FactStage       FactKind = "stage"       // Nodes[0] (contact, company or deal) reached a stage
	FactTouch       FactKind = "touch"       // Nodes[0] had a marketing contact that changes its registers
	FactAccount     FactKind = "account"     // of Nodes[0], a company or domain, Fields were said
	FactConsent     FactKind = "consent"     // Nodes[0] said Consent
	FactErase       FactKind = "erase"       // the identifiers with these Hashes are nobody's any more; Removed: they may be somebody's again
)

// A Fact is one immutable statement in the topic identity. It carries hashes, ids and
// click ids, never an e-mail address or a phone number in the clear.
type Fact struct {
	Kind  FactKind     `json:"kind"`
	At    time.Time    `json:"at"` // business time
	Nodes []Identifier `json:"nodes"`
	// Weak links come from a device or a click; strong ones from a login, a form or the CRM.
	// A weak association or merge was found by a read, not told by a notice: At is when it was read.
	Weak    bool          `json:"weak,omitempty"`
	Primary bool          `json:"primary,omitempty"` // association
	Removed bool          `json:"removed,omitempty"` // association; deletion, erase: undone
	Role    string        `json:"role,omitempty"`    // association: the label it was said with
	Stage   *StageReached `json:"stage,omitempty"`
	Touch   *Touch        `json:"touch,omitempty"`
	// Fields of an account by their names, the Account words; "" says that there is none now.
	Fields  map[string]string `json:"fields,omitempty"`
	Consent *Consent          `json:"consent,omitempty"`
	Guards  *Guards           `json:"guards,omitempty"`
	// Hashes are keyed hashes of identifiers under the key that KeyID names (identity.ErasureKey):
	// an erase fact names nobody to whoever lacks the key.
	Hashes []string  `json:"hashes,omitempty"`
	KeyID  string    `json:"key_id,omitempty"`
	By     string    `json:"by,omitempty"`     // block, allow, merge and unmerge by a person: who, or the name of the key used
	Reason string    `json:"reason,omitempty"` // and why
	Cause  ReceiptID `json:"cause"`
	Source string    `json:"source,omitempty"`
}

// The fields of an account.
const (
	AccountName   = "name"
	AccountDomain = "domain" // its name domain: registrable
	AccountOwner  = "owner"  // as the source names the owner
	AccountTier   = "tier"
	AccountTarget = "target" // true or false: whether it is a target account
	AccountParent = "parent" // the parent company, as an identifier's value
)

// AccountFields lists them.
var AccountFields = []string{AccountName, AccountDomain, AccountOwner, AccountTier, AccountTarget, AccountParent}

// A Counted is whom an event counts for.
type Counted struct {
	Node   NodeID         // of the one in whose hands it was, where the event's own is a shared device; else its own
	Nodes  []NodeID       // all of that person
	Shared []NodeID       // shared devices that the person is linked to
	Stages []StageReached // that the person reached, by time; on a shared device those that fell into its hands
}

// A StageReached is one entry of a stage history, on an object by business time.
type StageReached struct {
	Name     string    `json:"name"` // canonical
	Raw      string    `json:"raw,omitempty"`
	Rank     int       `json:"rank"`
	At       time.Time `json:"at"`
	Reported bool      `json:"reported,omitempty"` // At is only the time of reporting
	EventID  EventID   `json:"event_id"`
}
