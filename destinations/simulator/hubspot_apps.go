package simulator

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An AppKind says what a token belongs to.
type AppKind string

// The kinds. An app of the developer platform with static auth is a private app here.
const (
	PrivateApp AppKind = "private_app"
	ServiceKey AppKind = "service_key"
	OAuthApp   AppKind = "oauth"
)

// A HubSpotApp is one app of a portal with its credentials. Each has its own ten seconds;
// webhooks are those of the portal's first app.
type HubSpotApp struct {
	Kind AppKind // "" means private_app
	ID   int64   // 0 means the next one from 9001
	// Token of a private app or service key never ends. Of an OAuth app it is the first access
	// token, for TokenLife from the simulator's start.
	Token string
	// OAuth: what the token endpoint takes; "" takes anything that is not empty. Code is an
	// authorization code, good for one use.
	ClientID, ClientSecret, RefreshToken, Code string
	TokenLife                                  time.Duration // of access tokens; 0 means 30 minutes
	// Scopes of the token; nil means all.
	Scopes []string
	// Templates of the classic timeline that the app has owned from the past (OAuth).
	Templates []EventTemplate
	// Partner says that the app is an approved partner's and may send the app events EventTypes
	// (OAuth).
	Partner    bool
	EventTypes []AppEventType
}

func (a HubSpotApp) check() error {
	switch a.Kind {
	case "", PrivateApp, ServiceKey:
		if len(a.Templates) > 0 || a.Partner || len(a.EventTypes) > 0 {
			return fmt.Errorf("timeline templates and app events need kind %s", OAuthApp)
		}
		return nil
	case OAuthApp:
		return nil
	}
	return fmt.Errorf("kind %q: want %s, %s or %s", a.Kind, PrivateApp, ServiceKey, OAuthApp)
}

// apps lists an account's apps, the first from its own fields.
func (a HubSpotAccount) apps() []HubSpotApp {
	first := HubSpotApp{
		Kind: a.Kind, ID: a.AppID, Token: a.Token, ClientID: a.ClientID, ClientSecret: a.ClientSecret, RefreshToken: a.RefreshToken, Code: a.Code,
		TokenLife: a.TokenLife, Scopes: a.Scopes, Templates: a.Templates, Partner: a.Partner, EventTypes: a.EventTypes,
	}
	out := append([]HubSpotApp{first}, a.Apps...)
	for i := range out {
		out[i].Kind = cmp.Or(out[i].Kind, PrivateApp)
		out[i].ID = cmp.Or(out[i].ID, 9001+int64(i))
	}
	return out
}

// A hubSpotApp is an app as it stands.
type hubSpotApp struct {
	HubSpotApp
	first    bool
	burst    rolling
	access   map[string]time.Time // OAuth: access tokens, and when they end
	minted   int
	revoked  bool // nothing of it is good any more
	codeUsed bool
}

func newHubSpotApp(a HubSpotAccount, app HubSpotApp, now time.Time) *hubSpotApp {
	standard := burstOf[a.Tier]
	if a.LimitAddOns > 0 {
		standard = 250
	}
	if app.Kind == OAuthApp {
		standard = 110
	}
	app.TokenLife = cmp.Or(app.TokenLife, 30*time.Minute)
	out := &hubSpotApp{
		HubSpotApp: app, first: app.ID == a.apps()[0].ID, access: make(map[string]time.Time),
		burst: rolling{most: limitOf(a.Burst, standard), span: 10 * time.Second},
	}
	if app.Kind == OAuthApp && app.Token != "" {
		out.access[app.Token] = now.Add(app.TokenLife)
	}
	return out
}

// group names the app in a 429.
func (a *hubSpotApp) group() string {
	kind := map[AppKind]string{PrivateApp: "privateapp", ServiceKey: "servicekey", OAuthApp: "publicapi"}[a.Kind]
	return kind + ":" + strconv.FormatInt(a.ID, 10)
}

// holds says whether the token is the app's, and whether it is good still.
func (a *hubSpotApp) holds(token string, now time.Time) (its, good bool) {
	if a.Kind != OAuthApp {
		return a.Token != "" && token == a.Token, !a.revoked
	}
	ends, its := a.access[token]
	return its, its && !a.revoked && now.Before(ends)
}

// allScopes are those of a token that may do everything the simulator knows.
var allScopes = []string{
	"crm.objects.contacts.read", "crm.objects.contacts.write", "crm.objects.companies.read", "crm.objects.companies.write",
	"crm.objects.deals.read", "crm.objects.deals.write", "crm.objects.custom.read", "crm.objects.custom.write", "crm.objects.owners.read",
	"crm.schemas.contacts.read", "crm.schemas.contacts.write", "crm.schemas.companies.read", "crm.schemas.companies.write",
	"crm.schemas.deals.read", "crm.schemas.deals.write", "crm.schemas.custom.read", "crm.schemas.custom.write",
	"analytics.behavioral_events.send", "behavioral_events.event_definitions.read_write", "oauth", "timeline",
}

