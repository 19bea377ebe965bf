package hubspot

import (
	"encoding/json"
	"slices"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// A result is one row that HubSpot wrote. They do not come in the order of the request.
type result struct {
	ID         text            `json:"id"`
	Trace      text            `json:"objectWriteTraceId"`
	Properties map[string]text `json:"properties"`
}

// text reads a string, and tolerates numbers and nulls.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		s = strings.Trim(string(b), `"`)
		if s == "null" {
			s = ""
		}
	}
	*t = text(s)
	return nil
}

// texts reads a list of strings, and tolerates a single one and what is no text.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	*t = nil
	var list []text
	if json.Unmarshal(b, &list) != nil {
		list = make([]text, 1)
		if err := list[0].UnmarshalJSON(b); err != nil {
			return err
		}
	}
	for _, one := range list {
		if one != "" {
			*t = append(*t, string(one))
		}
	}
	return nil
}

// eachRow finds every item's row in the answer. A row with an error is refused whatever
// else is said of it; one that is in neither list is no success.
func eachRow(batch []destinations.Item, a answer, base destinations.Outcome) []destinations.Outcome {
	keys := make([]rowKeys, len(batch))
	for i, it := range batch {
		keys[i] = keysOf(it)
	}
	out := make([]destinations.Outcome, len(batch))
	done := make([]bool, len(batch))
	settle := func(i int, o destinations.Outcome) {
		if !done[i] {
			o.TraceID = base.TraceID
			out[i], done[i] = o, true
		}
	}
	var unnamed []fault
	for _, f := range a.Errors {
		named := false
		for i := range batch {
			if keys[i].inFault(f) {
				settle(i, ofFault(f))
				named = true
			}
		}
		if !named {
			unnamed = append(unnamed, f)
		}
	}
	for _, res := range a.Results {
		for i := range batch {
			if keys[i].inResult(res) {
				settle(i, destinations.Outcome{Verdict: destinations.Delivered, Reason: "accepted"})
			}
		}
	}
	if batch[0].Part.Batch == asNotes && allMade(a, len(batch)) {
		for i := range batch {
			settle(i, destinations.Outcome{Verdict: destinations.Delivered, Reason: "accepted"})
		}
	}
	left := 0
	for _, d := range done {
		if !d {
			left++
		}
	}
	for i := range batch {
		if left == 1 && len(unnamed) == 1 { // it can only be this one's
			settle(i, ofFault(unnamed[0]))
		}
		settle(i, destinations.Outcome{
			Verdict: destinations.Retry, Unknown: true, Reason: "no_row", Detail: "the answer names neither success nor error of this row",
		})
	}
	return out
}

// allMade is true where no result carries a trace id, so that new records cannot be
// matched, and yet there are exactly as many results with ids of their own as inputs, and
// no error.
func allMade(a answer, n int) bool {
	if len(a.Results) != n || len(a.Errors) > 0 || a.NumErrors > 0 {
		return false
	}
	ids := map[text]bool{}
	for _, r := range a.Results {
		if r.Trace != "" || r.ID == "" {
			return false
		}
		ids[r.ID] = true
	}
	return len(ids) == n
}

// rowKeys are what an answer may name a row by.
type rowKeys struct{ trace, email, id string }

func keysOf(it destinations.Item) rowKeys {
	k := rowKeys{trace: traceID(it)}
	switch it.Part.Batch {
	case byEmail:
		k.email = canonical.NormalEmail(it.Event.Contact.Email)
	case byID:
		k.id = it.Part.Unique
	}
	return k
}

func (k rowKeys) inResult(r result) bool {
	if r.Trace != "" {
		return string(r.Trace) == k.trace
	}
	if k.id != "" && string(r.ID) == k.id {
		return true
	}
	if k.email == "" || r.ID == "" {
		return false
	}
	more := strings.Split(string(r.Properties["hs_additional_emails"]), ";")
	return slices.ContainsFunc(append(more, string(r.Properties["email"])), func(s string) bool {
		return canonical.NormalEmail(s) == k.email
	})
}

func (k rowKeys) inFault(f fault) bool {
	if len(f.Context.Trace) > 0 {
		return slices.Contains(f.Context.Trace, k.trace)
	}
	for _, id := range slices.Concat(f.Context.IDs, f.Context.ID) {
		if k.id != "" && id == k.id || k.email != "" && canonical.NormalEmail(id) == k.email {
			return true
		}
	}
	return false
}

// ofFault reads the error of one row. It was not written, that much is said.
func ofFault(f fault) destinations.Outcome {
	o := destinations.Outcome{Verdict: destinations.Reject, Detail: destinations.VendorWords(f.Message)}
	switch f.Category {
	case "VALIDATION_ERROR":
		o.Reason = "invalid"
	case "OBJECT_NOT_FOUND":
		o.Reason = "not_found"
	case "CONFLICT", "OBJECT_ALREADY_EXISTS":
		o.Verdict, o.Reason, o.After = destinations.Retry, "conflict", lockWait
	case "RATE_LIMITS":
		o.Verdict, o.Reason, o.After = destinations.Retry, "throttled", windowWait
	case "MISSING_SCOPES":
		o.Verdict, o.Reason = destinations.Halt, "missing_scopes"
	case "INVALID_AUTHENTICATION":
		o.Verdict, o.Reason = destinations.Halt, "unauthorized"
	default:
		o.Verdict, o.Reason = destinations.Retry, "unknown_error"
	}
	return o
}
