package embedded

import (
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"
)

// A form is a multipart body: a query and tables that come with it, each with its structure and format in the address.
// The zero form is a request of the usual kind.
type form struct {
	multipart *multipart.Reader
	values    map[string]string
}

var externalSuffixes = []string{"_format", "_structure", "_types"}

func readForm(r *http.Request) (*form, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return &form{}, nil
	}
	f := &form{multipart: multipart.NewReader(r.Body, params["boundary"]), values: map[string]string{}}
	for name, values := range r.URL.Query() {
		f.values[name] = values[0]
	}
	return f, nil
}

// external says whether a parameter of the address describes a table of the form.
func (f *form) external(name string) bool {
	if f.multipart == nil {
		return false
	}
	for _, suffix := range externalSuffixes {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// externalTables are a request's own tables, their rows spooled.
type externalTables []externalTable

type externalTable struct {
	name, structure, format string
	rows                    spooled
}

func (t externalTables) remove() {
	for _, table := range t {
		table.rows.remove()
	}
}

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// read spools the form's tables and returns its query.
func (f *form) read(s spool, limit int64) (tables externalTables, query io.Reader, err error) {
	query = strings.NewReader("")
	for {
		part, err := f.multipart.NextPart()
		if err == io.EOF {
			return tables, query, nil
		}
		if err != nil {
			return tables, nil, refuse(codeBadRequest, "BAD_REQUEST_PARAMETER", "The form cannot be read")
		}
		name := part.FormName()
		if part.FileName() == "" && name == "query" {
			text, err := io.ReadAll(io.LimitReader(part, maxQueryText+1))
			if err != nil || len(text) > maxQueryText {
				return tables, nil, refuse(codeTooLarge, "TOO_MANY_BYTES", "The statement is longer than %d bytes", maxQueryText)
			}
			query = strings.NewReader(string(text))
			continue
		}
		structure := f.values[name+"_structure"]
		format := firstOf(f.values[name+"_format"], "TabSeparated")
		if !tableName.MatchString(name) || structure == "" || !formatName.MatchString(format) {
			return tables, nil, refuse(codeBadRequest, "BAD_REQUEST_PARAMETER", "Table %s of the form needs %s_structure and a known format", clip(name), clip(name))
		}
		rows, err := s.keep(part, limit)
		if err != nil {
			return tables, nil, bodyProblem(err)
		}
		tables = append(tables, externalTable{name, structure, format, rows})
	}
}

// create makes the tables in a session.
func (t externalTables) create(c *conn) error {
	for _, table := range t {
		if err := c.exec("CREATE TEMPORARY TABLE " + quoteName(table.name) + " (" + table.structure + ")"); err != nil {
			return err
		}
		insert := insertion{target: "INSERT INTO " + quoteName(table.name), format: table.format}
		if err := c.exec(insert.infile(table.rows.path)); err != nil {
			return err
		}
	}
	return nil
}
