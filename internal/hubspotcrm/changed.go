package hubspotcrm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// What changed since: reference §4.4 (search), §4 (propertiesWithHistory), §1.6 (merged and
// archived records).

// A Record is one record of the account without the values it has now.
type Record struct {
	ID       string
	Created  time.Time
	Updated  time.Time
	Archived time.Time            // when it went to the bin; zero: it is none of the bin
	History  map[string][]Version // by property, the oldest first
	Merged   []string             // ids that are this record now
}

// A Version is one value that a property took, and when.
type Version struct {
	Value    string
	At       time.Time
	Source   string // what a webhook calls changeSource
	SourceID string
}

// searchPage is the most that a search gives at a time.
const searchPage = 200

// mergedIDs names the property that lists what a record swallowed.
const mergedIDs = "hs_merged_object_ids"

// modifiedProperty names the property that dates a record's last change.
func modifiedProperty(objectType string) string {
	if objectType == "contact" {
		return "lastmodifieddate"
	}
	return "hs_lastmodifieddate"
}

type filter struct {
	Property string `json:"propertyName"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
	High     string `json:"highValue,omitempty"`
}

// Modified gives the records of a type that changed at a time or since, the oldest change
// first, page by page; a record that changes meanwhile may come twice. It begins at a time and
// behind an id of records with just that time, so that it can be gone on with; each page says
// where the next begins.
//
// It never asks for a page by its number: HubSpot gives 10,000 results of one question, and a
// record that is changed while pages are read moves all behind it by one.
func (c *Client) Modified(ctx context.Context, objectType string, since time.Time, behind string, page func(records []Record, next time.Time, behind string) error) error {
	since = since.UTC().Truncate(time.Millisecond)
	for {
		if behind != "" { // more have this time than one page holds
			found, err := c.search(ctx, objectType, "hs_object_id",
				filter{modifiedProperty(objectType), "EQ", millis(since), ""}, filter{"hs_object_id", "GT", behind, ""})
			if err != nil {
				return err
			}
			if len(found) == searchPage {
				behind = found[len(found)-1].ID
			} else {
				since, behind = since.Add(time.Millisecond), ""
			}
			if err := page(found, since, behind); err != nil {
				return err
			}
			continue
		}
		found, err := c.search(ctx, objectType, modifiedProperty(objectType), filter{modifiedProperty(objectType), "GTE", millis(since), ""})
		if err != nil {
			return err
		}
		full := len(found) == searchPage
		next := since
		if full {
			next = found[len(found)-1].Updated.UTC().Truncate(time.Millisecond)
			if !next.After(since) { // all of them have one time: by id from the first on
				behind = "0"
			}
		}
		if err := page(found, next, behind); err != nil || !full {
			return err
		}
		since = next
	}
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// search gives the first page of what all filters let pass.
func (c *Client) search(ctx context.Context, objectType, sort string, filters ...filter) ([]Record, error) {
	found, _, err := c.searched(ctx, objectType, sort, searchPage, filters)
	return found, err
}

func (c *Client) searched(ctx context.Context, objectType, sort string, limit int, filters []filter) ([]Record, int, error) {
	type group struct {
		Filters []filter `json:"filters"`
	}
	var answer struct {
		Total   int      `json:"total"`
		Results []record `json:"results"`
	}
	date := modifiedProperty(objectType)
	body := map[string]any{
		"filterGroups": []group{{filters}}, "limit": limit, "properties": []string{date, "createdate", "hs_object_id"},
		"sorts": []map[string]string{{"propertyName": sort, "direction": "ASCENDING"}},
	}
	if err := c.call(ctx, ask{method: http.MethodPost, path: "/crm/v3/objects/" + plural[objectType] + "/search", body: body, what: "search." + objectType, class: "search"}, &answer); err != nil {
		return nil, 0, fmt.Errorf("search %s: %w", plural[objectType], err)
	}
	out := make([]Record, len(answer.Results))
	for i, r := range answer.Results {
		out[i] = r.read(date)
	}
	return out, answer.Total, nil
}

// Created counts the records of a type that were made in a time and are there.
func (c *Client) Created(ctx context.Context, objectType string, since, until time.Time) (int, error) {
	_, total, err := c.searched(ctx, objectType, "hs_object_id", 1, []filter{{"createdate", "BETWEEN", millis(since), millis(until)}})
	return total, err
}

// A record as the API shows it.
type record struct {
	ID         string               `json:"id"`
	Properties map[string]*string   `json:"properties"`
	Created    string               `json:"createdAt"`
	Updated    string               `json:"updatedAt"`
	Archived   string               `json:"archivedAt"`
	History    map[string][]version `json:"propertiesWithHistory"`
}

type version struct {
	Value    *string `json:"value"`
	At       string  `json:"timestamp"`
	Source   string  `json:"sourceType"`
	SourceID string  `json:"sourceId"`
}

// read takes a record; date names the property of its last change, which search sorts by.
func (r record) read(date string) Record {
	out := Record{ID: r.ID, Created: readTime(r.Created), Updated: readTime(r.Updated), Archived: readTime(r.Archived)}
	if v := r.Properties[date]; v != nil && *v != "" {
		out.Updated = readTime(*v)
	}
	if v := r.Properties["createdate"]; v != nil && *v != "" {
		out.Created = readTime(*v)
	}
	if v := r.Properties[mergedIDs]; v != nil {
		for id := range strings.SplitSeq(*v, ";") {
			if id = strings.TrimSpace(id); id != "" {
				out.Merged = append(out.Merged, id)
			}
		}
	}
	for name, list := range r.History {
		for i := len(list) - 1; i >= 0; i-- { // HubSpot gives the newest first
			v := Version{At: readTime(list[i].At), Source: list[i].Source, SourceID: list[i].SourceID}
			if list[i].Value != nil {
				v.Value = *list[i].Value
			}
			if v.At.IsZero() {
				continue
			}
			if out.History == nil {
				out.History = map[string][]Version{}
			}
			out.History[name] = append(out.History[name], v)
		}
	}
	return out
}

// readTime reads a time as answers hold it, which mix ISO 8601 and milliseconds; zero where
// it is neither.
func readTime(s string) time.Time {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC()
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms > 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// Histories reads the history of properties of records, by the id asked for. Of one that was
// merged away it gives the survivor's, under the survivor's ID. What is not there is missing.
// binned asks for records in the bin instead.
func (c *Client) Histories(ctx context.Context, objectType string, ids, properties []string, binned bool) (map[string]Record, error) {
	out := make(map[string]Record, len(ids))
	date := modifiedProperty(objectType)
	for chunk := range chunks(ids, historyBatch) {
		inputs := make([]map[string]string, len(chunk))
		left := make(map[string]bool, len(chunk))
		for i, id := range chunk {
			inputs[i], left[id] = map[string]string{"id": id}, true
		}
		var answer struct {
			Results []record `json:"results"`
		}
		body := map[string]any{"inputs": inputs, "properties": []string{date, "createdate", mergedIDs}, "propertiesWithHistory": append([]string{mergedIDs}, properties...)}
		path := "/crm/v3/objects/" + plural[objectType] + "/batch/read"
		if binned {
			path += "?archived=true"
		}
		if err := c.post(ctx, "history."+objectType, path, body, &answer); err != nil {
			return nil, fmt.Errorf("read the history of %s: %w", plural[objectType], err)
		}
		for _, r := range answer.Results {
			if !left[r.ID] {
				continue
			}
			out[r.ID] = r.read(date)
			delete(left, r.ID)
		}
		for _, id := range chunk {
			if !left[id] || binned {
				continue
			}
			r, err := c.history(ctx, objectType, id, properties)
			if err != nil {
				return nil, err
			}
			if r != nil {
				out[id] = *r
			}
		}
	}
	return out, nil
}

// historyBatch is how many histories are read at a time: answers are large.
const historyBatch = 50

// history reads one record; an old id leads to the survivor. Nil: there is none.
func (c *Client) history(ctx context.Context, objectType, id string, properties []string) (*Record, error) {
	date := modifiedProperty(objectType)
	q := url.Values{"properties": {strings.Join([]string{date, "createdate", mergedIDs}, ",")}, "propertiesWithHistory": {strings.Join(append([]string{mergedIDs}, properties...), ",")}}
	var r record
	err := c.get(ctx, "history."+objectType, "/crm/v3/objects/"+plural[objectType]+"/"+url.PathEscape(id)+"?"+q.Encode(), &r)
	var t *Trouble
	if errors.As(err, &t) && t.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the history of one of %s: %w", plural[objectType], err)
	}
	out := r.read(date)
	return &out, nil
}

// Bin lists the records of a type that are in the bin, a page at a time: HubSpot keeps them
// there for 90 days. after is "" at first; next is "" behind the last page.
func (c *Client) Bin(ctx context.Context, objectType, after string) (records []Record, next string, err error) {
	var answer struct {
		Results []record `json:"results"`
		Paging  struct {
			Next struct {
				After string `json:"after"`
			} `json:"next"`
		} `json:"paging"`
	}
	q := url.Values{"archived": {"true"}, "limit": {strconv.Itoa(BatchSize)}, "properties": {modifiedProperty(objectType)}}
	if after != "" {
		q.Set("after", after)
	}
	if err := c.get(ctx, "bin."+objectType, "/crm/v3/objects/"+plural[objectType]+"?"+q.Encode(), &answer); err != nil {
		return nil, "", fmt.Errorf("list the bin of %s: %w", plural[objectType], err)
	}
	for _, r := range answer.Results {
		records = append(records, r.read(modifiedProperty(objectType)))
	}
	return records, answer.Paging.Next.After, nil
}

// Live gives those of some records that are there under their own id: neither in the bin nor
// merged into another.
func (c *Client) Live(ctx context.Context, objectType string, ids []string) (map[string]Record, error) {
	out := make(map[string]Record)
	date := modifiedProperty(objectType)
	for chunk := range chunks(ids, BatchSize) {
		asked := make(map[string]bool, len(chunk))
		inputs := make([]map[string]string, len(chunk))
		for i, id := range chunk {
			inputs[i], asked[id] = map[string]string{"id": id}, true
		}
		var answer struct {
			Results []record `json:"results"`
		}
		body := map[string]any{"inputs": inputs, "properties": []string{date, "createdate"}}
		if err := c.post(ctx, "objects."+objectType, "/crm/v3/objects/"+plural[objectType]+"/batch/read", body, &answer); err != nil {
			return nil, fmt.Errorf("read %s: %w", plural[objectType], err)
		}
		for _, r := range answer.Results {
			if asked[r.ID] {
				out[r.ID] = r.read(date)
			}
		}
	}
	return out, nil
}
