package simulator

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type searchRequest struct {
	Groups []struct {
		Filters []searchFilter `json:"filters"`
	} `json:"filterGroups"`
	Sorts      []any    `json:"sorts"`
	Query      string   `json:"query"`
	Properties []string `json:"properties"`
	Limit      int      `json:"limit"`
	After      any      `json:"after"`
}

type searchFilter struct {
	Name     string   `json:"propertyName"`
	Operator string   `json:"operator"`
	Value    any      `json:"value"`
	High     any      `json:"highValue"`
	Values   []string `json:"values"`
}

var searchOperators = []string{
	"EQ", "NEQ", "LT", "LTE", "GT", "GTE", "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY", "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN",
}

// searchObjects answers from an index that lags: what was written within the last seconds
// is not found as it is now.
func (h *hubSpotServer) searchObjects(c *call, object string) (answer, *hubSpotError) {
	var in searchRequest
	if err := unmarshal(c.body, &in); err != nil {
		return answer{}, hubSpotBadJSON()
	}
	if refused := h.checkSearch(object, &in); refused != nil {
		return answer{}, refused
	}
	after, err := strconv.Atoi(cmp.Or(idText(in.After), "0"))
	limit := cmp.Or(in.Limit, 10)
	if err != nil || limit < 0 || limit > 200 || after < 0 || after+limit > 10_000 {
		return answer{}, hubSpotInvalid("The requested page is beyond 200 results or 10,000 in total, or after is no number")
	}
	m := h.crm
	var found []*record
	for _, id := range h.candidates(object, &in) {
		r := h.asIndexed(m.records[reference{object, id}], c.now)
		if r != nil && !r.Archived && r.Merged == 0 && h.matches(r, &in) {
			found = append(found, r)
		}
	}
	m.sort(found, in.Sorts)
	results := []any{}
	for _, r := range found[min(after, len(found)):min(after+limit, len(found))] {
		results = append(results, m.body(r, in.Properties))
	}
	body := map[string]any{"total": len(found), "results": results}
	if after+limit < len(found) {
		body["paging"] = map[string]any{"next": map[string]string{"after": strconv.Itoa(after + limit)}}
	}
	return jsonAnswer(http.StatusOK, body), nil
}

// asIndexed is a record as search sees it: nil while it is too new, and as it was before
// where it was written just now.
func (h *hubSpotServer) asIndexed(r *record, now time.Time) *record {
	lag := h.account.SearchLag
	switch {
	case r == nil || lag > 0 && now.Sub(r.born) < lag:
		return nil
	case lag <= 0 || now.Sub(r.Seen) >= lag:
		return r
	case r.shadow == nil:
		return nil
	}
	old := *r
	old.Props = r.shadow
	return &old
}

// candidates are the ids that may match: all, or those tied to one record where a single
// group asks for that.
func (h *hubSpotServer) candidates(object string, in *searchRequest) []int64 {
	if len(in.Groups) == 1 {
		for _, f := range in.Groups[0].Filters {
			other, ok := strings.CutPrefix(f.Name, "associations.")
			id, err := strconv.ParseInt(idText(f.Value), 10, 64)
			if ok && err == nil && f.Operator == "EQ" {
				return h.crm.linked(reference{h.crm.typeOf(other), id}, object)
			}
		}
	}
	return h.crm.order[object]
}

func (h *hubSpotServer) checkSearch(object string, in *searchRequest) *hubSpotError {
	if len(in.Groups) > 5 || len(in.Sorts) > 1 || len(in.Query) > 3000 {
		return hubSpotInvalid("At most 5 filter groups, 1 sort and 3000 characters of query are allowed")
	}
	total := 0
	for _, g := range in.Groups {
		if total += len(g.Filters); len(g.Filters) > 6 || total > 18 {
			return hubSpotInvalid("At most 6 filters in a group and 18 in all are allowed")
		}
		for _, f := range g.Filters {
			if !slices.Contains(searchOperators, f.Operator) {
				return hubSpotInvalid("Unknown operator " + f.Operator)
			}
			lacks := false
			switch f.Operator {
			case "HAS_PROPERTY", "NOT_HAS_PROPERTY":
			case "IN", "NOT_IN":
				lacks = len(f.Values) == 0
			case "BETWEEN":
				lacks = idText(f.Value) == "" || idText(f.High) == ""
			default:
				lacks = idText(f.Value) == ""
			}
			if lacks {
				return hubSpotInvalid("The operator " + f.Operator + " on " + f.Name + " lacks its value")
			}
			if _, ok := h.crm.property(object, f.Name); !ok && !strings.HasPrefix(f.Name, "associations.") {
				return hubSpotInvalid("There was a problem with the request: property " + f.Name + " does not exist")
			}
		}
	}
	return nil
}

