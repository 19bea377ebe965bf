package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

const (
	segmentOrder = `{"type":"track","messageId":"m-1","event":"Order Completed","userId":"u-7","anonymousId":"0192f0c4-1111-4222-8333-444455556666",
		"timestamp":"2026-04-23T11:00:00.500Z","properties":{"revenue":"149.90","value":3,"currency":"eur","orderId":42,"products":[{"sku":"p1"}],"coupon":"SPRING"},
		"context":{"ip":"203.0.113.9","userAgent":"Mozilla/5.0","locale":"de-DE","page":{"url":"https://shop.acme.example/thanks","search":"?gclid=G-1","title":"Thanks"},
		"campaign":{"source":"google","medium":"cpc","name":"spring"},"traits":{"email":"Ada.Byron@example.com"},"consent":{"categoryPreferences":{"Advertising":true,"DataSharing":false}}},
		"integrations":{"All":false,"Meta":true}}`
	segmentAlias = `{"type":"alias","messageId":"m-2","userId":"u-8","previousId":"u-7"}`
	segmentGroup = `{"type":"group","messageId":"m-3","userId":"u-7","groupId":"g-1","traits":{"name":"Acme","website":"https://www.acme.example/about","tier":"gold","employees":420}}`
)

func TestSegmentTrack(t *testing.T) {
	r := read(t, canonical.WaySegment, segmentOrder)
	if r.Event != "Order Completed" || r.EventID != "m-1" || r.Subject != canonical.SubjectCustom || r.TimeText != "2026-04-23T11:00:00.500Z" || r.Reported {
		t.Errorf("read as %+v", r)
	}
	if r.Revenue == nil || r.Revenue.Amount.String() != "149.90" && r.Revenue.Amount.String() != "149.9" || r.Revenue.Currency != "EUR" {
		t.Errorf("earned %+v", r.Revenue)
	}
	if got, want := identifiers(r), "email=d9acb9 user_id="+canonical.SHA256("u-7")[:6]+" anonymous=0192f0c4-1111-4222-8333-444455556666 gclid=G-1"; got != want {
		t.Errorf("of %s, want %s", got, want)
	}
	if b := r.Browser; b.IP != "203.0.113.9" || b.UserAgent != "Mozilla/5.0" || b.URL != "https://shop.acme.example/thanks?gclid=G-1" {
		t.Errorf("browser %+v", b)
	}
	if c := r.Consent; c == nil || !*c.AdStorage || *c.AdUserData {
		t.Errorf("consent %+v", c)
	}
	if r.Touch == nil || r.Touch.Campaign != "spring" || r.Touch.Platform != "google" {
		t.Errorf("touch %+v", r.Touch)
	}
	want := []string{"context.locale", "context.page.title", "coupon", "integrations", "orderId", "order_id", "products", "value"}
	got := slices.DeleteFunc(slices.Sorted(maps.Keys(r.Properties)), func(k string) bool { return k == "context.consent" || k == "context.page.search" })
	if !slices.Equal(got, want) || r.Properties["order_id"] != "42" {
		t.Errorf("properties %v, want %v", got, want)
	}
}

