package simulator

import (
	"cmp"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

const maxCustomProperties = 1000

var propertyName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,99}$`)

// propertyLine is a property, or the end of one, in the file.
type propertyLine struct {
	Object   string             `json:"object"`
	Property propertyDefinition `json:"property"`
	Removed  bool               `json:"removed,omitempty"`
}

// serveProperties answers /properties/{object}[/{name} | /batch/create | /batch/read | /groups].
func (h *hubSpotServer) serveProperties(c *call, rest []string) (answer, *hubSpotError) {
	object := ""
	if len(rest) > 0 {
		object = h.crm.typeOf(rest[0])
	}
	if object == "" {
		return answer{}, hubSpotInvalid("Unable to infer object type from: " + strings.Join(rest, "/"))
	}
	switch c.method + " " + strings.Join(rest[1:], "/") {
	case "GET ":
		results := []propertyDefinition{}
		for _, name := range slices.Sorted(maps.Keys(h.crm.schema[object])) {
			results = append(results, h.crm.schema[object][name])
		}
		return jsonAnswer(http.StatusOK, map[string]any{"results": results}), nil
	case "POST ":
		return h.createProperty(c, object)
	case "POST batch/create":
		return h.createProperties(c, object)
	case "POST batch/read":
		return h.readProperties(c, object)
	case "POST batch/archive":
		return h.archiveProperties(c, object)
	}
	if len(rest) >= 2 && rest[1] == "groups" {
		return h.serveGroups(c, object, rest[2:])
	}
	if len(rest) == 2 {
		return h.oneProperty(c, object, rest[1])
	}
	return answer{}, noSuchPath()
}

func (h *hubSpotServer) oneProperty(c *call, object, name string) (answer, *hubSpotError) {
	p, ok := h.crm.schema[object][name]
	if !ok {
		return answer{}, hubSpotMissing("Property " + name + " does not exist")
	}
	switch c.method {
	case http.MethodGet:
		return jsonAnswer(http.StatusOK, p), nil
	case http.MethodDelete, http.MethodPatch:
		if p.OfHubSpot {
			return answer{}, hubSpotInvalid("Property " + name + " is read only")
		}
	default:
		return answer{}, notAllowed()
	}
	if c.method == http.MethodDelete {
		h.removeProperty(object, name)
		return answer{status: http.StatusNoContent}, nil
	}
	changed := p
	if err := unmarshal(c.body, &changed); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	changed.Name, changed.Unique, changed.UpdatedAt = p.Name, p.Unique, stamp(c.now)
	changed.OfHubSpot, changed.Calculated, changed.Modification, changed.CreatedAt = p.OfHubSpot, p.Calculated, p.Modification, p.CreatedAt
	if refused := h.checkProperty(object, changed); refused != nil {
		return answer{}, refused
	}
	h.keepProperty(object, changed)
	return jsonAnswer(http.StatusOK, changed), nil
}

func (h *hubSpotServer) checkProperty(object string, p propertyDefinition) *hubSpotError {
	options := make(map[string]bool)
	for _, o := range p.Options {
		if o.Label == "" || o.Value == "" || options[o.Value] {
			return hubSpotInvalid("Every option of " + p.Name + " needs a label, and a value of its own")
		}
		options[o.Value] = true
	}
	_, grouped := h.crm.groups[object][p.GroupName]
	switch {
	case p.Name == "" || p.Label == "" || p.Type == "" || p.FieldType == "" || p.GroupName == "":
		return hubSpotInvalid("name, label, type, fieldType and groupName are required")
	case !propertyName.MatchString(p.Name) || strings.HasPrefix(p.Name, "hs_"):
		return hubSpotInvalid("Property name " + p.Name + " is not valid: lower-case letters, digits and underscores, not beginning with hs_")
	case p.FieldType == calculated && p.Formula == "":
		return hubSpotInvalid("calculationFormula is required for fieldType " + calculated)
	case p.FieldType != calculated && !slices.Contains(fieldTypes[p.Type], p.FieldType), fieldTypes[p.Type] == nil:
		return hubSpotInvalid("fieldType " + p.FieldType + " does not go with type " + p.Type)
	case !grouped:
		return hubSpotInvalid("Property group " + p.GroupName + " does not exist")
	case p.Type == "enumeration" && len(p.Options) == 0:
		return hubSpotInvalid("Property " + p.Name + " needs options")
	case p.Type == "bool" && (len(options) != 2 || !options["true"] || !options["false"]):
		return hubSpotInvalid("Property " + p.Name + " needs the options true and false")
	case p.Unique && p.Type != "string" && p.Type != "number":
		return hubSpotInvalid("Property " + p.Name + " cannot be unique: only texts and numbers can")
	}
	return nil
}

// calculated is the field type of properties that a formula works out.
const calculated = "calculation_equation"

func (h *hubSpotServer) newProperty(c *call, object string, p propertyDefinition) *hubSpotError {
	if _, ok := h.crm.schema[object][p.Name]; ok {
		return &hubSpotError{Status: http.StatusConflict, Category: "OBJECT_ALREADY_EXISTS", Sub: "Properties.PROPERTY_WITH_NAME_EXISTS",
			Message: "A property named '" + p.Name + "' already exists.", Context: map[string]any{"name": []string{p.Name}}}
	}
	if refused := h.checkProperty(object, p); refused != nil {
		return refused
	}
	custom, unique := 0, 0
	for _, other := range h.crm.schema[object] {
		if !other.OfHubSpot {
			custom++
		}
		if other.Unique {
			unique++
		}
	}
	if custom >= maxCustomProperties || p.Unique && unique >= 10 {
		return hubSpotInvalid("The limit of custom properties, or of unique ones, is reached")
	}
	p.OfHubSpot, p.Calculated = false, p.FieldType == calculated
	p.Modification = modification{Archivable: true, ReadOnlyValue: p.Calculated}
	p.CreatedAt, p.UpdatedAt = stamp(c.now), stamp(c.now)
	h.keepProperty(object, p)
	return nil
}

func (h *hubSpotServer) keepProperty(object string, p propertyDefinition) {
	if p.Options == nil {
		p.Options = []propertyOption{}
	}
	h.crm.schema[object][p.Name] = p
	h.note("property", propertyLine{Object: object, Property: p})
}

func (h *hubSpotServer) createProperty(c *call, object string) (answer, *hubSpotError) {
	var p propertyDefinition
	if err := unmarshal(c.body, &p); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	if refused := h.newProperty(c, object, p); refused != nil {
		return answer{}, refused
	}
	return jsonAnswer(http.StatusCreated, h.crm.schema[object][p.Name]), nil
}

func (h *hubSpotServer) createProperties(c *call, object string) (answer, *hubSpotError) {
	var in struct {
		Inputs []propertyDefinition `json:"inputs"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	if refused := checkCount(len(in.Inputs), maxInputs); refused != nil {
		return answer{}, refused
	}
	results, errors := []any{}, []any(nil)
	for _, p := range in.Inputs {
		if refused := h.newProperty(c, object, p); refused != nil {
			e := rowProblem(refused.Category, refused.Message, map[string]any{"name": []string{p.Name}})
			if refused.Sub != "" {
				e["subCategory"] = refused.Sub
			}
			errors = append(errors, e)
			continue
		}
		results = append(results, h.crm.schema[object][p.Name])
	}
	return batchAnswer(c, http.StatusCreated, results, errors), nil
}

