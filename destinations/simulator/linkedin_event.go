package simulator

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A linkedInEvent is one element on its way through the rules.
type linkedInEvent struct {
	at      int // place in the batch
	version string
	now     time.Time
	raw     json.RawMessage
	object  map[string]any
	faults  []string // of the schema

	rule     string
	time     time.Time
	ids      []userID
	info     map[string]any
	external string
	lead     string
}

type userID struct{ kind, value string }

var idTypes = []string{
	"SHA256_EMAIL", "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID", "ACXIOM_ID", "PLAINTEXT_IP_ADDRESS", "SHA256_IP_ADDRESS", "GOOGLE_AID",
}

const (
	linkedInMaxAge = 90 * 24 * time.Hour
	leadPrefix     = "urn:li:leadGenFormResponse:"
)

// A shape says which fields an object may have, and which it must.
type shape struct {
	may  []string
	must []string
}

var (
	eventShape    = shape{may: []string{"conversion", "conversionHappenedAt", "conversionValue", "eventId", "user"}, must: []string{"conversion", "conversionHappenedAt", "user"}}
	valueShape    = shape{may: []string{"currencyCode", "amount"}, must: []string{"currencyCode", "amount"}}
	userShape     = shape{may: []string{"userIds", "userInfo", "externalIds", "lead"}, must: []string{"userIds"}}
	userIDShape   = shape{may: []string{"idType", "idValue"}, must: []string{"idType", "idValue"}}
	infoShape     = shape{may: []string{"firstName", "lastName", "title", "companyName", "countryCode"}, must: []string{"firstName", "lastName"}}
	infoShape2609 = shape{may: []string{"firstName", "lastName", "hashedFirstName", "hashedLastName", "title", "companyName", "countryCode"}}
)

// checkSchema gathers everything that does not fit the schema, and reads what does.
func (e *linkedInEvent) checkSchema(batch bool) {
	prefix := ""
	if batch {
		prefix = fmt.Sprintf("/elements/%d", e.at)
	}
	v, err := decode(e.raw)
	object, ok := v.(map[string]any)
	if err != nil || !ok {
		e.fault(prefix, "cannot be coerced to a record")
		return
	}
	e.object = object
	e.fits(prefix, object, eventShape)
	e.readConversion(prefix)
	if n, ok := object["conversionHappenedAt"]; ok {
		number, isNumber := n.(json.Number)
		ms, err := number.Int64()
		if !isNumber || err != nil {
			e.fault(prefix+"/conversionHappenedAt", "%v cannot be coerced to Long", shown(n))
		}
		e.time = time.UnixMilli(ms).UTC()
	}
	e.string(prefix, object, "eventId")
	if value, ok := e.record(prefix, object, "conversionValue", valueShape); ok {
		e.string(prefix+"/conversionValue", value, "currencyCode")
		if amount := e.string(prefix+"/conversionValue", value, "amount"); amount != "" && !plainNumber.MatchString(amount) {
			e.fault(prefix+"/conversionValue/amount", "%q is not a decimal", amount)
		}
	}
	if user, ok := e.record(prefix, object, "user", userShape); ok {
		e.readUser(prefix+"/user", user)
	}
}

var ruleNumber = regexp.MustCompile(`^\d+$`)

func (e *linkedInEvent) readConversion(prefix string) {
	urn := e.string(prefix, e.object, "conversion")
	rule, ok := strings.CutPrefix(urn, rulePrefix)
	if urn != "" && (!ok || !ruleNumber.MatchString(rule)) {
		e.fault(prefix+"/conversion", "%q is not a valid urn of type llaPartnerConversion", urn)
	}
	e.rule = rule
}

