package wire

import (
	"strconv"
	"strings"
	"time"

	"tributary/canonical"
)

// A moment is a time as given: Text is what the caller wrote, where it was text.
type moment struct {
	at    time.Time
	text  string
	given bool
}

// layouts are the text forms read; those without a zone are UTC.
var layouts = []string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05.999999999Z0700",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04Z07:00",
	"2006-01-02",
}

// when reads a time: text, or Unix seconds or milliseconds as number or digits. A time
// that cannot be believed is a problem.
func (n node) when(keys ...string) moment {
	k, s := n.raw(keys...)
	if s == "" {
		return moment{}
	}
	if strings.Contains(s, "{{") {
		n.rd.fail(CodeTemplate, n.path+k, "holds a template that was not rendered")
		return moment{}
	}
	m, ok := parseTime(strings.TrimSpace(s))
	if !ok {
		n.rd.fail(CodeBadTime, n.path+k, "cannot be read as a time")
		return moment{}
	}
	if why := n.rd.doubt(m.at); why != "" {
		n.rd.fail(CodeBadTime, n.path+k, why)
		return moment{}
	}
	return m
}

// doubt says why a time cannot be believed, or "".
func (rd *reader) doubt(t time.Time) string {
	if t.Before(earliest) {
		return "lies before 2000"
	}
	if r := rd.receipt.ReceivedAt; !r.IsZero() && t.After(r.Add(ahead)) {
		return "lies more than 24 hours after receipt"
	}
	return ""
}

func parseTime(s string) (moment, bool) {
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		return unixMoment(v, len(strings.TrimPrefix(s, "-")))
	}
	if sec, frac, ok := strings.Cut(s, "."); ok && isDigits(sec) && isDigits(frac) && len(frac) <= 9 {
		// Unix seconds with a fraction, as Segment-like senders write them.
		whole, _ := strconv.ParseInt(sec, 10, 64)
		m, ok := unixMoment(whole, len(sec))
		nanos, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
		if len(sec) <= 11 {
			m.at = m.at.Add(time.Duration(nanos))
		}
		m.text = canonical.FormatTime(m.at)
		return m, ok
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil {
			if y := t.UTC().Year(); y < 1 || y > 9999 {
				return moment{}, false
			}
			return moment{at: t.UTC(), text: s, given: true}, true
		}
	}
	return moment{}, false
}

// unixMoment takes up to eleven digits as seconds, up to fourteen as milliseconds.
func unixMoment(v int64, digits int) (moment, bool) {
	var t time.Time
	switch {
	case v < 0, digits > 14:
		return moment{}, false
	case digits <= 11:
		t = time.Unix(v, 0).UTC()
	default:
		t = canonical.FromMillis(v)
	}
	return moment{at: t, text: canonical.FormatTime(t), given: true}, true
}

func isDigits(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// happened sets the report's time: that of the change where it is known, else the one
// it was reported at, else that of its receipt.
func (rd *reader) happened(change, reported moment) {
	r := &rd.report
	if reported.given {
		r.ObservedAt = reported.at
	}
	switch {
	case change.given:
		r.OccurredAt, r.TimeText = change.at, change.text
	case reported.given:
		r.OccurredAt, r.TimeText, r.Reported = reported.at, reported.text, true
	default:
		at := rd.receipt.ReceivedAt.UTC().Truncate(time.Millisecond)
		r.OccurredAt, r.TimeText, r.Reported = at, canonical.FormatTime(at), true
	}
}
