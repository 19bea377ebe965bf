package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/internal/eventlog"
)

// A run is a lane while this process owns it: what it must remember between cycles.
type run struct {
	*Lane
	Routes  Routes // of this cycle: one batch is decided by one mapping
	claim   eventlog.Claim
	taken   map[slotKey]canonical.EventKey // slots taken in this cycle, before the ledger knows
	begun   bool                           // everything that waited before was looked at
	erased  int64                          // offset of the newest erasure that was looked at
	seen    int64                          // identity offset up to which waiting items were woken
	due     time.Time                      // next due time known; zero: none
	stood   time.Time                      // the control record that was last acted on
	outbox  []canonical.Delivery           // decided in this cycle, not yet written
	closing []canonical.Delivery           // to be written once the parts have their states
	refusal string                         // why the last event refused as a whole was
	at      time.Time                      // of deciding, where Preview.At says it; zero: now
	written map[int]int64                  // by partition of deliveries, the last record written since folded

	ahead reading           // read while the last turn was worked on, not yet taken up
	low   []job             // orders that give way, read and not yet taken up
	reads map[place]int64   // by partition read, the offset to go on at
	kept  map[place][]int64 // the offsets of the orders in low: nothing from the first of them on is committed
	turn  int               // of cycles

	left map[canonical.EventKey][]canonical.Delivery // attempts of a dead owner at events that are read again

	learnAt    time.Time // when to look at the vendor account again
	learnFails int       // times in a row that this failed
}

func newRun(l *Lane, claim eventlog.Claim) *run {
	r := &run{Lane: l, erased: -1, Routes: l.pinned(), claim: claim, taken: map[slotKey]canonical.EventKey{}, written: map[int]int64{}, reads: map[place]int64{}, kept: map[place][]int64{}}
	_, _, r.stood = l.Standing()
	return r
}

// now is the time of deciding.
func (r *run) now() time.Time {
	if !r.at.IsZero() {
		return r.at.UTC()
	}
	return time.Now().UTC()
}

type slotKey struct{ part, slot string }

// A job is one event to decide on.
type job struct {
	event    canonical.Event
	known    canonical.Known
	replayID string
	forced   bool
	only     func(part string) bool // the parts of the plan that a replay means; nil: all
	low      bool                   // gives way to what is live
	learnt   bool                   // known is not what the event came with
	from     place                  // of an order: where it was read
	offset   int64
	// resumed is the parked part that this job takes up again; nil: every part is meant.
	resumed *canonical.Delivery
	due     time.Time // when the mapping's delay is over
}

// A send is one part that was decided to go.
type send struct {
	item     destinations.Item
	name     string // of the event in the books: a step back is told under another
	part     string // as the ledger names it
	attempt  int
	firstTry *time.Time
	replayID string
	forced   bool
	slot     string
	ambig    bool   // an earlier attempt's answer never came
	looked   bool   // and the vendor surely does not have it
	asked    bool   // somebody asked for it anew
	open     bool   // its intent is on record and its outcome is not
	low      bool   // gives way to what is live
	own      bool   // what is known is what its event came with
	suspect  bool   // the vendor's words point at it
	deaf     bool   // such words were wrong before: they are not heard again
	hash     string // of the body of the last attempt
	match    map[string]string
}

// key names the event in the books.
func (s *send) key() canonical.EventKey {
	return canonical.EventKey{Name: s.name, ID: s.item.Event.ID}
}

// recover turns the intents a dead owner left into parked items.
func (r *run) recover(ctx context.Context) error {
	r.left = map[canonical.EventKey][]canonical.Delivery{}
	open, err := r.Ledger.Open(r.Name)
	if err != nil {
		return err
	}
	for _, d := range open {
		if d.Content == nil {
			r.left[d.Event] = append(r.left[d.Event], d)
			continue // its event was never finished: it is read again and dealt with then
		}
		r.outbox = append(r.outbox, r.unanswered(d, time.Now().UTC()))
	}
	return r.flush(ctx)
}

