package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations/simulator"
	"tributary/internal/warehouse"
)

// Somebody with events delivered, parked, dead and built dry asks to be forgotten. Nothing of
// her is found afterwards, also after a restart without local state; what was counted stays counted, a
// colleague stays, and what comes of her later is dropped and counted.
func TestSomebodyIsForgotten(t *testing.T) {
	t.Parallel()
	needEngine(t)
	const mail, contact, colleague = "ada.lovelace@example.test", "4711001", "4711002"
	s := newSystem(t, systemOptions{
		Delivery: "{backoff_min: 1s, backoff_max: 2s}",
		Destinations: `
  meta:
    {kind: meta, mode: live, base_url: "VENDORS", allow_private: true, token: "file:meta.token", settings: {dataset_id: "` + dataset + `", timeout: 500ms, linger: 0s}}
  linkedin:
    {kind: linkedin, mode: live, base_url: "VENDORS", allow_private: true, token: "file:linkedin.token", settings: {timeout: 500ms, linger: 0s, requests_per_second: 10,
      rules: {lead: 101, mql: 102, sql: 103, opportunity: 104, proposal: 105, closed_won: 106, expansion: 107}}}
  rehearsal:
    {kind: meta, mode: dry_run, base_url: "VENDORS", allow_private: true, token: "file:meta.token", settings: {dataset_id: "` + dataset + `", timeout: 500ms, linger: 0s}}
`})
	s.pointAtVendors()
	s.start()
	base := time.Now().UTC().Add(-50 * time.Hour).Truncate(time.Second)
	hour := func(n int) string { return base.Add(time.Duration(n) * time.Hour).Format(time.RFC3339) }
	stage := func(n int, id, mail, first, stage string) []string {
		return s.send("/v1/events", written(`{"event":"lead_stage_changed","source":"hubspot","occurred_at":%s,"user_data":{"email":%s,"first_name":%s,"phone":%s},
			"custom_data":{"hubspot_contact_id":%s,"hubspot_lifecycle_stage":%s},"account_data":{"domain":"w1.example","hubspot_company_id":"7101"}}`, hour(n), mail, first, "+49 30 9012"+id[4:], id, stage))
	}
	s.send("/v1/ingest/pixel", written(`{"events":[{"event":"page_view","anonymous_id":"ck-ada-5f1d","url":"https://shop.example.com/?utm_source=facebook&utm_medium=paid_social&utm_campaign=retarget&fbclid=IwARadasclick","occurred_at":%s}]}`, hour(1)))
	s.send("/v1/ingest/pixel", written(`{"events":[{"event":"form_submitted","form":"demo","anonymous_id":"ck-ada-5f1d","url":"https://shop.example.com/demo","email":%s,"occurred_at":%s}]}`, mail, hour(2)))
	stage(3, contact, mail, "Adalovely", "lead")
	stage(3, colleague, "bo@w1.example", "Bo", "lead")
	s.settle()
	s.fail(simulator.Fault{Vendor: simulator.LinkedIn, Mode: "400", Count: 1000})
	s.fail(simulator.Fault{Vendor: simulator.Meta, Mode: "503", Count: 1000})
	mql := stage(4, contact, mail, "Adalovely", "marketingqualifiedlead")[0]
	stage(5, contact, mail, "Adalovely", "marketingqualifiedlead") // once more: it counts once
	deal := func(n int, stage string) []string {
		return s.send("/v1/events", written(`{"event":"deal.stage_changed","source":"hubspot","occurred_at":%s,"user_data":{"email":%s,"first_name":"Adalovely"},
			"custom_data":{"hubspot_contact_id":%s,"hubspot_deal_id":"9001","hubspot_pipeline":"sales_pipeline","hubspot_deal_stage":%s,"currency":"USD","value":36000},"account_data":{"hubspot_company_id":"7101"}}`, hour(n), mail, contact, stage))
	}
	won := deal(6, "closedwon")[0]
	s.until(func() bool {
		is := s.whereIs(mql) + s.whereIs(won)
		return strings.Contains(is, "meta parked retry") && strings.Contains(is, "linkedin dead") && strings.Contains(is, "rehearsal suppressed dry_run")
	})
	s.drained()
	counts := "SELECT name, count(), sum(revenue_micros) / 1000000, uniqExact(person), uniqExact(account) FROM v_conversions GROUP BY name ORDER BY name"
	counted := "customer_won 1 36000 1 1\nlead_captured 2 0 2 1\nqualified_lead 1 0 1 1"
	s.recorded(counts, counted)

	erase := func(body string) erasedPerson {
		t.Helper()
		status, answer := s.post("/v1/identity/erase", []byte(body), nil)
		var a erasedPerson
		if err := json.Unmarshal(answer, &a); status != http.StatusOK || err != nil {
			t.Fatalf("erase: %d %s", status, answer)
		}
		if strings.Contains(string(answer), contact) || strings.Contains(string(answer), canonical.EmailHash(mail)) {
			t.Errorf("the answer names her: %s", answer)
		}
		return a
	}
	there := erase(written(`{"identifiers":[%s],"dry_run":true}`, "email:"+mail))
	if there.Total < 5 || there.Warehouse == nil || there.Warehouse.Events < 5 || there.Warehouse.Receipts < 5 || there.Deliveries["linkedin"][canonical.StateDead] == 0 || there.Deliveries["meta"][canonical.StateParked] == 0 || there.Deliveries["rehearsal"][canonical.StateSuppressed] == 0 {
		t.Errorf("a dry run finds %+v", there)
	}
	needles := s.needles(mail, contact, "Adalovely", "ck-ada-5f1d", "IwARadasclick")
	if found := s.search(needles); len(found) == 0 {
		t.Fatal("the search finds nothing of somebody who is there")
	}

	// HubSpot says so.
	hook := func(what string, more string) int {
		t.Helper()
		body := []byte(fmt.Sprintf(`[{"eventId":%d,"subscriptionId":7,"portalId":424242,"occurredAt":%d,"attemptNumber":0,"subscriptionType":%q,"objectId":%s%s}]`, time.Now().UnixNano()%1e9, time.Now().UnixMilli(), what, contact, more))
		path := "/v1/ingest/hubspot/hubspot_app"
		status, answer := s.post(path, body, simulator.SignWebhook(clientSecret, "http://"+s.address+path, body, time.Now()))
		if status/100 != 2 {
			t.Fatalf("webhook: %d %s", status, answer)
		}
		return status
	}
	hook("contact.privacyDeletion", "")
	gone := func(when string) {
		t.Helper()
		s.until(func() bool {
			b := s.books()
			return len(s.search(needles)) == 0 && b.Balanced && b.Deliveries[0].Parked["retry"] == 0
		})
		for _, d := range s.books().Deliveries {
			if d.Dead != 0 || d.Suppressed["erased"] == 0 || d.Parked["retry"] > 0 {
				t.Errorf("%s: the books of %s: %+v", when, d.Destination, d)
			}
		}
		s.recorded(counts, counted)
		for _, id := range []string{"email:" + canonical.EmailHash(mail), "contact:" + contact, "cookie:ck-ada-5f1d"} {
			if status, answer := s.request(http.MethodGet, "/v1/identity/"+id, nil, nil); status != http.StatusNotFound {
				t.Errorf("%s: %s is still known: %d %s", when, id, status, answer)
			}
		}
		if is := s.whereIs(mql); is != "event" {
			t.Errorf("%s: her event is still found: %s", when, is)
		}
		if status, answer := s.request(http.MethodGet, "/v1/identity/contact:"+colleague, nil, nil); status != http.StatusOK {
			t.Errorf("%s: her colleague is gone: %d %s", when, status, answer)
		}
		_, export := s.request(http.MethodGet, "/v1/identity/export", nil, nil)
		_, letters := s.request(http.MethodGet, "/v1/deadletters", nil, nil)
		for _, n := range needles {
			if strings.Contains(string(export)+string(letters), n) {
				t.Errorf("%s: an answer still names %s", when, n)
			}
		}
	}
	gone("erased")
	accepted := len(s.sim.Received(simulator.Meta)) + len(s.sim.Received(simulator.LinkedIn))

	// What comes later is dropped and counted; her deal goes on without her.
	s.sim.Heal(simulator.Meta)
	s.sim.Heal(simulator.LinkedIn)
	hook("contact.propertyChange", `,"propertyName":"lifecyclestage","propertyValue":"salesqualifiedlead"`)
	later := stage(9, contact, mail, "Adalovely", "salesqualifiedlead")[0]
	s.until(func() bool { return s.whereIs(later) == "erased erased" })
	deal(10, "closedwon")
	b := s.settle()
	erased := 0
	for _, r := range b.Receipts {
		erased += r.Erased
	}
	if erased != 2 {
		t.Errorf("%d receipts erased, want the webhook and the report", erased)
	}
	gone("after she came again")
	if n := len(s.sim.Received(simulator.Meta)) + len(s.sim.Received(simulator.LinkedIn)); n > accepted+2 { // the deal, told without her
		t.Errorf("%d were sent before, %d after", accepted, n)
	}
	_, stats := s.request(http.MethodGet, "/v1/identity/stats", nil, nil)

	s.stop()
	if err := os.RemoveAll(filepath.Join(s.dir, "data", "state")); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.settle()
	gone("rebuilt")
	if _, again := s.request(http.MethodGet, "/v1/identity/stats", nil, nil); string(again) != string(stats) {
		t.Errorf("identity is %s after a rebuild, want %s", again, stats)
	}

	// By her own wish.
	if a := erase(written(`{"identifiers":[%s],"lift":true,"reason":"she signed up again"}`, "email:"+mail)); !a.Lifted || a.Offset == nil {
		t.Errorf("lifting: %+v", a)
	}
	back := stage(20, contact, mail, "Adalovely", "lead")[0]
	s.until(func() bool { return strings.HasPrefix(s.whereIs(back), "event lead_captured") })
	if is := s.whereIs(mql); is != "event" {
		t.Errorf("lifting brought an event back: %s", is)
	}
}

