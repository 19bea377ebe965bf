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
	Portal   int64     `json:"portal,omitempty"`    // where; 0 means the first portal

	api bool // made through the API: lifecycle stages then only move forward
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

// apiChange is a change that an app makes. Webhooks name a service key's writes API, an
// app's INTEGRATION.
func (h *hubSpotServer) apiChange(c *call) Change {
	ch := Change{At: c.now, Source: "INTEGRATION", SourceID: strconv.FormatInt(c.caller.ID, 10), api: true}
	if c.caller.Kind == ServiceKey {
		ch.Source = "API"
	}
	return ch.filled(c.now)
}

// create makes a record of checked values and tells of it: the values first or after, as
// webhooks come in no order. It fails where the id, or the e-mail, is taken.
func (h *hubSpotServer) create(object string, id int64, values map[string]string, ch Change) (*record, error) {

	if other := h.crm.findBy(object, "email", values["email"]); object == contacts && values["email"] != "" && other != nil {
		return nil, &conflictError{existing: other.ID}
	}
	r, err := h.crm.add(object, id, ch.At, h.sim.now())
	if err != nil {
		return nil, err
	}
	values = maps.Clone(values)
	if object == contacts || object == companies {
		values["lifecyclestage"] = cmp.Or(values["lifecyclestage"], h.account.DefaultStage)
	}
	if object == deals {
		values["pipeline"] = cmp.Or(values["pipeline"], "default")
	}
	r.happened(ch.At, "created", strings.ToUpper(h.crm.one(object)[:1])+h.crm.one(object)[1:]+" created")
	h.emit(fact{object: object, action: "creation", record: r.ID, flag: "CREATED"}, ch)
	h.set(r, values, ch)
	return r, nil
}

// A conflictError says that a contact with this e-mail exists.
type conflictError struct{ existing int64 }

func (e *conflictError) Error() string {
	return fmt.Sprintf("Contact already exists. Existing ID: %d", e.existing)
}

// set writes checked values, works out what follows from them, and tells of what changed.
func (h *hubSpotServer) set(r *record, values map[string]string, ch Change) {

	h.shade(r)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		old, had := r.Props[name]
		if more, adds := strings.CutPrefix(value, ";"); adds && h.crm.schema[r.Type][name].FieldType == "checkbox" {
			value = together(old, more)
		}
		if name == "lifecyclestage" && ch.api && value != "" && h.crm.rank(value) < h.crm.rank(old) {
			continue // 200, and the old value comes back
		}
		if had && old == value || !had && value == "" {
			continue
		}
		h.crm.write(r, name, value, ch.version())
		h.emit(fact{object: r.Type, action: "propertyChange", record: r.ID, property: name, value: h.hookValue(r.Type, name, value)}, ch)
		h.follow(r, name, value, ch)
	}
	switch r.Type {
	case deals:
		h.crm.fillDeal(r, ch.version())
	case notes:
		h.crm.index(r)
	}
	h.keep(r)
	if stage := values["lifecyclestage"]; r.Type == companies && stage != "" && r.Props["lifecyclestage"] == stage {
		h.syncStage(reference{companies, r.ID}, []string{contacts}, stage, ch)
	}
	if r.Type == deals {
		h.syncDeal(r, values, ch)
	}
}

// shade remembers how search goes on seeing a record that is about to change.
func (h *hubSpotServer) shade(r *record) {
	if lag := h.account.SearchLag; lag > 0 && h.sim.now().Sub(r.Seen) >= lag {
		r.shadow = maps.Clone(r.Props)
	}
}

// together adds options to those chosen: what a leading semicolon asks for.
func together(old, more string) string {
	chosen := strings.Split(old, ";")
	if old == "" {
		chosen = nil
	}
	for v := range strings.SplitSeq(more, ";") {
		if !slices.Contains(chosen, v) {
			chosen = append(chosen, v)
		}
	}
	return strings.Join(chosen, ";")
}

// follow writes the dates that a stage leaves behind.
func (h *hubSpotServer) follow(r *record, name, value string, ch Change) {
	if value == "" {
		return
	}
	v := ch.version()
	v.Source, v.SourceID = "CALCULATED", ""
	switch {
	case name == "lifecyclestage" && (r.Type == contacts || r.Type == companies):
		h.crm.write(r, "hs_lifecyclestage_"+value+"_date", stamp(ch.At), v)
		h.crm.write(r, "hs_date_entered_"+value, stamp(ch.At), v)
	case name == "dealstage" && r.Type == deals:
		h.crm.write(r, "hs_date_entered_"+value, stamp(ch.At), v)
	}
}

// syncDeal is HubSpot's own lifecycle sync: a deal makes its contacts and companies an
// opportunity, a won deal makes them customers.
func (h *hubSpotServer) syncDeal(r *record, values map[string]string, ch Change) {
	if _, staged := values["dealstage"]; !staged {
		return
	}
	h.syncStage(reference{deals, r.ID}, []string{contacts, companies}, h.stageOfDeal(r), ch)
}

