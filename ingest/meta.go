package ingest

import (
	"encoding/json"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/canonical/wire"
)

// Meta's own paths: a version of theirs (or none), the pixel's number, and events; the
// Gateway has capi in place of a version. Our own paths begin with v1, which has no minor
// version.
var (
	metaEvents = regexp.MustCompile(`^(?:/(v\d{1,3}\.\d{1,2}|capi))?/(\d{1,20})/events$`)
	metaPixel  = regexp.MustCompile(`^/v\d{1,3}\.\d{1,2}/(\d{1,20})$`)
	metaGraph  = regexp.MustCompile(`^/v\d{1,3}\.\d{1,2}(?:/|$)`)
)

// elsewhere serves what no route of ours takes: Meta's wire format, else 404.
func (f *front) elsewhere(c *gin.Context) {
	path := strings.TrimSuffix(c.Request.URL.Path, "/")
	if m := metaEvents.FindStringSubmatch(path); m != nil {
		f.asMeta("/v:version/:pixel/events", func(c *gin.Context, r *request) error {
			return f.meta(c, r, m[2], m[1] == "capi")
		})(c)
		return
	}
	if m := metaPixel.FindStringSubmatch(path); m != nil {
		f.asMeta("/v:version/:pixel", func(c *gin.Context, r *request) error { return f.metaPixel(c, r, m[1]) })(c)
		return
	}
	f.open("other", func(_ *gin.Context, r *request) error {
		if metaGraph.MatchString(path) { // what else an SDK may ask of Meta
			r.meta = f.trace()
			return fail(CodeNotFound, "there is nothing of Meta's here but the events of a pixel: POST /<version>/<pixel id>/events")
		}
		return fail(CodeNotFound, "there is no such route")
	})(c)
}

// asMeta is limited for a route whose errors are Meta's.
func (f *front) asMeta(route string, h handler) gin.HandlerFunc {
	h = f.inFlight(true, h)
	return f.open(route, func(c *gin.Context, r *request) error {
		r.meta = f.trace()
		return h(c, r)
	})
}

// trace makes an id for one request, as Meta gives each.
func (f *front) trace() string {
	var id [1]canonical.ReceiptID
	f.ids.next(f.Now(), id[:])
	return string(id[0])
}

// A metaCall is Meta's request, whatever form it came in.
type metaCall struct {
	data  [][]byte          // elements, as JSON
	token string            // our key
	said  map[string]string // members beside data: see wire.MetaContext
}

// take keeps one member; values count as text. Only what has a use is kept.
func (call *metaCall) take(name, text string) {
	switch {
	case name == "access_token", name == "accessKey":
		call.token = text
	case text != "" && len(text) <= maxContext && slices.Contains(besideData, name):
		if call.said == nil {
			call.said = make(map[string]string)
		}
		call.said[name] = text
	}
}

// besideData are the members of a request that are kept; pixel_id stands in its path.
var besideData = slices.DeleteFunc(wire.MetaContext(), func(s string) bool { return s == "pixel_id" })

// meta takes events as Meta's Conversions API does, so that an official SDK works with
// only its host changed: all of a request or nothing, and Meta's answers.
func (f *front) meta(c *gin.Context, r *request, pixel string, gateway bool) error {
	if c.Request.Method != http.MethodPost {
		c.Header("Allow", http.MethodPost)
		return fail(CodeMethod, "send events by POST")
	}
	body, err := f.read(c.Request, f.limits.Batch)
	if err != nil {
		return err
	}
	call, fault := f.readMeta(c.Request, body)
	err = f.metaKey(c, r, call.token)
	if fault != nil && (err == nil || known(err).Code == CodeNoKey) {
		return fault // it may hide the key too
	}
	if err != nil {
		return err
	}
	in := &intake{way: canonical.WayMeta, batch: true, bound: r.key.Source, absent: sourceMeta, context: call.said}
	if in.context == nil {
		in.context = make(map[string]string, 1)
	}
	in.context["pixel_id"] = pixel
	if len(call.data) == 0 {
		return failField(CodeMissing, "data", "data holds no event")
	}
	for i, raw := range call.data {
		if fault := f.checkMeta(raw, i); fault != nil {
			return fault
		}
		in.items = append(in.items, item{raw: raw})
	}
	if err := noDryRun(c.Request); err != nil {
		return err
	}
	ids, err := f.keep(c, r, in)
	if err != nil {
		return err
	}
	b := append([]byte(`{"events_received":`), strconv.Itoa(len(ids))...)
	b = append(append(append(b, `,"messages":[],"fbtrace_id":"`...), r.meta...), `",`...)
	b = append(appendReceipts(b, ids, in.items), "}\n"...)
	status := http.StatusOK
	if gateway {
		status = http.StatusAccepted
	}
	c.Header("X-Fb-Trace-Id", r.meta)
	answerJSON(c, status, b)
	return nil
}

// checkMeta refuses one event of a request, and with it the request, as Meta does.
func (f *front) checkMeta(raw []byte, i int) *Error {
	at := "data[" + strconv.Itoa(i) + "]"
	if fault := wire.CheckShape(canonical.WayMeta, raw, f.limits.bounds()); fault != nil {
		return fromFaultOf(at, fault)
	}
	refused := wire.CheckMeta(canonical.Receipt{Way: canonical.WayMeta, ReceivedAt: f.Now(), Body: raw})
	if refused == nil {
		return nil
	}
	if refused.Field != "" {
		at += "." + refused.Field
	}
	e := failField(CodeUnusable, at, at+" "+refused.Says)
	e.subcode, e.title = refused.Subcode, refused.Title
	return e
}

