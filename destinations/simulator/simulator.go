// Package simulator plays Meta, LinkedIn and HubSpot as a local HTTP server: it checks what
// their documentation says they check, answers in their shapes, remembers what it took, and
// can be told to fail. It is given people in plain text and does its own normalising, hashing
// and matching, so a wrong hash is accepted here as it is there, and reported as unmatched.
//
// It knows nothing of the rest of Tributary, on purpose: what it says about a request is a
// second opinion. docs/simulator.md lists every rule and where it comes from.
package simulator

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A Vendor is one of the three that are played.
type Vendor string

// The vendors.
const (
	Meta     Vendor = "meta"
	LinkedIn Vendor = "linkedin"
	HubSpot  Vendor = "hubspot"
)

var vendors = []Vendor{Meta, LinkedIn, HubSpot}

// Options say who exists, which accounts there are and how much is kept. The zero value
// works: nobody is known, and the accounts have the defaults of their own types.
type Options struct {
	People   []Person
	Meta     MetaAccount
	LinkedIn LinkedInAccount
	HubSpot  HubSpotAccount

	// Now is the clock of every rule and limit; nil means time.Now.
	Now func() time.Time
	// Dir, where set, keeps what was received, and the CRM's records, in a file that is
	// synced before a request is answered, and read again by New. It must exist.
	Dir string
	// Seed decides the order of HubSpot's results and of webhooks, and other small chances.
	Seed uint64
	// MaxBody bounds a request's body; 0 means 16 MiB.
	MaxBody int64
	// MaxReceived bounds the items remembered for each vendor (the oldest go first); 0 means
	// 100,000.
	MaxReceived int
	// Hang bounds how long the fault "timeout" keeps a request open; 0 means one minute.
	Hang time.Duration
}

// A Simulator is the three vendors and their memory. It is safe for concurrent use.
type Simulator struct {
	opts Options
	now  func() time.Time

	mu       sync.Mutex // guards everything below
	people   directory
	memory   map[Vendor]*memory
	faults   []*fault
	journal  *journal
	random   *rand.Rand
	requests int64

	meta     *metaServer
	linkedin *linkedInServer
	hubspot  *hubSpotServer
}

// New makes a simulator and, where Options.Dir is set, reads what an earlier one kept there.
func New(opts Options) (*Simulator, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.MaxBody = cmp.Or(opts.MaxBody, 16<<20)
	opts.MaxReceived = cmp.Or(opts.MaxReceived, 100_000)
	opts.Hang = cmp.Or(opts.Hang, time.Minute)
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	s := &Simulator{opts: opts, now: opts.Now}
	s.clear()
	if opts.Dir == "" {
		return s, nil
	}
	j, err := openJournal(opts.Dir, s.remember)
	if err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	s.journal = j
	return s, nil
}

// check finds options that no vendor could have.
func (o Options) check() error {
	if _, err := time.LoadLocation(o.HubSpot.TimeZone); err != nil {
		return err
	}
	if t := o.HubSpot.Tier; t != "" && burstOf[t] == 0 {
		return fmt.Errorf("tier %q: want free, starter, professional or enterprise", t)
	}
	for _, id := range o.Meta.DatasetIDs {
		if !digits.MatchString(id) {
			return fmt.Errorf("dataset %q: want digits", id)
		}
	}
	for _, r := range o.LinkedIn.Rules {
		if !ruleNumber.MatchString(r.ID) {
			return fmt.Errorf("rule %q: want digits", r.ID)
		}
	}
	return nil
}

// clear puts everything back to what Options say.
func (s *Simulator) clear() {
	s.random = rand.New(rand.NewPCG(s.opts.Seed, 0x7472696275746172))
	s.people = newDirectory(s.opts.People)
	s.memory = make(map[Vendor]*memory)
	for _, v := range vendors {
		s.memory[v] = newMemory(s.opts.MaxReceived)
	}
	s.faults = nil
	s.requests = 0
	s.meta = newMetaServer(s.opts.Meta)
	s.linkedin = newLinkedInServer(s.opts.LinkedIn)
	changed := make(chan struct{}, 1)
	if s.hubspot != nil {
		changed = s.hubspot.hooks.changed // somebody may be waiting on it
	}
	s.hubspot = newHubSpotServer(s.opts.HubSpot, s.random, s.now())
	s.hubspot.hooks.changed = changed
	s.hubspot.hooks.keep = func(e hookEvent) { s.journal.note("hook", e) }
}

// Reset forgets everything received, every fault, every person added and every CRM record
// made since New, also in Options.Dir.
func (s *Simulator) Reset() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	return s.journal.truncate()
}

// Close ends the file in Options.Dir. Requests that come later are answered 500.
func (s *Simulator) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.close()
}

