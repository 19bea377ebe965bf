package mappings

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// said holds the fields of an event that a line of destinations may send on in properties: no
// personal data, and no value, of which a line sends the one it names. docs/mapping.md
// lists them. A field that an event does not have is "" or 0.
type said struct {
	EmailDomain   string         `expr:"email_domain"`
	Domain        string         `expr:"domain"`
	Company       string         `expr:"company"`
	CompanyID     string         `expr:"company_id"`
	Owner         string         `expr:"owner"`
	Tier          string         `expr:"tier"`
	Title         string         `expr:"title"`
	Country       string         `expr:"country"`
	Source        string         `expr:"source"`
	Way           string         `expr:"way"`
	Event         string         `expr:"event"`
	Name          string         `expr:"name"`
	Rank          int            `expr:"rank"`
	Object        string         `expr:"object"`
	ObjectID      string         `expr:"object_id"`
	Stage         string         `expr:"stage"`
	Pipeline      string         `expr:"pipeline"`
	Reported      bool           `expr:"reported"`
	OccurredOn    string         `expr:"occurred_on"` // 2026-04-23, UTC
	Page          string         `expr:"page"`
	Form          string         `expr:"form"`
	Platform      string         `expr:"platform"`
	Campaign      string         `expr:"campaign"`
	UTMSource     string         `expr:"utm_source"`
	UTMMedium     string         `expr:"utm_medium"`
	UTMCampaign   string         `expr:"utm_campaign"`
	BillingPeriod string         `expr:"billing_period"`
	TermMonths    int            `expr:"term_months"`
	Currency      string         `expr:"currency"`
	Properties    map[string]any `expr:"properties"`
}

// weighed are the fields that a line's condition may look at besides: what it only looks at
// does not leave.
type weighed struct {
	said
	Email     string  `expr:"email"`
	ContactID string  `expr:"contact_id"`
	URL       string  `expr:"url"`
	Referrer  string  `expr:"referrer"`
	UserAgent string  `expr:"user_agent"`
	IP        string  `expr:"ip"`
	Amount    float64 `expr:"amount"`
	MRR       float64 `expr:"mrr"`
	ARR       float64 `expr:"arr"`
	ACV       float64 `expr:"acv"`
	TCV       float64 `expr:"tcv"`
}

// fieldNames lists what expressions over a struct can name, in its order.
func fieldNames(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous {
			out = append(out, fieldNames(f.Type)...)
		} else {
			out = append(out, f.Tag.Get("expr"))
		}
	}
	return out
}

var (
	saidNames    = fieldNames(reflect.TypeFor[said]())
	weighedNames = fieldNames(reflect.TypeFor[weighed]())
)

func say(e *canonical.Event) said {
	s := said{
		Domain: canonical.NormalDomain(e.Company.Domain), Company: e.Company.Name, CompanyID: e.Company.ID, Owner: e.Company.Owner, Tier: e.Company.Tier,
		Title: e.Contact.Title, Country: e.Contact.Country, Source: e.Source, Way: string(e.Way), Event: e.Reported, Name: e.Name, Rank: e.Rank,
		Object: e.Object.Type, ObjectID: e.Object.ID, Stage: e.RawStage, Pipeline: e.Pipeline, Reported: e.TimeBasis == "reported",
		OccurredOn: e.OccurredAt.UTC().Format(time.DateOnly), Properties: floats(e.Properties),
	}
	if e.Contact.Email != "" {
		_, s.EmailDomain, _ = strings.Cut(canonical.NormalEmail(e.Contact.Email), "@")
	}
	if t := e.Touch; t != nil {
		s.Page, s.Form, s.Platform, s.Campaign = t.Page, t.Form, t.Platform, t.Campaign
		s.UTMSource, s.UTMMedium, s.UTMCampaign = t.Source, t.Medium, t.Campaign
	}
	if r := e.Revenue; r != nil {
		s.BillingPeriod, s.TermMonths, s.Currency = r.BillingPeriod, r.TermMonths, r.Currency
	}
	return s
}

// floats gives numbers the one form that they have once an event was written to the log.
func floats(in map[string]any) map[string]any {
	var out map[string]any
	for k, v := range in {
		number, is := v.(json.Number)
		if !is {
			continue
		}
		if out == nil {
			out = make(map[string]any, len(in))
			for k, v := range in {
				out[k] = v
			}
		}
		f, err := number.Float64()
		if out[k] = f; err != nil {
			out[k] = number.String()
		}
	}
	if out == nil {
		return in
	}
	return out
}

