package mappings

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"gopkg.in/yaml.v3"
)

// A sum computes one value from texts of a JSON body. It sees no clock, calls
// nothing but the few functions below, loops over nothing, and its cost is bounded by its
// own length and maxOperand.
type sum struct {
	program *vm.Program
	paths   [][]step // what the variables _0, _1, … stand for
}

const (
	maxPaths   = 100     // in one expression: their variables are no longer than the paths
	maxOperand = 8 << 10 // bytes of one text that an expression looks at
)

// errAbsent ends an expression that asks for the number of nothing: the field is left out.
var errAbsent = errors.New("nothing stands there")

// functions are what expressions can call.
var functions = map[string]expr.Option{
	"number": expr.Function("number", func(args ...any) (any, error) {
		s := strings.TrimSpace(args[0].(string))
		if s == "" {
			return nil, errAbsent
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || f-f != 0 {
			return nil, errors.New("this is no number")
		}
		return f, nil
	}, new(func(string) float64)),
	"text": expr.Function("text", func(args ...any) (any, error) {
		switch v := args[0].(type) {
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64), nil
		case int:
			return strconv.Itoa(v), nil
		}
		return args[0], nil
	}, new(func(float64) string), new(func(int) string), new(func(string) string)),
	"first": expr.Function("first", func(args ...any) (any, error) {
		for _, a := range args {
			if s := a.(string); s != "" {
				return s, nil
			}
		}
		return "", nil
	}, new(func(string, ...string) string)),
	"part": expr.Function("part", func(args ...any) (any, error) {
		s, separator, n := args[0].(string), args[1].(string), args[2].(int)
		if separator == "" || n < 0 {
			return "", nil
		}
		for range n {
			_, after, found := strings.Cut(s, separator)
			if !found {
				return "", nil
			}
			s = after
		}
		s, _, _ = strings.Cut(s, separator)
		return s, nil
	}, new(func(string, string, int) string)),
}

var functionNames = []string{"number", "text", "first", "part", "lower", "upper", "trim", "len"}

// sum compiles and type-checks an expression; nil after a mistake. text begins with =.
func (c *compiler) sum(n *yaml.Node, text string) *sum {
	if len(text) > maxCondition {
		c.mistake(c.place(n), "long_expression", "", "the expression is longer than %d bytes", maxCondition)
		return nil
	}
	e := &sum{}
	source, from, why := e.withVariables(" " + text[1:]) // the = becomes a space: places stay
	if why != "" {
		c.mistake(conditionPlace(c.place(n), n, text, from), "bad_path", "", "%s; write $.a.b, $.a[0] or $[\"odd key\"]", why)
		return nil
	}
	env := make(map[string]any, len(e.paths))
	for i := range e.paths {
		env[variable(i)] = ""
	}
	limits := &sumLimits{}
	options := []expr.Option{expr.Env(env), expr.MaxNodes(maxConditionNodes), expr.DisableAllBuiltins(), expr.Patch(limits)}
	for _, name := range functionNames {
		if own, ok := functions[name]; ok {
			options = append(options, own)
		} else {
			options = append(options, expr.EnableBuiltin(name))
		}
	}
	program, err := expr.Compile(source, options...)
	if limits.message != "" {
		c.mistake(conditionPlace(c.place(n), n, text, limits.from), "bad_expression", "", "%s", limits.message)
		return nil
	}
	if err != nil {
		c.badExpression(n, text, err)
		return nil
	}
	if !single(program) {
		c.mistake(c.place(n), "bad_expression", "", "the expression comes to a list or to nothing, and must come to one text, number or yes or no")
		return nil
	}
	e.program = program
	return e
}

// withVariables puts a variable of the same length in place of every path.
func (e *sum) withVariables(text string) (source string, from int, why string) {
	var b strings.Builder
	quote := rune(0)
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case quote != 0 && r == '\\' && i+1 < len(text):
			_, more := utf8.DecodeRuneInString(text[i+1:])
			size += more
		case r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\'' || r == '`'):
			quote = r
		case quote == 0 && r == '$':
			at := utf8.RuneCountInString(text[:i])
			path, rest, why := parsePath(text[i:])
			switch {
			case why != "":
				return "", at, "this is no path: " + why
			case len(path) == 0:
				return "", at, "a path must follow the $"
			case len(e.paths) == maxPaths:
				return "", at, "the expression has too many paths"
			}
			written := text[i : len(text)-len(rest)]
			known := slices.IndexFunc(e.paths, func(p []step) bool { return slices.Equal(p, path) })
			if known < 0 {
				known = len(e.paths)
				e.paths = append(e.paths, path)
			}
			name := variable(known)
			b.WriteString(name + strings.Repeat(" ", max(0, utf8.RuneCountInString(written)-len(name))))
			i = len(text) - len(rest)
			continue
		}
		b.WriteString(text[i : i+size])
		i += size
	}
	return b.String(), 0, ""
}

