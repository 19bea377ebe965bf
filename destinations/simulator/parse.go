package simulator

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// A scanner reads JSON as encoding/json does, into maps, lists, texts, json.Number, bool and nil,
// only faster: texts are parts of the input, which is never copied.
type scanner struct {
	in    string
	at    int
	depth int
}

var errJSON = errors.New("not JSON")

const deepest = 10_000 // as encoding/json

// parse reads one JSON value and nothing after it.
func parse(in string) (any, error) {
	p := scanner{in: in}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at != len(in) {
		return nil, errJSON
	}
	return v, nil
}

func (p *scanner) space() {
	for p.at < len(p.in) {
		switch p.in[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// next is the next byte that is no white space, 0 at the end.
func (p *scanner) next() byte {
	p.space()
	if p.at == len(p.in) {
		return 0
	}
	return p.in[p.at]
}

func (p *scanner) value() (any, error) {
	switch c := p.next(); c {
	case '{':
		out := make(map[string]any, 8)
		err := p.members(func(key string) error {
			v, err := p.value()
			out[key] = v
			return err
		})
		return out, err
	case '[':
		out := []any{}
		err := p.elements(func() error {
			v, err := p.value()
			out = append(out, v)
			return err
		})
		return out, err
	case '"':
		return p.text()
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	default:
		return p.number()
	}
}

// members calls f at each value of an object, which f reads.
func (p *scanner) members(f func(key string) error) error {
	return p.list('}', func() error {
		if p.next() != '"' {
			return errJSON
		}
		key, err := p.text()
		if err != nil {
			return err
		}
		if p.next() != ':' {
			return errJSON
		}
		p.at++
		return f(key)
	})
}

// elements calls f at each element of an array, which f reads.
func (p *scanner) elements(f func() error) error { return p.list(']', f) }

func (p *scanner) list(end byte, f func() error) error {
	if p.depth++; p.depth > deepest {
		return errJSON
	}
	p.at++
	if p.next() == end {
		p.at++
		p.depth--
		return nil
	}
	for {
		if err := f(); err != nil {
			return err
		}
		switch p.next() {
		case ',':
			p.at++
		case end:
			p.at++
			p.depth--
			return nil
		default:
			return errJSON
		}
	}
}

func (p *scanner) word(w string) error {
	if !strings.HasPrefix(p.in[p.at:], w) {
		return errJSON
	}
	p.at += len(w)
	return nil
}

func (p *scanner) text() (string, error) {
	begin := p.at
	plain := true
	for i := begin + 1; i < len(p.in); i++ {
		switch c := p.in[i]; {
		case c == '"':
			p.at = i + 1
			if s := p.in[begin+1 : i]; plain || utf8.ValidString(s) && strings.IndexByte(s, '\\') < 0 {
				return s, nil
			}
			var s string
			if json.Unmarshal([]byte(p.in[begin:p.at]), &s) != nil {
				return "", errJSON
			}
			return s, nil
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			return "", errJSON
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	return "", errJSON
}

func (p *scanner) number() (json.Number, error) {
	begin := p.at
	for p.at < len(p.in) && strings.IndexByte("+-.0123456789eE", p.in[p.at]) >= 0 {
		p.at++
	}
	if s := p.in[begin:p.at]; isNumber(s) {
		return json.Number(s), nil
	}
	return "", errJSON
}

// isNumber goes by JSON's grammar: -?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?
func isNumber(s string) bool {
	digits := func() bool {
		n := len(s)
		s = strings.TrimLeft(s, "0123456789")
		return len(s) < n
	}
	s = strings.TrimPrefix(s, "-")
	if len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9' || !digits() {
		return false
	}
	if strings.HasPrefix(s, ".") {
		if s = s[1:]; !digits() {
			return false
		}
	}
	if s != "" && s[0]|0x20 == 'e' {
		if s = s[1:]; s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}
