package simulator

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

type oauthReply struct {
	Access  string   `json:"access_token"`
	Refresh string   `json:"refresh_token"`
	Expires int      `json:"expires_in"`
	Portal  int64    `json:"hub_id"`
	Scopes  []string `json:"scopes"`
	Error   string   `json:"error"`
	Status  string   `json:"status"`
	Active  bool     `json:"active"`
}

func (b *bench) oauth(path string, pairs ...string) reply {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.send("POST", path, form.Encode(), "Content-Type: application/x-www-form-urlencoded")
}

func newOAuth(t *testing.T) *bench {
	return newBench(t, Options{People: []Person{ada}, HubSpot: HubSpotAccount{
		Kind: OAuthApp, ClientID: "client", ClientSecret: "secret", RefreshToken: "refresh", Code: "code", PropertyPrefix: "tributary_",
	}})
}

var refreshPairs = []string{"grant_type", "refresh_token", "client_id", "client_id", "client_id", "client", "client_secret", "secret", "refresh_token", "refresh"}

func TestOAuthRefresh(t *testing.T) {
	b := newOAuth(t)
	look := func(token string) reply {
		return b.send("GET", "/account-info/v3/details", "", "Authorization: Bearer "+token)
	}
	look("refresh").wants(t, 401, "INVALID_AUTHENTICATION")
	var tokens []string
	for _, path := range []string{"/oauth/v1/token", "/oauth/v3/token", "/oauth/2026-03/token"} {
		got := b.oauth(path, refreshPairs...)
		got.wants(t, 200, `"token_type":"bearer"`)
		in := read[oauthReply](t, got.body)
		if in.Expires != 1800 || in.Refresh != "refresh" || in.Portal != 424242 || !slices.Contains(in.Scopes, "timeline") {
			t.Errorf("%s: %s", path, got.body)
		}
		tokens = append(tokens, in.Access)
		b.now = b.now.Add(10 * time.Minute)
	}
	if tokens[0] == tokens[1] {
		t.Error("two refreshes gave one token")
	}
	for i, status := range []int{401, 200, 200} { // thirty, twenty, ten minutes old
		got := look(tokens[i])
		got.wants(t, status)
		if status == 200 && (got.header.Get("X-HubSpot-RateLimit-Daily") != "" || got.header.Get("X-HubSpot-RateLimit-Max") != "110") {
			t.Errorf("headers of an OAuth app %v", got.header)
		}
	}
	look(tokens[0]).wants(t, 401, "EXPIRED_AUTHENTICATION")

	introspect := func(token string) oauthReply {
		return read[oauthReply](t, b.oauth("/oauth/2026-03/introspect", "client_id", "client", "client_secret", "secret", "token", token).body)
	}
	if in := introspect(tokens[2]); !in.Active || in.Expires != 1200 {
		t.Errorf("introspection %+v", in)
	}
	if in := introspect(tokens[0]); in.Active {
		t.Error("an expired token is active")
	}
	b.oauth("/oauth/2026-03/revoke", "client_id", "client", "client_secret", "secret", "token", "refresh").wants(t, 204)
	b.oauth("/oauth/v1/token", refreshPairs...).wants(t, 400, `"error":"invalid_grant"`, `"status":"BAD_REFRESH_TOKEN"`)
	look(tokens[2]).wants(t, 401)
}

func TestOAuthRefusals(t *testing.T) {
	b := newOAuth(t)
	with := func(pairs ...string) []string { return append(slices.Clone(refreshPairs), pairs...) }
	for name, tc := range map[string]struct {
		pairs []string
		want  string
	}{
		"another refresh token": {with("refresh_token", "other"), "BAD_REFRESH_TOKEN"},
		"no refresh token":      {with("refresh_token", ""), "BAD_REFRESH_TOKEN"},
		"another client":        {with("client_id", "other"), "BAD_CLIENT_ID"},
		"another secret":        {with("client_secret", "other"), "BAD_CLIENT_SECRET"},
		"another grant":         {with("grant_type", "password"), "BAD_GRANT_TYPE"},
		"journal's grant":       {with("grant_type", "client_credentials"), "BAD_GRANT_TYPE"},
		"another code":          {with("grant_type", "authorization_code", "code", "other", "redirect_uri", "https://example.test/"), "BAD_AUTH_CODE"},
		"code without redirect": {with("grant_type", "authorization_code", "code", "code"), "BAD_AUTH_CODE"},
	} {
		t.Run(name, func(t *testing.T) { b.oauth("/oauth/v3/token", tc.pairs...).wants(t, 400, `"status":"`+tc.want+`"`) })
	}
	code := with("grant_type", "authorization_code", "code", "code", "redirect_uri", "https://example.test/")
	b.oauth("/oauth/v3/token", code...).wants(t, 200, "access_token")
	b.oauth("/oauth/v3/token", code...).wants(t, 400, "BAD_AUTH_CODE") // once
	b.oauth("/oauth/v9/token", refreshPairs...).wants(t, 404)
	b.send("GET", "/oauth/v3/token", "").wants(t, 405)
	newHubSpot(t, HubSpotAccount{}).oauth("/oauth/v1/token", refreshPairs...).wants(t, 400, "BAD_CLIENT_ID") // no OAuth app there
}

