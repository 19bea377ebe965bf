package ingest

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

const hookSecret = "hook-secret-of-tests"

func hooked(p Proof) Source {
	p.Secret = func() string { return hookSecret }
	return Source{Kind: KindHook, Proof: p}
}

func mac(h func() hash.Hash, text string) []byte {
	m := hmac.New(h, []byte(hookSecret))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// Every scheme lets in who shows what it asks for, and nobody else.
func TestHooksAreProven(t *testing.T) {
	const body = `{"id":"in_1","paid":true}`
	at := strconv.FormatInt(noon.Unix(), 10)
	late := strconv.FormatInt(noon.Add(-6*time.Minute).Unix(), 10)
	hexed := func(text string) string { return hex.EncodeToString(mac(sha256.New, text)) }
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	fields := Proof{Scheme: ProofHMAC, Header: "Billing-Signature", Field: "v1", Signs: "{timestamp}.{body}", Timestamp: Timestamp{Field: "t"}}
	own := Proof{Scheme: ProofHMAC, Header: "X-Sig", Encoding: "base64", Signs: "{method}\n{url}\n{timestamp}{body}", Timestamp: Timestamp{Header: "X-Time", Within: time.Minute}}
	signed := base64.RawURLEncoding.EncodeToString(mac(sha256.New, "POST\nhttps://router.example.test/v1/ingest/hook/h?a=1\n"+noon.Format(time.RFC3339)+body))
	for _, c := range []struct {
		what    string
		proof   Proof
		code    Code // "": let in
		headers []string
	}{
		{"key", Proof{}, "", bearer("k-ingest")},
		{"no key", Proof{}, CodeNoKey, nil},
		{"another key", Proof{}, CodeBadKey, bearer("nobody's")},
		{"a key without the scope", Proof{}, CodeScope, bearer("k-browser")},
		{"a key of another source", Proof{}, CodeScope, bearer("k-bound")},
		{"bearer", Proof{Scheme: ProofBearer}, "", bearer(hookSecret)},
		{"another token", Proof{Scheme: ProofBearer}, CodeBadKey, bearer(hookSecret + "x")},
		{"no token", Proof{Scheme: ProofBearer}, CodeBadKey, nil},
		{"a key of ours is no token", Proof{Scheme: ProofBearer}, CodeBadKey, bearer("k-ingest")},
		{"basic", Proof{Scheme: ProofBasic, User: "billing"}, "", []string{"Authorization", basic("billing", hookSecret)}},
		{"another user", Proof{Scheme: ProofBasic, User: "billing"}, CodeBadKey, []string{"Authorization", basic("b", hookSecret)}},
		{"another password", Proof{Scheme: ProofBasic, User: "billing"}, CodeBadKey, []string{"Authorization", basic("billing", "x")}},
		{"header", Proof{Scheme: ProofHeader, Header: "X-Token"}, "", []string{"X-Token", hookSecret}},
		{"an empty header", Proof{Scheme: ProofHeader, Header: "X-Token"}, CodeBadKey, []string{"X-Token", ""}},
		{"hmac", Proof{Scheme: ProofHMAC, Header: "X-Sig"}, "", []string{"X-Sig", hexed(body)}},
		{"hmac in capitals", Proof{Scheme: ProofHMAC, Header: "X-Sig"}, "", []string{"X-Sig", strings.ToUpper(hexed(body))}},
		{"hmac of another body", Proof{Scheme: ProofHMAC, Header: "X-Sig"}, CodeSignature, []string{"X-Sig", hexed(body + " ")}},
		{"hmac cut short", Proof{Scheme: ProofHMAC, Header: "X-Sig"}, CodeSignature, []string{"X-Sig", hexed(body)[:32]}},
		{"no hmac", Proof{Scheme: ProofHMAC, Header: "X-Sig"}, CodeSignature, nil},
		{"prefix", Proof{Scheme: ProofHMAC, Header: "X-Hub-Signature-256", Prefix: "sha256="}, "", []string{"X-Hub-Signature-256", "sha256=" + hexed(body)}},
		{"another prefix", Proof{Scheme: ProofHMAC, Header: "X-Hub-Signature-256", Prefix: "sha256="}, CodeSignature, []string{"X-Hub-Signature-256", "sha1=" + hexed(body)}},
		{"sha1", Proof{Scheme: ProofHMAC, Header: "X-Sig", Algorithm: "sha1"}, "", []string{"X-Sig", hex.EncodeToString(mac(sha1.New, body))}},
		{"sha512 in base64", Proof{Scheme: ProofHMAC, Header: "X-Sig", Algorithm: "sha512", Encoding: "base64"}, "", []string{"X-Sig", base64.StdEncoding.EncodeToString(mac(sha512.New, body))}},
		{"fields", fields, "", []string{"Billing-Signature", "t=" + at + ",v1=" + hexed(at+"."+body)}},
		{"two signatures while a secret changes", fields, "", []string{"Billing-Signature", "t=" + at + ", v1=00, v1=" + hexed(at+"."+body) + ", v0=11"}},
		{"another time than was signed", fields, CodeSignature, []string{"Billing-Signature", "t=" + at + ",v1=" + hexed(late+"."+body)}},
		{"too late", fields, CodeStale, []string{"Billing-Signature", "t=" + late + ",v1=" + hexed(late+"."+body)}},
		{"no time", fields, CodeStale, []string{"Billing-Signature", "v1=" + hexed("."+body)}},
		{"two times", fields, CodeStale, []string{"Billing-Signature", "t=" + at + ",t=" + at + ",v1=" + hexed(at+"."+body)}},
		{"a time that is none", fields, CodeStale, []string{"Billing-Signature", "t=noon,v1=" + hexed("noon."+body)}},
		{"another field", fields, CodeSignature, []string{"Billing-Signature", "t=" + at + ",v0=" + hexed(at+"."+body)}},
		{"method, address and time in a header", own, "", []string{"X-Sig", signed, "X-Time", noon.Format(time.RFC3339)}},
		{"another time", own, CodeSignature, []string{"X-Sig", signed, "X-Time", noon.Add(time.Second).Format(time.RFC3339)}},
		{"no certificate", Proof{Scheme: ProofCertificate}, CodeNoKey, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Sources["h"] = hooked(c.proof) })
			a := w.send("POST", "/v1/ingest/hook/h?a=1", body, c.headers...)
			kept := w.log.take()
			if c.code == "" {
				if a.Code != 202 || len(kept) != 1 || kept[0].Source != "h" || kept[0].Way != canonical.WayHook || string(kept[0].Body) != body {
					t.Fatalf("%d %s, kept %+v", a.Code, a.Body, kept)
				}
			} else if !strings.Contains(a.Body.String(), `"`+string(c.code)+`"`) || a.Code/100 != 4 || len(kept) != 0 {
				t.Errorf("%d %s; want %s", a.Code, a.Body, c.code)
			}
			for _, no := range []string{hookSecret, "a=1", "in_1"} {
				if strings.Contains(w.out.String(), no) {
					t.Errorf("the log holds %s: %s", no, w.out)
				}
			}
		})
	}
}

