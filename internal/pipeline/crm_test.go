package pipeline

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/destinations/simulator"
	"tributary/internal/eventlog"
	"tributary/internal/hubspotcrm"
)

// handled answers requests without a connection, so that time may be virtual.
type handled struct{ http.Handler }

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// What the vendor says about waiting is heeded, and a token that is refused names itself.
func TestFetchDoesAsHubSpotSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := simulator.New(simulator.Options{HubSpot: simulator.HubSpotAccount{Token: "pat-test"}})
		if err != nil {
			t.Fatal(err)
		}
		l := newLog(t)
		f := newFetch(l, &hubspotcrm.Client{BaseURL: "http://hubspot.test", Token: func(context.Context) (string, error) { return "pat-test", nil },
			HTTP: &http.Client{Transport: handled{s.Handler()}}})
		time.Sleep(24 * time.Hour)
		stop := run(t, f.Run)
		defer stop()
		asked := func() int64 { return s.Stats(simulator.HubSpot).Requests }
		change := func(id int64, stage string) {
			t.Helper()
			post(t, l, webhook(fmt.Sprint(stage, id), int(id), stage, time.Now()))
			settle()
		}
		done := func() int {
			return len(read[canonical.FateRecord](t, l, topics.Events, eventlog.TypeFate))
		}
		id, err := s.Make(simulator.Made{Type: "contact", Properties: map[string]string{"email": "ada@example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		fail := func(f simulator.Fault) {
			t.Helper()
			f.Vendor = simulator.HubSpot
			if err := s.Fail(f); err != nil {
				t.Fatal(err)
			}
		}

		fail(simulator.Fault{Mode: "429", Count: 1, RetryAfter: 40})
		change(id, "lead")
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if asked() != 1 || done() != 0 || !strings.Contains(fmt.Sprint(f.Health.Degraded()), "HubSpot answered 429") {
			t.Errorf("%d requests, %d fates within what HubSpot asked to wait; degraded %v", asked(), done(), f.Health.Degraded())
		}
		time.Sleep(5 * time.Second)
		settle()
		if done() != 1 || len(f.Health.Degraded()) != 0 {
			t.Errorf("%d fates, degraded %v after the wait", done(), f.Health.Degraded())
		}

		fail(simulator.Fault{Mode: "401"})
		change(id, "opportunity")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if done() != 1 || !strings.Contains(fmt.Sprint(f.Health.Degraded()), "token or its scopes must be mended") {
			t.Errorf("%d fates, degraded %v with a token that is refused", done(), f.Health.Degraded())
		}
		s.Heal(simulator.HubSpot)
		time.Sleep(time.Minute)
		settle()
		if done() != 2 || len(f.Health.Degraded()) != 0 {
			t.Errorf("%d fates, degraded %v with a good token", done(), f.Health.Degraded())
		}

		// A single object that the account refuses, with the other one answered for.
		fail(simulator.Fault{Mode: "400", Path: fmt.Sprint("/contacts/", 7)})
		change(7, "lead")
		fates := read[canonical.FateRecord](t, l, topics.Events, eventlog.TypeFate)
		if len(fates) != 3 {
			t.Fatalf("fates %+v", fates)
		}
		for _, fate := range fates {
			if bad := fate.ReceiptID == "lead7"; bad != (fate.Reason == "unreadable") {
				t.Errorf("fate %+v", fate)
			}
		}
	})
}
