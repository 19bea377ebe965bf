package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// checkRows finds every row's record and what stands against the row, and refuses the
// request where rows cannot be told apart.
func (h *hubSpotServer) checkRows(object string, op operation, rows []*row) *hubSpotError {
	for _, r := range rows {
		if refused := h.checkRow(object, op, r); refused != nil {
			return refused
		}
	}
	if refused := checkDoubles(op, rows); refused != nil {
		return refused
	}
	multi := h.eachAnswered(op, rows)
	for _, r := range rows {
		if r.problem == nil || multi || r.problem.category == "OBJECT_NOT_FOUND" && op == opUpdate {
			continue
		}
		e := &hubSpotError{Status: r.problem.status, Category: r.problem.category, Message: r.problem.text, Context: r.problem.context}
		if r.problem.code != "" {
			e.Errors = []hubSpotProblem{{Message: r.problem.text, Code: r.problem.code, Context: r.problem.context}}
		}
		return e
	}
	return nil
}

// eachAnswered says that rows are answered for one by one: every row has a trace id of its
// own, and none is an upsert by e-mail.
func (h *hubSpotServer) eachAnswered(op operation, rows []*row) bool {
	traces := make(map[string]bool, len(rows))
	for _, r := range rows {
		if r.trace == "" || traces[r.trace] || op == opUpsert && r.idProperty == "email" && !h.account.PartialUpsert {
			return false
		}
		traces[r.trace] = true
	}
	return true
}

func (h *hubSpotServer) checkRow(object string, op operation, r *row) *hubSpotError {
	if len(r.values) == 0 && r.problem == nil {
		return hubSpotInvalid("No properties found to update, please provide at least one.")
	}
	switch op {
	case opUpdate:
		if refused := h.checkUpdate(object, r); refused != nil {
			return refused
		}
	case opUpsert:
		if refused := h.checkUpsert(object, r); refused != nil {
			return refused
		}
	}
	if r.problem != nil {
		return nil
	}
	if r.record == nil {
		r.problem = h.lacking(object, r)
	}
	for _, check := range []func(string, *row) *rowFault{h.stageFault, h.ownerFault, h.takenFault, h.ruleFault} {
		if r.problem == nil {
			r.problem = check(object, r)
		}
	}
	return nil
}

func (h *hubSpotServer) checkUpdate(object string, r *row) *hubSpotError {
	if r.idProperty == "email" || r.idProperty == "hs_object_id" {
		return hubSpotInvalid("Cannot update " + object + " by non-unique property " + r.idProperty)
	}
	if r.idProperty != "" {
		if _, refused := h.find(object, r.idProperty, r.id); refused != nil && refused.Status != http.StatusNotFound {
			return refused
		}
	}
	r.record = h.crm.findBy(object, r.idProperty, r.id)
	if r.record == nil || r.idProperty == "" && strconv.FormatInt(r.record.ID, 10) != r.id { // old ids are not taken here
		r.record = nil
		r.problem = &rowFault{status: http.StatusNotFound, category: "OBJECT_NOT_FOUND", text: "Could not get some objects: " + r.id, context: map[string]any{"ids": []string{r.id}}}
	}
	return nil
}

func (h *hubSpotServer) checkUpsert(object string, r *row) *hubSpotError {
	if r.id == "" || r.idProperty == "" {
		return hubSpotInvalid("id and idProperty are required")
	}
	p, ok := h.crm.property(object, r.idProperty)
	byEmail := object == contacts && r.idProperty == "email"
	if !byEmail && (!ok || !p.Unique) {
		return hubSpotInvalid("Cannot upsert " + object + " by non-unique property " + r.idProperty)
	}
	kept, code, message := p.check(r.id)
	if code != "" {
		r.problem = invalidValues([]valueFault{{p.Name, code, message}})
		return nil
	}
	r.id = kept
	r.record = h.crm.findBy(object, r.idProperty, r.id)
	if _, sent := r.values[r.idProperty]; !sent && r.record == nil {
		r.values[r.idProperty] = r.id
	}
	return nil
}

// stageFault finds that a deal's stage is none of its pipeline's.
func (h *hubSpotServer) stageFault(object string, r *row) *rowFault {
	stage, staged := r.values["dealstage"]
	pipeline, piped := r.values["pipeline"]
	if object != deals || !staged && !piped {
		return nil
	}
	if r.record != nil && !piped {
		pipeline = r.record.Props["pipeline"]
	}
	if r.record != nil && !staged {
		stage = r.record.Props["dealstage"]
	}
	if pipeline == "" {
		pipeline = "default"
	}
	if !slices.ContainsFunc(h.crm.deals, func(p Pipeline) bool { return p.ID == pipeline }) {
		return invalidValues([]valueFault{{"pipeline", "INVALID_OPTION", pipeline + " was not one of the allowed options of pipeline"}})
	}
	if _, known := h.crm.stage(pipeline, stage); !known {
		return invalidValues([]valueFault{{"dealstage", "INVALID_OPTION", stage + " was not one of the allowed options of dealstage in pipeline " + pipeline}})
	}
	return nil
}

