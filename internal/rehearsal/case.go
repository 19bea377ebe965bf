package rehearsal

import (
	"context"
	"fmt"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations/delivery"
	"tributary/mappings"
	"tributary/mappings/cases"
)

// Case runs a case by itself: its history, oldest first and each at the time it was
// received, then what is given, at the time that the case says.
func Case(ctx context.Context, c cases.Case, m *mappings.Mapping, settings func(source string) wire.Settings, guards canonical.Guards, dests []Destination) (out cases.Outcome, err error) {
	r, err := New(m, settings, guards, dests)
	if err != nil {
		return out, err
	}
	defer r.Close()
	for _, in := range c.History {
		if _, err := r.Take(ctx, in.Receipt, Profile{}, in.Receipt.ReceivedAt); err != nil {
			return out, fmt.Errorf("the entry of history on line %d: %w", in.Line, err)
		}
	}
	about := Profile{Identifiers: c.Known.Identifiers, Touches: c.Known.Touches, At: c.Known.Since}
	o, err := r.Take(ctx, c.Given.Receipt, about, c.Now)
	if err != nil {
		return out, err
	}
	return o.ForCases(), nil
}

// ForCases writes an outcome as cases expect one.
func (o Outcome) ForCases() cases.Outcome {
	out := cases.Outcome{Fate: o.Fate, Reason: o.Reason, Detail: o.Detail, Event: o.Event}
	for _, d := range o.At {
		r := cases.Result{Destination: d.Destination}
		for _, p := range d.Parts {
			r.Parts = append(r.Parts, cases.Part{
				Name: p.Part, Sent: p.Class.Sends(), Reason: ReasonOf(p), Detail: p.Detail,
				Body: p.Body, Value: p.Value, Currency: p.Currency,
			})
		}
		out.Destinations = append(out.Destinations, r)
	}
	return out
}

// ReasonOf says why a part is not sent: its reason, or its class where that says it all.
func ReasonOf(f delivery.Foreseen) string {
	if f.Reason == "" && !f.Class.Sends() {
		return string(f.Class)
	}
	return f.Reason
}
