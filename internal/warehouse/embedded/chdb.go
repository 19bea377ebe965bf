package embedded

import (
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"
)

// chdb is libchdb's C interface, loaded without cgo. A process loads it once and opens one data directory with it.
type chdb struct {
	connect         func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConn       func(conn unsafe.Pointer)
	query           func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr) unsafe.Pointer
	queryParams     func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer
	stream          func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr) unsafe.Pointer
	streamParams    func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer
	streamFetch     func(conn, result unsafe.Pointer) unsafe.Pointer
	streamCancel    func(conn, result unsafe.Pointer)
	destroy         func(result unsafe.Pointer)
	buffer          func(result unsafe.Pointer) unsafe.Pointer
	length          func(result unsafe.Pointer) uintptr
	failure         func(result unsafe.Pointer) string
	elapsed         func(result unsafe.Pointer) float64
	rows            func(result unsafe.Pointer) uint64
	rowsRead        func(result unsafe.Pointer) uint64
	bytesRead       func(result unsafe.Pointer) uint64
	rowsWritten     func(result unsafe.Pointer) uint64
	bytesWritten    func(result unsafe.Pointer) uint64
	signalsEnabled  func(enabled int32)
	signals         *signalKeeper
	connectionFlags []string
}

// loadChdb loads the library and says which data directory, and which server configuration, its connections open.
func loadChdb(path, dataDir, configFile string) (c *chdb, err error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	defer func() {
		if missing := recover(); missing != nil { // RegisterLibFunc panics when a symbol is not there
			c, err = nil, fmt.Errorf("load %s: %v", path, missing)
		}
	}()
	c = &chdb{connectionFlags: []string{"clickhouse", "--path=" + dataDir, "--config-file=" + configFile}}
	for _, symbol := range []struct {
		name string
		into any
	}{
		{"chdb_connect", &c.connect},
		{"chdb_close_conn", &c.closeConn},
		{"chdb_query_n", &c.query},
		{"chdb_query_with_params_n", &c.queryParams},
		{"chdb_stream_query_n", &c.stream},
		{"chdb_stream_query_with_params_n", &c.streamParams},
		{"chdb_stream_fetch_result", &c.streamFetch},
		{"chdb_stream_cancel_query", &c.streamCancel},
		{"chdb_destroy_query_result", &c.destroy},
		{"chdb_result_buffer", &c.buffer},
		{"chdb_result_length", &c.length},
		{"chdb_result_error", &c.failure},
		{"chdb_result_elapsed", &c.elapsed},
		{"chdb_result_rows_read", &c.rows},
		{"chdb_result_storage_rows_read", &c.rowsRead},
		{"chdb_result_storage_bytes_read", &c.bytesRead},
		{"chdb_result_rows_written", &c.rowsWritten},
		{"chdb_result_bytes_written", &c.bytesWritten},
		{"chdb_set_signal_handlers_enabled", &c.signalsEnabled},
	} {
		purego.RegisterLibFunc(symbol.into, handle, symbol.name)
	}
	if c.signals, err = keepSignals(); err != nil {
		return nil, err
	}
	c.signalsEnabled(0)
	c.signals.restore()
	return c, nil
}

// A conn is one session of the engine: its own current database, settings and temporary tables. It runs one statement
// at a time. Opening one costs a fraction of a millisecond while another is open.
type conn struct {
	lib    *chdb
	handle *unsafe.Pointer
}

var errConnect = errors.New("the engine refused to open its data directory")

func (c *chdb) open() (*conn, error) {
	argv := make([]unsafe.Pointer, len(c.connectionFlags)+1)
	var pins runtime.Pinner
	defer pins.Unpin()
	for i, flag := range c.connectionFlags {
		text := append([]byte(flag), 0)
		pins.Pin(&text[0])
		argv[i] = unsafe.Pointer(&text[0])
	}
	pins.Pin(&argv[0])
	handle := c.connect(int32(len(c.connectionFlags)), unsafe.Pointer(&argv[0]))
	c.signals.restore()
	if handle == nil {
		return nil, errConnect
	}
	return &conn{lib: c, handle: (*unsafe.Pointer)(handle)}, nil
}

