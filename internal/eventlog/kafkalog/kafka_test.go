package kafkalog_test

import (
	"crypto/tls"
	"testing"
	"time"

	"tributary/internal/eventlog"
	"tributary/internal/eventlog/eventlogtest"
	"tributary/internal/eventlog/kafkalog"
	"tributary/internal/eventlog/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }

func TestSuiteOnApacheKafka(t *testing.T) {
	addr := kafkatest.Start(t)
	eventlogtest.Run(t, eventlogtest.Engine{
		Addr: addr,
		Open: func(t *testing.T, dial eventlogtest.Dial) eventlog.Log {
			return open(t, kafkalog.Options{Brokers: []string{addr}, Dial: dial, Compression: "zstd"})
		},
	})
}

func open(t testing.TB, o kafkalog.Options) *kafkalog.Log {
	t.Helper()
	o.SessionTimeout = 2 * time.Second
	l, err := kafkalog.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTLSAndSASLOnApacheKafka(t *testing.T) {
	node := kafkatest.Shared(t)
	trusted := &tls.Config{RootCAs: node.Roots}
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			o := kafkalog.Options{
				Brokers: []string{node.SecureAddr}, TLS: trusted,
				SASL: kafkalog.SASL{Mechanism: mechanism, User: node.User, Password: node.Password},
			}
			l := open(t, o)
			defer l.Close()
			eventlogtest.RoundTrip(t, l)

			o.SASL.Password = "wrong"
			if _, err := kafkalog.Open(t.Context(), o); err == nil {
				t.Error("a wrong password opens the log")
			}
		})
	}
	t.Run("unknown certificate", func(t *testing.T) {
		began := time.Now()
		_, err := kafkalog.Open(t.Context(), kafkalog.Options{
			Brokers: []string{node.SecureAddr}, TLS: &tls.Config{},
			SASL: kafkalog.SASL{Mechanism: "PLAIN", User: node.User, Password: node.Password},
		})
		if err == nil {
			t.Error("a certificate that nobody vouches for is trusted")
		}
		t.Logf("after %v: %v", time.Since(began), err)
	})
}