// scopes are those that are worth something: below Enterprise no token has those of custom
// events, and only an OAuth app has the timeline's.
func (a *hubSpotApp) scopes(tier Tier) []string {
	list := a.Scopes
	if list == nil {
		list = allScopes
	}
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool {
		return tier != Enterprise && (strings.Contains(s, "behavioral_events") || strings.Contains(s, ".custom.")) ||
			a.Kind != OAuthApp && (s == "timeline" || s == "oauth")
	})
}

func badToken() *hubSpotError {
	return &hubSpotError{Status: http.StatusUnauthorized, Category: "INVALID_AUTHENTICATION",
		Message: "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview"}
}

// authorize finds the portal and the app of a request's token.
func (s *Simulator) authorize(c *call) (*hubSpotServer, *hubSpotError) {
	token, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	if token = strings.TrimSpace(token); !ok || token == "" {
		return nil, badToken()
	}
	h, app, good := s.appOf(token, c.now)
	switch {
	case app == nil:
		return nil, badToken()
	case !good && !app.revoked:
		e := badToken()
		e.Category, e.Message = "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call has expired."
		return nil, e
	case !good:
		return nil, badToken()
	}
	c.caller, c.app = app, h.appName(app)
	return h, nil
}

// appOf finds whose a token is. The first app of a portal that names no token takes what is
// nobody's.
func (s *Simulator) appOf(token string, now time.Time) (*hubSpotServer, *hubSpotApp, bool) {
	for _, h := range s.portals {
		for _, app := range h.apps {
			if its, good := app.holds(token, now); its {
				return h, app, good
			}
		}
	}
	for _, h := range s.portals {
		if app := h.apps[0]; app.Kind != OAuthApp && app.Token == "" {
			return h, app, !app.revoked
		}
	}
	return nil, nil, false
}

// Revoke ends every token of an app, as its user does who disconnects it or rotates its
// token; undo makes them good again, for those that have not expired. App 0 is the portal's
// first, portal 0 the first portal.
func (s *Simulator) Revoke(portal, app int64, undo bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.portal(portal)
	if err != nil {
		return err
	}
	for _, a := range h.apps {
		if a.ID == app || app == 0 && a.first {
			a.revoked = !undo
			return nil
		}
	}
	return fmt.Errorf("portal %d has no app %d", h.account.PortalID, app)
}

// portal finds a portal by its number; 0 is the first.
func (s *Simulator) portal(id int64) (*hubSpotServer, error) {
	for _, h := range s.portals {
		if id == 0 || h.account.PortalID == id {
			return h, nil
		}
	}
	return nil, fmt.Errorf("there is no portal %d", id)
}

// serveOAuth answers for tokens: what a private app's may do, and the OAuth endpoints. None
// asks for a bearer token, and none counts for a limit.
func (s *Simulator) serveOAuth(c *call) answer {
	a := s.oauth(c).with("X-HubSpot-Correlation-Id", correlationID(c))
	if a.status >= 400 {
		s.memory[HubSpot].refusal(strconv.Itoa(a.status) + " " + strings.TrimPrefix(c.path, "/oauth/"))
	}
	return a
}

func (s *Simulator) oauth(c *call) answer {
	p := strings.Split(strings.Trim(c.path, "/"), "/")
	dated := slices.Contains(datedVersions, p[1])
	if c.method != http.MethodPost {
		return notAllowed().answer(c)
	}
	if c.path == "/oauth/v2/private-apps/get/access-token-info" {
		return s.tokenInfo(c)
	}
	if err := c.parseForm(); err != nil {
		return oauthRefusal("invalid_request", "BAD_REQUEST", "the body is no form")
	}
	switch last := p[len(p)-1]; {
	case len(p) == 3 && last == "token" && (dated || p[1] == "v1" || p[1] == "v3"):
		if a, journal := s.grantJournal(c); journal {
			return a
		}
		return s.grant(c)
	case dated && last == "introspect" && (len(p) == 3 || len(p) == 4 && p[2] == "token"):
		return s.introspect(c)
	case dated && last == "revoke" && (len(p) == 3 || len(p) == 4 && p[2] == "token"):
		return s.revokeRefresh(c)
	}
	return noSuchPath().answer(c)
}

