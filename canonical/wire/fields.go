package wire

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"tributary/canonical"
)

// decode reads one JSON object, numbers as they are written.
func decode(b []byte) (map[string]any, *Problem) {
	var f map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&f); err != nil || f == nil {
		return nil, &Problem{Code: CodeMalformed, Detail: "the item is not a JSON object"}
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, &Problem{Code: CodeMalformed, Detail: "something follows the JSON object"}
	}
	return f, nil
}

// A node is one object of a body. What is read from it is taken out, so that what
// remains is what we have no name for. A zero node is an absent object.
type node struct {
	f    map[string]any
	path string // "" for the body itself, else "contact."
	rd   *reader
}

// take gives the first of keys that is there and not null, "" or an empty list.
func (n node) take(keys ...string) (string, any) {
	for _, k := range keys {
		v, ok := n.f[k]
		if !ok {
			continue
		}
		if v == nil {
			delete(n.f, k)
			continue
		}
		if s, ok := v.(string); ok && strings.TrimSpace(s) == "" {
			delete(n.f, k)
			continue
		}
		delete(n.f, k)
		return k, v
	}
	return "", nil
}

// raw gives a text as written; a number gives its digits.
func (n node) raw(keys ...string) (key, text string) {
	k, v := n.take(keys...)
	switch v := v.(type) {
	case nil:
		return "", ""
	case string:
		return k, v
	case json.Number:
		return k, plainNumber(v)
	case bool:
		if v {
			return k, "true"
		}
		return k, "false"
	}
	n.rd.fail(CodeWrongType, n.path+k, "must be text")
	return "", ""
}

// said gives a scalar as text without taking it: it stays among the properties. What has
// another form is nothing.
func (n node) said(keys ...string) string {
	for _, k := range keys {
		switch v := n.f[k].(type) {
		case string:
			if v = strings.TrimSpace(v); v != "" && len(v) <= maxKey && !strings.Contains(v, "{{") {
				return v
			}
		case json.Number:
			return plainNumber(v)
		case bool:
			if v {
				return "true"
			}
			return "false"
		}
	}
	return ""
}

// plain takes the first scalar, as text. What has another form stays what the caller made it.
func (n node) plain(keys ...string) string {
	for _, k := range keys {
		if v := n.said(k); v != "" {
			delete(n.f, k)
			return v
		}
	}
	return ""
}

// text gives a text without space around it.
func (n node) text(keys ...string) string {
	_, s := n.raw(keys...)
	return strings.TrimSpace(s)
}

// key gives a text that names something: an id, an e-mail, a domain. A template left
// in it is a problem; a program's word for nothing is nothing.
func (n node) key(keys ...string) string {
	k, s := n.raw(keys...)
	if strings.Contains(s, "{{") {
		n.rd.fail(CodeTemplate, n.path+k, "holds a template that was not rendered")
		return ""
	}
	if s = strings.TrimSpace(s); len(s) > maxKey {
		n.rd.fail(CodeWrongType, n.path+k, "is longer than 1024 bytes")
		return ""
	}
	if namesNothing(s) {
		return ""
	}
	return s
}

// namesNothing is true for what programs write where they have no id: taken for one, it would make
// one person, deal or event of all that have none.
func namesNothing(s string) bool {
	if len(s) > 36 {
		return false
	}
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "null", "undefined", "none", "(null)", "<nil>", "[object object]", "00000000-0000-0000-0000-000000000000":
		return true
	}
	return s == "NaN"
}

// maxList bounds a list of ids or addresses, maxIdentifiers what one receipt may tie
// together.
const (
	maxList        = 1000
	maxIdentifiers = 200
)

// maxKey bounds whatever becomes part of a key of the log.
const maxKey = 1024

// stage gives a stage exactly as sent: ids are minted from it.
func (n node) stage(keys ...string) string {
	k, s := n.raw(keys...)
	if strings.Contains(s, "{{") {
		n.rd.fail(CodeTemplate, n.path+k, "holds a template that was not rendered")
		return ""
	}
	if len(s) > maxKey {
		n.rd.fail(CodeWrongType, n.path+k, "is longer than 1024 bytes")
		return ""
	}
	return s
}

