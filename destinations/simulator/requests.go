package simulator

import (
	"slices"
	"time"
)

// A Request is one request to a vendor as it came and went. Requests are kept in memory
// only, the last Options.MaxRequests of them.
type Request struct {
	Number int64  `json:"number"`
	Vendor Vendor `json:"vendor"`
	Method string `json:"method"`
	Path   string `json:"path"` // without the vendor's prefix and the query
	// Agent is the caller's User-Agent: it tells one process from another.
	Agent string `json:"user_agent,omitempty"`
	// App is whose token came, as <portal>/<app> (HubSpot).
	App   string    `json:"app,omitempty"`
	Begun time.Time `json:"begun"`          // when its head was there
	Ended time.Time `json:"ended,omitzero"` // when nothing more was sent; zero: still under way
	// Status is what was sent; 0 where the caller got nothing.
	Status int    `json:"status"`
	Fault  string `json:"fault,omitempty"` // the mode of the fault that struck
	Items  int    `json:"items,omitempty"` // taken
}

// requestLog keeps the last requests in a ring.
type requestLog struct {
	most int
	ring []Request
	next int // where the next one goes, once the ring is full
}

func (l *requestLog) add(q Request) {
	if len(l.ring) < l.most {
		l.ring = append(l.ring, q)
		return
	}
	l.ring[l.next] = q
	l.next = (l.next + 1) % l.most
}

// find returns a request that is still kept, or nil.
func (l *requestLog) find(number int64) *Request {
	if len(l.ring) == 0 {
		return nil
	}
	oldest := l.ring[l.next%len(l.ring)].Number
	i := number - oldest
	if i < 0 || i >= int64(len(l.ring)) {
		return nil
	}
	return &l.ring[(l.next+int(i))%len(l.ring)]
}

// Requests lists the requests to a vendor ("" for all) with a greater number than after, in
// the order they began.
func (s *Simulator) Requests(v Vendor, after int64) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.log
	out := []Request{}
	for _, q := range slices.Concat(l.ring[l.next:], l.ring[:l.next]) {
		if q.Number > after && (v == "" || q.Vendor == v) {
			out = append(out, q)
		}
	}
	return out
}

// begin numbers a request, writes it down and picks the fault that strikes it.
func (s *Simulator) begin(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	c.number = s.requests
	m := s.memory[c.vendor]
	m.stats.Requests++
	c.fault = s.strike(c)
	q := Request{Number: c.number, Vendor: c.vendor, Method: c.method, Path: c.path, Agent: c.r.UserAgent(), Begun: c.now.UTC()}
	if c.fault != nil {
		m.stats.Faults++
		q.Fault = c.fault.Mode
	}
	s.log.add(q)
}

// end writes down how a request went.
func (s *Simulator) end(c *call) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.status != 0 {
		s.memory[c.vendor].stats.Statuses[c.status]++
	}
	if q := s.log.find(c.number); q != nil {
		q.Ended, q.Status, q.App, q.Items = now.UTC(), c.status, c.app, c.items
	}
}
