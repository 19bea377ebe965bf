package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A LinkedInAccount is what LinkedIn knows of an advertiser.
type LinkedInAccount struct {
	Token         string     // "" takes any token that is not empty
	RevokedTokens []string   // answered 401, 65601; of refresh tokens, invalid_grant
	Rules         []Rule     // none: any number is an enabled API rule
	Campaigns     []Campaign // that rules can be attached to; none: any number is one
	// NoRole are ad accounts, by number, in which the token's member may do nothing: 403.
	NoRole []string
	// Partial makes batches be answered element by element, which LinkedIn's documentation says
	// it does not do, though the shape of its answer suggests it.
	Partial bool
	OAuth   LinkedInOAuth
	// Versions adds to the table of the reference sheet: YYYYMM and the day it stops.
	Versions map[string]time.Time
	// Minute and Daily replace the limits of 600 requests a minute and 500,000 a UTC day;
	// below 0 there is none.
	Minute, Daily int
}

// A Rule is a conversion rule of an ad account.
type Rule struct {
	ID       string `json:"id"` // its number
	Name     string `json:"name,omitempty"`
	Account  string `json:"account,omitempty"` // urn:li:sponsoredAccount:ID
	Type     string `json:"type,omitempty"`
	Method   string `json:"conversionMethod,omitempty"` // "" means CONVERSIONS_API
	Disabled bool   `json:"disabled,omitempty"`
	Deleted  bool   `json:"deleted,omitempty"`
	// The windows and the rest are "" or 0 for LinkedIn's defaults.
	PostClick   int      `json:"post_click,omitempty"`
	ViewThrough int      `json:"view_through,omitempty"`
	Attribution string   `json:"attribution,omitempty"`
	Value       string   `json:"value,omitempty"`
	Campaigns   []string `json:"campaigns,omitempty"` // numbers of those it is attached to
}

// A Campaign is one of an ad account.
type Campaign struct {
	ID      string // its number
	Account string // number of its ad account; "" is any
	Name    string
	Status  string // "" is ACTIVE
}

// linkedInVersions says when each version stops answering.
var linkedInVersions = map[string]time.Time{
	"202609": day(2027, 9, 15), "202608": day(2027, 8, 17), "202607": day(2027, 7, 15), "202606": day(2027, 6, 15),
	"202605": day(2027, 5, 15), "202604": day(2027, 4, 15), "202603": day(2027, 3, 16), "202602": day(2027, 2, 15),
	"202601": day(2027, 1, 15), "202511": day(2026, 11, 16), "202510": day(2026, 10, 15),
}

const (
	linkedInMaxEvents = 5000
	rulePrefix        = "urn:lla:llaPartnerConversion:"
)

type linkedInServer struct {
	account LinkedInAccount
	rules   map[string]Rule
	minute  rolling
	daily   daily
	learned map[string]pairing   // by external id
	issued  map[string]time.Time // access tokens given out, and when each ends
	consent time.Time            // when the refresh token was first used: its year begins
}

// A pairing is an external id that came together with a standard identifier.
type pairing struct {
	person string // "" where that identifier was nobody's
	until  time.Time
}

const maxLearned = 1_000_000

func newLinkedInServer(a LinkedInAccount) *linkedInServer {
	limit := func(n, standard int) int {
		if n < 0 {
			return 0
		}
		return cmp.Or(n, standard)
	}
	l := &linkedInServer{
		account: a,
		rules:   make(map[string]Rule),
		learned: make(map[string]pairing),
		issued:  make(map[string]time.Time),
		minute:  rolling{most: limit(a.Minute, 600), span: time.Minute},
		daily:   daily{most: limit(a.Daily, 500_000), zone: time.UTC},
	}
	for _, r := range a.Rules {
		l.rules[r.ID] = r
	}
	return l
}

func (l *linkedInServer) windows(now time.Time) []Window {
	return []Window{
		{Name: "minute", Limit: l.minute.most, Used: l.minute.used(now)},
		{Name: "day", Limit: l.daily.most, Used: l.daily.used(now)},
	}
}

// A linkedInError is LinkedIn's error; code and service are left out of the answer where
// they are empty.
type linkedInError struct {
	status  int
	code    string
	service int
	message string
}

func (e *linkedInError) answer() answer {
	body := map[string]any{"status": e.status, "message": e.message}
	if e.code != "" {
		body["code"] = e.code
	}
	if e.service != 0 {
		body["serviceErrorCode"] = e.service
	}
	a := jsonAnswer(e.status, body)
	if e.code == "VERSION_MISSING" || e.code == "NONEXISTENT_VERSION" {
		a = a.with("X-Restli-Gateway-Error", "true")
	}
	return a
}

