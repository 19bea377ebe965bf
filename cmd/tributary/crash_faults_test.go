package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"tributary/destinations/simulator"
	"tributary/internal/pipeline"
)

const (
	faultyTimeout = time.Second     // of a request; half of it without an answer counts as slow
	fullPace      = rate.Limit(120) // of an offering, in batches of ten
)

// faultyLanes are the destinations of the test with faults, by their vendor's name, and what
// each does with an attempt whose answer never came.
var faultyLanes = []struct {
	vendor simulator.Vendor
	batch  int
	holds  bool
}{{simulator.Meta, 200, false}, {simulator.LinkedIn, 500, true}, {simulator.Receiver, 100, false}}

const faultyDestinations = `
  meta: {kind: meta, mode: live, base_url: "VENDORS", allow_private: true, token: "file:meta.token", ambiguous: resend,
    settings: {dataset_id: "` + dataset + `", timeout: 1s, linger: 0s, requests_per_second: 100, batch: 200}}
  linkedin: {kind: linkedin, mode: live, base_url: "VENDORS", allow_private: true, token: "file:linkedin.token", ambiguous: hold,
    settings: {timeout: 1s, linger: 200ms, batch: 500, rules: {mql: 102}}}
  webhook: {kind: webhook, mode: live, allow_private: true, token: "file:secret.token", ambiguous: resend,
    settings: {url: "VENDORS/webhook/in", timeout: 1s, linger: 50ms, requests_per_second: 100, batch: 100}}
`

// troubles are what every vendor does in turn while the router is killed again and again.
var troubles = []simulator.Fault{
	{Mode: "503"},
	{Mode: "drop_after_accept"},
	{Mode: "500", Applied: true},
	{Mode: "slow", Delay: 2 * faultyTimeout},
	{Mode: "reset"},
	{Mode: "truncated"},
	{Mode: "502html"},
	{Mode: "429", RetryAfter: 1},
	{Mode: "hang_after_accept"},
	{Mode: "broken"},
	{Mode: "empty"},
	{Mode: "slow", Delay: faultyTimeout / 4},
}

// troubled is a script for one life of the router: each vendor is in trouble of one kind for
// some hundred milliseconds, well for a while, in trouble of the next kind. Each life begins
// a few kinds further on than the one before.
func troubled(life int, long bool, random *rand.Rand) simulator.Script {
	ms := func(from, to int) time.Duration { return time.Duration(from+random.IntN(to-from)) * time.Millisecond }
	sc := simulator.Script{Seed: random.Uint64()}
	for i, lane := range faultyLanes {
		at := ms(20, 120)
		for k := range len(troubles) {
			f := troubles[(3*life+4*i+k)%len(troubles)]
			if f.Mode == "429" && lane.vendor == simulator.LinkedIn && !long {
				continue // LinkedIn's lane then waits for a minute
			}
			f.Vendor, f.At, f.For, f.Rate = lane.vendor, at, ms(150, 500), 0.5
			sc.Faults = append(sc.Faults, f)
			at += f.For + ms(50, 250)
		}
	}
	return sc
}

// The router is killed again and again while 1,000 receipts a second and more come in and
// every vendor is in trouble of some kind. After each restart the books hold; in the end
// what was acknowledged is what the vendors remember and what is held, by the ledger and by
// ClickHouse, and no more is ambiguous than the vendors' own record says was in flight.
//
// The books are counted over all there is, so a long run is one of several systems, each
// killed up to 25 times.
func TestKillingTheRouterWithFaultsOn(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 1)) // the same scripts and moments every time, as far as a clock allows
	const most = 25
	kills := cycles(t)
	systems := (kills + most - 1) / most
	if systems <= 1 {
		killWithFaultsOn(t, kills, random)
		return
	}
	var all toll
	for n := range systems {
		t.Run(fmt.Sprint(n+1), func(t *testing.T) {
			all.add(killWithFaultsOn(t, kills*(n+1)/systems-kills*n/systems, random))
		})
	}
	t.Logf("all together: %v", all)
}

// A toll is what one run came to.
type toll struct {
	kills, acknowledged, received, held, ambiguous, inFlight, lost int // all but kills and acknowledged over all lanes
}