func (c *conn) close() {
	if c.handle != nil {
		c.lib.closeConn(unsafe.Pointer(c.handle))
		c.handle = nil
	}
}

// A param is one {name:Type} of a statement. The value is text as in a TabSeparated field.
type param struct{ name, value string }

// stats are what the engine counted while it ran a statement.
type stats struct {
	rows, readRows, readBytes, writtenRows, writtenBytes uint64
	elapsed                                              time.Duration
}

// A chunk is bytes that the engine holds; they are valid until it is freed.
type chunk struct {
	lib    *chdb
	handle unsafe.Pointer
}

func (k *chunk) bytes() []byte {
	n := k.lib.length(k.handle)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(k.lib.buffer(k.handle)), n)
}

func (k *chunk) stats() stats {
	return stats{
		rows:         k.lib.rows(k.handle),
		readRows:     k.lib.rowsRead(k.handle),
		readBytes:    k.lib.bytesRead(k.handle),
		writtenRows:  k.lib.rowsWritten(k.handle),
		writtenBytes: k.lib.bytesWritten(k.handle),
		elapsed:      time.Duration(k.lib.elapsed(k.handle) * float64(time.Second)),
	}
}

func (k *chunk) free() {
	if k.handle != nil {
		k.lib.destroy(k.handle)
		k.handle = nil
	}
}

// run runs one statement to its end and returns its whole result, to be freed by the caller.
func (c *conn) run(query, format string, params ...param) (*chunk, error) {
	return c.lib.result(c.call(c.lib.query, c.lib.queryParams, query, format, params))
}

// exec runs one statement whose result nobody wants.
func (c *conn) exec(query string) error {
	result, err := c.run(query, "Null")
	if err != nil {
		return err
	}
	result.free()
	return nil
}

// begin starts a SELECT whose result is fetched piece by piece, each piece a complete text of the format.
func (c *conn) begin(query, format string, params ...param) (*chunk, error) {
	return c.lib.result(c.call(c.lib.stream, c.lib.streamParams, query, format, params))
}

// next fetches the next piece of a result that begin started. A piece without bytes is the end.
func (c *conn) next(started *chunk) (*chunk, error) {
	return c.lib.result(c.lib.streamFetch(*c.handle, started.handle))
}

// cancel gives up the rest of a result that begin started.
func (c *conn) cancel(started *chunk) { c.lib.streamCancel(*c.handle, started.handle) }

func (c *chdb) result(handle unsafe.Pointer) (*chunk, error) {
	if handle == nil {
		return nil, errors.New("the engine gave no result")
	}
	result := &chunk{lib: c, handle: handle}
	if message := c.failure(handle); message != "" {
		result.free()
		return nil, parseException(message)
	}
	return result, nil
}

type (
	plainCall  = func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr) unsafe.Pointer
	paramsCall = func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer
)

func (c *conn) call(plain plainCall, withParams paramsCall, query, format string, params []param) unsafe.Pointer {
	var pins runtime.Pinner
	defer pins.Unpin()
	text := func(s string) unsafe.Pointer {
		b := append([]byte(s), 0)
		pins.Pin(&b[0])
		return unsafe.Pointer(&b[0])
	}
	q, f := text(query), text(format)
	if len(params) == 0 {
		return plain(*c.handle, q, uintptr(len(query)), f, uintptr(len(format)))
	}
	names, values := make([]unsafe.Pointer, len(params)), make([]unsafe.Pointer, len(params))
	nameLens, valueLens := make([]uintptr, len(params)), make([]uintptr, len(params))
	for i, p := range params {
		names[i], nameLens[i] = text(p.name), uintptr(len(p.name))
		values[i], valueLens[i] = text(p.value), uintptr(len(p.value))
	}
	pins.Pin(&names[0])
	pins.Pin(&values[0])
	pins.Pin(&nameLens[0])
	pins.Pin(&valueLens[0])
	return withParams(*c.handle, q, uintptr(len(query)), f, uintptr(len(format)),
		unsafe.Pointer(&names[0]), unsafe.Pointer(&nameLens[0]), unsafe.Pointer(&values[0]), unsafe.Pointer(&valueLens[0]), uintptr(len(params)))
}
