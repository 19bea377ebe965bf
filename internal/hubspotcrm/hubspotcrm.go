// Package hubspotcrm reads HubSpot's CRM: contacts, companies and deals in batches with
// their associations. Facts: reference §4.1, §4.9, §6 of HubSpot's API as of 2026-09.
package hubspotcrm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations"
	"tributary/internal/budget"
)

// BatchSize is HubSpot's limit for one batch read.
const BatchSize = 100

// plural is the path segment of an object type.
var plural = map[string]string{"contact": "contacts", "company": "companies", "deal": "deals"}

// A Client reads one account. Calls wait for the account's budget, which they share with the
// lanes that write to it.
type Client struct {
	BaseURL string
	// Token gives the access token of a request; its error holds the request back. Answered, where
	// not nil, is told how each was answered; its error stands in place of the answer. An error of
	// theirs may say with Halting, as Trouble does, whether waiting helps; one that does not needs a person.
	Token    func(ctx context.Context) (string, error)
	Answered func(ctx context.Context, token string, status int) error
	Budget   *budget.Account
	// Headroom reads what an answer's headers say of the account's limits; nil: nothing.
	Headroom func(destinations.Response) []destinations.Reading
	HTTP     *http.Client
	// Further names properties that the mapping reads, beside what is always asked for; nil: none.
	Further func(objectType string) []string
}

