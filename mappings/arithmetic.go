package mappings

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// A formula computes a value from others: exactly, in fractions, rounded once at the end
// to six decimals, halves away from zero. ok is false where a value it needs was not given,
// where it divides by zero, and where the result is beyond what money can be.
type formula struct {
	node  term
	reads []string // the names it looks at, each once
}

// A term is one step of a formula.
type term func(*sums) (operand, bool)

// An operand is a number, a text or a truth value; the compiler knows which.
type operand struct {
	number *big.Rat
	text   string
	truth  bool
}

// kinds of operands, as messages call them.
type operandKind string

const (
	aNumber operandKind = "a number"
	aText   operandKind = "a text"
	aTruth  operandKind = "a yes or no"
)

// sums is what formulas can look at.
type sums struct {
	money  func(basis string) *canonical.Money
	months int // 0: not given
	period string
}

// sumNames lists what formulas can name.
var sumNames = append(append([]string{}, bases...), "term_months", "term_years", "billing_period")

const (
	maxFormula      = 300 // bytes
	maxFormulaNodes = 60
)

// value computes the formula.
func (f formula) value(s *sums) (canonical.Money, bool) {
	v, ok := f.node(s)
	if !ok {
		return 0, false
	}
	return roundMicro(v.number)
}

var (
	million = big.NewRat(1_000_000, 1)
	half    = big.NewRat(1, 2)
)

// roundMicro rounds to six decimals, halves away from zero.
func roundMicro(n *big.Rat) (canonical.Money, bool) {
	n = new(big.Rat).Mul(n, million)
	if n.Sign() < 0 {
		n.Sub(n, half)
	} else {
		n.Add(n, half)
	}
	whole := new(big.Int).Quo(n.Num(), n.Denom()) // towards zero
	if !whole.IsInt64() {
		return 0, false
	}
	return canonical.Money(whole.Int64()), true
}

func ratOf(m canonical.Money) *big.Rat { return big.NewRat(int64(m), 1_000_000) }

// expressionText gives what follows the = of a value that is an expression.
func expressionText(n *yaml.Node) (text string, is bool) {
	rest, is := strings.CutPrefix(strings.TrimSpace(n.Value), "=")
	return strings.TrimSpace(rest), is && n.Kind == yaml.ScalarNode
}

// expressionPlace finds a rune of what follows the = in the file.
func (c *compiler) expressionPlace(n *yaml.Node, text string, from int) place {
	whole := strings.TrimSpace(n.Value)
	return conditionPlace(c.place(n), n, whole, strings.LastIndex(whole, text)+from)
}

// formula compiles one formula: "= tcv / term_years".
func (c *compiler) formula(n *yaml.Node, what string) (formula, bool) {
	n = follow(n)
	text, is := expressionText(n)
	if !is || text == "" {
		c.mistake(c.place(n), "bad_formula", "", "%s must be an expression that begins with =, such as = mrr * 12, not %s", what, kindOf(n))
		return formula{}, false
	}
	if len(text) > maxFormula {
		c.mistake(c.place(n), "bad_formula", "", "%s is longer than %d bytes", what, maxFormula)
		return formula{}, false
	}
	tree, err := parser.Parse(text)
	if err != nil {
		at, message := c.place(n), err.Error()
		var e *file.Error
		if errors.As(err, &e) {
			at, message = c.expressionPlace(n, text, e.From), e.Message
		}
		message, _, _ = strings.Cut(message, "\n")
		if message == "unexpected token EOF" {
			message = "the expression ends too early"
		}
		c.mistake(at, "bad_formula", "", "%s", message)
		return formula{}, false
	}
	b := &formulaBuilder{}
	node, kind := b.build(tree.Node)
	if b.message == "" && kind != aNumber {
		b.refuse(tree.Node, "", "%s must come to a number, and this is %s", what, kind)
	}
	if b.message != "" {
		c.mistake(c.expressionPlace(n, text, b.from), "bad_formula", b.suggestion, "%s", b.message)
		return formula{}, false
	}
	return formula{node: node, reads: b.reads}, true
}

// A formulaBuilder makes terms of a parsed expression. It keeps the first mistake.
type formulaBuilder struct {
	message, suggestion string
	from, nodes         int
	reads               []string
}

func (b *formulaBuilder) refuse(n ast.Node, suggestion, format string, args ...any) {
	if b.message == "" {
		b.message, b.suggestion, b.from = fmt.Sprintf(format, args...), suggestion, n.Location().From
	}
}

func nothing(*sums) (operand, bool) { return operand{}, false }

func (b *formulaBuilder) build(n ast.Node) (term, operandKind) {
	if b.nodes++; b.nodes > maxFormulaNodes {
		b.refuse(n, "", "the expression has more than %d parts", maxFormulaNodes)
		return nothing, aNumber
	}
	switch n := n.(type) {
	case *ast.IntegerNode:
		return constant(operand{number: new(big.Rat).SetInt64(int64(n.Value))}), aNumber
	case *ast.FloatNode:
		v, ok := new(big.Rat).SetString(strconv.FormatFloat(n.Value, 'f', -1, 64)) // the decimal as it was written
		if !ok {
			b.refuse(n, "", "the number is none")
			return nothing, aNumber
		}
		return constant(operand{number: v}), aNumber
	case *ast.StringNode:
		return constant(operand{text: fold(n.Value)}), aText
	case *ast.BoolNode:
		return constant(operand{truth: n.Value}), aTruth
	case *ast.IdentifierNode:
		return b.name(n)
	case *ast.UnaryNode:
		return b.unary(n)
	case *ast.BinaryNode:
		return b.binary(n)
	case *ast.ConditionalNode:
		return b.choice(n)
	}
	b.refuse(n, "", "only numbers, the values %s, + - * / and comparisons can stand here", strings.Join(sumNames, ", "))
	return nothing, aNumber
}

