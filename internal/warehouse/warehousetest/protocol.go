package warehousetest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"tributary/internal/warehouse"
)

// Protocol is what a ClickHouse must answer over HTTP, asked as curl and as clickhouse-go would ask. Any server passes
// it; o names one, and a database that the suite may fill.
func Protocol(t *testing.T, o warehouse.Options) {
	w, err := warehouse.Open(t.Context(), o) // makes the database
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	s := &suite{o}
	t.Run("ping", s.ping)
	t.Run("query", s.query)
	t.Run("formats", s.formats)
	t.Run("failures", s.failures)
	t.Run("authentication", s.authentication)
	t.Run("parameters", s.parameters)
	t.Run("settings", s.settings)
	t.Run("sessions", s.sessions)
	t.Run("compression", s.compression)
	t.Run("inserts", s.inserts)
	t.Run("deduplication", s.deduplication)
	t.Run("external tables", s.external)
	t.Run("large results", s.large)
	t.Run("at the same time", s.concurrent)
	t.Run("clickhouse-go", s.client)
}

type suite struct{ o warehouse.Options }

// An exchange is one request and what came back.
type exchange struct {
	method  string
	values  url.Values
	body    string
	headers map[string]string
	nobody  bool // send no credentials

	status int
	header http.Header
	got    string
	err    error // while the answer was read
}

