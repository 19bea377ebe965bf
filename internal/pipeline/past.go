package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/internal/eventlog"
)

// A Recorded reads receipts as they were recorded, each with what was known at its time: from
// the log, and from the warehouse where the log no longer reaches back.
type Recorded struct {
	Log    eventlog.Log
	Topics eventlog.Topics
	Index  *Index
	// Forgotten says whether a receipt tells of somebody who is erased; nil: nobody is.
	Forgotten func(canonical.Receipt) bool
	Archive   interface {
		ReceiptsSince(ctx context.Context, partition int, from, to int64, since time.Time, limit int, each func(offset int64, sealed []byte) error) error
		EventsOf(ctx context.Context, receipts []canonical.ReceiptID, each func(sealed []byte) error) error
		Unseal(sealed []byte) ([]byte, error)
	}
}

const (
	pastPage  = 2000 // receipts read at a time of one partition
	pastChunk = 2000 // receipts handed on at a time
	pastGap   = 500  // events skipped by reading on rather than asking anew
)

// A pastPlan says which records of inbound are meant.
type pastPlan struct {
	since, until time.Time // of received_at
	from, first  []int64   // where each partition begins; what is below first is in the warehouse
	end          []int64
	total        int64 // records at most
}

// plan finds where to begin: a receipt received since then was appended since then.
func (s *Recorded) plan(ctx context.Context, since, until time.Time) (pastPlan, error) {
	first, end, err := s.Log.Bounds(ctx, s.Topics.Inbound)
	if err != nil {
		return pastPlan{}, fmt.Errorf("read receipts: %w", err)
	}
	p := pastPlan{since: since, until: until, first: first, end: end, from: slices.Clone(first)}
	for i := range end {
		var failed error
		at := func(offset int64) time.Time {
			records, err := s.Log.Read(ctx, s.Topics.Inbound, i, offset, 1, 5*time.Second)
			if err != nil || len(records) == 0 {
				failed = cmp.Or(failed, err)
				return time.Time{} // then from further back
			}
			return records[0].Time
		}
		n := sort.Search(int(end[i]-first[i]), func(n int) bool { return failed != nil || !at(first[i]+int64(n)).Before(since) })
		if failed != nil && !errors.Is(failed, eventlog.ErrOutOfRange) {
			return p, fmt.Errorf("read receipts: %w", failed)
		}
		if failed == nil {
			p.from[i] = first[i] + int64(n)
		}
		if n == 0 && first[i] > 0 { // all of it is newer: what came before may be meant too
			p.from[i] = 0
		}
		p.total += end[i] - max(p.from[i], first[i])
	}
	return p, nil
}

