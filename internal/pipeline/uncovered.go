package pipeline

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tributary/canonical"
	"tributary/mappings"
)

// Uncovered lists the stages that receipts received since then report and that no line of a mapping
// names, the most frequent first, at most limit. Each receipt is read as it was recorded, by the
// mapping that is asked about, whatever was live then.
func (d *MapDiff) Uncovered(ctx context.Context, m *mappings.Mapping, since time.Time, limit int) ([]mappings.Seen, error) {
	plan, err := d.plan(ctx, since, time.Time{})
	if err != nil {
		return nil, err
	}
	all := map[mappings.Seen]mappings.Seen{}
	_, _, err = d.walk(ctx, plan, func(receipts []canonical.Receipt) error {
		for _, rc := range receipts {
			report, unusable := d.read(rc, m, d.Settings(rc.Source))
			if unusable != "" {
				continue
			}
			seen, is := m.Uncovered(report, rc)
			if !is {
				continue
			}
			key := seen
			key.Times, key.Last, key.StageLabel, key.PipelineLabel = 0, time.Time{}, "", ""
			before := all[key]
			if seen.Times += before.Times; before.Last.After(seen.Last) {
				seen.Last = before.Last
			}
			seen.StageLabel, seen.PipelineLabel = cmp.Or(seen.StageLabel, before.StageLabel), cmp.Or(seen.PipelineLabel, before.PipelineLabel)
			all[key] = seen
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	out := make([]mappings.Seen, 0, len(all))
	for _, s := range all {
		out = append(out, s)
	}
	slices.SortFunc(out, func(x, y mappings.Seen) int {
		return cmp.Or(cmp.Compare(y.Times, x.Times), cmp.Compare(x.Source, y.Source), cmp.Compare(x.Way, y.Way), cmp.Compare(x.Table, y.Table), cmp.Compare(x.Object, y.Object),
			cmp.Compare(x.Pipeline, y.Pipeline), cmp.Compare(x.Stage, y.Stage))
	})
	return out[:min(len(out), limit)], nil
}