func variable(i int) string { return "_" + strconv.Itoa(i) }

// badExpression reports what the expression compiler refused, without the text itself.
func (c *compiler) badExpression(n *yaml.Node, text string, err error) {
	at, message, suggestion := c.place(n), err.Error(), ""
	var e *file.Error
	if errors.As(err, &e) {
		at, message = conditionPlace(at, n, text, e.From), e.Message
	}
	message, _, _ = strings.Cut(message, "\n")
	switch m := unknownWord.FindStringSubmatch(message); {
	case m != nil:
		message, suggestion = fmt.Sprintf("expressions know no %q", m[1]), nearest(m[1], functionNames)
		if suggestion == "" {
			suggestion = shown("$." + m[1])
		}
	case message == "unexpected token EOF":
		message = "the expression ends too early"
	case strings.Contains(message, "mismatched types"):
		message += "; paths are text: number($.a) is a number"
	}
	c.mistake(at, "bad_expression", suggestion, "%s", strings.TrimSpace(message))
}

// fits is false where a yes or no is given for what is none.
func (e *sum) fits(as int, known bool) bool {
	t := e.program.Node().Type()
	return t == nil || t.Kind() != reflect.Bool || !known || as == asFlag
}

// single is false for an expression that can only come to a list, a group or nothing.
func single(p *vm.Program) bool {
	n := p.Node()
	if _, none := n.(*ast.NilNode); none {
		return false
	}
	t := n.Type()
	return t == nil || !slices.Contains([]reflect.Kind{reflect.Slice, reflect.Array, reflect.Map}, t.Kind())
}

// value computes the expression over a body: text, a number or a yes or no; nil where
// there is nothing.
func (e *sum) value(body any) (any, error) {
	env := make(map[string]any, len(e.paths))
	for i, p := range e.paths {
		text := textOf(at(body, p))
		if len(text) > maxOperand {
			return nil, fmt.Errorf("a text is longer than %d bytes", maxOperand)
		}
		env[variable(i)] = text
	}
	out, err := expr.Run(e.program, env)
	if errors.Is(err, errAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	switch v := out.(type) {
	case string:
		if v == "" {
			return nil, nil
		}
	case float64:
		if v-v != 0 {
			return nil, errors.New("the number is beyond all bounds")
		}
		return number(v), nil
	case int, bool:
	default:
		return nil, errors.New("this is no single value")
	}
	return out, nil
}

// sumLimits walks an expression and refuses what could run long or reach further than
// its operands. It keeps the first finding.
type sumLimits struct {
	message string
	from    int
}

var sumOperators = append([]string{"+", "*", "/", "%"}, allowedOperators...)

// Visit is called by expr for every node, children first.
func (l *sumLimits) Visit(node *ast.Node) {
	refuse := func(n ast.Node, message string) {
		if l.message == "" {
			l.message, l.from = message, n.Location().From
		}
	}
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if n.Value == "$env" {
			refuse(n, "$env is not part of expressions")
		}
	case *ast.StringNode, *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.ArrayNode, *ast.BuiltinNode, *ast.CallNode, *ast.ConstantNode, *ast.ConditionalNode:
	case *ast.UnaryNode:
		if !slices.Contains(sumOperators, n.Operator) && n.Operator != "+" {
			refuse(n, fmt.Sprintf("%q is not part of expressions", n.Operator))
		}
	case *ast.BinaryNode:
		if !slices.Contains(sumOperators, n.Operator) {
			refuse(n, fmt.Sprintf("%q is not part of expressions", n.Operator))
		}
		if n.Operator == "matches" {
			if why := badPattern(n); why != "" {
				refuse(n, why)
			}
		}
	default:
		refuse(*node, "expressions compute over paths: no variables, loops or parts of values")
	}
}
