package webhook

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
)

func accepts(_ []destinations.Item, r destinations.Response) bool { return r.Status/100 == 2 }

var suite = destinationtest.Suite{
	Kind:     Kind(),
	Config:   "url: https://example.com/hooks/tributary?tenant=acme\nbatch: 50\n",
	Unsorted: true, // canonical types have an order of their own
	Accepts:  accepts,
}

// templated is the same with a template that asks for every field there is.
var templated = destinationtest.Suite{
	Kind: Kind(), Unsorted: true, Accepts: accepts,
	Route: canonical.Route{Value: "amount", Properties: map[string]any{"team": "sales"}},
	Config: `
url: https://example.com/api
batch: 50
batch_key: ""
include_contact: true
include_properties: true
include_revenue: true
body:
  id: "{{ event_id }}"
  all: "{{ {name: name, at: occurred_at, on: occurred_on, unix: occurred_unix, ms: occurred_ms, basis: time_basis, rank: rank, funnel: funnel} }}"
  where: "{{ [source, pipeline, raw_stage, stage, person, account, contact_id, email_hash, receipt_id, mapping_version] }}"
  object: "{{ object }}"
  company: "{{ company }}"
  contact: "{{ contact }}"
  touches: ["{{ touch }}", "{{ first_touch }}", "{{ last_touch }}"]
  revenue: "{{ revenue }}"
  value: "{{ value }}"
  identifiers: "{{ identifiers }}"
  properties: "{{ properties }}"
  route: "{{ route }}"
  words: "{{ contact.first_name }} of {{ company.name }} ({{ value.amount }} {{ value.currency }}, {{ rank }}, {{ funnel }})"
`,
}

func TestSuite(t *testing.T)      { suite.Run(t) }
func TestTemplated(t *testing.T)  { templated.Run(t) }
func TestGolden(t *testing.T)     { suite.Golden(t) }
func TestReadme(t *testing.T)     { suite.Readme(t) }
func FuzzClassify(f *testing.F)   { suite.Fuzz(f) }
func BenchmarkBuild(b *testing.B) { suite.Bench(b) }
func BenchmarkTemplate(b *testing.B) {
	templated.Bench(b)
}

func configured(t testing.TB, config string) destination {
	t.Helper()
	return destinationtest.Suite{Kind: Kind(), Config: config}.Open(t).(destination)
}

