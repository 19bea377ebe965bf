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
func (d destination) eachRow(batch []destinations.Item, a answer, base destinations.Outcome) []destinations.Outcome {
	rows := d.rows(batch)
	kind := batch[0].Part.Batch
	outcomes := make([]destinations.Outcome, len(rows)) // a zero verdict: not settled
	settle := func(n int, o destinations.Outcome) {
		if outcomes[n].Verdict == 0 {
			o.TraceID = base.TraceID
			outcomes[n] = o
		}
	}
	if alone(kind, rows) && a.ID != "" && len(a.Results)+len(a.Errors) == 0 {
		settle(0, d.written(batch, rows[0], a.result)) // another id than asked for: that of the record it was merged into
	}
	keys := make([]rowKeys, len(rows))
	for n, r := range rows {
		keys[n] = d.keysOf(batch[r.items[0]], r.id)
	}
	var unnamed []fault
	for _, f := range a.Errors {
		named := false
		for n, r := range rows {
			if keys[n].inFault(f) {
				settle(n, ofFault(batch[r.items[0]], len(batch), f))
				named = true
			}
		}
		if !named {
			unnamed = append(unnamed, f)
		}
	}
	for _, res := range a.Results {
		for n, r := range rows {
			if keys[n].inResult(res) {
				settle(n, d.written(batch, r, res))
			}
		}
	}
	if kind == asNotes && allMade(a, len(rows)) {
		for n := range rows {
			settle(n, destinations.Outcome{Verdict: destinations.Delivered, Reason: "accepted"})
		}
	}
	left := 0
	for _, o := range outcomes {
		if o.Verdict == 0 {
			left++
		}
	}
	out := make([]destinations.Outcome, len(batch))
	for n, r := range rows {
		if left == 1 && len(unnamed) == 1 { // it can only be this one's
			settle(n, ofFault(batch[r.items[0]], len(batch), unnamed[0]))
		}
		settle(n, destinations.Outcome{
			Verdict: destinations.Retry, Unknown: true, Reason: "no_row", Detail: "the answer names neither success nor error of this row",
		})
		for _, i := range r.items {
			out[i] = outcomes[n]
		}
	}
	return out
}

// written is a row that HubSpot took. A lifecycle stage it kept is told: it moves only forward.
func (d destination) written(batch []destinations.Item, r row, res result) destinations.Outcome {
	o := destinations.Outcome{Verdict: destinations.Delivered, Reason: "accepted"}
	kept, told := res.Properties["lifecyclestage"]
	if !told || len(d.Lifecycle) == 0 || objectOf(batch[r.items[0]].Part.Batch) != contacts {
		return o
	}
	items := make([]destinations.Item, len(r.items))
	for n, i := range r.items {
		items[n] = batch[i]
	}
	values, _ := d.values(contacts, items)
	if sent := values["lifecyclestage"]; sent != "" && sent != string(kept) {
		o.Reason, o.Detail = "lifecycle_kept", "lifecycle kept at "+destinations.VendorWords(string(kept))
	}
	return o
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
type rowKeys struct {
	trace, email, id string
	property, value  string // a unique property
}

func (d destination) keysOf(it destinations.Item, id string) rowKeys {
	k := rowKeys{trace: traceOf(it.Part, id)}
	switch it.Part.Batch {
	case byEmail:
		k.email = id
	case byID, companyByID, dealByID:
		k.id = id
	case byKey:
		k.property, k.value = d.Key, id
	case companyByKey:
		k.property, k.value = d.CompanyKey, id
	case asTimeline, asAppEvents:
		k.trace, k.id = "", uuid(it.Event.Key())
	default:
		k.trace = traceID(it)
	}
	return k
}

func (k rowKeys) inResult(r result) bool {
	if r.Trace != "" {
		return k.trace != "" && string(r.Trace) == k.trace
	}
	if k.id != "" && string(r.ID) == k.id {
		return true
	}
	if r.ID == "" {
		return false
	}
	if k.value != "" && string(r.Properties[k.property]) == k.value {
		return true
	}
	if k.email == "" {
		return false
	}
	more := strings.Split(string(r.Properties["hs_additional_emails"]), ";")
	return slices.ContainsFunc(append(more, string(r.Properties["email"])), func(s string) bool {
		return canonical.NormalEmail(s) == k.email
	})
}

func (k rowKeys) inFault(f fault) bool {
	if len(f.Context.Trace) > 0 {
		return k.trace != "" && slices.Contains(f.Context.Trace, k.trace)
	}
	for _, id := range slices.Concat(f.Context.IDs, f.Context.ID) {
		if k.id != "" && id == k.id || k.value != "" && id == k.value || k.email != "" && canonical.NormalEmail(id) == k.email {
			return true
		}
	}
	return false
}

// ofFault reads the error of one row. It was not written, that much is said.
func ofFault(it destinations.Item, n int, f fault) destinations.Outcome {
	o := destinations.Outcome{Verdict: destinations.Reject, Detail: destinations.VendorWords(f.Message)}
	switch f.Category {
	case "VALIDATION_ERROR":
		o.Reason = "invalid"
	case "OBJECT_NOT_FOUND":
		o.Reason = "not_found"
		if n > 1 && finds(it.Part.Batch) { // alone it goes by the single call, which finds what was merged
			o.Verdict = destinations.Split
		}
	case "CONFLICT", "OBJECT_ALREADY_EXISTS":
		if takenOnce(it) {
			return destinations.Outcome{Verdict: destinations.Delivered, Reason: "already_there"}
		}
		return conflict(it, f.Context, o, lockWait)
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
