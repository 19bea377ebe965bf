package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/internal/eventlog"
)

const (
	runBatch    = 200              // events looked at for one batch of orders
	showEvery   = 10 * time.Second // how often progress is written where there is no other reason to
	restate     = 6 * time.Hour    // how often a job that waits is written again, so that the log keeps it
	samplesEach = 5                // of a class at a destination
	rememberIDs = 100_000          // orders whose events are remembered until their outcome is counted
)

// work takes a job on from where it stands. nil: it is over, waits for somebody, or was
// changed by another, and is looked at again.
func (o *owner) work(ctx context.Context, id string) error {
	j, err := o.View.Job(id)
	if err != nil {
		return err
	}
	for _, d := range j.Destinations {
		if o.Replay.Lanes[d] == nil {
			return &UnknownDestination{Name: d, Known: o.Replay.known()}
		}
	}
	if err := o.upToDate(ctx, j); err != nil {
		return err
	}
	w := &worker{owner: o, job: j, written: time.Now()}
	switch j.State {
	case canonical.JobPreviewing:
		return w.preview(ctx)
	case canonical.JobRunning:
		return w.run(ctx)
	}
	return nil
}

// upToDate brings what decisions are made from to the end of the log: the ledger, the
// people, the index.
func (s *Jobs) upToDate(ctx context.Context, j canonical.ReplayJob) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, end, err := s.Log.Bounds(ctx, s.Topics.Deliveries)
	if err != nil {
		return err
	}
	for _, d := range j.Destinations {
		if err := s.Replay.Lanes[d].Ledger.WaitEnd(ctx, end); err != nil {
			return fmt.Errorf("the ledger has not reached the end of %s: %w", s.Topics.Deliveries, err)
		}
	}
	if _, end, err = s.Log.Bounds(ctx, s.Topics.Identity); err != nil {
		return err
	}
	if err := s.People(ctx, end[0]-1); err != nil {
		return fmt.Errorf("identity has not reached the end of %s: %w", s.Topics.Identity, err)
	}
	if err := s.Replay.Index.Wait(ctx, s.Topics.Events, j.End); err != nil {
		return fmt.Errorf("the index has not reached the end of %s: %w", s.Topics.Events, err)
	}
	return nil
}

// A worker works on one job.
type worker struct {
	*owner
	job     canonical.ReplayJob
	written time.Time // when progress was last written
	// asked holds the events of the orders this worker appended; all is true while these are
	// all orders of the job.
	asked map[canonical.EventKey]bool
	all   bool
}

// write puts the job's next record; false: somebody else changed it, and it is to be
// looked at again.
func (w *worker) write(ctx context.Context) (bool, error) {
	won, err := w.put(ctx, &w.job, w.Owner)
	w.written = time.Now()
	return won, err
}

// previews begins a sequence of decisions at every destination of the job.
func (w *worker) previews() map[string]*delivery.Preview {
	out := map[string]*delivery.Preview{}
	for _, d := range w.job.Destinations {
		out[d] = w.Replay.Lanes[d].Preview(delivery.Ask{ReplayID: w.job.ID, Force: w.job.Force, Held: takesHeld(w.job.Selection)})
	}
	return out
}

// takesHeld is true where what is held as ambiguous was asked for in so many words.
func takesHeld(sel canonical.Selection) bool {
	return len(sel.IDs) > 0 || sel.List == string(delivery.Held) || slices.ContainsFunc(sel.States, func(s string) bool {
		return s == "parked" || s == "parked:"+canonical.ReasonAmbiguous
	})
}

// preview walks over the selection and counts what the run would come to.
func (w *worker) preview(ctx context.Context) error {
	walk, previews := w.walk(w.job, canonical.JobPlace{}), w.previews()
	w.job.Foreseen, w.job.Samples, w.job.Events, w.job.Missing = map[string]canonical.Tally{}, nil, 0, 0
	for more := true; more; {
		var found []candidate
		var err error
		if found, more, err = walk.next(ctx, runBatch); err != nil {
			return err
		}
		if _, err = w.decide(ctx, previews, found, w.job.Foreseen, true); err != nil {
			return err
		}
		w.job.Missing = walk.missing
		if more && time.Since(w.written) > showEvery {
			if won, err := w.write(ctx); err != nil || !won {
				return err
			}
		}
	}
	w.job.State, w.job.Next = canonical.JobPreviewed, canonical.JobPlace{}
	if w.job.Run {
		w.job.State, w.job.Events = canonical.JobRunning, 0
	}
	_, err := w.write(ctx)
	return err
}

