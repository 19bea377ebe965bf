package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// uuidLine is a uuid that was seen, in the file.
type uuidLine struct {
	Key string    `json:"key"`
	At  time.Time `json:"at"`
}

const (
	maxSendBatch  = 500
	maxEventProps = 50
	uuidYear      = 365 * 24 * time.Hour
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
func (h *hubSpotServer) serveSend(c *call, rest []string) (answer, *hubSpotError) {
	if c.method != http.MethodPost {
		return answer{}, notAllowed()
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
		return answer{}, noSuchPath()
	}
	events := make([]*customEvent, len(raws))
	for i, raw := range raws {
		e := &customEvent{raw: raw}
		if err := unmarshal(raw, e); err != nil {
			return answer{}, hubSpotBadJSON()
		}
		if refused := h.checkCustomEvent(c, e); refused != nil {
			return answer{}, refused
		}
		events[i] = e
	}
	if h.timeline.full() {
		return answer{}, hubSpotInvalid("the simulator holds as many events as it can")
	}
	for _, e := range events {
		h.takeCustomEvent(c, e)
	}
	return answer{status: http.StatusNoContent}, nil
}

var eventPropertyName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,49}$`)

func (h *hubSpotServer) checkCustomEvent(c *call, e *customEvent) *hubSpotError {
	d := h.definitions[e.EventName]
	if d == nil {
		return hubSpotInvalid("Event definition " + e.EventName + " does not exist")
	}
	if idText(e.ObjectID) == "" && e.Email == "" && e.UTK == "" && textOf(e.Properties[d.Matching]) == "" {
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
		text := textOf(value)
		switch {
		case !eventPropertyName.MatchString(name) || seen[lower]:
			return hubSpotInvalid("Property name " + name + " is not valid, or there twice")
		case utf8.RuneCountInString(text) > most:
			return hubSpotInvalid(fmt.Sprintf("The value of %s is longer than %d characters", name, most))
		}
		if refused := d.takes(name, text); refused != nil {
			return refused
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

// takeCustomEvent puts an event on its record, once for each uuid within a year.
func (h *hubSpotServer) takeCustomEvent(c *call, e *customEvent) {
	out := &Received{Kind: customKind, EventName: e.EventName, EventID: e.UUID, EventTime: e.at, Body: e.raw}
	r, by := h.ownerOf(e)
	if r != nil {
		out.Object, out.Matched, out.MatchedBy = strconv.FormatInt(r.ID, 10), true, []string{by}
		if r.Type == contacts {
			out.Person = h.whoIs(r)
		}
	} else {
		out.UnmatchedBy = []string{by}
	}
	key := e.EventName + " " + e.UUID
	if first, seen := h.timeline.keys[key]; e.UUID != "" && seen && c.now.Sub(first) < uuidYear {
		out.Duplicate, out.Ignored = true, true
		h.take(c, out)
		return
	}
	if e.UUID != "" {
		h.know(key, c.now)
	}
	if r != nil {
		o := occurrence{Kind: customKind, Type: r.Type, Record: r.ID, Name: e.EventName, UUID: e.UUID, At: e.at, Came: c.now, Props: make(map[string]string)}
		for k, v := range e.Properties {
			o.Props[k] = textOf(v)
		}
		h.happen(o)
	}
	h.take(c, out)
}

// ownerOf finds the record: by the definition's matching property, then objectId, then
// e-mail; a visitor's token is nobody's here.
func (h *hubSpotServer) ownerOf(e *customEvent) (*record, string) {
	d := h.definitions[e.EventName]
	object := h.crm.typeOf(strings.ToLower(d.Object))
	if value := textOf(e.Properties[d.Matching]); d.Matching != "" && value != "" {
		return h.crm.findBy(object, d.Target, value), d.Matching
	}
	if id := idText(e.ObjectID); id != "" {
		return h.crm.findText(object, id), "objectId"
	}
	if e.Email != "" {
		return h.crm.findBy(contacts, "email", e.Email), "email"
	}
	return nil, "utk"
}

// serveOccurrences reads a record's custom events back, those that are shown already.
func (h *hubSpotServer) serveOccurrences(c *call, rest []string) (answer, *hubSpotError) {
	if c.method != http.MethodGet {
		return answer{}, notAllowed()
	}
	if len(rest) > 0 {
		return answer{}, noSuchPath()
	}
	query := c.r.URL.Query()
	object := h.crm.typeOf(strings.ToLower(query.Get("objectType")))
	r := h.crm.findText(object, query.Get("objectId"))
	if object == "" || r == nil {
		return answer{}, hubSpotInvalid("objectType and objectId of a record are required")
	}
	limit, err := strconv.Atoi(cmp.Or(query.Get("limit"), "100"))
	after, bad := strconv.Atoi(cmp.Or(query.Get("after"), "0"))
	if err != nil || bad != nil || limit < 1 || after < 0 {
		return answer{}, hubSpotInvalid("limit and after must be numbers")
	}
	kind := query.Get("eventType")
	results := []any{}
	for _, o := range h.occurrences(r) {
		if o.Kind != customKind || kind != "" && o.Name != kind || h.account.EventLag > 0 && c.now.Sub(o.Came) < h.account.EventLag {
			continue
		}
		results = append(results, map[string]any{"objectType": strings.ToUpper(h.crm.one(object)), "objectId": strconv.FormatInt(r.ID, 10),
			"eventType": o.Name, "occurredAt": stamp(o.At), "id": o.UUID, "properties": o.Props})
	}
	body := map[string]any{}
	end := min(after+limit, len(results))
	if end < len(results) {
		body["paging"] = map[string]any{"next": map[string]string{"after": strconv.Itoa(end)}}
	}
	body["results"] = results[min(after, end):end]
	return jsonAnswer(http.StatusOK, body), nil
}
