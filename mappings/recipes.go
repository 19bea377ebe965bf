package mappings

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// A recipe says of which parts ids are made, for events that happen from a time on.
type recipe struct {
	event  string // a canonical name, or "*"
	number int
	parts  []string
	from   time.Time
	at     place
}

// Numbers of recipes. 1 is built in; the warehouse keeps a number in one byte.
const (
	firstRecipe = 2
	lastRecipe  = 255
	maxParts    = 20
)

// recipeParts are the parts that an id can be made of, beside properties.<name>. Those
// of telling say which one of many something is about.
var (
	recipeParts = []string{"object", "object_id", "account", "stage", "pipeline", "event", "time", "day", "name", "source",
		"person", "company", "deal", "property", "value", "form", "page"}
	telling = []string{"object_id", "person", "company", "deal"}
)

// propertyPart begins a part that is one of the event's properties.
const propertyPart = "properties."

// ids reads the recipes of ids.
func (c *compiler) ids(tops []top) {
	numbers := make(map[int]recipe)
	for i, t := range tops {
		c.file = t.file
		if i == 0 {
			c.m.recipesAt = place{t.file, 1, 1}
		}
		p, ok := t.keys["ids"]
		if !ok {
			continue
		}
		c.m.recipesAt = p.at
		list := follow(p.value)
		if list.Kind != yaml.SequenceNode {
			c.mistake(c.place(list), "wrong_type", "", "ids must be a list of recipes, each with event, recipe, parts and from, not %s", kindOf(list))
			continue
		}
		for _, item := range list.Content {
			r, ok := c.recipe(item)
			if !ok {
				continue
			}
			if before, again := numbers[r.number]; again && !slices.Equal(before.parts, r.parts) {
				c.mistake(r.at, "recipe_twice", "", "recipe %d has other parts at %s; a number has the same parts wherever it stands", r.number, before.at)
				continue
			}
			numbers[r.number] = r
			if i := slices.IndexFunc(c.m.recipes[r.event], func(o recipe) bool { return o.from.Equal(r.from) }); i >= 0 {
				c.mistake(r.at, "recipe_twice", "", "%s has a recipe from that time at %s already", shown(r.event), c.m.recipes[r.event][i].at)
				continue
			}
			c.m.recipes[r.event] = append(c.m.recipes[r.event], r)
		}
	}
	for _, list := range c.m.recipes {
		slices.SortFunc(list, func(a, b recipe) int { return a.from.Compare(b.from) })
	}
}

func (c *compiler) recipe(item *yaml.Node) (recipe, bool) {
	before := len(c.list)
	r := recipe{at: c.place(item)}
	fields := c.fields(item, "a recipe", "event", "recipe", "parts", "from")
	if follow(item).Kind != yaml.MappingNode {
		return r, false
	}
	for _, key := range []string{"event", "recipe", "parts", "from"} {
		p, ok := fields[key]
		if !ok {
			c.mistake(c.place(item), "recipe_lacks", "", "the recipe has no %s: it needs event, recipe, parts and from", key)
			continue
		}
		switch key {
		case "event":
			if word, ok := c.word(p.value, "event"); ok && word == anyName {
				r.event = anyName
			} else if ok {
				r.event, _ = c.known(p.value, "event")
			}
		case "recipe":
			r.number = c.recipeNumber(p.value)
		case "parts":
			r.parts = c.recipeParts(p.value)
		case "from":
			r.from = c.recipeFrom(p.value)
		}
	}
	return r, len(c.list) == before
}

func (c *compiler) recipeNumber(n *yaml.Node) int {
	word, ok := c.word(n, "recipe")
	if !ok {
		return 0
	}
	number, err := strconv.Atoi(word)
	switch {
	case err == nil && number == 1:
		c.mistake(c.place(follow(n)), "bad_recipe", "", "recipe 1 is built in; number your own from %d", firstRecipe)
	case err != nil || number < firstRecipe || number > lastRecipe:
		c.mistake(c.place(follow(n)), "bad_recipe", "", "recipe must be a whole number from %d to %d, not %s", firstRecipe, lastRecipe, kindOf(follow(n)))
	}
	return number
}

func (c *compiler) recipeParts(n *yaml.Node) []string {
	before := len(c.list)
	var out []string
	tells := false
	for _, item := range c.words(n, "parts") {
		if len(out) > maxParts {
			break
		}
		part := strings.TrimSpace(item.Value)
		property, own := strings.CutPrefix(part, propertyPart)
		switch {
		case own && property == "", !own && !slices.Contains(recipeParts, part):
			c.mistake(c.place(item), "unknown_part", nearest(part, recipeParts), "%s is no part of an id; known are %s and properties.<name>", shown(part), strings.Join(recipeParts, ", "))
		case slices.Contains(out, part):
			c.mistake(c.place(item), "duplicate_part", "", "%s stands twice in the parts", shown(part))
		default:
			out = append(out, part)
			tells = tells || own || slices.Contains(telling, part)
		}
	}
	switch {
	case len(c.list) > before:
	case len(out) > maxParts:
		c.mistake(c.place(follow(n)), "too_large", "", "a recipe has at most %d parts", maxParts)
	case !tells:
		c.mistake(c.place(follow(n)), "parts_tell_nothing", "", "the parts tell no two records apart, so that many events would be one; add object_id, person or a property")
	}
	return out
}

