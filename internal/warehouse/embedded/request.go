package embedded

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A request is what one HTTP request asks for, read from its address and headers.
type request struct {
	id         string
	query      string // of the address; the body may go on with it
	database   string
	format     string // when the statement names none
	settings   []setting
	params     []param
	session    string
	revision   uint64 // client_protocol_version
	compress   bool   // answer in ClickHouse's own compressed blocks
	decompress bool   // the body is in them
	method     string // of those blocks
	wholeFirst bool   // wait_end_of_query: no byte of the answer before the statement is done
	readOnly   bool
}

type setting struct{ name, value string }

// Parameters of the address that are not settings.
var reserved = map[string]bool{
	"query": true, "database": true, "default_format": true, "user": true, "password": true, "query_id": true, "quota_key": true,
	"session_id": true, "session_timeout": true, "session_check": true, "close_session": true, "compress": true, "decompress": true,
	"buffer_size": true, "wait_end_of_query": true, "client_protocol_version": true, "stacktrace": true, "role": true,
	"http_native_compression_disable_checksumming_on_decompress": true,
}

var (
	settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]{0,127}$`)
	formatName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
)

// readRequest reads a request's address and headers. Names of external tables take their _format, _structure and
// _types parameters out of the settings.
func readRequest(r *http.Request, external func(name string) bool) (*request, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(codeBadRequest, "BAD_REQUEST_PARAMETER", "The address cannot be read")
	}
	q := &request{
		id:         values.Get("query_id"),
		query:      values.Get("query"),
		database:   firstOf(values.Get("database"), r.Header.Get("X-ClickHouse-Database")),
		format:     firstOf(values.Get("default_format"), r.Header.Get("X-ClickHouse-Format"), "TabSeparated"),
		session:    values.Get("session_id"),
		compress:   isTrue(values.Get("compress")),
		decompress: isTrue(values.Get("decompress")),
		method:     firstOf(values.Get("network_compression_method"), "LZ4"),
		wholeFirst: isTrue(values.Get("wait_end_of_query")),
		readOnly:   r.Method == http.MethodGet || r.Method == http.MethodHead,
	}
	q.revision, _ = strconv.ParseUint(values.Get("client_protocol_version"), 10, 64)
	if q.id == "" {
		q.id = newQueryID()
	}
	if !formatName.MatchString(q.format) {
		return nil, refuse(codeUnknownFormat, "UNKNOWN_FORMAT", "Unknown format %s", clip(q.format))
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := values[name][len(values[name])-1]
		switch {
		case reserved[name] || external(name):
		case strings.HasPrefix(name, "param_"):
			q.params = append(q.params, param{strings.TrimPrefix(name, "param_"), value})
		case !settingName.MatchString(name):
			return nil, refuse(115, "UNKNOWN_SETTING", "Unknown setting '%s'", clip(name))
		default:
			q.settings = append(q.settings, setting{name, value})
		}
	}
	return q, nil
}

func (q *request) setting(name string) (string, bool) {
	for _, s := range q.settings {
		if s.name == name {
			return s.value, true
		}
	}
	return "", false
}

// set is the SET statement that puts the request's settings, over what this server wants by default, into a session.
// The marker finds the statement again when it must be stopped; limit bounds a result that is held in memory.
func (q *request) set(marker string, limit int64) string {
	all := []setting{
		{"implicit_select", "0"},
		{"allow_introspection_functions", "0"},
		{"async_insert", "0"},
		{"max_result_bytes", strconv.FormatInt(limit, 10)},
	}
	readOnly := ""
	if q.readOnly && q.session == "" {
		readOnly = "2"
	}
	for _, s := range q.settings {
		switch s.name {
		case "log_comment":
		case "readonly":
			readOnly = s.value
		default:
			all = append(all, s)
		}
	}
	all = append(all, setting{"log_comment", marker})
	if readOnly != "" {
		all = append(all, setting{"readonly", readOnly}) // the last, since it forbids the others
	}
	changes := make([]string, len(all))
	for i, s := range all {
		changes[i] = s.name + " = " + quoteText(s.value)
	}
	return "SET " + strings.Join(changes, ", ")
}

// readVerbs begin the statements that a GET may run in a named session, which cannot be made read-only for a while.
var readVerbs = map[string]bool{
	"SELECT": true, "WITH": true, "SHOW": true, "DESCRIBE": true, "DESC": true, "EXISTS": true, "EXPLAIN": true, "USE": true, "SET": true,
}

// admit checks a request's credentials against the engine's one user.
func (s *server) admit(r *http.Request) error {
	user, password := r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	given := user != "" || password != ""
	if !given {
		user, password, given = r.BasicAuth()
	}
	if !given {
		values := r.URL.Query()
		user, password = values.Get("user"), values.Get("password")
		given = user != "" || password != ""
	}
	sameUser := subtle.ConstantTimeCompare([]byte(user), []byte(s.user))
	samePassword := subtle.ConstantTimeCompare([]byte(password), []byte(s.password))
	if sameUser&samePassword == 1 {
		return nil
	}
	e := refuse(codeAuthentication, "AUTHENTICATION_FAILED", "%s: Authentication failed: password is incorrect, or there is no user with such name", clip(firstOf(user, "default")))
	if !given {
		return &anonymous{e}
	}
	return e
}

// anonymous is the refusal of a request that brought no credentials at all.
type anonymous struct{ *exception }

func (a *anonymous) Unwrap() error { return a.exception }

// A statement's text may be this long; rows are limited by the body's own limit.
const maxQueryText = 16 << 20

// readStatement takes the statement from the address and the body. What follows an INSERT's text, its rows, is left in
// the returned reader.
func (q *request) readStatement(body io.Reader) (s statement, rows io.Reader, err error) {
	prefix := q.query
	if prefix != "" {
		prefix += "\n"
	}
	text := []byte(prefix)
	for step := 64 << 10; ; step *= 4 {
		n, err := io.ReadFull(body, grow(&text, step))
		text = text[:len(text)-step+n]
		complete := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !complete {
			return s, nil, err
		}
		s, ok, err := parseStatement(string(text), complete)
		if err != nil {
			return s, nil, err
		}
		if ok {
			if s.insert != nil {
				rows = io.MultiReader(bytes.NewReader(text[s.insert.data:]), body)
			}
			return s, rows, nil
		}
		if len(text) > maxQueryText {
			return s, nil, refuse(codeTooLarge, "TOO_MANY_BYTES", "The statement is longer than %d bytes", maxQueryText)
		}
	}
}

func grow(text *[]byte, n int) []byte {
	*text = slices.Grow(*text, n)
	*text = (*text)[:len(*text)+n]
	return (*text)[len(*text)-n:]
}

func newQueryID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func isTrue(value string) bool { return value == "1" || strings.EqualFold(value, "true") }

// clip shortens what a stranger sent before it is put into a message.
func clip(text string) string {
	if len(text) > 100 {
		return text[:100] + "…"
	}
	return text
}
