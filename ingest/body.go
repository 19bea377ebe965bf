package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// readJSON reads the body of a route that takes JSON.
func (f *front) readJSON(req *http.Request, limit int) ([]byte, error) {
	if err := isJSON(req.Header.Get("Content-Type"), false); err != nil {
		return nil, err
	}
	return f.read(req, limit)
}

// isJSON checks a Content-Type. text/plain is what a browser's beacon sends.
func isJSON(ct string, beacon bool) error {
	if ct == "application/json" || ct == "" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(ct)
	switch {
	case err != nil:
	case kind == "application/json", strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json"), beacon && kind == "text/plain":
		if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") {
			return fail(CodeMediaType, "the body must be in UTF-8")
		}
		return nil
	}
	return fail(CodeMediaType, "send application/json")
}

// read reads a body whole, unpacked, up to limit bytes of either form.
func (f *front) read(req *http.Request, limit int) ([]byte, error) {
	packed := false
	if len(req.Header["Content-Encoding"]) > 1 {
		return nil, fail(CodeContentEnc, "send the body as it is, or in gzip, once")
	}
	switch enc := req.Header.Get("Content-Encoding"); {
	case enc == "", strings.EqualFold(enc, "identity"):
	case strings.EqualFold(enc, "gzip"), strings.EqualFold(enc, "x-gzip"):
		packed = true
	default:
		return nil, fail(CodeContentEnc, "send the body as it is, or in gzip")
	}
	if req.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	if packed {
		return unpack(req.Body, limit)
	}
	if n := req.ContentLength; n >= 0 && n <= believed {
		b := make([]byte, n)
		if _, err := io.ReadFull(req.Body, b); err != nil {
			return nil, ours(err, fail(CodeIncomplete, "the body ended before its length"))
		}
		return b, nil
	}
	return readAll(req.Body, limit)
}

// believed is the length that a header may claim and get memory for at once; what is
// longer gets memory as it arrives.
const believed = 64 << 10

func tooLarge(limit int) *Error {
	return fail(CodeTooLarge, fmt.Sprintf("the body is larger than %d bytes", limit))
}

// readAll reads to the end, at most limit bytes.
func readAll(r io.Reader, limit int) ([]byte, error) {
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(r, int64(limit)+1))
	switch {
	case n > int64(limit):
		return nil, tooLarge(limit)
	case err != nil:
		return nil, ours(err, fail(CodeIncomplete, "the body could not be read to its end"))
	}
	return b.Bytes(), nil
}

// ours is err where it is an answer already, else other.
func ours(err error, other *Error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	return other
}

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

// unpack reads gzip, at most limit bytes of either form: a bomb is cut off where it
// passes the limit, or is much larger than what it came in.
func unpack(body io.Reader, limit int) ([]byte, error) {
	packed := &counter{r: io.LimitReader(body, int64(limit)+1)}
	held, _ := body.(*heldBody)
	z := gzipReaders.Get().(*gzip.Reader)
	defer gzipReaders.Put(z)
	bad := fail(CodeEncoding, "the body is not the gzip that Content-Encoding says it is")
	if err := z.Reset(packed); err != nil {
		return nil, ours(err, bad)
	}
	b, err := readAll(&unpacked{z: z, packed: packed, held: held}, limit)
	if packed.n > limit {
		return nil, tooLarge(limit)
	}
	var e *Error
	if errors.As(err, &e) && e.Code == CodeIncomplete {
		return nil, bad
	}
	return b, err
}

// unpacked is what comes out of gzip. It is counted in the load as well, and must not be many
// times what went in.
type unpacked struct {
	z      *gzip.Reader
	packed *counter
	held   *heldBody // nil: nobody counts
	n      int
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.z.Read(p)
	u.n += n
	if u.n > RatioMatters && u.n > MaxRatio*u.packed.n {
		return 0, fail(CodeTooLarge, fmt.Sprintf("the body unpacks to more than %d times its size", MaxRatio))
	}
	if u.held != nil {
		if err := u.held.take(n); err != nil {
			return 0, err
		}
	}
	return n, err
}

// A counter counts what is read through it.
type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
