package delivery

import (
	"hash/fnv"
	"slices"
	"strconv"
	"sync"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// A Trial is a lane that decides on events and carries out none, as if it were live and had
// never seen them: for comparing mappings. It asks neither ledger nor graph, holds one adapter
// with what that knew of its account when the trial began, and may be used by many goroutines.
type Trial struct {
	Name     string
	adapter  destinations.Destination
	contract destinations.Contract
	disabled bool
	contact  destinations.ContactRule
}

// Trial begins one. A disabled destination stays disabled; every other mode counts as live.
func (l *Lane) Trial() *Trial {
	a := l.Adapter()
	return &Trial{Name: l.Name, adapter: a, contract: a.Contract(), disabled: l.Mode == Disabled, contact: l.Policy.Contact}
}

// A Tried is what one event would come to at one destination, slots aside: its parts, or why
// it goes no further.
type Tried struct {
	Reason, Detail string
	Parts          []TriedPart
}

// A TriedPart is one part of a Tried: sent, unless Reason says why not.
type TriedPart struct {
	Name           string
	Reason, Detail string
	Slotless       bool
	BodyHash       string
	Value          *canonical.Money
	Currency       string
}

// Carried gives an event and what is known as the destination is told of them: what a line of
// the mapping reads. What it gives it gives again for that.
func (t *Trial) Carried(e *canonical.Event, k canonical.Known) (*canonical.Event, canonical.Known) {
	if len(k.Contacts) == 0 && k.Contact == 0 && k.Consent == nil {
		return e, k
	}
	carried, k := destinations.Carried(*e, k, t.contact, t.contract)
	return &carried, k
}

// Try decides on an event with what was known of its person, at the time it was received. A
// delay of its line is taken to be over: the event is sent, only later.
func (t *Trial) Try(e *canonical.Event, k canonical.Known, route canonical.Route, routed bool) Tried {
	mode := Live
	if t.disabled {
		mode = Disabled
	}
	e, k = t.Carried(e, k)
	now := e.ReceivedAt
	if due := dueAt(*e, route); due.After(now) {
		now = due
	}
	reason := refuse(situation{event: *e, known: k, route: route, routed: routed, contract: t.contract, mode: mode, policy: Policy{Horizon: 1<<63 - 1}, now: now, asked: true})
	if reason != "" {
		return Tried{Reason: reason, Detail: route.Broken}
	}
	parts, refusal := t.adapter.Plan(*e, k, route)
	if refusal.Reason != "" || len(parts) == 0 {
		if refusal.Reason == "" {
			refusal.Reason = canonical.ReasonNotMapped
		}
		return Tried{Reason: refusal.Reason, Detail: refusal.Detail}
	}
	out := Tried{Parts: make([]TriedPart, len(parts))}
	for i, p := range parts {
		out.Parts[i] = TriedPart{Name: p.Name, Slotless: p.Slotless, Reason: p.Refused.Reason, Detail: p.Refused.Detail}
		if p.Refused.Reason != "" {
			continue
		}
		q, err := t.build(e, k, p)
		if err != nil {
			out.Parts[i].Reason, out.Parts[i].Detail = "unbuildable", err.Error()
			continue
		}
		out.Parts[i].BodyHash, out.Parts[i].Value, out.Parts[i].Currency = bodyHash(q, 0), valueOf(q, 0), currencyOf(q, 0)
	}
	return out
}

// items are batches of one, which Build does not keep: an item is some kilobytes.
var items = sync.Pool{New: func() any { return new([1]destinations.Item) }}

func (t *Trial) build(e *canonical.Event, k canonical.Known, p destinations.Part) (destinations.Request, error) {
	one := items.Get().(*[1]destinations.Item)
	one[0] = destinations.Item{Event: *e, Known: k, Part: p}
	q, err := t.adapter.Build(one[:])
	one[0] = destinations.Item{}
	items.Put(one)
	return q, err
}

// Body gives what a part of the event would be sent with: JSON with personal data; nil where
// the plan gives no such part.
func (t *Trial) Body(e *canonical.Event, k canonical.Known, route canonical.Route, part string) []byte {
	e, k = t.Carried(e, k)
	parts, _ := t.adapter.Plan(*e, k, route)
	for _, p := range parts {
		if p.Name == part {
			if q, err := t.build(e, k, p); err == nil {
				return bodyOf(q, 0)
			}
		}
	}
	return nil
}

// A Course is what a sequence of events leaves behind that decides on those that follow: the
// stages reached and the slots taken at every destination. It begins with nothing, keeps some
// forty bytes a stage and slot, and is for one goroutine.
type Course struct {
	names   map[string]uint16
	list    []string
	reached map[canonical.NodeID][]reached
	slots   map[uint64]holder
}

type reached struct {
	at       int64 // nanoseconds
	id       uint64
	name     uint16
	rank     uint16
	reported bool
	staged   bool // the source's stage was given
}

type holder struct{ id uint64 }

// NewCourse begins one.
func NewCourse() *Course {
	return &Course{names: map[string]uint16{}, reached: map[canonical.NodeID][]reached{}, slots: map[uint64]holder{}}
}

func (c *Course) name(n string) uint16 {
	i, had := c.names[n]
	if !had {
		i = uint16(len(c.list))
		c.names[n], c.list = i, append(c.list, n)
	}
	return i
}

// Reach notes the stage that an event states of its object, or else of its person. Call it for
// every event, in order, before Take.
func (c *Course) Reach(e *canonical.Event) {
	if !e.Funnel || e.Ignored != "" {
		return
	}
	n := e.Node
	if id, ok := canonical.ObjectIdentifier(e.Object); ok {
		n = id.Node()
	}
	c.reached[n] = append(c.reached[n], reached{at: e.OccurredAt.UnixNano(), id: hashOf(string(e.ID)), name: c.name(e.Name), rank: uint16(e.Rank),
		reported: e.TimeBasis == "reported", staged: e.RawStage != ""})
}

// SlotNodes lists the nodes that an event's slot is looked up under, as far as was known: that
// of its deal, or all of its person, first the one it would take. None: it takes no slot.
func SlotNodes(e *canonical.Event, k canonical.Known) []canonical.NodeID {
	if SlotOf(*e) == "" {
		return nil
	}
	node := slotNode(*e)
	if e.CountedBy == "deal" {
		return []canonical.NodeID{node}
	}
	if e.Node == 0 && k.Person != 0 {
		node = canonical.NodeID(k.Person)
	}
	nodes := make([]canonical.NodeID, 1, 1+len(k.Identifiers))
	nodes[0] = node
	for _, id := range k.Identifiers {
		if n := id.Node(); n != node {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// Take takes the slot of an event's part at a destination under the nodes of SlotNodes, or says
// why another event keeps it. before is what was reached before the sequence began: a name in it
// is taken to have been sent.
func (c *Course) Take(destination, part string, e *canonical.Event, nodes []canonical.NodeID, before []canonical.StageReached) (reason string) {
	if len(nodes) == 0 {
		return ""
	}
	own := hashOf(string(e.ID))
	var held *canonical.EventKey
	for _, n := range nodes {
		h, had := c.slots[c.slot(destination, part, n, e.Name)]
		if had && h.id == own {
			return "" // it holds the slot itself
		}
		if had {
			held = &canonical.EventKey{Name: e.Name, ID: hashID(h.id)}
			break
		}
	}
	for _, h := range before {
		if h.Name == e.Name && held == nil {
			held = &canonical.EventKey{Name: e.Name, ID: h.EventID}
		}
	}
	told := courseOf(*e, hashID(own), c.history(nodes, before))
	name := e.Name
	if reason := told.reason(*e, held); reason != "" {
		if !sentAgain(*e, reason) {
			return reason
		}
		for _, id := range told.stay(e.Name) {
			if held != nil && held.ID == id {
				return canonical.ReasonReReport
			}
			for _, n := range nodes {
				if h, had := c.slots[c.slot(destination, part, n, againName(e.Name, id))]; had && h.id != own {
					return canonical.ReasonReReport
				}
			}
		}
		name = againName(e.Name, hashID(own))
	}
	c.slots[c.slot(destination, part, nodes[0], name)] = holder{own}
	return ""
}

// history is what was reached under some nodes, in the order of time.
func (c *Course) history(nodes []canonical.NodeID, before []canonical.StageReached) []canonical.StageReached {
	history := append([]canonical.StageReached(nil), before...)
	for _, n := range nodes {
		for _, r := range c.reached[n] {
			h := canonical.StageReached{Name: c.list[r.name], Rank: int(r.rank), At: time.Unix(0, r.at).UTC(), Reported: r.reported, EventID: hashID(r.id)}
			if r.staged {
				h.Raw = h.Name // which one does not matter
			}
			history = append(history, h)
		}
	}
	slices.SortStableFunc(history, inTime)
	return history
}

// MayGoBack is true for an event that is sent by the line for lead_recycled where it is a step
// back.
func MayGoBack(e *canonical.Event) bool {
	return e.Recycle == canonical.RecycleReport && e.Ignored == "" && !e.Echo && e.CoveredBy == "" && SlotOf(*e) != ""
}

// GoesBack is true where such an event is a step back, as far as was known.
func (c *Course) GoesBack(e *canonical.Event, nodes []canonical.NodeID, before []canonical.StageReached) bool {
	return MayGoBack(e) && courseOf(*e, hashID(hashOf(string(e.ID))), c.history(nodes, before)).reason(*e, nil) == canonical.ReasonRecycled
}

func hashID(h uint64) canonical.EventID { return canonical.EventID(strconv.FormatUint(h, 36)) }

// hashOf is the same in every process, so that two courses order alike what happened at one time.
func hashOf(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

func (c *Course) slot(destination, part string, n canonical.NodeID, name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(destination))
	h.Write([]byte{0})
	h.Write([]byte(part))
	h.Write([]byte{0})
	h.Write([]byte(name))
	var b [8]byte
	for i := range b {
		b[i] = byte(uint64(n) >> (8 * i))
	}
	h.Write(b[:])
	return h.Sum64()
}
