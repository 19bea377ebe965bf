package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/ingest"
	"tributary/internal/config"
)

// A slowLog keeps a receipt when it is let.
type slowLog struct {
	in   chan struct{}
	let  chan error
	kept []canonical.Receipt
}

func (l *slowLog) Append(ctx context.Context, rs ...canonical.Receipt) error {
	if l.in != nil {
		l.in <- struct{}{}
		if err := <-l.let; err != nil {
			return err
		}
	}
	l.kept = append(l.kept, rs...)
	return nil
}

// oneKey knows one key.
type oneKey string

func (k oneKey) Find(secret string) (ingest.Key, bool) {
	return ingest.Key{Name: "test", Scopes: []ingest.Scope{ingest.ScopeIngest}}, secret == string(k)
}

// serving runs the way in over a log until stop is called, which gives how it ended.
func serving(t *testing.T, log ingest.Appender, change func(*config.HTTP)) (address string, stop func() error) {
	t.Helper()
	c := config.Default().HTTP
	if change != nil {
		change(&c)
	}
	h, err := ingest.Handler(ingest.Options{Appender: log, Keys: oneKey("k"), Limits: limitsOf(c.Limits)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- listen(ctx, c, l, h) }()
	stopped := false
	stop = func() error {
		cancel()
		if stopped {
			return nil
		}
		stopped = true
		return <-ended
	}
	t.Cleanup(func() { stop() })
	return l.Addr().String(), stop
}

// A caller speaks HTTP by hand.
type caller struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func call(t *testing.T, address string) *caller {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &caller{t, c, bufio.NewReader(c)}
}

func (c *caller) say(text string) {
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Log(err)
	}
}

