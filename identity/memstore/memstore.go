// Package memstore is an identity store in memory: for tests, and for what can be folded
// again at every start.
package memstore

import (
	"slices"
	"sort"
	"sync"

	"tributary/identity"
)

var _ identity.Store = (*Store)(nil)

// A Store is an ordered map: sorted blocks of bounded size.
type Store struct {
	mu     sync.RWMutex
	blocks [][]entry // ascending, none empty
}

type entry struct {
	key   string
	value []byte
}

const blockSize = 256

// New gives an empty store.
func New() *Store { return &Store{} }

// Get gives the value of a key.
func (s *Store) Get(key []byte) ([]byte, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, i, ok := s.find(string(key))
	if !ok {
		return nil, false, nil
	}
	return s.blocks[b][i].value, true, nil
}

// Range visits [lo, hi).
func (s *Store) Range(lo, hi []byte, visit func(key, value []byte) bool) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, i, _ := s.find(string(lo))
	for ; b < len(s.blocks); b, i = b+1, 0 {
		for _, e := range s.blocks[b][i:] {
			if len(hi) > 0 && e.key >= string(hi) || !visit([]byte(e.key), e.value) {
				return nil
			}
		}
	}
	return nil
}

// Apply makes all writes at once.
func (s *Store) Apply(writes []identity.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range writes {
		if w.Value == nil {
			s.delete(string(w.Key))
		} else {
			s.set(entry{string(w.Key), append([]byte{}, w.Value...)})
		}
	}
	return nil
}

// find gives where a key is, or would be inserted.
func (s *Store) find(key string) (block, index int, found bool) {
	b := sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i][0].key > key }) - 1
	if b < 0 {
		return 0, 0, false
	}
	i := sort.Search(len(s.blocks[b]), func(i int) bool { return s.blocks[b][i].key >= key })
	return b, i, i < len(s.blocks[b]) && s.blocks[b][i].key == key
}

func (s *Store) set(e entry) {
	b, i, found := s.find(e.key)
	switch {
	case found:
		s.blocks[b][i] = e
		return
	case len(s.blocks) == 0:
		s.blocks = [][]entry{{e}}
		return
	}
	s.blocks[b] = slices.Insert(s.blocks[b], i, e)
	if n := len(s.blocks[b]); n > blockSize {
		rest := slices.Clone(s.blocks[b][n/2:])
		s.blocks[b] = s.blocks[b][: n/2 : n/2]
		s.blocks = slices.Insert(s.blocks, b+1, rest)
	}
}

func (s *Store) delete(key string) {
	b, i, found := s.find(key)
	if !found {
		return
	}
	if s.blocks[b] = slices.Delete(s.blocks[b], i, i+1); len(s.blocks[b]) == 0 {
		s.blocks = slices.Delete(s.blocks, b, b+1)
	}
}
