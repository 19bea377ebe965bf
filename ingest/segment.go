package ingest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/internal/openapi"
)

// segmentCalls are the calls of Segment's tracking API, each with the short path of its browser
// library.
var segmentCalls = []struct{ name, short string }{
	{"track", "t"}, {"identify", "i"}, {"page", "p"}, {"screen", "s"}, {"group", "g"}, {"alias", "a"},
}

// segmentItems is how many calls a batch may hold: as many as Segment takes.
const segmentItems = 2500

// segmentShared bounds what a batch says once for all its calls: each receipt has it. All of them
// together may have as much of it as a batch may be large.
const segmentShared = 4 << 10

// segmentRoutes are those of Segment's tracking API. docs/segment.md.
func (f *front) segmentRoutes(e *gin.Engine) {
	serve := func(path string, h func(*gin.Context, *request) error) {
		e.POST(path, f.limited(path, h))
		e.OPTIONS(path, f.open(path, f.preflight))
	}
	for _, call := range segmentCalls {
		one := func(c *gin.Context, r *request) error { return f.segmentCall(c, r, call.name) }
		serve("/v1/"+call.name, one)
		serve("/v1/"+call.short, one)
	}
	for _, path := range []string{"/v1/batch", "/v1/b", "/v1/import"} {
		serve(path, f.segmentBatch)
	}
	e.GET("/v1/projects/:key/settings", f.limited("/v1/projects/:key/settings", f.segmentSettings))
}

// segmentCall takes one call by the route that names it. The receipt is its body, without the
// write key that may stand in it.
func (f *front) segmentCall(c *gin.Context, r *request, name string) error {
	body, err := f.segmentBody(c, r, f.limits.Body)
	if err != nil {
		return err
	}
	s, fault := wire.Scan(body, "writeKey")
	if fault != nil {
		return fromFault(fault)
	}
	if err := f.segmentKey(c, r, s.Picked[0]); err != nil {
		return err
	}
	in := f.segmentIntake(c, r)
	in.context["type"] = name
	in.items = []item{f.check(canonical.WaySegment, blanked(body, s.Picked[0]), s, nil)}
	in.items[0].source = nil // of ours: a caller's own field may have that name
	return f.segmentKeep(c, r, in)
}

// segmentBatch takes many calls, each with its type. One that is no call is kept as well, and
// quarantined when it is read: an SDK looks at the answer's status and at nothing else.
func (f *front) segmentBatch(c *gin.Context, r *request) error {
	body, err := f.segmentBody(c, r, f.limits.Batch)
	if err != nil {
		return err
	}
	s, fault := wire.Scan(body, "writeKey", "batch", "sentAt", "context")
	if fault != nil {
		return fromFault(fault)
	}
	if err := f.segmentKey(c, r, s.Picked[0]); err != nil {
		return err
	}
	list := s.Picked[1]
	switch {
	case s.Kind != '{':
		return fail(CodeWrongType, "the body must be an object with batch")
	case list == nil:
		return failField(CodeMissing, "batch", "batch is missing")
	case list[0] != '[':
		return failField(CodeWrongType, "batch", "batch must be an array of calls")
	}
	in := f.segmentIntake(c, r)
	in.batch = true
	with, _ := wire.Scan(body, "integrations")
	shared := 0
	for name, raw := range map[string][]byte{"context": s.Picked[3], "integrations": with.Picked[0]} {
		switch {
		case raw == nil || raw[0] != '{':
		case len(raw) > segmentShared:
			return failField(CodeTooLarge, name, fmt.Sprintf("%s of a batch is larger than %d bytes; let the calls have it", name, segmentShared))
		default:
			in.context[name] = string(raw)
			shared += len(raw)
		}
	}
	if sent := jsonText(s.Picked[2]); len(sent) <= 64 && sent != "" {
		in.context["sent_at"] = sent
	}
	fault = wire.Elements(list, func(raw []byte, s wire.Shape) *wire.Fault {
		if len(in.items) == max(segmentItems, f.limits.Items) {
			return &wire.Fault{Code: string(CodeTooMany), Offset: -1, Says: fmt.Sprintf("holds more than %d calls", max(segmentItems, f.limits.Items))}
		}
		it := item{raw: raw}
		if s.Size > f.limits.Item {
			it.fault = fail(CodeTooLarge, fmt.Sprintf("a call is larger than %d bytes", f.limits.Item))
		}
		in.items = append(in.items, it)
		return nil
	})
	if fault != nil {
		return fromFaultOf("batch", fault)
	}
	if shared*len(in.items) > f.limits.Batch {
		return failField(CodeTooLarge, "context", fmt.Sprintf("context and integrations of a batch of %d calls may have %d bytes; let the calls have them", len(in.items), f.limits.Batch/len(in.items)))
	}
	return f.segmentKeep(c, r, in)
}