func (a *toll) add(b toll) {
	a.kills, a.acknowledged, a.received, a.held = a.kills+b.kills, a.acknowledged+b.acknowledged, a.received+b.received, a.held+b.held
	a.ambiguous, a.inFlight, a.lost = a.ambiguous+b.ambiguous, a.inFlight+b.inFlight, a.lost+b.lost
}

func (a toll) String() string {
	return fmt.Sprintf("%d kills, acknowledged %d; over %d lanes received %d, held %d, ambiguous %d of %d in flight, lost %d",
		a.kills, a.acknowledged, len(faultyLanes), a.received, a.held, a.ambiguous, a.inFlight, a.lost)
}

func killWithFaultsOn(t *testing.T, kills int, random *rand.Rand) toll {
	s := newSystem(t, systemOptions{Config: "log: {embedded: {max_bytes: 268435456}}", Destinations: faultyDestinations, Hang: 2 * faultyTimeout})
	requests := &carried{}
	s.vendors.Close()
	s.vendors = httptest.NewServer(requests.record(s.sim.Handler()))
	s.pointAtVendors()
	s.program = asShipped(t)
	var dead []time.Time
	var asked, longest time.Duration // for the books
	s.start()
	began := time.Now()
	load := startOffering(s, int(10*fullPace))
	play := func() {
		s.sim.Heal("")
		if err := s.sim.Play(troubled(len(dead), kills > 10, random)); err != nil {
			t.Fatal(err)
		}
	}
	play()
	for range kills {
		time.Sleep(time.Duration(300+random.IntN(1500)) * time.Millisecond)
		s.kill()
		dead = append(dead, time.Now())
		s.start()
		play()
		load.pace.SetLimit(fullPace / 10) // the lanes have a backlog; books and load would only wait for each other
		took := holdsTheBooks(s, len(dead))
		load.pace.SetLimit(fullPace)
		asked, longest = asked+took, max(longest, took)
	}
	time.Sleep(500 * time.Millisecond)
	took := time.Since(began)
	load.stop()
	s.sim.Heal("")
	s.drained()
	books := s.settle()
	s.drained() // what settled is in ClickHouse, too
	t.Logf("%d kills in %v, drained %v later; offered %d, acknowledged %d; the books took %v, at most %v; the log holds %s; this process, vendors and all, %d MiB", kills, took.Round(time.Second),
		(time.Since(began) - took).Round(time.Second), len(load.offered), len(load.acknowledged),
		asked.Round(time.Second), longest.Round(time.Second/10), sizes(t, filepath.Join(s.dir, "data", "log")), heapInUse()>>20)

	e := evidence{s: s, load: load, events: map[string]bool{}, ambiguous: s.pairs("SELECT DISTINCT destination, event_id FROM deliveries WHERE ambiguous"),
		delivered: s.pairs("SELECT DISTINCT destination, event_id FROM deliveries WHERE state = 'delivered'"),
		parked:    s.pairs("SELECT destination, event_id FROM v_deliveries WHERE state = 'parked' AND reason = 'ambiguous'")}
	for _, row := range s.queryWhole("SELECT event_id FROM events FINAL") {
		e.events[row[0]] = true
	}
	e.resolved()
	all := toll{kills: kills, acknowledged: len(load.acknowledged)}
	for _, lane := range faultyLanes {
		all.add(e.accounted(lane.vendor, lane.holds))
		all.add(e.bounded(lane.vendor, lane.batch, kills, requests.inFlight(s.sim, lane.vendor, faultyTimeout, dead)))
	}
	for _, d := range books.Deliveries { // over what the log still holds
		if d.Lost+d.Dead+len(d.Suppressed)+d.Pending != 0 || d.Events != d.Delivered+d.Parked["ambiguous"] {
			t.Errorf("in the end the books of %s say %+v", d.Destination, d)
		}
	}
	var out, complaints bytes.Buffer
	err := run(t.Context(), []string{"report", "reconcile", "-c", filepath.Join(s.dir, "tributary.yaml")}, nil, &out, &complaints)
	if code := exitCode(err, &complaints); code != 0 || !strings.Contains(out.String(), "nothing is lost, and both agree") {
		t.Errorf("tributary report reconcile: exit %d\n%s%s", code, out.String(), complaints.String())
	}
	s.stop()
	return all
}

