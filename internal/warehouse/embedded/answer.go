package embedded

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// An answer is the HTTP response to one statement. Nothing is sent before it is known to be good, unless it grew too
// large to be held back.
type answer struct {
	w        http.ResponseWriter
	server   *server
	q        *request
	encoding string

	tag     string // of an exception after the first byte
	started bool
	body    io.Writer
	closers []io.Closer
}

func (a *answer) begin(q *request, contentEncoding string) {
	a.q, a.encoding = q, contentEncoding
	h := a.w.Header()
	h.Set("X-ClickHouse-Query-Id", q.id)
	h.Set("X-ClickHouse-Server-Display-Name", a.server.identity.displayName)
	timezone := a.server.identity.timezone
	if chosen, ok := q.setting("session_timezone"); ok && chosen != "" {
		timezone = chosen
	}
	h.Set("X-ClickHouse-Timezone", timezone)
}

// Results in these formats are pieces that may be written one after the other.
var streamed = map[string]bool{
	"Native": true, "RowBinary": true, "TabSeparated": true, "TSV": true, "TabSeparatedRaw": true, "TSVRaw": true, "CSV": true,
	"JSONEachRow": true, "NDJSON": true, "JSONLines": true, "JSONCompactEachRow": true, "JSONStringsEachRow": true, "LineAsString": true,
}

// streams says whether a statement's result is fetched and sent in pieces.
func (s statement) streams(q *request) bool {
	if s.verb != "SELECT" && s.verb != "WITH" || s.totals || q.wholeFirst || !streamed[firstOf(s.format, q.format)] {
		return false
	}
	_, limited := q.setting("extremes")
	return !limited
}

// Answers up to this size are held back until the statement is done, so that a failure has its proper status.
const heldBack = 1 << 20

// stream sends a SELECT's result as it comes.
func (a *answer) stream(c *conn, text string, q *request, format string) error {
	started, err := c.begin(text, q.format, q.params...)
	if err != nil {
		return err
	}
	defer started.free()
	var held bytes.Buffer
	var total stats
	for born := time.Now(); ; {
		piece, err := c.next(started)
		if err != nil {
			return err
		}
		data := piece.bytes()
		if len(data) == 0 {
			piece.free()
			total.elapsed = time.Since(born)
			break
		}
		total.rows += piece.stats().rows
		err = a.pass(&held, data, format)
		piece.free()
		if err != nil {
			c.cancel(started)
			return &gone{err}
		}
	}
	total.readRows = total.rows
	a.start(format, &total)
	if _, err := a.body.Write(held.Bytes()); err != nil {
		return &gone{err}
	}
	return nil
}

// pass holds a piece back, or sends it with all that was held back.
func (a *answer) pass(held *bytes.Buffer, data []byte, format string) error {
	if !a.started && held.Len()+len(data) <= heldBack {
		held.Write(data)
		return nil
	}
	a.start(format, nil)
	if _, err := a.body.Write(held.Bytes()); err != nil {
		return err
	}
	held.Reset()
	_, err := a.body.Write(data)
	return err
}

// whole runs a statement to its end and sends its result.
func (a *answer) whole(c *conn, text string, q *request, format string) error {
	result, err := c.run(text, q.format, q.params...)
	if err != nil {
		return err
	}
	defer result.free()
	data, counted := result.bytes(), result.stats()
	if len(data) == 0 {
		a.encoding = ""
		q.compress = false
	}
	a.start(format, &counted)
	if _, err := a.body.Write(data); err != nil {
		return &gone{err}
	}
	return nil
}

// start sends the headers of a good answer; counted is nil when the statement is still running.
func (a *answer) start(format string, counted *stats) {
	if a.started {
		return
	}
	a.started = true
	h := a.w.Header()
	h.Set("X-ClickHouse-Format", format)
	h.Set("Content-Type", contentType(format))
	if counted != nil {
		h.Set("X-ClickHouse-Summary", summary(*counted))
	} else {
		tag := make([]byte, 8)
		rand.Read(tag)
		a.tag = hex.EncodeToString(tag)
		h.Set("X-ClickHouse-Exception-Tag", a.tag)
	}
	if a.encoding != "" {
		h.Set("Content-Encoding", a.encoding)
		h.Add("Vary", "Accept-Encoding")
	}
	a.body = a.w
	if a.encoding != "" {
		encoded := encode(a.body, a.encoding)
		a.body, a.closers = encoded, append(a.closers, encoded)
	}
	if a.q.compress {
		blocks := encodeBlocks(a.body, a.q.method)
		a.body, a.closers = blocks, append(a.closers, blocks)
	}
}

// end sends what the encodings still hold.
func (a *answer) end() {
	for i := len(a.closers) - 1; i >= 0; i-- {
		if a.closers[i].Close() != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// fail sends a failure: with its own status as long as nothing was sent, else as ClickHouse does it, framed at the end
// of the answer, whose connection is then broken off.
func (a *answer) fail(err error) {
	var left *gone
	if errors.As(err, &left) {
		panic(http.ErrAbortHandler)
	}
	var e *exception
	if !errors.As(err, &e) {
		e = &exception{code: codeUnknownException, message: err.Error() + ". (UNKNOWN_EXCEPTION)"}
	}
	message := fmt.Sprintf("%s (version %s)", e.Error(), a.server.identity.version)
	if a.started {
		if blocks, ok := a.body.(*blockWriter); ok {
			blocks.plain() // a client finds the frame in the bytes as they come
		}
		frame := "\r\n__exception__\r\n" + a.tag + "\r\n" + message + "\n" + strconv.Itoa(len(message)) + " " + a.tag + "\r\n__exception__\r\n"
		io.WriteString(a.body, frame)
		a.end()
		http.NewResponseController(a.w).Flush()
		panic(http.ErrAbortHandler)
	}
	status := e.status()
	h := a.w.Header()
	var nobody *anonymous
	if errors.As(err, &nobody) {
		status = http.StatusUnauthorized
		h.Set("WWW-Authenticate", `Basic realm="ClickHouse server HTTP API"`)
	}
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	a.w.WriteHeader(status)
	io.WriteString(a.w, message+"\n")
}

// gone says that the client left while the answer was sent.
type gone struct{ error }

func (g *gone) Unwrap() error { return g.error }

// summary is the X-ClickHouse-Summary header: numbers as text, as ClickHouse writes them.
func summary(s stats) string {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	text, _ := json.Marshal(struct {
		ReadRows     string `json:"read_rows"`
		ReadBytes    string `json:"read_bytes"`
		WrittenRows  string `json:"written_rows"`
		WrittenBytes string `json:"written_bytes"`
		TotalRows    string `json:"total_rows_to_read"`
		ResultRows   string `json:"result_rows"`
		Elapsed      string `json:"elapsed_ns"`
	}{number(s.readRows), number(s.readBytes), number(s.writtenRows), number(s.writtenBytes), "0", number(s.rows), number(uint64(s.elapsed))})
	return string(text)
}
