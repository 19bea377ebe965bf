package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Report says what a trim did.
type Report struct {
	Segments int   // removed
	Bytes    int64 // freed
	Usage    Usage // afterwards
}

// Trim removes the oldest whole segments that every configured group has read, where they
// are past their topic's age or the log is past three quarters of its limit. The last
// segment of a partition always stays: an emptied partition would start over at offset 0
// after a crash. Trims do nothing when a group's offsets cannot be read.
func (b *Broker) Trim(ctx context.Context) (Report, error) {
	b.trim.Lock()
	defer b.trim.Unlock()
	report, err := b.trimNow(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("trim the embedded log: %w", err)
	}
	return report, nil
}

func (b *Broker) trimNow(ctx context.Context) (Report, error) {
	partitions, bytes, err := scan(b.opts.Dir)
	if err != nil {
		return Report{}, err
	}
	read, err := b.readers(ctx)
	if err != nil {
		return Report{}, err
	}
	var report Report
	if b.opts.Groups != nil {
		cut := b.plan(partitions, bytes, read, time.Now())
		for i, n := range cut {
			if n == 0 {
				continue
			}
			p := partitions[i]
			if err := b.deleteBelow(ctx, p.topic, p.id, p.segments[n].base); err != nil {
				return Report{}, err
			}
			for _, s := range p.segments[:n] {
				report.Segments++
				report.Bytes += s.bytes
			}
			partitions[i].segments = p.segments[n:]
		}
	}
	report.Usage = b.weigh(partitions, bytes-report.Bytes, read)
	b.note(report.Usage)
	return report, nil
}

// plan decides how many segments to cut from the front of each partition.
func (b *Broker) plan(partitions []partition, bytes int64, read []reader, now time.Time) []int {
	cut, free := make([]int, len(partitions)), make([]int, len(partitions))
	for i, p := range partitions {
		keep := b.retention(p.topic)
		if keep <= 0 {
			continue
		}
		free[i] = p.readBy(read)
		for cut[i] < free[i] && now.Sub(p.segments[cut[i]].modified) > keep {
			bytes -= p.segments[cut[i]].bytes
			cut[i]++
		}
	}
	for bytes > b.opts.MaxBytes/4*3 {
		oldest := -1
		for i, p := range partitions {
			if cut[i] == free[i] {
				continue
			}
			if oldest < 0 || p.segments[cut[i]].modified.Before(partitions[oldest].segments[cut[oldest]].modified) {
				oldest = i
			}
		}
		if oldest < 0 {
			break
		}
		bytes -= partitions[oldest].segments[cut[oldest]].bytes
		cut[oldest]++
	}
	return cut
}

// readBy counts the segments, never the last, that every group has read to their end.
func (p *partition) readBy(read []reader) int {
	n := max(len(p.segments)-1, 0)
	for _, r := range read {
		if !r.reads(p.topic) {
			continue
		}
		for n > 0 && p.next(n-1) > r.committed[p.topic][p.id] {
			n--
		}
	}
	return n
}

// deleteBelow moves the log's first offset, upon which kfake removes the files before it.
func (b *Broker) deleteBelow(ctx context.Context, topic string, id int, offset int64) error {
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Partition, part.Offset = int32(id), offset
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic, t.Partitions = topic, []kmsg.DeleteRecordsRequestTopicPartition{part}
	req := kmsg.NewDeleteRecordsRequest()
	req.Topics = append(req.Topics, t)
	res, err := req.RequestWith(ctx, b.admin)
	if err != nil {
		return fmt.Errorf("delete records of %s/%d below %d: %w", topic, id, offset, err)
	}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			err := kerr.ErrorForCode(p.ErrorCode)
			// A topic that is being deleted has nothing left to trim.
			if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
				return fmt.Errorf("delete records of %s/%d below %d: %w", topic, id, offset, err)
			}
		}
	}
	return nil
}
