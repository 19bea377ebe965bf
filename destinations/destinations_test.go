package destinations

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

type settings struct {
	Name  string            `yaml:"name"`
	On    bool              `yaml:"on"`
	N     int               `yaml:"n"`
	Rate  float64           `yaml:"rate"`
	Wait  time.Duration     `yaml:"wait"`
	Rules map[string]string `yaml:"rules"`
	List  []int             `yaml:"list"`
	Limit *int              `yaml:"limit"`
	In    struct {
		Deep string `yaml:"deep"`
	} `yaml:"in"`
}

func decode(t *testing.T, text string) (settings, []Problem, *Section) {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	got := settings{Name: "default", N: 7}
	s := Decode(&doc, &got)
	return got, s.Problems(), s
}

func TestDecode(t *testing.T) {
	got, problems, s := decode(t, "name: 12\non: true\nrate: 2\nwait: 90s\nrules: {a: x, b: 00123}\nlist: [1, 2]\nlimit: 3\nin: {deep: y}\nn: ~\n")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got.Name != "12" || !got.On || got.N != 7 || got.Rate != 2 || got.Wait != 90*time.Second || got.Rules["b"] != "00123" ||
		len(got.List) != 2 || *got.Limit != 3 || got.In.Deep != "y" {
		t.Errorf("%+v", got)
	}
	if !s.Given("rules.a") || s.Given("rules.c") || !s.Given("in.deep") {
		t.Error("Given does not know what was given")
	}
}

func TestDecodeTellsEveryMistakeAtOnce(t *testing.T) {
	_, problems, _ := decode(t, `naem: x
on: yes please
n: 1.5
rate: fast
wait: 5
rules: [a]
list: {a: b}
limit: x
in:
  deeep: 1
  deep: true
? [a, b]
: c
wait: 3s
`)
	want := []Problem{
		{1, 1, `unknown setting "naem" (did you mean "name"?)`},
		{2, 5, `on is "yes please"; it must be true or false`},
		{3, 4, `n is "1.5"; it must be a whole number`},
		{4, 7, `rate is "fast"; it must be a number`},
		{5, 7, `wait is "5"; it must be a duration such as 5s or 2m`},
		{6, 8, `rules must be a mapping of keys to values`},
		{7, 7, `list must be a list`},
		{8, 8, `limit is "x"; it must be a whole number`},
		{10, 3, `unknown setting "deeep" (did you mean "deep"?)`},
		{11, 9, `in.deep is "true"; it must be text`},
		{12, 3, `the section has a key that is no plain text`},
		{14, 1, `"wait" stands here twice`},
	}
	for i := range max(len(problems), len(want)) {
		var g, w Problem
		if i < len(problems) {
			g = problems[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("problem %d: got %+v, want %+v", i, g, w)
		}
	}
}

func TestDecodeFollowsAnchors(t *testing.T) {
	got, problems, _ := decode(t, "name: &n acme\nin: {deep: *n}\n")
	if got.In.Deep != "acme" || len(problems) > 0 {
		t.Errorf("%+v %v", got, problems)
	}
}

func TestDecodeOfNothing(t *testing.T) {
	for _, n := range []*yaml.Node{nil, {}, {Kind: yaml.ScalarNode, Tag: "!!null"}, {Kind: yaml.MappingNode}} {
		got := settings{N: 7}
		s := Decode(n, &got)
		s.Require("name", "a name")
		if p := s.Problems(); got.N != 7 || len(p) != 1 || p[0].Message != "name is missing: a name" {
			t.Errorf("%+v, %v", got, p)
		}
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"timeline", "timeout", "batch", "rules"}
	for word, want := range map[string]string{"timeuot": "timeout", "bacth": "batch", "rule": "rules", "zzz": "", "": "", "timelines": "timeline"} {
		if got := Suggest(word, known); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", word, got, want)
		}
	}
}

func money(s string) *canonical.Money {
	m, err := canonical.ParseMoney(s)
	if err != nil {
		panic(err)
	}
	return &m
}

func TestValueOf(t *testing.T) {
	r := &canonical.Revenue{Amount: money("36000"), MRR: money("-1"), ACV: money("0"), Currency: " eur "}
	for _, c := range []struct {
		basis, missing, want, gap string
	}{
		{"", "", "", ""}, {"none", "hold", "", ""},
		{"amount", "", "36000 EUR", ""}, {"acv", "", "0 EUR", ""},
		{"arr", "", "", "arr was not given"}, {"mrr", "", "", "mrr is negative"}, {"cats", "", "", "cats was not given"},
		{"arr", "use:amount", "36000 EUR", ""}, {"arr", "use:none", "", ""}, {"arr", "use:tcv", "", "arr was not given"},
		{"arr", "hold", "", "arr was not given"},
	} {
		v, gap := ValueOf(r, canonical.Route{Value: c.basis, IfMissing: c.missing})
		got := ""
		if v != nil {
			got = v.Amount.String() + " " + v.Currency
		}
		if got != c.want || gap != c.gap {
			t.Errorf("ValueOf(%s, %s) = %q, %q; want %q, %q", c.basis, c.missing, got, gap, c.want, c.gap)
		}
	}
	if _, gap := ValueOf(nil, canonical.Route{Value: "arr"}); gap != "arr was not given" {
		t.Errorf("without revenue: %q", gap)
	}
	if _, gap := ValueOf(&canonical.Revenue{ARR: money("1"), Currency: "EURO"}, canonical.Route{Value: "arr"}); gap != "arr has no ISO 4217 currency" {
		t.Errorf("a made-up currency: %q", gap)
	}
}

