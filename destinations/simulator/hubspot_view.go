package simulator

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Entry is one line of a contact's timeline.
type Entry struct {
	At       time.Time `json:"at"`   // when it happened
	Kind     string    `json:"kind"` // note, custom_event, timeline_event, app_event, lifecycle, created, merged
	Sentence string    `json:"sentence"`
	// ID is the note's, a custom event's uuid, or the id a timeline or app event came with.
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"` // of the event's definition, template or type
}

// sentenceKeys are the properties of a custom event that hold its sentence, where one does.
var sentenceKeys = []string{"sentence", "title", "summary", "text", "description"}

// Timeline lists what stands on a contact's record by any mechanism, in the order of its own
// times. An old id leads to the survivor of a merge. Nil means there is no such contact.
func (s *Simulator) Timeline(contact int64) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.portals {
		if r := h.crm.find(contacts, contact); r != nil {
			return h.entries(r)
		}
	}
	return nil
}

func (h *hubSpotServer) entries(r *record) []Entry {
	out := []Entry{}
	for _, id := range h.crm.linked(reference{contacts, r.ID}, notes) {
		if note := h.crm.find(notes, id); note != nil {
			at, _ := readTime(note.Props["hs_timestamp"])
			out = append(out, Entry{At: at, Kind: "note", Sentence: plainText(note.Props["hs_note_body"]), ID: strconv.FormatInt(id, 10)})
		}
	}
	for _, o := range h.occurrences(r) {
		out = append(out, Entry{At: o.At, Kind: o.Kind, Sentence: h.sentence(o), ID: o.UUID, Name: o.Name})
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

// sentence is what a reader of the record sees of an event.
func (h *hubSpotServer) sentence(o occurrence) string {
	if o.Sentence != "" {
		return o.Sentence
	}
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
	Portal     int64              `json:"portal"`
	ID         int64              `json:"id"` // of the survivor
	Properties map[string]string  `json:"properties"`
	Linked     map[string][]int64 `json:"linked,omitempty"`
	Merged     []int64            `json:"merged,omitempty"` // ids it swallowed
}

// Record reads a record from the first portal that has it; an old id leads to the survivor.
// False means there is none.
func (s *Simulator) Record(object string, id int64) (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.portals {
		m := h.crm
		r := m.find(m.typeOf(object), id)
		if r == nil {
			continue
		}
		out := Record{Type: m.one(r.Type), Portal: h.account.PortalID, ID: r.ID, Properties: maps.Clone(r.Props), Linked: make(map[string][]int64), Merged: slices.Clone(r.Absorbed)}
		for to := range m.links[reference{r.Type, r.ID}] {
			if ids := m.linked(reference{r.Type, r.ID}, to); len(ids) > 0 {
				out.Linked[to] = ids
			}
		}
		return out, true
	}
	return Record{}, false
}
