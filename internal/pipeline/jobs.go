package pipeline

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/internal/eventlog"
)

// Jobs are replays of many events. Any process makes, shows, runs and cancels them; the
// one that owns the jobs' group works on them. docs/replay.md says what they promise.
type Jobs struct {
	Log    eventlog.Log
	Topics eventlog.Topics
	Prefix string
	View   *JobView
	Replay *Replay
	// People brings the identity view of this process to the end of its topic.
	People    func(ctx context.Context, offset int64) error
	PerSecond int   // orders appended
	Ahead     int64 // orders that a lane may still have to decide on when more are appended
	Owner     string
	Health    *Health
	Logger    *slog.Logger
}

// JobsGroup is the group whose owner works on jobs. Its offset holds the log at the oldest
// that is not over.
func JobsGroup(prefix string) string { return prefix + "jobs" }

const (
	// MostIDs and MostIDBytes bound the ids of one job, which stand in every record of it.
	MostIDs     = 5000
	MostIDBytes = 400 << 10
	// previewKept is how long a preview waits to be run.
	previewKept = 24 * time.Hour
)

// ErrWrongState: a job is not where the act could be done.
var ErrWrongState = errors.New("the replay is past that")

// A BadSelection says what is wrong with what was asked for.
type BadSelection struct{ Field, Says string }

func (e *BadSelection) Error() string { return e.Field + ": " + e.Says }

