package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/ingest"
	"tributary/internal/pipeline"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// where answers where something is, from local state.
type where struct{ *router }

// Receipt gives a receipt's fate, and its event where it came to one.
func (w where) Receipt(ctx context.Context, id canonical.ReceiptID) (ingest.ReceiptView, error) {
	at, ok, err := w.index.Receipt(id)
	if err != nil {
		return ingest.ReceiptView{}, err
	}
	if !ok {
		return ingest.ReceiptView{}, ingest.ErrNotFound
	}
	v := ingest.ReceiptView{
		ReceiptID: at.ReceiptID, Source: at.Source, Way: at.Way, ReceivedAt: at.ReceivedAt,
		Fate: at.Fate, Reason: at.Reason, Detail: at.Detail, Rule: at.Rule,
	}
	if v.Fate == "" {
		v.Fate = "waiting"
	}
	key := at.Event
	if at.Fate == canonical.FateCompleted {
		v.CompletedBy = id.CompletedID()
		done, ok, err := w.index.Receipt(v.CompletedBy)
		if err != nil {
			return v, err
		}
		if ok {
			key = done.Event
		}
	}
	if key != nil {
		e, err := w.Event(ctx, key.ID, key.Name)
		if err != nil && !errors.Is(err, ingest.ErrNotFound) {
			return v, err
		}
		if err == nil {
			v.Event = &e
		}
	}
	return v, nil
}

// Event gives an event and what stands of it at every destination.
func (w where) Event(ctx context.Context, id canonical.EventID, name string) (ingest.EventView, error) {
	events, err := w.replay.Find(ctx, id)
	if err != nil {
		return ingest.EventView{}, fromPipeline(err)
	}
	e := events[0]
	if name != "" {
		i := slices.IndexFunc(events, func(e canonical.Event) bool { return e.Name == name })
		if i < 0 {
			return ingest.EventView{}, fmt.Errorf("%w: %w", ingest.ErrNotFound, pipeline.ErrUnknown)
		}
		e = events[i]
	}
	v := ingest.EventView{
		Name: e.Name, ID: e.ID, OccurredAt: e.OccurredAt, Source: e.Source, ReceiptID: e.ReceiptID, Rule: e.Rule, Claimed: e.Claimed,
		Destinations: []ingest.DestinationView{},
	}
	known := w.view.Known(e)
	if e.Node != 0 {
		v.Person = known.Person.String()
	}
	if known.Account != 0 {
		v.Account = known.Account.String()
	}
	for _, name := range sortedKeys(w.lanes) {
		d, err := destinationView(w.lanes[name], e.Key())
		if err != nil {
			return v, err
		}
		v.Destinations = append(v.Destinations, d)
	}
	return v, nil
}

func destinationView(l *delivery.Lane, key canonical.EventKey) (ingest.DestinationView, error) {
	parts, err := l.State(key)
	if err != nil {
		return ingest.DestinationView{}, err
	}
	worst := delivery.Worst(parts)
	v := ingest.DestinationView{Destination: l.Name, State: word(worst.State), Reason: worst.Reason, Detail: worst.Detail, Due: worst.Due}
	for _, d := range parts {
		if d.Part == "" {
			continue
		}
		v.Parts = append(v.Parts, ingest.PartView{
			Part: d.Part, State: word(d.State), Reason: d.Reason, Detail: d.Detail, At: d.At, Attempt: d.Attempt, Due: d.Due,
		})
	}
	return v, nil
}

// word is a state as people are told it: an attempt under way is pending.
func word(s canonical.State) string {
	if s == "" || s == canonical.StateIntent {
		return "pending"
	}
	return string(s)
}
