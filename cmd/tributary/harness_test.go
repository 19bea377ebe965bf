package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tributary/destinations/simulator"
	"tributary/ingest"
	"tributary/internal/pipeline"
)

// A system is a router in a process of its own, with the vendors played in this one.
type system struct {
	t       *testing.T
	dir     string
	sim     *simulator.Simulator
	vendors *httptest.Server
	key     string
	address string
	program string // that is run; "": this test binary

	mu  sync.Mutex
	cmd *exec.Cmd
	err *tail
}

type systemOptions struct {
	People       []simulator.Person
	HubSpot      simulator.HubSpotAccount
	Rules        map[string]string // LinkedIn
	Config       string            // more of the configuration, at its end
	Delivery     string            // the delivery section
	Destinations string            // instead of the three
	Hang         time.Duration
}

const (
	dataset      = "111222333"
	metaToken    = "meta-test-token"
	linkedToken  = "linkedin-test-token"
	hubspotToken = "hubspot-test-token"
	clientSecret = "client-test-secret"
)

// newSystem writes a configuration for the simulator and makes one key with every scope
// that tests use. It does not start the router.
func newSystem(t *testing.T, o systemOptions) *system {
	t.Helper()
	dir := t.TempDir()
	o.HubSpot.Token, o.HubSpot.ClientSecret, o.HubSpot.PropertyPrefix = hubspotToken, clientSecret, "tributary_"
	o.HubSpot.Pipelines = append(o.HubSpot.Pipelines, simulator.DealPipeline("sales_pipeline", "Sales"))
	sim, err := simulator.New(simulator.Options{
		People: o.People, Meta: simulator.MetaAccount{DatasetIDs: []string{dataset}, Token: metaToken},
		LinkedIn: simulator.LinkedInAccount{Token: linkedToken}, HubSpot: o.HubSpot, Hang: max(o.Hang, time.Second),
		MaxReceived: 1_000_000, MaxRequests: 1_000_000,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &system{t: t, dir: dir, sim: sim, vendors: httptest.NewServer(sim.Handler()), address: freeAddress(t)}
	t.Cleanup(func() { s.stop(); s.vendors.CloseClientConnections(); s.vendors.Close(); sim.Close() })
	for name, secret := range map[string]string{"meta": metaToken, "linkedin": linkedToken, "hubspot": hubspotToken, "secret": clientSecret} {
		if err := os.WriteFile(filepath.Join(dir, name+".token"), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if o.Destinations == "" {
		o.Destinations = `
  meta:
    {kind: meta, mode: live, base_url: "` + s.vendors.URL + `", allow_private: true, token: "file:meta.token", settings: {dataset_id: "` + dataset + `", timeout: 500ms, linger: 0s}}
  linkedin:
    {kind: linkedin, mode: live, base_url: "` + s.vendors.URL + `", allow_private: true, token: "file:linkedin.token", settings: {timeout: 500ms, linger: 0s, requests_per_second: 10,
      rules: {lead: 101, mql: 102, sql: 103, opportunity: 104, proposal: 105, closed_won: 106, expansion: 107}}}
  hubspot:
    {kind: hubspot, mode: live, base_url: "` + s.vendors.URL + `", allow_private: true, token: "file:hubspot.token", settings: {timeout: 500ms, linger: 0s}}
`
	}
	if o.Delivery == "" {
		o.Delivery = "{backoff_min: 50ms, backoff_max: 500ms}"
	}
	text := fmt.Sprintf(`
data_dir: data
http: {listen: %q}
accounts:
  hubspot: {kind: hubspot, base_url: %q, token: "file:hubspot.token", currency: USD, tier: enterprise}
sources:
  crm: {kind: crm}
  website: {kind: website}
  hubspot_app: {kind: hubspot, client_secret: "file:secret.token"}
delivery: %s
destinations:%s
%s
`, s.address, s.vendors.URL, o.Delivery, o.Destinations, o.Config)
	if err := os.WriteFile(filepath.Join(dir, "tributary.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	keys, err := ingest.OpenKeys(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	if s.key, _, err = keys.Create(ingest.NewKey{Name: "test", Scopes: []ingest.Scope{ingest.ScopeAdmin}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	return s
}

// freeAddress gives an address that nobody listens on, below the ports that the system gives to
// outgoing connections: one of those could be taken again before a router listens there.
func freeAddress(t *testing.T) string {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+nextPort.Add(1)%10_000)
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port between 20000 and 30000 is free")
	return ""
}

var nextPort atomic.Uint32

func init() { nextPort.Store(rand.Uint32N(10_000)) }

// needEngine skips a test without the engine's library, or fails where engines are required.
func needEngine(t *testing.T) {
	t.Helper()
	warehouseLibrary(t)
}

// start runs `serve` and returns once it takes requests.
func (s *system) start() {
	s.t.Helper()
	cmd := exec.Command(cmp.Or(s.program, os.Args[0]), "serve", "-c", filepath.Join(s.dir, "tributary.yaml"))
	cmd.Env = append(os.Environ(), "TRIBUTARY_TEST_MAIN=1", "TRIBUTARY_CHDB="+warehouseLibrary(s.t))
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	log := &tail{}
	cmd.Stderr = log
	if dir := os.Getenv("TRIBUTARY_TEST_LOGS"); dir != "" { // kept for who looks into a failure
		f, err := os.OpenFile(filepath.Join(dir, strings.ReplaceAll(s.t.Name(), "/", "_")+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { f.Close() })
		cmd.Stderr = io.MultiWriter(log, f)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	line := make(chan string, 1)
	go func() {
		b := bufio.NewScanner(out)
		b.Scan()
		line <- b.Text()
		io.Copy(io.Discard, out)
	}()
	select {
	case l := <-line:
		if !strings.HasPrefix(l, "listening on ") {
			cmd.Process.Kill()
			cmd.Wait()
			s.t.Fatalf("serve did not start: %q\n%s", l, log)
		}
	case <-time.After(60 * time.Second):
		cmd.Process.Kill()
		cmd.Wait()
		s.t.Fatalf("serve did not start in a minute\n%s", log)
	}
	s.mu.Lock()
	s.cmd, s.err = cmd, log
	s.mu.Unlock()
}

// kill ends the router as a power cut would: kill -9, nothing else.
func (s *system) kill() { s.end(syscall.SIGKILL) }

func (s *system) stop() { s.end(syscall.SIGTERM) }

func (s *system) end(sig syscall.Signal) {
	s.mu.Lock()
	cmd := s.cmd
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	cmd.Process.Signal(sig)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if sig == syscall.SIGTERM && err != nil {
			s.t.Errorf("serve ended with %v\n%s", err, s.err)
		}
	case <-time.After(30 * time.Second):
		cmd.Process.Kill()
		s.t.Errorf("serve did not end in half a minute\n%s", s.err)
	}
}

// tail keeps the last of what a process said.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = append(w.b, p...)
	if len(w.b) > 1<<20 {
		w.b = w.b[len(w.b)-1<<20:]
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.b)
}

// post sends a body and gives status and answer; a broken connection is status 0.
func (s *system) post(path string, body []byte, header http.Header) (int, []byte) {
	return s.request(http.MethodPost, path, body, header)
}

var testClient = &http.Client{Timeout: 90 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

func (s *system) request(method, path string, body []byte, header http.Header) (int, []byte) {
	q, err := http.NewRequest(method, "http://"+s.address+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		q.Header[k] = v
	}
	if q.Header.Get("Authorization") == "" {
		q.Header.Set("Authorization", "Bearer "+s.key)
	}
	res, err := testClient.Do(q)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil
	}
	return res.StatusCode, b
}

// send posts and fails the test unless it was accepted; it gives the receipt ids.
func (s *system) send(path, body string) []string {
	s.t.Helper()
	status, answer := s.post(path, []byte(body), nil)
	if status/100 != 2 {
		s.t.Fatalf("POST %s: %d %s", path, status, answer)
	}
	return receiptIDs(s.t, answer)
}

func receiptIDs(t *testing.T, answer []byte) []string {
	t.Helper()
	var a struct {
		Receipts []struct {
			ID string `json:"receipt_id"`
		} `json:"receipts"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatalf("answer %s: %v", answer, err)
	}
	var ids []string
	for _, r := range a.Receipts {
		ids = append(ids, r.ID)
	}
	return ids
}

// books asks for both balances.
func (s *system) books() bookkeeping {
	s.t.Helper()
	began := time.Now()
	status, answer := s.request(http.MethodGet, "/v1/balances", nil, nil)
	if took := time.Since(began); took > 10*time.Second {
		s.t.Logf("balances took %v", took)
	}
	var b bookkeeping
	if status != http.StatusOK || json.Unmarshal(answer, &b) != nil {
		s.t.Fatalf("balances: %d %s", status, answer)
	}
	return b
}

// drained waits until every stage has read to the end: cheap to ask, unlike the books.
func (s *system) drained() {
	s.t.Helper()
	var answer []byte
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var a struct {
			Lag []pipeline.Lag `json:"lag"`
		}
		var status int
		if status, answer = s.request(http.MethodGet, "/v1/lag", nil, nil); status != http.StatusOK || json.Unmarshal(answer, &a) != nil {
			continue
		}
		behind := int64(0)
		for _, l := range a.Lag {
			behind += l.Records
		}
		if behind == 0 {
			return
		}
	}
	s.t.Fatalf("the stages did not come to the end: %s\n%s", answer, s.err)
}

// settle waits until nothing waits and nothing is on its way, and gives the books then.
func (s *system) settle() bookkeeping {
	s.t.Helper()
	var b bookkeeping
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		b = s.books()
		moving := 0
		for _, r := range b.Receipts {
			moving += r.Waiting
		}
		for _, d := range b.Deliveries {
			moving += d.Pending + d.Parked["retry"]
		}
		if moving == 0 {
			if !b.Balanced {
				s.t.Errorf("the books do not balance: %+v", b)
			}
			return b
		}
	}
	s.t.Fatalf("the system did not settle: %+v\n%s", b, s.err)
	return b
}

// query asks the warehouse and gives rows as text.
func (s *system) query(sql string) [][]string {
	s.t.Helper()
	body, _ := json.Marshal(map[string]any{"sql": sql})
	status, answer := s.post("/v1/sql", body, nil)
	var a struct{ Rows [][]any }
	if status != http.StatusOK || json.Unmarshal(answer, &a) != nil {
		s.t.Fatalf("sql: %d %s\n%s", status, answer, sql)
	}
	out := make([][]string, len(a.Rows))
	for i, row := range a.Rows {
		for _, v := range row {
			out[i] = append(out[i], cell(v))
		}
	}
	return out
}

// patience is how long a test waits for what must come. It is no measure of anything: a
// machine that does other things too may take its time.
const patience = 4 * time.Minute

// recorded waits until a query gives what is wanted: the warehouse is a step behind.
func (s *system) recorded(sql string, want string) {
	s.t.Helper()
	var got string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var lines []string
		for _, row := range s.query(sql) {
			lines = append(lines, strings.Join(row, " "))
		}
		if got = strings.Join(lines, "\n"); got == want {
			return
		}
	}
	_, ready := s.request(http.MethodGet, "/readyz", nil, nil)
	_, lag := s.request(http.MethodGet, "/v1/lag", nil, nil)
	s.t.Fatalf("%s\ngave\n%s\nwant\n%s\nready: %s\nlag: %s\n%s\n%s", sql, got, want, ready, lag, s.troubles(), s.stacks("pipeline.(*Record)", "warehouse.(*Warehouse)"))
}

// stacks ends the router and gives what its goroutines that stand in one of some functions were at.
func (s *system) stacks(in ...string) string {
	s.mu.Lock()
	cmd := s.cmd
	s.cmd = nil
	s.mu.Unlock()
	cmd.Process.Signal(syscall.SIGQUIT)
	cmd.Wait()
	var out []string
	for _, g := range strings.Split(s.err.String(), "\n\n") {
		if strings.HasPrefix(g, "goroutine ") && slices.ContainsFunc(in, func(f string) bool { return strings.Contains(g, f) }) {
			out = append(out, g)
		}
	}
	return strings.Join(out, "\n\n")
}

// troubles gives the warnings and errors that a router has logged.
func (s *system) troubles() string {
	var out []string
	for line := range strings.Lines(s.err.String()) {
		if strings.Contains(line, "WARN") || strings.Contains(line, "ERROR") {
			out = append(out, line)
		}
	}
	return strings.Join(out[max(0, len(out)-30):], "")
}

// replay asks for an event again and gives the answer as it came.
func (s *system) replay(id string, to ...string) string {
	s.t.Helper()
	body, _ := json.Marshal(map[string]any{"event_id": id, "destinations": to, "reason": "destination_timeout"})
	status, answer := s.post("/v1/replay", body, nil)
	if status != http.StatusOK {
		return fmt.Sprintf("%d %s", status, answer)
	}
	return string(bytes.TrimSpace(answer))
}

// got counts what a vendor took, by name and event id.
func (s *system) got(v simulator.Vendor) map[string]int {
	out := map[string]int{}
	for _, r := range s.sim.Received(v) {
		name := r.EventName
		if v == simulator.LinkedIn {
			name = r.Rule
		}
		out[name]++
	}
	return out
}