// What each call says of who is who: the identifiers, strongest first, and the company.
func TestSegmentCalls(t *testing.T) {
	user := func(id string) string { return "user_id=" + canonical.SHA256(id)[:6] }
	const cookie = "0192f0c4-1111-4222-8333-444455556666"
	for _, c := range []struct{ body, subject, ids, about string }{
		{`{"type":"identify","userId":"u-7","anonymousId":"` + cookie + `","traits":{"email":"ada.byron@example.com","name":"Ada Byron","company":{"name":"Acme","domain":"acme.example"},"address":{"city":"Bern","postalCode":"3000"},"age":7}}`,
			"property", "email=d9acb9 " + user("u-7") + " anonymous=" + cookie, "Ada Byron Bern 3000 acme.example Acme"},
		{`{"type":"identify","userId":"Ada.Byron@example.com"}`, "property", "email=d9acb9 " + user("ada.byron@example.com"), ""},
		{`{"type":"identify","userId":77,"traits":{"email":["x"],"phone":true,"title":{"de":"Frau"},"company":"Acme"}}`, "property", user("77"), "Acme"},
		{segmentGroup, "property", user("u-7"), "acme.example Acme gold"},
		{`{"type":"group","groupId":"g-1","anonymousId":"a-1","traits":{}}`, "property", "anonymous=a-1", ""},
		{segmentAlias, "property", user("u-8") + " " + user("u-7") + " anonymous=u-7", ""},
		{`{"type":"alias","userId":"u-8","previousId":"` + cookie + `"}`, "property", user("u-8") + " anonymous=" + cookie, ""},
		{`{"type":"alias","userId":"u-8","previousId":"ada.byron@example.com"}`, "property", "email=d9acb9 " + user("u-8") + " " + user("ada.byron@example.com"), ""},
		{`{"type":"page","anonymousId":"a-1","name":"Pricing","properties":{"url":"https://acme.example/pricing?utm_source=x","referrer":"https://e.example/"}}`, "touch", "anonymous=a-1", "page_view https://acme.example/pricing x"},
		{`{"type":"page","anonymousId":"a-1","context":{"page":{"url":"https://acme.example/p","search":"?li_fat_id=L1"}}}`, "touch", "anonymous=a-1 li_fat_id=L1", "ad_click https://acme.example/p "},
		{`{"type":"screen","userId":"u-7","name":"Home","context":{"campaign":{"name":"spring","source":"meta","medium":"paid"}}}`, "touch", user("u-7"), "ad_click Home meta"},
		{`{"type":"track","event":"Form Submitted","anonymousId":"a-1","properties":{"formId":"demo","email":"ada.byron@example.com"}}`, "touch", "email=d9acb9 anonymous=a-1", "form demo "},
		{`{"type":"track","event":"Invite Sent","anonymousId":"a-1","properties":{"email":"colleague@example.com"}}`, "custom", "anonymous=a-1", ""},
	} {
		r := read(t, canonical.WaySegment, c.body)
		about := strings.Join(strings.Fields(strings.Join([]string{r.Contact.FirstName, r.Contact.LastName, r.Contact.City, r.Contact.Zip, r.Company.Domain, r.Company.Name, r.Company.Tier}, " ")), " ")
		if r.Touch != nil {
			about = r.Touch.Kind + " " + r.Object.ID + " " + r.Touch.Source
		}
		if got := identifiers(r); string(r.Subject) != c.subject || got != c.ids || about != c.about {
			t.Errorf("%s:\n got %s %s (%s)\nwant %s %s (%s)", c.body, r.Subject, got, about, c.subject, c.ids, c.about)
		}
	}
}

// A clock that is off is set right; a slow network and a clock that is nearly right change
// nothing; what went through Segment was set right there.
func TestWhenASegmentCallWasMade(t *testing.T) {
	at := func(off time.Duration) string { return received.Add(off).Format(time.RFC3339Nano) }
	for _, c := range []struct {
		body, sentAt string
		want         time.Duration // from its receipt
		problem      string
	}{
		{body: `{}`, want: 0},
		{body: `{"timestamp":"` + at(-time.Hour) + `"}`, want: -time.Hour},
		{body: `{"timestamp":"` + at(-time.Hour) + `"}`, sentAt: at(-30 * time.Second), want: -time.Hour},
		{body: `{"timestamp":"` + at(-50*time.Hour) + `"}`, sentAt: at(-48 * time.Hour), want: -2 * time.Hour},
		{body: `{"timestamp":"` + at(20*365*24*time.Hour) + `","sentAt":"` + at(20*365*24*time.Hour+5*time.Minute) + `"}`, want: -5 * time.Minute},
		{body: `{"originalTimestamp":"` + at(-50*time.Hour) + `"}`, sentAt: at(-48 * time.Hour), want: -2 * time.Hour},
		{body: `{"originalTimestamp":"` + at(-50*time.Hour) + `","timestamp":"` + at(-3*time.Hour) + `"}`, sentAt: at(-48 * time.Hour), want: -3 * time.Hour},
		{body: `{"timestamp":"` + at(-3*time.Hour) + `","receivedAt":"` + at(-3*time.Hour) + `","sentAt":"` + at(-9*time.Hour) + `"}`, want: -3 * time.Hour},
		{body: `{"timestamp":"` + at(-time.Hour) + `","sentAt":"soon"}`, want: -time.Hour},
		{body: `{"timestamp":"` + at(-time.Hour) + `","sentAt":"0001-01-01T00:00:00Z"}`, want: -time.Hour},
		{body: `{"timestamp":"` + at(-time.Hour) + `","sentAt":0}`, want: -time.Hour},
		{body: `{"timestamp":"yesterday"}`, problem: CodeBadTime},
		{body: `{"timestamp":["x"]}`, problem: CodeBadTime},
		{body: `{"timestamp":"` + at(48*time.Hour) + `"}`, problem: CodeBadTime},
		{body: `{"timestamp":"1999-01-01T00:00:00Z"}`, problem: CodeBadTime},
	} {
		rc := receipt(canonical.WaySegment, strings.Replace(c.body, "{", `{"userId":"u","event":"E","type":"track",`, 1))
		rc.Body = []byte(strings.Replace(string(rc.Body), ",}", "}", 1))
		rc.Context = map[string]string{"sent_at": c.sentAt}
		r, p := Read(rc, Settings{})
		switch {
		case c.problem != "":
			if p == nil || p.Code != c.problem {
				t.Errorf("%s: problem %v, want %s", c.body, p, c.problem)
			}
		case p != nil:
			t.Errorf("%s: %v", c.body, p)
		case r.OccurredAt.Sub(received).Round(time.Second) != c.want || r.TimeText == "" || r.Reported:
			t.Errorf("%s, sent %s: %s from its receipt, want %s", c.body, c.sentAt, r.OccurredAt.Sub(received), c.want)
		}
	}
}

