package ingest

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
)

// rated is a world whose keys and source have small rates.
func rated(t testing.TB) *world {
	small := Rate{PerSecond: 2, Burst: 3}
	return newWorld(t, func(o *Options) {
		keys := testKeys()
		for _, name := range []string{"k-ingest", "k-browser", "k-read"} {
			k := keys[name]
			k.Hash, k.Rate = "hash of "+name, small
			keys[name] = k
		}
		o.Keys = keys
		o.Sources["hub"] = Source{Kind: KindHubSpot, Secret: func() string { return clientSecret }, Rate: small}
		o.Sources["tool"] = Source{Kind: KindHook, Proof: Proof{Scheme: ProofBearer, Secret: func() string { return "tool-secret" }}, Rate: small}
		o.Limits.AddressRate = Unlimited
		o.Now = time.Now
	})
}

// Every way in holds to the rate of its caller: what is over it is answered 429 with the
// seconds to wait, keeps nothing, and is counted; after that time it goes on.
func TestEveryWayInHasARate(t *testing.T) {
	type way struct {
		method, path, body string
		headers            []string
		of                 string
	}
	ways := map[string]way{
		"crm":       {"POST", "/v1/ingest/crm", benchEvent, bearer("k-ingest"), limitedKey},
		"events":    {"POST", "/v1/events", "[" + benchEvent + "]", bearer("k-ingest"), limitedKey},
		"meta":      {"POST", "/v25.0/1/events", `{"data":[` + strings.Replace(metaLead, "1776942259", "946684800", 1) + `],"access_token":"k-ingest"}`, nil, limitedKey},
		"pixel":     {"POST", "/v1/ingest/pixel?key=k-browser", `{"event":"page_view"}`, nil, limitedKey},
		"pixel.gif": {"GET", "/v1/pixel.gif?key=k-browser", "", nil, limitedKey},
		"hook":      {"POST", "/v1/ingest/hook/tool", `{"a":1}`, bearer("tool-secret"), limitedSource},
		"dry run":   {"POST", "/v1/ingest/hook/tool?dry_run=true", `{"a":1}`, bearer("tool-secret"), limitedSource},
		"free":      {"POST", "/v1/ingest/hubspot/free", "[{}]", bearer("k-ingest"), limitedKey},
		"segment":   {"POST", "/v1/track", `{"event":"E","userId":"u"}`, []string{"Authorization", basic("k-ingest")}, limitedKey},
		"workflow":  {"POST", "/v1/ingest/hubspot/free/workflow", `{"contact_id":"1"}`, bearer("k-ingest"), limitedKey},
		"read":      {"GET", "/v1/balances", "", bearer("k-read"), limitedKey},
	}
	for name, c := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := rated(t)
				kept := 0
				for i := range 3 {
					if rec := w.send(c.method, c.path, c.body, c.headers...); rec.Code == 429 {
						t.Fatalf("request %d of a burst of 3: %d %s", i+1, rec.Code, rec.Body)
					}
					kept += len(w.log.take())
				}
				rec := w.send(c.method, c.path, c.body, c.headers...)
				wait := "1"
				if name == "workflow" { // reads it in milliseconds
					wait = ""
				}
				if rec.Code != 429 || rec.Header().Get("Retry-After") != wait || len(w.log.take()) != 0 {
					t.Fatalf("over the rate: %d, Retry-After %q, %s", rec.Code, rec.Header().Get("Retry-After"), rec.Body)
				}
				if name == "meta" {
					var a struct {
						Error struct {
							Code      int
							Transient bool   `json:"is_transient"`
							Title     string `json:"error_user_title"`
						}
					}
					if json.Unmarshal(rec.Body.Bytes(), &a) != nil || a.Error.Code != 4 || !a.Error.Transient || a.Error.Title != "rate_limited" {
						t.Errorf("Meta's error: %s", rec.Body)
					}
				} else if e := w.answer(rec).Error; e == nil || e.Code != CodeRate {
					t.Errorf("answer %s", rec.Body)
				}
				metrics := w.send("GET", "/metrics", "").Body.String()
				if want := fmt.Sprintf("tributary_http_rate_limited_total{of=%q} 1\n", c.of); !strings.Contains(metrics, want) {
					t.Errorf("metrics lack %s", want)
				}
				time.Sleep(time.Second) // two more
				for range 2 {
					if rec := w.send(c.method, c.path, c.body, c.headers...); rec.Code == 429 {
						t.Errorf("after the time to wait: %d %s", rec.Code, rec.Body)
					}
				}
				if rec := w.send(c.method, c.path, c.body, c.headers...); rec.Code != 429 {
					t.Errorf("a third: %d", rec.Code)
				}
				if kept == 0 && name != "read" && name != "dry run" {
					t.Error("nothing was kept within the rate")
				}
			})
		})
	}
}

