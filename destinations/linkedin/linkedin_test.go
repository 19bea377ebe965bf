package linkedin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
)

var suite = destinationtest.Suite{
	Kind:   Kind(),
	Config: "rules:\n  closed_won: 18423345\n",
	Route:  canonical.Route{Rule: "closed_won", Value: "arr", At: "default.yaml:50"},
	Accepts: func(batch []destinations.Item, r destinations.Response) bool {
		return r.Status == http.StatusCreated && len(batch) == 1 // documented for a single event: 201 and an empty body
	},
	Check: onlyKnownKeys,
}

func TestSuite(t *testing.T)      { suite.Run(t) }
func TestGolden(t *testing.T)     { suite.Golden(t) }
func TestReadme(t *testing.T)     { suite.Readme(t) }
func FuzzClassify(f *testing.F)   { suite.Fuzz(f) }
func BenchmarkBuild(b *testing.B) { suite.Bench(b) }

// schema is every key that LinkedIn takes, by path.
var schema = map[string]string{
	"": "object", "elements": "list", "elements.conversion": "text", "elements.conversionHappenedAt": "number",
	"elements.conversionValue": "object", "elements.conversionValue.currencyCode": "text", "elements.conversionValue.amount": "text",
	"elements.eventId": "text", "elements.user": "object",
	"elements.user.userIds": "list", "elements.user.userIds.idType": "text", "elements.user.userIds.idValue": "text",
	"elements.user.userInfo": "object", "elements.user.userInfo.firstName": "text", "elements.user.userInfo.lastName": "text",
	"elements.user.userInfo.hashedFirstName": "text", "elements.user.userInfo.hashedLastName": "text", "elements.user.userInfo.title": "text", "elements.user.userInfo.companyName": "text", "elements.user.userInfo.countryCode": "text",
	"elements.user.externalIds": "list", "elements.user.lead": "text",
}

// onlyKnownKeys holds that no null, no empty text and no unknown key ever leaves, and
// that userIds is always there.
func onlyKnownKeys(t testing.TB, q destinations.Request) {
	t.Helper()
	var body any
	if err := json.Unmarshal(q.Body, &body); err != nil {
		t.Fatal(err)
	}
	walk(t, "", body)
	for i, b := range q.Bodies {
		if !strings.Contains(string(b), `"userIds":[`) {
			t.Errorf("element %d has no userIds: %s", i, b)
		}
	}
	for _, name := range []string{"Linkedin-Version", "X-Restli-Method", "X-Restli-Protocol-Version"} {
		if len(q.Header[name]) != 1 {
			t.Errorf("header %s: %v", name, q.Header[name])
		}
	}
}

func walk(t testing.TB, path string, v any) {
	t.Helper()
	kind, known := schema[path]
	if !known {
		t.Errorf("%s is no key of LinkedIn's", path)
	}
	switch v := v.(type) {
	case nil:
		t.Errorf("%s is null", path)
	case string:
		if v == "" {
			t.Errorf("%s is empty", path)
		}
		if kind == "list" { // of externalIds
			return
		}
		if kind != "text" {
			t.Errorf("%s is a text", path)
		}
	case float64:
		if kind != "number" {
			t.Errorf("%s is a number", path)
		}
	case []any:
		if kind != "list" {
			t.Errorf("%s is a list", path)
		}
		for _, e := range v {
			walk(t, path, e)
		}
	case map[string]any:
		for key, e := range v {
			walk(t, strings.TrimPrefix(path+"."+key, "."), e)
		}
	default:
		t.Errorf("%s is %T", path, v)
	}
}

func TestEndDatesAreThoseOfTheSheet(t *testing.T) {
	want := map[string]string{
		"202609": "2027-09-15", "202608": "2027-08-17", "202607": "2027-07-15", "202606": "2027-06-15", "202605": "2027-05-15",
		"202604": "2027-04-15", "202603": "2027-03-16", "202602": "2027-02-15", "202601": "2027-01-15",
		"202511": "2026-11-16", "202510": "2026-10-15",
	}
	for v, end := range want {
		if got := versionEnds[v].Format("2006-01-02"); got != end {
			t.Errorf("%s ends %s, want %s", v, got, end)
		}
	}
	if len(versionEnds) != len(want) {
		t.Errorf("%d versions, want %d", len(versionEnds), len(want))
	}
}

// Vectors of linkedin.md §5.1: no folding of dots and plus-tags, no white space.
func TestEmailsHashAlike(t *testing.T) {
	for in, want := range map[string]string{
		" Ada.Byron@Example.COM ": "d9acb9853197a9408e7ca823a0eef9cb5c5b51c4c18683fdf2b83e29b671a09e",
		"ADA.BYRON@example.com":   "d9acb9853197a9408e7ca823a0eef9cb5c5b51c4c18683fdf2b83e29b671a09e",
		"ada. byron @example.com": "d9acb9853197a9408e7ca823a0eef9cb5c5b51c4c18683fdf2b83e29b671a09e",
		"a.b+crm@gmail.com":       "9645de50be2049ada6691bdd1b8d88f4c413885ca8f66c33e4080d6e605a636e",
		"no address at all":       "",
		"+1 415 555 0134":         "",
	} {
		got := emails(canonical.Event{Contact: canonical.Contact{Email: in}}, canonical.Known{})
		if want == "" && len(got) == 0 {
			continue
		}
		if !slices.Equal(got, []string{want}) {
			t.Errorf("emails(%q) = %v, want %s", in, got, want)
		}
	}
}

// A hash is passed through only from a field that says it is one, without Meta's
// appendix, and never hashed again.
func TestHashesAreNotHashedTwice(t *testing.T) {
	hash := canonical.EmailHash("ada.byron@example.com")
	for name, e := range map[string]canonical.Event{
		"hashed field":  {Contact: canonical.Contact{Hashed: map[string][]string{"em": {strings.ToUpper(hash)}}}},
		"with appendix": {Contact: canonical.Contact{Hashed: map[string][]string{"em": {hash + ".AQQCAQMC"}}}},
		"identifier":    {Identifiers: []canonical.Identifier{{Scheme: canonical.Email, Value: hash}}},
		"all of them":   {Contact: canonical.Contact{Email: "Ada.Byron@example.com", Hashed: map[string][]string{"em": {hash}}}, Identifiers: []canonical.Identifier{{Scheme: canonical.Email, Value: hash}}},
	} {
		if got := emails(e, canonical.Known{}); !slices.Equal(got, []string{hash}) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := emails(canonical.Event{Contact: canonical.Contact{Email: hash}}, canonical.Known{}); len(got) != 0 {
		t.Errorf("a hash in the clear-text field became %v", got)
	}
}

// Data of limited use stays here: LinkedIn has no word for it. A line that is no advertising
// is asked by nobody.
func TestLimitedUseIsWithheld(t *testing.T) {
	d := suite.Open(t)
	e := destinationtest.Deals(1)[0]
	for consent, c := range map[string]struct {
		said *canonical.Consent
		want string
	}{
		"": {&canonical.Consent{DataProcessing: []string{"LDU"}}, canonical.ReasonNoConsent}, "not_denied": {&canonical.Consent{DataProcessing: []string{}}, ""},
		"ignore": {&canonical.Consent{DataProcessing: []string{"LDU"}}, ""}, "required": {nil, ""},
	} {
		route := suite.Route
		route.Consent, e.Consent = consent, c.said
		if _, no := d.Plan(e, canonical.Known{}, route); no.Reason != c.want {
			t.Errorf("%q: %s %s, want %q", consent, no.Reason, no.Detail, c.want)
		}
	}
}
