//go:build interop

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"tributary/canonical"
	"tributary/ingest"
)

// A person of the test reads acme.localhost in a real browser. The source, the snippet and the form
// are those of docs/pixel.md, with the host, the key and the port changed.
func TestInteropBrowser(t *testing.T) {
	w := newWeb(t)
	t.Run("click, form, one person", w.onePerson)
	t.Run("history", w.history)
	t.Run("hashes", w.hashes)
	t.Run("cookies refused", w.cookiesRefused)
	t.Run("no secure context", w.insecure)
	t.Run("consent", w.consent)
	t.Run("consent taken back", w.takenBack)
	t.Run("global privacy control", w.privacyControl)
	t.Run("calls before the script", w.early)
	t.Run("tag manager", w.tagManager)
	t.Run("beacon", w.beacon)
	t.Run("nothing lost", w.nothingLost)
	t.Run("router away", w.away) // last: it stops the router
}

// A web is a router, the pages of a site and what sends them to a browser.
type web struct {
	t         *testing.T
	s         *system
	pages     *httptest.Server
	port      string // of the pages
	router    string // its address as pages name it
	key       string
	artifacts string
	page      string // docs/pixel.md
}

var pixelBlock = regexp.MustCompile("(?ms)^```(yaml|html|js)\n(.*?)^```$")

// block gives the first block of docs/pixel.md in a language that holds a text.
func (w *web) block(language, holds string) string {
	w.t.Helper()
	for _, m := range pixelBlock.FindAllStringSubmatch(w.page, -1) {
		if m[1] == language && strings.Contains(m[2], holds) {
			return m[2]
		}
	}
	w.t.Fatalf("docs/pixel.md has no %s with %s", language, holds)
	return ""
}

