// Package embedded is ClickHouse without a server: a child process of the same binary loads libchdb and speaks
// ClickHouse's HTTP protocol on loopback, so that the rest of the program, curl and every ClickHouse client see a server.
//
// The child belongs to its parent. It ends when the pipe from its parent closes, so a killed parent leaves no orphan; when it
// dies itself it is started again with the same address, user and password, and clients go on where they were.
package embedded

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Options say how an engine runs. Only Dir is needed.
type Options struct {
	Dir        string        // data directory, made if missing; one engine at a time uses it
	Library    string        // path of libchdb.so; see Library
	Addr       string        // loopback address to serve; default 127.0.0.1 with a free port
	User       string        // default "tributary"
	Password   string        // default: generated at each start
	MaxQueries int           // statements that run at a time, others wait; default 16
	MaxBody    int64         // bytes of a request's body, unpacked; default 1 GiB
	MaxResult  int64         // bytes of a result that cannot be sent piece by piece; default 1 GiB
	MaxMemory  int64         // bytes the engine may use; default 60 % of the machine's memory
	NoSync     bool          // do not sync inserts to disk; for tests
	LockWait   time.Duration // how long a predecessor may hold Dir; default 10 s
	Log        *slog.Logger  // default: discards
}

// An Engine is a running embedded ClickHouse, supervised until Close.
type Engine struct {
	options  Options
	listener *net.TCPListener
	stop     context.CancelFunc
	done     chan struct{}

	mu       sync.Mutex
	child    *child
	restarts int
}

// Start starts an engine and returns when it serves. The library that is not there is a *MissingLibraryError.
func Start(ctx context.Context, o Options) (*Engine, error) {
	if os.Getenv(childEnv) != "" {
		return nil, errors.New("start the embedded warehouse: this process is itself a child of one; its main or TestMain must call embedded.MaybeChild first")
	}
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("start the embedded warehouse: %w", err)
	}
	listener, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("start the embedded warehouse: %w", err)
	}
	e := &Engine{options: o, listener: listener.(*net.TCPListener), done: make(chan struct{})}
	first, err := e.spawn(ctx)
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("start the embedded warehouse: %w", err)
	}
	e.child = first
	supervision, stop := context.WithCancel(context.Background())
	e.stop = stop
	go func() {
		defer close(e.done)
		e.supervise(supervision, first)
	}()
	return e, nil
}

func (o *Options) complete() (err error) {
	if o.Dir == "" {
		return errors.New("no data directory")
	}
	if o.Library, err = Library(o.Library); err != nil {
		return err
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	if err := plainPath(o.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	o.Addr = cmp.Or(o.Addr, "127.0.0.1:0")
	if err := onLoopback(o.Addr); err != nil {
		return err
	}
	if o.Password == "" {
		var secret [20]byte
		rand.Read(secret[:])
		o.Password = hex.EncodeToString(secret[:])
	}
	o.User = cmp.Or(o.User, "tributary")
	o.MaxQueries = cmp.Or(o.MaxQueries, 16)
	o.MaxBody = cmp.Or(o.MaxBody, 1<<30)
	o.MaxResult = cmp.Or(o.MaxResult, 1<<30)
	o.LockWait = cmp.Or(o.LockWait, 10*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// plainPath refuses what the engine would read as a pattern of several files.
func plainPath(dir string) error {
	for _, r := range dir {
		if r == '*' || r == '?' || r == '{' || r == '}' || r < ' ' {
			return fmt.Errorf("the data directory %q must not hold any of * ? { }", dir)
		}
	}
	return nil
}

func onLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("the embedded warehouse serves this machine only, %q is no loopback address", addr)
	}
	return nil
}

// URL is where the engine serves, for as long as it lives.
func (e *Engine) URL() string { return "http://" + e.listener.Addr().String() }

// User is the engine's one user.
func (e *Engine) User() string { return e.options.User }

// Password is that user's.
func (e *Engine) Password() string { return e.options.Password }

// Pid is the process that serves now, or served last.
func (e *Engine) Pid() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.child.pid
}

// Restarts counts the children that were started after the first.
func (e *Engine) Restarts() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.restarts
}

// Close ends the child: statements that run get some seconds to finish. It returns when the process is gone.
func (e *Engine) Close() error {
	e.stop()
	<-e.done
	if err := e.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Pauses between a child's death and the next child, doubled each time and forgotten once a child has served for a while:
// what brings down one that serves comes from a client, and clients pause for themselves.
const (
	firstPause  = 100 * time.Millisecond
	longestWait = 10 * time.Second
	goodService = time.Second
)

// supervise replaces the child whenever it dies, until ctx is done.
func (e *Engine) supervise(ctx context.Context, c *child) {
	pause := firstPause
	for {
		born := time.Now()
		select {
		case <-ctx.Done():
			c.end()
			return
		case <-c.gone:
		}
		if time.Since(born) > goodService {
			pause = firstPause
		}
		e.options.Log.Error("the embedded warehouse died and is started again", "pid", c.pid, "status", c.status, "pause", pause, "said", c.said())
		next := e.replace(ctx, &pause)
		if next == nil {
			return
		}
		c = next
	}
}

// replace starts children until one serves; nil when ctx ended first.
func (e *Engine) replace(ctx context.Context, pause *time.Duration) *child {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(*pause):
		}
		*pause = min(2**pause, longestWait)
		next, err := e.spawn(ctx)
		if err == nil {
			e.mu.Lock()
			e.child, e.restarts = next, e.restarts+1
			e.mu.Unlock()
			e.options.Log.Info("the embedded warehouse serves again", "pid", next.pid)
			return next
		}
		if ctx.Err() == nil {
			e.options.Log.Error("the embedded warehouse does not start", "error", err, "pause", *pause)
		}
	}
}
