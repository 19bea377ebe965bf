package embedded

import (
	"sync"
	"time"
)

// sessions hands out the engine's sessions: a fresh one for a request that names none, else the one of that name, which
// keeps its settings and temporary tables until it was not used for a while.
type sessions struct {
	lib *chdb

	mu    sync.Mutex
	named map[string]*namedSession
}

type namedSession struct {
	conn  *conn
	busy  bool
	timer *time.Timer
}

const (
	sessionIdle = time.Minute
	maxSessions = 100
)

// take opens or finds the request's session. The caller releases it when the statement is done.
func (s *sessions) take(q *request) (*conn, func(), error) {
	if q.session == "" {
		c, err := s.lib.open()
		if err != nil {
			return nil, nil, err
		}
		return c, c.close, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.named[q.session]
	switch {
	case n != nil && n.busy:
		return nil, nil, refuse(codeSessionLocked, "SESSION_IS_LOCKED", "Session %s is locked by a concurrent client", clip(q.session))
	case n == nil && len(s.named) >= maxSessions:
		return nil, nil, refuse(codeTooManyQueries, "TOO_MANY_SIMULTANEOUS_QUERIES", "There are %d sessions already", maxSessions)
	case n == nil:
		c, err := s.lib.open()
		if err != nil {
			return nil, nil, err
		}
		n = &namedSession{conn: c}
		s.named[q.session] = n
	default:
		n.timer.Stop()
	}
	n.busy = true
	return n.conn, func() { s.give(q.session, n) }, nil
}

func (s *sessions) give(name string, n *namedSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n.busy = false
	n.timer = time.AfterFunc(sessionIdle, func() { s.expire(name, n) })
}

func (s *sessions) expire(name string, n *namedSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !n.busy && s.named[name] == n {
		delete(s.named, name)
		n.conn.close()
	}
}
