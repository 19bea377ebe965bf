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

	opSingle operation = "" // of one record, done already
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

// A valueFault is what is wrong with one value.
type valueFault struct{ name, code, message string }

// invalidValues is the fault of a row with wrong values: the text holds a JSON array of all
// of them, the rest speaks of the first.
func invalidValues(faults []valueFault) *rowFault {
	type entry struct {
		IsValid bool   `json:"isValid"`
		Message string `json:"message"`
		Error   string `json:"error"`
		Name    string `json:"name"`
	}
	list := make([]entry, len(faults))
	for i, f := range faults {
		list[i] = entry{false, f.message, f.code, f.name}
	}
	text, _ := marshal(list) // texts only
	out := invalidRow(faults[0].code, "Property values were not valid: "+string(text))
	out.context = map[string]any{"propertyName": []string{faults[0].name}}
	return out
}

// batchWrite reads the rows, checks all, and only then does them. Which rows an answer is
// about follows from trace ids; without them one bad row refuses all.
func (h *hubSpotServer) batchWrite(c *call, object string, op operation) (answer, *hubSpotError) {
	rows, refused := h.readRows(c, object)
	if refused != nil {
		return answer{}, refused
	}
	if refused := h.checkRows(object, op, rows); refused != nil {
		return answer{}, refused
	}
	if c.fault != nil && c.fault.Mode == "lost_row" {
		i := h.random.IntN(len(rows))
		rows = slices.Delete(rows, i, i+1)
	}
	results, faults := make([]any, 0, len(rows)), []any(nil)
	for _, r := range rows {
		if r.problem == nil {
			result, problem := h.doRow(c, object, op, r)
			if problem == nil {
				results = append(results, result)
				continue
			}
			r.problem = problem
		}
		context := maps.Clone(r.problem.context)
		if context == nil {
			context = make(map[string]any)
		}
		if r.trace != "" {
			context["objectWriteTraceId"] = []string{r.trace}
		}
		faults = append(faults, rowProblem(r.problem.category, r.problem.text, context))
	}
	h.shuffle(results)
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
func (h *hubSpotServer) readRows(c *call, object string) ([]*row, *hubSpotError) {
	var in struct {
		Inputs []json.RawMessage `json:"inputs"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return nil, hubSpotBadJSON()
	}
	if refused := checkCount(len(in.Inputs), maxInputs); refused != nil {
		return nil, refused
	}
	return h.rowsOf(object, in.Inputs)
}

func (h *hubSpotServer) rowsOf(object string, inputs []json.RawMessage) ([]*row, *hubSpotError) {
	rows := make([]*row, 0, len(inputs))
	var unknown []string
	for _, raw := range inputs {
		var in rowInput
		if err := unmarshal(raw, &in); err != nil {
			return nil, hubSpotBadJSON()
		}
		r := &row{raw: raw, id: idText(in.ID), idProperty: in.IDProperty, trace: in.Trace, values: make(map[string]string, len(in.Properties)+1)}
		var wrong []valueFault
		for name, value := range in.Properties {
			p, ok := h.crm.property(object, name)
			if !ok {
				unknown = append(unknown, name)
				continue
			}
			kept, code, message := p.check(value)
			if code != "" {
				wrong = append(wrong, valueFault{name, code, message})
			}
			r.values[name] = kept
		}
		if len(wrong) > 0 {
			slices.SortFunc(wrong, func(a, b valueFault) int { return strings.Compare(a.name, b.name) })
			r.problem = invalidValues(wrong)
		}
		h.readRowLinks(object, &in, r)
		rows = append(rows, r)
	}
	if len(unknown) > 0 {
		return nil, unknownProperties(unknown)
	}
	return rows, nil
}

func (h *hubSpotServer) readRowLinks(object string, in *rowInput, r *row) {
	for _, a := range in.Associations {
		id := idText(a.To.ID)
		to := h.targetOf(object, a.Types)
		if to == "" {
			r.problem = invalidRow("INVALID_ASSOCIATION", "The association types of "+object+" are not valid")
			return
		}
		other := h.crm.findText(to, id)
		if other == nil {
			r.problem = invalidRow("ASSOCIATION_NOT_FOUND", "Some associated objects do not exist: "+h.crm.one(to)+" "+id)
			r.problem.context = map[string]any{"ids": []string{id}}
			return
		}
		r.links = append(r.links, rowLink{to: other, primary: h.isPrimary(object, to, a.Types)})
	}
}

// targetOf tells from association type ids what they lead to.
func (h *hubSpotServer) targetOf(from string, types []linkType) string {
	for _, to := range []string{contacts, companies, deals, notes} {
		if h.checkTypes(from, to, types) == nil {
			return to
		}
	}
	for to := range h.crm.customs {
		if h.checkTypes(from, to, types) == nil {
			return to
		}
	}
	return ""
}

// unknownProperties refuses the whole request. Its errors name the first property only; all
// are in the text.
func unknownProperties(names []string) *hubSpotError {
	slices.Sort(names)
	var faults []valueFault
	for _, n := range slices.Compact(names) {
		faults = append(faults, valueFault{n, "PROPERTY_DOESNT_EXIST", fmt.Sprintf("Property %q does not exist", n)})
	}
	f := invalidValues(faults)
	return hubSpotInvalid(f.text, hubSpotProblem{Message: faults[0].message, Code: f.code, Context: f.context})
}

// doRow does one row that was checked, remembers it as received, and shows the result.
func (h *hubSpotServer) doRow(c *call, object string, op operation, r *row) (map[string]any, *rowFault) {
	m, ch := h.crm, h.apiChange(c)
	fresh := r.record == nil
	if fresh {
		made, err := h.create(object, 0, r.values, ch)
		if err != nil {
			return nil, &rowFault{status: http.StatusConflict, category: "CONFLICT", text: err.Error()}
		}
		r.record = made
	} else {
		h.set(r.record, r.values, ch)
	}
	for _, l := range r.links {
		h.associate(r.record, l.to, l.primary, false, ch)
	}
	h.take(c, h.received(object, r, fresh))
	names := make([]string, 0, len(r.values)+1)
	if object == contacts {
		names = append(names, "email")
	}
	for name := range r.values {
		names = append(names, name)
	}
	body := m.body(r.record, names)
	if op != opSingle {
		h.mixTimes(object, body["properties"].(map[string]any))
	}
	if op == opUpsert {
		body["new"] = fresh
	}
	if r.trace != "" {
		body["objectWriteTraceId"] = r.trace
	}
	return body, nil
}

// mixTimes writes some of a batch's times in milliseconds.
func (h *hubSpotServer) mixTimes(object string, properties map[string]any) {
	for name, value := range properties {
		text, _ := value.(string)
		if text == "" || h.crm.schema[object][name].Type != "datetime" || h.random.IntN(2) == 0 {
			continue
		}
		if at, ok := readTime(text); ok {
			properties[name] = strconv.FormatInt(at.UnixMilli(), 10)
		}
	}
}

// received is a written row as /_received lists it.
func (h *hubSpotServer) received(object string, r *row, fresh bool) *Received {
	out := &Received{Kind: h.crm.one(object), EventName: h.crm.one(object) + map[bool]string{true: "_created", false: "_updated"}[fresh],
		Object: strconv.FormatInt(r.record.ID, 10), Body: r.raw}
	switch object {
	case contacts:
		out.Person, out.Matched = h.whoIs(r.record), !fresh || h.known(r.record)
	case notes:
		out.EventName, out.EventID = "note", r.trace
		out.EventTime, _ = readTime(r.record.Props["hs_timestamp"])
		for _, l := range r.links {
			if l.to.Type != contacts {
				continue
			}
			out.Object, out.Person, out.Matched = strconv.FormatInt(l.to.ID, 10), h.whoIs(l.to), true
			out.Duplicate = h.crm.sameNote(l.to, r.record)
		}
	default:
		out.Matched = true
	}
	for name := range r.values {
		if p := h.crm.schema[object][name]; p.Type == "datetime" || p.Type == "date" {
			if at, ok := readTime(r.record.Props[name]); ok && at.Year() == 1970 {
				out.Warnings = append(out.Warnings, name+" lies in 1970: were seconds sent for milliseconds?")
			}
		}
	}
	return out
}

// sameNote says that a contact has another note of that time and text.
func (m *crm) sameNote(contact, note *record) bool {
	tied := m.links[reference{contacts, contact.ID}][notes]
	for _, id := range m.written[note.noteKey()] {
		if other := m.find(notes, id); other != nil && other != note {
			if _, its := tied[other.ID]; its && other.noteKey() == note.noteKey() {
				return true
			}
		}
	}
	return false
}

// known says that a contact is somebody the simulator was told of.
func (h *hubSpotServer) known(r *record) bool {
	return slices.ContainsFunc(r.emails(), func(e string) bool { return h.sim.people.find("crm.email", e) != "" })
}

// whoIs names a contact: the person with its e-mail, else the name it has.
func (h *hubSpotServer) whoIs(r *record) string {
	for _, e := range r.emails() {
		if who := h.sim.people.find("crm.email", e); who != "" {
			return who
		}
	}
	if name := strings.TrimSpace(r.Props["firstname"] + " " + r.Props["lastname"]); name != "" {
		return name
	}
	return "contact " + strconv.FormatInt(r.ID, 10)
}

func (h *hubSpotServer) createOne(c *call, object string) (answer, *hubSpotError) {
	rows, refused := h.rowsOf(object, []json.RawMessage{c.body})
	if refused == nil {
		refused = h.oneRow(object, opCreate, rows)
	}
	if refused != nil {
		return answer{}, refused
	}
	body, fault := h.doRow(c, object, opSingle, rows[0])
	if fault != nil {
		return answer{}, hubSpotInvalid(fault.text)
	}
	return jsonAnswer(http.StatusCreated, body), nil
}

// updateOne changes one record; old ids and an e-mail as key are taken here.
func (h *hubSpotServer) updateOne(c *call, object, id string) (answer, *hubSpotError) {
	r, refused := h.find(object, c.r.URL.Query().Get("idProperty"), id)
	if refused != nil {
		return answer{}, refused
	}
	rows, refused := h.rowsOf(object, []json.RawMessage{c.body})
	if refused == nil {
		rows[0].id, rows[0].idProperty = strconv.FormatInt(r.ID, 10), ""
		refused = h.oneRow(object, opUpdate, rows)
	}
	if refused != nil {
		return answer{}, refused
	}
	body, fault := h.doRow(c, object, opSingle, rows[0])
	if fault != nil {
		return answer{}, hubSpotInvalid(fault.text)
	}
	return jsonAnswer(http.StatusOK, body), nil
}

func (h *hubSpotServer) oneRow(object string, op operation, rows []*row) *hubSpotError {
	rows[0].trace = ""
	return h.checkRows(object, op, rows)
}

func (h *hubSpotServer) batchArchive(c *call, object string) (answer, *hubSpotError) {
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
		if r := h.crm.findText(object, idText(input.ID)); r != nil {
			h.remove(r, h.apiChange(c))
		}
	}
	return answer{status: http.StatusNoContent}, nil
}

func (h *hubSpotServer) mergeObjects(c *call, object string) (answer, *hubSpotError) {
	var in struct {
		Primary string `json:"primaryObjectId"`
		Merge   string `json:"objectIdToMerge"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	winner, loser := h.crm.findText(object, in.Primary), h.crm.findText(object, in.Merge)
	if winner == nil || loser == nil || winner == loser {
		return answer{}, hubSpotMissing("resource not found")
	}
	survivor, err := h.merge(winner, loser, h.crm.next, h.apiChange(c))
	if errors.Is(err, errTooManyMerges) {
		return answer{}, &hubSpotError{Status: http.StatusRequestURITooLong, Category: "VALIDATION_ERROR", Message: err.Error()}
	}
	if err != nil {
		return answer{}, hubSpotInvalid(err.Error())
	}
	return jsonAnswer(http.StatusOK, h.crm.body(survivor, slices.Sorted(maps.Keys(survivor.Props)))), nil
}

func (h *hubSpotServer) gdprDelete(c *call, object string) (answer, *hubSpotError) {
	var in struct {
		ID       any    `json:"objectId"`
		Property string `json:"idProperty"`
	}
	if err := unmarshal(c.body, &in); err != nil || object != contacts {
		return answer{}, hubSpotBadJSON()
	}
	r := h.crm.findBy(contacts, in.Property, idText(in.ID))
	if in.Property == "email" {
		h.block(strings.ToLower(strings.TrimSpace(idText(in.ID)))) // also where nobody has it
	}
	if r != nil {
		ch := h.apiChange(c)
		ch.At = ch.At.Add(time.Millisecond)
		h.forget(r, ch)
	}
	return answer{status: http.StatusNoContent}, nil
}
