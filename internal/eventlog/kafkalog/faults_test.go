package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tributary/internal/eventlog"
	"tributary/internal/eventlog/kafkatest"
)

// These tests put a broker in memory that misbehaves as told.

func misbehaving(t *testing.T, partitions int32, o Options) (*kfake.Cluster, *Log) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "t"), kfake.GroupMinSessionTimeout(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	o.Brokers, o.Embedded = c.ListenAddrs(), true
	l, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return c, l
}

// refuse answers produce requests with a code, while refusing says so.
func refuse(c *kfake.Cluster, code int16, refusing func(kmsg.ProduceRequest) bool) {
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.ProduceRequest)
		if !refusing(*req) {
			return nil, nil, false
		}
		return produceAnswer(req, code), nil, true
	})
}

func produceAnswer(req *kmsg.ProduceRequest, code int16, bad ...int32) *kmsg.ProduceResponse {
	res := req.ResponseKind().(*kmsg.ProduceResponse)
	p := kmsg.NewProduceResponseTopicPartition()
	p.Partition, p.ErrorCode = req.Topics[0].Partitions[0].Partition, code
	for _, i := range bad {
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		e.RelativeOffset, e.ErrorMessage = i, kmsg.StringPtr("this one is bad")
		p.ErrorRecords = append(p.ErrorRecords, e)
	}
	tp := kmsg.NewProduceResponseTopic()
	tp.Topic, tp.Partitions = req.Topics[0].Topic, append(tp.Partitions, p)
	res.Topics = append(res.Topics, tp)
	return res
}

func TestAppendOutlastsALeaderChange(t *testing.T) {
	c, l := misbehaving(t, 1, Options{})
	var tries atomic.Int32
	refuse(c, kerr.NotLeaderForPartition.Code, func(kmsg.ProduceRequest) bool { return tries.Add(1) <= 3 })
	out, err := l.Append(t.Context(), "t", eventlog.Record{Value: []byte("v")})
	if err != nil || out[0].Offset != 0 || tries.Load() != 4 {
		t.Errorf("Append = %v, %v after %d tries", out, err, tries.Load())
	}
}

func TestAppendGivesUpInTime(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.NotEnoughReplicas, kerr.UnknownServerError, kerr.TopicAuthorizationFailed} {
		c, l := misbehaving(t, 1, Options{Timeout: 200 * time.Millisecond})
		refuse(c, code.Code, func(kmsg.ProduceRequest) bool { return true })
		_, err := l.Append(t.Context(), "t", eventlog.Record{Value: []byte("v")})
		if !errors.Is(err, eventlog.ErrUnavailable) || !errors.Is(err, kafka.Error(code.Code)) {
			t.Errorf("%s: Append = %v, want ErrUnavailable and why", code.Message, err)
		}
	}
}

func TestAppendWhileTheBrokerIsGone(t *testing.T) {
	c, l := misbehaving(t, 1, Options{Timeout: 200 * time.Millisecond})
	if _, err := l.Append(t.Context(), "t", eventlog.Record{Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := l.Append(t.Context(), "t", eventlog.Record{Value: []byte("v")}); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("Append = %v, want ErrUnavailable", err)
	}
}

// hold stops the first produce request until it is let go, so that calls gather behind it.
func hold(c *kfake.Cluster, then func(*kmsg.ProduceRequest) (kmsg.Response, bool)) (arrived <-chan struct{}, letGo func()) {
	first, held := make(chan struct{}), make(chan struct{})
	var n atomic.Int32
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if n.Add(1) == 1 {
			close(first)
			c.SleepControl(func() { <-held })
			return nil, nil, false
		}
		res, handled := then(r.(*kmsg.ProduceRequest))
		return res, nil, handled
	})
	return first, func() { close(held) }
}

