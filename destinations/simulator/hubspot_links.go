package simulator

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

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

// A linkType names a type of association. Both numbers and texts are read as its id.
type linkType struct {
	Category string `json:"associationCategory"`
	TypeID   any    `json:"associationTypeId"`
}

func (t linkType) id() int {
	n, err := strconv.Atoi(idText(t.TypeID))
	if err != nil {
		return 0
	}
	return n
}

// typesOf gives the ids of the plain and the primary association of two types; those with a
// custom object have numbers of their own.
func (h *hubSpotServer) typesOf(from, to string) (ids [2]int, category string) {
	if h.crm.custom(from) != nil || h.crm.custom(to) != nil {
		return [2]int{9000 + len(from)*10 + len(to), 0}, "USER_DEFINED"
	}
	return linkTypes[[2]string{from, to}], "HUBSPOT_DEFINED"
}

// checkTypes refuses association types that do not lead from the one to the other.
func (h *hubSpotServer) checkTypes(from, to string, types []linkType) *hubSpotError {
	ids, category := h.typesOf(from, to)
	if len(types) == 0 {
		return hubSpotInvalid("At least one association type is required")
	}
	for _, t := range types {
		if t.id() == 0 || t.Category != category || t.id() != ids[0] && t.id() != ids[1] {
			return hubSpotInvalid("The association type " + cmp.Or(idText(t.TypeID), "(none)") + " of category " + cmp.Or(t.Category, "(none)") + " does not lead from " + from + " to " + to)
		}
	}
	return nil
}

func (h *hubSpotServer) isPrimary(from, to string, types []linkType) bool {
	ids, _ := h.typesOf(from, to)
	return ids[1] != 0 && slices.ContainsFunc(types, func(t linkType) bool { return t.id() == ids[1] })
}

// linkAnswer is one association as v4 shows it. Ids are numbers there, whatever the
// specification says.
func (h *hubSpotServer) linkAnswer(from, to string, id int64, primary bool) map[string]any {
	ids, category := h.typesOf(from, to)
	types := []any{}
	if primary && ids[1] != 0 {
		types = append(types, map[string]any{"category": category, "typeId": ids[1], "label": "Primary"})
	}
	if ids[0] != 0 {
		types = append(types, map[string]any{"category": category, "typeId": ids[0], "label": nil})
	}
	return map[string]any{"toObjectId": id, "associationTypes": types}
}

// serveAssociations answers /associations/{from}/{to}/batch/read and batch/create.
func (h *hubSpotServer) serveAssociations(c *call, rest []string) (answer, *hubSpotError) {
	if len(rest) < 4 || h.crm.typeOf(rest[0]) == "" || h.crm.typeOf(rest[1]) == "" || c.method != http.MethodPost {
		return answer{}, noSuchPath()
	}
	from, to := h.crm.typeOf(rest[0]), h.crm.typeOf(rest[1])
	switch strings.Join(rest[2:], "/") {
	case "batch/read":
		return h.readLinks(c, from, to)
	case "batch/create":
		return h.createLinks(c, from, to, false)
	case "batch/associate/default":
		return h.createLinks(c, from, to, true)
	case "batch/archive":
		return h.archiveLinks(c, from, to)
	case "batch/labels/archive":
		return h.archiveLabels(c, from, to)
	}
	return answer{}, noSuchPath()
}

