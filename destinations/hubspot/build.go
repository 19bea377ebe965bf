package hubspot

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// The parts.
const (
	propertiesPart = "properties"
	timelinePart   = "timeline"
)

// What shares a request: each has an address and a row of its own.
const (
	byID       = "properties by id"
	byEmail    = "properties by e-mail"
	asNotes    = "timeline as notes"
	asBehavior = "timeline as custom events"
)

const (
	noContact    = "HubSpot needs the contact's id or an e-mail address in the clear"
	noEventName  = "no name of a custom event can be made of this event's: set event_name, or event in the mapping"
	noContactYet = "a note needs the contact's id, and no report has given it yet"
)

// Plan gives up to two parts: "properties", written for every event that has something to
// say of its contact, and "timeline", once for each touch and funnel event.
func (d destination) Plan(e canonical.Event, k canonical.Known, route canonical.Route) ([]destinations.Part, destinations.Refusal) {
	values := d.properties(e, k)
	text := ""
	if d.Timeline != off {
		text = sentence(e, route)
	}
	if len(values) == 0 && text == "" {
		return nil, destinations.Refusal{Reason: canonical.ReasonNotMapped, Detail: "neither a property nor a timeline entry comes of this event"}
	}
	id, email := d.contactID(e, k), canonical.NormalEmail(e.Contact.Email)
	if id == "" && email == "" {
		return nil, destinations.Refusal{Reason: canonical.ReasonAwaitingIdentity, Detail: noContact}
	}
	var parts []destinations.Part
	if len(values) > 0 {
		p := destinations.Part{Name: propertiesPart, Batch: byID, Unique: id, Route: route, Slotless: true}
		if id == "" {
			p.Batch, p.Unique = byEmail, canonical.SHA256(email)
		}
		parts = append(parts, p)
	}
	if text == "" {
		return parts, destinations.Refusal{}
	}
	t := destinations.Part{Name: timelinePart, Batch: asBehavior, Route: route}
	if d.Timeline == notes {
		t.Batch, t.Ambiguous = asNotes, destinations.Hold
		if id == "" {
			wait := destinations.Refusal{Reason: canonical.ReasonAwaitingIdentity, Detail: noContactYet}
			if len(parts) == 0 {
				return nil, wait
			}
			t.Refused = wait // the properties make the contact, whose id then comes back by webhook
		}
	}
	if d.Timeline == customEvents && d.eventName(e, route) == "" {
		t.Refused = destinations.Refusal{Reason: canonical.ReasonNotConfigured, Detail: noEventName}
	}
	return append(parts, t), destinations.Refusal{}
}

var idShape = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)

// contactID gives the id of the person's contact in this destination's account: the
// record that survived its merges first. Ids of other accounts carry their name.
func (d destination) contactID(e canonical.Event, k canonical.Known) string {
	for _, ids := range [][]canonical.Identifier{k.Identifiers, e.Identifiers} {
		for _, id := range ids {
			if id.Scheme == canonical.HubSpotContact {
				if own := d.ownID(id.Value); own != "" {
					return own
				}
			}
		}
	}
	if e.Object.Account == d.Account || e.Object.Account == "" && d.Account == "hubspot" {
		return d.ownID(qualified(d.Account, e.Contact.ID))
	}
	return ""
}

func qualified(account, id string) string {
	if account == "hubspot" || id == "" {
		return id
	}
	return account + ":" + id
}

func (d destination) ownID(value string) string {
	id := value
	if d.Account != "hubspot" {
		rest, ok := strings.CutPrefix(value, d.Account+":")
		if !ok {
			return ""
		}
		id = rest
	}
	if !idShape.MatchString(id) {
		return ""
	}
	return id
}

// The rows of a batch. Fields stand in the order of their JSON names.
type contactRow struct {
	ID         string            `json:"id"`
	IDProperty string            `json:"idProperty,omitempty"`
	Trace      string            `json:"objectWriteTraceId"`
	Properties map[string]string `json:"properties"`
}

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

