package webhook

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"tributary/destinations"
	"tributary/destinations/destinationtest"
)

var suite = destinationtest.Suite{
	Kind:     Kind(),
	Config:   "url: https://example.com/hooks/tributary?tenant=acme\nbatch: 50\n",
	Unsorted: true, // canonical types have an order of their own
	Accepts:  func(_ []destinations.Item, r destinations.Response) bool { return r.Status/100 == 2 },
}

func TestSuite(t *testing.T)      { suite.Run(t) }
func TestGolden(t *testing.T)     { suite.Golden(t) }
func TestReadme(t *testing.T)     { suite.Readme(t) }
func FuzzClassify(f *testing.F)   { suite.Fuzz(f) }
func BenchmarkBuild(b *testing.B) { suite.Bench(b) }

// Checked with: printf '{"event_id":"1"}' | openssl dgst -sha256 -hmac demo-secret
func TestSignature(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "https://example.com/", nil)
	Kind().Authorize(r, []byte(`{"event_id":"1"}`), "demo-secret")
	if got, want := r.Header.Get(SignatureHeader), "v1=22b56014266467ea8bc8541852e0c391f8bfe68dedb1e3379a6f44b07ad8a130"; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
	r = httptest.NewRequest(http.MethodPost, "https://example.com/", nil)
	Kind().Authorize(r, []byte("{}"), "")
	if got := r.Header.Get(SignatureHeader); got != "" {
		t.Errorf("without a secret: %s", got)
	}
}
