package mappings

import (
	"maps"
	"slices"
	"strings"
)

// A Vendor is what one kind of destination lets a mapping say.
type Vendor struct {
	// Match lists the keys by which it finds people; none: a line cannot choose.
	Match []string
}

// CheckConfigured holds the mapping against the configuration: sources lists the
// configured sources, kinds the configured destinations' kinds by name, vendors what each
// known kind lets a mapping say. Keys that mean none of them are mistakes, and lines are
// held against their vendor.
func (m *Mapping) CheckConfigured(sources []string, kinds map[string]string, vendors map[string]Vendor) []Problem {
	ps := &problems{}
	for _, key := range m.Sections() {
		if !isWayIn(key) && !slices.Contains(sources, key) {
			ps.mistake(m.sections[key].at, "unknown_section", nearest(key, append(slices.Clone(waysIn), sources...)), "sources.%s is no way in and no configured source", key)
		}
	}
	names, known := slices.Sorted(maps.Keys(kinds)), slices.Sorted(maps.Keys(vendors))
	for _, key := range m.DestinationKeys() {
		d := m.destinations[key]
		kind, configured := kinds[key]
		if _, isKind := vendors[key]; !configured && isKind {
			kind = key
		} else if !configured {
			ps.mistake(d.at, "unknown_destination", nearest(key, append(slices.Clone(known), names...)), "destinations.%s is no kind of destination and no configured one", key)
			continue
		}
		if d.defaults != nil {
			checkLine(ps, key, kind, d.defaults, kinds, vendors[kind])
		}
		for _, name := range slices.Sorted(maps.Keys(d.lines)) {
			if kind != key {
				checkRoute(ps, kind, name, d.routes[name], d.places[name])
				checkProperties(ps, kind, d.lines[name])
			}
			checkLine(ps, key, kind, d.lines[name], kinds, vendors[kind])
		}
	}
	return ps.sorted(nil)
}

// checkLine holds what a line says itself against its vendor and the configured destinations.
func checkLine(ps *problems, key, kind string, l *line, kinds map[string]string, v Vendor) {
	for i, word := range l.route.Match {
		switch at := l.placeOf("match", i); {
		case l.inherits("match"):
		case len(v.Match) == 0:
			ps.mistake(at, "no_match_keys", "", "%s finds people in one way; match says nothing there", kind)
			return
		case !slices.Contains(v.Match, word):
			ps.mistake(at, "unknown_match_key", nearest(word, v.Match), "%s finds nobody by %s; it knows %s", kind, shown(word), strings.Join(v.Match, ", "))
		}
	}
	if l.inherits("accounts") {
		return
	}
	var mine []string
	for name, k := range kinds {
		if k == kind {
			mine = append(mine, name)
		}
	}
	slices.Sort(mine)
	for i, name := range l.route.Accounts {
		switch at := l.placeOf("accounts", i); {
		case kinds[key] != "" && key != kind:
			ps.mistake(at, "useless_accounts", "", "the lines of destinations.%s are for that one destination already", key)
			return
		case !slices.Contains(mine, name):
			ps.mistake(at, "unknown_account", nearest(name, mine), "%s is no configured destination of kind %s", shown(name), kind)
		}
	}
}
