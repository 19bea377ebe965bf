package mappings

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Compile reads mapping files into one mapping. All mistakes are reported at once, in
// the order of the text; with one that is no warning the mapping is nil. The same files
// give the same answer. Several files say together what one file could say; what they
// include must be among them (Read).
func Compile(files ...File) (*Mapping, []Problem) {
	c := &compiler{m: &Mapping{
		version: version(files), names: builtInNames(),
		sections: map[string]*section{}, destinations: map[string]*destination{},
		aliases: map[string]rule{}, recipes: map[string][]recipe{},
	}}
	tops := c.tops(files)
	c.vocabulary(tops)
	c.sources(tops)
	c.expandAliases()
	c.countedBy(tops)
	c.ids(tops)
	c.revenue(tops)
	c.destinations(tops)
	c.contactProperties(tops)
	if !Failed(c.list) {
		c.warnings()
	}
	found := c.sorted(files)
	if Failed(found) {
		return nil, found
	}
	return c.m, found
}

// A compiler fills one mapping.
type compiler struct {
	problems
	m       *Mapping
	file    string   // the one being read
	looked  int      // keys so far
	tooMany bool     // maxPairs was reported
	every   []string // all names, once one was looked for

	vocabularyAt map[string]place // of the names given in the text
	aliasList    []alias
	counted      map[string]pair // lines of counted_by by name
}

// A top is one file's top keys.
type top struct {
	file string
	keys map[string]pair
}

func version(files []File) string {
	h := sha256.New()
	for _, f := range files {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(f.Text)))
		h.Write(n[:])
		h.Write(f.Text)
		for _, name := range slices.Sorted(maps.Keys(f.Env)) { // what they hold is part of what the text says
			fmt.Fprintf(h, "\x00%s=%q", name, f.Env[name])
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))[:12]
}

// tops reads every file as far as its top keys and checks what each must have.
func (c *compiler) tops(files []File) []top {
	if len(files) == 0 || len(files) > maxFiles {
		c.mistake(place{}, "no_files", "", "a mapping needs between 1 and %d files", maxFiles)
		return nil
	}
	var out []top
	given := make(map[string]bool)
	for _, f := range files {
		c.file = f.Name
		if given[path.Clean(f.Name)] {
			c.mistake(place{file: f.Name}, "same_file", "", "the file is given twice")
			continue
		}
		given[path.Clean(f.Name)] = true
		doc := c.read(f)
		if doc == nil {
			continue
		}
		if doc.Kind != yaml.MappingNode {
			c.mistake(c.place(doc), "wrong_type", "", "a mapping file must be a group of keys, not %s", kindOf(doc))
			continue
		}
		c.dropExtensions(doc)
		c.envVariables(doc, f)
		keys := c.fields(doc, "the mapping", topKeys.names()...)
		c.languageVersion(doc, keys)
		if p, ok := keys["include"]; ok {
			c.includes(f.Name, p, files)
		}
		out = append(out, top{f.Name, keys})
	}
	return out
}

// dropExtensions leaves out top keys that begin with x-: places to keep anchors in.
func (c *compiler) dropExtensions(doc *yaml.Node) {
	var kept []*yaml.Node
	for i := 0; i+1 < len(doc.Content); i += 2 {
		if !strings.HasPrefix(doc.Content[i].Value, "x-") {
			kept = append(kept, doc.Content[i], doc.Content[i+1])
		}
	}
	doc.Content = kept
}

func (c *compiler) languageVersion(doc *yaml.Node, keys map[string]pair) {
	p, ok := keys["version"]
	if !ok {
		c.mistake(c.place(doc), "no_version", "", "the file does not say which version of the language it is written in; begin it with: version: 1")
		return
	}
	v, ok := c.word(p.value, "version")
	if ok && v != "1" {
		c.mistake(c.place(p.value), "unknown_version", `"1"`, "version %s of the language is not known here", shown(v))
	}
}
