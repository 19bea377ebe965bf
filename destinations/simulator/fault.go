package simulator

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Fault is trouble that a vendor is told to make.
type Fault struct {
	Vendor Vendor `json:"vendor"`
	// Mode is timeout, reset, 502html, slow, drop_after_accept, hang_after_accept, flaky,
	// lost_row (HubSpot: one row of a batch gets neither result nor error), or a status
	// from 400 to 599, which is answered in the vendor's own shape.
	Mode string `json:"mode"`
	// Path, where set, must be part of the request's path.
	Path string `json:"path,omitempty"`
	// After lets so many requests pass first; Count ends the fault after so many it struck (0: no
	// end); For ends it after a time.
	After int           `json:"after,omitempty"`
	Count int           `json:"count,omitempty"`
	For   time.Duration `json:"-"` // in JSON a text: "30s"
	// Rate, where set, is the share of requests it strikes, drawn from Seed.
	Rate float64 `json:"rate,omitempty"`
	Seed uint64  `json:"seed,omitempty"`
	// Delay is how long slow waits; 0 means two seconds.
	Delay time.Duration `json:"-"` // in JSON a text: "2s"
	// Status, Code and Subcode replace those of a status mode: the HTTP status, Meta's code and
	// subcode, LinkedIn's serviceErrorCode (65601: revoked).
	Status  int `json:"status,omitempty"`
	Code    int `json:"code,omitempty"`
	Subcode int `json:"subcode,omitempty"`
	// RetryAfter, where set, is sent as Retry-After, in seconds.
	RetryAfter int `json:"retry_after,omitempty"`
}

var faultModes = []string{"timeout", "reset", "502html", "slow", "drop_after_accept", "hang_after_accept", "flaky", "lost_row"}

// flakyModes are what a flaky vendor does, each as likely.
var flakyModes = []string{"500", "502html", "503", "reset", "drop_after_accept"}

const maxFaults = 100

type fault struct {
	Fault
	struck int
	passed int
	until  time.Time
	random *rand.Rand
}

// Fail scripts a fault. Faults are asked in the order they were given; the first that
// strikes a request decides.
func (s *Simulator) Fail(f Fault) error {
	status, err := strconv.Atoi(f.Mode)
	switch {
	case !slices.Contains(vendors, f.Vendor):
		return fmt.Errorf("vendor %q: want one of meta, linkedin, hubspot", f.Vendor)
	case !slices.Contains(faultModes, f.Mode) && (err != nil || status < 400 || status > 599):
		return fmt.Errorf("mode %q: want a status from 400 to 599 or one of %s", f.Mode, strings.Join(faultModes, ", "))
	case f.Status != 0 && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("status %d: want 400 to 599", f.Status)
	case f.Rate < 0 || f.Rate > 1:
		return fmt.Errorf("rate %v: want 0 to 1", f.Rate)
	case f.After < 0 || f.Count < 0 || f.For < 0 || f.Delay < 0 || f.RetryAfter < 0:
		return fmt.Errorf("after, count, for, delay and retry_after must not be negative")
	}
	if f.Mode == "flaky" {
		f.Rate = cmp.Or(f.Rate, 0.1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) >= maxFaults {
		return fmt.Errorf("%d faults are scripted already: heal first", maxFaults)
	}
	added := &fault{Fault: f, random: rand.New(rand.NewPCG(f.Seed, 1))}
	if f.For > 0 {
		added.until = s.now().Add(f.For)
	}
	s.faults = append(s.faults, added)
	return nil
}

// Heal ends the faults of a vendor; of every vendor for "".
func (s *Simulator) Heal(v Vendor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = slices.DeleteFunc(s.faults, func(f *fault) bool { return v == "" || f.Vendor == v })
}

// strike returns the fault that a request meets, with flaky resolved, or nil.
func (s *Simulator) strike(v Vendor, path string) *Fault {
	now := s.now()
	s.faults = slices.DeleteFunc(s.faults, func(f *fault) bool {
		return f.Count > 0 && f.struck >= f.Count || !f.until.IsZero() && !now.Before(f.until)
	})
	for _, f := range s.faults {
		if f.Vendor != v || !strings.Contains(path, f.Path) {
			continue
		}
		if f.passed < f.After {
			f.passed++
			continue
		}
		if f.Rate > 0 && f.random.Float64() >= f.Rate {
			continue
		}
		f.struck++
		now := f.Fault
		if now.Mode == "flaky" {
			now.Mode = flakyModes[f.random.IntN(len(flakyModes))]
		}
		return &now
	}
	return nil
}

// accepts says that the vendor's rules see the request all the same.
func (f Fault) accepts() bool { return f.Mode == "slow" || f.Mode == "lost_row" || f.swallows() }

// swallows says that the answer never reaches the client.
func (f Fault) swallows() bool { return f.Mode == "drop_after_accept" || f.Mode == "hang_after_accept" }

func (f Fault) delay() time.Duration { return cmp.Or(f.Delay, 2*time.Second) }

// pause waits, unless the client leaves first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// swallow ends a request that was taken, without an answer.
func (s *Simulator) swallow(w http.ResponseWriter, c *call) {
	if c.fault.Mode == "hang_after_accept" {
		pause(c.r.Context(), s.opts.Hang)
	}
	hangUp(w)
}

// fail answers a request that the vendor's rules never see.
func (s *Simulator) fail(w http.ResponseWriter, v Vendor, c *call) {
	switch c.fault.Mode {
	case "timeout":
		pause(c.r.Context(), s.opts.Hang)
		hangUp(w)
	case "reset":
		hangUp(w)
	case "502html":
		answer{
			status: http.StatusBadGateway, kind: "text/html; charset=utf-8",
			body: []byte("<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n"),
		}.write(w)
	default:
		s.mu.Lock()
		a := s.faultAnswer(v, c)
		s.mu.Unlock()
		if c.fault.RetryAfter > 0 {
			a = a.with("Retry-After", strconv.Itoa(c.fault.RetryAfter))
		}
		a.write(w)
	}
}

func (s *Simulator) faultAnswer(v Vendor, c *call) answer {
	status, _ := strconv.Atoi(c.fault.Mode)
	status = cmp.Or(c.fault.Status, status)
	switch v {
	case Meta:
		return metaFault(status, c)
	case LinkedIn:
		return linkedInFault(status, c)
	default:
		return s.hubspot.fault(status, c)
	}
}

// hangUp closes the connection in the client's face: a reset where the connection can be
// had, an aborted answer otherwise.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a plain close is as good a fault
	}
	_ = conn.Close()
}
