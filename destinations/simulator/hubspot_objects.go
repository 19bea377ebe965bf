package simulator

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const maxInputs = 100

// serveObjects leads every call on records to its operation.
func (s *Simulator) serveObjects(c *call, rest []string) (answer, *hubSpotError) {
	object := ""
	if len(rest) > 0 {
		object = typeNames[rest[0]]
	}
	if object == "" {
		return answer{}, hubSpotInvalid("Unable to infer object type from: " + strings.Join(rest, "/"))
	}
	what := c.method + " " + strings.Join(rest[1:], "/")
	switch what {
	case "POST ":
		return s.createOne(c, object)
	case "POST batch/read":
		return s.batchRead(c, object)
	case "POST batch/create":
		return s.batchWrite(c, object, opCreate)
	case "POST batch/update":
		return s.batchWrite(c, object, opUpdate)
	case "POST batch/upsert":
		return s.batchWrite(c, object, opUpsert)
	case "POST batch/archive":
		return s.batchArchive(c, object)
	case "POST search":
		return s.searchObjects(c, object)
	case "POST merge":
		return s.mergeObjects(c, object)
	case "POST gdpr-delete":
		return s.gdprDelete(c, object)
	}
	switch {
	case len(rest) == 2 && c.method == http.MethodGet:
		return s.readOne(c, object, rest[1])
	case len(rest) == 2 && c.method == http.MethodPatch:
		return s.updateOne(c, object, rest[1])
	case len(rest) == 2 && c.method == http.MethodDelete:
		if r := s.hubspot.crm.findText(object, rest[1]); r != nil {
			s.remove(r, s.apiChange(c))
		}
		return answer{status: http.StatusNoContent}, nil
	case len(rest) >= 4 && rest[2] == "associations":
		return s.serveLinks(c, object, rest)
	}
	return answer{}, &hubSpotError{Status: http.StatusNotFound, Message: "resource not found"}
}

// find looks a record up as the API does: by id (old ids lead to the survivor), or by
// another property that names one.
func (h *hubSpotServer) find(object, property, value string) (*record, *hubSpotError) {
	if property != "" && property != "email" && property != "hs_object_id" {
		if p, ok := h.crm.property(object, property); !ok || !p.Unique {
			return nil, hubSpotInvalid("Property " + property + " is not a unique property of " + object)
		}
	}
	r := h.crm.findBy(object, property, value)
	if r == nil {
		return nil, hubSpotMissing("resource not found")
	}
	return r, nil
}

func (s *Simulator) readOne(c *call, object, id string) (answer, *hubSpotError) {
	h, query := s.hubspot, c.r.URL.Query()
	r, refused := h.find(object, query.Get("idProperty"), id)
	if refused != nil {
		return answer{}, refused
	}
	body := h.crm.body(r, list(query["properties"]))
	if names := list(query["propertiesWithHistory"]); len(names) > 0 {
		body["propertiesWithHistory"] = histories(r, names)
	}
	if types := list(query["associations"]); len(types) > 0 {
		body["associations"] = h.shownLinks(r, types)
	}
	return jsonAnswer(http.StatusOK, body), nil
}