func TestCountry(t *testing.T) {
	for in, want := range map[string]string{
		"de": "DE", "DEU": "DE", "Germany": "DE", " united  states ": "US", "U.S.A.": "US", "U.K.": "GB", "The Netherlands": "NL",
		"Côte d’Ivoire": "CI", "Turkey": "TR", "EU": "", "001": "", "world": "", "Europe": "", "ZZ": "", "Nowhere": "", "": "", "x": "",
		"Georgia": "GE", "Hong Kong": "HK", "South Korea": "KR", "Czechia": "CZ",
	} {
		if got := Country(in); got != want {
			t.Errorf("Country(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	date := "Wed, 23 Apr 2026 11:04:19 GMT"
	for _, c := range []struct {
		after, date string
		want        time.Duration
	}{
		{"", "", 0}, {"7", "", 7 * time.Second}, {"0.5", "", 500 * time.Millisecond}, {"-1", "", 0}, {"NaN", "", 0}, {"1e300", "", 24 * time.Hour}, {"soon", "", 0},
		{"Wed, 23 Apr 2026 11:05:19 GMT", date, time.Minute}, {"Wed, 23 Apr 2026 11:05:19 GMT", "", 0}, {"Wed, 23 Apr 2026 10:05:19 GMT", date, 0},
	} {
		h := http.Header{"Retry-After": {c.after}, "Date": {c.date}}
		if got := RetryAfter(h); got != c.want {
			t.Errorf("RetryAfter(%q, %q) = %v, want %v", c.after, c.date, got, c.want)
		}
	}
}

func TestCleanURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://example.com/a?x=1&mail=ada%40example.com&y=2#frag": "https://example.com/a?x=1&y=2",
		"https://example.com/?e=ada@example.com":                    "https://example.com/",
		"https://user:pw@example.com/":                              "https://example.com/",
		"https://example.com/?b=2&a=1":                              "https://example.com/?b=2&a=1",
		"https://example.com/?to=ada@example.com,bob@example.org":   "https://example.com/",
		"https://example.com/?e=ada%2540example.com&a=1":            "https://example.com/?a=1",
		"https://example.com/?ada@example.com":                      "https://example.com/",
		"https://example.com/u/ada%40example.com/x?a=1":             "https://example.com/u/-/x?a=1",
		"https://example.com/@handle?at=@home":                      "https://example.com/@handle?at=@home",
		"javascript:alert(1)":                                       "", "/relative": "", "": "", "http://": "", "https://example.com/%zz": "",
	} {
		if got := CleanURL(in); got != want {
			t.Errorf("CleanURL(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestUnnamed(t *testing.T) {
	batch := []Item{{}, {Event: canonical.Event{Contact: canonical.Contact{FirstName: "Ada", LastName: "Byron", Phone: "0171 1234567", City: "X"}}}}
	if got, want := Unnamed(`no: {"name":"Ada Byron","tel":"0171 1234567","e":"ada@example.com"} X`, batch), `no: {"name":"[person] [person]","tel":"[person]","e":"[email]"} X`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVendorWords(t *testing.T) {
	got := VendorWords("no contact\r\nada.byron@example.com (ada%40example.com), " + canonical.SHA256("x") + " or +49 (0)30 901820, id 31\x00\xff")
	if want := "no contact [email] ([email]), [hash] or [phone], id 31"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := len([]rune(VendorWords(strings.Repeat("é", 5000)))); n != 300 {
		t.Errorf("%d characters", n)
	}
}

func TestPerson(t *testing.T) {
	h := func(s string) canonical.Identifier {
		return canonical.Identifier{Scheme: canonical.Email, Value: canonical.EmailHash(s)}
	}
	e := canonical.Event{Contact: canonical.Contact{ID: "5", Email: "A@example.com"}, Identifiers: []canonical.Identifier{h("a@example.com"), h("b@example.com")}}
	k := canonical.Known{Identifiers: []canonical.Identifier{h("c@example.com"), h("b@example.com"), {Scheme: canonical.HubSpotContact, Value: "9"}}}
	if got := EmailHashes(e, k); len(got) != 3 || got[0] != h("a@example.com").Value || got[2] != h("c@example.com").Value {
		t.Errorf("hashes %v", got)
	}
	if got := CRMContact(e, k); got != "9" {
		t.Errorf("contact %s; the survivor is 9", got)
	}
	if got := CRMContact(e, canonical.Known{}); got != "5" {
		t.Errorf("contact %s", got)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	e.Touch = &canonical.Touch{Clicks: []canonical.Click{{Scheme: canonical.FBCLID, Value: "own", At: at}}}
	k.Clicks = []canonical.Click{{Scheme: canonical.FBCLID, Value: "newer", At: at.Add(1)}, {Scheme: canonical.GCLID, Value: "g", At: at}}
	if c, ok := ClickOf(e, k, canonical.FBCLID); !ok || c.Value != "newer" {
		t.Errorf("click %+v", c)
	}
	if _, ok := ClickOf(e, k, canonical.LIFatID); ok {
		t.Error("a click that nobody made")
	}
	if got := HappenedAt(canonical.Event{OccurredAt: at.Add(time.Hour), ReceivedAt: at}); !got.Equal(at) {
		t.Errorf("ahead of receipt: %v", got)
	}
}

func TestRefused(t *testing.T) {
	if o := Refused(make([]Item, 2), Outcome{Reason: "x"}); o[1].Verdict != Split {
		t.Errorf("two: %v", o[1].Verdict)
	}
	if o := Refused(make([]Item, 1), Outcome{Reason: "x"}); o[0].Verdict != Reject {
		t.Errorf("one: %v", o[0].Verdict)
	}
}
