package simulator

import (
	"cmp"
	"net/http"
	"slices"
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

// An owner is somebody whom records can belong to.
type owner struct {
	ID       string      `json:"id"`
	Email    string      `json:"email"`
	First    string      `json:"firstName"`
	Last     string      `json:"lastName"`
	Type     string      `json:"type"`
	UserID   int         `json:"userId"`
	Teams    []ownerTeam `json:"teams,omitempty"`
	Archived bool        `json:"archived"`
}

type ownerTeam struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Primary bool   `json:"primary"`
}

// owners are those of the account; the ids of Left are of people who have gone.
func (h *hubSpotServer) owners(archived bool) []owner {
	ids := h.account.Owners
	if archived {
		ids = h.account.OwnersLeft
	}
	var out []owner
	for i, id := range ids {
		name := strconv.FormatInt(id, 10)
		out = append(out, owner{ID: name, Email: "owner" + name + "@example.test", First: "Owner", Last: name, Type: "PERSON", UserID: 12 + i,
			Teams: []ownerTeam{{ID: "1", Name: "Sales", Primary: true}}, Archived: archived})
	}
	return out
}

// serveOwners lists the people a record can belong to, or with archived those who have left.
func (h *hubSpotServer) serveOwners(c *call, rest []string) (answer, *hubSpotError) {
	if c.method != http.MethodGet || len(rest) > 1 {
		return answer{}, noSuchPath()
	}
	query := c.r.URL.Query()
	list := h.owners(query.Get("archived") == "true")
	if len(rest) == 1 {
		i := slices.IndexFunc(list, func(o owner) bool { return o.ID == rest[0] })
		if i < 0 {
			return answer{}, hubSpotMissing("resource not found")
		}
		return jsonAnswer(http.StatusOK, list[i]), nil
	}
	limit, err := strconv.Atoi(cmp.Or(query.Get("limit"), "100"))
	begin, bad := strconv.Atoi(cmp.Or(query.Get("after"), "0"))
	if err != nil || bad != nil || limit < 1 || limit > 500 || begin < 0 || begin > len(list) {
		return answer{}, hubSpotInvalid("limit or after is not valid")
	}
	end := min(begin+limit, len(list))
	body := map[string]any{"results": append([]owner{}, list[begin:end]...)}
	if end < len(list) {
		body["paging"] = map[string]any{"next": map[string]string{"after": strconv.Itoa(end), "link": ""}}
	}
	return jsonAnswer(http.StatusOK, body), nil
}
