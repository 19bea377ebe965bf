package destinations

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// A Section is a destination's own part of the configuration while it is read and
// checked. It gathers every mistake with its place.
type Section struct {
	node     *yaml.Node
	at       map[string]*yaml.Node // value nodes by path: "rules.mql"
	problems []Problem
}

// Decode reads a section strictly over what settings, a pointer to a struct with yaml
// tags, already holds: unknown keys, repeated keys and wrong types are problems, a null
// leaves the default. Fields may be text, bool, whole number, float64, time.Duration,
// pointers to those, structs, lists and maps of them.
func Decode(section *yaml.Node, settings any) *Section {
	s := &Section{node: resolve(section), at: map[string]*yaml.Node{}}
	if s.node == nil || isNull(s.node) {
		return s
	}
	s.read(s.node, reflect.ValueOf(settings).Elem(), "")
	return s
}

// Given says whether a setting stands in the section; nested ones are "rules.mql".
func (s *Section) Given(path string) bool { return s.at[path] != nil }

// Problem notes a mistake at a setting, or at the whole section where it is not given.
func (s *Section) Problem(path, format string, args ...any) {
	n := s.at[path]
	if n == nil {
		n = s.node
	}
	s.note(n, format, args...)
}

// Require notes a problem if a setting is not given or empty.
func (s *Section) Require(path, what string) {
	if n := s.at[path]; n == nil || n.Kind == yaml.ScalarNode && strings.TrimSpace(n.Value) == "" {
		s.Problem(path, "%s is missing: %s", path, what)
	}
}

// Within notes a problem if a number or duration lies outside its limits.
func Within[T int | int64 | float64 | time.Duration](s *Section, path string, v, low, high T) {
	if !(v >= low && v <= high) { // nor is NaN
		s.Problem(path, "%s is %v; it must lie between %v and %v", path, v, low, high)
	}
}

// OneOf notes a problem if a value is none of those known.
func (s *Section) OneOf(path, v string, known ...string) {
	if !slices.Contains(known, v) {
		s.Problem(path, "%s is %q; it must be one of %s%s", path, v, strings.Join(known, ", "), didYouMean(v, known))
	}
}

// Problems gives every mistake noted, in the order of the file.
func (s *Section) Problems() []Problem {
	slices.SortStableFunc(s.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return s.problems
}

// Place notes a mistake that another reader found, at its own place, or at a setting
// where it has none.
func (s *Section) Place(p Problem, path string) {
	if p.Line == 0 {
		s.Problem(path, "%s", p.Message)
		return
	}
	s.problems = append(s.problems, p)
}

func (s *Section) note(n *yaml.Node, format string, args ...any) {
	p := Problem{Message: fmt.Sprintf(format, args...)}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	s.problems = append(s.problems, p)
}

func (s *Section) read(n *yaml.Node, v reflect.Value, path string) {
	n = resolve(n)
	if path != "" {
		s.at[path] = n
	}
	if isNull(n) {
		return
	}
	if v.Type() == nodeType { // to be read by whoever knows it
		v.Set(reflect.ValueOf(*n))
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		s.readStruct(n, v, path)
	case reflect.Map:
		s.readMap(n, v, path)
	case reflect.Slice:
		s.readList(n, v, path)
	default:
		s.readScalar(n, v, path)
	}
}

func (s *Section) readStruct(n *yaml.Node, v reflect.Value, path string) {
	fields := map[string]reflect.Value{}
	var known []string
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		fields[name] = v.Field(i)
		known = append(known, name)
	}
	s.eachKey(n, path, func(key, value *yaml.Node) {
		field, ok := fields[key.Value]
		if !ok {
			s.note(key, "unknown setting %q%s", key.Value, didYouMean(key.Value, known))
			return
		}
		s.read(value, field, join(path, key.Value))
	})
}

func (s *Section) readMap(n *yaml.Node, v reflect.Value, path string) {
	v.Set(reflect.MakeMap(v.Type()))
	s.eachKey(n, path, func(key, value *yaml.Node) {
		e := reflect.New(v.Type().Elem()).Elem()
		s.read(value, e, join(path, key.Value))
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), e)
	})
}

func (s *Section) readList(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		s.note(n, "%s must be a list", named(path))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		s.read(c, list.Index(i), join(path, strconv.Itoa(i)))
	}
	v.Set(list)
}

// eachKey calls f for each key of a mapping once.
func (s *Section) eachKey(n *yaml.Node, path string, f func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		s.note(n, "%s must be a mapping of keys to values", named(path))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolve(n.Content[i])
		switch {
		case key.Kind != yaml.ScalarNode:
			s.note(key, "%s has a key that is no plain text", named(path))
		case seen[key.Value]:
			s.note(key, "%q stands here twice", key.Value)
		default:
			seen[key.Value] = true
			f(key, n.Content[i+1])
		}
	}
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	nodeType     = reflect.TypeFor[yaml.Node]()
)

func (s *Section) readScalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		s.note(n, "%s must be %s", named(path), wanted(v))
		return
	}
	wrong := func() { s.note(n, "%s is %q; it must be %s", named(path), n.Value, wanted(v)) }
	switch {
	case v.Type() == durationType:
		d, err := time.ParseDuration(n.Value)
		if err != nil {
			wrong()
			return
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.String:
		if n.Tag == "!!bool" {
			wrong()
			return
		}
		v.SetString(n.Value)
	case v.Kind() == reflect.Bool:
		var b bool
		if n.Tag != "!!bool" || n.Decode(&b) != nil {
			wrong()
			return
		}
		v.SetBool(b)
	case v.CanInt():
		i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
		if err != nil || n.Tag != "!!int" {
			wrong()
			return
		}
		v.SetInt(i)
	case v.CanFloat():
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || n.Tag != "!!int" && n.Tag != "!!float" {
			wrong()
			return
		}
		v.SetFloat(f)
	default:
		panic(fmt.Sprintf("destinations.Decode cannot fill a %s", v.Type())) // a mistake in the adapter
	}
}

func wanted(v reflect.Value) string {
	switch {
	case v.Type() == durationType:
		return "a duration such as 5s or 2m"
	case v.Kind() == reflect.Bool:
		return "true or false"
	case v.CanInt():
		return "a whole number"
	case v.CanFloat():
		return "a number"
	}
	return "text"
}

func resolve(n *yaml.Node) *yaml.Node {
	for n != nil {
		switch {
		case n.Kind == yaml.DocumentNode && len(n.Content) == 1:
			n = n.Content[0]
		case n.Kind == yaml.AliasNode:
			n = n.Alias
		default:
			return n
		}
	}
	return nil
}

func isNull(n *yaml.Node) bool {
	return n.Kind == 0 || n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func named(path string) string {
	if path == "" {
		return "the section"
	}
	return path
}
