package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

const (
	adaHash = "d9acb9853197a9408e7ca823a0eef9cb5c5b51c4c18683fdf2b83e29b671a09e" // ada.byron@example.com
	phHash  = "e4df23eae17fd7b23181d75ca8503ed89f92dc8e84c26f8c5aab970a950d48b3" // +1 415 555 0134
)

func identifiers(r canonical.Report) string {
	var b strings.Builder
	for _, id := range r.Identifiers {
		v := id.Value
		if len(v) == 64 {
			v = v[:6]
		}
		fmt.Fprintf(&b, "%s=%s ", id.Scheme, v)
	}
	return strings.TrimSpace(b.String())
}

func hook(object, change, more string) string {
	return fmt.Sprintf(`{"eventId":51,"subscriptionId":7,"portalId":424242,"appId":9001,"occurredAt":1776942259000,"attemptNumber":2,
		"subscriptionType":"%s.%s",%s"changeSource":"CRM_UI","sourceId":"userId:12"}`, object, change, more)
}

func TestWhatIsBare(t *testing.T) {
	for body, want := range map[string]string{
		hook("contact", "propertyChange", `"objectId":1,`):                         "contact 1",
		hook("company", "creation", `"objectId":"2",`):                             "company 2",
		hook("deal", "propertyChange", `"objectId":3,`):                            "deal 3",
		hook("object", "propertyChange", `"objectId":4,"objectTypeId":"0-3",`):     "deal 4",
		hook("object", "creation", `"objectId":5,"objectTypeId":"0-1",`):           "contact 5",
		`{"eventType":"contact.creation","objectId":6,"occurredAt":1776942259000}`: "contact 6",
		hook("object", "propertyChange", `"objectId":7,"objectTypeId":"2-55",`):    "",
		hook("ticket", "propertyChange", `"objectId":8,`):                          "",
		hook("contact", "merge", `"primaryObjectId":1,"mergedObjectIds":[2],`):     "",
		hook("contact", "deletion", `"objectId":1,`):                               "",
		hook("contact", "privacyDeletion", `"objectId":1,`):                        "",
		hook("contact", "restore", `"objectId":1,`):                                "",
		hook("contact", "associationChange", `"fromObjectId":1,"toObjectId":2,`):   "",
		hook("contact", "creation", ""):                                            "",
		hook("contact", "creation", `"objectId":"x",`):                             "",
		`5`: "",
	} {
		r := receipt(canonical.WayHubSpot, body)
		kind, id, at := Wants(r)
		if got := strings.TrimSpace(kind + " " + id); got != want || Bare(r) != (want != "") {
			t.Errorf("%s: wants %q, bare %v, want %q", body, got, Bare(r), want)
		}
		if want != "" && !at.Equal(time.Unix(1776942259, 0)) {
			t.Errorf("%s: at %v", body, at)
		}
		if want != "" && len(Properties(kind)) == 0 {
			t.Errorf("no properties of a %s are asked for", kind)
		}
		r.Completion = &canonical.Completion{}
		if Bare(r) {
			t.Errorf("%s: a completed receipt is bare", body)
		}
		r.Completion, r.Way = nil, canonical.WayEvents
		if Bare(r) {
			t.Errorf("%s: bare by another way", body)
		}
	}
}

