package embedded

import (
	"errors"
	"testing"
)

var testGuard = newGuard([]string{"file", "url", "s3", "remote", "format", "values", "input", "numbers", "executable"}, []string{"File", "URL", "MergeTree", "Filesystem", "Memory"})

// outside are statements that reach out of the data directory, by any way that was found.
var outside = []string{
	"SELECT * FROM file('/etc/hostname', 'LineAsString')", "SELECT * FROM FiLe ( '/etc/hostname')", "SELECT * FROM `file`('/etc/hostname')",
	"SELECT * FROM \"file\"/* x */('/etc/hostname')", "SELECT * FROM file -- x\n('/etc/hostname')", "SELECT * FROM file# x\n('/etc/hostname')", "SELECT * FROM (SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString'))",
	"WITH a AS (SELECT * FROM file('/etc/hostname')) SELECT * FROM a", "SELECT file('/etc/hostname')", "SELECT FILE('/etc/hostname')",
	"SELECT `fi\\x6ce`('/etc/hostname')", "SELECT arrayMap(file, ['/etc/hostname'])", "SELECT * APPLY file FROM (SELECT '/etc/hostname')", "SELECT * APPLY(file) FROM (SELECT '/etc/hostname')",
	"SELECT ‘'’, file('/etc/hostname'), ‘'’", "SELECT “file”('/etc/hostname')", "SELECT file\u00a0('/etc/hostname')", "SELECT 1 AS a$$, file('/etc/hostname'), 2 AS b$$", "SELECT $$x$$",
	"SELECT x'\\', file('/etc/hostname'), '", "SELECT * FROM `/etc/hostname`", "SELECT 'vm' IN \"/etc/hostname\"", "SELECT * FROM default.`/etc/hostname`",
	"SELECT * FROM remote('127.0.0.1:1', 'system.one')", "SELECT * FROM s3('http://127.0.0.1:1/a')", "SELECT * FROM executable('x', 'TSV', 'a String')", "SELECT * FROM input('a String')",
	`SELECT * FROM format(JSONEachRow, 'a String, b String DEFAULT file(\'/etc/hostname\')', '{"a":"1"}')`, `SELECT a, b FROM values('a String, b String ALIAS file(\'/etc/hostname\')', 'x')`,
	"CREATE TABLE t (a String) ENGINE = File(LineAsString, '/etc/hostname')", "CREATE TABLE t (a String) ENGINE URL('http://127.0.0.1:1/', 'CSV')", "CREATE TABLE t (a String) engine/**/=/**/`URL`('http://127.0.0.1:1/')",
	"CREATE DATABASE d ENGINE = Filesystem('/etc')", "CREATE TABLE t AS file('/etc/hostname')", "CREATE VIEW v AS SELECT file('/etc/hostname')", "CREATE FUNCTION f AS (x) -> file(x)",
	"CREATE TABLE t (a String DEFAULT file('/etc/hostname')) ENGINE = Memory", "CREATE DICTIONARY d (a String) PRIMARY KEY a SOURCE(FILE(path '/etc/hostname' format 'CSV')) LAYOUT(FLAT())",
	"CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = s3, endpoint = 'http://127.0.0.1:1/')", "ATTACH TABLE t FROM '/etc' (a String) ENGINE = MergeTree ORDER BY a",
	"INSERT INTO FUNCTION file('/tmp/x.csv', 'CSV', 'a String') SELECT 'x'", "INSERT INTO TABLE FUNCTION url('http://127.0.0.1:1/', 'CSV', 'a String') VALUES ('x')",
	"BACKUP DATABASE default TO File('/tmp/x')", "SELECT catboostEvaluate('/etc/hostname', 1)", "SELECT {f:Identifier}('/etc/hostname')", "SELECT arrayMap({f:Identifier}, ['/etc/hostname'])",
	"DESCRIBE TABLE file('/etc/hostname')", "EXPLAIN SELECT * FROM file('/etc/hostname')", "SELECT 1 IN (SELECT 1 FROM url('http://127.0.0.1:1/'))",
}

func TestGuardRefuses(t *testing.T) {
	for _, text := range outside {
		var e *exception
		if err := testGuard.check(text, nil); !errors.As(err, &e) || e.code != codeNotAllowed {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, value := range []string{"file", "FILE", "`file`", `fil\x65`, "a.file", "/etc/hostname", " file"} {
		if testGuard.check("SELECT arrayMap({f:Identifier}, ['x'])", []param{{"f", value}}) == nil {
			t.Errorf("the name %q as a parameter", value)
		}
	}
}

func TestGuardLetsPass(t *testing.T) {
	for _, text := range []string{
		"SELECT count() FROM v_events WHERE name != 'file(' AND page = '/etc/hostname' -- file('x')\n", "SELECT * FROM numbers(3)", "SELECT 'it’s file(x)' /* ‘ file( */", "SELECT url, values FROM t",
		"INSERT INTO t (url, values) VALUES", "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a", "SELECT engine FROM system.tables WHERE engine = 'File'",
		"ALTER TABLE t ATTACH PARTITION 1", "SELECT {a:Array(UInt8)}, {b:String}", "SELECT 'a\\'b', \"c d\", `e`", "SELECT * FROM p_credit(lead_days = {d:UInt32}, deal_days = 365)",
	} {
		if err := testGuard.check(text, nil); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := testGuard.check("SELECT * FROM {d:Identifier}.{t:Identifier}", []param{{"d", "db"}, {"t", "v_events"}}); err != nil {
		t.Error(err)
	}
}
