package mappings

import (
	"cmp"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// The fields of contacts that are ours: the fifteen of the default map, and the counters.
var contactFields = strings.Fields(`email first_name last_name phone company
	source_platform source_campaign source_ad_set source_ad utm_source utm_medium utm_campaign
	first_touch_at last_touch_at lead_score
	page_views ad_clicks form_submissions email_opens`)

const counters = 4 // the last of contactFields

// Where an own field can be taken from, beside properties of the event and expressions.
var (
	eventFields = strings.Fields("event occurred_at stage title city state zip country domain currency")
	touchFields = strings.Fields("at kind platform campaign campaign_id ad_set ad utm_source utm_medium utm_campaign utm_term utm_content page referrer form")
)

const maxOptions = 5000 // of one enumeration

var fieldTypes = []string{"text", "number", "bool", "date", "datetime", "enumeration"}

// leftOut stands for a field of ours that is not written.
const leftOut = "none"

// contactProperties is the compiled section; given is false where there is none.
type contactProperties struct {
	given    bool
	at       place
	what     canonical.ContactProperties
	computed map[string]expression
	places   map[string]place // of the fields
}

// ContactProperties gives what the mapping says of the CRM's contacts; ok is false where it
// says nothing, and the destination's own settings hold. Its slices are shared: do not change them.
func (m *Mapping) ContactProperties() (p canonical.ContactProperties, ok bool) {
	return m.contact.what, m.contact.given
}

// evaluate computes the fields that an expression fills.
func (p *contactProperties) evaluate(e *canonical.Event) map[string]any {
	out := make(map[string]any, len(p.computed))
	compute(p.computed, e, out)
	return out
}

var (
	contactPrefix = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}_$`)
	hubspotName   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,99}$`)
)

// contactProperties reads the section contact_properties, which stands once.
func (c *compiler) contactProperties(tops []top) {
	p := &c.m.contact
	for _, t := range tops {
		c.file = t.file
		f, ok := t.keys["contact_properties"]
		if !ok {
			continue
		}
		if p.given {
			c.mistake(f.at, "duplicate_key", "", "contact_properties stands at %s already; it must be said in one place", p.at)
			continue
		}
		p.given, p.at = true, f.at
		fields := c.fields(f.value, "contact_properties", contactKeys.names()...)
		if f, ok := fields["prefix"]; ok {
			p.what.Prefix = c.contactPrefix(f.value)
		}
		if f, ok := fields["source_from"]; ok {
			p.what.SourceFrom = c.choice(f.value, "source_from", []string{"last_touch", "first_touch"})
		}
		if f, ok := fields["fields"]; ok {
			for _, line := range c.pairs(f.value, "contact_properties.fields", strings.TrimSpace) {
				c.contactField(p, line)
			}
		}
		slices.SortFunc(p.what.Fields, func(a, b canonical.ContactField) int { return strings.Compare(a.Name, b.Name) })
		c.sharedProperties(p)
	}
}

func (c *compiler) contactPrefix(n *yaml.Node) string {
	word, ok := c.word(n, "prefix")
	switch at := c.place(follow(n)); {
	case !ok:
	case !contactPrefix.MatchString(word):
		c.mistake(at, "bad_prefix", "", "%s is no prefix: small letters, digits and _, a letter first, _ at the end", shown(word))
	case strings.HasPrefix(word, "hs_"):
		c.mistake(at, "bad_prefix", "", "hs_ belongs to HubSpot; choose a prefix of your own")
	default:
		return word
	}
	return ""
}

func (c *compiler) contactField(p *contactProperties, l pair) {
	f := canonical.ContactField{Name: strings.TrimSpace(l.key.Value), At: l.at.String()}
	f.Own = !slices.Contains(contactFields, f.Name)
	what := "contact_properties.fields." + f.Name
	if p.places == nil {
		p.places = make(map[string]place)
	}
	p.places[f.Name] = l.at
	if f.Own && !hubspotName.MatchString(f.Name) {
		c.mistake(l.at, "bad_field", inSnake(f.Name), "%s is no name of a field: small letters, digits and _, a letter first", shown(f.Name))
		return
	}
	v := follow(l.value)
	if v.Kind == yaml.ScalarNode {
		if f.Own {
			c.mistake(l.at, "unknown_field", nearest(f.Name, contactFields), "%s is none of our fields; for one of your own write {type: text, from: properties.%s}", shown(f.Name), f.Name)
			return
		}
		word, ok := c.word(v, what)
		if f.Left = word == leftOut; !f.Left {
			f.Property = word
			ok = ok && c.hubspotProperty(v, word)
		}
		if ok {
			p.what.Fields = append(p.what.Fields, f)
		}
		return
	}
	fields := c.fields(v, what, fieldKeys.names()...)
	if v.Kind != yaml.MappingNode {
		return
	}
	if !f.Own {
		for _, k := range fieldKeys {
			if g, ok := fields[k.name]; ok && k.name != "property" {
				c.mistake(g.at, "own_field_only", "", "%s is one of our fields: its %s is known; only its property can be chosen", f.Name, k.name)
			}
		}
	}
	if g, ok := fields["property"]; ok {
		if word, ok := c.word(g.value, "property"); ok && c.hubspotProperty(follow(g.value), word) {
			f.Property = word
		}
	}
	if g, ok := fields["type"]; ok && f.Own {
		f.Type = c.choice(g.value, "type of a property", fieldTypes)
	} else if f.Own {
		c.mistake(l.at, "no_type", "", "%s has no type; declare one of %s", f.Name, strings.Join(fieldTypes, ", "))
	}
	if g, ok := fields["label"]; ok {
		f.Label, _ = c.word(g.value, "label")
	}
	if g, ok := fields["options"]; ok {
		for _, n := range c.words(g.value, "options") {
			if len(f.Options) == maxOptions {
				c.mistake(c.place(n), "too_large", "", "an enumeration has at most %d options", maxOptions)
				break
			}
			f.Options = append(f.Options, n.Value)
		}
		if f.Own && f.Type != "" && f.Type != "enumeration" {
			c.mistake(g.at, "options_of_text", "", "only a field of type enumeration has options")
		}
	}
	f.From = "properties." + f.Name
	if g, ok := fields["from"]; ok && f.Own {
		f.From = c.contactFrom(p, f.Name, follow(g.value))
	}
	if !f.Own {
		f.From = ""
	}
	c.fieldFits(l.at, p, f)
	p.what.Fields = append(p.what.Fields, f)
}

