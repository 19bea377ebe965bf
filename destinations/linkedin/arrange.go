package linkedin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
	"tributary/destinations"
)

// Arrange says what the rules should be that setup makes, and which campaigns they belong to.
type Arrange struct {
	// Campaigns are the numbers of campaigns, or the one word all.
	Campaigns       yaml.Node          `yaml:"campaigns"`
	PostClickDays   int                `yaml:"post_click_days"`
	ViewThroughDays int                `yaml:"view_through_days"`
	Attribution     string             `yaml:"attribution"`
	Rules           map[string]NewRule `yaml:"rules"` // by the mapping's names
}

// A NewRule is what differs for one rule.
type NewRule struct {
	Name            string `yaml:"name"` // "" is "Tributary <rule>"
	Type            string `yaml:"type"` // "" goes by the event's name
	Value           string `yaml:"value"`
	PostClickDays   int    `yaml:"post_click_days"`
	ViewThroughDays int    `yaml:"view_through_days"`
}

var attributions = []string{"LAST_TOUCH_BY_CAMPAIGN", "LAST_TOUCH_BY_CONVERSION"}
var valueTypes = []string{"DYNAMIC", "FIXED", "NO_VALUE"}

// ruleTypes are those of linkedin.md §8.
var ruleTypes = strings.Fields(`ADD_TO_CART DOWNLOAD INSTALL KEY_PAGE_VIEW LEAD PURCHASE SIGN_UP OTHER TALENT_LEAD JOB_APPLY SAVE
	START_CHECKOUT SCHEDULE VIEW_CONTENT VIEW_VIDEO ADD_BILLING_INFO BOOK_APPOINTMENT REQUEST_QUOTE SEARCH SUBSCRIBE AD_CLICK AD_VIEW
	COMPLETE_SIGNUP SUBMIT_APPLICATION PHONE_CALL INVITE LOGIN SHARE DONATE ADD_TO_LIST RATE START_TRIAL OUTBOUND_CLICK CONTACT
	QUALIFIED_LEAD MARKETING_QUALIFIED_LEAD SALES_QUALIFIED_LEAD`)

// typeOf is the sheet's own suggestion for each canonical name; OTHER for the rest.
var typeOf = map[string]string{
	"lead_captured": "LEAD", "qualified_lead": "QUALIFIED_LEAD", "sales_qualified_lead": "QUALIFIED_LEAD", "proposal_sent": "REQUEST_QUOTE",
	"opportunity_created": "QUALIFIED_LEAD", "customer_won": "PURCHASE", "customer_expanded": "PURCHASE",
}

// longWindows are the types that may look back 180 and 365 days.
var longWindows = []string{"SUBMIT_APPLICATION", "PURCHASE", "ADD_TO_CART", "QUALIFIED_LEAD", "LEAD", "MARKETING_QUALIFIED_LEAD", "SALES_QUALIFIED_LEAD"}

var windows = []int{1, 7, 30, 90, 180, 365}

func checkArrange(s *destinations.Section, settings Settings) {
	a := settings.Arrange
	s.OneOf("arrange.attribution", a.Attribution, attributions...)
	if _, ok := a.campaigns(); !ok {
		s.Problem("arrange.campaigns", "arrange.campaigns must be the word all, or a list of campaign numbers")
	}
	days := func(path string, n int, kind string) {
		switch {
		case n == 0 && kind != "":
		case !slices.Contains(windows, n):
			s.Problem(path, "%s is %d; LinkedIn knows 1, 7, 30 and 90, for some types 180 and 365", path, n)
		case n > 90 && kind != "" && !slices.Contains(longWindows, kind):
			s.Problem(path, "%s is %d; a rule of type %s looks back 90 days at most", path, n, kind)
		}
	}
	days("arrange.post_click_days", a.PostClickDays, "")
	days("arrange.view_through_days", a.ViewThroughDays, "")
	for _, name := range sortedKeys(a.Rules) {
		r, path := a.Rules[name], "arrange.rules."+name
		if r.Type != "" {
			s.OneOf(path+".type", r.Type, ruleTypes...)
		}
		if r.Value != "" {
			s.OneOf(path+".value", r.Value, valueTypes...)
		}
		if (r.Type == "MARKETING_QUALIFIED_LEAD" || r.Type == "SALES_QUALIFIED_LEAD") && settings.Version < "202608" {
			s.Problem(path+".type", "%s cannot be created from version 202408 on; from 202608 it can again", r.Type)
		}
		days(path+".post_click_days", r.PostClickDays, cmp.Or(r.Type, "OTHER"))
		days(path+".view_through_days", r.ViewThroughDays, cmp.Or(r.Type, "OTHER"))
	}
}

