package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const adAccount = "urn:li:sponsoredAccount:5"

func withMethod(method string) []string {
	return append(slices.Clone(linkedInHeaders), "X-RestLi-Method: "+method)
}

func TestLinkedInMakesRules(t *testing.T) {
	body := func(more string) string {
		return `{"name":"won","account":"` + adAccount + `","conversionMethod":"CONVERSIONS_API",` + more + `}`
	}
	for name, c := range map[string]struct {
		version, body string
		status        int
		want          string
	}{
		"as documented":       {"202609", body(`"type":"PURCHASE","postClickAttributionWindowSize":365,"viewThroughAttributionWindowSize":7,"valueType":"DYNAMIC","attributionType":"LAST_TOUCH_BY_CONVERSION","enabled":true`), 201, `"postClickAttributionWindowSize":365`},
		"no such type":        {"202609", body(`"type":"WON"`), 422, "is not an enum symbol"},
		"no type":             {"202609", body(`"enabled":true`), 422, "/type"},
		"a window too long":   {"202609", body(`"type":"VIEW_CONTENT","postClickAttributionWindowSize":365`), 422, "not a supported window"},
		"an odd window":       {"202609", body(`"type":"LEAD","viewThroughAttributionWindowSize":14`), 422, "not a supported window"},
		"an unknown member":   {"202609", body(`"type":"LEAD","windows":1`), 422, "unrecognized field"},
		"MQL before it was":   {"202607", body(`"type":"MARKETING_QUALIFIED_LEAD"`), 400, "cannot be created"},
		"MQL since":           {"202608", body(`"type":"SALES_QUALIFIED_LEAD"`), 201, ""},
		"of nobody's account": {"202609", strings.ReplaceAll(body(`"type":"LEAD"`), ":5", ":6"), 403, "No ad accounts found"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{LinkedIn: LinkedInAccount{NoRole: []string{"6"}}})
			b.send("POST", "/rest/conversions", c.body, append(slices.Clone(linkedInHeaders), "LinkedIn-Version: "+c.version)...).wants(t, c.status, c.want)
		})
	}
}

func TestLinkedInCampaigns(t *testing.T) {
	dir := t.TempDir()
	account := LinkedInAccount{
		Rules:     []Rule{{ID: "7", Name: "won", Account: adAccount}},
		Campaigns: []Campaign{{ID: "11", Account: "5"}, {ID: "12", Account: "5", Status: "DRAFT"}, {ID: "13", Account: "5", Status: "ARCHIVED"}, {ID: "14", Account: "6"}},
	}
	b := newBench(t, Options{Dir: dir, LinkedIn: account})
	key := func(campaign, rule string) string {
		return "/rest/campaignConversions/(campaign:urn%3Ali%3AsponsoredCampaign%3A" + campaign + ",conversion:urn%3Alla%3AllaPartnerConversion%3A" + rule + ")"
	}
	body := func(campaign, rule string) string {
		return `{"campaign":"urn:li:sponsoredCampaign:` + campaign + `","conversion":"urn:lla:llaPartnerConversion:` + rule + `"}`
	}
	b.send("PUT", key("11", "7"), body("11", "7"), linkedInHeaders...).wants(t, 204)
	b.send("PUT", key("11", "7"), body("11", "7"), linkedInHeaders...).wants(t, 204)
	b.send("PUT", key("11", "7"), body("12", "7"), linkedInHeaders...).wants(t, 400, "does not name")
	b.send("PUT", key("14", "7"), body("14", "7"), linkedInHeaders...).wants(t, 400, "not of the conversion's ad account")
	b.send("PUT", key("11", "99"), body("11", "99"), linkedInHeaders...).wants(t, 403)
	b.send("PUT", strings.ReplaceAll(key("11", "7"), "(", "%28"), body("11", "7"), linkedInHeaders...).wants(t, 400, "Invalid key")
	b.send("PUT", strings.ReplaceAll(key("11", "7"), "%3A", ":"), body("11", "7"), linkedInHeaders...).wants(t, 400, "Invalid key")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = newBench(t, Options{Dir: dir, LinkedIn: account})
	got := b.send("GET", "/rest/conversions/7?account=urn%3Ali%3AsponsoredAccount%3A5", "", linkedInHeaders...)
	got.wants(t, 200, `"associatedCampaigns":[{"campaign":"urn:li:sponsoredCampaign:11","conversion":"urn:lla:llaPartnerConversion:7"}]`)
	const search = "/rest/adAccounts/5/adCampaigns?q=search&search=(status:(values:List(ACTIVE,DRAFT)))"
	b.send("GET", search+"&pageSize=1", "", linkedInHeaders...).wants(t, 200, `"id":11`, `"nextPageToken":"1"`)
	b.send("GET", search+"&pageSize=1&pageToken=1", "", linkedInHeaders...).wants(t, 200, `"id":12`, `"metadata":{}`)
	b.send("GET", strings.ReplaceAll(search, "(", "%28"), "", linkedInHeaders...).wants(t, 400)
	made := b.send("POST", "/rest/conversions?autoAssociationType=ALL_CAMPAIGNS", `{"name":"lead","account":"`+adAccount+`","type":"LEAD"}`, linkedInHeaders...)
	made.wants(t, 201, "sponsoredCampaign:11", "sponsoredCampaign:12")
}

