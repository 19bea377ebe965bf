package main

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tributary/destinations/catalog"
	"tributary/destinations/simulator"
	"tributary/internal/config"
	"tributary/internal/hubspotcrm"
)

// hubspotWorld plays one HubSpot account, and writes a configuration beside it.
func hubspotWorld(t *testing.T, a simulator.HubSpotAccount, text string) (path string) {
	t.Helper()
	sim, err := simulator.New(simulator.Options{HubSpot: a})
	if err != nil {
		t.Fatal(err)
	}
	vendor := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { vendor.Close(); sim.Close() })
	path = filepath.Join(t.TempDir(), "tributary.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "URL", vendor.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HUB_TOKEN", "pat-na1-good")
	t.Setenv("HUB_SECRET", "client-secret-of-tests")
	t.Setenv("HUB_KEY", strings.Repeat("5a", 32))
	t.Setenv("VENDOR", vendor.URL)
	return path
}

func runs(t *testing.T, stdin string, args ...string) (out string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err = run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	for _, secret := range []string{"pat-na1-", "client-secret-of-tests", "refresh-of-tests", "developer-key-of-tests"} {
		if strings.Contains(stdout.String()+stderr.String(), secret) || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("a secret is printed:\n%s%s%v", &stdout, &stderr, err)
		}
	}
	return stdout.String(), err
}

func TestCheckHubSpot(t *testing.T) {
	const account = "accounts:\n  hubspot: {kind: hubspot, base_url: URL, token: env:HUB_TOKEN, portal_id: 424242, tier: professional, time_zone: UTC}\n"
	const source = "sources:\n  hubspot_app: {kind: hubspot, client_secret: env:HUB_SECRET}\n"
	const public = "http: {public_url: https://router.invalid}\n"
	good := simulator.HubSpotAccount{Token: "pat-na1-good", Tier: simulator.Professional}
	public2 := simulator.HubSpotAccount{Kind: simulator.OAuthApp, ClientID: "client", ClientSecret: "client-secret-of-tests", RefreshToken: "refresh-of-tests", DeveloperKey: "developer-key-of-tests",
		TargetURL: "https://router.invalid/v1/ingest/hubspot/hubspot_app", Subscriptions: hubspotcrm.Subscriptions()}
	oauth := public + "data_key: env:HUB_KEY\naccounts:\n  hubspot: {kind: hubspot, base_url: URL, tier: oauth, oauth: {client_id: client, client_secret: env:HUB_SECRET, refresh_token: env:HUB_REFRESH}}\n" + source
	for name, c := range map[string]struct {
		account simulator.HubSpotAccount
		text    string
		args    []string
		fails   bool
		says    []string
	}{
		"well": {good, public + account + source, nil, false, []string{"ok     account hubspot: the token of private app 9001 works", "ok     account hubspot: portal 424242", "ok     account hubspot: tier professional",
			"ok     account hubspot: the token has the scopes that are needed", "to do  source hubspot_app: see that these subscriptions are active and go to https://router.invalid/v1/ingest/hubspot/hubspot_app",
			"https://app.hubspot.com/private-apps/424242/9001", "https://router.invalid/v1/ingest/hubspot/hubspot_app/workflow (signed", "warn   source hubspot_app: nobody answers at https://router.invalid/healthz"}},
		"token rotated": {simulator.HubSpotAccount{Token: "another"}, public + account + source, nil, true, []string{"error  account hubspot: HubSpot does not take the token (401)", "https://app.hubspot.com/private-apps/424242"}},
		"all else is wrong": {simulator.HubSpotAccount{Token: "pat-na1-good", Tier: simulator.Enterprise, Scopes: []string{"crm.objects.contacts.read"}, PortalID: 77},
			"accounts:\n  hubspot: {kind: hubspot, base_url: URL, token: env:HUB_TOKEN, portal_id: 424242, tier: professional, app_id: 5}\nsources:\n  hubspot_app: {kind: hubspot, client_secret: env:HUB_TOKEN}\n", nil, true,
			[]string{"portal_id is 424242, and the token is of portal 77", "tier is professional, and HubSpot grants what it grants enterprise", "app_id is 5, and the token is of app 9001",
				"lacks the scopes crm.objects.companies.read, crm.objects.deals.read", "http.public_url is not set", "client_secret holds an access token", "time_zone is not set: write time_zone: UTC"}},
		"writes back": {simulator.HubSpotAccount{Token: "pat-na1-good", Tier: simulator.Professional, Scopes: []string{"crm.objects.contacts.read", "crm.objects.companies.read", "crm.objects.deals.read"}},
			public + account + source + "destinations: {hub: {kind: hubspot, mode: live, token: env:HUB_TOKEN}}\n", nil, true, []string{"lacks the scopes crm.objects.contacts.write"}},
		"nothing comes in": {good, "accounts:\n  hubspot: {kind: hubspot, base_url: URL, token: env:HUB_TOKEN}\n", []string{"hubspot"}, false, []string{"write portal_id: 424242", "write tier: professional", "no source of kind hubspot belongs to it"}},
		"a service key":    {simulator.HubSpotAccount{Kind: simulator.ServiceKey, Token: "pat-na1-good", Tier: simulator.Professional}, public + account + source, nil, false, []string{"account hubspot: "}},
		"a public app":     {public2, oauth, []string{"--developer-key", "env:HUB_DEV"}, false, []string{"the token of OAuth app 9001 works", "tier oauth", "the app subscribes to all that is needed"}},
		"a public app that lacks some": {func() simulator.HubSpotAccount {
			a := public2
			a.Subscriptions, a.TargetURL = []string{"object.creation", "contact.merge"}, "https://old.example.com/hook"
			return a
		}(), oauth, []string{"--developer-key", "env:HUB_DEV"}, true, []string{`the app's target URL is "https://old.example.com/hook"; it must be https://router.invalid/v1/ingest/hubspot/hubspot_app`,
			"does not subscribe to contact.propertyChange:lifecyclestage, contact.deletion"}},
		"the key itself":  {public2, oauth, []string{"--developer-key", "developer"}, true, nil},
		"no such account": {good, account, []string{"hubspott"}, true, nil},
		"no accounts":     {good, "data_dir: data\n", nil, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := hubspotWorld(t, c.account, c.text)
			t.Setenv("HUB_REFRESH", "refresh-of-tests")
			t.Setenv("HUB_DEV", "developer-key-of-tests")
			out, err := runs(t, "", append([]string{"check", "hubspot", "-c", path}, c.args...)...)
			if (err != nil) != c.fails {
				t.Errorf("%v\n%s", err, out)
			}
			for _, want := range c.says {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not in\n%s", want, out)
				}
			}
			if name == "a public app that lacks some" && strings.Contains(out, "company.creation") {
				t.Errorf("a generic subscription does not count:\n%s", out)
			}
		})
	}
}