// metaPixel answers who asks for a pixel: that there is one, if the key is good.
func (f *front) metaPixel(c *gin.Context, r *request, pixel string) error {
	if c.Request.Method != http.MethodGet {
		c.Header("Allow", http.MethodGet)
		return fail(CodeMethod, "a pixel can only be looked at here; send events to /<version>/<pixel id>/events")
	}
	if err := f.metaKey(c, r, c.Query("access_token")); err != nil {
		return err
	}
	name := r.key.Source
	if name == "" {
		name = sourceMeta
	}
	c.Header("X-Fb-Trace-Id", r.meta)
	c.JSON(http.StatusOK, gin.H{"id": pixel, "name": name})
	return nil
}

// metaKey looks for our key where Meta's SDKs put their token: in the header, else in the
// body or the query.
func (f *front) metaKey(c *gin.Context, r *request, secret string) error {
	if t, ok := bearerToken(c.GetHeader("Authorization")); ok {
		secret = t
	}
	if secret == "" {
		return fail(CodeNoKey, "send a key as access_token or as Authorization: Bearer <key>")
	}
	key, err := f.find(secret)
	if err != nil {
		return err
	}
	r.key = key
	if !key.Has(ScopeIngest) {
		return wrongScope(ScopeIngest)
	}
	return nil
}

// readMeta reads JSON, an urlencoded form or a multipart form. What the body does not have
// may stand in the query.
func (f *front) readMeta(req *http.Request, body []byte) (metaCall, *Error) {
	kind, params, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil {
		kind = "application/json"
	}
	var form metaForm
	if req.URL.RawQuery != "" {
		if fault := form.urlencoded(req.URL.RawQuery, f.limits.Items); fault != nil {
			return form.call, fault
		}
		form.fromQuery = len(form.texts)
	}
	switch kind {
	case "application/json", "text/plain":
		if len(body) == 0 && (form.fromQuery > 0 || form.data != "") {
			return f.metaForm(&form)
		}
		fault := f.metaJSON(&form.call, body)
		return form.call, fault
	case "application/x-www-form-urlencoded":
		if fault := form.urlencoded(string(body), f.limits.Items); fault != nil {
			return form.call, fault
		}
	case "multipart/form-data":
		if fault := form.multipart(body, params["boundary"], f.limits.Items); fault != nil {
			return form.call, fault
		}
	default:
		return form.call, fail(CodeMediaType, "send application/json, application/x-www-form-urlencoded or multipart/form-data")
	}
	return f.metaForm(&form)
}

func (f *front) metaJSON(call *metaCall, body []byte) *Error {
	if b := firstByte(body); b != '{' && b != 0 {
		if _, fault := wire.Scan(body); fault != nil {
			return fromFault(fault)
		}
		return fail(CodeWrongType, "the body must be an object with data")
	}
	var data []byte
	fault := wire.Members(body, func(name, value []byte) {
		switch {
		case string(name) == "data":
			data = value
		case len(value) <= maxContext+2:
			call.take(string(name), jsonText(value))
		}
	})
	if fault != nil {
		return fromFault(fault)
	}
	var e *Error
	call.data, e = f.metaData(data)
	return e
}

// metaForm reads data of a form: one JSON text, or data[], data[0], … with an event each.
// What the body says comes before what the query says.
func (f *front) metaForm(form *metaForm) (metaCall, *Error) {
	call := form.call
	if text := form.data; text != "" {
		data, fault := f.metaData([]byte(text))
		call.data = data
		return call, fault
	}
	texts := form.texts
	if len(texts) > form.fromQuery {
		texts = texts[form.fromQuery:]
	}
	slices.SortStableFunc(texts, func(a, b metaText) int {
		if len(a.name) != len(b.name) {
			return len(a.name) - len(b.name)
		}
		return strings.Compare(a.name, b.name)
	})
	for _, t := range texts {
		call.data = append(call.data, []byte(t.text))
	}
	return call, nil
}

// metaData cuts data: an array of objects, or of JSON texts that hold one each, or a
// JSON text that holds the array.
func (f *front) metaData(data []byte) ([][]byte, *Error) {
	switch firstByte(data) {
	case '[':
	case '"':
		text := []byte(jsonText(data))
		if firstByte(text) != '[' {
			return nil, failField(CodeWrongType, "data", "data must be an array of events")
		}
		data = text
	case 0, 'n':
		return nil, failField(CodeMissing, "data", "data is missing")
	default:
		return nil, failField(CodeWrongType, "data", "data must be an array of events")
	}
	var out [][]byte
	fault := wire.Elements(data, func(raw []byte, s wire.Shape) *wire.Fault {
		if len(out) == f.limits.Items {
			return &wire.Fault{Code: string(CodeTooMany), Offset: -1, Says: "holds more than " + strconv.Itoa(f.limits.Items) + " events"}
		}
		if s.Kind == '"' {
			raw = []byte(jsonText(raw))
		}
		out = append(out, raw)
		return nil
	})
	if fault != nil {
		return nil, fromFaultOf("data", fault)
	}
	return out, nil
}

// jsonText gives the text of a JSON string, "" for anything else.
func jsonText(raw []byte) string {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
