package alert

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A hook plays a webhook in memory.
type hook struct {
	mu       sync.Mutex
	status   int
	hangs    bool
	got      []Message
	tries    []time.Time
	header   http.Header
	degraded []string
	trouble  error
	secret   string
	body     []byte
}

func (h *hook) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	h.tries = append(h.tries, time.Now())
	hangs := h.hangs
	h.mu.Unlock()
	if hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if h.status == 0 {
		return nil, errors.New("dial https://hooks.example.test/T000/secret-path: connection refused")
	}
	var m Message
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	h.header, h.body = r.Header, body
	if h.status/100 == 2 {
		h.got = append(h.got, m)
	}
	return &http.Response{StatusCode: h.status, Body: io.NopCloser(strings.NewReader("no_service"))}, nil
}

func (h *hook) set(list ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.degraded = list
}

func (h *hook) run(t *testing.T) *Teller {
	teller := &Teller{
		Degraded: func() []string { h.mu.Lock(); defer h.mu.Unlock(); return slices.Clone(h.degraded) },
		URL:      func() (string, error) { return "https://hooks.example.test/T000/secret-path", nil },
		Secret:   func() (string, error) { return h.secret, nil },
		Client:   &http.Client{Transport: h}, Instance: "a1", UserAgent: "tributary/test (a1)", Settle: 10 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
		Trouble: func(err error) {
			h.mu.Lock()
			h.trouble = err
			h.mu.Unlock()
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "hooks.")) {
				t.Errorf("the error tells the address: %v", err)
			}
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- teller.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return teller
}

const (
	halted = "destination meta: halted since 2026-11-21T10:00:00Z: unauthorized; mend it, then POST /v1/destinations/meta/resume"
	record = "record: the warehouse takes no blocks: no answer"
)

// told and the others wait until the teller rests.
func (h *hook) told() []Message   { return at(h, func() []Message { return slices.Clone(h.got) }) }
func (h *hook) troubled() error   { return at(h, func() error { return h.trouble }) }
func (h *hook) sent() http.Header { return at(h, func() http.Header { return h.header }) }
func (h *hook) bytes() []byte     { return at(h, func() []byte { return h.body }) }
func (h *hook) tried() int        { return at(h, func() int { return len(h.tries) }) }

func at[T any](h *hook, get func() T) T {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return get()
}

func TestAddedAndResolvedAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{status: 200}
		h.run(t)
		time.Sleep(time.Minute)
		if len(h.told()) != 0 {
			t.Fatalf("nothing changed, and %v was told", h.told())
		}
		h.set(halted)
		time.Sleep(9 * time.Second)
		h.set(halted, record) // the list comes to rest only now
		time.Sleep(9 * time.Second)
		if len(h.told()) != 0 {
			t.Fatalf("told before it came to rest: %v", h.told())
		}
		time.Sleep(3 * time.Second)
		h.set(record)
		time.Sleep(12 * time.Second)
		h.set()
		time.Sleep(time.Minute)
		var got []string
		for _, m := range h.told() {
			got = append(got, strings.Join(m.Added, "|")+" / "+strings.Join(m.Resolved, "|")+" / "+strings.Join(m.Degraded, "|"))
			if m.Instance != "a1" || m.At.IsZero() || m.Added == nil || m.Resolved == nil || m.Degraded == nil {
				t.Errorf("%+v", m)
			}
		}
		want := []string{halted + "|" + record + " /  / " + halted + "|" + record, " / " + halted + " / " + record, " / " + record + " / "}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if text := h.told()[0].Text; !strings.HasPrefix(text, "Tributary a1: 2 degraded\n• new: destination meta") {
			t.Errorf("text %q", text)
		}
		if text := h.told()[2].Text; text != "Tributary a1: all is well again\n• over: "+record {
			t.Errorf("text %q", text)
		}
		if h.sent().Get("User-Agent") != "tributary/test (a1)" || h.sent().Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", h.sent())
		}
	})
}