// run walks over the selection again and appends an order for all that would be sent or
// would begin to wait; then it waits until the lanes have decided, and counts.
func (w *worker) run(ctx context.Context) error {
	if w.job.Asked == nil {
		w.job.Asked = map[string]canonical.Tally{}
	}
	w.asked, w.all = map[canonical.EventKey]bool{}, w.job.Orders == 0
	if !w.job.Walked {
		if w.job.Orders > 0 { // somebody died over it: what was appended is decided on before more is
			if held, err := w.decided(ctx); err != nil || !held {
				return err
			}
		}
		if done, err := w.order(ctx); err != nil || !done {
			return err
		}
	}
	if held, err := w.decided(ctx); err != nil || !held {
		return err
	}
	outcome, err := w.outcome(ctx)
	if err != nil {
		return err
	}
	w.job.Outcome, w.job.State, w.job.Note = outcome, canonical.JobDone, ""
	won, err := w.write(ctx)
	if won {
		w.Logger.Info("replay done", "replay", w.job.ID, "kind", w.job.Kind, "who", w.job.Who, "orders", w.job.Orders, "outcome", fmt.Sprint(outcome))
	}
	return err
}

// order appends the orders; false: the job was changed by another. Before each batch its
// frame and its counts are written.
func (w *worker) order(ctx context.Context) (bool, error) {
	previews := w.previews()
	if !samePlace(w.job.Begun, w.job.Next) { // counted and perhaps appended by whoever died over it
		found, _, err := w.walk(w.job, w.job.Begun).next(ctx, runBatch)
		if err != nil {
			return false, err
		}
		orders, err := w.decide(ctx, previews, found, map[string]canonical.Tally{}, false)
		if err != nil {
			return false, err
		}
		if err := w.append(ctx, orders); err != nil {
			return false, err
		}
	}
	walk := w.walk(w.job, w.job.Next)
	for more := true; more; {
		if room, err := w.behind(ctx, w.Ahead); err != nil || !room {
			return false, err
		}
		begun := walk.at()
		var found []candidate
		var err error
		if found, more, err = walk.next(ctx, runBatch); err != nil {
			return false, err
		}
		orders, err := w.decide(ctx, previews, found, w.job.Asked, true)
		if err != nil {
			return false, err
		}
		if len(orders) == 0 && time.Since(w.written) < showEvery {
			continue
		}
		for range orders {
			if err := w.pace.Wait(ctx); err != nil {
				return false, err
			}
		}
		w.job.Begun, w.job.Next, w.job.Note = begun, walk.at(), ""
		w.job.Orders += len(orders)
		if won, err := w.write(ctx); err != nil || !won {
			return false, err
		}
		if err := w.append(ctx, orders); err != nil {
			return false, err
		}
	}
	w.job.Begun, w.job.Next, w.job.Walked, w.job.Note = walk.at(), walk.at(), true, ""
	return w.write(ctx)
}

func samePlace(a, b canonical.JobPlace) bool {
	return a.Index == b.Index && a.Cursor == b.Cursor && slices.Equal(a.Events, b.Events)
}

// append gives orders to the lanes, if this process still owns the job.
func (w *worker) append(ctx context.Context, orders []canonical.ReplayOrder) error {
	if len(orders) == 0 {
		return nil
	}
	if err := w.claim.Alive(ctx); err != nil {
		return err
	}
	records := make([]eventlog.Record, len(orders))
	for i, o := range orders {
		rec, err := encode(eventlog.TypeReplay, string(o.Event.ID), o)
		if err != nil {
			return err
		}
		records[i] = rec
		if len(w.asked) < rememberIDs {
			w.asked[o.Event.Key()] = true
		} else {
			w.all = false
		}
	}
	_, err := w.Log.Append(ctx, w.Topics.Replays, records...)
	return err
}

// decide foresees what a batch of events would come to, counts it, and gives the orders
// for what a replay changes.
func (w *worker) decide(ctx context.Context, previews map[string]*delivery.Preview, found []candidate, tally map[string]canonical.Tally, count bool) ([]canonical.ReplayOrder, error) {
	reached := map[string][]int64{}
	var orders []canonical.ReplayOrder
	for _, c := range found {
		dests := w.job.Destinations
		if c.dest != "" {
			dests = []string{c.dest}
		}
		var whole []string
		met := false
		for _, d := range dests {
			if reached[d] == nil {
				at, err := w.reached(ctx, d, w.Topics.Events)
				if err != nil {
					return nil, err
				}
				reached[d] = at
			}
			rows, meant, ok, err := w.foresee(ctx, previews[d], d, c, reached[d])
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			met = true
			w.count(tally, d, c.event.Key(), rows)
			switch parts, asked := ordered(rows, meant); {
			case !asked:
			case parts == nil:
				whole = append(whole, d)
			default:
				orders = append(orders, w.orderOf(c.event, []string{d}, parts))
			}
		}
		if len(whole) > 0 {
			orders = append(orders, w.orderOf(c.event, whole, nil))
		}
		if met && count {
			w.job.Events++
		}
	}
	return orders, nil
}

