package ingest

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSharedTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sharedTimeout{after: 8 * time.Second}
		for range 100 { // every one has its time, and not much more
			start := time.Now()
			ctx := s.context(start)
			if again := s.context(time.Now()); again != ctx {
				t.Fatal("asking twice at a time gave two contexts")
			}
			if ctx.Err() != nil {
				t.Fatal("it has ended already")
			}
			end, _ := ctx.Deadline()
			if d := end.Sub(start); d < 8*time.Second || d > 9*time.Second {
				t.Fatalf("it ends after %s, want 8 to 9 s", d)
			}
			time.Sleep(230 * time.Millisecond)
		}
		ctx := s.context(time.Now())
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("it does not end")
		}
	})
}