// list reads a parameter given once with commas, or many times.
func list(values []string) []string {
	var out []string
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

func histories(r *record, names []string) map[string]any {
	out := make(map[string]any)
	for _, name := range names {
		out[name] = r.historyOf(name)
	}
	return out
}

func (h *hubSpotServer) shownLinks(r *record, types []string) map[string]any {
	out := make(map[string]any)
	for _, t := range types {
		to := typeNames[t]
		ids := h.crm.linked(reference{r.Type, r.ID}, to)
		if len(ids) == 0 {
			continue
		}
		results := []any{}
		for _, id := range ids {
			kind := singular[r.Type] + "_to_" + singular[to]
			results = append(results, map[string]string{"id": strconv.FormatInt(id, 10), "type": kind})
			if h.crm.links[reference{r.Type, r.ID}][to][id] {
				results = append(results, map[string]string{"id": strconv.FormatInt(id, 10), "type": kind + "_primary"})
			}
		}
		out[to] = map[string]any{"results": results}
	}
	return out
}

// batchRead reads up to 100 records. Those that are not there make it a 207.
func (s *Simulator) batchRead(c *call, object string) (answer, *hubSpotError) {
	var in struct {
		IDProperty            string   `json:"idProperty"`
		Properties            []string `json:"properties"`
		PropertiesWithHistory []string `json:"propertiesWithHistory"`
		Inputs                []struct {
			ID any `json:"id"`
		} `json:"inputs"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	if refused := checkCount(len(in.Inputs), maxInputs); refused != nil {
		return answer{}, refused
	}
	h := s.hubspot
	results := []any{}
	var missing []string
	seen := make(map[int64]bool)
	for _, input := range in.Inputs {
		id := idText(input.ID)
		r, refused := h.find(object, in.IDProperty, id)
		if refused != nil && refused.Status != http.StatusNotFound {
			return answer{}, refused
		}
		if r == nil {
			missing = append(missing, id)
			continue
		}
		if seen[r.ID] {
			continue
		}
		seen[r.ID] = true
		body := h.crm.body(r, in.Properties)
		if len(in.PropertiesWithHistory) > 0 {
			body["propertiesWithHistory"] = histories(r, in.PropertiesWithHistory)
		}
		results = append(results, body)
	}
	h.random.Shuffle(len(results), func(i, j int) { results[i], results[j] = results[j], results[i] })
	var errors []any
	if len(missing) > 0 {
		errors = append(errors, rowProblem("OBJECT_NOT_FOUND", "Could not get some "+strings.ToUpper(object)+" objects, they may be deleted or not exist. Check that ids are valid.",
			map[string]any{"ids": missing}))
	}
	return batchAnswer(c, http.StatusOK, results, errors), nil
}

func checkCount(n, most int) *hubSpotError {
	if n == 0 {
		return hubSpotInvalid("At least one input is required")
	}
	if n > most {
		return hubSpotInvalid("Maximum batch size exceeded: at most " + strconv.Itoa(most) + " inputs are allowed, got " + strconv.Itoa(n))
	}
	return nil
}

func rowProblem(category, message string, context map[string]any) map[string]any {
	return map[string]any{"status": "error", "category": category, "message": message, "context": context, "errors": []any{}, "links": map[string]any{}}
}

// batchAnswer is the envelope of every batch: 207 where a row went wrong.
func batchAnswer(c *call, status int, results, errors []any) answer {
	body := map[string]any{"status": "COMPLETE", "results": results, "startedAt": stamp(c.now), "completedAt": stamp(c.now)}
	if len(errors) > 0 {
		status = http.StatusMultiStatus
		body["numErrors"], body["errors"] = len(errors), errors
	}
	return jsonAnswer(status, body)
}

// unmarshal reads a JSON body; numbers in an any keep their text.
func unmarshal(body []byte, into any) error {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	return dec.Decode(into)
}

// Association type ids: the plain one, and the primary one where there is one.
var linkTypes = map[[2]string][2]int{
	{contacts, companies}: {279, 1},
	{companies, contacts}: {280, 2},
	{contacts, deals}:     {4, 0},
	{deals, contacts}:     {3, 0},
	{deals, companies}:    {341, 5},
	{companies, deals}:    {342, 6},
	{notes, contacts}:     {202, 0},
	{contacts, notes}:     {201, 0},
}

// linkAnswer is one association as v4 shows it. Ids are numbers there, whatever the
// specification says.
func linkAnswer(from, to string, id int64, primary bool) map[string]any {
	ids := linkTypes[[2]string{from, to}]
	types := []any{}
	if primary && ids[1] != 0 {
		types = append(types, map[string]any{"category": "HUBSPOT_DEFINED", "typeId": ids[1], "label": "Primary"})
	}
	if ids[0] != 0 {
		types = append(types, map[string]any{"category": "HUBSPOT_DEFINED", "typeId": ids[0], "label": nil})
	}
	return map[string]any{"toObjectId": id, "associationTypes": types}
}

// serveAssociations answers /associations/{from}/{to}/batch/read and batch/create.
func (s *Simulator) serveAssociations(c *call, rest []string) (answer, *hubSpotError) {
	if len(rest) < 4 || typeNames[rest[0]] == "" || typeNames[rest[1]] == "" || c.method != http.MethodPost {
		return answer{}, &hubSpotError{Status: http.StatusNotFound, Message: "resource not found"}
	}
	from, to := typeNames[rest[0]], typeNames[rest[1]]
	switch strings.Join(rest[2:], "/") {
	case "batch/read":
		return s.readLinks(c, from, to)
	case "batch/create", "batch/associate/default":
		return s.createLinks(c, from, to)
	}
	return answer{}, &hubSpotError{Status: http.StatusNotFound, Message: "resource not found"}
}

func (s *Simulator) readLinks(c *call, from, to string) (answer, *hubSpotError) {
	var in struct {
		Inputs []struct {
			ID    any    `json:"id"`
			After string `json:"after"`
		} `json:"inputs"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	if refused := checkCount(len(in.Inputs), 1000); refused != nil {
		return answer{}, refused
	}
	m := s.hubspot.crm
	results, errors := []any{}, []any(nil)
	for _, input := range in.Inputs {
		id := idText(input.ID)
		r := m.findText(from, id)
		var ids []int64
		if r != nil {
			ids = m.linked(reference{from, r.ID}, to)
		}
		if len(ids) == 0 {
			errors = append(errors, rowProblem("OBJECT_NOT_FOUND", "No "+singular[to]+" is associated with "+singular[from]+" "+id+".",
				map[string]any{"fromObjectId": []string{id}, "fromObjectType": []string{singular[from]}, "toObjectType": []string{singular[to]}}))
			continue
		}
		begin, ok := linkPlace(input.After, id)
		if !ok || begin >= len(ids) {
			return answer{}, hubSpotInvalid("Invalid paging token for " + singular[from] + " " + id)
		}
		shown, end := []any{}, min(begin+s.hubspot.account.LinkPage, len(ids))
		for _, other := range ids[begin:end] {
			shown = append(shown, linkAnswer(from, to, other, m.links[reference{from, r.ID}][to][other]))
		}
		result := map[string]any{"from": map[string]string{"id": id}, "to": shown}
		if end < len(ids) {
			result["paging"] = map[string]any{"next": map[string]string{"after": linkToken(end, id), "link": ""}}
		}
		results = append(results, result)
	}
	s.hubspot.random.Shuffle(len(results), func(i, j int) { results[i], results[j] = results[j], results[i] })
	return batchAnswer(c, http.StatusOK, results, errors), nil
}

// linkToken names the place in a record's associations where the next page begins: no
// more than the caller's to hand back.
func linkToken(begin int, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(begin) + "-" + id))
}

