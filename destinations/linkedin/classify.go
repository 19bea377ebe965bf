package linkedin

import (
	"net/http"
	"time"

	"tributary/destinations"
)

// throttleWait is where backing off begins; LinkedIn documents no Retry-After.
const throttleWait = time.Minute

// A problem is either of the two shapes that LinkedIn gives; every field may be missing.
type problem struct {
	Status      int    `json:"status"`
	ServiceCode int    `json:"serviceErrorCode"`
	Code        string `json:"code"`
	Message     string `json:"message"`
}

type answer struct {
	problem
	Elements []struct {
		problem
		Error *problem `json:"error"`
	} `json:"elements"`
}

// revoked is the service code of a token that its owner took back.
const revoked = 65601

// Classify goes by status and code; texts change without notice.
func (d destination) Classify(batch []destinations.Item, r destinations.Response) []destinations.Outcome {
	var a answer
	read := destinations.ReadJSON(r.Body, &a)
	if !read {
		a = answer{}
	}
	trace := r.Header.Get("X-Li-Uuid")
	switch {
	case r.Status == http.StatusCreated && len(batch) == 1 && len(a.Elements) == 0: // as for a request that is no batch
		return destinations.All(batch, destinations.Outcome{Verdict: destinations.Delivered, Reason: "accepted", TraceID: trace})
	case r.Status/100 == 2 && len(a.Elements) == len(batch):
		return eachElement(batch, r, a, trace)
	case r.Status/100 == 2:
		return destinations.All(batch, destinations.Outcome{
			Verdict: destinations.Retry, Unknown: true, Reason: "unreadable", TraceID: trace,
			Detail: "an answer of success that does not name every event",
		})
	}
	p := a.problem
	o := verdict(r.Status, p)
	o.TraceID = trace
	if o.Verdict == destinations.Retry {
		o.After = max(o.After, destinations.RetryAfter(r.Header))
	}
	if o.Verdict == destinations.Reject {
		return destinations.Refused(batch, o)
	}
	return destinations.All(batch, o)
}

func eachElement(batch []destinations.Item, r destinations.Response, a answer, trace string) []destinations.Outcome {
	out := make([]destinations.Outcome, len(batch))
	for i, el := range a.Elements {
		p := el.problem
		if el.Error != nil {
			p = *el.Error
		}
		switch status := el.Status; {
		case status/100 == 2 && el.Error == nil:
			out[i] = destinations.Outcome{Verdict: destinations.Delivered, Reason: "accepted"}
		case status/100 == 2 || status == 0:
			out[i] = destinations.Outcome{Verdict: destinations.Retry, Unknown: true, Reason: "unreadable", Detail: destinations.VendorWords(p.Message)}
		default:
			if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
				status = http.StatusBadRequest // of one element: not the address, but what it names
			}
			out[i] = verdict(status, p)
			if out[i].Verdict == destinations.Retry {
				out[i].After = max(out[i].After, destinations.RetryAfter(r.Header))
			}
		}
		out[i].TraceID = trace
	}
	return out
}

// verdict reads a status that is not 2xx, of a request or of one element. Reject stands
// for "not as it is": of a batch, it is to be split.
func verdict(status int, p problem) destinations.Outcome {
	o := destinations.Outcome{Verdict: destinations.Halt, Detail: destinations.VendorWords(p.Message)}
	switch s := status; {
	case s == http.StatusUnauthorized && (p.ServiceCode == revoked || p.Code == "REVOKED_ACCESS_TOKEN"):
		o.Reason = "revoked"
	case s == http.StatusUnauthorized:
		o.Reason = "unauthorized"
	case s == http.StatusForbidden: // an unknown rule, or no role on the ad account; the text is misleading
		o.Reason = "forbidden"
	case s == http.StatusUpgradeRequired:
		o.Reason = "version_retired"
	case s == http.StatusBadRequest && p.Code == "VERSION_MISSING":
		o.Reason = "version_missing"
	case s == http.StatusNotFound, s == http.StatusMethodNotAllowed: // the address itself is wrong
		o.Reason = "no_such_address"
	case s == http.StatusTooManyRequests:
		o.Verdict, o.Reason, o.After = destinations.Retry, "throttled", throttleWait
	case s/100 == 5, s == http.StatusRequestTimeout:
		o.Verdict, o.Reason, o.Unknown = destinations.Retry, "busy", true
	case s == http.StatusUnprocessableEntity:
		o.Verdict, o.Reason = destinations.Reject, "schema"
	case s == http.StatusRequestEntityTooLarge:
		o.Verdict, o.Reason = destinations.Reject, "too_large"
	case s/100 == 4:
		o.Verdict, o.Reason = destinations.Reject, "refused"
	default:
		o.Verdict, o.Reason = destinations.Retry, "unexpected_status"
	}
	return o
}
