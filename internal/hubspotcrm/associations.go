package hubspotcrm

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
)

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
		envelope
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
	if err := c.post(ctx, "associations."+from+"."+to, path, map[string]any{"inputs": inputs}, &answer); err != nil {
		return nil, err
	}
	if err := answer.whole(); err != nil {
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
