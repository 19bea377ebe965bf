package wire

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

// metaEvent is an event in Meta's format with members set over those that any has.
func metaEvent(t *testing.T, set map[string]any) string {
	t.Helper()
	e := map[string]any{"event_name": "Contact", "event_time": received.Unix() - 60, "event_id": "e1", "action_source": "website",
		"event_source_url": "https://example.com/a", "user_data": map[string]any{"em": "ana@example.com"}}
	for k, v := range set {
		if e[k] = v; v == nil {
			delete(e, k)
		}
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Every key of user_data that meta.md §2.1 to §2.3 lists is read, alone and in a list, in the
// clear and hashed where it may be, null, empty, or the hash of nothing: where it goes, and that
// it is not lost.
func TestEveryKeyOfUserData(t *testing.T) {
	hash := canonical.SHA256("something")
	hashedAs := func(key string) func(canonical.Report) []string {
		return func(r canonical.Report) []string { return r.Contact.Hashed[key] }
	}
	id := func(s canonical.Scheme) func(canonical.Report) []string {
		return func(r canonical.Report) (out []string) {
			for _, id := range r.Identifiers {
				if id.Scheme == s {
					out = append(out, id.Value)
				}
			}
			return out
		}
	}
	text := func(f func(canonical.Report) string) func(canonical.Report) []string {
		return func(r canonical.Report) []string {
			if v := f(r); v != "" {
				return []string{v}
			}
			return nil
		}
	}
	kept := func(key string) func(canonical.Report) []string {
		return func(r canonical.Report) []string {
			if v := r.Properties["user_data."+key]; v != nil {
				return []string{fmt.Sprint(v)}
			}
			return nil
		}
	}
	type reading struct {
		given any
		want  []string
		of    func(canonical.Report) []string
	}
	table := map[string][]reading{
		"em":                {{" Ana@Example.com ", []string{canonical.EmailHash("ana@example.com")}, id(canonical.Email)}, {[]any{"ana@example.com", hash, nil}, []string{canonical.EmailHash("ana@example.com"), hash}, id(canonical.Email)}},
		"ph":                {{"+1 (415) 555-0134", []string{phHash}, id(canonical.Phone)}, {"14155550134", []string{phHash}, id(canonical.Phone)}, {[]any{phHash + ".AQQCAQMC"}, []string{phHash}, id(canonical.Phone)}},
		"external_id":       {{"HS-00042", []string{canonical.SHA256("hs-00042")}, id(canonical.UserID)}, {[]any{"a", 7}, []string{canonical.SHA256("a"), canonical.SHA256("7")}, id(canonical.UserID)}, {hash, []string{hash}, hashedAs("external_id")}},
		"fn":                {{"Ana", []string{"Ana"}, text(func(r canonical.Report) string { return r.Contact.FirstName })}, {[]any{"Ana", "Mary-Jo"}, []string{canonical.SHA256("maryjo")}, hashedAs("fn")}, {[]any{hash}, []string{hash}, hashedAs("fn")}},
		"ln":                {{[]any{"Ruiz"}, []string{"Ruiz"}, text(func(r canonical.Report) string { return r.Contact.LastName })}, {hash, []string{hash}, hashedAs("ln")}},
		"ct":                {{"Bonn", []string{"Bonn"}, text(func(r canonical.Report) string { return r.Contact.City })}, {[]any{hash}, []string{hash}, hashedAs("ct")}},
		"st":                {{"CA", []string{"CA"}, text(func(r canonical.Report) string { return r.Contact.State })}, {hash, []string{hash}, hashedAs("st")}},
		"zp":                {{94105, []string{"94105"}, text(func(r canonical.Report) string { return r.Contact.Zip })}, {hash, []string{hash}, hashedAs("zp")}},
		"country":           {{[]any{"de"}, []string{"de"}, text(func(r canonical.Report) string { return r.Contact.Country })}, {hash, []string{hash}, hashedAs("country")}},
		"db":                {{"1988-11-05", []string{canonical.SHA256("19881105")}, hashedAs("db")}, {[]any{hash}, []string{hash}, hashedAs("db")}},
		"ge":                {{"Female", []string{canonical.SHA256("f")}, hashedAs("ge")}, {hash, []string{hash}, hashedAs("ge")}},
		"fbp":               {{"fb.1.1776942000000.123.AQYCAQMA", []string{"fb.1.1776942000000.123"}, id(canonical.FBP)}},
		"fbc":               {{"fb.1.1776900000000.IwAR0x", []string{"IwAR0x"}, id(canonical.FBCLID)}},
		"lead_id":           {{123456789012345, []string{"123456789012345"}, id(canonical.LeadID)}, {"123456789012345", []string{"123456789012345"}, id(canonical.LeadID)}},
		"client_ip_address": {{"198.51.100.7", []string{"198.51.100.7"}, text(func(r canonical.Report) string { return r.Browser.IP })}},
		"client_user_agent": {{"Mozilla/5.0", []string{"Mozilla/5.0"}, text(func(r canonical.Report) string { return r.Browser.UserAgent })}},
	}
	for _, k := range []string{"f5first", "f5last", "fi", "dobd", "dobm", "doby"} { // hashed or not at all
		table[k] = []reading{{hash, []string{hash}, kept(k)}, {[]any{hash}, []string{"[" + hash + "]"}, kept(k)}}
	}
	for _, k := range []string{"subscription_id", "fb_login_id", "anon_id", "madid", "page_id", "page_scoped_user_id", "ctwa_clid", "ig_account_id", "ig_sid",
		"instagram_business_account_id", "whatsapp_business_account_id"} {
		table[k] = []reading{{"77", []string{"77"}, kept(k)}, {77, []string{"77"}, kept(k)}}
	}
	sheet := append(sheetKeys(t, "### 2.1", "### 2.3"), "instagram_business_account_id", "f5first", "f5last", "fi", "dobd", "dobm", "doby")
	for _, k := range append(sheet, metaUser...) {
		if len(table[k]) == 0 {
			t.Errorf("%s is in no row", k)
		}
	}
	for k, readings := range table {
		if !slices.Contains(metaUser, k) {
			t.Errorf("%s does not count for what Meta finds somebody by", k)
		}
		for _, c := range readings {
			user := map[string]any{k: c.given, "fbp": "fb.1.1776942000000.9"}
			if k == "fbp" {
				delete(user, "fbp")
				user[k] = c.given
			}
			body := metaEvent(t, map[string]any{"user_data": user})
			if no := CheckMeta(receipt(canonical.WayMeta, body)); no != nil {
				t.Errorf("%s: %v is refused: %+v", k, c.given, no)
			}
			r := read(t, canonical.WayMeta, body)
			if got := c.of(r); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: %v is read as %v, want %v", k, c.given, got, c.want)
			}
			for _, nothing := range []any{nil, "", []any{}, []any{nil, ""}, canonical.SHA256(""), []any{canonical.SHA256("") + ".AQQCAQMC"}} {
				user[k] = nothing
				r, p := Read(receipt(canonical.WayMeta, metaEvent(t, map[string]any{"user_data": user})), Settings{})
				if k == "fbp" && p != nil {
					continue
				}
				if p != nil {
					t.Errorf("%s: %v: %v", k, nothing, p)
				}
				if len(r.Contact.Hashed) > 0 || len(r.Identifiers) > 1 {
					t.Errorf("%s: %v says %v %v", k, nothing, r.Identifiers, r.Contact.Hashed)
				}
			}
		}
	}
}

// sheetKeys lists what stands in backquotes at the beginning of the rows, and in the list of
// what is never hashed, of a part of the sheet; nothing where the sheet is not at hand.
func sheetKeys(t *testing.T, from, to string) []string {
	b, err := os.ReadFile(os.Getenv("TRIBUTARY_META_SHEET"))
	if err != nil {
		return nil
	}
	_, part, _ := strings.Cut(string(b), from)
	part, _, _ = strings.Cut(part, to)
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z, _]+) \|`).FindAllStringSubmatch(part, -1) {
		for _, k := range strings.Split(m[1], ", ") {
			if k != "key" {
				out = append(out, k)
			}
		}
	}
	_, never, _ := strings.Cut(part, "### 2.2")
	never, _, _ = strings.Cut(never, "3p:")
	for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(never, -1) {
		out = append(out, m[1])
	}
	t.Logf("the sheet has %v", out)
	return out
}

// Every other field of an event that meta.md lists (§1.4, §1.6, §1.9, §3.1) is kept as it came.
func TestEveryFieldOfAnEvent(t *testing.T) {
	for _, c := range []struct{ in, field, value string }{
		{"", "action_source", `"phone_call"`}, {"", "opt_out", `true`}, {"", "advanced_measurement_table", `"t"`}, {"", "advertiser_tracking_enabled", `true`},
		{"", "messaging_channel", `"whatsapp"`}, {"", "original_event_data", `{"event_name":"Purchase","event_time":1776942000,"order_id":"o","event_id":"e0"}`},
		{"", "attribution_data", `{"ad_id":"1","attribution_share":0.5,"touchpoint_ts":1776942000,"attribution_setting":{"inactivity_window_hours":1}}`},
		{"", "customer_segmentation", `"new_customer_to_business"`}, {"", "contents", `[{"id":"a"}]`},
		{"", "app_data", `{"advertiser_tracking_enabled":1,"application_tracking_enabled":0,"extinfo":["a2","","","","14","","","","","","","","","","",""],"campaign_ids":"c"}`},
		{"custom_data", "net_revenue", `9.5`}, {"custom_data", "content_name", `"n"`}, {"custom_data", "content_category", `"c"`}, {"custom_data", "content_ids", `["a",7]`},
		{"custom_data", "contents", `[{"id":"a","quantity":2,"item_price":4.5,"title":"t","description":"d","brand":"b","category":"c","delivery_category":"curbside"}]`},
		{"custom_data", "content_type", `"product"`}, {"custom_data", "order_id", `"o-1"`}, {"custom_data", "predicted_ltv", `120.25`}, {"custom_data", "num_items", `3`},
		{"custom_data", "search_string", `"chairs"`}, {"custom_data", "status", `"completed"`}, {"custom_data", "item_number", `"i"`}, {"custom_data", "delivery_category", `"home_delivery"`},
		{"custom_data", "store_data", `{"store_page_id":"1","brand_page_id":"2","store_code":"3"}`}, {"custom_data", "product_catalog_id", `"p"`}, {"custom_data", "lead_event_source", `"HubSpot"`},
		{"custom_data", "event_source", `"crm"`}, {"custom_data", "customer_segmentation", `"customer_in_loyalty_program"`}, {"custom_data", "our_own", `{"deep":[1]}`},
	} {
		var want any
		d := json.NewDecoder(strings.NewReader(c.value))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		set := map[string]any{c.field: json.RawMessage(c.value)}
		if c.in != "" {
			set = map[string]any{c.in: set}
		}
		body := metaEvent(t, set)
		if no := CheckMeta(receipt(canonical.WayMeta, body)); no != nil {
			t.Errorf("%s is refused: %+v", c.field, no)
		}
		if got := read(t, canonical.WayMeta, body).Properties[c.field]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s is read as %v", c.field, c.value, got)
		}
	}
	r := receipt(canonical.WayMeta, metaEvent(t, map[string]any{"event_name": "Purchase", "referrer_url": "https://social.example/", "custom_data": map[string]any{"value": "19.5", "currency": "usd"},
		"data_processing_options": []string{"LDU"}, "data_processing_options_country": 1, "data_processing_options_state": "1000"}))
	r.Context = map[string]string{}
	for _, k := range MetaContext() {
		r.Context[k] = "said " + k
	}
	got, p := Read(r, Settings{})
	if p != nil {
		t.Fatal(p)
	}
	if got.Revenue == nil || got.Revenue.Amount.String() != "19.5" || got.Revenue.Currency != "USD" || got.Browser.URL != "https://example.com/a" || got.Browser.Referrer != "https://social.example/" ||
		got.EventID != "e1" || !reflect.DeepEqual(got.Consent.DataProcessing, []string{"LDU"}) || *got.Consent.ProcessingCountry != 1 || *got.Consent.ProcessingState != 1000 {
		t.Errorf("%+v %+v", got, got.Consent)
	}
	for _, k := range MetaContext() {
		if got.Properties[k] != "said "+k {
			t.Errorf("%s is %v", k, got.Properties[k])
		}
	}
}

// An explicit none is something else than nothing, also once it stood in the log.
func TestAnEmptyListOfOptionsIsKept(t *testing.T) {
	for set, want := range map[string]string{`[]`: "[]", `null`: "null", `""`: "[]", `["LDU"]`: `["LDU"]`, `"LDU"`: `["LDU"]`} {
		r := read(t, canonical.WayMeta, metaEvent(t, map[string]any{"data_processing_options": json.RawMessage(set)}))
		b, err := json.Marshal(canonical.Event{Consent: r.Consent})
		if err != nil {
			t.Fatal(err)
		}
		var e canonical.Event
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		got := "null"
		if e.Consent != nil {
			j, _ := json.Marshal(e.Consent.DataProcessing)
			got = string(j)
		}
		if got != want {
			t.Errorf("%s comes out of the log as %s", set, got)
		}
	}
}

// What Meta refuses is refused in its numbers, and nothing that is let through is quarantined.
func TestCheckMeta(t *testing.T) {
	user := func(kv ...string) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return map[string]any{"user_data": m}
	}
	ago := func(d time.Duration, source string) map[string]any {
		return map[string]any{"event_time": received.Add(-d).Unix(), "action_source": source}
	}
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		set     map[string]any
		field   string // "" is taken
		subcode int
	}{
		"plain":                         {},
		"no name":                       {map[string]any{"event_name": nil}, "event_name", 0},
		"a name with a bar":             {map[string]any{"event_name": "a|b"}, "event_name", 0},
		"no time":                       {map[string]any{"event_time": nil}, "event_time", 0},
		"a time that is none":           {map[string]any{"event_time": "soon"}, "event_time", 0},
		"digits":                        {map[string]any{"event_time": fmt.Sprint(received.Unix())}, "", 0},
		"two days ahead":                {ago(-2*day, "website"), "event_time", 0},
		"eight days ago":                {ago(8*day, "website"), "event_time", 2804003},
		"six days ago":                  {ago(6*day, "website"), "", 0},
		"eight days ago in a store":     {ago(8*day, "physical_store"), "", 0},
		"63 days ago in a store":        {ago(63*day, "physical_store"), "event_time", 2804003},
		"a source that is none":         {map[string]any{"action_source": "web"}, "action_source", 0},
		"no source":                     {map[string]any{"action_source": nil}, "", 0},
		"no user_data":                  {map[string]any{"user_data": nil}, "user_data", 2804050},
		"empty user_data":               {user(), "user_data", 2804050},
		"unknown keys only":             {user("shoe", "44"), "user_data", 2804050},
		"country and agent":             {user("country", "de", "client_user_agent", "UA", "ge", "f"), "user_data", 2804050},
		"birth and agent":               {user("db", "19881105", "client_user_agent", "UA"), "user_data", 2804050},
		"first name and gender":         {user("fn", "ana", "ge", "f"), "user_data", 2804050},
		"both names":                    {user("fn", "ana", "ln", "ruiz"), "", 0},
		"address and agent":             {user("client_ip_address", "198.51.100.7", "client_user_agent", "UA"), "", 0},
		"the hash of nothing":           {user("em", canonical.SHA256("")), "user_data", 2804050},
		"an address that is none":       {user("em", "nobody"), "user_data", 2804050},
		"one that is none, and a click": {user("em", "nobody", "fbc", "fb.1.1776900000000.x"), "", 0},
		"user_data as text":             {map[string]any{"user_data": "x"}, "user_data", 0},
		"a purchase without value":      {map[string]any{"event_name": "Purchase", "custom_data": map[string]any{"currency": "EUR"}}, "custom_data.value", 2804009},
		"a purchase of nothing":         {map[string]any{"event_name": "Purchase", "custom_data": map[string]any{"value": 0, "currency": "EUR"}}, "", 0},
		"a currency that is none":       {map[string]any{"custom_data": map[string]any{"value": 1, "currency": "euro"}}, "custom_data.currency", 0},
		"a value that is none":          {map[string]any{"custom_data": map[string]any{"value": "1,50", "currency": "EUR"}}, "custom_data.value", 0},
		"a template":                    {map[string]any{"event_id": "{{id}}"}, "event_id", 0},
	} {
		r := receipt(canonical.WayMeta, metaEvent(t, c.set))
		no := CheckMeta(r)
		_, p := Read(r, Settings{})
		switch {
		case c.field == "" && (no != nil || p != nil):
			t.Errorf("%s: %+v, %v", name, no, p)
		case c.field != "" && (no == nil || no.Field != c.field || no.Subcode != c.subcode || no.Says == "" || no.Title == ""):
			t.Errorf("%s: %+v, want %s %d", name, no, c.field, c.subcode)
		}
	}
	if no := CheckMeta(receipt(canonical.WayMeta, `[]`)); no == nil {
		t.Error("an array is no event")
	}
}

// Two visitors of whom only the browser is known, in one second, are two.
func TestAnonymousEventsStayApart(t *testing.T) {
	one := func(ip string) canonical.Object {
		r := read(t, canonical.WayMeta, metaEvent(t, map[string]any{"event_id": nil, "user_data": map[string]any{"client_ip_address": ip, "client_user_agent": "UA"}}))
		return r.Object
	}
	if a, b := one("198.51.100.7"), one("198.51.100.8"); a == b || a.ID == "" || strings.Contains(a.ID, "198") {
		t.Errorf("%v and %v", a, b)
	}
}
