package embedded_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tributary/internal/warehouse"
	"tributary/internal/warehouse/embedded"
	"tributary/internal/warehouse/warehousetest"
)

// parentEnv makes the test binary a program that starts an engine, says where, and waits to be killed.
const parentEnv = "TRIBUTARY_EMBEDDED_TEST_PARENT"

func TestMain(m *testing.M) {
	embedded.MaybeChild()
	if dir := os.Getenv(parentEnv); dir != "" {
		e, err := embedded.Start(context.Background(), embedded.Options{Dir: dir, Addr: os.Getenv(parentEnv + "_ADDR")})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(e.URL(), e.User(), e.Password())
		select {}
	}
	warehousetest.Main(m)
}

func start(t *testing.T, o embedded.Options) *embedded.Engine {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	e, err := embedded.Start(t.Context(), o)
	warehousetest.NeedLibrary(t, err)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func post(e *embedded.Engine, query string, body io.Reader) (int, string, error) {
	r, err := http.NewRequest(http.MethodPost, e.URL()+"/?query="+url.QueryEscape(query), body)
	if err != nil {
		return 0, "", err
	}
	r.SetBasicAuth(e.User(), e.Password())
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

func ask(t *testing.T, e *embedded.Engine, query string) string {
	t.Helper()
	status, text, err := post(e, query, nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s %v", query, status, text, err)
	}
	return strings.TrimSuffix(text, "\n")
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// What was acknowledged is there after the child was killed, and a client that repeats what was not acknowledged ends
// up with every row once.
func TestKilledChildIsReplaced(t *testing.T) {
	e := start(t, embedded.Options{})
	o := warehouse.Options{URL: e.URL(), User: e.User(), Password: e.Password(), Database: "kills"}
	w, err := warehouse.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Conn().Exec(t.Context(), "CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	const writers, blocks, kills = 4, 25, 3
	acknowledged := make(chan struct{}, writers*blocks)
	var all sync.WaitGroup
	for writer := range writers {
		all.Go(func() {
			for block := range blocks {
				n := uint64(writer*blocks + block)
				for insertOnce(t.Context(), w, n) != nil {
					if t.Context().Err() != nil {
						return
					}
				}
				acknowledged <- struct{}{}
			}
		})
	}
	for range kills {
		for range writers * blocks / (kills + 1) {
			<-acknowledged
		}
		pid := e.Pid()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the child was not replaced", func() bool { return e.Pid() != pid })
	}
	all.Wait()
	if got := ask(t, e, "SELECT count(), uniqExact(n) FROM kills.kept"); got != "100\t100" {
		t.Errorf("rows and different rows: %s, want 100 and 100", got)
	}
	if got := e.Restarts(); got != kills {
		t.Errorf("%d restarts, want %d", got, kills)
	}
}

func insertOnce(ctx context.Context, w *warehouse.Warehouse, n uint64) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": fmt.Sprint("block-", n)}))
	batch, err := w.Conn().PrepareBatch(ctx, "INSERT INTO kept")
	if err != nil {
		return err
	}
	if err := batch.Append(n); err != nil {
		return err
	}
	return batch.Send()
}

func TestChildEndsWithItsParent(t *testing.T) {
	if _, err := embedded.Library(""); err != nil {
		warehousetest.NeedLibrary(t, err)
	}
	dir := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) != 3 {
		t.Fatalf("the parent said %q: %v", line, err)
	}
	ping := func() bool {
		answer, err := http.Get(fields[0] + "/ping")
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	}
	if !ping() {
		t.Fatal("the engine does not answer")
	}
	parent.Process.Kill()
	parent.Wait()
	address := strings.TrimPrefix(fields[0], "http://")
	eventually(t, "the child outlived its parent", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	start(t, embedded.Options{Dir: dir, Addr: address}) // waits for the rest of the child's end
}

func TestOneProcessPerDirectory(t *testing.T) {
	dir := t.TempDir()
	first := start(t, embedded.Options{Dir: dir})
	_, err := embedded.Start(t.Context(), embedded.Options{Dir: dir, LockWait: 50 * time.Millisecond})
	if want := fmt.Sprintf("in use by another process (pid %d)", first.Pid()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "data_dir") {
		t.Errorf("a second engine in one directory: %v, want %q", err, want)
	}
	ask(t, first, "CREATE TABLE kept (n UInt8) ENGINE = MergeTree ORDER BY n")
	ask(t, first, "SELECT 1")
	second := make(chan error, 1)
	go func() {
		e, err := embedded.Start(t.Context(), embedded.Options{Dir: dir})
		if err == nil {
			_, text, _ := post(e, "EXISTS TABLE kept", nil)
			if text != "1\n" {
				err = fmt.Errorf("the table is gone: %s", text)
			}
			e.Close()
		}
		second <- err
	}()
	first.Close()
	if err := <-second; err != nil {
		t.Errorf("a successor that waits: %v", err)
	}
}

func TestSignalsAreTheParents(t *testing.T) {
	e := start(t, embedded.Options{})
	pid := e.Pid()
	if own, err := syscall.Getpgid(pid); err != nil || own == syscall.Getpgrp() {
		t.Errorf("the child is in its parent's process group (%d): %v", own, err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if err := syscall.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(t, e, "SELECT sum(number) FROM numbers(1000000)"); got != "499999500000" || e.Pid() != pid {
		t.Errorf("after signals: %s from %d, want the same child %d", got, e.Pid(), pid)
	}
}

// The library sets fatal signals to their default action; the child gives them back to Go, so that a mistake in one
// request does not end the process.
func TestFatalSignalsAreGos(t *testing.T) {
	e := start(t, embedded.Options{})
	ask(t, e, "SELECT 1")
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.Pid()))
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	_, caught, _ := strings.Cut(string(text), "SigCgt:")
	mask, err := strconv.ParseUint(strings.Fields(caught)[0], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGABRT} {
		if mask&(1<<(signal-1)) == 0 {
			t.Errorf("%v is not caught", signal)
		}
	}
}

func TestPasswordIsNotVisible(t *testing.T) {
	e := start(t, embedded.Options{Password: "visible-nowhere"})
	for _, file := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", e.Pid(), file))
		if err != nil {
			t.Skipf("no /proc here: %v", err)
		}
		if bytes.Contains(text, []byte(e.Password())) {
			t.Errorf("the password is in %s", file)
		}
	}
}

// libchdb reads what standard input holds beside the file of an INSERT, and sometimes waits for it.
func TestTheEngineHasNoStandardInput(t *testing.T) {
	e := start(t, embedded.Options{NoSync: true})
	if input, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", e.Pid())); err != nil || input != os.DevNull {
		t.Errorf("the child's standard input is %q, %v: an INSERT may wait for it", input, err)
	}
}

func TestGeneratedPasswordsDiffer(t *testing.T) {
	a, b := start(t, embedded.Options{}), start(t, embedded.Options{})
	if a.Password() == b.Password() || len(a.Password()) < 32 {
		t.Errorf("passwords %q and %q", a.Password(), b.Password())
	}
}

func TestLimits(t *testing.T) {
	dir := t.TempDir()
	e := start(t, embedded.Options{Dir: dir, MaxBody: 1 << 20, MaxResult: 1 << 20})
	ask(t, e, "CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY tuple()")
	status, text, err := post(e, "INSERT INTO t FORMAT TSV", strings.NewReader(strings.Repeat("x", 1<<20+1)))
	if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) || err == nil && (status != http.StatusRequestEntityTooLarge || !strings.Contains(text, "TOO_MANY_BYTES")) {
		t.Errorf("a body that is too long: %d %s %v", status, text, err)
	}
	if got := ask(t, e, "SELECT count() FROM t"); got != "0" {
		t.Errorf("%s rows of a refused body", got)
	}
	if status, text, _ := post(e, "SELECT repeat(toString(number % 10), 1000) FROM numbers(10000) FORMAT JSON", nil); status == http.StatusOK || !strings.Contains(text, "TOO_MANY_ROWS_OR_BYTES") {
		t.Errorf("a result that is too large to hold: %d %.200s", status, text)
	}
	if status, text, _ := post(e, "SELECT repeat('x', 1000) FROM numbers(10000)", nil); status != http.StatusOK || len(text) != 10_010_000 {
		t.Errorf("a large result that is sent in pieces: %d, %d bytes", status, len(text))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "spool", "*")); len(left) != 0 {
		t.Errorf("bodies left on disk: %v", left)
	}
}

