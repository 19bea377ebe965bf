package mappings

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Read gives the files of a mapping: those at the paths and all that they include, each once,
// a file before those it includes, with the environment variables that they name. read reads a file and
// lookup a variable; both are asked and nothing else. An error is that of a file at one of the
// paths; an included one that cannot be read is left out, and Compile says where it is named.
func Read(paths []string, read func(path string) ([]byte, error), lookup func(name string) (string, bool)) ([]File, error) {
	var files []File
	seen := make(map[string]bool)
	var add func(name string, included bool) error
	add = func(name string, included bool) error {
		if included && (seen[path.Clean(name)] || len(files) > maxFiles) {
			return nil
		}
		seen[path.Clean(name)] = true
		text, err := read(name)
		if err != nil {
			return err
		}
		files = append(files, File{Name: name, Text: text, Env: variablesOf(text, lookup)})
		for _, inc := range includesOf(text) {
			if at, ok := includedPath(name, inc); ok {
				add(at, true) // an error is Compile's to tell
			}
		}
		return nil
	}
	for _, p := range paths {
		if err := add(p, false); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Included lists the paths of all that files include, whether or not there is something to read.
func Included(files []File) []string {
	var out []string
	for _, f := range files {
		for _, inc := range includesOf(f.Text) {
			if at, ok := includedPath(f.Name, inc); ok {
				out = append(out, at)
			}
		}
	}
	return out
}

// includesOf reads what a text includes, as far as it can be read.
func includesOf(text []byte) []string {
	var doc yaml.Node
	if len(text) > maxFileBytes || yaml.Unmarshal(text, &doc) != nil || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil
	}
	var names []string
	for i, top := 0, doc.Content[0].Content; i+1 < len(top); i += 2 {
		if top[i].Value != "include" {
			continue
		}
		for _, n := range follow(top[i+1]).Content {
			if n = follow(n); n.Kind == yaml.ScalarNode && len(names) <= maxFiles {
				names = append(names, n.Value)
			}
		}
	}
	return names
}

// includedPath is the path of a file that is named from another one.
func includedPath(from, name string) (string, bool) {
	if name = strings.TrimSpace(name); name == "" || path.IsAbs(name) || strings.Contains(name, "://") || strings.ContainsAny(name, "*?[\\") {
		return "", false
	}
	return path.Join(path.Dir(from), name), true
}

// includes checks that what a file includes was read.
func (c *compiler) includes(from string, p pair, given []File) {
	for _, n := range c.words(p.value, "include") {
		at, ok := includedPath(from, n.Value)
		switch {
		case !ok:
			c.mistake(c.place(n), "bad_include", "", "%s is no file to include: write its path from this file, without * or a scheme", shown(n.Value))
		case at == path.Clean(from):
			c.mistake(c.place(n), "bad_include", "", "the file includes itself")
		case !slices.ContainsFunc(given, func(f File) bool { return path.Clean(f.Name) == at }):
			c.mistake(c.place(n), "no_such_file", "", "%s cannot be read", shown(at))
		}
	}
}

var (
	envVariable = regexp.MustCompile(`\$\{env:([^}]*)\}`)
	variableID  = regexp.MustCompile(`^[A-Z][A-Z0-9_]*_ID$`)
	idShape     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$`)
)

// variablesOf looks up the variables that a text names. Only those that can be ids are looked up.
func variablesOf(text []byte, lookup func(string) (string, bool)) map[string]string {
	var out map[string]string
	for _, m := range envVariable.FindAllSubmatch(text, -1) {
		name := string(m[1])
		if !variableID.MatchString(name) || lookup == nil {
			continue
		}
		if v, ok := lookup(name); ok {
			if out == nil {
				out = make(map[string]string)
			}
			out[name] = v
		}
	}
	return out
}

// envVariables puts environment variables in their places: whole keys under sources, where ids
// of pipelines, stages, object types and labels stand. Anywhere else one is a mistake, and so a
// mapping means the same everywhere but for these ids.
func (c *compiler) envVariables(doc *yaml.Node, f File) {
	seen := make(map[*yaml.Node]bool)
	var walk func(n *yaml.Node, depth int, sources, key bool)
	walk = func(n *yaml.Node, depth int, sources, key bool) {
		if n.Kind == yaml.AliasNode && n.Alias != nil {
			n = n.Alias
		}
		if seen[n] && !key {
			return
		}
		seen[n] = true
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				in := sources || depth == 0 && n.Content[i].Value == "sources"
				if k := follow(n.Content[i]); k.Kind == yaml.ScalarNode { // no other key means anything
					walk(k, depth+1, sources && depth >= 2, true)
				}
				walk(n.Content[i+1], depth+1, in, false)
			}
		case yaml.SequenceNode:
			for _, item := range n.Content {
				walk(item, depth+1, false, false)
			}
		case yaml.ScalarNode:
			if strings.Contains(n.Value, "${env:") {
				c.envVariable(n, f, sources && key)
			}
		}
	}
	walk(doc, 0, false, false)
}

func (c *compiler) envVariable(n *yaml.Node, f File, mayStand bool) {
	at, m := c.place(n), envVariable.FindStringSubmatch(n.Value)
	switch {
	case !mayStand || m == nil:
		c.mistake(at, "bad_variable", "", "a variable can only be a whole id on the left of a line under sources, such as ${env:EMEA_PIPELINE_ID}")
	case m[0] != strings.TrimSpace(n.Value):
		c.mistake(at, "bad_variable", "", "a variable must be the whole id, nothing before and nothing behind it")
	case !variableID.MatchString(m[1]):
		c.mistake(at, "bad_variable", "", "%s is no variable for an id: capitals, digits and _, and _ID at the end", shown(m[1]))
	default:
		v, ok := f.Env[m[1]]
		if !ok || strings.TrimSpace(v) == "" {
			c.mistake(at, "no_variable", "", "the environment variable %s is not set", m[1])
			return
		}
		if v = strings.TrimSpace(v); !idShape.MatchString(v) {
			c.mistake(at, "bad_variable", "", "the environment variable %s does not hold an id: letters, digits, _ . : and -", m[1])
			return
		}
		n.Value, n.Tag, n.Style = v, "!!str", 0
	}
}
