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
func (s *Simulator) serveProperties(c *call, rest []string) (answer, *hubSpotError) {
	object := ""
	if len(rest) > 0 {
		object = typeNames[rest[0]]
	}
	if object == "" {
		return answer{}, hubSpotInvalid("Unable to infer object type from: " + strings.Join(rest, "/"))
	}
	switch c.method + " " + strings.Join(rest[1:], "/") {
	case "GET ":
		results := []propertyDefinition{}
		for _, name := range slices.Sorted(maps.Keys(s.hubspot.crm.schema[object])) {
			results = append(results, s.hubspot.crm.schema[object][name])
		}
		return jsonAnswer(http.StatusOK, map[string]any{"results": results}), nil
	case "POST ":
		return s.createProperty(c, object)
	case "POST batch/create":
		return s.createProperties(c, object)
	case "POST batch/read":
		return s.readProperties(c, object)
	case "GET groups":
		return s.propertyGroups(object), nil
	case "POST groups":
		var in map[string]any
		if unmarshal(c.body, &in) != nil || in["name"] == nil || in["label"] == nil {
			return answer{}, hubSpotInvalid("name and label are required")
		}
		in["archived"] = false
		return jsonAnswer(http.StatusCreated, in), nil
	}
	if len(rest) == 2 {
		return s.oneProperty(c, object, rest[1])
	}
	return answer{}, &hubSpotError{Status: http.StatusNotFound, Message: "resource not found"}
}

func (s *Simulator) oneProperty(c *call, object, name string) (answer, *hubSpotError) {
	p, ok := s.hubspot.crm.schema[object][name]
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
		return answer{}, &hubSpotError{Status: http.StatusMethodNotAllowed, Message: "method not allowed"}
	}
	if c.method == http.MethodDelete {
		delete(s.hubspot.crm.schema[object], name)
		s.journal.note("property", propertyLine{Object: object, Property: p, Removed: true})
		return answer{status: http.StatusNoContent}, nil
	}
	changed := p
	if err := unmarshal(c.body, &changed); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	changed.Name, changed.Unique, changed.UpdatedAt = p.Name, p.Unique, stamp(c.now)
	if refused := checkProperty(changed); refused != nil {
		return answer{}, refused
	}
	s.keepProperty(object, changed)
	return jsonAnswer(http.StatusOK, changed), nil
}

func checkProperty(p propertyDefinition) *hubSpotError {
	switch {
	case p.Name == "" || p.Label == "" || p.Type == "" || p.FieldType == "" || p.GroupName == "":
		return hubSpotInvalid("name, label, type, fieldType and groupName are required")
	case !propertyName.MatchString(p.Name) || strings.HasPrefix(p.Name, "hs_"):
		return hubSpotInvalid("Property name " + p.Name + " is not valid: lower-case letters, digits and underscores, not beginning with hs_")
	case !slices.Contains(fieldTypes[p.Type], p.FieldType):
		return hubSpotInvalid("fieldType " + p.FieldType + " does not go with type " + p.Type)
	case p.Type == "enumeration" && len(p.Options) == 0:
		return hubSpotInvalid("Property " + p.Name + " needs options")
	}
	return nil
}

func (s *Simulator) newProperty(c *call, object string, p propertyDefinition) *hubSpotError {
	if refused := checkProperty(p); refused != nil {
		return refused
	}
	if _, ok := s.hubspot.crm.schema[object][p.Name]; ok {
		return &hubSpotError{Status: http.StatusConflict, Category: "OBJECT_ALREADY_EXISTS", Sub: "Properties.PROPERTY_WITH_NAME_EXISTS",
			Message: "A property named '" + p.Name + "' already exists.", Context: map[string]any{"name": []string{p.Name}}}
	}
	custom, unique := 0, 0
	for _, other := range s.hubspot.crm.schema[object] {
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
	p.OfHubSpot, p.Calculated, p.Modification = false, false, modification{Archivable: true}
	p.CreatedAt, p.UpdatedAt = stamp(c.now), stamp(c.now)
	s.keepProperty(object, p)
	return nil
}

func (s *Simulator) keepProperty(object string, p propertyDefinition) {
	if p.Options == nil {
		p.Options = []propertyOption{}
	}
	s.hubspot.crm.schema[object][p.Name] = p
	s.journal.note("property", propertyLine{Object: object, Property: p})
}

func (s *Simulator) createProperty(c *call, object string) (answer, *hubSpotError) {
	var p propertyDefinition
	if err := unmarshal(c.body, &p); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	if refused := s.newProperty(c, object, p); refused != nil {
		return answer{}, refused
	}
	return jsonAnswer(http.StatusCreated, s.hubspot.crm.schema[object][p.Name]), nil
}

func (s *Simulator) createProperties(c *call, object string) (answer, *hubSpotError) {
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
		if refused := s.newProperty(c, object, p); refused != nil {
			e := rowProblem(refused.Category, refused.Message, map[string]any{"name": []string{p.Name}})
			if refused.Sub != "" {
				e["subCategory"] = refused.Sub
			}
			errors = append(errors, e)
			continue
		}
		results = append(results, s.hubspot.crm.schema[object][p.Name])
	}
	return batchAnswer(c, http.StatusCreated, results, errors), nil
}

func (s *Simulator) readProperties(c *call, object string) (answer, *hubSpotError) {
	var in struct {
		Inputs []struct {
			Name string `json:"name"`
		} `json:"inputs"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	if refused := checkCount(len(in.Inputs), maxInputs); refused != nil {
		return answer{}, refused
	}
	results, errors := []any{}, []any(nil)
	for _, input := range in.Inputs {
		if p, ok := s.hubspot.crm.schema[object][input.Name]; ok {
			results = append(results, p)
			continue
		}
		errors = append(errors, rowProblem("OBJECT_NOT_FOUND", "Property "+input.Name+" does not exist", map[string]any{"name": []string{input.Name}}))
	}
	return batchAnswer(c, http.StatusOK, results, errors), nil
}

func (s *Simulator) propertyGroups(object string) answer {
	seen := make(map[string]bool)
	for _, p := range s.hubspot.crm.schema[object] {
		seen[cmp.Or(p.GroupName, "other")] = true
	}
	results := []any{}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		results = append(results, map[string]any{"name": name, "label": name, "displayOrder": -1, "archived": false})
	}
	return jsonAnswer(http.StatusOK, map[string]any{"results": results})
}
