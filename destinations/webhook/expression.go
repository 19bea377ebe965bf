package webhook

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"gopkg.in/yaml.v3"

	"tributary/destinations"
)

// Expressions are pure and bounded: they see the event's fields and nothing else, no clock,
// no chance, no environment, and their length, their memory and the functions they may call
// are limited.
const (
	maxExpression = 2000 // bytes
	maxExprNodes  = 300
	maxMemory     = 100_000 // the expression engine's units: about one an element made
)

// functions are those that an expression may call.
var functions = strings.Fields(`lower upper trim trimPrefix trimSuffix split replace join len string int float round floor ceil abs
	first last indexOf hasPrefix hasSuffix map filter any all none one count sum min max get take toJSON`)

// A text is a scalar of the template with its {{ }}: one expression alone gives a value of
// its own type, several or some among words give a text.
type text struct {
	source string // for messages; configuration, no personal data
	pieces []piece
	whole  bool
}

type piece struct {
	words   string
	program *vm.Program // nil: words
	from    int         // rune of the scalar at which the expression begins
}

// text compiles one scalar.
func (c *compiler) text(n *yaml.Node, value string) *text {
	t := &text{source: destinations.Clip(strings.Join(strings.Fields(value), " "), 80)}
	rest, at := value, 0
	for rest != "" {
		words, more, found := strings.Cut(rest, "{{")
		if words != "" {
			t.pieces = append(t.pieces, piece{words: words})
		}
		if !found {
			break
		}
		at += utf8.RuneCountInString(words) + 2
		end := closing(more)
		if end < 0 {
			c.place(n, at-2, "{{ is not closed by }}")
			return t
		}
		source := more[:end]
		p := piece{from: at, program: c.expression(n, source, at)}
		if p.program == nil {
			return t
		}
		t.pieces = append(t.pieces, p)
		at += utf8.RuneCountInString(source) + 2
		rest = more[end+2:]
	}
	t.whole = len(t.pieces) == 1 && t.pieces[0].program != nil
	for _, p := range t.pieces {
		if shape := shapeOf(p.program); shape != "" && !t.whole {
			c.place(n, p.from, "this gives %s; inside a text only texts, numbers and yes or no can stand", shape)
			return t
		}
		if p.program == nil {
			continue
		}
		if _, err := run(p.program, &fields{}); err != nil {
			c.place(n, p.from, "this fails for an event that lacks a field (%s); say what then holds, such as value.amount ?? 0", short(err))
			return t
		}
	}
	return t
}

// shapeOf says that a program gives a list or an object; "" where it gives neither, or where
// only an event can tell.
func shapeOf(p *vm.Program) string {
	if p == nil || p.Node().Type() == nil {
		return ""
	}
	switch p.Node().Type().Kind() {
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return ""
}

// closing finds the }} that ends an expression: not one within its quotes or braces.
func closing(s string) int {
	depth, quote := 0, byte(0)
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case quote != 0:
			if b == '\\' && quote != '`' {
				i++
			} else if b == quote {
				quote = 0
			}
		case b == '"' || b == '\'' || b == '`':
			quote = b
		case b == '{':
			depth++
		case b == '}' && depth > 0:
			depth--
		case b == '}' && strings.HasPrefix(s[i:], "}}"):
			return i
		}
	}
	return -1
}

// expression compiles and type-checks one expression; nil where it is a mistake.
func (c *compiler) expression(n *yaml.Node, source string, at int) *vm.Program {
	if len(source) > maxExpression {
		c.place(n, at, "the expression is longer than %d bytes", maxExpression)
		return nil
	}
	limits := &limits{settings: c.settings}
	program, err := compile(source, &fields{}, limits)
	switch {
	case limits.message != "":
		c.place(n, at+limits.from, "%s", limits.message)
		return nil
	case err != nil:
		from, message := wordsOf(err, fieldNames)
		c.place(n, at+from, "%s", message)
		return nil
	}
	return program
}

