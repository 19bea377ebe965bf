package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"tributary/destinations"
)

// A Source gives the access token of one grant. Many goroutines may ask it.
type Source struct {
	grant  Grant
	store  Store
	logger *slog.Logger
	work   *sync.WaitGroup // refreshes under way

	mu         sync.Mutex
	configured string // the refresh token that kept began with
	secret     string // the client secret last used
	kept       kept
	stale      string // a grant whose file is to be removed once the next one is stored
	ended      string // an access token that the vendor refused before its end
	suspect    bool   // the token in hand follows a refused one and was not accepted yet
	flight     chan struct{}
	failures   int
	failed     *Error    // the last refresh; nil: it worked
	again      time.Time // no refresh before
	unstored   error     // the last token could not be stored
}

const (
	timeout    = 30 * time.Second // of one refresh
	leastPause = 10 * time.Second // between two refreshes that worked
	haltPause  = time.Minute      // between two that no retry mends: a person may have mended it elsewhere
	backoffMin = 2 * time.Second
	backoffMax = 5 * time.Minute
	// warnAhead is how long before the end of a refresh token it is a trouble: a person must
	// consent again, and that takes a meeting.
	warnAhead = 30 * 24 * time.Hour
)

// Token gives a token that is valid now. Where it is due to be refreshed, one caller's
// call begins that; all others, and it too while the old token is valid, go on with what
// there is. An error is an *Error, or ctx's.
func (s *Source) Token(ctx context.Context) (string, error) {
	for {
		token, flight, err := s.look(time.Now())
		if flight == nil || token != "" {
			return token, err
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// look gives the token in hand if it is valid, else the refresh to wait for, else why
// there is none. It begins a refresh that is due.
func (s *Source) look(now time.Time) (token string, flight chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(now); err != nil {
		return "", nil, err
	}
	if s.flight == nil && s.due(now) && !now.Before(s.again) {
		s.refresh()
	}
	if t := s.kept.Token; s.valid(now) {
		return t.AccessToken, nil, nil
	}
	if s.flight != nil {
		return "", s.flight, nil
	}
	return "", nil, s.without(now)
}

// without says why there is no token to give.
func (s *Source) without(now time.Time) *Error {
	if s.failed == nil { // it was refreshed a moment ago, for less time than that
		return &Error{Words: s.grant.Vendor + " gives access tokens that end at once", After: s.again.Sub(now)}
	}
	e := *s.failed
	if !e.Halt {
		e.After = max(s.again.Sub(now), 0)
	}
	return &e
}

// begin takes up the configured refresh token: at the first call, and when it was changed.
func (s *Source) begin(now time.Time) error {
	configured, err := s.grant.RefreshToken()
	if err == nil && configured == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		if s.kept.Grant != "" { // go on with the chain in hand
			return nil
		}
		return &Error{Words: fmt.Sprintf("%s: %v", s.grant.Setting, err), Halt: true}
	}
	// A changed client secret is worth a try at once.
	if secret, err := s.grant.ClientSecret(); err == nil && s.secret != "" && secret != s.secret && s.failed != nil {
		s.again, s.secret = now, secret
	}
	if configured == s.configured {
		return nil
	}
	if s.flight != nil { // what is under way belongs to the old one; look again when it is over
		return nil
	}
	grant := fingerprint(s.grant, configured)
	k, err := s.store.load(grant)
	if err != nil {
		s.logger.Warn("the stored token is not used; the configured refresh token is", "setting", s.grant.Setting, "error", err.Error())
	}
	if k.Grant == "" {
		k = kept{Format: format, Grant: grant, Token: &oauth2.Token{RefreshToken: configured}}
	}
	s.stale = s.kept.Grant
	s.configured, s.kept = configured, k
	s.ended, s.suspect, s.failures, s.failed, s.again = "", false, 0, nil, time.Time{}
	return nil
}

// valid is true while the token in hand may be used.
func (s *Source) valid(now time.Time) bool {
	t := s.kept.Token
	return t != nil && t.AccessToken != "" && t.AccessToken != s.ended && (t.Expiry.IsZero() || now.Before(t.Expiry))
}

// due is true when the token in hand should be refreshed. One that lives shorter than
// twice the time ahead is refreshed in the middle of its life, not at every request.
func (s *Source) due(now time.Time) bool {
	t := s.kept.Token
	if !s.valid(now) {
		return true
	}
	if t.Expiry.IsZero() {
		return false
	}
	ahead := s.grant.Ahead
	if life := t.Expiry.Sub(s.kept.Got); ahead > life/2 {
		ahead = life / 2
	}
	return !now.Before(t.Expiry.Add(-ahead))
}

// refresh begins the one refresh of this source. It is seen through whoever stops
// waiting for it: the answer may hold the only refresh token that still works.
func (s *Source) refresh() {
	done := make(chan struct{})
	s.flight = done
	before := s.kept
	s.work.Go(func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		k, secret, failed := s.renewed(ctx, before)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.land(time.Now(), k, secret, failed)
	})
}

// renewed asks the vendor for the next token, unless another process on this data
// directory (a command) has stored a later one that is still good. Its refresh token is the
// one to go on with in any case: ours may be worthless since.
func (s *Source) renewed(ctx context.Context, k kept) (kept, string, *Error) {
	k, good := s.later(k)
	if good {
		return k, "", nil
	}
	k, secret, failed := s.ask(ctx, k)
	for range quickerLooks {
		if failed == nil || !failed.Halt || secret == "" {
			break
		}
		// Perhaps another process used the refresh token a moment ago and is about to store the next.
		if stored, good := s.later(k); good {
			return stored, "", nil
		}
		select {
		case <-time.After(quickerPause):
		case <-ctx.Done():
		}
	}
	return k, secret, failed
}

// How often, and with what pause, a refusal that looks final is held against what another
// process may just be storing.
const (
	quickerLooks = 5
	quickerPause = 200 * time.Millisecond
)

// later gives what is stored where that is later than k, and whether its token is valid now.
func (s *Source) later(k kept) (_ kept, good bool) {
	stored, err := s.store.load(k.Grant)
	if err != nil || !stored.Got.After(k.Got) {
		return k, false
	}
	t := stored.Token
	return stored, t.AccessToken != "" && (t.Expiry.IsZero() || time.Now().Before(t.Expiry))
}

// ask asks the vendor for the next token.
func (s *Source) ask(ctx context.Context, k kept) (kept, string, *Error) {
	secret, err := s.grant.ClientSecret()
	if err != nil {
		return k, "", &Error{Words: fmt.Sprintf("the client secret for %s: %v", s.grant.Setting, err), Halt: true}
	}
	style := oauth2.AuthStyleInHeader
	if s.grant.InParams {
		style = oauth2.AuthStyleInParams
	}
	client := oauth2.Config{ClientID: s.grant.ClientID, ClientSecret: secret, Endpoint: oauth2.Endpoint{TokenURL: s.grant.TokenURL, AuthStyle: style}}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.grant.Client)
	t, err := client.TokenSource(ctx, &oauth2.Token{RefreshToken: k.Token.RefreshToken}).Token()
	if err != nil {
		return k, secret, s.judge(err)
	}
	k.Token, k.Got = t, time.Now().UTC()
	if seconds, ok := t.Extra("refresh_token_expires_in").(float64); ok && seconds > 0 { // LinkedIn
		k.RefreshEnds = k.Got.Add(time.Duration(min(seconds, 10*365*86400)) * time.Second)
	}
	return k, secret, nil
}

