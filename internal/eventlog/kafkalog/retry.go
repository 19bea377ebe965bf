package kafkalog

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/segmentio/kafka-go"
)

// retry calls do until it succeeds, fails for good, or the log's Timeout is over. Each
// call gets a context that ends with that time.
func (l *Log) retry(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	return retryUntil(ctx, do)
}

func retryUntil(ctx context.Context, do func(ctx context.Context) error) error {
	wait := 10 * time.Millisecond
	for {
		err := do(ctx)
		if err == nil || !retriable(err) {
			return err
		}
		if !sleep(ctx, wait/2+rand.N(wait)) {
			return err
		}
		wait = min(2*wait, 250*time.Millisecond)
	}
}

// retriable says that the same call may succeed a moment later: a leader moved, a broker
// restarts, a connection broke.
func retriable(err error) bool {
	if errors.Is(err, context.Canceled) || refused(err) {
		return false
	}
	var code kafka.Error
	if errors.As(err, &code) {
		return code.Temporary() || code == kafka.Unknown || code == kafka.BrokerNotAvailable
	}
	return true // the network, or metadata that does not know the topic's leader yet
}

// refused says that the broker, or we, will not talk at all: trying again is no use.
func refused(err error) bool {
	for _, code := range []kafka.Error{
		kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState,
		kafka.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed, kafka.ClusterAuthorizationFailed,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate)
}

// sleep waits for d and says whether ctx still runs.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
