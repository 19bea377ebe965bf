package mappings

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestTheSchemaIsCheckedIn(t *testing.T) {
	if *update {
		if err := os.WriteFile("schema.json", Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("schema.json"); err != nil || string(got) != string(Schema()) {
		t.Errorf("schema.json is not what is generated (%v): go test ./mappings -run TestTheSchemaIsCheckedIn -update", err)
	}
}

// Every good file there is fits the schema: the default, the odd ones, and the examples of
// the reference.
func TestGoodMappingsFitTheSchema(t *testing.T) {
	v := newValidator(t)
	v.fits(t, "default.yaml", string(Default().Text))
	odd, _ := filepath.Glob("testdata/odd/*.yaml")
	for _, path := range odd {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		v.fits(t, path, string(text))
	}
	reference, err := os.ReadFile("../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range fence.FindAllStringSubmatch(string(reference), -1) {
		if block[1] == "yaml" {
			v.fits(t, fmt.Sprintf("docs/mapping.md, example %d", i), whole(block[2]))
		}
	}
	for _, odd := range []string{
		"ids: [{event: customer_won, recipe: \"2\", parts: [object_id, properties.a b], from: 2027-01-01}]",
		"destinations: {meta: {customer_won: {event: 404, value: contract_value, if_missing: 'use: arr', delay: +1h, match: em}}}",
		"destinations: {meta: {customer_won: {event: Won, value: amount, if_missing: {use: contract_value}, delay: 1.5d}}}",
		"revenue: {amount_means: [{billing_period: 12, means: arr}]}",
		"revenue: {amount_means: {annual: arr, 12: tcv}, derive: {contract_value: ' = mrr * 2'}}",
		"revenue: {expansion: {names: [customer_won], difference_to: {arr: [was]}}, currency: {rates: [{from: USD, to: EUR, rate: 0.92, since: 2026-01-01}]}}",
		"contact_properties: {fields: {email: none, plan: {type: enumeration, options: [1, 2], label: 5}}}",
		"sources: {hubspot: {lifecycle: {1234: customer_won, true: customer_won}, associations: {36: customer_won}}, crm: {}}",
		"sources: {billing: {json: {event: 404, each: '$.a[*]', fields: {email: $.a, amount: 5, properties.x: true}}}}",
	} {
		text := "version: \"1\"\nvocabulary: [lead_captured, {customer_won: {rank: \"3\", aliases: [5]}}]\n" + odd + "\n"
		mustCompile(t, text)
		v.fits(t, odd, text)
	}
	for _, c := range [][2]string{
		{"version: 1\ndestination: {}\n", "destination"},
		{"version: 2\n", "version"},
		{"version: 1\nvocabulary: [Lead]\n", "vocabulary"},
		{"version: 1\ndestinations: { meta: { lead: { evnt: Lead } } }\n", "evnt"},
		{"version: 1\ndestinations: { meta: { defaults: { event: Lead } } }\n", "event"},
		{"version: 1\nsources: { pixel: { deals: {} } }\n", "deals"},
		{"version: 1\nrevenue: { amount_means: amount }\n", "amount_means"},
		{"version: 1\nrevenue: { currency: { rates: [{ form: USD }] } }\n", "rates"},
		{"version: 1\ncontact_properties: { fields: { plan: { typ: text } } }\n", "typ"},
	} {
		if said := v.says(t, c[0]); !strings.Contains(said, c[1]) {
			t.Errorf("%q: the schema says %q", c[0], said)
		}
	}
}

// The schema knows the keys that the compiler knows, everywhere.
func TestTheSchemaKnowsTheKeysOfTheCompiler(t *testing.T) {
	known := regexp.MustCompile(`unknown key "zzzz" in .*; known are (.*)$`)
	for _, c := range []struct {
		text string
		keys keys
	}{
		{"zzzz: 1\n", topKeys},
		{"vocabulary: [{lead: {zzzz: 1}}]\n", vocabularyKeys},
		{"sources: { portal: { zzzz: 1 } }\n", sourceKeys},
		{"sources: { hubspot: { ignore: [{ zzzz: 1 }] } }\n", markKeys},
		{"sources: { hubspot: { quarantine: [{ zzzz: 1 }] } }\n", markKeys},
		{"sources: { hubspot: { objects: { ticket: { zzzz: 1 } } } }\n", objectKeys},
		{"sources: { shop: { json: { zzzz: 1 } } }\n", jsonKeys},
		{"ids: [{ zzzz: 1 }]\n", recipeKeys},
		{"revenue: { zzzz: 1 }\n", revenueKeys},
		{"revenue: { properties: { zzzz: 1 } }\n", moneyKeys},
		{"revenue: { currency: { zzzz: 1 } }\n", currencyKeys},
		{"revenue: { currency: { rates: [{ zzzz: 1 }] } }\n", rateKeys},
		{"revenue: { amount_means: [{ zzzz: 1 }] }\n", meaningKeys},
		{"revenue: { expansion: { zzzz: 1 } }\n", expansionKeys},
		{"destinations: { meta: { customer_won: { zzzz: 1 } } }\n", lineKeys},
		{"destinations: { meta: { defaults: { zzzz: 1 } } }\n", defaultKeys},
		{"contact_properties: { zzzz: 1 }\n", contactKeys},
		{"contact_properties: { fields: { plan: { zzzz: 1 } } }\n", fieldKeys},
	} {
		text := "version: 1\n" + c.text
		if !strings.Contains(text, "vocabulary") {
			text += "vocabulary: [customer_won]\n"
		}
		_, problems := Compile(File{Name: "m.yaml", Text: []byte(text)})
		found := false
		for _, p := range problems {
			if m := known.FindStringSubmatch(p.Message); m != nil {
				found = true
				got, want := strings.Split(m[1], ", "), c.keys.names()
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("%s the compiler knows %v, the schema %v", c.text, got, want)
				}
			}
		}
		if !found {
			t.Errorf("%s the compiler says %s", c.text, lines(problems))
		}
	}
	for _, ks := range []keys{topKeys, vocabularyKeys, sourceKeys, markKeys, objectKeys, jsonKeys, recipeKeys, revenueKeys, moneyKeys, currencyKeys, rateKeys, meaningKeys, expansionKeys, lineKeys, contactKeys, fieldKeys} {
		for _, k := range ks {
			if k.about == "" {
				t.Errorf("%s has no description", k.name)
			}
		}
	}
}

// A validator knows as much of JSON Schema as ours uses, and stops at any other word.
type validator struct {
	root map[string]any
}

func newValidator(t *testing.T) validator {
	t.Helper()
	var v validator
	if err := json.Unmarshal(Schema(), &v.root); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v validator) fits(t *testing.T, name, text string) {
	t.Helper()
	if said := v.says(t, text); said != "" {
		t.Errorf("%s: %s", name, said)
	}
}

func (v validator) says(t *testing.T, text string) string {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return v.check(v.root, plainJSON(doc), "")
}

// plainJSON gives YAML the types of JSON; keys are texts.
func plainJSON(v any) any {
	switch t := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, v := range t {
			out[k] = plainJSON(v)
		}
		return out
	case map[any]any:
		out := map[string]any{}
		for k, v := range t {
			out[fmt.Sprint(k)] = plainJSON(v)
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i := range t {
			out[i] = plainJSON(t[i])
		}
		return out
	case string, bool, nil:
		return t
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	var out any
	json.Unmarshal(b, &out)
	return out
}

func (v validator) check(s map[string]any, x any, at string) string {
	for word, of := range s {
		said := ""
		switch word {
		case "description", "title", "$schema", "definitions", "properties", "additionalProperties", "patternProperties":
		case "$ref":
			said = v.check(v.root["definitions"].(map[string]any)[strings.TrimPrefix(of.(string), "#/definitions/")].(map[string]any), x, at)
		case "type":
			if !isType(of, x) {
				said = fmt.Sprintf("%s is a %T, not %v", at, x, of)
			}
		case "enum":
			if !slices.ContainsFunc(of.([]any), func(e any) bool { return reflect.DeepEqual(e, x) }) {
				said = fmt.Sprintf("%s is %v, not one of %v", at, x, of)
			}
		case "pattern":
			if text, is := x.(string); is && !regexp.MustCompile(of.(string)).MatchString(text) {
				said = fmt.Sprintf("%s is %q, not %s", at, text, of)
			}
		case "minLength":
			if text, is := x.(string); is && len(text) < int(of.(float64)) {
				said = at + " is too short"
			}
		case "maxLength":
			if text, is := x.(string); is && len(text) > int(of.(float64)) {
				said = at + " is too long"
			}
		case "minimum":
			if n, is := x.(float64); is && n < of.(float64) {
				said = at + " is too small"
			}
		case "maximum":
			if n, is := x.(float64); is && n > of.(float64) {
				said = at + " is too large"
			}
		case "minProperties", "maxProperties":
			if m, is := x.(map[string]any); is && len(m) != int(of.(float64)) {
				said = at + " has another number of keys"
			}
		case "required":
			for _, k := range of.([]any) {
				if m, is := x.(map[string]any); is && m[k.(string)] == nil {
					said = at + "." + k.(string) + " is missing"
				}
			}
		case "propertyNames":
			m, _ := x.(map[string]any)
			for k := range m {
				if said == "" {
					said = v.check(of.(map[string]any), k, at+"."+k)
				}
			}
		case "items":
			items, _ := x.([]any)
			for i := range items {
				if said == "" {
					said = v.check(of.(map[string]any), items[i], fmt.Sprintf("%s[%d]", at, i))
				}
			}
		case "allOf":
			for _, one := range of.([]any) {
				if said == "" {
					said = v.check(one.(map[string]any), x, at)
				}
			}
		case "anyOf":
			var all []string
			fits := false
			for _, one := range of.([]any) {
				w := v.check(one.(map[string]any), x, at)
				fits = fits || w == ""
				all = append(all, w)
			}
			if !fits {
				said = strings.Join(all, "; ")
			}
		default:
			said = "the test does not know " + word
		}
		if said != "" {
			return said
		}
	}
	m, _ := x.(map[string]any)
	for k, value := range m {
		of, is := under(s, k)
		switch t := of.(type) {
		case map[string]any:
			if said := v.check(t, value, at+"."+k); said != "" {
				return said
			}
		case bool:
			if is && !t {
				return at + "." + k + " is unknown"
			}
		}
	}
	return ""
}

// under is the schema of one key of an object.
func under(s map[string]any, key string) (any, bool) {
	if ps, ok := s["properties"].(map[string]any); ok && ps[key] != nil {
		return ps[key], true
	}
	if ps, ok := s["patternProperties"].(map[string]any); ok {
		for p, of := range ps {
			if regexp.MustCompile(p).MatchString(key) {
				return of, true
			}
		}
	}
	of, ok := s["additionalProperties"]
	return of, ok
}

func isType(of, x any) bool {
	names, many := of.([]any)
	if !many {
		names = []any{of}
	}
	is := ""
	switch t := x.(type) {
	case nil:
		is = "null"
	case string:
		is = "string"
	case bool:
		is = "boolean"
	case []any:
		is = "array"
	case map[string]any:
		is = "object"
	case float64:
		is = "number"
		if t == float64(int64(t)) && slices.Contains(names, any("integer")) {
			return true
		}
	}
	return slices.Contains(names, any(is))
}
