// Package delivery moves events to one destination: the same way for every vendor.
// A Lane asks the ledger before every send, batches, paces, backs off, splits, parks
// and halts; everything it decides is a record in the topic deliveries, of which the
// Ledger is a fold. It imports no adapter.
package delivery

import (
	"context"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// A Mode says how far a destination goes.
type Mode string

// The modes. Only live takes slots and is counted as sent; test uses the vendor's test
// facility; dry_run builds, keeps the body and suppresses; paused reads and sends nothing;
// disabled reads and suppresses.
const (
	DryRun   Mode = "dry_run"
	Test     Mode = "test"
	Live     Mode = "live"
	Paused   Mode = "paused"
	Disabled Mode = "disabled"
)

// A Policy holds the settings of a lane that are not the vendor's.
type Policy struct {
	AwaitFor   time.Duration // parked awaiting_identity at most this long after receipt (24 h)
	RetryFor   time.Duration // retried at most this long after the first try (72 h)
	BackoffMin time.Duration // first back-off, before jitter (1 s)
	BackoffMax time.Duration // longest (15 min)
	Horizon    time.Duration // age beyond which the ledger is not trusted to remember (180 days)
	Poll       int           // records taken at a time (500)
	// Contact says whose identifiers an event about a deal carries; "" is latest_click.
	Contact destinations.ContactRule
}

// DefaultPolicy is what the comments of Policy say.
func DefaultPolicy() Policy {
	return Policy{
		AwaitFor: 24 * time.Hour, RetryFor: 72 * time.Hour,
		BackoffMin: time.Second, BackoffMax: 15 * time.Minute,
		Horizon: 180 * 24 * time.Hour, Poll: 500,
	}
}

// People is what a lane asks of the identity graph.
type People interface {
	Offset() int64
	Wait(ctx context.Context, offset int64) error
	Known(e canonical.Event) canonical.Known
	Counted(n canonical.NodeID, at time.Time) canonical.Counted
	History(nodes ...canonical.NodeID) []canonical.StageReached
	Touched(from, to int64) []canonical.NodeID
}

// Routes gives the mapping's line for an event at this destination, its condition and
// expressions evaluated. It changes nothing of the event and answers the same until the mapping changes.
type Routes func(e *canonical.Event) (canonical.Route, bool)
