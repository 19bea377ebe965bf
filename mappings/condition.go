package mappings

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// A condition asks something of a report. It can only compare: it sees no clock, calls
// nothing, loops over nothing, and its cost is bounded by its own length and that of the
// fields it looks at.
type condition struct {
	program *vm.Program
	always  bool // it is a constant
	yes     bool // the constant
}

// Bounds on one condition.
const (
	maxCondition      = 1000 // bytes
	maxConditionNodes = 200
)

// asked holds the fields of a report that conditions can look at. docs/mapping.md lists
// them. A field that a report does not have is "" or false.
type asked struct {
	Email       string `expr:"email"`        // small letters, no white space
	EmailDomain string `expr:"email_domain"` // what follows the @
	Domain      string `expr:"domain"`       // of the company, without www; small letters
	Company     string `expr:"company"`      // its name
	CompanyID   string `expr:"company_id"`
	ContactID   string `expr:"contact_id"`
	Title       string `expr:"title"`
	Country     string `expr:"country"`

	Source     string `expr:"source"` // the configured source
	Way        string `expr:"way"`    // crm, events, hubspot, pixel, meta_api, hook, workflow
	Browser    bool   `expr:"browser"`
	Event      string `expr:"event"`  // the name the source gave
	Name       string `expr:"name"`   // the canonical name
	Object     string `expr:"object"` // contact, company, deal, …
	ObjectID   string `expr:"object_id"`
	Stage      string `expr:"stage"` // as sent
	StageLabel string `expr:"stage_label"`
	Pipeline   string `expr:"pipeline"`
	Outcome    string `expr:"outcome"`  // of a deal: won or lost by the CRM's own word
	Property   string `expr:"property"` // of a property change: its internal name
	Value      string `expr:"value"`    // and its new value
	Reported   bool   `expr:"reported"` // only the time of reporting is known

	URL         string `expr:"url"`
	Page        string `expr:"page"` // the URL without query and fragment
	Referrer    string `expr:"referrer"`
	UserAgent   string `expr:"user_agent"`
	IP          string `expr:"ip"`
	Form        string `expr:"form"`
	Platform    string `expr:"platform"`
	Campaign    string `expr:"campaign"`
	UTMSource   string `expr:"utm_source"`
	UTMMedium   string `expr:"utm_medium"`
	UTMCampaign string `expr:"utm_campaign"`
}

// askedNames lists what conditions can name, for suggestions.
var askedNames = strings.Fields(`email email_domain domain company company_id contact_id title country
	source way browser event name object object_id stage stage_label pipeline outcome property value reported
	url page referrer user_agent ip form platform campaign utm_source utm_medium utm_campaign`)

// lowered are fields that never hold a capital: comparing them with one is a mistake.
var lowered = map[string]bool{"email": true, "email_domain": true, "domain": true, "name": true, "way": true}

// ask fills the fields from a report.
func ask(r *canonical.Report, rc *canonical.Receipt, name string) *asked {
	a := &asked{
		Email: canonical.NormalEmail(r.Contact.Email), Domain: canonical.NormalDomain(r.Company.Domain),
		Company: r.Company.Name, CompanyID: r.Company.ID, ContactID: r.Contact.ID, Title: r.Contact.Title, Country: r.Contact.Country,
		Source: rc.Source, Way: string(rc.Way), Browser: rc.Browser, Event: r.Event, Name: name,
		Object: r.Object.Type, ObjectID: r.Object.ID, Stage: r.RawStage, StageLabel: r.StageLabel, Pipeline: r.Pipeline, Outcome: r.Outcome,
		Property: r.Property, Value: r.Value, Reported: r.Reported,
		URL: r.Browser.URL, Referrer: r.Browser.Referrer, UserAgent: r.Browser.UserAgent, IP: r.Browser.IP,
	}
	_, a.EmailDomain, _ = strings.Cut(a.Email, "@")
	if r.Company.ID == "" && len(r.Companies) > 0 {
		a.CompanyID = r.Companies[0]
	}
	if t := r.Touch; t != nil {
		a.Page, a.Form, a.Platform, a.Campaign = t.Page, t.Form, t.Platform, t.Campaign
		a.UTMSource, a.UTMMedium, a.UTMCampaign = t.Source, t.Medium, t.Campaign
	}
	return a
}

