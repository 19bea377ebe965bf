package kafkalog

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"tributary/internal/eventlog"
)

// An OutsideError says that the place a group would go on from is not in the log: what
// lies between was trimmed, or the log was made anew. It is an eventlog.ErrOutOfRange.
type OutsideError struct {
	Group, Topic string
	Partition    int
	Committed    int64 // or where the group was to start, when it has no commit
	First, End   int64 // of the log: end is one past the last
}

func (e *OutsideError) Error() string {
	what := fmt.Sprintf("%d records from %d on were trimmed before this group read them", e.First-e.Committed, e.Committed)
	if e.Committed > e.End {
		what = "the log ends before it: it was reset or is another log"
	}
	return fmt.Sprintf("group %q stands at offset %d of topic %q, partition %d, but the log has %d up to %d: %s. "+
		"Nothing was skipped. Bring the log back, or accept the loss and go on with: tributary log reset --group %s --topic %s --partition %d",
		e.Group, e.Committed, e.Topic, e.Partition, e.First, e.End, what, e.Group, e.Topic, e.Partition)
}

func (e *OutsideError) Unwrap() error { return eventlog.ErrOutOfRange }

// Committed gives a group's committed offset by partition; -1 where there is none.
func (l *Log) Committed(ctx context.Context, group, topic string) ([]int64, error) {
	n, err := l.Partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	ids := make([]int, n)
	for p := range ids {
		ids[p] = p
	}
	committed, err := l.committed(ctx, group, map[string][]int{topic: ids})
	if err != nil {
		return nil, err
	}
	out := make([]int64, n)
	for p := range out {
		out[p] = committed[topic][p]
	}
	return out, nil
}

// committed asks for the partitions given. kafka-go's own consumer group would take an
// error for "no commit" and start over.
func (l *Log) committed(ctx context.Context, group string, partitions map[string][]int) (map[string]map[int]int64, error) {
	out := make(map[string]map[int]int64, len(partitions))
	for topic, ids := range partitions {
		out[topic] = make(map[int]int64, len(ids))
		for _, p := range ids {
			out[topic][p] = -1
		}
	}
	err := l.retry(ctx, func(ctx context.Context) error {
		res, err := l.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: partitions})
		if err != nil {
			return err
		}
		if res.Error != nil {
			return res.Error
		}
		for topic, ps := range res.Topics {
			for _, p := range ps {
				if p.Error != nil {
					return p.Error
				}
				out[topic][p.Partition] = max(p.CommittedOffset, -1)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, kafka.GroupIdNotFound) {
		return nil, fmt.Errorf("committed offsets of group %q: %w", group, err)
	}
	return out, nil
}

// Reset moves a group that nobody is in to other offsets, by topic and partition. It is
// how an operator accepts a gap.
func (l *Log) Reset(ctx context.Context, group string, next map[string]map[int]int64) error {
	err := l.commit(ctx, group, -1, "", next)
	if err != nil {
		return fmt.Errorf("reset group %q (stop its processes first): %w", group, err)
	}
	return nil
}

// commit sends offsets as a member of a generation, or as nobody with generation -1.
func (l *Log) commit(ctx context.Context, group string, generation int, member string, next map[string]map[int]int64) error {
	topics := make(map[string][]kafka.OffsetCommit, len(next))
	for topic, partitions := range next {
		for p, offset := range partitions {
			topics[topic] = append(topics[topic], kafka.OffsetCommit{Partition: p, Offset: offset})
		}
	}
	return l.retry(ctx, func(ctx context.Context) error {
		res, err := l.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID: group, GenerationID: generation, MemberID: member, Topics: topics,
		})
		if err != nil {
			return err
		}
		for topic, ps := range res.Topics {
			for _, p := range ps {
				if p.Error != nil {
					return fmt.Errorf("commit of %s/%d: %w", topic, p.Partition, p.Error)
				}
			}
		}
		return nil
	})
}

// gone says that the broker no longer takes a member's word for its generation.
func gone(err error) bool {
	for _, code := range []kafka.Error{kafka.IllegalGeneration, kafka.UnknownMemberId, kafka.RebalanceInProgress, kafka.FencedInstanceID} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
