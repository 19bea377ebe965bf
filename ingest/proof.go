package ingest

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// The schemes by which the sender of a hook proves who it is.
const (
	ProofKey         = "key" // a key of ours
	ProofBearer      = "bearer"
	ProofBasic       = "basic"
	ProofHeader      = "header"
	ProofHMAC        = "hmac"
	ProofCertificate = "certificate"
)

// A Proof says what the sender of a hook has to show. The zero one is a key of ours with the
// scope ingest.
type Proof struct {
	Scheme string
	// Secret gives what both sides know; it may change at any time.
	Secret   func() string
	User     string   // basic
	Header   string   // header: holds the secret; hmac: holds the signature
	Subjects []string // certificate: common names or DNS names; none: any that is verified

	// Of hmac, as docs/hooks.md has them; "" is the default.
	Algorithm, Encoding, Prefix, Field, Signs string
	Timestamp                                 Timestamp
}

// A Timestamp is where a signed request says when it was sent: in a header of its own, or in a
// field of the signature's. The zero one is nowhere.
type Timestamp struct {
	Header, Field string
	Within        time.Duration // how far from now, either way; 0: five minutes
}

// proven says whether the sender of a hook is who the source expects. Nil means that it is.
func (f *front) proven(c *gin.Context, r *request, source string, p Proof, body []byte) error {
	h := c.Request.Header
	switch p.Scheme {
	case "", ProofKey:
		return f.boundKey(c, r, source)
	case ProofCertificate:
		return p.certified(c.Request)
	}
	secret := p.Secret()
	if secret == "" {
		return fail(CodeBadKey, "the secret of this source cannot be read; the router's log says why")
	}
	switch p.Scheme {
	case ProofBearer:
		token, _ := bearerToken(h.Get("Authorization"))
		return shown(token, secret, "the token is not that of this source")
	case ProofBasic:
		user, password, _ := c.Request.BasicAuth()
		return shown(user+"\x00"+password, p.User+"\x00"+secret, "user and password are not those of this source")
	case ProofHeader:
		return shown(h.Get(p.Header), secret, p.Header+" does not hold the secret of this source")
	}
	return p.verify(Signed{Method: c.Request.Method, URI: f.public.of(c.Request), Body: body, Header: h}, secret, f.Now())
}

// boundKey wants a key for ingest that is not bound to another source than this.
func (f *front) boundKey(c *gin.Context, r *request, source string) error {
	key, err := f.bearer(c.Request.Header)
	if err != nil {
		return err
	}
	r.key = key
	switch {
	case !key.Has(ScopeIngest):
		return wrongScope(ScopeIngest)
	case key.Source != "" && key.Source != source:
		return fail(CodeScope, "this key is bound to another source")
	}
	return nil
}

// shown compares what was shown with what is expected, in a time that tells nothing of either.
func shown(got, want, why string) error {
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
		return fail(CodeBadKey, why)
	}
	return nil
}

// certified looks at the client certificate, which the listener has verified.
func (p Proof) certified(r *http.Request) error {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return fail(CodeNoKey, "send a client certificate of the authority that this router knows")
	}
	if leaf := r.TLS.PeerCertificates[0]; len(p.Subjects) > 0 && !slices.ContainsFunc(p.Subjects, func(s string) bool { return isOf(leaf, s) }) {
		return fail(CodeBadKey, "the client certificate is not that of this source")
	}
	return nil
}

func isOf(c *x509.Certificate, subject string) bool {
	return strings.EqualFold(c.Subject.CommonName, subject) || slices.ContainsFunc(c.DNSNames, func(n string) bool { return strings.EqualFold(n, subject) })
}

