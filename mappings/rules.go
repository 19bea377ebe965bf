package mappings

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// A Rule is one line under sources that gives reports a name, or a mark: what Event.Rule
// points at.
type Rule struct {
	At      string // file:line
	Section string
	Table   string // lifecycle, deals Renewals, events, ignore, …
	Raw     string // what the source says, in small letters; the condition's reason for ignore and quarantine
	Name    string // the canonical name; "" for ignore and quarantine
	When    string // the condition of ignore and quarantine
}

// Key names the rule whatever line it stands on, so that it is known again in another version of
// the text.
func (r Rule) Key() string {
	return strings.Join([]string{r.Section, r.Table, r.Raw, r.Name, r.When}, "\x00")
}

// Rules lists every rule of the text by section and in the order of its lines. Aliases of names
// are none.
func (m *Mapping) Rules() []Rule {
	var out []Rule
	for _, key := range m.Sections() {
		s := m.sections[key]
		var list []Rule
		var places []place
		add := func(table, raw string, r rule) {
			if r.name == "" || r.alias {
				return
			}
			list, places = append(list, Rule{At: r.at, Section: key, Table: table, Raw: raw, Name: r.name}), append(places, r.from)
		}
		all := func(table string, of map[string]rule) {
			for _, raw := range slices.Sorted(maps.Keys(of)) {
				add(table, raw, of[raw])
			}
		}
		all("lifecycle", s.lifecycle)
		all("company_lifecycle", s.company)
		all("lead_status", s.leadStatus)
		for _, pipeline := range slices.Sorted(maps.Keys(s.pipelines)) {
			all("deals "+pipeline, s.pipelines[pipeline])
		}
		for _, property := range slices.Sorted(maps.Keys(s.properties)) {
			add("properties", property, s.properties[property].any)
			all("properties "+property, s.properties[property].values)
		}
		for _, object := range slices.Sorted(maps.Keys(s.objects)) {
			add("objects "+object, "created", s.objects[object].created)
			all("objects "+object, s.objects[object].stages)
		}
		all("associations", s.associations)
		all("events", s.events)
		order := make([]int, len(list))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(x, y int) int {
			a, b := places[x], places[y]
			return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line), cmp.Compare(a.col, b.col))
		})
		for _, i := range order {
			out = append(out, list[i])
		}
		for _, r := range s.ignore {
			out = append(out, Rule{At: r.at, Section: key, Table: "ignore", Raw: r.reason, When: r.says})
		}
		for _, r := range s.quarantine {
			out = append(out, Rule{At: r.at, Section: key, Table: "quarantine", Raw: r.reason, When: r.says})
		}
	}
	return out
}

// Recycle is what becomes of a step back to a name: "" it is not sent, or one of the canonical
// Recycle words.
func (m *Mapping) Recycle(name string) string { return m.names[name].recycle }

// AlwaysExists is true for a name that events have without any line of a mapping.
func AlwaysExists(name string) bool {
	_, is := builtInNames()[name]
	return is && name != StageChanged && name != CustomEvent
}
