package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/ingest"
)

// A dry run says what an item would come to, and what it says comes true when it is sent: fate,
// name, id, rule, and at each destination. It keeps nothing, and tells a key that may only send
// nothing of what is known of others.
func TestADryRunSaysWhatHappensAndKeepsNothing(t *testing.T) {
	needEngine(t)
	t.Parallel()
	s := newSystem(t, systemOptions{})
	s.start()
	keys, err := ingest.OpenKeys(filepath.Join(s.dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	sender, _, err := keys.Create(ingest.NewKey{Name: "sender", Scopes: []ingest.Scope{ingest.ScopeIngest}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	type dry struct {
		OK     bool `json:"ok"`
		DryRun bool `json:"dry_run"`
		Items  []struct {
			ingest.Foreseen
			Error *ingest.Error `json:"error"`
		} `json:"items"`
	}
	try := func(key, path, body string) dry {
		t.Helper()
		status, answer := s.post(path+"?dry_run=true", []byte(body), http.Header{"Authorization": {"Bearer " + key}})
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
		if strings.Contains(string(answer), "buyer@") {
			t.Errorf("the answer tells whom it is about: %s", answer)
		}
		var a dry
		if err := json.Unmarshal(answer, &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) { // the new key is seen within a second
		if status, _ := s.post("/v1/events?dry_run=true", []byte(`{"event":"x","user_id":"u"}`), http.Header{"Authorization": {"Bearer " + sender}}); status == 200 || time.Now().After(deadline) {
			break
		}
	}

	stage := `{"event":"lead_stage_changed","source":"hubspot","occurred_at":"` + time.Now().UTC().Add(-time.Hour).Format(time.RFC3339) + `","user_data":{"email":"buyer@acme.example"},
		"custom_data":{"hubspot_contact_id":"102948","hubspot_lifecycle_stage":"marketingqualifiedlead","tracklayer_stage":"proposal_sent"}}`
	batch := `[` + stage + `,` + stage + `,{"event":"lead_stage_changed","contact":{"id":"1"}},7,{"event":"contact.merged","contact":{"id":"1"}},{"event":"contact.merged","contact":{"id":"1","merged_ids":["2"]}}]`
	a := try(s.key, "/v1/events", batch)
	var fates []string
	for _, x := range a.Items {
		if x.Error != nil {
			fates = append(fates, string(x.Error.Code))
		} else {
			fates = append(fates, strings.TrimSuffix(string(x.Fate)+" "+x.Reason, " "))
		}
	}
	if got, want := strings.Join(fates, ", "), "event, observation, quarantined missing_stage, wrong_type, bad_merge, facts_only"; got != want {
		t.Errorf("fates %s, want %s", got, want)
	}
	first := a.Items[0]
	if first.Event == nil || first.Event.Name != "qualified_lead" || first.Event.Claimed != "proposal_sent" || first.Event.Rule == "" || first.Known == nil || *first.Known || len(first.Destinations) != 3 {
		t.Fatalf("got %+v", first)
	}
	if b := s.books(); len(b.Receipts) != 0 {
		t.Errorf("something was kept: %+v", b.Receipts)
	}

	// It comes true.
	id := s.send("/v1/events", stage)[0]
	s.settle()
	status, answer := s.request(http.MethodGet, "/v1/receipts/"+id, nil, nil)
	view := string(answer)
	for _, want := range []string{`"name":"qualified_lead"`, `"event_id":"` + string(first.Event.ID) + `"`, `"rule":"` + first.Event.Rule + `"`, `"claimed":"proposal_sent"`} {
		if !strings.Contains(view, want) {
			t.Errorf("the receipt lacks %s: %s", want, view)
		}
	}
	var where ingest.ReceiptView
	if err := json.Unmarshal(answer, &where); err != nil || status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	for i, d := range where.Event.Destinations {
		foreseen := first.Destinations[i]
		if sent := d.State == "delivered" || d.State == "dead"; d.Destination != foreseen.Destination || sent != (len(foreseen.Parts) > 0 && foreseen.Parts[0].Would == "send") {
			t.Errorf("%s: %s %s, foreseen %+v", d.Destination, d.State, d.Reason, foreseen)
		}
	}
	s.recorded("SELECT claimed, name, source FROM v_claims", "proposal_sent qualified_lead hubspot")
	if _, metrics := s.request(http.MethodGet, "/metrics", nil, nil); !strings.Contains(string(metrics), `tributary_claims_differ_total{source="hubspot"} 1`) {
		t.Error("the disagreement is not counted")
	}

	// Now it is a copy, and its person known; a key that may only send sees neither.
	if again := try(s.key, "/v1/events", stage).Items[0]; again.Fate != "observation" {
		t.Errorf("sent again it is %+v", again)
	}
	other := strings.Replace(stage, "marketingqualifiedlead", "salesqualifiedlead", 1)
	if x := try(s.key, "/v1/events", other).Items[0]; x.Known == nil || !*x.Known {
		t.Errorf("its person is known: %+v", x)
	}
	if x := try(sender, "/v1/events", stage).Items[0]; x.Known != nil || x.Fate != "event" || len(x.Destinations) != 3 {
		t.Errorf("a key for sending sees %+v", x)
	}
}
