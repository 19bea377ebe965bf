package ingest

import (
	"fmt"
	"runtime"
	runtimemetrics "runtime/metrics"
	"strings"
	"testing"
	"time"

	"tributary/canonical/wire"
)

// mostMemory is what a body of a megabyte may cost, from its arrival until its items are read.
const mostMemory = 64 << 20

// filled is a body of a megabyte: head, as many of part as fit, tail. A %x in part is a number
// that counts.
func filled(head, part, tail string) string {
	var b strings.Builder
	b.WriteString(head)
	for n := 0; b.Len()+len(part)+len(tail)+8 < 1<<20; n++ {
		if strings.Contains(part, "%x") {
			fmt.Fprintf(&b, part, n)
		} else {
			b.WriteString(part)
		}
	}
	return b.String() + tail
}

// peakOf runs do and gives how far the bytes of objects on the heap rose above where they were,
// looked at every millisecond.
func peakOf(do func()) uint64 {
	sample := []runtimemetrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	runtime.GC()
	runtimemetrics.Read(sample)
	base, peak := sample[0].Value.Uint64(), uint64(0)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			runtimemetrics.Read(sample)
			peak = max(peak, sample[0].Value.Uint64())
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	do()
	close(stop)
	<-done
	return peak - min(base, peak)
}

// Bodies of a megabyte that are made to cost much, by every way in and in every form that it takes:
// none costs 64 MB, and none is answered as a fault of ours.
func TestEvilBodiesCostLittle(t *testing.T) {
	item := `"event_name":"Contact","event_time":1776942259,"user_data":{"em":"ana@example.com"},"event":"x","contact":{"email":"ana@example.com"},"anonymous_id":"a","type":"track","userId":"u","timestamp":"2026-04-23T11:04:19Z"`
	bodies := map[string]string{
		"numbers":       filled(`{`+item+`,"a":[1`, ",1", `]}`),
		"lists":         filled(`{`+item+`,"a":[[]`, ",[]", `]}`),
		"objects":       filled(`{`+item+`,"a":[{}`, ",{}", `]}`),
		"names":         filled(`{`+item, `,"%x":1`, `}`),
		"deep":          filled(`{`+item+`,"a":`, `[`, ``),
		"one text":      filled(`{`+item+`,"a":"`, `x`, `"}`),
		"escapes":       filled(`{`+item+`,"a":"`, `\u00e9`, `"}`),
		"no item":       filled(`[0`, `,0`, `]`),
		"empty items":   filled(`[{}`, `,{}`, `]`),
		"items":         filled(`[{`+item+`}`, `,{`+item+`}`, `]`),
		"in events":     filled(`{"events":[{`+item+`}`, `,{`+item+`}`, `]}`),
		"in batch":      filled(`{"batch":[{}`, `,{}`, `],"writeKey":"k-ingest"}`),
		"in data":       filled(`{"data":[{`+item+`}`, `,{`+item+`}`, `]}`),
		"nothing":       filled(`{"data":[{}`, `,{}`, `]}`),
		"texts in data": filled(`{"data":["{}"`, `,"{}"`, `]}`),
		"data as text":  filled(`{"data":"[`, `\u007b\u007d,`, `{}]"}`),
		"large events":  `{"data":[` + strings.Repeat(filled(`{`+item+`,"a":[1`, `,1`, `]}`)[:200<<10]+`]},`, 4) + `{` + item + `}]}`,
		"not closed":    filled(`{"data":[`, `{"a":`, ``),
		"fields":        filled("a=1", "&%x=1", ""),
		"one field":     filled("a=1", "&a", ""),
		"data fields":   filled("data[]={}", "&data[]={}", ""),
		"data in order": filled("data[0]={}", "&data[%x]={}", ""),
		"ampersands":    filled("", "&", ""),
		"escaped":       filled("data=", "%%5B", ""),
		"parts":         filled("", "--b\r\nContent-Disposition: form-data; name=\"%x\"\r\n\r\n1\r\n", "--b--\r\n"),
		"data parts":    filled("", "--b\r\nContent-Disposition: form-data; name=\"data[]\"\r\n\r\n{}\r\n", "--b--\r\n"),
		"part headers":  filled("--b\r\n", "A%x: 1\r\n", "\r\n\r\n1\r\n--b--\r\n"),
		"boundaries":    filled("", "--b\r\n", "--b--\r\n"),
	}
	kinds := []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain"}
	worst, of := uint64(0), ""
	w := newWorld(t, func(o *Options) {
		o.Limits.Rate, o.Limits.AddressRate = Unlimited, Unlimited
		o.Sources["tool"] = Source{Kind: KindHook, Proof: Proof{Scheme: ProofBearer, Secret: func() string { return "k-ingest" }}}
	})
	try := func(name, method, path, body string, headers ...string) {
		code := 0
		peak := peakOf(func() {
			rec := w.send(method, path, body, headers...)
			code = rec.Code
			for _, r := range w.log.take() {
				_, _ = wire.Read(r, wire.Settings{})
			}
		})
		if peak > worst {
			worst, of = peak, name
		}
		if peak > mostMemory || code >= 500 {
			t.Errorf("%s: %d, %d MB at its peak", name, code, peak>>20)
		}
	}
	for _, path := range []string{"/v1/events", "/v1/ingest/hubspot/free", "/v1/ingest/hook/tool", "/v1/ingest/pixel?key=k-browser", "/v25.0/1/events?access_token=k-ingest", "/v1/batch"} {
		for name, body := range bodies {
			for _, kind := range kinds {
				json := strings.HasPrefix(body, "{") || strings.HasPrefix(body, "[")
				if json != (kind == kinds[0] || kind == kinds[3]) || kind == kinds[3] && !strings.Contains(path, "pixel") || !json && !strings.HasPrefix(path, "/v25.0") {
					continue // refused by its type
				}
				try(path+" "+name+" as "+kind, "POST", path, body, "Content-Type", kind, "Authorization", "Bearer k-ingest")
			}
		}
	}
	try("a query", "GET", "/v1/pixel.gif?key=k-browser&"+bodies["fields"], "")
	try("a query of data", "POST", "/v25.0/1/events?access_token=k-ingest&"+bodies["data in order"], "{}")
	try("an image's query", "GET", "/v1/pixel.gif?key=k-browser&"+bodies["one field"], "")
	t.Logf("the most is %d MB: %s", worst>>20, of)
}