// serveLinkedIn is the gateway: version, token, limits, then the resource.
func (s *Simulator) serveLinkedIn(c *call) answer {
	if c.path == "/oauth/v2/accessToken" {
		return s.linkedin.refresh(c)
	}
	a, refused := s.linkedInGateway(c)
	if refused == nil {
		return a
	}
	m := s.memory[LinkedIn]
	m.refusal(strings.TrimSpace(fmt.Sprintf("%d %s", refused.status, refused.code)))
	if refused.status == http.StatusTooManyRequests {
		m.stats.Throttled++
	}
	return refused.answer()
}

func (s *Simulator) linkedInGateway(c *call) (answer, *linkedInError) {
	version := c.r.Header.Get("LinkedIn-Version")
	if refused := s.linkedin.checkVersion(version, c.now); refused != nil {
		return answer{}, refused
	}
	if refused := s.linkedin.authorize(c); refused != nil {
		return answer{}, refused
	}
	if p := c.r.Header.Get("X-Restli-Protocol-Version"); p != "2.0.0" && (p != "" || strings.Contains(c.r.URL.RawQuery+c.path, "(")) {
		return answer{}, &linkedInError{status: http.StatusBadRequest, message: "X-Restli-Protocol-Version must be 2.0.0"}
	}
	if refused := s.linkedin.throttle(c.now); refused != nil {
		return answer{}, refused
	}
	if c.path == "/rest/conversionEvents" && c.method == http.MethodPost {
		return s.conversionEvents(c, version)
	}
	return s.linkedInRules(c, version)
}

var sixDigits = regexp.MustCompile(`^\d{6}$`)

func (l *linkedInServer) checkVersion(version string, now time.Time) *linkedInError {
	if version == "" {
		return &linkedInError{status: http.StatusBadRequest, code: "VERSION_MISSING", message: "A version must be present. Please specify a version by adding the LinkedIn-Version header."}
	}
	ends, ok := l.account.Versions[version]
	if !ok {
		ends, ok = linkedInVersions[version]
	}
	if !ok || !sixDigits.MatchString(version) || !now.Before(ends) {
		return &linkedInError{status: http.StatusUpgradeRequired, code: "NONEXISTENT_VERSION", message: "Requested version " + version + " is not active"}
	}
	return nil
}

func (l *linkedInServer) authorize(c *call) *linkedInError {
	token, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	switch token = strings.TrimSpace(token); {
	case !ok || token == "":
		return &linkedInError{status: http.StatusUnauthorized, code: "EMPTY_ACCESS_TOKEN", service: 65604, message: "Empty oauth2 access token"}
	case slices.Contains(l.account.RevokedTokens, token):
		return &linkedInError{status: http.StatusUnauthorized, code: "REVOKED_ACCESS_TOKEN", service: 65601, message: "The token used in the request has been revoked by the user"}
	case !l.valid(token, c.now):
		return &linkedInError{status: http.StatusUnauthorized, code: "INVALID_ACCESS_TOKEN", service: 65600, message: "Invalid access token"}
	}
	return nil
}

func (l *linkedInServer) throttle(now time.Time) *linkedInError {
	if l.daily.full(now) || !l.minute.take(now) {
		return &linkedInError{status: http.StatusTooManyRequests, code: "TOO_MANY_REQUESTS", message: "Resource level throttle limit for calls to this resource is reached."}
	}
	l.daily.take(now)
	return nil
}

// linkedInFault is a scripted status in LinkedIn's shape.
func linkedInFault(status int, c *call) answer {
	e := linkedInError{status: status, message: http.StatusText(status), service: c.fault.Code}
	switch status {
	case http.StatusUnauthorized:
		e.code, e.service, e.message = "INVALID_ACCESS_TOKEN", cmp.Or(c.fault.Code, 65600), "Invalid access token"
		if e.service == 65601 {
			e.code, e.message = "REVOKED_ACCESS_TOKEN", "The token used in the request has been revoked by the user"
		}
	case http.StatusForbidden:
		e.message = "No ad accounts found"
	case http.StatusUpgradeRequired:
		e.code, e.message = "NONEXISTENT_VERSION", "Requested version "+c.r.Header.Get("LinkedIn-Version")+" is not active"
	case http.StatusTooManyRequests:
		e.code, e.message = "TOO_MANY_REQUESTS", "Resource level throttle limit for calls to this resource is reached."
	}
	return e.answer()
}