// land ends a refresh.
func (s *Source) land(now time.Time, k kept, secret string, failed *Error) {
	s.flight = nil
	if secret != "" {
		s.secret = secret
	}
	if failed != nil {
		s.failed = failed
		s.failures++
		wait := haltPause
		if !failed.Halt {
			wait = max(failed.After, backoff(s.failures))
		}
		s.again = now.Add(wait)
		s.logger.Warn("the access token was not refreshed", "setting", s.grant.Setting, "error", failed.Words, "halts", failed.Halt, "wait", wait)
		return
	}
	s.suspect = s.ended != "" // it takes the place of one that was refused
	s.ended, s.failed, s.failures = "", nil, 0
	s.kept = k
	s.again = now.Add(leastPause)
	if life := k.Token.Expiry.Sub(now); !k.Token.Expiry.IsZero() {
		s.again = now.Add(min(leastPause, life/2))
	}
	if s.unstored = s.store.save(k); s.unstored == nil {
		s.store.forget(s.stale)
		s.stale = ""
	}
	s.logger.Info("access token refreshed", "setting", s.grant.Setting, "ends", k.Token.Expiry)
}

// backoff is the pause after so many failed refreshes in a row, with full jitter above
// the least.
func backoff(failures int) time.Duration {
	most := min(backoffMin<<min(failures, 20), backoffMax)
	return backoffMin + rand.N(most-backoffMin+1)
}

