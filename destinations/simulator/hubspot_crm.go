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

// A record is one contact, company, deal or note, with the history of its properties.
type record struct {
	Type     string               `json:"type"`
	ID       int64                `json:"id"`
	Props    map[string]string    `json:"props"`
	History  map[string][]version `json:"history"`
	Created  time.Time            `json:"created"`
	Updated  time.Time            `json:"updated"`
	Seen     time.Time            `json:"seen"` // last written, by our clock: search lags behind it
	Archived bool                 `json:"archived,omitempty"`
	Binned   time.Time            `json:"binned,omitzero"`  // when it was archived
	Merged   int64                `json:"merged,omitempty"` // into which record
	Absorbed []int64              `json:"absorbed,omitempty"`
	Moments  []moment             `json:"moments,omitempty"` // what befell it, for the timeline

	born   time.Time         // when it was made, by our clock
	shadow map[string]string // its properties as search still sees them
}

// A version is one value a property had.
type version struct {
	Value    string    `json:"value"`
	At       time.Time `json:"at"`
	Source   string    `json:"source"`
	SourceID string    `json:"source_id,omitempty"`
}

// A moment is something that befell a record beside its properties.
type moment struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	Text string    `json:"text"`
}

const (
	maxVersions = 100
	maxMoments  = 100
	firstID     = 210_000_000_001 // real ids are beyond 32 bits too
	portalIDs   = 10_000_000_000  // the next portal's ids begin so far behind

	firstCustomType = 4_200_001
)

type reference struct {
	Type string
	ID   int64
}

// A crm holds the records and how they are tied. Links are kept from both sides.
type crm struct {
	account HubSpotAccount
	types   map[string]string      // every way to name a type → its plural
	customs map[string]*customType // by plural
	schema  map[string]map[string]propertyDefinition
	groups  map[string]map[string]propertyGroup
	records map[reference]*record
	order   map[string][]int64 // ids of each type as they were made
	emails  map[string]int64   // of contacts, also additional ones
	unique  map[uniqueKey]int64
	written map[string][]int64 // notes by their time and text
	links   map[reference]map[string]map[int64]bool
	next    int64
	deals   []Pipeline
}

type uniqueKey struct{ object, property, value string }

// A customType is an object type of the account's own.
type customType struct {
	CustomObject
	id string
}

func newCRM(a HubSpotAccount, number int) *crm {
	m := &crm{
		account: a, types: maps.Clone(typeNames), customs: make(map[string]*customType), next: firstID + int64(number)*portalIDs,
		records: make(map[reference]*record), order: make(map[string][]int64), emails: make(map[string]int64), unique: make(map[uniqueKey]int64),
		written: make(map[string][]int64), links: make(map[reference]map[string]map[int64]bool),
		deals: append([]Pipeline{DealPipeline("default", "Sales Pipeline")}, a.Pipelines...),
	}
	for i, o := range a.Objects {
		o.Plural = cmp.Or(o.Plural, o.Name+"s")
		t := &customType{o, fmt.Sprintf("2-%d", firstCustomType+i)}
		m.customs[o.Plural] = t
		for _, name := range []string{o.Name, o.Plural, t.id, fmt.Sprintf("p%d_%s", a.PortalID, o.Name), "p_" + o.Name} {
			m.types[name] = o.Plural
		}
	}
	m.schema = newSchema(a)
	m.groups = make(map[string]map[string]propertyGroup)
	for object, list := range m.schema {
		m.groups[object] = make(map[string]propertyGroup)
		for _, p := range list {
			m.groups[object][p.GroupName] = propertyGroup{Name: p.GroupName, Label: p.GroupName, DisplayOrder: -1}
		}
	}
	return m
}

// typeOf reads a type's name as paths and control calls give it; "" for none.
func (m *crm) typeOf(name string) string { return m.types[name] }

// custom returns an object type of the account's own, or nil.
func (m *crm) custom(object string) *customType { return m.customs[object] }

// one is a type's name for a single record.
func (m *crm) one(object string) string {
	if t := m.customs[object]; t != nil {
		return t.Name
	}
	return singular[object]
}

func (m *crm) typeID(object string) string {
	if t := m.customs[object]; t != nil {
		return t.id
	}
	return typeIDs[object]
}

// find returns the record of an id; for a merged id, its survivor. Nil means none, or archived.
func (m *crm) find(object string, id int64) *record {
	for range 100 {
		r := m.records[reference{object, id}]
		if r == nil || r.Merged == 0 {
			if r != nil && r.Archived {
				return nil
			}
			return r
		}
		id = r.Merged
	}
	return nil
}

// findText finds a record by the text of its id.
func (m *crm) findText(object, id string) *record {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil
	}
	return m.find(object, n)
}

