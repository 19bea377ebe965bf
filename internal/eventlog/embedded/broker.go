// Package embedded is the log in this process: one broker that speaks Kafka's protocol on
// a loopback port and keeps its records, each fsynced, in a directory. It is for a laptop,
// a trial and small sites; its limits are those of kfake, which it is made of, and it
// answers them by trimming the log itself.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tributary/internal/eventlog"
)

// Options of a broker. Dir is required.
type Options struct {
	Dir  string // made if missing; one process at a time
	Port int    // on 127.0.0.1; 0 takes a free one

	// MaxBytes is what the directory may hold: 2 GiB. Trimming keeps it below three
	// quarters; past it Full is an error.
	MaxBytes int64
	// SegmentBytes is the unit of trimming: 64 MiB, less for a small MaxBytes.
	SegmentBytes int64
	// Topics may be trimmed once they are older than their Retention or the log is too
	// large. A topic without retention, or not named here, never is.
	Topics []eventlog.Topic
	// Groups are those that count, with the topics they read: nothing that one of them has
	// not committed is trimmed. The broker deletes any other group when it starts. It is
	// asked again before each trim. Nil: no group is deleted and nothing is trimmed.
	Groups func() []eventlog.Group
	// TrimEvery is how often Run trims: 10 s; every second near the limit.
	TrimEvery time.Duration

	Logger *slog.Logger
}

const (
	defaultMaxBytes = 2 << 30
	maxSegmentBytes = 64 << 20
	minSegmentBytes = 64 << 10
	// maxMessageBytes is the largest batch taken. Writers batch below 1 MiB; a record alone
	// may be larger.
	maxMessageBytes = 8 << 20
	// keepOffsets: a group may stand still for years and is not forgotten.
	keepOffsetsMinutes = 10 * 365 * 24 * 60
)

// A Broker runs until Close.
type Broker struct {
	opts    Options
	logger  *slog.Logger
	lock    *os.File
	cluster *kfake.Cluster
	own     *listener
	addr    string
	admin   *kgo.Client

	trim sync.Mutex // one at a time

	mu       sync.Mutex
	measured time.Time
	weighed  time.Time // when the groups were last asked
	usage    Usage
}

// Start locks the directory, recovers what it holds and serves it. After a crash that
// takes about as long as reading the log once.
func Start(ctx context.Context, o Options) (*Broker, error) {
	o = o.withDefaults()
	b := &Broker{opts: o, logger: o.Logger}
	if err := b.start(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("start the embedded log in %s: %w", o.Dir, err)
	}
	return b, nil
}

func (o Options) withDefaults() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = max(min(o.MaxBytes/32, maxSegmentBytes), minSegmentBytes)
	}
	if o.TrimEvery <= 0 {
		o.TrimEvery = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (b *Broker) start(ctx context.Context) (err error) {
	if b.opts.Dir == "" {
		return errors.New("no directory is given")
	}
	if err := os.MkdirAll(b.opts.Dir, 0o700); err != nil {
		return err
	}
	if b.lock, err = lockDir(b.opts.Dir); err != nil {
		return err
	}
	// No cleanup.policy and no retention: kfake's own compaction can lose records in a
	// crash, and its own expiry can empty a partition, which then starts over at offset 0.
	b.cluster, err = kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.Ports(b.opts.Port),
		kfake.ListenFn(b.listen),
		kfake.ClusterID("tributary"),
		kfake.DataDir(b.opts.Dir),
		kfake.SyncWrites(),
		kfake.GroupMinSessionTimeout(100*time.Millisecond),
		kfake.WithLogger(logger{b.logger}),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes":         strconv.FormatInt(b.opts.SegmentBytes, 10),
			"message.max.bytes":         strconv.Itoa(maxMessageBytes),
			"offsets.retention.minutes": strconv.Itoa(keepOffsetsMinutes),
		}),
	)
	if err != nil {
		var taken *net.OpError
		if errors.As(err, &taken) && b.opts.Port != 0 {
			return fmt.Errorf("port %d (log.embedded.port): %w", b.opts.Port, err)
		}
		return err
	}
	b.addr = b.cluster.ListenAddrs()[0]
	if b.admin, err = kgo.NewClient(kgo.SeedBrokers(b.addr)); err != nil {
		return err
	}
	if err := b.deleteStrangers(ctx); err != nil {
		return err
	}
	_, err = b.Usage(ctx)
	return err
}

// Addr is where the broker listens, as host:port.
func (b *Broker) Addr() string { return b.addr }

// Run trims from time to time, and says in the log when the directory fills up, until ctx
// ends.
func (b *Broker) Run(ctx context.Context) error {
	tick := time.NewTicker(min(b.opts.TrimEvery, time.Second))
	defer tick.Stop()
	var last string
	var trimmed time.Time
	for {
		if time.Since(trimmed) >= b.opts.TrimEvery || b.last().Bytes >= b.opts.MaxBytes/4*3 {
			if _, err := b.Trim(ctx); err != nil && ctx.Err() == nil {
				b.logger.Warn("cannot trim the embedded log", "error", err)
			}
			trimmed = time.Now()
		}
		holder := ""
		if err := b.Alert(); err != nil {
			if holder = b.last().Holder(); holder != last {
				b.logger.Error("the embedded log fills up", "error", err)
			}
		}
		last = holder
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close saves state for a quick next start and frees the directory.
func (b *Broker) Close() {
	if b.admin != nil {
		b.admin.Close()
	}
	if b.cluster != nil {
		b.cluster.Close()
	}
	if b.lock != nil {
		b.lock.Close()
	}
}

// logger passes kfake's warnings on.
type logger struct{ to *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.to.Error("embedded log: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.to.Warn("embedded log: " + fmt.Sprintf(format, args...))
	}
}
