package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Made is a record that a story puts into the CRM by hand.
type Made struct {
	Change
	Type       string            `json:"type"` // contact, company, deal
	ID         int64             `json:"id,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
	// Contacts and Companies it is tied to; the first company is its primary one.
	Contacts  []int64 `json:"contacts,omitempty"`
	Companies []int64 `json:"companies,omitempty"`
}

// Make puts a record into the CRM as a person at the keyboard would, and returns its id.
// Read-only properties may be given (hs_arr of a deal, say): a story has no line items.
func (s *Simulator) Make(in Made) (int64, error) {
	var id int64
	err := s.story(in.Change, func(ch Change) error {
		object := typeNames[in.Type]
		if object == "" || object == notes {
			return fmt.Errorf("type %q: want contact, company or deal", in.Type)
		}
		values, err := s.storyValues(object, in.Properties)
		if err != nil {
			return err
		}
		if _, ok := values["dealstage"]; object == deals && !ok {
			values["dealstage"] = s.hubspot.crm.deals[0].Stages[0].ID
			values["pipeline"] = cmp.Or(values["pipeline"], s.hubspot.crm.deals[0].ID)
		}
		others, err := s.storyOthers(in)
		if err != nil {
			return err
		}
		r, err := s.create(object, in.ID, values, ch)
		if err != nil {
			return err
		}
		for i, other := range others {
			s.associate(r, other, other.Type == companies && (i == 0 || others[i-1].Type != companies), false, ch)
		}
		id = r.ID
		return nil
	})
	return id, err
}

func (s *Simulator) storyOthers(in Made) ([]*record, error) {
	var out []*record
	for object, ids := range map[string][]int64{contacts: in.Contacts, companies: in.Companies} {
		for _, id := range ids {
			r := s.hubspot.crm.find(object, id)
			if r == nil {
				return nil, fmt.Errorf("%s %d does not exist", singular[object], id)
			}
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b *record) int { return strings.Compare(a.Type, b.Type) })
	return out, nil
}

// Set changes properties of a record. A lifecycle stage may go backward here, as it may on
// the screen.
func (s *Simulator) Set(object string, id int64, properties map[string]string, ch Change) error {
	return s.story(ch, func(ch Change) error {
		r, err := s.storyRecord(object, id)
		if err != nil {
			return err
		}
		values, err := s.storyValues(r.Type, properties)
		if err != nil {
			return err
		}
		s.set(r, values, ch)
		return nil
	})
}

// A Tie names two records to associate, or with Remove to part.
type Tie struct {
	Change
	FromType string `json:"from_type"`
	From     int64  `json:"from"`
	ToType   string `json:"to_type"`
	To       int64  `json:"to"`
	Primary  bool   `json:"primary,omitempty"`
	Remove   bool   `json:"remove,omitempty"`
}

// Associate ties two records.
func (s *Simulator) Associate(t Tie) error {
	return s.story(t.Change, func(ch Change) error {
		a, err := s.storyRecord(t.FromType, t.From)
		if err != nil {
			return err
		}
		b, err := s.storyRecord(t.ToType, t.To)
		if err != nil {
			return err
		}
		s.associate(a, b, t.Primary, t.Remove, ch)
		return nil
	})
}

// A Merger names two records to make one of. NewID is the id of a fresh survivor: 0 for the next
// free one, the primary's own where that is to survive.
type Merger struct {
	Change
	Type    string `json:"type,omitempty"` // "" means contact
	Primary int64  `json:"primary"`
	Merge   int64  `json:"merge"`
	NewID   int64  `json:"new_id,omitempty"`
}

// Merge makes one record of two and returns the survivor's id.
func (s *Simulator) Merge(in Merger) (int64, error) {
	var id int64
	err := s.story(in.Change, func(ch Change) error {
		object := cmp.Or(in.Type, "contact")
		winner, err := s.storyRecord(object, in.Primary)
		if err != nil {
			return err
		}
		loser, err := s.storyRecord(object, in.Merge)
		if err != nil {
			return err
		}
		if winner == loser {
			return fmt.Errorf("%d and %d are one record already", in.Primary, in.Merge)
		}
		survivor, err := s.merge(winner, loser, cmp.Or(in.NewID, s.hubspot.crm.next), ch)
		if err != nil {
			return err
		}
		id = survivor.ID
		return nil
	})
	return id, err
}

// Delete archives a record; with forget it erases a contact for good (GDPR).
func (s *Simulator) Delete(object string, id int64, forget bool, ch Change) error {
	return s.story(ch, func(ch Change) error {
		r, err := s.storyRecord(object, id)
		if err != nil {
			return err
		}
		if forget && r.Type == contacts {
			s.forget(r, ch)
			return nil
		}
		s.remove(r, ch)
		return nil
	})
}

// Restore brings an archived record back.
func (s *Simulator) Restore(object string, id int64, ch Change) error {
	return s.story(ch, func(ch Change) error {
		r := s.hubspot.crm.records[reference{typeNames[object], id}]
		if r == nil || !r.Archived || r.Merged != 0 || r.Props["hs_object_id"] == "" {
			return fmt.Errorf("%s %d is not in the bin", object, id)
		}
		r.Archived = false
		s.hubspot.crm.put(r)
		s.keep(r)
		s.hubspot.emit(fact{object: r.Type, action: "restore", record: r.ID}, ch)
		return nil
	})
}

// story does one step under the lock and returns once it is kept.
func (s *Simulator) story(ch Change, do func(Change) error) error {
	s.mu.Lock()
	err := do(ch.filled(s.now()))
	seq := s.journal.written()
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("simulated HubSpot: %w", err)
	}
	return s.journal.sync(seq)
}

func (s *Simulator) storyRecord(object string, id int64) (*record, error) {
	r := s.hubspot.crm.find(typeNames[object], id)
	if r == nil {
		return nil, fmt.Errorf("%s %d does not exist", object, id)
	}
	return r, nil
}

func (s *Simulator) storyValues(object string, properties map[string]string) (map[string]string, error) {
	out := make(map[string]string)
	for name, value := range properties {
		p, ok := s.hubspot.crm.property(object, name)
		if !ok {
			return nil, fmt.Errorf("%s has no property %q", singular[object], name)
		}
		p.Modification.ReadOnlyValue = false
		kept, code, message := p.check(value)
		if code != "" {
			return nil, fmt.Errorf("%s: %s", name, message)
		}
		out[name] = kept
	}
	if stage := out["dealstage"]; object == deals && stage != "" {
		if _, ok := s.hubspot.crm.stage(out["pipeline"], stage); !ok {
			return nil, fmt.Errorf("no pipeline has the stage %q", stage)
		}
	}
	return out, nil
}

// An Entry is one line of a contact's timeline.
type Entry struct {
	At       time.Time `json:"at"`   // when it happened
	Kind     string    `json:"kind"` // note, custom_event, lifecycle, created, merged
	Sentence string    `json:"sentence"`
	ID       string    `json:"id,omitempty"`
}

// sentenceKeys are the properties of a custom event that hold its sentence, where one does.
var sentenceKeys = []string{"sentence", "title", "summary", "text", "description"}

// Timeline lists what stands on a contact's record, in the order of its own times. An old id
// leads to the survivor of a merge. Nil means there is no such contact.
func (s *Simulator) Timeline(contact int64) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hubspot
	r := h.crm.find(contacts, contact)
	if r == nil {
		return nil
	}
	out := []Entry{}
	for _, id := range h.crm.linked(reference{contacts, r.ID}, notes) {
		if note := h.crm.find(notes, id); note != nil {
			at, _ := readTime(note.Props["hs_timestamp"])
			out = append(out, Entry{At: at, Kind: "note", Sentence: plainText(note.Props["hs_note_body"]), ID: strconv.FormatInt(id, 10)})
		}
	}
	for _, o := range h.occurrences {
		if h.crm.find(contacts, o.Contact) == r {
			out = append(out, Entry{At: o.At, Kind: "custom_event", Sentence: h.sentence(o), ID: o.UUID})
		}
	}
	for _, v := range r.History["lifecyclestage"] {
		if v.Value != "" {
			out = append(out, Entry{At: v.At, Kind: "lifecycle", Sentence: "Lifecycle stage: " + v.Value})
		}
	}
	for _, m := range r.Moments {
		out = append(out, Entry{At: m.At, Kind: m.Kind, Sentence: m.Text})
	}
	slices.SortStableFunc(out, func(a, b Entry) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Sentence, b.Sentence))
	})
	return out
}

func (h *hubSpotServer) sentence(o occurrence) string {
	for _, key := range sentenceKeys {
		if text := o.Props[key]; text != "" {
			return text
		}
	}
	text := strings.TrimPrefix(o.Name, h.eventName(""))
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(o.Props)) {
		parts = append(parts, name+": "+o.Props[name])
	}
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	return text
}

var entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#34;", `"`, "&#39;", "'", "&nbsp;", " ", "&amp;", "&")

// plainText takes the tags off a note's HTML.
func plainText(html string) string {
	var b strings.Builder
	inTag := false
	for _, r := range html {
		switch {
		case r == '<':
			inTag = true
		case r == '>' && inTag:
			inTag = false
		case !inTag:
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(entities.Replace(b.String()))
}

// A Record is a CRM record as a test or a story reads it.
type Record struct {
	Type       string             `json:"type"`
	ID         int64              `json:"id"` // of the survivor
	Properties map[string]string  `json:"properties"`
	Linked     map[string][]int64 `json:"linked,omitempty"`
	Merged     []int64            `json:"merged,omitempty"` // ids it swallowed
}

// Record reads a record; an old id leads to the survivor. False means there is none.
func (s *Simulator) Record(object string, id int64) (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.hubspot.crm
	r := m.find(typeNames[object], id)
	if r == nil {
		return Record{}, false
	}
	out := Record{Type: singular[r.Type], ID: r.ID, Properties: maps.Clone(r.Props), Linked: make(map[string][]int64), Merged: slices.Clone(r.Absorbed)}
	for to := range m.links[reference{r.Type, r.ID}] {
		if ids := m.linked(reference{r.Type, r.ID}, to); len(ids) > 0 {
			out.Linked[to] = ids
		}
	}
	return out, true
}

// restore puts back one line of the file.
func (h *hubSpotServer) restore(kind string, value json.RawMessage) error {
	switch kind {
	case "record":
		r := new(record)
		if err := json.Unmarshal(value, r); err != nil {
			return err
		}
		if old := h.crm.records[reference{r.Type, r.ID}]; old != nil {
			for _, e := range old.emails() {
				if h.crm.emails[e] == old.ID {
					delete(h.crm.emails, e)
				}
			}
		}
		h.crm.put(r)
		return nil
	case "link":
		var l linkLine
		if err := json.Unmarshal(value, &l); err != nil {
			return err
		}
		h.crm.link(reference{l.FromType, l.From}, reference{l.ToType, l.To}, l.Primary, l.Remove)
		return nil
	case "property":
		var p propertyLine
		if err := json.Unmarshal(value, &p); err != nil {
			return err
		}
		if h.crm.schema[p.Object] == nil {
			return fmt.Errorf("property of unknown type %q", p.Object)
		}
		h.crm.schema[p.Object][p.Property.Name] = p.Property
		if p.Removed {
			delete(h.crm.schema[p.Object], p.Property.Name)
		}
		return nil
	case "occurrence":
		var o occurrence
		if err := json.Unmarshal(value, &o); err != nil {
			return err
		}
		h.occurrences = append(h.occurrences, o)
		return nil
	case "hook":
		var e hookEvent
		if err := json.Unmarshal(value, &e); err != nil {
			return err
		}
		h.hooks.was(e)
		return nil
	case "uuid":
		var u uuidLine
		if err := json.Unmarshal(value, &u); err != nil {
			return err
		}
		h.uuids[u.Key] = u.At
		return nil
	case "definition":
		var full string
		if err := json.Unmarshal(value, &full); err != nil {
			return err
		}
		h.definitions[full] = true
		return nil
	}
	return fmt.Errorf("unknown kind %q", kind)
}
