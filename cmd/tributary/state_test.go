package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/destinations/catalog"
	"tributary/destinations/simulator"
	"tributary/internal/config"
)

func TestDeletedLocalStateIsRebuiltAndNothingIsSentAgain(t *testing.T) {
	t.Parallel()
	s := newSystem(t, systemOptions{People: []simulator.Person{buyer}})
	s.start()
	at := hourAgo()
	var ids []string
	for i := range 20 {
		ids = append(ids, s.send("/v1/events", fmt.Sprintf(`{"event":"lead_stage_changed","source":"hubspot","occurred_at":%q,"user_data":{"email":"p%d@example.com"},"custom_data":{"hubspot_contact_id":"%d","hubspot_lifecycle_stage":"marketingqualifiedlead"}}`, at, i, 500+i))...)
	}
	s.send("/v1/events", dealBody(at))
	before := s.settle()
	requests := s.requestCount()
	where := s.whereIs(ids[3])
	s.stop()
	if err := os.RemoveAll(filepath.Join(s.dir, "data", "state")); err != nil {
		t.Fatal(err)
	}
	s.start()
	after := s.settle()
	if got, want := fmt.Sprint(after.Receipts, after.Deliveries), fmt.Sprint(before.Receipts, before.Deliveries); got != want {
		t.Errorf("the books say\n%s\nafter the rebuild, before they said\n%s", got, want)
	}
	if got := s.whereIs(ids[3]); got != where {
		t.Errorf("a receipt is %s, was %s", got, where)
	}
	s.send("/v1/events", dealBody(at)) // and another copy of what was sent
	s.settle()
	if n := s.requestCount(); n != requests {
		t.Errorf("%d requests to vendors after the rebuild", n-requests)
	}
	s.recorded("SELECT count() FROM v_conversions", "21")
}

// requestCount is how often vendors were asked to take something.
func (s *system) requestCount() int64 {
	return s.sim.Stats(simulator.Meta).Accepted + s.sim.Stats(simulator.LinkedIn).Accepted + s.sim.Stats(simulator.HubSpot).Accepted
}

func TestAHaltedLaneThatFillsTheLogIsNamed(t *testing.T) {
	t.Parallel()
	s := newSystem(t, systemOptions{Config: "log: {embedded: {max_bytes: 8388608, segment_bytes: 262144}}", Destinations: `
  meta: {kind: meta, mode: live, base_url: "VENDORS", allow_private: true, token: "file:meta.token", settings: {dataset_id: "` + dataset + `", linger: 0s}}
`})
	s.pointAtVendors()
	s.start()
	s.fail(simulator.Fault{Vendor: simulator.Meta, Mode: "401"})
	at := hourAgo()
	padding := strings.Repeat("x", 30_000)
	sent := 0
	body := func(i int) []byte {
		return []byte(fmt.Sprintf(`{"event":"lead_stage_changed","source":"hubspot","occurred_at":%q,"user_data":{"email":"p%d@example.com"},"custom_data":{"hubspot_contact_id":"%d","hubspot_lifecycle_stage":"marketingqualifiedlead","note":%q}}`, at, i, i, padding))
	}
	var refused []byte
	s.until(func() bool {
		status, answer := s.post("/v1/events", body(sent+1), nil)
		if status/100 == 2 {
			sent++
			return false
		}
		refused = answer
		return status == http.StatusServiceUnavailable
	})
	for _, want := range []string{"lane.meta", "log.embedded.max_bytes", "Kafka"} {
		if !bytes.Contains(refused, []byte(want)) {
			t.Errorf("the 503 does not name %s: %s", want, refused)
		}
	}
	_, ready := s.request(http.MethodGet, "/readyz", nil, nil)
	var r struct {
		OK       bool
		Degraded []string
	}
	if err := json.Unmarshal(ready, &r); err != nil || r.OK || !strings.Contains(strings.Join(r.Degraded, "\n"), "lane.meta") || !strings.Contains(strings.Join(r.Degraded, "\n"), "halted") {
		t.Errorf("readyz says %s", ready)
	}
	s.sim.Heal("")
	if status, answer := s.post("/v1/destinations/meta/resume", nil, nil); status != http.StatusOK {
		t.Fatalf("resume: %d %s", status, answer)
	}
	s.until(func() bool { // it drains, the log is trimmed, and takes again
		status, _ := s.post("/v1/events", body(sent+1), nil)
		return status/100 == 2
	})
	s.settle()
	if got := s.got(simulator.Meta)["QualifiedLead"]; got != sent+1 {
		t.Errorf("Meta took %d of %d", got, sent+1)
	}
}

