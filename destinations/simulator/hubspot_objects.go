package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Histories halve what may be read at once: stated for lists, assumed for batches.
const (
	maxInputs      = 100
	maxWithHistory = 50
)

// serveObjects leads every call on records to its operation.
func (h *hubSpotServer) serveObjects(c *call, rest []string) (answer, *hubSpotError) {
	object := ""
	if len(rest) > 0 {
		object = h.crm.typeOf(rest[0])
	}
	if object == "" {
		return answer{}, hubSpotInvalid("Unable to infer object type from: " + strings.Join(rest, "/"))
	}
	what := c.method + " " + strings.Join(rest[1:], "/")
	switch what {
	case "GET ":
		return h.listObjects(c, object)
	case "POST ":
		return h.createOne(c, object)
	case "POST batch/read":
		return h.batchRead(c, object)
	case "POST batch/create":
		return h.batchWrite(c, object, opCreate)
	case "POST batch/update":
		return h.batchWrite(c, object, opUpdate)
	case "POST batch/upsert":
		return h.batchWrite(c, object, opUpsert)
	case "POST batch/archive":
		return h.batchArchive(c, object)
	case "POST search":
		return h.searchObjects(c, object)
	case "POST merge":
		return h.mergeObjects(c, object)
	case "POST gdpr-delete":
		return h.gdprDelete(c, object)
	}
	switch {
	case len(rest) == 2 && c.method == http.MethodGet:
		return h.readOne(c, object, rest[1])
	case len(rest) == 2 && c.method == http.MethodPatch:
		return h.updateOne(c, object, rest[1])
	case len(rest) == 2 && c.method == http.MethodDelete:
		if r := h.crm.findText(object, rest[1]); r != nil {
			h.remove(r, h.apiChange(c))
		}
		return answer{status: http.StatusNoContent}, nil
	case len(rest) >= 4 && rest[2] == "associations":
		return h.serveLinks(c, object, rest)
	}
	return answer{}, noSuchPath()
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

// findArchived looks up a record that was deleted and can still be restored: not one that was merged
// away, nor one that was erased for good.
func (h *hubSpotServer) findArchived(object, property, value string) (*record, *hubSpotError) {
	id, err := strconv.ParseInt(value, 10, 64)
	r := h.crm.records[reference{object, id}]
	if err != nil || property != "" && property != "hs_object_id" || r == nil || !r.Archived || r.Merged != 0 || r.Props["hs_object_id"] == "" {
		return nil, hubSpotMissing("resource not found")
	}
	return r, nil
}

func (h *hubSpotServer) readOne(c *call, object, id string) (answer, *hubSpotError) {
	query := c.r.URL.Query()
	look := h.find
	if query.Get("archived") == "true" {
		look = h.findArchived
	}
	r, refused := look(object, query.Get("idProperty"), id)
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
		to := h.crm.typeOf(t)
		ids := h.crm.linked(reference{r.Type, r.ID}, to)
		if len(ids) == 0 {
			continue
		}
		results := []any{}
		for _, id := range ids {
			kind := h.crm.one(r.Type) + "_to_" + h.crm.one(to)
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
func (h *hubSpotServer) batchRead(c *call, object string) (answer, *hubSpotError) {
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
	most := maxInputs
	if len(in.PropertiesWithHistory) > 0 {
		most = maxWithHistory
	}
	if refused := checkCount(len(in.Inputs), most); refused != nil {
		return answer{}, refused
	}

	look := h.find
	if c.r.URL.Query().Get("archived") == "true" {
		look = h.findArchived
	}
	results := []any{}
	var missing []string
	seen := make(map[int64]bool)
	for _, input := range in.Inputs {
		id := idText(input.ID)
		r, refused := look(object, in.IDProperty, id)
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
	h.shuffle(results)
	var faults []any
	if len(missing) > 0 {
		faults = append(faults, rowProblem("OBJECT_NOT_FOUND", "Could not get some "+strings.ToUpper(object)+" objects, they may be deleted or not exist. Check that ids are valid.",
			map[string]any{"ids": missing}))
	}
	return batchAnswer(c, http.StatusOK, results, faults), nil
}

func (h *hubSpotServer) shuffle(list []any) {
	h.random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
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

// batchAnswer is the envelope of every batch: 207 where a row went wrong. Under the fault
// "pending" it says that the work goes on, and nothing of how it went.
func batchAnswer(c *call, status int, results, faults []any) answer {
	body := map[string]any{"status": "COMPLETE", "results": results, "startedAt": stamp(c.now), "completedAt": stamp(c.now)}
	if len(faults) > 0 {
		status = http.StatusMultiStatus
		body["numErrors"], body["errors"] = len(faults), faults
	}
	if c.fault != nil && c.fault.Mode == "pending" {
		status, body = http.StatusOK, map[string]any{"status": "PENDING", "results": []any{}, "requestedAt": stamp(c.now)}
	}
	return jsonAnswer(status, body)
}

// unmarshal reads a JSON body and nothing after it; numbers in an any keep their text.
func unmarshal(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}