func newWeb(t *testing.T) *web {
	text, err := os.ReadFile("../../docs/pixel.md")
	if err != nil {
		t.Fatal(err)
	}
	w := &web{t: t, page: string(text), artifacts: os.Getenv("TRIBUTARY_ARTIFACTS")}
	if w.artifacts == "" {
		w.artifacts = t.TempDir()
	}
	if err := os.MkdirAll(w.artifacts, 0o755); err != nil {
		t.Fatal(err)
	}
	w.pages = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.pages.Close)
	_, w.port, _ = strings.Cut(strings.TrimPrefix(w.pages.URL, "http://"), ":")

	w.s = newSystem(t, systemOptions{})
	_, source, _ := strings.Cut(w.block("yaml", "kind: website"), "  website:\n")
	source = strings.NewReplacer("https://*.acme.example", "http://*.acme.localhost:"+w.port, "https://acme.example", "http://acme.localhost:"+w.port, "domain: acme.example", "domain: acme.localhost").Replace(source)
	config := filepath.Join(w.s.dir, "tributary.yaml")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	w.s.write("tributary.yaml", strings.Replace(string(b), "  website: {kind: website}\n", "  website:\n"+source+"  plain: {kind: website}\n", 1))
	_, port, _ := strings.Cut(w.s.address, ":")
	w.router = "http://t.acme.localhost:" + port
	keys, err := ingest.OpenKeys(filepath.Join(w.s.dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	if w.key, _, err = keys.Create(ingest.NewKey{Name: "website", Scopes: []ingest.Scope{ingest.ScopeBrowser}, Source: "website"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	plain, _, err := keys.Create(ingest.NewKey{Name: "plain", Scopes: []ingest.Scope{ingest.ScopeBrowser}, Source: "plain"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	plainKey = plain
	w.s.start()
	return w
}

// plainKey is of a site that says nothing of its pages.
var plainKey string

// serve answers any address of the site: /<kind>/…, where the kind says what the snippet has more.
func (w *web) serve(rw http.ResponseWriter, q *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(q.URL.Path, "/"), "/", 2)
	kind, rest := parts[0], ""
	if len(parts) > 1 {
		rest = parts[1]
	}
	if kind == "favicon.ico" {
		http.NotFound(rw, q)
		return
	}
	snippet := w.block("html", "data-key")
	more := map[string]string{"wait": ` data-consent="wait"`, "gpc": ` data-respect="gpc"`, "all": ` data-forms="all"`}[kind]
	key := w.key
	switch {
	case kind == "gtm":
		snippet = w.block("html", "tributaryOptions")
	case strings.HasPrefix(q.Host, "www.acme.test"):
		key = plainKey
		snippet = strings.Replace(snippet, ` data-cookie="server"`, "", 1)
	}
	snippet = strings.Replace(snippet, "></script>", more+"></script>", 1)
	snippet = strings.NewReplacer("https://t.acme.example", w.routerOf(q.Host), "BROWSER_KEY", key).Replace(snippet)
	early := ""
	if rest == "early" {
		early = `<script>tributary.track("pricing_viewed", {plan: "team"}); tributary.identify({user_id: "u-early"})</script>`
	}
	form := strings.Replace(w.block("html", "data-tributary=\"demo\""), `action="/thanks"`, `action="/`+kind+`/thanks"`, 1)
	body := fmt.Sprintf(`<h1>%s</h1><p><a id="next" href="/%s/demo">A demo</a></p><p>Cookies: <code id="c"></code></p>%s`, q.URL.Path, kind, form)
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(rw, "<!doctype html><html><head><meta charset=utf-8><title>Acme %s</title>%s%s</head><body>%s<script>document.getElementById('c').textContent = document.cookie</script></body></html>", q.URL.Path, snippet, early, body)
}

func (w *web) routerOf(host string) string {
	if strings.HasPrefix(host, "www.acme.test") {
		return strings.Replace(w.router, "t.acme.localhost", "t.acme.test", 1)
	}
	return w.router
}

// at is an address of the site.
func (w *web) at(path string) string { return "http://www.acme.localhost:" + w.port + path }

// A visitor is one browser with a history of its own.
type visitor struct {
	*web
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	events []map[string]any // sent, each as often as it was
	errors []string         // of scripts
}

// visitor opens a new browser. cookies false refuses them, as a setting of the browser.
func (w *web) visitor(t *testing.T, cookies bool) *visitor {
	t.Helper()
	profile := t.TempDir()
	if !cookies {
		if err := os.MkdirAll(filepath.Join(profile, "Default"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(profile, "Default", "Preferences"), []byte(`{"profile":{"default_content_setting_values":{"cookies":2}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("host-resolver-rules", "MAP *.acme.test 127.0.0.1"),
		chromedp.UserAgent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"),
		chromedp.WindowSize(900, 600), chromedp.WSURLReadTimeout(time.Minute),
	)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() { cancel(); stop() })
	v := &visitor{web: w, t: t, ctx: ctx}
	v.run()
	if err := chromedp.Listen(ctx, v.heard); err != nil {
		t.Fatal(err)
	}
	var end context.CancelFunc
	v.ctx, end = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(end)
	return v
}

// heard keeps what the page sent and what went wrong in it.
func (v *visitor) heard(e any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e := e.(type) {
	case *network.EventRequestWillBeSent:
		if !strings.Contains(e.Request.URL, "/v1/ingest/pixel") || e.Request.Method != http.MethodPost {
			return
		}
		var text []byte
		for _, p := range e.Request.PostDataEntries {
			text = append(text, p.Bytes...)
		}
		var body struct{ Events []map[string]any }
		if err := json.Unmarshal(text, &body); err != nil {
			v.errors = append(v.errors, "sent no JSON: "+string(text))
		}
		v.events = append(v.events, body.Events...)
	case *runtime.EventExceptionThrown:
		v.errors = append(v.errors, fmt.Sprintf("%+v", *e.ExceptionDetails))
	}
}

func (v *visitor) run(steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	if err := chromedp.Do(v.ctx, steps...); err != nil {
		v.t.Fatal(err)
	}
}

func (v *visitor) eval(js string) string {
	v.t.Helper()
	out, err := chromedp.Run(v.ctx, chromedp.Evaluate[string]("String("+js+")"))
	if err != nil {
		v.t.Fatalf("%s: %v", js, err)
	}
	return out
}

// until waits for something to be so in the page, which may be another one by then.
func (v *visitor) until(js string) {
	v.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		is, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool]("!!("+js+")"))
		if err == nil && is {
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("%s did not come to be: %v", js, err)
		}
	}
}

// shot keeps a picture of what the visitor sees.
func (v *visitor) shot(name string) {
	v.t.Helper()
	v.eval("document.getElementById('c').textContent = document.cookie")
	png, err := chromedp.Run(v.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		v.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(v.artifacts, "browser-"+name+".png"), png, 0o644); err != nil {
		v.t.Fatal(err)
	}
}

// sent gives the events sent by now, each once.
func (v *visitor) sent() []map[string]any {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []map[string]any
	for _, e := range v.events {
		if !slices.ContainsFunc(out, func(o map[string]any) bool { return o["event_id"] == e["event_id"] }) {
			out = append(out, e)
		}
	}
	return out
}

// await waits until so many events were sent, and a moment longer for one too many.
func (v *visitor) await(n int) []map[string]any {
	v.t.Helper()
	for deadline := time.Now().Add(time.Minute); len(v.sent()) < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			v.t.Fatalf("sent %v, want %d events; errors %v", v.sent(), n, v.errors)
		}
	}
	time.Sleep(150 * time.Millisecond)
	if got := v.sent(); len(got) != n {
		v.t.Fatalf("sent %v, want %d events", got, n)
	}
	return v.sent()
}

// well fails the test where a script of the page threw something.
func (v *visitor) well() {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.errors) > 0 {
		v.t.Errorf("in the page: %v", v.errors)
	}
}

// stored tells what the browser keeps of ours.
func (v *visitor) stored() string {
	return v.eval(`document.cookie + " " + Object.keys(localStorage) + " " + Object.keys(sessionStorage)`)
}

func (v *visitor) fill(email string) {
	v.t.Helper()
	v.run(chromedp.SendKeys(chromedp.CSS("input[type=email]"), email), chromedp.Click(chromedp.CSS("button")))
	v.until(`location.pathname.endsWith("/thanks")`)
}

// Two pages, a click id on the first, a form on the second, and a stage in the CRM: one person, to whom
// the click is credited.
func (w *web) onePerson(t *testing.T) {
	v := w.visitor(t, true)
	began := time.Now()
	v.run(chromedp.Navigate(w.at("/shop/pricing?gclid=Cj0-Test&utm_source=google&utm_medium=cpc&utm_campaign=spring")))
	v.await(1)
	v.shot("1-landing")
	v.run(chromedp.Click(chromedp.CSS("#next")))
	v.until(`location.pathname == "/shop/demo"`)
	v.await(2)
	v.shot("2-form")
	v.fill(" Ana.Muster@Example.com")
	events := v.await(4)
	v.shot("3-thanks")
	v.well()

	form := events[2]
	if form["event"] != "form_submitted" || form["form"] != "demo" || form["email_sha256"] != canonical.EmailHash("ana.muster@example.com") {
		t.Errorf("the form was sent as %v", form)
	}
	click, _ := form["clicks"].(map[string]any)["gclid"].(map[string]any)
	at, _ := click["at"].(float64)
	if d := time.UnixMilli(int64(at)).Sub(began); click["id"] != "Cj0-Test" || d < 0 || d > time.Minute {
		t.Errorf("the form carries the click %v, %v after it began", click, d)
	}
	if all := fmt.Sprint(events); strings.Contains(strings.ToLower(all), "muster") {
		t.Errorf("an address in the clear: %s", all)
	}
	cookie := v.eval(`document.cookie.match(/_trb=([^;]*)/)[1]`)
	for _, e := range events {
		if e["anonymous_id"] != cookie {
			t.Errorf("%v is of another visitor than %s", e, cookie)
		}
	}
	v.cookieOfTheServer(cookie)

	email := canonical.EmailHash("ana.muster@example.com")
	w.s.send("/v1/events", fmt.Sprintf(`{"event":"lead_stage_changed","source":"crm","occurred_at":%q,"user_data":{"email":"ana.muster@example.com"},"custom_data":{"hubspot_contact_id":"501","hubspot_lifecycle_stage":"marketingqualifiedlead"}}`,
		time.Now().UTC().Format(time.RFC3339Nano)))
	w.s.recorded(fmt.Sprintf("SELECT scheme, value FROM v_nodes WHERE root = (SELECT root FROM v_nodes WHERE scheme = 'anonymous' AND value = '%s') ORDER BY scheme", cookie),
		"anonymous "+cookie+"\nemail "+email+"\ngclid Cj0-Test\nhubspot_contact 501")
	w.s.recorded("SELECT kind, platform, utm_campaign, form FROM v_touches WHERE source = 'website' AND person = (SELECT root FROM v_nodes WHERE scheme = 'email' AND value = '"+email+"') ORDER BY touch_at, event_id",
		"ad_click google spring \npage_view   \nform   demo\npage_view   ")
	w.s.recorded("SELECT c.name, c.model, c.campaign, c.platform, c.touch_kind FROM v_credit AS c WHERE scope = 'person' AND model = 'first_touch' AND person = (SELECT root FROM v_nodes WHERE scheme = 'email' AND value = '"+email+"')",
		"qualified_lead first_touch spring google ad_click")
}

// cookieOfTheServer looks at the cookie as the browser keeps it: with one domain, for as long as the
// configuration says.
func (v *visitor) cookieOfTheServer(value string) {
	v.t.Helper()
	var kept []*network.Cookie
	v.run(func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		got, err := cdp.Call(ctx, tab, network.GetCookies, network.GetCookiesParams{})
		kept = got.Cookies
		return chromedp.Void{}, err
	})
	kept = slices.DeleteFunc(kept, func(c *network.Cookie) bool { return c.Name != "_trb" })
	if len(kept) != 1 || kept[0].Value != value || kept[0].Domain != ".acme.localhost" || kept[0].SameSite != network.CookieSameSiteLax || kept[0].HTTPOnly || !kept[0].Secure {
		v.t.Fatalf("kept cookies %+v", kept)
	}
	if life := time.Until(time.Unix(int64(kept[0].Expires), 0)); life < 394*24*time.Hour || life > 396*24*time.Hour {
		v.t.Errorf("the cookie lives %v", life)
	}
}

// One page view for each address shown, whatever a framework does with the history.
func (w *web) history(t *testing.T) {
	v := w.visitor(t, true)
	v.run(chromedp.Navigate(w.at("/spa/a")))
	v.await(1)
	step := func(js string, want int) {
		t.Helper()
		v.eval("(() => {" + js + "})()")
		v.await(want)
	}
	step(`history.pushState({}, "", "/spa/b"); history.replaceState({n: 1}, "", "/spa/b")`, 2)
	step(`history.replaceState({n: 2}, "", "/spa/b"); history.pushState({}, "", "/spa/b#part"); location.hash = "other"`, 2)
	step(`history.pushState({}, "", "/spa/c"); history.replaceState({}, "", "/spa/d?gclid=spa-1")`, 3)
	step(`history.go(-1)`, 4)
	v.well()
	var got []string
	for _, e := range v.sent() {
		u, err := url.Parse(e["url"].(string))
		if err != nil {
			t.Fatal(err)
		}
		from := ""
		if text, ok := e["referrer"].(string); ok {
			_, from, _ = strings.Cut(text, w.port)
		}
		got = append(got, u.RequestURI()+" from "+from)
	}
	if got, want := strings.Join(got, ", "), "/spa/a from , /spa/b from /spa/a, /spa/d?gclid=spa-1 from /spa/b, /spa/b from /spa/d?gclid=spa-1"; got != want {
		t.Errorf("page views %s\nwant       %s", got, want)
	}
	v.shot("4-history")
}

// An address is hashed in the browser exactly as canonical hashes it.
func (w *web) hashes(t *testing.T) {
	v := w.visitor(t, true)
	v.run(chromedp.Navigate(w.at("/shop/hashes")))
	v.await(1)
	addresses := []string{
		"ana@example.com", " Ana.B+tag@EXAMPLE.com\t", "a n a@example.com", "ana\u00a0@example.com", "ana\u0085\u3000@example.com", "\ufeffana@example.com", "JOSE\u0301@example.com",
		"\u0130stanbul@example.com", "\u03a3\u0391\u03a3@example.gr", "STRA\u1e9eE@example.de", "\u01c5x@example.com", "x@b\u00fccher.example", "a@b", "a@.b.c", "a@b.c.", "a@b..c", "a@@b.c", "@b.c", "a@b@c.d", "", "nobody",
	}
	list, err := json.Marshal(addresses)
	if err != nil {
		t.Fatal(err)
	}
	v.eval(string(list) + `.forEach((a, i) => tributary.track("hashed_" + i, {email: a}))`)
	got := map[string]any{}
	for _, e := range v.await(1 + len(addresses)) {
		got[fmt.Sprint(e["event"])] = e["email_sha256"]
	}
	for i, a := range addresses {
		want := any(canonical.EmailHash(a))
		if want == "" {
			want = nil
		}
		if g := got[fmt.Sprintf("hashed_%d", i)]; g != want {
			t.Errorf("%q is hashed to %v, want %v", a, g, want)
		}
	}
	v.well()
}

// Where the browser refuses cookies and storage, events go all the same and nothing throws.
func (w *web) cookiesRefused(t *testing.T) {
	v := w.visitor(t, false)
	v.run(chromedp.Navigate(w.at("/shop/refused?li_fat_id=refused-1")))
	v.await(1)
	if got := v.eval(`document.cookie + (() => { try { return localStorage.length } catch (e) { return "refused" } })()`); got != "refused" {
		t.Fatalf("the browser stores after all: %q", got)
	}
	v.eval(`tributary.track("clicked_about", {})`)
	v.await(2)
	v.fill("rita@example.com")
	events := v.await(4)
	v.shot("5-cookies-refused")
	v.well()
	if a, b := events[0]["anonymous_id"], events[1]["anonymous_id"]; a != b || a == "" || a != events[2]["anonymous_id"] || a == events[3]["anonymous_id"] {
		t.Errorf("visitors of one page and the next: %v", events)
	}
	w.s.recorded("SELECT scheme FROM v_nodes WHERE root = (SELECT root FROM v_nodes WHERE scheme = 'email' AND value = '"+canonical.EmailHash("rita@example.com")+"') ORDER BY scheme", "anonymous\nemail\nli_fat_id")
}

// Without crypto.subtle an address stays in the page, and the event says so.
func (w *web) insecure(t *testing.T) {
	v := w.visitor(t, true)
	v.run(chromedp.Navigate("http://www.acme.test:" + w.port + "/shop/demo"))
	v.await(1)
	v.fill("ivan@example.com")
	form := v.await(3)[1]
	v.well()
	if form["event"] != "form_submitted" || form["email_omitted"] != "insecure_context" || form["email_sha256"] != nil || strings.Contains(fmt.Sprint(form), "ivan") {
		t.Errorf("sent %v", form)
	}
	if v.eval("document.cookie") == "" {
		t.Error("a site without a cookie of the server has none at all")
	}
}

// Before consent nothing is stored and nothing sent; denied, neither; granted, what happened meanwhile goes
// with its own times.
func (w *web) consent(t *testing.T) {
	v := w.visitor(t, true)
	v.run(chromedp.Navigate(w.at("/wait/landing?fbclid=wait-1")))
	v.until("tributary.loaded")
	landed := time.Now()
	nothing := func(when string) {
		t.Helper()
		time.Sleep(400 * time.Millisecond)
		if n, kept := len(v.sent()), strings.TrimSpace(v.stored()); n != 0 || kept != "" {
			t.Fatalf("%s: %d events, stored %q", when, n, kept)
		}
	}
	nothing("before anything was said")
	v.eval(`tributary.consent({ad_storage: "denied", ad_user_data: "denied"})`)
	v.eval(`tributary.track("clicked_about", {})`)
	nothing("denied")
	v.shot("6-consent-denied")
	v.eval(`history.pushState({}, "", "/wait/about")`)
	time.Sleep(800 * time.Millisecond)
	v.eval(`tributary.consent({ad_storage: "granted", ad_user_data: true})`)
	events := v.await(3)
	v.shot("7-consent-granted")
	v.well()
	for i, want := range []string{"page_view", "clicked_about", "page_view"} {
		e := events[i]
		if at := time.UnixMilli(int64(e["occurred_at"].(float64))); e["event"] != want || fmt.Sprint(e["consent"]) != "map[ad_storage:true ad_user_data:true]" || i == 0 && at.After(landed) {
			t.Errorf("event %d is %v", i, e)
		}
	}
	click := events[2]["clicks"].(map[string]any)["fbclid"].(map[string]any)
	if at := time.UnixMilli(int64(click["at"].(float64))); click["id"] != "wait-1" || at.After(landed) {
		t.Errorf("the click is said to be of %v, after %v", at, landed)
	}
	if !strings.Contains(v.stored(), "_trb=") {
		t.Error("granted, and nothing is stored:", v.stored())
	}
	w.s.recorded("SELECT count(), any(consent) FROM v_events WHERE person = (SELECT root FROM v_nodes WHERE scheme = 'fbclid' AND value = 'wait-1')", "3 given")
}

// A no after a yes is told under the old id, and then that id is gone.
func (w *web) takenBack(t *testing.T) {
	v := w.visitor(t, true)
	v.run(chromedp.Navigate(w.at("/shop/pricing")))
	first := v.await(1)[0]["anonymous_id"]
	v.eval(`tributary.consent(false)`)
	events := v.await(2)
	if kept := strings.TrimSpace(v.stored()); events[1]["event"] != "identify" || events[1]["anonymous_id"] != first || strings.Contains(kept, "_trb") {
		t.Errorf("told %v, stored %q", events[1], kept)
	}
	v.eval(`tributary.track("clicked_about", {})`)
	if after := v.await(3)[2]; after["anonymous_id"] == first || fmt.Sprint(after["consent"]) != "map[ad_storage:false ad_user_data:false]" || after["clicks"] != nil {
		t.Errorf("after it: %v", after)
	}
	v.well()
	w.s.recorded(fmt.Sprintf("SELECT consent FROM v_persons WHERE person = (SELECT root FROM v_nodes WHERE scheme = 'anonymous' AND value = '%s')", first), "denied")
}

// Chromium has no Global Privacy Control; the page is given what browsers that have it show.
func (w *web) privacyControl(t *testing.T) {
	v := w.visitor(t, true)
	v.run(func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tab, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
			Source: `Object.defineProperty(Navigator.prototype, "globalPrivacyControl", {get: () => true})`})
		return chromedp.Void{}, err
	})
	v.run(chromedp.Navigate(w.at("/gpc/landing?gclid=gpc-1")))
	v.until("tributary.loaded")
	v.eval(`tributary.track("clicked_about", {}), tributary.consent({ad_storage: true}), tributary.identify("u-1")`)
	v.fill("gina@example.com")
	time.Sleep(400 * time.Millisecond)
	if n, kept := len(v.sent()), strings.TrimSpace(v.stored()); n != 0 || kept != "" {
		t.Errorf("%d events, stored %q", n, kept)
	}
	v.shot("8-global-privacy-control")
	v.run(chromedp.Navigate(w.at("/shop/landing"))) // a page that was not told to respect it
	v.await(1)
	v.well()
}

// What a page calls before the script is loaded is not lost.
func (w *web) early(t *testing.T) {
	v := w.visitor(t, true)
	v.run(chromedp.Navigate(w.at("/shop/early")))
	var names []string
	for _, e := range v.await(3) {
		names = append(names, fmt.Sprintf("%v %v %v", e["event"], e["plan"], e["user_id"]))
	}
	slices.Sort(names)
	if got, want := strings.Join(names, ", "), "identify <nil> u-early, page_view <nil> <nil>, pricing_viewed team <nil>"; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	v.well()
}

// The settings that a tag manager leaves no place for.
func (w *web) tagManager(t *testing.T) {
	v := w.visitor(t, true)
	v.run(chromedp.Navigate(w.at("/gtm/landing")))
	v.await(1)
	v.well()
}

// A browser without fetch sends beacons.
func (w *web) beacon(t *testing.T) {
	v := w.visitor(t, true)
	v.run(func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tab, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `delete window.fetch`})
		return chromedp.Void{}, err
	})
	v.run(chromedp.Navigate(w.at("/shop/pricing?ttclid=beacon-1")))
	v.until(`localStorage._trbq == "[]"`)
	v.well()
	w.s.recorded("SELECT name, count() FROM v_events WHERE person = (SELECT root FROM v_nodes WHERE scheme = 'ttclid' AND value = 'beacon-1') GROUP BY name", "ad_clicked 1")
}

// A store that is full, an event that is too large, signing off: each costs no other event, and nothing
// of a visitor is told of the next.
func (w *web) nothingLost(t *testing.T) {
	v := w.visitor(t, true)
	v.run(chromedp.Navigate(w.at("/shop/pricing?gclid=full-1&mail=ana%2540example.com")))
	if address := v.await(1)[0]["url"].(string); strings.Contains(address, "example.com") {
		t.Errorf("sent from %s", address)
	}
	v.until(`localStorage._trbq == "[]"`)

	v.eval(`(() => { for (let s = "x".repeat(1 << 22), n = 0; s; n++) try { localStorage["full" + n] = s } catch (e) { s = s.slice((s.length + 1) / 2) } })()`)
	v.eval(`tributary.track("store_full", {note: "x".repeat(2000)})`)
	v.await(2)
	v.until(`![localStorage, sessionStorage].some((s) => (s._trbq || "").includes("store_full"))`)
	v.eval(`Object.keys(localStorage).forEach((k) => k.startsWith("full") && delete localStorage[k])`)

	v.eval(`localStorage._trbq = JSON.stringify([["beside_large", "x"], ["too_large", "x".repeat(2e6)]].map(([event, note]) =>
		({e: {event, note, event_id: event, anonymous_id: document.cookie.match(/_trb=([^;]*)/)[1], occurred_at: Date.now()}, n: 0, at: 0})))`)
	v.eval(`tributary.track("after_large", {})`)
	v.until(`localStorage._trbq == "[]"`)
	w.s.recorded("SELECT name, count() FROM v_events WHERE person = (SELECT root FROM v_nodes WHERE scheme = 'gclid' AND value = 'full-1') AND name NOT LIKE 'ad%' GROUP BY name ORDER BY name",
		"after_large 1\nbeside_large 1\nstore_full 1")

	// Another tab's writing, a moment old, takes an event out of the store while the router cannot be reached.
	v.eval(`(window.real = fetch, window.fetch = () => Promise.reject(), tributary.track("other_tab", {}), localStorage._trbq = "[]", window.fetch = real, dispatchEvent(new Event("online")))`)
	v.until(`localStorage._trbq == "[]"`)
	if events := v.sent(); events[len(events)-1]["event"] != "other_tab" {
		t.Errorf("written over by another tab: %v", events[len(events)-1])
	}

	v.eval(`tributary.reset(), tributary.identify("u-after"), tributary.track("signed_on", {})`)
	v.until(`localStorage._trbq == "[]"`)
	events := v.sent()
	last := events[len(events)-1]
	clicks, _ := last["clicks"].(map[string]any)
	if last["event"] != "signed_on" || last["user_id"] != "u-after" || clicks["user_id"] != nil || last["gclid"] != nil || last["anonymous_id"] == events[0]["anonymous_id"] || strings.Contains(v.eval("localStorage._trbc"), "u-after") {
		t.Errorf("after signing off: %v", last)
	}
	v.well()
}

// While the router is away events wait in the browser. They arrive later, each once, also from the next page.
func (w *web) away(t *testing.T) {
	v := w.visitor(t, true)
	v.run(chromedp.Navigate(w.at("/shop/before"))) // brings the script into the browser's store
	cookie := fmt.Sprint(v.await(1)[0]["anonymous_id"])
	w.s.stop()
	v.run(chromedp.Navigate(w.at("/shop/while?msclkid=away-1")))
	v.await(2)
	v.eval(`tributary.track("clicked_about", {event_id: "away-event"})`)
	v.await(3)
	v.run(chromedp.Navigate(w.at("/shop/next")))
	v.await(4)
	v.shot("9-router-away")
	w.s.start()
	w.s.recorded("SELECT name, count(), any(event_id = 'away-event') FROM v_events WHERE person = (SELECT root FROM v_nodes WHERE scheme = 'anonymous' AND value = '"+cookie+"') GROUP BY name ORDER BY name",
		"ad_clicked 1 0\nclicked_about 1 1\npage_viewed 2 0")
	if again := len(v.events); again <= 4 {
		t.Errorf("%d sendings: nothing was sent again", again)
	}
	v.until(`JSON.parse(localStorage._trbq || "[]").length == 0`)
	v.well()
}
