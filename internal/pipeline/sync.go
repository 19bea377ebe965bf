package pipeline

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tributary/canonical"
	"tributary/identity"
	"tributary/internal/eventlog"
	"tributary/internal/hubspotcrm"
)

// A CRMHistory is what a sync reads of one connected account.
type CRMHistory interface {
	CRM
	Modified(ctx context.Context, objectType string, since time.Time, behind string, page func(records []hubspotcrm.Record, next time.Time, behind string) error) error
	Histories(ctx context.Context, objectType string, ids, properties []string, binned bool) (map[string]hubspotcrm.Record, error)
	Live(ctx context.Context, objectType string, ids []string) (map[string]hubspotcrm.Record, error)
	Bin(ctx context.Context, objectType, after string) (records []hubspotcrm.Record, next string, err error)
	Created(ctx context.Context, objectType string, since, until time.Time) (int, error)
}

// Sync finds what one CRM account changed and no webhook told, and brings in what was before
// the account was connected: docs/hubspot-sync.md. It is owned like fetch: one member works
// for an account.
type Sync struct {
	Log     eventlog.Log
	Topics  eventlog.Topics
	Prefix  string
	Account string // the account's name
	Portal  int64  // 0: bodies name none
	Source  string // what pulled receipts are of
	CRM     CRMHistory
	Journal CRMJournal // nil: the account has none
	View    *JobView
	Heard   *Heard
	People  *identity.View // nil: nobody is erased
	// Watched lists the properties whose changes can become events.
	Watched func(objectType string) []string
	Every   time.Duration // between passes by themselves; 0: none
	Owner   string
	Health  *Health
	Logger  *slog.Logger
	Metrics *Metrics

	importer *Fetch // reads objects for the import
}

const (
	// syncSettle is how long a change is left to its webhook before it counts as missing.
	syncSettle = 2 * time.Minute
	// syncOverlap is how far a pass looks back behind the end of the last one: search lags, and
	// clocks differ.
	syncOverlap = 24 * time.Hour
	// sameChange is how far the times of one change may lie apart in its webhook and in the history.
	sameChange = time.Second
	// syncSaidAgain is after how long it is written anew how far the account is, though nothing
	// changed: the log is kept from that record on.
	syncSaidAgain = 12 * time.Hour
	// binKept is how long HubSpot keeps what was deleted.
	binKept = 90 * 24 * time.Hour
)

// syncTypes are the types of records that are compared, in the order in which they are
// imported: whom a deal is about is known before it.
var syncTypes = []string{"company", "contact", "deal"}

// SyncGroup is the name of the consumer group of an account's sync.
func SyncGroup(prefix, account string) string { return prefix + "sync." + account }

// Run syncs until ctx ends.
func (s *Sync) Run(ctx context.Context) error {
	return s.Log.Consume(ctx, eventlog.Group{Name: SyncGroup(s.Prefix, s.Account), Topics: []string{s.Topics.Replays}, Whole: true}, s.own)
}

func (s *Sync) health() string        { return "sync " + s.Account }
func (s *Sync) journalHealth() string { return "journal " + s.Account }

func (s *Sync) own(ctx context.Context, claim eventlog.Claim) error {
	defer func() { // whoever has the account now says what is wrong with it
		s.Health.Set(s.health(), nil)
		s.Health.Set(s.journalHealth(), nil)
	}()
	work := &syncing{Sync: s, claim: claim}
	var next int64
	for {
		records, err := claim.Poll(ctx, 1000, syncPoll)
		if err != nil {
			return err
		}
		for _, r := range records {
			next = max(next, r.Offset+1)
		}
		if err := work.turn(ctx); err != nil {
			return err
		}
		if k, had, err := s.View.Sync(s.Account); err == nil && had && next > 0 { // the log keeps the newest record of how far this is
			claim.Commit(s.Topics.Replays, k.At.Partition, min(next, k.At.Offset))
		}
	}
}

const syncPoll = 2 * time.Second

// A syncing is one generation's work.
type syncing struct {
	*Sync
	claim  eventlog.Claim
	wait   time.Duration // after a failure
	failed time.Time     // when the last one was
	resume time.Time
	pruned time.Time

	journalDue, journalResume time.Time
	journalWait               time.Duration
}

