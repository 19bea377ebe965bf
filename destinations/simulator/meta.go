package simulator

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A MetaAccount is what Meta knows of an advertiser.
type MetaAccount struct {
	DatasetIDs []string // none: any number is a dataset
	Token      string   // "" takes any token that is not empty
	// Tokens says what is wrong with more tokens: a word of metaTokens, "" for nothing.
	Tokens    map[string]string
	AppSecret string // where set, the app demands appsecret_proof
	// HourlyCalls, where set, limits calls in any hour; the share used is told in X-App-Usage.
	HourlyCalls int
	// AccountCalls and BusinessCalls do the same for the ad account (X-Ad-Account-Usage) and the
	// business (X-Business-Use-Case-Usage, with the minutes until calls are taken again).
	AccountCalls, BusinessCalls int
}

var (
	graphVersion = regexp.MustCompile(`^v(\d{1,3})\.(\d)$`)
	digits       = regexp.MustCompile(`^\d{1,20}$`)
)

// graphEnds says when a Graph version stops; a zero time is not set yet.
var graphEnds = map[string]time.Time{
	"v26.0": {},
	"v25.0": day(2028, 7, 29),
	"v24.0": day(2028, 2, 18),
	"v23.0": day(2027, 10, 8),
	"v22.0": day(2027, 5, 20),
	"v21.0": day(2027, 1, 21),
	"v20.0": day(2026, 9, 24),
}

// marketingEnds says when the Marketing API's own, shorter table ends a version; calls are then
// taken with a warning header.
var marketingEnds = map[string]time.Time{
	"v24.0": day(2026, 10, 6), "v23.0": day(2026, 10, 6), "v22.0": day(2026, 10, 6),
	"v21.0": day(2026, 10, 6), "v20.0": day(2026, 10, 6),
}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

const metaMaxEvents = 1000

type metaServer struct {
	account MetaAccount
	limits  []*metaLimit
	firsts  metaFirsts
	keys    map[string]int64 // how many events came with each key of user_data
}

func newMetaServer(a MetaAccount) *metaServer {
	return &metaServer{account: a, limits: newMetaLimits(a), firsts: metaFirsts{at: make(map[string]time.Time)}, keys: make(map[string]int64)}
}

// A metaError is Meta's error, with the HTTP status it comes under.
type metaError struct {
	status        int
	code, subcode int
	kind          string // OAuthException unless said otherwise
	message       string
	title, text   string
	transient     bool
	blame         string
	limit         bool // refused for a limit of calls
}

// serveMeta takes POST /v<N>.0/<dataset>/events and refuses everything else.
func (s *Simulator) serveMeta(c *call) answer {
	a, refused := s.metaEvents(c)
	if refused == nil {
		return a
	}
	m := s.memory[Meta]
	m.refusal(fmt.Sprintf("%d/%d", refused.code, refused.subcode))
	if refused.limit {
		m.stats.Throttled++
	}
	return s.meta.tell(refused.answer(c), c.now)
}

func (s *Simulator) metaEvents(c *call) (answer, *metaError) {
	version, dataset, refused := metaPath(c)
	if refused != nil {
		return answer{}, refused
	}
	form, refused := metaForm(c)
	if refused != nil {
		return answer{}, refused
	}
	if refused := s.meta.authorize(c, form, dataset); refused != nil {
		return answer{}, refused
	}
	if refused := s.meta.call(c.now); refused != nil {
		return answer{}, refused
	}
	events, refused := s.metaBatch(c, form, dataset)
	if refused != nil {
		return answer{}, refused
	}
	s.take(Meta, c, events...)
	a := jsonAnswer(http.StatusOK, metaSuccess{Received: len(events), Messages: []string{}, Trace: fbtrace(c)})
	if ends, ok := marketingEnds[version]; ok && !c.now.Before(ends) {
		a = a.with("X-Ad-Api-Version-Warning", "The call has been auto-upgraded to v25.0 as "+version+" has been deprecated.")
	}
	return s.meta.tell(a, c.now), nil
}

