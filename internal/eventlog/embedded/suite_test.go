package embedded_test

import (
	"testing"
	"time"

	"tributary/internal/eventlog"
	"tributary/internal/eventlog/embedded"
	"tributary/internal/eventlog/eventlogtest"
	"tributary/internal/eventlog/kafkalog"
)

func TestSuite(t *testing.T) {
	b := start(t, embedded.Options{Dir: t.TempDir()})
	eventlogtest.Run(t, eventlogtest.Engine{
		Addr: b.Addr(),
		Open: func(t *testing.T, dial eventlogtest.Dial) eventlog.Log { return open(t, b, dial) },
	})
}

func start(t testing.TB, o embedded.Options) *embedded.Broker {
	t.Helper()
	b, err := embedded.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func open(t testing.TB, b *embedded.Broker, dial eventlogtest.Dial) *kafkalog.Log {
	t.Helper()
	if dial == nil {
		dial = b.Dial // as serve does
	}
	l, err := kafkalog.Open(t.Context(), kafkalog.Options{
		Brokers:        []string{b.Addr()},
		Embedded:       true,
		SessionTimeout: 2 * time.Second,
		Dial:           dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
