package wire

import (
	"unicode/utf8"
)

// A Shape is what one pass over a JSON text says of it, without decoding it.
type Shape struct {
	Kind   byte // '{', '[', '"', '0' for a number, 't' for true and false, 'n' for null
	Depth  int  // of nesting; 0 for a text, number, true, false or null
	UTF8   bool // every text in it is valid UTF-8
	Size   int  // bytes, without white space around it
	Picked [picks][]byte
}

// picks is how many members Scan can pick.
const picks = 4

// hardDepth is where the scan itself stops: nothing deeper is looked at.
const hardDepth = 512

// A scanner checks JSON as RFC 8259 has it, in one pass and without recursion.
type scanner struct {
	b    []byte
	i    int
	utf8 bool
}

// Scan checks that b is one JSON value and nothing else. Of an object it picks the
// members named (up to four; the last of a name counts), as they stand in b.
func Scan(b []byte, names ...string) (Shape, *Fault) {
	s := scanner{b: b, utf8: true}
	s.space()
	start := s.i
	if s.i == len(b) {
		return Shape{}, &Fault{FaultMalformed, s.i, "is empty"}
	}
	shape := Shape{Kind: kindByte(b[s.i])}
	var fault *Fault
	if shape.Kind == '{' {
		shape.Depth, fault = s.members(&shape, names)
	} else {
		shape.Depth, fault = s.value()
	}
	if fault != nil {
		return Shape{}, fault
	}
	shape.Size = s.i - start
	if s.space(); s.i != len(b) {
		return Shape{}, s.fault("something follows the JSON value")
	}
	shape.UTF8 = s.utf8
	return shape, nil
}

// Members checks that b is one JSON object and nothing else, and calls each with the name of
// every member, as written and without quotes, and its value, as they stand in b.
func Members(b []byte, each func(name, value []byte)) *Fault {
	s := scanner{b: b, utf8: true}
	s.space()
	if s.peek() != '{' {
		return s.fault("is not an object")
	}
	s.i++
	if s.space(); s.peek() == '}' {
		s.i++
		return s.end()
	}
	for {
		s.space()
		name, fault := s.memberName()
		if fault != nil {
			return fault
		}
		s.space()
		start := s.i
		if _, fault := s.value(); fault != nil {
			return fault
		}
		each(name, b[start:s.i:s.i])
		s.space()
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			return s.end()
		default:
			return s.fault("expected , or } after a member")
		}
	}
}

// Elements calls each with every element of the JSON array b, in order, as it stands
// in b, with its shape. Members named are picked of elements that are objects. It stops
// at the first fault: what follows one cannot be told apart.
func Elements(b []byte, each func(raw []byte, s Shape) *Fault, names ...string) *Fault {
	s := scanner{b: b, utf8: true}
	s.space()
	if s.i == len(b) || b[s.i] != '[' {
		return s.fault("is not an array")
	}
	s.i++
	if s.space(); s.peek() == ']' {
		s.i++
		return s.end()
	}
	for {
		s.space()
		start := s.i
		s.utf8 = true
		shape := Shape{Kind: kindByte(s.peek())}
		var fault *Fault
		if shape.Kind == '{' {
			shape.Depth, fault = s.members(&shape, names)
		} else {
			shape.Depth, fault = s.value()
		}
		if fault != nil {
			return fault
		}
		shape.Size, shape.UTF8 = s.i-start, s.utf8
		if fault := each(b[start:s.i:s.i], shape); fault != nil {
			return fault
		}
		s.space()
		switch s.peek() {
		case ',':
			s.i++
		case ']':
			s.i++
			return s.end()
		default:
			return s.fault("expected , or ] after an array element")
		}
	}
}

func (s *scanner) end() *Fault {
	if s.space(); s.i != len(s.b) {
		return s.fault("something follows the JSON value")
	}
	return nil
}

// members reads an object, picking members by name.
func (s *scanner) members(shape *Shape, names []string) (int, *Fault) {
	depth := 1
	s.i++ // {
	if s.space(); s.peek() == '}' {
		s.i++
		return depth, nil
	}
	for {
		s.space()
		key, fault := s.memberName()
		if fault != nil {
			return 0, fault
		}
		s.space()
		start := s.i
		d, fault := s.value()
		if fault != nil {
			return 0, fault
		}
		depth = max(depth, d+1)
		for i, name := range names {
			if i < picks && string(key) == name {
				shape.Picked[i] = s.b[start:s.i:s.i]
			}
		}
		s.space()
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			return depth, nil
		default:
			return 0, s.fault("expected , or } after a member")
		}
	}
}

