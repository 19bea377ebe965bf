package simulator

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// A Received is one item that a vendor took: an event, a property write, a note.
type Received struct {
	Vendor    Vendor    `json:"vendor"`
	At        time.Time `json:"at"`      // when it came
	Request   int64     `json:"request"` // number of the request it came in
	Kind      string    `json:"kind"`    // event, contact, note, custom_event
	EventName string    `json:"event_name,omitempty"`
	Dataset   string    `json:"dataset,omitempty"`
	Rule      string    `json:"rule,omitempty"` // LinkedIn: the rule's number
	EventID   string    `json:"event_id,omitempty"`
	EventTime time.Time `json:"event_time,omitzero"`
	Value     string    `json:"value,omitempty"` // as it was written
	Currency  string    `json:"currency,omitempty"`
	Portal    int64     `json:"portal,omitempty"` // HubSpot
	Object    string    `json:"object,omitempty"` // HubSpot: the record's id

	// Matched says that somebody was recognised; MatchedBy by what, strongest first;
	// UnmatchedBy what came and was nobody's.
	Matched     bool     `json:"matched"`
	Person      string   `json:"person,omitempty"`
	MatchedBy   []string `json:"matched_by,omitempty"`
	UnmatchedBy []string `json:"unmatched_by,omitempty"`

	// Duplicate says that the same (dataset or rule, name, id) was taken before. Ignored says
	// that the vendor did not count it again (HubSpot's uuid).
	Duplicate bool `json:"duplicate,omitempty"`
	Ignored   bool `json:"ignored,omitempty"`
	Test      bool `json:"test,omitempty"` // Meta: came with a test_event_code
	// Warnings are what the vendor would take without a word and a careful sender would not
	// send.
	Warnings []string        `json:"warnings,omitempty"`
	Body     json.RawMessage `json:"body"` // the item as it came
}

// Stats are one vendor's counts since New or Reset. Requests, refusals and faults are not
// kept over a restart; the others are.
type Stats struct {
	Requests   int64            `json:"requests"`
	Accepted   int64            `json:"accepted"`   // items
	Refused    int64            `json:"refused"`    // requests answered 400 or more, faults apart
	Throttled  int64            `json:"throttled"`  // requests refused for a limit
	Duplicates int64            `json:"duplicates"` // items
	Matched    int64            `json:"matched"`
	Unmatched  int64            `json:"unmatched"`
	Faults     int64            `json:"faults"`    // requests struck by /_fail
	Forgotten  int64            `json:"forgotten"` // items beyond MaxReceived, no longer listed
	Refusals   map[string]int64 `json:"refusals,omitempty"`
	// Statuses counts every answer by its HTTP status, those of faults too.
	Statuses map[int]int64    `json:"statuses,omitempty"`
	Windows  []Window         `json:"windows,omitempty"`
	Keys     map[string]int64 `json:"keys,omitempty"` // Meta: items that came with each key of user_data
}

// A Window is one rate limit and how much of it is used. Peak is the most requests that ever
// came within one span of it, refused ones too; of a day, the most it counted.
type Window struct {
	Name  string `json:"name"`
	Limit int    `json:"limit"` // 0: none
	Used  int    `json:"used"`
	Peak  int    `json:"peak"`
}

// A memory is what one vendor took, in order, bounded.
type memory struct {
	most  int
	items []Received
	seen  map[string]int // how often each dedup key is in items
	stats Stats
}

func newMemory(most int) *memory {
	return &memory{most: most, seen: make(map[string]int), stats: Stats{Refusals: make(map[string]int64), Statuses: make(map[int]int64)}}
}

func (r Received) key() string {
	if r.EventID == "" {
		return ""
	}
	return r.Kind + "\x00" + r.Dataset + "\x00" + r.Rule + "\x00" + r.EventName + "\x00" + r.Object + "\x00" + r.EventID
}

// add remembers an item and says whether its like was there.
func (m *memory) add(r *Received) {
	if key := r.key(); key != "" {
		r.Duplicate = r.Duplicate || m.seen[key] > 0
		m.seen[key]++
	}
	m.count(*r)
	m.items = append(m.items, *r)
	if over := len(m.items) - m.most; over >= max(1, m.most/10) {
		m.forget(over)
	}
}

func (m *memory) forget(n int) {
	for _, r := range m.items[:n] {
		if key := r.key(); key != "" {
			if m.seen[key]--; m.seen[key] <= 0 {
				delete(m.seen, key)
			}
		}
	}
	m.items = slices.Clone(m.items[n:])
	m.stats.Forgotten += int64(n)
}

func (m *memory) count(r Received) {
	m.stats.Accepted++
	if r.Duplicate {
		m.stats.Duplicates++
	}
	if r.Matched {
		m.stats.Matched++
	} else {
		m.stats.Unmatched++
	}
}

func (m *memory) answered(status int) {
	if status < 400 {
		return
	}
	m.stats.Refused++
}

// refusal counts why a request was refused, by a word of a closed set.
func (m *memory) refusal(code string) {
	if len(m.stats.Refusals) < 1000 || m.stats.Refusals[code] > 0 {
		m.stats.Refusals[code]++
	}
}

// take remembers items of one accepted request, in order, and notes them for the file.
func (s *Simulator) take(v Vendor, c *call, items ...*Received) {
	c.items += len(items)
	for _, r := range items {
		r.Vendor, r.At, r.Request = v, c.now.UTC(), c.number
		s.memory[v].add(r)
		s.journal.note("received", r)
	}
}

// Received lists what a vendor took and still remembers, in order.
func (s *Simulator) Received(v Vendor) []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memory[v]
	if m == nil {
		return nil
	}
	return slices.Clone(m.items)
}

// Stats returns a vendor's counts.
func (s *Simulator) Stats(v Vendor) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memory[v]
	if m == nil {
		return Stats{}
	}
	out := m.stats
	out.Refusals, out.Statuses = maps.Clone(m.stats.Refusals), maps.Clone(m.stats.Statuses)
	switch now := s.now(); v {
	case Meta:
		out.Windows, out.Keys = s.meta.windows(now), maps.Clone(s.meta.keys)
	case LinkedIn:
		out.Windows = s.linkedin.windows(now)
	case HubSpot:
		for _, h := range s.portals {
			out.Windows = append(out.Windows, h.windows(now)...)
		}
	}
	return out
}

// Counts says how many items of each name a vendor took and remembers: event names at Meta,
// rules at LinkedIn, names of writes at HubSpot.
func (s *Simulator) Counts(v Vendor) map[string]int {
	out := make(map[string]int)
	for _, r := range s.Received(v) {
		out[cmp.Or(r.Rule, r.EventName, r.Kind)]++
	}
	return out
}

// remember puts back what the file says.
func (s *Simulator) remember(kind string, value json.RawMessage) error {
	switch kind {
	case "received":
		var r Received
		if err := json.Unmarshal(value, &r); err != nil {
			return err
		}
		s.requests = max(s.requests, r.Request)
		if m := s.memory[r.Vendor]; m != nil {
			m.add(&r)
		}
		switch r.Vendor {
		case LinkedIn:
			s.linkedin.relearn(r)
		case Meta:
			s.meta.relearn(r)
		}
		return nil
	case "person":
		var p Person
		if err := json.Unmarshal(value, &p); err != nil {
			return err
		}
		s.people.add(p)
		return nil
	case "rule":
		var r Rule
		if err := json.Unmarshal(value, &r); err != nil {
			return err
		}
		s.linkedin.rules[r.ID] = r
		return nil
	}
	return s.restoreHubSpot(kind, value)
}
