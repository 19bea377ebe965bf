package canonical

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// AppendJSON writes the delivery behind b, byte for byte as encoding/json does. Two are
// written for every event and destination, so it takes its time only where one is unusual.
func (d *Delivery) AppendJSON(b []byte) ([]byte, error) {
	w := writer{b: b}
	w.b = append(w.b, `{"destination":`...)
	w.b = appendText(w.b, d.Destination)
	w.b = append(w.b, `,"event":{"name":`...)
	w.b = appendText(w.b, d.Event.Name)
	w.b = append(w.b, `,"event_id":`...)
	w.b = appendText(w.b, string(d.Event.ID))
	w.b = append(w.b, `},"part":`...)
	w.b = appendText(w.b, d.Part)
	w.b = append(w.b, `,"state":`...)
	w.b = appendText(w.b, string(d.State))
	w.text("reason", d.Reason)
	w.text("detail", d.Detail)
	w.time("at", &d.At)
	w.int("attempt", int64(d.Attempt))
	w.text("replay_id", d.ReplayID)
	w.flag("forced", d.Forced)
	w.text("mode", d.Mode)
	w.text("owner", d.Owner)
	w.flag("ambiguous", d.Ambiguous)
	w.time("due", d.Due)
	w.time("first_try", d.FirstTry)
	w.time("give_up_at", d.GiveUpAt)
	w.text("slot", d.Slot)
	w.any("content", d.Content, d.Content != nil)
	w.any("known", d.Known, d.Known != nil)
	w.any("body", d.Body, len(d.Body) > 0)
	w.text("body_hash", d.BodyHash)
	w.texts("match", d.Match)
	w.text("who", d.Who)
	if d.Node != 0 {
		w.text("node", d.Node.String())
	}
	w.int("http_status", int64(d.HTTPStatus))
	w.int("latency_ms", d.LatencyMS)
	w.text("trace_id", d.TraceID)
	w.int("batch_size", int64(d.BatchSize))
	if d.Value != nil {
		w.name("value")
		w.b = d.Value.Append(w.b)
	}
	w.text("currency", d.Currency)
	w.any("end", d.End, len(d.End) > 0)
	if w.err != nil {
		return nil, w.err
	}
	return append(w.b, '}'), nil
}

// A writer appends the members of an object that are not empty.
type writer struct {
	b   []byte
	err error
}

func (w *writer) name(name string) {
	w.b = append(append(append(w.b, `,"`...), name...), `":`...)
}

func (w *writer) text(name, v string) {
	if v != "" {
		w.name(name)
		w.b = appendText(w.b, v)
	}
}

func (w *writer) int(name string, v int64) {
	if v != 0 {
		w.name(name)
		w.b = strconv.AppendInt(w.b, v, 10)
	}
}

func (w *writer) flag(name string, v bool) {
	if v {
		w.name(name)
		w.b = append(w.b, "true"...)
	}
}

func (w *writer) time(name string, v *time.Time) {
	if v == nil || w.err != nil {
		return
	}
	w.name(name)
	b, err := v.AppendText(append(w.b, '"'))
	if err != nil {
		w.err = err
		return
	}
	w.b = append(b, '"')
}

func (w *writer) texts(name string, v map[string]string) {
	if len(v) == 0 {
		return
	}
	w.name(name)
	w.b = append(w.b, '{')
	var room [24]string
	names := room[:0]
	for k := range v {
		names = append(names, k)
	}
	slices.Sort(names)
	for i, k := range names {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = append(appendText(w.b, k), ':')
		w.b = appendText(w.b, v[k])
	}
	w.b = append(w.b, '}')
}

func (w *writer) any(name string, v any, is bool) {
	if is && w.err == nil {
		w.b, w.err = appendMember(w.b, name, v)
	}
}

// ReadDelivery reads what AppendJSON or encoding/json wrote. What looks otherwise than
// this program writes it is left to encoding/json.
func ReadDelivery(b []byte) (Delivery, error) {
	var d Delivery
	if r := (reader{all: string(b)}); readMembers(&r, &d, deliveryMembers) && r.done() {
		return d, nil
	}
	d = Delivery{}
	err := json.Unmarshal(b, &d)
	return d, err
}

// The members, in the order of the fields.
var (
	deliveryMembers = []member[Delivery]{
		{"destination", func(r *reader, d *Delivery) bool { return r.text(&d.Destination) }},
		{"event", func(r *reader, d *Delivery) bool { return readMembers(r, &d.Event, keyMembers) }},
		{"part", func(r *reader, d *Delivery) bool { return r.text(&d.Part) }},
		{"state", func(r *reader, d *Delivery) bool { return r.text((*string)(&d.State)) }},
		{"reason", func(r *reader, d *Delivery) bool { return r.text(&d.Reason) }},
		{"detail", func(r *reader, d *Delivery) bool { return r.text(&d.Detail) }},
		{"at", func(r *reader, d *Delivery) bool { return r.time(&d.At) }},
		{"attempt", func(r *reader, d *Delivery) bool { return r.int(&d.Attempt) }},
		{"replay_id", func(r *reader, d *Delivery) bool { return r.text(&d.ReplayID) }},
		{"forced", func(r *reader, d *Delivery) bool { return r.bool(&d.Forced) }},
		{"mode", func(r *reader, d *Delivery) bool { return r.text(&d.Mode) }},
		{"owner", func(r *reader, d *Delivery) bool { return r.text(&d.Owner) }},
		{"ambiguous", func(r *reader, d *Delivery) bool { return r.bool(&d.Ambiguous) }},
		{"due", func(r *reader, d *Delivery) bool { return r.newTime(&d.Due) }},
		{"first_try", func(r *reader, d *Delivery) bool { return r.newTime(&d.FirstTry) }},
		{"give_up_at", func(r *reader, d *Delivery) bool { return r.newTime(&d.GiveUpAt) }},
		{"slot", func(r *reader, d *Delivery) bool { return r.text(&d.Slot) }},
		{"content", func(r *reader, d *Delivery) bool { return readNew(r, &d.Content, eventMembers) }},
		{"known", func(r *reader, d *Delivery) bool { return readNew(r, &d.Known, knownMembers) }},
		{"body", func(r *reader, d *Delivery) bool { return r.any(&d.Body) }},
		{"body_hash", func(r *reader, d *Delivery) bool { return r.text(&d.BodyHash) }},
		{"match", func(r *reader, d *Delivery) bool { return readMap(r, &d.Match, (*reader).text) }},
		{"who", func(r *reader, d *Delivery) bool { return r.text(&d.Who) }},
		{"node", func(r *reader, d *Delivery) bool { return r.node(&d.Node) }},
		{"http_status", func(r *reader, d *Delivery) bool { return r.int(&d.HTTPStatus) }},
		{"latency_ms", func(r *reader, d *Delivery) bool { return r.int64(&d.LatencyMS) }},
		{"trace_id", func(r *reader, d *Delivery) bool { return r.text(&d.TraceID) }},
		{"batch_size", func(r *reader, d *Delivery) bool { return r.int(&d.BatchSize) }},
		{"value", func(r *reader, d *Delivery) bool { return r.newMoney(&d.Value) }},
		{"currency", func(r *reader, d *Delivery) bool { return r.text(&d.Currency) }},
		{"end", func(r *reader, d *Delivery) bool { return r.any(&d.End) }},
	}
	keyMembers = []member[EventKey]{
		{"name", func(r *reader, k *EventKey) bool { return r.text(&k.Name) }},
		{"event_id", func(r *reader, k *EventKey) bool { return r.text((*string)(&k.ID)) }},
	}
)
