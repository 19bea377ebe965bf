package simulator

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// allScopes are those of a private app that may do everything the simulator knows.
var allScopes = []string{
	"crm.objects.contacts.read", "crm.objects.contacts.write", "crm.objects.companies.read", "crm.objects.companies.write",
	"crm.objects.deals.read", "crm.objects.deals.write", "crm.schemas.contacts.read", "crm.schemas.contacts.write",
	"crm.schemas.companies.read", "crm.schemas.deals.read", "analytics.behavioral_events.send", "behavioral_events.event_definitions.read_write",
}

func (h *hubSpotServer) scopes() []string {
	list := h.account.Scopes
	if list == nil {
		list = allScopes
	}
	if h.account.Tier == Enterprise {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return strings.Contains(s, "behavioral_events") })
}

// serveToken answers for the token itself: what a private app's may do, and OAuth's refresh.
// Neither asks for a bearer token.
func (h *hubSpotServer) serveToken(c *call, api string) answer {
	if c.method != http.MethodPost {
		return (&hubSpotError{Status: http.StatusMethodNotAllowed, Message: "method not allowed"}).answer(c)
	}
	if api == "token-info" {
		var in struct {
			Token string `json:"tokenKey"`
		}
		if err := unmarshal(c.body, &in); err != nil || in.Token == "" {
			return hubSpotBadJSON().answer(c)
		}
		if h.account.Token != "" && in.Token != h.account.Token {
			return (&hubSpotError{Status: http.StatusNotFound, Category: "OBJECT_NOT_FOUND", Message: "access token not found"}).answer(c)
		}
		return jsonAnswer(http.StatusOK, map[string]any{"userId": 12, "hubId": h.account.PortalID, "appId": h.account.AppID, "scopes": h.scopes()})
	}
	if err := c.parseForm(); err != nil {
		return hubSpotBadJSON().answer(c)
	}
	form := c.r.PostForm
	if form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") == "" || h.account.ClientSecret != "" && form.Get("client_secret") != h.account.ClientSecret {
		return jsonAnswer(http.StatusBadRequest, map[string]any{"error": "invalid_grant", "status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"})
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"access_token": cmp.Or(h.account.Token, "simulated-token"), "refresh_token": form.Get("refresh_token"), "expires_in": 1800,
		"token_type": "bearer", "hub_id": h.account.PortalID, "scopes": h.scopes(),
	})
}

func (h *hubSpotServer) serveAccount(c *call) (answer, *hubSpotError) {
	if c.method != http.MethodGet {
		return answer{}, &hubSpotError{Status: http.StatusMethodNotAllowed, Message: "method not allowed"}
	}
	_, offset := c.now.In(h.daily.zone).Zone()
	return jsonAnswer(http.StatusOK, map[string]any{
		"portalId": h.account.PortalID, "accountType": "STANDARD", "timeZone": h.account.TimeZone, "companyCurrency": h.account.Currency,
		"additionalCurrencies": []string{}, "utcOffset": c.now.In(h.daily.zone).Format("-07:00"),
		"utcOffsetMilliseconds": (time.Duration(offset) * time.Second).Milliseconds(), "uiDomain": "app.hubspot.com", "dataHostingLocation": "na1",
	}), nil
}

// servePipelines answers for deals, and for the lifecycle stages of contacts.
func (h *hubSpotServer) servePipelines(c *call, rest []string) (answer, *hubSpotError) {
	if c.method != http.MethodGet || len(rest) == 0 || len(rest) > 2 {
		return answer{}, &hubSpotError{Status: http.StatusNotFound, Message: "resource not found"}
	}
	object := typeNames[rest[0]]
	var list []Pipeline
	switch object {
	case deals:
		list = h.crm.deals
	case contacts:
		p := Pipeline{ID: "contacts-lifecycle-pipeline", Label: "Lifecycle Stage Pipeline"}
		for _, stage := range h.account.Lifecycle {
			p.Stages = append(p.Stages, Stage{ID: stage})
		}
		list = []Pipeline{p}
	}
	results := []any{}
	for i, p := range list {
		if len(rest) == 2 && p.ID == rest[1] {
			return jsonAnswer(http.StatusOK, p.body(i, object == deals)), nil
		}
		results = append(results, p.body(i, object == deals))
	}
	if len(rest) == 2 {
		return answer{}, hubSpotMissing("resource not found")
	}
	return jsonAnswer(http.StatusOK, map[string]any{"results": results}), nil
}
