package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	maxRules       = 10_000
	accountPrefix  = "urn:li:sponsoredAccount:"
	campaignPrefix = "urn:li:sponsoredCampaign:"
)

// association is one entry of a rule's associatedCampaigns.
type association struct {
	Campaign   string `json:"campaign"`
	Conversion string `json:"conversion"`
}

// ruleBody is a rule as the API shows it.
type ruleBody struct {
	ID          json.Number   `json:"id"`
	Name        string        `json:"name"`
	Account     string        `json:"account"`
	Type        string        `json:"type"`
	Method      string        `json:"conversionMethod"`
	Enabled     bool          `json:"enabled"`
	Value       string        `json:"valueType"`
	Attribution string        `json:"attributionType"`
	PostClick   int           `json:"postClickAttributionWindowSize"`
	ViewThrough int           `json:"viewThroughAttributionWindowSize"`
	Campaigns   []association `json:"associatedCampaigns"`
}

func (r Rule) body() ruleBody {
	b := ruleBody{
		ID: json.Number(r.ID), Name: r.Name, Account: r.Account, Type: cmp.Or(r.Type, "OTHER"),
		Method: cmp.Or(r.Method, "CONVERSIONS_API"), Enabled: !r.Disabled, Value: cmp.Or(r.Value, "DYNAMIC"),
		Attribution: cmp.Or(r.Attribution, "LAST_TOUCH_BY_CAMPAIGN"), PostClick: cmp.Or(r.PostClick, 30), ViewThrough: cmp.Or(r.ViewThrough, 7),
		Campaigns: []association{},
	}
	for _, c := range r.Campaigns {
		b.Campaigns = append(b.Campaigns, association{campaignPrefix + c, rulePrefix + r.ID})
	}
	return b
}

var adCampaignsPath = regexp.MustCompile(`^/rest/adAccounts/(\d+)/adCampaigns$`)

// linkedInRules serves the resources beside the events: rules, their campaigns, ad accounts.
func (s *Simulator) linkedInRules(c *call, version string) (answer, *linkedInError) {
	method := cmp.Or(strings.ToUpper(c.r.Header.Get("X-RestLi-Method")), c.method)
	id, hasID := strings.CutPrefix(c.path, "/rest/conversions/")
	switch {
	case c.path == "/rest/conversions" && method == http.MethodPost:
		return s.createRule(c, version)
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
	case strings.HasPrefix(c.path, "/rest/campaignConversions/") && c.method == http.MethodPut:
		return s.attachRule(c)
	case c.path == "/rest/adAccounts" && c.method == http.MethodGet:
		return s.listAccounts(), nil
	}
	if m := adCampaignsPath.FindStringSubmatch(c.path); m != nil && c.method == http.MethodGet {
		return s.listCampaigns(c, m[1])
	}
	return answer{}, &linkedInError{status: http.StatusNotFound, code: "RESOURCE_NOT_FOUND", message: "No virtual resource found"}
}

// noRole says that the token's member may do nothing in an account.
func (l *linkedInServer) noRole(account string) bool {
	return account != "" && slices.Contains(l.account.NoRole, strings.TrimPrefix(account, accountPrefix))
}

var noAccounts = linkedInError{status: http.StatusForbidden, message: "No ad accounts found"}

func (l *linkedInServer) visible(id string, query url.Values) (Rule, *linkedInError) {
	rule, ok := l.rules[id]
	if !ok || l.noRole(rule.Account) || query.Get("account") != "" && rule.Account != "" && query.Get("account") != rule.Account {
		return Rule{}, &noAccounts
	}
	return rule, nil
}

var (
	linkedInTypes = strings.Fields(`ADD_TO_CART DOWNLOAD INSTALL KEY_PAGE_VIEW LEAD PURCHASE SIGN_UP OTHER TALENT_LEAD JOB_APPLY SAVE
		START_CHECKOUT SCHEDULE VIEW_CONTENT VIEW_VIDEO ADD_BILLING_INFO BOOK_APPOINTMENT REQUEST_QUOTE SEARCH SUBSCRIBE AD_CLICK AD_VIEW
		COMPLETE_SIGNUP SUBMIT_APPLICATION PHONE_CALL INVITE LOGIN SHARE DONATE ADD_TO_LIST RATE START_TRIAL OUTBOUND_CLICK CONTACT
		QUALIFIED_LEAD MARKETING_QUALIFIED_LEAD SALES_QUALIFIED_LEAD`)
	longWindowTypes   = strings.Fields("SUBMIT_APPLICATION PURCHASE ADD_TO_CART QUALIFIED_LEAD LEAD MARKETING_QUALIFIED_LEAD SALES_QUALIFIED_LEAD")
	linkedInMethods   = []string{"CONVERSIONS_API", "INSIGHT_TAG"}
	linkedInValues    = []string{"DYNAMIC", "FIXED", "NO_VALUE"}
	attributionTypes  = []string{"LAST_TOUCH_BY_CAMPAIGN", "LAST_TOUCH_BY_CONVERSION"}
	attributionDays   = []int{1, 7, 30, 90}
	longDays          = []int{180, 365}
	ruleMembers       = strings.Fields("name account conversionMethod type postClickAttributionWindowSize viewThroughAttributionWindowSize attributionType valueType value enabled campaigns conversionMethod urlMatchRuleExpression")
	autoAssociations  = []string{"", "NONE", "ALL_CAMPAIGNS", "OBJECTIVE_BASED"}
	lastBeforeQLTypes = "202608" // MARKETING_ and SALES_QUALIFIED_LEAD cannot be created before it
)

