package simulator

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Transport answers requests from the simulator without a network, in the caller's own
// goroutine: it works in a synctest bubble. Faults reach the caller as the errors a network
// would give.
func (s *Simulator) Transport() http.RoundTripper { return transport{s.Handler()} }

type transport struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	r := req.Clone(req.Context())
	if r.Body == nil {
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	r.RequestURI, r.RemoteAddr = req.URL.RequestURI(), "127.0.0.1:0"
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", "Go-http-client/1.1")
	}
	w := &direct{header: http.Header{}}
	t.handler.ServeHTTP(w, r)
	switch {
	case req.Context().Err() != nil:
		return nil, context.Cause(req.Context())
	case w.lost != nil:
		return nil, w.lost
	}
	res := &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header,
		Request: req, ContentLength: int64(w.body.Len()), Body: io.NopCloser(&w.body),
	}
	if w.cut {
		res.ContentLength, res.Body = -1, io.NopCloser(io.MultiReader(&w.body, cutOff{}))
	}
	return res, nil
}

// direct is the answer to a request that came by a Transport.
type direct struct {
	header http.Header
	status int
	body   bytes.Buffer
	cut    bool  // the body ends before it is whole
	lost   error // what the caller gets instead of an answer
}

func (d *direct) Header() http.Header { return d.header }

func (d *direct) WriteHeader(status int) {
	if d.status == 0 {
		d.status = status
	}
}

func (d *direct) Write(b []byte) (int, error) {
	d.WriteHeader(http.StatusOK)
	return d.body.Write(b)
}

type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

var (
	errReset   = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
)

// hangUp closes the connection in the client's face: a reset where the connection can be
// had, an aborted answer otherwise.
func hangUp(w http.ResponseWriter, why error) {
	if d, ok := w.(*direct); ok {
		d.lost = why
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a plain close is as good a fault
	}
	_ = conn.Close()
}

// Serve answers on l until ctx ends. While a fault of mode "refuse" holds, nobody listens at
// the address, for no vendor and no control path.
func (s *Simulator) Serve(ctx context.Context, l net.Listener) error {
	addr := l.Addr()
	for {
		server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second}
		var served error
		ended := make(chan struct{})
		go func() {
			served = server.Serve(l)
			close(ended)
		}()
		err := s.until(ctx, ended, true)
		closed := server.Close()
		<-ended
		if err == nil && !errors.Is(served, http.ErrServerClosed) {
			err = served
		}
		if err == nil {
			err = s.until(ctx, nil, false)
		}
		if err == nil {
			l, err = net.Listen(addr.Network(), addr.String())
		}
		if err != nil {
			return errors.Join(err, closed)
		}
	}
}

// until waits for the time when nobody is to listen any more, or somebody again, or until
// ended.
func (s *Simulator) until(ctx context.Context, ended <-chan struct{}, refusing bool) error {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return nil
		case <-look.C:
		}
		if s.refusing() == refusing {
			return nil
		}
	}
}
