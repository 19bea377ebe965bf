package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations/delivery"
	"tributary/identity"
	"tributary/internal/eventlog"
	"tributary/internal/warehouse"
	"tributary/mappings"
)

// Errors of replay and look-up that callers act on.
var (
	ErrUnknown     = errors.New("no such event")
	ErrNotResolved = errors.New("accepted, but not yet resolved")
)

// An UnknownDestination names what a replay asked for and is not configured.
type UnknownDestination struct {
	Name  string
	Known []string
}

func (e *UnknownDestination) Error() string {
	return fmt.Sprintf("no destination %q is configured; there are: %s", e.Name, strings.Join(e.Known, ", "))
}

// Replay finds an event and asks lanes to take it again, whole, under the id it has.
type Replay struct {
	Log      eventlog.Log
	Topics   eventlog.Topics
	Prefix   string
	Index    *Index
	Archive  Archive
	Mapping  func() *mappings.Mapping
	Settings func(source string) wire.Settings
	Account  func(canonical.Receipt) string // the connected account a bare receipt is completed from
	Accounts []string
	Lanes    map[string]*delivery.Lane
	NewID    func() string
	View     *identity.View // nil: nobody is erased
}

// An Archive is the warehouse as the place where an event is found that the index or
// the log no longer holds.
type Archive interface {
	FindEvent(ctx context.Context, id canonical.EventID) ([]warehouse.FoundEvent, error)
	Receipts(ctx context.Context, partition int, from, to int64, each func(sealed []byte) error) error
	EventsBetween(ctx context.Context, partition int, from, to int64, f warehouse.EventFilter, limit int, each func(offset int64, sealed []byte) error) error
	EarlierThan(ctx context.Context, partition int, below int64, keys []canonical.EventKey) (map[canonical.EventKey]bool, error)
	DeliveriesOf(ctx context.Context, destination string, key canonical.EventKey, each func(sealed []byte) error) error
	Unseal(sealed []byte) ([]byte, error)
}

// An Order is what a caller asks for.
type Order struct {
	EventID      canonical.EventID
	Name         string   // where one id stands for several events; "" takes all
	Destinations []string // empty: all
	Reason, Who  string
	Force        bool
}

// An Answer says which lanes were asked, and why others were not.
type Answer struct {
	Name         string
	Asked        []string
	Deduplicated bool              // every lane had the event already
	Reasons      map[string]string // of those not asked, except those that had it
	ReplayID     string
}

// Do asks the lanes. A lane that delivered the event is not asked unless forced; one
// that would suppress it is not asked either, and its reason is told.
func (s *Replay) Do(ctx context.Context, o Order) (Answer, error) {
	names, err := s.names(o.Destinations)
	if err != nil {
		return Answer{}, err
	}
	events, err := s.named(ctx, o)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Name: events[0].Name, Deduplicated: true, Reasons: map[string]string{}, ReplayID: s.NewID()}
	var records []eventlog.Record
	for _, e := range events {
		asked, err := s.ask(ctx, &answer, e, names, o.Force)
		if err != nil {
			return Answer{}, err
		}
		if len(asked) == 0 {
			continue
		}
		answer.Asked = append(answer.Asked, asked...)
		rec, err := encode(eventlog.TypeReplay, string(e.ID), canonical.ReplayOrder{
			ID: answer.ReplayID, Event: e, Destinations: asked, Force: o.Force, Reason: o.Reason, Who: o.Who, At: time.Now().UTC(),
		})
		if err != nil {
			return Answer{}, err
		}
		records = append(records, rec)
	}
	if len(records) == 0 {
		return answer, nil
	}
	if _, err := s.Log.Append(ctx, s.Topics.Replays, records...); err != nil {
		return Answer{}, err
	}
	return answer, nil
}

func (s *Replay) known() []string {
	var known []string
	for name := range s.Lanes {
		known = append(known, name)
	}
	sort.Strings(known)
	return known
}

func (s *Replay) names(asked []string) ([]string, error) {
	known := s.known()
	if len(asked) == 0 {
		return known, nil
	}
	for _, name := range asked {
		if s.Lanes[name] == nil {
			return nil, &UnknownDestination{Name: name, Known: known}
		}
	}
	return asked, nil
}