// campaigns gives the numbers asked for, or the one word all; false where it is neither.
func (a Arrange) campaigns() ([]string, bool) {
	n := a.Campaigns
	switch {
	case n.Kind == 0 || n.Tag == "!!null":
		return nil, true
	case n.Kind == yaml.ScalarNode && n.Value == "all":
		return []string{"all"}, true
	case n.Kind != yaml.SequenceNode:
		return nil, false
	}
	var out []string
	for _, c := range n.Content {
		id := strings.TrimPrefix(strings.TrimSpace(c.Value), campaignURN)
		if c.Kind != yaml.ScalarNode || !numberShape.MatchString(id) {
			return nil, false
		}
		out = append(out, id)
	}
	return out, true
}

// Arrange makes the rules that the mapping's routes name and nobody bound, switches on those
// that are off, and attaches them to the campaigns. A rule of the name that setup gives is
// taken for one that setup made; its number then only has to go into the configuration.
func (d destination) Arrange(ctx context.Context, call destinations.Caller, routes map[string]canonical.Route, apply bool) ([]destinations.Step, error) {
	if d.AdAccount == "" {
		return nil, fmt.Errorf("settings.ad_account is missing: the number of the ad account whose rules these are")
	}
	all, err := d.listRules(ctx, call)
	if err != nil {
		return nil, err
	}
	a := arranging{destination: d, ctx: ctx, call: call, apply: apply, rules: all}
	if err := a.findCampaigns(); err != nil {
		return nil, err
	}
	for _, name := range rulesOf(routes) {
		if err := a.arrange(name, routes); err != nil {
			return a.steps, err
		}
	}
	return a.steps, nil
}

// rulesOf lists the rules that routes name.
func rulesOf(routes map[string]canonical.Route) []string {
	var out []string
	for _, r := range routes {
		for _, rule := range r.Rules() {
			if !slices.Contains(out, rule) {
				out = append(out, rule)
			}
		}
	}
	slices.Sort(out)
	return out
}

// arranging is one run of Arrange.
type arranging struct {
	destination
	ctx       context.Context
	call      destinations.Caller
	apply     bool
	rules     []rule
	campaigns []string // numbers
	everyone  bool     // all campaigns are wanted
	steps     []destinations.Step
}

func (a *arranging) arrange(name string, routes map[string]canonical.Route) error {
	bound := a.destination.rules[name]
	if len(bound) == 0 {
		want := a.wanted(name, routes)
		i := slices.IndexFunc(a.rules, func(r rule) bool { return r.Name == want["name"] && r.Method == apiMethod })
		if i < 0 {
			return a.create(name, want)
		}
		id := a.rules[i].ID.String()
		a.steps = append(a.steps, destinations.Step{What: "rule " + name + " is there", Done: true, Note: binding(name, id)})
		return a.complete(name, a.rules[i])
	}
	for _, id := range bound {
		i := slices.IndexFunc(a.rules, func(r rule) bool { return r.ID.String() == id })
		if i < 0 {
			return fmt.Errorf("settings.rules.%s names rule %s, and ad account %s has none of that number: correct it, or take the line out to have one made", name, id, a.AdAccount)
		}
		if err := a.complete(name, a.rules[i]); err != nil {
			return err
		}
	}
	return nil
}

func binding(name, id string) string { return "put into settings.rules: " + name + ": " + id }

// wanted is the body of a new rule.
func (a *arranging) wanted(name string, routes map[string]canonical.Route) map[string]any {
	own, kind, value := a.Settings.Arrange.Rules[name], "OTHER", "NO_VALUE"
	for _, event := range slices.Backward(sortedKeys(routes)) {
		if r := routes[event]; slices.Contains(r.Rules(), name) {
			kind = cmp.Or(typeOf[event], kind)
			if r.Value != "" && r.Value != "none" {
				value = valueTypes[0]
			}
		}
	}
	return map[string]any{
		"name": cmp.Or(own.Name, "Tributary "+name), "account": accountURN + a.AdAccount, "conversionMethod": apiMethod, "enabled": true,
		"type": cmp.Or(own.Type, kind), "valueType": cmp.Or(own.Value, value), "attributionType": a.Settings.Arrange.Attribution,
		"postClickAttributionWindowSize":   cmp.Or(own.PostClickDays, a.Settings.Arrange.PostClickDays),
		"viewThroughAttributionWindowSize": cmp.Or(own.ViewThroughDays, a.Settings.Arrange.ViewThroughDays),
	}
}

