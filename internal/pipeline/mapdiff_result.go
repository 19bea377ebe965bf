package pipeline

import (
	"time"

	"tributary/canonical"
)

// A MapDiffResult is what changes from one mapping to the other.
type MapDiffResult struct {
	Old      string    `json:"old"`
	New      string    `json:"new"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"`
	Receipts int64     `json:"receipts"` // judged
	Gone     int64     `json:"gone"`     // recorded, and their bodies no longer kept
	Guessed  int64     `json:"guessed"`  // came to no event: judged with what is known today
	Empty    bool      `json:"empty"`    // nothing changes
	// NotCompared says in words what the two mappings say differently and bodies do not show.
	NotCompared []string   `json:"not_compared,omitempty"`
	Rows        []DiffRow  `json:"rows"`
	Names       []DiffName `json:"names"`
	Fates       []DiffName `json:"fates"`
	// Meanings lists the names that stand for something else in reports, past ones too.
	Meanings []DiffMeaning `json:"meanings,omitempty"`
}

// A DiffMeaning is a name with what it stands for in reports: lead, opportunity, revenue,
// expansion, other.
type DiffMeaning struct {
	Name   string `json:"name"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// A DiffRow is what changes for one canonical event at one destination. Counts are of parts:
// most events become one.
type DiffRow struct {
	Destination string `json:"destination"`
	Event       string `json:"event"`
	Before      int    `json:"before"` // sent under the old mapping
	After       int    `json:"after"`  // sent under the new one
	Same        int    `json:"same"`
	ChangedBody int    `json:"changed_body"`
	ChangedID   int    `json:"changed_id"` // sent under both, with another event id
	Newly       int    `json:"newly_sent"`
	NoLonger    int    `json:"no_longer_sent"`
	// Reasons counts what is sent under one of them only, or under neither for different
	// reasons: "sent → not_mapped".
	Reasons     map[string]int             `json:"reasons,omitempty"`
	ValueBefore map[string]canonical.Money `json:"value_before,omitempty"` // by currency
	ValueAfter  map[string]canonical.Money `json:"value_after,omitempty"`
	Samples     []DiffSample               `json:"samples,omitempty"`
}

// Changed is true where the row says anything but that all stays as it is.
func (r *DiffRow) Changed() bool {
	return r.ChangedBody+r.ChangedID+r.Newly+r.NoLonger+len(r.Reasons) > 0
}

// A DiffSample is one change, without personal data.
type DiffSample struct {
	Change string              `json:"change"` // changed_body, changed_id, newly_sent, no_longer_sent
	Part   string              `json:"part"`
	Old    canonical.EventID   `json:"old_id,omitempty"`
	New    canonical.EventID   `json:"new_id,omitempty"`
	Rule   string              `json:"rule,omitempty"` // of the new mapping, else of the old
	By     canonical.ReceiptID `json:"receipt_id"`
	Reason string              `json:"reason,omitempty"` // why it is not sent under the other mapping
	Fields []FieldChange       `json:"fields,omitempty"`
}

// A Field is one value of a body, by its path: Value is what may be shown of it, Exact what it
// is compared by.
type Field struct {
	Path, Value, Exact string
}

// A FieldChange is one field of a body that differs; "" where it is missing.
type FieldChange struct {
	Path string `json:"path"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// A DiffName counts events of one name, or receipts of one fate, under both.
type DiffName struct {
	Name   string `json:"name"`
	Before int    `json:"before"`
	After  int    `json:"after"`
}

// A DiffProgress says how far a comparison is.
type DiffProgress struct {
	Read  int64 `json:"read"`
	Total int64 `json:"total"` // at most; receipts that only the warehouse holds are not counted
}