type metaSuccess struct {
	Received int      `json:"events_received"`
	Messages []string `json:"messages"`
	Trace    string   `json:"fbtrace_id"`
}

func metaPath(c *call) (version, dataset string, refused *metaError) {
	parts := strings.Split(strings.Trim(c.path, "/"), "/")
	if len(parts) > 0 && graphVersion.MatchString(parts[0]) {
		version, parts = parts[0], parts[1:]
	}
	unknown := &metaError{status: http.StatusBadRequest, code: 2500, message: "Unknown path components: " + c.path}
	if version == "" || len(parts) != 2 || !digits.MatchString(parts[0]) || parts[1] != "events" {
		return "", "", unknown
	}
	ends, ok := graphEnds[version]
	if !ok && graphVersion.FindStringSubmatch(version)[2] == "0" && older(version, "v20.0") {
		ends, ok = day(2026, 1, 1), true
	}
	if !ok {
		return "", "", unknown
	}
	if !ends.IsZero() && !c.now.Before(ends) {
		return "", "", &metaError{status: http.StatusBadRequest, code: 2635, message: "(#2635) You are calling a deprecated version of the API. Please update to the latest version: v26.0."}
	}
	if c.method != http.MethodPost {
		return "", "", &metaError{status: http.StatusBadRequest, code: 100, subcode: 33, kind: "GraphMethodException", message: "Unsupported " + strings.ToLower(c.method) + " request."}
	}
	return version, parts[0], nil
}

// older compares versions of the form v<N>.0.
func older(a, b string) bool {
	return len(a) < len(b) || len(a) == len(b) && a < b
}

// authorize looks for the token in the header, the body and the query, in this order.
func (m *metaServer) authorize(c *call, form metaRequest, dataset string) *metaError {
	query := c.r.URL.Query()
	token, _ := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	inBody, _ := form.fields["access_token"].(string)
	token = cmp.Or(strings.TrimSpace(token), inBody, query.Get("access_token"))
	if refused := m.tokenState(token); refused != nil {
		return refused
	}
	if _, listed := m.account.Tokens[token]; token == "" || !listed && m.account.Token != "" && token != m.account.Token {
		return &metaError{status: http.StatusUnauthorized, code: 190, message: "Invalid OAuth access token - Cannot parse access token"}
	}
	if m.account.AppSecret != "" {
		proof, _ := form.fields["appsecret_proof"].(string)
		if cmp.Or(proof, query.Get("appsecret_proof")) != appSecretProof(m.account.AppSecret, token) {
			return &metaError{status: http.StatusBadRequest, code: 104, kind: "GraphMethodException", message: "Invalid appsecret_proof provided in the API argument"}
		}
	}
	if len(m.account.DatasetIDs) > 0 && !slices.Contains(m.account.DatasetIDs, dataset) {
		return &metaError{status: http.StatusBadRequest, code: 100, subcode: 33, kind: "GraphMethodException",
			message: "Unsupported post request. Object with ID '" + dataset + "' does not exist, cannot be loaded due to missing permissions, or does not support this operation."}
	}
	return nil
}

func appSecretProof(secret, token string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}

// metaBatch checks every event before any is taken: one bad event refuses all.
func (s *Simulator) metaBatch(c *call, form metaRequest, dataset string) ([]*Received, *metaError) {
	if len(form.data) == 0 {
		return nil, metaInvalid("data", "(#100) The parameter data is required")
	}
	if len(form.data) > metaMaxEvents {
		return nil, metaInvalid("data", fmt.Sprintf("Param data must have at most %d elements", metaMaxEvents))
	}
	if refused := checkPartner(form.fields); refused != nil {
		return nil, refused
	}
	test, _ := form.fields["test_event_code"].(string)
	out := make([]*Received, 0, len(form.data))
	received := make([]Received, len(form.data))
	for i, element := range form.data {
		object, ok := element.value.(map[string]any)
		if !ok {
			return nil, metaInvalid("data", fmt.Sprintf("Param data[%d] must be an object", i))
		}
		dropNulls(object)
		e := metaEvent{object: object, now: c.now}
		if refused := e.check(); refused != nil {
			return nil, refused
		}
		r := &received[i]
		if refused := s.metaReceive(r, &e, dataset); refused != nil {
			return nil, refused
		}
		r.Body, r.Test = json.RawMessage(element.raw), test != ""
		out = append(out, r)
	}
	for i, r := range out { // all are taken, or none
		r.Ignored = s.meta.firsts.copy(r.key(), c.now)
		user, _ := form.data[i].value.(map[string]any)["user_data"].(map[string]any)
		for key := range user {
			s.meta.keys[key]++
		}
	}
	return out, nil
}