// holds answers the condition. The machine may be used again afterwards.
func (c condition) holds(a *asked, machine *vm.VM) (bool, error) {
	if c.always {
		return c.yes, nil
	}
	out, err := machine.Run(c.program, a)
	if err != nil {
		return false, err
	}
	return out.(bool), nil
}

// condition compiles and type-checks one condition of a rule that does something:
// ignores, say.
func (c *compiler) condition(n *yaml.Node, does string) (condition, bool) {
	n = follow(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		c.mistake(c.place(n), "bad_condition", "", "when must be a condition such as email endsWith \"@example.com\", not %s", kindOf(n))
		return condition{}, false
	}
	text, ok := c.word(n, "when")
	if !ok {
		return condition{}, false
	}
	if len(text) > maxCondition {
		c.mistake(c.place(n), "long_condition", "", "the condition is longer than %d bytes; make several rules of it", maxCondition)
		return condition{}, false
	}
	limits := &limits{}
	program, err := expr.Compile(text, expr.Env(&asked{}), expr.AsBool(), expr.MaxNodes(maxConditionNodes),
		expr.DisableAllBuiltins(), expr.EnableBuiltin("lower"), expr.EnableBuiltin("upper"), expr.EnableBuiltin("trim"), expr.EnableBuiltin("len"),
		expr.Patch(limits))
	if limits.message != "" {
		c.mistake(conditionPlace(c.place(n), n, text, limits.from), "bad_condition", limits.suggestion, "%s", limits.message)
		return condition{}, false
	}
	if err != nil {
		c.badCondition(n, text, err)
		return condition{}, false
	}
	cond := condition{program: program}
	switch root := program.Node().(type) {
	case *ast.BoolNode:
		cond.always, cond.yes = true, root.Value
	case *ast.ConstantNode:
		cond.yes, cond.always = root.Value.(bool)
	}
	if cond.always {
		says := "never holds; the rule does nothing"
		if cond.yes {
			says = "always holds; the rule " + does + " everything"
		}
		c.warn(c.place(n), "constant_condition", "", "the condition %s", says)
	}
	return cond, true
}

var unknownWord = regexp.MustCompile(`^unknown (?:name|function) (\w+)`)

// badCondition reports what the expression compiler refused, in its words but without
// the text itself, which may hold an address.
func (c *compiler) badCondition(n *yaml.Node, text string, err error) {
	at, message, suggestion := c.place(n), err.Error(), ""
	var e *file.Error
	if errors.As(err, &e) {
		at, message = conditionPlace(at, n, text, e.From), e.Message
	}
	message, _, _ = strings.Cut(message, "\n")
	if says, meant := conditionHint(message, text, conditionWords[8:]); says != "" {
		message, suggestion = says, meant
	} else if m := unknownWord.FindStringSubmatch(message); m != nil {
		message, suggestion = fmt.Sprintf("conditions know no %q", m[1]), nearest(m[1], askedNames)
	} else if message == "unexpected token EOF" {
		message = "the condition ends too early"
	} else if strings.HasPrefix(message, "expected bool") {
		message = "the condition is not a yes or no: " + message
	}
	c.mistake(at, "bad_condition", suggestion, "%s", message)
}

// conditionPlace finds a rune of the condition in the file: exact where the condition
// stands on one line without escapes, else where it begins.
func conditionPlace(at place, n *yaml.Node, text string, from int) place {
	lead := len(n.Value) - len(strings.TrimLeft(n.Value, " \t\n"))
	switch {
	case strings.ContainsAny(n.Value, "\n\\") || from < 0 || from > utf8.RuneCountInString(text):
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
	case n.Style&yaml.SingleQuotedStyle != 0:
		if !strings.Contains(n.Value, "'") {
			at.col += 1 + lead + from
		}
	case n.Style&yaml.DoubleQuotedStyle != 0:
		if !strings.Contains(n.Value, `"`) {
			at.col += 1 + lead + from
		}
	default:
		at.col += from
	}
	return at
}

// limits walks a condition and refuses what is not a comparison. It keeps the first
// finding.
type limits struct {
	message, suggestion string
	from                int
}

var allowedOperators = []string{"and", "&&", "or", "||", "==", "!=", "<", "<=", ">", ">=", "in", "contains", "startsWith", "endsWith", "matches", "not", "!", "-"}