// What a stranger sends to a signed source takes nothing of what its sender may.
func TestOnlyWhoIsProvenIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := rated(t)
		for range 20 {
			if rec := w.send("POST", "/v1/ingest/hubspot/hub", "[{}]", "X-HubSpot-Signature", "00"); rec.Code != 401 {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			if rec := w.send("POST", "/v1/ingest/hook/tool", "{}", bearer("guess")...); rec.Code != 401 {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			if rec := w.send("POST", "/v1/events", "{}", bearer("guess")...); rec.Code != 401 {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
		}
		if rec := w.send("POST", "/v1/ingest/hook/tool", "{}", bearer("tool-secret")...); rec.Code != 202 {
			t.Errorf("the true sender: %d %s", rec.Code, rec.Body)
		}
	})
}

func TestRetryAfterTellsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) {
			o.Keys = fakeKeys{"slow": {Hash: "h", Name: "slow one", Scopes: []Scope{ScopeIngest}, Rate: Rate{PerSecond: 0.1, Burst: 1}}}
		})
		w.send("POST", "/v1/events", `{"event":"x"}`, bearer("slow")...)
		time.Sleep(1500 * time.Millisecond)
		for range 50 {
			if rec := w.send("POST", "/v1/events", `{"event":"x"}`, bearer("slow")...); rec.Code != 429 || rec.Header().Get("Retry-After") != "9" {
				t.Fatalf("%d, Retry-After %q: refused requests move the time", rec.Code, rec.Header().Get("Retry-After"))
			}
		}
		if n := strings.Count(w.out.String(), `"key":"slow one","rate":"6/m"`); n != 1 {
			t.Errorf("%d lines tell of the key:\n%s", n, w.out)
		}
		time.Sleep(9 * time.Second)
		if rec := w.send("POST", "/v1/events", `{"event":"x"}`, bearer("slow")...); rec.Code != 202 {
			t.Errorf("after Retry-After: %d", rec.Code)
		}
	})
}

// HubSpot's workflows read Retry-After in milliseconds, so they are told none.
func TestWorkflowsAreToldNoTime(t *testing.T) {
	for route := range silent {
		f := &front{Options: Options{Logger: slog.New(slog.DiscardHandler)}, metrics: newMetrics(prometheus.NewRegistry(), &load{})}
		e := gin.New()
		e.POST("/", f.limited(route, nil)) // there is no room for anybody
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, httptest.NewRequest("POST", "/", nil))
		if rec.Code != 429 || rec.Header().Get("Retry-After") != "" {
			t.Errorf("%s: %d, Retry-After %q", route, rec.Code, rec.Header().Get("Retry-After"))
		}
	}
}

// One visitor who floods is refused, and others with the same key are not.
func TestOneVisitorDoesNotExhaustAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) {
			o.Keys = fakeKeys{"k-browser": {Hash: "b", Scopes: []Scope{ScopeBrowser}, Rate: Rate{PerSecond: 1000, Burst: 1000}}}
			o.Limits.AddressRate = Rate{PerSecond: 1, Burst: 5}
			o.TrustedProxies = []string{"192.0.2.1"} // what the recorder says
		})
		from := func(address string) int {
			return w.send("GET", "/v1/pixel.gif?key=k-browser", "", "X-Forwarded-For", address).Code
		}
		refused := 0
		for range 5000 {
			if from("203.0.113.7") == 429 {
				refused++
			}
		}
		if refused != 4995 {
			t.Errorf("%d of 5000 requests of one address were refused, want 4995", refused)
		}
		for i := range 200 {
			if code := from(fmt.Sprintf("198.51.100.%d", i)); code != 200 {
				t.Errorf("another visitor: %d", code)
			}
		}
		for i := range 10 { // one network of IPv6 is one visitor
			if code := from(fmt.Sprintf("2001:db8:1:2::%d", i)); (code == 200) != (i < 5) {
				t.Errorf("address %d of a network: %d", i, code)
			}
		}
		if from("2001:db8:1:3::1") != 200 {
			t.Error("another network is refused")
		}
		time.Sleep(5 * time.Second)
		if from("203.0.113.7") != 200 {
			t.Error("the first is not let in again")
		}
	})
}

// A proxy that the configuration does not name would be one visitor: it is not held to that rate,
// and the log says once what to do.
func TestAHiddenProxyIsNoVisitor(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Keys = fakeKeys{"k-browser": {Hash: "b", Scopes: []Scope{ScopeBrowser}}}
		o.Limits.AddressRate = Rate{PerSecond: 1e-6, Burst: 1}
	})
	from := func(peer, forwarded string) int {
		req := httptest.NewRequest("GET", "/v1/pixel.gif?key=k-browser", nil)
		req.RemoteAddr = peer
		if forwarded != "" {
			req.Header.Set("X-Forwarded-For", forwarded)
		}
		rec := httptest.NewRecorder()
		w.http.ServeHTTP(rec, req)
		return rec.Code
	}
	for range 5 {
		if code := from("10.0.0.2:4000", "203.0.113.7"); code != 200 {
			t.Errorf("behind a proxy: %d", code)
		}
	}
	if n := strings.Count(w.out.String(), "http.trusted_proxies does not name"); n != 1 {
		t.Errorf("told %d times", n)
	}
	for i, want := range []int{200, 429} {
		if code := from("203.0.113.8:4000", fmt.Sprint("198.51.100.", i)); code != want {
			t.Errorf("a visitor who makes up a header, request %d: %d, want %d", i+1, code, want)
		}
	}
}

