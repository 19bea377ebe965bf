package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"tributary/canonical"
)

var jsonSeeds = []string{
	`{}`, `[]`, `null`, `true`, `false`, `0`, `-0`, `1.5e-7`, `"x"`, ` { "a" : [ 1 , { } , [ ] , "\u00e9\n" ] } `, `{"a":{"b":{"c":[[[]]]}}}`,
	``, ` `, `{`, `}`, `[`, `[1,]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `01`, `1.`, `.5`, `1e`, `-`, `+1`, `tru`, `truee`, `nul`, `"`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"\n\"", "\"\xff\"",
	`[1 2]`, `{"a":1 "b":2}`, `[1]]`, `{} {}`, `[}`, `{]`, `[{]}`, `{"a":[}]`, "\ufeff{}", `"\`, `"a\"`, `[[[[`, `{"a":{"b"`, `[,1]`, `{,}`, `nan`, `'a'`,
	guideLifecycle, guideMiddleware, guideDeal,
}

// checkScan holds Scan to encoding/json.
func checkScan(t *testing.T, in []byte) {
	t.Helper()
	s, fault := Scan(in, "a", "event")
	valid := json.Valid(in)
	if fault != nil {
		if valid && fault.Code != FaultTooDeep {
			t.Fatalf("%q is refused: %v", in, fault)
		}
		if fault.Offset < 0 || fault.Offset > len(in) {
			t.Fatalf("%q: fault at %d", in, fault.Offset)
		}
		return
	}
	if !valid {
		t.Fatalf("%q is taken", in)
	}
	if s.UTF8 != utf8.Valid(in) {
		t.Fatalf("%q: UTF-8 is %v", in, s.UTF8)
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(in, &m) == nil && m != nil && !strings.Contains(string(in), `\`) && s.UTF8 {
		if got, want := string(s.Picked[0]), strings.TrimSpace(string(m["a"])); got != want {
			t.Fatalf("%q: picked %q, want %q", in, got, want)
		}
	}
	var list []json.RawMessage
	if json.Unmarshal(in, &list) == nil && s.Kind == '[' {
		i := 0
		if fault := Elements(in, func(raw []byte, es Shape) *Fault {
			if want := strings.TrimSpace(string(list[i])); string(raw) != want || es.Size != len(want) {
				t.Fatalf("%q: element %d is %q, want %q", in, i, raw, want)
			}
			i++
			return nil
		}); fault != nil || i != len(list) {
			t.Fatalf("%q: %d elements of %d, %v", in, i, len(list), fault)
		}
	}
}

func TestScanAgreesWithTheStandardLibrary(t *testing.T) {
	for _, in := range jsonSeeds {
		checkScan(t, []byte(in))
		checkScan(t, []byte("["+in+"]"))
		checkScan(t, []byte(`{"a":`+in+`}`))
		checkScan(t, []byte(`[{"a":`+in+`},`+in+`]`))
	}
}

func TestDepthAndSize(t *testing.T) {
	nest := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for name, c := range map[string]struct{ body, code string }{
		"64 levels":          {nest(64), ""},
		"65 levels":          {nest(65), FaultTooDeep},
		"mixed":              {`{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, FaultTooDeep},
		"beyond the scan":    {nest(600), FaultTooDeep},
		"never closed":       {strings.Repeat("[", 1<<16), FaultTooDeep},
		"256 KiB":            {`{"a":"` + strings.Repeat("x", 256<<10-8) + `"}`, ""},
		"a byte more":        {`{"a":"` + strings.Repeat("x", 256<<10-7) + `"}`, FaultTooLarge},
		"a list":             {`[]`, FaultWrongType},
		"a text":             {`"x"`, FaultWrongType},
		"latin-1":            {"{\"a\":\"\xe9\"}", FaultUTF8},
		"a surrogate as raw": {"{\"a\":\"\xed\xa0\x80\"}", FaultUTF8},
		"nothing":            {"", FaultMalformed},
	} {
		fault := CheckShape(canonical.WayEvents, []byte(c.body), Bounds{})
		if fault == nil && c.code != "" || fault != nil && fault.Code != c.code {
			t.Errorf("%s: got %v, want %q", name, fault, c.code)
		}
	}
	if fault := CheckShape("fax", []byte("{}"), Bounds{}); fault == nil || fault.Code != FaultWay {
		t.Errorf("an unknown way: %v", fault)
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) { checkScan(t, in) })
}