// segmentBody reads a body as the SDKs send it: JSON, from a browser also as text.
func (f *front) segmentBody(c *gin.Context, r *request, limit int) ([]byte, error) {
	r.segment = true
	c.Header("Access-Control-Allow-Origin", "*")
	if err := isJSON(c.GetHeader("Content-Type"), true); err != nil {
		return nil, err
	}
	return f.read(c.Request, limit)
}

// segmentKey looks for the write key where the SDKs put it: as the user of Basic authorisation,
// as a bearer token, in the body.
func (f *front) segmentKey(c *gin.Context, r *request, inBody []byte) error {
	secret := jsonText(inBody)
	if header := c.GetHeader("Authorization"); header != "" {
		if user, ok := basicUser(header); ok {
			secret = user
		} else if token, ok := bearerToken(header); ok {
			secret = token
		}
	}
	if secret == "" {
		return fail(CodeNoKey, "send a key as the write key: the user name of Basic authorisation with an empty password, or writeKey in the body")
	}
	key, err := f.find(secret)
	if err != nil {
		return err
	}
	r.key = key
	if !key.Has(ScopeIngest) && !key.Has(ScopeBrowser) {
		return fail(CodeScope, "a write key needs the scope ingest, in a page or an app the scope browser")
	}
	if !key.Has(ScopeIngest) {
		return f.site(key).share(c)
	}
	return nil
}

// basicUser reads the user name of Basic authorisation. Some SDKs leave out the colon.
func basicUser(header string) (string, bool) {
	const scheme = "basic "
	if len(header) <= len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", false
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(header[len(scheme):]))
	user, _, _ := strings.Cut(string(b), ":")
	return user, err == nil && user != ""
}

// segmentIntake is an intake with what the request of a page or an app says of it; a server's says
// nothing of the person. An app's request looks like a program's, so that nothing here is taken
// for one that no person saw.
func (f *front) segmentIntake(c *gin.Context, r *request) *intake {
	in := &intake{way: canonical.WaySegment, bound: r.key.Source, absent: sourceSegment, context: map[string]string{}, browser: !r.key.Has(ScopeIngest)}
	if !in.browser {
		return in
	}
	in.origin = c.GetHeader("Origin")
	for name, v := range map[string]string{
		"user_agent": c.Request.UserAgent(), "referer": c.Request.Referer(), "ip": c.ClientIP(), "opt_out": f.site(r.key).optOut(c.Request.Header),
	} {
		if v != "" && len(v) <= maxContext {
			in.context[name] = v
		}
	}
	return in
}

// segmentKeep keeps the calls and answers as Segment does. What of a batch could not be kept is
// counted in the answer, the log and the metrics.
func (f *front) segmentKeep(c *gin.Context, r *request, in *intake) error {
	if err := noDryRun(c.Request); err != nil {
		return err
	}
	if len(in.items) > 0 {
		if _, err := f.keep(c, r, in); err != nil {
			return err
		}
		if r.kept == 0 {
			return in.items[0].fault
		}
	}
	if r.refused > 0 {
		c.Data(http.StatusOK, jsonType, fmt.Appendf(nil, "{\"success\":true,\"refused\":%d}\n", r.refused))
		return nil
	}
	c.Data(http.StatusOK, jsonType, []byte(`{"success":true}`+"\n"))
	return nil
}

// blanked gives a body without the value of a member that was picked from it.
func blanked(body, value []byte) []byte {
	if value == nil {
		return body
	}
	at := 0
	for &body[at] != &value[0] { // it is a piece of the body
		at++
	}
	out := make([]byte, 0, len(body))
	out = append(append(out, body[:at]...), `""`...)
	return append(out, body[at+len(value):]...)
}

