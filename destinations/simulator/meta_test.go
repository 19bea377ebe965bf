package simulator

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func idOf(id int64) string { return strconv.FormatInt(id, 10) }

// tear leaves half a line at the end of the file, as a crash may.
func tear(t *testing.T, dir string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "simulator.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(`{"k":"received","v":{"ven`); err != nil {
		t.Fatal(err)
	}
}

const kimHash = "1d3adf982686025d73179b5464e022275c185a0b953e1ad5958a9454381140ac" // the sheet's vector

// metaEventWith is a good event with members replaced or, where the text begins with "-",
// left out.
func metaEventWith(changes ...string) string {
	members := map[string]string{
		"event_name": `"Lead"`, "event_time": strconv.FormatInt(noon.Add(-time.Hour).Unix(), 10), "event_id": `"e1"`, "action_source": `"system_generated"`,
		"user_data": `{"em":["` + hashHex("ada.byron@example.com") + `"]}`,
	}
	for _, ch := range changes {
		if name, ok := strings.CutPrefix(ch, "-"); ok {
			delete(members, name)
			continue
		}
		name, value, _ := strings.Cut(ch, ":")
		members[strings.Trim(name, `"`)] = value
	}
	var parts []string
	for k, v := range members {
		parts = append(parts, `"`+k+`":`+v)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func sendMeta(b *bench, events ...string) reply {
	b.t.Helper()
	return b.send("POST", "/v25.0/111222333/events", `{"data":[`+strings.Join(events, ",")+`]}`, "Authorization: Bearer t", "Content-Type: application/json")
}

func TestMetaAnswer(t *testing.T) {
	b := newBench(t, Options{People: []Person{ada}})
	got := sendMeta(b, metaEventWith(), metaEventWith(`"event_id":"e2"`))
	got.wants(t, 200)
	body := read[map[string]any](t, got.body)
	if body["events_received"] != 2.0 || len(body["messages"].([]any)) != 0 || body["fbtrace_id"] == "" {
		t.Errorf("answer %s", got.body)
	}
}

func TestMetaRefusesEvents(t *testing.T) {
	old := strconv.FormatInt(noon.Add(-7*24*time.Hour-time.Minute).Unix(), 10)
	future := strconv.FormatInt(noon.Add(2*time.Minute).Unix(), 10)
	for name, tc := range map[string]struct {
		event string
		want  []string
	}{
		"no name":                {metaEventWith("-event_name"), []string{`"code":100`, "event_name"}},
		"no time":                {metaEventWith("-event_time"), []string{`"code":100`, "event_time"}},
		"milliseconds":           {metaEventWith(`"event_time":1789470000000`), []string{`"code":100`, "event_time"}},
		"too old":                {metaEventWith(`"event_time":` + old), []string{`"code":100`, `"error_subcode":2804003`, "Event Timestamp Too Old", `"is_transient":false`}},
		"future":                 {metaEventWith(`"event_time":` + future), []string{`"code":100`, "future"}},
		"no user data":           {metaEventWith("-user_data"), []string{"user_data"}},
		"empty user data":        {metaEventWith(`"user_data":{}`), []string{`"error_subcode":2804050`}},
		"only place":             {metaEventWith(`"user_data":{"ct":"` + kimHash + `","client_user_agent":"x"}`), []string{`"error_subcode":2804050`}},
		"only first name":        {metaEventWith(`"user_data":{"fn":"` + kimHash + `"}`), []string{`"error_subcode":2804050`}},
		"only unknown key":       {metaEventWith(`"user_data":{"twitter":"x"}`), []string{`"error_subcode":2804050`}},
		"plain e-mail":           {metaEventWith(`"user_data":{"em":"kim@example.org"}`), []string{`"code":100`, "em", "hashed"}},
		"upper-case hash":        {metaEventWith(`"user_data":{"em":"` + strings.ToUpper(kimHash) + `"}`), []string{`"code":100`, "em"}},
		"short hash":             {metaEventWith(`"user_data":{"ph":["abc"]}`), []string{`"code":100`, "ph"}},
		"lead id of 14 digits":   {metaEventWith(`"user_data":{"lead_id":12345678901234}`), []string{"lead_id"}},
		"unknown lead id":        {metaEventWith(`"user_data":{"lead_id":999999999999999}`), []string{"lead_id"}},
		"bad address":            {metaEventWith(`"user_data":{"client_ip_address":"home"}`), []string{"client_ip_address"}},
		"source in upper case":   {metaEventWith(`"action_source":"Website"`), []string{"action_source"}},
		"no source":              {metaEventWith("-action_source"), []string{"action_source"}},
		"website without URL":    {metaEventWith(`"action_source":"website"`), []string{"event_source_url"}},
		"app without data":       {metaEventWith(`"action_source":"app"`), []string{"app_data"}},
		"app with short extinfo": {metaEventWith(`"action_source":"app"`, `"app_data":{"advertiser_tracking_enabled":1,"application_tracking_enabled":1,"extinfo":["a2"]}`), []string{"extinfo"}},
		"no channel":             {metaEventWith(`"action_source":"business_messaging"`), []string{"messaging_channel"}},
		"channel without ids":    {metaEventWith(`"action_source":"business_messaging"`, `"messaging_channel":"whatsapp"`), []string{"user_data"}},
		"purchase without value": {metaEventWith(`"event_name":"Purchase"`, `"custom_data":{"currency":"EUR"}`), []string{`"error_subcode":2804009`}},
		"purchase no currency":   {metaEventWith(`"event_name":"Purchase"`, `"custom_data":{"value":1}`), []string{`"error_subcode":2804009`}},
		"value with symbol":      {metaEventWith(`"custom_data":{"value":"€5"}`), []string{"value"}},
		"currency of two":        {metaEventWith(`"custom_data":{"value":5,"currency":"EU"}`), []string{"currency"}},
		"event id a number":      {metaEventWith(`"event_id":7`), []string{"event_id"}},
		"country without state":  {metaEventWith(`"data_processing_options":["LDU"]`, `"data_processing_options_country":1`), []string{"data_processing_options_state"}},
		"unknown segmentation":   {metaEventWith(`"customer_segmentation":"new"`), []string{"customer_segmentation"}},
		"append without origin":  {metaEventWith(`"event_name":"AppendValue"`), []string{"original_event_data"}},
		"not an object":          {`7`, []string{"data[1]"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{People: []Person{ada}})
			got := sendMeta(b, metaEventWith(), tc.event)
			got.wants(t, 400, append(tc.want, `"type":"OAuthException"`, `"fbtrace_id"`)...)
			if n := len(b.Received(Meta)); n != 0 {
				t.Errorf("%d events were kept of a refused request", n)
			}
		})
	}
}

