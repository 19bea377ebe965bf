package ingest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The signature schemes of HubSpot.
const (
	SignatureV1 = "v1" // hex SHA-256 of secret + body
	SignatureV2 = "v2" // hex SHA-256 of secret + method + URI + body
	SignatureV3 = "v3" // base64 HMAC-SHA256 of method + decoded URI + body + timestamp
)

// signatureAge is how far the time of a v3 signature may lie from now, either way. At
// exactly five minutes it still holds, as in HubSpot's Node and PHP SDKs.
const signatureAge = 5 * time.Minute

// Signed is what a signature covers.
type Signed struct {
	Method string
	URI    string // as the sender sees it, with scheme, host and query
	Body   []byte // as received, before any reading
	Header http.Header
}

// Verify checks a request's signature against an app's client secret. The scheme is
// chosen by the headers: v3 where its header is there, and then only v3; else what
// X-HubSpot-Signature-Version says, v1 without it. accepted lists the schemes taken;
// empty takes all. Nil means that whoever sent it knows the secret.
func Verify(s Signed, secret string, accepted []string, now time.Time) error {
	scheme, signature, err := chosen(s.Header)
	if err != nil {
		return err
	}
	if len(accepted) > 0 && !slices.Contains(accepted, scheme) {
		return fail(CodeSignature, "this source does not take "+scheme+" signatures")
	}
	var want string
	switch scheme {
	case SignatureV3:
		stamp := s.Header.Get("X-HubSpot-Request-Timestamp")
		if err := fresh(stamp, now); err != nil {
			return err
		}
		want = signV3(s, secret, stamp)
	case SignatureV2:
		want = signPlain(secret, s.Method, s.URI, string(s.Body))
	default:
		want = signPlain(secret, string(s.Body))
	}
	if scheme != SignatureV3 {
		signature = strings.ToLower(signature)
	}
	if subtle.ConstantTimeCompare([]byte(signature), []byte(want)) != 1 {
		return fail(CodeSignature, "the "+scheme+" signature does not match; check the client secret and public_url")
	}
	return nil
}

// chosen tells which signature counts (hubspot.md §2.4).
func chosen(h http.Header) (scheme, signature string, err error) {
	if v := h.Get("X-HubSpot-Signature-v3"); v != "" {
		return SignatureV3, v, nil
	}
	signature = h.Get("X-HubSpot-Signature")
	if signature == "" {
		return "", "", fail(CodeSignature, "there is no signature")
	}
	switch v := strings.ToLower(h.Get("X-HubSpot-Signature-Version")); v {
	case "", SignatureV1:
		return SignatureV1, signature, nil
	case SignatureV2:
		return SignatureV2, signature, nil
	default:
		return "", "", fail(CodeSignature, "the signature is of a version that is not known")
	}
}

// fresh checks a timestamp in milliseconds.
func fresh(stamp string, now time.Time) error {
	ms, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fail(CodeStale, "X-HubSpot-Request-Timestamp is no time in milliseconds")
	}
	if age := now.UnixMilli() - ms; age > signatureAge.Milliseconds() || age < -signatureAge.Milliseconds() {
		return fail(CodeStale, "the signature is more than five minutes away from now")
	}
	return nil
}

func signV3(s Signed, secret, stamp string) string {
	m := hmac.New(sha256.New, []byte(secret))
	for _, part := range []string{s.Method, decodeURI(s.URI)} {
		m.Write([]byte(part))
	}
	m.Write(s.Body)
	m.Write([]byte(stamp))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

func signPlain(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// decoded are the escapes that v3 decodes, once, and no others (hubspot.md §2.2).
var decoded = strings.NewReplacer("%3A", ":", "%2F", "/", "%3F", "?", "%40", "@", "%21", "!", "%24", "$", "%27", "'",
	"%28", "(", "%29", ")", "%2A", "*", "%2C", ",", "%3B", ";")

func decodeURI(uri string) string { return decoded.Replace(uri) }