// segmentSettings tells Segment's libraries for browsers and apps where to send: they ask for it
// before they begin. The key stands in the path, so it must be one that may.
func (f *front) segmentSettings(c *gin.Context, r *request) error {
	r.segment = true
	c.Header("Access-Control-Allow-Origin", "*")
	key, err := f.find(c.Param("key"))
	if err != nil {
		return err
	}
	if r.key = key; !key.Has(ScopeBrowser) {
		return fail(CodeScope, "only a key with the scope browser may stand in a URL")
	}
	address, _, _ := strings.Cut(f.public.of(c.Request), "/v1/projects/")
	protocol, host, _ := strings.Cut(address, "://")
	c.JSON(http.StatusOK, gin.H{
		"integrations": gin.H{"Segment.io": gin.H{
			"apiKey": c.Param("key"), "apiHost": host + "/v1", "protocol": protocol, "unbundledIntegrations": []string{}, "addBundledMetadata": false, "versionSettings": gin.H{"version": "4.4.7", "componentTypes": []string{"browser"}},
		}},
		"plan": gin.H{"track": gin.H{"__default": gin.H{"enabled": true, "integrations": gin.H{}}}}, "edgeFunction": gin.H{}, "middlewareSettings": gin.H{}, "enabledMiddleware": gin.H{},
		"metrics": gin.H{"sampleRate": 0}, "legacyVideoPluginsEnabled": false, "remotePlugins": []string{},
	})
	return nil
}

// segmentOperations describes the routes of Segment's tracking API.
func segmentOperations() []Operation {
	envelope := openapi.Schema{"type": "object", "required": []string{"success", "message", "error"}, "properties": openapi.Schema{
		"success": openapi.Schema{"const": false}, "message": openapi.Schema{"type": "string"}, "error": openapi.Ref("Error")}}
	answers := []openapi.Answer{{Status: http.StatusOK, Says: "Kept.", Of: openapi.Schema{"type": "object", "required": []string{"success"}, "properties": openapi.Schema{
		"success": openapi.Schema{"const": true}, "refused": openapi.Schema{"type": "integer", "description": "How many calls of the batch were too large to be kept."}}}}}
	faults := Codes(keyErrors, limits, readsJSON, []Code{CodeLog, CodeLogFull, CodeOrigin, CodeRate})
	proofs := []string{"write_key", openapi.Bearer}
	ask := func(path, id string) Operation {
		return Operation{Method: "OPTIONS", Path: path, ID: "preflight" + id, Tag: "segment", Says: "Whether a page may ask: any may",
			Answers: []openapi.Answer{{Status: http.StatusNoContent, Says: "It may.", Type: "-"}}, Errors: Codes([]Code{CodeInternal})}
	}
	types := []string{"application/json", "text/plain"}
	var out []Operation
	for _, call := range segmentCalls {
		for _, name := range []string{call.name, call.short} {
			id := "Segment" + strings.ToUpper(name[:1]) + name[1:]
			out = append(out, Operation{Method: "POST", Path: "/v1/" + name, ID: "ingest" + id, Tag: "segment", Says: "A call of " + call.name + ", as Segment's SDKs send it", Proofs: proofs, Envelope: envelope,
				More: "docs/segment.md says what is read of it. The write key may also stand in the body as `writeKey`. Any origin may ask.",
				Body: &openapi.Body{Types: types, Of: anything}, Answers: answers, Errors: faults}, ask("/v1/"+name, id))
		}
	}
	batch := openapi.Schema{"type": "object", "required": []string{"batch"}, "properties": openapi.Schema{
		"batch": openapi.Schema{"type": "array", "maxItems": segmentItems}, "writeKey": openapi.Schema{"type": "string"}, "sentAt": openapi.Schema{"type": "string"},
		"context": anything, "integrations": anything}}
	for _, name := range []string{"batch", "b", "import"} {
		id := "Segment" + strings.ToUpper(name[:1]) + name[1:]
		if name == "b" {
			id = "SegmentBatchShort"
		}
		out = append(out, Operation{Method: "POST", Path: "/v1/" + name, ID: "ingest" + id, Tag: "segment", Says: "Many calls, each with its `type`", Proofs: proofs, Envelope: envelope,
			More: "What is no call is kept too and quarantined with its reason.",
			Body: &openapi.Body{Types: types, Of: batch}, Answers: answers, Errors: append(Codes([]Code{CodeMissing, CodeTooMany}), faults...)}, ask("/v1/"+name, id))
	}
	return append(out, Operation{Method: "GET", Path: "/v1/projects/:key/settings", ID: "segmentSettings", Tag: "segment", Says: "Where Segment's libraries for pages and apps send to",
		More: "They ask before they begin. `key` has the scope `browser`.", Envelope: envelope,
		Answers: []openapi.Answer{{Status: http.StatusOK, Says: "To this router.", Of: anything}}, Errors: Codes([]Code{CodeBadKey, CodeExpired, CodeRevoked, CodeScope, CodeRate}, limits)})
}