// findBy finds a record by a property that names one.
func (m *crm) findBy(object, property, value string) *record {
	switch property {
	case "", "hs_object_id":
		return m.findText(object, value)
	case "email":
		if object == contacts {
			return m.find(contacts, m.emails[strings.ToLower(strings.TrimSpace(value))])
		}
		return nil
	}
	if value == "" {
		return nil
	}
	return m.find(object, m.unique[uniqueKey{object, property, value}])
}

// add makes an empty record. An id of 0 gets the next one.
func (m *crm) add(object string, id int64, at, seen time.Time) (*record, error) {
	if len(m.records) >= m.account.MaxRecords {
		return nil, fmt.Errorf("the account holds %d records: no more", len(m.records))
	}
	if id == 0 {
		id = m.next
	}
	if m.records[reference{object, id}] != nil {
		return nil, fmt.Errorf("%s %d exists already", m.one(object), id)
	}
	r := &record{Type: object, ID: id, Props: make(map[string]string), History: make(map[string][]version), Created: at, Updated: at, Seen: seen, born: seen}
	m.put(r)
	r.Props["hs_object_id"] = strconv.FormatInt(id, 10)
	r.Props[cmp.Or(map[string]string{notes: "hs_createdate"}[object], "createdate")] = stamp(at)
	return r, nil
}

func (m *crm) put(r *record) {
	key := reference{r.Type, r.ID}
	if m.records[key] == nil {
		m.order[r.Type] = append(m.order[r.Type], r.ID)
	}
	m.records[key] = r
	if m.next < r.ID+1 && r.ID < m.next+portalIDs {
		m.next = r.ID + 1
	}
	m.index(r)
}

// index makes a record findable by its e-mails, unique properties and, a note, by its text.
func (m *crm) index(r *record) {
	if r.Merged != 0 || r.Archived {
		return
	}
	switch r.Type {
	case contacts:
		for _, e := range r.emails() {
			m.emails[e] = r.ID
		}
	case notes:
		if key := r.noteKey(); r.Props["hs_timestamp"] != "" && !slices.Contains(m.written[key], r.ID) {
			m.written[key] = append(m.written[key], r.ID)
		}
	}
	for name, value := range r.Props {
		if value != "" && m.schema[r.Type][name].Unique {
			m.unique[uniqueKey{r.Type, name, value}] = r.ID
		}
	}
}

func (m *crm) unindex(r *record) {
	for _, e := range r.emails() {
		if r.Type == contacts && m.emails[e] == r.ID {
			delete(m.emails, e)
		}
	}
	if r.Type == notes {
		key := r.noteKey()
		m.written[key] = slices.DeleteFunc(m.written[key], func(id int64) bool { return id == r.ID })
	}
	for name, value := range r.Props {
		if key := (uniqueKey{r.Type, name, value}); m.unique[key] == r.ID {
			delete(m.unique, key)
		}
	}
}

func (r *record) noteKey() string {
	return r.Props["hs_timestamp"] + " " + hashHex(r.Props["hs_note_body"])
}

func (r *record) emails() []string {
	var out []string
	for _, e := range append([]string{r.Props["email"]}, strings.Split(r.Props["hs_additional_emails"], ";")...) {
		if e != "" {
			out = append(out, strings.ToLower(e))
		}
	}
	return out
}

// write sets one value and its history.
func (m *crm) write(r *record, name, value string, v version) {
	if r.Type == contacts && name == "email" && m.emails[r.Props["email"]] == r.ID {
		delete(m.emails, r.Props["email"])
	}
	if m.schema[r.Type][name].Unique {
		if old := (uniqueKey{r.Type, name, r.Props[name]}); m.unique[old] == r.ID {
			delete(m.unique, old)
		}
		if value != "" {
			m.unique[uniqueKey{r.Type, name, value}] = r.ID
		}
	}
	v.Value = value
	r.Props[name] = value
	h := append(r.History[name], v)
	if len(h) > maxVersions {
		h = slices.Delete(h, 0, len(h)-maxVersions)
	}
	r.History[name] = h
	if r.Type == contacts && name == "email" && value != "" {
		m.emails[strings.ToLower(value)] = r.ID
	}
	if v.At.After(r.Updated) {
		r.Updated = v.At
	}
	r.Props[modifiedOf(r.Type)] = stamp(r.Updated)
}

// modifiedOf names the property that dates a record's last change.
func modifiedOf(object string) string {
	if object == contacts {
		return "lastmodifieddate"
	}
	return "hs_lastmodifieddate"
}

func (r *record) happened(at time.Time, kind, text string) {
	if len(r.Moments) < maxMoments {
		r.Moments = append(r.Moments, moment{at, kind, text})
	}
}