func (h *hubSpotServer) stageOfDeal(r *record) string {
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
func (h *hubSpotServer) syncStage(from reference, to []string, stage string, ch Change) {

	if !h.account.LifecycleSync || stage == "" || h.crm.rank(stage) < 0 {
		return
	}
	for _, object := range to {
		for _, id := range h.crm.linked(from, object) {
			r := h.crm.find(object, id)
			if r == nil || h.crm.rank(stage) <= h.crm.rank(r.Props["lifecyclestage"]) {
				continue
			}
			h.set(r, map[string]string{"lifecyclestage": stage}, Change{
				At:     ch.At.Add(time.Duration(h.random.IntN(3000)) * time.Millisecond),
				Source: "AUTOMATION_PLATFORM", SourceID: "LifecycleSync", Silent: ch.Silent,
			})
		}
	}
}

// associate ties two records, or unties them, and tells of it from both sides.
func (h *hubSpotServer) associate(a, b *record, primary, remove bool, ch Change) {

	if a.Type == contacts && b.Type == companies && !remove && len(h.crm.linked(reference{contacts, a.ID}, companies)) == 0 {
		primary = true // the first company is the primary one
	}
	if remove {
		primary = h.crm.links[reference{a.Type, a.ID}][b.Type][b.ID]
	}
	if !h.crm.link(reference{a.Type, a.ID}, reference{b.Type, b.ID}, primary, remove) {
		return
	}
	h.note("link", linkLine{a.Type, a.ID, b.Type, b.ID, primary, remove})
	for _, side := range [2][2]*record{{a, b}, {b, a}} {
		h.countLinks(side[0], side[1].Type, ch)
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
		h.set(a, map[string]string{"associatedcompanyid": value}, ch)
	}
	if remove {
		return
	}
	for _, side := range [2][2]*record{{a, b}, {b, a}} {
		if side[0].Type == deals && (side[1].Type == contacts || side[1].Type == companies) {
			h.syncStage(reference{deals, side[0].ID}, []string{side[1].Type}, h.stageOfDeal(side[0]), ch)
		}
	}
}

// countLinks writes how many records of a type one is tied to, where it has a property for
// that, so that a tie changes the record.
func (h *hubSpotServer) countLinks(r *record, to string, ch Change) {
	name := "num_associated_" + to
	if p, ok := h.crm.property(r.Type, name); !ok || !p.Modification.ReadOnlyValue {
		return
	}
	h.shade(r)
	v := ch.version()
	v.Source, v.SourceID = "CALCULATED", ""
	h.crm.write(r, name, strconv.Itoa(len(h.crm.linked(reference{r.Type, r.ID}, to))), v)
	h.keep(r)
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
func (h *hubSpotServer) merge(winner, loser *record, newID int64, ch Change) (*record, error) {

	if len(winner.Absorbed)+len(loser.Absorbed) >= 250 {
		return nil, errTooManyMerges
	}
	survivor := winner
	if newID != winner.ID {
		fresh, err := h.crm.add(winner.Type, newID, earlier(winner.Created, loser.Created), h.sim.now())
		if err != nil {
			return nil, err
		}
		survivor = fresh
		h.inherit(survivor, winner, ch)
	}
	moved := h.inherit(survivor, loser, ch)
	for _, gone := range []*record{loser, winner} {
		if gone == survivor {
			continue
		}
		h.moveLinks(gone, survivor)
		h.crm.unindex(gone)
		gone.Merged, gone.Archived = survivor.ID, true
		survivor.Absorbed = append(survivor.Absorbed, append(gone.Absorbed, gone.ID)...)
		h.keep(gone)
	}
	h.crm.names(survivor)
	was := ch.version()
	was.Value = survivor.Props["hs_merged_object_ids"]
	survivor.History["hs_merged_object_ids"] = append(survivor.History["hs_merged_object_ids"], was)
	survivor.happened(ch.At, "merged", fmt.Sprintf("Merged %s %d into %d", h.crm.one(loser.Type), loser.ID, survivor.ID))
	survivor.Seen = h.sim.now()
	h.keep(survivor)
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
func (h *hubSpotServer) inherit(survivor, from *record, ch Change) (moved int) {

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

func (h *hubSpotServer) moveLinks(from, to *record) {
	m := h.crm
	for object := range m.links[reference{from.Type, from.ID}] {
		for _, id := range m.linked(reference{from.Type, from.ID}, object) {
			primary := m.links[reference{from.Type, from.ID}][object][id]
			other := reference{object, id}
			m.link(reference{from.Type, from.ID}, other, false, true)
			h.note("link", linkLine{from.Type, from.ID, object, id, false, true})
			if other == (reference{to.Type, to.ID}) {
				continue
			}
			m.link(reference{to.Type, to.ID}, other, primary, false)
			h.note("link", linkLine{to.Type, to.ID, object, id, primary, false})
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
	m.index(r)
}

// remove archives a record and tells of it; restoring undoes it.
func (h *hubSpotServer) remove(r *record, ch Change) {
	h.crm.unindex(r)
	r.Archived, r.Binned = true, ch.At
	h.keep(r)
	h.emit(fact{object: r.Type, action: "deletion", record: r.ID, flag: "DELETED"}, ch)
}

// forget erases a contact for good and blocks its e-mails.
func (h *hubSpotServer) forget(r *record, ch Change) {
	for _, e := range r.emails() {
		h.block(e)
	}
	h.remove(r, ch)
	clear(r.Props)
	clear(r.History)
	r.Moments = nil
	h.keep(r)
	h.timeline.forget(reference{r.Type, r.ID})
	for _, id := range r.Absorbed {
		h.timeline.forget(reference{r.Type, id})
	}
	h.emit(fact{object: r.Type, action: "privacyDeletion", record: r.ID}, ch)
}

func (h *hubSpotServer) block(email string) {
	h.blocked[email] = true
	h.note("blocked", email)
}

// keep notes a record's state for the file.
func (h *hubSpotServer) keep(r *record) {
	r.Seen = h.sim.now()
	if h.sim.journal != nil {
		h.note("record", r)
	}
}