func (h *hubSpotServer) ownerFault(_ string, r *row) *rowFault {
	owner := r.values["hubspot_owner_id"]
	if owner == "" || h.account.Owners == nil {
		return nil
	}
	if id, err := strconv.ParseInt(owner, 10, 64); err != nil || !slices.Contains(h.account.Owners, id) {
		return invalidValues([]valueFault{{"hubspot_owner_id", "INVALID_OWNER_ID", "There is no owner " + owner}})
	}
	return nil
}

// takenFault finds that a row's e-mail, or another unique value, is another record's, or
// that its e-mail was erased for good.
func (h *hubSpotServer) takenFault(object string, r *row) *rowFault {
	for name, value := range r.values {
		if value == "" {
			continue
		}
		email := object == contacts && name == "email"
		if !email && !h.crm.schema[object][name].Unique {
			continue
		}
		if email && r.record == nil && h.blocked[value] {
			return invalidValues([]valueFault{{"email", "BLOCKLISTED_EMAIL", "This e-mail address was erased and cannot be used"}})
		}
		other := h.crm.findBy(object, name, value)
		if other == nil || other == r.record {
			continue
		}
		id := strconv.FormatInt(other.ID, 10)
		if email {
			return &rowFault{status: http.StatusConflict, category: "CONFLICT", text: "Contact already exists. Existing ID: " + id, context: map[string]any{"existingId": []string{id}}}
		}
		f := invalidValues([]valueFault{{name, "CONFLICTING_UNIQUE_VALUE", value + " is " + h.crm.one(object) + " " + id + "'s already"}})
		f.context["existingId"] = []string{id}
		return f
	}
	return nil
}

// needs says what a new record must have one of; deals, notes and custom objects must have
// all.
var needs = map[string][]string{
	contacts: {"email", "firstname", "lastname"}, companies: {"name", "domain"}, deals: {"dealname", "dealstage"}, notes: {"hs_timestamp"},
}

// lacking finds that a new record would not have what it needs.
func (h *hubSpotServer) lacking(object string, r *row) *rowFault {
	has := func(name string) bool { return r.values[name] != "" }
	needed, lacks := needs[object], false
	if t := h.crm.custom(object); t != nil {
		needed = t.Needs
	}
	if object == contacts || object == companies {
		lacks = !slices.ContainsFunc(needed, has)
	} else {
		lacks = slices.ContainsFunc(needed, func(n string) bool { return !has(n) })
	}
	if !lacks {
		return nil
	}
	return requiredFault(h.crm.one(object), needed)
}

func requiredFault(one string, names []string) *rowFault {
	f := invalidRow("REQUIRED_FIELD", "Error creating "+strings.ToUpper(one)+". Some required properties were not set: "+strings.Join(names, ", "))
	f.context = map[string]any{"properties": names}
	return f
}

// ruleFault finds that a write would leave a record without what the account demands.
func (h *hubSpotServer) ruleFault(object string, r *row) *rowFault {
	after := func(name string) string {
		if v, sent := r.values[name]; sent || r.record == nil {
			return v
		}
		return r.record.Props[name]
	}
	for _, rule := range h.account.Rules {
		if h.crm.typeOf(rule.Object) != object || rule.Where == "" && r.record != nil || rule.Where != "" && after(rule.Where) != rule.Is {
			continue
		}
		var missing []string
		for _, name := range rule.Needs {
			if after(name) == "" {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			return requiredFault(h.crm.one(object), missing)
		}
	}
	return nil
}

// checkDoubles refuses two rows for one record, also where they name it differently.
func checkDoubles(op operation, rows []*row) *hubSpotError {
	seen := make(map[string]bool, len(rows))
	var doubles []string
	for _, r := range rows {
		key, name := r.idProperty+" "+strings.ToLower(r.id), r.id
		if r.record != nil {
			key = "#" + strconv.FormatInt(r.record.ID, 10)
		} else if op == opCreate {
			key, name = r.values["email"], r.values["email"]
		}
		if key == "" {
			continue
		}
		if seen[key] {
			doubles = append(doubles, name)
		}
		seen[key] = true
	}
	if len(doubles) == 0 {
		return nil
	}
	e := hubSpotInvalid(fmt.Sprintf("Duplicate IDs found in batch input: %v", doubles))
	e.Context = map[string]any{"ids": doubles}
	return e
}
