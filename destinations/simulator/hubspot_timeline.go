package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The mechanisms that put an occurrence on a record; notes are records of their own.
const (
	customKind   = "custom_event"
	templateKind = "timeline_event"
	appKind      = "app_event"
)

// An occurrence is an event that stands on a record.
type occurrence struct {
	Kind     string            `json:"kind,omitempty"` // "" means custom_event
	Type     string            `json:"type,omitempty"` // of the record; "" means contacts
	Record   int64             `json:"contact"`
	Name     string            `json:"name"`
	UUID     string            `json:"uuid,omitempty"`
	At       time.Time         `json:"at"`
	Came     time.Time         `json:"came,omitzero"`
	Props    map[string]string `json:"props,omitempty"`
	Sentence string            `json:"sentence,omitempty"`
}

// maxOccurrences bounds the events, and the keys, of one portal.
const maxOccurrences = 1_000_000

// A timeline holds the occurrences of a portal by record, and the keys that may not come
// again.
type timeline struct {
	of    map[reference][]occurrence
	keys  map[string]time.Time // when each was first seen
	count int
}

func newTimeline() timeline {
	return timeline{of: make(map[reference][]occurrence), keys: make(map[string]time.Time)}
}

func (t *timeline) full() bool { return t.count >= maxOccurrences || len(t.keys) >= maxOccurrences }

func (t *timeline) add(o occurrence) {
	if o.Type == "" {
		o.Type = contacts
	}
	if o.Kind == "" {
		o.Kind = customKind
	}
	key := reference{o.Type, o.Record}
	t.of[key] = append(t.of[key], o)
	t.count++
}

func (t *timeline) forget(of reference) {
	t.count -= len(t.of[of])
	delete(t.of, of)
}

// occurrences lists what stands on a record, also what came before it was merged.
func (h *hubSpotServer) occurrences(r *record) []occurrence {
	out := slices.Clone(h.timeline.of[reference{r.Type, r.ID}])
	for _, id := range r.Absorbed {
		out = append(out, h.timeline.of[reference{r.Type, id}]...)
	}
	return out
}

// know keeps a key, and happen an occurrence, also in the file.
func (h *hubSpotServer) know(key string, at time.Time) {
	h.timeline.keys[key] = at
	h.note("uuid", uuidLine{key, at})
}

func (h *hubSpotServer) happen(o occurrence) {
	h.timeline.add(o)
	h.note("occurrence", o)
}

// An EventTemplate is one of a classic timeline.
type EventTemplate struct {
	ID             string          `json:"id"`
	Name           string          `json:"name"`
	ObjectType     string          `json:"objectType"` // contacts, companies, deals
	HeaderTemplate string          `json:"headerTemplate"`
	DetailTemplate string          `json:"detailTemplate"`
	Tokens         []TemplateToken `json:"tokens"`
}

// A TemplateToken is one value that a template's events carry.
type TemplateToken struct {
	Name     string        `json:"name"`
	Label    string        `json:"label"`
	Type     string        `json:"type"` // string, number, date, enumeration
	Options  []TokenOption `json:"options,omitempty"`
	Property string        `json:"objectPropertyName,omitempty"`
}

// A TokenOption is one value of an enumeration.
type TokenOption struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

// An AppEventType is a type of app event, as the app's project declares it.
type AppEventType struct {
	Project, Symbol string   // its full name is ae<app>_<project>_<symbol>
	ObjectType      string   // "" means contacts
	HeaderTemplate  string   // at most 1,000 characters
	Properties      []string // those it may carry
}

func (a *hubSpotApp) eventTypeName(project, symbol string) string {
	return fmt.Sprintf("ae%d_%s_%s", a.ID, project, symbol)
}