// wakeAll wakes everything whose person became known before this process owned the lane.
func (r *run) wakeAll(ctx context.Context) error {
	r.seen = r.People.Offset()
	for after := ""; ; {
		waiting, next, err := r.Ledger.AwaitingPage(r.Name, after, r.Policy.Poll)
		if err != nil {
			return err
		}
		if err := r.wake(ctx, waiting); err != nil || next == "" {
			return err
		}
		after = next
	}
}

// cycle takes what is due, what was woken and what is new, decides on each, sends, and
// commits: afterwards every event taken has a state, but for orders that give way.
func (r *run) cycle(ctx context.Context) error {
	fresh, err := r.waitRunning(ctx)
	if err != nil {
		return err
	}
	if ready, err := r.learn(ctx, fresh); err != nil || !ready {
		return err
	}
	if !r.begun {
		if err := r.wakeAll(ctx); err != nil {
			return err
		}
		r.begun = true
	}
	if err := r.forgetErased(ctx); err != nil {
		return err
	}
	limit := r.turnLimit()
	jobs, err := r.dueJobs(limit)
	if err != nil {
		return err
	}
	var got reading
	backlog := false
	if most := limit - len(jobs); most > 0 && len(r.low) < mostLow {
		if got, err = r.next(ctx, most, len(jobs)+len(r.low) > 0); err != nil {
			return err
		}
		backlog = len(got.from) == most && !r.open()
		if live := r.putAside(got.jobs); len(jobs) == 0 {
			jobs = live
		} else {
			jobs = append(jobs, live...)
		}
	}
	r.Routes = r.pinned() // now: whatever was read was named by a mapping that is live by now
	join := r.readAhead(ctx, limit, backlog)
	worked := r.work(ctx, jobs)
	if err := join(); err != nil || worked != nil {
		return errors.Join(worked, err)
	}
	if err := r.wakeChanged(ctx); err != nil {
		return err
	}
	for _, f := range got.from {
		r.done(f.place, f.next)
	}
	return r.giveWay(ctx, len(jobs) > 0)
}

