package simulator

import (
	"strings"
	"testing"
	"time"
)

func TestHubSpotLimits(t *testing.T) {
	read := func(b *bench) reply { return b.hubspotSend("GET", "/account-info/v3/details", "") }
	t.Run("ten seconds", func(t *testing.T) {
		b := newHubSpot(t, HubSpotAccount{Tier: Starter})
		for range 100 {
			read(b).wants(t, 200)
		}
		got := read(b)
		got.wants(t, 429, `"errorType":"RATE_LIMIT"`, `"policyName":"TEN_SECONDLY_ROLLING"`, "ten_secondly_rolling limit", "groupName")
		if got.header.Get("X-HubSpot-RateLimit-Max") != "100" || got.header.Get("X-HubSpot-RateLimit-Remaining") != "0" || got.header.Get("X-HubSpot-RateLimit-Interval-Milliseconds") != "10000" || got.header.Get("Retry-After") != "" {
			t.Errorf("headers %v", got.header)
		}
		b.now = b.now.Add(10 * time.Second)
		if got := read(b); got.status != 200 || got.header.Get("X-HubSpot-RateLimit-Remaining") != "99" || got.header.Get("X-HubSpot-RateLimit-Daily-Remaining") != "249899" {
			t.Errorf("after ten seconds %d, headers %v", got.status, got.header)
		}
		if got := b.Stats(HubSpot); got.Throttled != 1 || got.Windows[0].Used != 1 {
			t.Errorf("stats %+v", got)
		}
	})
	t.Run("day, in the account's zone", func(t *testing.T) {
		b := newHubSpot(t, HubSpotAccount{Daily: 2, TimeZone: "America/New_York"})
		read(b).wants(t, 200)
		read(b).wants(t, 200)
		read(b).wants(t, 429, `"policyName":"DAILY"`, "requestId")
		b.now = time.Date(2026, 9, 16, 3, 59, 0, 0, time.UTC) // 23:59 there
		read(b).wants(t, 429, `"policyName":"DAILY"`)
		b.now = b.now.Add(time.Minute)
		read(b).wants(t, 200)
	})
	t.Run("search", func(t *testing.T) {
		b := newHubSpot(t, HubSpotAccount{})
		for range 5 {
			got := b.hubspotSend("POST", "/crm/v3/objects/contacts/search", `{}`)
			got.wants(t, 200)
			if got.header.Get("X-HubSpot-RateLimit-Max") != "" || got.header.Get("X-HubSpot-RateLimit-Daily") == "" {
				t.Errorf("headers %v", got.header)
			}
		}
		got := b.hubspotSend("POST", "/crm/v3/objects/contacts/search", `{}`)
		got.wants(t, 429, `"category":"RATE_LIMITS"`, "secondly limit")
		if strings.Contains(got.body, "policyName") {
			t.Errorf("body %s", got.body)
		}
		b.now = b.now.Add(time.Second)
		b.hubspotSend("POST", "/crm/v3/objects/contacts/search", `{}`).wants(t, 200)
		if used := b.Stats(HubSpot).Windows[0].Used; used != 0 {
			t.Errorf("search took %d of the ten seconds", used)
		}
	})
	t.Run("custom events are apart", func(t *testing.T) {
		b := newHubSpot(t, HubSpotAccount{Daily: 1, EventDefinitions: []string{"touch"}})
		for range 300 {
			b.hubspotSend("POST", "/events/v3/send", `{"eventName":"pe424242_touch","email":"a@example.test"}`).wants(t, 204)
		}
	})
}