// tokenInfo tells what a private app's token may do.
func (s *Simulator) tokenInfo(c *call) answer {
	var in struct {
		Token string `json:"tokenKey"`
	}
	if err := unmarshal(c.body, &in); err != nil || in.Token == "" {
		return hubSpotBadJSON().answer(c)
	}
	h, app, good := s.appOf(in.Token, c.now)
	if !good || app.Kind == OAuthApp {
		return hubSpotMissing("access token not found").answer(c)
	}
	return jsonAnswer(http.StatusOK, map[string]any{"userId": 12, "hubId": h.account.PortalID, "appId": app.ID, "scopes": app.scopes(h.account.Tier)})
}

func oauthRefusal(code, status, message string) answer {
	return jsonAnswer(http.StatusBadRequest, map[string]any{"error": code, "error_description": message, "status": status, "message": message})
}

// client finds the OAuth app of a form's client_id and client_secret.
func (s *Simulator) client(c *call) (*hubSpotServer, *hubSpotApp, answer) {
	form := c.r.PostForm
	id, secret := form.Get("client_id"), form.Get("client_secret")
	for _, h := range s.portals {
		for _, app := range h.apps {
			switch {
			case app.Kind != OAuthApp || id == "" || app.ClientID != "" && app.ClientID != id:
			case secret == "" || app.ClientSecret != "" && app.ClientSecret != secret:
				return nil, nil, oauthRefusal("invalid_client", "BAD_CLIENT_SECRET", "missing or invalid client secret")
			default:
				return h, app, answer{}
			}
		}
	}
	return nil, nil, oauthRefusal("invalid_client", "BAD_CLIENT_ID", "missing or unknown client id")
}

// grant is the token endpoint. A refresh token stays the same; each refresh makes an access
// token of its own, and those before go on until they end.
func (s *Simulator) grant(c *call) answer {
	h, app, refused := s.client(c)
	if app == nil {
		return refused
	}
	form := c.r.PostForm
	switch form.Get("grant_type") {
	case "refresh_token":
		token := form.Get("refresh_token")
		if token == "" || app.revoked || app.RefreshToken != "" && token != app.RefreshToken {
			return oauthRefusal("invalid_grant", "BAD_REFRESH_TOKEN", "missing or invalid refresh token")
		}
	case "authorization_code":
		code := form.Get("code")
		if code == "" || form.Get("redirect_uri") == "" || app.codeUsed || app.Code != "" && code != app.Code {
			return oauthRefusal("invalid_grant", "BAD_AUTH_CODE", "missing or unknown auth code")
		}
		app.codeUsed, app.revoked = true, false
	default:
		return oauthRefusal("unsupported_grant_type", "BAD_GRANT_TYPE", "missing or unsupported grant type")
	}
	app.minted++
	token := "access-" + strconv.FormatInt(h.account.PortalID, 10) + "-" + strconv.FormatInt(app.ID, 10) + "-" + hashHex(fmt.Sprint(s.opts.Seed, app.minted, c.now.UnixNano()))
	for old, ends := range app.access {
		if !c.now.Before(ends.Add(time.Hour)) {
			delete(app.access, old)
		}
	}
	app.access[token] = c.now.Add(app.TokenLife)
	return jsonAnswer(http.StatusOK, map[string]any{
		"access_token": token, "refresh_token": cmp.Or(form.Get("refresh_token"), app.RefreshToken, "refresh-"+strconv.FormatInt(app.ID, 10)),
		"expires_in": int(app.TokenLife / time.Second), "token_type": "bearer", "hub_id": h.account.PortalID, "scopes": app.scopes(h.account.Tier),
	})
}

func (s *Simulator) introspect(c *call) answer {
	h, app, refused := s.client(c)
	if app == nil {
		return refused
	}
	token := c.r.PostForm.Get("token")
	ends, its := app.access[token]
	if !its || app.revoked || !c.now.Before(ends) {
		return jsonAnswer(http.StatusOK, map[string]any{"active": false})
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"active": true, "hub_id": h.account.PortalID, "app_id": app.ID, "client_id": cmp.Or(app.ClientID, c.r.PostForm.Get("client_id")), "token_type": "bearer",
		"token_use": "access_token", "expires_in": int(ends.Sub(c.now) / time.Second), "scopes": app.scopes(h.account.Tier),
	})
}

// revokeRefresh ends the connection: neither refresh nor access tokens are good afterwards.
func (s *Simulator) revokeRefresh(c *call) answer {
	_, app, refused := s.client(c)
	if app == nil {
		return refused
	}
	if token := c.r.PostForm.Get("token"); token == "" || app.RefreshToken != "" && token != app.RefreshToken {
		return oauthRefusal("invalid_grant", "BAD_REFRESH_TOKEN", "missing or invalid refresh token")
	}
	app.revoked = true
	return answer{status: http.StatusNoContent, header: http.Header{}}
}
