package simulator

import (
	"net/http"
	"strconv"
	"time"
)

func (h *hubSpotServer) serveAccount(c *call) (answer, *hubSpotError) {
	if c.method != http.MethodGet {
		return answer{}, notAllowed()
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
		return answer{}, noSuchPath()
	}
	object := h.crm.typeOf(rest[0])
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

// serveOwners lists the people a record can belong to.
func (h *hubSpotServer) serveOwners(c *call, rest []string) (answer, *hubSpotError) {
	if c.method != http.MethodGet || len(rest) > 1 {
		return answer{}, noSuchPath()
	}
	results := []any{}
	for i, id := range h.account.Owners {
		name := strconv.FormatInt(id, 10)
		body := map[string]any{"id": name, "email": "owner" + name + "@example.test", "type": "PERSON", "userId": 12 + i, "archived": false}
		if len(rest) == 1 && rest[0] == name {
			return jsonAnswer(http.StatusOK, body), nil
		}
		results = append(results, body)
	}
	if len(rest) == 1 {
		return answer{}, hubSpotMissing("resource not found")
	}
	return jsonAnswer(http.StatusOK, map[string]any{"results": results}), nil
}
