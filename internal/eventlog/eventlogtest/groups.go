package eventlogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/eventlog"
)

// A consumer runs Consume and notes what its claims get.
type consumer struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan error

	mu     sync.Mutex
	owned  map[string][]int // nil: no claim
	claim  eventlog.Claim
	lived  []int // generations
	values []string
	told   bool // of the end
}

// consume joins with the log; each works on what it polls and commits it.
func consume(t *testing.T, l eventlog.Log, g eventlog.Group) *consumer {
	ctx, cancel := context.WithCancel(context.Background())
	c := &consumer{t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { c.done <- l.Consume(ctx, g, c.work) }()
	t.Cleanup(func() { c.stop() })
	return c
}

func (c *consumer) work(ctx context.Context, claim eventlog.Claim) error {
	c.mu.Lock()
	c.owned, c.claim = claim.Owned(), claim
	c.lived = append(c.lived, claim.Generation())
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.owned, c.claim = nil, nil
		c.mu.Unlock()
	}()
	for {
		records, err := claim.Poll(ctx, 7, 50*time.Millisecond)
		if err != nil {
			return err
		}
		if len(records) > 7 {
			c.t.Errorf("Poll(7) gave %d records", len(records))
		}
		for _, r := range records {
			c.mu.Lock()
			c.values = append(c.values, string(r.Value))
			c.mu.Unlock()
			claim.Commit(r.Topic, r.Partition, r.Offset+1)
		}
	}
}

// stop ends it and gives Consume's error.
func (c *consumer) stop() error {
	c.cancel()
	if c.told {
		return nil
	}
	c.told = true
	select {
	case err := <-c.done:
		return err
	case <-time.After(2 * patience):
		c.t.Error("Consume does not end")
		return nil
	}
}

func (c *consumer) got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.values)
}

func (c *consumer) owns(topic string) []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.owned[topic]
}

func (c *consumer) current() eventlog.Claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.claim
}

func resume(t *testing.T, e Engine) {
	l := open(t, e)
	tp := topic(t, l, 3)
	g := eventlog.Group{Name: name(t, "group"), Topics: []string{tp}}
	if got, err := l.Committed(t.Context(), g.Name, tp); err != nil || !slices.Equal(got, []int64{-1, -1, -1}) {
		t.Fatalf("Committed of a group nobody knows = %v, %v", got, err)
	}
	for i := range 10 {
		r := value(fmt.Sprint(i))
		r.Key = r.Value
		mustAppend(t, l, tp, r)
	}
	a := consume(t, l, g)
	until(t, "all is read", func() bool { return len(a.got()) == 10 })
	if err := a.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Consume = %v, want the context's end", err)
	}
	_, end, err := l.Bounds(t.Context(), tp)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Committed(t.Context(), g.Name, tp); err != nil || !slices.Equal(got, end) {
		t.Errorf("Committed after the end = %v, %v; want %v: the last commits are lost", got, err, end)
	}
	mustAppend(t, l, tp, value("ten"))
	b := consume(t, open(t, e), g)
	until(t, "the new record is read", func() bool { return len(b.got()) > 0 })
	if got := b.got(); !slices.Equal(got, []string{"ten"}) {
		t.Errorf("the second run read %v, want only what came after", got)
	}
	if err := b.current().Flush(t.Context()); err != nil {
		t.Errorf("Flush: %v", err)
	}
	_, end, _ = l.Bounds(t.Context(), tp)
	if got, _ := l.Committed(t.Context(), g.Name, tp); !slices.Equal(got, end) {
		t.Errorf("Committed after Flush = %v, want %v", got, end)
	}
}

func start(t *testing.T, e Engine) {
	l := open(t, e)
	tp := topic(t, l, 1)
	mustAppend(t, l, tp, numbered(0, 5)...)
	g := eventlog.Group{Name: name(t, "group"), Topics: []string{tp}}
	g.Start = func(topic string, partition int, first, end int64) int64 {
		if topic != tp || partition != 0 || first != 0 || end != 5 {
			t.Errorf("Start(%s, %d, %d, %d)", topic, partition, first, end)
		}
		return 3
	}
	c := consume(t, l, g)
	until(t, "it has begun", func() bool { return len(c.got()) == 2 })
	if got := c.got(); !slices.Equal(got, []string{"3", "4"}) {
		t.Errorf("read %v, want it to begin at 3", got)
	}
	c.stop()
	// The place it was given holds, though nothing was read there.
	g.Name = name(t, "idle")
	g.Start = func(_ string, _ int, _, end int64) int64 { return end }
	c = consume(t, l, g)
	until(t, "the start is kept", func() bool {
		got, err := l.Committed(t.Context(), g.Name, tp)
		return err == nil && got[0] == 5
	})
}

func outside(t *testing.T, e Engine) {
	l := open(t, e)
	tp := topic(t, l, 1)
	g := eventlog.Group{Name: name(t, "group"), Topics: []string{tp}}
	mustAppend(t, l, tp, numbered(0, 10)...)
	c := consume(t, l, g)
	until(t, "all is read", func() bool { return len(c.got()) == 10 })
	c.stop()
	for i := range 3 {
		mustAppend(t, l, tp, numbered(10+10*i, 10)...)
	}
	trim(t, e, tp, 0, 30)
	err := l.Consume(t.Context(), g, func(context.Context, eventlog.Claim) error {
		return errors.New("work began though records were lost")
	})
	if !errors.Is(err, eventlog.ErrOutOfRange) {
		t.Fatalf("Consume = %v, want ErrOutOfRange", err)
	}
	for _, part := range []string{g.Name, tp, "partition 0", "offset 10", "30 up to 40", "20 records", "tributary "} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the message lacks %q: %v", part, err)
		}
	}
	if got, _ := l.Committed(t.Context(), g.Name, tp); got[0] != 10 {
		t.Errorf("the commit moved to %v", got)
	}
}

