package webhook

import (
	"net/http"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"tributary/destinations"
)

// Answers says what statuses mean, where a receiver's are not the usual ones: each a list of
// statuses (409) and ranges (500-599). A status that stands in none means what it usually does.
type Answers struct {
	Success yaml.Node `yaml:"success"` // of 200 to 299 only
	Retry   yaml.Node `yaml:"retry"`
	Refuse  yaml.Node `yaml:"refuse"`
	Halt    yaml.Node `yaml:"halt"`
}

// A class is what a status was configured to mean; usual is what it means by itself.
type class int

const (
	usual class = iota
	success
	retry
	refuse
	halt
)

func (d *destination) readAnswers(s *destinations.Section) {
	d.statuses = map[int]class{}
	read := func(path string, n yaml.Node, c class, low, high int) {
		if n.Kind == 0 {
			return
		}
		if n.Kind != yaml.SequenceNode {
			s.Problem(path, "%s must be a list of statuses (409) and ranges (500-599)", path)
			return
		}
		for _, e := range n.Content {
			at := destinations.Problem{Line: e.Line, Column: e.Column}
			from, to, ok := statusRange(e.Value)
			if e.Kind != yaml.ScalarNode || !ok || from < low || to > high {
				at.Message = path + " holds \"" + e.Value + "\"; it must be a status or a range between " + strconv.Itoa(low) + " and " + strconv.Itoa(high)
				s.Place(at, path)
				continue
			}
			for status := from; status <= to; status++ {
				if was := d.statuses[status]; was != usual && was != c {
					at.Message = "status " + strconv.Itoa(status) + " stands in two lists of answers"
					s.Place(at, path)
					break
				}
				d.statuses[status] = c
			}
		}
	}
	read("answers.success", d.Answers.Success, success, 200, 299)
	read("answers.retry", d.Answers.Retry, retry, 100, 599)
	read("answers.refuse", d.Answers.Refuse, refuse, 100, 599)
	read("answers.halt", d.Answers.Halt, halt, 100, 599)
	for status := 200; status <= 299 && d.Answers.Success.Kind != 0; status++ { // where some are named, the others are none
		if d.statuses[status] == usual {
			d.statuses[status] = refuse
		}
	}
	if d.AcceptedIf.Kind != 0 {
		d.acceptedIf = compileCondition(s, &d.AcceptedIf)
	}
}

func statusRange(text string) (from, to int, ok bool) {
	low, high, isRange := strings.Cut(strings.TrimSpace(text), "-")
	from, err := strconv.Atoi(strings.TrimSpace(low))
	if err != nil {
		return 0, 0, false
	}
	if !isRange {
		return from, from, true
	}
	to, err = strconv.Atoi(strings.TrimSpace(high))
	return from, to, err == nil && from <= to
}

// Classify goes by the status, as configured, and by accepted_if where it is given: some
// receivers answer 200 and say in the body that they refused.
func (d destination) Classify(batch []destinations.Item, r destinations.Response) []destinations.Outcome {
	if len(batch) == 0 {
		return nil
	}
	o := usually(r.Status)
	switch d.statuses[r.Status] {
	case success:
		o = destinations.Outcome{Verdict: destinations.Delivered, Reason: "accepted"}
	case retry:
		o = destinations.Outcome{Verdict: destinations.Retry, Reason: "busy", Unknown: r.Status/100 == 5 || r.Status/100 == 2}
	case refuse:
		o = destinations.Outcome{Verdict: destinations.Reject, Reason: "refused"}
	case halt:
		o = destinations.Outcome{Verdict: destinations.Halt, Reason: "halted_by_setting", Detail: "answers.halt names status " + strconv.Itoa(r.Status)}
	}
	if o.Verdict == destinations.Delivered && d.acceptedIf != nil {
		switch accepted, err := d.acceptedIf.holds(r); {
		case err != nil:
			o = destinations.Outcome{Verdict: destinations.Retry, Reason: "unreadable", Unknown: true, Detail: "accepted_if cannot be asked of the answer"}
		case !accepted:
			o = destinations.Outcome{Verdict: destinations.Reject, Reason: "not_accepted"}
		}
	}
	if o.Verdict == destinations.Retry {
		o.After = destinations.RetryAfter(r.Header)
	}
	if o.Verdict == destinations.Reject {
		if o.Detail = ""; len(r.Body) < 10_000 {
			o.Detail = destinations.Clip(destinations.Unnamed(string(r.Body), batch), 300)
		}
		return destinations.Refused(batch, o)
	}
	return destinations.All(batch, o)
}

// usually is what a status means by itself.
func usually(status int) destinations.Outcome {
	o := destinations.Outcome{Verdict: destinations.Retry, Reason: "unexpected_status"}
	switch s := status; {
	case s/100 == 2:
		o.Verdict, o.Reason = destinations.Delivered, "accepted"
	case s == http.StatusTooManyRequests:
		o.Reason = "throttled"
	case s/100 == 5:
		o.Reason, o.Unknown = "busy", true
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusConflict, s == http.StatusLocked:
		o.Reason = "busy"
	case s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusProxyAuthRequired:
		o.Verdict, o.Reason, o.Detail = destinations.Halt, "unauthorized", "the receiver does not take the credential, or the way in which auth sends it"
	case s == http.StatusNotFound, s == http.StatusMethodNotAllowed, s == http.StatusGone:
		o.Verdict, o.Reason, o.Detail = destinations.Halt, "no_such_address", "there is nothing at the address, or not for this method"
	case s/100 == 3: // not followed: the credential was meant for this address
		o.Verdict, o.Reason, o.Detail = destinations.Halt, "redirected", "redirects are not followed: configure the address that it leads to"
	case s/100 == 4:
		o.Verdict, o.Reason = destinations.Reject, "refused"
	}
	return o
}