func compile(source string, env any, limits *limits, more ...expr.Option) (*vm.Program, error) {
	options := append([]expr.Option{expr.Env(env), expr.MaxNodes(maxExprNodes), expr.DisableAllBuiltins(), expr.Patch(limits)}, more...)
	for _, f := range functions {
		options = append(options, expr.EnableBuiltin(f))
	}
	options = append(options, expr.Function("keys", keysOf, new(func(map[string]any) []any)), expr.Function("values", valuesOf, new(func(map[string]any) []any)))
	return expr.Compile(source, options...)
}

// keysOf and valuesOf stand in place of the engine's own, whose order changes from call to
// call: the same event must give the same bytes.
func keysOf(params ...any) (any, error) {
	return eachKey(params, func(_ map[string]any, k string) any { return k })
}

func valuesOf(params ...any) (any, error) {
	return eachKey(params, func(m map[string]any, k string) any { return m[k] })
}

func eachKey(params []any, give func(m map[string]any, k string) any) (any, error) {
	m, _ := params[0].(map[string]any)
	out := make([]any, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, give(m, k))
	}
	return out, nil
}

var (
	unknownWord   = regexp.MustCompile(`^unknown (?:name|function|field) (\w+)`)
	unknownMember = regexp.MustCompile(`^type webhook\.(\w+) has no field (\w+)`)
)

// wordsOf gives the place of a compiler's complaint within the expression, and its words.
func wordsOf(err error, names []string) (from int, message string) {
	message = err.Error()
	var e *file.Error
	if errors.As(err, &e) {
		from, message = e.From, e.Message
	}
	message, _, _ = strings.Cut(message, "\n")
	if m := unknownWord.FindStringSubmatch(message); m != nil {
		message = fmt.Sprintf("templates know no %q", m[1])
		if near := destinations.Suggest(m[1], names); near != "" {
			message += fmt.Sprintf(" (did you mean %q?)", near)
		}
	} else if m := unknownMember.FindStringSubmatch(message); m != nil {
		message = fmt.Sprintf("%s has no %q; README.md lists what there is", m[1], m[2])
	} else if message == "unexpected token EOF" {
		message = "the expression ends too early"
	}
	return from, message
}