func spreadOut(t *testing.T, e Engine) {
	a, b := open(t, e), open(t, e)
	tp, small := topic(t, a, 4), topic(t, a, 4)
	g := eventlog.Group{Name: name(t, "group"), Topics: []string{tp, small}}
	one := consume(t, a, g)
	until(t, "one member has all", func() bool { return len(one.owns(tp)) == 4 })
	two := consume(t, b, g)
	until(t, "both have two", func() bool { return len(one.owns(tp)) == 2 && len(two.owns(tp)) == 2 })
	if x, y := one.owns(tp), two.owns(tp); slices.Contains(y, x[0]) || slices.Contains(y, x[1]) {
		t.Errorf("both own %v and %v", x, y)
	}
	if x, y := one.owns(tp), one.owns(small); !slices.Equal(x, y) {
		t.Errorf("a member owns %v of one topic and %v of the other, want the same", x, y)
	}
	for i := range 40 {
		r := value(fmt.Sprint(i))
		r.Key = r.Value
		mustAppend(t, a, tp, r)
	}
	until(t, "all is read", func() bool { return len(one.got())+len(two.got()) >= 40 })
	two.stop()
	until(t, "one member has all again", func() bool { return len(one.owns(tp)) == 4 })
	mustAppend(t, a, tp, numbered(40, 5)...)
	until(t, "the rest is read", func() bool {
		seen := make(map[string]bool)
		for _, v := range append(one.got(), two.got()...) {
			seen[v] = true
		}
		return len(seen) == 45
	})
	if n := len(one.got()) + len(two.got()); n != 45 {
		t.Errorf("%d records were worked on, want 45: a clean hand-over repeats nothing", n)
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if !slices.IsSorted(one.lived) || len(one.lived) < 3 {
		t.Errorf("generations %v, want them to ascend", one.lived)
	}
}

func takeover(t *testing.T, e Engine) {
	cable := new(Cable)
	first := e.Open(t, cable.Dial)
	tp, other := topic(t, first, 3), topic(t, first, 1)
	g := eventlog.Group{Name: name(t, "group"), Topics: []string{tp, other}, Whole: true}
	owner := consume(t, first, g)
	until(t, "the first owns", func() bool { return len(owner.owns(tp)) == 3 && len(owner.owns(other)) == 1 })

	second := open(t, e)
	standby := consume(t, second, g)
	until(t, "the second has joined", func() bool {
		owner.mu.Lock()
		defer owner.mu.Unlock()
		return len(owner.lived) >= 2 && len(owner.owned[tp]) == 3
	})
	if got := standby.owns(tp); got != nil {
		t.Fatalf("the standby owns %v", got)
	}
	claim := owner.current()
	if err := claim.Alive(t.Context()); err != nil {
		t.Errorf("the owner is not alive: %v", err)
	}
	if err := claim.Alive(t.Context()); err != nil {
		t.Errorf("the owner is not alive when asked again: %v", err)
	}
	mustAppend(t, second, tp, value("before"))
	until(t, "the owner reads", func() bool { return len(owner.got()) == 1 })

	cable.Cut() // and with it the owner's heartbeats
	until(t, "the standby owns", func() bool { return len(standby.owns(tp)) == 3 && len(standby.owns(other)) == 1 })
	if err := claim.Alive(t.Context()); err == nil {
		t.Error("the old owner is alive still, after another took over")
	}
	if err := standby.current().Alive(t.Context()); err != nil {
		t.Errorf("the new owner is not alive: %v", err)
	}
	mustAppend(t, second, tp, value("after"))
	until(t, "the new owner reads", func() bool { return slices.Contains(standby.got(), "after") })
	if got := owner.owns(tp); got != nil {
		t.Errorf("the old owner works on with %v", got)
	}
	owner.cancel()
}

func workFails(t *testing.T, e Engine) {
	l := open(t, e)
	tp := topic(t, l, 1)
	g := eventlog.Group{Name: name(t, "group"), Topics: []string{tp}}
	mustAppend(t, l, tp, value("poison"))
	mistake := errors.New("cannot read this version")
	calls := 0
	err := l.Consume(t.Context(), g, func(ctx context.Context, c eventlog.Claim) error {
		calls++
		if calls == 1 {
			return fmt.Errorf("given up: %w", eventlog.ErrLost) // asks for the next claim
		}
		return mistake
	})
	if !errors.Is(err, mistake) || calls != 2 {
		t.Errorf("Consume = %v after %d calls; want the work's error after two", err, calls)
	}
	missing := g
	missing.Topics = []string{name(t, "missing")}
	if err := l.Consume(t.Context(), missing, nil); err == nil {
		t.Error("consuming a topic that is not there is no error")
	}
}

// RoundTrip checks that a log appends, reads and consumes at all: for ways to connect.
func RoundTrip(t *testing.T, l eventlog.Log) {
	tp := topic(t, l, 2)
	placed := mustAppend(t, l, tp, numbered(0, 3)...)
	got, err := l.Read(t.Context(), tp, placed[0].Partition, placed[0].Offset, 10, time.Second)
	if err != nil || len(got) != 3 {
		t.Errorf("read %d records, %v", len(got), err)
	}
	c := consume(t, l, eventlog.Group{Name: name(t, "group"), Topics: []string{tp}})
	until(t, "all is read", func() bool { return len(c.got()) == 3 })
	if err := c.current().Alive(t.Context()); err != nil {
		t.Errorf("Alive: %v", err)
	}
	if err := c.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Consume = %v", err)
	}
}
