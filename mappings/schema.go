package mappings

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// A key is one key of the language with what editors show of it. The compiler takes the
// names it knows from these lists and Schema its schema, so that the two cannot differ.
type key struct {
	name, about string
	of          func() schema
}

type keys []key

func (ks keys) names() []string {
	out := make([]string, len(ks))
	for i, k := range ks {
		out[i] = k.name
	}
	return out
}

// A schema is one JSON Schema.
type schema map[string]any

// Schema gives the JSON Schema (draft 7) of a mapping file, for completion and hover in
// editors. It is looser than Compile, which alone decides.
func Schema() []byte {
	s := group(topKeys)
	s["$schema"] = "http://json-schema.org/draft-07/schema#"
	s["title"] = "Tributary mapping, version 1"
	s["description"] = "What your stages mean, and what each destination gets. docs/mapping.md is the reference."
	s["required"] = []string{"version"}
	s["patternProperties"] = schema{"^x-": schema{"description": "Not read: a place to keep YAML anchors in."}}
	s["definitions"] = definitions()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		panic(err) // it holds nothing but texts, lists and maps of them
	}
	return b.Bytes()
}

// group is an object with known keys and no others.
func group(ks keys) schema {
	properties := schema{}
	for _, k := range ks {
		s := schema{}
		for name, v := range k.of() {
			s[name] = v
		}
		if k.about != "" {
			s["description"] = k.about
		}
		if ref, is := s["$ref"]; is && k.about != "" { // beside $ref nothing else is read
			delete(s, "$ref")
			s["allOf"] = []schema{{"$ref": ref}}
		}
		properties[k.name] = s
	}
	return schema{"type": "object", "properties": properties, "additionalProperties": false}
}

// tableOf is an object whose keys are free.
func tableOf(of schema) schema { return schema{"type": "object", "additionalProperties": of} }

func list(of schema) schema      { return schema{"type": "array", "items": of} }
func oneOrList(of schema) schema { return schema{"anyOf": []schema{of, list(of)}} }
func anyOf(of ...schema) schema  { return schema{"anyOf": of} }
func ref(name string) schema     { return schema{"$ref": "#/definitions/" + name} }
func enum(words ...string) schema {
	return schema{"type": "string", "enum": words}
}
func pattern(p string) schema { return schema{"type": "string", "pattern": p} }
func text() schema            { return schema{"type": "string", "minLength": 1} }
func anyWord() schema         { return schema{"type": []string{"string", "number", "boolean"}} }

// wholeNumber is one, also in quotes.
func wholeNumber(from, to int) schema {
	return schema{"type": []string{"integer", "string"}, "minimum": from, "maximum": to, "pattern": `^[0-9]+$`}
}

// is makes a key's schema one that is always the same.
func is(s schema) func() schema { return func() schema { return s } }

const nameShape = `^[a-z][a-z0-9]*(_[a-z0-9]+)*$`

// definitions are the parts that stand in several places.
func definitions() schema {
	return schema{
		"name":       schema{"type": "string", "description": "A canonical name, or an alias of one."},
		"table":      tableOf(schema{"$ref": "#/definitions/name"}),
		"basis":      enum(append(slices.Clone(bases[1:]), "contract_value")...),
		"value":      enum(append(append([]string{"none"}, bases...), "contract_value")...),
		"missing":    anyOf(enum(missingWords()...), pattern(`^use: *(`+strings.Join(append(slices.Clone(bases), "contract_value"), "|")+`)$`), group(keys{{"use", "The value that is sent instead.", func() schema { return enum(append(slices.Clone(bases), "contract_value")...) }}})),
		"properties": schema{"type": []string{"string", "array"}, "items": schema{"type": "string"}, "description": "The internal name of a property; of a list, the first that is given."},
		"currency":   pattern(`^[A-Z]{3}$`),
		"formula":    pattern(`^\s*=`),
		"marks":      list(group(markKeys)),
		"line":       group(lineKeys),
		"field":      group(fieldKeys),

		"section_json":   group(sourceKeys),
		"section_crm":    group(keysOf(sectionHubSpot)),
		"section_events": group(keysOf(sectionPixel)),
	}
}

