package main

import (
	"context"
	"slices"
	"time"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/ingest"
	"tributary/internal/pipeline"
	"tributary/internal/rehearsal"
)

// rehearse says what receipts would come to. They run, in order, through a router in memory that
// knows nobody; with known, what this one knows of their persons, has had of their events and
// sent for them is looked at too.
func (r *router) rehearse(ctx context.Context, receipts []canonical.Receipt, known bool) ([]ingest.Foreseen, error) {
	var dests []rehearsal.Destination
	previews := map[string]*delivery.Preview{}
	for _, name := range sortedKeys(r.lanes) {
		l := r.lanes[name]
		dests = append(dests, rehearsal.Destination{Name: name, Kind: r.cfg.Destinations[name].Kind, Adapter: l.Adapter(), Policy: l.Policy, Disabled: l.Mode == delivery.Disabled})
		previews[name] = l.Preview(delivery.Ask{Held: true})
	}
	alone, err := rehearsal.New(r.mapping.Load(), r.settings, r.cfg.Identity.Guards(), dests)
	if err != nil {
		return nil, err
	}
	defer alone.Close()
	out := make([]ingest.Foreseen, len(receipts))
	for i, rc := range receipts {
		o, err := alone.Take(ctx, rc, rehearsal.Profile{}, time.Now())
		if err != nil {
			return nil, err
		}
		if out[i] = foreseen(o); o.Event == nil || !known {
			continue
		}
		if err := r.foreseeKnown(ctx, &out[i], o, previews); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// foreseen is what an item comes to for who sees nothing but the item.
func foreseen(o rehearsal.Outcome) ingest.Foreseen {
	x := ingest.Foreseen{Fate: o.Fate, Reason: o.Reason, Detail: o.Detail, Rule: o.By}
	if o.Bare {
		x.Fate = canonical.FateCompleted
	}
	if e := o.Event; e != nil {
		x.Event = &ingest.ForeseenEvent{Name: e.Name, ID: e.ID, OccurredAt: e.OccurredAt, TimeBasis: e.TimeBasis, Rule: e.Rule, Ignored: e.Ignored, Claimed: e.Claimed}
	}
	for _, d := range o.At {
		x.Destinations = append(x.Destinations, ingest.ForeseenDestination{Destination: d.Destination, Parts: partsOf(d.Parts)})
	}
	return x
}

func partsOf(parts []delivery.Foreseen) []ingest.ForeseenPart {
	out := []ingest.ForeseenPart{}
	for _, p := range parts {
		would := "suppress"
		switch {
		case p.Class.Sends():
			would = "send"
		case p.Class == delivery.Waits:
			would = "wait"
		}
		out = append(out, ingest.ForeseenPart{Part: p.Part, Would: would, Reason: p.Reason, Value: p.Value, Currency: p.Currency})
	}
	return out
}

// foreseeKnown decides again with what is known: whether the event was had before, and of its
// person. What the item itself says is added to that.
func (r *router) foreseeKnown(ctx context.Context, x *ingest.Foreseen, o rehearsal.Outcome, previews map[string]*delivery.Preview) error {
	is := slices.ContainsFunc(o.Event.Identifiers, func(id canonical.Identifier) bool { _, ok := r.view.Node(id.Node()); return ok })
	x.Known = &is
	before, err := r.index.Events(o.Event.ID)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(before, func(f pipeline.Found) bool { return f.Event.Name == o.Event.Name }) {
		x.Fate, x.Destinations = canonical.FateObservation, nil
		return nil
	}
	if o.Fate == canonical.FateObservation { // of an item before it
		return nil
	}
	e := *o.Event
	k := r.view.Known(e)
	for _, id := range o.Event.Known.Identifiers {
		if !slices.ContainsFunc(k.Identifiers, func(has canonical.Identifier) bool { return has.Node() == id.Node() }) {
			k.Identifiers = append(k.Identifiers, id)
		}
	}
	for _, click := range o.Event.Known.Clicks {
		if !slices.ContainsFunc(k.Clicks, func(has canonical.Click) bool { return has.Scheme == click.Scheme }) {
			k.Clicks = append(k.Clicks, click)
		}
	}
	if len(k.Contacts) == 0 {
		k.Contacts = o.Event.Known.Contacts
	}
	e.Known = &k
	x.Destinations = nil
	for _, name := range sortedKeys(previews) {
		parts, err := previews[name].Event(ctx, e)
		if err != nil {
			return err
		}
		x.Destinations = append(x.Destinations, ingest.ForeseenDestination{Destination: name, Parts: partsOf(parts)})
	}
	return nil
}
