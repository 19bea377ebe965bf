package hubspotcrm_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/destinations"
	"tributary/destinations/hubspot"
	"tributary/destinations/simulator"
	"tributary/internal/budget"
	"tributary/internal/hubspotcrm"
)

// An account is a simulated HubSpot with a client that reads it.
type account struct {
	*simulator.Simulator
	*hubspotcrm.Client
	t *testing.T

	mu    sync.Mutex
	calls []string // method and path of every request, without the query
}

func newAccount(t *testing.T, o simulator.HubSpotAccount) *account {
	t.Helper()
	o.Token = "pat-test"
	s, err := simulator.New(simulator.Options{HubSpot: o, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	a := &account{Simulator: s, t: t}
	a.Client = &hubspotcrm.Client{Token: func(context.Context) (string, error) { return o.Token, nil }, HTTP: &http.Client{}}
	return a
}

// serve puts the account behind a server.
func (a *account) serve() *account {
	server := httptest.NewServer(a.counted())
	a.t.Cleanup(server.Close)
	a.BaseURL = server.URL
	return a
}

func (a *account) counted() http.Handler {
	h := a.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.calls = append(a.calls, r.Method+" "+r.URL.Path)
		a.mu.Unlock()
		h.ServeHTTP(w, r)
	})
}

// inProcess answers requests without a connection, so that time may be virtual.
type inProcess struct{ http.Handler }

func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func (a *account) make(m simulator.Made) string {
	a.t.Helper()
	id, err := a.Make(m)
	if err != nil {
		a.t.Fatal(err)
	}
	return fmt.Sprint(id)
}

func (a *account) contact(n int) string {
	return a.make(simulator.Made{Type: "contact", Properties: map[string]string{"email": fmt.Sprintf("p%d@example.com", n)}})
}

func TestReadsInHundreds(t *testing.T) {
	a := newAccount(t, simulator.HubSpotAccount{Burst: -1}).serve()
	var ids []string
	for n := range 250 {
		ids = append(ids, a.contact(n))
	}
	got, err := a.Read(t.Context(), "contact", ids)
	if err != nil || len(got) != 250 {
		t.Fatalf("%d read, %v", len(got), err)
	}
	for n, id := range ids {
		if o := got[id]; o.ID != id || o.Type != "contact" || o.Properties["email"] != fmt.Sprintf("p%d@example.com", n) || o.CurrentID != "" {
			t.Fatalf("contact %s is %+v", id, o)
		}
	}
	want := slices.Repeat([]string{"POST /crm/v3/objects/contacts/batch/read"}, 3)
	if !slices.Equal(a.calls, want) {
		t.Errorf("asked %q", a.calls)
	}
	if _, err := a.Read(t.Context(), "contact", nil); err != nil || len(a.calls) != 3 {
		t.Errorf("nothing to read was asked for: %v", err)
	}
}

