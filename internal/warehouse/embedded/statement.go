package embedded

import "strings"

// A statement is what this server must know of one SQL statement before the engine sees it.
type statement struct {
	text   string // without what follows the statement
	verb   string // first word, in capitals
	format string // of the FORMAT clause, empty without one
	totals bool   // WITH TOTALS and the like: the result has more than rows
	insert *insertion
}

// An insertion is an INSERT whose rows follow the statement.
type insertion struct {
	target   string // INSERT INTO t (columns)
	settings string // SETTINGS clause, empty without one
	format   string // Values for the VALUES clause
	data     int    // where the rows begin in the text
}

// infile is the same INSERT with its rows in a file.
func (i *insertion) infile(path string) string {
	var b strings.Builder
	b.WriteString(i.target)
	b.WriteString(" FROM INFILE ")
	b.WriteString(quoteText(path))
	b.WriteString(" COMPRESSION 'none' ")
	b.WriteString(i.settings)
	b.WriteString(" FORMAT ")
	b.WriteString(i.format)
	return b.String()
}

// parseStatement reads text, of which complete says that nothing follows it. ok is false when the text ends before it
// is known whether it is an INSERT with rows; that can happen only when the text is not complete.
func parseStatement(text string, complete bool) (s statement, ok bool, err error) {
	l := &lexer{text: text}
	first := l.next()
	if first.kind == tokenWord {
		s.verb = l.word(first)
	}
	if s.verb == "INSERT" {
		insert, found, err := parseInsert(l, complete)
		if err != nil {
			return s, true, err
		}
		if found {
			s.text, s.insert = text[:insert.data], insert
			return s, true, nil
		}
		l.at = first.end
	}
	if !complete {
		return s, false, nil
	}
	return s, true, s.scan(l, first)
}

// scan passes over a statement that brings no rows: it finds FORMAT, refuses a second statement and refuses to touch files.
func (s *statement) scan(l *lexer, first token) error {
	if first.kind == tokenEnd {
		return nil
	}
	depth, end := 0, first.end
	for t := first; t.kind != tokenEnd; t = l.next() {
		switch sign := l.sign(t); {
		case sign == '(' || sign == '[' || sign == '{':
			depth++
		case sign == ')' || sign == ']' || sign == '}':
			depth--
		case sign == ';':
			if after := l.next(); after.kind != tokenEnd && l.sign(after) != ';' {
				return refuse(codeSyntaxError, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed): failed at position %d (end of query)", t.start+1)
			}
			s.text = l.text[:t.start]
			return nil
		case depth == 0 && l.is(t, "FORMAT"):
			if name, ok := l.formatName(); ok {
				s.format, t = l.text[name.start:name.end], name
			}
		case depth == 0 && l.is(t, "INSERT") && s.verb == "WITH":
			s.verb = "INSERT"
		case l.is(t, "TOTALS"), l.is(t, "ROLLUP"), l.is(t, "CUBE"):
			s.totals = true
		case l.is(t, "OUTFILE"):
			return refuse(codeOutfileNotAllowed, "INTO_OUTFILE_NOT_ALLOWED", "INTO OUTFILE is not allowed")
		case l.is(t, "INFILE"):
			return refuse(codeNotImplemented, "NOT_IMPLEMENTED", "FROM INFILE is not supported over HTTP: send the rows in the body")
		}
		end = t.end
	}
	s.text = l.text[:end]
	return nil
}

// parseInsert reads an INSERT up to where its rows begin. found is false for one that brings no rows, or not yet.
func parseInsert(l *lexer, complete bool) (insert *insertion, found bool, err error) {
	cut := func(t token) bool { return t.kind == tokenEnd || t.end == len(l.text) && !complete }
	t := l.next()
	if !l.is(t, "INTO") {
		return nil, false, nil
	}
	start := strings.LastIndex(strings.ToUpper(l.text[:t.start]), "INSERT")
	t = l.next()
	for l.is(t, "TABLE") || l.is(t, "FUNCTION") {
		after := (&lexer{text: l.text, at: l.at}).next()
		if after.kind != tokenWord && after.kind != tokenQuoted || l.is(after, "VALUES") || l.is(after, "FORMAT") {
			break // a table of that name
		}
		t = l.next()
	}
	target, settings, end, depth := t.end, -1, t.end, 0
	for t = l.next(); !cut(t); t = l.next() {
		switch sign := l.sign(t); {
		case sign == '(':
			depth++
		case sign == ')':
			depth--
		case depth > 0:
		case sign == '.':
			t = l.next() // the table's name after its database's
		case sign == ';', l.is(t, "SELECT"), l.is(t, "WITH"), l.is(t, "WATCH"), l.is(t, "FROM"), l.is(t, "EXPLAIN"):
			return nil, false, nil
		case l.is(t, "SETTINGS") && settings < 0:
			settings = t.start
		case l.is(t, "VALUES"), l.is(t, "FORMAT"):
			insert = &insertion{target: l.text[start:target], format: "Values", data: t.end}
			if settings >= 0 {
				insert.settings = l.text[settings:end]
			}
			if l.is(t, "VALUES") {
				return insert, true, nil
			}
			name := l.next()
			if name.kind != tokenWord || cut(name) {
				return nil, false, nil
			}
			insert.format = l.text[name.start:name.end]
			insert.data, err = skipToRows(l.text, name.end)
			return insert, complete || insert.data < len(l.text), err
		}
		end = t.end
		if settings < 0 {
			target = t.end
		}
	}
	return nil, false, nil
}

// skipToRows passes what may stand between the format's name and the rows: blanks on the line, then one line break.
func skipToRows(text string, at int) (int, error) {
	for at < len(text) && strings.IndexByte(" \t\f", text[at]) >= 0 {
		at++
	}
	if at < len(text) && text[at] == ';' {
		return at, refuse(codeSyntaxError, "SYNTAX_ERROR", "You have excessive semicolon between the format name and the rows")
	}
	if at < len(text) && text[at] == '\r' {
		at++
	}
	if at < len(text) && text[at] == '\n' {
		at++
	}
	return at, nil
}

// formatName reads the name after FORMAT, if that is the clause and not a column called so: nothing but SETTINGS, INTO
// or the end follows it.
func (l *lexer) formatName() (name token, ok bool) {
	before := l.at
	name = l.next()
	ahead := &lexer{text: l.text, at: l.at}
	after := ahead.next()
	if name.kind == tokenWord && (after.kind == tokenEnd || l.sign(after) == ';' || l.is(after, "SETTINGS") || l.is(after, "INTO")) {
		return name, true
	}
	l.at = before
	return name, false
}

// quoteText writes a text as an SQL string.
func quoteText(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", `\0`).Replace(text) + "'"
}

// quoteName writes a name as an SQL identifier.
func quoteName(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}
