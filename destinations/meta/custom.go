package meta

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// A field is one key of custom_data.
type field struct {
	name  string
	value any
}

// A custom is the custom_data of one event: what was put first stays.
type custom struct {
	fields []field
	room   [12]field
}

func (c *custom) put(name string, v any) {
	if v == nil || slices.ContainsFunc(c.fields, func(f field) bool { return f.name == name }) {
		return
	}
	c.fields = append(c.fields, field{name, v})
}

// fill gathers custom_data: the value and the marks of CRM events first, then what the
// mapping adds, then what the event itself says of contents.
func (d *destination) fill(c *custom, e *canonical.Event, route *canonical.Route, value *destinations.Value) {
	c.fields = c.room[:0]
	if value != nil {
		c.put("value", value.Amount)
		c.put("currency", value.Currency)
	}
	marked := crmMarked(e)
	if marked {
		if s, _ := e.Properties["lead_event_source"].(string); strings.TrimSpace(s) != "" {
			c.put("lead_event_source", s)
		}
	}
	crm := fromCRM(e)
	if crm || marked { // without these two, conversion leads are not registered
		c.put("event_source", "crm")
		c.put("lead_event_source", d.LeadEventSource)
	}
	for name, v := range route.Properties {
		c.put(name, v)
	}
	for _, name := range d.CustomData {
		if v := scalar(e.Properties[name]); v != nil {
			c.put(name, v)
		}
	}
	if !crm && len(e.Properties) > 0 { // a CRM's properties of these names mean something else
		for _, k := range contentKeys {
			if len(k.events) == 0 || slices.Contains(k.events, route.Event) {
				c.put(k.name, k.read(e.Properties[k.name]))
			}
		}
	}
	slices.SortFunc(c.fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
}

func (c *custom) write(b []byte) ([]byte, error) {
	var err error
	open := byte('{')
	for _, f := range c.fields {
		b = append(b, open)
		open = ','
		b = append(destinations.AppendText(b, f.name), ':')
		if b, err = appendAny(b, f.value); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendAny(b []byte, v any) ([]byte, error) {
	switch t := v.(type) {
	case string:
		return destinations.AppendText(b, t), nil
	case bool:
		return strconv.AppendBool(b, t), nil
	case canonical.Money:
		return t.Append(b), nil
	}
	text, err := destinations.JSON(v)
	return append(b, text...), err
}

// contentKeys are the keys of custom_data that an event may bring itself (meta.md §3.1), each
// with the events it belongs to where the name alone says too little.
var contentKeys = []struct {
	name   string
	events []string
	read   func(any) any
}{
	{"content_category", nil, text},
	{"content_ids", nil, texts},
	{"content_name", nil, text},
	{"content_type", nil, text},
	{"contents", nil, contents},
	{"delivery_category", nil, deliveryCategory},
	{"item_number", nil, text},
	{"net_revenue", nil, amount},
	{"num_items", []string{"InitiateCheckout", "Purchase"}, amount},
	{"order_id", nil, text},
	{"predicted_ltv", nil, amount},
	{"product_catalog_id", nil, text},
	{"search_string", []string{"Search"}, text},
	{"status", []string{"CompleteRegistration"}, scalar},
	{"store_data", nil, storeData},
}

// scalar gives a text without personal data, a number or a truth value; nil for the rest.
func scalar(v any) any {
	switch t := v.(type) {
	case bool:
		return t
	case string:
		return text(t)
	}
	if s, ok := plainNumber(v); ok {
		return json.Number(s)
	}
	return nil
}

// text gives a text, or a number as text. One that holds an e-mail address is left out:
// custom_data must not name people.
func text(v any) any {
	s, ok := v.(string)
	if !ok {
		s, _ = plainNumber(v)
	}
	s = destinations.Clip(destinations.Text(s), 500)
	if s == "" || destinations.HoldsAddress(s) {
		return nil
	}
	return s
}

// amount gives a number that is not negative, from a number or a text that is one.
func amount(v any) any {
	if s, ok := v.(string); ok {
		v = json.Number(strings.TrimSpace(s))
	}
	s, ok := plainNumber(v)
	if !ok || s[0] == '-' {
		return nil
	}
	return json.Number(s)
}

// texts gives a list of texts, also of one.
func texts(v any) any {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []string
	for _, item := range list[:min(len(list), 100)] {
		if s, ok := text(item).(string); ok {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// contents gives a list of objects with the keys that Meta knows and plain values.
func contents(v any) any {
	list, _ := v.([]any)
	var out []map[string]any
	for _, item := range list[:min(len(list), 100)] {
		given, _ := item.(map[string]any)
		object := map[string]any{}
		for _, k := range [...]string{"id", "title", "description", "brand", "category"} {
			if s := text(given[k]); s != nil {
				object[k] = s
			}
		}
		for _, k := range [...]string{"quantity", "item_price"} {
			if n := amount(given[k]); n != nil {
				object[k] = n
			}
		}
		if c := deliveryCategory(given["delivery_category"]); c != nil {
			object["delivery_category"] = c
		}
		if object["id"] != nil {
			out = append(out, object)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func deliveryCategory(v any) any {
	switch v {
	case "in_store", "curbside", "home_delivery":
		return v
	}
	return nil
}

func storeData(v any) any {
	given, _ := v.(map[string]any)
	object := map[string]any{}
	for _, k := range [...]string{"store_page_id", "brand_page_id", "store_code"} {
		if s := text(given[k]); s != nil {
			object[k] = s
		}
	}
	if len(object) == 0 {
		return nil
	}
	return object
}

// plainNumber gives a number without exponent, the same whether it came from a receipt or
// from the log. False where it is none, is not finite, or is beyond what the log keeps exactly.
func plainNumber(v any) (string, bool) {
	var f float64
	switch t := v.(type) {
	case float64:
		f = t
	case json.Number:
		var err error
		if f, err = t.Float64(); err != nil {
			return "", false
		}
	case int:
		f = float64(t)
	default:
		return "", false
	}
	if !(f > -1<<53 && f < 1<<53) {
		return "", false
	}
	return strconv.FormatFloat(f, 'f', -1, 64), true
}
