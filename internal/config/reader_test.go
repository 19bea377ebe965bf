package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tributary/internal/config"
)

// What stands in the file is what is read, however it came there.
func TestReaderSeesEveryChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	old := time.Now().Add(-time.Hour)
	read := config.Secret("file:" + path).Reader()
	want := func(what, value string) {
		t.Helper()
		for range 3 { // remembered or not
			if got, err := read(); err != nil || got != value {
				t.Fatalf("%s: %q, %v; want %q", what, got, err, value)
			}
		}
	}
	fails := func(what string) {
		t.Helper()
		if got, err := read(); err == nil {
			t.Fatalf("%s: %q and no error", what, got)
		}
	}
	fails("no file")
	write(t, path, "one\n")
	want("a new file", "one")
	write(t, path, "two\n") // the same size, perhaps within the clock's grain
	want("written again at once", "two")
	aged(t, path, old)
	want("an old file", "two")
	write(t, path, "six\n")
	want("an old file written again with the same size", "six")
	aged(t, path, old)
	want("aged", "six")

	// Replaced by a file of the same size and the same time: another inode.
	fresh := filepath.Join(filepath.Dir(path), "fresh")
	write(t, fresh, "ten\n")
	aged(t, fresh, old)
	if err := os.Rename(fresh, path); err != nil {
		t.Fatal(err)
	}
	want("replaced", "ten")

	write(t, path, "\n")
	fails("empty")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	fails("removed")
	write(t, path, "back")
	want("there again", "back")
}

// An environment variable and no secret at all read as ever.
func TestReaderOfOtherSecrets(t *testing.T) {
	t.Setenv("TRIBUTARY_TEST_TOKEN", " v \n")
	if got, err := config.Secret("env:TRIBUTARY_TEST_TOKEN").Reader()(); err != nil || got != "v" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := config.Secret("").Reader()(); err != nil || got != "" {
		t.Errorf("%q, %v", got, err)
	}
}

// While a file is replaced over and over, a reader sees whole values in their order.
func TestReaderUnderReplacement(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	put := func(n int) {
		fresh := filepath.Join(dir, "fresh")
		write(t, fresh, fmt.Sprintf("%0200d", n))
		aged(t, fresh, time.Now().Add(-time.Hour)) // may be remembered
		if err := os.Rename(fresh, path); err != nil {
			t.Fatal(err)
		}
	}
	put(0)
	read := config.Secret("file:" + path).Reader()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for last := -1; ; {
				v, err := read()
				var n int
				if _, e := fmt.Sscanf(v, "%d", &n); err != nil || e != nil || len(v) != 200 || n < last {
					t.Errorf("read %q after %d: %v", v, last, err)
					return
				}
				last = n
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for n := range 300 {
		put(n)
	}
	close(stop)
	readers.Wait()
	if got, err := read(); err != nil || got != fmt.Sprintf("%0200d", 299) {
		t.Errorf("at the end %q, %v", got, err)
	}
}

func aged(t *testing.T, path string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// A file that did not change costs one look.
func BenchmarkReader(b *testing.B) {
	path := filepath.Join(b.TempDir(), "token")
	if err := os.WriteFile(path, []byte("value"), 0o600); err != nil {
		b.Fatal(err)
	}
	at := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, at, at); err != nil {
		b.Fatal(err)
	}
	read := config.Secret("file:" + path).Reader()
	for b.Loop() {
		if _, err := read(); err != nil {
			b.Fatal(err)
		}
	}
}
