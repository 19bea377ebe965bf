package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// restoreHubSpot puts back one line of the file; behind an @ stands which portal's it is.
func (s *Simulator) restoreHubSpot(kind string, value json.RawMessage) error {
	kind, number, _ := strings.Cut(kind, "@")
	n, err := strconv.Atoi(cmp.Or(number, "0"))
	if err != nil || n < 0 || n >= len(s.portals) {
		return fmt.Errorf("a line of portal %q, and there are %d", number, len(s.portals))
	}
	return s.portals[n].restore(kind, value)
}

// restore puts back one line of this portal's.
func (h *hubSpotServer) restore(kind string, value json.RawMessage) error {
	switch kind {
	case "record":
		r := new(record)
		if err := json.Unmarshal(value, r); err != nil {
			return err
		}
		if old := h.crm.records[reference{r.Type, r.ID}]; old != nil {
			h.crm.unindex(old)
		}
		h.crm.put(r)
		return nil
	case "link":
		var l linkLine
		if err := json.Unmarshal(value, &l); err != nil {
			return err
		}
		h.crm.link(reference{l.FromType, l.From}, reference{l.ToType, l.To}, l.Primary, l.Remove)
		return nil
	case "property":
		var p propertyLine
		if err := json.Unmarshal(value, &p); err != nil {
			return err
		}
		if h.crm.schema[p.Object] == nil {
			return fmt.Errorf("property of unknown type %q", p.Object)
		}
		h.crm.schema[p.Object][p.Property.Name] = p.Property
		if p.Removed {
			delete(h.crm.schema[p.Object], p.Property.Name)
		}
		return nil
	case "occurrence":
		var o occurrence
		if err := json.Unmarshal(value, &o); err != nil {
			return err
		}
		h.timeline.add(o)
		return nil
	case "hook":
		var e hookEvent
		if err := json.Unmarshal(value, &e); err != nil {
			return err
		}
		h.hooks.was(e)
		return nil
	case "uuid":
		var u uuidLine
		if err := json.Unmarshal(value, &u); err != nil {
			return err
		}
		h.timeline.keys[u.Key] = u.At
		return nil
	case "event_definition":
		d := new(eventDefinition)
		if err := json.Unmarshal(value, d); err != nil {
			return err
		}
		h.definitions[h.eventName(d.Name)] = d
		if d.Removed {
			delete(h.definitions, h.eventName(d.Name))
		}
		return nil
	}
	return h.restoreMore(kind, value)
}

func (h *hubSpotServer) restoreMore(kind string, value json.RawMessage) error {
	switch kind {
	case "group":
		var g groupLine
		if err := json.Unmarshal(value, &g); err != nil {
			return err
		}
		if h.crm.groups[g.Object] == nil {
			return fmt.Errorf("property group of unknown type %q", g.Object)
		}
		h.crm.groups[g.Object][g.Group.Name] = g.Group
		if g.Removed {
			delete(h.crm.groups[g.Object], g.Group.Name)
		}
		return nil
	case "blocked":
		var email string
		if err := json.Unmarshal(value, &email); err != nil {
			return err
		}
		h.blocked[email] = true
		return nil
	case "templates":
		var t templateLine
		if err := json.Unmarshal(value, &t); err != nil {
			return err
		}
		for _, app := range h.apps {
			if app.ID == t.App {
				app.Templates = t.Templates
			}
		}
		return nil
	}
	return fmt.Errorf("unknown kind %q", kind)
}