// What comes and goes, and what only counts on, is no news.
func TestNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{status: 200}
		h.run(t)
		for range 20 { // shorter than it must last
			h.set(record)
			time.Sleep(5 * time.Second)
			h.set()
			time.Sleep(5 * time.Second)
		}
		if len(h.told()) != 0 {
			t.Fatalf("%v was told", h.told())
		}
		h.set("destination hub: waiting: refused 3 requests in a row; the next is sent at 2026-11-21T10:00:00Z")
		time.Sleep(time.Minute)
		h.set("destination hub: waiting: refused 4 requests in a row; the next is sent at 2026-11-21T10:01:30Z")
		time.Sleep(time.Minute)
		if len(h.told()) != 1 {
			t.Errorf("%d messages about one trouble", len(h.told()))
		}
		// A list that never comes to rest is told after a minute.
		for i := range 40 {
			h.set(record, "stage "+string(rune('a'+i%26))+": stopped")
			time.Sleep(3 * time.Second)
		}
		if n := len(h.told()); n < 2 || n > 4 {
			t.Errorf("%d messages about a list that does not rest", n)
		}
	})
}

// One destination's trouble is not another's, though only a number in the name tells them apart.
func TestNumbersInNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{status: 200}
		h.run(t)
		const one, two = "destination hub-1: halted since 2026-11-21T10:00:00Z: unauthorized", "destination hub-2: halted since 2026-11-21T10:05:00Z: unauthorized"
		for i, c := range []struct{ list, added, resolved []string }{
			{[]string{one}, []string{one}, []string{}}, {[]string{one, two}, []string{two}, []string{}}, {[]string{two}, []string{}, []string{one}},
		} {
			h.set(c.list...)
			time.Sleep(time.Minute)
			told := h.told()
			if len(told) != i+1 || !slices.Equal(told[i].Added, c.added) || !slices.Equal(told[i].Resolved, c.resolved) {
				t.Fatalf("of %q was told %+v", c.list, told)
			}
		}
	})
}

func TestAHookThatDoesNotAnswer(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		hangs  bool
		words  string
	}{
		{"refuses", 404, false, "answers 404"}, {"is away", 0, false, "cannot be reached"}, {"is slow", 200, true, "did not answer"}, {"redirects", 302, false, "answers 302"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hook{status: c.status, hangs: c.hangs}
				h.run(t)
				h.set(halted)
				time.Sleep(time.Hour)
				if n := h.tried(); n < 10 || n > 80 {
					t.Errorf("%d tries in an hour", n)
				}
				if h.troubled() == nil || !strings.Contains(h.troubled().Error(), c.words) {
					t.Errorf("trouble %v", h.trouble)
				}
				h.set(record, "alerts: the webhook at alerts.url answers 404") // its own trouble is not told
				h.mu.Lock()
				h.status, h.hangs = 200, false
				h.mu.Unlock()
				time.Sleep(2 * backoffMax)
				if len(h.told()) != 1 || !slices.Equal(h.told()[0].Added, []string{record}) || len(h.told()[0].Resolved) != 0 || h.troubled() != nil {
					t.Errorf("%+v, trouble %v: what holds now is told, and nothing that was never told is over", h.told(), h.troubled())
				}
			})
		})
	}
}

func TestNoPersonalData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{status: 200}
		h.run(t)
		h.set("fetch: HubSpot answered: no contact ada@example.com " + strings.Repeat("a1", 32))
		time.Sleep(time.Minute)
		if len(h.told()) != 1 || strings.Contains(h.told()[0].Text, "ada") || strings.Contains(h.told()[0].Degraded[0], "a1a1") {
			t.Errorf("%+v", h.told())
		}
	})
}

// The signature is the webhook destination's: hex HMAC-SHA256 of the time and the body as sent.
func TestTheSignatureCoversTheBody(t *testing.T) {
	for secret, signed := range map[string]bool{"demo-secret": true, "": false} {
		synctest.Test(t, func(t *testing.T) {
			h := &hook{status: 200, secret: secret}
			h.run(t)
			h.set(record)
			time.Sleep(time.Minute)
			at, _, _ := strings.Cut(strings.TrimPrefix(h.sent().Get(SignatureHeader), "t="), ",")
			mac := hmac.New(sha256.New, []byte("demo-secret"))
			mac.Write([]byte(at + "."))
			mac.Write(h.bytes())
			want := "t=" + at + ",v1=" + hex.EncodeToString(mac.Sum(nil))
			if sent, err := strconv.ParseInt(at, 10, 64); signed && (err != nil || time.Since(time.Unix(sent, 0)) > time.Minute) {
				t.Errorf("the signature is of %q", at)
			}
			if !signed {
				want = ""
			}
			if got := h.sent().Get(SignatureHeader); got != want || len(h.bytes()) == 0 {
				t.Errorf("signature %q, want %q", got, want)
			}
		})
	}
}
