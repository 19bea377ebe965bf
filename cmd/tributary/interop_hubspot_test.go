//go:build interop

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What HubSpot's own helper signs is taken, by each of its three schemes and also from a workflow;
// what was changed on the way is not.
func TestInteropHubSpotSignatures(t *testing.T) {
	s := newSystem(t, systemOptions{})
	config, err := os.ReadFile(filepath.Join(s.dir, "tributary.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("tributary.yaml", strings.Replace(string(config), "http: {", `http: {public_url: "https://in.example.com", `, 1))
	s.start()
	type signed struct {
		Version string `json:"version"`
		Method  string `json:"method"`
		URL     string `json:"url"`
		Body    string `json:"body"`
	}
	const target = "https://in.example.com/v1/ingest/hubspot/hubspot_app"
	const webhook = `[{"eventId":1,"subscriptionId":7,"portalId":424242,"appId":9001,"occurredAt":1767225600000,"attemptNumber":0,"subscriptionType":"contact.deletion","objectId":1001,"changeFlag":"DELETED","changeSource":"CRM_UI"}]`
	const record = `{"hs_object_id":"1001","email":"zoë@example.com"}`
	requests := []signed{
		{"v1", "POST", target, webhook}, {"v2", "POST", target + "?tenant=acme", webhook}, {"v3", "POST", target, webhook},
		{"v2", "POST", target + "/workflow", record}, {"v2", "GET", target + "/workflow?hs_object_id=1001&email=ana%40example.com", ""},
		{"v3", "POST", target + "/workflow?event=demo_booked", record},
	}
	list, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	var told struct {
		Answers []struct{ Signed, Tampered int }
	}
	if err := runNode(t, "hubspot", map[string]string{"REQUESTS": string(list), "CLIENT_SECRET": clientSecret, "TRIBUTARY": "http://" + s.address}, &told); err != nil {
		t.Fatal(err)
	}
	if len(told.Answers) != len(requests) {
		t.Fatalf("%+v", told)
	}
	for i, a := range told.Answers {
		if a.Signed != 200 || a.Tampered != 401 {
			t.Errorf("%s %s %s: signed %d, tampered with %d", requests[i].Version, requests[i].Method, requests[i].URL, a.Signed, a.Tampered)
		}
	}
}