func TestAppsAndPortals(t *testing.T) {
	b := newBench(t, Options{
		HubSpot: HubSpotAccount{Token: "pat-1", Tier: Starter, Apps: []HubSpotApp{{Kind: ServiceKey, Token: "key-1", ID: 77}}},
		Portals: []HubSpotAccount{{PortalID: 500, Token: "pat-2", TimeZone: "Europe/Berlin", LimitAddOns: 1}},
		Dir:     t.TempDir(),
	})
	write := func(token, email string) reply {
		return b.send("POST", "/crm/v3/objects/contacts", `{"properties":{"email":"`+email+`"}}`, "Authorization: Bearer "+token)
	}
	write("pat-1", "one@example.test").wants(t, 201)
	write("key-1", "two@example.test").wants(t, 201)
	write("pat-2", "one@example.test").wants(t, 201) // another portal knows nobody yet
	write("key-1", "one@example.test").wants(t, 409)
	write("pat-3", "x@example.test").wants(t, 401)
	items := b.Received(HubSpot)
	if len(items) != 3 || items[0].Portal != 424242 || items[2].Portal != 500 || items[0].Object == items[2].Object {
		t.Errorf("received %+v", items)
	}
	names := make(map[string]Window)
	for _, w := range b.Stats(HubSpot).Windows {
		names[w.Name] = w
	}
	if names["ten_seconds"].Used != 1 || names["424242/77 ten_seconds"].Used != 2 || names["500 ten_seconds"].Limit != 250 || names["500 day"].Limit != 2_000_000 || names["day"].Used != 3 {
		t.Errorf("windows %+v", names)
	}
	sources := make(map[string]bool)
	for _, e := range b.told() {
		sources[e.ChangeSource+" "+e.SourceID] = true
		if e.PortalID != 424242 && e.PortalID != 500 {
			t.Errorf("told %+v", e)
		}
	}
	if !sources["INTEGRATION 9001"] || !sources["API 77"] {
		t.Errorf("sources %v", sources)
	}
	if err := b.Revoke(0, 77, false); err != nil {
		t.Fatal(err)
	}
	write("key-1", "three@example.test").wants(t, 401, "INVALID_AUTHENTICATION")
	write("pat-1", "three@example.test").wants(t, 201)
	b.send("POST", "/_hubspot/revoke", `{"app":77,"undo":true}`).wants(t, 200)
	write("key-1", "four@example.test").wants(t, 201)
	b.send("POST", "/_hubspot/revoke", `{"portal":9}`).wants(t, 400, "portal 9")
	b.send("POST", "/_hubspot/revoke", `{"app":9}`).wants(t, 400, "app 9")
	b.send("POST", "/_hubspot/make", `{"portal":500,"type":"contact","properties":{"email":"made@example.test"}}`).wants(t, 200)

	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = newBench(t, b.opts)
	b.send("GET", "/crm/v3/objects/contacts/made@example.test?idProperty=email", "", "Authorization: Bearer pat-2").wants(t, 200)
	b.send("GET", "/crm/v3/objects/contacts/made@example.test?idProperty=email", "", "Authorization: Bearer pat-1").wants(t, 404)
}

