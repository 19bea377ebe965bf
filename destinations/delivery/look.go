package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/internal/budget"
)

// lookFirst asks the vendor for every item whose earlier attempt's answer never came and
// that is to be looked for, and gives back what is to be sent: what it surely does not have,
// and everything else.
func (r *run) lookFirst(ctx context.Context, sends []*send) ([]*send, error) {
	if !slices.ContainsFunc(sends, func(s *send) bool { return s.ambig }) {
		return sends, nil
	}
	var out []*send
	for i, s := range sends {
		if !s.ambig || r.ambiguity(s.item.Part) != destinations.Look {
			out = append(out, s)
			continue
		}
		if !r.sends() || time.Until(r.resumeAt()) > 0 {
			if err := r.putBack(ctx, sends[i:i+1]); err != nil {
				return nil, err
			}
			continue
		}
		goes, err := r.look(ctx, s)
		if err != nil {
			return nil, err
		}
		if goes {
			s.looked = true
			out = append(out, s)
		}
	}
	return out, nil
}

// look asks whether one item arrived, and records it unless it is to be sent. A question
// that fails leaves it parked: nothing is sent blindly.
func (r *run) look(ctx context.Context, s *send) (goes bool, err error) {
	seeker := r.Adapter().(destinations.Seeker)
	now := time.Now().UTC()
	q, err := seeker.Seek(s.item)
	if err != nil {
		return false, r.record(ctx, []canonical.Delivery{r.parked(s.untried(), canonical.ReasonAmbiguous, "it cannot be looked for: "+err.Error(), now, time.Time{})})
	}
	answer, err := r.call(ctx, budget.Deliver, q)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, errControlled):
		return false, r.putBack(ctx, []*send{s})
	}
	if err != nil || !answers(answer.Status) {
		return false, r.lookLater(ctx, s, answer, err)
	}
	r.closeCircuit()
	found, sure := seeker.Found(s.item, answer)
	var d canonical.Delivery
	switch {
	case found && sure:
		d = r.change(s.untried(), canonical.StateDelivered, "", "an earlier attempt's answer never came; it was found at the vendor", now)
		d.HTTPStatus = answer.Status
	case sure:
		return true, nil
	case s.asked: // whoever asked for it knows that it may have arrived
		return true, nil
	default:
		d = r.parked(s.untried(), canonical.ReasonAmbiguous, "an attempt's answer never came, and the vendor does not tell whether it arrived", now, time.Time{})
	}
	return false, r.record(ctx, []canonical.Delivery{d})
}

// answers is false for a status that says nothing of what was asked.
func answers(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return status/100 != 5
}

// lookLater parks an item that could not be asked for, and takes the vendor to be down.
func (r *run) lookLater(ctx context.Context, s *send, answer destinations.Response, failed error) error {
	why := http.StatusText(answer.Status)
	if failed != nil {
		why = unanswered(failed).Detail
	}
	var c *NoCredential
	halts := ""
	switch {
	case errors.As(failed, &c) && c.Halt:
		halts = "no_credential: " + why
	case failed == nil && answer.Status == http.StatusUnauthorized:
		halts = "unauthorized: looking whether an item arrived"
	}
	if halts != "" {
		if err := r.halt(ctx, halts); err != nil {
			return err
		}
	} else {
		r.trip("looking whether an item arrived: "+why, destinations.RetryAfter(answer.Header))
	}
	now := time.Now().UTC()
	s = s.untried()
	due := now.Add(max(destinations.RetryAfter(answer.Header), backoff(r.Policy, s.attempt, rand.Float64())))
	detail := "an attempt's answer never came, and the vendor could not be asked whether it arrived: " + why
	d := r.parked(s, canonical.ReasonRetry, detail, now, due)
	if s.firstTry != nil && due.Sub(r.triedSince(s)) > r.Policy.RetryFor {
		d = r.parked(s, canonical.ReasonAmbiguous, detail, now, time.Time{})
	}
	return r.record(ctx, []canonical.Delivery{d})
}

// call sends one request that is no delivery, paced like any other.
func (r *run) call(ctx context.Context, who budget.Class, q destinations.Request) (destinations.Response, error) {
	permit, err := r.begin(ctx, who, q.Class, 0)
	if err != nil {
		return destinations.Response{}, errors.Join(errControlled, err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	began := time.Now()
	answer, err := r.Send(ctx, q)
	r.Metrics.request(r.Name, answer.Status, time.Since(began))
	permit.Answered(r.headroom(answer))
	if answer.Status == http.StatusTooManyRequests {
		r.Budget.Refused(q.Class, "", destinations.RetryAfter(answer.Header))
	}
	return answer, err
}
