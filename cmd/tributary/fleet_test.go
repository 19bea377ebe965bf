package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tributary/destinations/simulator"
	"tributary/ingest"
	"tributary/internal/eventlog/kafkatest"
	"tributary/internal/warehouse/embedded"
)

// A fleet is several routers on one Apache Kafka and one ClickHouse, with the same vendors.
type fleet struct {
	t       *testing.T
	routers map[string]*system // by instance
	sent    *sentLog
	moved   []string // lanes taken from the router that the load goes to
}

// A sentLog is the simulator's own record of who sent what to the vendors, and when.
type sentLog struct{ sim *simulator.Simulator }

// A sending is one request as the vendor saw it: by which process, from when to when.
type sending struct {
	lane, by   string
	begin, end time.Time // end is zero while it is answered
}

var instanceOf = regexp.MustCompile(`\(([^)]+)\)`)

// of gives a lane's requests in the order in which they began.
func (l *sentLog) of(lane string) []sending {
	var out []sending
	for _, q := range l.sim.Requests(simulator.Vendor(lane), 0) {
		by := q.Agent
		if m := instanceOf.FindStringSubmatch(by); m != nil {
			by = m[1]
		}
		out = append(out, sending{lane: lane, by: by, begin: q.Begun, end: q.Ended})
	}
	return out
}

const (
	warehousePassword = "warehouse-test-password"
	session           = 3 * time.Second
)

// newFleet prepares routers r1 and r2; neither runs yet.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	brokers := kafkatest.Start(t)
	address := freeAddress(t)
	engine, err := embedded.Start(t.Context(), embedded.Options{
		Dir: t.TempDir(), Library: warehouseLibrary(t), Addr: address, User: "analyst", Password: warehousePassword, NoSync: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	f := &fleet{t: t, routers: map[string]*system{}, sent: &sentLog{}}
	first := newSystem(t, systemOptions{
		Config: fmt.Sprintf(`
instance: r1
data_key: file:data.key
log: {brokers: [%q], prefix: "fleet%d.", session_timeout: %s}
warehouse: {url: "http://%s", user: analyst, password: "file:warehouse.token"}
`, brokers, time.Now().UnixNano(), session, address),
		Destinations: `
  meta: {kind: meta, mode: live, base_url: "VENDORS", allow_private: true, token: "file:meta.token", settings: {dataset_id: "` + dataset + `", timeout: 2s, linger: 0s, batch: 50}}
  linkedin: {kind: linkedin, mode: live, base_url: "VENDORS", allow_private: true, token: "file:linkedin.token", settings: {timeout: 2s, linger: 0s, batch: 50, rules: {mql: 102}}}
`})
	first.program = asShipped(t)
	f.sent.sim = first.sim
	first.pointAtVendors()
	for name, text := range map[string]string{"data.key": strings.Repeat("0f", 32), "warehouse.token": warehousePassword} {
		if err := os.WriteFile(filepath.Join(first.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.routers["r1"] = first
	f.add("r2")
	return f
}

// add prepares one more router with a folder and an address of its own.
func (f *fleet) add(instance string) *system {
	f.t.Helper()
	first := f.routers["r1"]
	s := &system{t: f.t, program: first.program, dir: f.t.TempDir(), sim: first.sim, vendors: first.vendors, address: freeAddress(f.t)}
	f.t.Cleanup(s.stop)
	files, err := filepath.Glob(filepath.Join(first.dir, "*.*"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.t.Fatal(err)
		}
		text := strings.NewReplacer("instance: r1", "instance: "+instance, first.address, s.address).Replace(string(b))
		if err := os.WriteFile(filepath.Join(s.dir, filepath.Base(path)), []byte(text), 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "data"), 0o700); err != nil {
		f.t.Fatal(err)
	}
	keys, err := ingest.OpenKeys(filepath.Join(s.dir, "data"))
	if err != nil {
		f.t.Fatal(err)
	}
	if s.key, _, err = keys.Create(ingest.NewKey{Name: "test", Scopes: []ingest.Scope{ingest.ScopeAdmin}}, time.Now()); err != nil {
		f.t.Fatal(err)
	}
	f.routers[instance] = s
	return s
}

// follows waits until somebody else than was sends for a lane, and gives the name and how
// long it took from since.
func (f *fleet) follows(lane, was string, since time.Time) (string, time.Duration) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for _, s := range f.sent.of(lane) {
			if s.begin.After(since) && s.by != was {
				return s.by, s.begin.Sub(since)
			}
		}
	}
	f.t.Fatalf("nobody followed %s at %s within a minute\n%s", was, lane, f.routers["r1"].err)
	return "", 0
}

// sends waits until somebody has sent for a lane since a time.
func (f *fleet) sends(lane string, since time.Time) string {
	who, _ := f.follows(lane, "", since)
	return who
}

// Two routers share the lanes, a third joins, an owner is killed in the midst of a request,
// and another is paused and wakes: by the vendors' own record each lane has one owner at
// any time, and everything arrives once, but for what was in flight when its owner died.
func TestEachLaneHasOneOwner(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	r1 := f.routers["r1"]
	r1.start()
	f.routers["r2"].start()
	load := startOffering(r1, 300)
	for _, lane := range []string{"meta", "linkedin"} {
		f.sends(lane, time.Time{})
	}
	f.add("r3").start()
	time.Sleep(2 * session) // it joins and the lanes are shared out anew

	// The owner of LinkedIn's lane is killed while the vendor has its request in hand. It must
	// not be r1, which the load is offered to.
	owner := f.ownerOtherThan("r1", "linkedin", load)
	r1.fail(simulator.Fault{Vendor: simulator.LinkedIn, Mode: "slow", Count: 1, Delay: time.Second})
	f.inFlight("linkedin", owner)
	killed := time.Now()
	f.routers[owner].kill()
	next, took := f.follows("linkedin", owner, killed)
	t.Logf("%s was killed in the midst of a request to LinkedIn; %s sent %v later (session time-out %v)", owner, next, took.Round(time.Millisecond), session)
	f.routers[owner].start()
	time.Sleep(2 * session)

	// The owner of Meta's lane is paused, its successor sends, it wakes.
	owner = f.ownerOtherThan("r1", "meta", load)
	paused := time.Now()
	f.routers[owner].signal(syscall.SIGSTOP)
	next, took = f.follows("meta", owner, paused)
	t.Logf("%s was paused; %s sent to Meta %v later", owner, next, took.Round(time.Millisecond))
	time.Sleep(time.Second)
	woke := time.Now()
	f.routers[owner].signal(syscall.SIGCONT)
	time.Sleep(2 * session)
	load.stop()
	for _, r := range f.routers {
		r.drained()
	}
	r1.settle()
	// A woken owner may be given the lane again, after its successor gave it up. Whatever it
	// begins before that stands between two requests of the successor.
	for lane, all := range map[string][]sending{"meta": f.sent.of("meta"), "linkedin": f.sent.of("linkedin")} {
		checkOneOwner(t, lane, all, 8)
	}
	for i, all := 0, f.sent.of("meta"); i+1 < len(all); i++ {
		if s := all[i]; s.by == owner && s.begin.After(woke) && all[i+1].by != owner {
			t.Errorf("%s woke at %v and began a request at %v, while %s owned the lane", owner, woke, s.begin, all[i+1].by)
		}
	}
	f.arrivedOnce(load)
}

// checkOneOwner holds a lane's requests to one owner at a time: none begins before the last
// one of another owner has ended, and ownership moves no oftener than members came and went.
func checkOneOwner(t *testing.T, lane string, all []sending, changes int) {
	t.Helper()
	moved := []string{}
	for i, s := range all {
		if i == 0 || s.by != all[i-1].by {
			moved = append(moved, s.by)
		}
		for _, earlier := range all[max(0, i-50):i] {
			if earlier.by != s.by && (earlier.end.IsZero() || earlier.end.After(s.begin)) {
				t.Errorf("%s: %s began a request at %v while one of %s was not over", lane, s.by, s.begin, earlier.by)
			}
		}
	}
	t.Logf("%s: %d requests, owners %v", lane, len(all), moved)
	if len(moved) > changes {
		t.Errorf("%s: ownership moved %d times: %v", lane, len(moved), moved)
	}
}

// ownerOtherThan gives a lane's owner, which is not the one named, where the load goes: if
// it is, that router is stopped until another one has sent for the lane, which then keeps it.
func (f *fleet) ownerOtherThan(not, lane string, load *offering) string {
	f.t.Helper()
	if owner := f.sends(lane, time.Now()); owner != not {
		return owner
	}
	f.routers[not].stop() // what is offered meanwhile is refused, and not acknowledged
	done := make(chan struct{})
	var offering sync.WaitGroup
	offering.Go(func() {
		at := time.Now().UTC().Add(-time.Hour).Format(time.RFC3339)
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-time.After(200 * time.Millisecond):
				load.offer(f.other(not), len(f.moved)+100, n, at)
			}
		}
	})
	owner, took := f.follows(lane, not, time.Now())
	close(done)
	offering.Wait()
	f.moved = append(f.moved, lane)
	f.t.Logf("%s was stopped; %s sent for %s %v later", not, owner, lane, took.Round(time.Millisecond))
	f.routers[not].start()
	time.Sleep(2 * session)
	if now := f.sends(lane, time.Now()); now != owner {
		f.t.Fatalf("%s owned %s and runs, but %s sends for it since %s is back", owner, lane, now, not)
	}
	return owner
}

