package simulator

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const maxRules = 10_000

// ruleBody is a rule as the API shows it.
type ruleBody struct {
	ID      json.Number `json:"id"`
	Name    string      `json:"name"`
	Account string      `json:"account"`
	Type    string      `json:"type"`
	Method  string      `json:"conversionMethod"`
	Enabled bool        `json:"enabled"`
	Value   string      `json:"valueType"`
}

func (r Rule) body() ruleBody {
	return ruleBody{
		ID: json.Number(r.ID), Name: r.Name, Account: r.Account, Type: cmp.Or(r.Type, "OTHER"),
		Method: cmp.Or(r.Method, "CONVERSIONS_API"), Enabled: !r.Disabled, Value: "DYNAMIC",
	}
}

// linkedInRules serves the resources beside the events: rules, their campaigns, ad accounts.
func (s *Simulator) linkedInRules(c *call) (answer, *linkedInError) {
	method := cmp.Or(strings.ToUpper(c.r.Header.Get("X-RestLi-Method")), c.method)
	id, hasID := strings.CutPrefix(c.path, "/rest/conversions/")
	switch {
	case c.path == "/rest/conversions" && method == http.MethodPost:
		return s.createRule(c)
	case c.path == "/rest/conversions" && method == http.MethodGet:
		return s.listRules(c)
	case hasID && method == http.MethodGet:
		rule, refused := s.linkedin.visible(id, c.r.URL.Query())
		if refused != nil {
			return answer{}, refused
		}
		return jsonAnswer(http.StatusOK, rule.body()), nil
	case hasID && method == "PARTIAL_UPDATE":
		return s.updateRule(c, id)
	case strings.HasPrefix(c.path, "/rest/campaignConversions") && c.method == http.MethodPut:
		return answer{status: http.StatusNoContent}, nil
	case c.path == "/rest/adAccounts" && c.method == http.MethodGet:
		return s.listAccounts(), nil
	}
	return answer{}, &linkedInError{status: http.StatusNotFound, code: "RESOURCE_NOT_FOUND", message: "No virtual resource found"}
}

func (l *linkedInServer) visible(id string, query url.Values) (Rule, *linkedInError) {
	rule, ok := l.rules[id]
	if !ok || query.Get("account") != "" && rule.Account != "" && query.Get("account") != rule.Account {
		return Rule{}, &linkedInError{status: http.StatusForbidden, message: "No ad accounts found"}
	}
	return rule, nil
}

func (s *Simulator) createRule(c *call) (answer, *linkedInError) {
	var in struct {
		Name    string `json:"name"`
		Account string `json:"account"`
		Type    string `json:"type"`
		Method  string `json:"conversionMethod"`
		Enabled *bool  `json:"enabled"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil || in.Name == "" || !strings.HasPrefix(in.Account, "urn:li:sponsoredAccount:") || in.Type == "" {
		return answer{}, &linkedInError{status: http.StatusUnprocessableEntity, message: "ERROR :: name, account and type are required"}
	}
	if len(s.linkedin.rules) >= maxRules {
		return answer{}, &linkedInError{status: http.StatusBadRequest, message: "The account has too many rules"}
	}
	next := 18423000
	for id := range s.linkedin.rules {
		if n, err := strconv.Atoi(id); err == nil {
			next = max(next, n+1)
		}
	}
	rule := Rule{ID: strconv.Itoa(next), Name: in.Name, Account: in.Account, Type: in.Type, Method: in.Method, Disabled: in.Enabled != nil && !*in.Enabled}
	s.keepRule(rule)
	return jsonAnswer(http.StatusCreated, rule.body()).with("X-Restli-Id", rule.ID), nil
}

func (s *Simulator) keepRule(r Rule) {
	s.linkedin.rules[r.ID] = r
	s.journal.note("rule", r)
}

func (s *Simulator) updateRule(c *call, id string) (answer, *linkedInError) {
	rule, refused := s.linkedin.visible(id, c.r.URL.Query())
	if refused != nil {
		return answer{}, refused
	}
	var in struct {
		Patch struct {
			Set struct {
				Name    *string `json:"name"`
				Enabled *bool   `json:"enabled"`
			} `json:"$set"`
		} `json:"patch"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return answer{}, &linkedInError{status: http.StatusBadRequest, message: "The patch cannot be read"}
	}
	if in.Patch.Set.Name != nil {
		rule.Name = *in.Patch.Set.Name
	}
	if in.Patch.Set.Enabled != nil {
		rule.Disabled = !*in.Patch.Set.Enabled
	}
	s.keepRule(rule)
	return answer{status: http.StatusNoContent}, nil
}

func (s *Simulator) sortedRules() []Rule {
	var out []Rule
	for _, r := range s.linkedin.rules {
		if !r.Deleted {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Rule) int { return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID)) })
	return out
}

func (s *Simulator) listRules(c *call) (answer, *linkedInError) {
	query := c.r.URL.Query()
	if query.Get("q") != "account" || query.Get("account") == "" {
		return answer{}, &linkedInError{status: http.StatusBadRequest, message: "Parameters q and account are required"}
	}
	start, _ := strconv.Atoi(query.Get("start"))
	count, err := strconv.Atoi(query.Get("count"))
	if err != nil || count <= 0 {
		count = 10
	}
	rules := slices.DeleteFunc(s.sortedRules(), func(r Rule) bool { return r.Account != "" && r.Account != query.Get("account") })
	total := len(rules)
	rules = rules[min(max(start, 0), total):]
	elements := []ruleBody{}
	for _, r := range rules[:min(count, len(rules))] {
		elements = append(elements, r.body())
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"elements": elements, "paging": map[string]any{"start": start, "count": count, "total": total, "links": []any{}},
	}), nil
}

func (s *Simulator) listAccounts() answer {
	seen := make(map[string]bool)
	elements := []map[string]any{}
	for _, r := range s.sortedRules() {
		id, ok := strings.CutPrefix(r.Account, "urn:li:sponsoredAccount:")
		if !ok || seen[id] {
			continue
		}
		seen[id] = true
		elements = append(elements, map[string]any{"id": json.Number(id), "name": "Account " + id, "status": "ACTIVE", "type": "BUSINESS"})
	}
	return jsonAnswer(http.StatusOK, map[string]any{"elements": elements, "paging": map[string]any{"start": 0, "count": len(elements), "total": len(elements), "links": []any{}}})
}

// parseForm reads an urlencoded body that was read already.
func (c *call) parseForm() error {
	c.r.Body = io.NopCloser(strings.NewReader(string(c.body)))
	return c.r.ParseForm()
}