func (s *Simulator) createRule(c *call, version string) (answer, *linkedInError) {
	var in struct {
		Name        string `json:"name"`
		Account     string `json:"account"`
		Type        string `json:"type"`
		Method      string `json:"conversionMethod"`
		Enabled     *bool  `json:"enabled"`
		PostClick   int    `json:"postClickAttributionWindowSize"`
		ViewThrough int    `json:"viewThroughAttributionWindowSize"`
		Attribution string `json:"attributionType"`
		Value       string `json:"valueType"`
	}
	var faults []string
	fault := func(path, format string, args ...any) {
		faults = append(faults, "ERROR :: /"+path+" :: "+fmt.Sprintf(format, args...))
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(c.body, &members) != nil || json.Unmarshal(c.body, &in) != nil {
		return answer{}, &linkedInError{status: http.StatusBadRequest, message: "Could not read the request body as a conversion rule"}
	}
	for _, key := range sortedNames(members) {
		if !slices.Contains(ruleMembers, key) {
			fault(key, "unrecognized field found but not allowed")
		}
	}
	if in.Name == "" {
		fault("name", "field is required but not found and has no default value")
	}
	if id, ok := strings.CutPrefix(in.Account, accountPrefix); !ok || !ruleNumber.MatchString(id) {
		fault("account", "%q is not a valid urn of type sponsoredAccount", in.Account)
	}
	symbol := func(path, value string, known []string) {
		if !slices.Contains(known, value) {
			fault(path, "%q is not an enum symbol", value)
		}
	}
	symbol("type", in.Type, linkedInTypes)
	symbol("conversionMethod", cmp.Or(in.Method, linkedInMethods[1]), linkedInMethods)
	symbol("attributionType", cmp.Or(in.Attribution, attributionTypes[0]), attributionTypes)
	symbol("valueType", cmp.Or(in.Value, linkedInValues[0]), linkedInValues)
	for path, days := range map[string]int{"postClickAttributionWindowSize": in.PostClick, "viewThroughAttributionWindowSize": in.ViewThrough} {
		long := slices.Contains(longDays, days) && slices.Contains(longWindowTypes, in.Type)
		if days != 0 && !slices.Contains(attributionDays, days) && !long {
			fault(path, "%d is not a supported window", days)
		}
	}
	auto := c.r.URL.Query().Get("autoAssociationType")
	symbol("autoAssociationType", auto, autoAssociations)
	if len(faults) > 0 {
		slices.Sort(faults)
		return answer{}, &linkedInError{status: http.StatusUnprocessableEntity, message: strings.Join(faults, "\n")}
	}
	if strings.HasSuffix(in.Type, "ING_QUALIFIED_LEAD") || strings.HasPrefix(in.Type, "SALES_") {
		if version < lastBeforeQLTypes {
			return answer{}, &linkedInError{status: http.StatusBadRequest, message: "Conversion rules of type " + in.Type + " cannot be created"}
		}
	}
	switch {
	case s.linkedin.noRole(in.Account):
		return answer{}, &noAccounts
	case len(s.linkedin.rules) >= maxRules:
		return answer{}, &linkedInError{status: http.StatusBadRequest, message: "The account has too many rules"}
	}
	next := 18423000
	for id := range s.linkedin.rules {
		if n, err := strconv.Atoi(id); err == nil {
			next = max(next, n+1)
		}
	}
	rule := Rule{
		ID: strconv.Itoa(next), Name: in.Name, Account: in.Account, Type: in.Type, Method: cmp.Or(in.Method, linkedInMethods[1]),
		Disabled: in.Enabled != nil && !*in.Enabled, PostClick: in.PostClick, ViewThrough: in.ViewThrough, Attribution: in.Attribution, Value: in.Value,
	}
	if auto == "ALL_CAMPAIGNS" {
		for _, campaign := range s.linkedin.campaignsOf(strings.TrimPrefix(in.Account, accountPrefix)) {
			rule.Campaigns = append(rule.Campaigns, campaign.ID)
		}
	}
	s.keepRule(rule)
	return jsonAnswer(http.StatusCreated, rule.body()).with("X-Restli-Id", rule.ID), nil
}

func sortedNames[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
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

// campaignKey is the compound key of an association as it must stand in the path: URNs
// percent-encoded, parentheses, comma and colon of the key itself not.
var campaignKey = regexp.MustCompile(`^/(?:linkedin/)?rest/campaignConversions/\(campaign:([^(),:]+),conversion:([^(),:]+)\)$`)

// attachRule attaches a rule to a campaign. Doing it again changes nothing.
func (s *Simulator) attachRule(c *call) (answer, *linkedInError) {
	bad := &linkedInError{status: http.StatusBadRequest, message: "Invalid key for resource campaignConversions"}
	m := campaignKey.FindStringSubmatch(c.r.URL.EscapedPath())
	if m == nil {
		return answer{}, bad
	}
	campaign, err := url.PathUnescape(m[1])
	conversion, err2 := url.PathUnescape(m[2])
	id, isCampaign := strings.CutPrefix(campaign, campaignPrefix)
	ruleID, isRule := strings.CutPrefix(conversion, rulePrefix)
	if err != nil || err2 != nil || !isCampaign || !isRule {
		return answer{}, bad
	}
	var body association
	if json.Unmarshal(c.body, &body) != nil || body.Campaign != campaign || body.Conversion != conversion {
		return answer{}, &linkedInError{status: http.StatusBadRequest, message: "The body does not name the campaign and the conversion of the key"}
	}
	rule, refused := s.linkedin.visible(ruleID, nil)
	if refused != nil {
		return answer{}, refused
	}
	if len(s.linkedin.account.Campaigns) > 0 && !slices.ContainsFunc(s.linkedin.campaignsOf(strings.TrimPrefix(rule.Account, accountPrefix)), func(k Campaign) bool { return k.ID == id }) {
		return answer{}, &linkedInError{status: http.StatusBadRequest, message: "The campaign is not of the conversion's ad account"}
	}
	if !slices.Contains(rule.Campaigns, id) {
		rule.Campaigns = append(slices.Clone(rule.Campaigns), id)
		s.keepRule(rule)
	}
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
	if s.linkedin.noRole(query.Get("account")) {
		return answer{}, &noAccounts
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

// campaignsOf gives the campaigns of an ad account, by its number.
func (l *linkedInServer) campaignsOf(account string) []Campaign {
	var out []Campaign
	for _, c := range l.account.Campaigns {
		if c.Account == "" || account == "" || c.Account == account {
			out = append(out, c)
		}
	}
	return out
}

var statusSearch = regexp.MustCompile(`^\(status:\(values:List\(([A-Z_,]+)\)\)\)$`)

// listCampaigns answers the search by status, in pages that a token leads through.
func (s *Simulator) listCampaigns(c *call, account string) (answer, *linkedInError) {
	if s.linkedin.noRole(account) {
		return answer{}, &noAccounts
	}
	raw := map[string]string{}
	for pair := range strings.SplitSeq(c.r.URL.RawQuery, "&") {
		k, v, _ := strings.Cut(pair, "=")
		raw[k] = v
	}
	m := statusSearch.FindStringSubmatch(raw["search"])
	if raw["q"] != "search" || m == nil { // also where the parentheses came escaped
		return answer{}, &linkedInError{status: http.StatusBadRequest, message: "Invalid query parameters passed to request"}
	}
	wanted := strings.Split(m[1], ",")
	campaigns := slices.DeleteFunc(s.linkedin.campaignsOf(account), func(k Campaign) bool { return !slices.Contains(wanted, cmp.Or(k.Status, "ACTIVE")) })
	start, _ := strconv.Atoi(raw["pageToken"])
	size, err := strconv.Atoi(raw["pageSize"])
	if err != nil || size <= 0 || size > 1000 {
		size = 100
	}
	campaigns = campaigns[min(max(start, 0), len(campaigns)):]
	metadata, elements := map[string]any{}, []map[string]any{}
	if len(campaigns) > size {
		campaigns, metadata["nextPageToken"] = campaigns[:size], strconv.Itoa(start+size)
	}
	for _, k := range campaigns {
		elements = append(elements, map[string]any{"id": json.Number(k.ID), "name": k.Name, "status": cmp.Or(k.Status, "ACTIVE"), "account": accountPrefix + account})
	}
	return jsonAnswer(http.StatusOK, map[string]any{"elements": elements, "metadata": metadata}), nil
}

func (s *Simulator) listAccounts() answer {
	var ids []string
	add := func(id string) {
		if ruleNumber.MatchString(id) && !slices.Contains(ids, id) && !s.linkedin.noRole(id) {
			ids = append(ids, id)
		}
	}
	for _, r := range s.sortedRules() {
		add(strings.TrimPrefix(r.Account, accountPrefix))
	}
	for _, k := range s.linkedin.account.Campaigns {
		add(k.Account)
	}
	elements := []map[string]any{}
	for _, id := range ids {
		elements = append(elements, map[string]any{"id": json.Number(id), "name": "Account " + id, "status": "ACTIVE", "type": "BUSINESS"})
	}
	return jsonAnswer(http.StatusOK, map[string]any{"elements": elements, "paging": map[string]any{"start": 0, "count": len(elements), "total": len(elements), "links": []any{}}})
}
