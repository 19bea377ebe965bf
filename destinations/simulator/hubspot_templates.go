package simulator

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	maxTemplates = 750
	maxTokens    = 500
)

var tokenName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// templateLine is an app's templates after a change, in the file.
type templateLine struct {
	App       int64           `json:"app"`
	Templates []EventTemplate `json:"templates"`
}

// serveTemplates answers for the templates of the classic timeline, and their tokens:
// /{appId}/event-templates[/{id}[/tokens[/{name}]]]. An app that owns none gets no first one
// any more.
func (h *hubSpotServer) serveTemplates(c *call, rest []string) (answer, *hubSpotError) {
	app := c.caller
	if rest[0] != strconv.FormatInt(app.ID, 10) {
		return answer{}, missingScopes("timeline")
	}
	if len(app.Templates) == 0 && c.method != http.MethodGet {
		return answer{}, &hubSpotError{Status: http.StatusForbidden, Category: "MISSING_SCOPES", Message: "Only apps that have event templates already can make more."}
	}
	i := -1
	if len(rest) > 2 {
		if i = slices.IndexFunc(app.Templates, func(t EventTemplate) bool { return t.ID == rest[2] }); i < 0 {
			return answer{}, hubSpotMissing("There is no event template " + rest[2])
		}
	}
	switch {
	case len(rest) == 2 && c.method == http.MethodGet:
		return jsonAnswer(http.StatusOK, map[string]any{"results": slices.Concat([]EventTemplate{}, app.Templates)}), nil
	case len(rest) == 2 && c.method == http.MethodPost:
		return h.writeTemplate(c, -1)
	case len(rest) == 3 && c.method == http.MethodGet:
		return jsonAnswer(http.StatusOK, app.Templates[i]), nil
	case len(rest) == 3 && c.method == http.MethodPut:
		return h.writeTemplate(c, i)
	case len(rest) == 3 && c.method == http.MethodDelete:
		app.Templates = slices.Delete(slices.Clone(app.Templates), i, i+1)
		h.keepTemplates(app)
		return answer{status: http.StatusNoContent}, nil
	case len(rest) >= 4 && rest[3] == "tokens":
		return h.serveTokens(c, i, rest[4:])
	}
	return answer{}, noSuchPath()
}

func (h *hubSpotServer) keepTemplates(app *hubSpotApp) {
	h.note("templates", templateLine{app.ID, app.Templates})
}

// writeTemplate makes a template, or replaces the i-th.
func (h *hubSpotServer) writeTemplate(c *call, i int) (answer, *hubSpotError) {
	app := c.caller
	var t EventTemplate
	if err := unmarshal(c.body, &t); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	object := h.crm.typeOf(strings.ToLower(t.ObjectType))
	if t.Name == "" || object == "" || object == notes {
		return answer{}, hubSpotInvalid("name and objectType are required")
	}
	for _, k := range t.Tokens {
		if refused := k.check(); refused != nil {
			return answer{}, refused
		}
	}
	t.ObjectType = object
	status := http.StatusOK
	app.Templates = slices.Clone(app.Templates)
	switch {
	case len(t.Tokens) > maxTokens:
		return answer{}, hubSpotInvalid("At most 500 tokens are allowed in a template")
	case i >= 0:
		t.ID = app.Templates[i].ID
		app.Templates[i] = t
	case len(app.Templates) >= maxTemplates:
		return answer{}, hubSpotInvalid("At most 750 templates are allowed in an app")
	default:
		status = http.StatusCreated
		t.ID = strconv.FormatInt(1_000_000+c.number, 10)
		app.Templates = append(app.Templates, t)
	}
	h.keepTemplates(app)
	return jsonAnswer(status, t), nil
}

func (k TemplateToken) check() *hubSpotError {
	switch {
	case !tokenName.MatchString(k.Name) || k.Name == "log" || k.Name == "lookup":
		return hubSpotInvalid("Token name " + k.Name + " is not valid: letters, digits, points, hyphens and underscores, neither log nor lookup")
	case k.Label == "" || !slices.Contains([]string{"string", "number", "date", "enumeration"}, k.Type):
		return hubSpotInvalid("Token " + k.Name + " needs a label and a type of string, number, date or enumeration")
	case k.Type == "enumeration" && len(k.Options) == 0:
		return hubSpotInvalid("Token " + k.Name + " needs options")
	}
	return nil
}

// serveTokens makes, changes and removes tokens of the i-th template.
func (h *hubSpotServer) serveTokens(c *call, i int, rest []string) (answer, *hubSpotError) {
	app := c.caller
	t := app.Templates[i]
	t.Tokens = slices.Clone(t.Tokens)
	find := func(name string) int {
		return slices.IndexFunc(t.Tokens, func(k TemplateToken) bool { return k.Name == name })
	}
	var k TemplateToken
	if (c.method == http.MethodPost || c.method == http.MethodPut) && unmarshal(c.body, &k) != nil {
		return answer{}, hubSpotBadJSON()
	}
	status := http.StatusOK
	switch {
	case c.method == http.MethodPost && len(rest) == 0:
		if refused := k.check(); refused != nil {
			return answer{}, refused
		}
		if find(k.Name) >= 0 || len(t.Tokens) >= maxTokens {
			return answer{}, hubSpotInvalid("The token " + k.Name + " exists already, or there are 500")
		}
		t.Tokens = append(t.Tokens, k)
	case len(rest) == 1 && find(rest[0]) < 0:
		return answer{}, hubSpotMissing("There is no token " + rest[0])
	case c.method == http.MethodPut && len(rest) == 1:
		k.Name = rest[0]
		if k.Type == "" {
			k.Type = t.Tokens[find(k.Name)].Type
		}
		if refused := k.check(); refused != nil {
			return answer{}, refused
		}
		t.Tokens[find(k.Name)] = k
	case c.method == http.MethodDelete && len(rest) == 1:
		t.Tokens = slices.Delete(t.Tokens, find(rest[0]), find(rest[0])+1)
		status = http.StatusNoContent
	default:
		return answer{}, noSuchPath()
	}
	app.Templates = slices.Clone(app.Templates)
	app.Templates[i] = t
	h.keepTemplates(app)
	if status == http.StatusNoContent {
		return answer{status: status}, nil
	}
	return jsonAnswer(status, k), nil
}
