package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/internal/eventlog"
)

// A CRM is what fetch reads: one connected account.
type CRM interface {
	// Read gives the objects found, by the id asked for.
	Read(ctx context.Context, objectType string, ids []string) (map[string]canonical.ReadObject, error)
	// Associated gives ids by id, the primary first.
	Associated(ctx context.Context, from string, ids []string, to string) (map[string][]string, error)
}

// Fetch completes the bare receipts of one connected account. It is owned like a lane:
// one member reads all partitions, so that one budget holds and an account that is down
// holds up only its own webhooks.
type Fetch struct {
	Log     eventlog.Log
	Topics  eventlog.Topics
	Prefix  string
	Account string // the account's name
	// Mine says whether a receipt is of this account.
	Mine    func(canonical.Receipt) bool
	CRM     CRM // nil: no credential; what comes is quarantined
	Health  *Health
	Logger  *slog.Logger
	Metrics *Metrics

	cache *lru.Cache[objectKey, cached]
}

type objectKey struct{ kind, id string }

type cached struct {
	object canonical.ReadObject
	read   time.Time
}

// FetchGroup is the name of the consumer group of an account's fetch.
func FetchGroup(prefix, account string) string { return prefix + "fetch." + account }

// Run fetches until ctx ends.
func (s *Fetch) Run(ctx context.Context) error {
	var err error
	if s.cache, err = lru.New[objectKey, cached](50_000); err != nil {
		return err
	}
	g := eventlog.Group{Name: FetchGroup(s.Prefix, s.Account), Topics: []string{s.Topics.Inbound}, Whole: true}
	return s.Log.Consume(ctx, g, s.own)
}

func (s *Fetch) own(ctx context.Context, claim eventlog.Claim) error {
	for {
		records, err := claim.Poll(ctx, 500, time.Second)
		if err != nil {
			return err
		}
		bare, err := s.bare(records)
		if err != nil {
			return err
		}
		if err := s.complete(ctx, bare); err != nil {
			return err
		}
		for _, r := range records {
			claim.Commit(r.Topic, r.Partition, r.Offset+1)
		}
	}
}

func (s *Fetch) bare(records []eventlog.Record) ([]canonical.Receipt, error) {
	var out []canonical.Receipt
	for _, r := range records {
		rc, err := decode[canonical.Receipt](r)
		if err != nil {
			return nil, err
		}
		if wire.Bare(rc) && s.Mine(rc) {
			out = append(out, rc)
		}
	}
	return out, nil
}

// complete reads what the receipts need, appends each completed, and ends the bare
// ones: completed, or quarantined where nothing can be read.
func (s *Fetch) complete(ctx context.Context, bare []canonical.Receipt) error {
	if len(bare) == 0 {
		return nil
	}
	var completed, fates []eventlog.Record
	objects, err := s.patiently(ctx, bare)
	if err != nil {
		return err
	}
	for _, rc := range bare {
		kind, id, _ := wire.Wants(rc)
		list, ok := objects.of(kind, id)
		fate := canonical.FateRecord{ReceiptID: rc.ID, Source: rc.Source, Way: rc.Way, Fate: canonical.FateCompleted, At: rc.ReceivedAt}
		switch {
		case s.CRM == nil:
			fate.Fate, fate.Reason = canonical.FateQuarantined, "no_credential"
			fate.Detail = "account " + s.Account + " has no token: set one, then run the receipt again"
		case !ok:
			fate.Fate, fate.Reason = canonical.FateQuarantined, "not_found"
			fate.Detail = "HubSpot holds no such " + kind
		default:
			done := rc
			done.ID = rc.ID.CompletedID()
			done.Completion = &canonical.Completion{Of: rc.ID, ReadAt: objects.read(kind, id), Objects: list}
			rec, err := encode(eventlog.TypeReceipt, "", done)
			if err != nil {
				return err
			}
			completed = append(completed, rec)
		}
		rec, err := encode(eventlog.TypeFate, string(rc.ID), fate)
		if err != nil {
			return err
		}
		fates = append(fates, rec)
	}
	if _, err := s.Log.Append(ctx, s.Topics.Inbound, completed...); err != nil && len(completed) > 0 {
		return fmt.Errorf("append completed receipts: %w", err)
	}
	if _, err := s.Log.Append(ctx, s.Topics.Events, fates...); err != nil {
		return fmt.Errorf("append fates: %w", err)
	}
	return nil
}

// halting is an error of a CRM that says nothing will work until somebody acts.
type halting interface {
	error
	Halting() (halt bool, after time.Duration)
}

