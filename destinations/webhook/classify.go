package webhook

import (
	"net/http"

	"tributary/destinations"
)

// Classify goes by the status alone: a receiver owes us no body.
func (d destination) Classify(batch []destinations.Item, r destinations.Response) []destinations.Outcome {
	all := func(v destinations.Verdict, reason string) []destinations.Outcome {
		return destinations.All(batch, destinations.Outcome{Verdict: v, Reason: reason, After: destinations.RetryAfter(r.Header), Unknown: r.Status/100 == 5})
	}
	switch s := r.Status; {
	case s/100 == 2:
		return destinations.All(batch, destinations.Outcome{Verdict: destinations.Delivered, Reason: "accepted"})
	case s == http.StatusTooManyRequests:
		return all(destinations.Retry, "throttled")
	case s/100 == 5, s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusConflict, s == http.StatusLocked:
		return all(destinations.Retry, "busy")
	case s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusProxyAuthRequired:
		return all(destinations.Halt, "unauthorized")
	case s == http.StatusNotFound, s == http.StatusMethodNotAllowed, s == http.StatusGone:
		return all(destinations.Halt, "no_such_address")
	case s/100 == 3: // redirects are not followed: the signature was meant for this address
		return all(destinations.Halt, "redirected")
	case s/100 == 4:
		return destinations.Refused(batch, destinations.Outcome{Reason: "refused"})
	}
	return all(destinations.Retry, "unexpected_status")
}
