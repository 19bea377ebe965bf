package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"tributary/destinations/simulator"
)

// cycles is how often each thing is killed: 3 times in make test, more in make soak.
func cycles(t *testing.T) int {
	text := os.Getenv("TRIBUTARY_CRASH_CYCLES")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestKillingTheRouterLosesNothing(t *testing.T) {
	crash(t, cycles(t), "", func(s *system) {
		s.kill()
		s.start()
	})
}

func TestKillingTheWarehouseEngineLosesNothing(t *testing.T) {
	crash(t, cycles(t), asShipped(t), func(s *system) {
		for _, pid := range s.children() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		s.until(func() bool { // the next is struck while it serves, in the midst of a block
			status, _ := s.post("/v1/sql", []byte(`{"sql":"SELECT 1"}`), nil)
			return status == http.StatusOK
		})
	})
}

func TestStoppingUnderLoadLeavesNothingAmbiguous(t *testing.T) {
	ambiguous := crash(t, 2, asShipped(t), func(s *system) {
		s.stop()
		s.start()
	})
	if ambiguous != 0 {
		t.Errorf("%d attempts were broken off by an orderly stop", ambiguous)
	}
}

// crash offers 1,000 receipts a second and more, strikes so many times at random moments, and then
// holds the callers' acknowledgements against the vendors' own memory and ClickHouse.
func crash(t *testing.T, times int, program string, strike func(*system)) (ambiguousAttempts int) {
	// A small log is trimmed while it is struck, and read quickly when a process comes back; a
	// long run needs room for the identity facts, which are never trimmed.
	size := 256 << 20
	if times > 10 {
		size = 1 << 30
	}
	s := newSystem(t, systemOptions{Config: fmt.Sprintf("log: {embedded: {max_bytes: %d}}", size), Destinations: `
  meta: {kind: meta, mode: live, base_url: "VENDORS", allow_private: true, token: "file:meta.token", settings: {dataset_id: "` + dataset + `", timeout: 5s, linger: 0s, requests_per_second: 100, batch: 1000}}
  linkedin: {kind: linkedin, mode: live, base_url: "VENDORS", allow_private: true, token: "file:linkedin.token", settings: {timeout: 5s, linger: 0s, batch: 1000, rules: {mql: 102}}}
`})
	s.pointAtVendors()
	s.program = program
	s.start()
	random := rand.New(rand.NewPCG(1, 2)) // the same moments every time, as far as a clock allows
	load := startOffering(s, 1200)
	for range times {
		time.Sleep(time.Duration(300+random.IntN(1500)) * time.Millisecond)
		strike(s)
	}
	time.Sleep(500 * time.Millisecond)
	load.stop()
	s.drained()
	books := s.settle()

	acknowledged, offered := load.acknowledged, load.offered
	ambiguous := map[string]bool{}
	for _, row := range s.queryWhole("SELECT DISTINCT destination, event_id FROM deliveries WHERE ambiguous") {
		ambiguous[row[0]+" "+row[1]] = true
	}
	lost := 0
	for _, v := range []simulator.Vendor{simulator.Meta, simulator.LinkedIn} {
		got := map[string]int{}
		for _, r := range s.sim.Received(v) {
			got[r.EventID]++
		}
		for id := range acknowledged {
			if got[id] == 0 {
				lost++
				if lost < 10 {
					t.Errorf("%s never got %s, which was acknowledged; it is %s", v, id, s.stateOf(id, string(v)))
				}
			}
		}
		twice := 0
		for id, n := range got {
			if !offered[id] {
				t.Errorf("%s got %s, which nobody sent", v, id)
			}
			if n > 1 {
				twice++
				if !ambiguous[string(v)+" "+id] {
					t.Errorf("%s got %s %d times and no attempt at it is known as ambiguous", v, id, n)
				}
			}
		}
		t.Logf("%s: offered %d, acknowledged %d, delivered %d, sent twice %d, lost %d", v, len(offered), len(acknowledged), len(got), twice, lost)
	}
	inWarehouse := map[string]bool{}
	s.until(func() bool {
		for _, row := range s.queryWhole("SELECT event_id FROM events FINAL") {
			inWarehouse[row[0]] = true
		}
		for id := range acknowledged {
			if !inWarehouse[id] {
				return false
			}
		}
		return true
	})
	t.Logf("acknowledged %d, ambiguous %d, in ClickHouse %d, lost %d", len(acknowledged), len(ambiguous), len(inWarehouse), lost)
	for _, d := range books.Deliveries { // over what the log still holds
		if d.Lost != 0 || d.Delivered == 0 {
			t.Errorf("the books of %s say delivered %d, lost %d", d.Destination, d.Delivered, d.Lost)
		}
	}
	for _, row := range s.query("SELECT destination, delivered FROM v_delivery_balance") {
		if n, _ := strconv.Atoi(row[1]); n < len(acknowledged) {
			t.Errorf("ClickHouse's books of %s say delivered %d", row[0], n)
		}
	}
	return len(ambiguous)
}

// An offering sends receipts and remembers which were acknowledged.
type offering struct {
	mu           sync.Mutex
	acknowledged map[string]bool
	offered      map[string]bool
	pace         *rate.Limiter // of batches of ten
	done         chan struct{}
	wait         sync.WaitGroup
}

// startOffering sends batches of ten, each of a person of its own, at a rate of receipts a second.
func startOffering(s *system, perSecond int) *offering {
	l := &offering{acknowledged: map[string]bool{}, offered: map[string]bool{}, done: make(chan struct{}), pace: rate.NewLimiter(rate.Limit(perSecond/10), perSecond/10)}
	at := time.Now().UTC().Add(-time.Hour).Format(time.RFC3339)
	for w := range 16 {
		l.wait.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-l.done:
					return
				default:
				}
				if !l.pace.Allow() {
					time.Sleep(2 * time.Millisecond)
					continue
				}
				l.offer(s, w, n, at)
			}
		})
	}
	return l
}

