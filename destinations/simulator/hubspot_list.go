package simulator

import (
	"net/http"
	"slices"
	"strconv"
)

// maxListed is the most that a list gives at a time.
const maxListed = 100

// listObjects gives records by id, a page at a time: those that are there, or with archived=true
// those in the bin. What was erased is in neither, nor what was merged away (assumed).
func (h *hubSpotServer) listObjects(c *call, object string) (answer, *hubSpotError) {
	q := c.r.URL.Query()
	limit, after := 10, int64(0)
	var err error
	if text := q.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxListed {
			return answer{}, hubSpotInvalid("limit must be a number from 1 to 100")
		}
	}
	if text := q.Get("after"); text != "" {
		if after, err = strconv.ParseInt(text, 10, 64); err != nil {
			return answer{}, hubSpotInvalid("Invalid paging token")
		}
	}
	archived := false
	switch q.Get("archived") {
	case "", "false":
	case "true":
		archived = true
	default:
		return answer{}, hubSpotInvalid("archived must be true or false")
	}
	names := list(q["properties"])
	results, next := []any{}, ""
	for _, id := range slices.Sorted(slices.Values(h.crm.order[object])) {
		r := h.crm.records[reference{object, id}]
		if id < after || r == nil || r.Merged != 0 || r.Archived != archived || r.Props["hs_object_id"] == "" {
			continue
		}
		if len(results) == limit {
			next = strconv.FormatInt(id, 10)
			break
		}
		results = append(results, h.crm.body(r, names))
	}
	body := map[string]any{"results": results}
	if next != "" {
		body["paging"] = map[string]any{"next": map[string]string{"after": next, "link": ""}}
	}
	return jsonAnswer(http.StatusOK, body), nil
}
