package hubspotcrm_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/destinations/simulator"
	"tributary/internal/hubspotcrm"
)

// virtual answers the account's calls in this process, so that time may be virtual.
func (a *account) virtual() *account {
	a.BaseURL, a.HTTP.Transport = "http://hubspot.test", inProcess{a.counted()}
	return a
}

// told collects what the client found wrong.
func (a *account) told() map[string]string {
	out := map[string]string{}
	a.Told = func(what string, problem error) {
		if delete(out, what); problem != nil {
			out[what] = problem.Error()
		}
	}
	return out
}

func TestWhatAStageMeans(t *testing.T) {
	a := newAccount(t, simulator.HubSpotAccount{
		Pipelines: []simulator.Pipeline{
			simulator.DealPipeline("renewals", "Renewals"),
			{ID: "77", Label: "Partners", Stages: []simulator.Stage{{ID: "7701", Label: "Signed", Closed: true, Probability: 1}}},
		},
		Lifecycle: []string{"lead", "4417902", "customer"},
	}).serve()
	for _, tc := range []struct{ object, property, value, pipeline, want string }{
		{"deal", "dealstage", "closedwon", "renewals", "renewals Renewals closedwon Closed Won true 1.0"},
		{"deal", "dealstage", "closedlost", "default", "default Sales Pipeline closedlost Closed Lost true 0.0"},
		{"deal", "dealstage", "7701", "default", "77 Partners 7701 Signed true 1.0"}, // the deal has moved on to another pipeline
		{"deal", "dealstage", "closedwon", "gone", "<nil>"},                          // two pipelines have it
		{"deal", "dealstage", "nowhere", "default", "<nil>"},
		{"deal", "amount", "100", "default", "<nil>"},
		{"contact", "lifecyclestage", "4417902", "", "  4417902 4417902  "},
		{"company", "lifecyclestage", "customer", "", "  customer customer  "},
		{"contact", "hs_lead_status", "OPEN_DEAL", "", "  OPEN_DEAL OPEN_DEAL  "},
		{"contact", "lifecyclestage", "", "", "<nil>"},
	} {
		m, err := a.Meaning(t.Context(), tc.object, tc.property, tc.value, tc.pipeline)
		got := "<nil>"
		if m != nil {
			got = strings.Join([]string{m.Pipeline, m.PipelineLabel, m.Stage, m.Label, m.Closed, m.Probability}, " ")
		}
		if err != nil || got != tc.want {
			t.Errorf("%s %s in %q: %q, %v; want %q", tc.property, tc.value, tc.pipeline, got, err, tc.want)
		}
	}
}

// Settings are read once an hour, and sooner for a word that they do not have: once a minute.
func TestSettingsAreReadAgainForAnUnknownWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, simulator.HubSpotAccount{}).virtual()
		ask := func(stage string, times int) {
			t.Helper()
			if _, err := a.Meaning(t.Context(), "deal", "dealstage", stage, "default"); err != nil {
				t.Error(err)
			}
			if len(a.calls) != times {
				t.Errorf("%d calls after %q at %v, want %d", len(a.calls), stage, time.Now(), times)
			}
		}
		ask("closedwon", 1)
		ask("contractsent", 1)
		ask("new", 1) // read a moment ago
		time.Sleep(61 * time.Second)
		ask("closedwon", 1)
		ask("new", 2)
		ask("newer", 2)
		time.Sleep(time.Hour)
		ask("closedwon", 3)

		fail := func(mode string) {
			t.Helper()
			if err := a.Fail(simulator.Fault{Vendor: simulator.HubSpot, Mode: mode}); err != nil {
				t.Fatal(err)
			}
		}
		fail("503html")
		time.Sleep(2 * time.Hour)
		ask("closedwon", 4) // what is old serves while HubSpot is away
		if _, err := a.Meaning(t.Context(), "deal", "dealstage", "new", "default"); err == nil {
			t.Error("a stage that is not known, with HubSpot away, is no error; its receipt would say something else than later")
		}
	})
}

// Settings that the token may not read hold up nobody, and are told.
func TestSettingsThatMayNotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, simulator.HubSpotAccount{Scopes: []string{"crm.objects.contacts.read"}}).virtual()
		told := a.told()
		for range 3 {
			if m, err := a.Meaning(t.Context(), "contact", "hs_lead_status", "NEW", ""); m != nil || err != nil {
				t.Errorf("%+v, %v", m, err)
			}
		}
		if len(a.calls) != 1 || !strings.Contains(told["properties of contacts"], "MISSING_SCOPES") {
			t.Errorf("%d calls, told %v", len(a.calls), told)
		}
	})
}