// What is no call is a problem with a reason, and none of them repeats what was sent.
func TestSegmentProblems(t *testing.T) {
	for body, want := range map[string]string{
		`5`:                                                       CodeMalformed,
		`{"userId":"u"}`:                                          CodeUnknown,
		`{"type":"delete","userId":"u"}`:                          CodeUnknown,
		`{"type":"track","userId":"u"}`:                           CodeBadName,
		`{"type":"track","event":"E"}`:                            CodeMissingID,
		`{"type":"group","userId":"u"}`:                           CodeMissingID,
		`{"type":"alias","userId":"u"}`:                           CodeMissingID,
		`{"type":"alias","previousId":"u"}`:                       CodeMissingID,
		`{"type":"identify","userId":{"a":1}}`:                    CodeMissingID,
		`{"type":"track","event":"E","userId":"u","context":"x"}`: CodeWrongType,
		`{"type":"identify","userId":"{{user.id}}"}`:              CodeTemplate,
		`{"type":"identify","anonymousId":"a","traits":{"email":"{{mail}}"}}`: CodeTemplate,
	} {
		if _, p := Read(receipt(canonical.WaySegment, body), Settings{}); p == nil || p.Code != want {
			t.Errorf("%s: %v, want %s", body, p, want)
		}
	}
	r := read(t, canonical.WaySegment, `{"type":"track","event":"E","userId":"u","properties":{"revenue":"€14","value":"blue","currency":"Euros"}}`)
	if r.Revenue != nil || r.Properties["revenue_unusable"] != true || r.Properties["revenue"] != "€14" || r.Properties["value"] != "blue" || r.Properties["currency"] != "Euros" {
		t.Errorf("earned %v, properties %v", r.Revenue, r.Properties)
	}
}

// A property of that name chooses no destinations.
func TestIntegrationsOfAnEventChooseNothing(t *testing.T) {
	for _, c := range []struct{ said, want string }{{`,"integrations":{"All":false}`, `{"All":false}`}, {"", "null"}} {
		r := read(t, canonical.WaySegment, `{"type":"track","event":"E","userId":"u","properties":{"integrations":{"All":true}}`+c.said+`}`)
		if got := marshalled(t, r.Properties["integrations"]); got != c.want || r.Properties["properties.integrations"] == nil {
			t.Errorf("%s, properties %v", got, r.Properties)
		}
	}
}

// A call reads the same alone, by its short route, and in a batch whose context it shares.
func TestASegmentCallReadsTheSameAloneAndInABatch(t *testing.T) {
	var call map[string]json.RawMessage
	if err := json.Unmarshal([]byte(segmentOrder), &call); err != nil {
		t.Fatal(err)
	}
	whole := read(t, canonical.WaySegment, segmentOrder)
	kind, context, integrations := "track", string(call["context"]), string(call["integrations"])
	delete(call, "type")
	alone := receipt(canonical.WaySegment, marshalled(t, call))
	alone.Context = map[string]string{"type": kind}
	delete(call, "context")
	delete(call, "integrations")
	call["type"] = json.RawMessage(`"track"`)
	batched := receipt(canonical.WaySegment, marshalled(t, call))
	batched.Context = map[string]string{"context": context, "integrations": integrations, "sent_at": received.Format(time.RFC3339)}
	for name, rc := range map[string]canonical.Receipt{"alone": alone, "in a batch": batched} {
		r, p := Read(rc, Settings{})
		if a, b := marshalled(t, r), marshalled(t, whole); p != nil || a != b {
			t.Errorf("%s: %v\n%s\n%s", name, p, a, b)
		}
	}
}

func marshalled(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(fmt.Errorf("write: %w", err))
	}
	return string(b)
}
