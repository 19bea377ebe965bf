package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/kafkalog"
)

// Three routers share the identity log; what people do and what operators say is dealt to them at random. One is killed
// and one loses its disk while the rest goes on. At equal offsets they hold the same, which is what the log says when it
// is folded from its begin.
func TestRoutersThatShareTheIdentityLogAgree(t *testing.T) {
	t.Parallel()
	began := time.Now()
	f := newFleet(t)
	for _, s := range f.routers {
		s.configure("identity: {crowd: 4, limit: 12, never_link: ['email:test@test.com', 'cookie:kiosk'], never_link_patterns: ['noreply*@*'], shared_mailboxes: [frontdesk]}\n")
	}
	f.add("r3")
	names := []string{"r1", "r2", "r3"}
	for _, name := range names {
		f.routers[name].start()
	}
	t.Logf("they run after %v", time.Since(began).Round(time.Millisecond))
	d := &dealer{fleet: f, roll: rand.New(rand.NewPCG(7, 7)), base: time.Now().UTC().Add(-90 * time.Hour).Truncate(time.Second)}

	d.deal(150, names...)
	f.routers["r2"].kill()
	d.deal(100, "r1", "r3")
	f.routers["r2"].start()
	d.deal(50, names...)
	f.routers["r3"].kill()
	if err := os.RemoveAll(filepath.Join(f.routers["r3"].dir, "data", "state")); err != nil {
		t.Fatal(err)
	}
	d.deal(50, "r1", "r2")
	f.routers["r3"].start()
	d.deal(100, names...)
	t.Logf("%d receipts and %d statements dealt after %v", d.receipts, d.statements, time.Since(began).Round(time.Millisecond))

	for _, name := range names {
		f.routers[name].drained()
	}
	stats := f.agreed(names...)
	one := stats["r1"]
	for _, name := range names[1:] {
		if is := stats[name]; *is.Digest != *one.Digest || is.GuardsHash != one.GuardsHash {
			t.Errorf("at one offset r1 holds %+v and %s holds %+v", *one.Digest, name, *is.Digest)
		}
		if why := f.routers[name].degraded(); strings.Contains(why, "identity guards") {
			t.Errorf("%s: %s", name, why)
		}
	}
	if one.Guards.Crowd != 4 || len(one.Guards.NeverLink) != 2 || one.Cut[identity.NeverLink] != 2 || one.Cut[identity.Crowded] == 0 || one.Persons < 5 || one.Blocks+one.Allows == 0 {
		t.Errorf("the story left things out: %+v", one)
	}
	facts := f.facts()
	guards := 0
	for _, r := range facts {
		if r.Fact.Kind == canonical.FactGuards {
			guards++
		}
	}
	if guards < 1 || guards > 3 {
		t.Errorf("the guards were stated %d times", guards)
	}
	offset, digest := scratch(t, facts)
	if offset != one.Digest.Offset || digest != one.Digest.SHA256 {
		t.Errorf("the log from its begin gives %s at %d; the routers hold %s at %d", digest, offset, one.Digest.SHA256, one.Digest.Offset)
	}
	t.Logf("%d facts, %d persons, cut %v; %v", one.Facts, one.Persons, one.Cut, time.Since(began).Round(time.Millisecond))

	// One starts with another configuration: its guards hold for all, and those who have others say so.
	r2 := f.routers["r2"]
	r2.stop()
	r2.reconfigure("crowd: 4", "crowd: 1000")
	r2.start()
	r2.until(func() bool { return strings.Contains(f.routers["r1"].degraded(), "identity guards") })
	f.routers["r3"].until(func() bool { return strings.Contains(f.routers["r3"].degraded(), "identity guards") })
	if why := r2.degraded(); strings.Contains(why, "identity guards") {
		t.Errorf("r2: %s", why)
	}
	stats = f.agreed(names...)
	two := stats["r2"]
	if two.Guards.Crowd != 1000 || two.Cut[identity.Crowded] != 0 || stats["r1"].Digest.SHA256 != two.Digest.SHA256 || stats["r3"].Digest.SHA256 != two.Digest.SHA256 {
		t.Errorf("after other guards they hold %+v, %+v, %+v", stats["r1"], two, stats["r3"])
	}
	r2.until(func() bool {
		rows := r2.query(fmt.Sprintf("SELECT count() > 0 FROM identity_overrides WHERE version = %d", two.Digest.Offset))
		return len(rows) == 1 && rows[0][0] == "1"
	})
	t.Logf("over after %v", time.Since(began).Round(time.Millisecond))
}