var twoLetters = regexp.MustCompile(`[A-Za-z].*[A-Za-z]`)

func checkPartner(form map[string]any) *metaError {
	agent, ok := form["partner_agent"]
	if !ok || agent == nil {
		return nil
	}
	text, _ := agent.(string)
	if len(text) >= 23 || !twoLetters.MatchString(text) {
		return metaInvalid("partner_agent", "partner_agent must be shorter than 23 characters with at least two letters")
	}
	return nil
}

// dropNulls drops null members: official SDKs send unset options as null.
func dropNulls(in map[string]any) {
	for k, v := range in {
		switch t := v.(type) {
		case nil:
			delete(in, k)
		case map[string]any:
			dropNulls(t)
		}
	}
}

// metaInvalid is code 100 without a subcode.
func metaInvalid(field, message string) *metaError {
	return &metaError{status: http.StatusBadRequest, code: 100, message: message, title: "Invalid parameter", text: message, blame: field}
}

func (e *metaError) answer(c *call) answer {
	body := map[string]any{
		"message": e.message, "type": cmp.Or(e.kind, "OAuthException"), "code": e.code,
		"is_transient": e.transient, "fbtrace_id": fbtrace(c),
	}
	if e.subcode != 0 {
		body["error_subcode"] = e.subcode
	}
	if e.title != "" {
		body["error_user_title"], body["error_user_msg"] = e.title, e.text
	}
	if e.blame != "" {
		body["error_data"] = map[string]any{"blame_field_specs": [][]string{{e.blame}}}
	}
	a := jsonAnswer(e.status, map[string]any{"error": body})
	if e.status == http.StatusUnauthorized {
		a = a.with("WWW-Authenticate", `OAuth "Facebook Platform" "invalid_token" "`+e.message+`"`)
	}
	return a
}

// metaFault is a scripted status in Meta's envelope.
func metaFault(status int, c *call) answer {
	e := metaError{status: status, code: 100, message: "Invalid parameter"}
	switch {
	case status == http.StatusUnauthorized:
		e.code, e.message = 190, "Error validating access token"
	case status == http.StatusForbidden:
		e.code, e.message = 200, "(#200) Permissions error"
	case status == http.StatusTooManyRequests:
		e.code, e.message, e.transient = 4, "(#4) Application request limit reached", true
	case status >= 500:
		e.code, e.message, e.transient = 2, "Service temporarily unavailable", true
	}
	e.code, e.subcode = cmp.Or(c.fault.Code, e.code), c.fault.Subcode
	return e.answer(c)
}

// fbtrace names a request, the same way in every run.
func fbtrace(c *call) string {
	var n [9]byte
	binary.BigEndian.PutUint64(n[:], uint64(c.number))
	sum := sha256.Sum256(n[:])
	return "A" + base64.RawURLEncoding.EncodeToString(sum[:16])
}

// number reads a JSON number, or a text that is one.
func number(v any) (json.Number, bool) {
	switch t := v.(type) {
	case json.Number:
		return t, true
	case string:
		if plainNumber.MatchString(t) {
			return json.Number(t), true
		}
	}
	return "", false
}

var plainNumber = regexp.MustCompile(`^-?\d+(\.\d+)?$`)
