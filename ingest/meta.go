package ingest

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/canonical/wire"
)

// metaPath is Meta's own: a version of theirs (or none) and the pixel's number. Our own
// paths begin with v1, which has no minor version.
var metaPath = regexp.MustCompile(`^(?:/v\d{1,3}\.\d{1,2})?/(\d{1,20})/events$`)

// elsewhere serves what no route of ours takes: Meta's wire format, else 404.
func (f *front) elsewhere(c *gin.Context) {
	m := metaPath.FindStringSubmatch(strings.TrimSuffix(c.Request.URL.Path, "/"))
	if m == nil {
		f.open("other", func(*gin.Context, *request) error {
			return fail(CodeNotFound, "there is no such route")
		})(c)
		return
	}
	f.limited("/v:version/:pixel/events", func(c *gin.Context, r *request) error {
		return f.meta(c, r, m[1])
	})(c)
}

// A metaCall is Meta's request, whatever form it came in.
type metaCall struct {
	data  [][]byte // elements, as JSON
	token string
	test  string
}

// meta takes events as Meta's Conversions API does, so that an official SDK works with
// only its host changed: all of a request or nothing, and Meta's answers.
func (f *front) meta(c *gin.Context, r *request, pixel string) error {
	var trace [1]canonical.ReceiptID
	f.ids.next(f.Now(), trace[:])
	r.meta = string(trace[0])
	if c.Request.Method != http.MethodPost {
		c.Header("Allow", http.MethodPost)
		return fail(CodeMethod, "send events by POST")
	}
	body, err := f.read(c.Request, f.limits.Batch)
	if err != nil {
		return err
	}
	call, fault := f.readMeta(c.Request, body)
	if fault != nil {
		return fault
	}
	if err := f.metaKey(c, r, call.token); err != nil {
		return err
	}
	in := &intake{way: canonical.WayMeta, batch: true, bound: r.key.Source, absent: sourceMeta, context: map[string]string{"pixel_id": pixel}}
	if call.test != "" {
		in.context["test_event_code"] = call.test
	}
	if len(call.data) == 0 {
		return failField(CodeMissing, "data", "data holds no event")
	}
	for i, raw := range call.data {
		if fault := wire.CheckShape(canonical.WayMeta, raw, f.limits.bounds()); fault != nil {
			return fromFaultOf("data["+strconv.Itoa(i)+"]", fault)
		}
		in.items = append(in.items, item{raw: raw})
	}
	ids, err := f.keep(c, r, in)
	if err != nil {
		return err
	}
	b := append([]byte(`{"events_received":`), strconv.Itoa(len(ids))...)
	b = append(append(append(b, `,"messages":[],"fbtrace_id":"`...), r.meta...), `",`...)
	b = append(appendReceipts(b, ids, in.items), "}\n"...)
	answerJSON(c, http.StatusOK, b)
	return nil
}

// metaKey looks for our key where Meta's SDKs put their token: the header, the body,
// the query.
func (f *front) metaKey(c *gin.Context, r *request, inBody string) error {
	secret, ok := bearerToken(c.GetHeader("Authorization"))
	if !ok {
		secret = inBody
	}
	if secret == "" {
		secret = c.Query("access_token")
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

// readMeta reads JSON, an urlencoded form or a multipart form.
func (f *front) readMeta(req *http.Request, body []byte) (metaCall, *Error) {
	kind, params, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil {
		kind = "application/json"
	}
	switch kind {
	case "application/json", "text/plain":
		return f.metaJSON(body)
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return metaCall{}, fail(CodeMalformed, "the body is not an urlencoded form")
		}
		return f.metaForm(form)
	case "multipart/form-data":
		form, fault := readMultipart(body, params["boundary"])
		if fault != nil {
			return metaCall{}, fault
		}
		return f.metaForm(form)
	}
	return metaCall{}, fail(CodeMediaType, "send application/json, application/x-www-form-urlencoded or multipart/form-data")
}

func (f *front) metaJSON(body []byte) (metaCall, *Error) {
	s, fault := wire.Scan(body, "data", "access_token", "test_event_code")
	if fault != nil {
		return metaCall{}, fromFault(fault)
	}
	if s.Kind != '{' {
		return metaCall{}, fail(CodeWrongType, "the body must be an object with data")
	}
	data, fault2 := f.metaData(s.Picked[0])
	return metaCall{data: data, token: jsonText(s.Picked[1]), test: jsonText(s.Picked[2])}, fault2
}

// metaForm reads data as one JSON text, or as data[], data[0], … with an event each.
func (f *front) metaForm(form url.Values) (metaCall, *Error) {
	call := metaCall{token: form.Get("access_token"), test: form.Get("test_event_code")}
	if text := form.Get("data"); text != "" {
		data, fault := f.metaData([]byte(text))
		call.data = data
		return call, fault
	}
	var keys []string
	for k := range form {
		if strings.HasPrefix(k, "data[") && strings.HasSuffix(k, "]") {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	for _, k := range keys {
		for _, text := range form[k] {
			if len(call.data) == f.limits.Items {
				return metaCall{}, fail(CodeTooMany, "data holds more than "+strconv.Itoa(f.limits.Items)+" events")
			}
			call.data = append(call.data, []byte(text))
		}
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
	if raw == nil || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// readMultipart reads the fields of a multipart form that was read whole already.
func readMultipart(body []byte, boundary string) (url.Values, *Error) {
	bad := fail(CodeMalformed, "the body is not a multipart form")
	if boundary == "" {
		return nil, bad
	}
	form := make(url.Values)
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for parts := 0; ; parts++ {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return form, nil
		}
		if err != nil {
			return nil, bad
		}
		if parts == 1100 {
			return nil, fail(CodeTooMany, "the form has too many fields")
		}
		v, err := io.ReadAll(p)
		if err != nil {
			return nil, bad
		}
		if name := p.FormName(); name != "" {
			form.Add(name, string(v))
		}
	}
}
