package ingest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/canonical/wire"
)

// An item is one thing that was sent: its own bytes, and why it cannot be kept.
type item struct {
	raw    []byte
	source []byte // the member "source", as it stands
	fault  *Error
}

// An intake is what one request brings in.
type intake struct {
	way     canonical.Way
	items   []item
	batch   bool
	bound   string // the source that the key or the path is bound to
	absent  string // the source of an item that names none
	browser bool
	origin  string // of the page, of what came with a browser key
	context map[string]string
}

// cut takes a body apart: one object, an array, or an object whose member named holds an
// array. Items are checked one by one; only what cannot be told apart fails as a whole.
func (f *front) cut(way canonical.Way, body []byte, member string) (items []item, batch bool, err *Error) {
	if firstByte(body) == '[' {
		items, err = f.elements(way, body, nil)
		return items, true, err
	}
	s, fault := wire.Scan(body, "source", "event", "event_name", member)
	if fault != nil {
		return nil, false, fromFault(fault)
	}
	source, list := s.Picked[0], s.Picked[3]
	if member != "" && s.Picked[1] == nil && firstByte(list) == '[' {
		items, err = f.elements(way, list, source)
		return items, true, err
	}
	return []item{f.check(way, body, s, nil)}, false, nil
}

func (f *front) elements(way canonical.Way, array, source []byte) ([]item, *Error) {
	var items []item
	fault := wire.Elements(array, func(raw []byte, s wire.Shape) *wire.Fault {
		if len(items) == f.limits.Items {
			return &wire.Fault{Code: string(CodeTooMany), Offset: -1, Says: fmt.Sprintf("holds more than %d items", f.limits.Items)}
		}
		items = append(items, f.check(way, raw, s, source))
		return nil
	}, "source", "event", "event_name")
	if fault != nil {
		return nil, fromFault(fault)
	}
	return items, nil
}

// check is the door for one item. HubSpot sends a whole request again for one odd event,
// so what it sends is kept whatever it is, and quarantined later.
func (f *front) check(way canonical.Way, raw []byte, s wire.Shape, source []byte) item {
	it := item{raw: raw, source: s.Picked[0]}
	if it.source == nil {
		it.source = source
	}
	if way == canonical.WayHubSpot || way == canonical.WayWorkflow {
		return it
	}
	if fault := s.Check(way, f.limits.bounds()); fault != nil {
		it.fault = fail(Code(fault.Code), "the item "+fault.Error())
	} else if way == canonical.WayCRM || way == canonical.WayEvents {
		it.fault = f.badMerge(way, raw, s)
	}
	return it
}

// badMerge refuses a merge or an unmerge that does not say which records it is about: nobody
// would see it among the quarantined ones before the persons are wrong.
func (f *front) badMerge(way canonical.Way, raw []byte, s wire.Shape) *Error {
	event := s.Picked[1]
	if event == nil {
		event = s.Picked[2]
	}
	if p := wire.CheckMerge(way, event, raw, f.Now); p != nil {
		return failField(CodeMerge, p.Field, cmp.Or(p.Field, "the item")+" "+p.Detail)
	}
	return nil
}

