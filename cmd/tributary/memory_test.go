package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/ingest"
	"tributary/internal/pipeline"
	"tributary/mappings"
)

// mostMemory is what any body of a megabyte may take at its peak, from the socket to facts and
// events.
const mostMemory = 64 << 20

// anyKey lets everybody in, with every scope.
type anyKey struct{}

func (anyKey) Find(secret string) (ingest.Key, bool) {
	return ingest.Key{Name: "any", Scopes: []ingest.Scope{ingest.ScopeAdmin}}, true
}

// keptReceipts is a log that remembers.
type keptReceipts struct{ kept []canonical.Receipt }

func (l *keptReceipts) Append(_ context.Context, rs ...canonical.Receipt) error {
	l.kept = append(l.kept, rs...)
	return nil
}

// No body of a megabyte takes much memory, whatever it holds and wherever it is sent: not while
// it is taken in, and not while what was kept of it is understood.
func TestNoBodyTakesMuchMemory(t *testing.T) {
	mapping, problems := mappings.Compile(mappings.Default(), mappings.File{Name: "tool.yaml", Text: []byte(`
version: 1
sources:
  tool:
    json:
      each: $.items[*]
      event: thing
      fields: { event_id: $.id, email: $.a.b.c.email }
`)})
	if mappings.Failed(problems) {
		t.Fatal(problemText(problems))
	}
	log := &keptReceipts{}
	h, err := ingest.Handler(ingest.Options{
		Appender: log, Keys: anyKey{},
		Sources: map[string]ingest.Source{"hub": {Kind: ingest.KindHubSpot}, "tool": {Kind: ingest.KindHook}, "signed": {Kind: ingest.KindHook, Proof: ingest.Proof{Scheme: ingest.ProofHMAC, Header: "X-Sig", Secret: func() string { return "s" }}}},
		Items:   mapping.Items,
		Replay: func(context.Context, ingest.ReplayRequest) (ingest.ReplayAnswer, error) {
			return ingest.ReplayAnswer{}, nil
		},
		Mount: func(r gin.IRouter, auth func(ingest.Scope) gin.HandlerFunc) {
			r.POST("/read-act", auth(ingest.ScopeRead), func(c *gin.Context) { // as all of the process read theirs
				var q replayRequest
				if err := readAct(c, &q, false); err != nil {
					(&router{}).refuse(c, err)
					return
				}
				c.Status(http.StatusOK)
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, r := range h.(*gin.Engine).Routes() {
		if r.Method != http.MethodPost {
			continue
		}
		for _, source := range []string{"hub", "tool", "signed"} {
			p := strings.NewReplacer(":source", source, ":id", "x").Replace(r.Path)
			if p != r.Path || source == "hub" {
				paths = append(paths, p)
			}
		}
	}
	paths = append(paths, "/v25.0/1/events")
	if len(paths) < 10 {
		t.Fatalf("only %v", paths)
	}
	worst, at := int64(0), ""
	bodies := evilBodies()
	for _, path := range paths {
		for name, b := range bodies {
			took := memoryOf(func() {
				log.kept = nil
				req := httptest.NewRequest(http.MethodPost, path+"?key=k&access_token=k", bytes.NewReader(b.body))
				req.Header.Set("Content-Type", b.kind)
				req.Header.Set("Authorization", "Bearer k")
				req.Header.Set("X-Sig", "00")
				if b.packed {
					req.Header.Set("Content-Encoding", "gzip")
				}
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, req)
				if rec.Code >= 500 && rec.Code != http.StatusServiceUnavailable {
					t.Errorf("%s %s: %d %.200s", path, name, rec.Code, rec.Body)
				}
				for _, rc := range log.kept {
					wire.Bare(rc)
					pipeline.Understand(rc, mapping, wire.Settings{})
				}
			})
			if took > mostMemory {
				t.Errorf("%s takes %d MB for %s", path, took>>20, name)
			}
			if took > worst {
				worst, at = took, path+" for "+name
			}
		}
	}
	t.Logf("at most %d MB: %s", worst>>20, at)
}

// Nor does a mapping that an operator hands in.
func TestNoMappingTakesMuchMemory(t *testing.T) {
	const size = 1 << 20
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i < 'k'; i++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	for name, text := range map[string]string{
		"deep lists":   "version: 1\nlifecycle: " + strings.Repeat("[", size/8),
		"deep maps":    "version: 1\nlifecycle: " + strings.Repeat("{a: ", size/8),
		"aliases":      "version: 1\n" + bomb + "lifecycle: *j\n",
		"merged":       "version: 1\n" + bomb + "<<: [*j, *i]\n",
		"many keys":    "version: 1\nlifecycle:\n" + repeated(size, func(i int) string { return fmt.Sprintf("  stage_%d: { name: lead }\n", i) }),
		"long text":    "version: 1\nlifecycle: { x: " + strings.Repeat("y", size) + " }\n",
		"many lines":   strings.Repeat("- x\n", size/4),
		"conditions":   "version: 1\nignore:\n" + repeated(size, func(i int) string { return fmt.Sprintf("  - when: a == %d and (b == 1 or not c)\n", i) }),
		"deep formula": "version: 1\nignore:\n  - when: " + strings.Repeat("(", size/2) + "a" + strings.Repeat(")", size/2) + "\n",
	} {
		if took := memoryOf(func() { mappings.Compile(mappings.File{Name: "m.yaml", Text: []byte(text)}) }); took > mostMemory {
			t.Errorf("%s: %d MB", name, took>>20)
		}
	}
}

// memoryOf gives what f needs at its peak: all that it allocates where that is little enough by far, else
// what of it is held at a time, the garbage collected often.
func memoryOf(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if all := int64(after.TotalAlloc - before.TotalAlloc); all <= mostMemory/2 {
		return all
	}
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	runtime.GC()
	runtime.ReadMemStats(&before)
	stop, peak := make(chan struct{}), uint64(0)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Microsecond):
			}
		}
	})
	f()
	close(stop)
	wg.Wait()
	return max(0, int64(peak)-int64(before.HeapAlloc))
}