func (s *suite) send(t testing.TB, x exchange) exchange {
	t.Helper()
	if x.values == nil {
		x.values = url.Values{}
	}
	if !x.values.Has("database") {
		x.values.Set("database", s.o.Database)
	}
	if x.method == "" {
		x.method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(t.Context(), x.method, strings.TrimSuffix(s.o.URL, "/")+"/?"+x.values.Encode(), strings.NewReader(x.body))
	if err != nil {
		t.Fatal(err)
	}
	if !x.nobody {
		r.Header.Set("X-ClickHouse-User", s.o.User)
		r.Header.Set("X-ClickHouse-Key", s.o.Password)
	}
	for name, value := range x.headers {
		r.Header.Set(name, value)
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	x.status, x.header, x.got, x.err = answer.StatusCode, answer.Header, string(got), err
	return x
}

// do runs one statement and wants it to succeed.
func (s *suite) do(t testing.TB, query string, values ...string) string {
	t.Helper()
	x := s.send(t, exchange{body: query, values: pairs(values)})
	if x.status != http.StatusOK || x.err != nil {
		t.Fatalf("%s: %d %s %v", query, x.status, x.got, x.err)
	}
	return x.got
}

func pairs(values []string) url.Values {
	v := url.Values{}
	for i := 0; i < len(values); i += 2 {
		v.Set(values[i], values[i+1])
	}
	return v
}

func (s *suite) want(t testing.TB, want, query string, values ...string) {
	t.Helper()
	if got := s.do(t, query, values...); got != want {
		t.Errorf("%s: got %q, want %q", query, got, want)
	}
}

func (s *suite) ping(t *testing.T) {
	answer, err := http.Get(strings.TrimSuffix(s.o.URL, "/") + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got, _ := io.ReadAll(answer.Body); answer.StatusCode != 200 || string(got) != "Ok.\n" {
		t.Errorf("/ping: %d %q", answer.StatusCode, got)
	}
}

func (s *suite) query(t *testing.T) {
	for _, c := range []struct {
		name string
		x    exchange
		want string
	}{
		{"in the body", exchange{body: "SELECT 1 + 1"}, "2\n"},
		{"in the address", exchange{method: "GET", values: pairs([]string{"query", "SELECT 'a;b' -- c"})}, "a;b\n"},
		{"in both", exchange{values: pairs([]string{"query", "SELECT 3"}), body: "+ 4"}, "7\n"},
		{"semicolon", exchange{body: "SELECT 1;\n"}, "1\n"},
		{"comments", exchange{body: "/* ; */ SELECT -- FORMAT JSON\n 'FORMAT JSON' # x"}, "FORMAT JSON\n"},
		{"multi-line text", exchange{body: "SELECT 'line\\nline'"}, "line\\nline\n"},
		{"show", exchange{body: "SHOW DATABASES LIKE 'system'"}, "system\n"},
		{"database", exchange{body: "SELECT currentDatabase() = '" + s.o.Database + "'"}, "1\n"},
		{"union in brackets", exchange{body: "(SELECT 1) UNION ALL (SELECT 1)"}, "1\n1\n"},
		{"empty result", exchange{body: "SELECT 1 WHERE 0"}, ""},
		{"names like clauses", exchange{body: "SELECT format, insert FROM (SELECT 1 AS format, 2 AS insert)"}, "1\t2\n"},
	} {
		x := s.send(t, c.x)
		if x.status != 200 || x.got != c.want {
			t.Errorf("%s: %d %q, want %q", c.name, x.status, x.got, c.want)
		}
		if x.header.Get("X-ClickHouse-Query-Id") == "" || x.header.Get("X-ClickHouse-Timezone") == "" || x.header.Get("X-ClickHouse-Server-Display-Name") == "" {
			t.Errorf("%s: headers missing: %v", c.name, x.header)
		}
	}
	x := s.send(t, exchange{body: "SELECT number FROM system.numbers LIMIT 3", values: pairs([]string{"query_id", "my-own-id"})})
	var summary map[string]string
	if err := json.Unmarshal([]byte(x.header.Get("X-ClickHouse-Summary")), &summary); err != nil || summary["read_rows"] == "" {
		t.Errorf("summary %q: %v", x.header.Get("X-ClickHouse-Summary"), err)
	}
	if got := x.header.Get("X-ClickHouse-Query-Id"); got != "my-own-id" {
		t.Errorf("query id %q, want my-own-id", got)
	}
}

func (s *suite) formats(t *testing.T) {
	for _, c := range []struct{ format, want, kind string }{
		{"TabSeparated", "1\tx\n", "text/tab-separated-values"},
		{"CSVWithNames", "\"n\",\"s\"\n1,\"x\"\n", "text/csv"},
		{"JSONEachRow", `{"n":1,"s":"x"}` + "\n", ""},
		{"RowBinary", "\x01\x01x", "application/octet-stream"},
		{"Native", "\x02\x01\x01n\x05UInt8\x01\x01s\x06String\x01x", ""},
		{"Values", "(1,'x')", ""},
	} {
		for _, x := range []exchange{
			{body: "SELECT 1 AS n, 'x' AS s FORMAT " + c.format},
			{body: "SELECT 1 AS n, 'x' AS s", values: pairs([]string{"default_format", c.format})},
			{body: "SELECT 1 AS n, 'x' AS s", headers: map[string]string{"X-ClickHouse-Format": c.format}},
		} {
			x := s.send(t, x)
			if x.got != c.want || x.header.Get("X-ClickHouse-Format") != c.format || !strings.HasPrefix(x.header.Get("Content-Type"), c.kind) {
				t.Errorf("%s: got %q as %s (%s), want %q", c.format, x.got, x.header.Get("X-ClickHouse-Format"), x.header.Get("Content-Type"), c.want)
			}
		}
	}
	var result struct {
		Data []map[string]int
		Rows int
	}
	text := s.do(t, "SELECT number AS n FROM numbers(300000) FORMAT JSON")
	if err := json.Unmarshal([]byte(text), &result); err != nil || result.Rows != 300000 || len(result.Data) != 300000 {
		t.Errorf("JSON of 300000 rows: %v, %d rows", err, result.Rows)
	}
}

func (s *suite) failures(t *testing.T) {
	for _, c := range []struct {
		query, words string
		status, code int
	}{
		{"SELEC 1", "Syntax error", 400, 62},
		{"SELECT (", "Syntax error", 400, 62},
		{"", "Empty query", 400, 62},
		{"SELECT 1; SELECT 2", "Multi-statements are not allowed", 400, 62},
		{"SELECT * FROM nowhere", "nowhere", 404, 60},
		{"SELECT * FROM nowhere.t", "nowhere", 404, 81},
		{"SELECT nobody", "nobody", 404, 47},
		{"SELECT noFunction(1)", "noFunction", 404, 46},
		{"SELECT 1 FORMAT NoFormat", "NoFormat", 404, 73},
		{"SELECT 1 SETTINGS no_setting = 1", "no_setting", 404, 115},
		{"SELECT throwIf(1, 'on purpose')", "on purpose", 500, 395},
		{"SELECT toUInt8('x')", "x", 400, 6},
		{"SELECT 1 INTO OUTFILE 'x'", "INTO OUTFILE is not allowed", 500, 358},
	} {
		x := s.send(t, exchange{body: c.query})
		prefix := fmt.Sprintf("Code: %d. DB::Exception: ", c.code)
		if x.status != c.status || x.header.Get("X-ClickHouse-Exception-Code") != fmt.Sprint(c.code) ||
			!strings.HasPrefix(x.got, prefix) || !strings.Contains(x.got, c.words) {
			t.Errorf("%q: %d, code %s, %.200s; want %d, code %d, %q", c.query, x.status, x.header.Get("X-ClickHouse-Exception-Code"), x.got, c.status, c.code, c.words)
		}
	}
	x := s.send(t, exchange{method: "GET", values: pairs([]string{"query", "CREATE TABLE never (a UInt8) ENGINE = Memory"})})
	if x.header.Get("X-ClickHouse-Exception-Code") != "164" {
		t.Errorf("a GET that writes: %d %s, want code 164", x.status, x.got)
	}
	x = s.send(t, exchange{body: "SELECT 1", values: pairs([]string{"database", "nowhere"})})
	if x.status != 404 || x.header.Get("X-ClickHouse-Exception-Code") != "81" {
		t.Errorf("unknown database: %d %s", x.status, x.got)
	}
}

func (s *suite) authentication(t *testing.T) {
	basic := func(user, password string) map[string]string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(user, password)
		return map[string]string{"Authorization": r.Header.Get("Authorization")}
	}
	for _, c := range []struct {
		name string
		x    exchange
		ok   bool
	}{
		{"basic", exchange{headers: basic(s.o.User, s.o.Password)}, true},
		{"headers", exchange{headers: map[string]string{"X-ClickHouse-User": s.o.User, "X-ClickHouse-Key": s.o.Password}}, true},
		{"address", exchange{values: pairs([]string{"user", s.o.User, "password", s.o.Password})}, true},
		{"wrong password", exchange{headers: basic(s.o.User, s.o.Password+"x")}, false},
		{"wrong user", exchange{headers: basic("somebody", s.o.Password)}, false},
		{"empty password", exchange{headers: basic(s.o.User, "")}, false},
		{"wrong header", exchange{headers: map[string]string{"X-ClickHouse-User": s.o.User, "X-ClickHouse-Key": "x"}}, false},
		{"wrong in the address", exchange{values: pairs([]string{"user", s.o.User, "password", "x"})}, false},
	} {
		c.x.nobody, c.x.body = true, "SELECT 'secret' || '!'"
		x := s.send(t, c.x)
		if c.ok && (x.status != 200 || x.got != "secret!\n") {
			t.Errorf("%s: %d %s", c.name, x.status, x.got)
		}
		if !c.ok && (x.status != 401 && x.status != 403 || x.header.Get("X-ClickHouse-Exception-Code") != "516" || strings.Contains(x.got, "secret")) {
			t.Errorf("%s: %d %s", c.name, x.status, x.got)
		}
	}
}

func (s *suite) parameters(t *testing.T) {
	s.want(t, "3\tit\\'s\n", "SELECT {n:UInt8} + 1, {s:String}", "param_n", "2", "param_s", "it's")
	s.want(t, "2\n", "SELECT length({s:String})", "param_s", "a\\nb"[:2]+"b") // text escapes, as in ClickHouse
	s.want(t, "6\n", "SELECT arraySum({a:Array(UInt8)})", "param_a", "[1,2,3]")
	s.want(t, "1\n", "SELECT {s:Nullable(String)} IS NULL", "param_s", "\\N")
	s.want(t, "x\\';--\n", "SELECT {s:String}", "param_s", "x';--")
	s.want(t, "5\n", "SELECT count() FROM {d:Identifier}.{t:Identifier} WHERE number < 5 SETTINGS max_rows_to_read = 0",
		"param_d", s.o.Database, "param_t", s.numbers(t))
	x := s.send(t, exchange{body: "SELECT {missing:UInt8}"})
	if x.status == 200 || !strings.Contains(x.got, "missing") {
		t.Errorf("missing parameter: %d %s", x.status, x.got)
	}
}

func (s *suite) numbers(t testing.TB) string {
	s.do(t, "CREATE VIEW IF NOT EXISTS ten AS SELECT number FROM numbers(10)")
	return "ten"
}

func (s *suite) settings(t *testing.T) {
	s.want(t, "3\n", "SELECT getSetting('max_threads')", "max_threads", "3")
	s.want(t, "true\n", "SELECT getSetting('join_use_nulls')", "join_use_nulls", "1")
	s.want(t, "false\n", "SELECT getSetting('join_use_nulls')") // the last request's setting is gone
	s.want(t, "5\n", "SELECT getSetting('max_threads') SETTINGS max_threads = 5", "max_threads", "3")
	s.want(t, "Asia/Tokyo\n", "SELECT timezone()", "session_timezone", "Asia/Tokyo")
	for _, c := range []struct{ name, value, code string }{
		{"no_such_setting", "1", "115"},
		{"max_threads", "many", ""},
		{"max_threads = 1, readonly", "1", "115"},
		{"max_threads;--", "1", "115"},
	} {
		x := s.send(t, exchange{body: "SELECT 1", values: pairs([]string{c.name, c.value})})
		if x.status == 200 || c.code != "" && x.header.Get("X-ClickHouse-Exception-Code") != c.code {
			t.Errorf("setting %q = %q: %d %s", c.name, c.value, x.status, x.got)
		}
	}
	x := s.send(t, exchange{body: "SELECT count() FROM numbers(1000)", values: pairs([]string{"max_rows_to_read", "10"})})
	if x.header.Get("X-ClickHouse-Exception-Code") != "158" {
		t.Errorf("max_rows_to_read: %d %s", x.status, x.got)
	}
}

func (s *suite) sessions(t *testing.T) {
	s.do(t, "SET max_threads = 7", "session_id", "one")
	s.do(t, "CREATE TEMPORARY TABLE mine (a UInt8)", "session_id", "one")
	s.do(t, "INSERT INTO mine VALUES (1), (2)", "session_id", "one")
	s.want(t, "7\t2\n", "SELECT getSetting('max_threads'), count() FROM mine", "session_id", "one")
	if x := s.send(t, exchange{body: "SELECT * FROM mine"}); x.status != 404 {
		t.Errorf("a temporary table of another session: %d %s", x.status, x.got)
	}
	s.do(t, "SET max_threads = 7")
	if got := s.do(t, "SELECT getSetting('max_threads')"); got == "7\n" {
		t.Error("a setting outlived its request")
	}
}

func (s *suite) compression(t *testing.T) {
	query := "SELECT repeat('abc', 1000) FROM numbers(3)"
	plain := s.do(t, query)
	unpack := map[string]func(io.Reader) io.Reader{
		"gzip": func(r io.Reader) io.Reader { z, _ := gzip.NewReader(r); return z },
		"lz4":  func(r io.Reader) io.Reader { return lz4.NewReader(r) },
		"zstd": func(r io.Reader) io.Reader { z, _ := zstd.NewReader(r); return z },
	}
	for name, reader := range unpack {
		x := s.send(t, exchange{body: query, values: pairs([]string{"enable_http_compression", "1"}), headers: map[string]string{"Accept-Encoding": name}})
		if x.header.Get("Content-Encoding") != name || len(x.got) >= len(plain) {
			t.Errorf("%s: encoding %q, %d bytes", name, x.header.Get("Content-Encoding"), len(x.got))
			continue
		}
		if got, err := io.ReadAll(reader(strings.NewReader(x.got))); err != nil || string(got) != plain {
			t.Errorf("%s: %d bytes unpacked, want %d: %v", name, len(got), len(plain), err)
		}
	}
	pack := map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"lz4":  func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
	}
	for name, writer := range pack {
		var body bytes.Buffer
		w := writer(&body)
		io.WriteString(w, query)
		w.Close()
		x := s.send(t, exchange{body: body.String(), headers: map[string]string{"Content-Encoding": name}})
		if x.status != 200 || x.got != plain {
			t.Errorf("%s body: %d %.100q", name, x.status, x.got)
		}
	}
	if x := s.send(t, exchange{body: "not gzip", headers: map[string]string{"Content-Encoding": "gzip"}}); x.status == 200 || x.status < 400 {
		t.Errorf("a bad gzip body: %d %s", x.status, x.got)
	}
}

func (s *suite) inserts(t *testing.T) {
	s.do(t, "CREATE TABLE rows (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
	for _, c := range []struct {
		name string
		x    exchange
		want string
	}{
		{"values", exchange{body: "INSERT INTO rows VALUES (1, 'a;b'), (2, 'C')"}, "1\ta;b\n2\tC\n"},
		{"columns", exchange{body: "INSERT INTO rows (s, n) VALUES ('x', 1);"}, "1\tx\n"},
		{"values in the body", exchange{values: pairs([]string{"query", "INSERT INTO rows VALUES"}), body: "(1, 'it''s'), (2, 'b')"}, "1\tit\\'s\n2\tb\n"},
		{"csv after a line break", exchange{body: "INSERT INTO rows FORMAT CSV\n1,\"a\nb\"\n2,c\n"}, "1\ta\\nb\n2\tc\n"},
		{"csv in the body", exchange{values: pairs([]string{"query", "INSERT INTO rows FORMAT CSV"}), body: "1,a\n"}, "1\ta\n"},
		{"json lines", exchange{body: `INSERT INTO rows FORMAT JSONEachRow {"n":1,"s":"ü;'"}` + "\n" + `{"s":"only"}`}, "0\tonly\n1\tü;\\'\n"},
		{"row binary", exchange{values: pairs([]string{"query", "INSERT INTO rows FORMAT RowBinary"}), body: "\x01\x00\x00\x00\x00\x00\x00\x00\x04\n\x00';"}, "1\t\\n\\0\\';\n"},
		{"row binary in one", exchange{body: "INSERT INTO rows (n, s) FORMAT RowBinary\n\x0a\x00\x00\x00\x00\x00\x00\x00\x02\n\n"}, "10\t\\n\\n\n"},
		{"native", exchange{values: pairs([]string{"query", "INSERT INTO rows SETTINGS async_insert = 0 FORMAT Native"}), body: "\x02\x01\x01n\x06UInt64\x0a\x00\x00\x00\x00\x00\x00\x00\x01s\x06String\x02\n\x00"}, "10\t\\n\\0\n"},
		{"select", exchange{body: "INSERT INTO rows SELECT number, 'FORMAT CSV' FROM numbers(2)"}, "0\tFORMAT CSV\n1\tFORMAT CSV\n"},
		{"with", exchange{body: "INSERT INTO rows WITH 5 AS five SELECT five, 'w'"}, "5\tw\n"},
		{"comment first", exchange{body: "/* VALUES */ INSERT -- FORMAT CSV\n INTO `rows` (`n`, \"s\") VALUES (4, '--')"}, "4\t--\n"},
		{"settings", exchange{body: "INSERT INTO rows SETTINGS input_format_csv_skip_first_lines = 1, async_insert = 0 FORMAT CSV\nn,s\n1,a\n"}, "1\ta\n"},
		{"settings in the address", exchange{body: "INSERT INTO rows FORMAT CSV\n1|a\n", values: pairs([]string{"format_csv_delimiter", "|"})}, "1\ta\n"},
		{"database", exchange{body: "INSERT INTO " + s.o.Database + ".rows VALUES (1, 'a')"}, "1\ta\n"},
		{"nothing", exchange{body: "INSERT INTO rows FORMAT CSV"}, ""},
	} {
		s.do(t, "TRUNCATE TABLE rows")
		x := s.send(t, c.x)
		if x.status != 200 || x.got != "" {
			t.Errorf("%s: %d %.300s", c.name, x.status, x.got)
			continue
		}
		if got := s.do(t, "SELECT * FROM rows ORDER BY n"); got != c.want {
			t.Errorf("%s: rows are %q, want %q", c.name, got, c.want)
		}
	}
	s.do(t, "TRUNCATE TABLE rows")
	x := s.send(t, exchange{body: "INSERT INTO rows FORMAT CSV\n1,a\nx,b\n"})
	if x.status != 400 {
		t.Errorf("a row that cannot be read: %d %s", x.status, x.got)
	}
	s.want(t, "0\n", "SELECT count() FROM rows")
	if x := s.send(t, exchange{body: "INSERT INTO nowhere VALUES (1)"}); x.status != 404 {
		t.Errorf("unknown table: %d %s", x.status, x.got)
	}
	var many bytes.Buffer
	many.WriteString("INSERT INTO rows FORMAT TSV\n")
	for i := range 400_000 {
		fmt.Fprintf(&many, "%d\trow %d\n", i, i)
	}
	s.do(t, many.String())
	s.want(t, "400000\t79999800000\t1\n", "SELECT count(), sum(n), (SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'rows' AND active AND level = 0 AND rows = 400000) FROM rows")
}

func (s *suite) deduplication(t *testing.T) {
	s.do(t, "CREATE TABLE once (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100")
	insert := func(token, rows string) {
		t.Helper()
		s.do(t, "INSERT INTO once SETTINGS async_insert = 0 VALUES "+rows, "insert_deduplication_token", token)
	}
	insert("a", "(1)")
	insert("a", "(1)")
	s.want(t, "1\n", "SELECT count() FROM once")
	insert("b", "(1)")
	s.want(t, "2\n", "SELECT count() FROM once")
	s.do(t, "INSERT INTO once SETTINGS insert_deduplication_token = 'b', async_insert = 0 VALUES (1)")
	s.want(t, "2\n", "SELECT count() FROM once")
}

func (s *suite) external(t *testing.T) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	form.WriteField("query", "SELECT sum(n), max(s) FROM ids")
	part, _ := form.CreateFormFile("ids", "ids.csv")
	io.WriteString(part, "1,a\n2,b\n")
	form.Close()
	x := s.send(t, exchange{body: body.String(), headers: map[string]string{"Content-Type": form.FormDataContentType()},
		values: pairs([]string{"ids_format", "CSV", "ids_structure", "n UInt64, s String"})})
	if x.status != 200 || x.got != "3\tb\n" {
		t.Errorf("external table: %d %s", x.status, x.got)
	}
}
