package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"tributary/internal/eventlog"
)

// joinBackoff is how long a member waits before it tries to join again.
const joinBackoff = 200 * time.Millisecond

// warnEvery is how often the same lasting trouble is logged.
const warnEvery = 10 * time.Second

// Consume takes part in a group until ctx ends or work fails; see eventlog.Log.
func (l *Log) Consume(ctx context.Context, g eventlog.Group, work func(ctx context.Context, c eventlog.Claim) error) error {
	m := &member{log: l, group: g, work: work}
	if err := m.consume(ctx); err != nil {
		return fmt.Errorf("group %q: %w", g.Name, err)
	}
	return nil
}

// A member is one Consume.
type member struct {
	log   *Log
	group eventlog.Group
	work  func(ctx context.Context, c eventlog.Claim) error
	whole whole
	kafka *kafka.ConsumerGroup
}

func (m *member) consume(ctx context.Context) error {
	for _, t := range m.group.Topics {
		if _, err := m.log.Partitions(ctx, t); err != nil {
			return err
		}
	}
	var err error
	if m.kafka, err = kafka.NewConsumerGroup(m.settings()); err != nil {
		return err
	}
	defer m.kafka.Close()
	var warned time.Time
	for {
		generation, err := m.kafka.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && fatal(err):
			return err
		case err != nil:
			// A rebalance within a rebalance is no trouble, and a broker that is away is told
			// of now and then, not five times a second.
			if !gone(err) && time.Since(warned) > warnEvery {
				m.log.logger.Warn("cannot join the group yet; trying on", "group", m.group.Name, "error", err)
				warned = time.Now()
			}
			continue
		}
		if err := m.serve(ctx, generation); err != nil {
			return err
		}
	}
}

func (m *member) settings() kafka.ConsumerGroupConfig {
	o := m.log.opts
	var balancer kafka.GroupBalancer = spread{}
	if m.group.Whole {
		balancer = &m.whole
	}
	return kafka.ConsumerGroupConfig{
		ID:                     m.group.Name,
		Brokers:                o.Brokers,
		Topics:                 m.group.Topics,
		GroupBalancers:         []kafka.GroupBalancer{balancer},
		SessionTimeout:         o.silence(),
		HeartbeatInterval:      min(o.SessionTimeout/10, 3*time.Second),
		RebalanceTimeout:       o.RebalanceTimeout,
		JoinGroupBackoff:       joinBackoff,
		Timeout:                o.Timeout,
		WatchPartitionChanges:  true,
		PartitionWatchInterval: 30 * time.Second,
		Dialer: &kafka.Dialer{
			ClientID:      o.ClientID,
			Timeout:       o.Timeout,
			DialFunc:      o.Dial,
			TLS:           o.TLS,
			SASLMechanism: m.log.mechanism,
		},
	}
}

// fatal says that joining will fail every time.
func fatal(err error) bool {
	return refused(err) || errors.Is(err, kafka.InvalidSessionTimeout) ||
		errors.Is(err, kafka.InconsistentGroupProtocol) || errors.Is(err, kafka.InvalidGroupId) ||
		errors.Is(err, kafka.ErrGroupClosed)
}

// serve sees one generation through: it is over when serve returns. A nil error means
// that the next may come.
func (m *member) serve(ctx context.Context, g *kafka.Generation) error {
	result := make(chan error, 1)
	g.Start(func(over context.Context) {
		err := m.generation(ctx, over, g)
		if err != nil || ctx.Err() != nil {
			m.leave()
		}
		result <- err
	})
	if err := <-result; err != nil {
		return err
	}
	return ctx.Err()
}

// leave begins to close the group and returns once no new generation can be asked for:
// else kafka-go would join again as soon as this one ends, only to leave then.
func (m *member) leave() {
	go m.kafka.Close()
	_, _ = m.kafka.Next(context.Background())
}

// generation works on what this member owns until the generation, or ctx, ends.
func (m *member) generation(ctx, over context.Context, g *kafka.Generation) error {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(over, func() { cancel(eventlog.ErrLost) })
	defer stop()

	owned := ownedBy(g)
	m.whole.owned.Store(0)
	if len(owned) == 0 {
		m.log.logger.Debug("standing by", "group", m.group.Name, "generation", g.ID)
		<-work.Done()
		return nil
	}
	m.whole.owned.Store(int64(g.ID))
	m.log.logger.Debug("claimed", "group", m.group.Name, "generation", g.ID, "owned", owned)

	begin, err := m.positions(work, owned)
	switch {
	case err == nil:
	case errors.Is(err, eventlog.ErrOutOfRange):
		return err
	case work.Err() != nil:
		return nil
	default:
		m.log.logger.Warn("cannot begin yet", "group", m.group.Name, "error", err)
		sleep(work, joinBackoff)
		return nil
	}
	c := newClaim(work, m.log, g, owned, begin)
	err = m.work(work, c)
	early := work.Err() == nil
	cancel(eventlog.ErrLost)
	c.end()
	if over.Err() != nil && errors.Is(err, context.Canceled) || errors.Is(err, eventlog.ErrLost) {
		err = nil
	}
	if early && err == nil {
		sleep(ctx, joinBackoff) // or work that returns at once would have the group rebalance without end
	}
	return err
}

func ownedBy(g *kafka.Generation) map[string][]int {
	owned := make(map[string][]int)
	for topic, partitions := range g.Assignments {
		for _, p := range partitions {
			owned[topic] = append(owned[topic], p.ID)
		}
	}
	return owned
}

// positions finds where to go on in each partition, and whether the log still has it.
func (m *member) positions(ctx context.Context, owned map[string][]int) (positions, error) {
	committed, err := m.log.committed(ctx, m.group.Name, owned)
	if err != nil {
		return positions{}, err
	}
	begin := positions{from: make(map[string]map[int]int64), committed: committed}
	for topic, partitions := range owned {
		first, end, err := m.log.Bounds(ctx, topic)
		if err != nil {
			return positions{}, err
		}
		begin.from[topic] = make(map[int]int64)
		for _, p := range partitions {
			if p >= len(first) {
				return positions{}, fmt.Errorf("topic %q: partition %d is not known yet", topic, p)
			}
			at := committed[topic][p]
			if at < 0 {
				at = first[p]
				if m.group.Start != nil {
					at = m.group.Start(topic, p, first[p], end[p])
				}
			}
			if at < first[p] || at > end[p] {
				return positions{}, &OutsideError{
					Group: m.group.Name, Topic: topic, Partition: p, Committed: at, First: first[p], End: end[p],
				}
			}
			begin.from[topic][p] = at
		}
	}
	return begin, nil
}

// positions are where a claim begins and what the broker holds as committed.
type positions struct {
	from, committed map[string]map[int]int64
}
