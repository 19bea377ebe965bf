package ingest

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
)

// A load is what requests being answered hold together, from the first byte of their bodies to
// their answers: the one bounded queue in front of the log.
type load struct {
	maxRequests, maxBytes int64

	requests     atomic.Int64 // being answered
	bytes        atomic.Int64 // of their bodies, unpacked ones twice
	strangers    atomic.Int64 // requests whose body comes before who sent it is known
	strangeBytes atomic.Int64 // of their bodies
	waiting      atomic.Int64 // those that wait for the log
	waitingBytes atomic.Int64 // what they wait with
}

// enter counts a request in until leave, or says why there is no room.
func (l *load) enter(stranger bool) error {
	if counted(&l.requests, &l.strangers, 1, l.maxRequests, stranger) {
		return nil
	}
	l.leave(stranger)
	return l.full("too many requests at a time")
}

func (l *load) leave(stranger bool) { counted(&l.requests, &l.strangers, -1, l.maxRequests, stranger) }

// take takes room for bytes that were read, until give.
func (l *load) take(n int64, stranger bool) error {
	if counted(&l.bytes, &l.strangeBytes, n, l.maxBytes, stranger) {
		return nil
	}
	l.give(n, stranger)
	return l.full("the bodies of all requests together are too large for now")
}

func (l *load) give(n int64, stranger bool) {
	counted(&l.bytes, &l.strangeBytes, -n, l.maxBytes, stranger)
}

// counted adds n and is true where there was room for it. Strangers have three quarters of it: whoever
// sends bodies and no key takes nothing from those who showed theirs first.
func counted(all, strangers *atomic.Int64, n, most int64, stranger bool) bool {
	fits := all.Add(n) <= most
	if stranger && strangers.Add(n) > most-most/4 {
		return false
	}
	return fits
}

// full says who is to blame. Where most of what is held waits for the log, callers do no wrong.
func (l *load) full(says string) error {
	if w := l.waiting.Load(); w > 0 && (2*w >= l.requests.Load() || 2*l.waitingBytes.Load() >= l.bytes.Load()) {
		return fail(CodeBusy, "the log is slower than what comes in; send it again in a moment")
	}
	return fail(CodeOverloaded, says)
}

// A heldBody is a request's body while it is read: what was read of it is counted in the load,
// and one that comes too slowly is cut off.
type heldBody struct {
	io.ReadCloser
	load *load
	held int64
	// stranger is true where who sent it is not known before it is read.
	stranger bool
	began    time.Time
	next     int64 // bytes read at which the caller has earned more time
	pace     pace
	w        http.ResponseWriter
}

// A pace is how quickly a body must come. Until the first step the server's own time-out holds,
// so that small bodies cost no timer.
type pace struct {
	grace time.Duration // for the start
	rate  int64         // bytes a second after that
	write time.Duration // for the answer
}

const paceStep = 64 << 10

// hold counts what is read of a request's body from now on, until release.
func (r *request) hold(f *front, c *gin.Context, stranger bool) {
	b := &r.body
	*b = heldBody{ReadCloser: c.Request.Body, load: &f.load, stranger: stranger, began: r.began, next: paceStep, pace: f.limits.pace(), w: c.Writer}
	if b.ReadCloser == nil {
		b.ReadCloser = http.NoBody
	}
	c.Request.Body = b
}

func (r *request) release(c *gin.Context) {
	r.body.load.give(r.body.held, r.body.stranger)
	c.Request.Body = r.body.ReadCloser
}

// Read reads, counts and keeps the pace. Its errors are answers where they are ours.
func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err := b.take(n); err != nil {
		return 0, err
	}
	if b.held >= b.next && err == nil {
		b.next = b.held + paceStep
		b.earn()
	}
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = fail(CodeSlow, "the body came too slowly")
	}
	return n, err
}

func (b *heldBody) take(n int) error {
	if n == 0 {
		return nil
	}
	if err := b.load.take(int64(n), b.stranger); err != nil {
		return err
	}
	b.held += int64(n)
	return nil
}

// earn gives the caller time for what is still to come, by what has come.
func (b *heldBody) earn() {
	until := b.began.Add(b.pace.grace + time.Duration(b.held)*time.Second/time.Duration(b.pace.rate))
	rc := http.NewResponseController(b.w)
	_ = rc.SetReadDeadline(until) // a recorder of tests has none
	_ = rc.SetWriteDeadline(until.Add(b.pace.write))
}
