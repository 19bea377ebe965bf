package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// server speaks ClickHouse's HTTP protocol for one data directory. Every request gets a session of its own, so that no
// setting, database or temporary table of one is seen by another.
type server struct {
	lib            *chdb
	user, password string
	identity       identity
	spool          spool
	slots          chan struct{} // one for each statement that may run at a time
	maxBody        int64
	maxResult      int64
	sessions       *sessions
	guard          guard
	log            *slog.Logger
}

// identity is what the engine says of itself.
type identity struct{ displayName, version, timezone string }

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "Only GET, HEAD and POST are served here.", http.StatusMethodNotAllowed)
	case r.URL.Path == "/ping":
		w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		io.WriteString(w, "Ok.\n")
	case r.URL.Path != "/":
		http.Error(w, "There is no handle for this path. Use / for queries or /ping.", http.StatusNotFound)
	case r.Method != http.MethodPost && r.URL.RawQuery == "":
		io.WriteString(w, "Ok.\n")
	default:
		s.answer(w, r)
	}
}

// answer runs one statement and writes its result, or its failure.
func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	a := &answer{w: w, server: s}
	defer a.recover()
	if err := s.admit(r); err != nil {
		a.fail(err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.maxBody)
	form, err := readForm(r)
	if err != nil {
		a.fail(err)
		return
	}
	q, err := readRequest(r, form.external)
	if err != nil {
		a.fail(err)
		return
	}
	a.begin(q, choose(r.Header.Get("Accept-Encoding"), q.compressesHTTP()))
	if err := s.serve(r, q, form, a); err != nil {
		a.fail(err)
		return
	}
	a.end()
}

func (s *server) serve(r *http.Request, q *request, form *form, a *answer) error {
	if form.multipart == nil {
		body, done, err := decode(r.Body, r.Header.Get("Content-Encoding"), q.decompress)
		defer done()
		if err != nil {
			return err
		}
		return s.run(r.Context(), q, nil, body, a)
	}
	tables, query, err := form.read(s.spool, s.maxBody)
	defer tables.remove()
	if err != nil {
		return err
	}
	return s.run(r.Context(), q, tables, query, a)
}

// run reads the statement, spools its rows, waits for a slot and lets the engine do it.
func (s *server) run(ctx context.Context, q *request, tables externalTables, body io.Reader, a *answer) error {
	statement, rows, err := q.readStatement(body)
	if err != nil {
		return bodyProblem(err)
	}
	if q.revision > 0 && isHandshake(statement.text) {
		return s.handshake(q, a)
	}
	if statement.text == "" {
		return refuse(codeSyntaxError, "SYNTAX_ERROR", "Syntax error: Empty query")
	}
	if err := s.guard.check(statement.text, q.params); err != nil {
		return err
	}
	for _, table := range tables {
		if err := s.guard.check(table.structure, nil); err != nil {
			return err
		}
	}
	if q.readOnly && q.session != "" && !readVerbs[statement.verb] {
		return refuse(codeReadOnly, "READONLY", "Cannot execute query in readonly mode: use POST")
	}
	text := statement.text
	if statement.insert != nil {
		file, err := s.spool.keep(rows, s.maxBody)
		if err != nil {
			return bodyProblem(err)
		}
		defer file.remove()
		text = statement.insert.infile(file.path)
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return refuse(codeTooManyQueries, "TOO_MANY_SIMULTANEOUS_QUERIES", "The client left before its statement began")
	}
	session, release, err := s.sessions.take(q)
	if err != nil {
		return err
	}
	defer release()
	limit := s.maxResult
	if statement.streams(q) {
		limit = 0
	}
	stop, err := s.prepare(ctx, session, q, tables, limit)
	defer stop()
	if err != nil {
		return err
	}
	format := firstOf(statement.format, q.format)
	if statement.streams(q) {
		return a.stream(session, text, q, format)
	}
	return a.whole(session, text, q, format)
}

// prepare gives a session the request's database, settings and external tables. The returned function ends the watch
// that stops the statement when the client leaves.
func (s *server) prepare(ctx context.Context, c *conn, q *request, tables externalTables, limit int64) (stop func(), err error) {
	if q.database != "" {
		if err := c.exec("USE " + quoteName(q.database)); err != nil {
			return func() {}, err
		}
	}
	if err := tables.create(c); err != nil {
		return func() {}, err
	}
	marker := newQueryID()
	if err := c.exec(q.set(marker, limit)); err != nil {
		return func() {}, err
	}
	return s.watch(ctx, marker), nil
}

// watch kills the statement that carries the marker once ctx is done, until stop is called.
func (s *server) watch(ctx context.Context, marker string) (stop func()) {
	finished := make(chan struct{})
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		select {
		case <-finished:
			return
		case <-ctx.Done():
		}
		killer, err := s.lib.open()
		if err != nil {
			return
		}
		defer killer.close()
		for {
			killer.exec("KILL QUERY WHERE Settings['log_comment'] = " + quoteText(marker) + " ASYNC")
			select {
			case <-finished:
				return
			case <-time.After(100 * time.Millisecond): // it may not have begun yet
			}
		}
	}()
	return func() {
		close(finished)
		<-watching
	}
}

// bodyProblem words what went wrong while a body was read.
func bodyProblem(err error) error {
	var e *exception
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &e):
		return err
	case errors.As(err, &tooLarge):
		return refuse(codeTooLarge, "TOO_MANY_BYTES", "The body is longer than %d bytes", tooLarge.Limit)
	case errors.Is(err, errSpool):
		return refuse(243, "NOT_ENOUGH_SPACE", "The body cannot be kept: %v", err)
	default:
		return refuse(codeCannotDecompress, "CANNOT_DECOMPRESS", "The body cannot be read: %s", clip(err.Error()))
	}
}

func (q *request) compressesHTTP() bool {
	value, given := q.setting("enable_http_compression")
	return given && isTrue(value)
}

// recover answers for a mistake of ours in one request, which must not end the others.
func (a *answer) recover() {
	problem := recover()
	if problem == nil || problem == http.ErrAbortHandler {
		if problem != nil {
			panic(problem)
		}
		return
	}
	a.server.log.Error("request failed", "panic", fmt.Sprint(problem), "stack", string(debug.Stack()))
	a.fail(fmt.Errorf("internal error"))
}