// needles are what is looked for of a person.
func (s *system) needles(mail string, others ...string) []string {
	return append([]string{mail, canonical.EmailHash(mail)}, others...)
}

// search looks through every text of every table of ClickHouse, opened where it is sealed, and
// says where it found something.
func (s *system) search(needles []string) (found []string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "data", "data.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		s.t.Fatal(err)
	}
	sealer, err := warehouse.NewSealer(key)
	if err != nil {
		s.t.Fatal(err)
	}
	columns := s.query(`SELECT c.table, c.name, c.type FROM system.columns AS c INNER JOIN system.tables AS t ON t.name = c.table AND t.database = c.database
		WHERE c.database = currentDatabase() AND t.engine LIKE '%MergeTree%' AND c.type LIKE '%String%' ORDER BY ALL`)
	for _, c := range columns {
		table, column := c[0], c[1]
		if column == "sealed" {
			for _, row := range s.query("SELECT hex(sealed) FROM " + table + " WHERE sealed != ''") {
				b, _ := hex.DecodeString(row[0])
				open, err := sealer.Open(b)
				if err != nil {
					s.t.Fatalf("%s: %v", table, err)
				}
				if table == "receipts" { // a receipt holds its body in base64
					var rc canonical.Receipt
					if err := json.Unmarshal(open, &rc); err != nil {
						s.t.Fatal(err)
					}
					open = append(open, rc.Body...)
				}
				for _, n := range needles {
					if strings.Contains(string(open), n) {
						found = append(found, table+".sealed: "+n)
					}
				}
			}
			continue
		}
		for _, n := range needles {
			if rows := s.query(fmt.Sprintf("SELECT count() FROM %s WHERE position(toString(%s), '%s') > 0", table, column, n)); rows[0][0] != "0" {
				found = append(found, table+"."+column+": "+n)
			}
		}
	}
	return found
}