func constant(v operand) term { return func(*sums) (operand, bool) { return v, true } }

func (b *formulaBuilder) name(n *ast.IdentifierNode) (term, operandKind) {
	name := n.Value
	if name == "contract_value" {
		name = "tcv"
	}
	known := false
	for _, s := range sumNames {
		known = known || s == name
	}
	if !known {
		b.refuse(n, nearest(name, sumNames), "expressions over values know no %q; they know %s", name, strings.Join(sumNames, ", "))
		return nothing, aNumber
	}
	if !strings.Contains(" "+strings.Join(b.reads, " ")+" ", " "+name+" ") {
		b.reads = append(b.reads, name)
	}
	switch name {
	case "billing_period":
		return func(s *sums) (operand, bool) { return operand{text: s.period}, true }, aText
	case "term_months", "term_years":
		each := int64(1)
		if name == "term_years" {
			each = 12
		}
		return func(s *sums) (operand, bool) {
			return operand{number: big.NewRat(int64(s.months), each)}, s.months != 0
		}, aNumber
	}
	return func(s *sums) (operand, bool) {
		m := s.money(name)
		if m == nil {
			return operand{}, false
		}
		return operand{number: ratOf(*m)}, true
	}, aNumber
}

func (b *formulaBuilder) unary(n *ast.UnaryNode) (term, operandKind) {
	of, kind := b.build(n.Node)
	switch op := n.Operator; {
	case (op == "-" || op == "+") && kind == aNumber:
		return func(s *sums) (operand, bool) {
			v, ok := of(s)
			if ok && op == "-" {
				v.number = new(big.Rat).Neg(v.number)
			}
			return v, ok
		}, aNumber
	case (op == "not" || op == "!") && kind == aTruth:
		return func(s *sums) (operand, bool) {
			v, ok := of(s)
			return operand{truth: !v.truth}, ok
		}, aTruth
	}
	b.refuse(n, "", "%q cannot stand before %s", n.Operator, kind)
	return nothing, aNumber
}

func (b *formulaBuilder) binary(n *ast.BinaryNode) (term, operandKind) {
	left, lk := b.build(n.Left)
	right, rk := b.build(n.Right)
	both := func(f func(x, y operand) (operand, bool)) term {
		return func(s *sums) (operand, bool) {
			x, ok := left(s)
			if !ok {
				return operand{}, false
			}
			y, ok := right(s)
			if !ok {
				return operand{}, false
			}
			return f(x, y)
		}
	}
	op := n.Operator
	switch op {
	case "+", "-", "*", "/":
		if lk != aNumber || rk != aNumber {
			break
		}
		return both(func(x, y operand) (operand, bool) { return arithmetic(op, x.number, y.number) }), aNumber
	case "==", "!=":
		if lk != rk {
			break
		}
		return both(func(x, y operand) (operand, bool) {
			same := x.text == y.text && x.truth == y.truth
			if lk == aNumber {
				same = x.number.Cmp(y.number) == 0
			}
			return operand{truth: same == (op == "==")}, true
		}), aTruth
	case "<", "<=", ">", ">=":
		if lk != aNumber || rk != aNumber {
			break
		}
		return both(func(x, y operand) (operand, bool) {
			d := x.number.Cmp(y.number)
			return operand{truth: op == "<" && d < 0 || op == "<=" && d <= 0 || op == ">" && d > 0 || op == ">=" && d >= 0}, true
		}), aTruth
	case "and", "&&", "or", "||":
		if lk != aTruth || rk != aTruth {
			break
		}
		return both(func(x, y operand) (operand, bool) {
			if op == "and" || op == "&&" {
				return operand{truth: x.truth && y.truth}, true
			}
			return operand{truth: x.truth || y.truth}, true
		}), aTruth
	default:
		b.refuse(n, "", "%q is not part of expressions over values; + - * / and comparisons are", op)
		return nothing, aNumber
	}
	b.refuse(n, "", "%q cannot stand between %s and %s", op, lk, rk)
	return nothing, aNumber
}

func arithmetic(op string, x, y *big.Rat) (operand, bool) {
	out := new(big.Rat)
	switch op {
	case "+":
		out.Add(x, y)
	case "-":
		out.Sub(x, y)
	case "*":
		out.Mul(x, y)
	case "/":
		if y.Sign() == 0 {
			return operand{}, false
		}
		out.Quo(x, y)
	}
	return operand{number: out}, true
}

// choice is condition ? this : that. Only the one that is chosen must be given.
func (b *formulaBuilder) choice(n *ast.ConditionalNode) (term, operandKind) {
	cond, ck := b.build(n.Cond)
	yes, yk := b.build(n.Exp1)
	no, nk := b.build(n.Exp2)
	if ck != aTruth {
		b.refuse(n.Cond, "", "before ? must stand a comparison, not %s", ck)
	} else if yk != nk {
		b.refuse(n, "", "one side of : is %s, the other %s", yk, nk)
	}
	return func(s *sums) (operand, bool) {
		v, ok := cond(s)
		switch {
		case !ok:
			return operand{}, false
		case v.truth:
			return yes(s)
		}
		return no(s)
	}, yk
}
