package hubspotcrm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Host is where HubSpot's API answers.
const Host = "https://api.hubapi.com"

// A Look asks HubSpot what a credential is and may do. It changes nothing there.
type Look struct {
	BaseURL string
	HTTP    *http.Client
}

// A TokenInfo is whose a token is and what it may do.
type TokenInfo struct {
	Kind   string // Private app, OAuth app; "" where HubSpot does not say
	Portal int64
	App    int64
	Scopes []string
}

// A PortalInfo is what the account says of itself.
type PortalInfo struct {
	Portal   int64  `json:"portalId"`
	TimeZone string `json:"timeZone"`
	Currency string `json:"companyCurrency"`
	UI       string `json:"uiDomain"`
	Tier     string `json:"-"` // by the day's limit; "" where no limit is told
}

// ErrNoSuchToken is what HubSpot says of a token that no private app has.
var ErrNoSuchToken = errors.New("HubSpot knows no private app with this token")

// Private asks for a private app's token.
func (l Look) Private(ctx context.Context, token string) (TokenInfo, error) {
	body, err := json.Marshal(map[string]string{"tokenKey": token})
	if err != nil {
		return TokenInfo{}, err
	}
	var a struct {
		Hub    int64    `json:"hubId"`
		App    int64    `json:"appId"`
		Scopes []string `json:"scopes"`
	}
	status, _, err := l.call(ctx, http.MethodPost, "/oauth/v2/private-apps/get/access-token-info", "", "application/json", body, &a)
	switch {
	case err != nil:
		return TokenInfo{}, err
	case status == http.StatusNotFound, status == http.StatusBadRequest, status == http.StatusUnauthorized:
		return TokenInfo{}, ErrNoSuchToken
	case status != http.StatusOK:
		return TokenInfo{}, fmt.Errorf("HubSpot answered %d", status)
	}
	return TokenInfo{"private app", a.Hub, a.App, a.Scopes}, nil
}

// Introspect asks for an OAuth app's access token.
func (l Look) Introspect(ctx context.Context, token, clientID, clientSecret string) (TokenInfo, error) {
	form := url.Values{"token": {token}, "client_id": {clientID}, "client_secret": {clientSecret}, "token_type_hint": {"access_token"}}
	var a struct {
		Active bool     `json:"active"`
		Hub    int64    `json:"hub_id"`
		App    int64    `json:"app_id"`
		Scopes []string `json:"scopes"`
	}
	status, _, err := l.call(ctx, http.MethodPost, "/oauth/2026-03/token/introspect", "", "application/x-www-form-urlencoded", []byte(form.Encode()), &a)
	switch {
	case err != nil:
		return TokenInfo{}, err
	case status != http.StatusOK:
		return TokenInfo{}, fmt.Errorf("HubSpot answered %d", status)
	case !a.Active:
		return TokenInfo{}, errors.New("HubSpot says that the access token is not active: the consent is over, or the client id is another app's")
	}
	return TokenInfo{"OAuth app", a.Hub, a.App, a.Scopes}, nil
}

// tierOfDay names the tier by what HubSpot lets all private apps of an account ask in a day.
var tierOfDay = map[string]string{"250000": "free", "625000": "professional", "1000000": "enterprise"}

// Portal asks what account a token is of.
func (l Look) Portal(ctx context.Context, token string) (PortalInfo, error) {
	var p PortalInfo
	status, header, err := l.call(ctx, http.MethodGet, "/account-info/v3/details", token, "", nil, &p)
	switch {
	case err != nil:
		return p, err
	case status == http.StatusUnauthorized:
		return p, errors.New("HubSpot does not take the token (401): it was rotated or taken back, or it is not the access token")
	case status != http.StatusOK:
		return p, fmt.Errorf("HubSpot answered %d", status)
	}
	p.Tier = tierOfDay[header.Get("X-HubSpot-RateLimit-Daily")]
	if p.UI == "" {
		p.UI = "app.hubspot.com"
	}
	return p, nil
}

// Subscribed lists what a public app subscribes to, as in Subscriptions, and its target URL.
func (l Look) Subscribed(ctx context.Context, app int64, developerKey string) (list []string, target string, err error) {
	var subs struct {
		Results []struct {
			Type     string `json:"eventType"`
			Property string `json:"propertyName"`
			Active   bool   `json:"active"`
		} `json:"results"`
	}
	var settings struct {
		Target string `json:"targetUrl"`
	}
	key := "?" + url.Values{"hapikey": {developerKey}}.Encode()
	for path, into := range map[string]any{"subscriptions": &subs, "settings": &settings} {
		status, _, err := l.call(ctx, http.MethodGet, "/webhooks/v3/"+strconv.FormatInt(app, 10)+"/"+path+key, "", "", nil, into)
		if err != nil {
			return nil, "", err
		}
		if status != http.StatusOK {
			return nil, "", fmt.Errorf("HubSpot answered %d for the app's %s", status, path)
		}
	}
	for _, s := range subs.Results {
		if s.Active {
			list = append(list, strings.TrimSuffix(s.Type+":"+s.Property, ":"))
		}
	}
	return list, settings.Target, nil
}

// call asks once. An error names neither the URL, which may hold a key, nor what was sent.
func (l Look) call(ctx context.Context, method, path, token, kind string, body []byte, into any) (int, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(l.BaseURL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, errors.New("base_url is no address")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	res, err := l.HTTP.Do(r)
	if err != nil {
		return 0, nil, errors.New("HubSpot cannot be reached")
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, nil, errors.New("HubSpot's answer broke off")
	}
	if res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(b, into); err != nil {
			return 0, nil, errors.New("HubSpot's answer is no JSON that is known")
		}
	}
	return res.StatusCode, res.Header, nil
}

// Subscriptions are what an attribution router wants to be told, in the order in which
// docs/hubspot.md lists them.
func Subscriptions() []string {
	var out []string
	for _, object := range []string{"contact", "company", "deal"} {
		out = append(out, object+".creation")
		if object == "deal" {
			out = append(out, "deal.propertyChange:dealstage", "deal.propertyChange:amount")
		} else {
			out = append(out, object+".propertyChange:lifecyclestage")
		}
		for _, change := range []string{"merge", "deletion", "restore", "associationChange"} {
			out = append(out, object+"."+change)
		}
	}
	return append(out, "contact.privacyDeletion")
}

// Missing lists what of wanted is not in have; a generic subscription (object.…) stands for all objects.
func Missing(wanted, have []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(w string) bool {
		_, change, _ := strings.Cut(w, ".")
		return slices.Contains(have, w) || slices.Contains(have, "object."+change)
	})
}
