package meta

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
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
	Title       string `json:"error_user_title"`
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
		return accepted(batch, r, a, read)
	default:
		return byStatus(batch, r, read && a.Error != nil)
	}
}

// accepted holds only where Meta counts as many events as were sent.
func accepted(batch []destinations.Item, r destinations.Response, a answer, read bool) []destinations.Outcome {
	o := destinations.Outcome{Verdict: destinations.Retry, Unknown: true, TraceID: traceOf(a.TraceID, r)}
	switch {
	case !read || a.EventsReceived == nil || a.Error != nil:
		o.Reason, o.Detail = "unreadable", "an answer of success that cannot be read"
	case *a.EventsReceived != len(batch):
		o.Reason, o.Detail = "count_differs", "Meta counted another number of events than were sent"
	default:
		o = destinations.Outcome{Verdict: destinations.Delivered, Reason: "accepted", TraceID: o.TraceID, Detail: notes(a.Messages, r)}
	}
	return destinations.All(batch, o)
}

// notes are what Meta says beside its success: messages, whose contents are [open], and that
// the version is old.
func notes(list []json.RawMessage, r destinations.Response) string {
	var words []string
	for _, m := range list {
		words = append(words, string(m))
	}
	if w := r.Header.Get("X-Ad-Api-Version-Warning"); w != "" {
		words = append(words, "version: "+w)
	}
	return destinations.VendorWords(strings.Join(words, " "))
}

// A cause is what a code means for the lane, with words for whoever has to act. verdict 0 is
// the refusal of a batch. subcode 0 stands for any that has no line of its own.
type cause struct {
	code, subcode int
	verdict       destinations.Verdict
	reason        string
	words         string
}

const (
	newToken = "; put a new token where this destination's secret comes from, and it goes on by itself"
	rightsOf = "; in Business settings give the system user the dataset (manage) and the permission ads_management, then run tributary destinations resume"
)

// causes are Meta's error codes (meta.md §5.2); 12, 2500 and 2635 are not in the sheet
// [assumed].
var causes = []cause{
	{190, 463, destinations.Halt, "token_expired", "the access token has expired" + newToken},
	{190, 460, destinations.Halt, "token_revoked", "the access token ended with a change of password" + newToken},
	{190, 458, destinations.Halt, "app_removed", "the app was removed from the account that made the token; allow it again" + newToken},
	{190, 459, destinations.Halt, "user_checkpoint", "Meta asks the token's user to log in and confirm something first; then run tributary destinations resume"},
	{190, 464, destinations.Halt, "user_unconfirmed", "the token's user is not confirmed; log in as that user and confirm it, then run tributary destinations resume"},
	{190, 467, destinations.Halt, "token_invalid", "the access token is no longer valid" + newToken},
	{190, 492, destinations.Halt, "user_without_role", "the token's user no longer has a role in the business" + newToken},
	{190, 0, destinations.Halt, "unauthorized", "Meta does not know the access token" + newToken},
	{102, 0, destinations.Halt, "unauthorized", "the token's session has ended" + newToken},

	{3, 0, destinations.Halt, "app_unable", "the token's app may not make this call; use a token of an app that has the Marketing API" + newToken},
	{10, 0, destinations.Halt, "permission_missing", "the token lacks a permission" + rightsOf},
	{200, 0, destinations.Halt, "permission_missing", "the token lacks a permission" + rightsOf}, // and 201 to 299
	{104, 0, destinations.Halt, "appsecret_proof", "the app demands appsecret_proof and got none, or another; put the app secret, after a space, behind the token in this destination's secret, and it goes on by itself"},
	{100, 33, destinations.Halt, "dataset_unknown", "there is no such dataset, or the token may not see it; check dataset_id" + rightsOf},

	{12, 0, destinations.Halt, "version_ended", "Meta has ended this version of its API; set a newer version for this destination, then run tributary destinations resume"},
	{2635, 0, destinations.Halt, "version_ended", "Meta has ended this version of its API; set a newer version for this destination, then run tributary destinations resume"},
	{2500, 0, destinations.Halt, "path_unknown", "Meta does not know this path; check version, dataset_id and base URL of this destination, then run tributary destinations resume"},

	{4, 0, destinations.Retry, "throttled", ""}, {17, 0, destinations.Retry, "throttled", ""}, {32, 0, destinations.Retry, "throttled", ""},
	{613, 0, destinations.Retry, "throttled", ""}, {80000, 0, destinations.Retry, "throttled", ""}, {80003, 0, destinations.Retry, "throttled", ""},
	{80004, 0, destinations.Retry, "throttled", ""}, {80014, 0, destinations.Retry, "throttled", ""},
	{368, 0, destinations.Retry, "blocked", "Meta has blocked this account's calls for a while; look into Account quality in Business manager"},
	{1, 0, destinations.Retry, "busy", ""}, {2, 0, destinations.Retry, "busy", ""}, {341, 0, destinations.Retry, "busy", ""},
	{5000, 0, destinations.Retry, "busy", ""}, {21009, 0, destinations.Retry, "dataset_not_ready", ""},

	{100, 2804003, 0, "too_old", ""}, {100, 2804009, 0, "no_value", ""}, {100, 2804050, 0, "too_little_data", ""},
	{100, 0, 0, "refused", ""},
	{105, 0, 0, "too_many_parameters", ""},
}