func (c *compiler) hubspotProperty(n *yaml.Node, word string) bool {
	if hubspotName.MatchString(word) {
		return true
	}
	c.mistake(c.place(n), "bad_property", inSnake(word), "%s is no internal name of a HubSpot property: small letters, digits and _", shown(word))
	return false
}

// contactFrom reads where a field is taken from.
func (c *compiler) contactFrom(p *contactProperties, name string, n *yaml.Node) string {
	if _, is := expressionText(n); is {
		if program := c.lineExpression(n, "from of "+name); program != nil {
			if p.computed == nil {
				p.computed = make(map[string]expression)
			}
			p.computed[name] = expression{program, strings.TrimSpace(n.Value)}
		}
		return "="
	}
	word, ok := c.word(n, "from")
	if !ok {
		return ""
	}
	at := c.place(n)
	of, rest, has := strings.Cut(word, ".")
	switch {
	case has && of == "properties" && rest != "":
	case has && (of == "first_touch" || of == "last_touch"):
		if !slices.Contains(touchFields, rest) {
			c.mistake(at, "unknown_field", nearest(rest, touchFields), "a touch has no %s; it has %s", shown(rest), strings.Join(touchFields, ", "))
		}
	case slices.Contains(eventFields, word):
	case slices.Contains(bases, word):
		c.mistake(at, "value_as_property", "", "%s is a value, and one line sends the one it names; it cannot be a contact's property", word)
	default:
		c.mistake(at, "unknown_field", nearest(word, append([]string{"properties." + name}, eventFields...)), "%s is nowhere to take a field from; write properties.<name>, first_touch.<field>, last_touch.<field>, one of %s, or an expression that begins with =", shown(word), strings.Join(eventFields, ", "))
	}
	return word
}

// standardProperties are HubSpot's own for fields of ours.
var standardProperties = map[string]string{"email": "email", "first_name": "firstname", "last_name": "lastname", "phone": "phone", "company": "company"}

// defaultPrefix begins the names of our properties where the section says no prefix.
const defaultPrefix = "tributary_"

// sharedProperties finds two fields that are written to one property, also where the text names only
// one of them. The counters are written only where a destination counts; they are looked at where
// the text names them.
func (c *compiler) sharedProperties(p *contactProperties) {
	prefix := cmp.Or(p.what.Prefix, defaultPrefix)
	first := make(map[string]string)
	for _, name := range contactFields[:len(contactFields)-counters] {
		if _, named := p.places[name]; !named {
			first[cmp.Or(standardProperties[name], prefix+name)] = name
		}
	}
	inOrder := slices.SortedFunc(slices.Values(p.what.Fields), func(a, b canonical.ContactField) int { return p.places[a.Name].compare(p.places[b.Name]) })
	for _, f := range inOrder {
		if f.Left {
			continue
		}
		property := cmp.Or(f.Property, prefix+f.Name)
		if !f.Own {
			property = cmp.Or(f.Property, standardProperties[f.Name], prefix+f.Name)
		}
		if before := first[property]; before != "" {
			c.mistake(p.places[f.Name], "shared_property", "", "%s and %s are written to one property, %s", before, f.Name, property)
			continue
		}
		first[property] = f.Name
	}
}

// fieldFits refuses a type that what the field is taken from can never be.
func (c *compiler) fieldFits(at place, p *contactProperties, f canonical.ContactField) {
	kind, never := "", []string(nil)
	if x, is := p.computed[f.Name]; is && f.From == "=" {
		switch t := x.program.Node().Type(); {
		case t == nil:
		case t.Kind() == reflect.Bool:
			kind, never = "a yes or no", []string{"number", "date", "datetime"}
		case t.Kind() == reflect.Int || t.Kind() == reflect.Float64:
			kind, never = "a number", []string{"bool"}
		}
	} else if f.From == "occurred_at" || f.From == "first_touch.at" || f.From == "last_touch.at" {
		kind, never = "a time", []string{"number", "bool", "enumeration"}
	}
	if slices.Contains(never, f.Type) {
		c.mistake(at, "wrong_type", "", "%s is %s and can never be of type %s", f.Name, kind, f.Type)
	}
}

// AtContactProperties puts what was found wrong between the section and a destination's settings
// at the section's place.
func (m *Mapping) AtContactProperties(words string) Problem {
	ps := &problems{}
	ps.mistake(m.contact.at, "said_twice", "", "%s", words)
	return ps.list[0]
}

// ContactFieldNames lists the fields of contacts that are ours.
func ContactFieldNames() []string { return slices.Clone(contactFields) }
