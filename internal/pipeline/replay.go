package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations/delivery"
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
	Lanes    map[string]*delivery.Lane
	NewID    func() string
}

// An Archive is the warehouse as the place where an event is found that the index or
// the log no longer holds.
type Archive interface {
	FindEvent(ctx context.Context, id canonical.EventID) ([]warehouse.FoundEvent, error)
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
	events, err := s.Find(ctx, o.EventID)
	if err != nil {
		return Answer{}, err
	}
	if o.Name != "" {
		events = slices.DeleteFunc(events, func(e canonical.Event) bool { return e.Name != o.Name })
		if len(events) == 0 {
			return Answer{}, ErrUnknown
		}
	}
	answer := Answer{Name: events[0].Name, Deduplicated: true, Reasons: map[string]string{}, ReplayID: s.NewID()}
	var records []eventlog.Record
	for _, e := range events {
		asked, err := s.ask(&answer, e, names, o.Force)
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

func (s *Replay) names(asked []string) ([]string, error) {
	var known []string
	for name := range s.Lanes {
		known = append(known, name)
	}
	sort.Strings(known)
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
func (s *Replay) ask(answer *Answer, e canonical.Event, names []string, force bool) ([]string, error) {
	var asked []string
	for _, name := range names {
		prospect, err := s.Lanes[name].Prospect(e)
		if err != nil {
			return nil, err
		}
		switch {
		case prospect == delivery.HasIt && !force:
		case prospect == "" || prospect == delivery.HasIt || prospect == canonical.ReasonAwaitingIdentity || prospect == canonical.ReasonHold:
			asked = append(asked, name)
			answer.Deduplicated = false
		default:
			answer.Reasons[name] = prospect
			answer.Deduplicated = false
		}
	}
	return asked, nil
}

// Find gives the events of an id as they were first resolved.
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
		out = append(out, e)
	}
	if len(out) > 0 {
		return out, nil
	}
	archived, err := s.Archive.FindEvent(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("look for event %s in the warehouse: %w", id, err)
	}
	for _, a := range archived {
		body, err := s.Archive.Unseal(a.Sealed)
		if err != nil {
			return nil, fmt.Errorf("open event %s as the warehouse holds it: %w", id, err)
		}
		e, err := decode[canonical.Event](eventlog.Record{Topic: s.Topics.Events, Type: eventlog.TypeEvent, Version: eventlog.Schema, Value: body})
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil, s.waiting(ctx, id)
	}
	return out, nil
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

// waiting looks for the event among receipts that are accepted and not yet resolved.
func (s *Replay) waiting(ctx context.Context, id canonical.EventID) error {
	committed, err := s.Log.Committed(ctx, ResolveGroup(s.Prefix), s.Topics.Inbound)
	if err != nil {
		return err
	}
	first, end, err := s.Log.Bounds(ctx, s.Topics.Inbound)
	if err != nil {
		return err
	}
	for p := range end {
		for at := max(first[p], committed[p]); at < end[p]; {
			records, err := s.Log.Read(ctx, s.Topics.Inbound, p, at, 1000, time.Second)
			if err != nil || len(records) == 0 {
				return err
			}
			for _, r := range records {
				at = r.Offset + 1
				rc, err := decode[canonical.Receipt](r)
				if err != nil {
					return err
				}
				if e := Understand(rc, s.Mapping(), s.Settings(rc.Source)).Event; e != nil && e.ID == id {
					return ErrNotResolved
				}
			}
		}
	}
	return ErrUnknown
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
	records, err := s.Log.Read(ctx, s.Topics.Inbound, w.In.Partition, w.In.Offset, 1, 5*time.Second)
	if err != nil {
		return fmt.Errorf("read receipt %s: %w", id, err)
	}
	if len(records) == 0 || records[0].Offset != w.In.Offset {
		return ErrUnknown
	}
	r := records[0]
	_, err = s.Log.Append(ctx, s.Topics.Inbound, eventlog.Record{Value: r.Value, Type: r.Type, Version: r.Version})
	return err
}

// ErrNotQuarantined: only a quarantined receipt is run again.
var ErrNotQuarantined = errors.New("only a quarantined receipt can be run again")
