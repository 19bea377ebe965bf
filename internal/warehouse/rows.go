package warehouse

import (
	"time"

	"tributary/canonical"
)

// A ReceiptRow is one record of inbound. The receipt's body, context and completion are
// not stored but in Sealed.
type ReceiptRow struct {
	Receipt  canonical.Receipt
	Position canonical.Position
	Sealed   []byte
}

// A FateRow is what became of a receipt: one for every fate record and one for every
// event record (event for the first copy, observation for a further one).
type FateRow struct {
	ReceiptID canonical.ReceiptID
	Source    string
	Way       canonical.Way
	Fate      canonical.Fate
	Reason    string
	Detail    string
	Event     canonical.EventKey // the event it became, or is an observation of
	Rule      string             // the mapping rule: file:line
	Mapping   string             // the version of the mapping
	At        time.Time          // received_at of the receipt
	Position  canonical.Position
	Nodes     []canonical.NodeID // of its person, where it stated facts only
}

// An EventRow is the first copy of an event. Further copies are not handed over.
type EventRow struct {
	Event    canonical.Event
	Position canonical.Position
	Sealed   []byte // the whole event
}

// A FactRow is one record of identity.
type FactRow struct {
	Offset int64
	Fact   canonical.Fact
}

// An OverrideRow says that from the fact at Offset on a node's root is Root. All nodes of
// a changed cluster are handed over together. Stated is when the fact was appended.
type OverrideRow struct {
	Offset     int64
	Stated     time.Time
	Node, Root canonical.NodeID
	Account    bool
}

// A HandRow says, from the fact at Offset on, that a shared device is in the hands of
// Holder's person since a time in nanoseconds; zero: no hand begins then any more.
type HandRow struct {
	Offset int64
	Device canonical.NodeID
	Since  int64
	Holder canonical.NodeID
}

// A DeliveryRow is one record of deliveries. Content, known and body are stored in Sealed
// only.
type DeliveryRow struct {
	Delivery canonical.Delivery
	Position canonical.Position
	Sealed   []byte
}

// A ReplayRow is one record of replays; of its event only the key is stored.
type ReplayRow struct {
	canonical.ReplayOrder
	Position canonical.Position
}

// A JobRow is one record of a replay job; its ids are counted, not stored.
type JobRow struct {
	canonical.ReplayJob
	Position canonical.Position
}

// A MappingRow is one record of a mapping that went live. Its files are stored cleaned, for
// people to read, and exactly as they were in Sealed (LiveMapping.Packed).
type MappingRow struct {
	canonical.LiveMapping
	Position canonical.Position
	Sealed   []byte
}

// A Block is what is written together: any of the slices may be empty.
type Block struct {
	Receipts   []ReceiptRow
	Fates      []FateRow
	Events     []EventRow
	Facts      []FactRow
	Overrides  []OverrideRow
	Hands      []HandRow
	Deliveries []DeliveryRow
	Replays    []ReplayRow
	Jobs       []JobRow
	Mappings   []MappingRow
}

// Len counts the rows handed over.
func (b Block) Len() int {
	return len(b.Receipts) + len(b.Fates) + len(b.Events) + len(b.Facts) + len(b.Overrides) + len(b.Hands) + len(b.Deliveries) + len(b.Replays) + len(b.Jobs) + len(b.Mappings)
}