// dueJobs takes up parked items whose time has come.
func (r *run) dueJobs(limit int) ([]job, error) {
	parked, next, err := r.Ledger.Due(r.Name, time.Now(), limit)
	if err != nil {
		return nil, err
	}
	r.due = next
	jobs := make([]job, 0, len(parked))
	for _, d := range parked {
		if d.Content == nil {
			return nil, fmt.Errorf("the parked record of %s at %s holds no event: delete the local state to rebuild it", d.Event.ID, r.Name)
		}
		j := job{event: *d.Content, replayID: d.ReplayID, forced: d.Forced, resumed: &d}
		if d.Reason == canonical.ReasonAwaitingIdentity || d.Reason == canonical.ReasonDelay { // decided with what is known by now
			j.known, j.learnt = r.People.Known(j.event), true
		} else {
			j.known = known(&j.event)
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// work decides on jobs, writes what needs no sending, sends the rest.
func (r *run) work(ctx context.Context, jobs []job) error {
	if len(jobs) == 0 {
		return nil
	}
	jobs, later := once(jobs)
	clear(r.taken)
	waiting, gave := r.deliver(ctx, r.decideAll(jobs))
	if gave != nil && !errors.Is(gave, errGiveWay) {
		return gave
	}
	waiting = append(waiting, r.newlyAwaiting()...) // of a turn that gave way
	if gave == nil {
		r.outbox = append(r.outbox, r.closing...)
	}
	r.closing = nil
	if err := r.flush(ctx); err != nil {
		return err
	}
	if err := r.recheck(ctx, waiting); err != nil || gave != nil {
		return errors.Join(err, gave)
	}
	return r.work(ctx, later)
}

// once keeps each event's first job; further ones wait until the ledger knows what the
// first came to.
func once(jobs []job) (first, later []job) {
	met := make(map[canonical.EventKey]bool, len(jobs))
	twice := false
	for i := range jobs {
		key := jobs[i].event.Key()
		twice = twice || met[key]
		met[key] = true
	}
	if !twice {
		return jobs, nil
	}
	clear(met)
	for _, j := range jobs {
		if met[j.event.Key()] {
			later = append(later, j)
			continue
		}
		met[j.event.Key()] = true
		first = append(first, j)
	}
	return first, later
}

func (r *run) newlyAwaiting() []canonical.Delivery {
	var out []canonical.Delivery
	for _, d := range r.outbox {
		if d.State == canonical.StateParked && d.Reason == canonical.ReasonAwaitingIdentity {
			out = append(out, d)
		}
	}
	return out
}

// recordDecided writes what was decided and needs no sending.
func (r *run) recordDecided(ctx context.Context) error {
	out := r.outbox
	r.outbox = nil
	return r.record(ctx, out)
}

func (r *run) flush(ctx context.Context) error {
	if err := r.recordDecided(ctx); err != nil {
		return err
	}
	return r.folded(ctx)
}

// recheck looks once more after the parked record stands: whatever became known before
// is seen here, whatever comes later wakes it.
func (r *run) recheck(ctx context.Context, parked []canonical.Delivery) error {
	if len(parked) == 0 {
		return nil
	}
	return r.wake(ctx, parked)
}

// wakeChanged takes up items whose person changed since the last look.
func (r *run) wakeChanged(ctx context.Context) error {
	now := r.People.Offset()
	if now <= r.seen {
		return nil
	}
	var waiting []canonical.Delivery
	if any, err := r.Ledger.Awaits(r.Name); err != nil || !any {
		r.seen = now
		return err
	}
	for _, n := range r.People.Touched(r.seen, now) {
		w, err := r.Ledger.Awaiting(r.Name, n)
		if err != nil {
			return err
		}
		waiting = append(waiting, w...)
	}
	r.seen = now
	return r.wake(ctx, waiting)
}

func (r *run) wake(ctx context.Context, waiting []canonical.Delivery) error {
	done := map[string]bool{}
	var jobs []job
	for _, d := range waiting {
		if at := d.Event.String() + "|" + d.Part; d.Content == nil || done[at] {
			continue
		} else {
			done[at] = true
		}
		j := job{event: *d.Content, known: r.People.Known(*d.Content), replayID: d.ReplayID, forced: d.Forced, resumed: &d, learnt: true}
		if !r.stillWaits(j) {
			jobs = append(jobs, j)
		}
	}
	return r.work(ctx, jobs)
}

// stillWaits is true when what is known now does not end the wait of a parked part.
func (r *run) stillWaits(j job) bool {
	parts, refusal, err := r.plan(j)
	if err != nil {
		return true // it is asked again
	}
	reason := refusal.Reason
	for _, p := range parts {
		if p.Name == planned(j.resumed.Part) {
			reason = p.Refused.Reason
		}
	}
	return reason == canonical.ReasonAwaitingIdentity
}

func (r *run) plan(j job) ([]destinations.Part, destinations.Refusal, error) {
	told, route, _, err := r.line(j)
	if err != nil {
		return nil, destinations.Refusal{}, err
	}
	_, known := r.carried(j)
	parts, refusal := r.Adapter().Plan(told, known, route)
	return parts, refusal, nil
}

// carried gives a job's event and what is known with the identifiers that they are sent with
// here. The job keeps its own.
func (r *run) carried(j job) (canonical.Event, canonical.Known) {
	return destinations.Carried(j.event, j.known, r.Policy.Contact, r.Adapter().Contract())
}

// line gives the line of the mapping that says what an event becomes here, and the event as
// it is told: a step back that is reported goes by the line for lead_recycled, and under that
// name. Where there is none it is not routed, unless somebody forces it.
func (r *run) line(j job) (told canonical.Event, route canonical.Route, routed bool, err error) {
	told, _ = r.carried(j)
	back, err := r.goesBack(j)
	if err != nil {
		return told, route, false, err
	}
	if back {
		told.Name = canonical.NameRecycled
		if route, routed = r.Routes(&told); routed || !j.forced {
			return told, route, routed, nil
		}
		told.Name = j.event.Name
	}
	route, routed = r.Routes(&told)
	return told, route, routed, nil
}
