package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/internal/eventlog"
)

// Heard is what webhooks of CRM accounts told, as far as a change that was read can be
// compared with it: a local view of inbound kept in Pebble. It holds ids, names of properties
// and hashes of values, and nobody's data.
type Heard struct {
	reached
	db     *pebble.DB
	prefix []byte
	notice func(canonical.Receipt) (wire.Notice, bool)

	folding sync.Mutex // two partitions may tell of one record
}

// The kinds of keys: of changes with a time, of what holds last, and of where to read on.
const (
	heardChange = "n" // account, type, id, change, property | time, hash of the value
	heardState  = "d" // account, type, id: deleted or there, and since when
	heardMerge  = "m" // account, type, merged id: the survivor
	heardTie    = "a" // account, type, id, other type, other id: tied or parted, and since when
	heardFirst  = "f" // account: when the first webhook came
	heardNext   = "o"
)

// heardFor is how long changes are remembered: longer than a pass looks back.
const heardFor = 40 * 24 * time.Hour

// prunedAtOnce bounds the bytes of what is forgotten in one go: an import tells of years.
const prunedAtOnce = 4 << 20

// OpenHeard opens the view kept in db under prefix. notice reads a receipt by the
// configuration.
func OpenHeard(db *pebble.DB, prefix string, notice func(canonical.Receipt) (wire.Notice, bool)) (*Heard, error) {
	v := &Heard{reached: newReached(), db: db, prefix: []byte(prefix), notice: notice}
	return v, v.each(v.key(heardNext, ""), func(k, b []byte) error {
		var p int
		if _, err := fmt.Sscanf(string(k), "%d", &p); err != nil {
			return fmt.Errorf("read the offsets of what was heard: %w", err)
		}
		v.next[p] = int64(binary.BigEndian.Uint64(b))
		return nil
	})
}

func (v *Heard) key(parts ...string) []byte {
	return append(append([]byte(nil), v.prefix...), strings.Join(parts, "\x00")...)
}

// each visits what stands under a prefix, by what follows it.
func (v *Heard) each(prefix []byte, visit func(key, value []byte) error) error {
	it, err := v.db.NewIter(bounds(prefix))
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		if err := visit(it.Key()[len(prefix):], it.Value()); err != nil {
			return err
		}
	}
	return it.Error()
}

var ofHubSpot = []byte(`"way":"` + string(canonical.WayHubSpot) + `"`)

// What holds of a record or a tie.
const (
	isThere byte = iota
	isGone
	isForgotten // deleted for good, as somebody asked
)

// Apply folds the webhooks among records of one partition, in order.
func (v *Heard) Apply(records []eventlog.Record) error {
	if len(records) == 0 {
		return nil
	}
	v.folding.Lock()
	defer v.folding.Unlock()
	b := v.db.NewIndexedBatch()
	defer b.Close()
	for _, r := range records {
		if r.Type != eventlog.TypeReceipt || !bytes.Contains(r.Value, ofHubSpot) {
			continue
		}
		rc, err := decode[canonical.Receipt](r)
		if err != nil {
			return err
		}
		if n, ok := v.notice(rc); ok {
			if err := v.hear(b, rc, n); err != nil {
				return fmt.Errorf("write what was heard: %w", err)
			}
		}
	}
	last := records[len(records)-1]
	if err := b.Set(v.key(heardNext, fmt.Sprint(last.Partition)), binary.BigEndian.AppendUint64(nil, uint64(last.Offset+1)), nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("write what was heard: %w", err)
	}
	v.to(last.Partition, last.Offset+1)
	return nil
}

