package linkedin

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// Service codes: of a token that its owner took back, and of one that never had the scope.
const (
	revoked  = 65601
	noAccess = 100
)

// Classify goes by status and code; texts change without notice.
func (d destination) Classify(batch []destinations.Item, r destinations.Response) []destinations.Outcome {
	if len(batch) == 0 {
		return nil
	}
	var a answer
	if !destinations.ReadJSON(r.Body, &a) {
		a = answer{}
	}
	trace := r.Header.Get("X-Li-Uuid")
	switch {
	case r.Status == http.StatusCreated && len(batch) == 1 && len(bytes.TrimSpace(r.Body)) == 0: // as for a request that is no batch
		return destinations.All(batch, destinations.Outcome{Verdict: destinations.Delivered, Reason: "accepted", TraceID: trace})
	case r.Status/100 == 2 && len(a.Elements) == len(batch):
		return d.eachElement(batch, r, a, trace)
	case r.Status/100 == 2:
		return destinations.All(batch, destinations.Outcome{
			Verdict: destinations.Retry, Unknown: true, Reason: "unreadable", TraceID: trace,
			Detail: "an answer of success that does not name every event",
		})
	}
	if (r.Status == http.StatusBadRequest || r.Status == http.StatusForbidden) && bytes.HasPrefix(bytes.TrimSpace(r.Body), []byte("<")) {
		return destinations.All(batch, destinations.Outcome{
			Verdict: destinations.Retry, Reason: "unreadable", TraceID: trace, After: destinations.RetryAfter(r.Header),
			Detail: fmt.Sprintf("%d with a page in place of LinkedIn's answer: it came from a proxy or gateway before it", r.Status),
		})
	}
	p := a.problem
	p.Message = destinations.Unnamed(p.Message, batch)
	o := d.verdict(r.Status, p, batch[0].Part)
	o.TraceID = trace
	if o.Verdict == destinations.Retry {
		o.After = max(o.After, destinations.RetryAfter(r.Header))
	}
	if o.Verdict != destinations.Reject {
		return destinations.All(batch, o)
	}
	out := destinations.Refused(batch, o)
	for _, i := range named(a.Message, len(batch)) {
		out[i].Suspect = true
	}
	return out
}

// indexes are the ways in which LinkedIn's texts name elements of a batch, from 0: batchIndex=0,
// indices [0, 3], Index: 0, /elements/0/. They change without notice and are hints only.
var indexes = regexp.MustCompile(`(?:batchIndex=|Index: |/elements/|indices \[)([0-9][0-9, ]{0,200})`)

// mostNamed bounds how many elements a text can point at: one that names more names nothing.
const mostNamed = 200

// named gives the elements that a text names; none where it names all, or one that was not sent.
func named(message string, n int) []int {
	var out []int
	for _, m := range indexes.FindAllStringSubmatch(message, n+1) {
		for _, digits := range strings.FieldsFunc(m[1], func(r rune) bool { return r == ',' || r == ' ' }) {
			i, err := strconv.Atoi(digits)
			if err != nil || i >= n {
				return nil
			}
			if !slices.Contains(out, i) {
				out = append(out, i)
			}
			if len(out) > mostNamed {
				return nil
			}
		}
	}
	if len(out) >= n {
		return nil
	}
	return out
}

func (d destination) eachElement(batch []destinations.Item, r destinations.Response, a answer, trace string) []destinations.Outcome {
	out := make([]destinations.Outcome, len(batch))
	for i, el := range a.Elements {
		p := el.problem
		if el.Error != nil {
			p = *el.Error
		}
		p.Message = destinations.Unnamed(p.Message, batch[i:i+1])
		switch status := el.Status; {
		case status/100 == 2 && el.Error == nil:
			out[i] = destinations.Outcome{Verdict: destinations.Delivered, Reason: "accepted"}
		case status/100 == 2 || status == 0:
			out[i] = destinations.Outcome{Verdict: destinations.Retry, Unknown: true, Reason: "unreadable", Detail: destinations.VendorWords(p.Message)}
		default:
			if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
				status = http.StatusBadRequest // of one element: not the address, but what it names
			}
			out[i] = d.verdict(status, p, batch[i].Part)
			if out[i].Verdict == destinations.Retry {
				out[i].After = max(out[i].After, destinations.RetryAfter(r.Header))
			}
		}
		out[i].TraceID = trace
	}
	return out
}

// verdict reads a status that is not 2xx, of a request or of one element. Reject stands
// for "not as it is": of a batch, it is to be split. All of a request are of one rule.
func (d destination) verdict(status int, p problem, part destinations.Part) destinations.Outcome {
	words := destinations.VendorWords(p.Message)
	o := destinations.Outcome{Verdict: destinations.Halt, Detail: words}
	say := func(reason, format string, args ...any) {
		o.Reason, o.Detail = reason, said(fmt.Sprintf(format, args...), words)
	}
	switch s := status; {
	case s == http.StatusUnauthorized && (p.ServiceCode == revoked || p.Code == "REVOKED_ACCESS_TOKEN"):
		say("revoked", "the member took the token back: somebody must consent again and replace it")
	case s == http.StatusUnauthorized:
		say("unauthorized", "the token is wrong or over: replace it")
	case s == http.StatusForbidden && (p.ServiceCode == noAccess || p.Code == "ACCESS_DENIED"):
		say("scope_missing", "the token lacks the scope rw_conversions: replace it")
	case s == http.StatusForbidden: // an unknown rule, or no role on the ad account; the text is misleading
		if d.OnForbidden != "halt" {
			o.Verdict = destinations.Park
		}
		say("rule_forbidden", "rule %s (%s): there is no such rule, or the token's member has no role on its ad account; mend it, then retry what is held", part.Route.Rule, d.ruleOf(part))
	case s == http.StatusUpgradeRequired:
		say("version_retired", "version %s answers no more: set settings.version to a later one", d.Version)
	case s == http.StatusBadRequest && p.Code == "VERSION_MISSING":
		say("version_missing", "the header LinkedIn-Version did not arrive: does a proxy strip it?")
	case s == http.StatusNotFound, s == http.StatusMethodNotAllowed:
		say("no_such_address", "the address itself is wrong: is base_url right?")
	case s == http.StatusTooManyRequests:
		o.Verdict, o.Reason, o.After = destinations.Retry, "throttled", throttleWait
	case s/100 == 5, s == http.StatusRequestTimeout:
		o.Verdict, o.Reason, o.Unknown = destinations.Retry, "busy", true
	case s == http.StatusUnprocessableEntity:
		o.Verdict, o.Reason = destinations.Reject, "schema"
	case s == http.StatusRequestEntityTooLarge:
		o.Verdict, o.Reason = destinations.Reject, "too_large"
	case s/100 == 4: // of a 400 the rule may be the cause: its state is read again before the next try
		o.Verdict, o.Reason, o.Stale = destinations.Reject, "refused", s == http.StatusBadRequest && d.AdAccount != ""
	default:
		o.Verdict, o.Reason = destinations.Retry, "unexpected_status"
	}
	return o
}

// said puts what to do before LinkedIn's own words.
func said(what, words string) string {
	if words == "" {
		return destinations.Clip(what, 300)
	}
	return destinations.Clip(what+" (LinkedIn: "+words+")", 300)
}
