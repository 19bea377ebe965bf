package oauth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

func TestRefreshedAheadAndNotPerRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		s := b.source()
		for range 100 {
			want(t, s, "access-1")
		}
		if b.times() != 1 || b.lastForm.Get("client_id") != "client" || b.lastForm.Get("client_secret") != "client-secret" || b.lastAuth != "" {
			t.Errorf("asked %d times, last with %v", b.times(), b.lastForm)
		}
		time.Sleep(25*time.Minute - time.Second)
		want(t, s, "access-1")
		time.Sleep(time.Second) // five minutes before its end; the old one serves meanwhile
		want(t, s, "access-1")
		synctest.Wait()
		want(t, s, "access-2")
		if b.times() != 2 {
			t.Errorf("asked %d times", b.times())
		}
		time.Sleep(48 * time.Hour) // nobody asked for long: whoever does waits for a new one
		want(t, s, "access-3")
		b.set.Close()
	})
}

func TestOneRefreshForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.takes = 3 * time.Second
		s := b.source()
		if other := b.set.Source(b.grant()); other != s {
			t.Error("the same grant has two sources")
		}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { want(t, s, "access-1") })
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) { // it goes; the refresh goes on
			t.Errorf("a caller that cannot wait got %v", err)
		}
		all.Wait()
		if b.times() != 1 {
			t.Errorf("asked %d times", b.times())
		}
	})
}

func TestRestartGoesOnWithTheStoredToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.rotates = true
		s := b.source()
		want(t, s, "access-1")
		time.Sleep(time.Hour)
		want(t, s, "access-2")
		b.set.Close()

		s = b.source() // the configured refresh token is worthless by now
		want(t, s, "access-2")
		time.Sleep(time.Hour)
		want(t, s, "access-3")
		b.set.Close()
		if b.times() != 3 {
			t.Errorf("asked %d times", b.times())
		}
		files, err := os.ReadDir(b.dir)
		if err != nil || len(files) != 1 {
			t.Fatalf("%v %v", files, err)
		}
		info, _ := files[0].Info()
		text, _ := os.ReadFile(filepath.Join(b.dir, files[0].Name()))
		if info.Mode().Perm() != 0o600 || strings.Contains(string(text), "access") || strings.Contains(string(text), "refresh") {
			t.Errorf("mode %v, %q", info.Mode(), text)
		}
	})
}

func TestAnotherConfiguredTokenBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.refuse = func() string { return `400 {"error":"invalid_grant"}` }
		s := b.source()
		e := fails(t, s, "reconnect")
		if !e.Halt || !strings.Contains(e.Words, "destinations.hub.oauth.refresh_token") {
			t.Errorf("%+v", e)
		}
		for range 10 {
			fails(t, s, "reconnect")
		}
		if b.times() != 1 {
			t.Errorf("a refused refresh token was tried %d times", b.times())
		}
		if got := b.set.Troubles(); len(got) != 1 || !strings.Contains(got[0], "reconnect") {
			t.Errorf("troubles %q", got)
		}
		time.Sleep(haltPause) // somebody resumed it: it is tried once more
		fails(t, s, "reconnect")
		if b.times() != 2 {
			t.Errorf("tried %d times", b.times())
		}
		b.refuse, b.vendor.refresh, b.refresh = nil, "consent-2", "consent-2"
		want(t, s, "access-1")
		if got := b.set.Troubles(); got != nil {
			t.Errorf("troubles %q", got)
		}
		if files, _ := os.ReadDir(b.dir); len(files) != 1 {
			t.Errorf("%v are kept", files)
		}
	})
}

// A refusal while the token in hand is still good stops nothing yet.
func TestTheOldTokenServesWhileItIsValid(t *testing.T) {
	for _, c := range []struct{ name, answer, words, after string }{
		{"busy", `429 {"message":"slow down"}`, "cannot be refreshed", ""},
		{"down", `503 <html>`, "cannot be refreshed", ""},
		{"revoked", `400 {"error":"invalid_grant"}`, "reconnect", ", by 20"},
		{"hubspot's words only", `400 {"status":"BAD_REFRESH_TOKEN"}`, "reconnect", ", by 20"},
		{"wrong client", `401 {"error":"invalid_client"}`, "client secret", ", by 20"},
		{"moved", `404 <html>`, "no retry mends", ", by 20"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				s := b.source()
				want(t, s, "access-1")
				b.refuse = func() string { return c.answer }
				for time.Sleep(25 * time.Minute); time.Since(s.kept.Got) < 30*time.Minute-time.Second; time.Sleep(time.Second) {
					want(t, s, "access-1")
				}
				if n := b.times(); n < 4 || n > 40 { // backed off
					t.Errorf("asked %d times in five minutes", n)
				}
				if got := strings.Join(b.set.Troubles(), ""); !strings.Contains(got, c.words) || !strings.Contains(got, c.after) {
					t.Errorf("trouble %q", got)
				}
				time.Sleep(time.Second)
				if e := fails(t, s, ""); !e.Halt && e.After <= 0 {
					t.Errorf("%+v says neither halt nor when", e)
				}
				b.refuse = nil
				time.Sleep(backoffMax)
				want(t, s, "access-2")
			})
		})
	}
}

func TestRetryAfterIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		s := b.source()
		s.grant.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			a := answer(`429 {}`)
			a.Header.Set("Retry-After", "900")
			return a, nil
		})}
		if e := fails(t, s, "429"); e.Halt || e.After != 15*time.Minute {
			t.Errorf("%+v", e)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestARefusedTokenIsRefreshedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		s := b.source()
		want(t, s, "access-1")
		if err := s.Answered(t.Context(), "access-1", 200); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				var e *Error
				if err := s.Answered(t.Context(), "access-1", 401); !errors.As(err, &e) || e.Halt {
					t.Errorf("%v: the request can be made again", err)
				}
			})
		}
		all.Wait()
		want(t, s, "access-2")
		time.Sleep(time.Hour / 4)
		if err := s.Answered(t.Context(), "access-2", 401); err != nil {
			t.Errorf("the second refusal speaks for itself, not %v", err)
		}
		if b.times() != 2 {
			t.Errorf("asked %d times", b.times())
		}
		s.Answered(t.Context(), "access-2", 200) // so it works after all
		if err := s.Answered(t.Context(), "access-2", 401); err == nil {
			t.Error("a token that worked and is refused was not refreshed")
		}
		want(t, s, "access-3")

		// The vendor refuses both: the words are those of the refresh token.
		time.Sleep(time.Minute)
		s.Answered(t.Context(), "access-3", 200)
		b.refuse = func() string { return `400 {"error":"invalid_grant"}` }
		var e *Error
		if err := s.Answered(t.Context(), "access-3", 401); !errors.As(err, &e) || !e.Halt {
			t.Errorf("%v", err)
		}
		fails(t, s, "reconnect")
	})
}

// A command on the same data directory has refreshed: the process takes its token up
// instead of spending a refresh token that is worthless by now.
func TestAnotherProcessWasQuicker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.rotates = true
		router := b.source()
		want(t, router, "access-1")
		time.Sleep(29 * time.Minute)
		command := b.source()
		if _, err := command.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want(t, command, "access-2")
		time.Sleep(2 * time.Minute)
		want(t, router, "access-2")
		if b.times() != 2 {
			t.Errorf("asked %d times", b.times())
		}
	})
}

// Another process's token is over by the time this one asks: its refresh token is the one
// to go on with all the same, ours is worthless since.
func TestAnotherProcessWasQuickerLongAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.rotates = true
		router := b.source()
		want(t, router, "access-1")
		time.Sleep(31 * time.Minute)
		want(t, b.source(), "access-2")
		synctest.Wait()
		time.Sleep(40 * time.Minute)
		want(t, router, "access-3")
	})
}

// Two processes refresh at once: the one whose refresh token was used up a moment before
// goes on with what the other stores, and does not halt.
func TestAnotherProcessRefreshesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.rotates = true
		router := b.source()
		want(t, router, "access-1")
		time.Sleep(31 * time.Minute)
		command := b.source()
		stored := func() string { // what the other one stores, while ours is on its way
			b.refuse = nil
			go func() {
				time.Sleep(300 * time.Millisecond)
				if _, err := command.Token(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			return `400 {"error":"invalid_grant"}`
		}
		b.refuse = stored
		want(t, router, "access-2")
		synctest.Wait()
	})
}

func TestLinkedInsRefreshTokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.refuse = func() string {
			return `200 {"access_token":"access-1","expires_in":5184000,"refresh_token":"refresh-0","refresh_token_expires_in":31536000}`
		}
		s := b.source()
		want(t, s, "access-1")
		time.Sleep(334 * 24 * time.Hour)
		if got := b.set.Troubles(); got != nil {
			t.Errorf("too early: %q", got)
		}
		time.Sleep(2 * 24 * time.Hour)
		if got := b.set.Troubles(); len(got) != 1 || !strings.Contains(got[0], "consent again") {
			t.Errorf("%q", got)
		}
	})
}

// What cannot be opened is not fatal: the configured refresh token may work.
func TestAStoredTokenThatCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		s := b.source()
		want(t, s, "access-1")
		if err := os.WriteFile(b.set.Store.path(s.kept.Grant), []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
		want(t, b.source(), "access-2")

		k := kept{Format: format, Grant: "other", Token: &oauth2.Token{RefreshToken: "r"}}
		store := b.set.Store
		if err := store.save(k); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(store.path("other"), store.path("moved")); err != nil {
			t.Fatal(err)
		}
		if _, err := store.load("moved"); err == nil {
			t.Error("a file of another grant was taken")
		}
	})
}

// What cannot be stored works until the next restart, and says so.
func TestATokenThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		if err := os.WriteFile(b.dir, nil, 0o600); err != nil { // a file where the folder should be
			t.Fatal(err)
		}
		s := b.source()
		want(t, s, "access-1")
		if got := b.set.Troubles(); len(got) != 1 || !strings.Contains(got[0], "next restart") {
			t.Errorf("%q", got)
		}
	})
}

func TestMissingSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		g := b.grant()
		g.RefreshToken = func() (string, error) { return "", errors.New("the environment variable HUB is not set") }
		s := (&Set{Store: Store{Dir: b.dir, Sealer: reversed{}}, Logger: slog.New(slog.DiscardHandler)}).Source(g)
		if e := fails(t, s, "HUB is not set"); !e.Halt {
			t.Errorf("%+v", e)
		}
		g.RefreshToken = func() (string, error) { return b.refresh, nil }
		g.ClientSecret = func() (string, error) { return b.secret, errors.New("the file is not there") }
		s = (&Set{Store: Store{Dir: b.dir, Sealer: reversed{}}, Logger: slog.New(slog.DiscardHandler)}).Source(g)
		if e := fails(t, s, "not there"); !e.Halt {
			t.Errorf("%+v", e)
		}
	})
}

// A vendor whose tokens end at once is not asked for every request.
func TestShortLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.life = 60
		s := b.source()
		for range 600 {
			if _, err := s.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := b.times(); n < 15 || n > 25 {
			t.Errorf("asked %d times in ten minutes", n)
		}
	})
}