// place notes a mistake at a rune of a scalar: exact where it stands on one line without
// escapes, the line alone within a literal block, else where the scalar begins.
func (c *compiler) place(n *yaml.Node, from int, format string, args ...any) {
	at := yaml.Node{Line: n.Line, Column: n.Column}
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		at.Line += 1 + strings.Count(string([]rune(n.Value)[:min(from, utf8.RuneCountInString(n.Value))]), "\n")
		at.Column = 1
	case strings.Contains(n.Value, "\n") || n.Style&yaml.FoldedStyle != 0:
	case n.Style&yaml.SingleQuotedStyle != 0 && !strings.Contains(n.Value, "'"):
		at.Column += 1 + from
	case n.Style&yaml.DoubleQuotedStyle != 0 && !strings.ContainsAny(n.Value, `"\`):
		at.Column += 1 + from
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0:
		at.Column += from
	}
	c.mistake(&at, format, args...)
}

// value gives what the scalar comes to: nil where it is left out.
func (t *text) value(f *fields) (any, error) {
	if t.whole {
		v, err := run(t.pieces[0].program, f)
		if err != nil {
			return nil, fmt.Errorf("%s: %s", t.source, short(err))
		}
		return plain(v), nil
	}
	var out strings.Builder
	for _, p := range t.pieces {
		if p.program == nil {
			out.WriteString(p.words)
			continue
		}
		v, err := run(p.program, f)
		if err == nil {
			var s string
			if s, err = asText(v); err == nil {
				out.WriteString(s)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s", t.source, short(err))
		}
		if out.Len() > maxBody {
			return nil, fmt.Errorf("%s: longer than %d bytes", t.source, maxBody)
		}
	}
	return out.String(), nil
}

func run(p *vm.Program, env any) (any, error) {
	m := vm.VM{MemoryBudget: maxMemory}
	return m.Run(p, env)
}

// plain takes a value from behind its pointer.
func plain(v any) any {
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer {
		if r.IsNil() {
			return nil
		}
		r = r.Elem()
	}
	if !r.IsValid() {
		return nil
	}
	return r.Interface()
}

// short gives the first line of an error of the expression engine, without what an event
// held.
func short(err error) string {
	message, _, _ := strings.Cut(err.Error(), "\n")
	if i := strings.LastIndex(message, " ("); i > 0 {
		message = message[:i]
	}
	return destinations.VendorWords(message)
}

// limits walks an expression and keeps the first thing in it that is not allowed.
type limits struct {
	settings Settings
	free     bool // the settings do not matter: an answer is looked at
	message  string
	from     int
}

// Visit is called by expr for every node, children first.
func (l *limits) Visit(n *ast.Node) {
	switch v := (*n).(type) {
	case *ast.IdentifierNode:
		switch {
		case v.Value == "$env":
			l.refuse(v, "$env is not part of templates; name the field itself")
		case l.free:
		case v.Value == "contact" && !l.settings.IncludeContact:
			l.refuse(v, "contact holds people's data in the clear: set include_contact: true if that is meant")
		case v.Value == "properties" && !l.settings.IncludeProperties:
			l.refuse(v, "properties hold whatever the source sent: set include_properties: true if that is meant")
		case v.Value == "revenue" && !l.settings.IncludeRevenue:
			l.refuse(v, "revenue holds every value side by side, and value the one that the mapping chose: set include_revenue: true if all are meant")
		}
	case *ast.BinaryNode:
		if _, fixed := v.Right.(*ast.StringNode); v.Operator == "matches" && !fixed {
			l.refuse(v, "matches needs a pattern written in quotes")
		}
		if v.Operator == ".." {
			l.refuse(v, "ranges are not part of templates")
		}
	case *ast.VariableDeclaratorNode, *ast.SequenceNode:
		l.refuse(v, "variables are not part of templates")
	}
}

func (l *limits) refuse(n ast.Node, message string) {
	if l.message == "" {
		l.message, l.from = message, n.Location().From
	}
}

// compileHeader compiles the value of a header.
func compileHeader(s *destinations.Section, path, value string, settings Settings) *text {
	if !strings.Contains(value, "{{") {
		return &text{source: value, pieces: []piece{{words: value}}}
	}
	before := len(s.Problems())
	c := &compiler{section: s, settings: settings, path: path}
	t := c.text(&yaml.Node{}, value) // without a place of its own: the header's is told
	if len(s.Problems()) > before {
		return nil
	}
	return t
}

// A condition asks something of an answer of success.
type condition struct{ program *vm.Program }

// An answered is what accepted_if looks at.
type answered struct {
	Status int    `expr:"status"`
	Text   string `expr:"text"`
	Answer any    `expr:"answer"` // the body where it is JSON, else nil
}

func compileCondition(s *destinations.Section, n *yaml.Node) *condition {
	c := &compiler{section: s, path: "accepted_if"}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!bool" || strings.TrimSpace(n.Value) == "" || len(n.Value) > maxExpression {
		c.mistake(n, "accepted_if must be a condition such as answer.ok == true")
		return nil
	}
	limits := &limits{free: true}
	program, err := compile(n.Value, &answered{}, limits, expr.AsBool())
	switch {
	case limits.message != "":
		c.place(n, limits.from, "%s", limits.message)
		return nil
	case err != nil:
		from, message := wordsOf(err, []string{"status", "text", "answer"})
		c.place(n, from, "%s", message)
		return nil
	}
	return &condition{program}
}

func (c *condition) holds(r destinations.Response) (bool, error) {
	a := &answered{Status: r.Status, Text: strings.ToValidUTF8(string(r.Body), "")}
	if !destinations.ReadJSON(r.Body, &a.Answer) {
		a.Answer = nil
	}
	v, err := run(c.program, a)
	if err != nil {
		return false, err
	}
	yes, ok := v.(bool)
	if !ok {
		return false, errors.New("no yes or no")
	}
	return yes, nil
}
