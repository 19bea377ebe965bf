package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tributary/internal/eventlog"
)

// A reader is a configured group and what it has committed, by topic and partition. No
// commit is offset 0: such a group has everything still to read.
type reader struct {
	group     eventlog.Group
	committed map[string]map[int]int64
}

func (r reader) reads(topic string) bool { return slices.Contains(r.group.Topics, topic) }

// readers asks for the offsets of all configured groups.
func (b *Broker) readers(ctx context.Context) ([]reader, error) {
	if b.opts.Groups == nil {
		return nil, nil
	}
	var out []reader
	for _, g := range b.opts.Groups() {
		committed, err := b.committed(ctx, g.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, reader{group: g, committed: committed})
	}
	return out, nil
}

func (b *Broker) committed(ctx context.Context, group string) (map[string]map[int]int64, error) {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	req := kmsg.NewOffsetFetchRequest()
	req.Groups = append(req.Groups, g)
	res, err := req.RequestWith(ctx, b.admin)
	if err != nil {
		return nil, fmt.Errorf("committed offsets of group %q: %w", group, err)
	}
	out := make(map[string]map[int]int64)
	for _, g := range res.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); errors.Is(err, kerr.GroupIDNotFound) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("committed offsets of group %q: %w", group, err)
		}
		for _, t := range g.Topics {
			out[t.Topic] = make(map[int]int64)
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("committed offset of group %q in %s/%d: %w", group, t.Topic, p.Partition, err)
				}
				out[t.Topic][int(p.Partition)] = p.Offset
			}
		}
	}
	return out, nil
}

// deleteStrangers deletes the groups that are not configured, such as that of a
// destination that was taken out of the configuration.
func (b *Broker) deleteStrangers(ctx context.Context) error {
	if b.opts.Groups == nil {
		return nil
	}
	configured := make(map[string]bool)
	for _, g := range b.opts.Groups() {
		configured[g.Name] = true
	}
	list := kmsg.NewListGroupsRequest()
	res, err := list.RequestWith(ctx, b.admin)
	if err != nil {
		return fmt.Errorf("list the groups: %w", err)
	}
	for _, g := range res.Groups {
		if configured[g.Group] {
			continue
		}
		if err := b.deleteGroup(ctx, g.Group); err != nil {
			b.logger.Warn("cannot delete a group that is no longer configured", "group", g.Group, "error", err)
			continue
		}
		b.logger.Info("deleted a group that is no longer configured", "group", g.Group)
	}
	return nil
}

// deleteGroup deletes the offsets first: kfake writes that down at once, but forgets the
// deletion of a group itself in a crash.
func (b *Broker) deleteGroup(ctx context.Context, group string) error {
	committed, err := b.committed(ctx, group)
	if err != nil {
		return err
	}
	offsets := kmsg.NewOffsetDeleteRequest()
	offsets.Group = group
	for topic, partitions := range committed {
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic = topic
		for id := range partitions {
			p := kmsg.NewOffsetDeleteRequestTopicPartition()
			p.Partition = int32(id)
			t.Partitions = append(t.Partitions, p)
		}
		offsets.Topics = append(offsets.Topics, t)
	}
	if len(offsets.Topics) > 0 {
		res, err := offsets.RequestWith(ctx, b.admin)
		if err != nil {
			return err
		}
		if err := kerr.ErrorForCode(res.ErrorCode); err != nil {
			return err
		}
	}
	req := kmsg.NewDeleteGroupsRequest()
	req.Groups = []string{group}
	res, err := req.RequestWith(ctx, b.admin)
	if err != nil {
		return err
	}
	for _, g := range res.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return err
		}
	}
	return nil
}