// sectionOf names the definition of a way in's section.
func sectionOf(way string) string {
	switch tables := tablesOf(way); {
	case slices.Contains(tables, "json"):
		return "section_json"
	case slices.Contains(tables, "deals"):
		return "section_crm"
	}
	return "section_events"
}

// keysOf lists what may stand in a way in's section.
func keysOf(way string) keys {
	return slices.DeleteFunc(slices.Clone(sourceKeys), func(k key) bool { return !slices.Contains(tablesOf(way), k.name) })
}

func missingWords() []string {
	out := []string{"hold", "send_without_value"}
	for _, b := range bases {
		out = append(out, "use:"+b)
	}
	return append(out, "use:contract_value")
}

var topKeys = keys{
	{"version", "The version of the language: 1.", is(schema{"enum": []any{1, "1"}})},
	{"include", "Further files, named from this one: what stands in them holds as though it stood here.", is(list(text()))},
	{"vocabulary", "The canonical names in funnel order, the first step first.", func() schema {
		entry := schema{"type": "object", "minProperties": 1, "maxProperties": 1, "propertyNames": schema{"pattern": nameShape},
			"additionalProperties": anyOf(group(vocabularyKeys), schema{"type": "null"})}
		return list(anyOf(pattern(nameShape), entry))
	}},
	{"other_names", "Further canonical names, outside the funnel: they are sent each time.", is(list(pattern(nameShape)))},
	{"sources", "What each source calls things. The key is a way in or the name of a configured source.", func() schema {
		ways := schema{}
		for _, way := range waysIn {
			ways[way] = ref(sectionOf(way))
		}
		s := tableOf(ref("section_json"))
		s["properties"] = ways
		return s
	}},
	{"counted_by", "Whose reports count a name: the deal's, the contact's, or whichever comes first.", is(tableOf(enum("deal", "contact", "any")))},
	{"ids", "Recipes for ids of events that come without one, each with the time from which it holds.", func() schema { return list(group(recipeKeys)) }},
	{"revenue", "Which property is which value, what a bare amount means, and what is derived.", func() schema { return group(revenueKeys) }},
	{"destinations", "What each destination gets. The key is a kind (meta, linkedin, hubspot, webhook) or the name of one configured destination.", func() schema {
		s := tableOf(ref("line"))
		s["properties"] = schema{defaultsKey: group(defaultKeys)}
		return tableOf(s)
	}},
	{"contact_properties", "Which properties the CRM's contacts get.", func() schema { return group(contactKeys) }},
}

var lineKeys = keys{
	{"event", "The vendor's event name, as Meta shows it; at HubSpot the name in the timeline.", is(schema{"type": []string{"string", "number"}, "minLength": 1, "maxLength": maxVendorName})},
	{"rule", "LinkedIn: one or several names of conversion rules, bound to ids in the destination's configuration.", is(oneOrList(pattern(nameShape)))},
	{"value", "The one value that is sent. All others stay inside.", func() schema { return ref("value") }},
	{"if_missing", "What to do where that value was not given.", func() schema { return ref("missing") }},
	{"currency", "The currency in which the value is sent, by the rates under revenue.", func() schema { return ref("currency") }},
	{"properties", "What is added to what is sent: text, numbers, true, false, or an expression that begins with =.", is(tableOf(anyWord()))},
	{"match", "By which of the vendor's keys the person may be found; without it, by all that are known.", is(oneOrList(text()))},
	{"consent", "What the person must have said of advertising: required, not_denied (the default) or ignore.", func() schema { return enum(consents...) }},
	{"when", "A condition: the event is sent only where it holds.", is(text())},
	{"delay", "How long after it happened the event is decided on: 30m, 6h, 2d.", is(pattern(`^[+]?[0-9.]+(ms|s|m|h|d)([0-9.]+(ms|s|m|h))*$`))},
	{"accounts", "The configured destinations that the line is for; without it, all of the kind.", is(oneOrList(text()))},
}

// defaultKeys are the keys that lines can inherit: all but what names one event.
var defaultKeys = slices.DeleteFunc(slices.Clone(lineKeys), func(k key) bool { return k.name == "event" || k.name == "rule" })

