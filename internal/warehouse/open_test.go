package warehouse_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"tributary/internal/warehouse"
	"tributary/internal/warehouse/warehousetest"
)

func TestMain(m *testing.M) { warehousetest.Main(m) }

func TestOpenMakesTheDatabaseOnce(t *testing.T) {
	o := warehousetest.Start(t)
	for range 2 {
		w, err := warehouse.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		var current string
		if err := w.Conn().QueryRow(t.Context(), "SELECT currentDatabase()").Scan(&current); err != nil || current != o.Database || w.Database() != o.Database {
			t.Errorf("the database is %q, want %q: %v", current, o.Database, err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	good := warehousetest.Start(t)
	for _, c := range []struct {
		name string
		edit func(*warehouse.Options)
		want string
	}{
		{"no scheme", func(o *warehouse.Options) { o.URL = "localhost:8123" }, "must be http://host:port"},
		{"another scheme", func(o *warehouse.Options) { o.URL = "tcp://localhost:9000" }, "must be http://host:port"},
		{"password in the url", func(o *warehouse.Options) { o.URL = "http://me:hunter2@localhost:8123" }, "do not belong in the url"},
		{"unreadable", func(o *warehouse.Options) { o.URL = "http://me:hunter2@local host" }, "cannot be read"},
		{"parameters", func(o *warehouse.Options) { o.URL += "/?password=hunter2" }, "parameters"},
		{"wrong password", func(o *warehouse.Options) { o.Password = "hunter2" }, "Authentication failed"},
		{"nobody there", func(o *warehouse.Options) { o.URL = "http://127.0.0.1:1" }, "connection refused"},
	} {
		o := good
		c.edit(&o)
		_, err := warehouse.Open(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q and no password", c.name, err, c.want)
		}
	}
}

func TestOptionsDoNotPrintThePassword(t *testing.T) {
	o := warehouse.Options{URL: "http://127.0.0.1:8123", User: "me", Password: "hunter2"}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("open", "warehouse", o)
	for _, text := range []string{fmt.Sprint(o), fmt.Sprintf("%v %+v %#v %s", o, o, o, o), log.String()} {
		if strings.Contains(text, "hunter2") || !strings.Contains(text, "127.0.0.1") {
			t.Errorf("printed as %s", text)
		}
	}
}