// gather appends values behind the one that is held, and waits until they are queued.
func gather(t *testing.T, l *Log, values ...string) (wait func() map[string]error) {
	t.Helper()
	errs := make(map[string]error)
	var mu sync.Mutex
	var wg sync.WaitGroup
	q := l.topics["t"].queues[0]
	for i, v := range values {
		wg.Go(func() {
			_, err := l.Append(t.Context(), "t", eventlog.Record{Value: []byte(v)})
			mu.Lock()
			errs[v] = err
			mu.Unlock()
		})
		waitFor(t, func() bool { // one after the other, so that their order is known
			q.mu.Lock()
			defer q.mu.Unlock()
			return len(q.calls) == i+1
		})
	}
	return func() map[string]error { wg.Wait(); return errs }
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

func TestWhatArrivesMeanwhileIsTheNextBatch(t *testing.T) {
	c, l := misbehaving(t, 1, Options{})
	var sizes []int32
	arrived, letGo := hold(c, func(req *kmsg.ProduceRequest) (kmsg.Response, bool) {
		var b kmsg.RecordBatch
		if err := b.ReadFrom(req.Topics[0].Partitions[0].Records); err == nil {
			sizes = append(sizes, b.NumRecords)
		}
		return nil, false
	})
	first := make(chan error, 1)
	go func() {
		_, err := l.Append(t.Context(), "t", eventlog.Record{Value: []byte("first")})
		first <- err
	}()
	<-arrived
	var values []string
	for i := range 50 {
		values = append(values, fmt.Sprint(i))
	}
	wait := gather(t, l, values...)
	letGo()
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	for v, err := range wait() {
		if err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
	if len(sizes) != 1 || sizes[0] != 50 {
		t.Errorf("batches of %v records followed, want one of 50", sizes)
	}
}

func TestABadRecordFailsAlone(t *testing.T) {
	named := func(req *kmsg.ProduceRequest) (kmsg.Response, bool) {
		at := position(req, "bad")
		if at < 0 {
			return nil, false
		}
		return produceAnswer(req, kerr.InvalidRecord.Code, at), true
	}
	unnamed := func(req *kmsg.ProduceRequest) (kmsg.Response, bool) {
		if position(req, "bad") < 0 {
			return nil, false
		}
		return produceAnswer(req, kerr.InvalidRecord.Code), true
	}
	onlyNamed := func(req *kmsg.ProduceRequest) (kmsg.Response, bool) {
		at := position(req, "bad")
		if at < 0 {
			return nil, false
		}
		return produceAnswer(req, 0, at), true
	}
	for name, answer := range map[string]func(*kmsg.ProduceRequest) (kmsg.Response, bool){
		"the broker names it": named, "the broker does not say which": unnamed, "no code for the batch": onlyNamed,
	} {
		t.Run(name, func(t *testing.T) {
			c, l := misbehaving(t, 1, Options{})
			arrived, letGo := hold(c, answer)
			go l.Append(t.Context(), "t", eventlog.Record{Value: []byte("first")})
			<-arrived
			wait := gather(t, l, "one", "bad", "two", "three")
			letGo()
			for v, err := range wait() {
				if (err != nil) != (v == "bad") || errors.Is(err, eventlog.ErrUnavailable) {
					t.Errorf("%s: %v", v, err)
				}
			}
			got, err := l.Read(t.Context(), "t", 0, 0, 10, time.Second)
			var order []string
			for _, r := range got {
				order = append(order, string(r.Value))
			}
			if s := strings.Join(order, " "); err != nil || s != "first one two three" {
				t.Errorf("the log holds %q, %v", s, err)
			}
		})
	}
}

// position finds a value in a produce request.
func position(req *kmsg.ProduceRequest, value string) int32 {
	var b kmsg.RecordBatch
	if err := b.ReadFrom(req.Topics[0].Partitions[0].Records); err != nil {
		return -1
	}
	records, err := kfake.BatchRecords(b)
	if err != nil {
		return -1
	}
	for i, r := range records {
		if string(r.Value) == value {
			return int32(i)
		}
	}
	return -1
}

func TestABatchTooLargeForTheTopicIsHalved(t *testing.T) {
	c, l := misbehaving(t, 1, Options{})
	refuse(c, kerr.MessageTooLarge.Code, func(r kmsg.ProduceRequest) bool {
		return len(r.Topics[0].Partitions[0].Records) > 1000
	})
	var records []eventlog.Record
	for range 50 {
		records = append(records, eventlog.Record{Value: make([]byte, 200)})
	}
	out, err := l.Append(t.Context(), "t", records...)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range out {
		if r.Offset != int64(i) {
			t.Fatalf("record %d stands at %d", i, r.Offset)
		}
	}
	if _, err := l.Append(t.Context(), "t", eventlog.Record{Value: make([]byte, 2000)}); !errors.Is(err, kafka.MessageSizeTooLarge) {
		t.Errorf("a record that is too large: %v", err)
	}
}

func TestWaitingRecordsAreBounded(t *testing.T) {
	c, l := misbehaving(t, 1, Options{Timeout: 300 * time.Millisecond, PendingBytes: 10_000})
	arrived, letGo := hold(c, func(*kmsg.ProduceRequest) (kmsg.Response, bool) { return nil, false })
	first := make(chan error, 1)
	go func() {
		_, err := l.Append(t.Context(), "t", eventlog.Record{Value: make([]byte, 20_000)}) // more than all the room: it gets all
		first <- err
	}()
	<-arrived
	if _, err := l.Append(t.Context(), "t", eventlog.Record{Value: []byte("v")}); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("Append without room = %v", err)
	}
	letGo()
	<-first
	if _, err := l.Append(t.Context(), "t", eventlog.Record{Value: []byte("v")}); err != nil {
		t.Errorf("Append with room again = %v", err)
	}
}

func TestKeylessRecordsStayOnFewPartitionsAtATime(t *testing.T) {
	for _, tt := range []struct {
		embedded   bool
		atATime    int
		altogether int
	}{
		{true, 1, 6},
		{false, 2, 5}, // one caller alone keeps to one slot, which goes round all but the other slot's
	} {
		_, l := misbehaving(t, 6, Options{})
		l.opts.Embedded = tt.embedded
		used := make(map[int]int)
		for i := range 6 * stay {
			out, err := l.Append(t.Context(), "t", eventlog.Record{Value: []byte("v")})
			if err != nil {
				t.Fatal(err)
			}
			used[out[0].Partition]++
			if i == stay-1 && len(used) > tt.atATime {
				t.Errorf("embedded %t: the first %d records lie on %d partitions", tt.embedded, stay, len(used))
			}
		}
		if len(used) != tt.altogether {
			t.Errorf("embedded %t: records lie on partitions %v; one after the other should get some", tt.embedded, used)
		}
	}
}

func TestClosedLog(t *testing.T) {
	_, l := misbehaving(t, 1, Options{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), "t", eventlog.Record{Value: []byte("v")}); !errors.Is(err, errClosed) {
		t.Errorf("Append on a closed log = %v", err)
	}
}

// An error must never pass for "no commit": the group would start over.
func TestCommittedTellsAnErrorFromNone(t *testing.T) {
	c, l := misbehaving(t, 1, Options{Timeout: 100 * time.Millisecond})
	if err := l.Reset(t.Context(), "g", map[string]map[int]int64{"t": {0: 0}}); err != nil {
		t.Fatal(err)
	}
	c.ControlKey(int16(kmsg.OffsetFetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		res := r.ResponseKind().(*kmsg.OffsetFetchResponse)
		p := kmsg.NewOffsetFetchResponseTopicPartition()
		p.Offset, p.ErrorCode = -1, kerr.UnstableOffsetCommit.Code
		tp := kmsg.NewOffsetFetchResponseTopic()
		tp.Topic, tp.Partitions = "t", append(tp.Partitions, p)
		res.Topics = append(res.Topics, tp)
		return res, nil, true
	})
	if got, err := l.Committed(t.Context(), "g", "t"); err == nil {
		t.Errorf("Committed = %v though the broker could not tell", got)
	}
}

func TestAliveAsksTheBroker(t *testing.T) {
	c, l := misbehaving(t, 1, Options{SessionTimeout: time.Second, Timeout: 200 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var beats, code atomic.Int32
	claims := make(chan eventlog.Claim, 1)
	done := make(chan error)
	go func() {
		done <- l.Consume(ctx, eventlog.Group{Name: "g", Topics: []string{"t"}, Whole: true},
			func(ctx context.Context, c eventlog.Claim) error {
				claims <- c
				<-ctx.Done()
				return ctx.Err()
			})
	}()
	mine := <-claims
	c.ControlKey(int16(kmsg.Heartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if r.GetVersion() == 0 { // the consumer group's own, which must not end the claim here
			return r.ResponseKind(), nil, true
		}
		beats.Add(1)
		res := r.ResponseKind().(*kmsg.HeartbeatResponse)
		res.ErrorCode = int16(code.Load())
		return res, nil, true
	})
	for range 3 {
		if err := mine.Alive(t.Context()); err != nil {
			t.Errorf("Alive = %v", err)
		}
	}
	if n := beats.Load(); n != 1 {
		t.Errorf("three questions at once made %d heartbeats, want 1", n)
	}
	for _, e := range []*kerr.Error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress} {
		code.Store(int32(e.Code))
		mine.(*claim).answered = time.Now().Add(-time.Minute)
		if err := mine.Alive(t.Context()); !errors.Is(err, eventlog.ErrLost) {
			t.Errorf("%s: Alive = %v, want ErrLost", e.Message, err)
		}
	}
	code.Store(int32(kerr.CoordinatorNotAvailable.Code))
	if err := mine.Alive(t.Context()); err == nil || errors.Is(err, eventlog.ErrLost) {
		t.Errorf("Alive without an answer = %v, want an error that is no loss", err)
	}
	cancel()
	<-done
	code.Store(0)
	if err := mine.Alive(context.Background()); err == nil {
		t.Error("a claim that ended is alive")
	}
}

func TestAliveOnApacheKafka(t *testing.T) {
	l, err := Open(t.Context(), Options{Brokers: []string{kafkatest.Start(t)}, SessionTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Ensure(t.Context(), eventlog.Topic{Name: "alive", Partitions: 1, Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
	mistake := errors.New("seen enough")
	err = l.Consume(t.Context(), eventlog.Group{Name: "alive", Topics: []string{"alive"}, Whole: true},
		func(ctx context.Context, c eventlog.Claim) error {
			mine := c.(*claim)
			if err := mine.Alive(ctx); err != nil {
				t.Errorf("Alive = %v", err)
			}
			for name, other := range map[string]*claim{
				"an earlier generation": {log: l, ctx: ctx, group: mine.group, member: mine.member, gen: mine.gen - 1},
				"an expelled member":    {log: l, ctx: ctx, group: mine.group, member: "nobody", gen: mine.gen},
			} {
				if err := other.Alive(ctx); !errors.Is(err, eventlog.ErrLost) {
					t.Errorf("%s: Alive = %v, want ErrLost", name, err)
				}
				other.owned = mine.owned
				other.pending = map[string]map[int]int64{"alive": {0: 7}}
				if err := other.Flush(ctx); !errors.Is(err, eventlog.ErrLost) {
					t.Errorf("%s: Flush = %v, want ErrLost", name, err)
				}
			}
			return mistake
		})
	if !errors.Is(err, mistake) {
		t.Error(err)
	}
}

func TestEnsureChecksSettingsOnApacheKafka(t *testing.T) {
	var log strings.Builder
	l, err := Open(t.Context(), Options{
		Brokers: []string{kafkatest.Start(t)}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	make := func(name string, settings ...kafka.ConfigEntry) {
		t.Helper()
		res, err := l.client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
			{Topic: name, NumPartitions: 1, ReplicationFactor: 1, ConfigEntries: settings},
		}})
		if err != nil || res.Errors[name] != nil {
			t.Fatal(err, res.Errors[name])
		}
	}
	make("compacted", kafka.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "compact"})
	make("expires", kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "3600000"})
	tests := []struct {
		topic     eventlog.Topic
		err, warn string
	}{
		{eventlog.Topic{Name: "compacted", Retention: time.Hour}, "compacted (cleanup.policy=compact)", ""},
		{eventlog.Topic{Name: "expires"}, "must be kept for ever", ""},
		{eventlog.Topic{Name: "expires", Retention: 2 * time.Hour}, "", "kept for less than configured"},
		{eventlog.Topic{Name: "expires", Retention: time.Hour}, "", ""},
		{eventlog.Topic{Name: "forever"}, "", ""},
		{eventlog.Topic{Name: "forever"}, "", ""}, // as Ensure itself made it
		{eventlog.Topic{Name: "forever", Retention: time.Hour}, "", ""},
	}
	for _, tt := range tests {
		log.Reset()
		err := l.Ensure(t.Context(), tt.topic)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("Ensure(%+v) = %v, want %q", tt.topic, err, tt.err)
		}
		if got := log.String(); (got == "") != (tt.warn == "") || !strings.Contains(got, tt.warn) {
			t.Errorf("Ensure(%+v) logs %q, want %q", tt.topic, got, tt.warn)
		}
	}
}
