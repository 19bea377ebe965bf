package ingest

import (
	"context"
	"sync"
	"time"
)

// A sharedTimeout gives contexts that end after a time, or up to an eighth of it later:
// all who ask within that eighth get the same one, so that no request has a timer made
// for it alone.
type sharedTimeout struct {
	after time.Duration

	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
	until  time.Time // when the next one is made
}

func (t *sharedTimeout) context(now time.Time) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil || now.After(t.until) {
		share := t.after / 8
		t.until = now.Add(share)
		// It is never cancelled: who has the last one may have all its time.
		t.ctx, t.cancel = context.WithTimeout(context.Background(), t.after+share)
	}
	return t.ctx
}
