package simulator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Fault is trouble that a vendor is told to make.
type Fault struct {
	Vendor Vendor `json:"vendor"`
	// Mode is one of FaultModes, or a status from 400 to 599, which is answered in the vendor's
	// own shape, or such a status with "html" behind it, which is answered with a gateway's page.
	Mode string `json:"mode"`
	// Path, where set, must be part of the request's path, and Agent of its User-Agent.
	Path  string `json:"path,omitempty"`
	Agent string `json:"agent,omitempty"`
	// At lets so much time pass from the moment the fault is scripted.
	At time.Duration `json:"-"` // in JSON a text: "90s"
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
	// Applied, of a status from 500: the vendor's rules see the request, what they take is taken,
	// and the answer is that status all the same.
	Applied bool `json:"applied,omitempty"`
	// Limit says which of HubSpot's limits a 429 names: ten_seconds (""), day or search.
	Limit string `json:"limit,omitempty"`
	// RetryAfter, where set, is sent as Retry-After, in seconds.
	RetryAfter int `json:"retry_after,omitempty"`
}

// FaultModes are the modes of a Fault that are no status.
var FaultModes = []string{
	"refuse", "timeout", "reset", // the rules never see the request
	"slow", "flaky", "day_spent", // or do, later, now and then, or with nothing left of the day
	"drop_after_accept", "hang_after_accept", "truncated", "broken", "empty", // they do, and the answer is lost or spoilt
	"lost_row", "pending", // a batch that does not say how each row fared (pending: HubSpot only)
}

// flakyModes are what a flaky vendor does, each as likely.
var flakyModes = []string{"500", "502html", "503", "reset", "drop_after_accept"}

const maxFaults = 1000

type fault struct {
	Fault
	struck int
	passed int
	begins time.Time
	until  time.Time // zero: no end
	random *rand.Rand
}

func (f *fault) holds(now time.Time) bool {
	return !now.Before(f.begins) && (f.until.IsZero() || now.Before(f.until))
}

// A Script is faults by time, counted from the moment it is played.
type Script struct {
	// Seed stands in for every Seed that is 0, with the fault's place in the list added.
	Seed   uint64
	Faults []Fault
}

// ReadScript reads {"seed": 1, "faults": [{"at": "30s", "vendor": …}, …]}; every fault has
// the fields of POST /_fail.
func ReadScript(text []byte) (Script, error) {
	var in struct {
		Seed   uint64      `json:"seed"`
		Faults []faultText `json:"faults"`
	}
	if err := strictly(bytes.NewReader(text), &in); err != nil {
		return Script{}, err
	}
	out := Script{Seed: in.Seed}
	for i, t := range in.Faults {
		f, err := t.fault()
		if err == nil {
			err = f.check()
		}
		if err != nil {
			return Script{}, fmt.Errorf("fault %d: %w", i+1, err)
		}
		out.Faults = append(out.Faults, f)
	}
	return out, nil
}

// faultText is a fault as JSON has it.
type faultText struct {
	Fault
	At    string `json:"at"`
	For   string `json:"for"`
	Delay string `json:"delay"`
}

func (t faultText) fault() (Fault, error) {
	f := t.Fault
	for _, d := range []struct {
		text string
		into *time.Duration
	}{{t.At, &f.At}, {t.For, &f.For}, {t.Delay, &f.Delay}} {
		if d.text == "" {
			continue
		}
		v, err := time.ParseDuration(d.text)
		if err != nil {
			return Fault{}, err
		}
		*d.into = v
	}
	return f, nil
}

// Play scripts every fault of sc, or none.
func (s *Simulator) Play(sc Script) error {
	faults := slices.Clone(sc.Faults)
	for i := range faults {
		faults[i].Seed = cmp.Or(faults[i].Seed, sc.Seed+uint64(i))
	}
	return s.script(faults)
}

// Fail scripts a fault. Faults are asked in the order they were given; the first that
// strikes a request decides.
func (s *Simulator) Fail(f Fault) error { return s.script([]Fault{f}) }

