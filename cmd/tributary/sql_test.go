package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A key that may read the warehouse reads nothing else.
func TestSQLReadsTheWarehouseOnly(t *testing.T) {
	t.Parallel()
	s := newSystem(t, systemOptions{})
	s.start()
	for _, q := range []string{
		`SELECT * FROM file('` + s.dir + `/data/data.key', 'LineAsString')`, `SELECT file('` + s.dir + `/meta.token')`, `SELECT arrayMap(file, ['` + s.dir + `/meta.token'])`,
		"SELECT * FROM `" + s.dir + "/meta.token`", `SELECT * FROM url('` + s.vendors.URL + `/_received?vendor=meta', 'LineAsString')`, `SELECT * FROM executable('x', 'TSV', 'a String')`,
		`SELECT 1 FORMAT Template SETTINGS format_template_row = '` + s.dir + `/meta.token'`, `CREATE TEMPORARY TABLE a (b UInt8)`, `DROP TABLE events`, `SELECT 1 SETTINGS readonly = 0`,
	} {
		status, answer := s.post("/v1/sql", fmt.Appendf(nil, `{"sql":%q}`, q), nil)
		if text := string(answer); status/100 != 4 || strings.Contains(text, metaToken) {
			t.Errorf("%s: %d %s", q, status, text)
		}
	}
	for _, q := range []string{"SELECT count() FROM v_events", "SELECT * FROM p_credit(lead_days = 90, deal_days = 365)", "SELECT {a:UInt8}", "SELECT sum(number) FROM numbers(3)"} {
		if status, answer := s.post("/v1/sql", fmt.Appendf(nil, `{"sql":%q,"params":{"a":1}}`, q), nil); status != http.StatusOK {
			t.Errorf("%s: %d %s", q, status, answer)
		}
	}
}
