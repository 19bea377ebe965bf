package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations/catalog"
	"tributary/ingest"
	"tributary/internal/config"
)

// The source, the images and the commands that docs/pixel.md shows. Its snippets, the form and the
// calls run in a real browser: TestInteropBrowser.
func TestThePixelPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/pixel.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindStringSubmatch(string(text))
	cfg, err := config.Parse("tributary.yaml", []byte(block[1]), catalog.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	var log pageLog
	front, err := ingest.Handler(ingest.Options{Appender: &log, Keys: pageKey{}, Sources: map[string]ingest.Source{"website": {Kind: ingest.KindWebsite, Site: pagesOf(cfg.Sources["website"])}}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(address string, head http.Header) (canonical.Report, *http.Response) {
		t.Helper()
		q := httptest.NewRequest("GET", strings.NewReplacer("BROWSER_KEY", "page-key", "HASH", canonical.EmailHash("ana@example.com")).Replace(address), nil)
		q.Header = head
		rec := httptest.NewRecorder()
		front.ServeHTTP(rec, q)
		if rec.Code != http.StatusOK || len(log.receipts) != 1 {
			t.Fatalf("%s: %d %s", address, rec.Code, rec.Body)
		}
		r := log.receipts[0]
		log.receipts = nil
		report, problem := wire.Read(r, wire.Settings{})
		if problem != nil || r.Source != "website" || !r.Browser {
			t.Fatalf("%s: %v, %+v", address, problem, r)
		}
		return report, rec.Result()
	}

	images := regexp.MustCompile(`<img src="([^"]+)"`).FindAllStringSubmatch(string(text), -1)
	if len(images) != 2 {
		t.Fatalf("the page shows %d images", len(images))
	}
	mail, answer := ask(images[0][1], http.Header{"User-Agent": {"Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"}})
	if mail.Touch == nil || mail.Touch.Kind != "email_open" || mail.Touch.Campaign != "spring" || mail.Touch.Subject != "News" || !strings.HasPrefix(string(mail.EventID), "spring-") ||
		len(mail.Identifiers) != 1 || mail.Identifiers[0] != (canonical.Identifier{Scheme: canonical.Email, Value: canonical.EmailHash("ana@example.com")}) {
		t.Errorf("a mail's image is %+v, touch %+v", mail, mail.Touch)
	}
	if len(answer.Cookies()) != 0 {
		t.Error("a mail's image sets a cookie")
	}
	chrome := "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
	view, answer := ask(images[1][1], http.Header{"User-Agent": {chrome}, "Referer": {"https://www.acme.example/pricing?gclid=G-1"}, "Sec-Fetch-Site": {"same-site"}})
	if set := answer.Cookies(); view.Touch == nil || view.Touch.Kind != "ad_click" || view.Touch.Page != "https://www.acme.example/pricing" || len(set) != 1 || set[0].Domain != "acme.example" || set[0].MaxAge != 9480*3600 {
		t.Errorf("a page without scripts is %+v with cookies %v", view.Touch, set)
	}
	if no, answer := ask(images[1][1], http.Header{"User-Agent": {chrome}, "Referer": {"https://www.acme.example/?gclid=G-2"}, "Sec-Fetch-Site": {"same-site"}, "Sec-Gpc": {"1"}}); !no.Consent.DeniesAds() || len(answer.Cookies()) != 0 {
		t.Errorf("Global Privacy Control is not respected: %+v", no.Consent)
	}

	commands := regexp.MustCompile(`(?m)^tributary ((?:[a-z]+ )+)`).FindAllStringSubmatch(string(text), -1)
	for _, m := range commands {
		var out bytes.Buffer
		if err := run(t.Context(), append(strings.Fields(m[1]), "--help"), nil, &out, &out); err != nil || !strings.Contains(out.String(), "tributary "+m[1]) {
			t.Errorf("there is no command %s: %v", m[1], err)
		}
	}
	if len(commands) != 3 {
		t.Errorf("the page shows %d commands", len(commands))
	}
}

// pageKey is a browser key of the source website.
type pageKey struct{}

func (pageKey) Find(secret string) (ingest.Key, bool) {
	return ingest.Key{Name: "page", Source: "website", Scopes: []ingest.Scope{ingest.ScopeBrowser}, Created: time.Now()}, secret == "page-key"
}

// pageLog is a log in memory.
type pageLog struct{ receipts []canonical.Receipt }

func (k *pageLog) Append(_ context.Context, rs ...canonical.Receipt) error {
	k.receipts = append(k.receipts, rs...)
	return nil
}