func (e *linkedInEvent) readUser(prefix string, user map[string]any) {
	if v, ok := user["userIds"]; ok {
		list, isList := v.([]any)
		if !isList {
			e.fault(prefix+"/userIds", "%v cannot be coerced to an array", shown(v))
		}
		for i, entry := range list {
			e.readUserID(fmt.Sprintf("%s/userIds/%d", prefix, i), entry)
		}
	}
	e.readInfo(prefix, user)
	if v, ok := user["externalIds"]; ok {
		list, isList := v.([]any)
		if !isList {
			e.fault(prefix+"/externalIds", "%v cannot be coerced to an array", shown(v))
		}
		for i, entry := range list {
			text, isText := entry.(string)
			if !isText {
				e.fault(fmt.Sprintf("%s/externalIds/%d", prefix, i), "%v cannot be coerced to String", shown(entry))
			}
			if i == 0 {
				e.external = text
			}
		}
	}
	if lead := e.string(prefix, user, "lead"); lead != "" {
		id, ok := strings.CutPrefix(lead, leadPrefix)
		if !ok || id == "" {
			e.fault(prefix+"/lead", "%q is not a valid urn of type leadGenFormResponse", lead)
		}
		e.lead = id
	}
}

func (e *linkedInEvent) readUserID(prefix string, entry any) {
	object, ok := entry.(map[string]any)
	if !ok {
		e.fault(prefix, "%v cannot be coerced to a record", shown(entry))
		return
	}
	e.fits(prefix, object, userIDShape)
	id := userID{kind: e.string(prefix, object, "idType"), value: e.string(prefix, object, "idValue")}
	if id.kind != "" && !slices.Contains(idTypes, id.kind) {
		e.fault(prefix+"/idType", "%q is not an enum symbol", id.kind)
	}
	e.ids = append(e.ids, id)
}

// readInfo reads the name pair: both plain names up to 202608, from 202609 each plain or hashed.
func (e *linkedInEvent) readInfo(prefix string, user map[string]any) {
	allowed := infoShape
	if e.version >= "202609" {
		allowed = infoShape2609
	}
	info, ok := e.record(prefix, user, "userInfo", allowed)
	if !ok {
		return
	}
	for _, key := range infoShape2609.may {
		e.string(prefix+"/userInfo", info, key)
	}
	if e.version >= "202609" {
		for _, pair := range [][2]string{{"firstName", "hashedFirstName"}, {"lastName", "hashedLastName"}} {
			if info[pair[0]] == nil && info[pair[1]] == nil {
				e.fault(prefix+"/userInfo/"+pair[0], "field is required but not found and has no default value")
			}
		}
	}
	e.info = info
}

func (e *linkedInEvent) fault(path, format string, args ...any) {
	e.faults = append(e.faults, "ERROR :: "+path+" :: "+fmt.Sprintf(format, args...))
}