func TestAMergedObjectComesUnderTheIDAskedFor(t *testing.T) {
	a := newAccount(t, simulator.HubSpotAccount{}).serve()
	one, two, three := a.contact(1), a.contact(2), a.contact(3)
	survivor, err := a.Merge(simulator.Merger{Primary: number(t, one), Merge: number(t, two)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Read(t.Context(), "contact", []string{one, two, three, fmt.Sprint(survivor), "77"})
	if err != nil || len(got) != 4 {
		t.Fatalf("read %+v, %v", got, err)
	}
	for id, current := range map[string]string{one: fmt.Sprint(survivor), two: fmt.Sprint(survivor), three: "", fmt.Sprint(survivor): ""} {
		if o := got[id]; o.ID != id || o.CurrentID != current || o.Properties["email"] == "" {
			t.Errorf("contact %s is %+v; it is %q now", id, o, current)
		}
	}
}

func TestWhatIsNotThereIsLeftOut(t *testing.T) {
	a := newAccount(t, simulator.HubSpotAccount{}).serve()
	one, gone := a.contact(1), a.contact(2)
	if err := a.Delete("contact", number(t, gone), false, simulator.Change{}); err != nil {
		t.Fatal(err)
	}
	got, err := a.Read(t.Context(), "contact", []string{gone, "7", one})
	if err != nil || len(got) != 2 || got[one].ID != one || got[one].Archived {
		t.Errorf("read %+v, %v", got, err)
	}
	if o := got[gone]; !o.Archived || o.Properties["email"] != "p2@example.com" {
		t.Errorf("a deleted contact, which HubSpot keeps for ninety days, was read as %+v", o)
	}
	if ties, _, err := a.Associated(t.Context(), "contact", []string{one, "7"}, "company"); err != nil || len(ties) != 0 {
		t.Errorf("associations %v, %v", ties, err)
	}
}

func TestAssociationsFollowTheirPages(t *testing.T) {
	a := newAccount(t, simulator.HubSpotAccount{LinkPage: 2, Burst: -1}).serve()
	var people, firms []int64
	for n := range 5 {
		people = append(people, number(t, a.contact(n)))
		firms = append(firms, number(t, a.make(simulator.Made{Type: "company", Properties: map[string]string{"name": fmt.Sprint("firm ", n)}})))
	}
	slices.Reverse(firms) // the first given is the primary: here the last made
	many := a.make(simulator.Made{Type: "deal", Contacts: people, Companies: firms})
	few := a.make(simulator.Made{Type: "deal", Contacts: people[:2]})
	got, _, err := a.Associated(t.Context(), "deal", []string{many, few}, "contact")
	if err != nil || fmt.Sprint(got[many]) != fmt.Sprint(people) || fmt.Sprint(got[few]) != fmt.Sprint(people[:2]) {
		t.Errorf("contacts %v, %v; want %v", got, err, people)
	}
	if len(a.calls) != 3 {
		t.Errorf("%d pages were asked for; want 3, the last two of one deal alone", len(a.calls))
	}
	got, _, err = a.Associated(t.Context(), "deal", []string{many}, "company")
	want := append([]int64{firms[0]}, firms[4], firms[3], firms[2], firms[1])
	if err != nil || fmt.Sprint(got[many]) != fmt.Sprint(want) {
		t.Errorf("companies %v, %v; want the primary first, then by number: %v", got[many], err, want)
	}
}

func TestAnObjectWithVeryManyAssociationsIsReadInPart(t *testing.T) {
	a := newAccount(t, simulator.HubSpotAccount{LinkPage: 1, Burst: -1}).serve()
	var people []int64
	for n := range 12 {
		people = append(people, number(t, a.contact(n)))
	}
	deal := a.make(simulator.Made{Type: "deal", Contacts: people})
	got, _, err := a.Associated(t.Context(), "deal", []string{deal}, "contact")
	if err != nil || len(got[deal]) != 10 || len(a.calls) != 10 {
		t.Errorf("%d of 12 in %d calls, %v; want the first ten pages", len(got[deal]), len(a.calls), err)
	}
}

// Labels that the account made itself come as roles, by the ids of their types.
func TestLabelsOfAnAssociationAreItsRoles(t *testing.T) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"status":"COMPLETE","results":[{"from":{"id":"5"},"to":[
			{"toObjectId":1001,"associationTypes":[{"category":"HUBSPOT_DEFINED","typeId":3,"label":null},{"category":"USER_DEFINED","typeId":31,"label":"Decision maker"},{"category":"USER_DEFINED","typeId":33,"label":"Champion"}]},
			{"toObjectId":1002,"associationTypes":[{"category":"HUBSPOT_DEFINED","typeId":3,"label":null}]}]}]}`)
	})
	c := &hubspotcrm.Client{BaseURL: "http://crm.test", Token: func(context.Context) (string, error) { return "t", nil }, HTTP: &http.Client{Transport: inProcess{answer}}}
	tied, roles, err := c.Associated(t.Context(), "deal", []string{"5"}, "contact")
	if err != nil || fmt.Sprint(tied["5"]) != "[1001 1002]" || fmt.Sprint(roles) != "map[5:map[1001:[31 33]]]" {
		t.Errorf("tied %v, roles %v, %v", tied, roles, err)
	}
}

// What a refusal says about what to do: halt, wait, or never ask this again.
func TestTroubles(t *testing.T) {
	for name, tc := range map[string]struct {
		account simulator.HubSpotAccount
		token   string
		fault   simulator.Fault
		want    hubspotcrm.Trouble
	}{
		"a wrong token":          {token: "revoked", want: hubspotcrm.Trouble{Status: 401, Halt: true, Words: "INVALID_AUTHENTICATION", After: 2 * time.Second}},
		"a missing scope":        {account: simulator.HubSpotAccount{Scopes: []string{"crm.objects.deals.read"}}, want: hubspotcrm.Trouble{Status: 403, Halt: true, Words: "MISSING_SCOPES", After: 2 * time.Second}},
		"the ten seconds' limit": {fault: simulator.Fault{Mode: "429"}, want: hubspotcrm.Trouble{Status: 429, Words: "TEN_SECONDLY_ROLLING", After: 2 * time.Second}},
		"a limit with its wait":  {fault: simulator.Fault{Mode: "429", RetryAfter: 3}, want: hubspotcrm.Trouble{Status: 429, Words: "TEN_SECONDLY_ROLLING", After: 3 * time.Second}},
		"the day's limit":        {account: simulator.HubSpotAccount{Daily: 1}, want: hubspotcrm.Trouble{Status: 429, Words: "DAILY", After: 2 * time.Second}},
		"a bad request":          {fault: simulator.Fault{Mode: "400"}, want: hubspotcrm.Trouble{Status: 400, Refuse: true, Words: "VALIDATION_ERROR", After: 2 * time.Second}},
		"a locked record":        {fault: simulator.Fault{Mode: "423"}, want: hubspotcrm.Trouble{Status: 423, After: 2 * time.Second}},
		"a move between regions": {fault: simulator.Fault{Mode: "477", RetryAfter: 7200}, want: hubspotcrm.Trouble{Status: 477, After: 2 * time.Hour}},
		"a fault of its own":     {fault: simulator.Fault{Mode: "500"}, want: hubspotcrm.Trouble{Status: 500, After: 2 * time.Second}},
		"a gateway's page":       {fault: simulator.Fault{Mode: "502html"}, want: hubspotcrm.Trouble{Status: 502, After: 2 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, tc.account).serve()
			id := a.contact(1)
			if tc.account.Daily == 1 {
				if _, err := a.Read(t.Context(), "contact", []string{id}); err != nil {
					t.Fatal(err)
				}
			}
			if tc.token != "" {
				a.Token = func(context.Context) (string, error) { return tc.token, nil }
			}
			if tc.fault.Mode != "" {
				tc.fault.Vendor = simulator.HubSpot
				if err := a.Fail(tc.fault); err != nil {
					t.Fatal(err)
				}
			}
			for what, read := range map[string]func() error{
				"objects":      func() error { _, err := a.Read(t.Context(), "contact", []string{id}); return err },
				"associations": func() error { _, _, err := a.Associated(t.Context(), "contact", []string{id}, "company"); return err },
			} {
				err := read()
				var got *hubspotcrm.Trouble
				if !errors.As(err, &got) || *got != tc.want {
					t.Errorf("%s: %v: %+v, want %+v", what, err, got, tc.want)
					continue
				}
				halt, after := got.Halting()
				if halt != tc.want.Halt || after != tc.want.After || got.Refused() != tc.want.Refuse {
					t.Errorf("%s: halting %v after %v, refused %v", what, halt, after, got.Refused())
				}
				if strings.Contains(err.Error(), "pat-test") || strings.Contains(err.Error(), id) {
					t.Errorf("%s: the error names what it must not: %v", what, err)
				}
			}
		})
	}
}

func TestAHostThatCannotBeReached(t *testing.T) {
	a := newAccount(t, simulator.HubSpotAccount{}).serve()
	if err := a.Fail(simulator.Fault{Vendor: simulator.HubSpot, Mode: "reset"}); err != nil {
		t.Fatal(err)
	}
	_, err := a.Read(t.Context(), "contact", []string{"1"})
	var trouble *hubspotcrm.Trouble
	if err == nil || errors.As(err, &trouble) || strings.Contains(err.Error(), a.BaseURL) {
		t.Errorf("got %v; want an error that names no address and is no refusal", err)
	}
}

func TestAnAnswerWithoutEndIsARefusal(t *testing.T) {
	a := newAccount(t, simulator.HubSpotAccount{})
	a.HTTP.Transport = inProcess{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 17 {
			w.Write([]byte(strings.Repeat(" ", 1<<20)))
		}
	})}
	a.BaseURL = "http://hubspot.test"
	_, err := a.Read(t.Context(), "contact", []string{"1"})
	var trouble *hubspotcrm.Trouble
	if !errors.As(err, &trouble) || !trouble.Refused() {
		t.Errorf("got %v", err)
	}
}

// open gives the account's budget as the adapter of HubSpot has its limits.
func (a *account) open(settings string) {
	a.t.Helper()
	var section yaml.Node
	if err := yaml.Unmarshal([]byte(settings), &section); err != nil {
		a.t.Fatal(err)
	}
	d, problems := hubspot.Kind().New(&section)
	if len(problems) > 0 {
		a.t.Fatal(problems)
	}
	a.BaseURL, a.HTTP.Transport = "http://hubspot.test", inProcess{a.counted()}
	a.Budget, a.Headroom = budget.New("hubspot/main", d.Contract().Limits, budget.Options{}), d.(destinations.Gauge).Headroom
}

// Every call takes one of the account's budget, whatever it reads.
func TestCallsKeepToTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, simulator.HubSpotAccount{Burst: 50})
		a.open("{requests_per_ten_seconds: 50}")
		id := a.contact(1)
		began := time.Now()
		for range 110 {
			if _, err := a.Read(t.Context(), "contact", []string{id}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took.Round(time.Second) != 20*time.Second {
			t.Errorf("110 calls took %v; want the third fifty to begin after twenty seconds", took)
		}
		if n := a.Stats(simulator.HubSpot).Throttled; n != 0 {
			t.Errorf("HubSpot throttled %d calls", n)
		}
	})
}

// An account that is smaller than it was said to be is found out by its first answer.
func TestTheHeadersCorrectTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, simulator.HubSpotAccount{Burst: 10})
		a.open("{tier: enterprise}")
		id := a.contact(1)
		for range 55 {
			if _, err := a.Read(t.Context(), "contact", []string{id}); err != nil {
				t.Fatal(err)
			}
		}
		if n := a.Stats(simulator.HubSpot).Throttled; n != 0 {
			t.Errorf("HubSpot throttled %d calls", n)
		}
	})
}

// A 429 is told to the account, so that nobody else runs into it.
func TestARefusalClosesTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Date(2000, 1, 1, 20, 0, 0, 0, time.UTC)
		time.Sleep(time.Until(at))
		a := newAccount(t, simulator.HubSpotAccount{Daily: 1, TimeZone: "America/New_York"})
		a.open("{tier: enterprise, time_zone: America/New_York}")
		a.Headroom = nil // or the budget would know beforehand
		id := a.contact(1)
		if _, err := a.Read(t.Context(), "contact", []string{id}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Read(t.Context(), "contact", []string{id}); err == nil {
			t.Fatal("the second call of the day was answered")
		}
		limit, until, ok := a.Budget.Waiting()
		if want := at.Add(9*time.Hour + 5*time.Second); !ok || limit != "day" || !until.Equal(want) {
			t.Errorf("waiting for %q until %v, %v; want day until %v", limit, until, ok, want)
		}
		if _, err := a.Read(t.Context(), "contact", []string{id}); err != nil || time.Now().Before(until) {
			t.Errorf("read at %v, %v", time.Now(), err)
		}
		if n := a.Stats(simulator.HubSpot).Throttled; n != 1 {
			t.Errorf("HubSpot throttled %d calls; want the first alone", n)
		}
	})
}

func number(t *testing.T, id string) int64 {
	t.Helper()
	var n int64
	if _, err := fmt.Sscan(id, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