func weigh(e *canonical.Event) *weighed {
	w := &weighed{said: say(e), Email: canonical.NormalEmail(e.Contact.Email), ContactID: e.Contact.ID,
		URL: e.Browser.URL, Referrer: e.Browser.Referrer, UserAgent: e.Browser.UserAgent, IP: e.Browser.IP}
	for basis, to := range map[string]*float64{"amount": &w.Amount, "mrr": &w.MRR, "arr": &w.ARR, "acv": &w.ACV, "tcv": &w.TCV} {
		if m := e.Revenue.By(basis); m != nil {
			*to = float64(*m) / 1e6 // the nearest to the decimal, as a number in the text is
		}
	}
	return w
}

// program compiles an expression over an event. text is what n holds of it.
func (c *compiler) program(n *yaml.Node, text, what string, env any, names []string, options ...expr.Option) (*vm.Program, bool) {
	if len(text) > maxCondition {
		c.mistake(c.place(n), "long_condition", "", "%s is longer than %d bytes", what, maxCondition)
		return nil, false
	}
	w := &lineLimits{}
	options = append(options, expr.Env(env), expr.MaxNodes(maxConditionNodes), expr.DisableAllBuiltins(),
		expr.EnableBuiltin("lower"), expr.EnableBuiltin("upper"), expr.EnableBuiltin("trim"), expr.EnableBuiltin("len"), expr.Patch(w))
	program, err := expr.Compile(text, options...)
	if w.message != "" {
		c.mistake(c.expressionPlace(n, text, w.from), "bad_condition", w.suggestion, "%s", w.message)
		return nil, false
	}
	if err == nil {
		c.m.looksAt = append(c.m.looksAt, w.properties...)
		return program, true
	}
	at, message, suggestion := c.place(n), err.Error(), ""
	var e *file.Error
	if errors.As(err, &e) {
		at, message = c.expressionPlace(n, text, e.From), e.Message
	}
	message, _, _ = strings.Cut(message, "\n")
	m := unknownWord.FindStringSubmatch(message)
	says, meant := conditionHint(message, text, lineFunctions)
	switch {
	case says != "":
		message, suggestion = says, meant
	case m != nil && slices.Contains(weighedNames, m[1]) && !slices.Contains(names, m[1]):
		message = fmt.Sprintf("%s cannot be sent as a property: it is personal, or a value, of which a line sends the one it names (value)", m[1])
	case m != nil:
		message, suggestion = fmt.Sprintf("%s knows no %q", what, m[1]), nearest(m[1], names)
	case message == "unexpected token EOF":
		message = what + " ends too early"
	case strings.HasPrefix(message, "expected bool"):
		message = what + " is not a yes or no: " + message
	}
	c.mistake(at, "bad_condition", suggestion, "%s", message)
	return nil, false
}

// lineFunctions are what expressions over an event can call.
var lineFunctions = []string{"lower", "upper", "trim", "len", "number"}

// numberOf is the function number: what a source sent as text, as a number. absent is asked where
// nothing stands there.
func numberOf(absent func() (any, error)) expr.Option {
	return expr.Function("number", func(args ...any) (any, error) {
		switch v := args[0].(type) {
		case nil:
			return absent()
		case float64:
			return v, nil
		case int:
			return float64(v), nil
		case string:
			if v = strings.TrimSpace(v); v == "" {
				return absent()
			}
			if f, err := strconv.ParseFloat(v, 64); err == nil && f-f == 0 {
				return f, nil
			}
		}
		return nil, errors.New("this is no number")
	}, new(func(any) float64))
}

// lineLimits refuses what could cost without bound or see beyond the event.
type lineLimits struct {
	message, suggestion string
	from                int
	properties          []string // that it looks at
}

// Visit is called by expr for every node, children first.
func (l *lineLimits) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if n.Value == "$env" {
			l.refuse(n, "", "$env is not part of expressions")
		}
	case *ast.StringNode, *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.NilNode, *ast.ArrayNode, *ast.BuiltinNode, *ast.CallNode,
		*ast.ConstantNode, *ast.ConditionalNode, *ast.ChainNode:
	case *ast.MemberNode:
		if of, ok := n.Node.(*ast.IdentifierNode); !ok || of.Value != "properties" {
			says := "only properties have parts: properties.plan"
			if text := bareText(n); text != "" && of != nil && !slices.Contains(weighedNames, of.Value) {
				says += "; a text needs quotes: \"" + text + "\""
			}
			l.refuse(n, "", "%s", says)
		} else if name, ok := n.Property.(*ast.StringNode); !ok {
			l.refuse(n, "", "the name of a property must be written out")
		} else {
			l.properties = append(l.properties, name.Value)
		}
	case *ast.UnaryNode:
		l.operator(n, n.Operator)
	case *ast.BinaryNode:
		l.operator(n, n.Operator)
		if n.Operator == "matches" {
			if why := badPattern(n); why != "" {
				l.refuse(n, "", "%s", why)
			}
		}
		l.lowered(n)
	default:
		l.refuse(n, "", "expressions look at fields and put them together: no variables and no loops")
	}
}

