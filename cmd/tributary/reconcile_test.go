package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"tributary/destinations/simulator"
	"tributary/internal/warehouse/embedded"
)

// One record is taken away by hand, first from the ledger, then from ClickHouse, then a
// receipt's fate there: each time the command names it and exits 3.
func TestARecordTakenAwayIsNamed(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	s := newSystem(t, systemOptions{People: []simulator.Person{buyer}, Config: `
data_key: file:data.key
warehouse: {url: "http://` + address + `", user: analyst, password: "file:warehouse.token"}
`})
	s.program = asShipped(t)
	const password = "warehouse-test-password"
	for name, text := range map[string]string{"data.key": strings.Repeat("0f", 32), "warehouse.token": password} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	engine, err := embedded.Start(t.Context(), embedded.Options{
		Dir: t.TempDir(), Library: warehouseLibrary(t), Addr: address, User: "analyst", Password: password, NoSync: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	s.start()
	at := hourAgo()
	var receipts []string
	for i := range 10 {
		receipts = append(receipts, s.send("/v1/events", fmt.Sprintf(`{"event_id":"lead-%d","event":"lead_stage_changed","source":"hubspot","occurred_at":%q,"user_data":{"email":"p%d@example.com"},"custom_data":{"hubspot_contact_id":"%d","hubspot_lifecycle_stage":"marketingqualifiedlead"}}`, i, at, i, 500+i))...)
	}
	s.settle()
	reconcile := func() (int, string) {
		t.Helper()
		var out, complaints bytes.Buffer
		err := run(t.Context(), []string{"report", "reconcile", "-c", filepath.Join(s.dir, "tributary.yaml")}, nil, &out, &complaints)
		return exitCode(err, &complaints), out.String() + complaints.String()
	}
	if code, said := reconcile(); code != 0 || !strings.Contains(said, "nothing is lost, and both agree") {
		t.Fatalf("before anything was taken away: exit %d\n%s", code, said)
	}
	expect := func(what string, words ...string) {
		t.Helper()
		code, said := reconcile()
		if code != 3 {
			t.Errorf("%s: exit %d\n%s", what, code, said)
		}
		for _, w := range words {
			if !strings.Contains(said, w) {
				t.Errorf("%s: it does not say %q\n%s", what, w, said)
			}
		}
	}

	s.stop()
	taken := takeFromLedger(t, filepath.Join(s.dir, "data", "state"), "meta", "lead-3")
	if taken != 1 {
		t.Fatalf("%d records were taken away", taken)
	}
	s.start()
	expect("one of the ledger", "lost: qualified_lead lead-3 at meta", "differs: qualified_lead lead-3 at meta: pending by the ledger, delivered by ClickHouse", "1 lost, 1 told differently")
	s.stop()
	if err := os.RemoveAll(filepath.Join(s.dir, "data", "state")); err != nil { // a cache: rebuilt
		t.Fatal(err)
	}
	s.start()
	s.drained()
	if code, said := reconcile(); code != 0 {
		t.Fatalf("after the state was rebuilt: exit %d\n%s", code, said)
	}

	byHand := func(sql string) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/?database=tributary", strings.NewReader(sql))
		if err != nil {
			t.Fatal(err)
		}
		q.SetBasicAuth("analyst", password)
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", sql, res.StatusCode, b)
		}
	}
	byHand("DELETE FROM deliveries WHERE destination = 'linkedin' AND event_id = 'lead-5' AND state = 'delivered'")
	expect("one delivery of ClickHouse", "differs: qualified_lead lead-5 at linkedin: delivered by the ledger, pending by ClickHouse", "0 lost, 1 told differently")
	byHand("DELETE FROM receipt_fates WHERE receipt_id = '" + receipts[7] + "'")
	expect("and one fate", "differs: receipt "+receipts[7]+" of ", "event by the log, waiting by ClickHouse", "0 lost, 2 told differently")
	byHand("DELETE FROM receipts WHERE receipt_id = '" + receipts[8] + "'")
	expect("and one receipt", "differs: receipt "+receipts[8], "event by the log, not there by ClickHouse", "0 lost, 3 told differently")
	_, metrics := s.request(http.MethodGet, "/metrics", nil, nil)
	if !strings.Contains(string(metrics), `tributary_books_differ{balance="deliveries",name="linkedin"} 1`) {
		t.Error("the metric does not say it")
	}
}

// takeFromLedger removes an event's states at a destination from the local state.
func takeFromLedger(t *testing.T, dir, destination, event string) int {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	n := 0
	for it.First(); it.Valid(); it.Next() {
		key := string(it.Key())
		if strings.HasPrefix(key, "ledger\x00p\x00"+destination+"\x00") && strings.Contains(key, event+"\x00") {
			if err := db.Delete(it.Key(), pebble.Sync); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	return n
}
