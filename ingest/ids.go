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
	id      ulid.ULID // the one being made
}

func newIDSource() *idSource {
	return &idSource{entropy: ulid.Monotonic(bufio.NewReaderSize(rand.Reader, 4096), 0)}
}

// next fills ids, in ascending order. They share one piece of memory.
func (s *idSource) next(now time.Time, ids []canonical.ReceiptID) {
	text := make([]byte, ulid.EncodedSize*len(ids))
	s.mu.Lock()
	defer s.mu.Unlock()
	ms := max(ulid.Timestamp(now), s.last) // a clock set back does not set ids back
	for i := range ids {
		for s.entropy.MonotonicRead(ms, s.id[6:]) != nil { // the millisecond's numbers are used up
			ms++
		}
		_ = s.id.SetTime(ms) // fails in the year 10889
		_ = s.id.MarshalTextTo(text[i*ulid.EncodedSize : (i+1)*ulid.EncodedSize])
	}
	s.last = ms
	all := canonical.ReceiptID(text)
	for i := range ids {
		ids[i] = all[i*ulid.EncodedSize : (i+1)*ulid.EncodedSize]
	}
}