// ask says which lanes are to take one event.
func (s *Replay) ask(ctx context.Context, answer *Answer, e canonical.Event, names []string, force bool) ([]string, error) {
	var asked []string
	for _, name := range names {
		// Whoever names an event asks also for what is held.
		rows, err := s.Lanes[name].Preview(delivery.Ask{ReplayID: answer.ReplayID, Force: force, Held: true}).Event(ctx, e)
		if err != nil {
			return nil, err
		}
		there, takes, reason := true, false, ""
		for _, f := range rows {
			there = there && f.Class == delivery.AlreadyThere
			takes = takes || f.Class.Sends() || f.Class == delivery.Waits
			reason = cmp.Or(reason, f.Reason, f.Detail)
		}
		switch {
		case takes:
			asked = append(asked, name)
		case !there:
			answer.Reasons[name] = reason
		}
		answer.Deduplicated = answer.Deduplicated && there
	}
	return asked, nil
}

// A Prospect is what a replay of one event would come to at one destination.
type Prospect struct {
	Event       canonical.EventKey  `json:"event"`
	Destination string              `json:"destination"`
	Parts       []delivery.Foreseen `json:"parts"`
}

// Preview says what Do would come to, and asks nobody. The bodies that would be sent hold
// personal data: without bodies they are left out.
func (s *Replay) Preview(ctx context.Context, o Order, bodies bool) ([]Prospect, error) {
	names, err := s.names(o.Destinations)
	if err != nil {
		return nil, err
	}
	events, err := s.named(ctx, o)
	if err != nil {
		return nil, err
	}
	var out []Prospect
	for _, name := range names {
		p := s.Lanes[name].Preview(delivery.Ask{ReplayID: s.NewID(), Force: o.Force, Held: true})
		for _, e := range events {
			rows, err := p.Event(ctx, e)
			if err != nil {
				return nil, err
			}
			for i := range rows {
				if !bodies {
					rows[i].Body = nil
				}
			}
			out = append(out, Prospect{Event: e.Key(), Destination: name, Parts: rows})
		}
	}
	return out, nil
}

// named finds the events that an order means.
func (s *Replay) named(ctx context.Context, o Order) ([]canonical.Event, error) {
	events, err := s.Find(ctx, o.EventID)
	if err == nil && o.Name != "" {
		events = slices.DeleteFunc(events, func(e canonical.Event) bool { return e.Name != o.Name })
		if len(events) == 0 {
			err = ErrUnknown
		}
	}
	return events, err
}

