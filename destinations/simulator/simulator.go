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
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Vendor is one of those that are played.
type Vendor string

// The vendors.
const (
	Meta     Vendor = "meta"
	LinkedIn Vendor = "linkedin"
	HubSpot  Vendor = "hubspot"
	Receiver Vendor = "webhook" // anybody's own, that webhooks are posted to
)

var vendors = []Vendor{Meta, LinkedIn, HubSpot, Receiver}

// Options say who exists, which accounts there are and how much is kept. The zero value
// works: nobody is known, and the accounts have the defaults of their own types.
type Options struct {
	People   []Person
	Meta     MetaAccount
	LinkedIn LinkedInAccount
	HubSpot  HubSpotAccount
	// Portals are further HubSpot accounts. A request is led to its own by its token.
	Portals []HubSpotAccount
	// Receivers are the addresses that webhooks are posted to.
	Receivers Receivers

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
	// MaxRequests bounds the requests remembered; 0 means 50,000.
	MaxRequests int
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
	log      *requestLog

	meta     *metaServer
	linkedin *linkedInServer
	hubspot  *hubSpotServer   // the first portal
	portals  []*hubSpotServer // all of them
	changed  chan struct{}    // a webhook waits
}

// New makes a simulator and, where Options.Dir is set, reads what an earlier one kept there.
func New(opts Options) (*Simulator, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.MaxBody = cmp.Or(opts.MaxBody, 16<<20)
	opts.MaxReceived = cmp.Or(opts.MaxReceived, 100_000)
	opts.MaxRequests = cmp.Or(opts.MaxRequests, 50_000)
	opts.Hang = cmp.Or(opts.Hang, time.Minute)
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	s := &Simulator{opts: opts, now: opts.Now, changed: make(chan struct{}, 1)}
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
	for _, a := range append([]HubSpotAccount{o.HubSpot}, o.Portals...) {
		if err := a.check(); err != nil {
			return err
		}
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
	s.meta = newMetaServer(s.opts.Meta)
	s.linkedin = newLinkedInServer(s.opts.LinkedIn)
	s.log = &requestLog{most: s.opts.MaxRequests}
	s.portals = nil
	for i, a := range append([]HubSpotAccount{s.opts.HubSpot}, s.opts.Portals...) {
		s.portals = append(s.portals, newHubSpotServer(s, a, i))
	}
	s.hubspot = s.portals[0]
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

// Handler answers for all vendors and for the control paths, which begin with "/_". Vendors
// are told apart by path; /meta, /linkedin, /hubspot and /webhook in front say it outright.
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
	case first == "crm" || first == "events" || first == "account-info" || first == "oauth" || first == "integrators" || first == "webhooks" || strings.HasPrefix(first, "webhooks-journal"):
		return HubSpot, path
	case graphVersion.MatchString(first) || digits.MatchString(first):
		return Meta, path
	}
	return "", path
}

// A call is one request as a vendor's rules see it.
type call struct {
	vendor Vendor
	method string
	path   string // without the vendor's prefix
	r      *http.Request
	body   []byte
	now    time.Time
	number int64 // of the request, from 1
	fault  *Fault

	// What becomes of it.
	status int
	app    string      // whose token it came with, as Request.App
	caller *hubSpotApp // the same
	items  int
}

// An answer is what a vendor says to a call.
type answer struct {
	status int
	header http.Header
	body   []byte
	kind   string // application/json unless said otherwise
	cut    bool   // the connection ends in the middle of the body
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
	c := &call{vendor: vendor, method: r.Method, path: path, r: r, now: s.now()}
	s.begin(c)
	defer s.end(c)
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, s.opts.MaxBody)); err != nil {
		s.refuseBody(w, c, err)
		return
	}
	if c.fault != nil && !c.fault.accepts() {
		s.fail(w, c)
		return
	}
	if c.fault != nil && !s.prepare(c) {
		return
	}
	a, err := s.handle(c)
	if err != nil {
		c.status = http.StatusInternalServerError
		http.Error(w, "the simulator cannot keep what it received: "+err.Error(), c.status)
		return
	}
	if c.fault != nil {
		s.spoil(w, c, a)
		return
	}
	c.status = a.status
	a.write(w)
}

// handle applies the vendor's rules and returns once what was taken is kept.
func (s *Simulator) handle(c *call) (answer, error) {
	s.mu.Lock()
	var a answer
	switch c.vendor {
	case Meta:
		a = s.serveMeta(c)
	case LinkedIn:
		a = s.serveLinkedIn(c)
	case Receiver:
		a = s.serveReceiver(c)
	default:
		a = s.serveHubSpot(c)
	}
	s.memory[c.vendor].answered(a.status)
	seq := s.journal.written()
	s.mu.Unlock()
	return a, s.journal.sync(seq)
}

func (s *Simulator) refuseBody(w http.ResponseWriter, c *call, err error) {
	c.status = http.StatusBadRequest
	if _, tooLarge := err.(*http.MaxBytesError); tooLarge {
		c.status = http.StatusRequestEntityTooLarge
	}
	s.mu.Lock()
	s.memory[c.vendor].answered(c.status)
	s.mu.Unlock()
	http.Error(w, http.StatusText(c.status), c.status)
}

func (a answer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	if len(a.body) > 0 {
		w.Header().Set("Content-Type", cmp.Or(a.kind, "application/json; charset=utf-8"))
	}
	if a.cut {
		a.writeHalf(w)
		return
	}
	w.WriteHeader(a.status)
	if a.status != http.StatusNoContent {
		_, _ = w.Write(a.body) // a client that left hears nothing
	}
}

// writeHalf promises the whole body and sends half of it.
func (a answer) writeHalf(w http.ResponseWriter) {
	d, local := w.(*direct)
	w.Header().Set("Content-Length", strconv.Itoa(max(2, len(a.body))))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body[:len(a.body)/2])
	if local {
		d.cut = true
		return
	}
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // the server closes the connection
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