// turn does what is due: a journal's new files, a pass, or a page of an import. What fails is
// tried again later; an error is one of the log or the local state.
func (w *syncing) turn(ctx context.Context) error {
	now := time.Now().UTC()
	state, err := w.state(ctx)
	if err != nil {
		return err
	}
	if now.Sub(state.Changed) > syncSaidAgain {
		if err := w.put(ctx, &state, w.Owner); err != nil && !errors.Is(err, errSuperseded) {
			return err
		}
		return nil
	}
	if err = w.turnJournal(ctx, &state, now); err == nil && now.Before(w.resume) && (state.Asked == nil || state.Asked.At.Before(w.failed)) {
		return nil // somebody who asks now may have mended it
	}
	if err == nil {
		err = w.due(ctx, state, now)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errSuperseded): // somebody asked for something: look again
		return nil
	case err == nil:
		w.wait = 0
		w.Health.Set(w.health(), nil)
		return nil
	}
	w.wait = min(max(2*w.wait, 5*time.Second), 15*time.Minute)
	after, what := w.wait, "it is tried again by itself"
	var t trouble
	if errors.As(err, &t) {
		halt, least := t.Halting()
		after = max(after, least)
		if halt {
			what = "the token or its scopes must be mended"
		}
	}
	w.failed, w.resume = time.Now().UTC(), now.Add(after)
	err = fmt.Errorf("%w; what no webhook told is not found meanwhile, and %s", err, what)
	w.Health.Set(w.health(), err)
	w.Metrics.syncFailed(w.Account)
	w.Logger.Warn("changes of the CRM cannot be compared", "account", w.Account, "error", err.Error(), "wait", after)
	return nil
}

func (w *syncing) due(ctx context.Context, state canonical.CRMSync, now time.Time) error {
	if now.Sub(w.pruned) > 24*time.Hour {
		if err := w.Heard.Prune(now); err != nil {
			return err
		}
		w.pruned = now
	}
	switch {
	case state.Asked != nil, w.Every > 0 && now.Sub(lastTried(state)) >= w.Every:
		return w.pass(ctx, state)
	case state.Import != nil && state.Import.State == canonical.ImportRunning:
		return w.importPage(ctx, state)
	}
	return nil
}

// lastTried is when a pass last ended, else when the account was connected.
func lastTried(s canonical.CRMSync) time.Time {
	if s.Pass != nil {
		return s.Pass.Ended
	}
	return s.Connected
}

// errSuperseded: another record of the account came first.
var errSuperseded = errors.New("another record of the account came first")

