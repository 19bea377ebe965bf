// Package eventlogtest is the suite that every broker behind the event log passes, so
// that the embedded broker and Apache Kafka can stand in for each other.
package eventlogtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tributary/internal/eventlog"
)

// An Engine is a broker under test.
type Engine struct {
	// Addr is the broker's, for what the port cannot do: trimming from outside.
	Addr string
	// Open connects a log of its own, as another process would; the test closes it. Its
	// session time-out must be short, and connections go through dial.
	Open func(t *testing.T, dial Dial) eventlog.Log
}

// A Dial opens connections.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Patience is how long the suite waits for what must come.
const patience = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, e Engine) {
	tests := []struct {
		name string
		test func(t *testing.T, e Engine)
	}{
		{"Ensure", ensure},
		{"AppendKeepsOrderAndTellsPlaces", appendOrder},
		{"KeysChooseThePartition", keyed},
		{"ConcurrentAppends", concurrent},
		{"LargeAppends", large},
		{"CancelledAppendHurtsNobody", cancelled},
		{"Read", read},
		{"ReadWaits", readWaits},
		{"CommitAndResume", resume},
		{"StartWithoutCommit", start},
		{"CommittedOutsideTheLog", outside},
		{"SpreadAndRebalance", spreadOut},
		{"WholeTakeover", takeover},
		{"WorkThatFails", workFails},
		{"TrimmingIsVisible", trimmed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, e) })
	}
}

func open(t *testing.T, e Engine) eventlog.Log {
	t.Helper()
	l := e.Open(t, nil)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// name gives a name that no other test uses, on a broker that outlives the test too.
func name(t *testing.T, what string) string {
	test := t.Name()
	return strings.ToLower(test[strings.LastIndexByte(test, '/')+1:] + "." + what + "." + rand.Text()[:8])
}

// topic makes one with so many partitions.
func topic(t *testing.T, l eventlog.Log, partitions int) string {
	t.Helper()
	n := name(t, "topic")
	if err := l.Ensure(t.Context(), eventlog.Topic{Name: n, Partitions: partitions, Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
	return n
}

func value(s string) eventlog.Record {
	return eventlog.Record{Value: []byte(s), Type: eventlog.TypeEvent, Version: eventlog.Schema}
}

func mustAppend(t *testing.T, l eventlog.Log, topic string, records ...eventlog.Record) []eventlog.Record {
	t.Helper()
	out, err := l.Append(t.Context(), topic, records...)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != len(records) {
		t.Fatalf("append of %d records gave %d places", len(records), len(out))
	}
	return out
}

// numbered makes records "from", "from+1", …
func numbered(from, n int) []eventlog.Record {
	var out []eventlog.Record
	for i := range n {
		out = append(out, value(fmt.Sprint(from+i)))
	}
	return out
}

// all reads a whole topic, partition by partition.
func all(t *testing.T, l eventlog.Log, topic string) map[string]eventlog.Record {
	t.Helper()
	first, end, err := l.Bounds(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]eventlog.Record)
	for p := range first {
		for at := first[p]; at < end[p]; {
			records, err := l.Read(t.Context(), topic, p, at, 1000, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				if r.Offset != at || r.Partition != p || r.Topic != topic {
					t.Fatalf("read %s/%d@%d, want %s/%d@%d", r.Topic, r.Partition, r.Offset, topic, p, at)
				}
				at++
				out[fmt.Sprintf("%d@%d", p, r.Offset)] = r
			}
		}
	}
	return out
}

// until polls until ok or the patience is over.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// trim deletes records below an offset, as a broker's retention does.
func trim(t *testing.T, e Engine, topic string, partition int, below int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(e.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = int32(partition), below
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, p)
	req := kmsg.NewDeleteRecordsRequest()
	req.TimeoutMillis = 10_000
	req.Topics = append(req.Topics, rt)
	res, err := req.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// A Cable carries connections until it is cut: then they break and no new ones come up,
// as when a process is killed or its machine drops off the network.
type Cable struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

var errCut = errors.New("the cable is cut")

// Dial opens a connection over the cable.
func (c *Cable) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, errCut
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

// Cut breaks all connections for good.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for _, conn := range c.conns {
		conn.Close()
	}
}
