package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/destinations/simulator"
	"tributary/ingest"
)

// pointAtVendors puts the simulator's address into the configuration.
func (s *system) pointAtVendors() {
	s.t.Helper()
	path := filepath.Join(s.dir, "tributary.yaml")
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.ReplaceAll(string(b), "VENDORS", s.vendors.URL)), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) fail(f simulator.Fault) {
	s.t.Helper()
	if err := s.sim.Fail(f); err != nil {
		s.t.Fatal(err)
	}
}

// whereIs tells a receipt's fate, event and destinations in one line.
func (s *system) whereIs(id string) string {
	s.t.Helper()
	status, answer := s.request(http.MethodGet, "/v1/receipts/"+id, nil, nil)
	var v ingest.ReceiptView
	if status != http.StatusOK || json.Unmarshal(answer, &v) != nil {
		return fmt.Sprintf("%d %s", status, answer)
	}
	if v.Event == nil {
		return strings.TrimSpace(string(v.Fate) + " " + v.Reason)
	}
	var at []string
	for _, d := range v.Event.Destinations {
		at = append(at, strings.TrimSpace(d.Destination+" "+d.State+" "+d.Reason))
	}
	sort.Strings(at)
	return fmt.Sprintf("%s %s: %s", v.Fate, v.Event.Name, strings.Join(at, ", "))
}

// stateOf tells where an event is at one destination.
func (s *system) stateOf(event, destination string) string {
	s.t.Helper()
	status, answer := s.request(http.MethodGet, "/v1/events/"+url.PathEscape(event), nil, nil)
	var v ingest.EventView
	if status != http.StatusOK || json.Unmarshal(answer, &v) != nil {
		return fmt.Sprintf("%d %s", status, answer)
	}
	for _, d := range v.Destinations {
		if d.Destination == destination {
			return strings.TrimSpace(d.State + " " + d.Reason)
		}
	}
	return ""
}

// until polls for something that must come to be.
func (s *system) until(is func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("it did not come to be\n%s", s.err)
		}
	}
}

// untilResolved replays once the event is resolved and every lane has taken a look.
func (s *system) untilResolved(id string, to ...string) string {
	s.t.Helper()
	s.until(func() bool {
		for _, d := range to {
			if state := s.stateOf(id, d); !strings.HasPrefix(state, "parked") && !strings.HasPrefix(state, "suppressed") && !strings.HasPrefix(state, "delivered") {
				return false
			}
		}
		return true
	})
	return s.replay(id, to...)
}

// middlewareID is the hash of the guide's middleware, written out here on its own.
func middlewareID(contact, stage, at string) string {
	return canonical.SHA256(contact + ":" + stage + ":" + at)
}