// walk gives the receipts meant, by time of receipt, in chunks.
func (s *Recorded) walk(ctx context.Context, p pastPlan, chunk func([]canonical.Receipt) error) (read, gone int64, err error) {
	g, ctx := errgroup.WithContext(ctx)
	pages := make([]chan []canonical.Receipt, len(p.end))
	missing := make([]int64, len(p.end))
	for i := range pages {
		pages[i] = make(chan []canonical.Receipt, 2)
		g.Go(func() error {
			defer close(pages[i])
			return s.partition(ctx, p, i, &missing[i], func(page []canonical.Receipt) error {
				select {
				case pages[i] <- page:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	}
	g.Go(func() error {
		heads := make([][]canonical.Receipt, len(pages))
		open := make([]bool, len(pages))
		for i := range open {
			open[i] = true
		}
		var out []canonical.Receipt
		for {
			least := -1
			for i := range heads {
				for len(heads[i]) == 0 && open[i] {
					heads[i], open[i] = <-pages[i]
				}
				if len(heads[i]) > 0 && (least < 0 || receivedBefore(&heads[i][0], &heads[least][0])) {
					least = i
				}
			}
			if least < 0 {
				break
			}
			out = append(out, heads[least][0])
			heads[least] = heads[least][1:]
			read++
			if len(out) == pastChunk {
				if err := chunk(out); err != nil {
					return err
				}
				out = nil
			}
		}
		if err := ctx.Err(); err != nil || len(out) == 0 {
			return err
		}
		return chunk(out)
	})
	err = g.Wait()
	for _, n := range missing {
		gone += n
	}
	return read, gone, err
}

func receivedBefore(x, y *canonical.Receipt) bool {
	if c := x.ReceivedAt.Compare(y.ReceivedAt); c != 0 {
		return c < 0
	}
	return x.ID < y.ID
}

// partition gives the receipts of one partition, page by page; those whose body the
// warehouse no longer has are counted.
func (s *Recorded) partition(ctx context.Context, p pastPlan, i int, gone *int64, give func([]canonical.Receipt) error) error {
	next := p.from[i]
	for next < p.end[i] {
		var page []canonical.Receipt
		var err error
		if next < p.first[i] {
			page, next, err = s.archived(ctx, p, i, next, gone)
		} else {
			page, next, err = s.logged(ctx, p, i, next)
			if errors.Is(err, eventlog.ErrOutOfRange) { // trimmed meanwhile
				first, _, bounds := s.Log.Bounds(ctx, s.Topics.Inbound)
				if bounds != nil {
					return fmt.Errorf("read receipts: %w", bounds)
				}
				p.first = slices.Clone(p.first)
				p.first[i] = first[i]
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("read receipts: %w", err)
		}
		if len(page) > 0 {
			if err := give(page); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Recorded) logged(ctx context.Context, p pastPlan, i int, from int64) ([]canonical.Receipt, int64, error) {
	records, err := s.Log.Read(ctx, s.Topics.Inbound, i, from, pastPage, 5*time.Second)
	if err != nil {
		return nil, from, err
	}
	if len(records) == 0 {
		return nil, from, fmt.Errorf("the log gave nothing of %s/%d from %d on", s.Topics.Inbound, i, from)
	}
	page, next := make([]canonical.Receipt, 0, len(records)), from
	for _, r := range records {
		if r.Offset >= p.end[i] {
			return page, p.end[i], nil
		}
		next = r.Offset + 1
		rc, err := decode[canonical.Receipt](r)
		if err != nil {
			return nil, from, err
		}
		if p.means(&rc) && (s.Forgotten == nil || !s.Forgotten(rc)) {
			page = append(page, rc)
		}
	}
	return page, next, nil
}

func (s *Recorded) archived(ctx context.Context, p pastPlan, i int, from int64, gone *int64) ([]canonical.Receipt, int64, error) {
	var page []canonical.Receipt
	got, next := 0, p.first[i]
	err := s.Archive.ReceiptsSince(ctx, i, from, p.first[i], p.since, pastPage, func(offset int64, sealed []byte) error {
		if got++; got == pastPage {
			next = offset + 1
		}
		if len(sealed) == 0 {
			*gone++
			return nil
		}
		b, err := s.Archive.Unseal(sealed)
		if err != nil {
			return fmt.Errorf("open a receipt as the warehouse holds it: %w", err)
		}
		rc, err := decode[canonical.Receipt](eventlog.Record{Topic: s.Topics.Inbound, Partition: i, Offset: offset, Type: eventlog.TypeReceipt, Version: eventlog.Schema, Value: b})
		if err == nil && p.means(&rc) && (s.Forgotten == nil || !s.Forgotten(rc)) {
			page = append(page, rc)
		}
		return err
	})
	return page, next, err
}

// means leaves out what fetch completes: the completed receipt speaks for it.
func (p *pastPlan) means(rc *canonical.Receipt) bool {
	return !rc.ReceivedAt.Before(p.since) && (p.until.IsZero() || rc.ReceivedAt.Before(p.until)) && !wire.Bare(*rc)
}

// pasts joins receipts with what was known when their events were built.
func (s *Recorded) pasts(ctx context.Context, p pastPlan, receipts []canonical.Receipt) ([]Past, error) {
	out := make([]Past, 0, len(receipts))
	by := make(map[canonical.ReceiptID]int, len(receipts))
	places := map[int][]int64{}
	var archived []canonical.ReceiptID
	ids := make([]canonical.ReceiptID, len(receipts))
	for i, rc := range receipts {
		ids[i] = rc.ID
	}
	where, err := s.Index.Receipts(ids)
	if err != nil {
		return nil, err
	}
	for _, rc := range receipts {
		if _, again := by[rc.ID]; again { // appended twice
			continue
		}
		i := len(out)
		out, by[rc.ID] = append(out, Past{Receipt: rc}), i
		w, had := where[rc.ID]
		switch {
		case !had || w.Fate == "":
			archived = append(archived, rc.ID)
		case w.Event != nil && w.At != nil:
			places[w.At.Partition] = append(places[w.At.Partition], w.At.Offset)
			if w.Fate == canonical.FateObservation {
				if err := s.copied(&out[i], p, *w.Event); err != nil {
					return nil, err
				}
			}
		}
	}
	know := func(b []byte) error {
		var e struct {
			ReceiptID canonical.ReceiptID `json:"receipt_id"`
			Known     *canonical.Known    `json:"known"`
		}
		if err := json.Unmarshal(b, &e); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		if i, ours := by[e.ReceiptID]; ours {
			out[i].Known = e.Known
		}
		return nil
	}
	for partition, offsets := range places {
		trimmed, err := s.events(ctx, partition, offsets, know)
		if err != nil {
			return nil, err
		}
		if trimmed {
			for _, rc := range receipts {
				if out[by[rc.ID]].Known == nil {
					archived = append(archived, rc.ID)
				}
			}
		}
	}
	slices.Sort(archived)
	if archived = slices.Compact(archived); len(archived) == 0 || s.Archive == nil {
		return out, nil
	}
	return out, s.Archive.EventsOf(ctx, archived, func(sealed []byte) error {
		b, err := s.Archive.Unseal(sealed)
		if err != nil {
			return fmt.Errorf("open an event as the warehouse holds it: %w", err)
		}
		return know(b)
	})
}

// copied says of a further copy whether the first came before the time that is looked at.
func (s *Recorded) copied(past *Past, p pastPlan, key canonical.EventKey) error {
	f, had, err := s.Index.First(key)
	if err != nil || !had {
		return err
	}
	w, had, err := s.Index.Receipt(f.By)
	if err == nil && had && w.ReceivedAt.Before(p.since) {
		past.Copy = key
	}
	return err
}

// heard says when the first report of an event was received, where the index knows.
func (s *Recorded) heard(key canonical.EventKey) (time.Time, bool) {
	f, had, err := s.Index.First(key)
	if err != nil || !had {
		return time.Time{}, false
	}
	w, had, err := s.Index.Receipt(f.By)
	return w.ReceivedAt, had && err == nil
}

// events reads the events at some offsets of a partition; trimmed is true where the log no
// longer holds some.
func (s *Recorded) events(ctx context.Context, partition int, offsets []int64, each func([]byte) error) (trimmed bool, err error) {
	slices.Sort(offsets)
	offsets = slices.Compact(offsets)
	for len(offsets) > 0 {
		last := 0
		for last+1 < len(offsets) && offsets[last+1]-offsets[last] <= pastGap {
			last++
		}
		for at, i := offsets[0], 0; i <= last; {
			records, err := s.Log.Read(ctx, s.Topics.Events, partition, at, int(min(offsets[last]-at+1, pastPage)), 5*time.Second)
			if errors.Is(err, eventlog.ErrOutOfRange) {
				first, _, err := s.Log.Bounds(ctx, s.Topics.Events)
				if err != nil {
					return trimmed, fmt.Errorf("read events: %w", err)
				}
				trimmed = true
				for i <= last && offsets[i] < first[partition] {
					i++
				}
				if i <= last && at == offsets[i] { // not below the first either
					return trimmed, fmt.Errorf("read events: %w", eventlog.ErrOutOfRange)
				}
				if i <= last {
					at = offsets[i]
				}
				continue
			}
			if err != nil {
				return trimmed, fmt.Errorf("read events: %w", err)
			}
			if len(records) == 0 {
				return trimmed, fmt.Errorf("read events: the log gave nothing of %s/%d from %d on", s.Topics.Events, partition, at)
			}
			for _, r := range records {
				for i <= last && offsets[i] < r.Offset {
					i++
				}
				if i <= last && r.Offset == offsets[i] && r.Type == eventlog.TypeEvent {
					if err := each(r.Value); err != nil {
						return trimmed, err
					}
				}
				at = r.Offset + 1
			}
			for i <= last && offsets[i] < at {
				i++
			}
		}
		offsets = offsets[last+1:]
	}
	return trimmed, nil
}
