package hubspot

import (
	stdcontext "context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

var _ destinations.Arranger = destination{}

// Arrange makes what deliveries write to and is not there: a group and properties for each
// object, and the custom events' definitions. A property that is there with another type
// cannot be changed: the rest is made, and then the error names it.
func (d destination) Arrange(ctx stdcontext.Context, call destinations.Caller, routes map[string]canonical.Route, apply bool) ([]destinations.Step, error) {
	a := &arranging{destination: d, ctx: ctx, call: call, apply: apply}
	for _, object := range []string{contacts, companies, deals} {
		if err := a.object(object); err != nil {
			return a.steps, err
		}
	}
	if d.Timeline == customEvents {
		if err := a.definitions(routes); err != nil {
			return a.steps, err
		}
	}
	return a.steps, errors.Join(a.wrong...)
}

type arranging struct {
	destination
	ctx   stdcontext.Context
	call  destinations.Caller
	apply bool
	steps []destinations.Step
	wrong []error
}

// group is the name of our property group: the prefix without its end.
func (d destination) group() string { return strings.Trim(d.Prefix, "_") }

func (a *arranging) object(object string) error {
	mine := slices.DeleteFunc(a.wants(), func(w want) bool { return w.object != object || !a.ours(w) })
	if len(mine) == 0 {
		return nil
	}
	found, r, err := readProperties(a.ctx, a.call, a.paths, object, mine)
	if err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("the properties of %s cannot be read (%d): grant the token crm.schemas.%s.read and .write", object, r.Status, object)
	}
	missing := slices.DeleteFunc(slices.Clone(mine), func(w want) bool { _, there := found[w.property]; return there })
	for _, w := range mine {
		if p, there := found[w.property]; there {
			a.check(w, p)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := a.makeGroup(object); err != nil {
		return err
	}
	for _, w := range missing {
		if err := a.makeProperty(w); err != nil {
			return err
		}
	}
	return nil
}

// check notes what a property that is there is not.
func (a *arranging) check(w want, p property) {
	subject := fmt.Sprintf("property %s of %s", w.property, w.object)
	switch {
	case p.closed() != "":
		a.wrong = append(a.wrong, fmt.Errorf("%s %s: restore it in HubSpot, or map the field to another property", subject, p.closed()))
	case w.unique && !p.Unique:
		a.wrong = append(a.wrong, fmt.Errorf("%s has no unique values, which only its creation can decide: name another property", subject))
	case !fits(w.kind, p):
		a.wrong = append(a.wrong, fmt.Errorf("%s is of type %s, and the field is a %s: map it to another property (settings properties or custom)", subject, p.Type, w.kind))
	}
}

// step notes a change, and makes it where it is to be made. A name that is taken meanwhile is fine.
func (a *arranging) step(what, path string, body any) error {
	if !a.apply {
		a.steps = append(a.steps, destinations.Step{What: what})
		return nil
	}
	text, err := destinations.JSON(body)
	if err != nil {
		return err
	}
	r, refusal, err := ask(a.ctx, a.call, destinations.Request{Method: http.MethodPost, Path: path, Body: text})
	if err != nil {
		a.steps = append(a.steps, destinations.Step{What: what})
		return fmt.Errorf("%s: %w", what, err)
	}
	taken := r.Status == http.StatusConflict || refusal.Category == "OBJECT_ALREADY_EXISTS"
	if r.Status/100 != 2 && !taken {
		a.steps = append(a.steps, destinations.Step{What: what})
		return fmt.Errorf("%s: HubSpot answers %d%s", what, r.Status, lacking(refusal))
	}
	done := destinations.Step{What: what, Done: true}
	if taken {
		done.Note = "it was there"
	}
	a.steps = append(a.steps, done)
	return nil
}

func (a *arranging) makeGroup(object string) error {
	r, refusal, err := ask(a.ctx, a.call, destinations.Request{Method: http.MethodGet, Path: a.paths.properties + "/" + object + "/groups"})
	if err != nil {
		return err
	}
	if r.Status/100 != 2 {
		return fmt.Errorf("the property groups of %s cannot be read (%d%s)", object, r.Status, lacking(refusal))
	}
	var groups struct {
		Results []named `json:"results"`
	}
	destinations.ReadJSON(r.Body, &groups)
	if slices.Contains(groups.Results, named{a.group()}) {
		return nil
	}
	return a.step("create property group "+a.group()+" of "+object, a.paths.properties+"/"+object+"/groups",
		map[string]any{"name": a.group(), "label": label(a.group()), "displayOrder": -1})
}

// The definition of a property, as HubSpot takes it.
type definition struct {
	Name        string         `json:"name"`
	Label       string         `json:"label"`
	Type        string         `json:"type"`
	Field       string         `json:"fieldType"`
	Group       string         `json:"groupName"`
	Description string         `json:"description,omitempty"`
	Options     []optionChoice `json:"options,omitempty"`
	Unique      bool           `json:"hasUniqueValue,omitempty"`
	FormField   bool           `json:"formField"`
}

type optionChoice struct {
	Label        string `json:"label"`
	Value        string `json:"value"`
	DisplayOrder int    `json:"displayOrder"`
	Hidden       bool   `json:"hidden"`
}

var fieldTypes = map[string]string{
	"text": "text", "number": "number", "bool": "booleancheckbox", "date": "date", "datetime": "date", "enumeration": "select",
}

func (a *arranging) makeProperty(w want) error {
	p := definition{
		Name: w.property, Label: label(w.label), Type: kinds[w.kind], Field: fieldTypes[w.kind], Group: a.group(),
		Description: w.about + ". Written by Tributary.", Unique: w.unique,
	}
	options := w.options
	if w.kind == "bool" {
		options = []string{"true", "false"}
	}
	for i, o := range options {
		p.Options = append(p.Options, optionChoice{Label: label(o), Value: o, DisplayOrder: i})
	}
	if w.kind == "enumeration" && len(options) == 0 {
		a.wrong = append(a.wrong, fmt.Errorf("property %s of %s is an enumeration without options: write them into its custom field, or make it in HubSpot", w.property, w.object))
		return nil
	}
	return a.step(fmt.Sprintf("create property %s (%s) of %s", w.property, w.kind, w.object), a.paths.properties+"/"+w.object, p)
}

func label(s string) string {
	s = strings.TrimSpace(strings.ReplaceAll(s, "_", " "))
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// touchNames are the canonical names of touches that have timeline entries.
var touchNames = []string{"page_viewed", "ad_clicked", "form_submitted", "email_opened"}

// definitions makes the custom events that entries are of: the one configured, or one for each
// name that the mapping routes here and each touch.
func (a *arranging) definitions(routes map[string]canonical.Route) error {
	found, r, refusal, err := readDefinitions(a.ctx, a.call, a.paths)
	if err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("the definitions of custom events cannot be read (%d%s%s)", r.Status, lacking(refusal), hint(missingScopes(refusal)))
	}
	wanted := map[string]bool{}
	for _, name := range append(slices.Clone(touchNames), slices.Collect(maps.Keys(routes))...) {
		if definition := a.definitionName(name, routes[name]); definition != "" && name != "*" {
			wanted[definition] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		properties, there := found[a.qualified(name)]
		switch {
		case there && len(properties) > 0 && !slices.Contains(properties, "summary"):
			a.wrong = append(a.wrong, fmt.Errorf("custom event %s has no property summary: add it in HubSpot, or name another event_name", a.qualified(name)))
		case !there && (len(name) > 50 || name[0] < 'a' || name[0] > 'z'):
			a.wrong = append(a.wrong, errors.New("no custom event can be called "+strconv.Quote(name)+": set event_name, or event in the mapping"))
		case !there:
			if err := a.makeEvent(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *arranging) makeEvent(name string) error {
	type eventProperty struct {
		Name  string `json:"name"`
		Label string `json:"label"`
		Type  string `json:"type"`
	}
	var properties []eventProperty
	for _, f := range entryFields {
		properties = append(properties, eventProperty{f, label(f), "string"})
	}
	return a.step("create custom event "+a.qualified(name), a.paths.definitions, map[string]any{
		"name": name, "label": label(name), "description": "Written by Tributary.", "primaryObject": "CONTACT",
		"propertyDefinitions": properties, "includeDefaultProperties": false,
	})
}
