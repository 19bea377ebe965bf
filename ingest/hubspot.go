package ingest

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
)

// KindHubSpot is the kind of a source that takes a HubSpot app's webhooks.
const KindHubSpot = "hubspot"

// hubspot takes an app's webhooks: POST /v1/ingest/hubspot/:source. The whole request is
// sent again for anything but a 2xx, so only a bad signature and a body that is no JSON
// are refused; an odd event is kept.
func (f *front) hubspot(c *gin.Context, r *request) error {
	name := c.Param("source")
	source, ok := f.Sources[name]
	if !ok || source.Kind != KindHubSpot {
		return fail(CodeNoSource, "the path names no configured HubSpot source")
	}
	body, err := f.read(c.Request, f.limits.Batch)
	if err != nil {
		return err
	}
	if err := f.signed(c, r, name, source, body); err != nil {
		return err
	}
	if err := noDryRun(c.Request); err != nil {
		return err
	}
	items, batch, fault := f.cut(canonical.WayHubSpot, body, "")
	if fault != nil {
		return fault
	}
	in := &intake{way: canonical.WayHubSpot, items: items, batch: batch, bound: name}
	ids, err := f.keep(c, r, in)
	if err != nil {
		return err
	}
	b := append(appendReceipts([]byte(`{"ok":true,`), ids, items), "}\n"...)
	answerJSON(c, http.StatusOK, b)
	return nil
}

// signed checks the request's signature, or its key where the source has no secret.
func (f *front) signed(c *gin.Context, r *request, name string, source Source, body []byte) error {
	if source.Secret == nil {
		return f.boundKey(c, r, name)
	}
	// The URI is what the operator typed into HubSpot: logged, it tells a wrong public_url.
	signed := Signed{Method: c.Request.Method, URI: f.public.of(c.Request), Body: body, Header: c.Request.Header}
	secret := source.Secret()
	if secret == "" {
		return f.refused(c, name, unsaid(signed.URI), noSecret())
	}
	return f.refused(c, name, unsaid(signed.URI), Verify(signed, secret, source.Signatures, f.Now()))
}