// hear takes one webhook. All that is kept is the same in whatever order webhooks came.
func (v *Heard) hear(b *pebble.Batch, rc canonical.Receipt, n wire.Notice) error {
	if c := rc.Completion; c != nil { // what was read tells of ties and merges; a webhook's own change was heard already
		if err := v.hearRead(b, n.Account, c); err != nil || rc.Pulled() == "" {
			return err
		}
	}
	switch n.Change {
	case "deletion", "privacyDeletion", "restore":
		return v.latest(b, v.key(heardState, n.Account, n.Type, n.ID), n.At, map[string]byte{"deletion": isGone, "privacyDeletion": isForgotten}[n.Change])
	case "merge":
		for _, id := range n.Merged {
			if err := b.Set(v.key(heardMerge, n.Account, n.Type, id), []byte(n.ID), nil); err != nil {
				return err
			}
		}
		return v.first(b, rc, n)
	case "associationChange":
		if n.Label != "" && n.Removed {
			return nil // a label went; the tie need not have
		}
		return v.tie(b, n.Account, n.Type, n.ID, n.ToType, n.ToID, n.At, n.Removed)
	}
	if err := v.first(b, rc, n); err != nil {
		return err
	}
	return b.Set(v.change(n.Account, n.Type, n.ID, n.Change, n.Property, n.At, n.Value), nil, nil)
}

// first notes when an account's first webhook came that somebody sent.
func (v *Heard) first(b *pebble.Batch, rc canonical.Receipt, n wire.Notice) error {
	if rc.Pulled() != "" {
		return nil
	}
	k := v.key(heardFirst, n.Account)
	if old, had, err := get(b, k); err != nil || had && int64(binary.BigEndian.Uint64(old)) <= rc.ReceivedAt.UnixMilli() {
		return err
	}
	return b.Set(k, timeKey(rc.ReceivedAt), nil)
}

