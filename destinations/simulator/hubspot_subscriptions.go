package simulator

import (
	"net/http"
	"strconv"
	"strings"
)

// serveWebhookSettings answers for a public app's subscriptions and target URL: /webhooks/v3/<app>/….
// It takes a developer key (hapikey) and no token; a private app has no such API.
func (s *Simulator) serveWebhookSettings(c *call) answer {
	p := strings.Split(strings.Trim(c.path, "/"), "/")
	if len(p) != 4 || p[1] != "v3" || p[3] != "subscriptions" && p[3] != "settings" {
		return noSuchPath().answer(c)
	}
	if c.method != http.MethodGet {
		return notAllowed().answer(c)
	}
	key := c.r.URL.Query().Get("hapikey")
	for _, h := range s.portals {
		app := h.apps[0]
		if app.Kind != OAuthApp || strconv.FormatInt(app.ID, 10) != p[2] {
			continue
		}
		if key == "" || h.account.DeveloperKey != "" && key != h.account.DeveloperKey {
			return badToken().answer(c)
		}
		if p[3] == "settings" {
			return jsonAnswer(http.StatusOK, map[string]any{"targetUrl": h.account.TargetURL, "throttling": map[string]any{"period": "SECONDLY", "maxConcurrentRequests": 10}})
		}
		results := []any{}
		for i, sub := range h.account.Subscriptions {
			kind, property, _ := strings.Cut(sub, ":")
			one := map[string]any{"id": strconv.Itoa(i + 1), "eventType": kind, "active": true}
			if property != "" {
				one["propertyName"] = property
			}
			results = append(results, one)
		}
		return jsonAnswer(http.StatusOK, map[string]any{"results": results})
	}
	return hubSpotMissing("no such app").answer(c)
}
