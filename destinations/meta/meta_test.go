package meta

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
)

var suite = destinationtest.Suite{
	Kind:   Kind(),
	Config: "dataset_id: 111222333444555\ntest_event_code: TEST12345\n",
	Route:  canonical.Route{Event: "Purchase", Value: "amount", At: "default.yaml:40"},
}

func TestSuite(t *testing.T)      { suite.Run(t) }
func TestGolden(t *testing.T)     { suite.Golden(t) }
func TestReadme(t *testing.T)     { suite.Readme(t) }
func FuzzClassify(f *testing.F)   { suite.Fuzz(f) }
func BenchmarkBuild(b *testing.B) { suite.Bench(b) }

// The check value of meta.md §1.1, and the places of token and proof.
func TestAuthorize(t *testing.T) {
	for secret, want := range map[string]string{
		"demo-token":               "",
		" demo-token\n":            "",
		"demo-token demo-secret":   "a030b507b507af9c7222ad797fc9c7ba887306d08f725a71e42dff373952c1d2",
		"demo-token  demo-secret ": "a030b507b507af9c7222ad797fc9c7ba887306d08f725a71e42dff373952c1d2",
	} {
		r, err := http.NewRequest(http.MethodPost, "https://graph.facebook.com/v25.0/1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		Kind().Authorize(r, nil, secret)
		if got := r.Header.Get("Authorization"); got != "Bearer demo-token" {
			t.Errorf("%q is sent as %q", secret, got)
		}
		if got := r.URL.Query().Get("appsecret_proof"); got != want || strings.Contains(r.URL.RawQuery, "demo") {
			t.Errorf("%q gives the query %q", secret, r.URL.RawQuery)
		}
	}
}

func TestHeadroom(t *testing.T) {
	d := suite.Open(t).(destination)
	for _, c := range []struct {
		header http.Header
		want   []destinations.Reading
	}{
		{http.Header{}, nil},
		{http.Header{"X-App-Usage": {`{"call_count":28,"total_cputime":91,"total_time":25}`}}, []destinations.Reading{{Limit: "app_usage", Max: 100, Remaining: 9}}},
		{http.Header{"X-Ad-Account-Usage": {`{"acc_id_util_pct":9.67}`}}, []destinations.Reading{{Limit: "ad_account_usage", Max: 100, Remaining: 90}}},
		{http.Header{"X-Business-Use-Case-Usage": {`{"1":[{"type":"ads_management","call_count":100,"total_cputime":1,"total_time":1,"estimated_time_to_regain_access":19}],"2":[{"call_count":3}]}`}},
			[]destinations.Reading{{Limit: "business_usage", Max: 100, Remaining: 0, Resets: 19 * time.Minute}}},
		{http.Header{"X-App-Usage": {`{"call_count":280}`}, "X-Business-Use-Case-Usage": {"{"}}, []destinations.Reading{{Limit: "app_usage", Max: 100, Remaining: 0}}},
		{http.Header{"X-App-Usage": {`{"call_count":"x"}`}}, nil},
		{http.Header{"X-App-Usage": {`{"call_count":-5}`}}, []destinations.Reading{{Limit: "app_usage", Max: 100, Remaining: 100}}},
	} {
		again := destinations.Reading{Limit: "calls", Remaining: -1} // it takes calls
		if got := d.Headroom(destinations.Response{Status: 200, Header: c.header}); !reflect.DeepEqual(got, append([]destinations.Reading{again}, c.want...)) {
			t.Errorf("%v reads as %+v, want %+v", c.header, got, c.want)
		}
	}
	// A throttle under 400, without a header, stops whoever calls for the account.
	for body, want := range map[string][]destinations.Reading{
		`{"error":{"code":80004}}`: {{Limit: "calls", Max: 100, Resets: time.Minute}}, `{"error":{"code":4,"error_subcode":1504022}}`: {{Limit: "calls", Max: 100, Resets: time.Minute}},
		`{"error":{"code":100}}`: nil, `<html>`: nil, ``: nil,
	} {
		if got := d.Headroom(destinations.Response{Status: 400, Header: http.Header{}, Body: []byte(body)}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads as %+v, want %+v", body, got, want)
		}
	}
}

// A click cannot have been later than we heard of it, whatever the source's clock says.
func TestClickAheadOfOurClock(t *testing.T) {
	ahead := destinationtest.Noon.Add(time.Hour)
	e := canonical.Event{ReceivedAt: destinationtest.Noon, OccurredAt: ahead,
		Touch: &canonical.Touch{At: ahead, Clicks: []canonical.Click{{Scheme: canonical.FBCLID, Value: "abc", At: ahead}}}}
	if got, want := fbc(&e, &canonical.Known{}), fmt.Sprintf("fb.1.%d.abc", destinationtest.Noon.UnixMilli()); got != want {
		t.Errorf("sent as %q, want %q", got, want)
	}
}

func TestMatch(t *testing.T) {
	d := suite.Open(t).(destination)
	hash := strings.Repeat("0f", 32)
	e := canonical.Event{
		ID: "e", Name: "lead_created", Way: canonical.WayMeta, OccurredAt: destinationtest.Noon,
		Contact: canonical.Contact{Email: "kim@example.org", Phone: "call me", FirstName: hash, LeadID: "12", City: "29 Palms", Zip: "1",
			Hashed: map[string][]string{"ph": {"zz"}, "db": {hash}, "em": {hash}}},
		Browser:    canonical.BrowserContext{IP: "10.0.0.1", UserAgent: "UA", FBP: "fb.1.1788000000000.1"},
		Properties: map[string]any{"user_data.madid": "M"},
	}
	want := map[string]string{
		"em": "usable", "ph": "refused", "fn": "prehashed", "ln": "missing", "db": "prehashed", "ge": "missing", "ct": "refused", "st": "missing",
		"zp": "refused", "country": "missing", "external_id": "missing", "fbc": "missing", "fbp": "usable", "lead_id": "refused",
		"client_ip_address": "refused", "client_user_agent": "usable", "madid": "usable",
	}
	if got := d.Match(destinations.Item{Event: e}); !reflect.DeepEqual(got, want) {
		t.Errorf("match is %v, want %v", got, want)
	}
	crm := destinationtest.Deals(1)[0]
	got := d.Match(destinations.Item{Event: crm, Known: *crm.Known})
	if _, told := got["client_ip_address"]; told || got["em"] != "usable" || got["fbc"] != "usable" || got["lead_id"] != "missing" {
		t.Errorf("the match of a CRM's event is %v", got)
	}
}

func TestAdvice(t *testing.T) {
	d := suite.Open(t).(destination)
	got := d.Advice(map[string]canonical.Route{
		"a": {Event: "purchase", Value: "amount", At: "m.yaml:1"}, "b": {Event: "Purchase", At: "m.yaml:2"}, "c": {Event: "start trial", At: "m.yaml:3"},
		"d": {Event: "Lead"}, "e": {Event: "Sales Qualified"}, "f": {Event: strings.Repeat("x", 51), At: "m.yaml:6"},
	})
	if len(got) != 4 || !strings.Contains(got[0], `"Purchase" (m.yaml:1)`) || !strings.Contains(got[1], "m.yaml:2") ||
		!strings.Contains(got[2], `"StartTrial"`) || !strings.Contains(got[3], "51 characters") {
		t.Errorf("advice: %s", strings.Join(got, "\n"))
	}
}

func TestContract(t *testing.T) {
	for config, want := range map[string]destinations.Contract{
		"dataset_id: 1\n": {APIVersion: "v25.0", VersionEnds: date(2028, 7, 29), MaxAge: 7 * 24 * time.Hour},
		"dataset_id: 1\nstore_events: true\nversion: v26.0\naccount: acme\n": {APIVersion: "v26.0", MaxAge: 62 * 24 * time.Hour, Account: "acme"},
	} {
		s := suite
		s.Config = config
		got := s.Open(t).Contract()
		if got.APIVersion != want.APIVersion || !got.VersionEnds.Equal(want.VersionEnds) || got.MaxAge != want.MaxAge || got.Account != want.Account ||
			got.ResendWithin != 48*time.Hour || got.Ambiguous != destinations.Resend {
			t.Errorf("%q has the contract %+v", config, got)
		}
	}
}

// Hashing under way or back must not depend on how often a value is normalised.
func FuzzNormal(f *testing.F) {
	for _, s := range []string{"", " Kim.Lee+News@Example.ORG ", "+49 (0)30 901820", "Málaga", "29 Palms", "EC1A 1BB", "Nevada", "fb.1.1788000000000.x.AQ", "203.0.113.7.AQQCAQMC", strings.Repeat("0f", 32)} {
		f.Add(s, "US")
	}
	f.Fuzz(func(t *testing.T, s, region string) {
		if len(s) > 300 || len(region) > 3 {
			return
		}
		for name, normal := range map[string]func(string) string{
			"em": normalEmail, "ph": normalPhone(region), "fn": canonical.NormalName, "ct": normalCity(cityLibrary), "ct written": normalCity(cityWritten),
			"st": normalState(region), "zp": normalZip(region), "country": normalCountry, "external_id": normalExternalID,
		} {
			once := normal(s)
			if name != "ph" && normal(once) != once {
				t.Errorf("%s: %q becomes %q, and that %q", name, s, once, normal(once))
			}
			if h := hashOf(s, normal); h != "" && len(strings.SplitN(h, ".", 2)[0]) != 64 && len(strings.SplitN(h, ".", 2)[0]) != 32 {
				t.Errorf("%s: %q is hashed to %q", name, s, h)
			}
			if once == "" && hashOf(s, normal) == canonical.SHA256("") {
				t.Errorf("%s: nothing was hashed for %q", name, s)
			}
		}
		if c := cookie(s); c != "" && c != s {
			t.Errorf("cookie(%q) = %q", s, c)
		}
		if ip := publicIP(s); ip != "" && ip != strings.TrimSpace(s) {
			t.Errorf("publicIP(%q) = %q", s, ip)
		}
	})
}

// Whatever a caller of Meta's own format put beside what we know, the request is JSON that
// ascends, and no e-mail address stands in custom_data.
func FuzzBuild(f *testing.F) {
	for _, s := range []string{
		`{"action_source":"app","app_data":{"extinfo":["a2"]}}`, `{"contents":[{"id":1,"quantity":"x"},null,7],"content_ids":"a"}`, `{"opt_out":"true","customer_segmentation":7}`,
		`{"action_source":"business_messaging","messaging_channel":"messenger","user_data.page_id":1e300,"user_data.page_scoped_user_id":"2"}`,
		`{"original_event_data":{"event_name":1,"event_time":[]},"attribution_data":[1]}`, `{"order_id":"kim@example.org","net_revenue":-0,"predicted_ltv":"1e5"}`,
		`{"data_processing_options":{},"event_source":"CRM","lead_event_source":" "}`, `{"user_data.fb_login_id":-1,"user_data.f5first":{},"store_data":{"store_code":true}}`,
	} {
		f.Add(s, "Lead", "")
	}
	d := suite.Open(f)
	f.Fuzz(func(t *testing.T, properties, name, url string) {
		e := canonical.Event{ID: "e", Name: "x", Way: canonical.WayMeta, OccurredAt: destinationtest.Noon, ReceivedAt: destinationtest.Noon,
			Contact: canonical.Contact{Email: "kim@example.org"}, Browser: canonical.BrowserContext{URL: url, Referrer: url, UserAgent: url}}
		if json.Unmarshal([]byte(properties), &e.Properties) != nil {
			return
		}
		parts, refusal := d.Plan(e, canonical.Known{}, canonical.Route{Event: name})
		if (len(parts) == 0) == (refusal.Reason == "") {
			t.Fatalf("%d parts, refused for %q", len(parts), refusal.Reason)
		}
		if len(parts) == 0 {
			return
		}
		q, err := d.Build([]destinations.Item{{Event: e, Part: parts[0]}})
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Data []struct {
				CustomData map[string]any `json:"custom_data"`
			}
		}
		if err := json.Unmarshal(q.Body, &body); err != nil || len(body.Data) != 1 {
			t.Fatalf("%v: %s", err, q.Body)
		}
		for key, v := range body.Data[0].CustomData {
			if s, ok := v.(string); ok && canonical.NormalEmail(s) != "" && strings.Count(s, "@") == 1 && !strings.ContainsAny(s, " ,;:<>()[]\"'") {
				t.Errorf("custom_data.%s holds the address %q", key, s)
			}
		}
	})
}

// A no to optimisation is heard as text and as a number too: forms have nothing else.
func TestAnOptOutInAnyForm(t *testing.T) {
	for said, want := range map[any]bool{true: true, "true": true, "1": true, 1.0: true, json.Number("1"): true, false: false, "false": false, "": false, nil: false} {
		e := canonical.Event{Way: canonical.WayMeta, Properties: map[string]any{"opt_out": said}}
		if got := passed(&e, website).optOut; got != want {
			t.Errorf("opt_out %v is %t", said, got)
		}
	}
}
