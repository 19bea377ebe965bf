package simulator

import (
	"cmp"
	"fmt"
	"slices"
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
	err := s.story(in.Change, func(h *hubSpotServer, ch Change) error {
		object := h.crm.typeOf(in.Type)
		if object == "" || object == notes {
			return fmt.Errorf("type %q: want contact, company, deal or a custom object", in.Type)
		}
		values, err := h.storyValues(object, in.Properties)
		if err != nil {
			return err
		}
		if _, ok := values["dealstage"]; object == deals && !ok {
			values["dealstage"] = h.crm.deals[0].Stages[0].ID
			values["pipeline"] = cmp.Or(values["pipeline"], h.crm.deals[0].ID)
		}
		others, err := h.storyOthers(in)
		if err != nil {
			return err
		}
		r, err := h.create(object, in.ID, values, ch)
		if err != nil {
			return err
		}
		for i, other := range others {
			h.associate(r, other, other.Type == companies && (i == 0 || others[i-1].Type != companies), false, ch)
		}
		id = r.ID
		return nil
	})
	return id, err
}

func (h *hubSpotServer) storyOthers(in Made) ([]*record, error) {
	var out []*record
	for object, ids := range map[string][]int64{contacts: in.Contacts, companies: in.Companies} {
		for _, id := range ids {
			r := h.crm.find(object, id)
			if r == nil {
				return nil, fmt.Errorf("%s %d does not exist", h.crm.one(object), id)
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
	return s.story(ch, func(h *hubSpotServer, ch Change) error {
		r, err := h.storyRecord(object, id)
		if err != nil {
			return err
		}
		values, err := h.storyValues(r.Type, properties)
		if err != nil {
			return err
		}
		h.set(r, values, ch)
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
	return s.story(t.Change, func(h *hubSpotServer, ch Change) error {
		a, err := h.storyRecord(t.FromType, t.From)
		if err != nil {
			return err
		}
		b, err := h.storyRecord(t.ToType, t.To)
		if err != nil {
			return err
		}
		h.associate(a, b, t.Primary, t.Remove, ch)
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
	err := s.story(in.Change, func(h *hubSpotServer, ch Change) error {
		object := cmp.Or(in.Type, "contact")
		winner, err := h.storyRecord(object, in.Primary)
		if err != nil {
			return err
		}
		loser, err := h.storyRecord(object, in.Merge)
		if err != nil {
			return err
		}
		if winner == loser {
			return fmt.Errorf("%d and %d are one record already", in.Primary, in.Merge)
		}
		survivor, err := h.merge(winner, loser, cmp.Or(in.NewID, h.crm.next), ch)
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
	return s.story(ch, func(h *hubSpotServer, ch Change) error {
		r, err := h.storyRecord(object, id)
		if err != nil {
			return err
		}
		if forget && r.Type == contacts {
			h.forget(r, ch)
			return nil
		}
		h.remove(r, ch)
		return nil
	})
}

// Restore brings an archived record back.
func (s *Simulator) Restore(object string, id int64, ch Change) error {
	return s.story(ch, func(h *hubSpotServer, ch Change) error {
		r := h.crm.records[reference{h.crm.typeOf(object), id}]
		if r == nil || !r.Archived || r.Merged != 0 || r.Props["hs_object_id"] == "" {
			return fmt.Errorf("%s %d is not in the bin", object, id)
		}
		r.Archived, r.Binned = false, time.Time{}
		r.Updated = ch.At
		r.Props[modifiedOf(r.Type)] = stamp(ch.At)
		h.crm.put(r)
		h.keep(r)
		h.emit(fact{object: r.Type, action: "restore", record: r.ID}, ch)
		return nil
	})
}

// story does one step under the lock and returns once it is kept.
func (s *Simulator) story(ch Change, do func(*hubSpotServer, Change) error) error {
	s.mu.Lock()
	h, err := s.portal(ch.Portal)
	if err == nil {
		err = do(h, ch.filled(s.now()))
	}
	seq := s.journal.written()
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("simulated HubSpot: %w", err)
	}
	return s.journal.sync(seq)
}

func (h *hubSpotServer) storyRecord(object string, id int64) (*record, error) {
	r := h.crm.find(h.crm.typeOf(object), id)
	if r == nil {
		return nil, fmt.Errorf("%s %d does not exist", object, id)
	}
	return r, nil
}

func (h *hubSpotServer) storyValues(object string, properties map[string]string) (map[string]string, error) {
	out := make(map[string]string)
	for name, value := range properties {
		p, ok := h.crm.property(object, name)
		if !ok {
			return nil, fmt.Errorf("%s has no property %q", h.crm.one(object), name)
		}
		p.Modification.ReadOnlyValue = false
		kept, code, message := p.check(value)
		if code != "" {
			return nil, fmt.Errorf("%s: %s", name, message)
		}
		out[name] = kept
	}
	if stage := out["dealstage"]; object == deals && stage != "" {
		if _, ok := h.crm.stage(out["pipeline"], stage); !ok {
			return nil, fmt.Errorf("no pipeline has the stage %q", stage)
		}
	}
	return out, nil
}
