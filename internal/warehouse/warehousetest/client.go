package warehousetest

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
)

// client is the same server seen through clickhouse-go, with each of its compressions.
func (s *suite) client(t *testing.T) {
	for _, c := range []struct {
		name   string
		method clickhouse.CompressionMethod
	}{
		{"plain", clickhouse.CompressionNone}, {"lz4", clickhouse.CompressionLZ4},
		{"zstd", clickhouse.CompressionZSTD}, {"gzip", clickhouse.CompressionGZIP},
	} {
		t.Run(c.name, func(t *testing.T) { s.clientWith(t, c.method) })
	}
}

func (s *suite) connect(t *testing.T, method clickhouse.CompressionMethod) clickhouse.Conn {
	u, err := url.Parse(s.o.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{u.Host}, TLS: s.o.TLS,
		Auth:        clickhouse.Auth{Database: s.o.Database, Username: s.o.User, Password: s.o.Password},
		Compression: &clickhouse.Compression{Method: method, Level: 1},
		Settings:    clickhouse.Settings{"enable_http_compression": 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A wide row has a column of each kind that the warehouse uses.
type wide struct {
	N    uint64            `ch:"n"`
	I    int64             `ch:"i"`
	U8   uint8             `ch:"u8"`
	S    string            `ch:"s"`
	Low  string            `ch:"low"`
	Opt  *string           `ch:"opt"`
	B    bool              `ch:"b"`
	At   time.Time         `ch:"at"`
	Tags []string          `ch:"tags"`
	M    map[string]uint64 `ch:"m"`
	Raw  string            `ch:"raw"`
}

func (s *suite) clientWith(t *testing.T, method clickhouse.CompressionMethod) {
	ctx, conn := t.Context(), s.connect(t, method)
	if err := conn.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	version, err := conn.ServerVersion()
	if err != nil || version.Version.Major < 23 || version.Timezone == nil {
		t.Fatalf("server version %v: %v", version, err)
	}
	s.clientRows(t, conn)
	var sum uint64
	if err := conn.QueryRow(ctx, "SELECT {a:UInt64} + {b:UInt64}", clickhouse.Named("a", 20), clickhouse.Named("b", 3)).Scan(&sum); err != nil || sum != 23 {
		t.Errorf("parameters: %d, %v", sum, err)
	}
	hard := "it's\ta \\ \"hard\"\nvalue\x00"
	var back string
	if err := conn.QueryRow(ctx, "SELECT {s:String}", clickhouse.Named("s", hard)).Scan(&back); err != nil || back != hard {
		t.Errorf("text parameter: %q, %v", back, err)
	}
	if err := conn.QueryRow(ctx, "SELECT ?", hard).Scan(&back); err != nil || back != hard {
		t.Errorf("bound text: %q, %v", back, err)
	}
	var threads uint64
	with := clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_threads": 3}))
	if err := conn.QueryRow(with, "SELECT toUInt64(getSetting('max_threads'))").Scan(&threads); err != nil || threads != 3 {
		t.Errorf("settings: %d, %v", threads, err)
	}
	s.clientFailures(t, conn)
	s.clientTypes(t, conn)
	s.clientExternal(t, conn)
}

func (s *suite) clientRows(t *testing.T, conn clickhouse.Conn) {
	ctx := t.Context()
	if err := conn.Exec(ctx, `CREATE OR REPLACE TABLE wide (n UInt64, i Int64, u8 UInt8, s String, low LowCardinality(String), opt Nullable(String), b Bool,
		at DateTime64(3, 'UTC'), tags Array(LowCardinality(String)), m Map(String, UInt64), raw String)
		ENGINE = ReplacingMergeTree(u8) ORDER BY n SETTINGS non_replicated_deduplication_window = 10`); err != nil {
		t.Fatal(err)
	}
	var everyByte []byte
	for b := range 256 {
		everyByte = append(everyByte, byte(b))
	}
	text := "ü'\n\t"
	var want []wide
	for i := range 5000 {
		row := wide{N: uint64(i), I: -int64(i), U8: uint8(i), S: strings.Repeat(text, i%7), Low: []string{"", "a", "b"}[i%3], B: i%2 == 0,
			At: time.UnixMilli(1_700_000_000_123 + int64(i)).UTC(), Tags: []string{"x", "y"}[:i%3%2], M: map[string]uint64{"k": uint64(i)}, Raw: string(bytes.Repeat(everyByte, i%3))}
		if i%4 == 0 {
			row.Opt = &text
		}
		if row.Tags == nil {
			row.Tags = []string{}
		}
		want = append(want, row)
	}
	for range 2 { // the second time is told apart by its token
		settings := clickhouse.Settings{"insert_deduplication_token": "block-1", "async_insert": 0}
		batch, err := conn.PrepareBatch(clickhouse.Context(ctx, clickhouse.WithSettings(settings)), "INSERT INTO wide")
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range want {
			if err := batch.AppendStruct(&row); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			t.Fatal(err)
		}
	}
	var got []wide
	if err := conn.Select(ctx, &got, "SELECT * FROM wide ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows came back, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("row %d came back as\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
	rows, err := conn.Query(ctx, "SELECT number FROM numbers(2000000)")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n, next := uint64(0), uint64(0)
	for ; rows.Next(); next++ {
		if err := rows.Scan(&n); err != nil || n != next {
			t.Fatalf("row %d is %d: %v", next, n, err)
		}
	}
	if err := rows.Err(); err != nil || next != 2_000_000 {
		t.Errorf("%d rows: %v", next, err)
	}
}

func (s *suite) clientFailures(t *testing.T, conn clickhouse.Conn) {
	ctx := t.Context()
	for _, c := range []struct {
		query string
		code  int32
	}{
		{"SELECT * FROM nowhere", 60}, {"SELEC 1", 62}, {"SELECT throwIf(1)", 395},
	} {
		var e *clickhouse.Exception
		if err := conn.Exec(ctx, c.query); !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%s: %v, want code %d", c.query, err, c.code)
		}
	}
	rows, err := conn.Query(ctx, "SELECT throwIf(number = 1500000, 'too late') FROM numbers(3000000) SETTINGS max_threads = 1")
	for err == nil && rows.Next() {
	}
	if err == nil {
		err = rows.Err()
	}
	if err == nil || !strings.Contains(err.Error(), "too late") && !strings.Contains(err.Error(), "EOF") {
		t.Errorf("a failure in the middle of a result: %v", err)
	}
	short, done := context.WithTimeout(ctx, 300*time.Millisecond)
	defer done()
	if err := conn.Exec(short, "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"); err == nil {
		t.Error("a statement outlived its deadline")
	}
	if err := conn.Ping(ctx); err != nil {
		t.Errorf("after a deadline: %v", err)
	}
}

func (s *suite) clientTypes(t *testing.T, conn clickhouse.Conn) {
	var (
		decimal, document string
		tuple             []any
		date              time.Time
		nested            [][]uint8
	)
	row := conn.QueryRow(t.Context(), `SELECT toString(toDecimal64('12.3456', 4)), toString('{"a":{"b":1}}'::JSON), tuple(1, 'x'), toDate('2026-04-23'), [[1, 2], []]`)
	if err := row.Scan(&decimal, &document, &tuple, &date, &nested); err != nil {
		t.Fatal(err)
	}
	if decimal != "12.3456" || len(tuple) != 2 || date.Format(time.DateOnly) != "2026-04-23" || len(nested) != 2 || !strings.Contains(document, `"b"`) {
		t.Errorf("types: %q %q %v %v %v", decimal, document, tuple, date, nested)
	}
}

func (s *suite) clientExternal(t *testing.T, conn clickhouse.Conn) {
	table, err := ext.NewTable("ids", ext.Column("n", "UInt64"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := table.Append(uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	var sum uint64
	ctx := clickhouse.Context(t.Context(), clickhouse.WithExternalTable(table))
	if err := conn.QueryRow(ctx, "SELECT sum(n) FROM ids").Scan(&sum); err != nil || sum != 45 {
		t.Errorf("external table: %d, %v", sum, err)
	}
}