func TestHooksByCertificate(t *testing.T) {
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: "billing"}, DNSNames: []string{"hooks.billing.example"}}
	for _, c := range []struct {
		subjects []string
		verified bool
		want     int
	}{{nil, true, 202}, {[]string{"Billing"}, true, 202}, {[]string{"other", "hooks.billing.example"}, true, 202}, {[]string{"other"}, true, 401}, {nil, false, 401}} {
		w := newWorld(t, func(o *Options) { o.Sources["h"] = hooked(Proof{Scheme: ProofCertificate, Subjects: c.subjects}) })
		req := httptest.NewRequest("POST", "/v1/ingest/hook/h", strings.NewReader(`{}`))
		req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
		if c.verified {
			req.TLS.VerifiedChains = [][]*x509.Certificate{{leaf}}
		}
		a := httptest.NewRecorder()
		if w.http.ServeHTTP(a, req); a.Code != c.want {
			t.Errorf("%+v: %d %s", c, a.Code, a.Body)
		}
	}
}

// An address counts as the last one that no trusted proxy has.
func TestHooksFromAllowedAddresses(t *testing.T) {
	for _, c := range []struct {
		proxies, remote, forwarded string
		want                       int
	}{
		{"", "203.0.113.9:5", "", 202}, {"", "198.51.100.1:5", "", 403}, {"", "[::ffff:203.0.113.9]:5", "", 202},
		{"", "198.51.100.1:5", "203.0.113.9", 403}, // nobody said that this is a proxy
		{"198.51.100.0/24", "198.51.100.1:5", "203.0.113.9", 202}, {"198.51.100.0/24", "198.51.100.1:5", "203.0.113.9, 192.0.2.1", 403},
	} {
		w := newWorld(t, func(o *Options) {
			s := hooked(Proof{})
			s.Allow = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
			o.Sources["h"] = s
			if c.proxies != "" {
				o.TrustedProxies = []string{c.proxies}
			}
		})
		req := httptest.NewRequest("POST", "/v1/ingest/hook/h", strings.NewReader(`{}`))
		req.RemoteAddr = c.remote
		req.Header.Set("Authorization", "Bearer k-ingest")
		if c.forwarded != "" {
			req.Header.Set("X-Forwarded-For", c.forwarded)
		}
		a := httptest.NewRecorder()
		if w.http.ServeHTTP(a, req); a.Code != c.want {
			t.Errorf("%+v: %d %s", c, a.Code, a.Body)
		}
	}
}

