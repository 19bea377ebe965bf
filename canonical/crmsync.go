package canonical

import "time"

// A CRMSync is how far the changes of one CRM account are known: the value of a record of
// type crm_sync in replays. Every record holds all of it; of those of one account the one with
// the highest Seq that came first holds.
type CRMSync struct {
	Account string    `json:"account"`
	Seq     int64     `json:"seq"`
	Stamp   string    `json:"stamp"` // of this record, so that its writer knows it again
	Changed time.Time `json:"changed"`
	By      string    `json:"by"` // the key or the process that wrote it

	// Connected is when the account was: nothing that happened before is pulled but by an import.
	Connected time.Time `json:"connected"`
	// Through is up to when every change was compared with what webhooks told.
	Through time.Time `json:"through"`
	// Asked is a pass that somebody wants now; Pass is the last one that ended.
	Asked   *CRMAsk     `json:"asked,omitempty"`
	Pass    *CRMPass    `json:"pass,omitempty"`
	Import  *CRMImport  `json:"import,omitempty"` // the last one
	Journal *CRMJournal `json:"journal,omitempty"`
}

// A CRMAsk is somebody's wish for a pass.
type CRMAsk struct {
	ID    string     `json:"id"`
	Who   string     `json:"who"`
	At    time.Time  `json:"at"`
	Since *time.Time `json:"since,omitempty"` // nil: since the last pass
}

// A CRMPass is what one comparison found. Kinds are those of webhooks: contact.propertyChange.
type CRMPass struct {
	ID    string    `json:"id,omitempty"` // of the wish for it
	Who   string    `json:"who"`          // "" for one by itself
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	From  time.Time `json:"from"` // the changes looked at
	To    time.Time `json:"to"`

	Looked  map[string]int `json:"looked"`          // records, by type
	Told    map[string]int `json:"told"`            // changes that had been told, by kind
	Missing map[string]int `json:"missing"`         // changes that had not, by kind: they were pulled
	Created map[string]int `json:"created"`         // records made in that time as HubSpot counts them, by type
	Gone    []string       `json:"gone,omitempty"`  // contacts deleted for good, as it seems, of which nobody said so
	Notes   []string       `json:"notes,omitempty"` // in words: what was not looked at, what to look into
	Pulled  int            `json:"pulled"`          // receipts
	Calls   int            `json:"calls,omitempty"` // pages of search and of the bin
}

// States of an import.
const (
	ImportRunning   = "running"
	ImportDone      = "done"
	ImportCancelled = "cancelled"
)

// A CRMImport brings in what was before the account was connected.
type CRMImport struct {
	ID      string         `json:"id"`
	State   string         `json:"state"`
	Months  int            `json:"months"`
	Since   time.Time      `json:"since"` // records changed since are brought in
	Who     string         `json:"who"`
	At      time.Time      `json:"at"`
	Ended   time.Time      `json:"ended,omitzero"`
	Records map[string]int `json:"records"` // brought in so far, by type
	Pulled  int            `json:"pulled"`  // receipts
	// Type, From and Behind are where it goes on.
	Type   string    `json:"type,omitempty"`
	From   time.Time `json:"from,omitzero"`
	Behind string    `json:"behind,omitempty"`
	Note   string    `json:"note,omitempty"`
}

// A CRMJournal is how far the vendor's own list of webhooks was read.
type CRMJournal struct {
	Offset string    `json:"offset"`
	Read   time.Time `json:"read"`           // when it was last read to its end, or as far as it went
	Files  int64     `json:"files"`          // since it was first read
	Pulled int64     `json:"pulled"`         // receipts
	Gaps   int       `json:"gaps,omitempty"` // how often it began anew because what was next was no longer kept
}
