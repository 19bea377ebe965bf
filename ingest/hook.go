package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/canonical/wire"
)

// KindHook is the kind of a source that takes JSON of any shape.
const KindHook = "hook"

// hook takes what a system sends that knows nothing of us: POST /v1/ingest/hook/:source. Its
// elements become receipts as they are; the mapping reads them. docs/hooks.md.
func (f *front) hook(c *gin.Context, r *request) error {
	name := c.Param("source")
	source, ok := f.Sources[name]
	if !ok || source.Kind != KindHook {
		return fail(CodeNoSource, "the path names no configured source of kind hook")
	}
	uri, _, _ := strings.Cut(f.public.of(c.Request), "?") // some put a token into the query
	if err := mayCome(source.Allow, c.ClientIP()); err != nil {
		return f.refused(c, name, uri, err)
	}
	body, err := f.read(c.Request, f.limits.Batch)
	if err != nil {
		return err
	}
	if err := f.proven(c, r, name, source.Proof, body); err != nil {
		return f.refused(c, name, uri, err)
	}
	items, batch, fault := f.hookItems(name, body)
	if fault != nil {
		return fault
	}
	if len(items) == 0 { // a list with nothing in it is no mistake
		answerJSON(c, http.StatusAccepted, []byte(`{"ok":true,"receipts":[]}`+"\n"))
		return nil
	}
	return f.accept(c, r, &intake{way: canonical.WayHook, items: items, batch: batch, bound: name})
}

// mayCome looks at the address of a caller. An empty list takes any.
func mayCome(allow []netip.Prefix, from string) error {
	if len(allow) == 0 {
		return nil
	}
	at, err := netip.ParseAddr(from)
	if err != nil || !slices.ContainsFunc(allow, func(p netip.Prefix) bool { return p.Contains(at.Unmap()) }) {
		return fail(CodeAddress, "this source takes nothing from your address")
	}
	return nil
}

// refused logs why a source's caller was not let in, and gives err back.
func (f *front) refused(c *gin.Context, source, uri string, err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		f.Logger.LogAttrs(c.Request.Context(), slog.LevelWarn, "caller refused",
			slog.String("source", source), slog.String("code", string(e.Code)), slog.String("verified_uri", uri), slog.String("why", e.Message))
	}
	return err
}

// hookItems cuts a body as the mapping says. Where it finds no list, the body is kept whole:
// whoever sent it was told that it arrived, and the mapping can be mended.
func (f *front) hookItems(source string, body []byte) (items []item, batch bool, err *Error) {
	if _, fault := wire.Scan(body); fault != nil {
		return nil, false, fromFault(fault)
	}
	bodies := []json.RawMessage{body}
	if f.Items != nil {
		if cut, err := f.Items(source, body); err == nil {
			bodies = cut
		}
	}
	if len(bodies) == 1 && firstByte(bodies[0]) == '[' {
		items, err = f.elements(canonical.WayHook, bodies[0], nil)
		return items, true, err
	}
	if len(bodies) > f.limits.Items {
		return nil, true, fail(CodeTooMany, fmt.Sprintf("the body holds more than %d items", f.limits.Items))
	}
	for _, raw := range bodies {
		s, fault := wire.Scan(raw)
		if fault != nil {
			return nil, false, fromFault(fault)
		}
		items = append(items, f.check(canonical.WayHook, raw, s, nil))
	}
	return items, len(bodies) != 1, nil
}
