// Package warehousetest gives tests a ClickHouse: one embedded engine to a test binary, one database to a test. Its
// Protocol suite says what every ClickHouse that this program speaks to must answer.
package warehousetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"

	"tributary/internal/warehouse"
	"tributary/internal/warehouse/embedded"
)

// RequireEnv, set to 1, makes a test that lacks its engine fail where it would otherwise be skipped.
const RequireEnv = "TRIBUTARY_REQUIRE_ENGINES"

var shared struct {
	once   sync.Once
	engine *embedded.Engine
	dir    string
	err    error
}

// Main is the TestMain of a package whose tests start an engine: the engine is a child process of the test binary.
//
//	func TestMain(m *testing.M) { warehousetest.Main(m) }
func Main(m *testing.M) {
	embedded.MaybeChild()
	code := m.Run()
	if shared.engine != nil {
		shared.engine.Close()
	}
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

// Engine is the test binary's embedded engine, started by the first test that asks. Without the engine's library the
// test is skipped, or fails if RequireEnv says so.
func Engine(t testing.TB) *embedded.Engine {
	t.Helper()
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "tributary-warehouse-"); shared.err != nil {
			return
		}
		o := embedded.Options{Dir: shared.dir, NoSync: true}
		if os.Getenv("TRIBUTARY_TEST_LOG") != "" {
			o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
		}
		shared.engine, shared.err = embedded.Start(context.Background(), o)
	})
	NeedLibrary(t, shared.err)
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.engine
}

// NeedLibrary skips a test when err says that the engine's library is missing, or fails it if RequireEnv says so. Any
// other err is the caller's.
func NeedLibrary(t testing.TB, err error) {
	t.Helper()
	var missing *embedded.MissingLibraryError
	if !errors.As(err, &missing) {
		return
	}
	if os.Getenv(RequireEnv) == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// Start gives a test a database of its own on the shared engine. It is dropped when the test ends.
func Start(t testing.TB) warehouse.Options {
	t.Helper()
	e := Engine(t)
	var name [6]byte
	rand.Read(name[:])
	o := warehouse.Options{URL: e.URL(), User: e.User(), Password: e.Password(), Database: "test_" + hex.EncodeToString(name[:])}
	t.Cleanup(func() {
		w, err := warehouse.Open(context.Background(), o)
		if err != nil {
			t.Logf("drop %s: %v", o.Database, err)
			return
		}
		defer w.Close()
		if err := w.Conn().Exec(context.Background(), "DROP DATABASE IF EXISTS "+o.Database); err != nil {
			t.Logf("drop %s: %v", o.Database, err)
		}
	})
	return o
}

// Open is Start, opened. It does not migrate.
func Open(t testing.TB) *warehouse.Warehouse {
	t.Helper()
	o := Start(t)
	w, err := warehouse.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}
