package kafkalog

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

func TestOptionsAreChecked(t *testing.T) {
	brokers := []string{"kafka.example.test:9092"}
	for want, o := range map[string]Options{
		"no Kafka broker":        {},
		"unknown SASL mechanism": {Brokers: brokers, SASL: SASL{Mechanism: "GSSAPI"}},
		"unknown compression":    {Brokers: brokers, Compression: "rar"},
	} {
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%+v) = %v, want %q", o, err, want)
		}
	}
}

func TestConnectionsAreWired(t *testing.T) {
	conf := &tls.Config{ServerName: "kafka.example.test"}
	for _, mechanism := range []string{"PLAIN", "plain", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		l, err := newLog(Options{
			Brokers: []string{"kafka.example.test:9093"}, TLS: conf, ClientID: "me",
			SASL: SASL{Mechanism: mechanism, User: "u", Password: "p"},
		})
		if err != nil {
			t.Fatal(err)
		}
		m := &member{log: l}
		dialer := m.settings().Dialer
		if l.transport.TLS != conf || dialer.TLS != conf {
			t.Error("TLS is not used everywhere")
		}
		for _, s := range []interface{ Name() string }{l.transport.SASL, dialer.SASLMechanism} {
			if s == nil || s.Name() != strings.ToUpper(mechanism) {
				t.Errorf("SASL %v, want %s", s, mechanism)
			}
		}
		if l.transport.ClientID != "me" || dialer.ClientID != "me" {
			t.Error("the client id is not used everywhere")
		}
	}
}

func TestSASLKeepsItsPassword(t *testing.T) {
	s := SASL{Mechanism: "PLAIN", User: "site", Password: "hunter2"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("open", "sasl", s)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v", s, s), fmt.Sprintf("%v", Options{SASL: s}), log.String()} {
		if strings.Contains(text, "hunter2") || !strings.Contains(text, "site") {
			t.Errorf("prints as %s", text)
		}
	}
	if _, err := json.Marshal(struct{ User string }{s.User}); err != nil {
		t.Fatal(err)
	}
}

func partitions(topics map[string]int) []kafka.Partition {
	var out []kafka.Partition
	for topic, n := range topics {
		for p := range n {
			out = append(out, kafka.Partition{Topic: topic, ID: p})
		}
	}
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func TestSpreadGoesByPartitionID(t *testing.T) {
	both := []string{"events", "inbound"}
	members := []kafka.GroupMember{{ID: "c", Topics: both}, {ID: "a", Topics: both}, {ID: "b", Topics: []string{"events"}}}
	want := kafka.GroupMemberAssignments{
		"a": {"events": {0, 3}, "inbound": {0, 2}},
		"b": {"events": {1, 4}},
		"c": {"events": {2}, "inbound": {1, 3}},
	}
	for range 20 { // brokers list partitions and members in any order
		rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		if got := (spread{}).AssignGroups(members, partitions(map[string]int{"events": 5, "inbound": 4})); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func TestWholeKeepsItsOwner(t *testing.T) {
	owned := func(generation int64) []byte {
		var w whole
		w.owned.Store(generation)
		data, _ := w.UserData()
		return data
	}
	tests := []struct {
		name    string
		members []kafka.GroupMember
		owner   string
	}{
		{"nobody owned: the lowest id", []kafka.GroupMember{{ID: "b", UserData: owned(0)}, {ID: "a", UserData: owned(0)}}, "a"},
		{"the owner stays", []kafka.GroupMember{{ID: "a", UserData: owned(0)}, {ID: "b", UserData: owned(7)}}, "b"},
		{"the latest owner", []kafka.GroupMember{{ID: "a", UserData: owned(3)}, {ID: "b", UserData: owned(7)}}, "b"},
		{"user data of another kind", []kafka.GroupMember{{ID: "b", UserData: []byte("x")}, {ID: "a"}}, "a"},
	}
	for _, tt := range tests {
		got := new(whole).AssignGroups(tt.members, partitions(map[string]int{"events": 3, "replays": 1}))
		for _, m := range tt.members {
			mine, ok := got[m.ID]
			if !ok {
				t.Errorf("%s: %s has no entry, which kafka-go cannot read", tt.name, m.ID)
			}
			if has := len(mine) > 0; has != (m.ID == tt.owner) {
				t.Errorf("%s: %s got %v", tt.name, m.ID, mine)
			}
		}
		if want := map[string][]int{"events": {0, 1, 2}, "replays": {0}}; !reflect.DeepEqual(got[tt.owner], want) {
			t.Errorf("%s: the owner got %v", tt.name, got[tt.owner])
		}
	}
}

func TestAge(t *testing.T) {
	if age(time.Time{}) < time.Hour {
		t.Error("a heartbeat that never was is young")
	}
	now := time.Now()
	if age(now) > time.Minute {
		t.Error("a heartbeat just now is old")
	}
	if age(now.Round(0).Add(-time.Hour)) < time.Hour {
		t.Error("the wall clock does not count")
	}
}
