package pipeline

import (
	"reflect"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations/delivery"
	"tributary/mappings"
)

// A Judge says what recorded receipts would come to under a mapping, with what was known at
// their time. It writes nothing, and may be used by many goroutines.
type Judge struct {
	Settings func(source string) wire.Settings
	People   Remembered
	// Routes gives a mapping's line for an event at a destination.
	Routes func(m *mappings.Mapping, destination string, e *canonical.Event) (canonical.Route, bool)
	Trials []*delivery.Trial // by destination, in the order of their names
	// Heard says when an event's first report was received; ok is false where that is not known.
	// Nil: it is known of none.
	Heard func(key canonical.EventKey) (at time.Time, ok bool)
}

// Remembered is what a judge asks of the identity graph.
type Remembered interface {
	Known(e canonical.Event) canonical.Known
	History(nodes ...canonical.NodeID) []canonical.StageReached
}

// A Past is a receipt with what the log holds of its time.
type Past struct {
	Receipt canonical.Receipt
	// Known is what the identity log said when its event was built; nil where it came to none.
	Known *canonical.Known
	// Copy is the event that it was a further copy of, whose first copy came before the time
	// that is looked at.
	Copy canonical.EventKey
}

// A Judged is what one receipt comes to under one mapping.
type Judged struct {
	Fate   canonical.Fate // event, facts_only or quarantined
	Reason string
	Event  *canonical.Event
	Known  canonical.Known
	// Guessed is true where no event was recorded: Known is what is known today, as far as it
	// happened no later than the event.
	Guessed bool
	Copy    bool                     // not the first report of its event: nothing is sent for it
	Tried   []delivery.Tried         // by destination; nil for a copy
	Back    []delivery.Tried         // instead, where the event is a step back that is reported as one
	back    bool                     // it is
	nodes   []canonical.NodeID       // that its slot is looked up under
	before  []canonical.StageReached // what they had reached before the time that is looked at
}

// Judge judges one receipt under several mappings. What two of them agree on is decided once.
func (j *Judge) Judge(p Past, begin int64, ms ...*mappings.Mapping) []Judged {
	out := make([]Judged, len(ms))
	settings := j.Settings(p.Receipt.Source)
	var report canonical.Report
	var unusable string // why the receipt is none of use
	for i, m := range ms {
		if i == 0 || p.Receipt.Way == canonical.WayHook { // how a hook's JSON is read is the mapping's
			report, unusable = j.read(p.Receipt, m, settings)
		}
		if unusable != "" {
			out[i] = Judged{Fate: canonical.FateQuarantined, Reason: unusable}
			continue
		}
		out[i] = j.named(p, m.Apply(report, p.Receipt))
		o := &out[i]
		placeAccount(o.Event, settings.Lists)
		if o.Event == nil {
			continue
		}
		var like *Judged // an earlier mapping's, where it gives the same event
		var by *mappings.Mapping
		for k := range i {
			if out[k].Event != nil && sameEvent(out[k].Event, o.Event) {
				like, by = &out[k], ms[k]
			}
		}
		j.know(p, begin, o, like)
		if o.Copy {
			continue
		}
		o.Tried = make([]delivery.Tried, len(j.Trials))
		for d, t := range j.Trials {
			e, k := t.Carried(o.Event, o.Known)
			route, routed := j.Routes(m, t.Name, e)
			if like != nil && like.Tried != nil {
				as, _ := t.Carried(like.Event, like.Known)
				if before, had := j.Routes(by, t.Name, as); had == routed && sameRoute(before, route) {
					o.Tried[d] = like.Tried[d]
					continue
				}
			}
			o.Tried[d] = t.Try(e, k, route, routed)
		}
		j.steppedBack(m, o)
	}
	return out
}

// steppedBack decides on an event as on one of a lead that went back, where its mapping wants
// that told.
func (j *Judge) steppedBack(m *mappings.Mapping, o *Judged) {
	if !delivery.MayGoBack(o.Event) {
		return
	}
	o.Back = make([]delivery.Tried, len(j.Trials))
	told := recycled(o.Event)
	for d, t := range j.Trials {
		o.Back[d] = delivery.Tried{Reason: canonical.ReasonRecycled}
		e, k := t.Carried(told, o.Known)
		if route, routed := j.Routes(m, t.Name, e); routed {
			o.Back[d] = t.Try(e, k, route, true)
		}
	}
}

// recycled is an event under the name that a step back is told by.
func recycled(e *canonical.Event) *canonical.Event {
	back := *e
	back.Name = canonical.NameRecycled
	return &back
}

// read reads a receipt, or gives the code of what is wrong with it.
func (j *Judge) read(rc canonical.Receipt, m *mappings.Mapping, settings wire.Settings) (canonical.Report, string) {
	shaped, quarantine := m.Shape(rc)
	if quarantine != nil {
		return canonical.Report{}, quarantine.Code
	}
	report, problem := wire.Read(shaped, settings)
	if problem != nil {
		return canonical.Report{}, problem.Code
	}
	return report, ""
}

func (j *Judge) named(p Past, r mappings.Result) Judged {
	switch {
	case r.Quarantine != nil:
		return Judged{Fate: canonical.FateQuarantined, Reason: r.Quarantine.Code}
	case r.Event == nil:
		return Judged{Fate: canonical.FateFacts}
	}
	return Judged{Fate: canonical.FateEvent, Event: r.Event, Copy: p.Copy.ID != "" && p.Copy == r.Event.Key()}
}

// know says what was known of the event's person, and what the person had reached before.
func (j *Judge) know(p Past, begin int64, o, like *Judged) {
	switch {
	case like != nil:
		o.Known, o.Guessed, o.nodes, o.before = like.Known, like.Guessed, like.nodes, like.before
		o.Event.Known = &o.Known
		return
	case p.Known != nil:
		o.Known = *p.Known
	default:
		o.Known, o.Guessed = j.People.Known(*o.Event), true
	}
	o.Event.Known = &o.Known
	if o.nodes = delivery.SlotNodes(o.Event, o.Known); len(o.nodes) == 0 || o.Copy || o.Event.CoveredBy != "" {
		return
	}
	for _, h := range j.People.History(o.nodes...) {
		own := h.EventID == o.Event.ID || h.Name == o.Event.Name && h.At.Equal(o.Event.OccurredAt)
		if h.At.UnixNano() < begin && !own && !j.heardSince(begin, h) {
			o.before = append(o.before, h)
		}
	}
}

// heardSince is true for a stage that was reached earlier and told only then: its report is itself
// among the receipts that are looked at.
func (j *Judge) heardSince(begin int64, h canonical.StageReached) bool {
	if j.Heard == nil {
		return false
	}
	at, known := j.Heard(canonical.EventKey{Name: h.Name, ID: h.EventID})
	return known && at.UnixNano() >= begin
}

// sameEvent compares all but what only says which text named it. Both are the caller's own; y
// is changed and put back.
func sameEvent(x, y *canonical.Event) bool {
	if x.Name != y.Name || x.ID != y.ID {
		return false
	}
	rule, by, version, known := y.Rule, y.IgnoredBy, y.MappingVersion, y.Known
	y.Rule, y.IgnoredBy, y.MappingVersion, y.Known = x.Rule, x.IgnoredBy, x.MappingVersion, x.Known
	same := reflect.DeepEqual(x, y)
	y.Rule, y.IgnoredBy, y.MappingVersion, y.Known = rule, by, version, known
	return same
}

func sameRoute(x, y canonical.Route) bool {
	x.At, y.At = "", ""
	return reflect.DeepEqual(x, y)
}
