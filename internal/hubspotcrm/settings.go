package hubspotcrm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
)

// A Pipeline is one of deals, or the lifecycle of contacts and companies.
type Pipeline struct {
	ID     string  `json:"id"`
	Label  string  `json:"label"`
	Order  int     `json:"displayOrder"`
	Stages []Stage `json:"stages"`
}

// A Stage is one step of a pipeline. Closed and Probability are as HubSpot writes them
// ("true", "1.0"); the steps of a lifecycle have neither.
type Stage struct {
	ID          string
	Label       string
	Order       int
	Closed      string
	Probability string
}

// UnmarshalJSON reads the values of a stage's metadata, which HubSpot writes as texts, also where
// they come as what they are.
func (s *Stage) UnmarshalJSON(b []byte) error {
	var in struct {
		ID       string         `json:"id"`
		Label    string         `json:"label"`
		Order    int            `json:"displayOrder"`
		Metadata map[string]any `json:"metadata"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	text := func(name string) string {
		if v := in.Metadata[name]; v != nil {
			return fmt.Sprint(v)
		}
		return ""
	}
	*s = Stage{in.ID, in.Label, in.Order, text("isClosed"), text("probability")}
	return nil
}

// Pipelines reads the pipelines of deals, or, of contacts and companies, the lifecycle.
func (c *Client) Pipelines(ctx context.Context, objectType string) ([]Pipeline, error) {
	var answer struct {
		Results []Pipeline `json:"results"`
	}
	if err := c.get(ctx, "pipelines."+objectType, "/crm/v3/pipelines/"+plural[objectType], &answer); err != nil {
		return nil, fmt.Errorf("read pipelines of %s: %w", plural[objectType], err)
	}
	return answer.Results, nil
}

// An Owner is somebody whom records belong to. Name and address are personal data.
type Owner struct {
	ID       string
	UserID   string
	Email    string
	Name     string
	Teams    []string
	Archived bool // has left
}

const ownersPage = 100

// Owners reads all owners, also those who have left: their records are still theirs.
func (c *Client) Owners(ctx context.Context) ([]Owner, error) {
	var out []Owner
	for _, archived := range []string{"false", "true"} {
		after := ""
		for range 100 { // pages
			var answer struct {
				Results []struct {
					ID     string      `json:"id"`
					UserID json.Number `json:"userId"`
					Email  string      `json:"email"`
					First  string      `json:"firstName"`
					Last   string      `json:"lastName"`
					Teams  []struct {
						Name string `json:"name"`
					} `json:"teams"`
				} `json:"results"`
				paging
			}
			query := url.Values{"limit": {fmt.Sprint(ownersPage)}, "archived": {archived}}
			if after != "" {
				query.Set("after", after)
			}
			if err := c.get(ctx, "owners", "/crm/v3/owners?"+query.Encode(), &answer); err != nil {
				return nil, fmt.Errorf("read owners: %w", err)
			}
			for _, r := range answer.Results {
				o := Owner{ID: r.ID, UserID: r.UserID.String(), Email: r.Email, Name: fullName(r.First, r.Last), Archived: archived == "true"}
				for _, t := range r.Teams {
					o.Teams = append(o.Teams, t.Name)
				}
				out = append(out, o)
			}
			if after = answer.Paging.Next.After; after == "" {
				break
			}
		}
	}
	return out, nil
}

func fullName(first, last string) string {
	if first == "" || last == "" {
		return first + last
	}
	return first + " " + last
}

type paging struct {
	Paging struct {
		Next struct {
			After string `json:"after"`
		} `json:"next"`
	} `json:"paging"`
}

// A Definition is what a property is.
type Definition struct {
	Name    string   `json:"name"`
	Label   string   `json:"label"`
	Type    string   `json:"type"`
	Options []Option `json:"options"`
	Refers  string   `json:"referencedObjectType"` // OWNER: its options are people
}

// An Option is a value that an enumeration may have, and what it is called.
type Option struct {
	Value string `json:"value"`
	Label string `json:"label"`
}

// Definitions reads what the properties of a type of object are: all that the account has.
func (c *Client) Definitions(ctx context.Context, objectType string) ([]Definition, error) {
	var answer struct {
		Results []Definition `json:"results"`
	}
	if err := c.get(ctx, "properties."+objectType, "/crm/v3/properties/"+plural[objectType], &answer); err != nil {
		return nil, fmt.Errorf("read properties of %s: %w", plural[objectType], err)
	}
	return answer.Results, nil
}
