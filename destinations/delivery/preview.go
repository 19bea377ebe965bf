package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/internal/budget"
)

// A Class says what a replay would come to for one part of an event.
type Class string

// The classes; docs/replay.md says the same in words for operators.
const (
	Same          Class = "same"           // it would be sent, with the body of the attempt before
	ChangedBody   Class = "changed_body"   // it would be sent, with another body
	NewlyEligible Class = "newly_eligible" // it would be sent; until now it was suppressed, waited, or had no state
	Pending       Class = "pending"        // an attempt is under way, or the lane has not come to it
	Waits         Class = "waits"          // it would be parked for its reason, or is held as ambiguous and left alone
	NowSuppressed Class = "now_suppressed" // it was sent, dead or parked, and would be suppressed
	Suppressed    Class = "suppressed"     // it was suppressed or had no state, and would be suppressed
	TooOld        Class = "too_old"        // beyond the vendor's age limit
	AlreadyThere  Class = "already_there"  // delivered, and not forced
	Unbuildable   Class = "unbuildable"    // no request can be made of it
)

// Sends is true for a class whose part would be sent.
func (c Class) Sends() bool {
	return c == Same || c == ChangedBody || c == NewlyEligible || c == Pending
}

// A Foreseen is what a replay would come to for one part of an event. It holds no
// personal data but in Body.
type Foreseen struct {
	Part   string `json:"part"`
	Class  Class  `json:"class"`
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Was and WasReason are what the ledger holds now, "" is nothing; Whole that it is the
	// event's state, not the part's own.
	Was       canonical.State `json:"was,omitempty"`
	WasReason string          `json:"was_reason,omitempty"`
	Whole     bool            `json:"whole,omitempty"`
	// Ask is true where a replay order changes something: what would be sent, or would begin
	// to wait.
	Ask      bool             `json:"ask"`
	BodyHash string           `json:"body_hash,omitempty"`
	Body     json.RawMessage  `json:"body,omitempty"` // what would be sent, in a dry run what would be built
	Value    *canonical.Money `json:"value,omitempty"`
	Currency string           `json:"currency,omitempty"`
}

// An Ask says how a replay is asked for.
type Ask struct {
	ReplayID string
	Force    bool
	// Held takes up also what is held as ambiguous, which may then arrive twice.
	Held bool
}

// A Preview decides on replay orders as the lane would, one after the other, and carries
// out none: the slots that one takes are taken for those that follow. It is for one
// goroutine. It remembers a slot for every event that would take one.
type Preview struct {
	run    *run
	ask    Ask
	looked bool // at the vendor account, where that must be known
}

// Preview begins a sequence of decisions. The ledger and the people it asks are those of
// this process: bring them up to date first.
func (l *Lane) Preview(a Ask) *Preview {
	return &Preview{run: &run{Lane: l, Routes: l.pinned(), taken: map[slotKey]canonical.EventKey{}}, ask: a}
}

// At sets the time of deciding for what follows: ages and waits are judged by it. Without
// it, it is now.
func (p *Preview) At(t time.Time) { p.run.at = t }

// Event says what an order for an event would come to, part by part: for those named, or
// for all; "" names the event where it came to no parts, and so every part without a state.
// It waits until this process has folded what was known when the event was built.
func (p *Preview) Event(ctx context.Context, e canonical.Event, parts ...string) ([]Foreseen, error) {
	r := p.run
	if !p.looked {
		p.looked = true
		p.learn(ctx)
	}
	if err := r.People.Wait(ctx, known(&e).Offset); err != nil {
		return nil, err
	}
	all, err := r.Ledger.Event(r.Name, e.Key())
	if err != nil {
		return nil, err
	}
	b := before{states: map[string]canonical.Delivery{}}
	for _, d := range all {
		if d.Part == planned(d.Part) && d.Reason != canonical.ReasonPlanned {
			b.states[d.Part] = d
		}
		if d.ReplayID == p.ask.ReplayID {
			b.asked = append(b.asked, planned(d.Part))
		}
	}
	meant := func(part string) bool {
		_, has := b.states[part]
		return len(parts) == 0 || slices.Contains(parts, part) || !has && slices.Contains(parts, "")
	}
	means := func(part string) bool { return meant(part) && !p.leaves(b.states[part]) }
	r.outbox, r.closing, r.refusal = nil, nil, ""
	sends, err := r.decide(job{event: e, known: known(&e), replayID: p.ask.ReplayID, forced: p.ask.Force, only: means})
	if err != nil {
		return nil, err
	}
	var out []Foreseen
	for _, name := range b.names(r.outbox, sends) {
		if meant(name) {
			out = append(out, p.foresee(b, name, sends))
		}
	}
	return out, nil
}

// learn looks at the vendor account where a destination must know it and this process has
// not looked: the lane may be another's. Where that fails bodies are judged by what the
// configuration says. A lane that cannot send only rehearses, and looks at nothing.
func (p *Preview) learn(ctx context.Context) {
	r := p.run
	learner, ok := r.Destination.(destinations.Learner)
	if mode := r.mode(); !ok || r.Send == nil || mode != Live && mode != Test || r.learnt.Load() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, learnWithin)
	defer cancel()
	adapter, findings, err := learner.Learn(ctx, func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
		return r.call(ctx, budget.Fetch, q)
	})
	if err != nil {
		r.Logger.Warn("the vendor account could not be looked at for a preview", "destination", r.Name, "error", destinations.VendorWords(err.Error()))
		return
	}
	r.learnt.CompareAndSwap(nil, &learnt{adapter: adapter, findings: findings})
}