// object gives a nested object; null and absent are an empty one.
func (n node) object(keys ...string) node {
	k, v := n.take(keys...)
	if v == nil {
		return node{rd: n.rd, path: n.path}
	}
	f, ok := v.(map[string]any)
	if !ok {
		n.rd.fail(CodeWrongType, n.path+k, "must be an object")
		return node{rd: n.rd, path: n.path}
	}
	return node{f: f, path: n.path + k + ".", rd: n.rd}
}

// list gives a list of texts; one text is a list of one.
func (n node) list(keys ...string) []string {
	k, v := n.take(keys...)
	if v == nil {
		return nil
	}
	vs, ok := v.([]any)
	if !ok {
		vs = []any{v}
	}
	if len(vs) > maxList {
		n.rd.fail(CodeWrongType, n.path+k, "lists more than 1000 values")
		return nil
	}
	var out []string
	for _, v := range vs {
		switch v := v.(type) {
		case nil:
		case string:
			if v = strings.TrimSpace(v); v != "" {
				out = append(out, v)
			}
		case json.Number:
			out = append(out, plainNumber(v))
		default:
			n.rd.fail(CodeWrongType, n.path+k, "must be text or a list of texts")
			return nil
		}
	}
	for _, s := range out {
		if strings.Contains(s, "{{") {
			n.rd.fail(CodeTemplate, n.path+k, "holds a template that was not rendered")
			return nil
		}
	}
	return out
}

// ids is a list of what names something.
func (n node) ids(keys ...string) []string {
	return slices.DeleteFunc(n.list(keys...), namesNothing)
}

// flag gives true or false, also as text or 1 and 0; nil when not given.
func (n node) flag(keys ...string) *bool {
	k, s := n.raw(keys...)
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "":
		return nil
	case "true", "1", "yes", "granted":
		v := true
		return &v
	case "false", "0", "no", "denied":
		v := false
		return &v
	}
	n.rd.fail(CodeWrongType, n.path+k, "must be true or false")
	return nil
}

// money gives an amount; nil when not given, zero when zero was.
func (n node) money(keys ...string) *canonical.Money {
	k, s := n.raw(keys...)
	if s == "" {
		return nil
	}
	m, ok := readMoney(s)
	if !ok {
		n.rd.fail(CodeWrongType, n.path+k, "must be a decimal amount without symbol or thousands separator")
		return nil
	}
	return &m
}

// whole gives an integer, also as text.
func (n node) whole(keys ...string) (int64, bool) {
	k, s := n.raw(keys...)
	if s = strings.TrimSpace(s); s == "" {
		return 0, false
	}
	v, err := json.Number(s).Int64()
	if err != nil {
		n.rd.fail(CodeWrongType, n.path+k, "must be a whole number")
		return 0, false
	}
	return v, true
}

// keep puts what was not read into the report's properties, under a prefix.
func (n node) keep(prefix string) {
	for k, v := range n.f {
		if v == nil {
			continue
		}
		n.rd.property(prefix+k, v)
	}
}

func (rd *reader) property(name string, v any) {
	if v == nil || v == "" {
		return
	}
	if rd.report.Properties == nil {
		rd.report.Properties = make(map[string]any)
	}
	rd.report.Properties[name] = v
}

// readMoney reads an amount to six decimals: callers' floating point leaves more.
func readMoney(s string) (canonical.Money, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 64 {
		return 0, false
	}
	if m, err := canonical.ParseMoney(s); err == nil {
		return m, true
	}
	d, err := decimal.NewFromString(s)
	if err != nil || d.Exponent() > 18 || d.Exponent() < -64 {
		return 0, false
	}
	m, err := canonical.ParseMoney(d.RoundBank(6).String())
	return m, err == nil
}

// plainNumber writes a number as an id has it: 102948 for 1.02948e5.
func plainNumber(n json.Number) string {
	s := n.String()
	if !strings.ContainsAny(s, ".eE") || len(s) > 40 {
		return s
	}
	if d, err := decimal.NewFromString(s); err == nil && d.Exponent() <= 20 && d.Exponent() >= -40 && d.IsInteger() {
		return d.BigInt().String()
	}
	return s
}