var revenueKeys = keys{
	{"properties", "Which property of a deal holds which value, instead of HubSpot's own.", func() schema { return group(moneyKeys) }},
	{"currency", "Which currency values are in, and rates between currencies.", func() schema { return anyOf(ref("currency"), group(currencyKeys)) }},
	{"amount_means", "What a bare amount means: one value, one for each billing period, or a list of lines of which the first that fits holds.", func() schema {
		return anyOf(ref("basis"), tableOf(ref("basis")), list(group(meaningKeys)))
	}},
	{"derive", "How a value that was not given is computed of those that were: exactly, and rounded once to six decimals.", func() schema {
		var ks keys
		for _, b := range append(slices.Clone(bases), "contract_value") {
			ks = append(ks, key{b, "", func() schema { return ref("formula") }})
		}
		return group(ks)
	}},
	{"if_missing", "What every line does that sends a value and says nothing of it itself.", func() schema { return ref("missing") }},
	{"expansion", "What an expansion is worth: its deal's own value, or the difference to what it was before.", func() schema {
		return anyOf(enum("own"), group(expansionKeys))
	}},
}

var moneyKeys = func() keys {
	about := map[string]string{
		"amount": "The deal's amount.", "mrr": "Monthly recurring revenue.", "arr": "Annual recurring revenue.", "acv": "Annual contract value.",
		"tcv": "Total contract value.", "contract_value": "Another word for tcv.", "billing_period": "How often is billed.",
		"term_months": "How long the contract runs, in months or as P1Y6M.", "term_years": "How long the contract runs, in years or as P1Y6M.",
	}
	var ks keys
	for _, name := range []string{"amount", "mrr", "arr", "acv", "tcv", "contract_value", "billing_period", "term_months", "term_years"} {
		ks = append(ks, key{name, about[name], func() schema { return ref("properties") }})
	}
	return ks
}()

var currencyKeys = keys{
	{"property", "The property of a deal that holds its currency.", func() schema { return ref("properties") }},
	{"default", "The currency of values that come without one.", func() schema { return ref("currency") }},
	{"rates", "Fixed rates, each from a day on. They are used only by lines that say in which currency they send.", func() schema { return list(group(rateKeys)) }},
}

var rateKeys = keys{
	{"from", "The currency of the event.", func() schema { return ref("currency") }},
	{"to", "The currency that is sent.", func() schema { return ref("currency") }},
	{"rate", "What one unit of from is in to.", is(schema{"type": []string{"string", "number"}})},
	{"since", "The day from which the rate holds, in UTC, or a time.", is(text())},
}

var meaningKeys = keys{
	{"billing_period", "Only for deals with this billing period.", is(anyWord())},
	{"term_up_to", "Only for contracts that run at most this long: 12 months, 1 year.", is(text())},
	{"term_over", "Only for contracts that run longer than this.", is(text())},
	{"means", "What the amount then is.", func() schema { return ref("basis") }},
}

var expansionKeys = keys{
	{"difference_to", "For each value, the property of the deal that holds what it was before.", func() schema {
		var ks keys
		for _, b := range append(slices.Clone(bases), "contract_value") {
			ks = append(ks, key{b, "", func() schema { return ref("properties") }})
		}
		return group(ks)
	}},
	{"names", "The canonical names meant; without it, those that mean expansion.", is(list(text()))},
}

var contactKeys = keys{
	{"prefix", "What the names of our own properties begin with.", is(pattern(contactPrefix.String()))},
	{"source_from", "The touch that tells where the person came from.", is(enum("last_touch", "first_touch"))},
	{"fields", "Other properties for our fields (none leaves one out), and fields of your own.", func() schema {
		s := tableOf(ref("field"))
		ours := schema{}
		for _, f := range contactFields {
			ours[f] = anyOf(text(), ref("field"))
		}
		s["properties"] = ours
		return s
	}},
}

var fieldKeys = keys{
	{"property", "The internal name of the property; without it, the prefix with the field's name.", is(pattern(hubspotName.String()))},
	{"type", "The property's type.", func() schema { return enum(fieldTypes...) }},
	{"from", "properties.<name>, first_touch.<field>, last_touch.<field>, a field of the event, or an expression that begins with =.", is(text())},
	{"options", "Of an enumeration: its internal values.", is(list(anyWord()))},
	{"label", "What HubSpot shows.", is(anyWord())},
}