// Make keeps a new job, which is previewed next: kind, selection, destinations (none:
// all), force, run, reason and who are the caller's.
func (s *Jobs) Make(ctx context.Context, j canonical.ReplayJob) (canonical.ReplayJob, error) {
	names, err := s.Replay.names(j.Destinations)
	if err != nil {
		return j, err
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if err := checkSelection(j.Selection); err != nil {
		return j, err
	}
	_, end, err := s.Log.Bounds(ctx, s.Topics.Events)
	if err != nil {
		return j, err
	}
	j.ID, j.State, j.Destinations, j.End, j.At = newJobID(time.Now()), canonical.JobPreviewing, names, end, time.Now().UTC()
	if won, err := s.put(ctx, &j, j.Who); err != nil || !won {
		return j, errors.Join(err, ctx.Err())
	}
	return j, nil
}

func checkSelection(sel canonical.Selection) error {
	bytes := 0
	for _, id := range sel.IDs {
		if bytes += len(id); id == "" {
			return &BadSelection{"ids", "an id is empty"}
		}
	}
	switch {
	case len(sel.IDs) > MostIDs || bytes > MostIDBytes:
		return &BadSelection{"ids", fmt.Sprintf("a replay takes up to %d ids and %d bytes of them; make several", MostIDs, MostIDBytes)}
	case sel.By != "" && sel.By != "occurred_at" && sel.By != "received_at":
		return &BadSelection{"by", "must be occurred_at or received_at"}
	case sel.List != "" && sel.List != string(delivery.Dead) && sel.List != string(delivery.Held):
		return &BadSelection{"list", "must be dead or held"}
	case sel.List == "" && len(sel.Reasons) > 0:
		return &BadSelection{"reasons", "is for lists; name the state and reason as state:reason in states"}
	case sel.List != "" && len(sel.Sources)+len(sel.States) > 0:
		return &BadSelection{"list", "goes with events, reasons, ids and times alone"}
	case sel.Since != nil && sel.Until != nil && !sel.Since.Before(*sel.Until):
		return &BadSelection{"until", "must be after since"}
	}
	for _, st := range sel.States {
		word, _, _ := strings.Cut(st, ":")
		if !slices.Contains([]string{"dead", "parked", "suppressed", "delivered", "none"}, word) {
			return &BadSelection{"states", fmt.Sprintf("%q is none of dead, parked, suppressed, delivered, each also with :reason, and none", st)}
		}
	}
	return nil
}

// newJobID makes an id; later ones sort behind earlier ones.
func newJobID(now time.Time) string {
	b := make([]byte, 5)
	rand.Read(b)
	return fmt.Sprintf("rj_%011x%s", now.UnixMilli(), hex.EncodeToString(b))
}

// Start runs a job that was previewed, or is to be run once it is.
func (s *Jobs) Start(ctx context.Context, id, who string) (canonical.ReplayJob, error) {
	return s.change(ctx, id, who, func(j *canonical.ReplayJob) error {
		switch j.State {
		case canonical.JobPreviewing:
			j.Run = true
		case canonical.JobPreviewed:
			j.Run, j.State, j.Events, j.Note = true, canonical.JobRunning, 0, ""
		default:
			return fmt.Errorf("%w: it is %s", ErrWrongState, j.State)
		}
		return nil
	})
}

// Cancel ends a job. Orders that were appended are decided on all the same.
func (s *Jobs) Cancel(ctx context.Context, id, who, why string) (canonical.ReplayJob, error) {
	return s.change(ctx, id, who, func(j *canonical.ReplayJob) error {
		if j.State.Over() {
			return fmt.Errorf("%w: it is %s", ErrWrongState, j.State)
		}
		j.State, j.Note = canonical.JobCancelled, strings.TrimSuffix("cancelled by "+who+": "+why, ": ")
		return nil
	})
}

// Job gives a job as the end of the log says.
func (s *Jobs) Job(ctx context.Context, id string) (canonical.ReplayJob, error) {
	if err := s.View.caughtUp(ctx, s.Log, s.Topics.Replays); err != nil {
		return canonical.ReplayJob{}, err
	}
	return s.View.Job(id)
}

// List gives up to limit jobs, the newest first, made before the one named ("": all).
func (s *Jobs) List(ctx context.Context, after string, limit int) ([]canonical.ReplayJob, error) {
	if err := s.View.caughtUp(ctx, s.Log, s.Topics.Replays); err != nil {
		return nil, err
	}
	return s.View.Jobs(after, limit)
}

// change makes one change of a job; where another came first, it is made on top of that.
func (s *Jobs) change(ctx context.Context, id, who string, do func(*canonical.ReplayJob) error) (canonical.ReplayJob, error) {
	for {
		j, err := s.Job(ctx, id)
		if err != nil {
			return j, err
		}
		if err := do(&j); err != nil {
			return j, err
		}
		if won, err := s.put(ctx, &j, who); err != nil || won {
			return j, err
		}
	}
}

// put appends the next record of a job and says whether it holds: false where another
// with the same number came first.
func (s *Jobs) put(ctx context.Context, j *canonical.ReplayJob, by string) (bool, error) {
	b := make([]byte, 8)
	rand.Read(b)
	j.Seq, j.Stamp, j.Changed, j.By = j.Seq+1, hex.EncodeToString(b), time.Now().UTC(), by
	rec, err := encode(eventlog.TypeJob, j.ID, j)
	if err != nil {
		return false, err
	}
	s.View.expect(j.Stamp)
	placed, err := s.Log.Append(ctx, s.Topics.Replays, rec)
	if err != nil {
		s.View.held(j.Stamp)
		return false, fmt.Errorf("write replay %s: %w", j.ID, err)
	}
	end := make([]int64, placed[0].Partition+1)
	end[placed[0].Partition] = placed[0].Offset + 1
	err = s.View.Wait(ctx, end)
	return s.View.held(j.Stamp), err
}

// Run works on the jobs whenever the group gives them to this process, until ctx ends.
func (s *Jobs) Run(ctx context.Context) error {
	return s.Log.Consume(ctx, eventlog.Group{Name: JobsGroup(s.Prefix), Topics: []string{s.Topics.Replays}, Whole: true}, s.own)
}

// own works for one generation: a goroutine for each job that has something to do.
func (s *Jobs) own(ctx context.Context, claim eventlog.Claim) error {
	if err := s.View.caughtUp(ctx, s.Log, s.Topics.Replays); err != nil {
		return err
	}
	o := &owner{Jobs: s, claim: claim, pace: rate.NewLimiter(rate.Limit(s.PerSecond), max(s.PerSecond, 1)), working: map[string]context.CancelFunc{}}
	ctx, cancel := context.WithCancel(ctx)
	defer o.workers.Wait()
	defer cancel()
	polled := map[int]int64{}
	for {
		records, err := claim.Poll(ctx, 1000, time.Second)
		if err != nil {
			return err
		}
		for _, r := range records {
			polled[r.Partition] = r.Offset + 1
		}
		if len(records) > 0 {
			if err := s.View.caughtUp(ctx, s.Log, s.Topics.Replays); err != nil {
				return err
			}
		}
		open := s.View.Open()
		if err := o.look(ctx, open); err != nil {
			return err
		}
		for p, next := range polled {
			for _, k := range open {
				if k.At.Partition == p {
					next = min(next, k.At.Offset)
				}
			}
			claim.Commit(s.Topics.Replays, p, next)
		}
	}
}

// An owner is what works on jobs in one generation.
type owner struct {
	*Jobs
	claim   eventlog.Claim
	pace    *rate.Limiter
	workers sync.WaitGroup
	mu      sync.Mutex
	working map[string]context.CancelFunc
}

// look begins work on jobs that have some and ends it on those that are over.
func (o *owner) look(ctx context.Context, open []KeptJob) error {
	there := map[string]bool{}
	for _, k := range open {
		there[k.Job.ID] = true
		switch {
		case k.Job.State == canonical.JobPreviewed:
			if time.Since(k.Job.Changed) > previewKept {
				j := k.Job
				j.State, j.Note = canonical.JobCancelled, "nobody ran it within a day"
				if _, err := o.put(ctx, &j, o.Owner); err != nil {
					return err
				}
			}
		default:
			o.begin(ctx, k.Job.ID)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, stop := range o.working {
		if !there[id] {
			stop()
		}
	}
	return nil
}

func (o *owner) begin(ctx context.Context, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.working[id] != nil {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	o.working[id] = stop
	o.workers.Go(func() {
		defer func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			stop()
			delete(o.working, id)
		}()
		o.keep(ctx, id)
	})
}

// keep works on a job until it is over, waits for somebody, or ctx ends. What may pass is
// tried again.
func (o *owner) keep(ctx context.Context, id string) {
	part := "replay " + id
	defer o.Health.Set(part, nil)
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		began := time.Now()
		err := o.work(ctx, id)
		var unknown *UnknownDestination
		switch {
		case err == nil, ctx.Err() != nil:
			return
		case errors.As(err, &unknown):
			if _, err = o.change(ctx, id, o.Owner, func(j *canonical.ReplayJob) error {
				j.State, j.Note = canonical.JobFailed, unknown.Error()
				return nil
			}); err == nil || ctx.Err() != nil {
				return
			}
		}
		o.Health.Set(part, err)
		o.Logger.Warn("replay waits", "replay", id, "error", err.Error(), "wait", wait)
		if time.Since(began) > time.Minute {
			wait = time.Second
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}
