package ingest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tributary/canonical/wire"
)

// acmeSite is a website with all that can be said of one.
var acmeSite = Site{
	Origins: []string{"https://acme.example", "https://*.acme.example"}, Cookie: SiteCookie{Domain: "acme.example", Life: 395 * 24 * time.Hour}, Respect: []string{"gpc", "dnt"},
}

const (
	chromeAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
	aView       = `{"event":"page_view","anonymous_id":"a-77"}`
)

// Which pages may send with a key, and read the answer.
func TestPagesOfASite(t *testing.T) {
	for _, c := range []struct {
		key, origin string
		status      int
		allowed     string // to read
	}{
		{"k-browser", "https://anybody.example", 202, "*"},
		{"k-browser", "", 202, "*"},
		{"k-acme", "https://acme.example", 202, "https://acme.example"},
		{"k-acme", "https://www.acme.example", 202, "https://www.acme.example"},
		{"k-acme", "https://a.b.acme.example", 202, "https://a.b.acme.example"},
		{"k-acme", "http://www.acme.example", 403, ""},
		{"k-acme", "https://acme.example.evil.example", 403, ""},
		{"k-acme", "https://notacme.example", 403, ""},
		{"k-acme", "https://acme.example:8443", 403, ""},
		{"k-acme", "null", 403, ""},
		{"k-acme", "", 202, ""}, // no page
	} {
		w := newWorld(t)
		h := []string{"Content-Type", "text/plain;charset=UTF-8", "User-Agent", chromeAgent}
		if c.origin != "" {
			h = append(h, "Origin", c.origin)
		}
		rec := w.send("POST", "/v1/ingest/pixel?key="+c.key, aView, h...)
		if got := rec.Header().Get("Access-Control-Allow-Origin"); rec.Code != c.status || got != c.allowed {
			t.Errorf("%s from %q: %d, may be read by %q; want %d, %q", c.key, c.origin, rec.Code, got, c.status, c.allowed)
		}
		if kept := len(w.log.take()); (kept == 1) != (c.status == 202) {
			t.Errorf("%s from %q: %d with %d receipts", c.key, c.origin, rec.Code, kept)
		}
		pre := w.send("OPTIONS", "/v1/ingest/pixel?key="+c.key, "", "Origin", c.origin, "Access-Control-Request-Method", "POST")
		if got := pre.Header().Get("Access-Control-Allow-Origin"); pre.Code != 204 || got != c.allowed {
			t.Errorf("%s from %q: asked beforehand %d %q, want %q", c.key, c.origin, pre.Code, got, c.allowed)
		}
	}
}

// A page may read why it was refused, also with its cookie along: it would else take a body that is
// too large for a router that is away, and send it for days.
func TestAPageReadsWhyItWasRefused(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Limits.Body = 100 })
	for name, c := range map[string]struct {
		path, body, kind string
		status           int
	}{
		"too large": {"?key=k-acme", `{"event":"x","a":"` + strings.Repeat("x", 100) + `"}`, "text/plain", 413},
		"no JSON":   {"?key=k-acme", `{`, "text/plain", 400},
		"a form":    {"?key=k-acme", `a=b`, "application/x-www-form-urlencoded", 415},
		"its key":   {"", `{"key":"k-acme","event":5}`, "text/plain", 202},
	} {
		rec := w.send("POST", "/v1/ingest/pixel"+c.path, c.body, "Content-Type", c.kind, "Origin", "https://www.acme.example", "User-Agent", chromeAgent)
		if h := rec.Header(); rec.Code != c.status || h.Get("Access-Control-Allow-Origin") != "https://www.acme.example" || h.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%s: %d %v", name, rec.Code, h)
		}
	}
}

// A key that stands in a page is good for that page's events and nothing else.
func TestABrowserKeyDoesNothingElse(t *testing.T) {
	w := newWorld(t)
	for _, route := range []struct{ method, path string }{
		{"POST", "/v1/events"}, {"POST", "/v1/ingest/crm"}, {"POST", "/v1/ingest/hubspot/free"}, {"POST", "/v25.0/1/events"}, {"POST", "/v1/replay"},
		{"GET", "/v1/receipts/r"}, {"GET", "/v1/events/e"}, {"GET", "/v1/balances"}, {"POST", "/v1/receipts/r/rerun"},
	} {
		if rec := w.send(route.method, route.path, `{"data":[{}]}`, bearer("k-acme")...); rec.Code != 403 {
			t.Errorf("%s %s: %d %s", route.method, route.path, rec.Code, rec.Body)
		}
	}
	for source, want := range map[string]string{"hub": "bad_source", "emea": "bad_source", "meta": "bad_source", "nowhere": "bad_source", "shop": "", "web": ""} {
		rec := w.send("POST", "/v1/ingest/pixel?key=k-browser", `{"event":"page_view","source":"`+source+`"}`)
		if (rec.Code == 202) != (want == "") || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("source %s: %d %s", source, rec.Code, rec.Body)
		}
	}
}

