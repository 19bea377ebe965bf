package meta

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"tributary/destinations"
)

// The waits where Meta names none.
const (
	throttleWait = time.Minute
	blockWait    = 30 * time.Minute
)

// An answer is either of the two that Meta gives. Texts are localised: only numbers
// decide.
type answer struct {
	EventsReceived *int              `json:"events_received"`
	Messages       []json.RawMessage `json:"messages"`
	TraceID        string            `json:"fbtrace_id"`
	Error          *problem          `json:"error"`
}

type problem struct {
	Message     string `json:"message"`
	Code        int    `json:"code"`
	Subcode     int    `json:"error_subcode"`
	IsTransient bool   `json:"is_transient"`
	TraceID     string `json:"fbtrace_id"`
}

// Classify goes by error code and subcode first: Meta's statuses are not reliable.
func (d destination) Classify(batch []destinations.Item, r destinations.Response) []destinations.Outcome {
	var a answer
	read := destinations.ReadJSON(r.Body, &a)
	switch {
	case read && a.Error != nil && a.Error.Code != 0:
		return byCode(batch, r, *a.Error)
	case r.Status/100 == 2:
		return accepted(batch, a, read)
	default:
		return byStatus(batch, r, read && a.Error != nil)
	}
}

// accepted holds only where Meta counts as many events as were sent.
func accepted(batch []destinations.Item, a answer, read bool) []destinations.Outcome {
	o := destinations.Outcome{Verdict: destinations.Retry, Unknown: true, TraceID: a.TraceID}
	switch {
	case !read || a.EventsReceived == nil || a.Error != nil:
		o.Reason, o.Detail = "unreadable", "an answer of success that cannot be read"
	case *a.EventsReceived != len(batch):
		o.Reason, o.Detail = "count_differs", "Meta counted another number of events than were sent"
	default:
		o = destinations.Outcome{Verdict: destinations.Delivered, Reason: "accepted", TraceID: a.TraceID, Detail: messages(a.Messages)}
	}
	return destinations.All(batch, o)
}

func messages(list []json.RawMessage) string {
	var words []string
	for _, m := range list {
		words = append(words, string(m))
	}
	return destinations.VendorWords(strings.Join(words, " "))
}

// Codes by class, from Meta's error reference.
var (
	throttled = []int{4, 17, 32, 613, 80000, 80003, 80004, 80014}
	token     = []int{190, 102}
	forbidden = []int{3, 10, 104}
	transient = []int{1, 2, 341, 5000, 21009}
)

// subcodes of code 100 that have a known meaning.
var subcodes = map[int]string{2804003: "too_old", 2804009: "no_value", 2804050: "too_little_data"}

func byCode(batch []destinations.Item, r destinations.Response, p problem) []destinations.Outcome {
	o := destinations.Outcome{Detail: destinations.VendorWords(p.Message), TraceID: p.TraceID}
	all := func(v destinations.Verdict, reason string) []destinations.Outcome {
		o.Verdict, o.Reason = v, reason
		return destinations.All(batch, o)
	}
	switch c := p.Code; {
	case slices.Contains(token, c):
		return all(destinations.Halt, "unauthorized")
	case slices.Contains(forbidden, c), c >= 200 && c <= 299, c == 100 && p.Subcode == 33:
		return all(destinations.Halt, "forbidden")
	case slices.Contains(throttled, c), r.Status == http.StatusTooManyRequests:
		o.After = pause(r.Header)
		return all(destinations.Retry, "throttled")
	case c == 368:
		o.After = max(blockWait, destinations.RetryAfter(r.Header))
		return all(destinations.Retry, "blocked")
	case slices.Contains(transient, c), p.IsTransient:
		o.After, o.Unknown = destinations.RetryAfter(r.Header), r.Status/100 == 5
		return all(destinations.Retry, "busy")
	case c == 100:
		o.Reason = "refused"
		if reason, ok := subcodes[p.Subcode]; ok {
			o.Reason = reason
		}
		return destinations.Refused(batch, o)
	case c == 105:
		o.Reason = "too_many_parameters"
		return destinations.Refused(batch, o)
	case r.Status/100 == 5:
		o.Unknown = true
		return all(destinations.Retry, "busy")
	case r.Status/100 == 4:
		o.Reason = "unknown_code"
		return destinations.Refused(batch, o)
	}
	o.Unknown = true
	return all(destinations.Retry, "unreadable")
}

// byStatus is for answers without a code to go by. enveloped says that Graph itself
// answered; a page in HTML comes from something before it and is taken for a 5xx.
func byStatus(batch []destinations.Item, r destinations.Response, enveloped bool) []destinations.Outcome {
	o := destinations.Outcome{Verdict: destinations.Retry, After: destinations.RetryAfter(r.Header), TraceID: r.Header.Get("X-Fb-Trace-Id")}
	switch s := r.Status; {
	case s == http.StatusTooManyRequests:
		o.Reason, o.After = "throttled", pause(r.Header)
	case s/100 == 5, s == http.StatusRequestTimeout:
		o.Reason, o.Unknown = "busy", true
	case s == http.StatusUnauthorized && !isHTML(r):
		o.Verdict, o.Reason = destinations.Halt, "unauthorized"
	case s == http.StatusRequestEntityTooLarge:
		o.Reason = "too_large"
		return destinations.Refused(batch, o)
	case s/100 == 4 && enveloped:
		o.Reason = "refused"
		return destinations.Refused(batch, o)
	case s/100 == 4:
		o.Reason, o.Detail = "unreadable", "a refusal without an error code: it came from a proxy or a broken answer"
	default:
		o.Reason, o.Detail = "unexpected_status", "a status that Meta does not give"
	}
	return destinations.All(batch, o)
}

func isHTML(r destinations.Response) bool {
	return strings.Contains(r.Header.Get("Content-Type"), "html") || strings.HasPrefix(strings.TrimSpace(string(r.Body)), "<")
}

// pause is how long to leave the account alone: Retry-After, else what the usage header
// estimates, else a minute.
func pause(h http.Header) time.Duration {
	if after := destinations.RetryAfter(h); after > 0 {
		return after
	}
	var usage map[string][]struct {
		Minutes float64 `json:"estimated_time_to_regain_access"`
	}
	longest := 0.0
	if destinations.ReadJSON([]byte(h.Get("X-Business-Use-Case-Usage")), &usage) {
		for _, list := range usage {
			for _, u := range list {
				longest = max(longest, u.Minutes)
			}
		}
	}
	if longest > 0 {
		return time.Duration(min(longest, 24*60) * float64(time.Minute))
	}
	return throttleWait
}
