package hubspot

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// values gives what items of one record have to say of it, by property, and in words what
// could not be said. Where several items set a field, the latest business time wins; the
// first touch is the earliest of all, the last the latest; counters only grow.
func (d destination) values(object string, items []destinations.Item) (map[string]string, []string) {
	w := &writer{d: d, object: object, values: map[string]string{}}
	items = byTime(items)
	var first, last, carried *canonical.Touch
	var active time.Time
	counts := map[string]int{}
	for _, it := range items {
		e, k := it.Event, it.Known
		w.own(it)
		f, l := touches(e, k)
		if f != nil && (first == nil || f.At.Before(first.At)) {
			first = f
		}
		if l != nil && (last == nil || !l.At.Before(last.At)) {
			last = l
		}
		if e.Touch != nil && e.Touch.Carried {
			carried = e.Touch
		}
		if at := destinations.HappenedAt(e); at.After(active) {
			active = at
		}
		for name, n := range k.Counts {
			counts[name] = max(counts[name], n)
		}
	}
	w.touched(first, last, d.sourceTouch(first, last, carried))
	if object != contacts {
		if last != nil && last.At.After(active) {
			active = last.At
		}
		w.field("last_activity_at", "datetime", active)
	}
	if len(counts) > 0 {
		for _, f := range counterFields {
			w.field(f.name, f.kind, strconv.Itoa(counts[countedNames[f.name]]))
		}
	}
	return w.values, w.left
}

// byTime puts items in the order in which they happened.
func byTime(items []destinations.Item) []destinations.Item {
	if len(items) < 2 {
		return items
	}
	items = slices.Clone(items)
	slices.SortStableFunc(items, order)
	return items
}

// A writer gathers the values of one record.
type writer struct {
	d      destination
	object string
	values map[string]string
	left   []string // what was left out, and why
}

// own takes what the event itself says.
func (w *writer) own(it destinations.Item) {
	e := it.Event
	if w.object == contacts {
		if !fromHubSpot(e) { // what came from HubSpot is not written back to it
			w.field("first_name", "text", unhashed(e.Contact.FirstName))
			w.field("last_name", "text", unhashed(e.Contact.LastName))
			w.field("phone", "text", unhashed(e.Contact.Phone))
			w.field("company", "text", e.Company.Name)
		}
		w.field("lead_score", "number", e.Properties["lead_score"])
		if stage := w.d.Lifecycle[e.Name]; stage != "" && !ownLifecycle(e) {
			w.put("lifecyclestage", "enumeration", nil, stage)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.d.Custom)) {
		f := w.d.Custom[name]
		if f.objectOf() == w.object {
			w.put(w.d.customProperty(name, f), cmp.Or(f.Type, "text"), f.Options, f.value(it, name))
		}
	}
}

// ownLifecycle is true for HubSpot's own report of a lifecycle stage: it stands there.
func ownLifecycle(e canonical.Event) bool {
	return fromHubSpot(e) && (e.Object.Type == "contact" || e.Object.Type == "company")
}

// touched takes where the person came from.
func (w *writer) touched(first, last, source *canonical.Touch) {
	if first != nil {
		w.field("first_touch_at", "datetime", first.At)
	}
	if last != nil {
		w.field("last_touch_at", "datetime", last.At)
	}
	for _, name := range slices.Sorted(maps.Keys(w.d.Custom)) {
		if f := w.d.Custom[name]; f.fromTouch() && f.objectOf() == w.object {
			t, of := last, strings.TrimPrefix(f.From, "last_touch.")
			if rest, is := strings.CutPrefix(f.From, "first_touch."); is {
				t, of = first, rest
			}
			w.put(w.d.customProperty(name, f), cmp.Or(f.Type, "text"), f.Options, ofTouch(t, of))
		}
	}
	if t := source; t != nil {
		w.field("source_platform", "text", t.Platform)
		w.field("source_campaign", "text", cmp.Or(t.Campaign, t.CampaignID))
		w.field("source_ad_set", "text", t.AdSet)
		w.field("source_ad", "text", t.Ad)
		w.field("utm_source", "text", t.Source)
		w.field("utm_medium", "text", t.Medium)
		w.field("utm_campaign", "text", t.Campaign)
	}
}

func (w *writer) field(name, kind string, v any) {
	w.put(w.d.property(w.object, name), kind, nil, v)
}

// put sets a property if there is a value and the account can take it. A property that the
// account is known not to have, or not to let be written, is passed over: Learn's finding says so.
func (w *writer) put(name, kind string, options []string, v any) {
	if at, isTime := v.(time.Time); name == "" || v == nil || v == "" || isTime && at.IsZero() {
		return
	}
	p := property{Type: kinds[kind], Options: options}
	if known, read := w.d.schema.of(w.object); read {
		found, there := known[name]
		if !there || found.closed() != "" {
			return
		}
		p = found
	}
	text, why := convert(v, p)
	switch {
	case why != "":
		w.left = append(w.left, name+" "+why)
	case text != "":
		w.values[name] = text
	}
}

// touches gives the person's first and last touch as they are known, the event's own among
// them. Only where nothing is known is it the event's own: beside what is known, an old event
// that is written late would set the last touch back to its own.
func touches(e canonical.Event, k canonical.Known) (first, last *canonical.Touch) {
	first, last = k.FirstTouch, k.LastTouch
	if t := e.Touch; t != nil && t.Kind != "" && !t.Carried && !t.At.IsZero() {
		if first == nil {
			first = t
		}
		if last == nil {
			last = t
		}
	}
	return first, last
}

// sourceTouch is the touch that says where the person came from: the one configured, or the
// other where that one says nothing (a direct visit), else the click that the event carries.
// Fields of two are never mixed.
func (d destination) sourceTouch(first, last, carried *canonical.Touch) *canonical.Touch {
	candidates := []*canonical.Touch{last, first, carried}
	if d.SourceFrom == firstTouch {
		candidates[0], candidates[1] = first, last
	}
	for _, t := range candidates {
		if t != nil && cmp.Or(t.Platform, t.Source, t.Medium, t.Campaign, t.CampaignID, t.AdSet, t.Ad) != "" {
			return t
		}
	}
	return nil
}