func (h *hubSpotServer) readLinks(c *call, from, to string) (answer, *hubSpotError) {
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
	m := h.crm
	results, faults := []any{}, []any(nil)
	for _, input := range in.Inputs {
		id := idText(input.ID)
		r := m.findText(from, id)
		var ids []int64
		if r != nil {
			ids = m.linked(reference{from, r.ID}, to)
		}
		if len(ids) == 0 {
			faults = append(faults, rowProblem("OBJECT_NOT_FOUND", "No "+h.crm.one(to)+" is associated with "+h.crm.one(from)+" "+id+".",
				map[string]any{"fromObjectId": []string{id}, "fromObjectType": []string{h.crm.one(from)}, "toObjectType": []string{h.crm.one(to)}}))
			continue
		}
		begin, ok := linkPlace(input.After, id)
		if !ok || begin >= len(ids) {
			return answer{}, hubSpotInvalid("Invalid paging token for " + h.crm.one(from) + " " + id)
		}
		shown, end := []any{}, min(begin+h.account.LinkPage, len(ids))
		for _, other := range ids[begin:end] {
			shown = append(shown, h.linkAnswer(from, to, other, m.links[reference{from, r.ID}][to][other]))
		}
		result := map[string]any{"from": map[string]string{"id": id}, "to": shown}
		if end < len(ids) {
			result["paging"] = map[string]any{"next": map[string]string{"after": linkToken(end, id), "link": ""}}
		}
		results = append(results, result)
	}
	h.shuffle(results)
	return batchAnswer(c, http.StatusOK, results, faults), nil
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

type linkInput struct {
	From struct {
		ID any `json:"id"`
	} `json:"from"`
	To struct {
		ID any `json:"id"`
	} `json:"to"`
	Types []linkType `json:"types"`
}

func readLinkInputs(c *call) ([]linkInput, *hubSpotError) {
	var in struct {
		Inputs []linkInput `json:"inputs"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return nil, hubSpotBadJSON()
	}
	return in.Inputs, checkCount(len(in.Inputs), maxLinks)
}

const maxLinks = 2000

// ends finds the records of one link.
func (h *hubSpotServer) ends(from, to string, in linkInput) (a, b *record) {
	return h.crm.findText(from, idText(in.From.ID)), h.crm.findText(to, idText(in.To.ID))
}

func linkedAnswer(m *crm, a, b *record) map[string]any {
	return map[string]any{"fromObjectTypeId": m.typeID(a.Type), "fromObjectId": a.ID, "toObjectTypeId": m.typeID(b.Type), "toObjectId": b.ID, "labels": []string{}}
}

func (h *hubSpotServer) createLinks(c *call, from, to string, plain bool) (answer, *hubSpotError) {
	inputs, refused := readLinkInputs(c)
	if refused != nil {
		return answer{}, refused
	}
	for _, in := range inputs {
		if plain {
			break
		}
		if refused := h.checkTypes(from, to, in.Types); refused != nil {
			return answer{}, refused
		}
	}
	results, faults := []any{}, []any(nil)
	for _, in := range inputs {
		a, b := h.ends(from, to, in)
		if a == nil || b == nil {
			faults = append(faults, rowProblem("OBJECT_NOT_FOUND", "Some objects do not exist", map[string]any{"ids": []string{idText(in.From.ID), idText(in.To.ID)}}))
			continue
		}
		h.associate(a, b, h.isPrimary(from, to, in.Types), false, h.apiChange(c))
		results = append(results, linkedAnswer(h.crm, a, b))
	}
	h.shuffle(results)
	status := http.StatusCreated
	if plain {
		status = http.StatusOK
	}
	return batchAnswer(c, status, results, faults), nil
}

// archiveLinks unties records: {"inputs": [{"from": {"id"}, "to": [{"id"}]}]}. What is not
// tied is passed over.
func (h *hubSpotServer) archiveLinks(c *call, from, to string) (answer, *hubSpotError) {
	var in struct {
		Inputs []struct {
			From struct {
				ID any `json:"id"`
			} `json:"from"`
			To []struct {
				ID any `json:"id"`
			} `json:"to"`
		} `json:"inputs"`
	}
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	if refused := checkCount(len(in.Inputs), maxLinks); refused != nil {
		return answer{}, refused
	}
	for _, input := range in.Inputs {
		a := h.crm.findText(from, idText(input.From.ID))
		for _, other := range input.To {
			if b := h.crm.findText(to, idText(other.ID)); a != nil && b != nil {
				h.associate(a, b, false, true, h.apiChange(c))
			}
		}
	}
	return answer{status: http.StatusNoContent}, nil
}

// archiveLabels takes a label off: without its primary label a tie stays a plain one.
func (h *hubSpotServer) archiveLabels(c *call, from, to string) (answer, *hubSpotError) {
	inputs, refused := readLinkInputs(c)
	if refused != nil {
		return answer{}, refused
	}
	for _, in := range inputs {
		if refused := h.checkTypes(from, to, in.Types); refused != nil {
			return answer{}, refused
		}
	}
	for _, in := range inputs {
		a, b := h.ends(from, to, in)
		if a == nil || b == nil || h.crm.links[reference{from, a.ID}][to] == nil {
			continue
		}
		if _, tied := h.crm.links[reference{from, a.ID}][to][b.ID]; !tied {
			continue
		}
		h.associate(a, b, false, true, h.apiChange(c))
		if h.isPrimary(from, to, in.Types) {
			h.crm.link(reference{from, a.ID}, reference{to, b.ID}, false, false)
			h.note("link", linkLine{from, a.ID, to, b.ID, false, false})
		}
	}
	return answer{status: http.StatusNoContent}, nil
}

// serveLinks answers /objects/{from}/{id}/associations/{to}, and its labelled and default
// forms.
func (h *hubSpotServer) serveLinks(c *call, from string, rest []string) (answer, *hubSpotError) {
	m := h.crm
	a := m.findText(from, rest[1])
	if a == nil {
		return answer{}, hubSpotMissing("resource not found")
	}
	tail := rest[3:]
	byDefault := tail[0] == "default"
	if byDefault {
		tail = tail[1:]
	}
	if len(tail) == 0 || h.crm.typeOf(tail[0]) == "" {
		return answer{}, noSuchPath()
	}
	to := h.crm.typeOf(tail[0])
	if len(tail) == 1 && c.method == http.MethodGet {
		ids := m.linked(reference{from, a.ID}, to)
		begin, ok := linkPlace(c.r.URL.Query().Get("after"), rest[1])
		if !ok || begin > len(ids) {
			return answer{}, hubSpotInvalid("Invalid paging token")
		}
		shown, end := []any{}, min(begin+h.account.LinkPage, len(ids))
		for _, id := range ids[begin:end] {
			shown = append(shown, h.linkAnswer(from, to, id, m.links[reference{from, a.ID}][to][id]))
		}
		body := map[string]any{"results": shown}
		if end < len(ids) {
			body["paging"] = map[string]any{"next": map[string]string{"after": linkToken(end, rest[1]), "link": ""}}
		}
		return jsonAnswer(http.StatusOK, body), nil
	}
	if len(tail) != 2 {
		return answer{}, noSuchPath()
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
		if refused := h.checkTypes(from, to, types); !byDefault && refused != nil {
			return answer{}, refused
		}
		h.associate(a, b, h.isPrimary(from, to, types), false, h.apiChange(c))
		return jsonAnswer(http.StatusOK, linkedAnswer(h.crm, a, b)), nil
	case http.MethodDelete:
		h.associate(a, b, false, true, h.apiChange(c))
		return answer{status: http.StatusNoContent}, nil
	}
	return answer{}, notAllowed()
}
