package hubspot

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// A property is what the account says of one: as much as writing needs.
type property struct {
	Type     string   // string, number, bool, enumeration, date, datetime, …
	Field    string   // text, select, checkbox, …
	Options  []string // internal values
	Unique   bool
	ReadOnly bool
	Archived bool
	Computed bool
}

// closed says why a property takes no values; "" where it does.
func (p property) closed() string {
	switch {
	case p.Archived:
		return "is archived"
	case p.Computed:
		return "is calculated by HubSpot"
	case p.ReadOnly:
		return "is read-only"
	}
	return ""
}

// kinds are HubSpot's types of our kinds of fields.
var kinds = map[string]string{
	"text": "string", "number": "number", "bool": "bool", "date": "date", "datetime": "datetime", "enumeration": "enumeration",
}

// longest text a HubSpot property takes.
const longest = 65536

// convert writes a value as the property's type wants it (sheet §4.3), or says in words why
// it cannot be. Nothing to write is "" without a reason. The reason holds no value.
func convert(v any, p property) (text, why string) {
	if s, ok := v.(string); ok && strings.TrimSpace(s) == "" {
		return "", ""
	}
	switch p.Type {
	case "number":
		if text = number(v); text == "" {
			return "", "takes a number, and the value is none"
		}
	case "bool":
		if text = strings.ToLower(plain(v)); text != "true" && text != "false" {
			return "", "takes true or false, and the value is neither"
		}
	case "date", "datetime":
		at, ok := instant(v)
		if !ok {
			return "", "takes a time, and the value is none: ISO 8601 or Unix milliseconds"
		}
		if text = datetime(at); p.Type == "date" {
			text = at.UTC().Format(time.DateOnly) // midnight UTC
		}
	case "enumeration":
		return option(plain(v), p)
	default: // string, and types that only reading shows
		if text = plain(v); text == "" && v != nil {
			if _, isText := v.(string); !isText {
				return "", "takes a text, and the value is a list or an object"
			}
		}
		text = destinations.Clip(text, longest)
	}
	return text, ""
}

// option checks internal values against those there are, letter by letter; where none are
// known they go as they are. Several are separated by ";", and one in front adds to what is there.
func option(s string, p property) (text, why string) {
	if len(p.Options) == 0 {
		return s, ""
	}
	chosen := []string{s}
	if p.Field == "checkbox" {
		chosen = strings.Split(strings.TrimPrefix(s, ";"), ";")
	}
	for _, c := range chosen {
		if !slices.Contains(p.Options, c) {
			return "", "takes one of its options by internal value, letter by letter, and the value is none of them"
		}
	}
	return s, ""
}

// plain writes a single value as a text; "" for what is no single value.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return destinations.Text(v)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return datetime(v)
	}
	return number(v)
}

// number gives a number as HubSpot wants it: one point, no commas, no exponent.
func number(v any) string {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ""
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case json.Number:
		return number(v.String())
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil {
			return ""
		}
		return number(f)
	}
	return ""
}

// instant reads a time: RFC 3339, a plain date (its midnight UTC), Unix milliseconds.
func instant(v any) (time.Time, bool) {
	if at, ok := v.(time.Time); ok {
		return at, !at.IsZero()
	}
	s := plain(v)
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC(), true
		}
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms < 1e11 || ms > 1e14 { // seconds, or nothing we could have meant
		return time.Time{}, false
	}
	return canonical.FromMillis(ms), true
}

// datetime is ISO 8601 in UTC with milliseconds at most; "" for no time.
func datetime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return canonical.FormatTime(t.UTC().Truncate(time.Millisecond))
}
