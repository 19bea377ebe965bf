package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"tributary/internal/eventlog"
)

// Read gives up to max records of one partition from offset on. One fetch is answered at
// most, so a large max saves fetches.
func (l *Log) Read(ctx context.Context, topic string, partition int, offset int64, max int, wait time.Duration) ([]eventlog.Record, error) {
	if max <= 0 {
		return nil, nil
	}
	var records []eventlog.Record
	try, cancel := context.WithTimeout(ctx, wait+l.opts.Timeout)
	defer cancel()
	err := retryUntil(try, func(ctx context.Context) (err error) {
		records, err = l.fetch(ctx, topic, partition, offset, max, wait)
		return err
	})
	switch {
	case err == nil:
		return records, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, kafka.OffsetOutOfRange):
		err = fmt.Errorf("%w%s", eventlog.ErrOutOfRange, l.bounds(ctx, topic, partition))
	}
	return nil, fmt.Errorf("read %s/%d from %d: %w", topic, partition, offset, err)
}

// bounds says for an error where the log begins and ends.
func (l *Log) bounds(ctx context.Context, topic string, partition int) string {
	first, end, err := l.Bounds(ctx, topic)
	if err != nil || partition >= len(first) {
		return ""
	}
	return fmt.Sprintf(": the log has %d up to %d", first[partition], end[partition])
}

// fetch asks once. The broker answers whole batches, so records below offset are skipped.
func (l *Log) fetch(ctx context.Context, topic string, partition int, offset int64, max int, wait time.Duration) ([]eventlog.Record, error) {
	if offset < 0 {
		return nil, kafka.OffsetOutOfRange // -1 and -2 would mean last and first to kafka-go
	}
	if wait < time.Millisecond {
		wait = time.Millisecond // zero would mean half a second to kafka-go
	}
	res, err := l.client.Fetch(ctx, &kafka.FetchRequest{
		Topic:     topic,
		Partition: partition,
		Offset:    offset,
		MinBytes:  1,
		MaxBytes:  int64(l.opts.FetchBytes),
		MaxWait:   wait,
	})
	if err != nil {
		return nil, err
	}
	if res.Error != nil {
		return nil, res.Error
	}
	return records(res, topic, partition, offset, max)
}

func records(res *kafka.FetchResponse, topic string, partition int, offset int64, max int) ([]eventlog.Record, error) {
	var out []eventlog.Record
	for len(out) < max {
		m, err := res.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("decode the fetched records: %w", err)
		}
		r, err := record(m)
		if err != nil {
			return nil, err
		}
		if r.Offset < offset {
			continue
		}
		r.Topic, r.Partition = topic, partition
		out = append(out, r)
	}
	if len(out) < max {
		return out, nil
	}
	return out, drain(res.Records)
}

// drain gives the buffers of records that nobody asked for back to kafka-go.
func drain(r kafka.RecordReader) error {
	for {
		m, err := r.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return nil // these records will be fetched again
		}
		closeBytes(m.Key, m.Value)
	}
}

func record(m *kafka.Record) (eventlog.Record, error) {
	defer closeBytes(m.Key, m.Value)
	r := eventlog.Record{Offset: m.Offset, Time: m.Time.UTC()}
	var err error
	if r.Key, err = kafka.ReadAll(m.Key); err != nil {
		return r, fmt.Errorf("decode the key at offset %d: %w", m.Offset, err)
	}
	if r.Value, err = kafka.ReadAll(m.Value); err != nil {
		return r, fmt.Errorf("decode the value at offset %d: %w", m.Offset, err)
	}
	for _, h := range m.Headers {
		switch h.Key {
		case headerType:
			r.Type = string(h.Value)
		case headerSchema:
			// What is not a number is a version nobody knows; the reader stops at it.
			if r.Version, err = strconv.Atoi(string(h.Value)); err != nil {
				r.Version = -1
			}
		}
	}
	return r, nil
}

func closeBytes(bs ...kafka.Bytes) {
	for _, b := range bs {
		if b != nil {
			_ = b.Close()
		}
	}
}
