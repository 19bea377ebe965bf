package mappings

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// A shape says where the fields of an event stand in the JSON of one source.
type shape struct {
	at     place
	each   []step // of the list that one body holds; the body is one element where nil
	cuts   bool   // each was given
	fields []given
}

// A given is one field with where its value comes from: a path, an expression or a
// constant.
type given struct {
	name     string // of the field; "properties.<name>" for a property
	at       place
	path     []step
	sum      *sum
	constant any
}

// A step of a path: a member, or an element of a list.
type step struct {
	key   string
	index int // -1: a member
}

// What the value of a field must be able to be.
const (
	asText = iota
	asNumber
	asTime
	asFlag
	asList
	asKind
)

// shapeFields lists the fields of any JSON, what each must be able to be, and where it goes
// in the body of POST /v1/events that is made of it (see Shape).
var shapeFields = map[string]struct {
	as   int
	into [2]string // object, key; "" is the body itself
}{
	"event": {asText, [2]string{"", "event"}}, "event_id": {asText, [2]string{"", "event_id"}}, "kind": {asKind, [2]string{}},
	"occurred_at": {asTime, [2]string{}}, "observed_at": {asTime, [2]string{}}, "reported": {asFlag, [2]string{"shape", "reported"}},
	"object_type": {asText, [2]string{"shape", "object_type"}}, "object_id": {asText, [2]string{"shape", "object_id"}},

	"stage": {asText, [2]string{}}, "stage_label": {asText, [2]string{"deal", "stage_label"}},
	"pipeline": {asText, [2]string{"deal", "pipeline"}}, "pipeline_label": {asText, [2]string{"deal", "pipeline_label"}},
	"is_closed_won": {asFlag, [2]string{"deal", "is_closed_won"}}, "is_closed": {asFlag, [2]string{"deal", "is_closed"}},

	"contact_id": {asText, [2]string{"contact", "id"}}, "email": {asList, [2]string{"user_data", "email"}}, "phone": {asList, [2]string{"user_data", "phone"}},
	"first_name": {asText, [2]string{"user_data", "first_name"}}, "last_name": {asText, [2]string{"user_data", "last_name"}},
	"city": {asText, [2]string{"user_data", "city"}}, "state": {asText, [2]string{"user_data", "state"}}, "zip": {asText, [2]string{"user_data", "zip"}},
	"country": {asText, [2]string{"user_data", "country"}}, "title": {asText, [2]string{"user_data", "title"}},
	"birth_date": {asText, [2]string{"user_data", "db"}}, "gender": {asText, [2]string{"user_data", "ge"}},
	"lead_id": {asText, [2]string{"user_data", "lead_id"}}, "user_id": {asText, [2]string{"user_data", "user_id"}}, "external_id": {asList, [2]string{"user_data", "external_id"}},
	"email_sha256": {asList, [2]string{"user_data", "email_sha256"}}, "phone_sha256": {asList, [2]string{"user_data", "phone_sha256"}},

	"anonymous_id": {asText, [2]string{"user_data", "anonymous_id"}}, "hubspotutk": {asText, [2]string{"user_data", "hubspotutk"}},
	"fbp": {asText, [2]string{"user_data", "fbp"}}, "fbc": {asText, [2]string{"user_data", "fbc"}},
	"fbclid": {asText, [2]string{"campaign", "fbclid"}}, "li_fat_id": {asText, [2]string{"campaign", "li_fat_id"}}, "gclid": {asText, [2]string{"campaign", "gclid"}},
	"gbraid": {asText, [2]string{"campaign", "gbraid"}}, "wbraid": {asText, [2]string{"campaign", "wbraid"}},
	"msclkid": {asText, [2]string{"campaign", "msclkid"}}, "ttclid": {asText, [2]string{"campaign", "ttclid"}},

	"company_id": {asText, [2]string{"company", "id"}}, "domain": {asText, [2]string{"company", "domain"}}, "company": {asText, [2]string{"company", "name"}},
	"owner": {asText, [2]string{"company", "owner_id"}}, "tier": {asText, [2]string{"company", "tier"}}, "target": {asFlag, [2]string{"company", "target"}},
	"deal_id": {asText, [2]string{"deal", "id"}}, "contact_ids": {asList, [2]string{"deal", "contact_ids"}}, "company_ids": {asList, [2]string{"deal", "company_ids"}},

	"amount": {asNumber, [2]string{"deal", "amount"}}, "mrr": {asNumber, [2]string{"deal", "mrr"}}, "arr": {asNumber, [2]string{"deal", "arr"}},
	"acv": {asNumber, [2]string{"deal", "acv"}}, "tcv": {asNumber, [2]string{"deal", "tcv"}},
	"currency": {asText, [2]string{"deal", "currency"}}, "billing_period": {asText, [2]string{"deal", "billing_period"}},

	"utm_source": {asText, [2]string{"campaign", "utm_source"}}, "utm_medium": {asText, [2]string{"campaign", "utm_medium"}}, "utm_campaign": {asText, [2]string{"campaign", "utm_campaign"}},
	"utm_term": {asText, [2]string{"campaign", "utm_term"}}, "utm_content": {asText, [2]string{"campaign", "utm_content"}},
	"campaign_id": {asText, [2]string{"campaign", "campaign_id"}}, "ad_set": {asText, [2]string{"campaign", "adset_id"}}, "ad": {asText, [2]string{"campaign", "ad_id"}},
	"platform": {asText, [2]string{"shape", "platform"}}, "form": {asText, [2]string{"", "form"}}, "subject": {asText, [2]string{"", "subject"}},
	"url": {asText, [2]string{"", "event_source_url"}}, "referrer": {asText, [2]string{"", "referrer"}},
	"user_agent": {asText, [2]string{"user_data", "client_user_agent"}}, "ip": {asText, [2]string{"user_data", "client_ip_address"}},

	"ad_storage": {asFlag, [2]string{"consent", "ad_storage"}}, "ad_user_data": {asFlag, [2]string{"consent", "ad_user_data"}},
	"data_processing_options":         {asList, [2]string{"user_data", "data_processing_options"}},
	"data_processing_options_country": {asNumber, [2]string{"user_data", "data_processing_options_country"}},
	"data_processing_options_state":   {asNumber, [2]string{"user_data", "data_processing_options_state"}},
}

