// Package rehearsal runs raw inputs through a mapping as the router would: read, named,
// given to their person, decided on at every destination. It keeps nothing, sends nothing
// and asks nobody. Identity and ledger stand in memory, and every decision is made by the
// code that makes it in production.
package rehearsal

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations"
	"tributary/destinations/delivery"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
	"tributary/internal/pipeline"
	"tributary/mappings"
)

// A Destination is one that takes part.
type Destination struct {
	Name    string // as configured
	Kind    string
	Adapter destinations.Destination
	Policy  delivery.Policy // zero: the default
	// Disabled ones are asked too, and suppress everything. Any other mode is rehearsed as live.
	Disabled bool
}

// A Rehearsal is a router of its own that knows nothing but what it is told. It is for
// one goroutine. Close gives back its memory.
type Rehearsal struct {
	mapping  *mappings.Mapping
	settings func(source string) wire.Settings
	view     *identity.View
	counts   *pipeline.Counts
	db       *pebble.DB
	folded   int64 // identity offset
	counted  int64 // events taken
	met      map[canonical.EventKey]bool
	seats    []seat
}

// A seat is one destination's place.
type seat struct {
	name    string
	preview *delivery.Preview
}

// New gives a rehearsal of a mapping with the destinations in the order in which Outcome
// names them. settings is what the sources' configuration adds to reading; nil: nothing. guards
// are those of the identity graph; zero: the defaults.
func New(m *mappings.Mapping, settings func(source string) wire.Settings, guards canonical.Guards, dests []Destination) (r *Rehearsal, err error) {
	if settings == nil {
		settings = func(string) wire.Settings { return wire.Settings{} }
	}
	r = &Rehearsal{mapping: m, settings: settings, folded: -1, met: map[canonical.EventKey]bool{}}
	if r.view, err = identity.Open(memstore.New()); err != nil {
		return nil, err
	}
	if r.db, err = pebble.Open("rehearsal", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}, MemTableSize: 1 << 20, DisableWAL: true}); err != nil {
		return nil, fmt.Errorf("open a ledger in memory: %w", err)
	}
	ledger, err := delivery.OpenLedger(r.db, "ledger\x00")
	if err == nil {
		r.counts, err = pipeline.OpenCounts(r.db, "counts\x00", eventlog.Named("").Events)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	for _, d := range dests {
		lane := &delivery.Lane{
			Name: d.Name, Destination: d.Adapter, Mode: delivery.Live, Ledger: ledger, People: r.people(d.Adapter), Policy: d.Policy,
			Routes: func(e *canonical.Event) (canonical.Route, bool) { return m.RouteOf(d.Name, d.Kind, e) },
		}
		if d.Disabled {
			lane.Mode = delivery.Disabled
		}
		if d.Policy == (delivery.Policy{}) {
			lane.Policy = delivery.DefaultPolicy()
		}
		r.seats = append(r.seats, seat{d.Name, lane.Preview(delivery.Ask{Held: true})})
	}
	if err := r.fold([]canonical.Fact{{Kind: canonical.FactGuards, Guards: &guards}}); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// people is the identity graph, with counts where the destination writes some.
func (r *Rehearsal) people(d destinations.Destination) delivery.People {
	if c, ok := d.(destinations.Counter); ok && c.WritesCounts() {
		return pipeline.CountedPeople{View: r.view, Counts: r.counts}
	}
	return r.view
}

// Close gives back what the rehearsal holds.
func (r *Rehearsal) Close() error { return r.db.Close() }

// An Outcome is what one input came to.
type Outcome struct {
	pipeline.Reading // Event is with what is known of its person
	// Bare: the router would first read the CRM object that the input is about.
	Bare bool
	At   []Decision // one for each destination, where the input became an event
}

// A Decision is what one destination makes of an event, part by part.
type Decision struct {
	Destination string
	Parts       []delivery.Foreseen
}

// Profile is what is known of an input's person besides what inputs say.
type Profile struct {
	Identifiers []canonical.Identifier
	Touches     []canonical.Touch // with their clicks
	At          time.Time         // since when the identifiers belong together
}

// Take runs one input at a time given. What it says of its person, and the slots it takes,
// hold for those that follow. about is added to what is known of its person first.
func (r *Rehearsal) Take(ctx context.Context, rc canonical.Receipt, about Profile, now time.Time) (Outcome, error) {
	o := Outcome{Reading: pipeline.Understand(rc, r.mapping, r.settings(rc.Source)), Bare: wire.Bare(rc)}
	facts, err := about.facts(o.Reading)
	if err != nil {
		return o, err
	}
	if err := r.fold(append(facts, o.Facts...)); err != nil {
		return o, err
	}
	if o.Event == nil {
		return o, nil
	}
	e := *o.Event
	known := r.view.Known(e)
	e.Known, o.Event = &known, &e
	if r.met[e.Key()] {
		o.Fate = canonical.FateObservation
		return o, nil
	}
	r.met[e.Key()] = true
	if err := r.count(e); err != nil {
		return o, err
	}
	for _, s := range r.seats {
		s.preview.At(now)
		parts, err := s.preview.Event(ctx, e)
		if err != nil {
			return o, fmt.Errorf("decide on event %s at %s: %w", e.ID, s.name, err)
		}
		o.At = append(o.At, Decision{s.name, parts})
	}
	return o, nil
}

// facts state a profile of the person that a reading is about.
func (p Profile) facts(rd pipeline.Reading) ([]canonical.Fact, error) {
	if len(p.Identifiers)+len(p.Touches) == 0 {
		return nil, nil
	}
	who, ok := person(rd)
	if !ok {
		return nil, fmt.Errorf("the input names nobody whom what is known could be about")
	}
	at := p.At
	if at.IsZero() {
		at = rd.Report.OccurredAt
	}
	var facts []canonical.Fact
	for _, id := range p.Identifiers {
		if id != who {
			facts = append(facts, canonical.Fact{Kind: canonical.FactLink, At: at, Nodes: []canonical.Identifier{who, id}, Weak: who.Scheme.IsWeak() || id.Scheme.IsWeak()})
		}
	}
	for _, t := range p.Touches {
		facts = append(facts, canonical.Fact{Kind: canonical.FactTouch, At: t.At, Nodes: []canonical.Identifier{who}, Touch: &t})
		for _, c := range t.Clicks {
			facts = append(facts, canonical.Fact{Kind: canonical.FactLink, At: t.At, Weak: true, Nodes: []canonical.Identifier{who, {Scheme: c.Scheme, Value: c.Value}}})
		}
	}
	return facts, nil
}

// person is the identifier that a reading's person stands under.
func person(rd pipeline.Reading) (canonical.Identifier, bool) {
	r := rd.Report
	if r.Object.Type == "deal" && len(r.Contacts) > 0 {
		return canonical.ObjectIdentifier(canonical.Object{Account: r.Object.Account, Type: "contact", ID: r.Contacts[0]})
	}
	for _, id := range r.Identifiers {
		if id.Scheme.IsPerson() {
			id.Seen = time.Time{}
			return id, true
		}
	}
	return canonical.Identifier{}, false
}

// fold takes facts into what is known.
func (r *Rehearsal) fold(facts []canonical.Fact) error {
	var records []identity.Folded
	for _, f := range r.view.New(facts) {
		r.folded++
		records = append(records, identity.Folded{Offset: r.folded, Fact: f})
	}
	return r.view.Fold(records)
}

// count takes an event into what its person has had.
func (r *Rehearsal) count(e canonical.Event) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("count event %s: %w", e.ID, err)
	}
	record := eventlog.Record{Key: []byte(e.ID), Value: text, Type: eventlog.TypeEvent, Version: eventlog.Schema, Offset: r.counted}
	r.counted++
	return r.counts.Apply([]eventlog.Record{record})
}

// quiet keeps the store's own words to itself.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

// Fatalf is a broken store in memory: nothing can go on.
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
