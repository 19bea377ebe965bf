package embedded

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestParseStatement(t *testing.T) {
	for _, c := range []struct {
		in, verb, format, text string
	}{
		{"SELECT 1", "SELECT", "", "SELECT 1"},
		{" select 1 ; -- end", "SELECT", "", " select 1 "},
		{"SELECT 1 FORMAT JSON", "SELECT", "JSON", "SELECT 1 FORMAT JSON"},
		{"SELECT 1 format CSV SETTINGS a = 1", "SELECT", "CSV", "SELECT 1 format CSV SETTINGS a = 1"},
		{"SELECT format FROM t", "SELECT", "", "SELECT format FROM t"},
		{"SELECT 'FORMAT JSON'", "SELECT", "", "SELECT 'FORMAT JSON'"},
		{"SELECT (SELECT 1 FORMAT JSON)", "SELECT", "", "SELECT (SELECT 1 FORMAT JSON)"},
		{"SELECT `a;b`, \"c;\", 'd\\';', 'e'';', $x$;$x$ /* ; */", "SELECT", "", "SELECT `a;b`, \"c;\", 'd\\';', 'e'';', $x$;$x$"},
		{"WITH 1 AS a SELECT a", "WITH", "", "WITH 1 AS a SELECT a"},
		{"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "INSERT", "", "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x"},
		{"INSERT INTO t SELECT 1", "INSERT", "", "INSERT INTO t SELECT 1"},
		{"INSERT INTO t (a) (SELECT 1)", "INSERT", "", "INSERT INTO t (a) (SELECT 1)"},
		{"-- nothing", "", "", ""},
		{"'open", "", "", "'open"},
		{"/* open", "", "", ""},
	} {
		s, ok, err := parseStatement(c.in, true)
		if err != nil || !ok || s.insert != nil || s.verb != c.verb || s.format != c.format || s.text != c.text {
			t.Errorf("%q: verb %q, format %q, text %q, %v %v; want %q, %q, %q", c.in, s.verb, s.format, s.text, ok, err, c.verb, c.format, c.text)
		}
	}
	for _, in := range []string{"SELECT 1; SELECT 2", "SELECT 1 INTO OUTFILE 'x'", "INSERT INTO t FROM INFILE 'x' FORMAT CSV", "INSERT INTO t FORMAT CSV;\n1"} {
		if _, ok, err := parseStatement(in, true); err == nil || !ok {
			t.Errorf("%q was not refused", in)
		}
	}
}

func TestParseInsert(t *testing.T) {
	for _, c := range []struct{ in, infile, rows string }{
		{"INSERT INTO t VALUES (1)", "INSERT INTO t FROM INFILE 'f' COMPRESSION 'none'  FORMAT Values", " (1)"},
		{"insert into d.t (a, `b c`) format CSV\n1,2\n", "insert into d.t (a, `b c`) FROM INFILE 'f' COMPRESSION 'none'  FORMAT CSV", "1,2\n"},
		{"INSERT INTO t(a)SETTINGS x = 1, y = 'FORMAT' FORMAT Native \t\r\n\n\x00", "INSERT INTO t(a) FROM INFILE 'f' COMPRESSION 'none' SETTINGS x = 1, y = 'FORMAT' FORMAT Native", "\n\x00"},
		{"INSERT INTO TABLE t FORMAT JSONEachRow {\"a\":1}", "INSERT INTO TABLE t FROM INFILE 'f' COMPRESSION 'none'  FORMAT JSONEachRow", "{\"a\":1}"},
		{"INSERT INTO FUNCTION remote('h', 'VALUES') VALUES (1)", "INSERT INTO FUNCTION remote('h', 'VALUES') FROM INFILE 'f' COMPRESSION 'none'  FORMAT Values", " (1)"},
		{"INSERT INTO table FORMAT CSV\n1", "INSERT INTO table FROM INFILE 'f' COMPRESSION 'none'  FORMAT CSV", "1"},
		{"INSERT INTO format.values FORMAT TSV 1", "INSERT INTO format.values FROM INFILE 'f' COMPRESSION 'none'  FORMAT TSV", "1"},
		{"INSERT INTO t (format, values) VALUES (1, 2)", "INSERT INTO t (format, values) FROM INFILE 'f' COMPRESSION 'none'  FORMAT Values", " (1, 2)"},
		{"/* INSERT */ INSERT /* x */ INTO t -- FORMAT CSV\nVALUES(1)", "INSERT /* x */ INTO t FROM INFILE 'f' COMPRESSION 'none'  FORMAT Values", "(1)"},
	} {
		s, ok, err := parseStatement(c.in, true)
		if err != nil || !ok || s.insert == nil {
			t.Errorf("%q: not an INSERT with rows: %v %v", c.in, ok, err)
			continue
		}
		if got := s.insert.infile("f"); got != c.infile || c.in[s.insert.data:] != c.rows {
			t.Errorf("%q: became %q with rows %q, want %q with %q", c.in, got, c.in[s.insert.data:], c.infile, c.rows)
		}
	}
}

// However a body is cut into reads, the statement and its rows are the same.
func TestStatementInPieces(t *testing.T) {
	columns := strings.Repeat("a_long_column_name, ", 20_000) + "z"
	body := "INSERT INTO t (" + columns + ") FORMAT TSV\n" + strings.Repeat("row\n", 100_000)
	q := &request{}
	s, rows, err := q.readStatement(strings.NewReader(body))
	if err != nil || s.insert == nil {
		t.Fatalf("not an INSERT with rows: %v", err)
	}
	if got, err := io.ReadAll(rows); err != nil || string(got) != strings.Repeat("row\n", 100_000) {
		t.Errorf("%d bytes of rows: %v", len(got), err)
	}
	for cut := range len("INSERT INTO t FORMAT CSVWithNames") {
		if s, ok, err := parseStatement("INSERT INTO t FORMAT CSVWithNames"[:cut], false); ok || err != nil {
			t.Errorf("cut after %d bytes: decided on %+v, %v", cut, s.insert, err)
		}
	}
}

func FuzzParseStatement(f *testing.F) {
	for _, seed := range []string{"SELECT 1", "INSERT INTO t (a) SETTINGS b = 1 FORMAT CSV\n1", "INSERT INTO t VALUES (1)", "'", "/*", "$$", "INSERT INTO FUNCTION f(", "SELECT 1;;", "INSERT INTO . . FORMAT"} {
		f.Add(seed, len(seed)/2)
	}
	f.Fuzz(func(t *testing.T, in string, cut int) {
		whole, ok, err := parseStatement(in, true)
		if !ok {
			t.Fatal("undecided about a complete text")
		}
		if err == nil && whole.insert != nil && (whole.insert.data > len(in) || whole.insert.format == "") {
			t.Fatalf("rows begin at %d of %d bytes, format %q", whole.insert.data, len(in), whole.insert.format)
		}
		if cut < 0 || cut > len(in) {
			return
		}
		// A decision on a part is the decision on the whole.
		part, ok, partErr := parseStatement(in[:cut], false)
		if ok && partErr == nil && (err != nil || whole.insert == nil || part.insert.target != whole.insert.target || part.insert.format != whole.insert.format || part.insert.data != whole.insert.data) {
			t.Fatalf("after %d bytes %+v, in the end %+v (%v)", cut, part.insert, whole.insert, err)
		}
	})
}

func TestParseException(t *testing.T) {
	for in, want := range map[string]exception{
		"Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)":             {60, "Unknown table. (UNKNOWN_TABLE)"},
		"Code: 241. DB::Exception: Code: 241. DB::Exception: Memory. (LIMIT)": {241, "Memory. (LIMIT)"},
		"Code: 36. DB::ErrnoException: DB::Exception: both. (X)":              {36, "both. (X)"},
		"something else": {codeUnknownException, "something else"},
		"Code: 6. DB::Exception: quotes Code: 7. DB::Exception: inside. (SEVEN)": {6, "quotes Code: 7. DB::Exception: inside. (SEVEN)"},
	} {
		if got := parseException(in); *got != want {
			t.Errorf("%q: %+v, want %+v", in, *got, want)
		}
	}
}

func TestBlocks(t *testing.T) {
	text := bytes.Repeat([]byte("a block "), 400_000)
	for _, method := range []string{"LZ4", "ZSTD", "LZ4HC", "NONE", "other"} {
		var packed bytes.Buffer
		w := encodeBlocks(&packed, method)
		w.Write(text)
		w.Close()
		whole := packed.Bytes()
		if got, err := io.ReadAll(newBlockReader(bytes.NewReader(whole))); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes came back: %v", method, len(got), err)
		}
		for _, cut := range []int{1, 16, 24, 25, 26, len(whole) - 1} {
			if _, err := io.ReadAll(newBlockReader(bytes.NewReader(whole[:cut]))); err == nil {
				t.Errorf("%s: cut after %d bytes and nobody noticed", method, cut)
			}
		}
		whole[40] ^= 1
		if _, err := io.ReadAll(newBlockReader(bytes.NewReader(whole))); err == nil {
			t.Errorf("%s: a damaged block was read", method)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		accept  string
		enabled bool
		want    string
	}{
		{"gzip", true, "gzip"}, {"gzip", false, ""}, {"br, gzip;q=0.5", true, "gzip"}, {"gzip;q=0, deflate", true, "deflate"},
		{"", true, ""}, {"identity", true, ""}, {"GZIP, lz4", true, "lz4"},
	} {
		if got := choose(c.accept, c.enabled); got != c.want {
			t.Errorf("accept %q, enabled %v: %q, want %q", c.accept, c.enabled, got, c.want)
		}
	}
}

func TestLibraryIsFoundFromBelow(t *testing.T) {
	t.Setenv(LibraryEnv, "")
	candidates := libraryCandidates()
	if len(candidates) < 3 || !strings.HasSuffix(candidates[1], "/deploy/chdb/node_modules/@chdb/"+libraryPackage()+"/libchdb.so") {
		t.Errorf("looked for %v", candidates)
	}
}