func (c *compiler) recipeFrom(n *yaml.Node) time.Time {
	word, ok := c.word(n, "from")
	if !ok {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, word); err == nil {
			return t.UTC()
		}
	}
	c.mistake(c.place(follow(n)), "bad_time", "", "from must be a time with its zone such as 2027-01-01T00:00:00Z, or a date, not %s", kindOf(follow(n)))
	return time.Time{}
}

// recipeOf gives the recipe in force for a name at a time; nil is recipe 1. Of the lines
// for the name and for any the latest that had begun counts; of two that began together
// the name's own.
func (m *Mapping) recipeOf(name string, at time.Time) *recipe {
	own, every := inForce(m.recipes[name], at), inForce(m.recipes[anyName], at)
	if own == nil || every != nil && every.from.After(own.from) {
		return every
	}
	return own
}

func inForce(list []recipe, at time.Time) *recipe {
	for i := len(list) - 1; i >= 0; i-- {
		if !list[i].from.After(at) {
			return &list[i]
		}
	}
	return nil
}

// mint makes an id: the hex SHA-256 of the recipe's number and its parts, each with its
// length. False: the event lacks a part.
func (rec *recipe) mint(r *canonical.Report, e *canonical.Event) (canonical.EventID, bool) {
	parts := make([]string, 0, 2+len(rec.parts))
	parts = append(parts, "recipe", strconv.Itoa(rec.number))
	for _, name := range rec.parts {
		v := partOf(name, r, e)
		if v == "" {
			return "", false
		}
		parts = append(parts, v)
	}
	return canonical.MintID(parts...), true
}

func partOf(name string, r *canonical.Report, e *canonical.Event) string {
	switch name {
	case "object":
		return r.Object.Type
	case "object_id":
		if r.Object.ID != "" {
			return r.Object.Type + ":" + objectID(r.Object)
		}
	case "account":
		return cmp.Or(r.Object.Account, "hubspot")
	case "stage":
		return fold(e.RawStage)
	case "pipeline":
		return fold(r.Pipeline)
	case "event":
		return fold(r.Event)
	case "time":
		return canonical.FormatTime(e.OccurredAt)
	case "day":
		return e.OccurredAt.Format(time.DateOnly)
	case "name":
		return e.Name
	case "source":
		return e.Source
	case "person":
		if e.Node != 0 {
			return e.Node.String()
		}
	case "company":
		if e.Company.ID != "" {
			return objectID(canonical.Object{Account: r.Object.Account, ID: e.Company.ID})
		}
		return canonical.NormalDomain(e.Company.Domain)
	case "deal":
		id := r.Deal
		if r.Object.Type == "deal" {
			id = r.Object.ID
		}
		if id != "" {
			return objectID(canonical.Object{Account: r.Object.Account, ID: id})
		}
	case "property":
		return r.Property
	case "value":
		return r.Value
	case "form":
		if r.Touch != nil {
			return r.Touch.Form
		}
	case "page":
		if r.Touch != nil {
			return r.Touch.Page
		}
	default:
		return strings.TrimSpace(textOf(r.Properties[strings.TrimPrefix(name, propertyPart)]))
	}
	return ""
}

// CheckRecipes says whether the mapping may follow previous, the one that was live until
// now (nil: none was): the recipe of an event that happened before now may not change, or
// one fact would get a second id. A recipe whose from has passed must have been live, and
// one that was live must stay as it was, as long as there is its name.
func (m *Mapping) CheckRecipes(previous *Mapping, now time.Time) []Problem {
	ps := &problems{}
	var before map[string][]recipe
	if previous != nil {
		before = previous.recipes
	}
	for _, r := range begun(m.recipes, now) {
		if !slices.ContainsFunc(before[r.event], r.same) {
			ps.mistake(r.at, "recipe_in_the_past", "", "recipe %d for %s begins at %s, which is past, and was not live before: events that have an id would get a second one; choose a later from",
				r.number, shown(r.event), canonical.FormatTime(r.from))
		}
	}
	for _, r := range begun(before, now) {
		if _, known := m.names[r.event]; !known && r.event != anyName {
			continue // nothing has the name any more
		}
		if !slices.ContainsFunc(m.recipes[r.event], r.same) {
			ps.mistake(m.recipesAt, "recipe_taken_out", "", "recipe %d for %s has been in force since %s and may be neither changed nor taken out; to end it, add one with a later from",
				r.number, shown(r.event), canonical.FormatTime(r.from))
		}
	}
	return ps.sorted(nil)
}

// begun lists the recipes whose from is not later than now, in a fixed order.
func begun(recipes map[string][]recipe, now time.Time) []recipe {
	var out []recipe
	for _, list := range recipes {
		for _, r := range list {
			if !r.from.After(now) {
				out = append(out, r)
			}
		}
	}
	slices.SortFunc(out, func(a, b recipe) int { return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.event, b.event)) })
	return out
}

func (rec recipe) same(o recipe) bool {
	return rec.event == o.event && rec.number == o.number && rec.from.Equal(o.from) && slices.Equal(rec.parts, o.parts)
}