func (e *linkedInEvent) fits(prefix string, object map[string]any, s shape) {
	for _, key := range s.must {
		if _, ok := object[key]; !ok {
			e.fault(prefix+"/"+key, "field is required but not found and has no default value")
		}
	}
	var unknown []string
	for key := range object {
		if !slices.Contains(s.may, key) {
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	for _, key := range unknown {
		e.fault(prefix+"/"+key, "unrecognized field found but not allowed")
	}
}

// record reads a member that must be an object of the shape, where it is there at all.
func (e *linkedInEvent) record(prefix string, object map[string]any, key string, s shape) (map[string]any, bool) {
	v, ok := object[key]
	if !ok {
		return nil, false
	}
	r, ok := v.(map[string]any)
	if !ok {
		e.fault(prefix+"/"+key, "%v cannot be coerced to a record", shown(v))
		return nil, false
	}
	e.fits(prefix+"/"+key, r, s)
	return r, true
}

// string reads a member that must be a text, where it is there at all.
func (e *linkedInEvent) string(prefix string, object map[string]any, key string) string {
	v, ok := object[key]
	if !ok {
		return ""
	}
	text, ok := v.(string)
	if !ok {
		e.fault(prefix+"/"+key, "%v cannot be coerced to String", shown(v))
	}
	return text
}

func shown(v any) string {
	if v == nil {
		return "null"
	}
	text, err := marshal(v)
	if err != nil || len(text) > 100 {
		return "the value"
	}
	return string(text)
}

// checkMeaning is what is checked once every element fits the schema.
func (s *Simulator) checkMeaning(e *linkedInEvent) []string {
	var out []string
	if e.time.After(e.now) || e.now.Sub(e.time) > linkedInMaxAge {
		out = append(out, fmt.Sprintf("{field=conversionHappenedAt, batchIndex=%d, type=INVALID_CONVERSION_TIME_FIELD_VALUE, message=The conversion must have happened within 90 days and not in the future}", e.at))
	}
	if !s.identifies(e) {
		out = append(out, fmt.Sprintf("{field=user, batchIndex=%d, type=INVALID_USER_IDENTIFICATION_FIELD_VALUE, message=At least one user identifier is needed}", e.at))
	}
	return out
}

// identifies is the least that an event must say of its person.
func (s *Simulator) identifies(e *linkedInEvent) bool {
	if slices.ContainsFunc(e.ids, func(id userID) bool { return id.value != "" }) {
		return true
	}
	if e.info != nil || e.lead != "" {
		return true
	}
	p, ok := s.linkedin.learned[e.external]
	return ok && e.external != "" && e.now.Before(p.until)
}

// linkedInReceive looks up who an event is about and remembers an external id that came
// with a standard identifier.
func (s *Simulator) linkedInReceive(e *linkedInEvent) *Received {
	r := &Received{Kind: "event", Rule: e.rule, EventTime: e.time, Body: e.raw}
	r.EventID, _ = e.object["eventId"].(string)
	if rule, ok := s.linkedin.rules[e.rule]; ok {
		r.EventName = rule.Name
	}
	if value, ok := e.object["conversionValue"].(map[string]any); ok {
		r.Value, _ = value["amount"].(string)
		r.Currency, _ = value["currencyCode"].(string)
		if !currencyShape.MatchString(r.Currency) {
			r.Warnings = append(r.Warnings, "currencyCode is no ISO 4217 code")
		}
	}
	if len(r.EventID) > 64 {
		r.Warnings = append(r.Warnings, "eventId is longer than 64 characters")
	}
	s.matchLinkedIn(e, r)
	if len(e.ids) > 0 && e.external != "" {
		s.linkedin.learn(e.external, r.Person, e.now)
	}
	return r
}

var idKinds = map[string]string{
	"SHA256_EMAIL":                           "linkedin.email",
	"LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID": "linkedin.li_fat_id",
	"ACXIOM_ID":                              "linkedin.acxiom",
}

func (s *Simulator) matchLinkedIn(e *linkedInEvent, r *Received) {
	if e.lead != "" {
		r.match("lead", s.people.find("linkedin.lead", e.lead))
	}
	for _, id := range e.ids {
		who := ""
		if kind := idKinds[id.kind]; kind != "" {
			who = s.people.find(kind, id.value)
		}
		r.match(id.kind, who)
	}
	if e.external != "" {
		who := ""
		if p, ok := s.linkedin.learned[e.external]; ok && e.now.Before(p.until) {
			who = p.person
		}
		r.match("externalIds", who)
	}
	if first, ok := e.info["firstName"].(string); ok {
		last, _ := e.info["lastName"].(string)
		company, _ := e.info["companyName"].(string)
		r.match("userInfo", s.people.member(first, last, company))
	}
}

// learn pairs an external id with a person for a year. A later pairing that is nobody's
// does not undo an earlier one.
func (l *linkedInServer) learn(external, person string, now time.Time) {
	old, known := l.learned[external]
	if !known && len(l.learned) >= maxLearned {
		return
	}
	if person == "" {
		person = old.person
	}
	l.learned[external] = pairing{person: person, until: now.AddDate(1, 0, 0)}
}

// relearn does for a remembered item what learn did when it came.
func (l *linkedInServer) relearn(r Received) {
	var body struct {
		User struct {
			UserIDs     []json.RawMessage `json:"userIds"`
			ExternalIDs []string          `json:"externalIds"`
		} `json:"user"`
	}
	if json.Unmarshal(r.Body, &body) == nil && len(body.User.UserIDs) > 0 && len(body.User.ExternalIDs) > 0 {
		l.learn(body.User.ExternalIDs[0], r.Person, r.At)
	}
}
