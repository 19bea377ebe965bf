package warehouse

import (
	"context"
	"fmt"
	"time"
)

// CRMSettings are what a CRM account's own words mean, as read at a time: no record of the log, for they can be
// read again.
type CRMSettings struct {
	Account string
	ReadAt  time.Time
	Stages  []CRMStage
	Owners  []CRMOwner
	Options []CRMOption
}

// A CRMStage is one step of a pipeline of deals, or of the lifecycle of contacts and companies.
type CRMStage struct {
	Object                  string
	Pipeline, PipelineLabel string
	Stage, Label            string
	Place                   int
	Closed, Probability     string // as the CRM writes them
}

// A CRMOwner is somebody whom records belong to: no name, no address.
type CRMOwner struct {
	Owner, User string
	EmailSHA256 string
	Teams       []string
	Gone        bool
}

// A CRMOption is what a value of a list is called.
type CRMOption struct{ Object, Property, Value, Label string }

// WriteCRMSettings keeps what was read; the latest holds.
func (w *Warehouse) WriteCRMSettings(ctx context.Context, s CRMSettings) error {
	if w.settings.Load() == nil {
		return errNotConnected
	}
	at := when(s.ReadAt)
	rows := map[string][][]any{}
	for _, r := range s.Stages {
		rows["crm_stages"] = append(rows["crm_stages"], []any{s.Account, r.Object, clean(r.Pipeline), clean(r.PipelineLabel), clean(r.Stage), clean(r.Label), int64(r.Place), r.Closed, r.Probability, at})
	}
	for _, r := range s.Owners {
		teams := []string{}
		for _, t := range r.Teams {
			teams = append(teams, clean(t))
		}
		rows["crm_owners"] = append(rows["crm_owners"], []any{s.Account, clean(r.Owner), clean(r.User), r.EmailSHA256, teams, r.Gone, at})
	}
	for _, r := range s.Options {
		rows["crm_options"] = append(rows["crm_options"], []any{s.Account, r.Object, clean(r.Property), clean(r.Value), clean(r.Label), at})
	}
	for table, list := range rows {
		if err := w.insert(ctx, fmt.Sprint(s.Account, " ", at.UnixMilli(), " ", table), table, list); err != nil {
			return fmt.Errorf("keep the settings of account %s: %w", s.Account, err)
		}
	}
	return nil
}