func TestAQuarantinedReceiptCanBeRunAgain(t *testing.T) {
	t.Parallel()
	s := newSystem(t, systemOptions{})
	s.start()
	template := s.send("/v1/ingest/crm", `{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":"{{ date_now }}","contact":{"id":"{{ contact.hs_object_id }}","lifecycle_stage":"lead"}}`)
	// A webhook of an object that the CRM does not hold yet.
	hook := fmt.Sprintf(`[{"eventId":1,"subscriptionId":7,"portalId":424242,"occurredAt":%d,"attemptNumber":0,"subscriptionType":"contact.propertyChange","objectId":777,"propertyName":"lifecyclestage","propertyValue":"marketingqualifiedlead"}]`, time.Now().Add(-time.Hour).UnixMilli())
	header := simulator.SignWebhook(clientSecret, "http://"+s.address+"/v1/ingest/hubspot/hubspot_app", []byte(hook), time.Now())
	status, answer := s.post("/v1/ingest/hubspot/hubspot_app", []byte(hook), header)
	if status/100 != 2 {
		t.Fatalf("webhook: %d %s", status, answer)
	}
	missing := receiptIDs(t, answer)
	b := s.settle()
	if got := s.whereIs(template[0]); got != "quarantined unrendered_template" {
		t.Errorf("a body with templates in it is %s", got)
	}
	if got := s.whereIs(missing[0]); got != "quarantined not_found" {
		t.Errorf("a webhook of nobody is %s", got)
	}
	if b.Receipts[0].Quarantined+b.Receipts[len(b.Receipts)-1].Quarantined != 2 {
		t.Errorf("the books say %+v", b.Receipts)
	}
	if _, err := s.sim.Make(simulator.Made{Type: "contact", ID: 777, Change: simulator.Change{Silent: true}, Properties: map[string]string{"email": "late@example.com", "lifecyclestage": "marketingqualifiedlead"}}); err != nil {
		t.Fatal(err)
	}
	if status, answer := s.post("/v1/receipts/"+missing[0]+"/rerun", nil, nil); status/100 != 2 {
		t.Fatalf("rerun: %d %s", status, answer)
	}
	s.until(func() bool { return strings.HasPrefix(s.whereIs(missing[0]), "completed qualified_lead") })
	s.settle()
	if got := s.got(simulator.Meta)["QualifiedLead"]; got != 1 {
		t.Errorf("Meta took %d", got)
	}
	if status, _ := s.post("/v1/receipts/"+missing[0]+"/rerun", nil, nil); status != http.StatusConflict {
		t.Errorf("running it once more answers %d, want 409", status)
	}
}

func TestALedgerBehindATrimmedLogIsRebuiltFromTheWarehouse(t *testing.T) {
	t.Parallel()
	s := newSystem(t, systemOptions{Config: "log: {embedded: {max_bytes: 8388608, segment_bytes: 65536}}"})
	s.start()
	at := hourAgo()
	body := func(i int) string {
		return fmt.Sprintf(`{"event":"lead_stage_changed","source":"hubspot","occurred_at":%q,"user_data":{"email":"p%d@example.com"},"custom_data":{"hubspot_contact_id":"%d","hubspot_lifecycle_stage":"marketingqualifiedlead","note":%q}}`,
			at, i, 1000+i, strings.Repeat("x", 6000))
	}
	const people = 700
	for i := range people {
		s.until(func() bool { // the log may be full for a moment
			status, _ := s.post("/v1/events", []byte(body(i)), nil)
			return status/100 == 2
		})
	}
	s.settle()
	s.recorded("SELECT count() FROM v_conversions", fmt.Sprint(people))
	cfg, err := config.Load(filepath.Join(s.dir, "tributary.yaml"), catalog.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	trimmed := func() bool { // asked with the router stopped: the log belongs to one process
		s.stop()
		l, closeLog, err := openLogOnly(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer closeLog()
		first, _, err := l.Bounds(t.Context(), "tributary.deliveries")
		if err != nil {
			t.Fatal(err)
		}
		return first[0] > 0 && first[1] > 0
	}
	for tries := 0; !trimmed(); tries++ {
		if tries == 5 {
			t.Fatal("the log was not trimmed")
		}
		s.start()
		time.Sleep(3 * time.Second) // it trims when it starts, once offsets are committed
	}
	requests := s.requestCount()
	if err := os.RemoveAll(filepath.Join(s.dir, "data", "state")); err != nil {
		t.Fatal(err)
	}
	s.start()
	for _, i := range []int{0, 1, people / 2, people - 1} {
		s.send("/v1/events", body(i)) // copies of what was sent before
	}
	s.settle()
	if n := s.requestCount(); n != requests {
		t.Errorf("%d items were sent again", n-requests)
	}
	if got := s.replay(middlewareID("1000", "marketingqualifiedlead", at), "meta"); !strings.Contains(got, `"deduplicated":true`) {
		t.Errorf("a replay of what only the warehouse remembers answers %s", got)
	}
	s.recorded("SELECT count() FROM v_conversions", fmt.Sprint(people))
}