// configure adds to a router's configuration.
func (s *system) configure(text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, "tributary.yaml")
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(b, text...), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// reconfigure writes something else in a router's configuration.
func (s *system) reconfigure(was, is string) {
	s.t.Helper()
	path := filepath.Join(s.dir, "tributary.yaml")
	b, err := os.ReadFile(path)
	if err == nil && !bytes.Contains(b, []byte(was)) {
		err = fmt.Errorf("%s holds no %q", path, was)
	}
	if err == nil {
		err = os.WriteFile(path, bytes.ReplaceAll(b, []byte(was), []byte(is)), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// degraded gives what a router says of its own readiness.
func (s *system) degraded() string {
	_, answer := s.request(http.MethodGet, "/readyz", nil, nil)
	return string(answer)
}

// agreed asks routers for their digests until those are of one offset.
func (f *fleet) agreed(names ...string) map[string]identity.Stats {
	f.t.Helper()
	out := map[string]identity.Stats{}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		offsets := map[int64]bool{}
		for _, name := range names {
			status, answer := f.routers[name].request(http.MethodGet, "/v1/identity/stats?digest=true", nil, nil)
			var s identity.Stats
			if status != http.StatusOK || json.Unmarshal(answer, &s) != nil || s.Digest == nil {
				f.t.Fatalf("%s: stats: %d %s", name, status, answer)
			}
			out[name], offsets[s.Digest.Offset] = s, true
		}
		if len(offsets) == 1 {
			return out
		}
	}
	f.t.Fatal("the routers did not come to one offset in a minute")
	return nil
}

// facts reads the whole identity log.
func (f *fleet) facts() (out []identity.Folded) {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.routers["r1"].dir, "tributary.yaml"))
	if err != nil {
		f.t.Fatal(err)
	}
	m := regexp.MustCompile(`brokers: \["([^"]+)"\], prefix: "([^"]+)"`).FindSubmatch(b)
	log, err := kafkalog.Open(f.t.Context(), kafkalog.Options{Brokers: []string{string(m[1])}})
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	topic := eventlog.Named(string(m[2])).Identity
	_, end, err := log.Bounds(f.t.Context(), topic)
	if err != nil {
		f.t.Fatal(err)
	}
	for next := int64(0); next < end[0]; {
		records, err := log.Read(f.t.Context(), topic, 0, next, 1000, time.Second)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, r := range records {
			fact := canonical.Fact{}
			if err := json.Unmarshal(r.Value, &fact); err != nil {
				f.t.Fatal(err)
			}
			out, next = append(out, identity.Folded{Offset: r.Offset, Fact: fact}), r.Offset+1
		}
	}
	return out
}

// scratch folds a log from its begin, one fact at a time.
func scratch(t *testing.T, facts []identity.Folded) (offset int64, digest string) {
	t.Helper()
	key, err := identity.NewErasureKey(bytes.Repeat([]byte{0x0f}, 32))
	if err != nil {
		t.Fatal(err)
	}
	view, err := identity.Open(memstore.New(), identity.WithErasureKey(key))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range facts {
		if err := view.Fold([]identity.Folded{f}); err != nil {
			t.Fatal(err)
		}
	}
	offset, sum := view.DigestAt()
	return offset, hex.EncodeToString(sum[:])
}

// A dealer tells routers at random what people do in a small world.
type dealer struct {
	*fleet
	roll                 *rand.Rand
	base                 time.Time
	receipts, statements int
}

// deal tells so many things, each to one of the routers named.
func (d *dealer) deal(n int, among ...string) {
	d.t.Helper()
	for range n {
		s := d.routers[among[d.roll.IntN(len(among))]]
		path, body := d.anything()
		status, answer := s.post(path, []byte(body), nil)
		switch {
		case strings.HasPrefix(path, "/v1/identity/"): // of identifiers that nobody has named yet it is refused
			if status == http.StatusOK {
				d.statements++
			} else if status != http.StatusNotFound {
				d.t.Fatalf("POST %s %s: %d %s", path, body, status, answer)
			}
		case status/100 != 2:
			d.t.Fatalf("POST %s: %d %s", path, status, answer)
		default:
			d.receipts++
		}
	}
}

// anything is something that is said of twelve contacts, who share some addresses and devices.
func (d *dealer) anything() (path, body string) {
	at := d.base.Add(time.Duration(d.roll.IntN(80*3600)) * time.Second).Format(time.RFC3339)
	contact := func() string { return fmt.Sprint(1001 + d.roll.IntN(12)) }
	mails := []string{"info@acme.example", "frontdesk@acme.example", "test@test.com", "noreply7@acme.example", "club@acme.example", "club@acme.example"}
	for i := range 10 {
		mails = append(mails, fmt.Sprintf("p%d@acme.example", i))
	}
	mail := mails[d.roll.IntN(len(mails))]
	cookies := []string{"kiosk", "tablet", "c-1", "c-2", "c-3", "c-4"}
	cookie := cookies[d.roll.IntN(len(cookies))]
	switch d.roll.IntN(10) {
	case 0:
		a, b := contact(), contact()
		if a == b {
			return d.anything()
		}
		word := []string{"contact.merged", "contact.unmerged"}[d.roll.IntN(2)]
		return "/v1/ingest/crm", written(`{"event":%s,"occurred_at":%s,"contact":{"id":%s,"merged_ids":[%s]}}`, word, at, a, b)
	case 1:
		word := []string{"block", "allow"}[d.roll.IntN(2)]
		return "/v1/identity/" + word, written(`{"identifiers":[%s,%s],"reason":"a test"}`, "contact:"+contact(), "email:"+mail)
	case 2:
		return "/v1/ingest/crm", written(`{"event":%s,"occurred_at":%s,"contact":{"id":%s}}`, []string{"contact.deleted", "contact.restored"}[d.roll.IntN(2)], at, contact())
	case 3, 4:
		return "/v1/ingest/pixel", written(`{"events":[{"event":"page_view","anonymous_id":%s,"url":"https://acme.example/?gclid=g1","occurred_at":%s,"email":%s}]}`, cookie, at, mail)
	case 5:
		return "/v1/events", written(`{"event":"form_submitted","source":"website","occurred_at":%s,"user_data":{"email":%s,"anonymous_id":%s}}`, at, mail, cookie)
	}
	return "/v1/events", written(`{"event":"lead_stage_changed","source":"hubspot","occurred_at":%s,"user_data":{"email":%s},"custom_data":{"hubspot_contact_id":%s,"hubspot_lifecycle_stage":"marketingqualifiedlead"}}`, at, mail, contact())
}