// other gives a router that is not the one named.
func (f *fleet) other(not string) *system {
	for _, name := range []string{"r2", "r3"} {
		if name != not && f.routers[name] != nil {
			return f.routers[name]
		}
	}
	return nil
}

// inFlight waits until a vendor has a request of a process in hand.
func (f *fleet) inFlight(lane, by string) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		all := f.sent.of(lane)
		if n := len(all); n > 0 && all[n-1].by == by && all[n-1].end.IsZero() {
			return
		}
	}
	f.t.Fatalf("%s had no request of %s in hand within a minute", lane, by)
}

// arrivedOnce holds what was acknowledged against the vendors' memory; what arrived twice
// must be known as ambiguous.
func (f *fleet) arrivedOnce(load *offering) {
	f.t.Helper()
	r1 := f.routers["r1"]
	ambiguous := map[string]bool{}
	for _, row := range r1.queryWhole("SELECT DISTINCT destination, event_id FROM deliveries WHERE ambiguous") {
		ambiguous[row[0]+" "+row[1]] = true
	}
	for _, v := range []simulator.Vendor{simulator.Meta, simulator.LinkedIn} {
		got := map[string]int{}
		for _, r := range r1.sim.Received(v) {
			got[r.EventID]++
		}
		twice := 0
		for id := range load.acknowledged {
			switch n := got[id]; {
			case n == 0:
				f.t.Errorf("%s never got %s; it is %s", v, id, r1.stateOf(id, string(v)))
			case n > 1 && !ambiguous[string(v)+" "+id]:
				f.t.Errorf("%s got %s %d times and no attempt at it is known as ambiguous", v, id, n)
			case n > 1:
				twice++
			}
		}
		f.t.Logf("%s: acknowledged %d, arrived %d, twice %d (ambiguous %d)", v, len(load.acknowledged), len(got), twice, len(ambiguous))
	}
}

func (s *system) signal(sig syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}
