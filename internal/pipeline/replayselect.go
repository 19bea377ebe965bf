package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/internal/eventlog"
	"tributary/internal/warehouse"
)

// A candidate is an event that a job may mean.
type candidate struct {
	event canonical.Event
	at    *canonical.Position // of its first copy in events; nil: not looked up
	// dest and parts name one destination's parts; "": every destination of the job.
	dest  string
	parts []string
}

// A walk goes over the events of a job's selection, in one order: two walks over the same
// selection meet the same events.
type walk struct {
	s       *Jobs
	job     canonical.ReplayJob
	place   canonical.JobPlace
	missing int // asked for by id or list, and nowhere any more
	// of a walk over events: what was read and not given yet, and where to read on, by partition
	pages [][]placed
	read  []int64
}

type placed struct {
	offset int64
	event  canonical.Event
}

func (s *Jobs) walk(j canonical.ReplayJob, from canonical.JobPlace) *walk {
	w := &walk{s: s, job: j, place: from}
	if w.overEvents() {
		if len(w.place.Events) == 0 {
			w.place.Events = make([]int64, len(j.End))
		}
		w.place.Events = slices.Clone(w.place.Events)
		w.pages, w.read = make([][]placed, len(j.End)), slices.Clone(w.place.Events)
	}
	return w
}

func (w *walk) overEvents() bool { return w.job.Selection.List == "" && len(w.job.Selection.IDs) == 0 }

// at gives the place behind what was given, safe to keep.
func (w *walk) at() canonical.JobPlace {
	p := w.place
	p.Events = slices.Clone(p.Events)
	return p
}

// next gives about limit candidates; more is false once there are no others.
func (w *walk) next(ctx context.Context, limit int) (out []candidate, more bool, err error) {
	switch {
	case w.job.Selection.List != "":
		return w.fromList(ctx, limit)
	case !w.overEvents():
		return w.fromIDs(ctx, limit)
	}
	return w.fromEvents(ctx, limit)
}

func (w *walk) fromIDs(ctx context.Context, limit int) (out []candidate, more bool, err error) {
	ids := w.job.Selection.IDs
	for len(out) < limit && w.place.Index < len(ids) {
		found, err := w.find(ctx, ids[w.place.Index], "")
		if err != nil {
			return nil, false, err
		}
		out = append(out, found...)
		w.place.Index++
	}
	return out, w.place.Index < len(ids), nil
}

// find gives the events of an id, or of one name of it, and counts what is not there.
func (w *walk) find(ctx context.Context, id canonical.EventID, name string) ([]candidate, error) {
	events, err := w.s.Replay.Find(ctx, id)
	if errors.Is(err, ErrUnknown) || errors.Is(err, ErrNotResolved) {
		w.missing++
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find event %s: %w", id, err)
	}
	var out []candidate
	for _, e := range events {
		if (name == "" || e.Name == name) && (name != "" || len(w.job.Selection.Events) == 0 || slices.Contains(w.job.Selection.Events, e.Name)) {
			out = append(out, candidate{event: e})
		}
	}
	return out, nil
}

// fromList goes over what stood on the ledger's list of each destination when the job was
// made. What comes onto it later, such as what dies again, is not met.
func (w *walk) fromList(ctx context.Context, limit int) (out []candidate, more bool, err error) {
	sel := w.job.Selection
	for w.place.Index < len(w.job.Destinations) {
		dest := w.job.Destinations[w.place.Index]
		lane := w.s.Replay.Lanes[dest]
		if lane == nil {
			return nil, false, &UnknownDestination{Name: dest, Known: w.s.Replay.known()}
		}
		var entries []canonical.Delivery
		full := false
		err := lane.Ledger.Listed(dest, delivery.List(sel.List), w.place.Cursor, func(cursor string, d canonical.Delivery) bool {
			if d.At.After(w.job.At) { // the oldest come first
				return false
			}
			w.place.Cursor = cursor
			if onList(sel, d) {
				entries = append(entries, d)
			}
			full = len(out)+len(entries) >= limit
			return !full
		})
		if err != nil {
			return nil, false, err
		}
		for _, d := range entries {
			found, err := w.find(ctx, d.Event.ID, d.Event.Name)
			if err != nil {
				return nil, false, err
			}
			part, _, _ := strings.Cut(d.Part, "!") // sent once more by force: the part it was
			for _, c := range found {
				c.dest, c.parts = dest, []string{part}
				out = append(out, c)
			}
		}
		if full {
			return out, true, nil
		}
		w.place.Index, w.place.Cursor = w.place.Index+1, ""
	}
	return out, false, nil
}

// onList is true for an entry that a selection means.
func onList(sel canonical.Selection, d canonical.Delivery) bool {
	return (len(sel.IDs) == 0 || slices.Contains(sel.IDs, d.Event.ID)) &&
		(len(sel.Events) == 0 || slices.Contains(sel.Events, d.Event.Name)) &&
		(len(sel.Reasons) == 0 || slices.Contains(sel.Reasons, d.Reason)) &&
		within(sel, d.At)
}

func within(sel canonical.Selection, t time.Time) bool {
	return (sel.Since == nil || !t.Before(*sel.Since)) && (sel.Until == nil || t.Before(*sel.Until))
}