// learnWithin is how long a preview waits for a look at the vendor account.
const learnWithin = 30 * time.Second

// leaves is true for a part that a replay of many leaves alone: an attempt at it may have
// arrived, and the vendor would not know a second one for a copy.
func (p *Preview) leaves(d canonical.Delivery) bool {
	return !p.ask.Held && !p.ask.Force && d.State == canonical.StateParked && d.Reason == canonical.ReasonAmbiguous
}

// before is what the ledger holds of an event before a decision.
type before struct {
	states map[string]canonical.Delivery // by part of the plan; "" for the whole event
	asked  []string                      // parts that this very replay has asked for
}

// names lists the parts that there is something to say of: those with a state, and those
// decided on; "" where the event comes to no part.
func (b before) names(outbox []canonical.Delivery, sends []*send) []string {
	var names []string
	add := func(part string) {
		if part = planned(part); part != "" && !slices.Contains(names, part) {
			names = append(names, part)
		}
	}
	for part := range b.states {
		add(part)
	}
	for _, d := range outbox {
		add(d.Part)
	}
	for _, s := range sends {
		add(s.part)
	}
	if len(names) == 0 {
		return []string{""}
	}
	slices.Sort(names)
	return names
}

// was is the state that speaks for a part: its own, or that of the event that came to none.
func (b before) was(part string) (d canonical.Delivery, whole bool) {
	if d, had := b.states[part]; had && part != "" {
		return d, false
	}
	d, whole = b.states[""]
	return d, whole
}

// foresee puts one part into its class.
func (p *Preview) foresee(b before, part string, sends []*send) Foreseen {
	was, whole := b.was(part)
	f := Foreseen{Part: part, Was: was.State, WasReason: was.Reason, Whole: whole}
	if was.State == canonical.StateIntent {
		f.Class, f.Ask = Pending, true
		return f
	}
	if slices.Contains(b.asked, part) || slices.Contains(b.asked, "") {
		f.Class = AlreadyThere
		return f
	}
	for _, s := range sends {
		if planned(s.part) == part {
			p.build(&f, was, s)
			return f
		}
	}
	if was.State == canonical.StateDelivered && !p.ask.Force {
		f.Class = AlreadyThere
		return f
	}
	if p.leaves(was) {
		f.Class, f.Reason = Waits, canonical.ReasonAmbiguous
		return f
	}
	parked := false
	f.Reason, f.Detail = p.run.refusal, ""
	if f.Reason == "" {
		f.Reason, f.Detail = canonical.ReasonNotConfigured, "the mapping or the destination's settings no longer give this part"
	}
	for _, d := range p.run.outbox { // its own record, or that of the whole event
		if planned(d.Part) == part || d.Part == "" {
			f.Reason, f.Detail, parked = d.Reason, d.Detail, d.State == canonical.StateParked
			f.Body = d.Body // of a dry run
			if d.State == canonical.StateDead {
				f.Class = Unbuildable
				return f
			}
		}
	}
	switch {
	case parked:
		f.Class, f.Ask = Waits, was.State != canonical.StateParked || was.Reason != f.Reason
	case f.Reason == canonical.ReasonTooOld:
		f.Class = TooOld
	case was.State == "" || was.State == canonical.StateSuppressed:
		f.Class = Suppressed
	default:
		f.Class = NowSuppressed
	}
	return f
}

// build makes the request of one part and holds it against what was sent before.
func (p *Preview) build(f *Foreseen, was canonical.Delivery, s *send) {
	q, err := p.run.Adapter().Build([]destinations.Item{s.item})
	if max := p.run.Adapter().Contract().MaxBytes; err != nil || max > 0 && len(q.Body) > max {
		f.Class, f.Detail = Unbuildable, "its body is over the vendor's limit"
		if err != nil {
			f.Detail = err.Error()
		}
		if at := (slotKey{f.Part, s.slot}); p.run.taken[at] == s.key() {
			delete(p.run.taken, at) // it will not hold what it cannot be sent with
		}
		return
	}
	f.Ask, f.Body, f.BodyHash = true, bodyOf(q, 0), bodyHash(q, 0)
	f.Value, f.Currency = valueOf(q, 0), currencyOf(q, 0)
	switch tried := was.Attempt > 0 || was.BodyHash != ""; {
	case was.State == "" || was.State == canonical.StateSuppressed || !tried:
		f.Class = NewlyEligible
	case was.BodyHash == f.BodyHash:
		f.Class = Same
	default:
		f.Class = ChangedBody
	}
}

// bodyHash names what one item of a request sends: the SHA-256 of its own share of the body.
func bodyHash(q destinations.Request, i int) string {
	b := q.Body
	if i < len(q.Bodies) {
		b = q.Bodies[i]
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
