package hubspot

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestConvert(t *testing.T) {
	noon := time.Date(2026, 9, 1, 12, 0, 0, 123456789, time.FixedZone("", 7200))
	options := property{Type: "enumeration", Options: []string{"free", "Pro"}}
	several := property{Type: "enumeration", Field: "checkbox", Options: []string{"a", "b"}}
	for _, c := range []struct {
		name string
		v    any
		p    property
		want string
		bad  bool
	}{
		{"text", " two\nlines\x00 ", property{Type: "string"}, "two lines", false},
		{"text of a number", 7.0, property{Type: "string"}, "7", false},
		{"text of a time", noon, property{Type: "string"}, "2026-09-01T10:00:00.123Z", false},
		{"text of yes", true, property{Type: "string"}, "true", false},
		{"text of a list", []any{"a"}, property{Type: "string"}, "", true},
		{"long text", strings.Repeat("ü", 70000), property{Type: "string"}, strings.Repeat("ü", 65536), false},
		{"a type that is only read", "x", property{Type: "object_coordinates"}, "x", false},
		{"number", "1200.50", property{Type: "number"}, "1200.5", false},
		{"number with a comma", "1,200", property{Type: "number"}, "", true},
		{"large number", 1e21, property{Type: "number"}, "1000000000000000000000", false},
		{"JSON number", json.Number("3"), property{Type: "number"}, "3", false},
		{"no number", "many", property{Type: "number"}, "", true},
		{"infinite", "Inf", property{Type: "number"}, "", true},
		{"bool", true, property{Type: "bool"}, "true", false},
		{"bool as text", "FALSE", property{Type: "bool"}, "false", false},
		{"no bool", "1", property{Type: "bool"}, "", true},
		{"option", "Pro", options, "Pro", false},
		{"option in another case", "pro", options, "", true},
		{"options unknown", "x", property{Type: "enumeration"}, "x", false},
		{"several", "a;b", several, "a;b", false},
		{"one more", ";b", several, ";b", false},
		{"one that is none", "a;c", several, "", true},
		{"several where one is taken", "free;Pro", options, "", true},
		{"date", noon, property{Type: "date"}, "2026-09-01", false},
		{"date across midnight", "2026-09-01T00:30:00+02:00", property{Type: "date"}, "2026-08-31", false},
		{"plain date", "2015-05-01", property{Type: "date"}, "2015-05-01", false},
		{"ms", json.Number("1430438400000"), property{Type: "date"}, "2015-05-01", false},
		{"datetime", noon, property{Type: "datetime"}, "2026-09-01T10:00:00.123Z", false},
		{"datetime of a date", "2015-05-01", property{Type: "datetime"}, "2015-05-01T00:00:00Z", false},
		{"seconds", json.Number("1430438400"), property{Type: "datetime"}, "", true},
		{"no time", "yesterday", property{Type: "datetime"}, "", true},
		{"nothing", " \t", property{Type: "number"}, "", false},
	} {
		got, why := convert(c.v, c.p)
		if got != c.want || (why != "") != c.bad {
			t.Errorf("%s: %q, %q; want %q", c.name, got, why, c.want)
		}
	}
}
