package simulator

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// A copy of an event is taken; within 48 hours of the first one it is not counted again.
func TestMetaKnowsCopiesFor48Hours(t *testing.T) {
	b := newBench(t, Options{})
	send := func() {
		t.Helper()
		sendMeta(b, metaEventWith(`"event_time":`+strconv.FormatInt(b.now.Add(-time.Hour).Unix(), 10))).wants(t, 200, `"events_received":1`)
	}
	send()
	b.now = b.now.Add(48 * time.Hour)
	send()
	b.now = b.now.Add(time.Second)
	send()
	got := b.Received(Meta)
	for i, want := range []struct{ duplicate, ignored bool }{{false, false}, {true, true}, {true, false}} {
		if got[i].Duplicate != want.duplicate || got[i].Ignored != want.ignored {
			t.Errorf("copy %d: duplicate %v, ignored %v", i, got[i].Duplicate, got[i].Ignored)
		}
	}
}

// A refused batch counts nothing, so that what was good in it is no copy later.
func TestMetaRefusedBatchIsNotRemembered(t *testing.T) {
	b := newBench(t, Options{})
	sendMeta(b, metaEventWith(), metaEventWith(`"event_time":1`)).wants(t, 400, `"error_subcode":2804003`)
	sendMeta(b, metaEventWith()).wants(t, 200)
	if got := b.Received(Meta); len(got) != 1 || got[0].Duplicate || got[0].Ignored {
		t.Errorf("received %+v", got)
	}
	if keys := b.Stats(Meta).Keys; keys["em"] != 1 {
		t.Errorf("keys %v", keys)
	}
}

func TestMetaTokenStates(t *testing.T) {
	tokens := map[string]string{}
	for state := range metaTokens {
		tokens["t-"+state] = state
	}
	tokens["t-fine"] = ""
	for token, want := range map[string][2]string{
		"t-expired": {"401", `"error_subcode":463`}, "t-revoked": {"401", `"error_subcode":460`}, "t-app_removed": {"401", `"error_subcode":458`},
		"t-checkpoint": {"401", `"error_subcode":459`}, "t-invalid": {"401", `"error_subcode":467`}, "t-no_permission": {"403", `"code":200`},
		"t-no_app": {"400", `"code":3`}, "t-fine": {"200", "events_received"}, "right": {"200", "events_received"}, "wrong": {"401", `"code":190`},
	} {
		b := newBench(t, Options{Meta: MetaAccount{Token: "right", Tokens: tokens}})
		status, _ := strconv.Atoi(want[0])
		b.send("POST", "/v25.0/1/events", `{"data":[`+metaEventWith()+`]}`, "Content-Type: application/json", "Authorization: Bearer "+token).wants(t, status, want[1])
	}
}

func TestMetaUsage(t *testing.T) {
	for _, c := range []struct {
		account MetaAccount
		header  string
		half    string
		full    string
		code    string
	}{
		{MetaAccount{HourlyCalls: 2}, "X-App-Usage", `"call_count":50`, `"call_count":100`, `"code":4,`},
		{MetaAccount{AccountCalls: 2}, "X-Ad-Account-Usage", `{"acc_id_util_pct":50}`, `{"acc_id_util_pct":100}`, `"code":17,`},
		{MetaAccount{BusinessCalls: 2}, "X-Business-Use-Case-Usage", `"estimated_time_to_regain_access":0`, `"estimated_time_to_regain_access":30`, `"code":80004,`},
	} {
		b := newBench(t, Options{Meta: c.account})
		send := func(header, want string, status int) {
			t.Helper()
			got := sendMeta(b, metaEventWith())
			got.wants(t, status)
			if h := got.header.Get(c.header); !strings.Contains(h, want) {
				t.Errorf("%s is %s, want %s", c.header, h, want)
			}
			if status != 200 {
				got.wants(t, status, c.code, `"is_transient":true`)
			}
		}
		send(c.header, c.half, 200)
		b.now = b.now.Add(30 * time.Minute)
		send(c.header, c.full, 200)
		send(c.header, c.full, 400)
		b.now = b.now.Add(30 * time.Minute)
		send(c.header, c.full, 200)
		if stats := b.Stats(Meta); stats.Throttled != 1 || len(stats.Windows) != 1 {
			t.Errorf("stats %+v", stats)
		}
	}
}

func TestMetaMoreShapes(t *testing.T) {
	for name, c := range map[string]struct {
		event  string
		status int
		want   string
	}{
		"an MD5":                 {metaEventWith(`"user_data":{"em":"0123456789abcdef0123456789abcdef"}`), 200, ""},
		"fbc a list":             {metaEventWith(`"user_data":{"fbc":["fb.1.1.x"]}`), 400, "fbc"},
		"an empty fbp":           {metaEventWith(`"user_data":{"em":"` + kimHash + `","fbp":""}`), 400, "fbp"},
		"agent a number":         {metaEventWith(`"user_data":{"em":"` + kimHash + `","client_user_agent":7}`), 400, "client_user_agent"},
		"login id a number":      {metaEventWith(`"user_data":{"fb_login_id":7}`), 200, ""},
		"contents no list":       {metaEventWith(`"custom_data":{"contents":{"id":"1"}}`), 400, "contents"},
		"contents without id":    {metaEventWith(`"custom_data":{"contents":[{"quantity":1}]}`), 400, "contents"},
		"contents":               {metaEventWith(`"custom_data":{"contents":[{"id":"1"}],"content_ids":["1"]}`), 200, ""},
		"an address in contents": {metaEventWith(`"custom_data":{"content_name":"kim@example.org"}`), 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{})
			sendMeta(b, c.event).wants(t, c.status, c.want)
			if got := b.Received(Meta); strings.HasPrefix(name, "an MD5") || strings.HasPrefix(name, "an address") {
				if len(got) != 1 || len(got[0].Warnings) != 1 {
					t.Errorf("received %+v", got)
				}
			}
		})
	}
}
