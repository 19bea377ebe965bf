// Package warehouse keeps what happened in ClickHouse: receipts and their fates, events, facts and deliveries, and the
// views that analysts ask. It speaks ClickHouse's HTTP protocol, to a server or to the embedded engine alike.
package warehouse

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Options say which ClickHouse is the warehouse.
type Options struct {
	URL      string        // http(s)://host:port with an optional path; without a port 8123, or 8443 for https
	User     string        // default "default"
	Password string        // never in URL
	Database string        // default "tributary"; made if missing
	TLS      *tls.Config   // for https; nil means the system's roots
	MaxConns int           // default 8
	Timeout  time.Duration // for the first byte of an answer; default 5 minutes
}

// LogValue keeps secrets out of logs.
func (o Options) LogValue() slog.Value {
	return slog.GroupValue(slog.String("url", o.place()), slog.String("user", o.User), slog.String("database", o.Database))
}

// String keeps secrets out of messages.
func (o Options) String() string { return fmt.Sprintf("%s of %s at %s", o.Database, o.User, o.place()) }

// GoString is String, for %#v.
func (o Options) GoString() string { return o.String() }

// place is the URL without what somebody may have put into it that does not belong there.
func (o Options) place() string {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" {
		return "an unreadable url"
	}
	return u.Scheme + "://" + u.Host
}

// A Warehouse is an open ClickHouse database. Its methods may be used by several goroutines.
type Warehouse struct {
	conn     driver.Conn
	options  Options
	settings atomic.Pointer[clickhouse.Settings] // pinned for every INSERT; nil until connected
	writing  writing
}

// Open gives a warehouse that is connected; see New and Connect.
func Open(ctx context.Context, o Options) (*Warehouse, error) {
	w, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := w.Connect(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// New gives a warehouse without asking ClickHouse anything. Until Connect has succeeded
// it refuses to write, and every question may fail.
func New(o Options) (*Warehouse, error) {
	o.User = cmp.Or(o.User, "default")
	o.Database = cmp.Or(o.Database, "tributary")
	o.MaxConns = cmp.Or(o.MaxConns, 8)
	o.Timeout = cmp.Or(o.Timeout, 5*time.Minute)
	conn, err := o.dial(o.Database)
	if err != nil {
		return nil, fmt.Errorf("open the warehouse %v: %w", o, err)
	}
	return &Warehouse{conn: conn, options: o}, nil
}

// Connect makes the database if it is missing, and learns which settings this version
// knows. It does not migrate. See Unanswered for what its error means.
func (w *Warehouse) Connect(ctx context.Context) error {
	if err := w.options.ensureDatabase(ctx); err != nil {
		return fmt.Errorf("open the warehouse %v: %w", w.options, err)
	}
	settings, err := knownInsertSettings(ctx, w.conn)
	if err != nil {
		return fmt.Errorf("open the warehouse %v: %w", w.options, err)
	}
	w.settings.Store(&settings)
	return nil
}

// Unanswered is true for an error that time may mend: ClickHouse did not answer. What
// ClickHouse itself refuses, and a database that is not ours to migrate, want an operator.
func Unanswered(err error) bool {
	var said *clickhouse.Exception
	return err != nil && !errors.As(err, &said) && !errors.Is(err, ErrNotOurs)
}

// ErrNotOurs: another version, or another program, made this database.
var ErrNotOurs = errors.New("the database was made by another version")

// errNotConnected is what Write answers before Connect.
var errNotConnected = errors.New("the warehouse has not answered yet")

// Conn is the connection pool, for statements of this package's own kind.
func (w *Warehouse) Conn() driver.Conn { return w.conn }

// Database is the name of the database.
func (w *Warehouse) Database() string { return w.options.Database }

// Ping asks ClickHouse for a sign of life.
func (w *Warehouse) Ping(ctx context.Context) error {
	if err := w.conn.Ping(ctx); err != nil {
		return fmt.Errorf("ping the warehouse %v: %w", w.options, err)
	}
	return nil
}

// Close closes the connections.
func (w *Warehouse) Close() error { return w.conn.Close() }

// inserting is the context of one INSERT: every setting that decides whether a repeated block counts once is pinned, so
// that no default of a version, profile or user can change it. The token names the block.
func (w *Warehouse) inserting(ctx context.Context, token string) context.Context {
	settings := clickhouse.Settings{}
	for name, value := range *w.settings.Load() {
		settings[name] = value
	}
	if token != "" {
		settings["insert_deduplication_token"] = token
	}
	return clickhouse.Context(ctx, clickhouse.WithSettings(settings))
}

// insertSettings are pinned where the server knows them: rows are written before the answer, and a block written twice
// counts once, in the table and in what its materialised views feed.
var insertSettings = clickhouse.Settings{
	"async_insert":       0,
	"insert_deduplicate": 1,
	"deduplicate_insert": "enable", // since 26.2
	"deduplicate_blocks_in_dependent_materialized_views": 1,
}

func knownInsertSettings(ctx context.Context, conn driver.Conn) (clickhouse.Settings, error) {
	names := make([]string, 0, len(insertSettings))
	for name := range insertSettings {
		names = append(names, name)
	}
	rows, err := conn.Query(ctx, "SELECT name FROM system.settings WHERE name IN ?", names)
	if err != nil {
		return nil, fmt.Errorf("read the settings it knows: %w", err)
	}
	defer rows.Close()
	known := clickhouse.Settings{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("read the settings it knows: %w", err)
		}
		known[name] = insertSettings[name]
	}
	return known, rows.Err()
}

// ensureDatabase makes the database if it is not there. It asks first, since a user may have every right in the
// database and none to make one.
func (o Options) ensureDatabase(ctx context.Context) error {
	conn, err := o.dial("")
	if err != nil {
		return err
	}
	defer conn.Close()
	var there uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = ?", o.Database).Scan(&there); err != nil {
		return err
	}
	if there > 0 {
		return nil
	}
	if err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteIdentifier(o.Database)); err != nil {
		return fmt.Errorf("make the database %s: %w", o.Database, err)
	}
	return nil
}

func (o Options) dial(database string) (driver.Conn, error) {
	address, err := o.address()
	if err != nil {
		return nil, err
	}
	options := &clickhouse.Options{
		Protocol:        clickhouse.HTTP,
		Addr:            []string{address.Host},
		HttpUrlPath:     address.Path,
		Auth:            clickhouse.Auth{Database: database, Username: o.User, Password: o.Password},
		MaxOpenConns:    o.MaxConns,
		MaxIdleConns:    o.MaxConns,
		ConnMaxLifetime: time.Hour,
		DialTimeout:     10 * time.Second,
		ReadTimeout:     o.Timeout,
	}
	if address.Scheme == "https" {
		options.TLS = cmp.Or(o.TLS, &tls.Config{MinVersion: tls.VersionTLS12})
	}
	if !isLoopback(address.Hostname()) {
		options.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	}
	return clickhouse.Open(options)
}

func (o Options) address() (*url.URL, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, errors.New("the url cannot be read") // the parser's message repeats it, password and all
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("the url must be http://host:port or https://host:port")
	case u.User != nil:
		return nil, errors.New("user and password do not belong in the url; set them as user and password")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the url must not have parameters")
	}
	if u.Port() == "" {
		port := map[string]string{"http": "8123", "https": "8443"}[u.Scheme]
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func quoteIdentifier(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}
