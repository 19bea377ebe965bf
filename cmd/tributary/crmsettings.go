package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/internal/hubspotcrm"
	"tributary/internal/warehouse"
)

// crmSettings reads what an account's words mean: its pipelines and lifecycle, its owners, and the lists of the
// properties that are read. Of owners neither name nor address is kept. What cannot be read is left out,
// and told as an error beside the rest.
func crmSettings(ctx context.Context, account string, c *hubspotcrm.Client, further func(object string) []string) (warehouse.CRMSettings, error) {
	s := warehouse.CRMSettings{Account: account, ReadAt: time.Now().UTC()}
	var problems []error
	for _, object := range []string{"deal", "contact"} {
		list, err := c.KnownPipelines(ctx, object, func([]hubspotcrm.Pipeline) bool { return true })
		problems = append(problems, err)
		for _, p := range list {
			for _, st := range p.Stages {
				s.Stages = append(s.Stages, warehouse.CRMStage{Object: object, Pipeline: p.ID, PipelineLabel: p.Label, Stage: st.ID, Label: st.Label, Place: st.Order + 1, Closed: st.Closed, Probability: st.Probability})
			}
		}
	}
	owners, err := c.Owners(ctx)
	problems = append(problems, err)
	for _, o := range owners {
		row := warehouse.CRMOwner{Owner: o.ID, User: o.UserID, Teams: o.Teams, Gone: o.Archived}
		if email := canonical.NormalEmail(o.Email); email != "" {
			row.EmailSHA256 = canonical.SHA256(email)
		}
		s.Owners = append(s.Owners, row)
	}
	for _, object := range []string{"contact", "company", "deal"} {
		names := append(slices.Clone(wire.Properties(object)), further(object)...)
		list, err := c.KnownDefinitions(ctx, object, func([]hubspotcrm.Definition) bool { return true })
		problems = append(problems, err)
		for _, d := range list {
			if !slices.Contains(names, d.Name) || d.Name == "lifecyclestage" || d.Refers == "OWNER" { // stages stand among the stages, and people's names nowhere
				continue
			}
			for _, o := range d.Options {
				s.Options = append(s.Options, warehouse.CRMOption{Object: object, Property: d.Name, Value: o.Value, Label: o.Label})
			}
		}
	}
	return s, errors.Join(problems...)
}
