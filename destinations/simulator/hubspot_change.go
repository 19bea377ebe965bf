package simulator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Change says when, and by whom, something was done in the CRM.
type Change struct {
	At       time.Time `json:"at,omitzero"`         // zero means now
	Source   string    `json:"source,omitempty"`    // changeSource; "" means CRM_UI
	SourceID string    `json:"source_id,omitempty"` // "" means userId:12 for CRM_UI
	Silent   bool      `json:"silent,omitempty"`    // no webhook tells of it
}

func (ch Change) filled(now time.Time) Change {
	if ch.At.IsZero() {
		ch.At = now
	}
	ch.At = ch.At.UTC().Truncate(time.Millisecond)
	if ch.Source == "" {
		ch.Source, ch.SourceID = "CRM_UI", cmp.Or(ch.SourceID, "userId:12")
	}
	return ch
}

func (ch Change) version() version {
	return version{At: ch.At, Source: ch.Source, SourceID: ch.SourceID}
}

// byAPI says that a private app made the change: lifecycle stages then only move forward.
func (ch Change) byAPI() bool { return ch.Source == "INTEGRATION" }

func (s *Simulator) apiChange(c *call) Change {
	return Change{At: c.now, Source: "INTEGRATION", SourceID: strconv.FormatInt(s.hubspot.account.AppID, 10)}.filled(c.now)
}

// create makes a record of checked values and tells of it: the values first or after, as
// webhooks come in no order. It fails where the id, or the e-mail, is taken.
func (s *Simulator) create(object string, id int64, values map[string]string, ch Change) (*record, error) {
	h := s.hubspot
	if other := h.crm.findBy(object, "email", values["email"]); object == contacts && values["email"] != "" && other != nil {
		return nil, &conflictError{existing: other.ID}
	}
	r, err := h.crm.add(object, id, ch.At, s.now())
	if err != nil {
		return nil, err
	}
	values = maps.Clone(values)
	if object == contacts || object == companies {
		values["lifecyclestage"] = cmp.Or(values["lifecyclestage"], "lead")
	}
	if object == deals {
		values["pipeline"] = cmp.Or(values["pipeline"], "default")
	}
	r.happened(ch.At, "created", strings.ToUpper(singular[object][:1])+singular[object][1:]+" created")
	h.emit(fact{object: object, action: "creation", record: r.ID, flag: "CREATED"}, ch)
	s.set(r, values, ch)
	return r, nil
}

// A conflictError says that a contact with this e-mail exists.
type conflictError struct{ existing int64 }

func (e *conflictError) Error() string {
	return fmt.Sprintf("Contact already exists. Existing ID: %d", e.existing)
}

// set writes checked values, works out what follows from them, and tells of what changed.
func (s *Simulator) set(r *record, values map[string]string, ch Change) {
	h := s.hubspot
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		old, had := r.Props[name]
		if name == "lifecyclestage" && ch.byAPI() && value != "" && h.crm.rank(value) < h.crm.rank(old) {
			continue // 200, and the old value comes back
		}
		if had && old == value || !had && value == "" {
			continue
		}
		h.crm.write(r, name, value, ch.version())
		h.emit(fact{object: r.Type, action: "propertyChange", record: r.ID, property: name, value: h.hookValue(r.Type, name, value)}, ch)
		s.follow(r, name, value, ch)
	}
	if r.Type == deals {
		h.crm.fillDeal(r, ch.version())
	}
	s.keep(r)
	if stage := values["lifecyclestage"]; r.Type == companies && stage != "" && r.Props["lifecyclestage"] == stage {
		s.syncStage(reference{companies, r.ID}, []string{contacts}, stage, ch)
	}
	if r.Type == deals {
		s.syncDeal(r, values, ch)
	}
}

// follow writes the dates that a stage leaves behind.
func (s *Simulator) follow(r *record, name, value string, ch Change) {
	if value == "" {
		return
	}
	v := ch.version()
	v.Source, v.SourceID = "CALCULATED", ""
	switch {
	case name == "lifecyclestage" && (r.Type == contacts || r.Type == companies):
		s.hubspot.crm.write(r, "hs_lifecyclestage_"+value+"_date", stamp(ch.At), v)
		s.hubspot.crm.write(r, "hs_date_entered_"+value, stamp(ch.At), v)
	case name == "dealstage" && r.Type == deals:
		s.hubspot.crm.write(r, "hs_date_entered_"+value, stamp(ch.At), v)
	}
}

// syncDeal is HubSpot's own lifecycle sync: a deal makes its contacts and companies an
// opportunity, a won deal makes them customers.
func (s *Simulator) syncDeal(r *record, values map[string]string, ch Change) {
	if _, staged := values["dealstage"]; !staged {
		return
	}
	s.syncStage(reference{deals, r.ID}, []string{contacts, companies}, s.stageOfDeal(r), ch)
}

