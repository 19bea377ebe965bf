package hubspotcrm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
)

// BatchSize is HubSpot's limit for one batch read; with histories HistorySize is asked for, the
// limit that HubSpot states for lists with histories (open for batches).
const (
	BatchSize   = 100
	HistorySize = 50
)

// properties lists what is asked for of a type of object, and of which of it the history.
func (c *Client) properties(ctx context.Context, objectType string) (names, dated []string) {
	names, dated = slices.Clone(wire.Properties(objectType)), slices.Clone(wire.Dated(objectType))
	if c.Further == nil {
		return names, dated
	}
	for _, name := range c.known(ctx, objectType, c.Further(objectType)) {
		if !slices.Contains(names, name) {
			names, dated = append(names, name), append(dated, name)
		}
	}
	return names, dated
}

// A shown is one record as HubSpot answers with it.
type shown struct {
	ID         string             `json:"id"`
	Properties map[string]*string `json:"properties"`
	Archived   bool               `json:"archived"`
	History    map[string][]struct {
		Value *string   `json:"value"`
		At    time.Time `json:"timestamp"`
	} `json:"propertiesWithHistory"`
}

// object is the record under the id that was asked for.
func (s shown) object(objectType, asked string) canonical.ReadObject {
	o := canonical.ReadObject{Type: objectType, ID: asked, Properties: map[string]string{}, Archived: s.Archived}
	if s.ID != asked {
		o.CurrentID = s.ID
	}
	for k, v := range s.Properties {
		if v != nil {
			o.Properties[k] = *v
		}
	}
	for name, values := range s.History {
		for _, v := range values {
			if o.History == nil {
				o.History = map[string][]canonical.DatedValue{}
			}
			d := canonical.DatedValue{From: v.At}
			if v.Value != nil {
				d.Value = *v.Value
			}
			o.History[name] = append(o.History[name], d)
		}
	}
	return o
}

// Read reads objects of one type by id. One that was merged away comes with the survivor's
// CurrentID, one that was deleted from among the archived ones. An id that the account does not
// hold, or no longer, is missing from the answer.
func (c *Client) Read(ctx context.Context, objectType string, ids []string) (map[string]canonical.ReadObject, error) {
	out := map[string]canonical.ReadObject{}
	names, dated := c.properties(ctx, objectType)
	size := BatchSize
	if len(dated) > 0 {
		size = HistorySize
	}
	for chunk := range chunks(ids, size) {
		left := map[string]bool{}
		for _, id := range chunk {
			left[id] = true
		}
		for _, step := range []func() error{
			func() error { return c.batch(ctx, objectType, names, dated, false, left, out) },
			func() error { return c.merged(ctx, objectType, names, dated, left, out) },
			func() error { return c.batch(ctx, objectType, names, dated, true, left, out) },
		} {
			if len(left) == 0 {
				break
			}
			if err := step(); err != nil {
				return nil, fmt.Errorf("read %s: %w", plural[objectType], err)
			}
		}
	}
	return out, nil
}

// batch reads what is left in one request, and takes from left what was found under its own id:
// what comes under another answers for one that was merged away. With archived it
// reads what was deleted.
func (c *Client) batch(ctx context.Context, objectType string, names, dated []string, archived bool, left map[string]bool, out map[string]canonical.ReadObject) error {
	var inputs []map[string]string
	for _, id := range slices.Sorted(maps.Keys(left)) {
		inputs = append(inputs, map[string]string{"id": id})
	}
	body := map[string]any{"inputs": inputs, "properties": names}
	if len(dated) > 0 {
		body["propertiesWithHistory"] = dated
	}
	what, path := "objects."+objectType, "/crm/v3/objects/"+plural[objectType]+"/batch/read"
	if archived {
		what, path = "archived."+objectType, path+"?archived=true"
	}
	var answer struct {
		envelope
		Results []shown `json:"results"`
	}
	if err := c.post(ctx, what, path, body, &answer); err != nil {
		return err
	}
	if err := answer.whole(); err != nil {
		return err
	}
	for _, r := range answer.Results {
		if left[r.ID] {
			out[r.ID] = r.object(objectType, r.ID)
			delete(left, r.ID)
		}
	}
	return nil
}

// merged looks once more, one by one, for ids that the batch gave no result under their
// own name: a GET by an old id answers with the surviving record.
func (c *Client) merged(ctx context.Context, objectType string, names, dated []string, left map[string]bool, out map[string]canonical.ReadObject) error {
	query := url.Values{"properties": {strings.Join(names, ",")}}
	if len(dated) > 0 {
		query.Set("propertiesWithHistory", strings.Join(dated, ","))
	}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		var r shown
		err := c.get(ctx, "object."+objectType, "/crm/v3/objects/"+plural[objectType]+"/"+id+"?"+query.Encode(), &r)
		var t *Trouble
		if errors.As(err, &t) && t.Status == http.StatusNotFound {
			continue
		}
		if err != nil {
			return err
		}
		if r.ID == "" {
			return &Trouble{Status: http.StatusOK, Words: "a record without an id", After: 2 * time.Second}
		}
		out[id] = r.object(objectType, id)
		delete(left, id)
	}
	return nil
}

// An envelope is what stands around a batch's rows.
type envelope struct {
	Status string `json:"status"`
	Errors []struct {
		Category    string `json:"category"`
		SubCategory any    `json:"subCategory"`
	} `json:"errors"`
}

// whole says that the rows are all there is: that the work does not go on behind the answer, and
// that what is missing is so because it is not there.
func (e envelope) whole() error {
	switch e.Status {
	case "", "COMPLETE":
	default:
		return &Trouble{Status: http.StatusOK, Words: "a batch that is " + e.Status, After: 2 * time.Second}
	}
	for _, row := range e.Errors {
		switch row.Category {
		case "", "OBJECT_NOT_FOUND", "VALIDATION_ERROR":
		default:
			return &Trouble{Status: http.StatusMultiStatus, Words: "rows that failed: " + row.Category, After: 2 * time.Second}
		}
	}
	return nil
}