func TestMetaTakes(t *testing.T) {
	ago := strconv.FormatInt(noon.Add(-61*24*time.Hour).Unix(), 10)
	edge := strconv.FormatInt(noon.Add(-7*24*time.Hour).Unix(), 10)
	for name, event := range map[string]string{
		"store event of 61 days":   metaEventWith(`"action_source":"physical_store"`, `"event_time":`+ago),
		"exactly 7 days":           metaEventWith(`"event_time":` + edge),
		"time as text":             metaEventWith(`"event_time":"` + edge + `"`),
		"nulls":                    metaEventWith(`"app_data":null`, `"custom_data":null`),
		"hash with appendix":       metaEventWith(`"user_data":{"em":"` + kimHash + `.AQQCAQMC"}`),
		"purchase of nothing":      metaEventWith(`"event_name":"Purchase"`, `"custom_data":{"value":0,"currency":"usd"}`),
		"plain external id":        metaEventWith(`"user_data":{"external_id":"HS-00042"}`),
		"website without agent":    metaEventWith(`"action_source":"website"`, `"event_source_url":"https://example.test/"`),
		"limited data use":         metaEventWith(`"data_processing_options":["LDU"]`, `"data_processing_options_country":1`, `"data_processing_options_state":1000`),
		"lead id":                  metaEventWith(`"user_data":{"lead_id":123456789012345}`),
		"lead id as text":          metaEventWith(`"user_data":{"lead_id":"123456789012345"}`),
		"an address with appendix": metaEventWith(`"user_data":{"client_ip_address":"203.0.113.9.AQQCAQMC"}`),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{People: []Person{ada}})
			sendMeta(b, event).wants(t, 200, `"events_received":1`)
		})
	}
}