// holdsTheBooks asks for both balances while traffic goes on, and gives how long that took.
func holdsTheBooks(s *system, life int) time.Duration {
	s.t.Helper()
	began := time.Now()
	if b := s.books(); !b.Balanced || b.Lost != 0 || len(b.Deliveries) != len(faultyLanes) {
		s.t.Errorf("after restart %d the books do not balance, %d lost: %+v %+v", life, b.Lost, b.Receipts, b.Deliveries)
	}
	return time.Since(began)
}

// evidence is what the callers, ClickHouse and the ledger say in the end. Pairs are a
// destination's name, a space and an event id.
type evidence struct {
	s         *system
	load      *offering
	events    map[string]bool // in ClickHouse
	ambiguous map[string]bool // pairs: an attempt at it was ambiguous, by ClickHouse
	delivered map[string]bool // pairs, by ClickHouse
	parked    map[string]bool // pairs: held, by ClickHouse
}

// resolved holds the events against what was offered and acknowledged.
func (e *evidence) resolved() {
	e.s.t.Helper()
	e.subset("acknowledged", e.load.acknowledged, "events in ClickHouse", e.events)
	e.subset("events in ClickHouse", e.events, "offered", e.load.offered)
}

// accounted holds that each event was received by a vendor or is held, that the vendor, the
// ledger and ClickHouse agree on it, and that only what is ambiguous is held or came twice.
func (e *evidence) accounted(v simulator.Vendor, holds bool) toll {
	t, name := e.s.t, string(v)
	t.Helper()
	times := map[string]int{}
	for _, r := range e.s.sim.Received(v) {
		times[r.EventID]++
	}
	if n := e.s.sim.Stats(v).Forgotten; n > 0 {
		t.Errorf("%s has forgotten %d items: give it more room", name, n)
	}
	received, twice := map[string]bool{}, map[string]bool{}
	for id, n := range times {
		received[id] = true
		if n > 1 {
			twice[id] = true
		}
	}
	held := e.s.held(name)
	ambiguous, delivered, parked := of(name, e.ambiguous), of(name, e.delivered), of(name, e.parked)

	lost := without(e.load.acknowledged, received, held)
	t.Logf("%s: acknowledged %d, received %d (more than once %d), held %d (of those received %d), lost %d", name,
		len(e.load.acknowledged), len(received), len(twice), len(held), len(both(held, received)), len(lost))
	e.subset(name+": acknowledged", e.load.acknowledged, "received or held", received, held)
	e.subset(name+": events", e.events, "received or held", received, held)
	e.subset(name+": received or held", union(received, held), "events", e.events)
	e.subset(name+": held", held, "ambiguous", ambiguous)
	e.subset(name+": received twice", twice, "ambiguous", ambiguous)

	e.subset(name+" by ClickHouse: delivered", delivered, "received", received)
	e.subset(name+" by ClickHouse: held", parked, "held by the ledger", held)
	e.subset(name+": held by the ledger", held, "held by ClickHouse", parked)
	e.subset(name+" by ClickHouse: events", e.events, "delivered or held", delivered, parked)
	if n := len(both(delivered, parked)); n > 0 {
		t.Errorf("%s by ClickHouse: %d are delivered and held", name, n)
	}
	switch {
	case holds && (len(twice) > 0 || len(held) == 0):
		t.Errorf("%s holds what is ambiguous: %d came twice, %d are held", name, len(twice), len(held))
	case !holds && len(held) > 0:
		t.Errorf("%s sends again what is ambiguous: %d are held", name, len(held))
	}
	return toll{received: len(received), held: len(held), lost: len(lost)}
}

// bounded holds the ambiguous against what was in flight: the items of requests that the
// vendor's record says were not answered well, and a batch for each kill, whose answer was
// not written down any more or whose intent had no request yet.
func (e *evidence) bounded(v simulator.Vendor, batch, kills int, f flight) toll {
	t, name := e.s.t, string(v)
	t.Helper()
	ambiguous := of(name, e.ambiguous)
	struck := []string{}
	for _, word := range slices.Sorted(maps.Keys(f.struck)) {
		struck = append(struck, fmt.Sprintf("%s %d", word, f.struck[word]))
	}
	t.Logf("%s: %d requests, not answered well %d (%s)", name, f.requests, f.bad, strings.Join(struck, "; "))
	byKills := without(ambiguous, f.items)
	t.Logf("%s: ambiguous %d, in flight at most %d = %d of requests not answered well + %d kills × %d; by kills alone %d, of those in a process's last request %d",
		name, len(ambiguous), len(f.items)+kills*batch, len(f.items), kills, batch, len(byKills), len(both(byKills, f.last)))
	if len(ambiguous) > len(f.items)+kills*batch || len(byKills) > kills*batch {
		t.Errorf("%s: more is ambiguous than was in flight", name)
	}
	if f.bad == 0 || len(ambiguous) == 0 {
		t.Errorf("%s was in no trouble: %d of %d requests, %d ambiguous", name, f.bad, f.requests, len(ambiguous))
	}
	return toll{ambiguous: len(ambiguous), inFlight: len(f.items) + kills*batch}
}

