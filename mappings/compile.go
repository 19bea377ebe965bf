package mappings

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Compile reads mapping files into one mapping. All mistakes are reported at once, in
// the order of the text; with one that is no warning the mapping is nil. The same files
// give the same answer. Several files say together what one file could say.
func Compile(files ...File) (*Mapping, []Problem) {
	c := &compiler{m: &Mapping{
		version: version(files), names: builtInNames(),
		sections: map[string]*section{}, destinations: map[string]*destination{}, amountMeans: map[string]string{},
	}}
	tops := c.tops(files)
	c.vocabulary(tops)
	c.sources(tops)
	c.countedBy(tops)
	c.revenue(tops)
	c.destinations(tops)
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
	file    string // the one being read
	looked  int    // keys so far
	tooMany bool   // maxPairs was reported

	vocabularyAt map[string]place // of the names given in the text
	counted      map[string]pair  // lines of counted_by by name
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
		if given[f.Name] {
			c.mistake(place{file: f.Name}, "same_file", "", "the file is given twice")
			continue
		}
		given[f.Name] = true
		doc := c.read(f)
		if doc == nil {
			continue
		}
		if doc.Kind != yaml.MappingNode {
			c.mistake(c.place(doc), "wrong_type", "", "a mapping file must be a group of keys, not %s", kindOf(doc))
			continue
		}
		c.dropExtensions(doc)
		keys := c.fields(doc, "the mapping", "version", "vocabulary", "other_names", "sources", "counted_by", "revenue", "destinations")
		c.languageVersion(doc, keys)
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

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

const maxName = 64

// vocabulary reads the canonical names, the funnel's in order and the others.
func (c *compiler) vocabulary(tops []top) {
	c.vocabularyAt = make(map[string]place)
	var from *place
	for _, t := range tops {
		c.file = t.file
		p, ok := t.keys["vocabulary"]
		if !ok {
			continue
		}
		if from != nil {
			c.mistake(p.at, "second_vocabulary", "", "the vocabulary stands at %s already; its order must be said in one place", *from)
			continue
		}
		from = &p.at
		list := c.words(p.value, "vocabulary")
		if follow(p.value).Kind == yaml.SequenceNode && len(follow(p.value).Content) == 0 {
			c.mistake(c.place(p.value), "empty_vocabulary", "", "the vocabulary names nothing; list the canonical names in funnel order")
		}
		for _, n := range list {
			if word, ok := c.newName(n); ok {
				c.m.vocabulary = append(c.m.vocabulary, word)
				c.m.names[word] = name{rank: len(c.m.vocabulary), counts: countContact}
			}
		}
	}
	for _, t := range tops {
		c.file = t.file
		if p, ok := t.keys["other_names"]; ok {
			for _, n := range c.words(p.value, "other_names") {
				if word, ok := c.newName(n); ok {
					c.m.names[word] = name{browser: true}
				}
			}
		}
	}
	if from == nil && len(tops) > 0 {
		c.mistake(place{tops[0].file, 1, 1}, "no_vocabulary", "", "vocabulary is missing: list the canonical names in funnel order")
	}
}

// newName checks a name that the text brings in.
func (c *compiler) newName(n *yaml.Node) (string, bool) {
	word, at := strings.TrimSpace(n.Value), c.place(n)
	if _, builtIn := builtInNames()[word]; builtIn {
		c.mistake(at, "reserved_name", "", "%s always exists; leave it out", shown(word))
		return "", false
	}
	if before, twice := c.vocabularyAt[word]; twice {
		c.mistake(at, "duplicate_name", "", "%s is named at %s already", shown(word), before)
		return "", false
	}
	if len(word) > maxName || !snakeCase.MatchString(word) {
		c.mistake(at, "bad_name", inSnake(word), "%s is no canonical name: small letters, digits and single _ between them, a letter first, at most %d", shown(word), maxName)
		return "", false
	}
	c.vocabularyAt[word] = at
	return word, true
}

// known reads a canonical name that must exist.
func (c *compiler) known(n *yaml.Node, what string) (string, bool) {
	word, ok := c.word(n, what)
	if !ok {
		return "", false
	}
	if _, ok := c.m.names[word]; !ok {
		c.unknownName(c.place(follow(n)), word)
		return "", false
	}
	return word, true
}

func (c *compiler) unknownName(at place, word string) {
	c.mistake(at, "unknown_name", nearest(word, c.allNames()), "%s is not in the vocabulary", shown(word))
}

// countedBy reads which object's reports count a name. It runs after sources: what the
// default is depends on which tables yield the name.
func (c *compiler) countedBy(tops []top) {
	c.counted = make(map[string]pair)
	for _, s := range c.m.sections {
		for _, stages := range s.pipelines {
			for _, r := range stages {
				if n := c.m.names[r.name]; n.rank > 0 {
					n.counts = countDeal
					c.m.names[r.name] = n
				}
			}
		}
	}
	for _, t := range tops {
		c.file = t.file
		p, ok := t.keys["counted_by"]
		if !ok {
			continue
		}
		for _, line := range c.pairs(p.value, "counted_by", strings.TrimSpace) {
			c.countedLine(line)
		}
	}
}

func (c *compiler) countedLine(line pair) {
	word := strings.TrimSpace(line.key.Value)
	n, ok := c.m.names[word]
	if !ok {
		c.unknownName(line.at, word)
		return
	}
	if n.rank == 0 {
		c.mistake(line.at, "not_funnel", "", "%s is not a name of the funnel: it is sent each time and counted by nothing", shown(word))
		return
	}
	if before, twice := c.counted[word]; twice {
		c.mistake(line.at, "duplicate_key", "", "%s stands twice in counted_by; it is at %s already", shown(word), before.at)
		return
	}
	by, ok := c.word(line.value, "counted_by "+word)
	if !ok {
		return
	}
	choices := []string{string(countDeal), string(countContact), string(countAny)}
	if !slices.Contains(choices, by) {
		c.mistake(c.place(follow(line.value)), "unknown_choice", nearest(by, choices), "%s cannot count %s; choose deal, contact or any", shown(by), word)
		return
	}
	n.counts = counts(by)
	c.m.names[word] = n
	c.counted[word] = line
}

// bases are the values that a deal can have.
var bases = []string{"amount", "mrr", "arr", "acv", "tcv"}

// basis reads the name of a value, one of the choices; contract_value is another word
// for tcv.
func (c *compiler) basis(n *yaml.Node, what string, choices []string) (string, bool) {
	word, ok := c.word(n, what)
	if !ok {
		return "", false
	}
	return c.basisWord(c.place(follow(n)), word, what, choices)
}

func (c *compiler) basisWord(at place, word, what string, choices []string) (string, bool) {
	if word == "contract_value" {
		return "tcv", true
	}
	if !slices.Contains(choices, word) {
		c.mistake(at, "unknown_value", nearest(word, choices), "%s is no %s; choose one of %s", shown(word), what, strings.Join(choices, ", "))
		return "", false
	}
	return word, true
}

// otherwise stands for any billing period that has no line of its own, and none.
const otherwise = "otherwise"

// revenue reads what a bare amount means.
func (c *compiler) revenue(tops []top) {
	for _, t := range tops {
		c.file = t.file
		p, ok := t.keys["revenue"]
		if !ok {
			continue
		}
		means, ok := c.fields(p.value, "revenue", "amount_means")["amount_means"]
		if !ok {
			continue
		}
		if follow(means.value).Kind != yaml.MappingNode {
			c.amountMeans(otherwise, means.at, means.value)
			continue
		}
		for _, line := range c.pairs(means.value, "amount_means", fold) {
			c.amountMeans(line.key.Value, line.at, line.value)
		}
	}
}

func (c *compiler) amountMeans(period string, at place, n *yaml.Node) {
	basis, ok := c.basis(n, "meaning of an amount", bases[1:])
	if !ok {
		return
	}
	key := fold(period)
	if key == otherwise {
		key = ""
	}
	if _, twice := c.m.amountMeans[key]; twice {
		c.mistake(at, "duplicate_key", "", "%s stands twice in amount_means", shown(period))
		return
	}
	c.m.amountMeans[key] = basis
}
