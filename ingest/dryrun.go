package ingest

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
)

// A Foreseen is what one item would come to if it were sent now. It holds nothing of what was
// sent, and nothing of anybody else: ids, names and rules.
type Foreseen struct {
	// Fate is event, observation, facts_only, quarantined or completed: it would first be read from the CRM.
	Fate   canonical.Fate `json:"fate"`
	Reason string         `json:"reason,omitempty"`
	Detail string         `json:"detail,omitempty"`
	Rule   string         `json:"rule,omitempty"` // of a quarantine
	Event  *ForeseenEvent `json:"event,omitempty"`
	// Known says whether somebody is known already under an identifier of the item's. It is left
	// out where the key has not the scope read.
	Known        *bool                 `json:"known,omitempty"`
	Destinations []ForeseenDestination `json:"destinations,omitempty"`
}

// A ForeseenEvent is the event that an item would become.
type ForeseenEvent struct {
	Name       string            `json:"name"`
	ID         canonical.EventID `json:"event_id"`
	OccurredAt time.Time         `json:"occurred_at"`
	TimeBasis  string            `json:"time_basis,omitempty"`
	Rule       string            `json:"rule,omitempty"`
	Ignored    string            `json:"ignored,omitempty"` // the reason of the ignore rule
	Claimed    string            `json:"claimed,omitempty"` // what the sender takes it to be, where that is not Name
}

// A ForeseenDestination is what one destination would do.
type ForeseenDestination struct {
	Destination string         `json:"destination"`
	Parts       []ForeseenPart `json:"parts"`
}

// A ForeseenPart is one part of an event at a destination.
type ForeseenPart struct {
	Part string `json:"part"`
	// Would is send, wait or suppress.
	Would    string           `json:"would"`
	Reason   string           `json:"reason,omitempty"`
	Value    *canonical.Money `json:"value,omitempty"`
	Currency string           `json:"currency,omitempty"`
}

// A dryAnswer is the answer of a way in with ?dry_run=true.
type dryAnswer struct {
	OK     bool      `json:"ok"`
	DryRun bool      `json:"dry_run"`
	Items  []dryItem `json:"items"`
}

type dryItem struct {
	*Foreseen
	Error *Error `json:"error,omitempty"`
}

// A Rehearse says what receipts would come to, in order, and keeps none. known lets it look at
// what is known of their persons and was sent for them; without, each is judged as if nobody
// had been heard of.
type Rehearse func(ctx context.Context, receipts []canonical.Receipt, known bool) ([]Foreseen, error)

// mostDry is how many items one dry run takes: each is decided on at every destination.
const mostDry = 100

// dryAtOnce is how many dry runs are made at a time: each has a ledger and a graph in memory.
const dryAtOnce = 4

// wantsDryRun reads ?dry_run=.
func wantsDryRun(req *http.Request) (bool, error) {
	if req.URL.RawQuery == "" {
		return false, nil
	}
	q := req.URL.Query()
	if !q.Has("dry_run") {
		return false, nil
	}
	switch q.Get("dry_run") {
	case "true", "1":
		return true, nil
	case "false", "0", "":
		return false, nil
	}
	return false, failField(CodeWrongType, "dry_run", "dry_run must be true or false")
}

// noDryRun refuses a dry run where there is none: whoever asks for one expects that nothing is kept.
func noDryRun(req *http.Request) error {
	dry, err := wantsDryRun(req)
	if err == nil && dry {
		return failField(CodeWrongType, "dry_run", "this route makes no dry run; nothing was kept. See docs/http.md for those that do")
	}
	return err
}

// dryRun answers what an intake would come to, and keeps nothing of it.
func (f *front) dryRun(c *gin.Context, r *request, in *intake) error {
	if f.Rehearse == nil {
		return notHere()
	}
	if in.browser { // its key stands in a page: what the mapping makes of things is not for everybody
		return wrongScope(ScopeIngest)
	}
	if len(in.items) > mostDry {
		return fail(CodeTooMany, "a dry run takes at most 100 items")
	}
	select {
	case f.dry <- struct{}{}:
		defer func() { <-f.dry }()
	default:
		return fail(CodeOverloaded, "too many dry runs at a time")
	}
	now := f.Now().UTC().Truncate(time.Microsecond)
	ids := make([]canonical.ReceiptID, len(in.items))
	f.ids.next(now, ids)
	answer := dryAnswer{OK: true, DryRun: true, Items: make([]dryItem, len(in.items))}
	var receipts []canonical.Receipt
	var at []int
	for i, it := range in.items {
		source := ""
		if it.fault == nil {
			source, it.fault = f.source(in, it.source)
		}
		if answer.Items[i].Error = it.fault; it.fault != nil {
			r.refused++
			continue
		}
		at = append(at, i)
		receipts = append(receipts, canonical.Receipt{ID: ids[i], Source: source, Way: in.way, ReceivedAt: now, Body: json.RawMessage(it.raw), Context: in.context})
	}
	if !in.batch && len(receipts) == 0 {
		return answer.Items[0].Error
	}
	foreseen, err := f.Rehearse(c.Request.Context(), receipts, r.key.Has(ScopeRead))
	if err != nil {
		return err
	}
	for i, x := range foreseen {
		answer.Items[at[i]].Foreseen = &x
	}
	c.JSON(http.StatusOK, answer)
	return nil
}
