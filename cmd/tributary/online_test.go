package main

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/destinations/catalog"
	"tributary/destinations/simulator"
	"tributary/internal/config"
)

// Asked online, the check refreshes tokens as the router does, looks at each account with
// them and changes nothing; a consent that is over is told with what to do.
func TestCheckOnline(t *testing.T) {
	sim, err := simulator.New(simulator.Options{
		Meta:     simulator.MetaAccount{DatasetIDs: []string{dataset}, Token: metaToken},
		LinkedIn: simulator.LinkedInAccount{OAuth: simulator.LinkedInOAuth{ClientID: "client", ClientSecret: "app-secret", RefreshToken: "refresh-li"}, Token: "of nobody"},
		HubSpot:  simulator.HubSpotAccount{Kind: simulator.OAuthApp, ClientID: "client", ClientSecret: "app-secret", RefreshToken: "refresh-hub", PropertyPrefix: "tributary_"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	vendors := httptest.NewServer(sim.Handler())
	defer vendors.Close()
	for name, v := range map[string]string{"KEY": strings.Repeat("5a", 32), "APP": "app-secret", "HUB": "refresh-hub", "LI": "refresh-li", "OLD": "refresh-old", "META": metaToken} {
		t.Setenv("TRIBUTARY_TEST_"+name, v)
	}
	path := filepath.Join(t.TempDir(), "tributary.yaml")
	text := strings.NewReplacer("URL", vendors.URL, "env:", "env:TRIBUTARY_TEST_", "DATASET", dataset).Replace(`
data_key: env:KEY
destinations:
  hub: {kind: hubspot, mode: live, base_url: "URL", allow_private: true, oauth: {client_id: client, client_secret: env:APP, refresh_token: env:HUB}}
  hub_over: {kind: hubspot, mode: live, base_url: "URL", allow_private: true, oauth: {client_id: client, client_secret: env:APP, refresh_token: env:OLD}, settings: {account: other}}
  linkedin: {kind: linkedin, mode: live, base_url: "URL", allow_private: true, oauth: {client_id: client, client_secret: env:APP, refresh_token: env:LI}, settings: {ad_account: "5001", rules: {mql: 77}}}
  linkedin_blind: {kind: linkedin, mode: live, base_url: "URL", allow_private: true, oauth: {client_id: client, client_secret: env:APP, refresh_token: env:LI}, settings: {rules: {mql: 77}}}
  meta: {kind: meta, mode: live, base_url: "URL", allow_private: true, token: env:META, settings: {dataset_id: "DATASET"}}
  meta_dry: {kind: meta, mode: dry_run, base_url: "URL", allow_private: true, settings: {dataset_id: "DATASET"}}
`)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, catalog.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	m, err := loadMapping(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	k := checker{w: &out}
	k.vendors(t.Context(), cfg, m)
	lines := strings.Split(out.String(), "\n")
	for _, want := range []string{
		"ok     destination hub: its account was read",
		"error  destination hub_over: its account cannot be read: ", "reconnect", "destinations.hub_over.oauth.refresh_token",
		"ok     destination linkedin: its account was read",
		"destination linkedin: rule mql (77): ",
		"ok     destination linkedin_blind: nothing in its settings asks",
		"ok     destination meta_dry: has no credential",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if !k.failed {
		t.Error("a consent that is over does not fail the check")
	}
	for _, secret := range []string{"refresh-", "app-secret", metaToken} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the secret %q is printed:\n%s", secret, &out)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(cfg.DataDir, "tokens", "*.token")); len(files) != 2 {
		t.Errorf("kept are %v: one for each consent that holds", files)
	}
}
