package ingest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/canonical/wire"
)

// The ways in which the workflow action "Send a webhook" shows who it is.
const (
	WorkflowSignature = "signature" // of the app whose id stands in the action
	WorkflowKey       = "key"       // a key of ours, as Authorization: Bearer <key>
	WorkflowHeader    = "header"    // a secret in a header of its own
	WorkflowQuery     = "query"     // a secret in the URL
)

// A WorkflowProof is what a HubSpot workflow has to show. The zero one is a signature with the
// source's client secret.
type WorkflowProof struct {
	Scheme string
	Name   string        // of the header, or of the query's parameter
	Secret func() string // nil: the source's client secret, which is only for signatures
}

// workflowSchemes are the signatures that a workflow may have: v2, and v3 should HubSpot send that
// too (hubspot.md §2.5); v1 leaves the URL out, in which a GET has all that it says.
var workflowSchemes = []string{SignatureV2, SignatureV3}

// workflow takes HubSpot's workflow action "Send a webhook": POST and GET
// /v1/ingest/hubspot/:source/workflow. HubSpot sends again after 5xx, 429 and time-outs, for three
// days, and after no other 4xx: those are only for what would be refused the next time too.
func (f *front) workflow(c *gin.Context, r *request) error {
	name := c.Param("source")
	source, ok := f.Sources[name]
	if !ok || source.Kind != KindHubSpot {
		return fail(CodeNoSource, "the path names no configured HubSpot source")
	}
	var body []byte
	if c.Request.Method == http.MethodPost {
		var err error
		if body, err = f.read(c.Request, f.limits.Body); err != nil {
			return err
		}
	}
	uri := f.public.of(c.Request)
	if err := f.enrolled(c, r, name, source, uri, body); err != nil {
		return f.refused(c, name, unsaid(uri), err)
	}
	query := c.Request.URL.Query()
	if source.Workflow.Scheme == WorkflowQuery {
		query.Del(source.Workflow.Name)
	}
	in := &intake{way: canonical.WayWorkflow, bound: name}
	if c.Request.Method == http.MethodGet {
		body = queryBody(query)
	} else if event := query.Get("event"); event != "" && len(event) <= maxContext {
		in.context = map[string]string{wire.WorkflowEvent: event}
	}
	var fault *Error
	if in.items, in.batch, fault = f.cut(canonical.WayWorkflow, body, ""); fault != nil {
		return fault
	}
	ids, err := f.keep(c, r, in)
	if err != nil {
		return err
	}
	b := append(appendReceipts([]byte(`{"ok":true,`), ids, in.items), "}\n"...)
	c.Data(http.StatusOK, jsonType, b)
	return nil
}

// enrolled says whether a workflow shows what its source expects. Nil means that it does.
func (f *front) enrolled(c *gin.Context, r *request, name string, source Source, uri string, body []byte) error {
	p := source.Workflow
	if p.Scheme == WorkflowKey {
		return f.boundKey(c, r, name)
	}
	read := p.Secret
	if read == nil && (p.Scheme == "" || p.Scheme == WorkflowSignature) {
		read = source.Secret
	}
	if read == nil {
		return f.boundKey(c, r, name)
	}
	secret := read()
	if secret == "" {
		return noSecret()
	}
	switch p.Scheme {
	case WorkflowHeader:
		v := c.GetHeader(p.Name)
		if t, ok := bearerToken(v); ok && strings.EqualFold(p.Name, "Authorization") {
			v = t
		}
		return shown(v, secret, p.Name+" does not hold the secret of this source's workflows")
	case WorkflowQuery:
		return shown(c.Query(p.Name), secret, p.Name+" in the URL does not hold the secret of this source's workflows")
	}
	return Verify(Signed{Method: c.Request.Method, URI: uri, Body: body, Header: c.Request.Header}, secret, workflowSchemes, f.Now())
}

// noSecret is said while a source's secret cannot be read: whoever sends again loses nothing.
func noSecret() *Error {
	return fail(CodeNoSecret, "the secret of this source cannot be read; the router's log says why")
}

// queryBody is a query as a JSON object: of a parameter that stands there once its value, else all
// of them.
func queryBody(query url.Values) []byte {
	fields := make(map[string]any, len(query))
	for name, values := range query {
		if fields[name] = values; len(values) == 1 {
			fields[name] = values[0]
		}
	}
	b, err := json.Marshal(fields)
	if err != nil { // texts only
		return []byte("{}")
	}
	return b
}
