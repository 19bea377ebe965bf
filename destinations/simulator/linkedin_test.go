package simulator

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

var linkedInRulesForTests = []Rule{
	{ID: "18423345", Name: "mql"},
	{ID: "2", Name: "tag", Method: "INSIGHT_TAG"},
	{ID: "3", Name: "off", Disabled: true},
	{ID: "4", Name: "gone", Deleted: true},
}

var linkedInHeaders = []string{"Authorization: Bearer right", "Content-Type: application/json", "LinkedIn-Version: 202609", "X-Restli-Protocol-Version: 2.0.0"}

func newLinkedIn(t *testing.T) *bench {
	return newBench(t, Options{People: []Person{ada}, LinkedIn: LinkedInAccount{Token: "right", RevokedTokens: []string{"revoked"}, Rules: linkedInRulesForTests}})
}

// linkedInEventText is an event with the given user; other members as given.
func linkedInEventText(user string, more ...string) string {
	members := map[string]string{
		"conversion": `"urn:lla:llaPartnerConversion:18423345"`, "conversionHappenedAt": fmt.Sprint(noon.Add(-time.Hour).UnixMilli()), "eventId": `"e1"`, "user": user,
	}
	for _, m := range more {
		name, value, _ := strings.Cut(m, "=")
		if members[name] = value; value == "" {
			delete(members, name)
		}
	}
	var parts []string
	for k, v := range members {
		parts = append(parts, `"`+k+`":`+v)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

var emailUser = `{"userIds":[{"idType":"SHA256_EMAIL","idValue":"` + hashHex("ada.byron@example.com") + `"}]}`

func TestLinkedInAnswers(t *testing.T) {
	b := newLinkedIn(t)
	one := b.send("POST", "/rest/conversionEvents", linkedInEventText(emailUser, `conversionValue={"currencyCode":"EUR","amount":"1490.00"}`), linkedInHeaders...)
	one.wants(t, 201)
	if one.body != "" {
		t.Errorf("body %q, want none", one.body)
	}
	two := b.send("POST", "/rest/conversionEvents", `{"elements":[`+linkedInEventText(emailUser)+`,`+linkedInEventText(emailUser, `eventId="e2"`)+`]}`, append(linkedInHeaders, "X-RestLi-Method: BATCH_CREATE")...)
	two.wants(t, 200)
	if want := `{"elements":[{"status":201},{"status":201}]}`; two.body != want {
		t.Errorf("body %s, want %s", two.body, want)
	}
	got := b.Received(LinkedIn)
	if len(got) != 3 || got[0].Value != "1490.00" || got[0].Currency != "EUR" || got[0].Rule != "18423345" || got[0].EventName != "mql" || !got[1].Duplicate || got[2].Duplicate {
		t.Errorf("received %+v", got)
	}
	if got := b.Counts(LinkedIn); got["18423345"] != 3 {
		t.Errorf("counts %v", got)
	}
}

func TestLinkedInRefusesEvents(t *testing.T) {
	for name, tc := range map[string]struct {
		event  string
		status int
		want   []string
	}{
		"amount a number":       {linkedInEventText(emailUser, `conversionValue={"currencyCode":"EUR","amount":1490}`), 422, []string{"cannot be coerced to String", "/elements/1/conversionValue/amount"}},
		"amount without money":  {linkedInEventText(emailUser, `conversionValue={"amount":"1"}`), 422, []string{"currencyCode"}},
		"amount no decimal":     {linkedInEventText(emailUser, `conversionValue={"currencyCode":"EUR","amount":"1,490"}`), 422, []string{"decimal"}},
		"unknown field":         {linkedInEventText(emailUser, `pageUrl="https://example.test"`), 422, []string{"/pageUrl :: unrecognized field found but not allowed"}},
		"unknown field in user": {linkedInEventText(`{"userIds":[],"phone":"1"}`), 422, []string{"/user/phone"}},
		"no userIds":            {linkedInEventText(`{"lead":"urn:li:leadGenFormResponse:1"}`), 422, []string{"/user/userIds :: field is required"}},
		"no user":               {linkedInEventText("", "user="), 422, []string{"/user"}},
		"null in user":          {linkedInEventText(`{"userIds":[],"lead":null}`), 422, []string{"null cannot be coerced"}},
		"time as text":          {linkedInEventText(emailUser, `conversionHappenedAt="1789470000000"`), 422, []string{"Long"}},
		"unknown id type":       {linkedInEventText(`{"userIds":[{"idType":"SHA256_PHONE","idValue":"x"}]}`), 422, []string{"is not an enum symbol"}},
		"dropped id type":       {linkedInEventText(`{"userIds":[{"idType":"ORACLE_MOAT_ID","idValue":"x"}]}`), 422, []string{"is not an enum symbol"}},
		"misspelt id type":      {linkedInEventText(`{"userIds":[{"idType":"AXCIOM_ID","idValue":"x"}]}`), 422, []string{"is not an enum symbol"}},
		"wrong prefix":          {linkedInEventText(emailUser, `conversion="urn:li:conversion:18423345"`), 422, []string{"llaPartnerConversion"}},
		"half a name":           {linkedInEventText(`{"userIds":[],"userInfo":{"firstName":"Ada"}}`), 422, []string{"lastName"}},
		"lead of another kind":  {linkedInEventText(`{"userIds":[],"lead":"urn:li:person:1"}`), 422, []string{"leadGenFormResponse"}},
		"seconds":               {linkedInEventText(emailUser, "conversionHappenedAt="+fmt.Sprint(noon.Unix())), 400, []string{"INVALID_CONVERSION_TIME_FIELD_VALUE", "batchIndex=1"}},
		"over 90 days":          {linkedInEventText(emailUser, "conversionHappenedAt="+fmt.Sprint(noon.Add(-90*24*time.Hour-time.Minute).UnixMilli())), 400, []string{"INVALID_CONVERSION_TIME_FIELD_VALUE", "90 days"}},
		"one second ahead":      {linkedInEventText(emailUser, "conversionHappenedAt="+fmt.Sprint(noon.Add(time.Second).UnixMilli())), 400, []string{"INVALID_CONVERSION_TIME_FIELD_VALUE"}},
		"nobody":                {linkedInEventText(`{"userIds":[]}`), 400, []string{"INVALID_USER_IDENTIFICATION_FIELD_VALUE", "batchIndex=1"}},
		"unlearned external id": {linkedInEventText(`{"userIds":[],"externalIds":["c-1"]}`), 400, []string{"INVALID_USER_IDENTIFICATION_FIELD_VALUE"}},
		"unknown rule":          {linkedInEventText(emailUser, `conversion="urn:lla:llaPartnerConversion:99"`), 403, []string{"No ad accounts found"}},
		"rule of the tag":       {linkedInEventText(emailUser, `conversion="urn:lla:llaPartnerConversion:2"`), 400, []string{"method should be CONVERSIONS_API", "Index: 1"}},
		"rule off":              {linkedInEventText(emailUser, `conversion="urn:lla:llaPartnerConversion:3"`), 400, []string{"not enabled"}},
		"rule deleted":          {linkedInEventText(emailUser, `conversion="urn:lla:llaPartnerConversion:4"`), 400, []string{"deleted"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLinkedIn(t)
			got := b.send("POST", "/rest/conversionEvents", `{"elements":[`+linkedInEventText(emailUser)+`,`+tc.event+`]}`, append(linkedInHeaders, "X-RestLi-Method: BATCH_CREATE")...)
			got.wants(t, tc.status, append(tc.want, fmt.Sprintf(`"status":%d`, tc.status))...)
			if n := len(b.Received(LinkedIn)); n != 0 {
				t.Errorf("%d events were kept of a refused batch", n)
			}
		})
	}
}

func TestLinkedInGathersFaults(t *testing.T) {
	b := newLinkedIn(t)
	b.send("POST", "/rest/conversionEvents", linkedInEventText(emailUser, "pageUrl=1", `conversionValue={"currencyCode":"EUR","amount":1}`), linkedInHeaders...).
		wants(t, 422, "/pageUrl", "/conversionValue/amount")
}

func TestLinkedInGate(t *testing.T) {
	event := linkedInEventText(emailUser)
	for name, tc := range map[string]struct {
		replace []string
		body    string
		now     time.Time
		status  int
		want    string
	}{
		"no version":          {replace: []string{"LinkedIn-Version: "}, status: 400, want: "VERSION_MISSING"},
		"retired version":     {replace: []string{"LinkedIn-Version: 202504"}, status: 426, want: "Requested version 202504 is not active"},
		"never existed":       {replace: []string{"LinkedIn-Version: 202512"}, status: 426, want: "NONEXISTENT_VERSION"},
		"on its last day":     {replace: []string{"LinkedIn-Version: 202510"}, status: 201},
		"after its last day":  {replace: []string{"LinkedIn-Version: 202510"}, now: day(2026, 10, 15), status: 426, want: "NONEXISTENT_VERSION"},
		"no token":            {replace: []string{"Authorization: "}, status: 401, want: "EMPTY_ACCESS_TOKEN"},
		"wrong token":         {replace: []string{"Authorization: Bearer wrong"}, status: 401, want: `"serviceErrorCode":65600`},
		"revoked token":       {replace: []string{"Authorization: Bearer revoked"}, status: 401, want: `"serviceErrorCode":65601`},
		"protocol 1.0.0":      {replace: []string{"X-Restli-Protocol-Version: 1.0.0"}, status: 400, want: "2.0.0"},
		"no protocol":         {replace: []string{"X-Restli-Protocol-Version: "}, status: 201},
		"a form":              {replace: []string{"Content-Type: application/x-www-form-urlencoded"}, status: 415},
		"elements, no batch":  {body: `{"elements":[` + event + `]}`, status: 422, want: "/elements :: unrecognized"},
		"batch, no elements":  {replace: []string{"X-RestLi-Method: BATCH_CREATE"}, status: 422, want: "unrecognized"},
		"empty batch":         {replace: []string{"X-RestLi-Method: BATCH_CREATE"}, body: `{"elements":[]}`, status: 400},
		"batch of 5001":       {replace: []string{"X-RestLi-Method: BATCH_CREATE"}, body: `{"elements":[` + strings.TrimSuffix(strings.Repeat(event+",", 5001), ",") + `]}`, status: 400, want: "5000"},
		"batch of 5000":       {replace: []string{"X-RestLi-Method: BATCH_CREATE"}, body: `{"elements":[` + strings.TrimSuffix(strings.Repeat(event+",", 5000), ",") + `]}`, status: 200},
		"broken JSON":         {body: `{`, status: 400},
		"another method":      {replace: []string{"X-RestLi-Method: BATCH_UPDATE"}, status: 400},
		"hashed names before": {replace: []string{"LinkedIn-Version: 202608"}, body: linkedInEventText(`{"userIds":[],"userInfo":{"hashedFirstName":"x","hashedLastName":"y"}}`), status: 422, want: "hashedFirstName"},
		"hashed names since":  {body: linkedInEventText(`{"userIds":[],"userInfo":{"hashedFirstName":"x","lastName":"y"}}`), status: 201},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLinkedIn(t)
			body := event
			if tc.body != "" {
				body = tc.body
			}
			if !tc.now.IsZero() {
				b.now = tc.now
			}
			got := b.send("POST", "/rest/conversionEvents", body, append(append([]string{}, linkedInHeaders...), tc.replace...)...)
			got.wants(t, tc.status, tc.want)
			if tc.status == 426 && got.header.Get("X-Restli-Gateway-Error") == "" {
				t.Error("no gateway header")
			}
		})
	}
}