func (w *worker) orderOf(e canonical.Event, dests, parts []string) canonical.ReplayOrder {
	return canonical.ReplayOrder{ID: w.job.ID, Job: w.job.ID, Low: true, Event: e, Destinations: dests, Parts: parts,
		Force: w.job.Force, Reason: w.job.Reason, Who: w.job.Who, At: time.Now().UTC()}
}

// foresee asks one lane about the parts that the job means, nil for all; false: it does
// not mean the event there.
func (w *worker) foresee(ctx context.Context, p *delivery.Preview, dest string, c candidate, reached []int64) (rows []delivery.Foreseen, meant []string, ok bool, err error) {
	states, err := w.Replay.Lanes[dest].State(c.event.Key())
	if err != nil {
		return nil, nil, false, err
	}
	if meant = c.parts; meant == nil {
		if meant, ok = inStates(states, w.job.Selection.States); !ok {
			return nil, nil, false, nil
		}
	}
	if meant != nil && slices.ContainsFunc(states, func(d canonical.Delivery) bool { return d.Part == "" && d.State == canonical.StateParked }) {
		meant = nil // it waits as a whole, and its wait ends with all of its parts
	}
	rows, err = p.Event(ctx, c.event, meant...)
	if err != nil {
		return nil, nil, false, fmt.Errorf("foresee event %s at %s: %w", c.event.ID, dest, err)
	}
	for i := range rows {
		if at := c.at; rows[i].Was == "" && at != nil && at.Partition < len(reached) && at.Offset >= max(reached[at.Partition], 0) {
			if rows[i].Class.Sends() { // the lane will come to it by itself
				rows[i].Class, rows[i].Ask = delivery.Pending, false
			}
		}
	}
	return rows, meant, true, nil
}

// ordered gives the parts to name in an order: nil for all of them; false where there is
// nothing to ask for.
func ordered(rows []delivery.Foreseen, meant []string) (parts []string, asked bool) {
	rest, whole := meant != nil, false
	for _, f := range rows {
		whole = whole || f.Whole && f.Was == canonical.StateParked // its wait ends with all of its parts
		switch {
		case f.Ask:
			parts = append(parts, f.Part)
		case f.Was == canonical.StateDead, f.Was == canonical.StateParked, f.Was == canonical.StateIntent, f.Class == delivery.Unbuildable:
			rest = true // it stays as it is
		}
	}
	if !rest || whole || slices.Contains(parts, "") {
		return nil, len(parts) > 0
	}
	return parts, len(parts) > 0
}

// count adds what was foreseen of one event at one destination.
func (w *worker) count(tally map[string]canonical.Tally, dest string, key canonical.EventKey, rows []delivery.Foreseen) {
	t, had := tally[dest]
	if !had {
		t = canonical.Tally{Classes: map[string]int{}, Reasons: map[string]int{}, Values: map[string]canonical.Money{}}
	}
	for _, f := range rows {
		class := string(f.Class)
		t.Classes[class]++
		if f.Reason != "" {
			t.Reasons[class+" "+f.Reason]++
		}
		if f.Ask && f.Value != nil {
			t.Values[f.Currency] += *f.Value
		}
		if w.job.State == canonical.JobPreviewing && w.samples(dest, class) < samplesEach {
			w.job.Samples = append(w.job.Samples, canonical.JobSample{Destination: dest, Event: key, Part: f.Part, Class: class, Reason: f.Reason})
		}
	}
	tally[dest] = t
}

func (w *worker) samples(dest, class string) (n int) {
	for _, s := range w.job.Samples {
		if s.Destination == dest && s.Class == class {
			n++
		}
	}
	return n
}

// outcome counts what became of what the job asked for, from the ledger.
func (w *worker) outcome(context.Context) (map[string]map[string]int, error) {
	out := map[string]map[string]int{}
	for _, d := range w.job.Destinations {
		counts := map[string]int{}
		count := func(_ canonical.EventKey, parts []canonical.Delivery) {
			for _, p := range parts {
				if p.ReplayID == w.job.ID && p.State != "" {
					counts[strings.TrimSpace(string(p.State)+" "+p.Reason)]++
				}
			}
		}
		lane := w.Replay.Lanes[d]
		if w.all {
			for key := range w.asked {
				parts, err := lane.State(key)
				if err != nil {
					return nil, err
				}
				count(key, parts)
			}
		} else if err := lane.Each(count); err != nil {
			return nil, err
		}
		out[d] = counts
	}
	return out, nil
}
