package mappings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strconv"

	"tributary/canonical"
)

// Shape brings the JSON of a configured source into the form of POST /v1/events, which
// package wire reads: every field that the source's json section names stands in its
// place, and what no field took stands under properties. Receipts of every other way in,
// and of sources without such a section, are given back as they are. Only the body is
// another; Apply takes the receipt as it came.
//
// It is pure: the same receipt gives the same bytes.
func (m *Mapping) Shape(rc canonical.Receipt) (canonical.Receipt, *Quarantine) {
	s := m.shapeOf(rc.Source)
	if rc.Way != canonical.WayHook || s == nil {
		return rc, nil
	}
	body, err := decodeAny(rc.Body)
	if err != nil {
		return rc, nil // wire says what is wrong with it
	}
	values := make(map[string]any, len(s.fields))
	for i := range s.fields {
		g := &s.fields[i]
		v, err := g.value(body)
		if err != nil {
			return rc, &Quarantine{CodeRuleFailed, fmt.Sprintf("%s at %s could not be computed", g.name, g.at)}
		}
		if v != nil {
			values[g.name] = v
		}
	}
	for i := range s.fields {
		s.fields[i].take(body)
	}
	out, err := json.Marshal(assemble(values, body))
	if err != nil {
		return rc, &Quarantine{CodeRuleFailed, "the fields could not be put together"}
	}
	rc.Body = out
	return rc, nil
}

// Items cuts one body of a configured source into the elements that its json section names
// under each, their bytes exactly as they came. Without each the body is the one element. An
// error says in plain words why there is no such list; it holds nothing of the body.
func (m *Mapping) Items(source string, body []byte) ([]json.RawMessage, error) {
	s := m.shapeOf(source)
	if s == nil || !s.cuts {
		return []json.RawMessage{body}, nil
	}
	at := json.RawMessage(body)
	for _, st := range s.each {
		if st.index >= 0 {
			var list []json.RawMessage
			if json.Unmarshal(at, &list) != nil || st.index >= len(list) {
				return nil, fmt.Errorf("there is no element %d where %s expects one", st.index, s.at)
			}
			at = list[st.index]
			continue
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(at, &members) != nil || members[st.key] == nil {
			return nil, fmt.Errorf("there is no member %q where %s expects one", st.key, s.at)
		}
		at = members[st.key]
	}
	var items []json.RawMessage
	if err := json.Unmarshal(at, &items); err != nil || items == nil {
		return nil, fmt.Errorf("there is no list where %s expects one", s.at)
	}
	return items, nil
}

func (m *Mapping) shapeOf(source string) *shape {
	for _, key := range [...]string{source, sectionHook} {
		if s := m.sections[key]; s != nil && s.shape != nil {
			return s.shape
		}
	}
	return nil
}

// decodeAny reads one JSON value, numbers as they are written.
func decodeAny(b []byte) (any, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the value")
	}
	return v, nil
}

// value gives what a field is in a body; nil: nothing.
func (g *given) value(body any) (any, error) {
	switch {
	case g.path != nil:
		return at(body, g.path), nil
	case g.sum != nil:
		return g.sum.value(body)
	}
	return g.constant, nil
}

// take removes from a body what the field has taken, so that what remains is what has no
// name.
func (g *given) take(body any) {
	if g.path != nil {
		remove(body, g.path)
	}
	if g.sum != nil {
		for _, p := range g.sum.paths {
			remove(body, p)
		}
	}
}

// remove takes a member out of its object, and objects that are empty then. Elements of
// lists stay: their places mean something.
func remove(v any, path []step) {
	in, ok := v.(map[string]any)
	if len(path) == 0 || !ok && path[0].index < 0 {
		return
	}
	if list, ok := v.([]any); ok {
		if i := path[0].index; i >= 0 && i < len(list) {
			remove(list[i], path[1:])
		}
		return
	}
	key := path[0].key
	if len(path) == 1 {
		delete(in, key)
		return
	}
	remove(in[key], path[1:])
	if inner, ok := in[key].(map[string]any); ok && len(inner) == 0 {
		delete(in, key)
	}
}

// assemble makes the body of POST /v1/events out of the fields and what is left.
func assemble(values map[string]any, rest any) map[string]any {
	out := make(map[string]any)
	in := func(object string) map[string]any {
		if object == "" {
			return out
		}
		o, ok := out[object].(map[string]any)
		if !ok {
			o = make(map[string]any)
			out[object] = o
		}
		return o
	}
	kept := in("properties")
	switch rest := rest.(type) {
	case map[string]any:
		maps.Copy(kept, rest)
	default:
		kept["body"] = rest
	}
	for name, v := range values {
		if field, known := shapeFields[name]; known {
			if field.into[1] != "" {
				in(field.into[0])[field.into[1]] = v
			}
			continue
		}
		kept[name[len(propertyPart):]] = v
	}
	kind := textOf(values["kind"])
	if kind == "" && values["stage"] != nil {
		if kind = "lifecycle"; values["deal_id"] != nil {
			kind = "deal_stage"
		}
	}
	if stage := values["stage"]; stage != nil {
		switch {
		case kind == "deal_stage":
			in("deal")["stage"] = stage
		case kind == "lead_status":
			in("contact")["lead_status"] = stage
		case kind == "lifecycle" && (textOf(values["object_type"]) == "company" || isOnlyCompany(values)):
			in("company")["lifecycle_stage"] = stage
		case kind == "lifecycle":
			in("contact")["lifecycle_stage"] = stage
		default:
			kept["stage"] = stage
		}
	}
	if kind != "" {
		in("shape")["kind"] = kind
	}
	when(out, in, values["occurred_at"], values["observed_at"])
	return out
}

func isOnlyCompany(values map[string]any) bool {
	return values["company_id"] != nil && values["contact_id"] == nil && values["email"] == nil
}

// when sets the times: of two the one of the change is changed_at. One of reporting alone
// says only that.
func when(out map[string]any, in func(string) map[string]any, occurred, observed any) {
	switch {
	case occurred != nil && observed != nil:
		out["changed_at"], out["occurred_at"] = occurred, observed
	case occurred != nil:
		out["occurred_at"] = occurred
	case observed != nil:
		out["occurred_at"] = observed
		in("shape")["reported"] = true
	}
}

// textOf writes a scalar as text; "" for nothing, a list or an object.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// number writes a computed number without an exponent.
func number(f float64) json.Number { return json.Number(strconv.FormatFloat(f, 'f', -1, 64)) }