// conversionEvents takes one event, or a batch of which one bad event refuses all.
func (s *Simulator) conversionEvents(c *call, version string) (answer, *linkedInError) {
	elements, batch, refused := linkedInElements(c)
	if refused != nil {
		return answer{}, refused
	}
	events := make([]linkedInEvent, len(elements))
	for i, element := range elements {
		events[i] = linkedInEvent{at: i, version: version, now: c.now, raw: element}
		events[i].checkSchema(batch)
	}
	if batch && s.linkedin.account.Partial {
		return s.eachAlone(c, events), nil
	}
	if refused := s.refuseEvents(events); refused != nil {
		return answer{}, refused
	}
	items := make([]*Received, len(events))
	for i := range events {
		items[i] = s.linkedInReceive(&events[i])
	}
	s.take(LinkedIn, c, items...)
	if !batch {
		return answer{status: http.StatusCreated}, nil
	}
	created := make([]map[string]int, len(items))
	for i := range created {
		created[i] = map[string]int{"status": http.StatusCreated}
	}
	return jsonAnswer(http.StatusOK, map[string]any{"elements": created}), nil
}

// refuseEvents says why events are refused together: all their faults of one kind at once,
// the schema first, then the rules, then the meaning.
func (s *Simulator) refuseEvents(events []linkedInEvent) *linkedInError {
	var schema []string
	for _, e := range events {
		schema = append(schema, e.faults...)
	}
	if len(schema) > 0 {
		return &linkedInError{status: http.StatusUnprocessableEntity, message: strings.Join(schema, "\n")}
	}
	for i := range events {
		if refused := s.checkRule(&events[i]); refused != nil {
			return refused
		}
	}
	var invalid []string
	for i := range events {
		invalid = append(invalid, s.checkMeaning(&events[i])...)
	}
	if len(invalid) > 0 {
		return &linkedInError{status: http.StatusBadRequest, message: "Validation failed because [" + strings.Join(invalid, ", ") + "]"}
	}
	return nil
}

// eachAlone answers a batch element by element, in the order in which they came.
func (s *Simulator) eachAlone(c *call, events []linkedInEvent) answer {
	elements := make([]map[string]any, len(events))
	var items []*Received
	for i := range events {
		if refused := s.refuseEvents(events[i : i+1]); refused != nil {
			elements[i] = map[string]any{"status": refused.status, "error": map[string]any{"status": refused.status, "message": refused.message}}
			continue
		}
		elements[i] = map[string]any{"status": http.StatusCreated}
		items = append(items, s.linkedInReceive(&events[i]))
	}
	s.take(LinkedIn, c, items...)
	return jsonAnswer(http.StatusOK, map[string]any{"elements": elements})
}

// linkedInElements cuts the body into events. Only BATCH_CREATE has more than one.
func linkedInElements(c *call) (elements []json.RawMessage, batch bool, refused *linkedInError) {
	if kind, _, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
		return nil, false, &linkedInError{status: http.StatusUnsupportedMediaType, message: "Content-Type must be application/json"}
	}
	v, err := decode(c.body)
	object, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, false, &linkedInError{status: http.StatusBadRequest, message: "Could not read the request body as a JSON object"}
	}
	switch method := strings.ToUpper(c.r.Header.Get("X-RestLi-Method")); method {
	case "", "CREATE":
		return []json.RawMessage{c.body}, false, nil
	case "BATCH_CREATE":
	default:
		return nil, false, &linkedInError{status: http.StatusBadRequest, message: "X-RestLi-Method " + method + " is not supported by this resource"}
	}
	for key := range object {
		if key != "elements" {
			return nil, true, &linkedInError{status: http.StatusUnprocessableEntity, message: "ERROR :: /" + key + " :: unrecognized field found but not allowed"}
		}
	}
	var body struct {
		Elements []json.RawMessage `json:"elements"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil || body.Elements == nil {
		return nil, true, &linkedInError{status: http.StatusUnprocessableEntity, message: "ERROR :: /elements :: field is required but not found and has no default value"}
	}
	if n := len(body.Elements); n == 0 || n > linkedInMaxEvents {
		return nil, true, &linkedInError{status: http.StatusBadRequest, message: fmt.Sprintf("A batch must have 1 to %d elements, not %d", linkedInMaxEvents, n)}
	}
	return body.Elements, true, nil
}

func (s *Simulator) checkRule(e *linkedInEvent) *linkedInError {
	if len(s.linkedin.rules) == 0 {
		return nil
	}
	rule, ok := s.linkedin.rules[e.rule]
	switch {
	case !ok, s.linkedin.noRole(rule.Account):
		return &linkedInError{status: http.StatusForbidden, message: "No ad accounts found"}
	case rule.Deleted:
		return &linkedInError{status: http.StatusBadRequest, message: fmt.Sprintf("Conversion rule is deleted, Index: %d", e.at)}
	case cmp.Or(rule.Method, "CONVERSIONS_API") != "CONVERSIONS_API":
		return &linkedInError{status: http.StatusBadRequest, message: fmt.Sprintf("Conversion method should be CONVERSIONS_API, Index: %d", e.at)}
	case rule.Disabled:
		return &linkedInError{status: http.StatusBadRequest, message: fmt.Sprintf("Conversion rule is not enabled, Index: %d", e.at)}
	}
	return nil
}
