package canonical

import "time"

// A FactKind says what a fact states.
type FactKind string

// The kinds of fact. Past tense would lie: a fact is a statement, true from At on.
const (
	FactLink        FactKind = "link"        // two identifiers belong to one person, or to one account
	FactMerge       FactKind = "merge"       // CRM records are one; Nodes[0] survives
	FactAssociation FactKind = "association" // Nodes[0] (person or deal) belongs to Nodes[1] (account, or the deal's contact)
	FactStage       FactKind = "stage"       // Nodes[0] (contact, company or deal) reached a stage
	FactTouch       FactKind = "touch"       // Nodes[0] had a marketing contact that changes its registers
)

// A Fact is one immutable statement in the topic identity. It carries hashes, ids and
// click ids, never an e-mail address or a phone number in the clear.
type Fact struct {
	Kind  FactKind     `json:"kind"`
	At    time.Time    `json:"at"` // business time
	Nodes []Identifier `json:"nodes"`
	// Weak links come from a device or a click; strong ones from a login, a form or the CRM.
	// A weak association was found by a read, not told by a notice: At is when it was read.
	Weak    bool          `json:"weak,omitempty"`
	Primary bool          `json:"primary,omitempty"` // association
	Removed bool          `json:"removed,omitempty"` // association
	Stage   *StageReached `json:"stage,omitempty"`
	Touch   *Touch        `json:"touch,omitempty"`
	Cause   ReceiptID     `json:"cause"`
	Source  string        `json:"source,omitempty"`
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
