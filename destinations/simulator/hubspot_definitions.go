package simulator

import (
	"cmp"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// An eventDefinition is a type of custom events.
type eventDefinition struct {
	Name   string          `json:"name"` // without pe<portal>_
	Label  string          `json:"label"`
	Object string          `json:"object"` // CONTACT, COMPANY, …
	Props  []eventProperty `json:"props,omitempty"`
	// Named says that only Props are taken, and with Defaults those that HubSpot offers.
	Named    bool `json:"named,omitempty"`
	Defaults bool `json:"defaults,omitempty"`
	// Matching names the property that finds the record by its property Target.
	Matching string `json:"matching,omitempty"`
	Target   string `json:"target,omitempty"`
	Removed  bool   `json:"removed,omitempty"` // in the file only
}

type eventProperty struct {
	Name        string           `json:"name"`
	Label       string           `json:"label"`
	Type        string           `json:"type"`
	Description string           `json:"description,omitempty"`
	Options     []propertyOption `json:"options"`
}

const (
	maxDefinitions     = 500
	maxDefinitionProps = 500
)

var (
	definitionName         = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,99}$`)
	definitionPropertyName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,49}$`)
)

// defaultEventProperties are those HubSpot offers with includeDefaultProperties.
var defaultEventProperties = []string{
	"hs_asset_description", "hs_asset_type", "hs_browser", "hs_campaign_id", "hs_city", "hs_country", "hs_device_name", "hs_device_type", "hs_element_class", "hs_element_id",
	"hs_element_text", "hs_language", "hs_link_href", "hs_operating_system", "hs_operating_version", "hs_page_content_type", "hs_page_id", "hs_page_title", "hs_page_url",
	"hs_parent_module_id", "hs_referrer", "hs_region", "hs_screen_height", "hs_screen_width", "hs_touchpoint_source", "hs_tracking_name", "hs_user_agent",
	"hs_utm_campaign", "hs_utm_content", "hs_utm_medium", "hs_utm_source", "hs_utm_term",
}

// takes checks one property of an event against the definition.
func (d *eventDefinition) takes(name, text string) *hubSpotError {
	if !d.Named || d.Defaults && slices.Contains(defaultEventProperties, name) {
		return nil
	}
	i := slices.IndexFunc(d.Props, func(p eventProperty) bool { return p.Name == name })
	if i < 0 {
		return hubSpotInvalid("The event definition has no property " + name)
	}
	p := propertyDefinition{Name: name, Type: d.Props[i].Type, FieldType: "select", Options: d.Props[i].Options}
	if text == "" {
		return nil
	}
	if _, code, message := p.check(text); code != "" {
		return hubSpotInvalid("The value of " + name + " is not valid: " + message)
	}
	return nil
}

func (p *eventProperty) check() *hubSpotError {
	p.Type = cmp.Or(p.Type, "string")
	switch {
	case !definitionPropertyName.MatchString(p.Name):
		return hubSpotInvalid("Property name " + p.Name + " is not valid: a letter, then lower-case letters, digits and underscores, at most 50")
	case p.Label == "":
		return hubSpotInvalid("Property " + p.Name + " needs a label")
	case !slices.Contains([]string{"string", "number", "enumeration", "datetime", "bool"}, p.Type):
		return hubSpotInvalid("Property " + p.Name + " cannot be of type " + p.Type)
	case p.Type == "enumeration" && len(p.Options) == 0:
		return hubSpotInvalid("Property " + p.Name + " needs options")
	}
	if p.Options == nil {
		p.Options = []propertyOption{}
	}
	return nil
}

// define keeps a definition.
func (h *hubSpotServer) define(d *eventDefinition) {
	full := h.eventName(d.Name)
	h.definitions[full] = d
	if d.Removed {
		delete(h.definitions, full)
	}
	h.note("event_definition", d)
}

// serveDefinitions creates, lists, reads, changes and removes definitions of custom events,
// and their properties: /event-definitions[/{name}[/property[/{property}]]].
func (h *hubSpotServer) serveDefinitions(c *call, rest []string) (answer, *hubSpotError) {
	switch {
	case len(rest) == 0 && c.method == http.MethodPost:
		return h.createDefinition(c)
	case len(rest) == 0 && c.method == http.MethodGet:
		return h.listDefinitions(c)
	case len(rest) == 0 || len(rest) > 3 || len(rest) > 1 && rest[1] != "property":
		return answer{}, noSuchPath()
	}
	d := h.definitions[rest[0]]
	if d == nil {
		d = h.definitions[h.eventName(rest[0])]
	}
	if d == nil {
		return answer{}, hubSpotMissing("Event definition " + rest[0] + " does not exist")
	}
	changed := *d
	changed.Props = slices.Clone(d.Props)
	if len(rest) > 1 {
		return h.changeEventProperty(c, &changed, rest[2:])
	}
	switch c.method {
	case http.MethodGet:
		return jsonAnswer(http.StatusOK, h.definition(d)), nil
	case http.MethodPatch:
		var in struct {
			Label string `json:"label"`
		}
		if err := unmarshal(c.body, &in); err != nil {
			return answer{}, hubSpotBadJSON()
		}
		changed.Label = cmp.Or(in.Label, d.Label)
		h.define(&changed)
		return jsonAnswer(http.StatusOK, h.definition(&changed)), nil
	case http.MethodDelete:
		changed.Removed = true
		h.define(&changed)
		return answer{status: http.StatusNoContent}, nil
	}
	return answer{}, notAllowed()
}

