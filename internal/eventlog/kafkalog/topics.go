package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"tributary/internal/eventlog"
)

// maxRecord is the largest batch a topic made by Ensure takes. Batches are smaller; one
// record alone may be as large.
const maxRecord = 8 << 20

// Ensure creates missing topics and checks those that exist: how many partitions they
// have and, on an outside broker, that they are kept as long as asked and not compacted.
func (l *Log) Ensure(ctx context.Context, topics ...eventlog.Topic) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	create := make([]kafka.TopicConfig, len(topics))
	for i, t := range topics {
		create[i] = kafka.TopicConfig{
			Topic:             t.Name,
			NumPartitions:     max(t.Partitions, 1),
			ReplicationFactor: l.opts.ReplicationFactor,
			ConfigEntries:     l.settings(t),
		}
	}
	var made *kafka.CreateTopicsResponse
	err := l.retry(ctx, func(ctx context.Context) (err error) {
		made, err = l.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: create})
		return err
	})
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, t := range topics {
		if err := made.Errors[t.Name]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("create topic %q: %w", t.Name, err)
		}
		if err := l.check(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// settings are those of a new topic. The embedded broker gets none: it must neither
// compact nor expire by itself.
func (l *Log) settings(t eventlog.Topic) []kafka.ConfigEntry {
	if l.opts.Embedded {
		return nil
	}
	keep := int64(-1)
	if t.Retention > 0 {
		keep = t.Retention.Milliseconds()
	}
	return []kafka.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(keep, 10)},
		{ConfigName: "retention.bytes", ConfigValue: "-1"},
		{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(maxRecord)},
	}
}

func (l *Log) check(ctx context.Context, t eventlog.Topic) error {
	n, err := l.Partitions(ctx, t.Name)
	if err != nil {
		return err
	}
	if t.Partitions == 1 && n != 1 {
		return fmt.Errorf("topic %q has %d partitions and needs exactly one, so that it has one order", t.Name, n)
	}
	if l.opts.Embedded {
		return nil
	}
	return l.checkSettings(ctx, t)
}

func (l *Log) checkSettings(ctx context.Context, t eventlog.Topic) error {
	var res *kafka.DescribeConfigsResponse
	err := l.retry(ctx, func(ctx context.Context) (err error) {
		res, err = l.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
			Resources: []kafka.DescribeConfigRequestResource{{
				ResourceType: kafka.ResourceTypeTopic,
				ResourceName: t.Name,
				ConfigNames:  []string{"cleanup.policy", "retention.ms", "retention.bytes"},
			}},
		})
		if err == nil && len(res.Resources) > 0 {
			err = res.Resources[0].Error
		}
		return err
	})
	if err != nil {
		l.logger.Warn("cannot read the topic's settings; make sure that it is not compacted and kept long enough",
			"topic", t.Name, "error", err)
		return nil
	}
	settings := make(map[string]string)
	for _, r := range res.Resources {
		for _, e := range r.ConfigEntries {
			settings[e.ConfigName] = e.ConfigValue
		}
	}
	if strings.Contains(settings["cleanup.policy"], "compact") {
		return fmt.Errorf("topic %q is compacted (cleanup.policy=%s): it would lose records; set cleanup.policy=delete",
			t.Name, settings["cleanup.policy"])
	}
	return l.checkRetention(t, settings)
}

// checkRetention refuses a topic that is to be kept for ever and is not, and warns of one
// that is kept for less time than asked.
func (l *Log) checkRetention(t eventlog.Topic, settings map[string]string) error {
	keep, err := strconv.ParseInt(settings["retention.ms"], 10, 64)
	if err != nil {
		keep = -1
	}
	size, err := strconv.ParseInt(settings["retention.bytes"], 10, 64)
	if err != nil {
		size = -1
	}
	if t.Retention <= 0 && (keep >= 0 || size >= 0) {
		return fmt.Errorf("topic %q must be kept for ever, but has retention.ms=%d and retention.bytes=%d: set both to -1",
			t.Name, keep, size)
	}
	if want := t.Retention.Milliseconds(); size >= 0 || keep >= 0 && keep < want {
		l.logger.Warn("the topic is kept for less than configured", "topic", t.Name,
			"retention_ms", keep, "wanted_ms", want, "retention_bytes", size)
	}
	return nil
}

// Partitions gives how many partitions a topic has.
func (l *Log) Partitions(ctx context.Context, topic string) (int, error) {
	t, err := l.topic(ctx, topic)
	if err != nil {
		return 0, err
	}
	return t.count(), nil
}

// countPartitions asks the client's picture of the cluster, and waits until it is new
// enough to show a topic just made.
func (l *Log) countPartitions(ctx context.Context, name string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*metadataTTL)
	defer cancel()
	for {
		res, err := l.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{name}})
		if err == nil {
			t := res.Topics[0]
			if t.Error == nil && len(t.Partitions) > 0 {
				return len(t.Partitions), nil
			}
			if err = t.Error; err == nil {
				err = kafka.UnknownTopicOrPartition
			}
		}
		if !retriable(err) || !sleep(ctx, 50*time.Millisecond) {
			return 0, fmt.Errorf("topic %q: %w", name, err)
		}
	}
}

// Bounds gives first and end of every partition.
func (l *Log) Bounds(ctx context.Context, topic string) (first, end []int64, err error) {
	n, err := l.Partitions(ctx, topic)
	if err != nil {
		return nil, nil, err
	}
	ask := make([]kafka.OffsetRequest, 0, 2*n)
	for p := range n {
		ask = append(ask, kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p))
	}
	first, end = make([]int64, n), make([]int64, n)
	err = l.retry(ctx, func(ctx context.Context) error {
		res, err := l.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: ask}})
		if err != nil {
			return err
		}
		for _, p := range res.Topics[topic] {
			if p.Error != nil {
				return p.Error
			}
			first[p.Partition], end[p.Partition] = p.FirstOffset, p.LastOffset
		}
		if len(res.Topics[topic]) != n {
			return fmt.Errorf("the broker told the bounds of %d partitions of %d", len(res.Topics[topic]), n)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("bounds of topic %q: %w", topic, err)
	}
	return first, end, nil
}
