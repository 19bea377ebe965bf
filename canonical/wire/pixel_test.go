package wire

import (
	"fmt"
	"testing"
	"time"

	"tributary/canonical"
)

// What t.js adds to an event: the times of clicks, and its own clock.
func TestThePagesClock(t *testing.T) {
	at := time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)
	ms := func(t time.Time) int64 { return t.UnixMilli() }
	for name, c := range map[string]struct {
		off   time.Duration // of the visitor's clock
		after time.Duration // from the event to its sending
		want  time.Time
	}{
		"a good clock":             {0, 0, at},
		"a good clock, sent later": {0, time.Hour, at.Add(-time.Hour)},
		"a little off":             {time.Minute, time.Hour, at.Add(time.Minute - time.Hour)},
		"a year ahead":             {365 * 24 * time.Hour, time.Hour, at.Add(-time.Hour)},
		"thirty years behind":      {-30 * 365 * 24 * time.Hour, time.Hour, at.Add(-time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			now := at.Add(c.off)
			occurred := now.Add(-c.after)
			click := occurred.Add(-48 * time.Hour)
			body := fmt.Sprintf(`{"event":"form_submitted","anonymous_id":"a-77","occurred_at":%d,"sent_at":%d,"clicks":{"gclid":{"id":"G-1","at":%d},"ttclid":{"id":"T-1"},"dclid":{"id":"x","at":1}}}`, ms(occurred), ms(now), ms(click))
			r, problem := Read(canonical.Receipt{Way: canonical.WayPixel, Browser: true, ReceivedAt: at, Body: []byte(body)}, Settings{})
			if problem != nil || !r.OccurredAt.Equal(c.want) {
				t.Fatalf("%v, happened %v, want %v", problem, r.OccurredAt, c.want)
			}
			got := map[canonical.Scheme]time.Time{}
			for _, k := range r.Touch.Clicks {
				got[k.Scheme] = k.At
			}
			if want := c.want.Add(-48 * time.Hour); len(got) != 2 || !got[canonical.GCLID].Equal(want) || !got[canonical.TTCLID].Equal(c.want) {
				t.Errorf("clicks %v, want one of %v and one of the event's time", got, want)
			}
			if r.Touch.Kind != "form" || r.Properties["sent_at"] != nil || r.Properties["clicks"] != nil {
				t.Errorf("%+v %v", r.Touch, r.Properties)
			}
		})
	}
}

// A time of sending before the event is no clock.
func TestNothingIsSentBeforeItHappened(t *testing.T) {
	for _, sent := range []string{"0", `"0001-01-01T00:00:00Z"`, "1776900000000"} {
		r := read(t, canonical.WayPixel, `{"anonymous_id":"a","occurred_at":1776942000000,"sent_at":`+sent+`}`)
		if !r.OccurredAt.Equal(time.UnixMilli(1776942000000)) {
			t.Errorf("sent %s, happened %v", sent, r.OccurredAt)
		}
	}
}

// A click that the page remembers makes no ad click of a later view.
func TestARememberedClickIsNoNewOne(t *testing.T) {
	r, problem := Read(canonical.Receipt{Way: canonical.WayPixel, ReceivedAt: time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC),
		Body: []byte(`{"anonymous_id":"a","url":"https://acme.example/b","clicks":{"gclid":{"id":"G-1","at":1776852000000}}}`)}, Settings{})
	if problem != nil || r.Touch.Kind != "page_view" || len(r.Touch.Clicks) != 1 {
		t.Errorf("%v %+v", problem, r.Touch)
	}
}

// What the front says of a request beside its body.
func TestWhatTheRequestSays(t *testing.T) {
	read := func(body string, s Settings, context ...string) (canonical.Report, *Problem) {
		m := map[string]string{}
		for i := 0; i < len(context); i += 2 {
			m[context[i]] = context[i+1]
		}
		return Read(canonical.Receipt{Way: canonical.WayPixel, ReceivedAt: time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC), Body: []byte(body), Context: m}, s)
	}
	if r, p := read(`{}`, Settings{}, "cookie", "c-1"); p != nil || len(r.Identifiers) != 1 || r.Identifiers[0] != (canonical.Identifier{Scheme: canonical.Anonymous, Value: "c-1"}) {
		t.Errorf("a cookie: %v %v", r.Identifiers, p)
	}
	if r, p := read(`{"anonymous_id":"a-1"}`, Settings{}, "cookie", "c-1"); p != nil || len(r.Identifiers) != 1 || r.Identifiers[0].Value != "a-1" {
		t.Errorf("an id of its own: %v %v", r.Identifiers, p)
	}
	if r, p := read(`{"anonymous_id":"a","consent":{"ad_storage":true,"ad_user_data":true}}`, Settings{}, "opt_out", "gpc"); p != nil || !r.Consent.DeniesAds() {
		t.Errorf("the browser says no: %+v %v", r.Consent, p)
	}
	if r, p := read(`{"anonymous_id":"a","ad_storage":"granted","ad_user_data":"denied"}`, Settings{}); p != nil || !*r.Consent.AdStorage || *r.Consent.AdUserData {
		t.Errorf("consent of a query: %+v %v", r.Consent, p)
	}
	if _, p := read(`{"anonymous_id":"a"}`, Settings{}, "bot", "crawler"); p == nil || p.Code != CodeBot {
		t.Errorf("a crawler: %v", p)
	}
	if _, p := read(`{"anonymous_id":"a"}`, Settings{KeepBots: true}, "bot", "crawler"); p != nil {
		t.Errorf("a crawler that is kept: %v", p)
	}
}
