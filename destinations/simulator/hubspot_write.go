package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An operation is what a batch does to its rows.
type operation string

const (
	opCreate operation = "create"
	opUpdate operation = "update"
	opUpsert operation = "upsert"
)

var errTooManyMerges = errors.New("more than 250 records would be merged into one")

// A row is one input of a batch.
type row struct {
	raw        json.RawMessage
	id         string
	idProperty string
	trace      string
	values     map[string]string // checked
	links      []rowLink
	record     *record // that it will change; nil: to be made
	problem    *rowFault
}

type rowLink struct {
	to      *record
	primary bool
}

// A rowFault is why one row cannot be done.
type rowFault struct {
	status         int
	category, text string
	code           string
	context        map[string]any
}

func invalidRow(code, text string) *rowFault {
	return &rowFault{status: http.StatusBadRequest, category: "VALIDATION_ERROR", code: code, text: text}
}

// batchWrite reads the rows, checks all, and only then does them. Which rows an answer is
// about follows from trace ids; without them one bad row refuses all.
func (s *Simulator) batchWrite(c *call, object string, op operation) (answer, *hubSpotError) {
	rows, refused := s.readRows(c, object)
	if refused != nil {
		return answer{}, refused
	}
	if refused := s.checkRows(object, op, rows); refused != nil {
		return answer{}, refused
	}
	if c.fault != nil && c.fault.Mode == "lost_row" {
		rows = rows[:len(rows)-1]
	}
	results, faults := []any{}, []any(nil)
	for _, r := range rows {
		if r.problem != nil {
			context := maps.Clone(r.problem.context)
			if context == nil {
				context = make(map[string]any)
			}
			if r.trace != "" {
				context["objectWriteTraceId"] = []string{r.trace}
			}
			faults = append(faults, rowProblem(r.problem.category, r.problem.text, context))
			continue
		}
		result, fault := s.doRow(c, object, op, r)
		if fault != nil {
			faults = append(faults, rowProblem(fault.category, fault.text, map[string]any{"objectWriteTraceId": []string{r.trace}}))
			continue
		}
		results = append(results, result)
	}
	s.hubspot.random.Shuffle(len(results), func(i, j int) { results[i], results[j] = results[j], results[i] })
	status := http.StatusOK
	if op == opCreate {
		status = http.StatusCreated
	}
	return batchAnswer(c, status, results, faults), nil
}

type rowInput struct {
	ID           any            `json:"id"`
	IDProperty   string         `json:"idProperty"`
	Trace        string         `json:"objectWriteTraceId"`
	Properties   map[string]any `json:"properties"`
	Associations []struct {
		To struct {
			ID any `json:"id"`
		} `json:"to"`
		Types []linkType `json:"types"`
	} `json:"associations"`
}

