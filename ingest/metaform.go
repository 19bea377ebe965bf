package ingest

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/url"
	"strconv"
	"strings"
)

// A metaForm is what a form says of a Meta request. It keeps only what is used, so that a
// form of a million fields costs no more than its own bytes.
type metaForm struct {
	call      metaCall
	data      string     // the field data
	texts     []metaText // data[], data[0], …
	fromQuery int        // how many of texts the query brought
}

// A metaText is one field that holds an event.
type metaText struct{ name, text string }

// longName is longer than any field's name that is looked at.
const longName = 64

// field takes one field.
func (m *metaForm) field(name, text string, items int) *Error {
	switch {
	case name == "data":
		if text != "" {
			m.data = text
		}
	case strings.HasPrefix(name, "data[") && strings.HasSuffix(name, "]"):
		if len(m.texts) >= m.fromQuery+items {
			return failField(CodeTooMany, "data", "data holds more than "+strconv.Itoa(items)+" events")
		}
		m.texts = append(m.texts, metaText{name, text})
	default:
		m.call.take(name, text)
	}
	return nil
}

// urlencoded reads name=value&name=value.
func (m *metaForm) urlencoded(form string, items int) *Error {
	for form != "" {
		var pair string
		pair, form, _ = strings.Cut(form, "&")
		name, value, _ := strings.Cut(pair, "=")
		if len(name) > 3*longName {
			continue
		}
		name, fault := unescaped(name)
		if fault != nil {
			return fault
		}
		if !m.wants(name) {
			continue
		}
		if value, fault = unescaped(value); fault != nil {
			return fault
		}
		if fault := m.field(name, value, items); fault != nil {
			return fault
		}
	}
	return nil
}

// unescaped is one part of a form as it was before it was escaped.
func unescaped(s string) (string, *Error) {
	out, err := url.QueryUnescape(s)
	if err != nil {
		return "", fail(CodeMalformed, "the body or the query is not an urlencoded form")
	}
	return out, nil
}

// wants is true for a name that field looks at.
func (m *metaForm) wants(name string) bool {
	switch name {
	case "access_token", "accessKey", "data":
		return true
	}
	if strings.HasPrefix(name, "data[") {
		return true
	}
	for _, n := range besideData {
		if n == name {
			return true
		}
	}
	return false
}

// multipart reads the fields of a form that was read whole already.
func (m *metaForm) multipart(body []byte, boundary string, items int) *Error {
	bad := fail(CodeMalformed, "the body is not a multipart form")
	if boundary == "" {
		return bad
	}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for parts := 0; ; parts++ {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return bad
		}
		if parts == items+100 {
			return fail(CodeTooMany, "the form has too many fields")
		}
		name := p.FormName()
		if !m.wants(name) {
			continue // NextRawPart reads on to the next
		}
		v, err := io.ReadAll(p)
		if err != nil {
			return bad
		}
		if fault := m.field(name, string(v), items); fault != nil {
			return fault
		}
	}
}
