package oauth

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A vendor plays a token endpoint in memory. It must not be asked with anything but the
// refresh token that it gave last.
type vendor struct {
	t        *testing.T
	mu       sync.Mutex
	refresh  string        // the one that works
	life     int           // seconds
	rotates  bool          // every answer replaces the refresh token
	refuse   func() string // an answer instead: "400 {…}"
	takes    time.Duration
	asked    int
	given    int
	lastForm url.Values
	lastAuth string
}

func (v *vendor) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	form, err := url.ParseQuery(string(body))
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked++
	v.lastForm, v.lastAuth = form, r.Header.Get("Authorization")
	if err != nil || r.Method != http.MethodPost || form.Get("grant_type") != "refresh_token" {
		v.t.Errorf("asked with %s %s", r.Method, body)
	}
	select {
	case <-time.After(v.takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if v.refuse != nil {
		if a := v.refuse(); a != "" {
			return answer(a), nil
		}
	}
	if form.Get("refresh_token") != v.refresh {
		return answer(`400 {"error":"invalid_grant","status":"BAD_REFRESH_TOKEN","message":"of ada@example.com"}`), nil
	}
	v.given++
	if v.rotates {
		v.refresh = fmt.Sprintf("refresh-%d", v.given)
	}
	return answer(fmt.Sprintf(`200 {"access_token":"access-%d","refresh_token":%q,"expires_in":%d,"token_type":"bearer"}`, v.given, v.refresh, v.life)), nil
}

func answer(s string) *http.Response {
	var status int
	fmt.Sscan(s, &status)
	_, body, _ := strings.Cut(s, " ")
	return &http.Response{StatusCode: status, Status: s[:3], Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

func (v *vendor) times() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked
}

// reversed seals in a way that a test can look through and a text search cannot.
type reversed struct{}

func (reversed) Seal(b []byte) []byte {
	out := []byte("sealed")
	for _, c := range b {
		out = append(out, c^0x5a)
	}
	return out
}

func (reversed) Open(b []byte) ([]byte, error) {
	if !strings.HasPrefix(string(b), "sealed") {
		return nil, errors.New("not sealed with this key")
	}
	var out []byte
	for _, c := range b[6:] {
		out = append(out, c^0x5a)
	}
	return out, nil
}

type bench struct {
	*vendor
	dir     string
	refresh string // as configured
	secret  string
	set     *Set
}

func newBench(t *testing.T) *bench {
	return &bench{vendor: &vendor{t: t, refresh: "refresh-0", life: 1800}, dir: filepath.Join(t.TempDir(), "tokens"), refresh: "refresh-0", secret: "client-secret"}
}

// source opens the grant as a process that starts does.
func (b *bench) source() *Source {
	b.set = &Set{Store: Store{Dir: b.dir, Sealer: reversed{}}, Logger: slog.New(slog.DiscardHandler)}
	return b.set.Source(b.grant())
}

func (b *bench) grant() Grant {
	return Grant{Vendor: "HubSpot", Setting: "destinations.hub.oauth.refresh_token", TokenURL: "https://api.example.test/oauth/v3/token", ClientID: "client",
		ClientSecret: func() (string, error) { return b.secret, nil }, RefreshToken: func() (string, error) { return b.refresh, nil },
		InParams: true, Ahead: 5 * time.Minute, Client: &http.Client{Transport: b.vendor}}
}

func want(t *testing.T, s *Source, token string) {
	t.Helper()
	got, err := s.Token(t.Context())
	if err != nil || got != token {
		t.Fatalf("token %q, %v; want %q", got, err, token)
	}
}

// fails gives the error; it holds no secret.
func fails(t *testing.T, s *Source, words string) *Error {
	t.Helper()
	got, err := s.Token(t.Context())
	var e *Error
	if !errors.As(err, &e) || got != "" || !strings.Contains(err.Error(), words) {
		t.Fatalf("token %q, %v; want an error with %q", got, err, words)
	}
	for _, secret := range []string{"refresh-", "access-", "client-secret", "@"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q holds %q", err, secret)
		}
	}
	return e
}
