package pipeline

import (
	"context"

	"tributary/internal/eventlog"
)

// A Lag is how many records a stage has still to read of a topic.
type Lag struct {
	Group   string `json:"group"`
	Topic   string `json:"topic"`
	Records int64  `json:"records"`
}

// Lags asks how far every group is behind the end of what it reads. It costs a few
// questions to the broker, whatever the log holds.
func Lags(ctx context.Context, log eventlog.Log, groups []eventlog.Group) ([]Lag, error) {
	var out []Lag
	for _, g := range groups {
		for _, topic := range g.Topics {
			// Committed before the end: a commit that comes meanwhile makes the lag smaller, not negative.
			committed, err := log.Committed(ctx, g.Name, topic)
			if err != nil {
				return nil, err
			}
			first, end, err := log.Bounds(ctx, topic)
			if err != nil {
				return nil, err
			}
			l := Lag{Group: g.Name, Topic: topic}
			for p := range end {
				from := first[p]
				if p < len(committed) {
					from = max(from, committed[p])
				}
				l.Records += end[p] - from
			}
			out = append(out, l)
		}
	}
	return out, nil
}
