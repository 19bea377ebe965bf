package embedded_test

import (
	"errors"
	"net"
	"testing"

	"tributary/internal/eventlog"
	"tributary/internal/eventlog/embedded"
	"tributary/internal/eventlog/kafkalog"
)

// What is appended from within the process is there for those who come over TCP.
func TestBothWaysInLeadToOneBroker(t *testing.T) {
	b := start(t, embedded.Options{Dir: t.TempDir()})
	inside := open(t, b, nil)
	defer inside.Close()
	outside, err := kafkalog.Open(t.Context(), kafkalog.Options{Brokers: []string{b.Addr()}, Embedded: true})
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	if err := inside.Ensure(t.Context(), eventlog.Topic{Name: "t", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	for i, l := range []eventlog.Log{inside, outside, inside} {
		out, err := l.Append(t.Context(), "t", eventlog.Record{Value: []byte("v")})
		if err != nil || out[0].Offset != int64(i) {
			t.Errorf("record %d: %v, %v", i, out, err)
		}
	}
}

func TestDialAfterClose(t *testing.T) {
	b := start(t, embedded.Options{Dir: t.TempDir()})
	c, err := b.Dial(t.Context(), "tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlives the broker")
	}
	if c, err := b.Dial(t.Context(), "tcp", b.Addr()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial = %v, %v", c, err)
	}
}