// Whatever addresses come, the table is as large as it was.
func TestAddressesAreBounded(t *testing.T) {
	r := newRates(Limits{}.withDefaults())
	var b [16]byte
	for i := range 300_000 {
		b[0], b[4], b[5], b[6], b[7] = 0x20, byte(i>>16), byte(i>>8), byte(i), 1
		if r.visitor("k", netip.AddrFrom16(b)) == nil {
			t.Fatal("no allowance")
		}
	}
	used := 0
	for i := range r.cells {
		if r.cells[i].Load() != nil {
			used++
		}
	}
	if len(r.cells) != cellCount || used < cellCount/2 {
		t.Errorf("%d cells, %d used", len(r.cells), used)
	}
}

// Whoever sends bodies without a key, slowly and as many as there is room for, takes nothing from
// those who show their key first.
func TestStrangersLeaveRoomForKeys(t *testing.T) {
	for name, c := range map[string]struct {
		limits Limits
		sends  string // before it stands still
	}{
		"requests": {Limits{MaxInFlight: 8}, "{"},
		"bytes":    {Limits{InFlightBytes: 8 << 10}, `{"batch":[` + strings.Repeat(" ", 1<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Limits = c.limits })
			var done sync.WaitGroup
			var standing []*io.PipeWriter
			refused := 0
			for refused == 0 && len(standing) < 100 {
				body, more := io.Pipe()
				over := make(chan int, 1)
				done.Go(func() {
					rec := httptest.NewRecorder()
					w.http.ServeHTTP(rec, httptest.NewRequest("POST", "/v1/batch", body))
					body.Close()
					over <- rec.Code
				})
				if _, err := more.Write([]byte(c.sends)); err == nil {
					_, err = more.Write([]byte(" ")) // taken: it goes on reading
					if err == nil {
						standing = append(standing, more)
						continue
					}
				}
				refused = <-over
			}
			if refused != 429 {
				t.Errorf("%d strangers at a time, then %d", len(standing), refused)
			}
			if rec := w.send("POST", "/v1/events", `{"event":"x","text":"`+strings.Repeat("x", 2<<10)+`"}`, bearer("k-ingest")...); rec.Code != 202 {
				t.Errorf("with a key beside %d strangers: %d %s", len(standing), rec.Code, rec.Body)
			}
			for _, more := range standing {
				more.Close()
			}
			done.Wait()
			for range 20 { // all of it is given back
				if rec := w.send("POST", "/v1/batch", `{"batch":[]}`); rec.Code != 401 {
					t.Fatalf("later: %d %s", rec.Code, rec.Body)
				}
			}
		})
	}
}

func TestARateIsChanged(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	secret, _, err := s.Create(NewKey{Name: "a", Scopes: []Scope{ScopeIngest}, Rate: Rate{PerSecond: 1e-6, Burst: 1}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) { o.Keys = s })
	codes := func() (out []int) {
		for range 2 {
			out = append(out, w.send("POST", "/v1/events", `{"event":"x"}`, bearer(secret)...).Code)
		}
		return out
	}
	if got := fmt.Sprint(codes()); got != "[202 429]" {
		t.Errorf("before: %s", got)
	}
	if err := s.SetRate("a", Rate{PerSecond: 100}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(codes()); got != "[202 202]" {
		t.Errorf("with another rate: %s", got)
	}
	if err := s.SetRate("nobody", Rate{}); err == nil {
		t.Error("a key that is not there was changed")
	}
	if again, err := OpenKeys(dir); err != nil || mustFind(t, again, secret).Rate.PerSecond != 100 {
		t.Errorf("the rate is not kept: %v", err)
	}
}

func mustFind(t *testing.T, s *KeyStore, secret string) Key {
	t.Helper()
	k, ok := s.Find(secret)
	if !ok {
		t.Fatal("the key is gone")
	}
	return k
}

func BenchmarkAllowed(b *testing.B) {
	f := &front{rates: newRates(Limits{Rate: Rate{PerSecond: 1e6, Burst: 1 << 30}, AddressRate: Rate{PerSecond: 1e6, Burst: 1 << 30}}.withDefaults())}
	k := Key{Hash: strings.Repeat("ab", 32)}
	b.Run("key", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if f.keyAllowed(k) != nil {
				b.Fatal("refused")
			}
		}
	})
	b.Run("visitor", func(b *testing.B) {
		b.ReportAllocs()
		req := &http.Request{Header: http.Header{}}
		for b.Loop() {
			if f.visitorAllowed(req, "203.0.113.7", k) != nil {
				b.Fatal("refused")
			}
		}
	})
}