// Connecting asks, keeps what is typed in files, and writes lines that hold; or prints them, and asks
// nothing where flags say all.
func TestConnectHubSpot(t *testing.T) {
	account := simulator.HubSpotAccount{Token: "pat-na1-good", Tier: simulator.Professional, TimeZone: "Europe/Berlin", Currency: "EUR"}
	const before = "# ours\nhttp:\n    # where\n    listen: 127.0.0.1:8080\n\nsources:\n  crm: {kind: crm} # as before\n"
	path := hubspotWorld(t, account, before)
	vendor := os.Getenv("VENDOR")
	out, err := runs(t, "pat-na1-good\nclient-secret-of-tests\nhttps://in.example.com/\n", "connect", "hubspot", "-c", path, "--base-url", vendor, "--write")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cfg, err := config.Load(path, catalog.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	a, s := cfg.Accounts["hubspot"], cfg.Sources["hubspot_app"]
	secret, err := s.ClientSecret.Value()
	if a.PortalID != 424242 || a.Tier != "professional" || a.TimeZone != "Europe/Berlin" || a.Currency != "EUR" || cfg.HTTP.PublicURL != "https://in.example.com" || cfg.HTTP.Listen != "127.0.0.1:8080" || err != nil || secret != "client-secret-of-tests" || cfg.Sources["crm"].Kind != "crm" {
		t.Errorf("%+v %+v %v", a, s, err)
	}
	text, _ := os.ReadFile(path)
	if !strings.Contains(string(text), "# ours") || !strings.Contains(string(text), "# as before") {
		t.Errorf("comments are gone:\n%s", text)
	}
	if st, err := os.Stat(filepath.Join(filepath.Dir(path), "secrets", "hubspot.token")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the token is kept as %v, %v", st, err)
	}
	for _, want := range []string{"Target URL: https://in.example.com/v1/ingest/hubspot/hubspot_app", "contact.privacyDeletion", "App ID 9001", "https://app.hubspot.com/private-apps/424242/9001"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if out, err := runs(t, "", "connect", "hubspot", "-c", path, "--base-url", vendor); err == nil {
		t.Errorf("connected twice:\n%s", out)
	}
	flags := []string{"connect", "hubspot", "-c", path, "--base-url", vendor, "--account", "emea", "--source", "emea_app", "--token", "env:HUB_TOKEN", "--client-secret", "env:HUB_SECRET"}
	if out, err := runs(t, "", flags...); err != nil || !strings.Contains(out, "emea:\n    kind: hubspot\n    token: env:HUB_TOKEN") || strings.Contains(out, "public_url") {
		t.Errorf("%v\n%s", err, out)
	}
	for name, c := range map[string]struct {
		text, stdin string
		args        []string
	}{
		"nothing given":       {before, "", nil},
		"a secret in a flag":  {before, "", []string{"--token", "pat-na1-good"}},
		"a token that is not": {before, "pat-na1-bad\n", nil},
		"not https":           {before, "", []string{"--token", "env:HUB_TOKEN", "--client-secret", "env:HUB_SECRET", "--public-url", "http://in.example.com"}},
		"on one line":         {"sources: {crm: {kind: crm}}\n", "", []string{"--token", "env:HUB_TOKEN", "--client-secret", "env:HUB_SECRET", "--public-url", "https://in.example.com", "--write"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := hubspotWorld(t, account, c.text)
			out, err := runs(t, c.stdin, append([]string{"connect", "hubspot", "-c", path, "--base-url", os.Getenv("VENDOR")}, c.args...)...)
			if err == nil {
				t.Errorf("connected:\n%s", out)
			}
			if text, _ := os.ReadFile(path); string(text) != c.text {
				t.Errorf("wrote\n%s", text)
			}
		})
	}
}

// docs/hubspot.md lists the subscriptions that check asks for.
func TestTheHubSpotPagesSubscriptions(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "hubspot.md"))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile(`\{"subscriptionType": "([^"]+)",(?: "propertyName": "([^"]+)",)? "active": true\}`).FindAllStringSubmatch(string(page), -1) {
		listed = append(listed, strings.TrimSuffix(m[1]+":"+m[2], ":"))
	}
	wanted := hubspotcrm.Subscriptions()
	slices.Sort(listed)
	slices.Sort(wanted)
	if !slices.Equal(listed, wanted) {
		t.Errorf("listed are %v, wanted %v", listed, wanted)
	}
}
