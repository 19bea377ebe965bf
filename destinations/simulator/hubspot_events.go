package simulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An occurrence is a custom event that stands on a contact's record.
type occurrence struct {
	Contact int64             `json:"contact"`
	Name    string            `json:"name"`
	UUID    string            `json:"uuid,omitempty"`
	At      time.Time         `json:"at"`
	Props   map[string]string `json:"props,omitempty"`
}

// uuidLine is a uuid that was seen, in the file.
type uuidLine struct {
	Key string    `json:"key"`
	At  time.Time `json:"at"`
}

const (
	maxSendBatch  = 500
	maxEventProps = 50
	uuidYear      = 365 * 24 * time.Hour
	maxOccurrence = 200_000
)

type customEvent struct {
	EventName  string         `json:"eventName"`
	Properties map[string]any `json:"properties"`
	ObjectID   any            `json:"objectId"`
	Email      string         `json:"email"`
	UTK        string         `json:"utk"`
	OccurredAt any            `json:"occurredAt"`
	UUID       string         `json:"uuid"`
	raw        json.RawMessage
	at         time.Time
}

// serveSend takes one custom event or up to 500; one bad event refuses all.
func (s *Simulator) serveSend(c *call, rest []string) (answer, *hubSpotError) {
	if c.method != http.MethodPost {
		return answer{}, &hubSpotError{Status: http.StatusMethodNotAllowed, Message: "method not allowed"}
	}
	raws := []json.RawMessage{c.body}
	if len(rest) == 1 && rest[0] == "batch" {
		var in struct {
			Inputs []json.RawMessage `json:"inputs"`
		}
		if err := unmarshal(c.body, &in); err != nil {
			return answer{}, hubSpotBadJSON()
		}
		if refused := checkCount(len(in.Inputs), maxSendBatch); refused != nil {
			return answer{}, refused
		}
		raws = in.Inputs
	} else if len(rest) > 0 {
		return answer{}, &hubSpotError{Status: http.StatusNotFound, Message: "resource not found"}
	}
	events := make([]*customEvent, len(raws))
	for i, raw := range raws {
		e := &customEvent{raw: raw}
		if err := unmarshal(raw, e); err != nil {
			return answer{}, hubSpotBadJSON()
		}
		if refused := s.checkCustomEvent(c, e); refused != nil {
			return answer{}, refused
		}
		events[i] = e
	}
	for _, e := range events {
		s.takeCustomEvent(c, e)
	}
	return answer{status: http.StatusNoContent}, nil
}