// link ties two records, from both sides, or unties them. It reports whether that changed
// anything.
func (m *crm) link(a, b reference, primary, remove bool) bool {
	changed := false
	for _, side := range [2][2]reference{{a, b}, {b, a}} {
		from, to := side[0], side[1]
		if m.links[from] == nil {
			m.links[from] = make(map[string]map[int64]bool)
		}
		if m.links[from][to.Type] == nil {
			m.links[from][to.Type] = make(map[int64]bool)
		}
		old, had := m.links[from][to.Type][to.ID]
		if remove {
			delete(m.links[from][to.Type], to.ID)
			changed = changed || had
			continue
		}
		m.links[from][to.Type][to.ID] = old || primary
		changed = changed || !had || primary && !old
	}
	return changed
}

// linked lists what a record is tied to, the primary first, then by id.
func (m *crm) linked(from reference, to string) []int64 {
	set := m.links[from][to]
	out := slices.Collect(maps.Keys(set))
	slices.SortFunc(out, func(a, b int64) int {
		if set[a] != set[b] {
			if set[a] {
				return -1
			}
			return 1
		}
		return cmp.Compare(a, b)
	})
	return out
}

// stage finds a deal's stage, in its pipeline or in any.
func (m *crm) stage(pipeline, id string) (Stage, bool) {
	for _, p := range m.deals {
		if pipeline != "" && p.ID != pipeline {
			continue
		}
		for _, st := range p.Stages {
			if st.ID == id {
				return st, true
			}
		}
	}
	return Stage{}, false
}

// rank is a lifecycle stage's place in the order; -1 for none.
func (m *crm) rank(stage string) int { return slices.Index(m.account.Lifecycle, stage) }

// fillDeal works out the properties of a deal that follow from others.
func (m *crm) fillDeal(r *record, v version) {
	st, ok := m.stage(r.Props["pipeline"], r.Props["dealstage"])
	if !ok {
		return
	}
	won := st.Closed && st.Probability == 1
	values := map[string]string{
		"hs_is_closed":              strconv.FormatBool(st.Closed),
		"hs_is_closed_won":          strconv.FormatBool(won),
		"hs_deal_stage_probability": st.probability(),
		"amount_in_home_currency":   r.Props["amount"],
		"hs_closed_amount":          "0",
	}
	if won && r.Props["amount"] != "" {
		values["hs_closed_amount"] = r.Props["amount"]
	}
	v.Source, v.SourceID = "CALCULATED", ""
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if r.Props[name] != values[name] {
			m.write(r, name, values[name], v)
		}
	}
}

// body is a record as the API shows it. Names that are no properties are left out; those
// without a value are null.
func (m *crm) body(r *record, names []string) map[string]any {
	props := make(map[string]any)
	always := []string{"hs_object_id", modifiedOf(r.Type), cmp.Or(map[string]string{notes: "hs_createdate"}[r.Type], "createdate")}
	for _, name := range append(always, names...) {
		if _, known := m.property(r.Type, name); !known {
			continue
		}
		if v, ok := r.Props[name]; ok && v != "" {
			props[name] = v
		} else {
			props[name] = nil
		}
	}
	out := map[string]any{
		"id": strconv.FormatInt(r.ID, 10), "properties": props, "createdAt": stamp(r.Created), "updatedAt": stamp(r.Updated), "archived": r.Archived,
		"url": fmt.Sprintf("https://app.hubspot.com/contacts/%d/record/%s/%d", m.account.PortalID, m.typeID(r.Type), r.ID),
	}
	if r.Archived && !r.Binned.IsZero() {
		out["archivedAt"] = stamp(r.Binned)
	}
	return out
}

// property finds a definition. hs_date_entered_ of a deal's stage exists for every stage.
func (m *crm) property(object, name string) (propertyDefinition, bool) {
	if p, ok := m.schema[object][name]; ok {
		return p, true
	}
	if stage, ok := strings.CutPrefix(name, "hs_date_entered_"); ok && object == deals {
		if _, known := m.stage("", stage); known {
			return propertyDefinition{Name: name, Label: name, Type: "datetime", FieldType: "date", OfHubSpot: true, Calculated: true, Modification: modification{ReadOnlyValue: true}}, true
		}
	}
	return propertyDefinition{}, false
}

// historyOf is a property's versions as the API shows them, newest first.
func (r *record) historyOf(name string) []map[string]any {
	versions := r.History[name]
	out := make([]map[string]any, 0, len(versions))
	for _, v := range slices.Backward(versions) {
		out = append(out, map[string]any{"value": v.Value, "timestamp": stamp(v.At), "sourceType": v.Source, "sourceId": v.SourceID})
	}
	return out
}