func TestOwnersCurrentAndGone(t *testing.T) {
	var here []int64
	for n := range int64(150) {
		here = append(here, 500+n)
	}
	a := newAccount(t, simulator.HubSpotAccount{Owners: here, OwnersLeft: []int64{9}}).serve()
	owners, err := a.Owners(t.Context())
	if err != nil || len(owners) != 151 || len(a.calls) != 3 {
		t.Fatalf("%d owners in %d calls, %v", len(owners), len(a.calls), err)
	}
	if o := owners[150]; o.ID != "9" || !o.Archived || o.Email != "owner9@example.test" || o.Name != "Owner 9" || fmt.Sprint(o.Teams) != "[Sales]" {
		t.Errorf("the one who left is %+v", o)
	}
}

// A property that the mapping misspells is found out before it is read in vain.
func TestAPropertyThatIsNotThereIsToldBeforeItIsRead(t *testing.T) {
	a := newAccount(t, simulator.HubSpotAccount{}).serve()
	told := a.told()
	a.Further = func(string) []string { return []string{"hs_closed_amunt", "description"} }
	id := a.make(simulator.Made{Type: "deal", Properties: map[string]string{"dealname": "d", "description": "x"}})
	got, err := a.Read(t.Context(), "deal", []string{id})
	if err != nil || got[id].Properties["description"] != "x" {
		t.Errorf("read %+v, %v", got, err)
	}
	if said := told["properties that the mapping reads of deals"]; !strings.Contains(said, "hs_closed_amunt (did you mean hs_closed_amount?)") || strings.Contains(said, "description") {
		t.Errorf("told %q", said)
	}
}

// What a deal was worth when its stage changed, however late it is read.
func TestADealIsReadAsItWas(t *testing.T) {
	a := newAccount(t, simulator.HubSpotAccount{}).serve()
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	change := func(after time.Duration) simulator.Change { return simulator.Change{At: at.Add(after)} }
	deal := a.make(simulator.Made{Change: change(0), Type: "deal", Properties: map[string]string{"dealname": "d"}})
	for after, amount := range map[time.Duration]string{time.Minute: "100", time.Hour: "900"} {
		if err := a.Set("deal", number(t, deal), map[string]string{"amount": amount}, change(after)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := a.Read(t.Context(), "deal", []string{deal})
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]string{0: "100", time.Minute: "100", 59 * time.Minute: "100", time.Hour: "900", 2 * time.Hour: "900"} {
		if amount := got[deal].At(at.Add(after)).Properties["amount"]; amount != want {
			t.Errorf("after %v it was worth %q, want %q", after, amount, want)
		}
	}
}

// Answers that look like success and are none, and a 404 that says nothing of any record.
func TestAnswersThatAreNotTheWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
	}{
		"a batch that goes on":             {200, `{"status":"PENDING","results":[]}`},
		"rows that failed":                 {207, `{"status":"COMPLETE","results":[],"errors":[{"category":"INTERNAL_ERROR"}]}`},
		"a gateway's page":                 {200, `<html><body>Please wait</body></html>`},
		"half an answer":                   {200, `{"status":"COMPLETE","results":[{"id":"1"`},
		"a path that is not there":         {404, `{"status":"error","message":"resource not found"}`},
		"a page of the forms host":         {429, `error code: 1015`},
		"a limit of the second":            {429, `{"status":"error","message":"You have reached your secondly limit.","category":"RATE_LIMITS"}`},
		"an account that moves, by a page": {477, `<html></html>`},
	} {
		t.Run(name, func(t *testing.T) {
			c := &hubspotcrm.Client{BaseURL: "http://crm.test", Token: func(context.Context) (string, error) { return "t", nil }, HTTP: &http.Client{Transport: inProcess{
				http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tc.status); fmt.Fprint(w, tc.body) })}}}
			_, err := c.Read(t.Context(), "contact", []string{"1"})
			_, _, also := c.Associated(t.Context(), "contact", []string{"1"}, "company")
			for _, err := range []error{err, also} {
				var trouble *hubspotcrm.Trouble
				if !errors.As(err, &trouble) || trouble.Halt || trouble.Refuse || trouble.After == 0 {
					t.Errorf("%v: %+v; want something to wait for", err, trouble)
				}
			}
		})
	}
}