func (s *Simulator) stageOfDeal(r *record) string {
	if r.Props["hs_is_closed_won"] == "true" {
		return "customer"
	}
	if r.Props["hs_is_closed"] == "true" {
		return ""
	}
	return "opportunity"
}

// syncStage moves everything tied to a record forward to a stage, within three seconds and
// never backward.
func (s *Simulator) syncStage(from reference, to []string, stage string, ch Change) {
	h := s.hubspot
	if !h.account.LifecycleSync || stage == "" || h.crm.rank(stage) < 0 {
		return
	}
	for _, object := range to {
		for _, id := range h.crm.linked(from, object) {
			r := h.crm.find(object, id)
			if r == nil || h.crm.rank(stage) <= h.crm.rank(r.Props["lifecyclestage"]) {
				continue
			}
			s.set(r, map[string]string{"lifecyclestage": stage}, Change{
				At:     ch.At.Add(time.Duration(h.random.IntN(3000)) * time.Millisecond),
				Source: "AUTOMATION_PLATFORM", SourceID: "LifecycleSync", Silent: ch.Silent,
			})
		}
	}
}

// associate ties two records, or unties them, and tells of it from both sides.
func (s *Simulator) associate(a, b *record, primary, remove bool, ch Change) {
	h := s.hubspot
	if a.Type == contacts && b.Type == companies && !remove && len(h.crm.linked(reference{contacts, a.ID}, companies)) == 0 {
		primary = true // the first company is the primary one
	}
	if !h.crm.link(reference{a.Type, a.ID}, reference{b.Type, b.ID}, primary, remove) {
		return
	}
	s.journal.note("link", linkLine{a.Type, a.ID, b.Type, b.ID, primary, remove})
	for _, side := range [2][2]*record{{a, b}, {b, a}} {
		h.emit(fact{object: side[0].Type, action: "associationChange", from: side[0].ID, to: side[1].ID, toType: side[1].Type, removed: remove, primary: primary}, ch)
	}
	if a.Type == companies && b.Type == contacts {
		a, b = b, a
	}
	if a.Type == contacts && b.Type == companies && primary {
		value := strconv.FormatInt(b.ID, 10)
		if remove {
			value = ""
		}
		s.set(a, map[string]string{"associatedcompanyid": value}, ch)
	}
	if remove {
		return
	}
	for _, side := range [2][2]*record{{a, b}, {b, a}} {
		if side[0].Type == deals && (side[1].Type == contacts || side[1].Type == companies) {
			s.syncStage(reference{deals, side[0].ID}, []string{side[1].Type}, s.stageOfDeal(side[0]), ch)
		}
	}
}

type linkLine struct {
	FromType string `json:"from_type"`
	From     int64  `json:"from"`
	ToType   string `json:"to_type"`
	To       int64  `json:"to"`
	Primary  bool   `json:"primary,omitempty"`
	Remove   bool   `json:"remove,omitempty"`
}