type eventRow struct {
	Email      string            `json:"email,omitempty"`
	EventName  string            `json:"eventName"`
	ObjectID   string            `json:"objectId,omitempty"`
	OccurredAt string            `json:"occurredAt"`
	Properties map[string]string `json:"properties"`
	UUID       string            `json:"uuid"`
}

// Build gives one batch call: all items are of one kind (Part.Batch).
func (d destination) Build(batch []destinations.Item) (destinations.Request, error) {
	if len(batch) == 0 {
		return destinations.Request{}, errors.New("an empty batch")
	}
	kind := batch[0].Part.Batch
	q := destinations.Request{
		Method: http.MethodPost,
		Path:   d.path(kind),
		Header: destinations.JSONHeader(),
		Bodies: make([][]byte, len(batch)),
		Values: make([]destinations.Value, len(batch)),
	}
	seen := map[string]bool{}
	for i, it := range batch {
		if it.Part.Batch != kind {
			return destinations.Request{}, fmt.Errorf("event %s: %q cannot share a request with %q", it.Event.ID, it.Part.Batch, kind)
		}
		if u := it.Part.Unique; u != "" && seen[u] {
			return destinations.Request{}, fmt.Errorf("event %s: two rows of one contact, which HubSpot refuses", it.Event.ID)
		} else if u != "" {
			seen[u] = true
		}
		row, err := d.row(it)
		if err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
		}
		if q.Bodies[i], err = destinations.JSON(row); err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
		}
	}
	q.Body = destinations.List("inputs", q.Bodies, "")
	return q, nil
}

func (d destination) path(kind string) string {
	switch kind {
	case byID:
		return d.paths.update
	case byEmail:
		return d.paths.upsert
	case asNotes:
		return d.paths.notes
	}
	return d.paths.events
}

func (d destination) row(it destinations.Item) (any, error) {
	e, k := it.Event, it.Known
	id, email := d.contactID(e, k), canonical.NormalEmail(e.Contact.Email)
	switch it.Part.Batch {
	case byID, byEmail:
		row := contactRow{ID: id, Trace: traceID(it), Properties: d.properties(e, k)}
		if it.Part.Batch == byEmail {
			row.ID, row.IDProperty = email, "email"
		}
		if row.ID == "" || len(row.Properties) == 0 {
			return nil, errors.New("no contact or nothing to write")
		}
		return row, nil
	case asNotes, asBehavior:
		text := sentence(e, it.Part.Route)
		if text == "" {
			return nil, errors.New("no timeline entry comes of this event")
		}
		if it.Part.Batch == asNotes {
			return noteFor(it, id, text)
		}
		return d.eventFor(it, id, email, text)
	}
	return nil, fmt.Errorf("unknown kind of request %q", it.Part.Batch)
}

func noteFor(it destinations.Item, id, text string) (noteRow, error) {
	if id == "" {
		return noteRow{}, errors.New(noContactYet)
	}
	return noteRow{
		Associations: []association{{To: reference{id}, Types: []associationType{{"HUBSPOT_DEFINED", noteToContact}}}},
		Trace:        traceID(it),
		Properties: map[string]string{
			"hs_note_body": noteBody(text),
			"hs_timestamp": datetime(it.Event.OccurredAt),
		},
	}, nil
}

func (d destination) eventFor(it destinations.Item, id, email, text string) (eventRow, error) {
	row := eventRow{
		ObjectID:   id,
		EventName:  d.eventName(it.Event, it.Part.Route),
		OccurredAt: datetime(it.Event.OccurredAt),
		Properties: map[string]string{"summary": destinations.Clip(destinations.Text(text), 256)},
		UUID:       uuid(it.Event.Key()),
	}
	if id == "" {
		row.Email = email
	}
	switch {
	case row.ObjectID == "" && row.Email == "":
		return eventRow{}, errors.New(noContact)
	case row.EventName == "":
		return eventRow{}, errors.New(noEventName)
	}
	return row, nil
}