// linkPlace reads a token given for the same record; none is the beginning.
func linkPlace(after, id string) (int, bool) {
	if after == "" {
		return 0, true
	}
	text, err := base64.RawURLEncoding.DecodeString(after)
	n, of, _ := strings.Cut(string(text), "-")
	begin, bad := strconv.Atoi(n)
	return begin, err == nil && bad == nil && begin > 0 && of == id
}

func (s *Simulator) createLinks(c *call, from, to string) (answer, *hubSpotError) {
	var in struct {
		Inputs []struct {
			From struct {
				ID any `json:"id"`
			} `json:"from"`
			To struct {
				ID any `json:"id"`
			} `json:"to"`
			Types []linkType `json:"types"`
		} `json:"inputs"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	if refused := checkCount(len(in.Inputs), 2000); refused != nil {
		return answer{}, refused
	}
	results, errors := []any{}, []any(nil)
	for _, input := range in.Inputs {
		a, b := s.hubspot.crm.findText(from, idText(input.From.ID)), s.hubspot.crm.findText(to, idText(input.To.ID))
		if a == nil || b == nil {
			errors = append(errors, rowProblem("OBJECT_NOT_FOUND", "Some objects do not exist", map[string]any{"ids": []string{idText(input.From.ID), idText(input.To.ID)}}))
			continue
		}
		s.associate(a, b, isPrimary(from, to, input.Types), false, s.apiChange(c))
		results = append(results, map[string]any{"fromObjectTypeId": typeIDs[from], "fromObjectId": a.ID, "toObjectTypeId": typeIDs[to], "toObjectId": b.ID, "labels": []string{}})
	}
	return batchAnswer(c, http.StatusCreated, results, errors), nil
}

type linkType struct {
	Category string `json:"associationCategory"`
	ID       int    `json:"associationTypeId"`
}

func isPrimary(from, to string, types []linkType) bool {
	primary := linkTypes[[2]string{from, to}][1]
	return primary != 0 && slices.ContainsFunc(types, func(t linkType) bool { return t.ID == primary })
}

// serveLinks answers /objects/{from}/{id}/associations/{to}, and its labelled and default
// forms.
func (s *Simulator) serveLinks(c *call, from string, rest []string) (answer, *hubSpotError) {
	m := s.hubspot.crm
	a := m.findText(from, rest[1])
	if a == nil {
		return answer{}, hubSpotMissing("resource not found")
	}
	tail := rest[3:]
	byDefault := tail[0] == "default"
	if byDefault {
		tail = tail[1:]
	}
	if len(tail) == 0 || typeNames[tail[0]] == "" {
		return answer{}, &hubSpotError{Status: http.StatusNotFound, Message: "resource not found"}
	}
	to := typeNames[tail[0]]
	if len(tail) == 1 && c.method == http.MethodGet {
		shown := []any{}
		for _, id := range m.linked(reference{from, a.ID}, to) {
			shown = append(shown, linkAnswer(from, to, id, m.links[reference{from, a.ID}][to][id]))
		}
		return jsonAnswer(http.StatusOK, map[string]any{"results": shown}), nil
	}
	if len(tail) != 2 {
		return answer{}, &hubSpotError{Status: http.StatusNotFound, Message: "resource not found"}
	}
	b := m.findText(to, tail[1])
	if b == nil {
		return answer{}, hubSpotMissing("resource not found")
	}
	switch c.method {
	case http.MethodPut:
		var types []linkType
		if !byDefault && unmarshal(c.body, &types) != nil {
			return answer{}, hubSpotBadJSON()
		}
		s.associate(a, b, isPrimary(from, to, types), false, s.apiChange(c))
		return jsonAnswer(http.StatusOK, map[string]any{"fromObjectTypeId": typeIDs[from], "fromObjectId": a.ID, "toObjectTypeId": typeIDs[to], "toObjectId": b.ID, "labels": []string{}}), nil
	case http.MethodDelete:
		s.associate(a, b, false, true, s.apiChange(c))
		return answer{status: http.StatusNoContent}, nil
	}
	return answer{}, &hubSpotError{Status: http.StatusMethodNotAllowed, Message: "method not allowed"}
}
