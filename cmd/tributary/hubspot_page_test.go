package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/destinations/simulator"
)

// The sources that docs/hubspot.md shows, with a HubSpot that does what it says there: a change of
// stage told by the app's webhook, by workflows in both forms, as a CRM body and by a middleware, in
// any order, is one conversion.
func TestTheHubSpotPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "hubspot.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/hubspot.md shows %d files", len(blocks))
	}
	_, app, _ := strings.Cut(blocks[0][1], "sources:\n")
	_, flows, _ := strings.Cut(blocks[1][1], "sources:\n")
	t.Setenv("HUBSPOT_CLIENT_SECRET", clientSecret)
	t.Setenv("HUBSPOT_WORKFLOW_SECRET", "workflow-secret-of-tests")
	s := newSystem(t, systemOptions{})
	config, err := os.ReadFile(filepath.Join(s.dir, "tributary.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(config), "  hubspot_app: {kind: hubspot, client_secret: \"file:secret.token\"}\n", app+flows, 1)
	text = strings.Replace(text, "http: {", "http: {public_url: \"https://in.example.com\", ", 1)
	s.write("tributary.yaml", text)
	s.start()

	const target = "https://in.example.com/v1/ingest/hubspot/hubspot_app"
	stage, at := "marketingqualifiedlead", time.Now().Add(-time.Hour).Truncate(time.Second).UTC()
	fields := map[string]string{"hs_object_id": "hs_object_id", "email": "email", "lifecyclestage": "lifecyclestage"}
	dated := map[string]string{"hs_lifecyclestage_" + stage + "_date": "hs_lifecyclestage_" + stage + "_date"}
	for k, v := range fields {
		dated[k] = v
	}
	arrives := func(what string, r *http.Request) { // at our door, whatever name it was signed for
		r.URL.Scheme, r.URL.Host, r.Host = "http", s.address, "in.example.com"
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, _ := io.ReadAll(res.Body); res.StatusCode/100 != 2 {
			t.Fatalf("%s: %d %s", what, res.StatusCode, b)
		}
	}
	workflow := func(what string, w simulator.Workflow) {
		r, err := s.sim.WorkflowRequest(context.Background(), w)
		if err != nil {
			t.Fatal(err)
		}
		arrives(what, r)
	}
	random := rand.New(rand.NewPCG(4, 4))
	const people = 12
	for i := range people {
		email := fmt.Sprintf("p%d@acme.example", i)
		id, err := s.sim.Make(simulator.Made{Change: simulator.Change{At: at.Add(-time.Hour), Silent: true}, Type: "contact", Properties: map[string]string{"email": email, "lifecyclestage": "lead"}})
		if err == nil {
			err = s.sim.Set("contact", id, map[string]string{"lifecyclestage": stage}, simulator.Change{At: at})
		}
		if err != nil {
			t.Fatal(err)
		}
		contact, when := strconv.FormatInt(id, 10), at.Format(time.RFC3339)
		ways := []func(){
			func() {
				for _, w := range s.sim.Webhooks(target) {
					r, _ := http.NewRequest("POST", w.URL, strings.NewReader(string(w.Body)))
					r.Header = w.Header
					arrives("app webhook", r)
				}
			},
			func() {
				workflow("all properties", simulator.Workflow{URL: target + "/workflow", Type: "contact", ID: id})
			},
			func() {
				workflow("a list", simulator.Workflow{URL: target + "/workflow", Type: "contact", ID: id, Fields: dated})
			},
			func() {
				workflow("a GET", simulator.Workflow{URL: target + "/workflow?event=hubspot.lifecycle_changed", Method: "GET", Type: "contact", ID: id, Fields: dated})
			},
			func() {
				workflow("a list without a date", simulator.Workflow{URL: strings.Replace(target, "_app", "_flows", 1) + "/workflow", Type: "contact", ID: id, Fields: fields, Header: "X-Tributary-Secret", Key: "workflow-secret-of-tests"})
			},
			func() {
				s.send("/v1/ingest/crm", fmt.Sprintf(`{"event":"hubspot.lifecycle_changed","occurred_at":%q,"contact":{"id":%q,"email":%q,"lifecycle_stage":%q,"lifecycle_stage_changed_at":%q}}`, time.Now().UTC().Format(time.RFC3339), contact, email, stage, when))
			},
			func() {
				s.send("/v1/events", fmt.Sprintf(`{"event_id":%q,"event":"lead_stage_changed","source":"crm","occurred_at":%q,"user_data":{"email":%q},"custom_data":{"hubspot_contact_id":%q,"hubspot_lifecycle_stage":%q}}`, middlewareID(contact, stage, when), when, email, contact, stage))
			},
		}
		for _, n := range random.Perm(len(ways)) {
			ways[n]()
		}
	}
	for name, refused := range map[string]*http.Request{
		"a wrong secret": request(target + "/workflow?email=ana%40acme.example"),
		"no secret":      request(strings.Replace(target, "_app", "_flows", 1) + "/workflow?email=ana%40acme.example"),
	} {
		refused.URL = &url.URL{Scheme: "http", Host: s.address, Path: refused.URL.Path, RawQuery: refused.URL.RawQuery}
		res, err := http.DefaultClient.Do(refused)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 401 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	s.drained()
	total := 0
	for event, n := range s.got(simulator.Meta) {
		total += n
		if n != people {
			t.Errorf("Meta got %d of %s", n, event)
		}
	}
	if total != people {
		t.Errorf("Meta got %d conversions of %d people", total, people)
	}
	s.recorded("SELECT countIf(way = 'workflow') > 0, countIf(time_basis = 'reported') > 0 FROM v_events", "1 1")
	for _, private := range []string{"acme.example", "workflow-secret-of-tests", clientSecret} {
		if strings.Contains(s.err.String(), private) {
			t.Errorf("the log holds %s", private)
		}
	}
	if !strings.Contains(s.err.String(), "https://in.example.com/v1/ingest/hubspot/hubspot_app/workflow?email=…") {
		t.Error("the log does not say what was verified")
	}
}

func request(target string) *http.Request {
	r, err := http.NewRequest("GET", target, nil)
	if err != nil {
		panic(err)
	}
	r.Header.Set("X-HubSpot-Signature-Version", "v2")
	r.Header.Set("X-HubSpot-Signature", strings.Repeat("0", 64))
	return r
}
