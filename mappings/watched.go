package mappings

import (
	"slices"
	"strings"
)

// WatchedProperties lists the properties of a type of CRM object whose changes can become
// events, sorted: its stages, and what the mapping has lines for.
func (m *Mapping) WatchedProperties(objectType string) []string {
	var out []string
	switch objectType {
	case "contact":
		out = []string{"hs_lead_status", "lifecyclestage"}
	case "company":
		out = []string{"lifecyclestage"}
	case "deal":
		out = []string{"dealstage"}
	}
	for _, key := range sortedKeys(m.sections) {
		for property := range m.sections[key].properties {
			object, name, both := strings.Cut(property, ".")
			switch {
			case !both:
				out = append(out, property)
			case object == objectType:
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