type evilBody struct {
	body   []byte
	kind   string
	packed bool
}

// repeated writes pieces until there are size bytes.
func repeated(size int, piece func(int) string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		b.WriteString(piece(i))
	}
	return b.String()
}

// evilBodies are of a megabyte each at most.
func evilBodies() map[string]evilBody {
	const size = 1<<20 - 300
	list := func(item func(int) string) string {
		return "[" + strings.TrimSuffix(repeated(size-100, func(i int) string { return item(i) + "," }), ",") + "]"
	}
	thousand := func(item string) string { return "[" + strings.Repeat(item+",", 999) + item + "]" }
	object := func(member func(int) string) string {
		return `{"event":"page_view","anonymous_id":"a",` + strings.TrimSuffix(repeated(200<<10, func(i int) string { return member(i) + "," }), ",") + "}"
	}
	metaLead := fmt.Sprintf(`{"event_name":"Lead","event_time":%d,"user_data":{"em":["a@example.com"],"ph":["1"]}`, time.Now().Unix())
	texts := map[string]string{
		"deep lists":         strings.Repeat("[", size),
		"deep lists, closed": strings.Repeat("[", size/2) + strings.Repeat("]", size/2),
		"deep objects":       strings.Repeat(`{"a":`, size/5),
		"depth 64":           thousand(strings.Repeat(`{"a":`, 62) + `"` + strings.Repeat("x", 500) + `"` + strings.Repeat("}", 62)),
		"zeros":              list(func(int) string { return "0" }),
		"empty objects":      list(func(int) string { return "{}" }),
		"many keys":          object(func(i int) string { return fmt.Sprintf(`"k%d":%d`, i, i) }),
		"one key":            object(func(i int) string { return `"custom_data":{"a":1}` }),
		"one long key":       `{"` + strings.Repeat("k", size-10) + `":1}`,
		"one long text":      `{"event":"` + strings.Repeat("x", size-20) + `"}`,
		"escapes":            `{"event":"page_view","anonymous_id":"a","url":"` + strings.Repeat(`\u0000`, 40<<10) + `"}`,
		"surrogates":         `{"event":"` + strings.Repeat(`\ud800`, 40<<10) + `"}`,
		"long number":        `{"event":"x","user_data":{"user_id":"u"},"custom_data":{"value":` + strings.Repeat("9", 250<<10) + `}}`,
		"huge exponents":     thousand(`{"event":"x","user_data":{"user_id":1e308},"custom_data":{"value":1e99999999,"mrr":-1e-99999999}}`),
		"many identifiers":   thousand(`{"event":"x","user_data":{"em":[` + strings.TrimSuffix(strings.Repeat(`"a@example.com","b@example.com",`, 28), ",") + `]}}`),
		"list of values":     object(func(i int) string { return fmt.Sprintf(`"user_data":{"em":["a%d@example.com","b"]}`, i) }),
		"thousand page views": thousand(`{"event":"page_view","anonymous_id":"a","url":"https://acme.example/?` +
			strings.Repeat("a=b&", 210) + `","consent":{"ad_storage":true}}`),
		"thousand deals":       thousand(`{"event":"deal.stage_changed","deal":{"id":"1","stage":"contractsent","contact_ids":[` + strings.TrimSuffix(strings.Repeat("1,", 400), ",") + `]},"occurred_at":1776942259}`),
		"thousand webhooks":    thousand(`{"subscriptionType":"contact.propertyChange","portalId":1,"objectId":2,"propertyName":"lifecyclestage","propertyValue":"` + strings.Repeat("x", 850) + `","occurredAt":1776942259000}`),
		"hubspot's objects":    `{"vid":1,"properties":{` + strings.TrimSuffix(repeated(size-200, func(i int) string { return fmt.Sprintf(`"p%d":{"value":"v","versions":[{"value":"v"}]},`, i) }), ",") + `}}`,
		"items":                `{"items":` + thousand(`{"id":"x","a":{"b":{"c":{"email":"a@example.com"}}},"n":"`+strings.Repeat("y", 900)+`"}`) + `}`,
		"many items":           `{"items":` + list(func(i int) string { return "{}" }) + `}`,
		"segment":              `{"batch":` + thousand(`{"type":"track","event":"x","messageId":"m","anonymousId":"a","properties":{"a":"`+strings.Repeat("x", 850)+`"},"context":{"page":{"url":"https://acme.example/"}}}`) + `}`,
		"meta":                 `{"data":` + thousand(metaLead+`,"custom_data":{"a":"`+strings.Repeat("x", 850)+`"}}`) + `}`,
		"large events of meta": `{"data":[` + strings.Repeat(metaLead+`,"custom_data":{"a":[1`+strings.Repeat(",1", 100<<10)+`]}},`, 4) + metaLead + `}]}`,
		"meta's data as text":  `{"data":"[` + strings.Repeat(`\u007b\u007d,`, size/14) + `{}]"}`,
		"texts in texts":       `{"data":` + mustJSON(thousand(`{"event_name":"Lead","user_data":{}}`)) + `}`,
		"null bytes":           strings.Repeat("\x00", size),
		"white space":          strings.Repeat(" ", size),
	}
	out := map[string]evilBody{}
	for name, text := range texts {
		out[name] = evilBody{[]byte(text), "application/json", false}
	}
	for _, name := range []string{"deep lists", "thousand deals", "white space"} {
		out[name+", packed"] = evilBody{packedText(texts[name]), "application/json", true}
	}
	out["a bomb"] = evilBody{packedText(strings.Repeat(" ", 16<<20)), "application/json", true}
	out["a bomb of lists"] = evilBody{packedText(strings.Repeat("[", 16<<20)), "application/json", true}
	const form = "application/x-www-form-urlencoded"
	out["many fields"] = evilBody{[]byte(repeated(size, func(i int) string { return fmt.Sprintf("k%d&", i) })), form, false}
	out["many data"] = evilBody{[]byte(repeated(size, func(i int) string { return fmt.Sprintf("data[%d]={}&", i) })), form, false}
	out["one field again"] = evilBody{[]byte(strings.Repeat("data=&", size/6)), form, false}
	out["a form in a form"] = evilBody{[]byte("data=" + strings.Repeat("%5B", size/3)), form, false}
	part := "--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n{}\r\n"
	out["many parts"] = evilBody{[]byte(strings.Repeat(part, size/len(part)) + "--b--\r\n"), "multipart/form-data; boundary=b", false}
	part = strings.Replace(part, `"data"`, `"data[]"`, 1)
	out["parts that are events"] = evilBody{[]byte(strings.Repeat(part, size/len(part)) + "--b--\r\n"), "multipart/form-data; boundary=b", false}
	out["heads of parts"] = evilBody{[]byte("--b\r\n" + repeated(size, func(i int) string { return fmt.Sprintf("X-%d: y\r\n", i) })), "multipart/form-data; boundary=b", false}
	return out
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func packedText(s string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.Bytes()
}