// memberName reads "name": and gives the name as written, without quotes.
func (s *scanner) memberName() ([]byte, *Fault) {
	start := s.i + 1
	if s.peek() != '"' {
		return nil, s.fault("expected a member name in quotes")
	}
	if fault := s.text(); fault != nil {
		return nil, fault
	}
	key := s.b[start : s.i-1]
	if s.space(); s.peek() != ':' {
		return nil, s.fault("expected : after a member name")
	}
	s.i++
	return key, nil
}

// value reads one value and gives its depth. The open brackets stand in a bit set: 1 for
// an object.
func (s *scanner) value() (int, *Fault) {
	var open [hardDepth / 64]uint64
	depth, deepest := 0, 0
	for {
		// At the start of a value.
		s.space()
		switch c := s.peek(); {
		case c == '{' || c == '[':
			if depth == hardDepth {
				return 0, &Fault{FaultTooDeep, s.i, "is nested too deeply"}
			}
			if s.i++; c == '{' {
				open[depth/64] |= 1 << (depth % 64)
			} else {
				open[depth/64] &^= 1 << (depth % 64)
			}
			depth++
			deepest = max(deepest, depth)
			s.space()
			if c == '[' && s.peek() != ']' {
				continue
			}
			if c == '{' && s.peek() != '}' {
				if _, fault := s.memberName(); fault != nil {
					return 0, fault
				}
				continue
			}
			s.i++
			depth--
		default:
			if fault := s.scalar(c); fault != nil {
				return 0, fault
			}
		}
		// After a value: close what ends here, or go on to the next value.
		for {
			if depth == 0 {
				return deepest, nil
			}
			s.space()
			object := open[(depth-1)/64]&(1<<((depth-1)%64)) != 0
			c := s.peek()
			if c == ',' {
				s.i++
				if object {
					s.space()
					if _, fault := s.memberName(); fault != nil {
						return 0, fault
					}
				}
				break
			}
			if object && c == '}' || !object && c == ']' {
				s.i++
				depth--
				continue
			}
			if object {
				return 0, s.fault("expected , or } after a member")
			}
			return 0, s.fault("expected , or ] after an array element")
		}
	}
}

func (s *scanner) scalar(c byte) *Fault {
	switch {
	case c == '"':
		return s.text()
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.fault("expected a value")
}

// plain bytes of a text need no look: neither quote, escape, control nor beyond ASCII.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// text reads a text in quotes.
func (s *scanner) text() *Fault {
	b := s.b
	i := s.i + 1
	for i < len(b) {
		c := b[i]
		switch {
		case plain[c]:
			i++
		case c == '"':
			s.i = i + 1
			return nil
		case c == '\\':
			if i+1 >= len(b) {
				s.i = len(b)
				return s.fault("a text is not closed")
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				if i+6 > len(b) || !isHex(b[i+2:i+6]) {
					s.i = i
					return s.fault(`\u needs four hex digits`)
				}
				i += 6
			default:
				s.i = i
				return s.fault("an escape that JSON does not have")
			}
		case c < 0x20:
			s.i = i
			return s.fault("a control character stands in a text")
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				s.utf8 = false
			}
			i += n
		}
	}
	s.i = len(b)
	return s.fault("a text is not closed")
}

func (s *scanner) number() *Fault {
	if s.peek() == '-' {
		s.i++
	}
	switch c := s.peek(); {
	case c == '0':
		s.i++
	case c >= '1' && c <= '9':
		s.digits()
	default:
		return s.fault("a number needs a digit")
	}
	if s.peek() == '.' {
		s.i++
		if !s.digits() {
			return s.fault("a number needs a digit after its point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		if !s.digits() {
			return s.fault("a number needs a digit in its exponent")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

func (s *scanner) word(w string) *Fault {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return s.fault("expected a value")
	}
	s.i += len(w)
	return nil
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek gives the next byte, 0 at the end: no JSON has it outside a text.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) fault(says string) *Fault {
	if s.i >= len(s.b) {
		says = "ends too early: " + says
	}
	return &Fault{FaultMalformed, s.i, says}
}

func kindByte(c byte) byte {
	switch {
	case c == '-' || c >= '0' && c <= '9':
		return '0'
	case c == 'f':
		return 't'
	}
	return c
}

func isHex(b []byte) bool {
	for _, c := range b {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}