func (a *arranging) create(name string, want map[string]any) error {
	what := fmt.Sprintf("create rule %s: %q, %s, %s, %d days after a click, %d after a view", name, want["name"], want["type"], want["valueType"],
		want["postClickAttributionWindowSize"], want["viewThroughAttributionWindowSize"])
	query := ""
	if a.everyone {
		what += ", attached to all campaigns"
		query = "autoAssociationType=ALL_CAMPAIGNS"
	}
	made := rule{}
	note, err := a.step(what, func() (string, error) {
		q, err := a.request(http.MethodPost, "/rest/conversions", query, want)
		if err != nil {
			return "", err
		}
		var body rule
		r, err := a.ask(a.ctx, a.call, q, nil)
		if err != nil {
			return "", err
		}
		destinations.ReadJSON(r.Body, &body)
		id := cmp.Or(body.ID.String(), r.Header.Get("X-Restli-Id"))
		if !numberShape.MatchString(id) {
			return "", fmt.Errorf("LinkedIn made the rule and gave no number; find %q in Campaign Manager", want["name"])
		}
		made = rule{ID: json.Number(id), Method: apiMethod}
		return binding(name, id), nil
	})
	if err != nil || note == "" || a.everyone {
		return err
	}
	return a.complete(name, made)
}

// complete switches a rule on and attaches it where it is not.
func (a *arranging) complete(name string, r rule) error {
	id := r.ID.String()
	if r.Method != "" && r.Method != apiMethod {
		return fmt.Errorf("rule %s (%s): %s", name, id, r.trouble())
	}
	if !r.enabled() {
		if _, err := a.step("switch on rule "+name+" ("+id+")", func() (string, error) { return "", a.switchOn(id) }); err != nil {
			return err
		}
	}
	for _, campaign := range a.campaigns {
		if r.has(campaign) {
			continue
		}
		if _, err := a.step("attach rule "+name+" ("+id+") to campaign "+campaign, func() (string, error) { return "", a.attach(id, campaign) }); err != nil {
			return err
		}
	}
	return nil
}

// step notes one change and, where it is to be made, makes it.
func (a *arranging) step(what string, do func() (string, error)) (note string, err error) {
	s := destinations.Step{What: what}
	if a.apply {
		if s.Note, err = do(); err == nil {
			s.Done = true
		} else {
			s.Note = "failed"
		}
	}
	a.steps = append(a.steps, s)
	return s.Note, err
}

func (a *arranging) switchOn(id string) error {
	q, err := a.request(http.MethodPost, "/rest/conversions/"+id, "account="+url.QueryEscape(accountURN+a.AdAccount),
		map[string]any{"patch": map[string]any{"$set": map[string]any{"enabled": true}}})
	if err != nil {
		return err
	}
	q.Header.Set("X-RestLi-Method", "PARTIAL_UPDATE")
	_, err = a.ask(a.ctx, a.call, q, nil)
	return err
}

func (a *arranging) attach(id, campaign string) error {
	c, r := campaignURN+campaign, ruleURN+id
	path := "/rest/campaignConversions/(campaign:" + url.QueryEscape(c) + ",conversion:" + url.QueryEscape(r) + ")"
	q, err := a.request(http.MethodPut, path, "", map[string]string{"campaign": c, "conversion": r})
	if err != nil {
		return err
	}
	_, err = a.ask(a.ctx, a.call, q, nil)
	return err
}

// findCampaigns lists the campaigns that rules are to be attached to. How a long list is
// paged is not in the sheet: LinkedIn's nextPageToken is followed where it comes. [open]
func (a *arranging) findCampaigns() error {
	a.campaigns, _ = a.Settings.Arrange.campaigns()
	if a.everyone = slices.Equal(a.campaigns, []string{"all"}); !a.everyone {
		return nil
	}
	a.campaigns = nil
	for token := ""; ; {
		query := "q=search&search=(status:(values:List(ACTIVE,PAUSED,DRAFT)))&pageSize=" + fmt.Sprint(pageSize)
		if token != "" {
			query += "&pageToken=" + url.QueryEscape(token)
		}
		q, err := a.request(http.MethodGet, "/rest/adAccounts/"+a.AdAccount+"/adCampaigns", query, nil)
		if err != nil {
			return err
		}
		var page struct {
			Elements []struct {
				ID json.Number `json:"id"`
			} `json:"elements"`
			Metadata struct {
				Next string `json:"nextPageToken"`
			} `json:"metadata"`
		}
		if _, err := a.ask(a.ctx, a.call, q, &page); err != nil {
			return err
		}
		for _, c := range page.Elements {
			a.campaigns = append(a.campaigns, c.ID.String())
		}
		if len(a.campaigns) > mostRead {
			return fmt.Errorf("%s: the list of campaigns does not end", q.Path)
		}
		if page.Metadata.Next == "" || page.Metadata.Next == token || len(page.Elements) == 0 {
			return nil
		}
		token = page.Metadata.Next
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