// state gives how far the account is, and begins where nobody has.
func (s *Sync) state(ctx context.Context) (canonical.CRMSync, error) {
	if err := s.View.caughtUp(ctx, s.Log, s.Topics.Replays); err != nil {
		return canonical.CRMSync{}, err
	}
	k, had, err := s.View.Sync(s.Account)
	if err != nil || had {
		return k.State, err
	}
	if err := s.hearAll(ctx); err != nil {
		return canonical.CRMSync{}, err
	}
	first, err := s.Heard.firstWebhook(s.Account)
	if err != nil {
		return canonical.CRMSync{}, err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	if first.IsZero() || first.After(now) {
		first = now
	}
	state := canonical.CRMSync{Account: s.Account, Connected: first, Through: first}
	if err := s.put(ctx, &state, s.Owner); err != nil && !errors.Is(err, errSuperseded) {
		return state, err
	}
	k, _, err = s.View.Sync(s.Account)
	return k.State, err
}

// hearAll brings what was heard to the end of inbound.
func (s *Sync) hearAll(ctx context.Context) error {
	_, end, err := s.Log.Bounds(ctx, s.Topics.Inbound)
	if err != nil {
		return err
	}
	return s.Heard.Wait(ctx, end)
}

// put appends the next record of the account; errSuperseded where another came first.
func (s *Sync) put(ctx context.Context, state *canonical.CRMSync, by string) error {
	b := make([]byte, 8)
	rand.Read(b)
	state.Seq, state.Stamp, state.Changed, state.By = state.Seq+1, hex.EncodeToString(b), time.Now().UTC(), by
	rec, err := encode(eventlog.TypeCRMSync, "sync "+state.Account, state)
	if err != nil {
		return err
	}
	s.View.expect(state.Stamp)
	placed, err := s.Log.Append(ctx, s.Topics.Replays, rec)
	if err != nil {
		s.View.held(state.Stamp)
		return fmt.Errorf("write how far the sync of %s is: %w", s.Account, err)
	}
	end := make([]int64, placed[0].Partition+1)
	end[placed[0].Partition] = placed[0].Offset + 1
	err = s.View.Wait(ctx, end)
	if held := s.View.held(state.Stamp); err == nil && !held {
		err = errSuperseded
	}
	return err
}

// change makes one change on top of whatever holds.
func (s *Sync) change(ctx context.Context, by string, do func(*canonical.CRMSync) error) (canonical.CRMSync, error) {
	for {
		state, err := s.state(ctx)
		if err != nil {
			return state, err
		}
		if err := do(&state); err != nil {
			return state, err
		}
		if err := s.put(ctx, &state, by); !errors.Is(err, errSuperseded) {
			return state, err
		}
	}
}

// State gives how far the account is, as the end of the log says. Any process answers.
func (s *Sync) State(ctx context.Context) (canonical.CRMSync, error) { return s.state(ctx) }

// Ask wishes for a pass now; since, where not nil, is from when on it looks, which is not
// before the account was connected.
func (s *Sync) Ask(ctx context.Context, who string, since *time.Time) (canonical.CRMSync, error) {
	return s.change(ctx, who, func(state *canonical.CRMSync) error {
		ask(state, who, since)
		return nil
	})
}

// ask puts a wish for a pass beside one that is not done yet: it looks from the earlier of both.
func ask(state *canonical.CRMSync, who string, since *time.Time) {
	if old := state.Asked; old != nil {
		usual := state.Through.Add(-syncOverlap)
		before, after := usual, usual
		if old.Since != nil {
			before = *old.Since
		}
		if since != nil {
			after = *since
		}
		if !after.Before(before) {
			return
		}
	}
	state.Asked = &canonical.CRMAsk{ID: newSyncID("rc_"), Who: who, At: time.Now().UTC(), Since: since}
}

func newSyncID(prefix string) string {
	b := make([]byte, 6)
	rand.Read(b)
	return prefix + hex.EncodeToString(b)
}

// append writes pulled receipts as ingest writes sent ones, and waits until they are heard: what
// is met twice in one pass is pulled once.
func (w *syncing) append(ctx context.Context, receipts []canonical.Receipt) error {
	if len(receipts) == 0 {
		return nil
	}
	if err := w.claim.Alive(ctx); err != nil {
		return err
	}
	if err := (Inbound{Log: w.Log, Topic: w.Topics.Inbound}).Append(ctx, receipts...); err != nil {
		return fmt.Errorf("append pulled receipts: %w", err)
	}
	return w.hearAll(ctx)
}

// A telling is a change in the words of a webhook. The order of its fields is that of HubSpot's.
type telling struct {
	PortalID int64  `json:"portalId,omitempty"`
	At       int64  `json:"occurredAt"`
	Kind     string `json:"subscriptionType"`
	ObjectID int64  `json:"objectId,omitempty"`

	Property string  `json:"propertyName,omitempty"`
	Value    *string `json:"propertyValue,omitempty"`
	Source   string  `json:"changeSource,omitempty"`
	SourceID string  `json:"sourceId,omitempty"`

	Primary   int64   `json:"primaryObjectId,omitempty"`
	Merged    []int64 `json:"mergedObjectIds,omitempty"`
	Survivor  int64   `json:"newObjectId,omitempty"`
	Tie       string  `json:"associationType,omitempty"`
	From      int64   `json:"fromObjectId,omitempty"`
	To        int64   `json:"toObjectId,omitempty"`
	Removed   *bool   `json:"associationRemoved,omitempty"`
	IsPrimary *bool   `json:"isPrimaryAssociation,omitempty"`
}

// kind names a change as webhooks do: contact.propertyChange.
func kindOf(objectType, change string) string { return cmp.Or(objectType, "object") + "." + change }
