package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"tributary/destinations"
	"tributary/internal/budget"
)

// learnEvery is how often a destination looks again at the account it writes to.
const learnEvery = time.Hour

// A learnt is what a destination found out about its account.
type learnt struct {
	adapter  destinations.Destination // nil: nothing yet
	findings []destinations.Finding
	failed   string // why the last try failed; "" when it did not
}

// Adapter is the destination with what it learnt of its account.
func (l *Lane) Adapter() destinations.Destination {
	if k := l.learnt.Load(); k != nil && k.adapter != nil {
		return k.adapter
	}
	return l.Destination
}

// Findings is what was noticed in the account when it was last looked at.
func (l *Lane) Findings() []destinations.Finding {
	if k := l.learnt.Load(); k != nil {
		return k.findings
	}
	return nil
}

// learnFailed says why the account could not be looked at the last time; "" when it could.
func (l *Lane) learnFailed() string {
	if k := l.learnt.Load(); k != nil {
		return k.failed
	}
	return ""
}

// learn lets a destination that must know its account look at it: before the first request,
// once an hour, and when it is resumed. ready is false while it knows nothing: the lane then
// waits as for a vendor that is down. It is asked between cycles only, so that a batch is
// built and read by one adapter. A destination that sends nothing learns nothing.
func (r *run) learn(ctx context.Context, fresh bool) (ready bool, err error) {
	learner, ok := r.Destination.(destinations.Learner)
	if mode := r.mode(); !ok || mode != Live && mode != Test {
		return true, nil
	}
	if !fresh && time.Now().Before(r.learnAt) {
		return true, nil
	}
	status := 0
	adapter, findings, err := learner.Learn(ctx, func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
		answer, err := r.call(ctx, budget.Deliver, q)
		status = answer.Status
		return answer, err
	})
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err == nil {
		if r.learnFails > 0 {
			r.closeCircuit()
		}
		r.learnFails, r.learnAt = 0, time.Now().Add(learnEvery)
		r.learnt.Store(&learnt{adapter: adapter, findings: findings})
		return true, nil
	}
	return r.notLearnt(ctx, err, status)
}

// notLearnt keeps what was known and says when to look again.
func (r *run) notLearnt(ctx context.Context, err error, status int) (ready bool, _ error) {
	why := "looking at the vendor account: " + destinations.VendorWords(err.Error())
	known := learnt{failed: why}
	if k := r.learnt.Load(); k != nil {
		known.adapter, known.findings = k.adapter, k.findings
	}
	r.learnt.Store(&known)
	r.learnFails++
	r.learnAt = time.Now().Add(backoff(r.Policy, r.learnFails, rand.Float64()))
	r.Logger.Warn("the vendor account could not be looked at", "destination", r.Name, "error", why)
	var c *NoCredential
	if known.adapter == nil { // the circuit says when; nothing is sent before it knows
		r.learnAt = time.Time{}
	}
	switch {
	case status == http.StatusUnauthorized, errors.As(err, &c) && c.Halt:
		return false, r.halt(ctx, "unauthorized: "+why)
	case known.adapter != nil:
		return true, nil
	case c != nil:
		r.trip(why, c.After)
	default:
		r.trip(why, 0)
	}
	return false, nil
}