func (h *hubSpotServer) readProperties(c *call, object string) (answer, *hubSpotError) {
	names, refused := readNames(c)
	if refused != nil {
		return answer{}, refused
	}
	results, errors := []any{}, []any(nil)
	for _, name := range names {
		if p, ok := h.crm.schema[object][name]; ok {
			results = append(results, p)
			continue
		}
		errors = append(errors, rowProblem("OBJECT_NOT_FOUND", "Property "+name+" does not exist", map[string]any{"name": []string{name}}))
	}
	return batchAnswer(c, http.StatusOK, results, errors), nil
}

// archiveProperties removes properties; names that are not there are passed over.
func (h *hubSpotServer) archiveProperties(c *call, object string) (answer, *hubSpotError) {
	names, refused := readNames(c)
	if refused != nil {
		return answer{}, refused
	}
	for _, name := range names {
		if p, ok := h.crm.schema[object][name]; ok && p.OfHubSpot {
			return answer{}, hubSpotInvalid("Property " + name + " is read only")
		}
	}
	for _, name := range names {
		h.removeProperty(object, name)
	}
	return answer{status: http.StatusNoContent}, nil
}

func (h *hubSpotServer) removeProperty(object, name string) {
	p, ok := h.crm.schema[object][name]
	if !ok {
		return
	}
	delete(h.crm.schema[object], name)
	h.note("property", propertyLine{Object: object, Property: p, Removed: true})
}

