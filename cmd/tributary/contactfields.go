package main

import (
	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/internal/config"
	"tributary/mappings"
)

// withFields lets a destination write the contact properties that the mapping declares, where
// it declares some. twice says which settings of the destination say the same.
func withFields(d destinations.Destination, m *mappings.Mapping) (with destinations.Destination, twice []string) {
	f, ok := d.(destinations.Fielder)
	if !ok || m == nil {
		return d, nil
	}
	p, said := m.ContactProperties()
	if !said {
		return d, nil
	}
	return f.WithFields(p)
}

// contactFieldsTwice finds what the mapping and a destination's settings both say of contacts.
func contactFieldsTwice(cfg config.Config, m *mappings.Mapping) []mappings.Problem {
	var out []mappings.Problem
	for _, name := range sortedKeys(cfg.Destinations) {
		kind, ok := catalog.Kind(cfg.Destinations[name].Kind)
		if !ok {
			continue
		}
		section := cfg.Destinations[name].Settings
		d, problems := kind.New(settingsNode(&section))
		if len(problems) > 0 { // config.Load says so
			continue
		}
		_, twice := withFields(d, m)
		for _, words := range twice {
			out = append(out, m.AtContactProperties("destinations."+name+"."+words))
		}
	}
	return out
}
