package ingest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

const sdkSecret = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"

const bodyB = `[{"eventId":1001,"subscriptionId":77,"portalId":424242,"appId":9001,"occurredAt":1767225600000,"subscriptionType":"deal.propertyChange","attemptNumber":0,"objectId":5550001,"propertyName":"dealstage","propertyValue":"closedwon","changeSource":"CRM_UI","sourceId":"userId:12"}]`

// signedHeader makes the headers of one scheme.
func signedHeader(scheme, signature, stamp string) http.Header {
	h := http.Header{}
	if scheme == SignatureV3 {
		h.Set("X-HubSpot-Signature-v3", signature)
		h.Set("X-HubSpot-Request-Timestamp", stamp)
		h.Set("X-HubSpot-Signature", "of another scheme")
		h.Set("X-HubSpot-Signature-Version", "v1")
		return h
	}
	h.Set("X-HubSpot-Signature", signature)
	h.Set("X-HubSpot-Signature-Version", scheme)
	return h
}

// The vectors of the HubSpot sheet, section 2.6.
func TestSignatureVectors(t *testing.T) {
	const www, router = "https://www.example.com/webhook_uri", "https://router.example.test/hooks/hubspot"
	const workflow = "https://router.example.test/hooks/workflow?tenant=acme&kind=deal"
	const escaped = router + "?next=https%3A%2F%2Fexample.test%2Fa%3Fb%3D1&mail=ana%40example.test&x=%20y"
	for name, c := range map[string]struct {
		scheme, method, uri, body, stamp, secret, signature string
		good                                                bool
	}{
		"sdk v2 get":        {"v2", "GET", www, "", "", sdkSecret, "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e", true},
		"sdk v2 post":       {"v2", "POST", www, `{"example_field":"example_value"}`, "", sdkSecret, "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900", true},
		"sdk v3":            {"v3", "POST", www, `{'example_field':'example_value'}`, "1693657560000", sdkSecret, "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=", true},
		"v1":                {"v1", "POST", router, bodyB, "", clientSecret, "4d826d4049da4cd741bb98632e4221736cabd67bea9c6450950c82e98da44c91", true},
		"v1 upper case":     {"v1", "POST", router, bodyB, "", clientSecret, "4D826D4049DA4CD741BB98632E4221736CABD67BEA9C6450950C82E98DA44C91", true},
		"v2 post":           {"v2", "POST", workflow, `{"email":"ana@example.test","amount":"1200"}`, "", clientSecret, "920d0361705fe8a220007685541879bb39b97ef528ef9287828ab7712264c383", true},
		"v2 get":            {"v2", "GET", workflow, "", "", clientSecret, "035d5c1ab5a0643c2075f81a7fe3961caa6f28a6bbaabe8be320576b9c65ec34", true},
		"v3":                {"v3", "POST", router, bodyB, "1767225600123", clientSecret, "v6pbDSjPpa4cKRjMXgGXc3u7BxLoFxYoPN5xdcShr2g=", true},
		"v3 utf-8":          {"v3", "POST", router, `{"name":"Zoë – 漢字"}`, "1767225600123", clientSecret, "oEJDRLKtC2ukXmmyoyWP9gNdI4x0SdoJIUaeEIsHmHM=", true},
		"v3 decoded":        {"v3", "POST", escaped, `{}`, "1767225600123", clientSecret, "z66ShKef04wgQNMwdz2YfzMeE8fgK11fpIN/1nxuWrM=", true},
		"v3 not decoded":    {"v3", "POST", escaped, `{}`, "1767225600123", clientSecret, "fW5IQSE5Gt1+bm4mlnCm7iA6dFPyelsjffZpDX0/3i4=", false},
		"v1, another body":  {"v1", "POST", router, bodyB + " ", "", clientSecret, "4d826d4049da4cd741bb98632e4221736cabd67bea9c6450950c82e98da44c91", false},
		"v2, another path":  {"v2", "POST", workflow + "x", `{"email":"ana@example.test","amount":"1200"}`, "", clientSecret, "920d0361705fe8a220007685541879bb39b97ef528ef9287828ab7712264c383", false},
		"v3, other secret":  {"v3", "POST", router, bodyB, "1767225600123", sdkSecret, "v6pbDSjPpa4cKRjMXgGXc3u7BxLoFxYoPN5xdcShr2g=", false},
		"v3, another time":  {"v3", "POST", router, bodyB, "1767225600124", clientSecret, "v6pbDSjPpa4cKRjMXgGXc3u7BxLoFxYoPN5xdcShr2g=", false},
		"v3 lower-cased":    {"v3", "POST", router, bodyB, "1767225600123", clientSecret, strings.ToLower("v6pbDSjPpa4cKRjMXgGXc3u7BxLoFxYoPN5xdcShr2g="), false},
		"v1 said to be v4":  {"v4", "POST", router, bodyB, "", clientSecret, "4d826d4049da4cd741bb98632e4221736cabd67bea9c6450950c82e98da44c91", false},
		"v1 without a word": {"", "POST", router, bodyB, "", clientSecret, "4d826d4049da4cd741bb98632e4221736cabd67bea9c6450950c82e98da44c91", true},
	} {
		t.Run(name, func(t *testing.T) {
			now := noon
			if ms, err := strconv.ParseInt(c.stamp, 10, 64); err == nil {
				now = time.UnixMilli(ms)
			}
			err := Verify(Signed{c.method, c.uri, []byte(c.body), signedHeader(c.scheme, c.signature, c.stamp)}, c.secret, nil, now)
			if (err == nil) != c.good {
				t.Errorf("got %v, want good: %v", err, c.good)
			}
		})
	}
}