func TestMetaGate(t *testing.T) {
	opts := Options{Meta: MetaAccount{DatasetIDs: []string{"111222333"}, Token: "right"}}
	good := `{"data":[` + metaEventWith() + `]}`
	for name, tc := range map[string]struct {
		method, path, body, token string
		now                       time.Time
		status                    int
		want                      string
	}{
		"bad token":       {path: "/v25.0/111222333/events", token: "wrong", status: 401, want: `"code":190`},
		"no token":        {path: "/v25.0/111222333/events", status: 401, want: `"code":190`},
		"token in query":  {path: "/v25.0/111222333/events?access_token=right", status: 200},
		"token in body":   {path: "/v25.0/111222333/events", body: `{"access_token":"right","data":[` + metaEventWith() + `]}`, status: 200},
		"wrong dataset":   {path: "/v25.0/999/events", token: "right", status: 400, want: `"error_subcode":33`},
		"no version":      {path: "/111222333/events", token: "right", status: 400, want: `"code":2500`},
		"unknown version": {path: "/v99.0/111222333/events", token: "right", status: 400, want: `"code":2500`},
		"past version":    {path: "/v19.0/111222333/events", token: "right", status: 400, want: `"code":2635`},
		"v20 while alive": {path: "/v20.0/111222333/events", token: "right", status: 200},
		"v20 after":       {path: "/v20.0/111222333/events", token: "right", now: day(2026, 9, 24), status: 400, want: `"code":2635`},
		"GET":             {method: "GET", path: "/v25.0/111222333/events", token: "right", status: 400, want: `"code":100`},
		"no data":         {path: "/v25.0/111222333/events", token: "right", body: `{}`, status: 400, want: "data"},
		"broken JSON":     {path: "/v25.0/111222333/events", token: "right", body: `{"data":[`, status: 400, want: `"code":100`},
		"long agent":      {path: "/v25.0/111222333/events", token: "right", body: `{"partner_agent":"a-name-of-exactly-23-chr","data":[` + metaEventWith() + `]}`, status: 400, want: "partner_agent"},
		"1001 events":     {path: "/v25.0/111222333/events", token: "right", body: `{"data":[` + strings.TrimSuffix(strings.Repeat(metaEventWith()+",", 1001), ",") + `]}`, status: 400, want: "1000"},
		"1000 events":     {path: "/v25.0/111222333/events", token: "right", body: `{"data":[` + strings.TrimSuffix(strings.Repeat(metaEventWith()+",", 1000), ",") + `]}`, status: 200, want: `"events_received":1000`},
		"under /meta":     {path: "/meta/v25.0/111222333/events", token: "right", status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, opts)
			body := good
			if tc.body != "" {
				body = tc.body
			}
			if !tc.now.IsZero() {
				b.now = tc.now
				body = strings.ReplaceAll(body, strconv.FormatInt(noon.Add(-time.Hour).Unix(), 10), strconv.FormatInt(tc.now.Unix(), 10))
			}
			method := tc.method
			if method == "" {
				method = "POST"
			}
			headers := []string{"Content-Type: application/json"}
			if tc.token != "" {
				headers = append(headers, "Authorization: Bearer "+tc.token)
			}
			b.send(method, tc.path, body, headers...).wants(t, tc.status, tc.want)
		})
	}
}

func TestMetaWarnsOfMarketingVersions(t *testing.T) {
	b := newBench(t, Options{})
	b.now = day(2026, 10, 7)
	at := `"event_time":` + strconv.FormatInt(b.now.Unix(), 10)
	for version, want := range map[string]bool{"v24.0": true, "v25.0": false} {
		got := b.send("POST", "/"+version+"/1/events", `{"data":[`+metaEventWith(at)+`]}`, "Authorization: Bearer t")
		got.wants(t, 200)
		if has := got.header.Get("X-Ad-Api-Version-Warning") != ""; has != want {
			t.Errorf("%s: warning %v, want %v", version, has, want)
		}
	}
}

