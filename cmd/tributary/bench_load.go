package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A loadOrder says what the load generator is to send.
type loadOrder struct {
	Address     string  `json:"address"`
	Method      string  `json:"method"`
	Path        string  `json:"path"`
	Key         string  `json:"key"`
	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`
	Body        string  `json:"body"`
	Hold        bool    `json:"hold,omitempty"` // connections that rest: see hold
}

// A loadResult is what came of an order.
type loadResult struct {
	Answered int     `json:"answered"` // with 2xx, warm-up included
	Seconds  float64 `json:"seconds"`  // measured
	Micros   []int32 `json:"micros"`   // of every request that ended in the measured time
	Error    string  `json:"error,omitempty"`

	cpu time.Duration // of the server's process meanwhile, for all that was answered
}

func (r *loadResult) add(o loadResult) {
	r.Answered += o.Answered
	r.Seconds += o.Seconds
	r.Micros = append(r.Micros, o.Micros...)
	r.cpu += o.cpu
}

func (r *loadResult) figures(events int) figures {
	f := figures{Requests: len(r.Micros)}
	if f.Requests == 0 {
		return f
	}
	slices.Sort(r.Micros)
	at := func(q float64) float64 { return float64(r.Micros[int(q*float64(len(r.Micros)-1))]) / 1e3 }
	f.RequestsPerSecond = float64(f.Requests) / r.Seconds
	f.EventsPerSecond = f.RequestsPerSecond * float64(events)
	f.P50Millis, f.P99Millis = at(0.5), at(0.99)
	f.CPUMicros = float64(r.cpu.Microseconds()) / float64(r.Answered)
	return f
}

// A loadChild is the load generator: this binary in a process of its own, so that the
// servers' scheduler and garbage collector have nothing to do with it.
type loadChild struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func startLoad(ctx context.Context) (*loadChild, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "bench", "load")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the load generator: %w", err)
	}
	return &loadChild{cmd, in, json.NewDecoder(out)}, nil
}

// do has one order carried out.
func (l *loadChild) do(ctx context.Context, o loadOrder) (loadResult, error) {
	var r loadResult
	if err := json.NewEncoder(l.in).Encode(o); err != nil {
		return r, fmt.Errorf("ask the load generator: %w", err)
	}
	if err := l.out.Decode(&r); err != nil {
		return r, fmt.Errorf("hear the load generator: %w", err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("load on %s: %s", o.Path, r.Error)
	}
	return r, ctx.Err()
}

// stop ends the child, which ends when its input does.
func (l *loadChild) stop() {
	l.in.Close()
	_ = l.cmd.Wait()
}

// serveLoad is the child: one order a line in, one result a line out, until the input ends.
func serveLoad(ctx context.Context, in io.Reader, out io.Writer) error {
	orders, results := json.NewDecoder(in), json.NewEncoder(out)
	var resting []*sender
	for {
		var o loadOrder
		switch err := orders.Decode(&o); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return wrong(fmt.Errorf("read an order: %w", err))
		}
		var r loadResult
		var err error
		if o.Hold {
			resting, r, err = hold(o, resting)
		} else {
			r, err = load(ctx, o)
		}
		if err != nil {
			r = loadResult{Error: err.Error()}
		}
		if err := results.Encode(r); err != nil {
			return err
		}
	}
}

// warmUp is how long load runs before it is measured.
const warmUp = 200 * time.Millisecond

// load sends the same request again and again on every connection, one at a time, and
// stops when the seconds are over. What was begun is waited for.
func load(ctx context.Context, o loadOrder) (loadResult, error) {
	request := o.request()
	seconds := time.Duration(o.Seconds * float64(time.Second))
	senders := make([]sender, o.Connections)
	for i := range senders {
		c, err := net.Dial("tcp", o.Address)
		if err != nil {
			return loadResult{}, err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(warmUp + seconds + 15*time.Second))
		senders[i] = sender{conn: c, in: bufio.NewReaderSize(c, 4<<10), request: request}
	}
	var phase atomic.Int32
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() { senders[i].run(&phase) })
	}
	pause(ctx, warmUp)
	began := time.Now()
	phase.Store(measuring)
	pause(ctx, seconds)
	phase.Store(ending)
	r := loadResult{Seconds: time.Since(began).Seconds()}
	wg.Wait()
	for _, s := range senders {
		if s.err != nil {
			return r, s.err
		}
		r.Answered += s.answered
		r.Micros = append(r.Micros, s.micros...)
	}
	return r, ctx.Err()
}

// request writes what is sent again and again.
func (o loadOrder) request() []byte {
	if o.Method == "GET" {
		return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nReferer: https://acme.example/\r\n\r\n", o.Path, o.Address)
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		o.Path, o.Address, o.Key, len(o.Body), o.Body)
}

// The phases of a load, after the warm-up.
const (
	measuring = 1 + iota
	ending
)

// A sender is one connection with one request at a time. It speaks just enough HTTP/1.1
// to cost little beside the server it measures.
type sender struct {
	conn     net.Conn
	in       *bufio.Reader
	request  []byte
	answered int
	micros   []int32
	err      error
}

func (s *sender) run(phase *atomic.Int32) {
	for phase.Load() != ending {
		start := time.Now()
		if _, s.err = s.conn.Write(s.request); s.err != nil {
			return
		}
		if s.err = s.answer(); s.err != nil {
			return
		}
		s.answered++
		if phase.Load() == measuring {
			s.micros = append(s.micros, int32(time.Since(start).Microseconds()))
		}
	}
}

var (
	accepted      = []byte("HTTP/1.1 20")
	contentLength = []byte("Content-Length: ")
	chunked       = []byte("Transfer-Encoding: chunked")
)

// answer reads one answer to its end. Any but 200 and 202 is an error.
func (s *sender) answer() error {
	line, err := s.line()
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if !bytes.HasPrefix(line, accepted) {
		return fmt.Errorf("was answered %q", line)
	}
	length := 0
	pieces := false
	for {
		switch line, err = s.line(); {
		case err != nil:
			return fmt.Errorf("read an answer: %w", err)
		case len(line) == 0 && pieces:
			return s.chunks()
		case len(line) == 0:
			_, err := s.in.Discard(length)
			return err
		case bytes.HasPrefix(line, contentLength):
			if length, err = strconv.Atoi(string(line[len(contentLength):])); err != nil {
				return err
			}
		case bytes.Equal(line, chunked):
			pieces = true
		}
	}
}

func (s *sender) chunks() error {
	if _, err := io.Copy(io.Discard, httputil.NewChunkedReader(s.in)); err != nil {
		return err
	}
	_, err := s.line() // the reader leaves the line after the last chunk
	return err
}

// line reads one line without its end.
func (s *sender) line() ([]byte, error) {
	b, err := s.in.ReadSlice('\n')
	return bytes.TrimSuffix(b, []byte("\r\n")), err
}