// properties lists what is asked for of a type of object.
func (c *Client) properties(objectType string) []string {
	out := slices.Clone(wire.Properties(objectType))
	if c.Further != nil {
		for _, name := range c.Further(objectType) {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// A Trouble is an answer that was not the objects asked for. Halt means that no call
// will work until somebody acts, Refuse that this one never will; otherwise After says how
// long to wait.
type Trouble struct {
	Status int
	Words  string
	Halt   bool
	Refuse bool
	After  time.Duration
}

func (t *Trouble) Error() string {
	switch {
	case t.Status == 0: // nothing was asked
		return t.Words
	case t.Words == "":
		return fmt.Sprintf("HubSpot answered %d", t.Status)
	}
	return fmt.Sprintf("HubSpot answered %d: %s", t.Status, t.Words)
}

// Read reads objects of one type by id. An id that the account does not hold is missing
// from the answer; one that was merged away comes with the survivor's CurrentID.
func (c *Client) Read(ctx context.Context, objectType string, ids []string) (map[string]canonical.ReadObject, error) {
	out := map[string]canonical.ReadObject{}
	for chunk := range chunks(ids, BatchSize) {
		var inputs []map[string]string
		for _, id := range chunk {
			inputs = append(inputs, map[string]string{"id": id})
		}
		var answer struct {
			Results []struct {
				ID         string             `json:"id"`
				Properties map[string]*string `json:"properties"`
			} `json:"results"`
		}
		body := map[string]any{"inputs": inputs, "properties": c.properties(objectType)}
		if err := c.post(ctx, "/crm/v3/objects/"+plural[objectType]+"/batch/read", body, &answer); err != nil {
			return nil, fmt.Errorf("read %s: %w", plural[objectType], err)
		}
		asked := map[string]bool{}
		for _, id := range chunk {
			asked[id] = true
		}
		for _, r := range answer.Results {
			o := canonical.ReadObject{Type: objectType, ID: r.ID, Properties: map[string]string{}}
			for k, v := range r.Properties {
				if v != nil {
					o.Properties[k] = *v
				}
			}
			if asked[r.ID] { // else it answers for an id that was merged away
				out[r.ID] = o
				delete(asked, r.ID)
			}
		}
		if err := c.merged(ctx, objectType, asked, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// merged looks once more, one by one, for ids that the batch gave no result under their
// own name: a GET by an old id answers with the surviving record.
func (c *Client) merged(ctx context.Context, objectType string, left map[string]bool, out map[string]canonical.ReadObject) error {
	ids := make([]string, 0, len(left))
	for id := range left {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for _, id := range ids {
		var r struct {
			ID         string             `json:"id"`
			Properties map[string]*string `json:"properties"`
		}
		path := "/crm/v3/objects/" + plural[objectType] + "/" + id + "?properties=" + strings.Join(c.properties(objectType), ",")
		err := c.call(ctx, http.MethodGet, path, nil, &r)
		var t *Trouble
		if errors.As(err, &t) && t.Status == http.StatusNotFound {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", objectType, err)
		}
		o := canonical.ReadObject{Type: objectType, ID: id, Properties: map[string]string{}}
		if r.ID != id {
			o.CurrentID = r.ID
		}
		for k, v := range r.Properties {
			if v != nil {
				o.Properties[k] = *v
			}
		}
		out[id] = o
	}
	return nil
}

// maxPages bounds the pages read of one object's associations.
const maxPages = 10

// An association is one tie as v4 gives it: its ids are numbers, whatever the
// specification says.
type association struct {
	ID    json.Number `json:"toObjectId"`
	Types []struct {
		ID       json.Number `json:"typeId"`
		Category string      `json:"category"`
	} `json:"associationTypes"`
}

// roles are the type ids of the account's own labels.
func (a association) roles() []string {
	var out []string
	for _, t := range a.Types {
		if t.Category != "HUBSPOT_DEFINED" && t.Category != "" {
			out = append(out, t.ID.String())
		}
	}
	return out
}

// primary is true for the primary company of a contact or a deal.
func (a association) primary() bool {
	for _, t := range a.Types {
		switch t.ID.String() {
		case "1", "5":
			return true
		}
	}
	return false
}

// A page names an object and where to go on reading its associations.
type page struct {
	ID    string `json:"id"`
	After string `json:"after,omitempty"`
}

// Associated reads which objects of one type belong to those given: ids by id, the
// primary first, else ascending; and their roles: the type ids of the labels that the account
// made itself, by id and id. Of an object with very many it gives the first pages.
func (c *Client) Associated(ctx context.Context, from string, ids []string, to string) (tied map[string][]string, roles map[string]map[string][]string, err error) {
	ties := map[string][]association{}
	left := make([]page, len(ids))
	for i, id := range ids {
		left[i].ID = id
	}
	for range maxPages {
		var more []page
		for chunk := range chunks(left, 1000) {
			next, err := c.associations(ctx, from, chunk, to, ties)
			if err != nil {
				return nil, nil, fmt.Errorf("read associations of %s: %w", plural[from], err)
			}
			more = append(more, next...)
		}
		if left = more; len(left) == 0 {
			break
		}
	}
	tied, roles = make(map[string][]string, len(ties)), make(map[string]map[string][]string)
	for id, list := range ties {
		tied[id] = inOrder(list)
		for _, a := range list {
			if r := a.roles(); len(r) > 0 {
				if roles[id] == nil {
					roles[id] = make(map[string][]string)
				}
				roles[id][a.ID.String()] = r
			}
		}
	}
	return tied, roles, nil
}

// associations reads one page of each object given into ties, and says which have another.
func (c *Client) associations(ctx context.Context, from string, inputs []page, to string, ties map[string][]association) ([]page, error) {
	var answer struct {
		Results []struct {
			From struct {
				ID json.Number `json:"id"`
			} `json:"from"`
			To     []association `json:"to"`
			Paging struct {
				Next struct {
					After string `json:"after"`
				} `json:"next"`
			} `json:"paging"`
		} `json:"results"`
	}
	path := "/crm/v4/associations/" + plural[from] + "/" + plural[to] + "/batch/read"
	if err := c.post(ctx, path, map[string]any{"inputs": inputs}, &answer); err != nil {
		return nil, err
	}
	var more []page
	for _, r := range answer.Results {
		id := r.From.ID.String()
		ties[id] = append(ties[id], r.To...)
		if r.Paging.Next.After != "" {
			more = append(more, page{id, r.Paging.Next.After})
		}
	}
	return more, nil
}

// inOrder gives each id once, the primary first, else ascending.
func inOrder(list []association) []string {
	primary := map[string]bool{}
	var ids []string
	for _, a := range list {
		id := a.ID.String()
		if _, had := primary[id]; !had {
			ids = append(ids, id)
		}
		primary[id] = primary[id] || a.primary()
	}
	sort.Slice(ids, func(i, j int) bool {
		if primary[ids[i]] != primary[ids[j]] {
			return primary[ids[i]]
		}
		return less(ids[i], ids[j])
	})
	return ids
}

// less orders record ids as numbers.
func less(a, b string) bool {
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	if errX != nil || errY != nil {
		return a < b
	}
	return x < y
}

func chunks[T any](ids []T, n int) func(func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(ids) > 0 {
			k := min(n, len(ids))
			if !yield(ids[:k]) {
				return
			}
			ids = ids[k:]
		}
	}
}

func (c *Client) post(ctx context.Context, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path, b, into)
}

const maxAnswer = 16 << 20 // a hundred records are far smaller

func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	permit, err := c.Budget.Begin(ctx, budget.Fetch, "")
	if err != nil {
		return err
	}
	var said []destinations.Reading
	defer func() { permit.Answered(said) }()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.BaseURL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	token, err := c.Token(ctx)
	if err != nil {
		permit.Unused()
		return untokened(ctx, err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	res, err := c.HTTP.Do(r)
	if err != nil {
		return errors.New("HubSpot cannot be reached") // the cause names the URL with ids
	}
	defer res.Body.Close()
	if c.Headroom != nil {
		said = c.Headroom(destinations.Response{Status: res.StatusCode, Header: res.Header})
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return errors.New("HubSpot's answer broke off")
	case len(b) > maxAnswer:
		return &Trouble{Status: res.StatusCode, Words: "more than is read of one answer", Refuse: true, After: 2 * time.Second}
	}
	if c.Answered != nil {
		if err := c.Answered(ctx, token, res.StatusCode); err != nil {
			return untokened(ctx, err)
		}
	}
	if res.StatusCode/100 == 2 {
		return json.Unmarshal(b, into)
	}
	t, limit := trouble(res, b)
	if t.Status == http.StatusTooManyRequests {
		c.Budget.Refused("", limit, destinations.RetryAfter(res.Header))
	}
	return t
}

// limitOf is the limit behind a 429's policyName, by its name in the account's budget.
var limitOf = map[string]string{"TEN_SECONDLY_ROLLING": "ten_seconds", "DAILY": "day"}

// untokened is why a request could not be made, or was not taken, for want of a token.
func untokened(ctx context.Context, err error) error {
	var t interface{ Halting() (bool, time.Duration) }
	if ctx.Err() != nil || errors.As(err, &t) {
		return err
	}
	return &Trouble{Words: err.Error(), Halt: true}
}

// trouble reads a refusal by status first, category second, message never, and says which
// limit a 429 is of. After is short there: it is the budget that waits.
func trouble(res *http.Response, body []byte) (t *Trouble, limit string) {
	var e struct {
		Category   string `json:"category"`
		PolicyName string `json:"policyName"`
	}
	_ = json.Unmarshal(body, &e) // an HTML body says nothing more than its status
	t = &Trouble{Status: res.StatusCode, Words: cmp.Or(e.Category, e.PolicyName), After: 2 * time.Second}
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		t.Halt = true
	case http.StatusTooManyRequests:
		limit = limitOf[e.PolicyName]
	case http.StatusRequestTimeout, http.StatusLocked, statusMoving:
	default:
		t.Refuse = res.StatusCode/100 == 4
	}
	if after := destinations.RetryAfter(res.Header); after > 0 && !t.Halt && !t.Refuse {
		t.After = after
	}
	return t, limit
}

// statusMoving is answered while an account moves to another region.
const statusMoving = 477

// Halting says whether nothing will work until somebody acts, and how long to wait.
func (t *Trouble) Halting() (bool, time.Duration) { return t.Halt, t.After }

// Refused says whether this very request will never be answered.
func (t *Trouble) Refused() bool { return t.Refuse }