func TestScopesOfKindsAndTiers(t *testing.T) {
	for name, tc := range map[string]struct {
		account   HubSpotAccount
		path      string
		status    int
		wantScope string
	}{
		"custom events, Enterprise":           {HubSpotAccount{}, "/events/v3/send", 400, ""},
		"custom events, Professional":         {HubSpotAccount{Tier: Professional}, "/events/v3/send", 403, "analytics.behavioral_events.send"},
		"definitions, Professional":           {HubSpotAccount{Tier: Professional}, "/events/v3/event-definitions", 403, "behavioral_events.event_definitions.read_write"},
		"classic timeline, private app":       {HubSpotAccount{}, "/crm/v3/timeline/events", 403, "timeline"},
		"classic timeline, service key":       {HubSpotAccount{Kind: ServiceKey}, "/integrators/timeline/v3/events", 403, "timeline"},
		"classic timeline, OAuth":             {HubSpotAccount{Kind: OAuthApp, Templates: adTemplates}, "/integrators/timeline/v3/events", 400, ""},
		"classic timeline, OAuth, no scope":   {HubSpotAccount{Kind: OAuthApp, Templates: adTemplates, Scopes: []string{"oauth"}}, "/integrators/timeline/v3/events", 403, "timeline"},
		"app events, private app":             {HubSpotAccount{}, "/integrators/timeline/2026-03/events", 403, "timeline"},
		"app events, OAuth, no partner":       {HubSpotAccount{Kind: OAuthApp}, "/integrators/timeline/2026-03/events", 403, "timeline"},
		"app events, OAuth, partner":          {HubSpotAccount{Kind: OAuthApp, Partner: true}, "/integrators/timeline/2026-03/events", 400, ""},
		"a first template, where there is no": {HubSpotAccount{Kind: OAuthApp}, "/integrators/timeline/v3/9001/event-templates", 403, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tc.account.Token = "tok"
			b := newBench(t, Options{HubSpot: tc.account})
			got := b.send("POST", tc.path, `{}`, "Authorization: Bearer tok")
			got.wants(t, tc.status, tc.wantScope)
			if tc.status == 403 {
				got.wants(t, 403, `"category":"MISSING_SCOPES"`)
			}
		})
	}
}

func TestTokenInfoIsForStaticTokens(t *testing.T) {
	b := newOAuth(t)
	token := read[oauthReply](t, b.oauth("/oauth/v1/token", refreshPairs...).body).Access
	b.send("POST", "/oauth/v2/private-apps/get/access-token-info", `{"tokenKey":"`+token+`"}`).wants(t, 404)
	b.send("POST", "/oauth/v2/private-apps/get/access-token-info", `{}`).wants(t, 400)
	key := newBench(t, Options{HubSpot: HubSpotAccount{Kind: ServiceKey, Token: "key", Scopes: []string{"crm.objects.contacts.read", "timeline"}}})
	info := key.send("POST", "/oauth/v2/private-apps/get/access-token-info", `{"tokenKey":"key"}`)
	info.wants(t, 200, `"scopes":["crm.objects.contacts.read"]`)
}

func TestVersionsOfPaths(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{EventDefinitions: []string{"touch"}})
	for path, status := range map[string]int{
		"/crm/v3/objects/contacts/1": 404, "/crm/v3/properties/contacts": 200, "/crm/v3/pipelines/deals": 200, "/crm/objects/2026-09/contacts": 200,
		"/crm/properties/2026-09/contacts": 200, "/crm/pipelines/2025-09/deals": 200, "/account-info/v3/details": 200,
		"/crm/v1/properties/contacts": 404, "/crm/v4/properties/contacts": 404, "/crm/v2/pipelines/deals": 404, "/crm/properties/2026-04/contacts": 404,
		"/crm/properties/2027-03/contacts": 404, "/account-info/v1/details": 404, "/crm/v4/objects/contacts/1": 404, "/crm/v3/owners": 200,
	} {
		got := b.hubspotSend("GET", path, "")
		if got.status != status {
			t.Errorf("%s: %d, want %d", path, got.status, status)
		}
		if status == 404 && got.header.Get("X-HubSpot-NotFound") != "true" {
			t.Errorf("%s: no X-HubSpot-NotFound", path)
		}
	}
	for path, status := range map[string]int{
		"/events/v3/send": 400, "/events/2026-03/send": 400, "/events/custom/2026-09/send": 400, "/events/custom/2025-09/send/batch": 400,
		"/events/v1/send": 404, "/events/custom/v3/send": 404, "/crm/v3/associations/contacts/deals/batch/read": 404, "/crm/v4/associations/contacts/deals/batch/read": 400,
	} {
		if got := b.hubspotSend("POST", path, "{}"); got.status != status {
			t.Errorf("%s: %d, want %d", path, got.status, status)
		}
	}
	b.hubspotSend("GET", "/crm/v3/objects/contacts/1?properties="+strings.Repeat("x", maxURL), "").wants(t, 414)
}

func TestAccountsAreChecked(t *testing.T) {
	for name, a := range map[string]HubSpotAccount{
		"kind":           {Kind: "public"},
		"templates":      {Templates: adTemplates},
		"add-ons":        {LimitAddOns: 3},
		"default stage":  {DefaultStage: "nope"},
		"custom objects": {Tier: Professional, Objects: []CustomObject{{Name: "licence"}}},
		"object's name":  {Objects: []CustomObject{{Name: "contact"}}},
		"object's props": {Objects: []CustomObject{{Name: "licence", Properties: []string{"seats"}}}},
		"an app's kind":  {Apps: []HubSpotApp{{Kind: "x"}}},
	} {
		if _, err := New(Options{Portals: []HubSpotAccount{a}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