func firstByte(b []byte) byte {
	for _, c := range b {
		switch c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// The built-in sources need no configuration.
const (
	sourceHubSpot = "hubspot"
	sourceAPI     = "api"
	sourceWeb     = "web"
	sourceMeta    = "meta"
	sourceSegment = "segment"
)

// sourceNames are the sources an item may name: the configured and the built-in ones.
func sourceNames(configured map[string]Source) map[string]string {
	names := map[string]string{sourceHubSpot: sourceHubSpot, sourceAPI: sourceAPI, sourceWeb: sourceWeb, sourceMeta: sourceMeta, sourceSegment: sourceSegment}
	for n := range configured {
		names[n] = n
	}
	return names
}

// source says where an item belongs: the key or the path decides, then the item itself.
func (f *front) source(in *intake, raw []byte) (string, *Error) {
	if in.bound != "" {
		return in.bound, nil
	}
	if raw == nil || string(raw) == "null" {
		return in.absent, nil
	}
	name, err := f.named(in, raw)
	if err == nil && in.browser {
		err = f.ofPage(name, in.origin)
	}
	return name, err
}

// named reads the source that an item names.
func (f *front) named(in *intake, raw []byte) (string, *Error) {
	if raw[0] != '"' {
		return "", failField(CodeWrongType, "source", "source must be text")
	}
	text := raw[1 : len(raw)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		text = []byte(jsonText(raw))
	}
	if len(text) == 0 {
		return in.absent, nil
	}
	name, ok := f.names[string(text)]
	if !ok {
		return "", failField(CodeBadSource, "source", "source names no configured source")
	}
	return name, nil
}

// keep is the one receipt path: every good item becomes a receipt, all are appended at
// once, and only then are there ids. ids[i] is "" for an item with a fault.
func (f *front) keep(c *gin.Context, r *request, in *intake) ([]canonical.ReceiptID, error) {
	if err := f.intakeAllowed(c, r, in); err != nil {
		return nil, err
	}
	now := f.Now().UTC().Truncate(time.Microsecond)
	ids := make([]canonical.ReceiptID, len(in.items))
	receipts := make([]canonical.Receipt, 0, len(in.items))
	f.ids.next(now, ids)
	for i := range in.items {
		it := &in.items[i]
		source := ""
		if it.fault == nil {
			source, it.fault = f.source(in, it.source)
		}
		if it.fault != nil {
			ids[i] = ""
			f.metrics.refused.WithLabelValues(r.route, string(it.fault.Code)).Inc()
			continue
		}
		receipts = append(receipts, canonical.Receipt{
			ID: ids[i], Source: source, Way: in.way, Browser: in.browser, ReceivedAt: now, Body: it.raw, Context: in.context,
		})
	}
	r.kept, r.refused = len(receipts), len(in.items)-len(receipts)
	if len(receipts) == 0 {
		return ids, nil
	}
	if err := f.append(receipts); err != nil {
		r.kept = 0
		return nil, err
	}
	f.metrics.durable.Observe(time.Since(r.began).Seconds())
	f.metrics.kept[in.way].Add(float64(len(receipts)))
	return ids, nil
}

// append waits for the log. A caller that hangs up does not cut it short: what was begun
// is finished.
func (f *front) append(receipts []canonical.Receipt) error {
	if f.Full != nil {
		if err := f.Full(); err != nil {
			return fail(CodeLogFull, err.Error())
		}
	}
	bytes := int64(0)
	for i := range receipts {
		bytes += int64(len(receipts[i].Body))
	}
	f.load.waiting.Add(1)
	f.load.waitingBytes.Add(bytes)
	defer f.load.waitingBytes.Add(-bytes)
	defer f.load.waiting.Add(-1)
	start := time.Now()
	err := f.Appender.Append(f.appendTimeout.context(start), receipts...)
	f.metrics.appends.Observe(time.Since(start).Seconds())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrLogFull):
		return fail(CodeLogFull, err.Error())
	default:
		f.Logger.Error("append receipts", "receipts", len(receipts), "error", err)
		return fail(CodeLog, "the log did not take it in time; send it again")
	}
}

// accept keeps an intake and answers: 202 with a receipt id or an error for every item.
func (f *front) accept(c *gin.Context, r *request, in *intake) error {
	if dry, err := wantsDryRun(c.Request); err != nil {
		return err
	} else if dry {
		if err := f.intakeAllowed(c, r, in); err != nil {
			return err
		}
		return f.dryRun(c, r, in)
	}
	ids, err := f.keep(c, r, in)
	if err != nil {
		return err
	}
	if !in.batch && in.items[0].fault != nil {
		return in.items[0].fault
	}
	status := http.StatusAccepted
	b := make([]byte, 0, 64+48*len(ids))
	if r.kept == 0 {
		r.code = CodeNothing
		e := fail(CodeNothing, "no item of the batch could be kept")
		status = e.Status()
		b = append(b, `{"ok":false,"error":`...)
		b = append(appendError(b, e), ',')
	} else {
		b = append(b, `{"ok":true,`...)
	}
	b = append(appendReceipts(b, ids, in.items), "}\n"...)
	answerJSON(c, status, b)
	return nil
}

// answerJSON writes an answer that is JSON already, with the header's one value shared by all.
func answerJSON(c *gin.Context, status int, b []byte) {
	c.Writer.Header()["Content-Type"] = jsonHeader
	c.Status(status)
	_, _ = c.Writer.Write(b) // who hung up does not hear it
}

var jsonHeader = []string{jsonType}

// appendReceipts writes "receipts":[{"receipt_id":…}|{"error":…}] behind b.
func appendReceipts(b []byte, ids []canonical.ReceiptID, items []item) []byte {
	b = append(b, `"receipts":[`...)
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		if items[i].fault != nil {
			b = append(b, `{"error":`...)
			b = append(appendError(b, items[i].fault), '}')
			continue
		}
		b = append(b, `{"receipt_id":"`...)
		b = append(append(b, id...), `"}`...)
	}
	return append(b, ']')
}

const jsonType = "application/json; charset=utf-8"
