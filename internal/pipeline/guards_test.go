package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
)

// A member is a router as far as its guards go.
type member struct {
	*Guards
	stop func()
}

func newMember(t *testing.T, l eventlog.Log, name string, want canonical.Guards) *member {
	t.Helper()
	view, err := identity.Open(memstore.New())
	if err != nil {
		t.Fatal(err)
	}
	m := &member{Guards: &Guards{Log: l, Topics: topics, View: view, Want: want, Owner: name, Health: &Health{}, Logger: slog.New(slog.DiscardHandler)}}
	m.stop = run(t, m.Run, func(ctx context.Context) error { return FollowIdentity(ctx, l, topics.Identity, view) })
	return m
}

// in says whether a member's own guards are in force, as it says itself.
func (m *member) in(t *testing.T) bool {
	t.Helper()
	_, hash := m.View.Guards()
	troubled := len(m.Health.Degraded()) > 0
	if (hash == m.Want.Hash()) == troubled {
		t.Errorf("%s: its guards %v in force, and it says %v", m.Owner, map[bool]string{true: "are", false: "are not"}[hash == m.Want.Hash()], m.Health.Degraded())
	}
	return !troubled
}

// Each router states its guards once for a start, and only where others are in force. With different ones the last
// holds, the others say so and keep quiet.
func TestRoutersStateTheirGuardsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		stated := func(want int) {
			t.Helper()
			settle()
			if got := len(read[canonical.Fact](t, l, topics.Identity, eventlog.TypeFact)); got != want {
				t.Fatalf("%d statements; want %d", got, want)
			}
		}
		plain := newMember(t, l, "plain", canonical.Guards{})
		defer plain.stop()
		stated(0) // the defaults are in force
		five := canonical.Guards{Crowd: 5, NeverLink: []canonical.Identifier{{Scheme: canonical.Anonymous, Value: "kiosk"}}}
		a := newMember(t, l, "a", five)
		stated(1)
		b := newMember(t, l, "b", five)
		defer b.stop()
		stated(1) // it is what the log says
		if plain.in(t) || !a.in(t) || !b.in(t) {
			t.Error("others than the last stated are in force")
		}
		c := newMember(t, l, "c", canonical.Guards{Crowd: 5, Lists: canonical.NewLists([]string{"*@test.com"}, nil, nil).Hash()})
		defer c.stop()
		stated(2)
		for range 3 {
			time.Sleep(time.Hour) // nobody takes turns
			stated(2)
		}
		if plain.in(t) || a.in(t) || b.in(t) || !c.in(t) {
			t.Error("others than the last stated are in force")
		}
		why := a.Health.Degraded()
		if len(why) != 1 || !strings.Contains(why[0], a.Want.Hash()[:12]) || !strings.Contains(why[0], "give every router the same section identity") {
			t.Errorf("it says %q", why)
		}
		a.stop() // it begins again, with what it had
		again := newMember(t, l, "a", five)
		defer again.stop()
		stated(3)
		if !again.in(t) || !b.in(t) || c.in(t) {
			t.Error("others than the last stated are in force")
		}
		for i, f := range read[canonical.Fact](t, l, topics.Identity, eventlog.TypeFact) {
			if f.Kind != canonical.FactGuards || f.By != "configuration of "+[]string{"a", "c", "a"}[i] {
				t.Errorf("statement %d is %+v", i, f)
			}
		}
	})
}

// Three routers that start at once with one configuration are of one mind, however many of them had their say.
func TestRoutersThatStartAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		var members []*member
		for i := range 3 {
			members = append(members, newMember(t, l, fmt.Sprint("m", i), canonical.Guards{Limit: 7}))
			defer members[i].stop()
		}
		settle()
		for _, m := range members {
			if !m.in(t) || m.View.Digest() != members[0].View.Digest() {
				t.Errorf("%s differs", m.Owner)
			}
		}
	})
}

