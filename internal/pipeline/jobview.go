package pipeline

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/internal/eventlog"
)

// ErrNoJob: no replay has this id.
var ErrNoJob = errors.New("no such replay")

// A JobView holds every replay job as its last record says: a local view of the topic
// replays kept in Pebble, from which every process can show them. Deleted, it is folded
// again from what the log holds: every job that is not over, since the jobs' group holds
// the log there. Older ones are in the warehouse.
type JobView struct {
	reached
	db     *pebble.DB
	prefix []byte

	mu   sync.Mutex
	open map[string]KeptJob // not over, by id
	mine map[string]bool    // by stamp, of records this process wrote: whether they hold
}

// A KeptJob is a job with the place of the record that the log must hold for it.
type KeptJob struct {
	Job canonical.ReplayJob `json:"job"`
	At  canonical.Position  `json:"at"`
}

// OpenJobView opens the view kept in db under prefix.
func OpenJobView(db *pebble.DB, prefix string) (*JobView, error) {
	v := &JobView{reached: newReached(), db: db, prefix: []byte(prefix), open: map[string]KeptJob{}, mine: map[string]bool{}}
	it, err := db.NewIter(bounds(v.key("o", "")))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		var p int
		if _, err := fmt.Sscanf(string(it.Key()[len(v.key("o", "")):]), "%d", &p); err != nil {
			return nil, fmt.Errorf("read the jobs' offsets: %w", err)
		}
		v.next[p] = int64(binary.BigEndian.Uint64(it.Value()))
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	return v, v.each(func(k KeptJob) bool {
		if !k.Job.State.Over() {
			v.open[k.Job.ID] = k
		}
		return true
	})
}

func (v *JobView) key(kind, rest string) []byte {
	return append(append([]byte(nil), v.prefix...), kind+"\x00"+rest...)
}

// Apply folds the jobs among records of one partition, in order.
func (v *JobView) Apply(records []eventlog.Record) error {
	if len(records) == 0 {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	b := v.db.NewIndexedBatch()
	defer b.Close()
	folded := map[string]KeptJob{}
	var held []string
	for _, r := range records {
		if r.Type == eventlog.TypeCRMSync {
			stamp, err := v.sync(b, r)
			if err != nil {
				return err
			}
			held = append(held, stamp)
			continue
		}
		if r.Type != eventlog.TypeJob {
			continue
		}
		j, err := decode[canonical.ReplayJob](r)
		if err != nil {
			return err
		}
		cur, had, err := load[KeptJob](b, v.key("j", j.ID))
		if err != nil {
			return err
		}
		if had && (cur.Job.State.Over() || j.Seq <= cur.Job.Seq) {
			continue // somebody else's was first
		}
		if j.State.Over() {
			j.Selection.IDs = nil // nobody asks for them any more
		}
		k := KeptJob{Job: j, At: canonical.Position{Partition: r.Partition, Offset: r.Offset}}
		if err := store(b, v.key("j", j.ID), k); err != nil {
			return err
		}
		folded[j.ID] = k
		held = append(held, j.Stamp)
	}
	last := records[len(records)-1]
	if err := b.Set(v.key("o", fmt.Sprint(last.Partition)), binary.BigEndian.AppendUint64(nil, uint64(last.Offset+1)), nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil { // a cache of the topic: what is lost is folded again
		return fmt.Errorf("write jobs: %w", err)
	}
	for id, k := range folded {
		if k.Job.State.Over() {
			delete(v.open, id)
		} else {
			v.open[id] = k
		}
	}
	for _, stamp := range held {
		if _, waited := v.mine[stamp]; waited {
			v.mine[stamp] = true
		}
	}
	v.to(last.Partition, last.Offset+1)
	return nil
}

// expect makes the view remember whether a record that is about to be written holds.
func (v *JobView) expect(stamp string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mine[stamp] = false
}

// held says whether the record held, once it is folded, and forgets it.
func (v *JobView) held(stamp string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	held := v.mine[stamp]
	delete(v.mine, stamp)
	return held
}

// skip moves the view past what the log no longer holds.
func (v *JobView) skip(partition int, first int64) error {
	v.to(partition, first)
	return v.db.Set(v.key("o", fmt.Sprint(partition)), binary.BigEndian.AppendUint64(nil, uint64(first)), pebble.NoSync)
}

// FollowJobs keeps the view at the end of replays until ctx ends.
func FollowJobs(ctx context.Context, log eventlog.Log, topic string, v *JobView) error {
	return Follow(ctx, log, topic, v, func(_ context.Context, partition int, first int64) error { return v.skip(partition, first) })
}

// caughtUp waits until the view has folded all that its topic held when it was asked.
func (v *JobView) caughtUp(ctx context.Context, log eventlog.Log, topic string) error {
	_, end, err := log.Bounds(ctx, topic)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := v.Wait(ctx, end); err != nil {
		return fmt.Errorf("the view of %s has not reached its end: %w", topic, err)
	}
	return nil
}

// Job gives a job as it stands; ErrNoJob.
func (v *JobView) Job(id string) (canonical.ReplayJob, error) {
	k, had, err := load[KeptJob](v.db, v.key("j", id))
	if err == nil && !had {
		err = fmt.Errorf("%w: %s", ErrNoJob, id)
	}
	return k.Job, err
}

// Open lists the jobs that are not over, the oldest first.
func (v *JobView) Open() []KeptJob {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := make([]KeptJob, 0, len(v.open))
	for _, k := range v.open {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b KeptJob) int { return a.Job.At.Compare(b.Job.At) })
	return out
}

// Jobs lists up to limit jobs, the newest first, those made before the one named by after
// ("": from the newest). Ids stand in the order of their making.
func (v *JobView) Jobs(after string, limit int) ([]canonical.ReplayJob, error) {
	var out []canonical.ReplayJob
	err := v.each(func(k KeptJob) bool {
		if after != "" && k.Job.ID >= after {
			return true
		}
		k.Job.Selection.IDs = nil
		out = append(out, k.Job)
		return len(out) < limit
	})
	return out, err
}

// each visits every job, the newest first, until visit has enough.
func (v *JobView) each(visit func(KeptJob) bool) error {
	it, err := v.db.NewIter(bounds(v.key("j", "")))
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Last(); it.Valid(); it.Prev() {
		var k KeptJob
		if err := json.Unmarshal(it.Value(), &k); err != nil {
			return fmt.Errorf("read jobs: %w", err)
		}
		if !visit(k) {
			return nil
		}
	}
	return it.Error()
}

// A KeptSync is how far a CRM account's sync is, with the place of the record that says so.
type KeptSync struct {
	State canonical.CRMSync
	At    canonical.Position
}

// sync folds how far one account's sync is.
func (v *JobView) sync(b *pebble.Batch, r eventlog.Record) (stamp string, err error) {
	s, err := decode[canonical.CRMSync](r)
	if err != nil {
		return "", err
	}
	cur, had, err := load[KeptSync](b, v.key("s", s.Account))
	if err != nil || had && s.Seq <= cur.State.Seq {
		return "", err // somebody else's was first
	}
	return s.Stamp, store(b, v.key("s", s.Account), KeptSync{State: s, At: canonical.Position{Partition: r.Partition, Offset: r.Offset}})
}

// Sync gives how far an account's sync is; false: nobody began.
func (v *JobView) Sync(account string) (KeptSync, bool, error) {
	return load[KeptSync](v.db, v.key("s", account))
}
