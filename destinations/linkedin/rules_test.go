package linkedin

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
	"tributary/destinations/simulator"
)

const account = "urn:li:sponsoredAccount:512345678"

// vendor starts a LinkedIn and gives a way to call it.
func vendor(t *testing.T, a simulator.LinkedInAccount) (*simulator.Simulator, destinations.Caller) {
	t.Helper()
	a.Token = "t-1"
	sim, err := simulator.New(simulator.Options{LinkedIn: a, Now: func() time.Time { return destinationtest.Noon.Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler())
	t.Cleanup(server.Close)
	return sim, func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
		plain, err := url.PathUnescape(q.Path)
		if err != nil {
			return destinations.Response{}, err
		}
		r, err := http.NewRequestWithContext(ctx, q.Method, server.URL, bytes.NewReader(q.Body))
		if err != nil {
			return destinations.Response{}, err
		}
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = plain, q.Path, q.RawQuery
		maps.Copy(r.Header, q.Header)
		destinations.Bearer(r, q.Body, "t-1")
		res, err := server.Client().Do(r)
		if err != nil {
			return destinations.Response{}, err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return destinations.Response{Status: res.StatusCode, Header: res.Header, Body: body}, err
	}
}

func configured(t *testing.T, config string) destination {
	t.Helper()
	return destinationtest.Suite{Kind: Kind(), Config: config}.Open(t).(destination)
}

var routes = map[string]canonical.Route{
	"lead_captured": {Rule: "lead", Value: "none"},
	"customer_won":  {Rule: "closed_won", Value: "amount"},
	"page_viewed":   {},
}

func whats(steps []destinations.Step) []string {
	var out []string
	for _, s := range steps {
		mark := "to do: "
		if s.Done {
			mark = "done: "
		}
		out = append(out, strings.TrimSuffix(mark+s.What+" | "+s.Note, " | "))
	}
	return out
}

// Setup makes what is missing, says which numbers to configure, and finds nothing to do the
// second time, whether the numbers were configured or not.
func TestArrange(t *testing.T) {
	sim, call := vendor(t, simulator.LinkedInAccount{
		Rules:     []simulator.Rule{{ID: "77", Name: "won", Account: account, Type: "PURCHASE", Disabled: true}},
		Campaigns: []simulator.Campaign{{ID: "901", Account: "512345678"}, {ID: "902", Account: "512345678", Status: "DRAFT"}, {ID: "903", Account: "512345678", Status: "ARCHIVED"}},
	})
	d := configured(t, "ad_account: 512345678\nrules: {closed_won: 77}\narrange:\n  campaigns: [901, 902]\n  rules:\n    lead: {post_click_days: 90}\n")
	dry, err := d.Arrange(t.Context(), call, routes, false)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{
		"to do: switch on rule closed_won (77)",
		"to do: attach rule closed_won (77) to campaign 901",
		"to do: attach rule closed_won (77) to campaign 902",
		`to do: create rule lead: "Tributary lead", LEAD, NO_VALUE, 90 days after a click, 7 after a view`,
	}; !slices.Equal(whats(dry), want) {
		t.Errorf("a dry run says\n%s", strings.Join(whats(dry), "\n"))
	}
	if n := sim.Stats(simulator.LinkedIn).Requests; n != 1 {
		t.Errorf("a dry run made %d requests, want the one that lists the rules", n)
	}
	steps, err := d.Arrange(t.Context(), call, routes, true)
	if err != nil {
		t.Fatal(err)
	}
	got := whats(steps)
	if len(got) != 6 || got[3] != `done: create rule lead: "Tributary lead", LEAD, NO_VALUE, 90 days after a click, 7 after a view | put into settings.rules: lead: 18423000` ||
		got[5] != "done: attach rule lead (18423000) to campaign 902" {
		t.Errorf("applied:\n%s", strings.Join(got, "\n"))
	}
	for name, config := range map[string]string{
		"not yet configured": "ad_account: " + account + "\nrules: {closed_won: 77}\narrange: {campaigns: [901, 902]}\n",
		"configured":         "ad_account: 512345678\nrules: {closed_won: 77, lead: 18423000}\narrange: {campaigns: all}\n",
	} {
		again, err := configured(t, config).Arrange(t.Context(), call, routes, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range again {
			if !strings.HasSuffix(s.What, "is there") {
				t.Errorf("%s: a second run wants to %s", name, s.What)
			}
		}
	}
}

func TestArrangeAttachesToAll(t *testing.T) {
	var campaigns []simulator.Campaign
	for i := range 250 { // three pages
		campaigns = append(campaigns, simulator.Campaign{ID: itoa(5000 + i), Account: "512345678"})
	}
	_, call := vendor(t, simulator.LinkedInAccount{Rules: []simulator.Rule{{ID: "77", Name: "won", Account: account}}, Campaigns: campaigns})
	d := configured(t, "ad_account: 512345678\nrules: {closed_won: 77}\narrange: {campaigns: all}\n")
	steps, err := d.Arrange(t.Context(), call, routes, true)
	if err != nil || len(steps) != 251 {
		t.Fatalf("%d steps, %v; want 250 to attach the one and 1 to make the other with all", len(steps), err)
	}
	if steps, err = d.Arrange(t.Context(), call, routes, true); err != nil || len(steps) != 1 || steps[0].What != "rule lead is there" {
		t.Errorf("a second run: %v, %v", whats(steps), err)
	}
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/1000), byte('0' + n/100%10), byte('0' + n/10%10), byte('0' + n%10)})
}

func TestArrangeSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ config, want string }{
		"no account":    {"rules: {lead: 1}\n", "settings.ad_account is missing"},
		"no role":       {"ad_account: 9\n", "no role on ad account 9"},
		"no such rule":  {"ad_account: 512345678\nrules: {closed_won: 4711}\n", "settings.rules.closed_won names rule 4711"},
		"of the tag":    {"ad_account: 512345678\nrules: {closed_won: 78}\n", "belongs to the Insight Tag"},
		"ended version": {"ad_account: 512345678\nversion: 202511\n", "version 202511 answers no more"},
	} {
		sim, call := vendor(t, simulator.LinkedInAccount{
			Rules: []simulator.Rule{{ID: "78", Name: "won", Account: account, Method: "INSIGHT_TAG"}}, NoRole: []string{"9"},
			Versions: map[string]time.Time{"202511": destinationtest.Noon},
		})
		_, err := configured(t, c.config).Arrange(t.Context(), call, routes, true)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q; refusals %v", name, err, c.want, sim.Stats(simulator.LinkedIn).Refusals)
		}
	}
}

// A rule that is known to take no events holds its own back, and no others; another's that
// cannot be seen is only told.
func TestLearn(t *testing.T) {
	_, call := vendor(t, simulator.LinkedInAccount{Rules: []simulator.Rule{
		{ID: "1", Name: "on", Account: account, Campaigns: []string{"5"}}, {ID: "2", Name: "off", Account: account, Disabled: true},
		{ID: "3", Name: "tag", Account: account, Method: "INSIGHT_TAG"}, {ID: "4", Name: "alone", Account: account},
	}})
	d := configured(t, "ad_account: 512345678\nrules: {on: 1, off: [2, 4], tag: 3, else: 99}\n")
	learnt, findings, err := d.Learn(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, f := range findings {
		told[f.Subject] = f.Problem
		if f.Blocks != (f.Problem != "" && !strings.Contains(f.Problem, "attached to no campaign")) {
			t.Errorf("%s: blocks %v: %s", f.Subject, f.Blocks, f.Problem)
		}
	}
	for subject, want := range map[string]string{"rule on (1)": "", "rule off (2)": "switched off", "rule off (4)": "attached to no campaign", "rule tag (3)": "Insight Tag", "rule else (99)": "no such rule"} {
		if got, ok := told[subject]; !ok || !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", subject, got, want)
		}
	}
	e := destinationtest.Deals(1)[0]
	for rule, want := range map[string][]string{"on": {""}, "off": {canonical.ReasonHold, ""}, "tag": {canonical.ReasonHold}, "else": {""}} {
		parts, refusal := learnt.Plan(e, destinationtest.KnownOf(e), canonical.Route{Rule: rule})
		if refusal.Reason != "" || len(parts) != len(want) {
			t.Fatalf("rule %s: %v, %v", rule, parts, refusal)
		}
		for i, p := range parts {
			if p.Refused.Reason != want[i] {
				t.Errorf("rule %s, part %s: %+v", rule, p.Name, p.Refused)
			}
		}
	}
	if same, findings, err := configured(t, "rules: {on: 1}\n").Learn(t.Context(), nil); err != nil || findings != nil || same == nil {
		t.Errorf("without an account something is read: %v %v", findings, err)
	}
}

func TestMatch(t *testing.T) {
	d := configured(t, "rules: {won: 1}\nip_address: hashed\nids_from: {ACXIOM_ID: acx}\n")
	hash := canonical.EmailHash("ada.byron@example.com")
	for name, c := range map[string]struct {
		event canonical.Event
		want  map[string]string
	}{
		"nothing": {canonical.Event{}, map[string]string{emailType: "missing", clickType: "missing", "externalIds": "missing", "lead": "missing", "userInfo": "missing", acxiomType: "missing", hashedIP: "missing"}},
		"usable": {canonical.Event{
			Contact: canonical.Contact{ID: "1", Email: "ada.byron@example.com", FirstName: "Ada", LastName: "Byron", LeadID: leadURN + "1"}, Properties: map[string]any{"acx": "A1"},
			Browser: canonical.BrowserContext{IP: "203.0.113.7"}, Identifiers: []canonical.Identifier{{Scheme: canonical.LIFatID, Value: "x"}},
		}, map[string]string{emailType: "usable", clickType: "usable", "externalIds": "usable", "lead": "usable", "userInfo": "usable", acxiomType: "usable", hashedIP: "usable"}},
		"refused": {canonical.Event{
			Contact: canonical.Contact{ID: "a b", Email: "no address", FirstName: "Ada", LeadID: "123456789012345"}, Properties: map[string]any{"acx": "a b"},
			Browser: canonical.BrowserContext{IP: "2001:db8::1"}, Identifiers: []canonical.Identifier{{Scheme: canonical.LIFatID, Value: "x y"}},
		}, map[string]string{emailType: "refused", clickType: "refused", "externalIds": "refused", "lead": "refused", "userInfo": "refused", acxiomType: "refused", hashedIP: "refused"}},
		"prehashed": {canonical.Event{Contact: canonical.Contact{Hashed: map[string][]string{"em": {hash}}}, Identifiers: []canonical.Identifier{{Scheme: canonical.Email, Value: hash}}},
			map[string]string{emailType: "prehashed", clickType: "missing", "externalIds": "missing", "lead": "missing", "userInfo": "missing", acxiomType: "missing", hashedIP: "missing"}},
	} {
		if got := d.Match(destinations.Item{Event: c.event}); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
