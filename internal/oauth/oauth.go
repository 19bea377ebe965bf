// Package oauth keeps access tokens alive: each is refreshed ahead of its end, once for
// all who ask, and what the vendor gave is kept sealed on disk, so that a restart goes on
// with it. It speaks the refresh of golang.org/x/oauth2; what it adds is when to refresh,
// what to do when that fails, and where a token that the vendor replaced is kept.
package oauth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Grant is one consent: a client that may act for an account with a refresh token.
type Grant struct {
	Vendor string // for people
	// Setting is where the configuration names the refresh token: destinations.hub.oauth.refresh_token.
	Setting  string
	TokenURL string
	ClientID string
	// ClientSecret and RefreshToken read what is configured; they are asked often. Another
	// refresh token than before is a new consent: what was kept of the old one is dropped.
	ClientSecret func() (string, error)
	RefreshToken func() (string, error)
	InParams     bool          // client id and secret go in the form, not in basic authorisation
	Ahead        time.Duration // how long before its end a token is refreshed
	Client       *http.Client  // follows no redirects
}

// An Error says why there is no token, in words with what to do. It holds no secret.
type Error struct {
	Words string
	Halt  bool          // no retry mends it: somebody must act
	After time.Duration // else: not before this long
}

func (e *Error) Error() string { return e.Words }

// Halting says whether nothing will work until somebody acts, and how long to wait.
func (e *Error) Halting() (halt bool, after time.Duration) { return e.Halt, e.After }

// Refused says whether this request alone was refused: never, it is the credential's matter.
func (e *Error) Refused() bool { return false }

// A Set holds the sources of one process, each grant once: a vendor that replaces a
// refresh token when it is used makes the old one worthless to everybody else.
type Set struct {
	Store  Store
	Logger *slog.Logger

	mu      sync.Mutex
	sources map[string]*Source
	work    sync.WaitGroup
}

// Source gives the source of a grant; the same one for the same client and refresh token
// at the same address.
func (s *Set) Source(g Grant) *Source {
	same := g.Setting
	if v, err := g.RefreshToken(); err == nil {
		same = fingerprint(g, v)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := g.TokenURL + "\x00" + g.ClientID + "\x00" + same
	if s.sources == nil {
		s.sources = map[string]*Source{}
	}
	if s.sources[key] == nil {
		s.sources[key] = &Source{grant: g, store: s.Store, logger: s.Logger, work: &s.work}
	}
	return s.sources[key]
}

// Troubles says of each source what somebody should do, before and after it stops
// working. Sorted; empty when all is well.
func (s *Set) Troubles() []string {
	s.mu.Lock()
	all := make([]*Source, 0, len(s.sources))
	for _, src := range s.sources {
		all = append(all, src)
	}
	s.mu.Unlock()
	var out []string
	for _, src := range all {
		if words := src.trouble(time.Now()); words != "" {
			out = append(out, words)
		}
	}
	slices.Sort(out)
	return out
}

// Close waits for refreshes under way: breaking one off could lose the token it brings.
func (s *Set) Close() { s.work.Wait() }

// fingerprint names a consent without telling its secret.
func fingerprint(g Grant, refreshToken string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "tributary grant 1\x00%s\x00%s\x00%s", g.TokenURL, g.ClientID, refreshToken))
	return hex.EncodeToString(sum[:16])
}
