package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/destinations/simulator"
)

// The configuration and the mapping that docs/hooks.md shows, with a billing service that signs as
// they say: its invoices are events with a value, each once, whatever it sends again.
func TestTheHooksPage(t *testing.T) {
	const secret = "a-billing-secret-of-tests"
	t.Setenv("BILLING_SECRET", secret)
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "hooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/hooks.md shows %d files", len(blocks))
	}
	_, source, _ := strings.Cut(blocks[0][1], "sources:\n")
	s := newSystem(t, systemOptions{Config: "mapping: [mappings/default.yaml, mappings/billing.yaml]"})
	s.shell("mkdir -p mappings && tributary mapping default > mappings/default.yaml")
	s.write("mappings/billing.yaml", "version: 1\nother_names: [invoice_paid]\n"+blocks[1][1]+"destinations:\n  meta:\n    invoice_paid: { event: InvoicePaid, value: amount }\n")
	text, err := os.ReadFile(filepath.Join(s.dir, "tributary.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(text), "sources:\n", "sources:\n"+source, 1)
	config = strings.Replace(config, "http: {", "http: {trusted_proxies: [127.0.0.1], ", 1)
	s.write("tributary.yaml", config)
	s.start()

	from := func(address string, at time.Time, body string) (int, string) {
		m := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(m, "%d.%s", at.Unix(), body)
		status, answer := s.post("/v1/ingest/hook/billing", []byte(body), http.Header{
			"Billing-Signature": {fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(m.Sum(nil)))}, "X-Forwarded-For": {address},
		})
		return status, string(answer)
	}
	invoice := func(id string, cents int) string {
		return fmt.Sprintf(`{"id":%q,"paid_at":%q,"total_cents":%d,"customer":{"email":"ana@example.com"},"lines":[]}`, id, hourAgo(), cents)
	}
	two := `{"invoices":[` + invoice("in_1", 1250) + `,` + invoice("in_2", 90000) + `]}`
	now := time.Now()
	for range 2 {
		if status, answer := from("203.0.113.7", now, two); status != http.StatusAccepted || strings.Count(answer, "receipt_id") != 2 {
			t.Fatalf("%d %s", status, answer)
		}
	}
	for _, c := range []struct {
		status int
		code   string
		send   func() (int, string)
	}{
		{403, "wrong_address", func() (int, string) { return from("198.51.100.7", now, two) }},
		{401, "stale_signature", func() (int, string) { return from("203.0.113.7", now.Add(-10*time.Minute), two) }},
		{202, "receipt_id", func() (int, string) { return from("203.0.113.7", now, `{"invoice":`+invoice("in_3", 5)+`}`) }}, // another shape: kept
	} {
		if status, answer := c.send(); status != c.status || !strings.Contains(answer, c.code) {
			t.Errorf("%d %s, want %d %s", status, answer, c.status, c.code)
		}
	}
	s.recorded("SELECT name, event_id, source, way, count() FROM v_events GROUP BY ALL ORDER BY event_id", "invoice_paid in_1 billing hook 1\ninvoice_paid in_2 billing hook 1")
	s.recorded("SELECT source, count() FROM v_quarantine GROUP BY source", "billing 1")
	s.until(func() bool { return s.got(simulator.Meta)["InvoicePaid"] == 2 })
	_, metrics := s.request(http.MethodGet, "/metrics", nil, nil)
	for _, want := range []string{
		`tributary_observations_total{way="hook"} 2`, `tributary_delivery_latency_seconds_count{destination="meta"} 2`, `tributary_stage_lag_records{stage="lane.meta"}`,
		`tributary_stage_oldest_seconds{stage="resolve"}`, `tributary_stage_drain_seconds{stage="resolve"}`, "tributary_log_limit_bytes 2.147483648e+09", "tributary_ingest_queue_bytes 0",
		"tributary_ingest_durable_seconds_count 3", `tributary_http_rate_limited_total{of="source"} 0`, `code="wrong_address",route="/v1/ingest/hook/:source"} 1`,
	} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if strings.Contains(s.err.String(), secret) || strings.Contains(s.err.String(), "ana@example.com") {
		t.Error("the log holds what it should not")
	}
}