// merge makes one record of two. Where newID is not the winner's, the result is a fresh record and
// both go. What the winner inherits is told by no propertyChange.
func (s *Simulator) merge(winner, loser *record, newID int64, ch Change) (*record, error) {
	h := s.hubspot
	if len(winner.Absorbed)+len(loser.Absorbed) >= 250 {
		return nil, errTooManyMerges
	}
	survivor := winner
	if newID != winner.ID {
		fresh, err := h.crm.add(winner.Type, newID, earlier(winner.Created, loser.Created), s.now())
		if err != nil {
			return nil, err
		}
		survivor = fresh
		s.inherit(survivor, winner, ch)
	}
	moved := s.inherit(survivor, loser, ch)
	for _, gone := range []*record{loser, winner} {
		if gone == survivor {
			continue
		}
		s.moveLinks(gone, survivor)
		gone.Merged, gone.Archived = survivor.ID, true
		survivor.Absorbed = append(survivor.Absorbed, append(gone.Absorbed, gone.ID)...)
		s.keep(gone)
	}
	h.crm.names(survivor)
	survivor.happened(ch.At, "merged", fmt.Sprintf("Merged %s %d into %d", singular[loser.Type], loser.ID, survivor.ID))
	survivor.Seen = s.now()
	s.keep(survivor)
	h.emit(fact{object: winner.Type, action: "merge", primary2: winner.ID, merged: []int64{loser.ID}, result: survivor.ID, moved: moved}, ch)
	for _, gone := range []*record{loser, winner} {
		if gone != survivor {
			h.emit(fact{object: gone.Type, action: "deletion", record: gone.ID, flag: "DELETED"}, ch)
		}
	}
	return survivor, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// inherit fills what the survivor lacks: its own values win, but the lifecycle stage that is
// furthest does, and the loser's e-mails become additional ones.
func (s *Simulator) inherit(survivor, from *record, ch Change) (moved int) {
	h := s.hubspot
	if survivor.Type == contacts {
		own := survivor.emails()
		var extra []string
		for _, e := range append(own, from.emails()...) {
			if e != cmp.Or(survivor.Props["email"], from.Props["email"]) && !slices.Contains(extra, e) {
				extra = append(extra, e)
			}
		}
		survivor.Props["hs_additional_emails"] = strings.Join(extra, ";")
	}
	for _, name := range slices.Sorted(maps.Keys(from.Props)) {
		value, own := from.Props[name], survivor.Props[name]
		further := name == "lifecyclestage" && h.crm.rank(value) > h.crm.rank(own)
		if value == "" || own != "" && !further || !h.crm.inheritable(from.Type, name) {
			continue
		}
		survivor.Props[name] = value
		moved++
	}
	for name, versions := range from.History {
		if name == "lifecyclestage" || len(survivor.History[name]) == 0 {
			survivor.History[name] = joined(survivor.History[name], versions)
		}
	}
	survivor.Updated = ch.At
	survivor.Props[modifiedOf(survivor.Type)] = stamp(ch.At)
	survivor.Moments = append(slices.Clone(from.Moments), survivor.Moments...)
	survivor.Moments = survivor.Moments[:min(len(survivor.Moments), maxMoments)]
	return moved
}

// inheritable says that a property is the record's own and not worked out from it; the
// dates of its stages go along.
func (m *crm) inheritable(object, name string) bool {
	p, _ := m.property(object, name)
	stageDate := strings.HasPrefix(name, "hs_lifecyclestage_") || strings.HasPrefix(name, "hs_date_entered_")
	return stageDate || !p.OfHubSpot || !p.Modification.ReadOnlyValue
}

// joined is two histories in one, by time.
func joined(a, b []version) []version {
	out := append(slices.Clone(a), b...)
	slices.SortStableFunc(out, func(x, y version) int { return x.At.Compare(y.At) })
	return out[max(0, len(out)-maxVersions):]
}

func (s *Simulator) moveLinks(from, to *record) {
	m := s.hubspot.crm
	for object := range m.links[reference{from.Type, from.ID}] {
		for _, id := range m.linked(reference{from.Type, from.ID}, object) {
			primary := m.links[reference{from.Type, from.ID}][object][id]
			other := reference{object, id}
			m.link(reference{from.Type, from.ID}, other, false, true)
			s.journal.note("link", linkLine{from.Type, from.ID, object, id, false, true})
			if other == (reference{to.Type, to.ID}) {
				continue
			}
			m.link(reference{to.Type, to.ID}, other, primary, false)
			s.journal.note("link", linkLine{to.Type, to.ID, object, id, primary, false})
		}
	}
}

// names writes the read-only lists of what a record swallowed.
func (m *crm) names(r *record) {
	var ids []string
	for _, id := range r.Absorbed {
		ids = append(ids, strconv.FormatInt(id, 10))
	}
	list := strings.Join(ids, ";")
	r.Props["hs_merged_object_ids"] = list
	if r.Type == contacts {
		r.Props["hs_all_contact_vids"] = strings.Trim(strconv.FormatInt(r.ID, 10)+";"+list, ";")
		r.Props["hs_calculated_merged_vids"] = list
	}
	m.indexEmails(r)
}

// remove archives a record and tells of it; restoring undoes it.
func (s *Simulator) remove(r *record, ch Change) {
	r.Archived = true
	for _, e := range r.emails() {
		if s.hubspot.crm.emails[e] == r.ID {
			delete(s.hubspot.crm.emails, e)
		}
	}
	s.keep(r)
	s.hubspot.emit(fact{object: r.Type, action: "deletion", record: r.ID, flag: "DELETED"}, ch)
}

// forget erases a contact for good.
func (s *Simulator) forget(r *record, ch Change) {
	s.remove(r, ch)
	clear(r.Props)
	clear(r.History)
	r.Moments = nil
	s.keep(r)
	s.hubspot.occurrences = slices.DeleteFunc(s.hubspot.occurrences, func(o occurrence) bool { return o.Contact == r.ID })
	s.hubspot.emit(fact{object: r.Type, action: "privacyDeletion", record: r.ID}, ch)
}

// keep notes a record's state for the file.
func (s *Simulator) keep(r *record) {
	r.Seen = s.now()
	if s.journal != nil {
		s.journal.note("record", r)
	}
}