// offer sends a router the n-th batch of a worker.
func (l *offering) offer(s *system, w, n int, at string) {
	var ids, items []string
	for i := range 10 {
		id := fmt.Sprintf("load-%d-%d-%d", w, n, i)
		ids = append(ids, id)
		items = append(items, fmt.Sprintf(`{"event_id":%q,"event":"lead_stage_changed","source":"hubspot","occurred_at":%q,"user_data":{"email":"p%d.%d.%d@example.com"},"custom_data":{"hubspot_contact_id":"%d","hubspot_lifecycle_stage":"marketingqualifiedlead"}}`,
			id, at, w, n, i, 1+w*10_000_000+n*10+i))
	}
	l.note(l.offered, ids)
	if status, answer := s.post("/v1/events", []byte("["+strings.Join(items, ",")+"]"), nil); status/100 == 2 {
		l.note(l.acknowledged, kept(answer, ids))
	}
}

func (l *offering) note(set map[string]bool, ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		set[id] = true
	}
}

func (l *offering) stop() {
	close(l.done)
	l.wait.Wait()
}

// kept gives the ids whose item was answered with a receipt.
func kept(answer []byte, ids []string) []string {
	var a struct {
		Receipts []struct {
			ID string `json:"receipt_id"`
		} `json:"receipts"`
	}
	if json.Unmarshal(answer, &a) != nil || len(a.Receipts) != len(ids) {
		return nil
	}
	var out []string
	for i, r := range a.Receipts {
		if r.ID != "" {
			out = append(out, ids[i])
		}
	}
	return out
}

// children lists the router's child processes: the warehouse engine.
func (s *system) children() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		s.t.Fatal(err)
	}
	var pids []int
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		var pid, parent int
		var state string
		_, rest, _ := strings.Cut(string(text), ") ") // the name in front may hold anything
		fmt.Sscan(string(text), &pid)
		fmt.Sscan(rest, &state, &parent)
		if parent == s.cmd.Process.Pid && state != "Z" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// queryWhole asks for more rows than one answer holds, page by page.
func (s *system) queryWhole(sql string) [][]string {
	s.t.Helper()
	var out [][]string
	for {
		page := s.query(fmt.Sprintf("%s ORDER BY ALL LIMIT 50000 OFFSET %d", sql, len(out)))
		out = append(out, page...)
		if len(page) < 50000 {
			return out
		}
	}
}
