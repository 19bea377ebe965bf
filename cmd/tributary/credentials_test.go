package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/destinations/simulator"
	"tributary/internal/alert"
	"tributary/internal/config"
)

// A connected vendor gives tokens and takes requests with the last one it gave.
type connected struct {
	mu      sync.Mutex
	given   int
	revoked bool
	asked   []string // path and authorisation of every request but those for tokens
	agents  map[string]bool
}

func (v *connected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.URL.Path == "/oauth/v3/token" {
		r.ParseForm()
		switch {
		case v.revoked || r.PostForm.Get("refresh_token") != "refresh-hub":
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error":"invalid_grant","status":"BAD_REFRESH_TOKEN"}`)
		case r.PostForm.Get("client_id") != "app" || r.PostForm.Get("client_secret") != "app-secret":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			v.given++
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":"access-%d","refresh_token":"refresh-hub","expires_in":1800,"token_type":"bearer"}`, v.given)
		}
		return
	}
	v.asked = append(v.asked, r.URL.Path+" "+r.Header.Get("Authorization"))
	v.agents[r.Header.Get("User-Agent")] = true
	if r.Header.Get("Authorization") != fmt.Sprintf("Bearer access-%d", v.given) || v.revoked {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (v *connected) revoke(tokensOnly bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.given++; !tokensOnly {
		v.revoked = true
	}
}

// One consent serves a destination and the account that it writes to; a refused token is
// refreshed once; a restart goes on with the stored one; a revoked consent halts.
func TestOneConsentOfADestinationAndAnAccount(t *testing.T) {
	v := &connected{agents: map[string]bool{}}
	server := httptest.NewServer(v)
	defer server.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{"app.secret": "app-secret", "hub.refresh": "refresh-hub"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TRIBUTARY_TEST_KEY", strings.Repeat("5a", 32))
	path := filepath.Join(dir, "tributary.yaml")
	text := strings.ReplaceAll(`
data_dir: data
data_key: env:TRIBUTARY_TEST_KEY
instance: one
accounts:
  hub: {kind: hubspot, base_url: "URL", oauth: &consent {client_id: app, client_secret: "file:app.secret", refresh_token: "file:hub.refresh"}}
destinations:
  hub: {kind: hubspot, mode: live, base_url: "URL", allow_private: true, oauth: *consent, settings: {account: hub}}
`, "URL", server.URL)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, catalog.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	start := func() (*credentials, delivery.Sender) {
		key, err := dataKey(cfg)
		if err != nil {
			t.Fatal(err)
		}
		c, err := newCredentials(cfg, key, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		kind, _ := catalog.Kind("hubspot")
		section := cfg.Destinations["hub"].Settings
		dest, problems := kind.New(&section)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		d := cfg.Destinations["hub"]
		send, err := delivery.NewSender(c.endpoint(d, dest, c.ofDestination("hub", d), userAgent(instanceName(cfg))))
		if err != nil {
			t.Fatal(err)
		}
		return c, send
	}
	ask := func(send delivery.Sender) error {
		_, err := send(t.Context(), destinations.Request{Method: http.MethodPost, Path: "/crm", Body: []byte("{}")})
		return err
	}
	c, send := start()
	account := c.ofAccount("hub", cfg.Accounts["hub"])
	for range 3 {
		if err := ask(send); err != nil {
			t.Fatal(err)
		}
	}
	if token, err := account.secret(t.Context()); token != "access-1" || err != nil || v.given != 1 {
		t.Errorf("the account has %q, %v after %d tokens", token, err, v.given)
	}

	_, send = start()
	if err := ask(send); err != nil || v.given != 1 {
		t.Errorf("after a restart: %v, %d tokens", err, v.given)
	}

	v.revoke(true)
	var none *delivery.NoCredential
	if err := ask(send); !errors.As(err, &none) || none.Halt || !errors.Is(err, delivery.ErrNotSent) {
		t.Errorf("a refused token: %v; it is refreshed, and the request can be made again", err)
	}
	if err := ask(send); err != nil {
		t.Errorf("with the new token: %v", err)
	}

	v.revoke(false)
	_, send = start() // within seconds of a refresh the 401 itself would speak
	if err := ask(send); !errors.As(err, &none) || !none.Halt || !strings.Contains(err.Error(), "destinations.hub.oauth.refresh_token") {
		t.Errorf("a revoked consent: %v", err)
	}
	if len(v.agents) != 1 || !v.agents["tributary/"+version+" (one)"] {
		t.Errorf("agents %v", v.agents)
	}
	files, _ := filepath.Glob(filepath.Join(cfg.DataDir, "tokens", "*"))
	for _, f := range files {
		info, _ := os.Stat(f)
		b, _ := os.ReadFile(f)
		if info.Mode().Perm() != 0o600 || strings.Contains(string(b), "access-") || strings.Contains(string(b), "refresh-") {
			t.Errorf("%s is %v and holds %q", f, info.Mode(), b)
		}
	}
	if len(files) != 1 {
		t.Errorf("%v are kept", files)
	}
}

// The vendor's own address, written out, does not lead the refresh of tokens to another host.
func TestTokensComeFromTheVendorsOwnHost(t *testing.T) {
	c, err := newCredentials(config.Config{DataDir: t.TempDir()}, make([]byte, 32), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for base, want := range map[string]string{
		"": "https://www.linkedin.com/oauth/v2/accessToken", "https://api.linkedin.com": "https://www.linkedin.com/oauth/v2/accessToken",
		"https://api.linkedin.com/": "https://www.linkedin.com/oauth/v2/accessToken", "http://127.0.0.1:9": "http://127.0.0.1:9/oauth/v2/accessToken",
	} {
		if got := tokenURL(c.kinds["linkedin"], base); got != want {
			t.Errorf("with base_url %q tokens come from %s, want %s", base, got, want)
		}
	}
}

func TestCredentialWatchRemembers(t *testing.T) {
	dir := t.TempDir()
	w, err := openCredentialWatch(dir)
	if err != nil {
		t.Fatal(err)
	}
	if w.changed("meta", "b") {
		t.Error("what was never used here has not changed")
	}
	if err := w.note("meta", "a"); err != nil {
		t.Fatal(err)
	}
	if w.changed("meta", "a") || w.changed("meta", "") || !w.changed("meta", "b") || w.changed("hub", "b") {
		t.Error("a changed credential is another one that can be read")
	}
	if w, err = openCredentialWatch(dir); err != nil || w.changed("meta", "a") || !w.changed("meta", "b") {
		t.Errorf("after a restart: %v", err)
	}
	if err := w.note("meta", ""); err != nil {
		t.Fatal(err)
	}
	if !w.changed("meta", "a") {
		t.Error("one that could not be read and can be again is another")
	}
	if info, err := os.Stat(filepath.Join(dir, "tokens", "used.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	for why, lifts := range map[string]bool{"unauthorized": true, "unauthorized: 190 expired": true, "revoked": true, "no_credential: META is not set": true,
		"token_expired: 190/463": true, "token_revoked: x": true, "token_invalid: x": true, "permission_missing: x": true, "missing_scopes: x": true,
		"forbidden: no scope": false, "version_ended": false, "": false} {
		if got := liftedByCredential("halt", why); got != lifts {
			t.Errorf("a halt for %q is lifted: %v", why, got)
		}
		if liftedByCredential("pause", why) {
			t.Error("an operator's pause is never lifted")
		}
	}
}

// A wrong token halts its destination alone and an alert says what to do; the right one in
// the same file lets it go on by itself, and an alert says that as well.
func TestANewTokenLetsAHaltedDestinationGoOn(t *testing.T) {
	t.Parallel()
	needEngine(t)
	var mu sync.Mutex
	var told []alert.Message
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var m alert.Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || !strings.HasPrefix(r.Header.Get(alert.SignatureHeader), "t=") || !strings.Contains(r.UserAgent(), "(desk-1)") {
			t.Errorf("alert %v with %v: %v", m, r.Header, err)
		}
		told = append(told, m)
	}))
	defer hook.Close()
	s := newSystem(t, systemOptions{Config: fmt.Sprintf("instance: desk-1\nalerts: {url: %q, secret: \"file:secret.token\", allow_private: true, settle: 0s}\n", hook.URL)})
	token := filepath.Join(s.dir, "meta.token")
	put := func(text string) {
		if err := os.WriteFile(token+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(token+".new", token); err != nil {
			t.Fatal(err)
		}
	}
	put("revoked-token")
	s.start()
	s.send("/v1/ingest/crm", fmt.Sprintf(`{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":%q,"contact":{"id":"102948","email":"ada@example.com","lifecycle_stage":"marketingqualifiedlead"}}`,
		time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)))
	within := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				mu.Lock()
				defer mu.Unlock()
				t.Fatalf("%s did not come; told %+v\n%s", what, told, s.err)
			}
		}
	}
	says := func(pick func(alert.Message) []string, words string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range told {
				for _, sentence := range pick(m) {
					if strings.HasPrefix(sentence, "destination meta: halted") && strings.Contains(sentence, words) {
						return true
					}
				}
			}
			return false
		}
	}
	within("the alert of the halt", says(func(m alert.Message) []string { return m.Added }, "unauthorized"))
	if got := s.got(simulator.Meta); len(got) != 0 {
		t.Errorf("Meta took %v with a revoked token", got)
	}
	put(metaToken)
	within("the event at Meta", func() bool { return len(s.got(simulator.Meta)) == 1 })
	within("the alert that it is over", says(func(m alert.Message) []string { return m.Resolved }, ""))
	s.recorded("SELECT count() FROM v_deliveries WHERE destination = 'meta' AND state = 'delivered'", "1")
	if b := s.settle(); b.Lost != 0 {
		t.Errorf("%d lost", b.Lost)
	}
}