// patiently reads until it succeeds: a CRM that is down, busy or refuses the token holds
// up its own webhooks only.
func (s *Fetch) patiently(ctx context.Context, bare []canonical.Receipt) (objectSet, error) {
	if s.CRM == nil {
		return objectSet{}, nil
	}
	name := "fetch " + s.Account
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		objects, err := s.read(ctx, bare)
		if err == nil {
			s.Health.Set(name, nil)
			return objects, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		after := wait
		var t halting
		if errors.As(err, &t) {
			halt, least := t.Halting()
			after = max(after, least)
			if halt {
				err = fmt.Errorf("%w; the token or its scopes must be mended, receipts wait", err)
				after = time.Minute
			}
		}
		s.Health.Set(name, err)
		s.Logger.Warn("CRM cannot be read; webhooks of this account wait", "account", s.Account, "error", err.Error(), "wait", after)
		select {
		case <-time.After(after):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// An objectSet holds what was read for one poll.
type objectSet map[objectKey]cached

func (o objectSet) read(kind, id string) time.Time { return o[objectKey{kind, id}].read }

// of lists an object first, then those associated with it.
func (o objectSet) of(kind, id string) ([]canonical.ReadObject, bool) {
	c, ok := o[objectKey{kind, id}]
	if !ok {
		return nil, false
	}
	list := []canonical.ReadObject{c.object}
	for _, to := range []string{"contact", "company"} {
		for _, other := range c.object.Associated[to] {
			if a, ok := o[objectKey{to, other}]; ok {
				list = append(list, a.object)
			}
		}
	}
	return list, true
}

// read reads the objects that the receipts are about, then those associated with them,
// in batches. A cached object serves only if it was read after every webhook that needs
// it happened.
func (s *Fetch) read(ctx context.Context, bare []canonical.Receipt) (objectSet, error) {
	need := map[objectKey]time.Time{}
	for _, rc := range bare {
		kind, id, at := wire.Wants(rc)
		k := objectKey{kind, id}
		if old, ok := need[k]; !ok || at.After(old) {
			need[k] = at
		}
	}
	set := objectSet{}
	if err := s.load(ctx, need, set); err != nil {
		return nil, err
	}
	around := map[objectKey]time.Time{}
	for k, at := range need {
		c, ok := set[k]
		if !ok {
			continue
		}
		for to, ids := range c.object.Associated {
			for _, id := range ids {
				a := objectKey{to, id}
				if _, have := need[a]; have {
					continue
				}
				if old, ok := around[a]; !ok || at.After(old) {
					around[a] = at
				}
			}
		}
	}
	return set, s.load(ctx, around, set)
}

// load fills set with the objects needed, from the cache where it is fresh enough.
func (s *Fetch) load(ctx context.Context, need map[objectKey]time.Time, set objectSet) error {
	missing := map[string][]string{}
	for k, at := range need {
		if c, ok := s.cache.Get(k); ok && c.read.After(at) {
			set[k] = c
			continue
		}
		missing[k.kind] = append(missing[k.kind], k.id)
	}
	s.Metrics.read(s.Account, "cache", len(set))
	for _, kind := range []string{"deal", "contact", "company"} {
		ids := missing[kind]
		sort.Strings(ids)
		if err := s.fresh(ctx, kind, ids, set); err != nil {
			return err
		}
	}
	return nil
}

// fresh reads objects of one kind with their associations.
func (s *Fetch) fresh(ctx context.Context, kind string, ids []string, set objectSet) error {
	if len(ids) == 0 {
		return nil
	}
	began := time.Now().UTC() // what was read is at least this new
	found, err := s.CRM.Read(ctx, kind, ids)
	if err != nil {
		return err
	}
	s.Metrics.read(s.Account, "crm", len(found))
	var present []string
	for _, id := range ids {
		if _, ok := found[id]; ok {
			present = append(present, id)
		}
	}
	associated := map[string]map[string][]string{}
	for _, to := range associates[kind] {
		m, err := s.CRM.Associated(ctx, kind, present, to)
		if err != nil {
			return err
		}
		associated[to] = m
	}
	for _, id := range present {
		o := found[id]
		for to, m := range associated {
			if len(m[id]) > 0 {
				if o.Associated == nil {
					o.Associated = map[string][]string{}
				}
				o.Associated[to] = m[id]
			}
		}
		c := cached{object: o, read: began}
		s.cache.Add(objectKey{kind, id}, c)
		set[objectKey{kind, id}] = c
	}
	return nil
}

// associates says which associations an object's receipts need.
var associates = map[string][]string{
	"deal":    {"contact", "company"},
	"contact": {"company"},
}
