package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/eventlog"
	"tributary/internal/eventlog/embedded"
	"tributary/internal/eventlog/kafkalog"
)

// childEnv makes the test binary the process that is killed; its value is the directory.
const childEnv = "TRIBUTARY_TEST_EMBEDDED_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const keptTopic, trimmedTopic, killGroup = "kept", "trimmed", "reader"

var killTopics = []eventlog.Topic{
	{Name: keptTopic, Partitions: 1},
	{Name: trimmedTopic, Partitions: 3, Retention: time.Hour},
}

func killOptions(dir string) embedded.Options {
	return embedded.Options{
		Dir: dir, MaxBytes: 256 << 10, SegmentBytes: 8 << 10, Topics: killTopics,
		Groups: func() []eventlog.Group {
			return []eventlog.Group{{Name: killGroup, Topics: []string{trimmedTopic}}}
		},
	}
}

func connect(b *embedded.Broker) (*kafkalog.Log, error) {
	return kafkalog.Open(context.Background(), kafkalog.Options{
		Brokers: []string{b.Addr()}, Embedded: true,
		SessionTimeout: 500 * time.Millisecond, CommitEvery: 20 * time.Millisecond,
	})
}

// child appends, reads, commits and trims until it is killed, and prints each record that
// was acknowledged.
func child(dir string) error {
	ctx := context.Background()
	b, err := embedded.Start(ctx, killOptions(dir))
	if err != nil {
		return err
	}
	l, err := connect(b)
	if err != nil {
		return err
	}
	if err := l.Ensure(ctx, killTopics...); err != nil {
		return err
	}
	failed := make(chan error, 8)
	go func() {
		failed <- l.Consume(ctx, eventlog.Group{Name: killGroup, Topics: []string{trimmedTopic}},
			func(ctx context.Context, c eventlog.Claim) error {
				for {
					records, err := c.Poll(ctx, 500, time.Second)
					if err != nil {
						return err
					}
					for _, r := range records {
						c.Commit(r.Topic, r.Partition, r.Offset+1)
					}
				}
			})
	}()
	go func() {
		for {
			if _, err := b.Trim(ctx); err != nil {
				failed <- err
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	var mu sync.Mutex
	for w := range 4 {
		go func() {
			filler := strings.Repeat("x", 300)
			for i := 0; ; i++ {
				topic := trimmedTopic
				if i%4 == 0 {
					topic = keptTopic
				}
				v := fmt.Sprintf("%d.%d.%d.%s", os.Getpid(), w, i, filler)
				out, err := l.Append(ctx, topic, eventlog.Record{Value: []byte(v)}, eventlog.Record{Value: []byte(v)})
				if err != nil {
					failed <- err
					return
				}
				mu.Lock()
				for _, r := range out {
					fmt.Printf("%s %d %d %s\n", r.Topic, r.Partition, r.Offset, r.Value)
				}
				mu.Unlock()
			}
		}()
	}
	return <-failed
}

type position struct {
	topic     string
	partition int
	offset    int64
}

// TestKill kills a process that appends while it trims, several times, and each time
// looks for all that was acknowledged.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(3, 1))
	acknowledged := make(map[position]string)
	ends := make(map[string][]int64)
	trimmed := false
	for cycle := range 5 {
		before := len(acknowledged)
		runAndKill(t, dir, 400+random.IntN(1200), acknowledged)
		t.Logf("cycle %d: %d more acknowledged", cycle, len(acknowledged)-before)
		trimmed = verify(t, dir, acknowledged, ends) || trimmed
	}
	if !trimmed {
		t.Error("nothing was ever trimmed: the test shows nothing")
	}
}

// runAndKill lets a child work until it has acknowledged so many records.
func runAndKill(t *testing.T, dir string, records int, acknowledged map[position]string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	var trouble strings.Builder
	cmd.Stderr = &trouble
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for n := 0; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil { // what was cut off was not heard by anybody
			if err != io.EOF || n < records {
				t.Errorf("the child ended by itself after %d records: %v %s", n, err, trouble.String())
			}
			break
		}
		var p position
		var value string
		if _, err := fmt.Sscan(line, &p.topic, &p.partition, &p.offset, &value); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if had, ok := acknowledged[p]; ok {
			t.Fatalf("%v was given twice: to %.30s and %.30s", p, had, value)
		}
		acknowledged[p] = value
		if n == records {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
}

// verify opens the directory as the next process would, and says whether anything was
// trimmed so far.
func verify(t *testing.T, dir string, acknowledged map[position]string, ends map[string][]int64) (trimmed bool) {
	t.Helper()
	b, err := embedded.Start(t.Context(), killOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	l, err := connect(b)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	firsts := make(map[string][]int64)
	held := make(map[position]string)
	for _, topic := range killTopics {
		first, end, err := l.Bounds(t.Context(), topic.Name)
		if err != nil {
			t.Fatal(err)
		}
		committed, err := l.Committed(t.Context(), killGroup, topic.Name)
		if err != nil {
			t.Fatal(err)
		}
		for p := range first {
			if before := ends[topic.Name]; before != nil && end[p] < before[p] {
				t.Errorf("%s/%d: the end went back from %d to %d", topic.Name, p, before[p], end[p])
			}
			if first[p] > 0 && (topic.Name == keptTopic || first[p] > committed[p]) {
				t.Errorf("%s/%d: trimmed to %d, read to %d", topic.Name, p, first[p], committed[p])
			}
			trimmed = trimmed || first[p] > 0
			for at := first[p]; at < end[p]; {
				records, err := l.Read(t.Context(), topic.Name, p, at, 10_000, time.Second)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					held[position{topic.Name, p, r.Offset}] = string(r.Value)
					at = r.Offset + 1
				}
			}
		}
		firsts[topic.Name], ends[topic.Name] = first, end
	}
	lost := 0
	for p, value := range acknowledged {
		if p.offset >= firsts[p.topic][p.partition] && held[p] != value {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged records are lost or changed", lost, len(acknowledged))
	}
	return trimmed
}