func (s *Simulator) script(faults []Fault) error {
	for _, f := range faults {
		if err := f.check(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults)+len(faults) > maxFaults {
		return fmt.Errorf("%d faults are scripted already, %d are the most: heal first", len(s.faults), maxFaults)
	}
	now := s.now()
	for _, f := range faults {
		if f.Mode == "flaky" {
			f.Rate = cmp.Or(f.Rate, 0.1)
		}
		added := &fault{Fault: f, random: rand.New(rand.NewPCG(f.Seed, 1)), begins: now.Add(f.At)}
		if f.For > 0 {
			added.until = added.begins.Add(f.For)
		}
		s.faults = append(s.faults, added)
	}
	return nil
}

func (f Fault) check() error {
	status, _, err := f.statusMode()
	switch {
	case !slices.Contains(vendors, f.Vendor):
		return fmt.Errorf("vendor %q: want one of meta, linkedin, hubspot, webhook", f.Vendor)
	case !slices.Contains(FaultModes, f.Mode) && (err != nil || status < 400 || status > 599):
		return fmt.Errorf(`mode %q: want a status from 400 to 599, one with "html" behind it, or one of %s`, f.Mode, strings.Join(FaultModes, ", "))
	case f.Status != 0 && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("status %d: want 400 to 599", f.Status)
	case f.Applied && (err != nil || cmp.Or(f.Status, status) < 500):
		return fmt.Errorf("applied: want a mode that is a status from 500, have %q", f.Mode)
	case f.Rate < 0 || f.Rate > 1:
		return fmt.Errorf("rate %v: want 0 to 1", f.Rate)
	case f.At < 0 || f.After < 0 || f.Count < 0 || f.For < 0 || f.Delay < 0 || f.RetryAfter < 0:
		return fmt.Errorf("at, after, count, for, delay and retry_after must not be negative")
	case f.Mode == "refuse" && f.For == 0:
		return fmt.Errorf("refuse needs for: nobody could heal it, for the control paths are refused too")
	case f.Mode == "day_spent" && f.Vendor != HubSpot && f.Vendor != LinkedIn:
		return fmt.Errorf("day_spent: %s has no limit by the day", f.Vendor)
	case (f.Mode == "pending") && f.Vendor != HubSpot:
		return fmt.Errorf("%s: only hubspot does this", f.Mode)
	case !slices.Contains([]string{"", "ten_seconds", "day", "search"}, f.Limit):
		return fmt.Errorf("limit %q: want ten_seconds, day or search", f.Limit)
	}
	return nil
}

// statusMode reads a mode that is a status, with or without html behind it.
func (f Fault) statusMode() (status int, html bool, err error) {
	digits, html := strings.CutSuffix(f.Mode, "html")
	status, err = strconv.Atoi(digits)
	return status, html, err
}

// Heal ends the faults of a vendor, also those to come; of every vendor for "".
func (s *Simulator) Heal(v Vendor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = slices.DeleteFunc(s.faults, func(f *fault) bool { return v == "" || f.Vendor == v })
}

// refusing says that nobody is to listen.
func (s *Simulator) refusing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	return slices.ContainsFunc(s.faults, func(f *fault) bool { return f.Mode == "refuse" && f.holds(now) })
}