// AddPeople makes more people known, to every vendor. A person with a known ID is replaced.
func (s *Simulator) AddPeople(people ...Person) error {
	s.mu.Lock()
	for _, p := range people {
		s.people.add(p)
		s.journal.note("person", p)
	}
	seq := s.journal.written()
	s.mu.Unlock()
	return s.journal.sync(seq)
}

// Handler answers for all three vendors and for the control paths, which begin with "/_".
// Vendors are told apart by path; /meta, /linkedin and /hubspot in front say it outright.
func (s *Simulator) Handler() http.Handler {
	mux := http.NewServeMux()
	s.control(mux)
	mux.HandleFunc("/", s.serve)
	return mux
}

// vendorOf tells who a path belongs to and gives the path as that vendor knows it.
func vendorOf(path string) (Vendor, string) {
	for _, v := range vendors {
		if rest, ok := strings.CutPrefix(path, "/"+string(v)); ok && (rest == "" || rest[0] == '/') {
			return v, rest
		}
	}
	switch first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); {
	case first == "rest" || path == "/oauth/v2/accessToken":
		return LinkedIn, path
	case first == "crm" || first == "events" || first == "account-info" || first == "oauth" || first == "integrators":
		return HubSpot, path
	case graphVersion.MatchString(first) || digits.MatchString(first):
		return Meta, path
	}
	return "", path
}

// A call is one request as a vendor's rules see it.
type call struct {
	method string
	path   string // without the vendor's prefix
	r      *http.Request
	body   []byte
	now    time.Time
	number int64 // of the request, from 1
	fault  *Fault
}

// An answer is what a vendor says to a call.
type answer struct {
	status int
	header http.Header
	body   []byte
	kind   string // application/json unless said otherwise
}

func jsonAnswer(status int, body any) answer {
	text, err := marshal(body)
	if err != nil { // every body is made of maps, texts and numbers
		return answer{status: http.StatusInternalServerError, body: []byte(err.Error()), kind: "text/plain"}
	}
	return answer{status: status, header: http.Header{}, body: text}
}

func (a answer) with(key, value string) answer {
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set(key, value)
	return a
}

// serve is the way of every vendor request: body, fault, rules, memory, answer.
func (s *Simulator) serve(w http.ResponseWriter, r *http.Request) {
	vendor, path := vendorOf(r.URL.Path)
	if vendor == "" {
		http.Error(w, "this path, or this method on it, belongs to no simulated vendor and is no control path", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.opts.MaxBody))
	if err != nil {
		s.refuseBody(w, vendor, err)
		return
	}
	c := &call{method: r.Method, path: path, r: r, body: body, now: s.now()}
	c.number, c.fault = s.begin(vendor, path)
	if c.fault != nil && !c.fault.accepts() {
		s.fail(w, vendor, c)
		return
	}
	if c.fault != nil && c.fault.Mode == "slow" {
		if !pause(r.Context(), c.fault.delay()) {
			return
		}
		c.now = s.now()
	}
	a, err := s.handle(vendor, c)
	if err != nil {
		http.Error(w, "the simulator cannot keep what it received: "+err.Error(), http.StatusInternalServerError)
		return
	}
	if c.fault != nil && c.fault.swallows() {
		s.swallow(w, c)
		return
	}
	a.write(w)
}

// handle applies the vendor's rules and returns once what was taken is kept.
func (s *Simulator) handle(vendor Vendor, c *call) (answer, error) {
	s.mu.Lock()
	var a answer
	switch vendor {
	case Meta:
		a = s.serveMeta(c)
	case LinkedIn:
		a = s.serveLinkedIn(c)
	default:
		a = s.serveHubSpot(c)
	}
	s.memory[vendor].answered(a.status)
	seq := s.journal.written()
	s.mu.Unlock()
	return a, s.journal.sync(seq)
}

func (s *Simulator) refuseBody(w http.ResponseWriter, vendor Vendor, err error) {
	status := http.StatusBadRequest
	if _, tooLarge := err.(*http.MaxBytesError); tooLarge {
		status = http.StatusRequestEntityTooLarge
	}
	s.begin(vendor, "")
	s.mu.Lock()
	s.memory[vendor].answered(status)
	s.mu.Unlock()
	http.Error(w, http.StatusText(status), status)
}

// begin numbers a request and picks the fault that strikes it.
func (s *Simulator) begin(vendor Vendor, path string) (int64, *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.memory[vendor].stats.Requests++
	f := s.strike(vendor, path)
	if f != nil {
		s.memory[vendor].stats.Faults++
	}
	return s.requests, f
}

func (a answer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	if len(a.body) > 0 {
		w.Header().Set("Content-Type", cmp.Or(a.kind, "application/json; charset=utf-8"))
	}
	w.WriteHeader(a.status)
	if a.status != http.StatusNoContent {
		_, _ = w.Write(a.body) // a client that left hears nothing
	}
}

// marshal writes JSON as the vendors do: no HTML escapes, no line break.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// decode reads one JSON value and nothing after it; numbers keep their text.
func decode(body []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return v, nil
}