func (c *caller) hear() (*http.Response, string, error) {
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

func event(length int, body string) string {
	return fmt.Sprintf("POST /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length, body)
}

const small = `{"event":"x"}`

// What was begun is durable and answered, with a connection that is closed then; connections that
// rest are closed; nobody new is let in; and it is over in the time given.
func TestStoppingAnswersWhatWasAccepted(t *testing.T) {
	log := &slowLog{in: make(chan struct{}), let: make(chan error)}
	address, stop := serving(t, log, nil)
	resting, busy := call(t, address), call(t, address)
	resting.say("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
	if res, _, err := resting.hear(); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	busy.say(event(len(small), small))
	<-log.in
	over := make(chan error, 1)
	go func() { over <- stop() }()
	if _, _, err := resting.hear(); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a connection that rests: %v", err)
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("somebody new is let in")
	}
	select {
	case <-over:
		t.Fatal("it did not wait for a request in flight")
	default:
	}
	log.let <- nil
	res, body, err := busy.hear()
	if err != nil || res.StatusCode != 202 || !res.Close || !strings.Contains(body, "receipt_id") {
		t.Errorf("%v, close %v, %s", err, res != nil && res.Close, body)
	}
	if err := <-over; !errors.Is(err, context.Canceled) || len(log.kept) != 1 {
		t.Errorf("it ended with %v, %d receipts kept", err, len(log.kept))
	}
}

func TestStoppingHasAnEnd(t *testing.T) {
	log := &slowLog{in: make(chan struct{}), let: make(chan error)}
	address, stop := serving(t, log, func(c *config.HTTP) { c.Limits.Shutdown = 100 * time.Millisecond })
	busy := call(t, address)
	busy.say(event(len(small), small))
	<-log.in
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if res, _, err := busy.hear(); err == nil {
		t.Errorf("what was not durable was answered %d", res.StatusCode)
	}
	log.let <- errors.New("too late")
}

// Whoever sends too slowly is cut off, head or body; a body that keeps the pace may take longer
// than the time for small ones.
func TestSlowCallersAreCutOff(t *testing.T) {
	const grace = 300 * time.Millisecond
	address, _ := serving(t, &slowLog{}, func(c *config.HTTP) {
		c.Limits.HeaderTimeout, c.Limits.BodyTimeout, c.Limits.BodyRate = grace, grace, 100<<10
	})
	t.Run("head", func(t *testing.T) {
		c := call(t, address)
		c.say("POST /v1/events HTTP/1.1\r\nHost: h\r\n")
		if res, _, err := c.hear(); err == nil && res.StatusCode != 408 {
			t.Errorf("answered %d", res.StatusCode)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		c := call(t, address)
		if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
	for name, first := range map[string]string{"small body": `{"event`, "large body": `{"event":"` + strings.Repeat("x", 100<<10)} {
		t.Run(name, func(t *testing.T) {
			c := call(t, address)
			c.say(event(200<<10, first))
			res, body, err := c.hear()
			if err != nil || res.StatusCode != 408 || !strings.Contains(body, "slow_body") || !res.Close {
				t.Errorf("%v %v %s", err, res, body)
			}
		})
	}
	t.Run("in pace", func(t *testing.T) {
		c := call(t, address)
		event1 := `{"event":"x","note":"` + strings.Repeat("y", 70<<10) + `"}`
		body := "[" + strings.Repeat(event1+",", 5) + event1 + "]"
		c.say(event(len(body), ""))
		began := time.Now()
		for piece := range splitAt(body, 35<<10) { // about 350 KiB a second
			c.say(piece)
			time.Sleep(100 * time.Millisecond)
		}
		res, answer, err := c.hear()
		if err != nil || res.StatusCode != 202 || time.Since(began) < 2*grace {
			t.Errorf("%v %v %s after %v", err, res, answer, time.Since(began))
		}
	})
	t.Run("large head", func(t *testing.T) {
		c := call(t, address)
		c.say("GET /healthz HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", maxHeaderBytes+8<<10) + "\r\n\r\n")
		if res, _, _ := c.hear(); res != nil && res.StatusCode != 431 { // the answer may be lost with what was not read
			t.Errorf("%v", res)
		}
	})
}

func splitAt(s string, n int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(s) > n {
			if !yield(s[:n]) {
				return
			}
			s = s[n:]
		}
		yield(s)
	}
}

// A log that stands still is said to be the cause, and a caller whose body does not come is not
// blamed on it; what waits is bounded in requests and bytes.
func TestTheQueueIsBounded(t *testing.T) {
	log := &slowLog{in: make(chan struct{}), let: make(chan error)}
	address, _ := serving(t, log, func(c *config.HTTP) { c.Limits.InFlight = 2 })
	first, second, third := call(t, address), call(t, address), call(t, address)
	first.say(event(len(small), small))
	<-log.in
	second.say(event(len(small), small))
	<-log.in
	third.say(event(len(small), small))
	if res, body, err := third.hear(); err != nil || res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" || !strings.Contains(body, "log_busy") {
		t.Errorf("%v %v %s", err, res, body)
	}
	log.let <- nil
	log.let <- errors.New("gone")
	codes := map[int]int{}
	for _, c := range []*caller{first, second} {
		res, _, err := c.hear()
		if err != nil {
			t.Fatal(err)
		}
		codes[res.StatusCode]++
	}
	if codes[202] != 1 || codes[503] != 1 || len(log.kept) != 1 {
		t.Errorf("answers %v, %d kept", codes, len(log.kept))
	}
}

// More connections than may be held wait until one of those is closed.
func TestConnectionsAreBounded(t *testing.T) {
	address, _ := serving(t, &slowLog{}, func(c *config.HTTP) { c.Limits.Connections = 2 })
	request := "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
	held := []*caller{call(t, address), call(t, address)}
	for _, c := range held {
		c.say(request)
		if _, _, err := c.hear(); err != nil {
			t.Fatal(err)
		}
	}
	waits := call(t, address)
	waits.say(request)
	waits.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, _, err := waits.hear(); err == nil {
		t.Fatal("a third connection is answered")
	}
	waits = &caller{t, waits.Conn, bufio.NewReader(waits.Conn)}
	waits.SetReadDeadline(time.Now().Add(patience))
	held[0].Close()
	if res, _, err := waits.hear(); err != nil || res.StatusCode != 200 {
		t.Error("it is not answered when there is room:", err)
	}
}

func TestTooFewFilesAreTold(t *testing.T) {
	for _, c := range []struct {
		connections int
		limit       uint64
		hold        int
	}{
		{100, 1 << 20, 100},
		{100, math.MaxUint64, 100}, // nobody says
		{10_000, 11_000, 10_000},
		{10_000, 10_999, 9_999},
		{10_000, 4096, 3096},
		{10_000, 1024, 512}, // what the router needs itself leaves half
	} {
		n, err := holdable(c.connections, c.limit)
		if n != c.hold || (err == nil) != (n == c.connections) {
			t.Errorf("%d connections with %d files: %d, %v", c.connections, c.limit, n, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "LimitNOFILE=") || !strings.Contains(err.Error(), fmt.Sprint("needs ", c.connections+otherFiles))) {
			t.Errorf("it does not say what to do: %v", err)
		}
	}
	if openFiles() == 0 {
		t.Error("this process may open no file, it says")
	}
}

// Over TLS callers may speak HTTP/2, with the same limits.
func TestHTTP2OverTLS(t *testing.T) {
	dir, authority := t.TempDir(), newAuthority(t)
	pair := authority.issue(t, dir, "localhost")
	log := &slowLog{}
	address, stop := serving(t, log, func(c *config.HTTP) { c.CertFile, c.KeyFile = pair.cert, pair.key })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.pem)
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}}, Timeout: patience}
	defer client.CloseIdleConnections()
	for range 3 {
		req, _ := http.NewRequest("POST", "https://"+address+"/v1/events", bytes.NewReader([]byte(small)))
		req.Header.Set("Authorization", "Bearer k")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.ProtoMajor != 2 || res.StatusCode != 202 {
			t.Errorf("HTTP/%d, %d", res.ProtoMajor, res.StatusCode)
		}
	}
	if err := stop(); !errors.Is(err, context.Canceled) || len(log.kept) != 3 {
		t.Errorf("%v, %d kept", err, len(log.kept))
	}
}
