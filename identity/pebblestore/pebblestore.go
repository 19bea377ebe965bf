// Package pebblestore is an identity store in Pebble, under a prefix of a database that
// others use beside it.
package pebblestore

import (
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"tributary/identity"
)

var _ identity.Store = (*Store)(nil)

// A Store is a range of keys in a database. It does not own the database.
type Store struct {
	db     *pebble.DB
	prefix []byte
	end    []byte
}

// New gives the store under a prefix. No other user of the database has a prefix that
// begins with this one, or that this one begins with.
func New(db *pebble.DB, prefix []byte) *Store {
	return &Store{db: db, prefix: slices.Clone(prefix), end: after(prefix)}
}

// after is the smallest key that does not begin with the prefix; nil where there is none.
func after(prefix []byte) []byte {
	end := slices.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// Tune sets what a database should have that holds identity: filters, because most
// look-ups while folding are for what is not there, and room to keep the filters at
// hand. It fills in what is not set and gives o back.
func Tune(o *pebble.Options) *pebble.Options {
	if o.MemTableSize == 0 {
		o.MemTableSize = 16 << 20
	}
	if o.Cache == nil && o.CacheSize == 0 {
		o.CacheSize = 64 << 20
	}
	for i := range o.Levels {
		if o.Levels[i].FilterPolicy == nil {
			o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		}
	}
	return o
}

func (s *Store) key(k []byte) []byte { return append(slices.Clone(s.prefix), k...) }

// Get gives the value of a key.
func (s *Store) Get(key []byte) ([]byte, bool, error) {
	v, closer, err := s.db.Get(s.key(key))
	if err == pebble.ErrNotFound {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("get: %w", err)
	}
	out := append([]byte{}, v...)
	return out, true, closer.Close()
}

// Range visits [lo, hi).
func (s *Store) Range(lo, hi []byte, visit func(key, value []byte) bool) error {
	opts := &pebble.IterOptions{LowerBound: s.key(lo), UpperBound: s.end}
	if len(hi) > 0 {
		opts.UpperBound = s.key(hi)
	}
	it, err := s.db.NewIter(opts)
	if err != nil {
		return fmt.Errorf("range: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			it.Close()
			return fmt.Errorf("range: %w", err)
		}
		if !visit(it.Key()[len(s.prefix):], v) {
			break
		}
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("range: %w", err)
	}
	return nil
}

// Apply makes all writes in one batch. It does not wait for the disk: after a crash the
// store is an earlier one, whole, and the log brings it up to date.
func (s *Store) Apply(writes []identity.Write) error {
	b := s.db.NewBatch()
	defer b.Close()
	for _, w := range writes {
		var err error
		if w.Value == nil {
			err = b.Delete(s.key(w.Key), nil)
		} else {
			err = b.Set(s.key(w.Key), w.Value, nil)
		}
		if err != nil {
			return fmt.Errorf("apply: %w", err)
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	return nil
}