func TestCompletedDeal(t *testing.T) {
	r := receipt(canonical.WayHubSpot, hook("deal", "propertyChange", `"objectId":5550001,"propertyName":"dealstage","propertyValue":"contractsent",`))
	r.Completion = &canonical.Completion{Objects: []canonical.ReadObject{
		{Type: "deal", ID: "5550001", Properties: map[string]string{"dealstage": "closedwon", "pipeline": "sales_pipeline", "amount": "36000.50", "hs_arr": "12000.123456789",
			"hs_mrr": "", "hs_tcv": "n/a", "deal_currency_code": "usd", "dealname": "Acme", "hubspot_owner_id": "55192"},
			Associated: map[string][]string{"contact": {"12", "11"}, "company": {"31"}}},
		{Type: "contact", ID: "11", Properties: map[string]string{"email": "other@example.com"}},
		{Type: "company", ID: "31", Properties: map[string]string{"domain": "https://www.Acme.example/", "name": "Acme", "hs_is_target_account": "true"}},
		{Type: "contact", ID: "12", Properties: map[string]string{"email": " Ada.Byron@Example.COM ", "phone": "(415) 555 0134", "firstname": "Ada"}},
	}}
	got, p := Read(r, Settings{Region: "US"})
	if p != nil {
		t.Fatal(p)
	}
	if got.Subject != canonical.SubjectDealStage || got.RawStage != "contractsent" || got.Object.ID != "5550001" || got.Pipeline != "sales_pipeline" || got.StageLabel != "" {
		t.Errorf("trigger %+v", got)
	}
	if s := identifiers(got); s != "hubspot_contact=12 email=d9acb9 phone=e4df23" {
		t.Errorf("identifiers %s", s)
	}
	if got.Contact.Email != "ada.byron@example.com" || got.Contact.FirstName != "Ada" || fmt.Sprint(got.Contacts) != "[12 11]" || got.Company.Domain != "acme.example" || got.Company.Target == nil {
		t.Errorf("context %+v %+v", got.Contact, got.Company)
	}
	rev := got.Revenue
	if rev == nil || rev.Amount.String() != "36000.5" || rev.ARR.String() != "12000.123457" || rev.MRR != nil || rev.TCV != nil || rev.Currency != "USD" {
		t.Errorf("revenue %+v", rev)
	}
	if got.Properties["hs_tcv"] != "n/a" || got.Properties["stage_when_read"] != "closedwon" || got.Properties["change_source"] != "CRM_UI" || got.Properties["attemptNumber"] != nil {
		t.Errorf("properties %v", got.Properties)
	}
	// Without anybody on it the deal still counts.
	r.Completion.Objects = r.Completion.Objects[:1]
	r.Completion.Objects[0].Associated = nil
	if got, p := Read(r, Settings{}); p != nil || len(got.Identifiers) != 0 || got.Object.ID != "5550001" {
		t.Errorf("a deal of nobody: %+v, %v", got, p)
	}
}

// An app in two portals: its source is bound to one account, its webhooks come from both.
func TestAccountOfAWebhook(t *testing.T) {
	two := map[int64]string{424242: "hubspot", 7: "emea"}
	of := func(portal string) canonical.Receipt {
		return receipt(canonical.WayHubSpot, strings.Replace(hook("contact", "creation", `"objectId":9,`), "424242", portal, 1))
	}
	for name, tc := range map[string]struct {
		receipt  canonical.Receipt
		settings Settings
		want     string
		told     bool
	}{
		"its portal's, not its source's":       {of("424242"), Settings{Account: "emea", Portals: two}, "hubspot", true},
		"the other portal's":                   {of("7"), Settings{Account: "hubspot", Portals: two}, "emea", true},
		"a portal written as text":             {of(`"7"`), Settings{Portals: two}, "emea", true},
		"a portal that is the empty account's": {of("424242"), Settings{Account: "emea", Portals: map[int64]string{424242: ""}}, "hubspot", true},
		"a portal that nobody has":             {of("8"), Settings{Account: "emea", Portals: two}, "", false},
		"no portal":                            {of("null"), Settings{Portals: two}, "", false},
		"no portals configured":                {of("8"), Settings{Account: "emea"}, "emea", true},
		"nothing configured":                   {of("8"), Settings{}, "hubspot", true},
		"no JSON":                              {receipt(canonical.WayHubSpot, "{"), Settings{}, "", false},
		"another way in":                       {receipt(canonical.WayEvents, "{}"), Settings{}, "", false},
	} {
		got, told := Account(tc.receipt, tc.settings)
		if told != tc.told || told && got != tc.want {
			t.Errorf("%s: %q, %v; want %q, %v", name, got, told, tc.want, tc.told)
		}
		report, problem := Read(tc.receipt, tc.settings)
		if tc.told && (problem != nil || first(report.Object.Account, "hubspot") != tc.want) {
			t.Errorf("%s: read as of account %q, %v", name, report.Object.Account, problem)
		}
	}
}