// shapeKinds are the ways in which a JSON event is read.
var shapeKinds = []string{"lifecycle", "lead_status", "deal_stage", "page_view", "form", "ad_click", "email_open", "email_click", "meeting", "custom"}

// shape reads a json section.
func (c *compiler) shape(p pair, what string) *shape {
	s := &shape{at: p.at}
	keys := c.fields(p.value, what, "each", "event", "fields")
	if follow(p.value).Kind != yaml.MappingNode {
		return s
	}
	if e, ok := keys["each"]; ok {
		s.each, s.cuts = c.each(e.value), true
	}
	seen := make(map[string]place)
	add := func(line pair, name string) {
		if before, twice := seen[name]; twice {
			c.mistake(line.at, "duplicate_key", "", "%s is given twice; it is at %s already", shown(name), before)
			return
		}
		seen[name] = line.at
		if g, ok := c.given(line, name); ok {
			s.fields = append(s.fields, g)
		}
	}
	if e, ok := keys["event"]; ok {
		add(e, "event")
	}
	if f, ok := keys["fields"]; ok {
		for _, line := range c.pairs(f.value, what+".fields", exactly) {
			name := line.key.Value
			property, own := strings.CutPrefix(name, propertyPart)
			if _, known := shapeFields[name]; !known && (!own || property == "") {
				c.mistake(line.at, "unknown_field", nearest(name, slices.Sorted(maps.Keys(shapeFields))), "%s is no field of an event; what has no name of its own is properties.<name>", shown(name))
				continue
			}
			add(line, name)
		}
	}
	if _, named := seen["event"]; !named {
		c.mistake(p.at, "no_event", "", "json does not say what the event is called; add event: a path such as $.type, or a name")
	}
	return s
}

// given reads where one field comes from.
func (c *compiler) given(line pair, name string) (given, bool) {
	g := given{name: name, at: line.at}
	as := asText
	field, known := shapeFields[name]
	if known {
		as = field.as
	}
	n := follow(line.value)
	if n.Kind != yaml.ScalarNode || isNothing(n) {
		c.mistake(c.place(n), "wrong_type", "", "%s must be a path, an expression or a constant, not %s", shown(name), kindOf(n))
		return g, false
	}
	text, ok := strings.TrimSpace(n.Value), true
	switch {
	case strings.HasPrefix(text, "$"):
		g.path, ok = c.path(n, text)
	case strings.HasPrefix(text, "="):
		if g.sum = c.sum(n, text); g.sum == nil {
			return g, false
		}
		if !g.sum.fits(as, known) {
			c.mistake(c.place(n), "wrong_type", "", "%s cannot be a yes or no", shown(name))
			return g, false
		}
	default:
		g.constant, ok = c.constant(n, text, name, as, known)
	}
	return g, ok
}

