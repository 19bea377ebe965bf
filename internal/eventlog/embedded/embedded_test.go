package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/internal/eventlog"
	"tributary/internal/eventlog/embedded"
	"tributary/internal/eventlog/kafkalog"
)

const kib = 1 << 10

// A site is a small broker with a trimmable and an untrimmable topic.
type site struct {
	*embedded.Broker
	log    *kafkalog.Log
	groups []eventlog.Group
}

const events, facts = "events", "identity"

func newSite(t *testing.T, o embedded.Options, groups ...string) *site {
	t.Helper()
	s := &site{}
	for _, g := range groups {
		s.groups = append(s.groups, eventlog.Group{Name: g, Topics: []string{events}})
	}
	o.Groups = func() []eventlog.Group { return s.groups }
	topics := []eventlog.Topic{
		{Name: events, Partitions: 2, Retention: time.Hour},
		{Name: facts, Partitions: 1},
	}
	if o.Topics == nil {
		o.Topics = topics
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s.Broker = start(t, o)
	s.log = open(t, s.Broker, nil)
	t.Cleanup(func() { s.log.Close() })
	if err := s.log.Ensure(t.Context(), topics...); err != nil {
		t.Fatal(err)
	}
	return s
}

// fill appends so many records of a KiB, each in a batch of its own.
func (s *site) fill(t *testing.T, topic string, n int) {
	t.Helper()
	v := make([]byte, kib-100)
	for range n {
		if _, err := s.log.Append(t.Context(), topic, eventlog.Record{Value: v}); err != nil {
			t.Fatal(err)
		}
	}
}

// commit moves a group to the end of events, or back to where it says.
func (s *site) commit(t *testing.T, group string, offsets ...int64) {
	t.Helper()
	next := make(map[int]int64)
	for p, offset := range offsets {
		next[p] = offset
	}
	if err := s.log.Reset(t.Context(), group, map[string]map[int]int64{events: next}); err != nil {
		t.Fatal(err)
	}
}

func (s *site) bounds(t *testing.T, topic string) (first, end []int64) {
	t.Helper()
	first, end, err := s.log.Bounds(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return first, end
}

func (s *site) trim(t *testing.T) embedded.Report {
	t.Helper()
	r, err := s.Trim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTrimKeepsWhatAGroupHasNotRead(t *testing.T) {
	s := newSite(t, embedded.Options{MaxBytes: 100 * kib, SegmentBytes: 10 * kib}, "fast", "slow")
	s.fill(t, events, 200) // in partition 0 and 1, some in each
	_, end := s.bounds(t, events)
	s.commit(t, "fast", end...)

	if r := s.trim(t); r.Segments != 0 || r.Usage.Holder() != "slow" {
		t.Errorf("trimmed %d segments, holder %q; want none, held by slow, which never committed", r.Segments, r.Usage.Holder())
	}
	s.commit(t, "slow", end[0]/2, 0)
	s.trim(t)
	first, _ := s.bounds(t, events)
	if first[0] == 0 || first[0] > end[0]/2 || first[1] != 0 {
		t.Errorf("trimmed to %v though slow stands at %d and 0", first, end[0]/2)
	}
	s.commit(t, "slow", end...)
	r := s.trim(t)
	if r.Usage.Bytes > 75*kib || r.Usage.Bytes < 50*kib {
		t.Errorf("%d bytes are left, want a little less than three quarters of the limit", r.Usage.Bytes)
	}
	if got, _ := s.log.Read(t.Context(), events, 0, end[0]-1, 1, time.Second); len(got) != 1 {
		t.Error("the last record is gone")
	}
}

func TestTrimByAgeLeavesTheLastSegmentAndTheEnd(t *testing.T) {
	dir := t.TempDir()
	topics := []eventlog.Topic{{Name: events, Partitions: 2, Retention: time.Nanosecond}, {Name: facts, Partitions: 1}}
	s := newSite(t, embedded.Options{Dir: dir, SegmentBytes: 10 * kib, Topics: topics}, "reader")
	s.fill(t, events, 100)
	s.fill(t, facts, 100)
	_, end := s.bounds(t, events)
	s.commit(t, "reader", end...)
	s.trim(t)
	first, after := s.bounds(t, events)
	for p := range first {
		if end[p] > 20 && (first[p] == 0 || end[p]-first[p] > 12 || first[p] == end[p]) || after[p] != end[p] {
			t.Errorf("partition %d: %d up to %d, before it ended at %d; want its last segment", p, first[p], after[p], end[p])
		}
	}
	if first, _ := s.bounds(t, facts); first[0] != 0 {
		t.Error("a topic to be kept for ever was trimmed")
	}
	// What is on disk now is what a killed process leaves behind.
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	again := newSite(t, embedded.Options{Dir: crashed, SegmentBytes: 10 * kib, Topics: topics}, "reader")
	if f, e := again.bounds(t, events); fmt.Sprint(f, e) != fmt.Sprint(first, after) {
		t.Errorf("after a crash the log is %v up to %v, it was %v up to %v", f, e, first, after)
	}
}

func TestFullNamesWhoHoldsTheLog(t *testing.T) {
	s := newSite(t, embedded.Options{MaxBytes: 100 * kib, SegmentBytes: 10 * kib}, "resolve", "lane.meta")
	if err := s.Full(); err != nil {
		t.Fatalf("an empty log is full: %v", err)
	}
	if err := s.Alert(); err != nil {
		t.Fatalf("an empty log alerts: %v", err)
	}
	s.fill(t, events, 85)
	_, end := s.bounds(t, events)
	s.commit(t, "resolve", end...)
	s.trim(t)
	if err := s.Alert(); err == nil || !strings.Contains(err.Error(), `"lane.meta"`) {
		t.Errorf("Alert at 85 %% = %v, want it to name the lane that stands still", err)
	}
	if err := s.Full(); err != nil {
		t.Errorf("Full at 85 %% = %v", err)
	}
	s.fill(t, events, 20)
	var err error
	for deadline := time.Now().Add(10 * time.Second); err == nil && time.Now().Before(deadline); {
		err = s.Full() // measures again by itself, without a trim
		time.Sleep(10 * time.Millisecond)
	}
	if !errors.Is(err, eventlog.ErrFull) {
		t.Fatalf("Full past the limit = %v", err)
	}
	for _, part := range []string{`"lane.meta"`, "log.embedded.max_bytes", "tributary destinations disable", "Apache Kafka"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the message lacks %q: %v", part, err)
		}
	}
	// Once the lane reads, or is given up, the log is free again.
	s.groups = s.groups[:1]
	s.trim(t)
	if err := s.Full(); err != nil {
		t.Errorf("Full after the lane is gone = %v", err)
	}
}

func TestGroupsNotConfiguredAreDeletedForGood(t *testing.T) {
	dir := t.TempDir()
	s := newSite(t, embedded.Options{Dir: dir}, "stays", "goes")
	s.fill(t, events, 4)
	s.commit(t, "stays", 1, 1)
	s.commit(t, "goes", 1, 1)
	s.log.Close()
	s.Close()

	s = newSite(t, embedded.Options{Dir: dir}, "stays")
	check := func(s *site, when string) {
		t.Helper()
		stays, err := s.log.Committed(t.Context(), "stays", events)
		if err != nil || stays[0] != 1 {
			t.Errorf("%s: the configured group stands at %v, %v", when, stays, err)
		}
		goes, err := s.log.Committed(t.Context(), "goes", events)
		if err != nil || goes[0] != -1 {
			t.Errorf("%s: the deleted group stands at %v, %v", when, goes, err)
		}
	}
	check(s, "at the start without it")
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	check(newSite(t, embedded.Options{Dir: crashed}, "stays", "goes"), "configured again after a crash")
}

func TestOneProcessOneDirectory(t *testing.T) {
	dir := t.TempDir()
	b := start(t, embedded.Options{Dir: dir})
	_, err := embedded.Start(t.Context(), embedded.Options{Dir: dir})
	if err == nil {
		t.Fatal("a second broker runs on the same directory")
	}
	for _, part := range []string{dir, "in use", "process " + strconv.Itoa(os.Getpid()), "data_dir"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the message lacks %q: %v", part, err)
		}
	}
	b.Close()
	start(t, embedded.Options{Dir: dir}).Close()
}

func TestPort(t *testing.T) {
	b := start(t, embedded.Options{Dir: t.TempDir()})
	port, err := strconv.Atoi(b.Addr()[strings.LastIndexByte(b.Addr(), ':')+1:])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Start(t.Context(), embedded.Options{Dir: t.TempDir(), Port: port}); err == nil ||
		!strings.Contains(err.Error(), "log.embedded.port") {
		t.Errorf("a port that is taken: %v", err)
	}
	b.Close()
	if again := start(t, embedded.Options{Dir: t.TempDir(), Port: port}); again.Addr() != b.Addr() {
		t.Errorf("listens on %s, want port %d", again.Addr(), port)
	}
	if _, err := embedded.Start(t.Context(), embedded.Options{}); err == nil {
		t.Error("a broker without a directory runs")
	}
}

func TestRunTrims(t *testing.T) {
	s := newSite(t, embedded.Options{MaxBytes: 100 * kib, SegmentBytes: 10 * kib, TrimEvery: 10 * time.Millisecond}, "reader")
	s.fill(t, events, 200)
	_, end := s.bounds(t, events)
	s.commit(t, "reader", end...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); s.Full() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Run does not trim")
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
}