// verify checks an HMAC over a request.
func (p Proof) verify(s Signed, secret string, now time.Time) error {
	values := s.Header.Values(p.Header)
	if len(values) == 0 {
		return fail(CodeSignature, "there is no "+p.Header)
	}
	stamp, err := p.Timestamp.read(s.Header, values, now)
	if err != nil {
		return err
	}
	m := hmac.New(p.hash(), []byte(secret))
	for _, part := range p.signed() {
		switch part {
		case "{body}":
			m.Write(s.Body)
		case "{timestamp}":
			m.Write([]byte(stamp))
		case "{method}":
			m.Write([]byte(s.Method))
		case "{url}":
			m.Write([]byte(s.URI))
		default:
			m.Write([]byte(part))
		}
	}
	want, found := m.Sum(nil), 0
	for _, v := range fieldsOf(values, p.Field) {
		v, ok := strings.CutPrefix(v, p.Prefix)
		if !ok {
			continue
		}
		found++
		if got, ok := p.decode(v); ok && hmac.Equal(got, want) {
			return nil
		}
	}
	if found == 0 {
		return fail(CodeSignature, p.Header+" holds no signature of the form that this source expects; check field and prefix")
	}
	return fail(CodeSignature, "the signature does not match; check the secret, what is signed, and public_url if the URL is")
}

func (p Proof) hash() func() hash.Hash {
	switch p.Algorithm {
	case "sha1":
		return sha1.New
	case "sha512":
		return sha512.New
	}
	return sha256.New
}

// signedParts are what signs may name; package config knows the same ones.
var signedParts = []string{"{body}", "{timestamp}", "{method}", "{url}"}

// signed takes signs apart into its names and the text between them.
func (p Proof) signed() []string {
	if p.Signs == "" {
		return []string{"{body}"}
	}
	var out []string
	text := p.Signs
	for text != "" {
		at, name := len(text), ""
		for _, n := range signedParts {
			if i := strings.Index(text, n); i >= 0 && i < at {
				at, name = i, n
			}
		}
		if at > 0 {
			out = append(out, text[:at])
		}
		if name != "" {
			out = append(out, name)
		}
		text = text[at+len(name):]
	}
	return out
}

// decode reads a signature; ok is false for what is none.
func (p Proof) decode(v string) (b []byte, ok bool) {
	if p.Encoding != "base64" {
		b, err := hex.DecodeString(v)
		return b, err == nil
	}
	v = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(v, "="))
	b, err := base64.RawStdEncoding.DecodeString(v)
	return b, err == nil
}

// fieldsOf gives the values of a field of headers such as t=1,v1=ab,v1=cd; of no field the
// headers themselves.
func fieldsOf(headers []string, field string) []string {
	if field == "" {
		return headers
	}
	var out []string
	for _, h := range headers {
		for _, pair := range strings.Split(h, ",") {
			if name, v, ok := strings.Cut(pair, "="); ok && strings.TrimSpace(name) == field {
				out = append(out, strings.TrimSpace(v))
			}
		}
	}
	return out
}

// read gives the time of sending as it was written; "" where the source has none.
func (t Timestamp) read(h http.Header, signature []string, now time.Time) (string, error) {
	var found []string
	switch {
	case t.Header != "":
		found = h.Values(t.Header)
	case t.Field != "":
		found = fieldsOf(signature, t.Field)
	default:
		return "", nil
	}
	if len(found) != 1 {
		return "", fail(CodeStale, "the request does not say once when it was sent")
	}
	at, ok := sentAt(found[0])
	if !ok {
		return "", fail(CodeStale, "the time of sending is no time: Unix seconds or milliseconds, or RFC 3339")
	}
	within := t.Within
	if within <= 0 {
		within = signatureAge
	}
	if age := now.Sub(at); age > within || age < -within {
		return "", fail(CodeStale, "the time of sending is more than "+within.String()+" away from now")
	}
	return found[0], nil
}

// sentAt reads a time of sending. Seconds have at most eleven digits until the year 5138.
func sentAt(v string) (time.Time, bool) {
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		if len(v) > 11 {
			return time.UnixMilli(n), true
		}
		return time.Unix(n, 0), true
	}
	at, err := time.Parse(time.RFC3339, v)
	return at, err == nil
}