var eventPropertyName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,49}$`)

func (s *Simulator) checkCustomEvent(c *call, e *customEvent) *hubSpotError {
	if !s.hubspot.definitions[e.EventName] {
		return hubSpotInvalid("Event definition " + e.EventName + " does not exist")
	}
	if idText(e.ObjectID) == "" && e.Email == "" && e.UTK == "" {
		return hubSpotInvalid("One of objectId, email or utk is required")
	}
	e.at = c.now
	if e.OccurredAt != nil {
		at, ok := readTime(idText(e.OccurredAt))
		if !ok {
			return hubSpotInvalid("occurredAt is not a valid time")
		}
		e.at = at
	}
	if len(e.Properties) > maxEventProps {
		return hubSpotInvalid(fmt.Sprintf("At most %d properties are allowed in an event", maxEventProps))
	}
	seen := make(map[string]bool)
	for name, value := range e.Properties {
		lower := strings.ToLower(name)
		most := 256
		if strings.Contains(lower, "url") || strings.Contains(lower, "referrer") || strings.Contains(lower, "link") {
			most = 1024
		}
		switch {
		case !eventPropertyName.MatchString(name) || seen[lower]:
			return hubSpotInvalid("Property name " + name + " is not valid, or there twice")
		case len([]rune(textOf(value))) > most:
			return hubSpotInvalid(fmt.Sprintf("The value of %s is longer than %d characters", name, most))
		}
		seen[lower] = true
	}
	return nil
}

// textOf writes a scalar as a text.
func textOf(v any) string {
	switch t := v.(type) {
	case nil:
		return ""
	case string:
		return t
	}
	text, _ := marshal(v)
	return string(text)
}

// takeCustomEvent puts an event on its contact's record, once for each uuid within a year.
func (s *Simulator) takeCustomEvent(c *call, e *customEvent) {
	h := s.hubspot
	out := &Received{Kind: "custom_event", EventName: e.EventName, EventID: e.UUID, EventTime: e.at, Body: e.raw}
	contact, by := s.contactOf(e)
	if contact != nil {
		out.Object = strconv.FormatInt(contact.ID, 10)
		out.Person, out.Matched, out.MatchedBy = s.whoIs(contact), true, []string{by}
	} else {
		out.UnmatchedBy = []string{by}
	}
	key := e.EventName + " " + e.UUID
	if first, seen := h.uuids[key]; e.UUID != "" && seen && c.now.Sub(first) < uuidYear {
		out.Duplicate, out.Ignored = true, true
		s.take(HubSpot, c, out)
		return
	}
	if e.UUID != "" && len(h.uuids) < maxOccurrence {
		h.uuids[key] = c.now
		s.journal.note("uuid", uuidLine{key, c.now})
	}
	if contact != nil && len(h.occurrences) < maxOccurrence {
		o := occurrence{Contact: contact.ID, Name: e.EventName, UUID: e.UUID, At: e.at, Props: make(map[string]string)}
		for k, v := range e.Properties {
			o.Props[k] = textOf(v)
		}
		h.occurrences = append(h.occurrences, o)
		s.journal.note("occurrence", o)
	}
	s.take(HubSpot, c, out)
}

// contactOf finds the record: objectId before e-mail; a visitor's token is nobody's here.
func (s *Simulator) contactOf(e *customEvent) (*record, string) {
	if id := idText(e.ObjectID); id != "" {
		return s.hubspot.crm.findText(contacts, id), "objectId"
	}
	if e.Email != "" {
		return s.hubspot.crm.findBy(contacts, "email", e.Email), "email"
	}
	return nil, "utk"
}

var definitionName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// serveDefinitions creates, lists and reads definitions of custom events.
func (s *Simulator) serveDefinitions(c *call, rest []string) (answer, *hubSpotError) {
	h := s.hubspot
	switch {
	case c.method == http.MethodPost && len(rest) == 0:
		var in struct {
			Label string `json:"label"`
			Name  string `json:"name"`
		}
		if err := unmarshal(c.body, &in); err != nil {
			return answer{}, hubSpotBadJSON()
		}
		if in.Label == "" || !definitionName.MatchString(in.Name) {
			return answer{}, hubSpotInvalid("label and a lower-case name are required")
		}
		full := h.eventName(in.Name)
		if h.definitions[full] {
			return answer{}, &hubSpotError{Status: http.StatusConflict, Category: "OBJECT_ALREADY_EXISTS", Message: "Event definition " + full + " already exists"}
		}
		if len(h.definitions) >= 500 {
			return answer{}, hubSpotInvalid("The limit of 500 event definitions is reached")
		}
		h.definitions[full] = true
		s.journal.note("definition", full)
		return jsonAnswer(http.StatusOK, h.definition(full)), nil
	case c.method == http.MethodGet && len(rest) == 0:
		results := []any{}
		for _, full := range slices.Sorted(maps.Keys(h.definitions)) {
			results = append(results, h.definition(full))
		}
		return jsonAnswer(http.StatusOK, map[string]any{"total": len(results), "results": results}), nil
	case c.method == http.MethodGet && len(rest) == 1:
		for _, full := range []string{rest[0], h.eventName(rest[0])} {
			if h.definitions[full] {
				return jsonAnswer(http.StatusOK, h.definition(full)), nil
			}
		}
		return answer{}, hubSpotMissing("Event definition " + rest[0] + " does not exist")
	}
	return answer{}, &hubSpotError{Status: http.StatusNotFound, Message: "resource not found"}
}

func (h *hubSpotServer) definition(full string) map[string]any {
	name := strings.TrimPrefix(full, h.eventName(""))
	return map[string]any{"fullyQualifiedName": full, "name": name, "labels": map[string]any{"singular": name}, "primaryObjectId": "0-1", "archived": false}
}

// serveOccurrences reads a contact's custom events back.
func (h *hubSpotServer) serveOccurrences(c *call) (answer, *hubSpotError) {
	query := c.r.URL.Query()
	r := h.crm.findText(contacts, query.Get("objectId"))
	if typeNames[query.Get("objectType")] != contacts || r == nil || c.method != http.MethodGet {
		return answer{}, hubSpotInvalid("objectType and objectId of a contact are required")
	}
	results := []any{}
	for _, o := range h.occurrences {
		if h.crm.find(contacts, o.Contact) == r {
			results = append(results, map[string]any{"objectType": "CONTACT", "objectId": strconv.FormatInt(r.ID, 10), "eventType": o.Name, "occurredAt": stamp(o.At), "id": o.UUID, "properties": o.Props})
		}
	}
	return jsonAnswer(http.StatusOK, map[string]any{"results": results}), nil
}
