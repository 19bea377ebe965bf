package kafkalog

import (
	"encoding/binary"
	"slices"
	"sync/atomic"

	"github.com/segmentio/kafka-go"
)

// spread shares partitions out by their id: partition p goes to member p modulo the
// members that read its topic, in the order of their ids. So one member has the same
// partitions of all topics, whatever order a broker lists them in.
type spread struct{}

func (spread) ProtocolName() string      { return "tributary-spread" }
func (spread) UserData() ([]byte, error) { return nil, nil }

func (spread) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	members = byID(members)
	return assign(members, partitions, func(p kafka.Partition) *kafka.GroupMember {
		var readers []*kafka.GroupMember
		for i := range members {
			if slices.Contains(members[i].Topics, p.Topic) {
				readers = append(readers, &members[i])
			}
		}
		if len(readers) == 0 {
			return nil
		}
		return readers[p.ID%len(readers)]
	})
}

// whole gives everything to one member: the one that owned it in the latest generation,
// else the one with the lowest id. The others stand by.
type whole struct {
	owned atomic.Int64 // the last generation in which this member owned everything
}

func (*whole) ProtocolName() string { return "tributary-whole" }

// UserData tells the member that assigns when this one last owned.
func (w *whole) UserData() ([]byte, error) {
	return binary.BigEndian.AppendUint64(nil, uint64(w.owned.Load())), nil
}

func (*whole) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	members = byID(members)
	owner := 0
	for i := range members {
		if lastOwned(members[i]) > lastOwned(members[owner]) {
			owner = i
		}
	}
	return assign(members, partitions, func(kafka.Partition) *kafka.GroupMember { return &members[owner] })
}

func lastOwned(m kafka.GroupMember) int64 {
	if len(m.UserData) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(m.UserData))
}

func byID(members []kafka.GroupMember) []kafka.GroupMember {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b kafka.GroupMember) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	return members
}

// assign gives every member an entry, an empty one too: kafka-go cannot read an answer
// that has none for it.
func assign(members []kafka.GroupMember, partitions []kafka.Partition, to func(kafka.Partition) *kafka.GroupMember) kafka.GroupMemberAssignments {
	out := make(kafka.GroupMemberAssignments, len(members))
	for _, m := range members {
		out[m.ID] = make(map[string][]int)
	}
	for _, p := range partitions {
		if m := to(p); m != nil {
			out[m.ID][p.Topic] = append(out[m.ID][p.Topic], p.ID)
		}
	}
	for _, topics := range out {
		for _, ids := range topics {
			slices.Sort(ids)
		}
	}
	return out
}
