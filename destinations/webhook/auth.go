package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/destinations"
)

// The ways in which the destination's token is used.
const (
	signature  = "signature" // it is the key of the signature and never sent
	authBearer = "bearer"    // Authorization: Bearer <token>
	authBasic  = "basic"     // the token is user:password
	authHeader = "header"    // the header auth_name holds it
	authPath   = "path"      // it is the end of the path: chat tools' webhook addresses are secrets
	authQuery  = "query"     // the query parameter auth_name holds it
	authNone   = "none"
)

// SignatureHeader carries the time of sending and the hex HMAC-SHA256 over it and the body:
// t=<Unix seconds>,v1=<hex of "<t>.<body>">.
const SignatureHeader = "Tributary-Signature"

var queryShape = []string{"token", "key", "sig", "code", "secret"} // examples, for the message only

func checkAuth(s *destinations.Section, settings Settings) {
	s.OneOf("auth", settings.Auth, signature, authBearer, authBasic, authHeader, authPath, authQuery, authNone)
	named := settings.Auth == authHeader || settings.Auth == authQuery
	switch {
	case named && settings.AuthName == "":
		s.Problem("auth", "auth: %s needs auth_name: the name of the %s that carries the token", settings.Auth, map[string]string{authHeader: "header", authQuery: "query parameter, such as " + strings.Join(queryShape, ", ")}[settings.Auth])
	case !named && settings.AuthName != "":
		s.Problem("auth_name", "auth_name is for auth: header and auth: query")
	case named && !headerShape.MatchString(settings.AuthName):
		s.Problem("auth_name", "%q is no name of a header or parameter", settings.AuthName)
	case settings.Auth == authHeader && slices.Contains(ours[3:], http.CanonicalHeaderKey(settings.AuthName)):
		s.Problem("auth_name", "header %s is ours", settings.AuthName)
	}
}

var _ destinations.Authorizer = destination{}

// NeedsSecret is false where requests go without a credential.
func (d destination) NeedsSecret() bool { return d.Auth != authNone }

// Authorize puts the credential on a request, or signs it with it.
func (d destination) Authorize(r *http.Request, body []byte, secret string, now time.Time) {
	if secret == "" {
		return
	}
	switch d.Auth {
	case signature:
		r.Header.Set(SignatureHeader, signed(body, secret, now))
	case authBearer:
		r.Header.Set("Authorization", "Bearer "+secret)
	case authBasic:
		user, password, _ := strings.Cut(secret, ":")
		r.SetBasicAuth(user, password)
	case authHeader:
		r.Header.Set(d.AuthName, secret)
	case authPath:
		rest, plain := strings.Trim(secret, "/"), ""
		plain, err := url.PathUnescape(rest)
		if err != nil {
			plain = rest
		}
		r.URL.RawPath = strings.TrimSuffix(r.URL.EscapedPath(), "/") + "/" + rest
		r.URL.Path = strings.TrimSuffix(r.URL.Path, "/") + "/" + plain
	case authQuery:
		q := url.QueryEscape(d.AuthName) + "=" + url.QueryEscape(secret)
		if r.URL.RawQuery != "" {
			q = r.URL.RawQuery + "&" + q
		}
		r.URL.RawQuery = q
	}
}

func signed(body []byte, secret string, now time.Time) string {
	t := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