func (c *compiler) constant(n *yaml.Node, text, name string, as int, known bool) (any, bool) {
	number := json.Valid([]byte(text)) && (n.Tag == "!!int" || n.Tag == "!!float")
	switch {
	case !known && n.Tag == "!!bool", as == asFlag && n.Tag == "!!bool":
		var yes bool
		_ = n.Decode(&yes) // the tag says that it is one
		return yes, true
	case known && as == asFlag, known && as == asNumber && !number:
		wants := map[int]string{asFlag: "true or false", asNumber: "a number"}[as]
		c.mistake(c.place(n), "wrong_type", "", "%s must be %s, not %s", shown(name), wants, kindOf(n))
		return nil, false
	case as == asKind && !slices.Contains(shapeKinds, text):
		c.mistake(c.place(n), "unknown_choice", nearest(text, shapeKinds), "%s is no kind of event; choose %s", shown(text), oneOf(shapeKinds))
		return nil, false
	case number:
		return json.Number(text), true
	}
	return text, true
}

// each reads the path of a list.
func (c *compiler) each(n *yaml.Node) []step {
	text, ok := c.word(n, "each")
	if !ok {
		return nil
	}
	if !strings.HasPrefix(text, "$") {
		c.mistake(c.place(follow(n)), "bad_path", "", "each must be the path of a list, such as $.items[*]")
		return nil
	}
	path, _ := c.path(follow(n), strings.TrimSuffix(text, "[*]"))
	return path
}

// path reads a path of the text; what cannot be read is reported at its place.
func (c *compiler) path(n *yaml.Node, text string) ([]step, bool) {
	path, rest, why := parsePath(text)
	if why == "" && rest != "" {
		why = "something follows the path"
	}
	if why != "" {
		from := utf8.RuneCountInString(text[:len(text)-len(rest)])
		c.mistake(conditionPlace(c.place(n), n, text, from), "bad_path", "", "%s is no path: %s; write $.a.b, $.a[0] or $[\"odd key\"]", shown(text), why)
		return nil, false
	}
	return path, true
}

const maxSteps = 20

// parsePath reads a path from the beginning of a text that begins with $. rest is what
// follows it; why says what is wrong with it.
func parsePath(text string) (path []step, rest, why string) {
	rest = text[1:]
	for {
		if len(path) > maxSteps {
			return nil, rest, "it has more than " + strconv.Itoa(maxSteps) + " steps"
		}
		switch {
		case strings.HasPrefix(rest, "."):
			key := word(rest[1:])
			if key == "" {
				return nil, rest, "a name must follow the ."
			}
			path, rest = append(path, step{key, -1}), rest[1+len(key):]
		case strings.HasPrefix(rest, `["`), strings.HasPrefix(rest, "['"):
			key, after, closed := strings.Cut(rest[2:], rest[1:2]+"]")
			if !closed || key == "" {
				return nil, rest, "a [ is not closed"
			}
			path, rest = append(path, step{key, -1}), after
		case strings.HasPrefix(rest, "["):
			inner, after, closed := strings.Cut(rest[1:], "]")
			index, err := strconv.Atoi(inner)
			if !closed || err != nil || index < 0 || index > 9999 {
				return nil, rest, "between [ and ] stands a number from 0, or a key in quotes"
			}
			path, rest = append(path, step{"", index}), after
		default:
			return path, rest, ""
		}
	}
}

// word is the name that a text begins with.
func word(s string) string {
	for i, r := range s {
		if !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r >= 0x80) {
			return s[:i]
		}
	}
	return s
}

// at follows a path; nil where nothing stands there.
func at(v any, path []step) any {
	for _, s := range path {
		switch in := v.(type) {
		case map[string]any:
			if s.index >= 0 {
				return nil
			}
			v = in[s.key]
		case []any:
			if s.index < 0 || s.index >= len(in) {
				return nil
			}
			v = in[s.index]
		default:
			return nil
		}
	}
	return v
}

// names gives the names of the constants that the section gives as event, for what asks
// whether anything gives a name.
func (s *shape) names() map[string]rule {
	if s == nil {
		return nil
	}
	out := make(map[string]rule)
	for _, g := range s.fields {
		if word, ok := g.constant.(string); ok && g.name == "event" {
			out[word] = rule{name: snake(word), at: g.at.String(), from: g.at}
		}
	}
	return out
}