// judge reads why a refresh failed: by status and code, never by the vendor's sentence.
// HubSpot answers a refused refresh token 400 with error invalid_grant and status
// BAD_REFRESH_TOKEN (sheet §7), LinkedIn invalid_grant (sheet §9).
func (s *Source) judge(err error) *Error {
	var r *oauth2.RetrieveError
	if !errors.As(err, &r) || r.Response == nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return &Error{Words: s.grant.Vendor + "'s token endpoint did not answer in time"}
		}
		return &Error{Words: s.grant.Vendor + "'s token endpoint cannot be reached, or answers what is no token"} // the cause may name secrets
	}
	var more struct {
		Status json.RawMessage `json:"status"`
	}
	_ = json.Unmarshal(r.Body, &more)
	code, status := destinations.VendorWords(r.ErrorCode), r.Response.StatusCode
	said := fmt.Sprintf("%d %s", status, code)
	switch {
	case code == "invalid_grant" || string(more.Status) == `"BAD_REFRESH_TOKEN"`:
		return &Error{Halt: true, Words: fmt.Sprintf("%s refuses the refresh token (%s): reconnect the app, that is, consent again and put the new refresh token where %s says (docs/operations.md, OAuth)",
			s.grant.Vendor, said, s.grant.Setting)}
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status/100 == 5, status/100 == 2:
		return &Error{Words: fmt.Sprintf("%s's token endpoint answers %s", s.grant.Vendor, said), After: destinations.RetryAfter(r.Response.Header)}
	case code == "invalid_client" || code == "unauthorized_client" || status == http.StatusUnauthorized || status == http.StatusForbidden:
		return &Error{Halt: true, Words: fmt.Sprintf("%s refuses the client id or the client secret (%s): compare both with the app's settings (beside %s)", s.grant.Vendor, said, s.grant.Setting)}
	}
	return &Error{Halt: true, Words: fmt.Sprintf("%s's token endpoint answers %s, which no retry mends: check client_id, client_secret and refresh_token beside %s, and base_url", s.grant.Vendor, said, s.grant.Setting)}
}

// Answered is told the status of an answer to a request that was made with a token. A 401
// refreshes a token that is not yet due, once: the error then says that the request, which
// the vendor did not take, can be made again with the next one. A 401 to that one is
// nil, and the answer speaks for itself.
func (s *Source) Answered(ctx context.Context, token string, status int) error {
	if status/100 == 2 {
		s.mu.Lock()
		if s.suspect && s.kept.Token.AccessToken == token {
			s.suspect = false
		}
		s.mu.Unlock()
	}
	if status != http.StatusUnauthorized {
		return nil
	}
	flight, err := s.refused(token, time.Now())
	if flight == nil {
		return err
	}
	select {
	case <-flight:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); !s.valid(now) {
		return s.without(now)
	}
	return replaced(s.grant.Vendor)
}

func replaced(vendor string) *Error {
	return &Error{Words: vendor + " refused the access token before its end; it was refreshed, and the request is made again"}
}

// refused begins the refresh that a refused token is worth.
func (s *Source) refused(token string, now time.Time) (chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch t := s.kept.Token; {
	case t == nil || t.AccessToken == "":
		return nil, nil
	case t.AccessToken != token: // refreshed since the request was made
		return nil, replaced(s.grant.Vendor)
	case s.suspect:
		return nil, nil
	}
	s.ended = token
	if s.flight == nil && now.Before(s.again) {
		if s.failed != nil {
			return nil, s.without(now)
		}
		s.ended = "" // it is seconds old: another would fare no better
		return nil, nil
	}
	if s.flight == nil {
		s.refresh()
	}
	return s.flight, nil
}

// trouble says what somebody should know of this source; "" when all is well.
func (s *Source) trouble(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.kept.Token
	left := ""
	if s.valid(now) && !t.Expiry.IsZero() {
		left = ", by " + t.Expiry.UTC().Format(time.RFC3339) + ", when the access token in hand ends"
	}
	switch {
	case s.failed != nil && s.failed.Halt:
		return s.grant.Setting + ": " + s.failed.Words + left
	case s.failures >= 3:
		return fmt.Sprintf("%s: the access token cannot be refreshed: %s; it is tried again by itself", s.grant.Setting, s.failed.Words) + left
	case s.unstored != nil:
		return fmt.Sprintf("%s: the refreshed token works but is lost at the next restart: %v", s.grant.Setting, s.unstored)
	case !s.kept.RefreshEnds.IsZero() && now.After(s.kept.RefreshEnds.Add(-warnAhead)):
		return fmt.Sprintf("%s: the refresh token ends on %s and using it does not renew it: consent again before that and put the new one where the setting says (docs/operations.md, OAuth)",
			s.grant.Setting, s.kept.RefreshEnds.UTC().Format(time.DateOnly))
	}
	return ""
}
