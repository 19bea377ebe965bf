package embedded

import "strings"

// A token is a piece of SQL between start and end. Comments and white space are not tokens.
type token struct {
	kind       tokenKind
	start, end int
}

type tokenKind int

const (
	tokenEnd    tokenKind = iota
	tokenWord             // a bare word or a number
	tokenQuoted           // 'text', "name", `name` or $tag$text$tag$
	tokenSign             // one other byte
)

// A lexer cuts SQL into tokens, as far as that is needed to find a statement's clauses: strings, quoted names and
// comments are never mistaken for them.
type lexer struct {
	text string
	at   int
}

func (l *lexer) next() token {
	l.skipBlanks()
	start := l.at
	if start >= len(l.text) {
		return token{tokenEnd, start, start}
	}
	switch b := l.text[start]; {
	case b == '\'' || b == '"' || b == '`':
		l.skipQuoted(b)
		return token{tokenQuoted, start, l.at}
	case b == '$':
		if l.skipHeredoc() {
			return token{tokenQuoted, start, l.at}
		}
		l.skipWord()
		return token{tokenWord, start, l.at}
	case wordByte(b):
		l.skipWord()
		return token{tokenWord, start, l.at}
	default:
		l.at++
		return token{tokenSign, start, l.at}
	}
}

func (l *lexer) word(t token) string { return strings.ToUpper(l.text[t.start:t.end]) }

func (l *lexer) is(t token, word string) bool {
	return t.kind == tokenWord && strings.EqualFold(l.text[t.start:t.end], word)
}

func (l *lexer) sign(t token) byte {
	if t.kind != tokenSign {
		return 0
	}
	return l.text[t.start]
}

func (l *lexer) skipBlanks() {
	for l.at < len(l.text) {
		rest := l.text[l.at:]
		switch {
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#!"), strings.HasPrefix(rest, "# "):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				l.at = len(l.text)
				return
			}
			l.at += end + 1
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				l.at = len(l.text)
				return
			}
			l.at += end + 4
		case strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			l.at++
		default:
			return
		}
	}
}

// skipQuoted passes a quoted text; a backslash protects the next byte and a doubled quote stands for itself, which
// here is the same as two texts in a row.
func (l *lexer) skipQuoted(quote byte) {
	for l.at++; l.at < len(l.text); l.at++ {
		switch l.text[l.at] {
		case '\\':
			l.at++
		case quote:
			l.at++
			return
		}
	}
	l.at = len(l.text)
}

func (l *lexer) skipHeredoc() bool {
	rest := l.text[l.at:]
	end := strings.IndexByte(rest[1:], '$')
	if end < 0 {
		return false
	}
	tag := rest[:end+2]
	for _, b := range []byte(tag[1 : len(tag)-1]) {
		if !wordByte(b) {
			return false
		}
	}
	closing := strings.Index(rest[len(tag):], tag)
	if closing < 0 {
		return false
	}
	l.at += len(tag) + closing + len(tag)
	return true
}

func (l *lexer) skipWord() {
	for l.at++; l.at < len(l.text) && wordByte(l.text[l.at]); l.at++ {
	}
}

func wordByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b >= 0x80
}
