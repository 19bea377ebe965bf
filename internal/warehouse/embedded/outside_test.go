package embedded_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/internal/warehouse/embedded"
)

// A running engine gives no file away and asks nobody, whatever the statement, the rows, the parameters or the settings.
func TestNothingOutsideIsReached(t *testing.T) {
	dir := t.TempDir()
	hidden := filepath.Join(dir, "hidden.csv")
	if err := os.WriteFile(hidden, []byte("geheim,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	asked := make(chan struct{}, 100)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			c.Close()
			asked <- struct{}{}
		}
	}()
	e := start(t, embedded.Options{Dir: filepath.Join(dir, "engine")})
	ask(t, e, "CREATE TABLE kept (s String) ENGINE = MergeTree ORDER BY s")
	here := strings.NewReplacer("/etc/hostname", hidden, "127.0.0.1:1", listener.Addr().String(), "/tmp/x", filepath.Join(dir, "x"))
	quick := &http.Client{Timeout: 20 * time.Second}
	try := func(query, body string, more ...string) {
		values := url.Values{"query": {here.Replace(query)}}
		for i := 0; i < len(more); i += 2 {
			values.Set(more[i], here.Replace(more[i+1]))
		}
		r, err := http.NewRequest(http.MethodPost, e.URL()+"/?"+values.Encode(), strings.NewReader(here.Replace(body)))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(e.User(), e.Password())
		answer, err := quick.Do(r)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			return
		}
		defer answer.Body.Close()
		var text strings.Builder
		if _, err := fmt.Fprint(&text, answer.Header); err != nil {
			t.Fatal(err)
		}
		body2 := make([]byte, 1<<16)
		n, _ := answer.Body.Read(body2)
		text.Write(body2[:n])
		if answer.StatusCode == http.StatusOK || strings.Contains(text.String(), "geheim") {
			t.Errorf("%s %s %v was done: %d %s", query, body, more, answer.StatusCode, text.String())
		}
	}
	for _, query := range embedded.Outside {
		try(query, "")
	}
	for _, query := range []string{
		"SELECT 1 FORMAT Template SETTINGS format_template_row = '/etc/hostname'", "SELECT 1 SETTINGS additional_result_filter = 'file(''/etc/hostname'') != '''''",
		"SELECT 1 FROM kept SETTINGS additional_table_filters = {'kept': 'file(''/etc/hostname'') != '''''}", "SELECT 1 SETTINGS dialect = 'kusto'",
		"SELECT 1 FORMAT CapnProto SETTINGS format_schema = '/etc/hostname:x'", "SET format_schema = '/etc/hostname:x'", "SELECT 1 INTO OUTFILE '/tmp/x'", "INSERT INTO kept FROM INFILE '/etc/hostname' FORMAT LineAsString",
		"CREATE DICTIONARY d (a String) PRIMARY KEY a SOURCE(CLICKHOUSE(host '127.0.0.1' table 'x')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)", "CREATE NAMED COLLECTION n AS url = 'http://127.0.0.1:1/'",
		"CREATE USER u", "GRANT ALL ON *.* TO default", "SYSTEM SHUTDOWN", "BACKUP TABLE kept TO Disk('x', 'y')", "RESTORE TABLE kept FROM Disk('x', 'y')",
	} {
		try(query, "")
	}
	try("INSERT INTO kept VALUES", "(file('/etc/hostname'))")
	try("INSERT INTO kept SETTINGS input_format_values_interpret_expressions = 1 VALUES", "(file('/etc/hostname'))")
	try("INSERT INTO kept VALUES", "(file('/etc/hostname'))", "input_format_values_interpret_expressions", "1")
	try("SELECT arrayMap({f:Identifier}, ['/etc/hostname'])", "", "param_f", "file")
	try("SELECT * FROM {f:Identifier}", "", "param_f", "/etc/hostname")
	try("SELECT 1", "", "format_template_row", "/etc/hostname")
	try("SET allow_introspection_functions = 1", "", "session_id", "s")
	if got := ask(t, e, "SELECT count() FROM kept"); got != "0" {
		t.Errorf("%s rows came in", got)
	}
	if len(asked) > 0 {
		t.Errorf("the engine asked an address %d times", len(asked))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "x*")); len(left) > 0 {
		t.Errorf("written: %v", left)
	}
	for query, want := range map[string]string{
		"SELECT sum(number) FROM numbers(4)": "6", "SELECT count() FROM system.tables WHERE name = 'kept' AND engine = 'MergeTree'": "1", "SELECT 'file(1)'": "file(1)",
		"SELECT * FROM (SELECT 1 AS a) AS x JOIN (SELECT 1 AS a) AS y USING a": "1",
	} {
		if got := ask(t, e, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}