// A start with other guards takes apart whom they separate, in rows of the statement's offset; without them it is as before.
func TestOtherGuardsAtARestartWriteOverrides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		var links []eventlog.Record
		mail := canonical.Identifier{Scheme: canonical.Email, Value: canonical.EmailHash("desk@acme.example")}
		for i := range 4 {
			r, err := encode(eventlog.TypeFact, "", canonical.Fact{Kind: canonical.FactLink, At: time.Date(2026, 5, 1+i, 0, 0, 0, 0, time.UTC),
				Nodes: []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: fmt.Sprint(i)}, mail}})
			if err != nil {
				t.Fatal(err)
			}
			links = append(links, r)
		}
		if _, err := l.Append(t.Context(), topics.Identity, links...); err != nil {
			t.Fatal(err)
		}
		persons := func(rows []identity.Override) int {
			root := map[canonical.NodeID]canonical.NodeID{}
			for _, r := range rows {
				root[r.Node] = r.Root
			}
			var roots []canonical.NodeID
			for i := range 4 {
				n := canonical.Identifier{Scheme: canonical.HubSpotContact, Value: fmt.Sprint(i)}.Node()
				if r, ok := root[n]; ok {
					n = r
				}
				roots = append(roots, n)
			}
			slices.Sort(roots)
			return len(slices.Compact(roots))
		}
		for i, c := range []struct {
			want    canonical.Guards
			persons int
		}{
			{canonical.Guards{}, 1},
			{canonical.Guards{Crowd: 3}, 4},
			{canonical.Guards{}, 1},
			{canonical.Guards{NeverLink: []canonical.Identifier{mail}}, 4},
		} {
			m := newMember(t, l, "m", c.want)
			settle()
			end := m.View.Offset()
			if end != int64(3+i) {
				t.Fatalf("start %d: the log ends at %d", i, end)
			}
			if got := persons(m.View.Overrides(-1, end)); got != c.persons || !m.in(t) {
				t.Errorf("start %d: %d persons by the overrides; want %d", i, got, c.persons)
			}
			if rows := m.View.Overrides(end-1, end); len(rows) == 0 || slices.ContainsFunc(rows, func(o identity.Override) bool { return o.Offset != end }) {
				t.Errorf("start %d: the rows of its statement are %v", i, rows)
			}
			m.stop()
		}
	})
}

// What lists kept from the facts is counted by reason, and a comparison of mappings knows the lists too.
func TestListsReachTheReadingOfReceipts(t *testing.T) {
	m := mapped(t)
	settings := wire.Settings{Lists: canonical.NewLists([]string{"*@test.com"}, []string{"frontdesk"}, []string{"freebie.example"})}
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	view, err := identity.Open(memstore.New())
	if err != nil {
		t.Fatal(err)
	}
	for i, address := range []string{"jo@test.com", "frontdesk@acme.example", "kim@freebie.example", "lou@acme.example"} {
		rc := canonical.Receipt{ID: canonical.ReceiptID(fmt.Sprint("r", i)), Source: "crm", Way: canonical.WayCRM, ReceivedAt: time.Now(),
			Body: fmt.Appendf(nil, `{"event":"lifecycle_changed","changed_at":"2026-05-01T00:00:00Z","contact":{"id":"10%d","email":%q,"lifecycle_stage":"lead"}}`, i, address)}
		rd := Understand(rc, m, settings)
		if rd.Event == nil {
			t.Fatalf("%s: %s %s", address, rd.Reason, rd.Detail)
		}
		metrics.resolved(rd)
		j := Judge{Settings: func(string) wire.Settings { return settings }, People: view}
		judged := j.Judge(Past{Receipt: rc}, 0, m)
		if want := address == "kim@freebie.example"; (rd.Event.AccountNode == 0) != want || judged[0].Event.AccountNode != rd.Event.AccountNode {
			t.Errorf("%s has the account %v, and %v when mappings are compared", address, rd.Event.AccountNode, judged[0].Event.AccountNode)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var counted []string
	for _, f := range families {
		for _, c := range f.GetMetric() {
			if f.GetName() == "tributary_identity_links_withheld_total" {
				counted = append(counted, fmt.Sprint(c.GetLabel()[0].GetValue(), " ", c.GetCounter().GetValue()))
			}
		}
	}
	if got := strings.Join(counted, ", "); got != "never_link_patterns 1, shared_mailboxes 1" {
		t.Errorf("counted is %s", got)
	}
}
