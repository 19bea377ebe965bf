package simulator

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// checkRows finds every row's record and what stands against the row, and refuses the
// request where rows cannot be told apart.
func (s *Simulator) checkRows(object string, op operation, rows []*row) *hubSpotError {
	for _, r := range rows {
		if refused := s.checkRow(object, op, r); refused != nil {
			return refused
		}
	}
	if refused := checkDoubles(op, rows); refused != nil {
		return refused
	}
	traces := make(map[string]bool)
	for _, r := range rows {
		traces[r.trace] = true
	}
	multi := len(traces) == len(rows) && !traces[""]
	if op == opUpsert && rows[0].idProperty == "email" && !s.hubspot.account.PartialUpsert {
		multi = false
	}
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

func (s *Simulator) checkRow(object string, op operation, r *row) *hubSpotError {
	m := s.hubspot.crm
	if len(r.values) == 0 && r.problem == nil {
		return hubSpotInvalid("No properties found to update, please provide at least one.")
	}
	if stage, ok := r.values["dealstage"]; ok && object == deals && r.problem == nil {
		pipeline := r.values["pipeline"]
		if _, known := m.stage(pipeline, stage); !known {
			r.problem = invalidRow("INVALID_OPTION", "Property values were not valid: "+stage+" was not one of the allowed options of dealstage")
		}
	}
	switch op {
	case opCreate:
		s.checkCreate(object, r)
	case opUpdate:
		if r.idProperty == "email" || r.idProperty == "hs_object_id" {
			return hubSpotInvalid("Cannot update " + object + " by non-unique property " + r.idProperty)
		}
		if r.idProperty != "" {
			if _, refused := s.hubspot.find(object, r.idProperty, r.id); refused != nil && refused.Status != http.StatusNotFound {
				return refused
			}
		}
		r.record = m.findBy(object, r.idProperty, r.id)
		if r.record == nil || r.idProperty == "" && strconv.FormatInt(r.record.ID, 10) != r.id { // old ids are not taken here
			r.record = nil
			r.problem = &rowFault{status: http.StatusNotFound, category: "OBJECT_NOT_FOUND", text: "Could not get some objects: " + r.id, context: map[string]any{"ids": []string{r.id}}}
			return nil
		}
		s.checkTaken(object, r)
	case opUpsert:
		return s.checkUpsert(object, r)
	}
	return nil
}

func (s *Simulator) checkUpsert(object string, r *row) *hubSpotError {
	m := s.hubspot.crm
	if r.id == "" || r.idProperty == "" {
		return hubSpotInvalid("id and idProperty are required")
	}
	p, ok := m.property(object, r.idProperty)
	byEmail := object == contacts && r.idProperty == "email"
	if !byEmail && (!ok || !p.Unique) {
		return hubSpotInvalid("Cannot upsert " + object + " by non-unique property " + r.idProperty)
	}
	if byEmail {
		if kept, code, message := p.check(r.id); code != "" {
			r.problem = invalidRow(code, "Property values were not valid: "+message)
		} else {
			r.id = kept
		}
	}
	r.record = m.findBy(object, r.idProperty, r.id)
	s.checkTaken(object, r)
	return nil
}

// checkTaken finds that a row's e-mail is another contact's.
func (s *Simulator) checkTaken(object string, r *row) {
	email := r.values["email"]
	if object != contacts || email == "" {
		return
	}
	if other := s.hubspot.crm.findBy(contacts, "email", email); other != nil && other != r.record {
		id := strconv.FormatInt(other.ID, 10)
		r.problem = &rowFault{status: http.StatusConflict, category: "CONFLICT", text: "Contact already exists. Existing ID: " + id, context: map[string]any{"existingId": []string{id}}}
	}
}

// needs says what a new record must have one of; deals and notes must have all.
var needs = map[string][]string{
	contacts: {"email", "firstname", "lastname"}, companies: {"name", "domain"}, deals: {"dealname", "dealstage"}, notes: {"hs_timestamp"},
}

func (s *Simulator) checkCreate(object string, r *row) {
	has := func(name string) bool { return r.values[name] != "" }
	lacks := !slices.ContainsFunc(needs[object], has)
	if object == deals || object == notes {
		lacks = slices.ContainsFunc(needs[object], func(n string) bool { return !has(n) })
	}
	if lacks && r.problem == nil {
		r.problem = invalidRow("REQUIRED_FIELD", "Error creating "+strings.ToUpper(singular[object])+". Some required properties were not set: "+strings.Join(needs[object], ", "))
	}
	s.checkTaken(object, r)
}

// checkDoubles refuses two rows for one record, also where they name it differently.
func checkDoubles(op operation, rows []*row) *hubSpotError {
	seen := make(map[string]bool)
	var doubles []string
	for _, r := range rows {
		key := strings.ToLower(r.id)
		if r.record != nil {
			key = "#" + strconv.FormatInt(r.record.ID, 10)
		} else if op == opCreate {
			key = r.values["email"]
		}
		if key == "" {
			continue
		}
		if seen[key] {
			doubles = append(doubles, r.id)
		}
		seen[key] = true
	}
	if len(doubles) == 0 {
		return nil
	}
	e := hubSpotInvalid("Duplicate IDs found in batch input: [" + strings.Join(doubles, ", ") + "]")
	e.Context = map[string]any{"ids": doubles}
	return e
}
