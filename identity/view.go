package identity

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"tributary/canonical"
)

// A View is the fold of the identity log over a store. One goroutine folds; all other
// methods may be called at any time and see the state between two folds, never a part.
//
// Reads have no error: a store that cannot be read is a broken machine, and they panic.
type View struct {
	store   Store
	folding sync.Mutex // held by the one who folds

	mu      sync.RWMutex // held for writing only while a fold becomes visible
	offset  int64
	changed chan struct{}

	rules  *rules
	warm   *warm
	key    *ErasureKey // nil: no erase fact can be folded
	erased atomic.Pointer[erasures]
}

var offsetKey = append([]byte{keyMeta}, "offset"...)

// formatKey holds the version of the records, so that another version rebuilds.
var (
	formatKey = append([]byte{keyMeta}, "format"...)
	format    = []byte{5}
)

// Open gives the view that a store holds; an empty store is the view of an empty log. A
// store that another version wrote is emptied: it is a cache, and is folded again.
func Open(store Store, options ...Option) (*View, error) {
	v := &View{store: store, offset: -1, changed: make(chan struct{}), warm: newWarm(), rules: newRules(canonical.Guards{})}
	v.erased.Store(&erasures{upTo: -1})
	for _, o := range options {
		o(v)
	}
	b, ok, err := store.Get(offsetKey)
	if err != nil {
		return nil, fmt.Errorf("open identity store: %w", err)
	}
	if !ok {
		return v, nil
	}
	f, _, err := store.Get(formatKey)
	if err != nil {
		return nil, fmt.Errorf("open identity store: %w", err)
	}
	if string(f) != string(format) || len(b) != 8 {
		if err := empty(store); err != nil {
			return nil, fmt.Errorf("empty an identity store that another version wrote: %w", err)
		}
		return v, nil
	}
	if v.rules, err = storedRules(store); err != nil {
		return nil, fmt.Errorf("open identity store: %w", err)
	}
	x, err := storedErasures(store, v.key)
	if err != nil {
		return nil, fmt.Errorf("open identity store: %w", err)
	}
	v.erased.Store(x)
	v.offset = int64(binary.BigEndian.Uint64(b))
	return v, nil
}

// empty deletes all that a store holds, what says its format last: cut short, it is begun
// again.
func empty(store Store) error {
	for lo := []byte{keyMeta + 1}; ; {
		var writes []Write
		take := func(k, _ []byte) bool {
			writes = append(writes, Write{Key: slices.Clone(k)})
			return len(writes) < 10_000
		}
		if err := store.Range(lo, nil, take); err != nil {
			return err
		}
		if len(writes) == 0 {
			if err := store.Range(nil, []byte{keyMeta}, take); err != nil {
				return err
			}
		}
		if len(writes) == 0 {
			if err := store.Range([]byte{keyMeta}, []byte{keyMeta + 1}, take); err != nil || len(writes) == 0 {
				return err
			}
			return store.Apply(writes)
		}
		if err := store.Apply(writes); err != nil {
			return err
		}
	}
}

// Offset is that of the last fact folded, -1 before the first.
func (v *View) Offset() int64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.offset
}

// Changed gives a channel that is closed when Offset next advances.
func (v *View) Changed() <-chan struct{} {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.changed
}

// Wait returns nil once Offset has reached offset, or why ctx ended.
func (v *View) Wait(ctx context.Context, offset int64) error {
	for {
		v.mu.RLock()
		reached, changed := v.offset >= offset, v.changed
		v.mu.RUnlock()
		if reached {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for identity offset %d: %w", offset, context.Cause(ctx))
		}
	}
}

// Fold takes records in the order of the log. Those at or below Offset are passed over.
// All become visible, and durable as far as the store is, in one step, or on an error
// none. Offsets ascend; gaps are fine.
func (v *View) Fold(records []Folded) (err error) {
	v.folding.Lock()
	defer v.folding.Unlock()
	defer func() {
		if p := recover(); p != nil {
			failed, ok := p.(storeError)
			if !ok {
				panic(p)
			}
			err = fmt.Errorf("fold identity: %w", failed)
		}
	}()

	offset := v.Offset()
	s := newState(v.store, v.warm, len(records))
	s.readAhead(records)
	f := newFolder(s, v.rules)
	f.key, f.erased = v.key, v.erased.Load()
	folded := offset
	for i, r := range records {
		if i > 0 && r.Offset <= records[i-1].Offset {
			return fmt.Errorf("fold identity: offset %d after %d", r.Offset, records[i-1].Offset)
		}
		if r.Offset <= offset {
			continue
		}
		if _, err := f.apply(r.Offset, r.Fact); err != nil {
			return err
		}
		folded = r.Offset
	}
	if folded == offset {
		return nil
	}
	f.put(offsetKey, binary.BigEndian.AppendUint64(nil, uint64(folded)))
	f.put(formatKey, format)
	writes := f.writes()

	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.store.Apply(writes); err != nil {
		return fmt.Errorf("fold identity up to offset %d: %w", folded, err)
	}
	v.forget(f)
	v.rules = f.rules
	v.erased.Store(f.erased)
	v.offset = folded
	close(v.changed)
	v.changed = make(chan struct{})
	return nil
}

// forget takes what a fold changed out of the caches, and puts in what it knows.
func (v *View) forget(f *folder) {
	for id := range f.gone {
		v.warm.clusters.Remove(id)
		v.warm.people.Remove(id)
	}
	for id := range f.buried {
		v.warm.nodes.Remove(id)
	}
	for id, c := range f.clusters {
		if v.warm.people.Remove(id); c.size > 1 {
			v.warm.clusters.Add(id, c)
		}
	}
	for id := range f.dirty {
		n := f.nodes[id]
		if n == nil {
			continue
		}
		n.fresh = false
		v.warm.nodes.Add(id, n)
		v.warm.people.Remove(n.cluster)
	}
}

// New gives the facts whose statement is not in the log yet, as far as it is folded, nor
// among those before it in the list. Left out is
//   - a link of two nodes linked with the same strength at an equal or earlier time;
//   - a merge, unmerge, block, allow or deletion said of the same nodes at an equal or later
//     time; a merge that was found (Weak) where it was said at any time;
//   - guards with the hash of those in force;
//   - an association told of its pair at the same time, and one found (Weak) where what
//     stands of the pair is just that; fields of an account likewise;
//   - a consent older than the node's newest, or the same yes within a day;
//   - a touch that changes nothing of what is kept of its node;
//   - a stage said before with the same time;
//   - whatever names an erased identifier; of a touch only its click id.
//
// Only what was found, and a yes again, is left out although it says something, its time: it would be said
// again at every read. docs/identity.md says what that costs.
func (v *View) New(facts []canonical.Fact) []canonical.Fact {
	v.mu.RLock()
	defer v.mu.RUnlock()
	f := newFolder(newState(v.store, v.warm, len(facts)), v.rules)
	f.statements, f.key, f.erased = true, v.key, v.erased.Load()
	var out []canonical.Fact
	for _, fact := range facts {
		fact, _ := f.erased.admit(fact)
		if stated, err := f.apply(v.offset+1, fact); stated || err != nil {
			out = append(out, fact)
		}
	}
	return out
}
