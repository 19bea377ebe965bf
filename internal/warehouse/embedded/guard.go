package embedded

import "strings"

// A guard refuses statements that would reach out of the data directory: to files, addresses, programs or other servers.
// Most of that the engine refuses itself, since its user has no such right (userConfig); this is for what the engine
// has no right for, such as the function file, and the same line held twice.
//
// Where it cannot be sure to cut a statement as the engine does, it refuses the statement.
type guard struct {
	calls   map[string]bool // refused as a function: name, then a bracket
	engines map[string]bool // refused after ENGINE
}

// Functions that read files or ask other servers. The engine takes a function's name also without brackets
// (arrayMap(file, …), APPLY file), so these are no names at all.
var refusedNames = set("file", "catboostEvaluate", "aiGenerate", "aiClassify", "aiExtract", "aiTranslate", "aiEmbed")

// Table functions that make numbers up or hold a query. All others that the engine has are refused, also those that take
// a text of columns (values, format, …): such a text may hold expressions, which no guard sees.
var allowedTables = set("numbers", "numbers_mt", "zeros", "zeros_mt", "primes", "generateSeries", "generate_series", "view", "viewIfPermitted")

// Engines of tables and databases that keep their rows in the data directory or in memory. All others are refused.
var allowedEngines = set("MergeTree", "ReplacingMergeTree", "SummingMergeTree", "AggregatingMergeTree", "CollapsingMergeTree", "VersionedCollapsingMergeTree",
	"CoalescingMergeTree", "GraphiteMergeTree", "Memory", "Null", "Log", "TinyLog", "StripeLog", "Set", "Join", "Buffer", "Merge", "Alias", "View", "MaterializedView",
	"GenerateRandom", "Atomic", "Ordinary")

func set(names ...string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, name := range names {
		out[strings.ToLower(name)] = true
	}
	return out
}

// newGuard makes the guard for an engine that has these table functions and engines.
func newGuard(tableFunctions, engines []string) guard {
	g := guard{calls: set("disk"), engines: map[string]bool{}} // disk(…) describes a disk anywhere
	for name := range set(tableFunctions...) {
		g.calls[name] = !allowedTables[name]
	}
	for name := range set(engines...) {
		g.engines[name] = !allowedEngines[name]
	}
	return g
}

// check reads a statement up to where its rows begin, with the parameters that came with it.
func (g guard) check(text string, params []param) error {
	l := &lexer{text: text}
	before := token{kind: tokenEnd}
	for t := l.next(); t.kind != tokenEnd; before, t = t, l.next() {
		if err := l.certain(before, t); err != nil {
			return err
		}
		if l.sign(t) == '}' && l.sign(l.peek()) == '(' {
			return notAllowed("A function's name must stand in the statement")
		}
		if l.sign(t) == '{' {
			if err := l.checkParam(params); err != nil {
				return err
			}
		}
		name, ok := l.name(t)
		switch {
		case !ok:
		case refusedNames[name]:
			return notAllowed("The embedded engine has no %s: files and other servers cannot be read", name)
		case g.calls[name] && l.sign(l.peek()) == '(':
			return notAllowed("The embedded engine has no table function %s: files and other servers cannot be read or written", name)
		case l.is(t, "ENGINE"):
			if engine, ok := l.engine(); ok && g.engines[engine] {
				return notAllowed("The embedded engine has no engine %s: files and other servers cannot be read or written", engine)
			}
		case l.is(t, "ATTACH"):
			if what := l.peek(); !l.is(what, "PARTITION") && !l.is(what, "PART") {
				return notAllowed("The embedded engine attaches nothing from elsewhere")
			}
		}
	}
	return nil
}