// The id that the page's script made is set again by the server, which browsers let live longer.
func TestTheCookieOfTheServer(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	page := []string{"Origin", "https://www.acme.example", "User-Agent", chromeAgent}
	for name, c := range map[string]struct {
		method, path string
		headers      []string
		set, kept    string
	}{
		"renewed":                        {"POST", "/v1/ingest/pixel?key=k-acme", append([]string{"Cookie", "x=1; _trb=" + id}, page...), id, id},
		"no id yet: the script's":        {"POST", "/v1/ingest/pixel?key=k-acme", page, "", ""},
		"an id of another form":          {"POST", "/v1/ingest/pixel?key=k-acme", append([]string{"Cookie", "_trb=<b>"}, page...), "", ""},
		"a site without":                 {"POST", "/v1/ingest/pixel?key=k-browser", append([]string{"Cookie", "_trb=" + id}, page...), "", ""},
		"the browser says no":            {"POST", "/v1/ingest/pixel?key=k-acme", append([]string{"Cookie", "_trb=" + id, "Sec-GPC", "1"}, page...), "", ""},
		"a no to storing":                {"POST", "/v1/ingest/pixel?key=k-acme&body=no", append([]string{"Cookie", "_trb=" + id}, page...), "", id},
		"image of a page with scripts":   {"GET", "/v1/pixel.gif?key=k-acme", []string{"Cookie", "_trb=" + id, "User-Agent", chromeAgent}, id, id},
		"image of a page without":        {"GET", "/v1/pixel.gif?key=k-acme", []string{"Sec-Fetch-Site", "same-site", "User-Agent", chromeAgent}, "new", "new"},
		"image of a page, ads denied":    {"GET", "/v1/pixel.gif?key=k-acme&ad_storage=denied", []string{"Sec-Fetch-Site", "same-site", "User-Agent", chromeAgent}, "", ""},
		"image in a mail":                {"GET", "/v1/pixel.gif?key=k-acme&event=email_open", []string{"Sec-Fetch-Site", "cross-site", "User-Agent", chromeAgent}, "", ""},
		"image, a no in other words":     {"GET", "/v1/pixel.gif?key=k-acme&ad_storage=False", []string{"Cookie", "_trb=" + id, "User-Agent", chromeAgent}, "", ""},
		"a no beside the other fields":   {"POST", "/v1/ingest/pixel?key=k-acme&body=beside", append([]string{"Cookie", "_trb=" + id}, page...), "", id},
		"a link to the image, elsewhere": {"GET", "/v1/pixel.gif?key=k-acme&event=identify&email=mallory@example.com", []string{"Cookie", "_trb=" + id, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "User-Agent", chromeAgent}, "", ""},
		"a link to the image, in a mail": {"GET", "/v1/pixel.gif?key=k-acme&event=identify&email=mallory@example.com", []string{"Cookie", "_trb=" + id, "Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "User-Agent", chromeAgent}, "", ""},
		"image that a crawler asks for":  {"GET", "/v1/pixel.gif?key=k-acme", []string{"Sec-Fetch-Site", "same-site", "User-Agent", "Googlebot/2.1"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			body := `{"event":"page_view"}`
			if strings.HasSuffix(c.path, "&body=no") {
				body = `[{"event":"identify","consent":{"ad_storage":false}}]`
			}
			if strings.HasSuffix(c.path, "&body=beside") {
				body = `[{"event":"identify","ad_storage":"denied"}]`
			}
			rec := w.send(c.method, c.path, body, c.headers...)
			set, kept := "", w.log.take()[0].Context["cookie"]
			for _, k := range rec.Result().Cookies() {
				set = k.Value
				if k.Name != "_trb" || k.Domain != "acme.example" || k.Path != "/" || !k.Secure || k.HttpOnly || k.SameSite != http.SameSiteLaxMode || k.MaxAge != 395*24*3600 {
					t.Errorf("cookie %s", k)
				}
			}
			if c.set == "new" {
				if len(set) != 32 || set != kept {
					t.Errorf("set %q, kept %q", set, kept)
				}
				return
			}
			if rec.Code/100 != 2 || set != c.set || kept != c.kept {
				t.Errorf("%d, set %q, kept %q; want %q, %q", rec.Code, set, kept, c.set, c.kept)
			}
		})
	}
}

// What no person saw is counted by its reason and never lost without one: quarantined, refused
// or kept as the source says.
func TestWhatNobodySaw(t *testing.T) {
	const image, post = "/v1/pixel.gif?anonymous_id=a-77&key=", "/v1/ingest/pixel?key="
	for _, c := range []struct {
		method, path string
		headers      []string
		why          string
	}{
		{"GET", image, []string{"User-Agent", chromeAgent}, ""},
		{"GET", image, nil, ""},
		{"GET", image, []string{"User-Agent", "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"}, ""},
		{"GET", image, []string{"User-Agent", "Mozilla/5.0"}, ""},
		{"POST", post, []string{"User-Agent", "Mozilla/5.0 (Linux; Android 14; CUBOT X30) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36"}, ""},
		{"POST", post, []string{"User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}, "crawler"},
		{"POST", post, []string{"User-Agent", "facebookexternalhit/1.1"}, "crawler"},
		{"GET", image, []string{"User-Agent", "python-requests/2.32"}, "crawler"},
		{"POST", post, []string{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/141.0.0.0 Safari/537.36"}, "headless"},
		{"GET", image, []string{"User-Agent", chromeAgent, "Sec-Purpose", "prefetch;prerender"}, "prefetch"},
		{"GET", image, []string{"User-Agent", chromeAgent, "Purpose", "prefetch"}, "prefetch"},
		{"GET", image, []string{"User-Agent", chromeAgent, "X-Moz", "prefetch"}, "prefetch"},
		{"HEAD", image, []string{"User-Agent", chromeAgent}, "head"},
	} {
		for _, bots := range []string{"", BotsQuarantine, BotsRefuse, BotsKeep} {
			w := newWorld(t, func(o *Options) { o.Sources["web"] = Source{Kind: KindWebsite, Site: Site{Bots: bots}} })
			rec := w.send(c.method, c.path+"k-browser", aView, c.headers...)
			kept := w.log.take()
			name := fmt.Sprintf("%s %v with bots %q", c.method, c.headers, bots)
			if rec.Code/100 != 2 {
				t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
			}
			wantKept := c.why == "" || c.why != "head" && bots != BotsRefuse
			if (len(kept) == 1) != wantKept {
				t.Errorf("%s: %d receipts", name, len(kept))
			}
			if len(kept) == 1 {
				_, problem := wire.Read(kept[0], wire.Settings{KeepBots: bots == BotsKeep})
				if held := c.why != "" && bots != BotsKeep; (problem != nil) != held || held && (problem.Code != wire.CodeBot || !strings.Contains(problem.Detail, c.why)) {
					t.Errorf("%s: read with %v", name, problem)
				}
			}
			metrics := w.send("GET", "/metrics", "").Body.String()
			for _, why := range unseenReasons {
				want := 0
				if why == c.why {
					want = 1
				}
				if line := fmt.Sprintf("tributary_pixel_unseen_total{reason=%q} %d\n", why, want); !strings.Contains(metrics, line) {
					t.Errorf("%s: metrics have no %s", name, line)
				}
			}
			server := w.send("POST", "/v1/ingest/pixel", aView, append(bearer("k-ingest"), c.headers...)...)
			if kept := w.log.take(); server.Code != 202 || len(kept) != 1 || kept[0].Context["bot"] != "" {
				t.Errorf("%s: of a server with its own key: %d %v", name, server.Code, kept)
			}
		}
	}
}

// Nobody who reads in a browser of their own, or in an app's, is taken for a machine.
func TestPeoplesBrowsers(t *testing.T) {
	for _, agent := range []string{
		chromeAgent,
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/141.0.7390.41 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/530.0.0.44.72;FBBV/786543210;FBDV/iPhone15,2;FBMD/iPhone;FBSN/iOS;FBSV/18.5;FBSS/3;FBID/phone;FBLC/en_US;FBOP/5]",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 390.0.0.28.85 (iPhone15,2; iOS 18_5; en_US; en; scale=3.00; 1179x2556; 754118265)",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [LinkedInApp]/9.30.1234",
		"Mozilla/5.0 (Linux; Android 15; SM-S918B Build/AP3A.240905.015; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/141.0.7390.97 Mobile Safari/537.36 musical_ly_2023 trill_401 BytedanceWebview/d8a21c6",
		"Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-A546B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (Linux; Android 13; CUBOT NOTE 50) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 OPR/122.0.0.0",
		"Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko",
		"Opera/9.80 (Android; Opera Mini/36.2/191.256; U; en) Presto/2.12.423 Version/12.16",
	} {
		if why := unseenAgent(agent); why != "" {
			t.Errorf("%s is taken for a %s", agent, why)
		}
	}
}
