// Package kafkalog is the event log on Kafka's protocol, by segmentio/kafka-go: Apache
// Kafka and the embedded broker alike. It writes with a small group committer, reads by
// plain fetches, and takes part in consumer groups through their generations.
package kafkalog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"golang.org/x/sync/semaphore"

	"tributary/internal/eventlog"
)

var _ eventlog.Log = (*Log)(nil)

// Options say how to reach the brokers. Only Brokers is required; zero values mean the
// defaults named here.
type Options struct {
	Brokers  []string    // host:port of one broker at least
	ClientID string      // "tributary"
	TLS      *tls.Config // nil: no TLS
	SASL     SASL        // zero: no authentication
	Logger   *slog.Logger

	// Embedded says that the broker is ours: it trims by its own rules, so topics are made
	// without retention and cleanup settings.
	Embedded bool
	// ReplicationFactor of topics that Ensure makes; 0 leaves it to the broker.
	ReplicationFactor int
	// Compression of batches: "" or "none", "gzip", "snappy", "lz4", "zstd".
	Compression string

	// Timeout bounds an append with its retries, and every other call to a broker: 5 s.
	Timeout time.Duration
	// SessionTimeout is how soon another member has taken over from one that died: 10 s. The
	// broker is told to give a silent member up after two thirds of it (group.min.session.timeout.ms,
	// 6 s on most, bounds that); the rest is for the others to notice and to join anew.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long members have to end their work when the group changes: 30 s.
	RebalanceTimeout time.Duration
	// CommitEvery is how often changed offsets are committed at most: 1 s.
	CommitEvery time.Duration

	BatchBytes   int // of one produce request: 900 KiB, below Kafka's usual limit of 1 MiB
	PendingBytes int // of records waiting to be written; more makes Append wait: 64 MiB
	FetchBytes   int // of one fetch: 1 MiB

	// Dial opens connections; nil means TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// SASL is how to authenticate. It prints without its password.
type SASL struct {
	Mechanism string // "", "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512"
	User      string
	Password  string
}

// String leaves the password out.
func (s SASL) String() string {
	if s.Mechanism == "" {
		return "none"
	}
	return s.Mechanism + " as " + s.User
}

// GoString leaves the password out of %#v.
func (s SASL) GoString() string { return s.String() }

// LogValue leaves the password out of logs.
func (s SASL) LogValue() slog.Value { return slog.StringValue(s.String()) }

func (s SASL) mechanism() (sasl.Mechanism, error) {
	switch strings.ToUpper(s.Mechanism) {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Mechanism{Username: s.User, Password: s.Password}, nil
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, s.User, s.Password)
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, s.User, s.Password)
	}
	return nil, fmt.Errorf("unknown SASL mechanism %q: known are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512", s.Mechanism)
}

var compressions = map[string]kafka.Compression{
	"": 0, "none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

// A Log is connected to one Kafka cluster.
type Log struct {
	opts        Options
	logger      *slog.Logger
	mechanism   sasl.Mechanism
	compression kafka.Compression
	transport   *kafka.Transport
	client      *kafka.Client // no timeout of its own: every call brings one
	producer    *kafka.Client // its timeout is told to the broker

	room *semaphore.Weighted // bytes of records waiting to be written

	mu     sync.Mutex
	closed bool
	topics map[string]*topic
	wg     sync.WaitGroup // the goroutines that write
}

// metadataTTL is how old the client's picture of the cluster may be: a new leader is
// found within it, well inside the time an append may take.
const metadataTTL = 2 * time.Second

// Open connects and returns once a broker has answered, or with the reason why none
// did within ten seconds.
func Open(ctx context.Context, o Options) (*Log, error) {
	l, err := newLog(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		_, err := l.client.Metadata(ctx, &kafka.MetadataRequest{})
		if err == nil {
			return l, nil
		}
		if refused(err) || !sleep(ctx, 100*time.Millisecond) {
			l.transport.CloseIdleConnections()
			return nil, fmt.Errorf("reach Kafka at %s: %w", strings.Join(o.Brokers, ", "), err)
		}
	}
}

func newLog(o Options) (*Log, error) {
	if len(o.Brokers) == 0 {
		return nil, errors.New("open the log: no Kafka broker is named")
	}
	mechanism, err := o.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	compression, ok := compressions[strings.ToLower(o.Compression)]
	if !ok {
		return nil, fmt.Errorf("unknown compression %q: known are none, gzip, snappy, lz4 and zstd", o.Compression)
	}
	o = o.withDefaults()
	transport := &kafka.Transport{
		Dial:        o.Dial,
		DialTimeout: o.Timeout,
		MetadataTTL: metadataTTL,
		ClientID:    o.ClientID,
		TLS:         o.TLS,
		SASL:        mechanism,
	}
	addr := kafka.TCP(o.Brokers...)
	return &Log{
		opts:        o,
		logger:      o.Logger,
		mechanism:   mechanism,
		compression: compression,
		transport:   transport,
		client:      &kafka.Client{Addr: addr, Transport: transport},
		producer:    &kafka.Client{Addr: addr, Transport: transport, Timeout: 2 * o.Timeout},
		room:        semaphore.NewWeighted(int64(o.PendingBytes)),
		topics:      make(map[string]*topic),
	}, nil
}

func (o Options) withDefaults() Options {
	if o.ClientID == "" {
		o.ClientID = "tributary"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.ReplicationFactor == 0 {
		o.ReplicationFactor = -1
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 3 * time.Second}).DialContext
	}
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Timeout, 5*time.Second)
	def(&o.SessionTimeout, 10*time.Second)
	def(&o.RebalanceTimeout, 30*time.Second)
	def(&o.CommitEvery, time.Second)
	size := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	size(&o.BatchBytes, 900<<10)
	size(&o.PendingBytes, 64<<20)
	size(&o.FetchBytes, 1<<20)
	return o
}

// Close waits for appends under way and closes idle connections. Consume must have
// returned before.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wg.Wait()
	l.transport.CloseIdleConnections()
	return nil
}

// silence is how long a member may be silent before the broker gives it up.
func (o Options) silence() time.Duration { return o.SessionTimeout * 2 / 3 }