func TestSignatureAge(t *testing.T) {
	const uri, stamp = "https://router.example.test/hooks/hubspot", "1767225600123"
	at := time.UnixMilli(1767225600123)
	for name, c := range map[string]struct {
		stamp string
		now   time.Time
		code  Code
	}{
		"at once":              {stamp, at, ""},
		"five minutes":         {stamp, at.Add(5 * time.Minute), ""},
		"and a millisecond":    {stamp, at.Add(5*time.Minute + time.Millisecond), CodeStale},
		"five minutes ahead":   {stamp, at.Add(-5 * time.Minute), ""},
		"further ahead":        {stamp, at.Add(-5*time.Minute - time.Millisecond), CodeStale},
		"no number":            {"NaN", at, CodeStale},
		"no time":              {"", at, CodeStale},
		"more than any number": {"99999999999999999999", at, CodeStale},
	} {
		t.Run(name, func(t *testing.T) {
			h := signedHeader(SignatureV3, signFor(clientSecret, uri, bodyB, c.stamp), c.stamp)
			err := Verify(Signed{"POST", uri, []byte(bodyB), h}, clientSecret, nil, c.now)
			var e *Error
			if errors.As(err, &e); (e == nil) != (c.code == "") || e != nil && e.Code != c.code {
				t.Errorf("got %v, want %q", err, c.code)
			}
		})
	}
}

// signFor is v3 written once more, for URIs without escapes.
func signFor(secret, uri, body, stamp string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte("POST" + uri + body + stamp))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

func TestABadV3IsFinal(t *testing.T) {
	h := signedHeader(SignatureV3, "wrong", "1767225600123")
	h.Set("X-HubSpot-Signature", "4d826d4049da4cd741bb98632e4221736cabd67bea9c6450950c82e98da44c91") // good as v1
	if err := Verify(Signed{"POST", "https://router.example.test/hooks/hubspot", []byte(bodyB), h}, clientSecret, nil, time.UnixMilli(1767225600123)); err == nil {
		t.Error("fell back to v1")
	}
}

func TestASourceMayDemandAScheme(t *testing.T) {
	h := signedHeader(SignatureV1, "4d826d4049da4cd741bb98632e4221736cabd67bea9c6450950c82e98da44c91", "")
	if err := Verify(Signed{"POST", "", []byte(bodyB), h}, clientSecret, []string{SignatureV2, SignatureV3}, noon); err == nil {
		t.Error("v1 was taken by a source that does not take it")
	}
}

func TestSignedWebhooksEndToEnd(t *testing.T) {
	stamp := strconv.FormatInt(noon.UnixMilli(), 10)
	const path = "/v1/ingest/hubspot/hub?tenant=acme"
	for name, public := range map[string]string{"at the root": "https://router.example.test", "under a path": "https://router.example.test/in/"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.PublicURL = public })
			sign := func(uri, body string) []string {
				return []string{"X-HubSpot-Signature-v3", signFor(clientSecret, uri, body, stamp), "X-HubSpot-Request-Timestamp", stamp}
			}
			uri := strings.TrimSuffix(public, "/") + path
			for _, body := range []string{bodyB, `{"subscriptionType":"contact.creation"}`, `[]`} {
				if rec := w.send("POST", path, body, sign(uri, body)...); rec.Code != 200 {
					t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
				}
			}
			if kept := w.log.take(); len(kept) != 2 || kept[0].Source != "hub" || string(kept[0].Body) != bodyB[1:len(bodyB)-1] {
				t.Errorf("kept %v", kept)
			}
			rec := w.send("POST", path, bodyB, sign("https://inside:8080"+path, bodyB)...)
			if rec.Code != 401 {
				t.Errorf("signed for another host: %d", rec.Code)
			}
			line := w.out.String()
			if !strings.Contains(line, `"verified_uri":"`+unsaid(uri)+`"`) || strings.Contains(line, clientSecret) {
				t.Errorf("the log says %s", line)
			}
			rec = w.send("POST", path, `{`, sign(uri, `{`)...)
			if rec.Code != 400 {
				t.Errorf("signed nonsense: %d", rec.Code)
			}
		})
	}
}