// Find gives the events of an id as they were first resolved: at least one, or an error.
func (s *Replay) Find(ctx context.Context, id canonical.EventID) ([]canonical.Event, error) {
	found, err := s.Index.Events(id)
	if err != nil {
		return nil, err
	}
	var out []canonical.Event
	for _, f := range found {
		e, err := s.at(ctx, f)
		if errors.Is(err, eventlog.ErrOutOfRange) {
			continue // trimmed: the warehouse holds it
		}
		if err != nil {
			return nil, err
		}
		if s.forget(&e) {
			continue
		}
		out = append(out, e)
	}
	if len(out) > 0 && len(out) == len(found) {
		return out, nil
	}
	archived, expired, err := s.archived(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, e := range archived {
		if !slices.ContainsFunc(out, func(o canonical.Event) bool { return o.Name == e.Name }) {
			out = append(out, e)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case expired, len(found) > 0:
		return nil, fmt.Errorf("%w any more: neither the log nor the warehouse keeps the body of %s", ErrUnknown, id)
	}
	return nil, s.waiting(ctx, id)
}

// archived gives the events of an id that the warehouse can still open; expired is true
// when it knows of one whose body it no longer keeps.
func (s *Replay) archived(ctx context.Context, id canonical.EventID) (out []canonical.Event, expired bool, err error) {
	found, err := s.Archive.FindEvent(ctx, id)
	if err != nil {
		return nil, false, fmt.Errorf("look for event %s in the warehouse: %w", id, err)
	}
	for _, f := range found {
		if len(f.Sealed) == 0 {
			expired = true
			continue
		}
		body, err := s.Archive.Unseal(f.Sealed)
		if err != nil {
			return nil, false, fmt.Errorf("open event %s as the warehouse holds it: %w", id, err)
		}
		e, err := decode[canonical.Event](eventlog.Record{Topic: s.Topics.Events, Type: eventlog.TypeEvent, Version: eventlog.Schema, Value: body})
		if err != nil {
			return nil, false, err
		}
		if s.forget(&e) {
			expired = true
			continue
		}
		out = append(out, e)
	}
	return out, expired, nil
}

func (s *Replay) at(ctx context.Context, f Found) (canonical.Event, error) {
	records, err := s.Log.Read(ctx, s.Topics.Events, f.At.Partition, f.At.Offset, 1, 5*time.Second)
	if err != nil {
		return canonical.Event{}, err
	}
	if len(records) == 0 || records[0].Offset != f.At.Offset {
		return canonical.Event{}, eventlog.ErrOutOfRange
	}
	return decode[canonical.Event](records[0])
}

// waiting looks for the event among receipts that are accepted and have no fate yet: it
// never returns nil.
func (s *Replay) waiting(ctx context.Context, id canonical.EventID) error {
	// What is committed is asked before the index: an event may be resolved meanwhile.
	done, err := finished(ctx, s.Log, s.Topics, s.Prefix, s.Accounts, s.Account, s.Index)
	if err != nil {
		return err
	}
	if found, err := s.Index.Events(id); err != nil || len(found) > 0 {
		return errors.Join(err, ErrNotResolved)
	}
	first, end, err := s.Log.Bounds(ctx, s.Topics.Inbound)
	if err != nil {
		return err
	}
	for p := range end {
		for at := max(first[p], done.least(p)); at < end[p]; {
			records, err := s.Log.Read(ctx, s.Topics.Inbound, p, at, 1000, 5*time.Second)
			if err != nil {
				return fmt.Errorf("look for event %s among receipts that wait: %w", id, err)
			}
			if len(records) == 0 {
				return fmt.Errorf("look for event %s among receipts that wait: the log gave nothing of %s/%d from %d on", id, s.Topics.Inbound, p, at)
			}
			for _, r := range records {
				at = r.Offset + 1
				rc, err := decode[canonical.Receipt](r)
				if err != nil {
					return err
				}
				if done.waits(rc, r) && s.promises(rc, id) {
					return ErrNotResolved
				}
			}
		}
	}
	return ErrUnknown
}

// promises is true when a receipt will come to the event: an id is a function of the
// receipt's own bytes, also of a bare one.
func (s *Replay) promises(rc canonical.Receipt, id canonical.EventID) bool {
	e := Understand(rc, s.Mapping(), s.Settings(rc.Source)).Event
	return e != nil && e.ID == id
}

// Rerun appends a quarantined receipt to inbound again, under its own id: after the
// mapping was mended it may come to something.
func (s *Replay) Rerun(ctx context.Context, id canonical.ReceiptID) error {
	w, ok, err := s.Index.Receipt(id)
	if err != nil {
		return err
	}
	if !ok || w.In == nil {
		return ErrUnknown
	}
	if w.Fate != canonical.FateQuarantined {
		return fmt.Errorf("receipt %s is not quarantined: %w", id, ErrNotQuarantined)
	}
	value, err := s.receipt(ctx, id, *w.In)
	if err != nil {
		return err
	}
	if _, err := s.opened(value); err != nil {
		return err
	}
	_, err = s.Log.Append(ctx, s.Topics.Inbound, eventlog.Record{Value: value, Type: eventlog.TypeReceipt, Version: eventlog.Schema})
	return err
}

// receipt gives a receipt's record, from the log or, where that no longer reaches back,
// from the warehouse.
func (s *Replay) receipt(ctx context.Context, id canonical.ReceiptID, at canonical.Position) ([]byte, error) {
	records, err := s.Log.Read(ctx, s.Topics.Inbound, at.Partition, at.Offset, 1, 5*time.Second)
	if err == nil && len(records) > 0 && records[0].Offset == at.Offset {
		_, err = decode[canonical.Receipt](records[0]) // of a version that is read here
		return records[0].Value, err
	}
	if err != nil && !errors.Is(err, eventlog.ErrOutOfRange) {
		return nil, fmt.Errorf("read receipt %s: %w", id, err)
	}
	var value []byte
	err = s.Archive.Receipts(ctx, at.Partition, at.Offset, at.Offset+1, func(sealed []byte) error {
		var rc canonical.Receipt
		b, err := s.Archive.Unseal(sealed)
		if err != nil || len(b) == 0 {
			return err
		}
		if err := json.Unmarshal(b, &rc); err != nil {
			return err
		}
		if rc.ID == id { // else the place is another log's
			value = b
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read receipt %s as the warehouse holds it: %w", id, err)
	}
	if value == nil {
		return nil, fmt.Errorf("%w: neither the log nor the warehouse holds receipt %s", ErrUnknown, id)
	}
	return value, nil
}

// ErrNotQuarantined: only a quarantined receipt is run again.
var ErrNotQuarantined = errors.New("only a quarantined receipt can be run again")

// Receipt gives an accepted receipt by its id, from the log or the warehouse. ErrUnknown:
// neither holds it.
func (s *Replay) Receipt(ctx context.Context, id canonical.ReceiptID) (canonical.Receipt, error) {
	w, ok, err := s.Index.Receipt(id)
	if err != nil {
		return canonical.Receipt{}, err
	}
	if !ok || w.In == nil {
		return canonical.Receipt{}, ErrUnknown
	}
	value, err := s.receipt(ctx, id, *w.In)
	if err != nil {
		return canonical.Receipt{}, err
	}
	return s.opened(value)
}
