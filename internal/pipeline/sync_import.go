package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/internal/hubspotcrm"
)

// MostMonths is how far back an import goes.
const MostMonths = 120

// ErrImporting: the account has an import that is not over.
var ErrImporting = errors.New("an import of this account is under way")

// Import begins to bring in the records changed in the last months as facts and history:
// docs/hubspot-sync.md. One at a time.
func (s *Sync) Import(ctx context.Context, who string, months int) (canonical.CRMSync, error) {
	if months < 1 || months > MostMonths {
		return canonical.CRMSync{}, &BadSelection{"months", fmt.Sprintf("must be from 1 to %d", MostMonths)}
	}
	return s.change(ctx, who, func(state *canonical.CRMSync) error {
		if state.Import != nil && state.Import.State == canonical.ImportRunning {
			return fmt.Errorf("%w: %s", ErrImporting, state.Import.ID)
		}
		now := time.Now().UTC().Truncate(time.Millisecond)
		since := now.AddDate(0, -months, 0)
		state.Import = &canonical.CRMImport{ID: newSyncID("im_"), State: canonical.ImportRunning, Months: months, Since: since, Who: who, At: now,
			Records: map[string]int{}, Type: syncTypes[0], From: since}
		return nil
	})
}

// CancelImport ends an import. What it brought in stays.
func (s *Sync) CancelImport(ctx context.Context, who string) (canonical.CRMSync, error) {
	return s.change(ctx, who, func(state *canonical.CRMSync) error {
		if state.Import == nil || state.Import.State != canonical.ImportRunning {
			return fmt.Errorf("%w: no import is under way", ErrWrongState)
		}
		state.Import.State, state.Import.Ended, state.Import.Note = canonical.ImportCancelled, time.Now().UTC(), "cancelled by "+who
		return nil
	})
}

// errOnePage ends a list after a page: the rest is for the next turn.
var errOnePage = errors.New("one page")

// importPage brings in one page of records and notes where to go on. A page that was brought
// in and not noted is brought in again: the receipts have the same ids.
func (w *syncing) importPage(ctx context.Context, state canonical.CRMSync) error {
	im := *state.Import
	im.Records = clone(im.Records)
	whole := true
	err := w.CRM.Modified(ctx, im.Type, im.From, im.Behind, func(found []hubspotcrm.Record, next time.Time, behind string) error {
		records, pulled, err := w.bringIn(ctx, im.Type, found, state.Connected)
		if err != nil {
			return err
		}
		im.Records[im.Type] += records
		im.Pulled += pulled
		if whole = next.Equal(im.From) && behind == im.Behind; whole { // the last page of its type
			return nil
		}
		im.From, im.Behind = next, behind
		return errOnePage
	})
	switch {
	case err != nil && !errors.Is(err, errOnePage):
		return err
	case whole:
		i := slices.Index(syncTypes, im.Type) + 1
		if i == len(syncTypes) {
			im.State, im.Ended = canonical.ImportDone, time.Now().UTC()
			w.Logger.Info("import of the CRM done", "account", w.Account, "import", im.ID, "who", im.Who, "receipts", im.Pulled)
		} else {
			im.Type, im.From, im.Behind = syncTypes[i], im.Since, ""
		}
	}
	w.Metrics.imported(w.Account, im.Records, im.Pulled-state.Import.Pulled)
	state.Import = &im
	return w.put(ctx, &state, w.Owner)
}

func clone(m map[string]int) map[string]int {
	out := make(map[string]int, len(m))
	for k, n := range m {
		out[k] = n
	}
	return out
}

// bringIn makes receipts of what some records were before the account was connected: that they
// are there, and each value that a stage of theirs took. They are completed already, with what
// the budget's share for backfills reads, so that no webhook waits behind them.
func (w *syncing) bringIn(ctx context.Context, kind string, found []hubspotcrm.Record, connected time.Time) (records, pulled int, err error) {
	var ids []string
	for _, r := range found {
		if !slices.Contains(ids, r.ID) {
			ids = append(ids, r.ID)
		}
	}
	watched := w.Watched(kind)
	histories, err := w.CRM.Histories(ctx, kind, ids, watched, false)
	if err != nil {
		return 0, 0, err
	}
	var bare []canonical.Receipt
	for _, id := range ids {
		r, there := histories[id]
		if !there || !r.Created.Before(connected) {
			continue // gone meanwhile, or told by webhooks
		}
		records++
		bare = append(bare, w.receipt(telling{At: r.Created.UnixMilli(), Kind: kindOf(kind, "creation"), ObjectID: number(r.ID)}, canonical.PulledByImport))
		if len(r.Merged) > 0 {
			m := telling{At: mergedAt(r, r.Merged[0]).UnixMilli(), Kind: kindOf(kind, "merge"), Primary: number(r.ID), Survivor: number(r.ID)}
			for _, id := range r.Merged {
				m.Merged = append(m.Merged, number(id))
			}
			if mergedAt(r, r.Merged[0]).Before(connected) {
				bare = append(bare, w.receipt(m, canonical.PulledByImport))
			}
		}
		for _, property := range watched {
			for _, v := range taken(r, property) {
				if v.At.Before(connected) {
					bare = append(bare, w.receipt(tellingOf(kind, r.ID, property, v), canonical.PulledByImport))
				}
			}
		}
	}
	if len(bare) == 0 {
		return records, 0, nil
	}
	completed, err := w.complete(ctx, bare)
	if err != nil {
		return 0, 0, err
	}
	return records, len(completed), w.append(ctx, completed)
}

// complete gives receipts what they are about, as fetch does with webhooks. A merge needs
// nothing, and of somebody who asked to be forgotten, or of what went meanwhile, nothing is said.
func (w *syncing) complete(ctx context.Context, bare []canonical.Receipt) ([]canonical.Receipt, error) {
	if w.importer == nil {
		w.importer = &Fetch{Account: w.Account, CRM: w.CRM, Logger: w.Logger, View: w.People, Metrics: w.Sync.Metrics}
		var err error
		if w.importer.cache, err = lru.New[objectKey, cached](2000); err != nil {
			return nil, err
		}
	}
	f := w.importer
	f.forget()
	bare = slices.DeleteFunc(bare, f.forgotten)
	objects, err := f.read(ctx, bare)
	if err != nil {
		return nil, err
	}
	var out []canonical.Receipt
	for _, rc := range bare {
		kind, id, at := wire.Wants(rc)
		if kind == "" {
			out = append(out, rc)
			continue
		}
		list, there := objects.of(kind, id, at)
		if !there {
			continue
		}
		rc.Completion = &canonical.Completion{ReadAt: objects.read(kind, id), Objects: list, Stage: objects.stages[rc.ID]}
		out = append(out, rc)
	}
	return out, nil
}