func (v *Heard) hearRead(b *pebble.Batch, account string, c *canonical.Completion) error {
	for _, o := range c.Objects {
		id := o.ID
		if o.CurrentID != "" && o.CurrentID != o.ID {
			if err := b.Set(v.key(heardMerge, account, o.Type, o.ID), []byte(o.CurrentID), nil); err != nil {
				return err
			}
			id = o.CurrentID
		}
		for kind, ids := range o.Associated {
			for _, other := range ids {
				if err := v.tie(b, account, o.Type, id, kind, other, c.ReadAt, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// tie notes from both ends that two records belong together, or no longer.
func (v *Heard) tie(b *pebble.Batch, account, fromType, from, toType, to string, at time.Time, removed bool) error {
	is := isThere
	if removed {
		is = isGone
	}
	if err := v.latest(b, v.key(heardTie, account, fromType, from, toType, to), at, is); err != nil {
		return err
	}
	return v.latest(b, v.key(heardTie, account, toType, to, fromType, from), at, is)
}

// latest notes that something went or is there, unless a later time says otherwise; of one
// time what is further gone.
func (v *Heard) latest(b *pebble.Batch, k []byte, at time.Time, is byte) error {
	old, had, err := get(b, k)
	if err != nil {
		return err
	}
	if had {
		when := int64(binary.BigEndian.Uint64(old))
		if was := old[8]; was == isForgotten || when > at.UnixMilli() && is != isForgotten || when == at.UnixMilli() && was >= is {
			return nil
		}
	}
	return b.Set(k, append(timeKey(at), is), nil)
}

func (v *Heard) change(account, kind, id, change, property string, at time.Time, value string) []byte {
	sum := sha256.Sum256([]byte(value))
	return append(append(v.key(heardChange, account, kind, id, change, property, ""), timeKey(at)...), sum[:8]...)
}

func timeKey(t time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t.UnixMilli())) }

func get(r pebble.Reader, k []byte) ([]byte, bool, error) {
	b, closer, err := r.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read local state: %w", err)
	}
	defer closer.Close()
	return bytes.Clone(b), true, nil
}

// An utterance is one telling of a property's value.
type utterance struct {
	at   int64
	hash [8]byte
}

func (u utterance) says(value string) bool {
	sum := sha256.Sum256([]byte(value))
	return bytes.Equal(u.hash[:], sum[:8])
}

// changes gives what was told of one property of a record since a time, or of its creation.
func (v *Heard) changes(account, kind, id, change, property string, since time.Time) ([]utterance, error) {
	var out []utterance
	err := v.each(v.key(heardChange, account, kind, id, change, property, ""), func(k, _ []byte) error {
		if len(k) != 16 {
			return nil
		}
		u := utterance{at: int64(binary.BigEndian.Uint64(k)), hash: [8]byte(k[8:])}
		if u.at >= since.UnixMilli() {
			out = append(out, u)
		}
		return nil
	})
	return out, err
}

// created says whether somebody told that a record was made.
func (v *Heard) created(account, kind, id string) (bool, error) {
	told, err := v.changes(account, kind, id, "creation", "", time.Time{})
	return len(told) > 0, err
}

// state says whether a record is held for deleted, and since when.
func (v *Heard) state(account, kind, id string) (is byte, at time.Time, err error) {
	b, had, err := get(v.db, v.key(heardState, account, kind, id))
	if !had || len(b) != 9 {
		return isThere, time.Time{}, err
	}
	return b[8], time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC(), nil
}

// deleted lists the records of a type that are held for deleted since a time, and since when;
// without those that are another now, or were asked to be forgotten.
func (v *Heard) deleted(account, kind string, since time.Time) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	err := v.each(v.key(heardState, account, kind, ""), func(k, b []byte) error {
		at := int64(binary.BigEndian.Uint64(b))
		if len(b) != 9 || b[8] != isGone || at < since.UnixMilli() {
			return nil
		}
		_, merged, err := v.merged(account, kind, string(k))
		if !merged {
			out[string(k)] = time.UnixMilli(at).UTC()
		}
		return err
	})
	return out, err
}

// known says whether anything was told of a record.
func (v *Heard) known(account, kind, id string) (bool, error) {
	some := errors.New("some")
	for _, what := range []string{heardChange, heardTie} {
		err := v.each(v.key(what, account, kind, id, ""), func(_, _ []byte) error { return some })
		if err != nil {
			return err == some, errUnless(err, some)
		}
	}
	return false, nil
}

func errUnless(err, ok error) error {
	if err == ok {
		return nil
	}
	return err
}

// merged gives the record that another was said to be now.
func (v *Heard) merged(account, kind, id string) (survivor string, had bool, err error) {
	b, had, err := get(v.db, v.key(heardMerge, account, kind, id))
	return string(b), had, err
}

// current gives the id under which a record is found now, as far as merges were told.
func (v *Heard) current(account, kind, id string) (string, error) {
	for range 100 {
		survivor, had, err := v.merged(account, kind, id)
		if err != nil || !had {
			return id, err
		}
		id = survivor
	}
	return id, nil
}

// ties lists the records of a type that one belongs together with, as far as was told.
func (v *Heard) ties(account, kind, id, to string) (map[string]bool, error) {
	out := map[string]bool{}
	err := v.each(v.key(heardTie, account, kind, id, to, ""), func(k, b []byte) error {
		if len(b) == 9 {
			out[string(k)] = b[8] == isThere
		}
		return nil
	})
	return out, err
}

// firstWebhook is when the first webhook of an account came; zero: none did.
func (v *Heard) firstWebhook(account string) (time.Time, error) {
	b, had, err := get(v.db, v.key(heardFirst, account))
	if !had || len(b) != 8 {
		return time.Time{}, err
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC(), nil
}

// Prune forgets the changes of long ago.
func (v *Heard) Prune(now time.Time) error {
	b := v.db.NewBatch()
	defer b.Close()
	oldest := now.Add(-heardFor).UnixMilli()
	prefix := v.key(heardChange, "")
	err := v.each(prefix, func(k, _ []byte) error {
		if len(k) <= 16 || int64(binary.BigEndian.Uint64(k[len(k)-16:])) >= oldest {
			return nil
		}
		if b.Len() > prunedAtOnce {
			if err := b.Commit(pebble.NoSync); err != nil {
				return err
			}
			b.Reset()
		}
		return b.Delete(append(bytes.Clone(prefix), k...), nil)
	})
	if err != nil || b.Empty() {
		return err
	}
	return b.Commit(pebble.NoSync)
}

// skip moves the view past what the log no longer holds: what was told there may be pulled
// again, and comes to observations.
func (v *Heard) skip(partition int, first int64) error {
	v.to(partition, first)
	return v.db.Set(v.key(heardNext, fmt.Sprint(partition)), binary.BigEndian.AppendUint64(nil, uint64(first)), pebble.NoSync)
}

// FollowHeard keeps the view at the end of inbound until ctx ends.
func FollowHeard(ctx context.Context, log eventlog.Log, topic string, v *Heard) error {
	return Follow(ctx, log, topic, v, func(_ context.Context, partition int, first int64) error { return v.skip(partition, first) })
}
