package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/mappings"
)

// A MapDiff compares two mappings by what recorded receipts come to under each.
type MapDiff struct {
	Recorded
	Judge
	// Show makes a body fit to be shown: without what could name a person. Nil: bodies are not shown.
	Show func(body []byte, e *canonical.Event, routes ...canonical.Route) []Field
}

// A MapDiffAsk says which mappings, and over which receipts.
type MapDiffAsk struct {
	Old, New     *mappings.Mapping
	Since, Until time.Time // of received_at; a zero Until is now
	Samples      int       // of each kind of change, at most
}

// Run compares. Receipts are read and judged on all cores and compared in the order of their
// receipt; tell hears of the progress now and then.
func (d *MapDiff) Run(ctx context.Context, ask MapDiffAsk, tell func(DiffProgress)) (MapDiffResult, error) {
	plan, err := d.plan(ctx, ask.Since, ask.Until)
	if err != nil {
		return MapDiffResult{}, err
	}
	c := newComparison(d, ask)
	judge := d.Judge
	judge.Heard = d.heard
	type chunk struct {
		pasts  []Past
		judged [][]Judged
	}
	g, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	queue := make(chan chan chunk, workers)
	var read, gone int64
	g.Go(func() error {
		defer close(queue)
		judging, within := errgroup.WithContext(ctx)
		judging.SetLimit(workers)
		var err error
		read, gone, err = d.walk(within, plan, func(receipts []canonical.Receipt) error {
			done := make(chan chunk, 1)
			select {
			case queue <- done:
			case <-within.Done():
				return within.Err()
			}
			judging.Go(func() error {
				defer close(done)
				pasts, err := d.pasts(within, plan, receipts)
				if err != nil {
					return err
				}
				out := chunk{pasts: pasts, judged: make([][]Judged, len(pasts))}
				for i, p := range pasts {
					out.judged[i] = judge.Judge(p, ask.Since.UnixNano(), ask.Old, ask.New)
				}
				done <- out
				return nil
			})
			return nil
		})
		if failed := judging.Wait(); failed != nil {
			return failed
		}
		return err
	})
	g.Go(func() error {
		told, seen := time.Now(), int64(0)
		for done := range queue {
			out, whole := <-done
			if !whole { // judging failed, and says why
				return nil
			}
			for i := range out.pasts {
				c.compare(&out.pasts[i], &out.judged[i][0], &out.judged[i][1])
			}
			seen += int64(len(out.pasts))
			if now := time.Now(); tell != nil && now.Sub(told) > 500*time.Millisecond {
				told = now
				tell(DiffProgress{Read: seen, Total: max(plan.total, seen)})
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return MapDiffResult{}, err
	}
	_ = read
	return c.result(gone), nil
}

// A comparison is the sequential half of a diff: what is sent once is sent for the first.
type comparison struct {
	d      *MapDiff
	ask    MapDiffAsk
	sides  [2]side
	rows   map[rowKey]*DiffRow
	out    MapDiffResult
	shown  map[sampleKey]int
	orders map[string]int // rank of a name, for the order of rows
}

type rowKey struct{ destination, event string }
type sampleKey struct {
	rowKey
	change string
}

// A side is one mapping's sequence.
type side struct {
	mapping *mappings.Mapping
	course  *delivery.Course
	seen    map[uint64]struct{} // events
	names   map[string]int
	fates   map[string]int
}

func newComparison(d *MapDiff, ask MapDiffAsk) *comparison {
	c := &comparison{d: d, ask: ask, rows: map[rowKey]*DiffRow{}, shown: map[sampleKey]int{}, orders: map[string]int{}}
	for i, m := range []*mappings.Mapping{ask.Old, ask.New} {
		c.sides[i] = side{mapping: m, course: delivery.NewCourse(), seen: map[uint64]struct{}{}, names: map[string]int{}, fates: map[string]int{}}
		for _, name := range m.Vocabulary() {
			c.orders[name] = max(c.orders[name], m.Rank(name))
		}
	}
	return c
}

// outcome is what one side does with a part: sent, or why not.
type outcome struct {
	name   string
	part   *delivery.TriedPart // nil: the event comes to no part
	reason string              // "" is sent
}

// take goes on with one side's sequence and gives what it does, by destination and part.
func (s *side) take(trials []*delivery.Trial, j *Judged) [][]outcome {
	fate := string(j.Fate)
	if j.Reason != "" {
		fate += " " + j.Reason
	}
	if j.Event == nil {
		s.fates[fate]++
		return nil
	}
	h := fnv.New64a()
	fmt.Fprint(h, j.Event.Name, "\x00", j.Event.ID)
	if _, again := s.seen[h.Sum64()]; again || j.Copy {
		s.fates[string(canonical.FateObservation)]++
		return nil
	}
	s.seen[h.Sum64()] = struct{}{}
	s.fates[fate]++
	s.names[j.Event.Name]++
	s.course.Reach(j.Event)
	all := j.Tried
	if j.back = j.Back != nil && s.course.GoesBack(j.Event, j.nodes, j.before); j.back {
		all = j.Back
	}
	out := make([][]outcome, len(trials))
	for i, t := range trials {
		tried := &all[i]
		if tried.Reason != "" {
			out[i] = []outcome{{reason: tried.Reason}}
			continue
		}
		out[i] = make([]outcome, len(tried.Parts))
		for k := range tried.Parts {
			p := &tried.Parts[k]
			o := outcome{name: p.Name, part: p, reason: p.Reason}
			if o.reason == "" && !p.Slotless {
				o.reason = s.course.Take(t.Name, p.Name, j.Event, j.nodes, j.before)
			}
			out[i][k] = o
		}
	}
	return out
}

// compare holds one receipt under both mappings against each other.
func (c *comparison) compare(p *Past, before, after *Judged) {
	c.out.Receipts++
	if before.Guessed || after.Guessed {
		c.out.Guessed++
	}
	was, is := c.sides[0].take(c.d.Trials, before), c.sides[1].take(c.d.Trials, after)
	if was == nil && is == nil {
		return
	}
	for i, t := range c.d.Trials {
		switch {
		case was == nil || is == nil || before.Event.Name != after.Event.Name:
			if was != nil {
				c.alone(p, t, before, was[i], false, c.why(after, is))
			}
			if is != nil {
				c.alone(p, t, after, is[i], true, c.why(before, was))
			}
		default:
			c.both(p, t, before, after, was[i], is[i])
		}
	}
}

// why says in a word what a receipt is under the mapping that does not send the event.
func (c *comparison) why(j *Judged, taken [][]outcome) string {
	switch {
	case j.Event == nil && j.Reason != "":
		return j.Reason
	case j.Event == nil:
		return string(j.Fate)
	case taken == nil:
		return string(canonical.FateObservation)
	}
	return "is " + j.Event.Name
}

func (c *comparison) row(t *delivery.Trial, event string) *DiffRow {
	k := rowKey{t.Name, event}
	r := c.rows[k]
	if r == nil {
		r = &DiffRow{Destination: t.Name, Event: event, ValueBefore: map[string]canonical.Money{}, ValueAfter: map[string]canonical.Money{}, Reasons: map[string]int{}}
		c.rows[k] = r
	}
	return r
}

// alone counts what only one mapping gives this name.
func (c *comparison) alone(p *Past, t *delivery.Trial, j *Judged, parts []outcome, isNew bool, why string) {
	r := c.row(t, j.Event.Name)
	for _, o := range parts {
		if o.reason != "" {
			continue // not sent, and under the other mapping it is not even there
		}
		s := DiffSample{Part: o.name, By: p.Receipt.ID, Reason: why, Rule: j.Event.Rule}
		if isNew {
			r.After++
			r.Newly++
			r.Reasons[why+" → sent"]++
			add(r.ValueAfter, o.part)
			s.Change, s.New = "newly_sent", j.Event.ID
			c.sample(r, s, t, nil, j)
		} else {
			r.Before++
			r.NoLonger++
			r.Reasons["sent → "+why]++
			add(r.ValueBefore, o.part)
			s.Change, s.Old = "no_longer_sent", j.Event.ID
			c.sample(r, s, t, j, nil)
		}
	}
}

// both compares what an event of one name comes to, part by part.
func (c *comparison) both(p *Past, t *delivery.Trial, before, after *Judged, was, is []outcome) {
	r := c.row(t, before.Event.Name)
	for i := range len(was) + len(is) {
		var name string
		if i < len(was) {
			name = was[i].name
		} else if name = is[i-len(was)].name; named(was, name) != nil {
			continue
		}
		x, y := part(was, name), part(is, name)
		s := DiffSample{Part: name, By: p.Receipt.ID, Old: before.Event.ID, New: after.Event.ID, Rule: after.Event.Rule}
		if x.reason == "" {
			r.Before++
			add(r.ValueBefore, x.part)
		}
		if y.reason == "" {
			r.After++
			add(r.ValueAfter, y.part)
		}
		switch {
		case x.reason == "" && y.reason == "" && s.Old != s.New:
			r.ChangedID++
			s.Change = "changed_id"
			c.sample(r, s, t, before, after)
		case x.reason == "" && y.reason == "" && x.part.BodyHash == y.part.BodyHash:
			r.Same++
		case x.reason == "" && y.reason == "":
			r.ChangedBody++
			s.Change = "changed_body"
			c.sample(r, s, t, before, after)
		case x.reason == "" && name != "":
			r.NoLonger++
			r.Reasons["sent → "+y.reason]++
			s.Change, s.Reason, s.New = "no_longer_sent", y.reason, ""
			c.sample(r, s, t, before, nil)
		case y.reason == "" && name != "":
			r.Newly++
			r.Reasons[x.reason+" → sent"]++
			s.Change, s.Reason, s.Old = "newly_sent", x.reason, ""
			c.sample(r, s, t, nil, after)
		case x.reason != y.reason && (name != "" || len(was)+len(is) == 2 && is[0].name == was[0].name):
			r.Reasons[x.reason+" → "+y.reason]++
		}
	}
}

// part gives what became of a part: of an event that came to none, what became of it whole.
func part(of []outcome, name string) outcome {
	if o := cmp.Or(named(of, name), named(of, "")); o != nil {
		return *o
	}
	return outcome{reason: canonical.ReasonNotConfigured}
}

func named(of []outcome, name string) *outcome {
	for i := range of {
		if of[i].name == name {
			return &of[i]
		}
	}
	return nil
}

func add(to map[string]canonical.Money, p *delivery.TriedPart) {
	if p.Value != nil {
		to[p.Currency] += *p.Value
	}
}

// sample keeps the first changes of each kind.
func (c *comparison) sample(r *DiffRow, s DiffSample, t *delivery.Trial, before, after *Judged) {
	k := sampleKey{rowKey{r.Destination, r.Event}, s.Change}
	if c.shown[k] >= c.ask.Samples {
		return
	}
	c.shown[k]++
	if c.d.Show != nil {
		s.Fields = changes(c.fields(t, s.Part, 0, before), c.fields(t, s.Part, 1, after))
	}
	r.Samples = append(r.Samples, s)
}

func (c *comparison) fields(t *delivery.Trial, part string, which int, j *Judged) []Field {
	if j == nil {
		return nil
	}
	e := j.Event
	if j.back {
		e = recycled(e)
	}
	e, k := t.Carried(e, j.Known)
	route, _ := c.d.Routes(c.sides[which].mapping, t.Name, e)
	return c.d.Show(t.Body(e, k, route, part), e, route)
}

func changes(old, now []Field) []FieldChange {
	var out []FieldChange
	is := make(map[string]Field, len(now))
	for _, f := range now {
		is[f.Path] = f
	}
	had := make(map[string]bool, len(old))
	for _, f := range old {
		had[f.Path] = true
		if v, there := is[f.Path]; !there || v.Exact != f.Exact {
			if v.Value == f.Value {
				v.Value = "another"
			}
			out = append(out, FieldChange{Path: f.Path, Old: f.Value, New: v.Value})
		}
	}
	for _, f := range now {
		if !had[f.Path] {
			out = append(out, FieldChange{Path: f.Path, New: f.Value})
		}
	}
	return out
}

func (c *comparison) result(gone int64) MapDiffResult {
	out := c.out
	out.Old, out.New, out.Since, out.Until, out.Gone, out.Empty = c.ask.Old.Version(), c.ask.New.Version(), c.ask.Since, c.ask.Until, gone, true
	out.Rows, out.Names, out.Fates = []DiffRow{}, both(c.sides[0].names, c.sides[1].names), both(c.sides[0].fates, c.sides[1].fates)
	for _, r := range c.rows {
		if r.Before+r.After > 0 || r.Changed() {
			out.Rows = append(out.Rows, *r)
		}
		out.Empty = out.Empty && !r.Changed()
	}
	for _, n := range append(slices.Clone(out.Names), out.Fates...) {
		out.Empty = out.Empty && n.Before == n.After
	}
	out.Meanings = meaningsOf(c.ask.Old.Meanings(), c.ask.New.Meanings())
	out.Empty = out.Empty && len(out.Meanings) == 0
	rank := func(name string) int { // the funnel first
		if at := c.orders[name]; at > 0 {
			return at
		}
		return 1 << 20
	}
	slices.SortFunc(out.Rows, func(x, y DiffRow) int {
		return cmp.Or(cmp.Compare(x.Destination, y.Destination), cmp.Compare(rank(x.Event), rank(y.Event)), cmp.Compare(x.Event, y.Event))
	})
	slices.SortStableFunc(out.Names, func(x, y DiffName) int { return cmp.Compare(rank(x.Name), rank(y.Name)) })
	return out
}

// meaningsOf lists the names of two mappings that stand for different things. A name that only
// the old one has keeps its meaning in reports.
func meaningsOf(before, after map[string]string) []DiffMeaning {
	var out []DiffMeaning
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if was, had := before[name]; had && was != after[name] {
			out = append(out, DiffMeaning{Name: name, Before: was, After: after[name]})
		}
	}
	return out
}

func both(before, after map[string]int) []DiffName {
	all := maps.Clone(before)
	maps.Copy(all, after)
	out := []DiffName{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, DiffName{Name: name, Before: before[name], After: after[name]})
	}
	return out
}