func (h *hubSpotServer) createDefinition(c *call) (answer, *hubSpotError) {
	var in struct {
		Label    string          `json:"label"`
		Name     string          `json:"name"`
		Object   string          `json:"primaryObject"`
		Props    []eventProperty `json:"propertyDefinitions"`
		Defaults bool            `json:"includeDefaultProperties"`
		Matching struct {
			Rule struct {
				Target string `json:"targetObjectPropertyName"`
				Event  string `json:"eventPropertyName"`
			} `json:"primaryObjectRule"`
		} `json:"customMatchingId"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	if in.Label == "" || !definitionName.MatchString(in.Name) {
		return answer{}, hubSpotInvalid("label and a lower-case name are required")
	}
	object := cmp.Or(in.Object, "CONTACT")
	if h.crm.typeOf(strings.ToLower(object)) == "" {
		return answer{}, hubSpotInvalid("primaryObject " + object + " does not exist")
	}
	d := &eventDefinition{Name: in.Name, Label: in.Label, Object: object, Named: true, Defaults: in.Defaults, Matching: in.Matching.Rule.Event, Target: in.Matching.Rule.Target}
	for _, p := range in.Props {
		if refused := d.add(p); refused != nil {
			return answer{}, refused
		}
	}
	full := h.eventName(in.Name)
	if h.definitions[full] != nil {
		return answer{}, &hubSpotError{Status: http.StatusConflict, Category: "OBJECT_ALREADY_EXISTS", Message: "Event definition " + full + " already exists"}
	}
	if len(h.definitions) >= maxDefinitions {
		return answer{}, hubSpotInvalid("The limit of 500 event definitions is reached")
	}
	h.define(d)
	return jsonAnswer(http.StatusOK, h.definition(d)), nil
}

// add puts one more property into a definition.
func (d *eventDefinition) add(p eventProperty) *hubSpotError {
	if refused := p.check(); refused != nil {
		return refused
	}
	if slices.ContainsFunc(d.Props, func(q eventProperty) bool { return q.Name == p.Name }) {
		return &hubSpotError{Status: http.StatusConflict, Category: "OBJECT_ALREADY_EXISTS", Message: "Property " + p.Name + " exists already", Context: map[string]any{"name": []string{p.Name}}}
	}
	if len(d.Props) >= maxDefinitionProps {
		return hubSpotInvalid("The limit of properties of an event definition is reached")
	}
	d.Props = append(d.Props, p)
	return nil
}

func (h *hubSpotServer) changeEventProperty(c *call, d *eventDefinition, rest []string) (answer, *hubSpotError) {
	var p eventProperty
	if c.method != http.MethodDelete && unmarshal(c.body, &p) != nil {
		return answer{}, hubSpotBadJSON()
	}
	if len(rest) == 0 && c.method == http.MethodPost {
		d.Named = true
		if refused := d.add(p); refused != nil {
			return answer{}, refused
		}
		h.define(d)
		return jsonAnswer(http.StatusOK, d.Props[len(d.Props)-1]), nil
	}
	if len(rest) != 1 {
		return answer{}, noSuchPath()
	}
	i := slices.IndexFunc(d.Props, func(q eventProperty) bool { return q.Name == rest[0] })
	switch {
	case i < 0:
		return answer{}, hubSpotMissing("Property " + rest[0] + " does not exist")
	case c.method == http.MethodDelete:
		d.Props = slices.Delete(d.Props, i, i+1)
		h.define(d)
		return answer{status: http.StatusNoContent}, nil
	case c.method == http.MethodPatch:
		p.Name, p.Type, p.Label = rest[0], d.Props[i].Type, cmp.Or(p.Label, d.Props[i].Label)
		if p.Options == nil {
			p.Options = d.Props[i].Options
		}
		if refused := p.check(); refused != nil {
			return answer{}, refused
		}
		d.Props[i] = p
		h.define(d)
		return jsonAnswer(http.StatusOK, p), nil
	}
	return answer{}, notAllowed()
}

func (h *hubSpotServer) listDefinitions(c *call) (answer, *hubSpotError) {
	query := c.r.URL.Query()
	limit, err := strconv.Atoi(cmp.Or(query.Get("limit"), "100"))
	if err != nil || limit < 1 {
		return answer{}, hubSpotInvalid("limit must be a number")
	}
	names := slices.Sorted(maps.Keys(h.definitions))
	from, _ := slices.BinarySearch(names, query.Get("after"))
	body := map[string]any{"total": len(names)}
	results := []any{}
	for i, full := range names[from:] {
		if i == limit {
			body["paging"] = map[string]any{"next": map[string]string{"after": full}}
			break
		}
		results = append(results, h.definition(h.definitions[full]))
	}
	body["results"] = results
	return jsonAnswer(http.StatusOK, body), nil
}

func (h *hubSpotServer) definition(d *eventDefinition) map[string]any {
	props := slices.Concat([]eventProperty{}, d.Props)
	if d.Defaults {
		for _, name := range defaultEventProperties {
			props = append(props, eventProperty{Name: name, Label: name, Type: "string", Options: []propertyOption{}})
		}
	}
	object := h.crm.typeOf(strings.ToLower(d.Object))
	return map[string]any{"fullyQualifiedName": h.eventName(d.Name), "name": d.Name, "labels": map[string]any{"singular": d.Label, "plural": d.Label},
		"primaryObject": d.Object, "primaryObjectId": h.crm.typeID(object), "properties": props, "archived": false}
}
