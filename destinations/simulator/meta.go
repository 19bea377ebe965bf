package simulator

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A MetaAccount is what Meta knows of an advertiser.
type MetaAccount struct {
	DatasetIDs []string // none: any number is a dataset
	Token      string   // "" takes any token that is not empty
	AppSecret  string   // where set, the app demands appsecret_proof
	// HourlyCalls, where set, limits calls in any hour; the share used is told in X-App-Usage.
	HourlyCalls int
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
	hourly  rolling
}

func newMetaServer(a MetaAccount) *metaServer {
	return &metaServer{account: a, hourly: rolling{most: a.HourlyCalls, span: time.Hour}}
}

func (m *metaServer) windows(now time.Time) []Window {
	if m.hourly.most == 0 {
		return nil
	}
	return []Window{{Name: "hour", Limit: m.hourly.most, Used: m.hourly.used(now)}}
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
}

// serveMeta takes POST /v<N>.0/<dataset>/events and refuses everything else.
func (s *Simulator) serveMeta(c *call) answer {
	a, refused := s.metaEvents(c)
	if refused == nil {
		return a
	}
	m := s.memory[Meta]
	m.refusal(fmt.Sprintf("%d/%d", refused.code, refused.subcode))
	if refused.code == 4 {
		m.stats.Throttled++
	}
	return refused.answer(c)
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
	if !s.meta.hourly.take(c.now) {
		return answer{}, &metaError{status: http.StatusBadRequest, code: 4, subcode: 1504022, message: "(#4) Application request limit reached",
			title: "Application request limit reached", text: "There have been too many calls from this app. Wait a bit and try again.", transient: true}
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
	if most := s.meta.hourly.most; most > 0 {
		share := 100 * s.meta.hourly.used(c.now) / most
		a = a.with("X-App-Usage", fmt.Sprintf(`{"call_count":%d,"total_cputime":0,"total_time":0}`, share))
	}
	return a, nil
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

// A metaRequest is a request body in any of the three encodings. Elements of data are
// kept as they came.
type metaRequest struct {
	fields map[string]any
	data   []json.RawMessage
}

// metaForm reads the body. data may be an array or a text that holds one, and so may its
// elements be.
func metaForm(c *call) (metaRequest, *metaError) {
	req := metaRequest{fields: make(map[string]any)}
	data, err := req.read(c)
	if err != nil {
		return req, metaInvalid("", err.Error())
	}
	var text string
	if json.Unmarshal(data, &text) == nil {
		data = json.RawMessage(text)
	}
	if len(data) == 0 {
		return req, nil
	}
	if json.Unmarshal(data, &req.data) != nil {
		return req, metaInvalid("data", "Param data must be an array")
	}
	for i, element := range req.data {
		if json.Unmarshal(element, &text) == nil {
			req.data[i] = json.RawMessage(text)
		}
	}
	return req, nil
}

func (req *metaRequest) read(c *call) (data json.RawMessage, err error) {
	kind, params, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	values := make(map[string]string)
	switch kind {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(c.body))
		if err != nil {
			return nil, errors.New("the form cannot be read")
		}
		for k := range form {
			values[k] = form.Get(k)
		}
		if list := form["data[]"]; len(list) > 0 {
			text, err := json.Marshal(list)
			if err != nil {
				return nil, err
			}
			values["data"] = string(text)
		}
	case "multipart/form-data":
		if values, err = multipartValues(c.body, params["boundary"]); err != nil {
			return nil, errors.New("the form cannot be read")
		}
	default:
		v, err := decode(c.body)
		object, ok := v.(map[string]any)
		if err != nil || !ok {
			return nil, errors.New("the body is not a JSON object")
		}
		req.fields = object
		var raw map[string]json.RawMessage
		if err := json.Unmarshal(c.body, &raw); err != nil {
			return nil, err
		}
		return raw["data"], nil
	}
	for k, v := range values {
		req.fields[k] = v
	}
	return json.RawMessage(values["data"]), nil
}

// authorize looks for the token in the header, the body and the query, in this order.
func (m *metaServer) authorize(c *call, form metaRequest, dataset string) *metaError {
	query := c.r.URL.Query()
	token, _ := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	inBody, _ := form.fields["access_token"].(string)
	token = cmp.Or(strings.TrimSpace(token), inBody, query.Get("access_token"))
	if token == "" || m.account.Token != "" && token != m.account.Token {
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
	var out []*Received
	for i, element := range form.data {
		v, err := decode(element)
		object, ok := v.(map[string]any)
		if err != nil || !ok {
			return nil, metaInvalid("data", fmt.Sprintf("Param data[%d] must be an object", i))
		}
		e := metaEvent{object: withoutNulls(object), now: c.now}
		if refused := e.check(); refused != nil {
			return nil, refused
		}
		r, refused := s.metaReceive(&e, dataset)
		if refused != nil {
			return nil, refused
		}
		r.Body, r.Test = element, test != ""
		out = append(out, r)
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

// withoutNulls drops null members: official SDKs send unset options as null.
func withoutNulls(in map[string]any) map[string]any {
	out := make(map[string]any, len(in))
	for k, v := range in {
		switch t := v.(type) {
		case nil:
		case map[string]any:
			out[k] = withoutNulls(t)
		default:
			out[k] = v
		}
	}
	return out
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
