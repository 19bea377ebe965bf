package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Command is the hidden command of the binary, and of every test binary, that is the engine's child process.
const Command = "warehouse-engine"

// childEnv is set in the child's environment, so that a binary that does not know Command cannot start children for ever.
const childEnv = "TRIBUTARY_WAREHOUSE_ENGINE_CHILD"

// MaybeChild is the first call of main, and of TestMain where tests start an engine. In a process that was started as
// the engine's child it serves until its parent lets go and never returns; in any other it does nothing.
func MaybeChild() {
	if len(os.Args) == 2 && os.Args[1] == Command {
		os.Exit(Main(os.NewFile(ordersFD, "orders"), os.Stdout, os.Stderr))
	}
}

// orders are the first line a child reads. They come by a pipe, so that no password is seen in a process list.
type orders struct {
	Library    string        `json:"library"`
	Dir        string        `json:"dir"`
	User       string        `json:"user"`
	Password   string        `json:"password"`
	LockWait   time.Duration `json:"lock_wait"`
	MaxQueries int           `json:"max_queries"`
	MaxBody    int64         `json:"max_body"`
	MaxResult  int64         `json:"max_result"`
	MaxMemory  int64         `json:"max_memory"`
	NoSync     bool          `json:"no_sync"`
}

// A report is the one line a child writes: the port it serves, or why it cannot.
type report struct {
	Port  int    `json:"port,omitempty"`
	Error string `json:"error,omitempty"`
}

// listenerFD is where the child finds the listening socket. The parent keeps it open, so that the port stays ours and
// clients wait in its queue while a child is replaced.
const listenerFD = 3

// ordersFD is where the child reads its orders and sees its parent let go. It is not standard input: libchdb looks there
// for rows of an INSERT that reads a file as well, and now and then waited two minutes for what never came.
const ordersFD = 4

// Main is the child process: it reads its orders, reports on stdout, serves, and ends when the orders do. It returns the
// exit code.
func Main(parent io.Reader, stdout, stderr io.Writer) int {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE) // the parent says when to end
	log := slog.New(slog.NewTextHandler(stderr, nil))
	ctx, end := context.WithCancel(context.Background())
	defer end()
	in := bufio.NewReader(parent)
	line, err := in.ReadBytes('\n')
	if err != nil {
		fmt.Fprintf(stderr, "this command is started by tributary itself\n")
		return 2
	}
	go func() {
		io.Copy(io.Discard, in)
		end()
	}()
	err = serveChild(ctx, line, stdout, log)
	if err != nil {
		json.NewEncoder(stdout).Encode(report{Error: err.Error()})
		return 1
	}
	return 0
}

func serveChild(ctx context.Context, line []byte, stdout io.Writer, log *slog.Logger) error {
	var o orders
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("read the orders: %w", err)
	}
	lock, err := takeLock(ctx, o.Dir, o.LockWait)
	if err != nil {
		return err
	}
	defer lock.Close()
	listener, err := net.FileListener(os.NewFile(listenerFD, "listener"))
	if err != nil {
		return fmt.Errorf("take over the listening socket: %w", err)
	}
	s, first, err := newServer(o, log)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(report{Port: listener.Addr().(*net.TCPAddr).Port}); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	serveUntil(ctx, listener, s, log)
	shut := make(chan struct{})
	go func() { // ending the engine may wait for merges; leaving without it loses nothing
		defer close(shut)
		first.close()
	}()
	select {
	case <-shut:
	case <-time.After(3 * time.Second):
	}
	return nil
}

