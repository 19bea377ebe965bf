package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tributary/canonical"
	"tributary/internal/hubspotcrm"
)

// A CRMJournal is the vendor's own list of what it would have told.
type CRMJournal interface {
	Next(ctx context.Context, offset string) (hubspotcrm.JournalFile, bool, error)
}

const (
	// journalEvery is how often the journal is asked for more once it was read to its end.
	journalEvery = 10 * time.Second
	// journalFiles is how many files one turn reads, so that passes have their turn too.
	journalFiles = 20
	// journalNoted is how often it is noted that there was nothing new.
	journalNoted = 10 * time.Minute
	// journalKept is how long HubSpot keeps the journal. Where it knows no file behind one that was
	// read since, that one was the last.
	journalKept = 3 * 24 * time.Hour
)

// journal reads what the journal holds more. Where it no longer holds what is next, a pass looks
// from where it was last read, and the reading begins anew.
func (w *syncing) journal(ctx context.Context, state *canonical.CRMSync) error {
	now := time.Now().UTC()
	if now.Before(w.journalDue) {
		return nil
	}
	j := canonical.CRMJournal{}
	if state.Journal != nil {
		j = *state.Journal
	}
	noted := j.Read
	changed := false
	var failed error
files:
	for range journalFiles {
		f, more, err := w.Journal.Next(ctx, j.Offset)
		switch {
		case errors.Is(err, hubspotcrm.ErrJournalGap) && now.Sub(j.Read) < journalKept:
			w.journalDue = now.Add(journalEvery) // the end, as far as can be told: Read stays what it is
			break files
		case errors.Is(err, hubspotcrm.ErrJournalGap):
			since := noted.Add(-syncOverlap) // what was read then was published after it happened
			j.Offset, j.Gaps, changed = "", j.Gaps+1, true
			ask(state, "the journal's gap", &since)
			w.Logger.Warn("the webhooks journal no longer holds what is next; a comparison looks from where it was last read", "account", w.Account, "since", since)
			continue
		case err != nil:
			failed = err // what was read before it is noted
			break files
		case !more:
			j.Read = time.Now().UTC()
			w.journalDue = now.Add(journalEvery)
			break files
		}
		tellings, err := w.journalTellings(ctx, f, state.Connected)
		if err != nil {
			failed = err
			break files
		}
		receipts := make([]canonical.Receipt, len(tellings))
		for i, t := range tellings {
			receipts[i] = w.receipt(t, canonical.PulledByJournal)
		}
		if err := w.append(ctx, receipts); err != nil {
			failed = err
			break files
		}
		j.Offset, j.Read, j.Files, j.Pulled, changed = f.Offset, time.Now().UTC(), j.Files+1, j.Pulled+int64(len(receipts)), true
		w.Sync.Metrics.wasPulled(w.Account, canonical.PulledByJournal, len(receipts))
	}
	if changed || j.Read.Sub(noted) >= journalNoted {
		state.Journal = &j
		if err := w.put(ctx, state, w.Owner); err != nil {
			return err
		}
	}
	return failed
}

// journalTypes name the types of records that are read.
var journalTypes = map[string]string{"0-1": "contact", "0-2": "company", "0-3": "deal"}

var journalChanges = map[string]string{"CREATE": "creation", "DELETE": "deletion", "RESTORE": "restore", "GDPR_DELETE": "privacyDeletion"}

// journalTellings are what a file tells in the words of webhooks, as far as it is of this account,
// of a type that is read, and of after it was connected; with who changed a stage.
func (s *Sync) journalTellings(ctx context.Context, f hubspotcrm.JournalFile, connected time.Time) ([]telling, error) {
	var out []telling
	tell := func(t telling) { out = append(out, t) }
	for _, e := range f.Events {
		if s.Portal != 0 && e.Portal != s.Portal || e.At.Before(connected) {
			continue
		}
		kind, at := journalTypes[e.TypeID], e.At.UnixMilli()
		from, to := journalTypes[e.FromTypeID], journalTypes[e.ToTypeID]
		switch {
		case (e.Action == "ASSOCIATION_ADDED" || e.Action == "ASSOCIATION_REMOVED") && from != "" && to != "" && number(e.From) > 0 && number(e.To) > 0:
			t := tieOf(from, e.From, to, e.To, e.At, e.Action == "ASSOCIATION_REMOVED", false)
			t.IsPrimary = nil
			tell(t)
		case kind == "" || number(e.ID) == 0 && e.Action != "MERGE":
		case e.Action == "UPDATE":
			for _, p := range e.Properties {
				tell(telling{At: at, Kind: kindOf(kind, "propertyChange"), ObjectID: number(e.ID), Property: p.Name, Value: &p.Value})
			}
		case e.Action == "MERGE" && number(e.Survivor) > 0:
			t := telling{At: at, Kind: kindOf(kind, "merge"), Primary: number(e.Survivor), Survivor: number(e.Survivor)}
			for _, id := range e.Merged {
				if n := number(id); n > 0 && n != t.Survivor {
					t.Merged = append(t.Merged, n)
				}
			}
			if len(t.Merged) > 0 {
				tell(t)
			}
		case journalChanges[e.Action] != "":
			tell(telling{At: at, Kind: kindOf(kind, journalChanges[e.Action]), ObjectID: number(e.ID)})
		}
	}
	return out, s.changedBy(ctx, out)
}

// changedBy adds to changes of a lifecycle stage who made them, which the journal leaves out and
// the history of the property tells: without it what this router wrote itself would be no echo.
func (s *Sync) changedBy(ctx context.Context, tellings []telling) error {
	const property = "lifecyclestage"
	for _, kind := range syncTypes {
		var ids []string
		var of []*telling
		for i := range tellings {
			if t := &tellings[i]; t.Kind == kindOf(kind, "propertyChange") && t.Property == property {
				ids, of = append(ids, fmt.Sprint(t.ObjectID)), append(of, t)
			}
		}
		if len(ids) == 0 {
			continue
		}
		slices.Sort(ids)
		records, err := s.CRM.Histories(ctx, kind, slices.Compact(ids), []string{property}, false)
		if err != nil {
			return err
		}
		for _, t := range of {
			for _, v := range records[fmt.Sprint(t.ObjectID)].History[property] {
				if apart := v.At.Sub(time.UnixMilli(t.At)); v.Value == *t.Value && max(apart, -apart) <= sameChange {
					t.Source, t.SourceID = v.Source, v.SourceID
				}
			}
		}
	}
	return nil
}

// turnJournal reads the journal, and lets no trouble of its own hold up passes.
func (w *syncing) turnJournal(ctx context.Context, state *canonical.CRMSync, now time.Time) error {
	if w.Journal == nil || now.Before(w.journalResume) {
		return nil
	}
	part := w.journalHealth()
	err := w.journal(ctx, state)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errSuperseded):
		return err
	case err == nil:
		w.journalWait = 0
		w.Health.Set(part, nil)
		return nil
	}
	w.journalWait = min(max(2*w.journalWait, 5*time.Second), 5*time.Minute)
	after := w.journalWait
	var t trouble
	if errors.As(err, &t) {
		_, least := t.Halting()
		after = max(after, least)
	}
	w.journalResume = now.Add(after)
	w.Health.Set(part, fmt.Errorf("%w; it is tried again by itself, and comparisons go on", err))
	w.Logger.Warn("the webhooks journal cannot be read", "account", w.Account, "error", err.Error(), "wait", after)
	return nil
}
