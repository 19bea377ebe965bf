package ingest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
)

// nowhere is an Appender that keeps nothing.
type nowhere struct{}

func (nowhere) Append(context.Context, ...canonical.Receipt) error { return nil }

const benchEvent = `{"event_id":"27caec5ade10f667c4a05e8387c5d97dac8c1be9ea715e820de22ab9fcdb91ff","event":"lead_stage_changed","source":"hubspot","occurred_at":"2026-04-23T11:04:19Z","user_data":{"email":"buyer@acme.example"},"account_data":{"domain":"acme.example"},"custom_data":{"hubspot_contact_id":"102948","hubspot_lifecycle_stage":"marketingqualifiedlead"}}`

// discard is a response that nobody reads.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func benchHandler(b *testing.B, h http.Handler, body string) {
	req := httptest.NewRequest("POST", "/v1/events", nil)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer k-ingest")
	req.ContentLength = int64(len(body))
	r := strings.NewReader(body)
	req.Body = io.NopCloser(r)
	w := discard{make(http.Header)}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r.Reset(body)
		clear(w.h)
		h.ServeHTTP(w, req)
	}
}

func BenchmarkEvents(b *testing.B) {
	keys := testKeys()
	k := keys["k-ingest"]
	k.Hash, k.Rate = strings.Repeat("ab", 32), Rate{PerSecond: 1e6, Burst: 1 << 40} // counted, and never refused
	keys["k-ingest"] = k
	front, err := Handler(Options{Appender: nowhere{}, Keys: keys})
	if err != nil {
		b.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	bare := gin.New()
	bare.POST("/v1/events", func(c *gin.Context) {
		if _, err := io.ReadAll(c.Request.Body); err != nil {
			c.Status(400)
			return
		}
		c.Data(202, jsonType, []byte(`{"ok":true}`))
	})
	b.Run("bare gin", func(b *testing.B) { benchHandler(b, bare, benchEvent) })
	b.Run("one", func(b *testing.B) { benchHandler(b, front, benchEvent) })
	b.Run("100", func(b *testing.B) { benchHandler(b, front, "["+strings.Repeat(benchEvent+",", 99)+benchEvent+"]") })
}

func BenchmarkKeyFind(b *testing.B) {
	s, err := OpenKeys(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	secret, _, err := s.Create(NewKey{Name: "a", Scopes: []Scope{ScopeIngest}}, noon)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Find(secret); !ok {
			b.Fatal("not found")
		}
	}
}