func TestMetaProof(t *testing.T) {
	if got, want := appSecretProof("demo-secret", "demo-token"), "a030b507b507af9c7222ad797fc9c7ba887306d08f725a71e42dff373952c1d2"; got != want {
		t.Fatalf("proof %s, want %s", got, want)
	}
	b := newBench(t, Options{Meta: MetaAccount{AppSecret: "demo-secret"}})
	body := `{"data":[` + metaEventWith() + `]}`
	b.send("POST", "/v25.0/1/events", body, "Authorization: Bearer demo-token").wants(t, 400, `"code":104`)
	b.send("POST", "/v25.0/1/events?appsecret_proof="+appSecretProof("demo-secret", "demo-token"), body, "Authorization: Bearer demo-token").wants(t, 200)
}

func TestMetaForms(t *testing.T) {
	event := metaEventWith()
	quoted := strconv.Quote(event)
	form := url.Values{"data": {"[" + quoted + "]"}, "access_token": {"t"}}
	list := url.Values{"data[]": {event}, "access_token": {"t"}}
	var buffer bytes.Buffer
	w := multipart.NewWriter(&buffer)
	for k, v := range map[string]string{"data": "[" + event + "]", "access_token": "t"} {
		if err := w.WriteField(k, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ kind, body string }{
		"urlencoded, texts":  {"application/x-www-form-urlencoded", form.Encode()},
		"urlencoded, data[]": {"application/x-www-form-urlencoded", list.Encode()},
		"multipart":          {w.FormDataContentType(), buffer.String()},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{People: []Person{ada}})
			b.send("POST", "/v25.0/1/events", tc.body, "Content-Type: "+tc.kind).wants(t, 200)
			if got := b.Received(Meta); len(got) != 1 || got[0].Person != "Ada Byron" || string(got[0].Body) != event {
				t.Errorf("received %+v", got)
			}
		})
	}
}

