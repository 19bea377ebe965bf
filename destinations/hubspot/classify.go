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
	searchWait = time.Second      // also custom events': both are counted by the second
	dailyWait  = time.Hour        // the account's midnight is not known: asked again hourly
	lockWait   = 2 * time.Second
	movingWait = time.Hour
)

// An answer is a batch envelope, one record, or an error body; every field may be missing.
type answer struct {
	result
	Results   []result `json:"results"`
	NumErrors int      `json:"numErrors"`
	Errors    []fault  `json:"errors"`
	Policy    string   `json:"policyName"`
	Trace     string   `json:"correlationId"`
	Message   string   `json:"message"`
	Category  string   `json:"category"`
	Context   context  `json:"context"`
	// Validation is what answers from before v3 hold (sheet §6.4).
	Validation []struct {
		Code text `json:"error"`
		Name text `json:"name"`
	} `json:"validationResults"`
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
	Existing      texts `json:"existingId"`
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
		o.TraceID = destinations.VendorWords(a.Trace)
	}
	behavior := batch[0].Part.Batch == asBehavior
	switch {
	case r.Status == http.StatusNoContent && behavior:
		o.Verdict, o.Reason = destinations.Delivered, "accepted"
		return destinations.All(batch, o)
	case r.Status/100 == 2 && read && !behavior:
		return d.eachRow(batch, a, o)
	case r.Status/100 == 2:
		o.Verdict, o.Reason, o.Unknown = destinations.Retry, "unreadable", true
		o.Detail = "an answer of success that names no rows"
		return destinations.All(batch, o)
	}
	return d.refused(batch, r, a, o)
}

// refused reads an answer that holds for the whole batch.
func (d destination) refused(batch []destinations.Item, r destinations.Response, a answer, o destinations.Outcome) []destinations.Outcome {
	all := func(v destinations.Verdict, reason string) []destinations.Outcome {
		o.Verdict, o.Reason = v, reason
		return destinations.All(batch, o)
	}
	after := destinations.RetryAfter(r.Header)
	switch s := r.Status; {
	case s == http.StatusBadRequest && len(missingProperties(a)) > 0:
		return d.propertyMissing(batch, missingProperties(a), o)
	case s == http.StatusUnauthorized:
		return all(destinations.Halt, "unauthorized")
	case s == http.StatusForbidden:
		o.Detail = d.scopesWanted(a, o.Detail)
		return all(destinations.Halt, "missing_scopes")
	case s == http.StatusNotFound && a.Category != "OBJECT_NOT_FOUND", s == http.StatusMethodNotAllowed:
		return all(destinations.Halt, "no_such_address")
	case s == http.StatusNotFound:
		o.Reason = "not_found"
		return destinations.Refused(batch, o)
	case s == http.StatusConflict && len(batch) == 1 && takenOnce(batch[0]) && a.Category == "CONFLICT":
		return all(destinations.Delivered, "already_there") // the id is made of the event: nobody else has it
	case s == http.StatusConflict && len(batch) == 1:
		return []destinations.Outcome{conflict(batch[0], a.Context, o, max(after, lockWait))}
	case s == http.StatusConflict:
		o.Reason = "conflict"
		return destinations.Refused(batch, o)
	case s == http.StatusLocked:
		o.After = max(after, lockWait)
		return all(destinations.Retry, "locked")
	case s == http.StatusTooManyRequests:
		o.After = d.wait(batch[0], a, r.Header)
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

// takenOnce is true for entries whose id HubSpot takes once.
func takenOnce(it destinations.Item) bool {
	return it.Part.Batch == asTimeline || it.Part.Batch == asAppEvents
}

// conflict: somebody else made the record meanwhile, and the next upsert updates it. By a
// unique property it is another contact that has the address, which no repeat can mend.
func conflict(it destinations.Item, c context, o destinations.Outcome, after time.Duration) destinations.Outcome {
	o.Reason, o.Unknown = "conflict", false
	switch it.Part.Batch {
	case byKey, companyByKey:
		o.Verdict = destinations.Reject
		who := "another record"
		if len(c.Existing) > 0 && idShape.MatchString(c.Existing[0]) {
			who = "record " + c.Existing[0]
		}
		o.Detail = destinations.Clip(who+" has this e-mail address or key: merge the two in HubSpot, then retry; "+o.Detail, 300)
	case byEmail, byID, companyByID, dealByID:
		o.Verdict, o.After = destinations.Retry, after
	default:
		o.Verdict = destinations.Reject
	}
	return o
}

// propertyMissing: where the account's properties are known, the one that went away is left
// out as soon as they are learned anew; else nothing will work until somebody acts.
func (d destination) propertyMissing(batch []destinations.Item, names []string, o destinations.Outcome) []destinations.Outcome {
	o.Reason = "property_missing"
	o.Detail = "HubSpot has no property " + destinations.VendorWords(strings.Join(names, ", "))
	if _, read := d.schema.of(objectOf(batch[0].Part.Batch)); read {
		o.Verdict, o.Stale = destinations.Retry, true
		return destinations.All(batch, o)
	}
	o.Verdict = destinations.Halt
	o.Detail = destinations.Clip(o.Detail+": make it with tributary destinations setup hubspot, then resume", 300)
	return destinations.All(batch, o)
}

// wait is how long a refused caller keeps away.
func (d destination) wait(it destinations.Item, a answer, h http.Header) time.Duration {
	after := destinations.RetryAfter(h)
	switch {
	case after > 0:
		return after
	case a.Policy == "DAILY":
		if until := d.midnight(h); until > 0 {
			return until
		}
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
	for _, v := range a.Validation {
		if v.Code == "PROPERTY_DOESNT_EXIST" {
			names = append(names, string(v.Name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// scopesWanted names the scopes that a refusal asks for, and what else may be the matter.
func (d destination) scopesWanted(a answer, words string) string {
	scopes := missingScopes(a)
	if len(scopes) == 0 {
		return words
	}
	return destinations.Clip("the token lacks the scopes "+destinations.VendorWords(strings.Join(scopes, ", "))+hint(scopes), 300)
}

// hint says what a scope that cannot be had means for the configuration.
func hint(scopes []string) string {
	for _, s := range scopes {
		switch {
		case s == "timeline":
			return ": " + classicOnly + "; use an OAuth app's token (oauth:), or timeline: notes"
		case strings.Contains(s, "behavioral_events"):
			return ": custom events need an Enterprise account; grant them, or use timeline: notes"
		}
	}
	return ""
}

func missingScopes(a answer) []string {
	scopes := slices.Clone([]string(a.Context.Scopes))
	for _, f := range a.Errors {
		scopes = append(scopes, f.Context.Scopes...)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}
