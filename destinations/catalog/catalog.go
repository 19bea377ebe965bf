// Package catalog lists the kinds of destinations there are.
package catalog

import (
	"tributary/destinations"
	"tributary/destinations/hubspot"
	"tributary/destinations/linkedin"
	"tributary/destinations/meta"
	"tributary/destinations/webhook"
)

// Kinds gives every kind, by name.
func Kinds() []destinations.Kind {
	return []destinations.Kind{
		hubspot.Kind(),
		linkedin.Kind(),
		meta.Kind(),
		webhook.Kind(),
	}
}

// Kind gives the kind of a name.
func Kind(name string) (destinations.Kind, bool) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, true
		}
	}
	return destinations.Kind{}, false
}

// Names gives the names of the kinds.
func Names() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	return names
}