func TestRefusals(t *testing.T) {
	notALibrary := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(notALibrary, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(t.TempDir(), "nowhere.so")
	for _, c := range []struct {
		name string
		o    embedded.Options
		want []string
	}{
		{"no directory", embedded.Options{}, []string{"no data directory"}},
		{"missing library", embedded.Options{Dir: t.TempDir(), Library: nowhere}, []string{embedded.FetchCommand, "make engines", nowhere}},
		{"not a library", embedded.Options{Dir: t.TempDir(), Library: notALibrary}, []string{"load " + notALibrary}},
		{"a public address", embedded.Options{Dir: t.TempDir(), Library: notALibrary, Addr: "0.0.0.0:0"}, []string{"loopback"}},
		{"a pattern", embedded.Options{Dir: filepath.Join(t.TempDir(), "a*"), Library: notALibrary}, []string{"must not hold"}},
	} {
		_, err := embedded.Start(t.Context(), c.o)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", c.name, err, want)
			}
		}
	}
	t.Setenv(embedded.LibraryEnv, nowhere)
	var missing *embedded.MissingLibraryError
	if _, err := embedded.Library(""); !errors.As(err, &missing) || len(missing.Looked) != 1 {
		t.Errorf("a library that the environment names and that is not there: %v", err)
	}
}