// lowered finds a field of small letters that is compared with capitals.
func (l *lineLimits) lowered(n *ast.BinaryNode) {
	for _, side := range [2][2]ast.Node{{n.Left, n.Right}, {n.Right, n.Left}} {
		field, ok := side[0].(*ast.IdentifierNode)
		if !ok || !lowered[field.Value] {
			continue
		}
		texts := []ast.Node{side[1]}
		if list, ok := side[1].(*ast.ArrayNode); ok {
			texts = list.Nodes
		}
		for _, t := range texts {
			if text, ok := t.(*ast.StringNode); ok && text.Value != strings.ToLower(text.Value) {
				l.refuse(text, shown(strings.ToLower(text.Value)), "%s is always in small letters and is compared with capitals", field.Value)
			}
		}
	}
}

func (l *lineLimits) operator(n ast.Node, operator string) {
	if !slices.Contains(allowedOperators, operator) && !slices.Contains([]string{"+", "*", "/", "??"}, operator) {
		l.refuse(n, "", "%q is not part of expressions", operator)
	}
}

func (l *lineLimits) refuse(n ast.Node, suggestion, format string, args ...any) {
	if l.message == "" {
		l.message, l.suggestion, l.from = fmt.Sprintf(format, args...), suggestion, n.Location().From
	}
}

// lineCondition compiles the condition of a line.
func (c *compiler) lineCondition(n *yaml.Node) *vm.Program {
	n = follow(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		c.mistake(c.place(n), "bad_condition", "", "when must be a condition such as pipeline == \"emea\", not %s", kindOf(n))
		return nil
	}
	text, ok := c.word(n, "when")
	if !ok {
		return nil
	}
	program, ok := c.program(n, text, "the condition", &weighed{}, weighedNames, expr.AsBool(),
		numberOf(func() (any, error) { return 0.0, nil })) // as a value that was not given
	if !ok {
		return nil
	}
	if v, err := expr.Run(program, &weighed{}); err == nil && looksAtNothing(program.Node()) {
		says := "never holds; nothing is sent by this line"
		if v == true {
			says = "always holds; leave it out"
		}
		c.warn(c.place(n), "constant_condition", "", "the condition %s", says)
	}
	return program
}

// looksAtNothing is true for an expression without a field in it.
func looksAtNothing(n ast.Node) bool {
	f := &fieldFinder{}
	ast.Walk(&n, f)
	return !f.found
}

type fieldFinder struct{ found bool }

// Visit is called for every node.
func (f *fieldFinder) Visit(n *ast.Node) {
	if _, is := (*n).(*ast.IdentifierNode); is {
		f.found = true
	}
}

// lineExpression compiles the expression of one property: "= upper(country)".
func (c *compiler) lineExpression(n *yaml.Node, what string) *vm.Program {
	text, _ := expressionText(n)
	if text == "" {
		c.mistake(c.place(n), "bad_condition", "", "%s has nothing behind its =", what)
		return nil
	}
	program, ok := c.program(n, text, "the expression", &said{}, saidNames,
		numberOf(func() (any, error) { return nil, errAbsent }))
	if ok && !single(program) {
		c.mistake(c.place(n), "bad_expression", "", "%s comes to a list or to nothing, and must come to one text, number or yes or no", what)
		return nil
	}
	return program
}

// scalar gives what an expression came to, if it can be sent: a text without an e-mail address,
// a number or a truth value.
func scalar(v any) (any, bool) {
	switch t := v.(type) {
	case string:
		t = strings.TrimSpace(t)
		return t, t != "" && len(t) <= maxOperand && !address.MatchString(t)
	case bool:
		return t, true
	case int:
		return int64(t), true
	case float64:
		return t, !math.IsNaN(t) && !math.IsInf(t, 0)
	}
	return nil, false
}