// fromEvents goes over the first copies of events in the order of their receipt, as they
// came to the lanes: where two would take one slot, the first that was received has it.
func (w *walk) fromEvents(ctx context.Context, limit int) (out []candidate, more bool, err error) {
	for len(out) < limit {
		least := -1
		for p := range w.pages {
			if err := w.fill(ctx, p); err != nil {
				return nil, false, err
			}
			if len(w.pages[p]) > 0 && (least < 0 || w.pages[p][0].event.ReceivedAt.Before(w.pages[least][0].event.ReceivedAt)) {
				least = p
			}
		}
		if least < 0 {
			return out, false, nil
		}
		head := w.pages[least][0]
		w.pages[least] = w.pages[least][1:]
		w.place.Events[least] = head.offset + 1
		out = append(out, candidate{event: head.event, at: &canonical.Position{Partition: least, Offset: head.offset}})
	}
	return out, true, nil
}

// fill reads on in a partition until it has an event to give or comes to the end.
func (w *walk) fill(ctx context.Context, p int) error {
	for len(w.pages[p]) == 0 && w.read[p] < w.job.End[p] {
		topic := w.s.Topics.Events
		first, _, err := w.s.Log.Bounds(ctx, topic)
		if err != nil {
			return err
		}
		if w.read[p] < first[p] {
			err = w.fromArchive(ctx, p, min(first[p], w.job.End[p]))
		} else {
			err = w.fromLog(ctx, p, first[p])
		}
		if errors.Is(err, eventlog.ErrOutOfRange) {
			continue // trimmed meanwhile
		}
		if err != nil {
			return err
		}
		if len(w.pages[p]) == 0 {
			w.place.Events[p] = w.read[p]
		}
	}
	return nil
}

const pageSize = 1000

func (w *walk) fromLog(ctx context.Context, p int, first int64) error {
	records, err := w.s.Log.Read(ctx, w.s.Topics.Events, p, w.read[p], pageSize, 5*time.Second)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	if len(records) == 0 {
		return fmt.Errorf("read events: the log gave nothing of %s/%d from %d on", w.s.Topics.Events, p, w.read[p])
	}
	var page []placed
	var keys []canonical.EventKey
	next := w.read[p]
	for _, r := range records {
		if r.Offset >= w.job.End[p] {
			break
		}
		next = r.Offset + 1
		if r.Type != eventlog.TypeEvent {
			continue
		}
		e, err := decode[canonical.Event](r)
		if err != nil {
			return err
		}
		if !w.means(e) {
			continue
		}
		f, had, err := w.s.Replay.Index.First(e.Key())
		if err != nil {
			return err
		}
		if had && (f.At != canonical.Position{Partition: p, Offset: r.Offset}) {
			continue // a further copy
		}
		page, keys = append(page, placed{r.Offset, e}), append(keys, e.Key())
	}
	if first > 0 { // an index that was rebuilt does not know what was trimmed before
		earlier, err := w.s.Replay.Archive.EarlierThan(ctx, p, first, keys)
		if err != nil {
			return err
		}
		page = slices.DeleteFunc(page, func(x placed) bool { return earlier[x.event.Key()] })
	}
	w.pages[p], w.read[p] = page, next
	return nil
}

// fromArchive reads what the log no longer holds, up to an offset.
func (w *walk) fromArchive(ctx context.Context, p int, to int64) error {
	sel := w.job.Selection
	f := warehouse.EventFilter{Received: sel.By == "received_at", Names: sel.Events, Sources: sel.Sources}
	if sel.Since != nil {
		f.Since = *sel.Since
	}
	if sel.Until != nil {
		f.Until = *sel.Until
	}
	var page []placed
	got, next, missing := 0, to, 0
	err := w.s.Replay.Archive.EventsBetween(ctx, p, w.read[p], to, f, pageSize, func(offset int64, sealed []byte) error {
		if got++; got == pageSize {
			next = offset + 1
		}
		if sealed == nil {
			missing++
			return nil
		}
		b, err := w.s.Replay.Archive.Unseal(sealed)
		if err != nil {
			return fmt.Errorf("open an event as the warehouse holds it: %w", err)
		}
		e, err := decode[canonical.Event](eventlog.Record{Topic: w.s.Topics.Events, Partition: p, Offset: offset, Type: eventlog.TypeEvent, Version: eventlog.Schema, Value: b})
		if err == nil && w.means(e) {
			page = append(page, placed{offset, e})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read events from the warehouse: %w", err)
	}
	w.pages[p], w.read[p], w.missing = page, next, w.missing+missing
	return nil
}

// means is true for an event that the selection lets pass.
func (w *walk) means(e canonical.Event) bool {
	sel, at := w.job.Selection, e.OccurredAt
	if sel.By == "received_at" {
		at = e.ReceivedAt
	}
	return within(sel, at) && (len(sel.Events) == 0 || slices.Contains(sel.Events, e.Name)) && (len(sel.Sources) == 0 || slices.Contains(sel.Sources, e.Source))
}

// inStates gives the parts that are in one of the states asked for, nil for every part;
// false: none is.
func inStates(states []canonical.Delivery, wanted []string) (parts []string, ok bool) {
	if len(wanted) == 0 {
		return nil, true
	}
	if len(states) == 0 {
		return nil, slices.Contains(wanted, "none")
	}
	for _, d := range states {
		word := string(d.State)
		if !strings.Contains(d.Part, "!") && (slices.Contains(wanted, word) || slices.Contains(wanted, word+":"+d.Reason)) {
			parts = append(parts, d.Part)
		}
	}
	return parts, len(parts) > 0
}
