package simulator

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// A journal is the file that makes the memory outlive the process: one JSON line for each
// thing kept. A nil journal keeps nothing. note and written are called under the
// simulator's lock; sync is not, so that one fsync serves many requests.
type journal struct {
	file *os.File
	seq  int64 // lines written; under the simulator's lock

	syncing sync.Mutex // one fsync at a time
	mu      sync.Mutex // guards what follows
	synced  int64
	err     error // the first failure; nothing is taken after it
}

type journalLine struct {
	Kind  string          `json:"k"`
	Value json.RawMessage `json:"v"`
}

// openJournal reads the file in dir, giving each line to restore, and cuts off a last line
// that was not written whole.
func openJournal(dir string, restore func(kind string, value json.RawMessage) error) (*journal, error) {
	path := filepath.Join(dir, "simulator.jsonl")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	whole, err := readLines(f, restore)
	if err == nil {
		err = f.Truncate(whole)
	}
	if err == nil {
		_, err = f.Seek(whole, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return &journal{file: f}, nil
}

func readLines(f *os.File, restore func(string, json.RawMessage) error) (whole int64, err error) {
	in := bufio.NewReaderSize(f, 1<<20)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil // what is left has no end: it was never answered for
		}
		if err != nil {
			return 0, err
		}
		var l journalLine
		if err := json.Unmarshal(line, &l); err != nil {
			return 0, fmt.Errorf("line %d: %w", n, err)
		}
		if err := restore(l.Kind, l.Value); err != nil {
			return 0, fmt.Errorf("line %d: %w", n, err)
		}
		whole += int64(len(line))
	}
}

// note writes one line. A failure is told by the next sync.
func (j *journal) note(kind string, value any) {
	if j == nil || j.failed(nil) != nil {
		return
	}
	text, err := marshal(value)
	if err == nil {
		text, err = marshal(journalLine{Kind: kind, Value: text})
	}
	if err == nil {
		_, err = j.file.Write(append(text, '\n'))
	}
	if j.failed(err) == nil {
		j.seq++
	}
}

func (j *journal) written() int64 {
	if j == nil {
		return 0
	}
	return j.seq
}

// sync returns once the first seq lines would survive a crash of the machine.
func (j *journal) sync(seq int64) error {
	if j == nil {
		return nil
	}
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	done, err := j.synced >= seq, j.err
	j.mu.Unlock()
	if done || err != nil {
		return err
	}
	if err := j.failed(j.file.Sync()); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.synced = max(j.synced, seq)
	return nil
}

// failed keeps the first error and returns it.
func (j *journal) failed(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		j.err = err
	}
	return j.err
}

func (j *journal) truncate() error {
	if j == nil {
		return nil
	}
	if err := j.file.Truncate(0); err != nil {
		return err
	}
	_, err := j.file.Seek(0, io.SeekStart)
	return err
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return j.file.Close()
}
