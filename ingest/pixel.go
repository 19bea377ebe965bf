package ingest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/canonical/wire"
)

// gif is one transparent pixel.
var gif, _ = base64.StdEncoding.DecodeString("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

// pixelImage takes one browser event as the query of an image: GET /v1/pixel.gif. The
// receipt's body is the query as a JSON object, without the key. HEAD asks for the image's
// headers and tells of nothing.
func (f *front) pixelImage(c *gin.Context, r *request) error {
	q := c.Request.URL.Query()
	if err := f.browserKey(c, r, q.Get("key")); err != nil {
		return err
	}
	q.Del("key")
	if err := noDryRun(c.Request); err != nil {
		return err
	}
	in, site := f.seen(c, r, true)
	if in != nil {
		it, err := f.queryItem(q)
		if err != nil {
			return err
		}
		in.items = []item{it}
		if f.deniesStorage(in, it) {
			delete(in.context, "cookie")
		}
		if _, err := f.keep(c, r, in); err != nil {
			return err
		}
		if fault := in.items[0].fault; fault != nil {
			return fault
		}
		site.setCookie(c, in.context["cookie"])
	}
	h := c.Writer.Header()
	h.Set("Cache-Control", "no-store, max-age=0")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	c.Data(http.StatusOK, "image/gif", gif)
	return nil
}

// queryItem writes a query as a JSON object; of a name that stands twice the first holds.
func (f *front) queryItem(q url.Values) (item, error) {
	fields := make(map[string]string, len(q))
	for k, vs := range q {
		fields[k] = vs[0]
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return item{}, err
	}
	s, fault := wire.Scan(body, "source")
	if fault != nil {
		return item{}, fromFault(fault)
	}
	return f.check(canonical.WayPixel, body, s, nil), nil
}

// pixel takes browser events: POST /v1/ingest/pixel. A beacon cannot set headers, so its
// key may stand in the query or in the body.
func (f *front) pixel(c *gin.Context, r *request) error {
	c.Header("Access-Control-Allow-Origin", "*") // a page may read why it was refused, until its key says which pages may
	key := c.Query("key")
	_, header := bearerToken(c.GetHeader("Authorization"))
	if key != "" || header {
		if err := f.pageKey(c, r, key); err != nil {
			return err
		}
	}
	if err := isJSON(c.GetHeader("Content-Type"), true); err != nil {
		return err
	}
	body, err := f.read(c.Request, f.limits.Body)
	if err != nil {
		return err
	}
	if key == "" && !header {
		if err := f.pageKey(c, r, bodyKey(body)); err != nil {
			return err
		}
	}
	items, batch, fault := f.cut(canonical.WayPixel, body, "events")
	if fault != nil {
		return fault
	}
	in, site := f.seen(c, r, false)
	if in == nil {
		c.Data(http.StatusAccepted, jsonType, []byte(`{"ok":true,"receipts":[],"unseen":true}`+"\n"))
		return nil
	}
	in.items, in.batch = items, batch
	// Renewing can wait for a smaller body: to read one for a no costs more than to keep it.
	if id := in.context["cookie"]; id != "" && len(body) <= believed && !slices.ContainsFunc(items, func(it item) bool { return f.deniesStorage(in, it) }) {
		site.setCookie(c, id)
	}
	return f.accept(c, r, in)
}

// deniesStorage is true for an event that comes with a no to storing anything, and for one that
// cannot be read.
func (f *front) deniesStorage(in *intake, it item) bool {
	e, problem := wire.Read(canonical.Receipt{Way: in.way, Browser: in.browser, ReceivedAt: f.Now(), Body: it.raw, Context: in.context}, wire.Settings{KeepBots: true})
	return problem != nil || e.Consent != nil && e.Consent.AdStorage != nil && !*e.Consent.AdStorage
}

// pageKey takes the key of a page's request, and says whether the page may read the answer.
func (f *front) pageKey(c *gin.Context, r *request, secret string) error {
	if err := f.browserKey(c, r, secret); err != nil {
		return err
	}
	return f.site(r.key).share(c)
}

// browserKey takes a browser key in the clear, or any key for ingest in the header.
func (f *front) browserKey(c *gin.Context, r *request, secret string) error {
	header := false
	if t, ok := bearerToken(c.GetHeader("Authorization")); ok {
		secret, header = t, true
	}
	if secret == "" {
		return fail(CodeNoKey, "send a browser key as key=, as \"key\" in the body or as Authorization: Bearer <key>")
	}
	key, err := f.find(secret)
	if err != nil {
		return err
	}
	r.key = key
	if key.Has(ScopeBrowser) || header && key.Has(ScopeIngest) {
		return nil
	}
	if !header {
		return fail(CodeScope, "only a key with the scope browser may stand in a URL or body")
	}
	return wrongScope(ScopeBrowser)
}

// seen is an intake of what a browser sent, with what only its request says. It is nil where
// no person saw the page and the site keeps nothing of that.
func (f *front) seen(c *gin.Context, r *request, image bool) (*intake, Site) {
	context := make(map[string]string, 4)
	for name, v := range map[string]string{
		"user_agent": c.Request.UserAgent(), "referer": c.Request.Referer(), "ip": c.ClientIP(),
	} {
		if v != "" && len(v) <= maxContext {
			context[name] = v
		}
	}
	in := &intake{
		way: canonical.WayPixel, bound: r.key.Source, absent: sourceWeb, context: context,
		browser: !r.key.Has(ScopeIngest), origin: c.GetHeader("Origin"),
	}
	if !in.browser { // a server tells of what its own visitors saw
		return in, Site{}
	}
	site := f.site(r.key)
	if why := f.agents.unseen(c.Request); why != "" {
		f.metrics.unseen[why].Inc()
		switch {
		case site.Bots == BotsRefuse, why == unseenHead:
			return nil, site
		case site.Bots != BotsKeep:
			context["bot"] = why
			return in, site
		}
	}
	if why := site.optOut(c.Request.Header); why != "" {
		context["opt_out"] = why
	} else if id := site.cookie(c.Request, image); id != "" {
		context["cookie"] = id
	}
	return in, site
}

// maxContext bounds what a header may add to a receipt.
const maxContext = 2048

// bodyKey finds the key that a beacon's body holds.
func bodyKey(body []byte) string {
	if firstByte(body) != '{' {
		return ""
	}
	s, fault := wire.Scan(body, "key")
	if fault != nil || s.Picked[0] == nil {
		return ""
	}
	var key string
	if json.Unmarshal(s.Picked[0], &key) != nil {
		return ""
	}
	return key
}

// preflight tells a page whether it may ask: where the key stands in the query, those that its
// source takes, else any. The request itself is looked at again.
func (f *front) preflight(c *gin.Context, _ *request) error {
	h := c.Writer.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	if key, ok := f.Keys.Find(c.Query("key")); ok {
		_ = f.site(key).share(c) // a page that may not is told by what is left out
	}
	h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Retry-Count")
	h.Set("Access-Control-Max-Age", "86400")
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}