// A timelineEvent is one event of either kind: eventTemplateId and tokens of the classic
// timeline, eventTypeName and properties of app events.
type timelineEvent struct {
	TemplateID any            `json:"eventTemplateId"`
	Tokens     map[string]any `json:"tokens"`
	TypeName   string         `json:"eventTypeName"`
	Properties map[string]any `json:"properties"`
	ID         string         `json:"id"`
	ObjectID   any            `json:"objectId"`
	Email      string         `json:"email"`
	UTK        string         `json:"utk"`
	Timestamp  any            `json:"timestamp"`
	raw        json.RawMessage
	at         time.Time
	object     string            // type of the record
	name       string            // of template or type
	header     string            // its template
	values     map[string]string // of tokens or properties
}

const maxTimelineBatch = 100

// serveTimeline answers for the classic timeline (v3) and for app events (v4 and dated).
func (h *hubSpotServer) serveTimeline(c *call, route hubSpotRoute) (answer, *hubSpotError) {
	classic := route.version == "v3"
	if !classic && !c.caller.Partner {
		e := missingScopes("timeline")
		e.Message = "App events need an approved partner's app with a marketplace distribution."
		return answer{}, e
	}
	what := c.method + " " + strings.Join(route.rest, "/")
	switch {
	case what == "POST events":
		return h.timelineOne(c, classic)
	case what == "POST events/batch/create" && classic, what == "POST events/batch" && !classic:
		return h.timelineBatch(c, classic)
	case classic && c.method == http.MethodGet && len(route.rest) == 3 && route.rest[0] == "events":
		return h.readTimeline(route.rest[1], route.rest[2])
	case classic && len(route.rest) >= 2 && route.rest[1] == "event-templates":
		return h.serveTemplates(c, route.rest)
	case what == "POST types/projects" && !classic:
		return h.appEventName(c)
	}
	return answer{}, noSuchPath()
}