// Visit is called by expr for every node, children first.
func (l *limits) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode, *ast.StringNode, *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.ArrayNode, *ast.BuiltinNode, *ast.CallNode, *ast.ConstantNode:
		if id, ok := n.(*ast.IdentifierNode); ok && id.Value == "$env" {
			l.refuse(n, "$env is not part of conditions", "")
		}
	case *ast.UnaryNode:
		l.operator(n, n.Operator)
	case *ast.BinaryNode:
		l.operator(n, n.Operator)
		l.binary(n)
	case *ast.MemberNode:
		if text := bareText(n); text != "" {
			if meant := dotted(text); meant != "" {
				l.refuse(n.Node, "fields have no parts", meant)
			}
			l.refuse(n.Node, "a text needs quotes: \""+text+"\"", "")
		}
		if of, ok := n.Node.(*ast.IdentifierNode); ok && of.Value == "properties" {
			l.refuse(n, "these rules see no properties; a line's own condition, under destinations, does", "")
		}
		l.refuse(n, "conditions only compare fields: no variables, parts of fields, loops or sums", "")
	default:
		l.refuse(n, "conditions only compare fields: no variables, parts of fields, loops or sums", "")
	}
}

func (l *limits) operator(n ast.Node, operator string) {
	if !slices.Contains(allowedOperators, operator) {
		l.refuse(n, fmt.Sprintf("%q is not part of conditions", operator), "")
	}
}

func (l *limits) binary(n *ast.BinaryNode) {
	if n.Operator == "matches" {
		if why := badPattern(n); why != "" {
			l.refuse(n, why, "")
		}
		return
	}
	field, isField := n.Left.(*ast.IdentifierNode)
	other := n.Right
	if !isField {
		field, isField = n.Right.(*ast.IdentifierNode)
		other = n.Left
	}
	if !isField || !lowered[field.Value] {
		return
	}
	texts := []ast.Node{other}
	if list, ok := other.(*ast.ArrayNode); ok {
		texts = list.Nodes
	}
	for _, t := range texts {
		if text, ok := t.(*ast.StringNode); ok && text.Value != strings.ToLower(text.Value) {
			l.refuse(text, field.Value+" is always in small letters and is compared with capitals", shown(strings.ToLower(text.Value)))
		}
	}
}

// dotted gives the field that contact.email or company.domain was meant to be, quoted, or "".
func dotted(text string) string {
	of, field, _ := strings.Cut(text, ".")
	for _, name := range []string{of + "_" + field, field} {
		if slices.Contains([]string{"contact", "company", "deal", "utm", "user", "event"}, of) && slices.Contains(askedNames, name) {
			return shown(name)
		}
	}
	return ""
}

// maxPattern bounds what a pattern is compiled to: every letter of a text may cost as many steps.
const maxPattern = 500

// badPattern says why a matches cannot be; "" where it can, or where the expression compiler says
// what is wrong with it.
func badPattern(n *ast.BinaryNode) string {
	text, ok := n.Right.(*ast.StringNode)
	if !ok {
		return "matches needs a pattern written in quotes"
	}
	parsed, err := syntax.Parse(text.Value, syntax.Perl)
	if err != nil {
		return ""
	}
	if field, ok := n.Left.(*ast.IdentifierNode); ok && lowered[field.Value] && capital(parsed) {
		return field.Value + " is always in small letters and is compared with capitals"
	}
	if compiled, err := syntax.Compile(parsed.Simplify()); err == nil && len(compiled.Inst) > maxPattern {
		return "the pattern repeats too much to be quick; write smaller numbers between { and }, or several patterns"
	}
	return ""
}

// capital is true for a pattern that asks for a capital letter itself, not for one of many.
func capital(p *syntax.Regexp) bool {
	if p.Op == syntax.OpLiteral && p.Flags&syntax.FoldCase == 0 && slices.ContainsFunc(p.Rune, unicode.IsUpper) {
		return true
	}
	return p.Op != syntax.OpAlternate && p.Op != syntax.OpStar && p.Op != syntax.OpQuest && slices.ContainsFunc(p.Sub, capital)
}

func (l *limits) refuse(n ast.Node, message, suggestion string) {
	if l.message == "" {
		l.message, l.suggestion, l.from = message, suggestion, n.Location().From
	}
}
