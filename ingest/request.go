package ingest

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// A request is what is known of one request beside gin's context, for its one log line.
type request struct {
	route   string
	key     Key
	kept    int // items
	refused int
	code    Code   // of the error answered
	cause   error  // of an error of ours
	meta    string // trace id: errors are answered in Meta's shape
	segment bool   // errors are answered in Segment's shape
	quiet   bool   // logged at debug level
	began   time.Time
	body    heldBody
}

// A handler answers, or says why not: one place turns that into an answer.
type handler func(*gin.Context, *request) error

// keyed serves a route that needs a key with a scope.
func (f *front) keyed(route string, scope Scope, h handler) gin.HandlerFunc {
	return f.open(route, f.inFlight(false, func(c *gin.Context, r *request) error {
		key, err := f.bearer(c.Request.Header)
		if err != nil {
			return err
		}
		r.key = key
		if !key.Has(scope) {
			return wrongScope(scope)
		}
		return h(c, r)
	}))
}

func wrongScope(s Scope) *Error {
	return fail(CodeScope, "this route needs a key with the scope "+string(s))
}

// limited serves a route that counts as a request in flight, and whose callers show who they are with
// the body or in it.
func (f *front) limited(route string, h handler) gin.HandlerFunc {
	return f.open(route, f.inFlight(true, h))
}

// inFlight lets a handler answer only while there is room for one more.
func (f *front) inFlight(stranger bool, h handler) handler {
	return func(c *gin.Context, r *request) error {
		if err := f.load.enter(stranger); err != nil {
			return err
		}
		defer f.load.leave(stranger)
		r.hold(f, c, stranger)
		defer r.release(c)
		return h(c, r)
	}
}

// open serves a route that anybody may ask.
func (f *front) open(route string, h handler) gin.HandlerFunc {
	quiet := route == "/healthz" || route == "/readyz" || route == "/metrics"
	return func(c *gin.Context) {
		r := request{route: route, quiet: quiet}
		f.serve(c, &r, h)
	}
}

// serve runs one handler: the answer to its error, one log line, the counters.
func (f *front) serve(c *gin.Context, r *request, h handler) {
	r.began = time.Now()
	f.metrics.inFlight.Inc()
	defer f.metrics.inFlight.Dec()
	if err := f.run(c, r, h); err != nil {
		e := known(err)
		r.code = e.Code
		if e.Code == CodeInternal {
			r.cause = err
		}
		e.silent = silent[r.route]
		switch {
		case r.meta != "":
			e.answerMeta(c, r.meta)
		case r.segment:
			e.answerSegment(c)
		default:
			e.answer(c)
		}
		c.Abort()
	}
	f.done(c, r, time.Since(r.began))
}

// run calls the handler; a panic becomes an error of ours.
func (f *front) run(c *gin.Context, r *request, h handler) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			// The value may hold what was sent; the stack does not.
			f.Logger.LogAttrs(c.Request.Context(), slog.LevelError, "panic in a handler",
				slog.String("route", r.route), slog.String("stack", string(debug.Stack())))
			err = fail(CodeInternal, "something went wrong on our side; the log has it")
		}
	}()
	return h(c, r)
}

// done writes the one line of a request and counts it. The line holds no query, no body
// and no address.
func (f *front) done(c *gin.Context, r *request, took time.Duration) {
	status := c.Writer.Status()
	f.metrics.request(r.route, status, took)
	if r.code != "" {
		f.metrics.refused.WithLabelValues(r.route, string(r.code)).Inc()
	}
	level := slog.LevelInfo
	switch {
	case status >= 500:
		level = slog.LevelError
	case r.quiet:
		level = slog.LevelDebug
	}
	ctx := c.Request.Context()
	if !f.Logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs, slog.String("method", c.Request.Method), slog.String("route", r.route), slog.Int("status", status), slog.Duration("took", took))
	if r.kept+r.refused > 0 {
		attrs = append(attrs, slog.Int("kept", r.kept))
	}
	if r.refused > 0 {
		attrs = append(attrs, slog.Int("refused", r.refused))
	}
	if r.key.Name != "" {
		attrs = append(attrs, slog.String("key", r.key.Name))
	}
	if r.code != "" {
		attrs = append(attrs, slog.String("code", string(r.code)))
	}
	if r.cause != nil {
		attrs = append(attrs, slog.String("error", r.cause.Error()))
	}
	f.Logger.LogAttrs(ctx, level, "request", attrs...)
}

// keyName is where the name of a mounted route's key stands in gin's context.
const keyName = "tributary.key"

// refusedAs is where the code of a mounted route's refusal stands.
const refusedAs = "tributary.refused"

// KeyName tells whose key a request of a mounted route came with, "" without one.
func KeyName(c *gin.Context) string { return c.GetString(keyName) }

// mounted logs and counts the routes that the process adds. Their handlers answer for
// themselves.
func (f *front) mounted(c *gin.Context) {
	r := request{route: c.FullPath()}
	f.serve(c, &r, func(c *gin.Context, r *request) error {
		r.hold(f, c, false)
		defer r.release(c)
		c.Next()
		r.key.Name = KeyName(c)
		r.code = Code(c.GetString(refusedAs))
		return nil
	})
}

// auth is the middleware of a mounted route that demands a scope.
func (f *front) auth(scope Scope) gin.HandlerFunc {
	return func(c *gin.Context) {
		key, err := f.bearer(c.Request.Header)
		if err == nil && !key.Has(scope) {
			err = wrongScope(scope)
		}
		if err != nil {
			e := known(err)
			c.Set(refusedAs, string(e.Code))
			e.answer(c)
			c.Abort()
			return
		}
		c.Set(keyName, key.Name)
	}
}

// bearer finds the key of the Authorization header.
func (f *front) bearer(h http.Header) (Key, error) {
	secret, ok := bearerToken(h.Get("Authorization"))
	if !ok {
		return Key{}, fail(CodeNoKey, "send the key as Authorization: Bearer <key>")
	}
	return f.find(secret)
}

// find looks a key up and says why it does not do. It counts a request of the key.
func (f *front) find(secret string) (Key, error) {
	key, ok := f.Keys.Find(secret)
	switch {
	case !ok:
		return Key{}, fail(CodeBadKey, "this key is none of ours")
	case key.Revoked != nil:
		return Key{}, fail(CodeRevoked, "this key was revoked")
	case key.Expires != nil && !f.Now().Before(*key.Expires):
		return Key{}, fail(CodeExpired, "this key has expired")
	case key.Has(ScopeBrowser): // counted in keep, where the visitor's address is known
		return key, nil
	}
	return key, f.keyAllowed(key)
}

// bearerToken reads "Bearer <token>"; the scheme's case does not matter.
func bearerToken(v string) (string, bool) {
	const scheme = "bearer "
	if len(v) <= len(scheme) || !strings.EqualFold(v[:len(scheme)], scheme) {
		return "", false
	}
	t := strings.TrimSpace(v[len(scheme):])
	return t, t != ""
}
