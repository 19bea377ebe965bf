package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"gopkg.in/yaml.v3"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/delivery"
	"tributary/destinations/linkedin"
	"tributary/destinations/meta"
	"tributary/destinations/simulator"
)

// vendor makes a destination of a kind that sends to the simulator without a network.
func vendor(t *testing.T, sim *simulator.Simulator, kind destinations.Kind, settings, token string) func(*delivery.Lane) {
	t.Helper()
	var section yaml.Node
	if err := yaml.Unmarshal([]byte(settings), &section); err != nil {
		t.Fatal(err)
	}
	dest, problems := kind.New(section.Content[0])
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	client := &http.Client{Transport: sim.Transport()}
	return func(l *delivery.Lane) {
		if l.Name != kind.Name {
			return
		}
		l.Destination = dest
		l.Routes = func(*canonical.Event) (canonical.Route, bool) {
			return canonical.Route{Event: "Lead", Rule: "mql", Value: "amount"}, true
		}
		l.Send = func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
			r, err := http.NewRequestWithContext(ctx, q.Method, "http://vendor.example.test"+q.Path+"?"+q.Query.Encode(), bytes.NewReader(q.Body))
			if err != nil {
				return destinations.Response{}, err
			}
			for name, values := range q.Header {
				r.Header[name] = values
			}
			kind.Authorize(r, q.Body, token)
			a, err := client.Do(r)
			if err != nil {
				return destinations.Response{}, err
			}
			defer a.Body.Close()
			b, err := io.ReadAll(a.Body)
			return destinations.Response{Status: a.StatusCode, Header: a.Header, Body: b}, err
		}
	}
}

// forget deletes one row of the ledger, as no process does.
func (c *counter) forget(dest string, e canonical.Event, part string) {
	c.t.Helper()
	key := []byte("ledger\x00p\x00" + dest + "\x00" + e.Key().String() + "\x00" + part)
	if _, closer, err := c.db.Get(key); err != nil {
		c.t.Fatalf("the ledger has no row %q: %v", key, err)
	} else {
		closer.Close()
	}
	if err := c.db.Delete(key, pebble.NoSync); err != nil {
		c.t.Fatal(err)
	}
}

// Thirty days of events, delivered to the vendors as they play them: replayed, nothing
// comes there again; with one row of the ledger gone, exactly that one does.
func TestThirtyDaysReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)))
		sim, err := simulator.New(simulator.Options{
			Meta:     simulator.MetaAccount{DatasetIDs: []string{"111222333"}, Token: "meta-token"},
			LinkedIn: simulator.LinkedInAccount{Token: "linkedin-token"}, Hang: time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		l, shops := newLog(t), map[string]*shop{"meta": newShop(), "linkedin": newShop()}
		vendors := []func(*delivery.Lane){
			vendor(t, sim, meta.Kind(), `{dataset_id: "111222333", linger: 0s}`, "meta-token"),
			vendor(t, sim, linkedin.Kind(), `{rules: {mql: 102}, linger: 0s}`, "linkedin-token"),
		}
		c := newCounter(t, l, shops, vendors...)
		defer func() { c.stop() }()
		var last canonical.Event
		const days, each = 30, 20
		for day := range days {
			var events []canonical.Event
			for i := range each {
				address := fmt.Sprintf("p%d-%d@example.com", day, i)
				e := story(fmt.Sprintf("e%d-%d", day, i), "qualified_lead", 2, canonical.NodeID(1+day*each+i), time.Minute)
				amount := canonical.Money(100_000_000)
				e.Revenue = &canonical.Revenue{Amount: &amount, Currency: "EUR"}
				e.Contact.Email = address
				e.Identifiers = []canonical.Identifier{{Scheme: canonical.Email, Value: canonical.EmailHash(address)}}
				events = append(events, e)
				last = e
			}
			c.give(events...)
			settle()
			c.stop() // a day passes while nothing runs, and local state is gone
			time.Sleep(24 * time.Hour)
			c = newCounter(t, l, shops, vendors...)
		}
		count := func(v simulator.Vendor) int { return len(sim.Received(v)) }
		before := map[simulator.Vendor]int{simulator.Meta: count(simulator.Meta), simulator.LinkedIn: count(simulator.LinkedIn)}
		if before[simulator.Meta] != days*each || before[simulator.LinkedIn] != days*each {
			t.Fatalf("of %d events the vendors have %v; the last is %v, %v", days*each, before, c.states("meta", last), c.states("linkedin", last))
		}
		c.jobs.PerSecond = 10_000
		j := c.ask(canonical.ReplayJob{Kind: "replay", Run: true})
		if j.State != canonical.JobDone || j.Events != days*each || j.Orders != 0 || j.Asked["meta"].Classes["already_there"] != days*each {
			t.Errorf("%s %s: %d events, %d orders, %v", j.State, j.Note, j.Events, j.Orders, j.Asked)
		}
		for v, n := range before {
			if now := count(v); now != n {
				t.Errorf("%s got %d extra", v, now-n)
			}
		}
		for dest, v := range map[string]simulator.Vendor{"meta": simulator.Meta, "linkedin": simulator.LinkedIn} {
			states := c.states(dest, last)
			for part := range states {
				c.forget(dest, last, part)
			}
			j := c.ask(canonical.ReplayJob{Kind: "replay", Run: true})
			if now := count(v); now != before[v]+1 || j.Orders != 1 || j.Foreseen[dest].Classes["newly_eligible"] != 1 || j.Outcome[dest]["delivered"] != 1 {
				t.Errorf("with one row of %s gone %s got %d extra; %v, %v", dest, v, now-before[v], j.Foreseen, j.Outcome)
			}
			before[v] = count(v)
		}
	})
}