func TestCompletedContactThatWasMerged(t *testing.T) {
	r := receipt(canonical.WayHubSpot, hook("contact", "propertyChange", `"objectId":1001,"propertyName":"lifecyclestage","propertyValue":"lead",`))
	r.Completion = &canonical.Completion{Objects: []canonical.ReadObject{
		{Type: "contact", ID: "1001", CurrentID: "1009", Properties: map[string]string{"email": "ada.byron@example.com", "hs_additional_emails": "a@example.com;nothing",
			"associatedcompanyid": "31", "hs_facebook_click_id": "IwAR0"}},
		{Type: "company", ID: "31", Properties: map[string]string{"domain": "acme.example"}},
	}}
	got, p := Read(r, Settings{Portals: map[int64]string{424242: "emea"}})
	if p != nil {
		t.Fatal(p)
	}
	if s := identifiers(got); s != "hubspot_contact=emea:1009 hubspot_contact=emea:1001 email=d9acb9 email="+canonical.EmailHash("a@example.com")[:6]+" fbclid=IwAR0" {
		t.Errorf("identifiers %s", s)
	}
	if got.Object != (canonical.Object{Account: "emea", Type: "contact", ID: "1001"}) || got.Merge == nil || got.Merge.Survivor != "1009" || fmt.Sprint(got.Companies) != "[31]" || got.Company.Domain != "acme.example" {
		t.Errorf("report %+v, merge %+v", got, got.Merge)
	}
	if _, p := Read(r, Settings{Portals: map[int64]string{1: "other"}}); p == nil || p.Code != CodePortal {
		t.Errorf("an unknown portal: %v", p)
	}
}