func TestLinkedInAnswersElementByElement(t *testing.T) {
	b := newBench(t, Options{LinkedIn: LinkedInAccount{Partial: true, Rules: linkedInRulesForTests}})
	events := strings.Join([]string{
		linkedInEventText(emailUser), linkedInEventText(emailUser, "pageUrl=1"), linkedInEventText(`{"userIds":[]}`),
		linkedInEventText(emailUser, `conversion="urn:lla:llaPartnerConversion:99"`), linkedInEventText(emailUser, `eventId="e2"`),
	}, ",")
	got := b.send("POST", "/rest/conversionEvents", `{"elements":[`+events+`]}`, withMethod("BATCH_CREATE")...)
	got.wants(t, 200)
	in := read[struct {
		Elements []struct {
			Status int `json:"status"`
		} `json:"elements"`
	}](t, got.body)
	var statuses []int
	for _, e := range in.Elements {
		statuses = append(statuses, e.Status)
	}
	if want := []int{201, 422, 400, 403, 201}; !slices.Equal(statuses, want) || len(b.Received(LinkedIn)) != 2 {
		t.Errorf("statuses %v, want %v; %d kept", statuses, want, len(b.Received(LinkedIn)))
	}
}

func TestLinkedInRefresh(t *testing.T) {
	b := newBench(t, Options{LinkedIn: LinkedInAccount{Token: "first", OAuth: LinkedInOAuth{ClientID: "app", ClientSecret: "s", RefreshToken: "r-1"}}})
	refresh := func(form string) reply {
		return b.send("POST", "/oauth/v2/accessToken", form, "Content-Type: application/x-www-form-urlencoded")
	}
	const good = "grant_type=refresh_token&client_id=app&client_secret=s&refresh_token=r-1"
	for form, c := range map[string]struct {
		status int
		code   string
	}{
		strings.Replace(good, "client_secret=s", "client_secret=x", 1):            {401, "invalid_client"},
		strings.Replace(good, "r-1", "r-2", 1):                                    {400, "invalid_grant"},
		strings.Replace(good, "&client_id=app", "", 1):                            {400, "invalid_request"},
		"grant_type=client_credentials&client_id=app&client_secret=s":             {400, "unsupported_grant_type"},
		strings.Replace(good, "grant_type=refresh_token", "grant_type=secret", 1): {400, "unsupported_grant_type"},
	} {
		refresh(form).wants(t, c.status, c.code)
	}
	send := func(token string) reply {
		return b.send("POST", "/rest/conversionEvents", linkedInEventText(emailUser, "conversionHappenedAt="+fmt.Sprint(b.now.UnixMilli())), append(slices.Clone(linkedInHeaders), "Authorization: Bearer "+token)...)
	}
	type granted struct {
		AccessToken    string `json:"access_token"`
		ExpiresIn      int64  `json:"expires_in"`
		RefreshToken   string `json:"refresh_token"`
		RefreshExpires int64  `json:"refresh_token_expires_in"`
	}
	got := refresh(good)
	got.wants(t, 200)
	token := read[granted](t, got.body)
	if token.ExpiresIn != 5184000 || token.RefreshToken != "r-1" || token.RefreshExpires != 31536000 {
		t.Errorf("granted %+v", token)
	}
	send(token.AccessToken).wants(t, 201)
	send("first").wants(t, 201)
	send("other").wants(t, 401, "65600")
	b.now = b.now.Add(60 * 24 * time.Hour)
	send(token.AccessToken).wants(t, 401, "65600")
	if again := read[granted](t, refresh(good).body); again.RefreshExpires != 31536000-5184000 || again.AccessToken == token.AccessToken {
		t.Errorf("granted again %+v: a refresh token is not renewed by use", again)
	}
	b.now = b.now.Add(306 * 24 * time.Hour)
	refresh(good).wants(t, http.StatusBadRequest, "invalid_grant")
}
