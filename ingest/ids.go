package ingest

import (
	"bufio"
	"crypto/rand"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"tributary/canonical"
)

// An idSource makes receipt ids: ULIDs that ascend within a process, also within one
// millisecond.
type idSource struct {
	mu      sync.Mutex
	entropy *ulid.MonotonicEntropy
	last    uint64
}

func newIDSource() *idSource {
	return &idSource{entropy: ulid.Monotonic(bufio.NewReaderSize(rand.Reader, 4096), 0)}
}

// next fills ids, in ascending order.
func (s *idSource) next(now time.Time, ids []canonical.ReceiptID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ms := max(ulid.Timestamp(now), s.last) // a clock set back does not set ids back
	for i := range ids {
		id, err := ulid.New(ms, s.entropy)
		for err != nil { // the millisecond's numbers are used up
			ms++
			id, err = ulid.New(ms, s.entropy)
		}
		ids[i] = canonical.ReceiptID(id.String())
	}
	s.last = ms
}
