package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/destinations/simulator"
	"tributary/internal/warehouse/embedded"
)

// A ClickHouse server elsewhere is played by an engine that this test starts, late.
func TestTheRouterWorksWhileAnOutsideWarehouseIsAway(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	s := newSystem(t, systemOptions{People: []simulator.Person{buyer}, Config: `
data_key: file:data.key
warehouse: {url: "http://` + address + `", user: analyst, password: "file:warehouse.token"}
`})
	for name, text := range map[string]string{"data.key": strings.Repeat("0f", 32), "warehouse.token": "warehouse-test-password"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	at := hourAgo()
	s.send("/v1/events", dealBody(at))
	id := "deal_84721_contractsent_" + at
	s.until(func() bool { return s.stateOf(id, "meta") == "delivered" && s.stateOf(id, "linkedin") == "delivered" })
	status, ready := s.request(http.MethodGet, "/readyz", nil, nil)
	if status != http.StatusOK || !strings.Contains(string(ready), "warehouse") || strings.Contains(string(ready), "warehouse-test-password") {
		t.Errorf("readyz says %d %s", status, ready)
	}
	s.kill() // and again with nothing but the log and the local state
	s.start()
	s.until(func() bool { return s.stateOf(id, "meta") == "delivered" })

	engine, err := embedded.Start(t.Context(), embedded.Options{
		Dir: t.TempDir(), Library: warehouseLibrary(t), Addr: address, User: "analyst", Password: "warehouse-test-password", NoSync: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	s.until(func() bool {
		status, _ := s.post("/v1/sql", []byte(`{"sql":"SELECT name FROM v_conversions"}`), nil)
		return status == http.StatusOK
	})
	s.recorded("SELECT name FROM v_conversions", "proposal_sent")
	s.until(func() bool {
		_, ready := s.request(http.MethodGet, "/readyz", nil, nil)
		return strings.Contains(string(ready), `"degraded":[]`)
	})
	if got := s.got(simulator.Meta)["ProposalSent"]; got != 1 {
		t.Errorf("Meta took %d", got)
	}
}