// matches: filters of a group are all to hold, of the groups one.
func (h *hubSpotServer) matches(r *record, in *searchRequest) bool {
	if in.Query != "" && !strings.Contains(r.searchText(), strings.ToLower(in.Query)) {
		return false
	}
	if len(in.Groups) == 0 {
		return true
	}
	for _, g := range in.Groups {
		if !slices.ContainsFunc(g.Filters, func(f searchFilter) bool { return !h.holds(r, f) }) {
			return true
		}
	}
	return false
}

// searchText is what a query without filters looks through.
func (r *record) searchText() string {
	var parts []string
	for _, name := range []string{"email", "firstname", "lastname", "name", "domain", "dealname"} {
		parts = append(parts, r.Props[name])
	}
	return strings.ToLower(strings.Join(parts, " "))
}

func (h *hubSpotServer) holds(r *record, f searchFilter) bool {
	value := idText(f.Value)
	if other, ok := strings.CutPrefix(f.Name, "associations."); ok {
		id, err := strconv.ParseInt(value, 10, 64)
		return err == nil && slices.Contains(h.crm.linked(reference{r.Type, r.ID}, h.crm.typeOf(other)), id)
	}
	p, _ := h.crm.property(r.Type, f.Name)
	has := r.Props[f.Name]
	order := func(b string) int { return compareValues(p, has, b) }
	switch f.Operator {
	case "EQ":
		return order(value) == 0
	case "NEQ":
		return order(value) != 0
	case "LT":
		return has != "" && order(value) < 0
	case "LTE":
		return has != "" && order(value) <= 0
	case "GT":
		return has != "" && order(value) > 0
	case "GTE":
		return has != "" && order(value) >= 0
	case "BETWEEN":
		return has != "" && order(value) >= 0 && order(idText(f.High)) <= 0
	case "IN":
		return slices.Contains(f.Values, strings.ToLower(has))
	case "NOT_IN":
		return !slices.Contains(f.Values, strings.ToLower(has))
	case "HAS_PROPERTY":
		return has != ""
	case "NOT_HAS_PROPERTY":
		return has == ""
	case "CONTAINS_TOKEN":
		return strings.Contains(strings.ToLower(has), strings.ToLower(strings.Trim(value, "*")))
	default: // NOT_CONTAINS_TOKEN
		return !strings.Contains(strings.ToLower(has), strings.ToLower(strings.Trim(value, "*")))
	}
}

func compareValues(p propertyDefinition, a, b string) int {
	switch p.Type {
	case "number":
		x, errX := strconv.ParseFloat(a, 64)
		y, errY := strconv.ParseFloat(b, 64)
		if errX == nil && errY == nil {
			return cmp.Compare(x, y)
		}
	case "date", "datetime":
		x, okX := readTime(a)
		y, okY := readTime(b)
		if okX && okY {
			return x.Compare(y)
		}
	}
	return strings.Compare(strings.ToLower(a), strings.ToLower(b))
}

// sort orders by the one sort that is allowed: a name, a name with a minus, or an object.
func (m *crm) sort(found []*record, sorts []any) {
	if len(sorts) == 0 {
		return
	}
	name, down := "", false
	switch t := sorts[0].(type) {
	case string:
		name, down = strings.CutPrefix(t, "-")
	case map[string]any:
		name, _ = t["propertyName"].(string)
		down = t["direction"] == "DESCENDING"
	}
	slices.SortStableFunc(found, func(a, b *record) int {
		p, _ := m.property(a.Type, name)
		n := compareValues(p, a.Props[name], b.Props[name])
		if down {
			return -n
		}
		return n
	})
}
