package hubspot

import (
	"errors"
	"fmt"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// The rows of timeline entries. Fields stand in the order of their JSON names.
type noteRow struct {
	Associations []association     `json:"associations"`
	Trace        string            `json:"objectWriteTraceId"`
	Properties   map[string]string `json:"properties"`
}

type association struct {
	To    reference         `json:"to"`
	Types []associationType `json:"types"`
}

type reference struct {
	ID string `json:"id"`
}

type associationType struct {
	Category string `json:"associationCategory"`
	TypeID   int    `json:"associationTypeId"`
}

// noteToContact is HubSpot's own type of a note's tie to a contact.
const noteToContact = 202

type behaviorRow struct {
	EventName  string            `json:"eventName"`
	ObjectID   string            `json:"objectId"`
	OccurredAt string            `json:"occurredAt"`
	Properties map[string]string `json:"properties"`
	UUID       string            `json:"uuid"`
}

type templateRow struct {
	Email     string            `json:"email,omitempty"`
	Template  string            `json:"eventTemplateId"`
	ID        string            `json:"id"`
	ObjectID  string            `json:"objectId,omitempty"`
	Timestamp string            `json:"timestamp"`
	Tokens    map[string]string `json:"tokens"`
}

type appEventRow struct {
	Email      string            `json:"email,omitempty"`
	TypeName   string            `json:"eventTypeName"`
	ID         string            `json:"id"`
	ObjectID   string            `json:"objectId,omitempty"`
	Properties map[string]string `json:"properties"`
	Timestamp  string            `json:"timestamp"`
}

// entry is one timeline entry. It stands at the time the thing happened.
func (d destination) entry(it destinations.Item) (any, error) {
	e, route := it.Event, it.Part.Route
	text := sentence(e, route)
	if text == "" {
		return nil, errors.New("no timeline entry comes of this event")
	}
	id, email := d.contactID(e, it.Known), ""
	if id == "" {
		email = canonical.NormalEmail(e.Contact.Email) // these mechanisms make the contact
	}
	at := datetime(destinations.HappenedAt(e))
	if id == "" && (it.Part.Batch == asNotes || it.Part.Batch == asBehavior) {
		return nil, errors.New(noContactYet)
	}
	if it.Part.Batch == asNotes {
		return noteRow{
			Associations: []association{{To: reference{id}, Types: []associationType{{"HUBSPOT_DEFINED", noteToContact}}}},
			Trace:        traceID(it),
			Properties:   map[string]string{"hs_note_body": noteBody(text), "hs_timestamp": at},
		}, nil
	}
	if id == "" && email == "" {
		return nil, errors.New(noContact)
	}
	key := uuid(e.Key())
	switch it.Part.Batch {
	case asBehavior:
		name := d.eventName(e, route)
		if name == "" {
			return nil, errors.New(noEventName)
		}
		return behaviorRow{EventName: name, ObjectID: id, OccurredAt: at, Properties: d.behavior(name, entryValues(e, route)), UUID: key}, nil
	case asTimeline, asAppEvents:
		template := d.template(e)
		if template == "" {
			return nil, errors.New(noTemplate)
		}
		tokens := map[string]string{}
		for field, v := range entryValues(e, route) {
			if token := d.Tokens[field]; token != "" {
				tokens[token] = destinations.Clip(v, longest)
			}
		}
		if it.Part.Batch == asTimeline {
			return templateRow{Email: email, Template: template, ID: key, ObjectID: id, Timestamp: at, Tokens: tokens}, nil
		}
		return appEventRow{Email: email, TypeName: template, ID: key, ObjectID: id, Properties: tokens, Timestamp: at}, nil
	}
	return nil, fmt.Errorf("unknown kind of request %q", it.Part.Batch)
}

// behavior gives a custom event's properties: the sentence, and of the others those that its
// definition is known to have. One value too long would refuse the whole request.
func (d destination) behavior(name string, values map[string]string) map[string]string {
	out := map[string]string{}
	var defined []string
	if d.schema != nil {
		defined = d.schema.events[name]
	}
	for _, property := range append([]string{"summary"}, defined...) {
		if v := values[property]; v != "" {
			out[property] = destinations.Clip(v, longestOf(property))
		}
	}
	return out
}

// longestOf is how long a custom event's value may be, by its property's name.
func longestOf(property string) int {
	for _, word := range []string{"url", "referrer", "link"} {
		if strings.Contains(property, word) {
			return 1024
		}
	}
	return 256
}

// traceID names an entry's row in HubSpot's answer.
func traceID(it destinations.Item) string {
	key := it.Event.Key()
	return string(canonical.MintID("hubspot", it.Part.Name, key.Name, string(key.ID)))[:32]
}