func TestMetaMatching(t *testing.T) {
	ms := noon.Add(-time.Hour).UnixMilli()
	for name, tc := range map[string]struct {
		user, by string // by "" wants no match
	}{
		"e-mail hashed right":     {`{"em":"` + hashHex("ada.byron@example.com") + `"}`, "em"},
		"e-mail not lower-cased":  {`{"em":"` + hashHex("Ada.Byron@Example.COM") + `"}`, ""},
		"e-mail not trimmed":      {`{"em":"` + hashHex(" ada.byron@example.com ") + `"}`, ""},
		"second of two e-mails":   {`{"em":["` + kimHash + `","` + hashHex("ada.byron@example.com") + `"]}`, "em"},
		"with an appendix":        {`{"em":"` + hashHex("ada.byron@example.com") + `.AQQCAQMC"}`, "em"},
		"phone as digits":         {`{"ph":"` + hashHex("4930901820") + `"}`, "ph"},
		"phone with plus":         {`{"ph":"` + hashHex("+4930901820") + `"}`, ""},
		"external id, hashed":     {`{"external_id":"d4727908d7c86e5dbe47b090b96cdb7d5b462d94902a1385024f281b325ab71e"}`, "external_id"},
		"external id, plain":      {`{"external_id":["HS-00042"]}`, "external_id"},
		"external id, lower case": {`{"external_id":"hs-00042"}`, ""},
		"click":                   {fmt.Sprintf(`{"fbc":"fb.1.%d.IwAR0click"}`, ms), "fbc"},
		"click with appendix":     {fmt.Sprintf(`{"fbc":"fb.1.%d.IwAR0click.AQQCAQMC"}`, ms), "fbc"},
		"click in lower case":     {fmt.Sprintf(`{"fbc":"fb.1.%d.iwar0click"}`, ms), ""},
		"click from the future":   {fmt.Sprintf(`{"fbc":"fb.1.%d.IwAR0click"}`, noon.Add(time.Hour).UnixMilli()), ""},
		"click in seconds":        {fmt.Sprintf(`{"fbc":"fb.1.%d.IwAR0click"}`, noon.Unix()), ""},
		"bare fbclid":             {`{"fbc":"IwAR0click"}`, ""},
		"browser":                 {`{"fbp":"fb.1.1788000000000.123456789"}`, "fbp"},
		"browser with appendix":   {`{"fbp":"fb.1.1788000000000.123456789.AQ"}`, "fbp"},
		"browser hashed":          {`{"fbp":"` + hashHex("fb.1.1788000000000.123456789") + `"}`, ""},
		"lead":                    {`{"lead_id":123456789012345}`, "lead_id"},
		"names only help":         {`{"fn":"` + hashHex("ada") + `","ln":"` + hashHex("byron") + `"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{People: []Person{ada}})
			sendMeta(b, metaEventWith(`"user_data":`+tc.user)).wants(t, 200)
			got := b.Received(Meta)[0]
			if got.Matched != (tc.by != "") || tc.by != "" && (got.Person != "Ada Byron" || got.MatchedBy[0] != tc.by) {
				t.Errorf("received %+v, want a match by %q", got, tc.by)
			}
		})
	}
}

func TestMetaKnowsOnlyItsUsers(t *testing.T) {
	other := ada
	other.MetaUser = false
	b := newBench(t, Options{People: []Person{other}})
	sendMeta(b, metaEventWith()).wants(t, 200)
	if got := b.Received(Meta)[0]; got.Matched || len(got.UnmatchedBy) != 1 {
		t.Errorf("received %+v", got)
	}
}

func TestMetaCountsDuplicates(t *testing.T) {
	b := newBench(t, Options{People: []Person{ada}})
	purchase := metaEventWith(`"event_name":"Purchase"`, `"custom_data":{"value":36000,"currency":"USD"}`)
	sendMeta(b, purchase).wants(t, 200)
	sendMeta(b, purchase).wants(t, 200)
	sendMeta(b, metaEventWith()).wants(t, 200) // same id, other name: another event
	stats := b.Stats(Meta)
	if stats.Accepted != 3 || stats.Duplicates != 1 || stats.Matched != 3 || stats.Requests != 3 {
		t.Errorf("stats %+v", stats)
	}
	if got := b.Counts(Meta); got["Purchase"] != 2 || got["Lead"] != 1 {
		t.Errorf("counts %v", got)
	}
	if got := b.Received(Meta)[0]; got.Value != "36000" || got.Currency != "USD" || got.Dataset != "111222333" {
		t.Errorf("received %+v", got)
	}
}

func TestMetaCallLimit(t *testing.T) {
	b := newBench(t, Options{Meta: MetaAccount{HourlyCalls: 2}})
	if got := sendMeta(b, metaEventWith()).header.Get("X-App-Usage"); !strings.Contains(got, `"call_count":50`) {
		t.Errorf("usage %s", got)
	}
	sendMeta(b, metaEventWith()).wants(t, 200)
	sendMeta(b, metaEventWith()).wants(t, http.StatusBadRequest, `"code":4`, `"error_subcode":1504022`, `"is_transient":true`)
	b.now = b.now.Add(time.Hour)
	sendMeta(b, metaEventWith()).wants(t, 200)
}

func TestMetaVectors(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{hashHex(strings.ToLower(strings.TrimSpace("  Kim.Lee+News@Example.ORG "))), kimHash},
		{hashHex(metaPhone("+1 (415) 555-0134")), "e4df23eae17fd7b23181d75ca8503ed89f92dc8e84c26f8c5aab970a950d48b3"},
		{hashHex(metaPhone("+81 3-1234-5678")), "62c407a403882b2b8611b5e7771a63fb7883984e4e25393e1ae4d218f5514610"},
		{hashHex(strings.ToLower(withoutSpace(" Ada.Byron@Example.COM "))), "d9acb9853197a9408e7ca823a0eef9cb5c5b51c4c18683fdf2b83e29b671a09e"},
		{hashHex(strings.ToLower(withoutSpace("a.b+crm@gmail.com"))), "9645de50be2049ada6691bdd1b8d88f4c413885ca8f66c33e4080d6e605a636e"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %s, want %s", tc.got, tc.want)
		}
	}
}