// readRows reads the inputs. A property that does not exist refuses the whole request.
func (s *Simulator) readRows(c *call, object string) ([]*row, *hubSpotError) {
	var in struct {
		Inputs []json.RawMessage `json:"inputs"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return nil, hubSpotBadJSON()
	}
	if refused := checkCount(len(in.Inputs), maxInputs); refused != nil {
		return nil, refused
	}
	return s.rowsOf(object, in.Inputs)
}

func (s *Simulator) rowsOf(object string, inputs []json.RawMessage) ([]*row, *hubSpotError) {
	var rows []*row
	var unknown []string
	for _, raw := range inputs {
		var in rowInput
		if err := unmarshal(raw, &in); err != nil {
			return nil, hubSpotBadJSON()
		}
		r := &row{raw: raw, id: idText(in.ID), idProperty: in.IDProperty, trace: in.Trace, values: make(map[string]string)}
		for _, name := range slices.Sorted(maps.Keys(in.Properties)) {
			p, ok := s.hubspot.crm.property(object, name)
			if !ok {
				unknown = append(unknown, name)
				continue
			}
			kept, code, message := p.check(in.Properties[name])
			if code != "" {
				r.problem = invalidRow(code, "Property values were not valid: "+message)
				r.problem.context = map[string]any{"propertyName": []string{name}}
			}
			r.values[name] = kept
		}
		s.readRowLinks(object, &in, r)
		rows = append(rows, r)
	}
	if len(unknown) > 0 {
		return nil, unknownProperties(unknown)
	}
	return rows, nil
}

func (s *Simulator) readRowLinks(object string, in *rowInput, r *row) {
	for _, a := range in.Associations {
		id := idText(a.To.ID)
		to := targetOf(object, a.Types)
		if to == "" {
			r.problem = invalidRow("INVALID_ASSOCIATION", "The association types of "+object+" are not valid")
			return
		}
		other := s.hubspot.crm.findText(to, id)
		if other == nil {
			r.problem = invalidRow("ASSOCIATION_NOT_FOUND", "Some associated objects do not exist: "+singular[to]+" "+id)
			r.problem.context = map[string]any{"ids": []string{id}}
			return
		}
		r.links = append(r.links, rowLink{to: other, primary: isPrimary(object, to, a.Types)})
	}
}

// targetOf tells from association type ids what they lead to.
func targetOf(from string, types []linkType) string {
	for _, t := range types {
		for pair, ids := range linkTypes {
			if pair[0] == from && t.ID != 0 && (ids[0] == t.ID || ids[1] == t.ID) && t.Category == "HUBSPOT_DEFINED" {
				return pair[1]
			}
		}
	}
	return ""
}

func unknownProperties(names []string) *hubSpotError {
	slices.Sort(names)
	names = slices.Compact(names)
	type entry struct {
		IsValid bool   `json:"isValid"`
		Message string `json:"message"`
		Error   string `json:"error"`
		Name    string `json:"name"`
	}
	var inText []entry
	var problems []hubSpotProblem
	for _, n := range names {
		text := fmt.Sprintf("Property %q does not exist", n)
		inText = append(inText, entry{false, text, "PROPERTY_DOESNT_EXIST", n})
		problems = append(problems, hubSpotProblem{Message: text, Code: "PROPERTY_DOESNT_EXIST", Context: map[string]any{"propertyName": []string{n}}})
	}
	list, _ := marshal(inText)
	return hubSpotInvalid("Property values were not valid: "+string(list), problems...)
}

// doRow does one row that was checked, remembers it as received, and shows the result.
func (s *Simulator) doRow(c *call, object string, op operation, r *row) (map[string]any, *rowFault) {
	m, ch := s.hubspot.crm, s.apiChange(c)
	fresh := r.record == nil
	if fresh {
		if op == opUpsert && r.values[r.idProperty] == "" {
			r.values[r.idProperty] = r.id
		}
		made, err := s.create(object, 0, r.values, ch)
		if err != nil {
			return nil, &rowFault{status: http.StatusConflict, category: "CONFLICT", text: err.Error()}
		}
		r.record = made
	} else {
		s.set(r.record, r.values, ch)
	}
	for _, l := range r.links {
		s.associate(r.record, l.to, l.primary, false, ch)
	}
	s.take(HubSpot, c, s.received(object, r, fresh))
	body := m.body(r.record, append(slices.Sorted(maps.Keys(r.values)), map[bool][]string{true: {"email"}}[object == contacts]...))
	if op == opUpsert {
		body["new"] = fresh
	}
	if r.trace != "" {
		body["objectWriteTraceId"] = r.trace
	}
	return body, nil
}

// received is a written row as /_received lists it.
func (s *Simulator) received(object string, r *row, fresh bool) *Received {
	out := &Received{Kind: singular[object], EventName: singular[object] + map[bool]string{true: "_created", false: "_updated"}[fresh],
		Object: strconv.FormatInt(r.record.ID, 10), Body: r.raw}
	switch object {
	case contacts:
		out.Person, out.Matched = s.whoIs(r.record), !fresh || s.known(r.record)
	case notes:
		out.EventName, out.EventID = "note", r.trace
		out.EventTime, _ = readTime(r.record.Props["hs_timestamp"])
		for _, l := range r.links {
			if l.to.Type != contacts {
				continue
			}
			out.Object, out.Person, out.Matched = strconv.FormatInt(l.to.ID, 10), s.whoIs(l.to), true
			out.Duplicate = s.hubspot.crm.sameNote(l.to, r.record)
		}
	default:
		out.Matched = true
	}
	return out
}

// sameNote says that a contact has another note of that time and text.
func (m *crm) sameNote(contact, note *record) bool {
	for _, id := range m.linked(reference{contacts, contact.ID}, notes) {
		other := m.find(notes, id)
		if other != nil && other != note && other.Props["hs_timestamp"] == note.Props["hs_timestamp"] && other.Props["hs_note_body"] == note.Props["hs_note_body"] {
			return true
		}
	}
	return false
}

// known says that a contact is somebody the simulator was told of.
func (s *Simulator) known(r *record) bool {
	return slices.ContainsFunc(r.emails(), func(e string) bool { return s.people.find("crm.email", e) != "" })
}

// whoIs names a contact: the person with its e-mail, else the name it has.
func (s *Simulator) whoIs(r *record) string {
	for _, e := range r.emails() {
		if who := s.people.find("crm.email", e); who != "" {
			return who
		}
	}
	if name := strings.TrimSpace(r.Props["firstname"] + " " + r.Props["lastname"]); name != "" {
		return name
	}
	return "contact " + strconv.FormatInt(r.ID, 10)
}

func (s *Simulator) createOne(c *call, object string) (answer, *hubSpotError) {
	rows, refused := s.rowsOf(object, []json.RawMessage{c.body})
	if refused == nil {
		refused = s.oneRow(object, opCreate, rows)
	}
	if refused != nil {
		return answer{}, refused
	}
	body, fault := s.doRow(c, object, opCreate, rows[0])
	if fault != nil {
		return answer{}, hubSpotInvalid(fault.text)
	}
	return jsonAnswer(http.StatusCreated, body), nil
}

// updateOne changes one record; old ids and an e-mail as key are taken here.
func (s *Simulator) updateOne(c *call, object, id string) (answer, *hubSpotError) {
	r, refused := s.hubspot.find(object, c.r.URL.Query().Get("idProperty"), id)
	if refused != nil {
		return answer{}, refused
	}
	rows, refused := s.rowsOf(object, []json.RawMessage{c.body})
	if refused == nil {
		rows[0].id, rows[0].idProperty = strconv.FormatInt(r.ID, 10), ""
		refused = s.oneRow(object, opUpdate, rows)
	}
	if refused != nil {
		return answer{}, refused
	}
	body, fault := s.doRow(c, object, opUpdate, rows[0])
	if fault != nil {
		return answer{}, hubSpotInvalid(fault.text)
	}
	return jsonAnswer(http.StatusOK, body), nil
}

func (s *Simulator) oneRow(object string, op operation, rows []*row) *hubSpotError {
	rows[0].trace = ""
	return s.checkRows(object, op, rows)
}

func (s *Simulator) batchArchive(c *call, object string) (answer, *hubSpotError) {
	var in struct {
		Inputs []struct {
			ID any `json:"id"`
		} `json:"inputs"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	if refused := checkCount(len(in.Inputs), maxInputs); refused != nil {
		return answer{}, refused
	}
	for _, input := range in.Inputs {
		if r := s.hubspot.crm.findText(object, idText(input.ID)); r != nil {
			s.remove(r, s.apiChange(c))
		}
	}
	return answer{status: http.StatusNoContent}, nil
}

func (s *Simulator) mergeObjects(c *call, object string) (answer, *hubSpotError) {
	var in struct {
		Primary any `json:"primaryObjectId"`
		Merge   any `json:"objectIdToMerge"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	winner, loser := s.hubspot.crm.findText(object, idText(in.Primary)), s.hubspot.crm.findText(object, idText(in.Merge))
	if winner == nil || loser == nil || winner == loser {
		return answer{}, hubSpotMissing("resource not found")
	}
	survivor, err := s.merge(winner, loser, s.hubspot.crm.next, s.apiChange(c))
	if errors.Is(err, errTooManyMerges) {
		return answer{}, &hubSpotError{Status: http.StatusRequestURITooLong, Category: "VALIDATION_ERROR", Message: err.Error()}
	}
	if err != nil {
		return answer{}, hubSpotInvalid(err.Error())
	}
	return jsonAnswer(http.StatusOK, s.hubspot.crm.body(survivor, slices.Sorted(maps.Keys(survivor.Props)))), nil
}

func (s *Simulator) gdprDelete(c *call, object string) (answer, *hubSpotError) {
	var in struct {
		ID       any    `json:"objectId"`
		Property string `json:"idProperty"`
	}
	if err := unmarshal(c.body, &in); err != nil || object != contacts {
		return answer{}, hubSpotBadJSON()
	}
	if r := s.hubspot.crm.findBy(contacts, in.Property, idText(in.ID)); r != nil {
		s.forget(r, Change{At: c.now.Add(time.Millisecond), Source: "API"}.filled(c.now))
	}
	return answer{status: http.StatusNoContent}, nil
}