// Checked with: printf '1777000000.{"event_id":"1"}' | openssl dgst -sha256 -hmac demo-secret
func TestSignature(t *testing.T) {
	d := configured(t, "url: https://example.com/\n")
	r := httptest.NewRequest(http.MethodPost, "https://example.com/", nil)
	d.Authorize(r, []byte(`{"event_id":"1"}`), "demo-secret", time.Unix(1777000000, 5))
	if got, want := r.Header.Get(SignatureHeader), "t=1777000000,v1=22a38ce40df8661f11212259eb491cb3360f46f5c52b6e3428bd4f05a99d9489"; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

func TestAuth(t *testing.T) {
	for name, c := range map[string]struct{ config, secret, url, header, want string }{
		"bearer":           {"auth: bearer\n", "s-1", "https://example.com/a?b=1", "Authorization", "Bearer s-1"},
		"basic":            {"auth: basic\n", "user:pass:word", "https://example.com/a?b=1", "Authorization", "Basic dXNlcjpwYXNzOndvcmQ="},
		"header":           {"auth: header\nauth_name: x-api-key\n", "s-1", "https://example.com/a?b=1", "X-Api-Key", "s-1"},
		"path":             {"auth: path\n", "/T000/B000/x%2Fy", "https://example.com/a/T000/B000/x%2Fy?b=1", "", ""},
		"query":            {"auth: query\nauth_name: sig\n", "a+b/c", "https://example.com/a?b=1&sig=a%2Bb%2Fc", "", ""},
		"none":             {"auth: none\n", "s-1", "https://example.com/a?b=1", "", ""},
		"without a secret": {"auth: bearer\n", "", "https://example.com/a?b=1", "Authorization", ""},
	} {
		d := configured(t, "url: https://example.com/a?b=1\n"+c.config)
		r := httptest.NewRequest(http.MethodPost, "https://example.com/a?b=1", nil)
		d.Authorize(r, []byte("{}"), c.secret, time.Unix(0, 0))
		if got := r.URL.String(); got != c.url {
			t.Errorf("%s: %s, want %s", name, got, c.url)
		}
		if c.header != "" && r.Header.Get(c.header) != c.want {
			t.Errorf("%s: %s is %q, want %q", name, c.header, r.Header.Get(c.header), c.want)
		}
		if d.NeedsSecret() != (name != "none") {
			t.Errorf("%s: needs a secret: %v", name, d.NeedsSecret())
		}
	}
}

// Whatever an event holds fills values and never changes the shape of a body.
func TestNothingBreaksOut(t *testing.T) {
	d := configured(t, "url: https://example.com/\nheaders: {X-Event: 'a {{ raw_stage }}'}\nbody:\n  a: '{{ raw_stage }}'\n  b: 'x {{ raw_stage }} y'\n  c: {d: ['{{ raw_stage }}']}\n")
	for _, s := range []string{`"`, `\`, `"}],"admin":true,"x":[{"`, "\n", "\u2028", "{{ event_id }}", "\x00\xff", "</script>", strings.Repeat("é", 5000)} {
		e := destinationtest.Deals(1)[0]
		e.RawStage = s
		parts, _ := d.Plan(e, canonical.Known{}, canonical.Route{})
		q, err := d.Build([]destinations.Item{{Event: e, Part: parts[0]}})
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		var back struct {
			A, B  string
			C     struct{ D []string }
			Admin bool
		}
		if !destinations.ReadJSON(q.Body, &back) || back.Admin || len(back.C.D) != 1 || back.A != back.C.D[0] || back.B != "x "+back.A+" y" {
			t.Errorf("%q gave %s", s, q.Body)
		}
		if clean := strings.ToValidUTF8(s, "\ufffd"); back.A != clean {
			t.Errorf("%q came back as %q", s, back.A)
		}
		if h := q.Header.Get("X-Event"); strings.ContainsAny(h, "\r\n\x00") || len([]rune(h)) > 1000 {
			t.Errorf("%q is a header %q", s, h)
		}
	}
}

func TestTemplatesAreBounded(t *testing.T) {
	long := destinationtest.Deals(1)[0]
	long.RawStage = strings.Repeat("x", maxBody)
	for name, c := range map[string]struct {
		config string
		event  canonical.Event
	}{
		"a long body": {"body: {a: '{{ raw_stage }}'}", long},
		"a long text": {"body: {a: 'x {{ raw_stage }}{{ raw_stage }}'}", long},
	} {
		d := configured(t, "url: https://example.com/\n"+c.config+"\n")
		parts, _ := d.Plan(c.event, canonical.Known{}, canonical.Route{})
		if _, err := d.Build([]destinations.Item{{Event: c.event, Part: parts[0]}}); err == nil || strings.Contains(err.Error(), "xxxx") {
			t.Errorf("%s: %v", name, err)
		}
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
	_, problems := Kind().New(destinationtest.Section(t, "url: https://example.com/\nbody:\n  "+strings.ReplaceAll(strings.TrimSpace(bomb), "\n", "\n  ")+"\n"))
	if len(problems) != 1 || !strings.Contains(problems[0].Message, "too large") {
		t.Errorf("a body that grows by aliases: %v", problems)
	}
}

// The keys of an object come in one order, so that an event gives the same bytes each time.
func TestKeysInOrder(t *testing.T) {
	d := configured(t, "url: https://example.com/\ninclude_properties: true\naccepted_if: len(keys(answer)) == 2\nbody: {k: \"{{ join(keys(properties), ',') }}\", v: '{{ values(properties) }}'}\n")
	e := destinationtest.Deals(1)[0]
	e.Properties = map[string]any{"d": "4", "b": "2", "a": "1", "c": "3"}
	parts, _ := d.Plan(e, canonical.Known{}, canonical.Route{})
	for range 20 {
		q, err := d.Build([]destinations.Item{{Event: e, Part: parts[0]}})
		if want := `{"k":"a,b,c,d","v":["1","2","3","4"]}`; err != nil || string(q.Body) != want {
			t.Fatalf("%s, %v; want %s", q.Body, err, want)
		}
	}
	for body, want := range map[string]destinations.Verdict{`{"a":1,"b":2}`: destinations.Delivered, `{"a":1}`: destinations.Reject} {
		if o := d.Classify([]destinations.Item{{Event: e}}, destinations.Response{Status: 200, Body: []byte(body)})[0]; o.Verdict != want {
			t.Errorf("%s is %v", body, o)
		}
	}
}

// Headers that the sender writes itself cannot be configured: they would do nothing, or keep
// answers from being read.
func TestHeadersOfTheSender(t *testing.T) {
	for _, name := range []string{"User-Agent", "Accept-Encoding", "content-length"} {
		_, problems := Kind().New(destinationtest.Section(t, "url: https://example.com/\nheaders: {"+name+": x}\n"))
		if len(problems) != 1 || !strings.Contains(problems[0].Message, name) {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

// What a receiver repeats of a person is not kept among the reasons.
func TestNobodyIsNamedInReasons(t *testing.T) {
	d := configured(t, "url: https://example.com/\ninclude_contact: true\n")
	e := destinationtest.Deals(1)[0]
	e.Contact.FirstName, e.Contact.LastName, e.Contact.Email = "Ada", "Byron", "ada@example.com"
	o := d.Classify([]destinations.Item{{Event: e}}, destinations.Response{Status: 422, Body: []byte(`{"error":"no","got":{"first_name":"Ada","last_name":"Byron","email":"ada@example.com"}}`)})[0]
	if o.Verdict != destinations.Reject || strings.Contains(o.Detail, "Ada") || strings.Contains(o.Detail, "Byron") || !strings.Contains(o.Detail, "error") {
		t.Errorf("%+v", o)
	}
}

// Whatever somebody writes into a template is a mistake with a place, or builds every event.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{{ name }}", "a {{ value.amount ?? 0 }} b", "{{ {\"a\": {\"b\": 1}} }}", "{{ '}}' }}", "{{", "{{ }}", "{{ nil }}", "{{ map(identifiers, .value) }}", "{{ $env }}", "{{ 1..9 }}", "{{ name matches '(' }}", "{{ let x = 1; x }}"} {
		f.Add(s)
	}
	events := append(destinationtest.Deals(1), canonical.Event{})
	f.Fuzz(func(t *testing.T, s string) {
		section := destinationtest.Section(t, "url: https://example.com/\nbody: {a: \"\"}\n")
		section.Content[3].Content[1].Value = s
		d, problems := Kind().New(section)
		for _, p := range problems {
			if p.Line == 0 || p.Message == "" {
				t.Errorf("%q: a mistake without a place: %+v", s, p)
			}
		}
		if len(problems) > 0 {
			return
		}
		for _, e := range events {
			parts, _ := d.Plan(e, destinationtest.KnownOf(e), canonical.Route{})
			q, err := d.Build([]destinations.Item{{Event: e, Known: destinationtest.KnownOf(e), Part: parts[0]}})
			var back map[string]any
			if err == nil && !destinations.ReadJSON(q.Body, &back) {
				t.Errorf("%q gave %s", s, q.Body)
			}
		}
	})
}