func TestLinkedInMatching(t *testing.T) {
	for name, tc := range map[string]struct{ user, by string }{
		"e-mail hashed right":  {emailUser, "SHA256_EMAIL"},
		"e-mail in upper case": {`{"userIds":[{"idType":"SHA256_EMAIL","idValue":"` + hashHex("Ada.Byron@Example.COM") + `"}]}`, ""},
		"e-mail padded":        {`{"userIds":[{"idType":"SHA256_EMAIL","idValue":"` + hashHex(" ada.byron@example.com ") + `"}]}`, ""},
		"hash in upper case":   {`{"userIds":[{"idType":"SHA256_EMAIL","idValue":"` + strings.ToUpper(hashHex("ada.byron@example.com")) + `"}]}`, ""},
		"e-mail in plain":      {`{"userIds":[{"idType":"SHA256_EMAIL","idValue":"ada.byron@example.com"}]}`, ""},
		"click":                {`{"userIds":[{"idType":"LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID","idValue":"li-0001"}]}`, "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID"},
		"click in upper case":  {`{"userIds":[{"idType":"LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID","idValue":"LI-0001"}]}`, ""},
		"lead":                 {`{"userIds":[],"lead":"urn:li:leadGenFormResponse:3af1c0de-1"}`, "lead"},
		"name":                 {`{"userIds":[],"userInfo":{"firstName":"ada","lastName":"BYRON"}}`, "userInfo"},
		"name elsewhere":       {`{"userIds":[],"userInfo":{"firstName":"Ada","lastName":"Byron","companyName":"Other AG"}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLinkedIn(t)
			b.send("POST", "/rest/conversionEvents", linkedInEventText(tc.user), linkedInHeaders...).wants(t, 201)
			got := b.Received(LinkedIn)[0]
			if got.Matched != (tc.by != "") || tc.by != "" && (got.Person != "Ada Byron" || got.MatchedBy[0] != tc.by) {
				t.Errorf("received %+v, want a match by %q", got, tc.by)
			}
		})
	}
}

func TestLinkedInLearnsExternalIDs(t *testing.T) {
	b := newLinkedIn(t)
	both := `{"userIds":[{"idType":"SHA256_EMAIL","idValue":"` + hashHex("ada.byron@example.com") + `"}],"externalIds":["c-1"]}`
	alone := `{"userIds":[],"externalIds":["c-1"]}`
	b.send("POST", "/rest/conversionEvents", linkedInEventText(alone), linkedInHeaders...).wants(t, 400)
	b.send("POST", "/rest/conversionEvents", linkedInEventText(both), linkedInHeaders...).wants(t, 201)
	b.send("POST", "/rest/conversionEvents", linkedInEventText(alone, `eventId="e2"`), linkedInHeaders...).wants(t, 201)
	if got := b.Received(LinkedIn)[1]; got.Person != "Ada Byron" || got.MatchedBy[0] != "externalIds" {
		t.Errorf("received %+v", got)
	}
	b.now = noon.AddDate(1, 0, 1)
	at := "conversionHappenedAt=" + fmt.Sprint(b.now.UnixMilli())
	headers := append(append([]string{}, linkedInHeaders...), "LinkedIn-Version: 202710")
	b.linkedin.account.Versions = map[string]time.Time{"202710": day(2028, 10, 15)}
	b.send("POST", "/rest/conversionEvents", linkedInEventText(alone, at), headers...).wants(t, 400)
}

func TestLinkedInLimits(t *testing.T) {
	b := newBench(t, Options{LinkedIn: LinkedInAccount{Daily: 602}})
	post := func() reply {
		return b.send("POST", "/rest/conversionEvents", linkedInEventText(emailUser), linkedInHeaders...)
	}
	for range 600 {
		post().wants(t, 201)
	}
	refused := post()
	refused.wants(t, http.StatusTooManyRequests, `"status":429`)
	if refused.header.Get("Retry-After") != "" {
		t.Error("Retry-After is not documented")
	}
	b.now = b.now.Add(time.Minute)
	post().wants(t, 201)
	post().wants(t, 201)
	post().wants(t, 429) // the day's
	b.now = b.now.Add(12 * time.Hour)
	post().wants(t, 201)
	if got := b.Stats(LinkedIn); got.Throttled != 2 || got.Windows[1].Used != 1 {
		t.Errorf("stats %+v", got)
	}
}

func TestLinkedInRules(t *testing.T) {
	b := newLinkedIn(t)
	made := b.send("POST", "/rest/conversions", `{"name":"won","account":"urn:li:sponsoredAccount:5","type":"PURCHASE","conversionMethod":"CONVERSIONS_API","enabled":true}`, linkedInHeaders...)
	made.wants(t, 201, `"name":"won"`)
	id := made.header.Get("X-Restli-Id")
	b.send("GET", "/rest/conversions/"+id+"?account=urn%3Ali%3AsponsoredAccount%3A5", "", linkedInHeaders...).wants(t, 200, `"enabled":true`)
	b.send("GET", "/rest/conversions/77", "", linkedInHeaders...).wants(t, 403, "No ad accounts found")
	b.send("GET", "/rest/conversions?q=account&account=urn%3Ali%3AsponsoredAccount%3A5", "", linkedInHeaders...).wants(t, 200, `"total":4`)
	b.send("POST", "/rest/conversions/"+id, `{"patch":{"$set":{"enabled":false}}}`, append(append([]string{}, linkedInHeaders...), "X-RestLi-Method: PARTIAL_UPDATE")...).wants(t, 204)
	b.send("POST", "/rest/conversionEvents", linkedInEventText(emailUser, `conversion="urn:lla:llaPartnerConversion:`+id+`"`), linkedInHeaders...).wants(t, 400, "not enabled")
	b.send("GET", "/rest/adAccounts?q=search", "", linkedInHeaders...).wants(t, 200, `"id":5`)
	b.send("POST", "/oauth/v2/accessToken", "grant_type=refresh_token&refresh_token=r&client_id=c&client_secret=s", "Content-Type: application/x-www-form-urlencoded").wants(t, 200, "access_token")
	b.send("POST", "/oauth/v2/accessToken", "grant_type=refresh_token&refresh_token=revoked&client_id=c&client_secret=s", "Content-Type: application/x-www-form-urlencoded").wants(t, 400, "invalid_grant")
}