func (h *hubSpotServer) appEventName(c *call) (answer, *hubSpotError) {
	var in struct {
		Symbol  string `json:"developerSymbol"`
		Project string `json:"projectName"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	for _, t := range c.caller.EventTypes {
		if t.Symbol == in.Symbol && t.Project == in.Project {
			return jsonAnswer(http.StatusOK, map[string]string{"fullyQualifiedName": c.caller.eventTypeName(in.Project, in.Symbol)}), nil
		}
	}
	return answer{}, hubSpotMissing("There is no app event type " + in.Symbol + " in project " + in.Project)
}

func (h *hubSpotServer) timelineOne(c *call, classic bool) (answer, *hubSpotError) {
	e, refused := h.readTimelineEvent(c, c.body, classic)
	if refused == nil {
		refused = h.usedID(e, nil)
	}
	if refused != nil {
		return answer{}, refused
	}
	body, refused := h.takeTimelineEvent(c, e)
	if refused != nil {
		return answer{}, refused
	}
	return jsonAnswer(http.StatusCreated, body), nil
}

// timelineBatch answers for each row of the classic timeline; of app events one used id
// refuses all (open).
func (h *hubSpotServer) timelineBatch(c *call, classic bool) (answer, *hubSpotError) {
	var in struct {
		Inputs []json.RawMessage `json:"inputs"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	if refused := checkCount(len(in.Inputs), maxTimelineBatch); refused != nil {
		return answer{}, refused
	}
	var events []*timelineEvent
	var faults []any
	seen := make(map[string]bool)
	for _, raw := range in.Inputs {
		e, refused := h.readTimelineEvent(c, raw, classic)
		if refused == nil {
			refused = h.usedID(e, seen)
		}
		switch {
		case refused == nil:
			events = append(events, e)
		case !classic || refused.Category == "":
			return answer{}, refused
		default:
			faults = append(faults, rowProblem(refused.Category, refused.Message, map[string]any{"id": []string{e.ID}}))
		}
	}
	results := []any{}
	for _, e := range events {
		body, refused := h.takeTimelineEvent(c, e)
		if refused != nil {
			faults = append(faults, rowProblem(refused.Category, refused.Message, map[string]any{"id": []string{e.ID}}))
			continue
		}
		results = append(results, body)
	}
	h.shuffle(results)
	return batchAnswer(c, http.StatusCreated, results, faults), nil
}

// readTimelineEvent reads and checks one event; what it returns beside a refusal has its id.
func (h *hubSpotServer) readTimelineEvent(c *call, raw json.RawMessage, classic bool) (*timelineEvent, *hubSpotError) {
	e := &timelineEvent{raw: raw, at: c.now, values: make(map[string]string)}
	if err := unmarshal(raw, e); err != nil {
		return e, hubSpotBadJSON()
	}
	if e.ID == "" {
		return e, hubSpotInvalid("id is required")
	}
	var refused *hubSpotError
	if classic {
		refused = h.checkTokens(c.caller, e)
	} else {
		refused = h.checkAppEvent(c.caller, e)
	}
	if refused != nil {
		return e, refused
	}
	if e.Timestamp != nil {
		at, ok := readTime(idText(e.Timestamp))
		if !ok {
			return e, hubSpotInvalid("timestamp is not a valid time")
		}
		e.at = at
	}
	id := idText(e.ObjectID)
	switch {
	case id == "" && e.Email == "" && e.UTK == "":
		return e, hubSpotInvalid("One of objectId, email or utk is required")
	case id == "" && e.object != contacts:
		return e, hubSpotInvalid("objectId is required for " + e.object)
	case id != "" && h.crm.findText(e.object, id) == nil:
		return e, hubSpotInvalid("There is no " + h.crm.one(e.object) + " with the id " + id)
	case id == "" && e.UTK == "" && !emailShape.MatchString(strings.TrimSpace(e.Email)):
		return e, hubSpotInvalid("Email address is invalid")
	}
	return e, nil
}

func (h *hubSpotServer) checkTokens(app *hubSpotApp, e *timelineEvent) *hubSpotError {
	i := slices.IndexFunc(app.Templates, func(t EventTemplate) bool { return t.ID == idText(e.TemplateID) })
	if i < 0 {
		return hubSpotInvalid("There is no event template " + idText(e.TemplateID) + " of this app")
	}
	t := app.Templates[i]
	e.name, e.header, e.object = t.ID, t.HeaderTemplate, h.crm.typeOf(strings.ToLower(t.ObjectType))
	for name, value := range e.Tokens {
		i := slices.IndexFunc(t.Tokens, func(k TemplateToken) bool { return k.Name == name })
		if i < 0 {
			return hubSpotInvalid("The template has no token " + name)
		}
		text := textOf(value)
		if !t.Tokens[i].takes(text) {
			return hubSpotInvalid("The value of the token " + name + " is no " + t.Tokens[i].Type)
		}
		e.values[name] = text
	}
	return nil
}

// takes says that a text is of the token's type; dates are milliseconds.
func (k TemplateToken) takes(text string) bool {
	switch k.Type {
	case "number":
		_, err := strconv.ParseFloat(text, 64)
		return err == nil
	case "date":
		_, err := strconv.ParseInt(text, 10, 64)
		return err == nil
	case "enumeration":
		return slices.ContainsFunc(k.Options, func(o TokenOption) bool { return o.Value == text })
	}
	return true
}

func (h *hubSpotServer) checkAppEvent(app *hubSpotApp, e *timelineEvent) *hubSpotError {
	i := slices.IndexFunc(app.EventTypes, func(t AppEventType) bool { return app.eventTypeName(t.Project, t.Symbol) == e.TypeName })
	if i < 0 {
		return hubSpotInvalid("There is no app event type " + e.TypeName)
	}
	t := app.EventTypes[i]
	e.name, e.header, e.object = e.TypeName, t.HeaderTemplate, contacts
	if t.ObjectType != "" {
		e.object = h.crm.typeOf(strings.ToLower(t.ObjectType))
	}
	if e.Properties == nil {
		return hubSpotInvalid("properties is required")
	}
	for name, value := range e.Properties {
		text, isText := value.(string)
		if !isText || !slices.Contains(t.Properties, name) {
			return hubSpotInvalid("The property " + name + " is no property of this type, or its value is no text")
		}
		e.values[name] = text
	}
	return nil
}

func (e *timelineEvent) kind() string {
	if e.TypeName != "" {
		return appKind
	}
	return templateKind
}

func (e *timelineEvent) key() string { return e.kind() + " " + e.name + " " + e.ID }

// usedID refuses an id that the template or type has had, before or in the same request.
func (h *hubSpotServer) usedID(e *timelineEvent, seen map[string]bool) *hubSpotError {
	_, used := h.timeline.keys[e.key()]
	if used || seen[e.key()] {
		return &hubSpotError{Status: http.StatusConflict, Category: "CONFLICT", Message: "An event with the id " + e.ID + " exists already; events cannot be changed", Context: map[string]any{"id": []string{e.ID}}}
	}
	if seen != nil {
		seen[e.key()] = true
	}
	return nil
}

// takeTimelineEvent puts an event on its record. An unknown e-mail makes a contact; a
// visitor's token is nobody's here.
func (h *hubSpotServer) takeTimelineEvent(c *call, e *timelineEvent) (map[string]any, *hubSpotError) {
	if h.timeline.full() {
		return nil, hubSpotInvalid("the simulator holds as many events as it can")
	}
	var r *record
	by := "utk"
	switch id := idText(e.ObjectID); {
	case id != "":
		r, by = h.crm.findText(e.object, id), "objectId"
	case e.UTK == "":
		by = "email"
		if r = h.crm.findBy(contacts, "email", e.Email); r == nil {
			made, err := h.create(contacts, 0, map[string]string{"email": strings.ToLower(strings.TrimSpace(e.Email))}, h.apiChange(c))
			if err != nil {
				return nil, hubSpotInvalid(err.Error())
			}
			r = made
		}
	}
	h.know(e.key(), c.now)
	out := &Received{Kind: e.kind(), EventName: e.name, EventID: e.ID, EventTime: e.at, Body: e.raw}
	body := map[string]any{"id": e.ID, "timestamp": stamp(e.at), "createdAt": stamp(c.now), "objectType": strings.ToUpper(h.crm.one(e.object))}
	if e.kind() == templateKind {
		body["eventTemplateId"], body["tokens"] = e.name, e.values
	} else {
		body["eventTypeName"], body["properties"] = e.name, e.values
	}
	if r == nil {
		out.UnmatchedBy = []string{by}
		h.take(c, out)
		return body, nil
	}
	id := strconv.FormatInt(r.ID, 10)
	out.Object, out.Matched, out.MatchedBy, body["objectId"] = id, true, []string{by}, id
	if r.Type == contacts {
		out.Person = h.whoIs(r)
	}
	h.happen(occurrence{Kind: e.kind(), Type: r.Type, Record: r.ID, Name: e.name, UUID: e.ID, At: e.at, Came: c.now, Props: e.values, Sentence: render(e.header, e.values)})
	h.take(c, out)
	return body, nil
}

var handlebar = regexp.MustCompile(`\{\{#?\s*([A-Za-z0-9._-]+)\s*\}\}`)

// render fills a template's tokens in; blocks and helpers are not known here.
func render(template string, values map[string]string) string {
	return strings.TrimSpace(handlebar.ReplaceAllStringFunc(template, func(m string) string { return values[handlebar.FindStringSubmatch(m)[1]] }))
}

func (h *hubSpotServer) readTimeline(template, id string) (answer, *hubSpotError) {
	for of, list := range h.timeline.of {
		for _, o := range list {
			if o.Kind == templateKind && o.Name == template && o.UUID == id {
				return jsonAnswer(http.StatusOK, map[string]any{"id": id, "eventTemplateId": template, "tokens": o.Props, "timestamp": stamp(o.At),
					"objectType": strings.ToUpper(h.crm.one(of.Type)), "objectId": strconv.FormatInt(of.ID, 10)}), nil
			}
		}
	}
	return answer{}, hubSpotMissing("There is no event " + id + " of the template " + template)
}
