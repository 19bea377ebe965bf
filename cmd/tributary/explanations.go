package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/internal/pipeline"
	"tributary/internal/rehearsal"
	"tributary/mappings"
)

// explainEvent answers POST /v1/explain: the events of an id as they were resolved, what
// their receipts say, and what each destination would make of them now. The answer holds
// personal data.
func (r *router) explainEvent(c *gin.Context) (int, any, error) {
	var q explainBody
	if err := readAct(c, &q, false); err != nil {
		return 0, nil, err
	}
	if q.EventID == "" {
		return 0, nil, missingField("event_id", "which event")
	}
	ctx := c.Request.Context()
	events, err := r.replay.Find(ctx, q.EventID)
	if err != nil {
		return 0, nil, err
	}
	answer := explainedEvents{Events: []explainedEvent{}}
	for _, e := range events {
		x, err := r.explained(ctx, e, q.Destinations)
		if err != nil {
			return 0, nil, err
		}
		answer.Events = append(answer.Events, x)
	}
	return http.StatusOK, answer, nil
}

func (r *router) explained(ctx context.Context, e canonical.Event, to []string) (explainedEvent, error) {
	x := explainedEvent{Event: e, States: map[string]string{}}
	files, err := r.filesOf(ctx, e.MappingVersion)
	if err != nil {
		return x, err
	}
	x.Rule = ruleAt(files, e.Rule)
	if x.Prospect, err = r.replay.Preview(ctx, pipeline.Order{EventID: e.ID, Name: e.Name, Destinations: to}, true); err != nil {
		return x, err
	}
	again, err := r.replay.Preview(ctx, pipeline.Order{EventID: e.ID, Name: e.Name, Destinations: to, Force: true}, true)
	if err != nil {
		return x, err
	}
	for i, p := range x.Prospect {
		showSent(p.Parts, again[i].Parts)
		v, err := destinationView(r.lanes[p.Destination], e.Key())
		if err != nil {
			return x, err
		}
		if x.States[p.Destination] = v.State; v.Reason != "" {
			x.States[p.Destination] += ", " + v.Reason
		}
	}
	rc, err := r.replay.Receipt(ctx, e.ReceiptID)
	if errors.Is(err, pipeline.ErrUnknown) {
		return x, nil // expired: the event says enough
	}
	if err != nil {
		return x, err
	}
	m := r.mapping.Load()
	o := rehearsal.Outcome{Reading: pipeline.Understand(rc, m, r.settings(rc.Source))}
	x.Says = inWords(o)
	if o.Event != nil && o.Event.ID == e.ID { // else another mapping, with another recipe, made it
		x.IDParts = m.IDParts(o.Report, e)
	}
	return x, nil
}

// filesOf gives the files of a mapping that is or was live; none where they are not kept, or not yet.
func (r *router) filesOf(ctx context.Context, version string) ([]mappings.File, error) {
	if files := r.live.textsOf(version); files != nil {
		return files, nil
	}
	_, sealed, err := r.warehouse.MappingFiles(ctx, version)
	if err != nil || sealed == nil {
		return nil, err
	}
	kept, err := r.openKept(sealed)
	if err != nil {
		return nil, err
	}
	return filesOf(*kept)
}

// showSent adds the bodies of what was delivered already, as it would be sent by force.
func showSent(parts, forced []delivery.Foreseen) {
	for i, p := range parts {
		if p.Class != delivery.AlreadyThere {
			continue
		}
		for _, f := range forced {
			if f.Part == p.Part {
				parts[i].Body, parts[i].Value, parts[i].Currency = f.Body, f.Value, f.Currency
			}
		}
	}
}