// subset names what is in none of several sets.
func (e *evidence) subset(what string, all map[string]bool, in string, sets ...map[string]bool) {
	e.s.t.Helper()
	left := without(all, sets...)
	if len(left) == 0 {
		return
	}
	some := slices.Sorted(maps.Keys(left))
	some = some[:min(len(some), 5)]
	var states []string
	for _, id := range some {
		for _, lane := range faultyLanes {
			states = append(states, fmt.Sprintf("%s at %s: %s", id, lane.vendor, e.s.stateOf(id, string(lane.vendor))))
		}
	}
	e.s.t.Errorf("%s: %d are not %s, such as\n%s", what, len(left), in, strings.Join(states, "\n"))
}

// held lists what the ledger holds at a destination because an attempt at it was ambiguous.
func (s *system) held(destination string) map[string]bool {
	s.t.Helper()
	out := map[string]bool{}
	for after := ""; ; {
		status, answer := s.request(http.MethodGet, "/v1/deadletters?"+url.Values{
			"list": {"held"}, "destination": {destination}, "limit": {"1000"}, "after": {after},
		}.Encode(), nil, nil)
		var page pipeline.Letters
		if status != http.StatusOK || json.Unmarshal(answer, &page) != nil {
			s.t.Fatalf("held items: %d %s", status, answer)
		}
		for _, l := range page.Items {
			if l.Reason != "ambiguous" || !l.Ambiguous {
				s.t.Errorf("%s is held at %s for %q: %s", l.Event.ID, destination, l.Reason, l.Detail)
			}
			out[string(l.Event.ID)] = true
		}
		if after = page.Next; after == "" {
			return out
		}
	}
}

// pairs asks for destinations and event ids.
func (s *system) pairs(sql string) map[string]bool {
	s.t.Helper()
	out := map[string]bool{}
	for _, row := range s.queryWhole(sql) {
		out[row[0]+" "+row[1]] = true
	}
	return out
}

// of gives the event ids of one destination's pairs.
func of(destination string, pairs map[string]bool) map[string]bool {
	out := map[string]bool{}
	for p := range pairs {
		if id, ok := strings.CutPrefix(p, destination+" "); ok {
			out[id] = true
		}
	}
	return out
}

func union(sets ...map[string]bool) map[string]bool {
	out := map[string]bool{}
	for _, set := range sets {
		maps.Copy(out, set)
	}
	return out
}

func both(a, b map[string]bool) map[string]bool {
	out := map[string]bool{}
	for k := range a {
		if b[k] {
			out[k] = true
		}
	}
	return out
}

// without gives what is in a and in none of the others.
func without(a map[string]bool, others ...map[string]bool) map[string]bool {
	out := map[string]bool{}
	for k := range a {
		if !slices.ContainsFunc(others, func(o map[string]bool) bool { return o[k] }) {
			out[k] = true
		}
	}
	return out
}

// sizes tells what the folders below dir hold, and all of them together.
func sizes(t *testing.T, dir string) string {
	t.Helper()
	in, all := map[string]int64{}, int64(0)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil { // one that was trimmed meanwhile counts nothing
			in[filepath.Base(filepath.Dir(path))] += info.Size()
			all += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if mib := in[name] >> 20; mib > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, mib))
		}
	}
	return fmt.Sprintf("%d MiB (%s)", all>>20, strings.Join(parts, ", "))
}

// asShipped gives the program to kill: under the race detector one that is built without it,
// for there Pebble writes down a stack for every iterator that it opens, and the router does
// not come to its end.
func asShipped(t *testing.T) string {
	t.Helper()
	info, _ := debug.ReadBuildInfo()
	if info == nil || !slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return ""
	}
	program := filepath.Join(t.TempDir(), "tributary")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the router: %v\n%s", err, out)
	}
	return program
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