// newServer opens the data directory. The engine lives as long as the returned first session is open.
func newServer(o orders, log *slog.Logger) (*server, *conn, error) {
	store, rows := filepath.Join(o.Dir, "store"), spool(filepath.Join(o.Dir, "spool"))
	if err := os.MkdirAll(store, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the data directory: %w", err)
	}
	if err := rows.open(); err != nil {
		return nil, nil, fmt.Errorf("make the directory for bodies: %w", err)
	}
	nothing := filepath.Join(o.Dir, "nothing") // a name in the engine's database default may be a file of the working directory
	if err := errors.Join(os.RemoveAll(nothing), os.Mkdir(nothing, 0o500), os.Chdir(nothing)); err != nil {
		return nil, nil, fmt.Errorf("make an empty working directory: %w", err)
	}
	config := filepath.Join(o.Dir, "engine.xml")
	users := filepath.Join(o.Dir, "users.xml")
	if err := errors.Join(os.WriteFile(config, engineConfig(o, users), 0o600), os.WriteFile(users, []byte(userConfig), 0o600)); err != nil {
		return nil, nil, fmt.Errorf("write the engine's configuration: %w", err)
	}
	lib, err := loadChdb(o.Library, store, config)
	if err != nil {
		return nil, nil, err
	}
	first, err := lib.open()
	if err != nil {
		return nil, nil, fmt.Errorf("%w %s: it is damaged, not writable, or another ClickHouse holds it", err, store)
	}
	s := &server{
		lib: lib, user: o.User, password: o.Password, spool: rows, log: log, maxBody: o.MaxBody, maxResult: o.MaxResult,
		slots: make(chan struct{}, o.MaxQueries), sessions: &sessions{lib: lib, named: map[string]*namedSession{}},
	}
	result, err := first.run("SELECT displayName(), version(), timezone()", "TabSeparated")
	if err != nil {
		return nil, nil, fmt.Errorf("ask the engine who it is: %w", err)
	}
	defer result.free()
	if s.guard, err = askGuard(first); err != nil {
		return nil, nil, err
	}
	fields := strings.Split(strings.TrimRight(string(result.bytes()), "\n"), "\t")
	if len(fields) != 3 {
		return nil, nil, errors.New("ask the engine who it is: no answer")
	}
	s.identity = identity{fields[0], fields[1], fields[2]}
	return s, first, nil
}

// askGuard makes the guard for what this version of the engine has.
func askGuard(c *conn) (guard, error) {
	list := func(query string) ([]string, error) {
		result, err := c.run(query, "TabSeparated")
		if err != nil {
			return nil, fmt.Errorf("ask the engine what it has: %w", err)
		}
		defer result.free()
		return strings.Fields(string(result.bytes())), nil
	}
	functions, err := list("SELECT name FROM system.table_functions")
	if err != nil {
		return guard{}, err
	}
	engines, err := list("SELECT name FROM system.table_engines UNION DISTINCT SELECT name FROM system.database_engines")
	if err != nil {
		return guard{}, err
	}
	if len(functions) < 10 || len(engines) < 10 {
		return guard{}, errors.New("ask the engine what it has: no answer")
	}
	return newGuard(functions, engines), nil
}

// serveUntil serves until ctx is done, then lets what runs come to its end for a few seconds.
func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) {
	running, stop := context.WithCancel(context.Background())
	web := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 15 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    4 << 20,
		BaseContext:       func(net.Listener) context.Context { return running },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	select {
	case err := <-served:
		log.Error("serving ended", "error", err)
	case <-ctx.Done():
	}
	finish, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	if web.Shutdown(finish) != nil {
		stop() // kills what still runs
		last, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		web.Shutdown(last)
	}
	stop()
}

// engineConfig is the engine's server configuration. Parts are synced to disk before an insert is acknowledged, so that
// not even a power cut loses them; after a kill of the process alone the operating system still writes them.
func engineConfig(o orders, users string) []byte {
	type mergeTree struct {
		DedupWindow     int `xml:"non_replicated_deduplication_window"`
		FsyncInsert     int `xml:"fsync_after_insert"`
		FsyncDirectory  int `xml:"fsync_part_directory"`
		FsyncMergedRows int `xml:"min_rows_to_fsync_after_merge"`
	}
	type config struct {
		XMLName     xml.Name  `xml:"clickhouse"`
		DisplayName string    `xml:"display_name"`
		Users       string    `xml:"users_config"`
		Memory      int64     `xml:"max_server_memory_usage"`
		MemoryShare float64   `xml:"max_server_memory_usage_to_ram_ratio"`
		DropDelay   int       `xml:"database_atomic_delay_before_drop_table_sec"`
		MergeTree   mergeTree `xml:"merge_tree"`
	}
	c := config{DisplayName: "tributary", Users: users, Memory: o.MaxMemory, MemoryShare: 0.6, DropDelay: 1, MergeTree: mergeTree{DedupWindow: 10000}}
	if !o.NoSync {
		c.MergeTree.FsyncInsert, c.MergeTree.FsyncDirectory, c.MergeTree.FsyncMergedRows = 1, 1, 1
	}
	text, _ := xml.MarshalIndent(c, "", "  ")
	return append(text, '\n')
}
