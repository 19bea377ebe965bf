package ingest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
)

const (
	workflowPath = "/v1/ingest/hubspot/hub/workflow"
	workflowURI  = "https://router.example.test" + workflowPath
)

func v2(method, uri, body string) []string {
	return []string{"X-HubSpot-Signature-Version", "v2", "X-HubSpot-Signature", signPlain(clientSecret, method, uri, body)}
}

// What a workflow shows, by the source's scheme, in POST and GET.
func TestWorkflowsAreProven(t *testing.T) {
	const body = `{"email":"ana@example.test","hs_object_id":"1001"}`
	secret := func() string { return "workflow-secret" }
	const query = "?email=ana%40example.test&hs_object_id=1001&lifecyclestage=lead"
	for name, c := range map[string]struct {
		proof   WorkflowProof
		method  string
		query   string
		body    string
		headers []string
		status  int
		code    Code
		kept    string // the receipt's body
	}{
		"signed":                      {WorkflowProof{}, "POST", "", body, v2("POST", workflowURI, body), 200, "", body},
		"signed, with a query":        {WorkflowProof{}, "POST", "?tenant=acme&event=demo_booked", body, v2("POST", workflowURI+"?tenant=acme&event=demo_booked", body), 200, "", body},
		"signed GET":                  {WorkflowProof{}, "GET", query, "", v2("GET", workflowURI+query, ""), 200, "", `{"email":"ana@example.test","hs_object_id":"1001","lifecyclestage":"lead"}`},
		"signed by the action's app":  {WorkflowProof{Scheme: WorkflowSignature, Secret: secret}, "POST", "", body, []string{"X-HubSpot-Signature-Version", "v2", "X-HubSpot-Signature", signPlain("workflow-secret", "POST", workflowURI, body)}, 200, "", body},
		"by another app":              {WorkflowProof{Secret: secret}, "POST", "", body, v2("POST", workflowURI, body), 401, CodeSignature, ""},
		"the query tampered with":     {WorkflowProof{}, "GET", query + "&x=1", "", v2("GET", workflowURI+query, ""), 401, CodeSignature, ""},
		"v1":                          {WorkflowProof{}, "POST", "", body, []string{"X-HubSpot-Signature-Version", "v1", "X-HubSpot-Signature", signPlain(clientSecret, body)}, 401, CodeSignature, ""},
		"unsigned":                    {WorkflowProof{}, "POST", "", body, nil, 401, CodeSignature, ""},
		"a key of ours":               {WorkflowProof{Scheme: WorkflowKey}, "POST", "", body, bearer("k-ingest"), 200, "", body},
		"a key of another source":     {WorkflowProof{Scheme: WorkflowKey}, "POST", "", body, bearer("k-bound"), 403, CodeScope, ""},
		"a header":                    {WorkflowProof{WorkflowHeader, "X-Flow", secret}, "POST", "", body, []string{"X-Flow", "workflow-secret"}, 200, "", body},
		"a header that is a bearer's": {WorkflowProof{WorkflowHeader, "Authorization", secret}, "POST", "", body, bearer("workflow-secret"), 200, "", body},
		"another header":              {WorkflowProof{WorkflowHeader, "X-Flow", secret}, "POST", "", body, []string{"X-Flow", "guess"}, 401, CodeBadKey, ""},
		"in the URL":                  {WorkflowProof{WorkflowQuery, "token", secret}, "GET", query + "&token=workflow-secret", "", nil, 200, "", `{"email":"ana@example.test","hs_object_id":"1001","lifecyclestage":"lead"}`},
		"not in the URL":              {WorkflowProof{WorkflowQuery, "token", secret}, "GET", query, "", nil, 401, CodeBadKey, ""},
		"a secret that is away":       {WorkflowProof{Secret: func() string { return "" }}, "POST", "", body, v2("POST", workflowURI, body), 503, CodeNoSecret, ""},
		"no JSON":                     {WorkflowProof{}, "POST", "", `a=b`, v2("POST", workflowURI, `a=b`), 400, CodeMalformed, ""},
		"odd, and kept":               {WorkflowProof{}, "POST", "", `5`, v2("POST", workflowURI, `5`), 200, "", `5`},
		"a name that stands twice":    {WorkflowProof{}, "GET", "?a=1&a=2", "", v2("GET", workflowURI+"?a=1&a=2", ""), 200, "", `{"a":["1","2"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) {
				hub := o.Sources["hub"]
				hub.Workflow = c.proof
				o.Sources["hub"] = hub
			})
			rec := w.send(c.method, workflowPath+c.query, c.body, c.headers...)
			kept := w.log.take()
			a := w.answer(rec)
			if rec.Code != c.status || a.Error != nil && a.Error.Code != c.code || (a.Error == nil) != (c.code == "") {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			if rec.Header().Get("Retry-After") != "" {
				t.Error("HubSpot would read Retry-After in milliseconds")
			}
			if c.kept == "" != (len(kept) == 0) {
				t.Fatalf("kept %d", len(kept))
			}
			if c.kept != "" && (string(kept[0].Body) != c.kept || kept[0].Source != "hub" || kept[0].Way != canonical.WayWorkflow || kept[0].Context[wire.WorkflowEvent] != map[bool]string{true: "demo_booked"}[strings.Contains(c.query, "event=")]) {
				t.Errorf("kept %s %v", kept[0].Body, kept[0])
			}
			log := w.out.String()
			for _, private := range []string{"ana", "workflow-secret", clientSecret, "guess"} {
				if strings.Contains(log, private) {
					t.Errorf("the log says %q: %s", private, log)
				}
			}
			if c.status == 401 && !strings.Contains(log, workflowPath) {
				t.Errorf("the log does not say what was verified: %s", log)
			}
		})
	}
}

// HubSpot sends again after 429 and 5xx, and reads Retry-After in milliseconds.
func TestAWorkflowIsToldNoTime(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Appender = &fakeLog{err: http.ErrHandlerTimeout} })
	rec := w.send("POST", workflowPath, `{}`, v2("POST", workflowURI, `{}`)...)
	if rec.Code != 503 || rec.Header().Get("Retry-After") != "" {
		t.Errorf("%d, Retry-After %q", rec.Code, rec.Header().Get("Retry-After"))
	}
	if rec := w.send("PUT", workflowPath, ""); rec.Code != 405 {
		t.Errorf("PUT: %d", rec.Code)
	}
}

// The address that a signature covers: as configured, else by the word of a trusted proxy.
func TestTheVerifiedAddress(t *testing.T) {
	for name, c := range map[string]struct {
		public  string
		proxies []string
		headers []string
		signed  string
		good    bool
	}{
		"configured, whatever a proxy says": {"https://in.example.com/t", []string{"192.0.2.1"}, []string{"X-Forwarded-Host", "other.example.com"}, "https://in.example.com/t", true},
		"nothing configured":                {"", nil, nil, "http://example.com", true},
		"a trusted proxy":                   {"", []string{"192.0.2.0/24"}, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "in.example.com"}, "https://in.example.com", true},
		"a trusted proxy behind another":    {"", []string{"192.0.2.1"}, []string{"X-Forwarded-Proto", "HTTPS, http", "X-Forwarded-Host", "in.example.com, inner"}, "https://in.example.com", true},
		"a scheme that is none":             {"", []string{"192.0.2.1"}, []string{"X-Forwarded-Proto", "ftp"}, "http://example.com", true},
		"a stranger's word":                 {"", []string{"198.51.100.0/24"}, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "in.example.com"}, "https://in.example.com", false},
		"a stranger's word, not taken":      {"", nil, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "in.example.com"}, "http://example.com", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.PublicURL, o.TrustedProxies = c.public, c.proxies })
			rec := w.send("POST", workflowPath, `{}`, append(v2("POST", c.signed+workflowPath, `{}`), c.headers...)...)
			if rec.Code == 200 != c.good {
				t.Errorf("%d %s\n%s", rec.Code, rec.Body, w.out)
			}
		})
	}
	if _, err := Handler(Options{Appender: &fakeLog{}, Keys: testKeys(), TrustedProxies: []string{"proxy.example.com"}}); err == nil {
		t.Error("a trusted proxy with a name was taken")
	}
}

// FuzzSignature: what was signed is taken, anything else that is sent with it is not, and no header
// brings the check down.
func FuzzSignature(f *testing.F) {
	for _, s := range [][4]string{{"POST", "/a?b=%40", "{}", "1767225600123"}, {"GET", "/?a=%2f%2F", "", "NaN"}, {"", "", "\xff", "-9223372036854775808"}} {
		f.Add(s[0], s[1], []byte(s[2]), s[3], "v2", "0")
	}
	f.Fuzz(func(t *testing.T, method, path string, body []byte, stamp, version, other string) {
		s := Signed{Method: method, URI: "https://in.example.com" + path, Body: body, Header: http.Header{}}
		now := time.UnixMilli(1767225600123)
		s.Header.Set("X-HubSpot-Signature-Version", version)
		s.Header.Set("X-HubSpot-Signature", other)
		if Verify(s, clientSecret, nil, now) == nil && !strings.EqualFold(other, signPlain(clientSecret, string(body))) && !strings.EqualFold(other, signPlain(clientSecret, method, s.URI, string(body))) {
			t.Fatal("an unsigned request was taken")
		}
		s.Header.Set("X-HubSpot-Signature-Version", "v2")
		s.Header.Set("X-HubSpot-Signature", signPlain(clientSecret, method, s.URI, string(body)))
		if err := Verify(s, clientSecret, workflowSchemes, now); err != nil {
			t.Fatalf("a good v2 was refused: %v", err)
		}
		s.Header.Set("X-HubSpot-Request-Timestamp", stamp)
		s.Header.Set("X-HubSpot-Signature-v3", signV3(s, clientSecret, stamp))
		if err := Verify(s, clientSecret, nil, now); (err == nil) != (fresh(stamp, now) == nil) {
			t.Fatalf("v3 at %q: %v", stamp, err)
		}
		s.Body = append(s.Body[:len(s.Body):len(s.Body)], 'x')
		if Verify(s, clientSecret, nil, now) == nil {
			t.Fatal("another body was taken with the signature of the first")
		}
	})
}

// FuzzWorkflowQuery: any query becomes one JSON object that is read without a fault of ours.
func FuzzWorkflowQuery(f *testing.F) {
	for _, s := range []string{"", "a=1&a=2", "email=%ff&%zz", "contact.id=1&contact=5&event=x", "=&&="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		query, _ := url.ParseQuery(raw) // what can be read of it, as net/http does
		body := queryBody(query)
		if _, fault := wire.Scan(body); fault != nil {
			t.Fatalf("%q became %s: %v", raw, body, fault)
		}
		_, _ = wire.Read(canonical.Receipt{Way: canonical.WayWorkflow, Body: body, ReceivedAt: noon}, wire.Settings{})
	})
}
