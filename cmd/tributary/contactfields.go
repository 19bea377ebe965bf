package main

import (
	"errors"
	"reflect"
	"slices"

	"tributary/canonical"
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

// contactFields gives what a mapping declares of contacts, wherever its lines stand; the zero
// value where it declares nothing.
func contactFields(m *mappings.Mapping) canonical.ContactProperties {
	p, said := m.ContactProperties()
	if !said {
		return canonical.ContactProperties{}
	}
	p.Fields = slices.Clone(p.Fields)
	for i := range p.Fields {
		p.Fields[i].At = ""
	}
	return p
}

// contactAtStart says what of a mapping does not hold at once.
const contactAtStart = "contact_properties have changed since the start: prefix, source_from, fields and types are those of the start until the router is started again"

// contactNotCompared says what a comparison of mappings leaves out.
const contactNotCompared = "contact_properties differ, and are not compared: bodies are built with the prefix, source_from, fields and types that the router began with"

// waits is true where a mapping declares other contact properties than those that this process
// began with, and a destination writes them.
func (l *liveMapping) waits(m *mappings.Mapping) bool {
	return !reflect.DeepEqual(contactFields(m), l.contact) && l.r.writesContacts()
}

// writesContacts is true where a destination writes the contact properties of the mapping.
func (r *router) writesContacts() bool {
	for _, d := range r.cfg.Destinations {
		kind, ok := catalog.Kind(d.Kind)
		if !ok {
			continue
		}
		section := d.Settings
		adapter, _ := kind.New(settingsNode(&section))
		if _, writes := adapter.(destinations.Fielder); writes {
			return true
		}
	}
	return false
}

// waiting is an error where the live mapping waits for a start with some of what it says.
func (l *liveMapping) waiting() error {
	if said := l.now().AtStart; len(said) > 0 {
		return errors.New(said[0])
	}
	return nil
}
