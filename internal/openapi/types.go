package openapi

import (
	"encoding"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
)

// types reads schemas off Go types. Structs of answers become named schemas; the bodies that
// routes decode are written out where they stand.
type types struct {
	named map[string]Schema
	names map[reflect.Type]string
	err   error
}

func newTypes() *types { return &types{named: map[string]Schema{}, names: map[reflect.Type]string{}} }

var (
	timeType   = reflect.TypeFor[time.Time]()
	rawType    = reflect.TypeFor[json.RawMessage]()
	ownJSON    = reflect.TypeFor[json.Marshaler]()
	ownText    = reflect.TypeFor[encoding.TextMarshaler]()
	describing = reflect.TypeFor[Describer]()
)

// A Describer is a type that writes its JSON itself, and says what that looks like.
type Describer interface{ JSONSchema() map[string]any }

// of describes what encoding/json writes of a value's type.
func (t *types) of(v any) Schema {
	if v == nil {
		return Schema{}
	}
	return t.schema(reflect.TypeOf(v), false)
}

// decoded describes an object that is decoded into a value's type with no field unknown. needs
// are the fields that must be there.
func (t *types) decoded(v any, needs []string) Schema {
	s := t.schema(reflect.TypeOf(v), true)
	if len(needs) > 0 {
		s["required"] = needs
	}
	return s
}

// schema describes a type: as it is written, or as it is decoded.
func (t *types) schema(r reflect.Type, decoded bool) Schema {
	switch {
	case r == timeType:
		return Schema{"type": "string", "format": "date-time"}
	case r == rawType, r.Kind() == reflect.Interface:
		return Schema{}
	case r.Kind() == reflect.Pointer:
		return orNull(t.schema(r.Elem(), decoded))
	case r.Implements(describing):
		return reflect.New(r).Elem().Interface().(Describer).JSONSchema()
	case r.Implements(ownJSON):
		t.fail("%s writes its own JSON and has no JSONSchema", r)
		return Schema{}
	case r.Implements(ownText):
		return Schema{"type": "string"}
	}
	switch r.Kind() {
	case reflect.String:
		return Schema{"type": "string"}
	case reflect.Bool:
		return Schema{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Schema{"type": "integer"}
	case reflect.Float32, reflect.Float64:
		return Schema{"type": "number"}
	case reflect.Slice, reflect.Array:
		if r.Elem().Kind() == reflect.Uint8 {
			return Schema{"type": "string"}
		}
		return orNull(Schema{"type": "array", "items": t.schema(r.Elem(), decoded)})
	case reflect.Map:
		return orNull(Schema{"type": "object", "additionalProperties": t.schema(r.Elem(), decoded)})
	case reflect.Struct:
		if decoded || r.Name() == "" {
			return t.object(r, decoded)
		}
		return Ref(t.name(r))
	}
	t.fail("%s has no schema", r)
	return Schema{}
}

func (t *types) fail(format string, args ...any) {
	if t.err == nil {
		t.err = fmt.Errorf(format, args...)
	}
}

// name gives the name of a struct's schema, and describes it the first time.
func (t *types) name(r reflect.Type) string {
	if n, ok := t.names[r]; ok {
		return n
	}
	n := exported(r.Name())
	if i := strings.IndexByte(n, '['); i >= 0 {
		n = n[:i]
	}
	if t.named[n] != nil {
		n = exported(path.Base(r.PkgPath())) + n
	}
	t.names[r] = n
	t.named[n] = Schema{} // it may hold itself
	t.named[n] = t.object(r, false)
	return n
}

func exported(s string) string {
	r := []rune(s)
	r[0] = unicode.ToUpper(r[0])
	return string(r)
}

// object describes a struct field by field.
func (t *types) object(r reflect.Type, decoded bool) Schema {
	properties, required := Schema{}, []string{}
	t.fields(r, decoded, properties, &required)
	s := Schema{"type": "object", "properties": properties}
	if decoded {
		s["additionalProperties"] = false
		return s
	}
	if len(required) > 0 {
		slices.Sort(required)
		s["required"] = required
	}
	return s
}

func (t *types) fields(r reflect.Type, decoded bool, properties Schema, required *[]string) {
	for i := range r.NumField() {
		f := r.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" && options == "" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if f.Anonymous && name == "" {
			if in := f.Type; in.Kind() == reflect.Struct {
				t.fields(in, decoded, properties, required)
			}
			continue
		}
		if name == "" {
			name = f.Name
		}
		s := t.schema(f.Type, decoded)
		if strings.Contains(options, "string") {
			s = Schema{"type": "string"}
		}
		optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		if optional && !decoded {
			s = notNull(s)
		}
		if decoded {
			s = orNull(s)
		}
		properties[name] = s
		if optional { // also where it hides one of what is embedded
			*required = slices.DeleteFunc(*required, func(n string) bool { return n == name })
		}
		if !optional && !slices.Contains(*required, name) {
			*required = append(*required, name)
		}
	}
}

// orNull lets a value be null too.
func orNull(s Schema) Schema {
	switch kind := s["type"].(type) {
	case string:
		out := clone(s)
		out["type"] = []string{kind, "null"}
		return out
	case []string:
		return s
	}
	if len(s) == 0 {
		return s
	}
	if s["anyOf"] != nil {
		return s
	}
	return Schema{"anyOf": []Schema{s, {"type": "null"}}}
}

// notNull takes that back: what is left out where it is empty is never null.
func notNull(s Schema) Schema {
	if kinds, ok := s["type"].([]string); ok && len(kinds) == 2 && kinds[1] == "null" {
		out := clone(s)
		out["type"] = kinds[0]
		return out
	}
	if any, ok := s["anyOf"].([]Schema); ok && len(any) == 2 {
		return any[0]
	}
	return s
}

func clone(s Schema) Schema {
	out := make(Schema, len(s))
	for k, v := range s {
		out[k] = v
	}
	return out
}