// FuzzRead: whatever a stranger writes, Read neither panics nor makes more of it than it
// is, gives the same twice, and its problems repeat nothing of the body.
func FuzzRead(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add(byte(0), []byte(s))
	}
	for i, s := range []string{guideLifecycle, guideDeal, hook("contact", "merge", `"mergedObjectIds":[1,"2"],"newObjectId":9,`), `{"event":"page_view","url":"https://e.example/?fbclid=x","fbc":"fb.1.1.x"}`,
		`{"event_name":"Lead","event_time":"1776942259","user_data":{"em":["a@example.com"],"fbc":"fb.1.1776900000000.a.b","ph":null}}`,
		`{"event":"x","shape":{"kind":"form"}}`, segmentOrder, segmentAlias, segmentGroup} {
		f.Add(byte(i), []byte(s))
	}
	ways := []canonical.Way{canonical.WayCRM, canonical.WayEvents, canonical.WayHubSpot, canonical.WayPixel, canonical.WayMeta, canonical.WayHook, canonical.WaySegment, canonical.WaySegment, canonical.WaySegment}
	f.Fuzz(func(t *testing.T, way byte, body []byte) {
		r := receipt(ways[int(way)%len(ways)], string(body))
		got, p := Read(r, Settings{Region: "US"})
		again, p2 := Read(r, Settings{Region: "US"})
		a, err := json.Marshal(got)
		if err != nil {
			t.Fatalf("the report cannot be written: %v", err)
		}
		b, _ := json.Marshal(again)
		if string(a) != string(b) || (p == nil) != (p2 == nil) {
			t.Fatalf("two readings differ:\n%s\n%s", a, b)
		}
		if len(a) > 64*(len(body)+256) {
			t.Fatalf("%d bytes became %d", len(body), len(a))
		}
		if p != nil {
			if Codes()[p.Code] == "" {
				t.Fatalf("unknown code %s", p.Code)
			}
			return
		}
		if got.Event == "" || got.OccurredAt.IsZero() || got.OccurredAt.Before(earliest) || got.OccurredAt.After(received.Add(ahead)) || got.TimeText == "" {
			t.Fatalf("read as %s", a)
		}
		for _, id := range got.Identifiers {
			if id.Value == "" || strings.Contains(id.Value, "@") && (id.Scheme == canonical.Email || id.Scheme == canonical.UserID || id.Scheme == canonical.Anonymous) {
				t.Fatalf("identifier %+v", id)
			}
		}
		Bare(r)
	})
}

func BenchmarkRead(b *testing.B) {
	for name, r := range map[string]canonical.Receipt{
		"crm": receipt(canonical.WayCRM, guideLifecycle), "deal": receipt(canonical.WayEvents, guideDeal),
		"webhook": receipt(canonical.WayHubSpot, hook("contact", "propertyChange", `"objectId":1,"propertyName":"lifecyclestage","propertyValue":"lead",`)),
		"pixel":   receipt(canonical.WayPixel, `{"anonymous_id":"a-77","url":"https://www.acme.example/pricing?utm_source=linkedin&utm_medium=cpc&li_fat_id=7F3c"}`),
		"meta":    receipt(canonical.WayMeta, `{"event_name":"Lead","event_time":1776942259,"event_id":"e1","user_data":{"em":["`+adaHash+`"],"fbc":"fb.1.1776900000000.IwAR0"},"custom_data":{"value":1,"currency":"EUR"}}`),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, p := Read(r, Settings{}); p != nil {
					b.Fatal(p)
				}
			}
		})
	}
}

func BenchmarkCheckShape(b *testing.B) {
	body := []byte(guideDeal)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if fault := CheckShape(canonical.WayEvents, body, Bounds{}); fault != nil {
			b.Fatal(fault)
		}
	}
}

func BenchmarkBare(b *testing.B) {
	r := receipt(canonical.WayHubSpot, hook("contact", "propertyChange", `"objectId":1,"propertyName":"lifecyclestage","propertyValue":"lead",`))
	b.ReportAllocs()
	for b.Loop() {
		if !Bare(r) {
			b.Fatal("not bare")
		}
	}
}