// readNames reads {"inputs": [{"name": …}]}.
func readNames(c *call) ([]string, *hubSpotError) {
	var in struct {
		Inputs []struct {
			Name string `json:"name"`
		} `json:"inputs"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return nil, hubSpotBadJSON()
	}
	if refused := checkCount(len(in.Inputs), maxInputs); refused != nil {
		return nil, refused
	}
	names := make([]string, len(in.Inputs))
	for i, input := range in.Inputs {
		names[i] = input.Name
	}
	return names, nil
}

// A propertyGroup holds properties together on the screen.
type propertyGroup struct {
	Name         string `json:"name"`
	Label        string `json:"label"`
	DisplayOrder int    `json:"displayOrder"`
	Archived     bool   `json:"archived"`
}

type groupLine struct {
	Object  string        `json:"object"`
	Group   propertyGroup `json:"group"`
	Removed bool          `json:"removed,omitempty"`
}

// serveGroups answers /properties/{object}/groups[/{name}].
func (h *hubSpotServer) serveGroups(c *call, object string, rest []string) (answer, *hubSpotError) {
	groups := h.crm.groups[object]
	var g propertyGroup
	if (c.method == http.MethodPost || c.method == http.MethodPatch) && unmarshal(c.body, &g) != nil {
		return answer{}, hubSpotBadJSON()
	}
	if len(rest) == 0 {
		switch c.method {
		case http.MethodGet:
			results := []propertyGroup{}
			for _, name := range slices.Sorted(maps.Keys(groups)) {
				results = append(results, groups[name])
			}
			return jsonAnswer(http.StatusOK, map[string]any{"results": results}), nil
		case http.MethodPost:
			if !propertyName.MatchString(g.Name) || g.Label == "" {
				return answer{}, hubSpotInvalid("a lower-case name, and a label, are required")
			}
			if _, ok := groups[g.Name]; ok {
				return answer{}, &hubSpotError{Status: http.StatusConflict, Category: "OBJECT_ALREADY_EXISTS", Message: "A property group named '" + g.Name + "' already exists.", Context: map[string]any{"name": []string{g.Name}}}
			}
			h.keepGroup(object, g)
			return jsonAnswer(http.StatusCreated, g), nil
		}
		return answer{}, notAllowed()
	}
	old, ok := groups[rest[0]]
	if !ok || len(rest) > 1 {
		return answer{}, hubSpotMissing("There is no property group " + rest[0])
	}
	switch c.method {
	case http.MethodGet:
		return jsonAnswer(http.StatusOK, old), nil
	case http.MethodPatch:
		old.Label, old.DisplayOrder = cmp.Or(g.Label, old.Label), cmp.Or(g.DisplayOrder, old.DisplayOrder)
		h.keepGroup(object, old)
		return jsonAnswer(http.StatusOK, old), nil
	case http.MethodDelete:
		for _, p := range h.crm.schema[object] {
			if p.GroupName == old.Name {
				return answer{}, hubSpotInvalid("The property group " + old.Name + " has properties")
			}
		}
		delete(groups, old.Name)
		h.note("group", groupLine{Object: object, Group: old, Removed: true})
		return answer{status: http.StatusNoContent}, nil
	}
	return answer{}, notAllowed()
}

func (h *hubSpotServer) keepGroup(object string, g propertyGroup) {
	h.crm.groups[object][g.Name] = g
	h.note("group", groupLine{Object: object, Group: g})
}