// causeOf finds the line of a code, first with its subcode.
func causeOf(p problem) (cause, bool) {
	code := p.Code
	if code > 200 && code <= 299 {
		code = 200
	}
	at := slices.IndexFunc(causes, func(c cause) bool { return c.code == code && c.subcode == p.Subcode })
	if at < 0 {
		at = slices.IndexFunc(causes, func(c cause) bool { return c.code == code && c.subcode == 0 })
	}
	if at < 0 {
		return cause{}, false
	}
	return causes[at], true
}

func byCode(batch []destinations.Item, r destinations.Response, p problem) []destinations.Outcome {
	o := destinations.Outcome{Detail: p.words(), TraceID: traceOf(p.TraceID, r)}
	c, known := causeOf(p)
	switch {
	case known && c.verdict == destinations.Halt:
		o.Verdict, o.Reason, o.Detail = c.verdict, c.reason, destinations.Clip(c.words+" (Meta: "+o.Detail+")", 400)
	case c.reason == "throttled", r.Status == http.StatusTooManyRequests:
		o.Verdict, o.Reason, o.After = destinations.Retry, "throttled", pause(r.Header)
	case c.reason == "blocked":
		o.Verdict, o.Reason, o.After = destinations.Retry, c.reason, max(blockWait, destinations.RetryAfter(r.Header))
		o.Detail = destinations.Clip(c.words+" (Meta: "+o.Detail+")", 400)
	case known && c.verdict == destinations.Retry, p.IsTransient:
		o.Verdict, o.Reason = destinations.Retry, cmp.Or(c.reason, "busy")
		if c.verdict != destinations.Retry {
			o.Reason = "busy"
		}
		o.After, o.Unknown = destinations.RetryAfter(r.Header), r.Status/100 == 5
	case known:
		o.Reason = c.reason
		return destinations.Refused(batch, o)
	case r.Status/100 == 5:
		o.Verdict, o.Reason, o.Unknown = destinations.Retry, "busy", true
	case r.Status/100 == 4:
		o.Reason = "unknown_code"
		return destinations.Refused(batch, o)
	default:
		o.Verdict, o.Reason, o.Unknown = destinations.Retry, "unreadable", true
	}
	return destinations.All(batch, o)
}

// words gives what Meta says with its numbers: the numbers are what support asks for.
func (p problem) words() string {
	number := strconv.Itoa(p.Code)
	if p.Subcode != 0 {
		number += "/" + strconv.Itoa(p.Subcode)
	}
	return strings.TrimSpace(number + " " + destinations.VendorWords(strings.TrimSpace(p.Title+" "+p.Message)))
}

func traceOf(id string, r destinations.Response) string {
	return destinations.Clip(destinations.Text(cmp.Or(id, r.Header.Get("X-Fb-Trace-Id"))), 100)
}

// byStatus is for answers without a code to go by. enveloped says that Graph itself
// answered; a page in HTML comes from something before it and is taken for a 5xx.
func byStatus(batch []destinations.Item, r destinations.Response, enveloped bool) []destinations.Outcome {
	o := destinations.Outcome{Verdict: destinations.Retry, After: destinations.RetryAfter(r.Header), TraceID: traceOf("", r)}
	switch s := r.Status; {
	case s == http.StatusTooManyRequests:
		o.Reason, o.After = "throttled", pause(r.Header)
	case s/100 == 5, s == http.StatusRequestTimeout:
		o.Reason, o.Unknown = "busy", true
	case s == http.StatusUnauthorized && !isHTML(r):
		o.Verdict, o.Reason, o.Detail = destinations.Halt, "unauthorized", "Meta does not know the access token"+newToken
	case s == http.StatusForbidden && enveloped:
		o.Verdict, o.Reason, o.Detail = destinations.Halt, "permission_missing", "the token lacks a permission"+rightsOf
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
