package simulator

import (
	"cmp"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LinkedInOAuth is the app whose tokens are refreshed, and how long they last.
type LinkedInOAuth struct {
	ClientID, ClientSecret string        // "" takes any
	RefreshToken           string        // "" takes any
	AccessFor              time.Duration // of an access token; 0: 60 days
	// RefreshEnds is when the refresh token ends; zero: 365 days after it was first used. It is
	// not renewed by use.
	RefreshEnds time.Time
}

const (
	linkedInAccessFor  = 60 * 24 * time.Hour
	linkedInRefreshFor = 365 * 24 * time.Hour
)

// valid says whether an access token may be used: the account's own, or one given out and
// not yet over.
func (l *linkedInServer) valid(token string, now time.Time) bool {
	if ends, ok := l.issued[token]; ok {
		return now.Before(ends)
	}
	return l.account.Token == "" || token == l.account.Token
}

// refresh gives out a fresh access token and keeps the refresh token as it is.
func (l *linkedInServer) refresh(c *call) answer {
	refuse := func(status int, code, words string) answer {
		return jsonAnswer(status, map[string]any{"error": code, "error_description": words})
	}
	if err := c.parseForm(); err != nil || c.method != http.MethodPost {
		return refuse(http.StatusBadRequest, "invalid_request", "A required parameter is missing")
	}
	form, o := c.r.PostForm, l.account.OAuth
	token := form.Get("refresh_token")
	switch {
	case form.Get("grant_type") != "refresh_token": // client_credentials does not exist for this
		return refuse(http.StatusBadRequest, "unsupported_grant_type", "Only refresh_token is supported")
	case form.Get("client_id") == "" || form.Get("client_secret") == "" || token == "":
		return refuse(http.StatusBadRequest, "invalid_request", "A required parameter is missing")
	case o.ClientID != "" && form.Get("client_id") != o.ClientID, o.ClientSecret != "" && form.Get("client_secret") != o.ClientSecret:
		return refuse(http.StatusUnauthorized, "invalid_client", "Client authentication failed")
	}
	if l.consent.IsZero() {
		l.consent = c.now
	}
	ends := o.RefreshEnds
	if ends.IsZero() {
		ends = l.consent.Add(linkedInRefreshFor)
	}
	if slices.Contains(l.account.RevokedTokens, token) || o.RefreshToken != "" && token != o.RefreshToken || !c.now.Before(ends) {
		return refuse(http.StatusBadRequest, "invalid_grant", "The provided authorization grant or refresh token is invalid, expired or revoked")
	}
	fresh, lasts := "simulated-"+strconv.FormatInt(c.number, 10), cmp.Or(o.AccessFor, linkedInAccessFor)
	for old, end := range l.issued { // bounded: what is over is forgotten
		if len(l.issued) > 1000 && !c.now.Before(end) {
			delete(l.issued, old)
		}
	}
	l.issued[fresh] = c.now.Add(lasts)
	return jsonAnswer(http.StatusOK, map[string]any{
		"access_token": fresh, "expires_in": int64(lasts.Seconds()),
		"refresh_token": token, "refresh_token_expires_in": int64(ends.Sub(c.now).Seconds()), "scope": "r_ads,rw_conversions",
	})
}

// parseForm reads an urlencoded body that was read already.
func (c *call) parseForm() error {
	c.r.Body = io.NopCloser(strings.NewReader(string(c.body)))
	return c.r.ParseForm()
}
