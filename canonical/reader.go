package canonical

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A reader reads JSON as this program writes it: no white space, members in the order of
// their fields, each once, no nulls. A step is false where the text is otherwise; the whole is
// then left to encoding/json. The strings read are pieces of the one text.
type reader struct {
	all string
	at  int
}

// A member reads one member of an object into its field.
type member[T any] struct {
	name string
	read func(r *reader, v *T) bool
}

// readMembers reads an object whose members stand in the order given; any may be missing.
func readMembers[T any](r *reader, v *T, members []member[T]) bool {
	if !r.take('{') {
		return false
	}
	if r.take('}') {
		return true
	}
	for next := 0; ; next++ {
		name, ok := r.plain()
		if !ok || !r.take(':') {
			return false
		}
		for next < len(members) && members[next].name != name {
			next++
		}
		if next == len(members) || !members[next].read(r, v) {
			return false
		}
		if r.take('}') {
			return true
		}
		if !r.take(',') {
			return false
		}
	}
}

// readNew reads an object into a new value.
func readNew[T any](r *reader, v **T, members []member[T]) bool {
	*v = new(T)
	return readMembers(r, *v, members)
}

// readList reads an array.
func readList[T any](r *reader, v *[]T, read func(r *reader, v *T) bool) bool {
	if !r.take('[') {
		return false
	}
	*v = []T{}
	if r.take(']') {
		return true
	}
	for {
		*v = append(*v, *new(T))
		if !read(r, &(*v)[len(*v)-1]) {
			return false
		}
		if r.take(']') {
			return true
		}
		if !r.take(',') {
			return false
		}
	}
}

// readMap reads an object whose names are data.
func readMap[T any](r *reader, v *map[string]T, read func(r *reader, v *T) bool) bool {
	if !r.take('{') {
		return false
	}
	*v = map[string]T{}
	if r.take('}') {
		return true
	}
	for {
		var name string
		var t T
		if !r.text(&name) || !r.take(':') || !read(r, &t) {
			return false
		}
		if _, twice := (*v)[name]; twice {
			return false
		}
		(*v)[name] = t
		if r.take('}') {
			return true
		}
		if !r.take(',') {
			return false
		}
	}
}

func (r *reader) take(c byte) bool {
	if r.at == len(r.all) || r.all[r.at] != c {
		return false
	}
	r.at++
	return true
}

// done is true at the end of the text.
func (r *reader) done() bool { return r.at == len(r.all) }

// plain reads a string that stands in the text as it is.
func (r *reader) plain() (string, bool) {
	if !r.take('"') {
		return "", false
	}
	n := strings.IndexByte(r.all[r.at:], '"')
	if n < 0 {
		return "", false
	}
	s := r.all[r.at : r.at+n]
	foreign := false
	for i := range len(s) {
		if s[i] == '\\' || s[i] < ' ' {
			return "", false
		}
		foreign = foreign || s[i] >= utf8.RuneSelf
	}
	r.at += n + 1
	return s, !foreign || utf8.ValidString(s)
}

// text reads any string; one with escapes is left to encoding/json.
func (r *reader) text(v *string) bool {
	from := r.at
	s, ok := r.plain()
	if ok {
		*v = s
		return true
	}
	if r.at = from; !r.take('"') {
		return false
	}
	for ; r.at < len(r.all); r.at++ {
		switch r.all[r.at] {
		case '\\':
			r.at++
		case '"':
			r.at++
			return json.Unmarshal([]byte(r.all[from:r.at]), v) == nil
		}
	}
	return false
}

func (r *reader) time(v *time.Time) bool {
	s, ok := r.plain()
	return ok && v.UnmarshalText([]byte(s)) == nil
}

func (r *reader) newTime(v **time.Time) bool {
	*v = new(time.Time)
	return r.time(*v)
}

func (r *reader) node(v *NodeID) bool {
	s, ok := r.plain()
	n, err := strconv.ParseUint(s, 16, 64)
	*v = NodeID(n)
	return ok && err == nil
}

func (r *reader) int(v *int) bool {
	s := r.number()
	n, err := strconv.Atoi(s)
	*v = n
	return err == nil
}

func (r *reader) int64(v *int64) bool {
	n, err := strconv.ParseInt(r.number(), 10, 64)
	*v = n
	return err == nil
}

func (r *reader) newInt(v **int) bool {
	*v = new(int)
	return r.int(*v)
}

func (r *reader) newMoney(v **Money) bool {
	s := r.number()
	m, err := ParseMoney(s)
	*v = &m
	return s != "" && err == nil
}

// number reads a number as JSON has it; "" where there is none.
func (r *reader) number() string {
	s := r.all[r.at:]
	n := 0
	digits := func() bool {
		from := n
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		return n > from
	}
	at := func(c byte) bool { return n < len(s) && s[n] == c }
	if at('-') {
		n++
	}
	if at('0') {
		n++
	} else if !digits() {
		return ""
	}
	if at('.') {
		if n++; !digits() {
			return ""
		}
	}
	if at('e') || at('E') {
		if n++; at('+') || at('-') {
			n++
		}
		if !digits() {
			return ""
		}
	}
	r.at += n
	return s[:n]
}

func (r *reader) word(w string) bool {
	if !strings.HasPrefix(r.all[r.at:], w) {
		return false
	}
	r.at += len(w)
	return true
}

func (r *reader) bool(v *bool) bool {
	*v = r.word("true")
	return *v || r.word("false")
}

func (r *reader) newBool(v **bool) bool {
	*v = new(bool)
	return r.bool(*v)
}

func (r *reader) texts(v *[]string) bool { return readList(r, v, (*reader).text) }

// value reads any value as encoding/json reads it into an interface.
func (r *reader) value(v *any) bool {
	if r.done() {
		return false
	}
	switch r.all[r.at] {
	case '"':
		var s string
		ok := r.text(&s)
		*v = s
		return ok
	case 't', 'f':
		var b bool
		ok := r.bool(&b)
		*v = b
		return ok
	case 'n':
		*v = nil
		return r.word("null")
	case '{', '[':
		return r.any(v)
	}
	n, err := strconv.ParseFloat(r.number(), 64)
	*v = n
	return err == nil
}

// any leaves one value to encoding/json.
func (r *reader) any(v any) bool {
	n := extent(r.all[r.at:])
	if n == 0 || json.Unmarshal([]byte(r.all[r.at:r.at+n]), v) != nil {
		return false
	}
	r.at += n
	return true
}

// extent is the length of the value that s begins with; 0 where that cannot be told. A
// value that ends here is not known to be valid.
func extent(s string) int {
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
			if depth < 0 {
				return i
			}
		case c == ',' && depth == 0:
			return i
		}
	}
	return 0
}