func TestOtherWebhooks(t *testing.T) {
	for name, c := range map[string]struct {
		body    string
		subject canonical.Subject
		event   string
		check   func(canonical.Report) bool
	}{
		"cleared stage": {hook("contact", "propertyChange", `"objectId":1,"propertyName":"lifecyclestage","propertyValue":"",`), canonical.SubjectProperty, "contact.propertyChange",
			func(r canonical.Report) bool { return r.RawStage == "" }},
		"lead status": {hook("contact", "propertyChange", `"objectId":1,"propertyName":"hs_lead_status","propertyValue":"OPEN",`), canonical.SubjectLeadStatus, "contact.propertyChange",
			func(r canonical.Report) bool { return r.RawStage == "OPEN" }},
		"company stage": {hook("company", "propertyChange", `"objectId":1,"propertyName":"lifecyclestage","propertyValue":"customer",`), canonical.SubjectLifecycle, "company.propertyChange",
			func(r canonical.Report) bool { return r.RawStage == "customer" && r.Object.Type == "company" }},
		"other property": {hook("contact", "propertyChange", `"objectId":1,"propertyName":"city","propertyValue":"REDACTED","isSensitive":true,`), canonical.SubjectProperty, "contact.propertyChange",
			func(r canonical.Report) bool {
				return r.Properties["property"] == "city" && r.Properties["is_sensitive"] == true
			}},
		"privacy deletion": {hook("contact", "privacyDeletion", `"objectId":1,`), canonical.SubjectDeletion, "contact.privacyDeletion",
			func(r canonical.Report) bool { return r.Object.ID == "1" && !r.Restored && r.Forgotten }},
		"deletion": {hook("contact", "deletion", `"objectId":1,`), canonical.SubjectDeletion, "contact.deletion",
			func(r canonical.Report) bool { return r.Object.ID == "1" && !r.Forgotten }},
		"restore": {hook("deal", "restore", `"objectId":1,`), canonical.SubjectDeletion, "deal.restore", func(r canonical.Report) bool { return r.Object.Type == "deal" && r.Restored }},
		"custom object": {hook("object", "creation", `"objectId":1,"objectTypeId":"2-55",`), canonical.SubjectProperty, "2-55.creation",
			func(r canonical.Report) bool { return r.Object.Type == "2-55" }},
		"association": {hook("contact", "associationChange", `"associationType":"CONTACT_TO_COMPANY","fromObjectId":1,"toObjectId":"2","associationRemoved":false,"isPrimaryAssociation":true,`),
			canonical.SubjectAssociation, "contact.associationChange", func(r canonical.Report) bool {
				return *r.Association == canonical.Association{FromType: "contact", FromID: "1", ToType: "company", ToID: "2", Primary: true}
			}},
		"generic association": {hook("object", "associationChange", `"objectTypeId":"0-3","fromObjectTypeId":"0-3","toObjectTypeId":"0-1","associationTypeId":3,"fromObjectId":1,"toObjectId":2,"associationRemoved":true,`),
			canonical.SubjectAssociation, "deal.associationChange", func(r canonical.Report) bool {
				return *r.Association == canonical.Association{FromType: "deal", FromID: "1", ToType: "contact", ToID: "2", Removed: true}
			}},
		"labelled association": {hook("deal", "associationChange", `"associationType":"DEAL_TO_COMPANY_UNLABELED","fromObjectId":1,"toObjectId":2,`), canonical.SubjectAssociation, "deal.associationChange",
			func(r canonical.Report) bool { return r.Association.ToType == "company" }},
		"merge of deals": {hook("deal", "merge", `"primaryObjectId":1,"mergedObjectIds":[2],"numberOfPropertiesMoved":4,`), canonical.SubjectMerge, "deal.merge",
			func(r canonical.Report) bool { return r.Merge.Type == "deal" && len(r.Identifiers) == 0 }},
		"conversation": {hook("conversation", "newMessage", `"objectId":1,"messageId":"m","messageType":"MESSAGE",`), canonical.SubjectProperty, "conversation.newMessage",
			func(r canonical.Report) bool { return r.Properties["messageId"] == "m" }},
	} {
		r := read(t, canonical.WayHubSpot, c.body)
		if r.Subject != c.subject || r.Event != c.event || !c.check(r) || r.Reported {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestPixel(t *testing.T) {
	r := receipt(canonical.WayPixel, `{"key":"k","anonymous_id":"a-77","url":"https://www.acme.example/pricing?utm_source=LinkedIn&utm_medium=cpc&utm_campaign=q2&utm_content=ad-9&utm_term=set-4&li_fat_id=7F3c#top",
		"referrer":"https://social.example/","title":"Pricing","fbp":"fb.1.1776942000000.123.AQYCAQMA","fbc":"fb.1.1776900000000.IwAR0.AQYCAQMA","consent":{"ad_storage":"granted","ad_user_data":false}}`)
	r.Context = map[string]string{"user_agent": "Firefox", "ip": "198.51.100.9"}
	got, p := Read(r, Settings{})
	if p != nil {
		t.Fatal(p)
	}
	want := canonical.Touch{Kind: "ad_click", At: received, Platform: "linkedin", Source: "LinkedIn", Medium: "cpc", Campaign: "q2", Content: "ad-9", Term: "set-4", Ad: "ad-9", AdSet: "set-4",
		Page: "https://www.acme.example/pricing", Referrer: "https://social.example/"}
	clicks := got.Touch.Clicks
	got.Touch.Clicks = nil
	if a, b := fmt.Sprintf("%+v", *got.Touch), fmt.Sprintf("%+v", want); a != b {
		t.Errorf("touch\n%s, want\n%s", a, b)
	}
	if len(clicks) != 2 || clicks[0].Scheme != canonical.FBCLID || !clicks[0].At.Equal(time.UnixMilli(1776900000000)) || clicks[1].Value != "7F3c" || !clicks[1].At.Equal(received) {
		t.Errorf("clicks %+v", clicks)
	}
	if s := identifiers(got); s != "anonymous=a-77 fbp=fb.1.1776942000000.123 li_fat_id=7F3c fbclid=IwAR0" {
		t.Errorf("identifiers %s", s)
	}
	if got.Reported || got.Consent == nil || !*got.Consent.AdStorage || !got.Consent.DeniesAds() || got.Browser.UserAgent != "Firefox" || got.Browser.IP != "198.51.100.9" || got.Properties["key"] != nil || got.Contact.Title != "" {
		t.Errorf("report %+v", got)
	}
	if got.Browser.FBP != "fb.1.1776942000000.123.AQYCAQMA" {
		t.Errorf("fbp for Meta is %s", got.Browser.FBP)
	}
}

func TestTouches(t *testing.T) {
	for name, c := range map[string]struct {
		way            canonical.Way
		body           string
		kind, platform string
		object         string
	}{
		"plain view":               {"pixel", `{"anonymous_id":"a","url":"https://example.com/a?x=1"}`, "page_view", "", "page https://example.com/a"},
		"view with an old cookie":  {"pixel", `{"anonymous_id":"a","url":"https://example.com/a","fbc":"fb.1.1776900000000.IwAR0"}`, "page_view", "", "page https://example.com/a"},
		"view from a newsletter":   {"pixel", `{"anonymous_id":"a","url":"https://example.com/a?utm_source=News&utm_medium=email"}`, "page_view", "news", "page https://example.com/a"},
		"paid view":                {"pixel", `{"anonymous_id":"a","url":"https://example.com/a?utm_source=x&utm_medium=Paid_Social"}`, "ad_click", "x", "page https://example.com/a"},
		"google view":              {"events", `{"event":"page_view","anonymous_id":"a","url":"https://example.com/a?gbraid=1"}`, "ad_click", "google", "page https://example.com/a"},
		"click named outright":     {"events", `{"event":"ad_click","user_data":{"anonymous_id":"a"},"campaign":{"msclkid":"m","campaign_id":"c9","ad_id":"7"}}`, "ad_click", "microsoft", "ad 7"},
		"form":                     {"pixel", `{"event":"form_submitted","anonymous_id":"a","form":"demo","email":"ada.byron@example.com"}`, "form", "", "form demo"},
		"form with a hash":         {"pixel", `{"event":"form_submitted","anonymous_id":"a","form":"demo","email_sha256":"` + strings.ToUpper(adaHash) + `"}`, "form", "", "form demo"},
		"image with short names":   {"pixel", `{"ev":"page_view","anonymous_id":"a","dl":"https://example.com/a?ttclid=t"}`, "ad_click", "tiktok", "page https://example.com/a"},
		"meta page view":           {"meta_api", `{"event_name":"PageView","event_time":"1776942259","event_source_url":"https://example.com/a?fbclid=f","user_data":{"em":"` + adaHash + `"}}`, "ad_click", "meta", "page https://example.com/a"},
		"a URL that is none":       {"pixel", `{"anonymous_id":"a","url":"::not a url::"}`, "page_view", "", "page "},
		"meeting":                  {"events", `{"event":"meeting_booked","user_data":{"email":"ada.byron@example.com"},"meeting_id":"m1"}`, "meeting", "", "meeting m1"},
		"email click with subject": {"events", `{"event":"email_clicked","email":"ada.byron@example.com","subject":"Hello","email_id":7}`, "email_click", "", "email 7"},
	} {
		r := read(t, c.way, c.body)
		if r.Subject != canonical.SubjectTouch || r.Touch == nil {
			t.Errorf("%s: %+v", name, r)
			continue
		}
		if got := r.Object.Type + " " + r.Object.ID; r.Touch.Kind != c.kind || r.Touch.Platform != c.platform || got != c.object {
			t.Errorf("%s: %s of %q on %q, want %s of %q on %q", name, r.Touch.Kind, r.Touch.Platform, got, c.kind, c.platform, c.object)
		}
		if strings.HasPrefix(name, "form") && !strings.Contains(identifiers(r), "email="+adaHash[:6]) {
			t.Errorf("%s: identifiers %s", name, identifiers(r))
		}
	}
}

func TestMetaHashedAndPlainAreOnePerson(t *testing.T) {
	for name, user := range map[string]string{
		"plain":             `{"em":"Ada.Byron@example.com","ph":"+1 (415) 555-0134","external_id":"HS-00042"}`,
		"lists":             `{"em":["ada.byron@example.com"],"ph":["14155550134"],"external_id":["hs-00042"]}`,
		"hashed":            `{"em":["` + adaHash + `"],"ph":"` + phHash + `","external_id":"` + canonical.SHA256("hs-00042") + `","fn":null}`,
		"hashed, appendix":  `{"em":["` + adaHash + `.AQQCAQMC"],"ph":["` + phHash + `.Ag"],"external_id":["` + canonical.SHA256("hs-00042") + `.AQQCAQMC"]}`,
		"hashed upper case": `{"em":"` + strings.ToUpper(adaHash) + `","ph":"` + strings.ToUpper(phHash) + `","external_id":"` + strings.ToUpper(canonical.SHA256("hs-00042")) + `"}`,
		"names beside":      `{"em":"` + adaHash + `","ph":"` + phHash + `","external_id":"HS-00042","fn":["` + canonical.SHA256("ada") + `"],"ct":"london"}`,
	} {
		for _, at := range []string{`1776942259`, `"1776942259"`} {
			r, p := Read(receipt(canonical.WayMeta, `{"event_name":"Lead","event_time":`+at+`,"event_id":"e1","user_data":`+user+`,"custom_data":null}`), Settings{Region: "US"})
			if p != nil {
				t.Fatalf("%s: %v", name, p)
			}
			want := "email=d9acb9 user_id=" + canonical.SHA256("hs-00042")[:6] + " phone=e4df23"
			if got := identifiers(r); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
			if r.Subject != canonical.SubjectCustom || r.EventID != "e1" || r.TimeText != "2026-04-23T11:04:19Z" {
				t.Errorf("%s: %+v", name, r)
			}
			if name == "hashed, appendix" && r.Contact.Hashed["em"][0] != adaHash+".AQQCAQMC" {
				t.Errorf("what Meta is to get is %v", r.Contact.Hashed)
			}
		}
	}
}

func TestMetaEventCarriesItsClick(t *testing.T) {
	r := read(t, canonical.WayMeta, `{"event_name":"Purchase","event_time":1776942259,"event_source_url":"https://example.com/thanks","data_processing_options":["LDU"],"data_processing_options_country":1,"data_processing_options_state":1000,
		"user_data":{"fbc":"fb.1.1776900000000.IwAR0","lead_id":"123456789012345","client_ip_address":"2001:db8::1.AQYCAQMA"},"custom_data":{"value":"0","currency":"eur","event_source":"crm","order_id":7},"opt_out":false}`)
	if r.Touch == nil || r.Touch.Kind != "ad_click" || r.Touch.Platform != "meta" || !r.Touch.At.Equal(time.UnixMilli(1776900000000)) {
		t.Errorf("touch %+v", r.Touch)
	}
	if r.Revenue == nil || *r.Revenue.Amount != 0 || r.Revenue.Currency != "EUR" {
		t.Errorf("a value of zero is %+v", r.Revenue)
	}
	if r.Contact.LeadID != "123456789012345" || r.Browser.IP != "2001:db8::1" || r.Browser.IPAppendix != "AQYCAQMA" || r.Consent == nil || fmt.Sprint(r.Consent.DataProcessing) != "[LDU]" || *r.Consent.ProcessingState != 1000 {
		t.Errorf("report %+v %+v", r, r.Consent)
	}
	if r.Properties["order_id"] != json.Number("7") || r.Properties["event_source"] != "crm" || r.Properties["opt_out"] != false {
		t.Errorf("properties %v", r.Properties)
	}
}

// Birth date and gender are kept only as hashes, in the form Meta hashes them.
func TestBirthDateAndGenderAreHashed(t *testing.T) {
	r := read(t, canonical.WayMeta, `{"event_name":"Lead","event_time":1776942259,"user_data":{"em":"kim.lee@example.org","db":["1988-11-05","05.11.1988"],"ge":"Female"}}`)
	want := map[string][]string{
		"db": {"6ee2c6add7eb3581ba73b117a56b06c2a80c8299dd747323fd944f6d24b0da45"},
		"ge": {"252f10c83610ebca1a059c0bae8255eba2f95be4d1d7bcfa89d7248a82d9f111"},
	}
	if fmt.Sprint(r.Contact.Hashed) != fmt.Sprint(want) || r.Properties["user_data.db"] != nil || r.Properties["user_data.ge"] != nil {
		t.Errorf("hashed %v, properties %v", r.Contact.Hashed, r.Properties)
	}
}

func TestAPersonWithoutARecordIsNamedByTheirStrongestIdentifier(t *testing.T) {
	r := read(t, canonical.WayCRM, `{"event":"lifecycle_changed","contact":{"email":"ada.byron@example.com","lifecycle_stage":"lead"}}`)
	if r.Object != (canonical.Object{Type: "person", ID: adaHash}) || !r.Reported || !r.OccurredAt.Equal(received) {
		t.Errorf("report %+v", r)
	}
}

func TestUnknownFieldsAreKept(t *testing.T) {
	r := read(t, canonical.WayEvents, `{"event":"x","user_data":{"user_id":"u","shoe":44},"account_data":{"domain":"acme.example","industry":"mining"},"custom_data":{"plan":"team"},"properties":{"seats":12},"campaign":{"utm_campaign":"q2"},"note":"n"}`)
	want := map[string]any{"user_data.shoe": json.Number("44"), "account_data.industry": "mining", "plan": "team", "seats": json.Number("12"), "utm_campaign": "q2", "note": "n"}
	if fmt.Sprint(r.Properties) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", r.Properties, want)
	}
}

func TestMoneyIsKeptSideBySide(t *testing.T) {
	r := read(t, canonical.WayEvents, `{"event":"deal.stage_changed","deal":{"id":1,"stage":"closedwon","value":36000,"mrr":"3000","contract_value":72000.0},"custom_data":{"arr":0.30000000000000004,"value":1}}`)
	if v := r.Revenue; v.Amount.String() != "36000" || v.MRR.String() != "3000" || v.TCV.String() != "72000" || v.ARR.String() != "0.3" || v.ACV != nil {
		t.Errorf("revenue %+v", v)
	}
	if r, _ := Read(receipt(canonical.WayEvents, `{"event":"x","user_id":"u","value":5}`), Settings{Currency: "eur"}); r.Revenue == nil || r.Revenue.Currency != "EUR" {
		t.Errorf("the source's currency is not taken: %+v", r.Revenue)
	}
}
