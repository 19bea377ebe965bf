package eventlogtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"tributary/internal/eventlog"
)

func read(t *testing.T, e Engine) {
	l := open(t, e)
	tp := topic(t, l, 1)
	mustAppend(t, l, tp, numbered(0, 10)...) // one batch
	mustAppend(t, l, tp, numbered(10, 10)...)
	tests := []struct {
		offset      int64
		max         int
		first, last string
		n           int
	}{
		{0, 100, "0", "19", 20},
		{0, 3, "0", "2", 3},
		{4, 100, "4", "19", 16}, // within a batch
		{4, 2, "4", "5", 2},
		{9, 2, "9", "10", 2}, // over the edge of a batch
		{19, 5, "19", "19", 1},
		{20, 5, "", "", 0}, // the end
		{0, 0, "", "", 0},
	}
	for _, tt := range tests {
		got, err := l.Read(t.Context(), tp, 0, tt.offset, tt.max, 10*time.Millisecond)
		if err != nil || len(got) != tt.n {
			t.Errorf("Read(%d, max %d) gave %d records, %v; want %d", tt.offset, tt.max, len(got), err, tt.n)
			continue
		}
		if tt.n > 0 && (string(got[0].Value) != tt.first || string(got[tt.n-1].Value) != tt.last || got[0].Offset != tt.offset) {
			t.Errorf("Read(%d, max %d) = %q … %q, want %q … %q", tt.offset, tt.max, got[0].Value, got[tt.n-1].Value, tt.first, tt.last)
		}
	}
	for _, offset := range []int64{-2, -1, 21, 1000} {
		if _, err := l.Read(t.Context(), tp, 0, offset, 1, 0); !errors.Is(err, eventlog.ErrOutOfRange) {
			t.Errorf("Read(%d) = %v, want ErrOutOfRange", offset, err)
		}
	}
}

func readWaits(t *testing.T, e Engine) {
	l := open(t, e)
	tp := topic(t, l, 1)
	type answer struct {
		records []eventlog.Record
		err     error
	}
	got := make(chan answer, 1)
	go func() {
		records, err := l.Read(t.Context(), tp, 0, 0, 10, patience)
		got <- answer{records, err}
	}()
	mustAppend(t, l, tp, value("woken"))
	select {
	case a := <-got:
		if a.err != nil || len(a.records) != 1 || string(a.records[0].Value) != "woken" {
			t.Errorf("got %v, %v", a.records, a.err)
		}
	case <-time.After(patience / 2):
		t.Error("an append does not wake a read that waits")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Read(ctx, tp, 0, 1, 10, patience); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled read: %v", err)
	}
}

func trimmed(t *testing.T, e Engine) {
	l := open(t, e)
	tp := topic(t, l, 1)
	for i := range 4 {
		mustAppend(t, l, tp, numbered(10*i, 10)...)
	}
	trim(t, e, tp, 0, 20)
	first, end, err := l.Bounds(t.Context(), tp)
	if err != nil || first[0] != 20 || end[0] != 40 {
		t.Fatalf("Bounds = %v, %v, %v; want 20 up to 40", first, end, err)
	}
	if _, err := l.Read(t.Context(), tp, 0, 19, 5, 0); !errors.Is(err, eventlog.ErrOutOfRange) {
		t.Errorf("Read below the first = %v, want ErrOutOfRange", err)
	}
	got, err := l.Read(t.Context(), tp, 0, 20, 100, time.Second)
	if err != nil || len(got) != 20 || string(got[0].Value) != "20" {
		t.Errorf("Read at the first gave %d records, %v", len(got), err)
	}
}