// A body is cut as the mapping says, byte by byte; one that it cannot cut is kept whole.
func TestHooksAreCut(t *testing.T) {
	invoices := func(_ string, body []byte) ([]json.RawMessage, error) {
		var b struct{ Invoices []json.RawMessage }
		if err := json.Unmarshal(body, &b); err != nil || b.Invoices == nil {
			return nil, errors.New("there is no list")
		}
		return b.Invoices, nil
	}
	many := `{"invoices":[` + strings.Repeat(`{},`, 1000) + `{}]}`
	for _, c := range []struct {
		body string
		cuts bool
		code int
		kept []string
	}{
		{`{"a":1}`, false, 202, []string{`{"a":1}`}},
		{`[{"a":1}, {"source":"shop"} ]`, false, 202, []string{`{"a":1}`, `{"source":"shop"}`}},
		{`{"invoices":[ {"a": 1.50},{"b":2}]}`, true, 202, []string{`{"a": 1.50}`, `{"b":2}`}},
		{`{"invoices":[{"a":1},"none"]}`, true, 202, []string{`{"a":1}`}},
		{`{"invoices":[]}`, true, 202, nil},
		{`{"invoice":{"a":1}}`, true, 202, []string{`{"invoice":{"a":1}}`}},
		{`{"invoices":["none"]}`, true, 400, nil},
		{`"text"`, false, 400, nil},
		{`{"a":`, false, 400, nil},
		{many, true, 413, nil},
	} {
		w := newWorld(t, func(o *Options) {
			if o.Sources["h"] = hooked(Proof{}); c.cuts {
				o.Items = invoices
			}
		})
		a := w.send("POST", "/v1/ingest/hook/h", c.body, bearer("k-ingest")...)
		var kept []string
		for _, r := range w.log.take() {
			kept = append(kept, string(r.Body))
			if r.Source != "h" {
				t.Errorf("%s is of %s", r.Body, r.Source)
			}
		}
		if a.Code != c.code || fmt.Sprint(kept) != fmt.Sprint(c.kept) {
			t.Errorf("%.60s: %d %s, kept %v", c.body, a.Code, a.Body, kept)
		}
	}
	w := newWorld(t)
	for _, path := range []string{"/v1/ingest/hook/hub", "/v1/ingest/hook/none", "/v1/ingest/hook/"} {
		if a := w.send("POST", path, `{}`, bearer("k-ingest")...); a.Code != 404 {
			t.Errorf("%s: %d", path, a.Code)
		}
	}
}

// Whatever a stranger sends as a signature proves nothing and breaks nothing.
func FuzzHookSignature(f *testing.F) {
	for _, v := range []string{"", "t=1,v1=ab", "sha256=", "t=9223372036854775807,v1=", "v1=v1=,t=,,="} {
		f.Add(v, v, "{timestamp}.{body}{body}{", "v1")
	}
	f.Fuzz(func(t *testing.T, signature, stamp, signs, field string) {
		for _, p := range []Proof{
			{Scheme: ProofHMAC, Header: "X-Sig", Signs: signs, Field: field}, {Scheme: ProofHMAC, Header: "X-Sig", Encoding: "base64", Prefix: field},
			{Scheme: ProofHMAC, Header: "X-Sig", Signs: signs, Timestamp: Timestamp{Header: "X-Time"}}, {Scheme: ProofHMAC, Header: "X-Sig", Field: field, Timestamp: Timestamp{Field: "t"}},
		} {
			h := map[string][]string{"X-Sig": {signature}, "X-Time": {stamp}}
			if p.verify(Signed{Method: "POST", URI: "https://x.example/", Body: []byte(stamp), Header: h}, hookSecret, noon) == nil {
				t.Errorf("%+v proves something by %q, %q", p, signature, stamp)
			}
		}
	})
}