// strike returns the fault that a request meets, with flaky resolved, or nil.
func (s *Simulator) strike(c *call) *Fault {
	if len(s.faults) == 0 {
		return nil
	}
	s.faults = slices.DeleteFunc(s.faults, func(f *fault) bool {
		return f.Count > 0 && f.struck >= f.Count || !f.until.IsZero() && !c.now.Before(f.until)
	})
	for _, f := range s.faults {
		if f.Vendor != c.vendor || !f.holds(c.now) || !strings.Contains(c.path, f.Path) || !strings.Contains(c.r.UserAgent(), f.Agent) {
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
		met := f.Fault
		if met.Mode == "flaky" {
			met.Mode = flakyModes[f.random.IntN(len(flakyModes))]
		}
		return &met
	}
	return nil
}

// accepts says that the vendor's rules see the request all the same.
func (f Fault) accepts() bool {
	return f.swallows() || f.Applied || slices.Contains([]string{"slow", "day_spent", "truncated", "broken", "empty", "lost_row", "pending"}, f.Mode)
}

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

// prepare does what a fault does before the rules apply.
func (s *Simulator) prepare(c *call) (there bool) {
	switch c.fault.Mode {
	case "slow":
		there = pause(c.r.Context(), c.fault.delay())
		c.now = s.now()
		return there
	case "lost_row":
		s.loseRow(c)
	case "day_spent":
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.vendor == LinkedIn {
			s.linkedin.daily.spend(c.now)
			return true
		}
		for _, h := range s.portals {
			h.daily.spend(c.now)
		}
	}
	return true
}

// loseRow takes one item out of a JSON body that holds several before the vendor sees it: it
// is neither taken nor answered for. HubSpot's batches of records lose theirs later, so that
// the row is checked.
func (s *Simulator) loseRow(c *call) {
	if c.vendor == HubSpot && !strings.Contains(c.path, "/send/") {
		return
	}
	var body map[string]json.RawMessage
	if json.Unmarshal(c.body, &body) != nil {
		return
	}
	for _, key := range []string{"data", "elements", "inputs"} {
		var items []json.RawMessage
		if json.Unmarshal(body[key], &items) != nil || len(items) < 2 {
			continue
		}
		s.mu.Lock()
		i := s.random.IntN(len(items))
		s.mu.Unlock()
		text, err := marshal(slices.Delete(items, i, i+1))
		if err != nil {
			return
		}
		body[key] = text
		if text, err = marshal(body); err == nil {
			c.body = text
		}
		return
	}
}

// spoil sends the answer to a request that was taken, as the fault will have it.
func (s *Simulator) spoil(w http.ResponseWriter, c *call, a answer) {
	if c.fault.Applied {
		s.fail(w, c)
		return
	}
	switch c.fault.Mode {
	case "hang_after_accept":
		pause(c.r.Context(), s.opts.Hang)
		hangUp(w, errReset)
		return
	case "drop_after_accept":
		hangUp(w, errReset)
		return
	case "truncated":
		a.cut = true
	case "broken":
		a.body = a.body[:len(a.body)/2]
	case "empty":
		a.body = nil
	}
	c.status = a.status
	a.write(w)
}

// fail answers a request as if the vendor's rules had not seen it.
func (s *Simulator) fail(w http.ResponseWriter, c *call) {
	status, html, _ := c.fault.statusMode()
	status = cmp.Or(c.fault.Status, status)
	var a answer
	switch {
	case c.fault.Mode == "refuse":
		hangUp(w, errRefused)
		return
	case c.fault.Mode == "timeout":
		pause(c.r.Context(), s.opts.Hang)
		hangUp(w, errReset)
		return
	case c.fault.Mode == "reset":
		hangUp(w, errReset)
		return
	case html:
		a = gatewayPage(status)
	default:
		s.mu.Lock()
		a = s.faultAnswer(status, c)
		s.mu.Unlock()
	}
	if c.fault.RetryAfter > 0 {
		a = a.with("Retry-After", strconv.Itoa(c.fault.RetryAfter))
	}
	c.status = a.status
	a.write(w)
}

func gatewayPage(status int) answer {
	title := strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
	return answer{
		status: status, kind: "text/html; charset=utf-8",
		body: []byte("<html><head><title>" + title + "</title></head><body><center><h1>" + title + "</h1></center></body></html>\n"),
	}
}

func (s *Simulator) faultAnswer(status int, c *call) answer {
	switch c.vendor {
	case Meta:
		return metaFault(status, c)
	case LinkedIn:
		return linkedInFault(status, c)
	case Receiver:
		return receiverFault(status)
	default:
		return s.hubspot.fault(status, c)
	}
}