// certain refuses what the engine might cut in another way than this lexer: letters beyond ASCII outside quotes (the engine
// knows typographic quotes and wide blanks), dollar quotes, and escapes where the engine may know none.
func (l *lexer) certain(before, t token) error {
	text := l.text[t.start:t.end]
	if t.kind == tokenQuoted && text[0] != '$' {
		glued := before.kind == tokenWord && before.end == t.start // x'…' and b'…'
		if text[0] != '\'' && strings.ContainsAny(text, `\/`) || glued && strings.Contains(text, `\`) {
			return notAllowed("Names must not have slashes") // the engine's database default takes a path for a table
		}
		return nil
	}
	for _, b := range []byte(text) {
		if b >= 0x7f || b < ' ' || b == '$' {
			return notAllowed("Outside quotes a statement must be ASCII without the dollar sign")
		}
	}
	return nil
}

// name is the name a token may be, in small letters: a bare word or a quoted name.
func (l *lexer) name(t token) (string, bool) {
	text := l.text[t.start:t.end]
	switch {
	case t.kind == tokenWord:
		return strings.ToLower(text), true
	case t.kind == tokenQuoted && text[0] != '\'':
		return strings.ToLower(strings.Trim(text, text[:1])), true
	}
	return "", false
}

// engine is the name after ENGINE and its equals sign, if any.
func (l *lexer) engine() (string, bool) {
	ahead := &lexer{text: l.text, at: l.at}
	t := ahead.next()
	if ahead.sign(t) == '=' {
		t = ahead.next()
	}
	return ahead.name(t)
}

func (l *lexer) peek() token { return (&lexer{text: l.text, at: l.at}).next() }

// checkParam is asked after an opening brace: a parameter that stands for a name must come with the statement and be
// an allowed one.
func (l *lexer) checkParam(params []param) error {
	ahead := &lexer{text: l.text, at: l.at}
	name := ahead.next()
	if ahead.sign(ahead.next()) != ':' || !ahead.is(ahead.next(), "Identifier") {
		return nil
	}
	for _, p := range params {
		if p.name != l.text[name.start:name.end] {
			continue
		}
		for _, part := range strings.Split(p.value, ".") {
			if refusedNames[strings.ToLower(strings.TrimSpace(strings.Trim(part, "`\"")))] {
				return notAllowed("The embedded engine has no %s", clip(p.value))
			}
		}
		if strings.ContainsAny(p.value, "\\$'\"`/(") {
			return notAllowed("A name given as a parameter must be plain")
		}
		return nil
	}
	return notAllowed("A name given as a parameter must come with the statement")
}

func notAllowed(format string, args ...any) error {
	return refuse(codeNotAllowed, "FUNCTION_NOT_ALLOWED", format, args...)
}

// userConfig is what the engine lets its one user do: everything in its own databases, nothing with files, addresses,
// programs or other servers. Settings that name files or hold expressions that no guard sees cannot be changed.
const userConfig = `<clickhouse>
  <profiles>
    <default>
      <input_format_values_interpret_expressions>0</input_format_values_interpret_expressions>
      <input_format_values_deduce_templates_of_expressions>0</input_format_values_deduce_templates_of_expressions>
      <constraints>
        <input_format_values_deduce_templates_of_expressions><readonly/></input_format_values_deduce_templates_of_expressions>
        <input_format_values_interpret_expressions><readonly/></input_format_values_interpret_expressions>
        <additional_table_filters><readonly/></additional_table_filters>
        <additional_result_filter><readonly/></additional_result_filter>
        <parallel_replicas_custom_key><readonly/></parallel_replicas_custom_key>
        <format_schema><readonly/></format_schema>
        <format_schema_source><readonly/></format_schema_source>
        <output_format_schema><readonly/></output_format_schema>
        <format_template_row><readonly/></format_template_row>
        <format_template_resultset><readonly/></format_template_resultset>
        <format_avro_schema_registry_url><readonly/></format_avro_schema_registry_url>
        <input_format_record_errors_file_path><readonly/></input_format_record_errors_file_path>
        <dialect><readonly/></dialect>
        <allow_introspection_functions><max>0</max></allow_introspection_functions>
      </constraints>
    </default>
  </profiles>
  <users>
    <default>
      <password></password>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SHOW, SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE TEMPORARY TABLE, DROP DATABASE, DROP TABLE, DROP VIEW, UNDROP TABLE, TRUNCATE, OPTIMIZE, CHECK, KILL QUERY ON *.*</query>
      </grants>
    </default>
  </users>
  <quotas><default></default></quotas>
</clickhouse>
`
