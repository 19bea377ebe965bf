package hubspot

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"tributary/destinations"
)

// The waits where HubSpot names none.
const (
	windowWait = 10 * time.Second // the ten-second window
	searchWait = time.Second
	dailyWait  = time.Hour // until the account's midnight, which we do not know: asked again hourly
	lockWait   = 2 * time.Second
	movingWait = time.Hour
)

// An answer is a batch envelope or an error body; every field may be missing.
type answer struct {
	Results   []result `json:"results"`
	NumErrors int      `json:"numErrors"`
	Errors    []fault  `json:"errors"`
	Policy    string   `json:"policyName"`
	Trace     string   `json:"correlationId"`
	Message   string   `json:"message"`
	Category  string   `json:"category"`
	Context   context  `json:"context"`
}

// A fault is one entry of errors: of some rows, or details of a refusal.
type fault struct {
	Code     string  `json:"code"`
	Category string  `json:"category"`
	Message  string  `json:"message"`
	Context  context `json:"context"`
}

type context struct {
	Trace         texts `json:"objectWriteTraceId"`
	IDs           texts `json:"ids"`
	ID            texts `json:"id"`
	PropertyNames texts `json:"propertyName"`
	Scopes        texts `json:"requiredGranularScopes"`
}

// Classify goes by status first, category second, message never. On success each row must
// be found in the answer.
func (d destination) Classify(batch []destinations.Item, r destinations.Response) []destinations.Outcome {
	if len(batch) == 0 {
		return nil
	}
	var a answer
	read := destinations.ReadJSON(r.Body, &a)
	if !read {
		a = answer{}
	}
	o := destinations.Outcome{Detail: destinations.VendorWords(a.Message), TraceID: r.Header.Get("X-Hubspot-Correlation-Id")}
	if o.TraceID == "" {
		o.TraceID = a.Trace
	}
	switch {
	case r.Status == http.StatusNoContent && batch[0].Part.Batch == asBehavior:
		o.Verdict, o.Reason = destinations.Delivered, "accepted"
		return destinations.All(batch, o)
	case r.Status/100 == 2 && read && batch[0].Part.Batch != asBehavior:
		return eachRow(batch, a, o)
	case r.Status/100 == 2:
		o.Verdict, o.Reason, o.Unknown = destinations.Retry, "unreadable", true
		o.Detail = "an answer of success that names no rows"
		return destinations.All(batch, o)
	}
	return refused(batch, r, a, o)
}

// refused reads an answer that holds for the whole batch.
func refused(batch []destinations.Item, r destinations.Response, a answer, o destinations.Outcome) []destinations.Outcome {
	all := func(v destinations.Verdict, reason string) []destinations.Outcome {
		o.Verdict, o.Reason = v, reason
		return destinations.All(batch, o)
	}
	after := destinations.RetryAfter(r.Header)
	switch s := r.Status; {
	case s == http.StatusBadRequest && len(missingProperties(a)) > 0:
		// Only configuration names properties, so no event of this kind could be written.
		o.Detail = "HubSpot has no property " + destinations.VendorWords(strings.Join(missingProperties(a), ", "))
		return all(destinations.Halt, "property_missing")
	case s == http.StatusUnauthorized:
		return all(destinations.Halt, "unauthorized")
	case s == http.StatusForbidden:
		if scopes := missingScopes(a); len(scopes) > 0 {
			o.Detail = "the token lacks the scopes " + destinations.VendorWords(strings.Join(scopes, ", "))
		}
		return all(destinations.Halt, "missing_scopes")
	case s == http.StatusNotFound && a.Category != "OBJECT_NOT_FOUND", s == http.StatusMethodNotAllowed:
		return all(destinations.Halt, "no_such_address")
	case s == http.StatusNotFound:
		o.Reason = "not_found"
		return destinations.Refused(batch, o)
	case s == http.StatusConflict && len(batch) == 1:
		o.After = max(after, lockWait) // somebody else made the contact meanwhile: the next upsert updates it
		return all(destinations.Retry, "conflict")
	case s == http.StatusConflict:
		o.Reason = "conflict"
		return destinations.Refused(batch, o)
	case s == http.StatusLocked:
		o.After = max(after, lockWait)
		return all(destinations.Retry, "locked")
	case s == http.StatusTooManyRequests:
		o.After = wait(a, after)
		return all(destinations.Retry, "throttled")
	case s == 477:
		o.After = after
		if after == 0 {
			o.After = movingWait
		}
		return all(destinations.Retry, "moving")
	case s == 525, s == 526:
		return all(destinations.Halt, "tls")
	case s/100 == 5, s == http.StatusRequestTimeout:
		o.Unknown, o.After = true, after
		return all(destinations.Retry, "busy")
	case s == http.StatusRequestEntityTooLarge, s == http.StatusRequestURITooLong:
		o.Reason = "too_large"
		return destinations.Refused(batch, o)
	case s/100 == 4:
		o.Reason = "invalid"
		return destinations.Refused(batch, o)
	}
	return all(destinations.Retry, "unexpected_status")
}

func wait(a answer, after time.Duration) time.Duration {
	switch {
	case after > 0:
		return after
	case a.Policy == "DAILY":
		return dailyWait
	case a.Policy == "" && a.Category == "RATE_LIMITS":
		return searchWait
	}
	return windowWait
}

func missingProperties(a answer) []string {
	var names []string
	for _, f := range a.Errors {
		if f.Code == "PROPERTY_DOESNT_EXIST" {
			names = append(names, f.Context.PropertyNames...)
			if len(f.Context.PropertyNames) == 0 {
				names = append(names, "of the default map")
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func missingScopes(a answer) []string {
	scopes := slices.Clone([]string(a.Context.Scopes))
	for _, f := range a.Errors {
		scopes = append(scopes, f.Context.Scopes...)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}
