package delivery

import (
	"cmp"
	"slices"
	"time"

	"tributary/canonical"
)

// A course of stages, as reports tell it of one deal or person, is read the same way here and in
// ClickHouse (r_transitions): a time of reporting gives way to the last true time, not later, at
// which the same stage was told; and a report that gives no stage of the source, where the name
// was told before, stands aside: it says that the stage was reached, and not when.
type course struct {
	stages []canonical.StageReached // in the order of time, without those that stand aside
	at     time.Time                // of the event that is judged
	aside  bool                     // it stands aside itself
}

// courseOf reads a history, which is in the order of time. The event that is judged stands in it
// under the id self, unless it was told of another object than the one it is counted under.
func courseOf(e canonical.Event, self canonical.EventID, history []canonical.StageReached) course {
	c := course{stages: history, at: e.OccurredAt}
	if !slices.ContainsFunc(history, func(h canonical.StageReached) bool { return h.Reported || h.Raw == "" }) {
		return c
	}
	told := slices.Clone(history)
	slices.SortStableFunc(told, func(x, y canonical.StageReached) int {
		return cmp.Or(x.At.Compare(y.At), boolean(x.Reported)-boolean(y.Reported), cmp.Compare(x.EventID, y.EventID))
	})
	type earlier struct {
		true time.Time
		any  bool
	}
	of := map[string]earlier{}
	c.stages = told[:0:0]
	for _, h := range told {
		was, self := of[h.Name], h.EventID == self && h.Name == e.Name
		aside := h.Raw == "" && was.any
		was.any = true
		if !h.Reported {
			was.true = h.At
		} else if !was.true.IsZero() {
			h.At = was.true
		}
		of[h.Name] = was
		if self {
			c.at, c.aside = h.At, aside
		}
		if !aside {
			c.stages = append(c.stages, h)
		}
	}
	slices.SortStableFunc(c.stages, inTime)
	return c
}

// inTime is the order of a history.
func inTime(x, y canonical.StageReached) int {
	return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.EventID, y.EventID), cmp.Compare(x.Rank, y.Rank), cmp.Compare(x.Name, y.Name))
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// reason says why an event is not a first reach of its stage: recycled when the stage it came
// from ranks higher, repeat when another stage stood between the two, else re_report. holder is
// nil when the slot is free; then only recycled can come out.
func (c course) reason(e canonical.Event, holder *canonical.EventKey) string {
	if c.aside {
		if holder == nil {
			return ""
		}
		return canonical.ReasonReReport
	}
	var before *canonical.StageReached
	for i, h := range c.stages {
		if h.At.Before(c.at) && h.Name != e.Name {
			before = &c.stages[i]
		}
	}
	if before != nil && before.Rank > e.Rank {
		return canonical.ReasonRecycled
	}
	if holder == nil {
		return ""
	}
	var first time.Time
	for _, h := range c.stages {
		if h.EventID == holder.ID && h.Name == e.Name {
			first = h.At
		}
	}
	lo, hi := first, c.at
	if hi.Before(lo) {
		lo, hi = hi, lo
	}
	for _, h := range c.stages {
		if !first.IsZero() && h.Name != e.Name && h.At.After(lo) && h.At.Before(hi) {
			return canonical.ReasonRepeat
		}
	}
	return canonical.ReasonReReport
}

// stay lists the reports of one stay in a stage: those between the nearest other stages before
// and after the event's time.
func (c course) stay(name string) []canonical.EventID {
	var out []canonical.EventID
	for _, h := range c.stages {
		switch {
		case h.Name == name:
			out = append(out, h.EventID)
		case h.At.Before(c.at):
			out = out[:0]
		case h.At.After(c.at):
			return out
		}
	}
	return out
}
