package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/identity"
	"tributary/internal/eventlog"
)

// A CRM is what fetch reads: one connected account.
type CRM interface {
	// Read gives the objects found, by the id asked for.
	Read(ctx context.Context, objectType string, ids []string) (map[string]canonical.ReadObject, error)
	// Associated gives ids by id, the primary first, and the roles of each by id and id.
	Associated(ctx context.Context, from string, ids []string, to string) (tied map[string][]string, roles map[string]map[string][]string, err error)
	// Meaning says what the account's settings make of a value of a stage's property; nil: nothing.
	Meaning(ctx context.Context, objectType, property, value, pipeline string) (*canonical.StageMeaning, error)
}

// Fetch completes the bare receipts of one connected account. It is owned like a lane:
// one member reads all partitions, so that one budget holds and an account that is down
// holds up only its own webhooks.
type Fetch struct {
	Log     eventlog.Log
	Topics  eventlog.Topics
	Prefix  string
	Account string // the account's name
	// Mine says whether a receipt is of this account, Stray that nobody knows of which: it is
	// not read from this one, whose objects have the same numbers.
	Mine    func(canonical.Receipt) bool
	Stray   func(canonical.Receipt) bool
	CRM     CRM // nil: no credential; what comes is quarantined
	Health  *Health
	Logger  *slog.Logger
	Metrics *Metrics
	View    *identity.View // nil: nobody is erased

	// Settings has what the account's words mean written down for analysts; nil: it is not.
	Settings func(context.Context) error

	settling sync.WaitGroup
	settled  atomic.Int64    // when that was done last, in nanoseconds since 1970
	owners   map[string]bool // that were met since the start
	unmet    bool            // one was met since it was asked last

	got    int   // reads that were answered
	erased int64 // how far erasures were looked at, of the cache
	cache  *lru.Cache[objectKey, cached]
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
	defer s.settling.Wait()
	g := eventlog.Group{Name: FetchGroup(s.Prefix, s.Account), Topics: []string{s.Topics.Inbound}, Whole: true}
	return s.Log.Consume(ctx, g, s.own)
}

func (s *Fetch) health() string { return "fetch " + s.Account }

func (s *Fetch) own(ctx context.Context, claim eventlog.Claim) error {
	defer s.Health.Set(s.health(), nil) // whoever has the account now says what is wrong with it
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
		if len(bare) > 0 {
			s.settle(ctx)
		}
	}
}

// How often the account's settings are written down while its webhooks come: once an hour, and for an
// owner who was not met before at most once a minute.
const (
	settingsKept   = time.Hour
	settingsSooner = time.Minute
)

// settle has the settings written down where that is due, beside the work: nothing waits for it, and
// where it fails the next hour does it.
func (s *Fetch) settle(ctx context.Context) {
	last := time.Unix(0, s.settled.Load())
	due := settingsKept
	if s.newOwner() {
		due = settingsSooner
	}
	if s.Settings == nil || s.CRM == nil || time.Since(last) < due {
		return
	}
	s.settled.Store(time.Now().UnixNano())
	s.settling.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
		defer cancel()
		if err := s.Settings(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Warn("the account's settings could not be written down for analysts; the next hour tries again", "account", s.Account, "error", err.Error())
		}
	})
}

// newOwner says whether what was read last has an owner who was not met before.
func (s *Fetch) newOwner() bool {
	met := s.unmet
	s.unmet = false
	return met
}

// meet notes the owner of an object.
func (s *Fetch) meet(o canonical.ReadObject) {
	owner := o.Properties["hubspot_owner_id"]
	if owner == "" || s.owners[owner] {
		return
	}
	if s.owners == nil || len(s.owners) > 10_000 {
		s.owners = map[string]bool{}
	}
	s.owners[owner], s.unmet = true, true
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
	s.forget()
	stray := func(rc canonical.Receipt) bool { return s.Stray != nil && s.Stray(rc) }
	forgotten := make(map[canonical.ReceiptID]bool) // as it is before anything is read
	for _, rc := range bare {
		forgotten[rc.ID] = !stray(rc) && s.forgotten(rc)
	}
	objects, err := s.patiently(ctx, slices.DeleteFunc(slices.Clone(bare), func(rc canonical.Receipt) bool { return stray(rc) || forgotten[rc.ID] }))
	if err != nil {
		return err
	}
	for _, rc := range bare {
		kind, id, at := wire.Wants(rc)
		list, ok := objects.of(kind, id, at)
		fate := canonical.FateRecord{ReceiptID: rc.ID, Source: rc.Source, Way: rc.Way, Fate: canonical.FateCompleted, At: rc.ReceivedAt}
		refusal := objects.refused[objectKey{kind, id}]
		switch {
		case stray(rc):
			fate.Fate, fate.Reason = canonical.FateQuarantined, wire.CodePortal
			fate.Detail = "no configured account has this portal"
		case forgotten[rc.ID]:
			fate.Fate, fate.Reason = canonical.FateErased, erasedReason
		case s.CRM == nil:
			fate.Fate, fate.Reason = canonical.FateQuarantined, "no_credential"
			fate.Detail = "account " + s.Account + " has no token: set one, then run the receipt again"
		case refusal != "":
			fate.Fate, fate.Reason = canonical.FateQuarantined, "unreadable"
			fate.Detail = "HubSpot reads others, but not this " + kind + ": " + refusal
		case !ok:
			fate.Fate, fate.Reason = canonical.FateQuarantined, "not_found"
			fate.Detail = "HubSpot holds no such " + kind
		default:
			done := rc
			done.ID = rc.ID.CompletedID()
			done.Completion = &canonical.Completion{Of: rc.ID, ReadAt: objects.read(kind, id), Objects: list, Stage: objects.stages[rc.ID]}
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

// A trouble is an error of a CRM that says what is to be done about it.
type trouble interface {
	error
	// Halting is true when nothing will work until somebody acts; else after says how long
	// to wait at least.
	Halting() (halt bool, after time.Duration)
	// Refused is true when this request will never be answered, though others may be.
	Refused() bool
}

// refusal gives the CRM's words when a read was refused for what it asks.
func refusal(err error) (string, bool) {
	var t trouble
	if errors.As(err, &t) && t.Refused() {
		return t.Error(), true
	}
	return "", false
}

// patiently reads until it succeeds: a CRM that is down, busy or refuses the token holds
// up its own webhooks only.
func (s *Fetch) patiently(ctx context.Context, bare []canonical.Receipt) (objectSet, error) {
	if s.CRM == nil || len(bare) == 0 {
		return newObjectSet(), nil
	}
	name := s.health()
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		before := s.got
		objects, err := s.read(ctx, bare)
		if err == nil {
			s.Health.Set(name, nil)
			return objects, nil
		}
		if ctx.Err() != nil {
			return newObjectSet(), ctx.Err()
		}
		if s.got > before { // it answers for some: what it did is in the cache
			wait = time.Second
		}
		after, what := wait, "it is tried again by itself"
		var t trouble
		if errors.As(err, &t) {
			halt, least := t.Halting()
			after = max(after, least)
			if halt {
				after, what = time.Minute, "the token or its scopes must be mended"
			}
		}
		err = fmt.Errorf("%w; webhooks of this account wait, and %s", err, what)
		s.Health.Set(name, err)
		s.Logger.Warn("CRM cannot be read; webhooks of this account wait", "account", s.Account, "error", err.Error(), "wait", after)
		select {
		case <-time.After(after):
		case <-ctx.Done():
			return newObjectSet(), ctx.Err()
		}
	}
}

// An objectSet holds what was read for one poll, and what the CRM refuses to read, in
// its words.
type objectSet struct {
	found   map[objectKey]cached
	refused map[objectKey]string
	stages  map[canonical.ReceiptID]*canonical.StageMeaning // of the stages that receipts name
}

func newObjectSet() objectSet {
	return objectSet{found: map[objectKey]cached{}, refused: map[objectKey]string{}, stages: map[canonical.ReceiptID]*canonical.StageMeaning{}}
}

func (o objectSet) read(kind, id string) time.Time { return o.found[objectKey{kind, id}].read }

// of lists an object first, as it was at the time of the change, then those associated with it.
func (o objectSet) of(kind, id string, at time.Time) ([]canonical.ReadObject, bool) {
	c, ok := o.found[objectKey{kind, id}]
	if !ok {
		return nil, false
	}
	it := o.inOldOrder(c.object.At(at))
	list := []canonical.ReadObject{it}
	for _, to := range []string{"contact", "company"} {
		for _, other := range nearest(it.Associated[to]) {
			if a, ok := o.found[objectKey{to, other}]; ok {
				list = append(list, a.object)
			}
		}
	}
	return list, true
}

// inOldOrder lists a deal's contacts by the oldest id that each has had: a merge gives its survivor a
// new one, and whoever came first of a deal's contacts before it does so after.
func (o objectSet) inOldOrder(it canonical.ReadObject) canonical.ReadObject {
	contacts := it.Associated["contact"]
	if it.Type != "deal" || len(contacts) < 2 {
		return it
	}
	oldest := map[string]string{}
	for _, id := range contacts {
		oldest[id] = id
		for old := range strings.SplitSeq(o.found[objectKey{"contact", id}].object.Properties["hs_merged_object_ids"], ";") {
			if old = strings.TrimSpace(old); old != "" && earlierID(old, oldest[id]) {
				oldest[id] = old
			}
		}
	}
	contacts = slices.Clone(contacts)
	slices.SortStableFunc(contacts, func(a, b string) int {
		switch {
		case earlierID(oldest[a], oldest[b]):
			return -1
		case earlierID(oldest[b], oldest[a]):
			return 1
		}
		return 0
	})
	it.Associated = maps.Clone(it.Associated)
	it.Associated["contact"] = contacts
	return it
}

// earlierID orders record ids, which are numbers without leading zeros.
func earlierID(a, b string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

// nearest are the associated objects whose own properties are read, the primary first:
// the ids of all the others stand in the association.
func nearest(ids []string) []string { return ids[:min(len(ids), 100)] }

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
	set := newObjectSet()
	if err := s.load(ctx, need, set); err != nil {
		return set, err
	}
	around := map[objectKey]time.Time{}
	for k, at := range need {
		c, ok := set.found[k]
		if !ok {
			continue
		}
		for to, ids := range c.object.Associated {
			for _, id := range nearest(ids) {
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
	if err := s.load(ctx, around, set); err != nil {
		return set, err
	}
	return set, s.meanings(ctx, bare, set)
}

// meanings looks up the stages that receipts name: mappings know them by their labels too.
func (s *Fetch) meanings(ctx context.Context, bare []canonical.Receipt, set objectSet) error {
	for _, rc := range bare {
		kind, id, at := wire.Wants(rc)
		c, ok := set.found[objectKey{kind, id}]
		if !ok {
			continue
		}
		property, value := wire.Names(rc)
		m, err := s.CRM.Meaning(ctx, kind, property, value, c.object.At(at).Properties["pipeline"])
		if err != nil {
			return err
		}
		if m != nil {
			set.stages[rc.ID] = m
		}
	}
	return nil
}

// load fills set with the objects needed, from the cache where it is fresh enough.
func (s *Fetch) load(ctx context.Context, need map[objectKey]time.Time, set objectSet) error {
	missing, hits := map[string][]string{}, 0
	for k, at := range need {
		c, ok := s.cache.Get(k)
		if ok && c.read.After(at.Add(skew)) {
			set.found[k] = c
			hits++
			s.Metrics.looked(s.Account, k.kind, "hit")
			continue
		}
		if ok {
			s.Metrics.looked(s.Account, k.kind, "stale")
		} else {
			s.Metrics.looked(s.Account, k.kind, "miss")
		}
		missing[k.kind] = append(missing[k.kind], k.id)
	}
	s.Metrics.read(s.Account, "cache", hits)
	for _, kind := range []string{"deal", "contact", "company"} {
		ids := missing[kind]
		sort.Strings(ids)
		if err := s.apart(ctx, kind, ids, set); err != nil {
			return err
		}
	}
	return nil
}

// skew is by how much HubSpot's clock and ours may differ: what was read so shortly after a change
// may still be older.
const skew = 2 * time.Second

// apart reads objects of one kind. Where the CRM refuses the request, it halves the ids
// until the one stands alone that cannot be read: it must not hold up the others for ever.
func (s *Fetch) apart(ctx context.Context, kind string, ids []string, set objectSet) error {
	err := s.fresh(ctx, kind, ids, set)
	if _, refused := refusal(err); !refused {
		return err
	}
	if other := s.answers(ctx, kind); other != nil {
		return other
	}
	return s.halve(ctx, kind, ids, err, set)
}

// answers asks for an object that is there or not: an account that refuses even this
// refuses everything, and then no receipt is to blame.
func (s *Fetch) answers(ctx context.Context, kind string) error {
	const some = "1"
	_, err := s.CRM.Read(ctx, kind, []string{some})
	for _, to := range associates[kind] {
		if err == nil {
			_, _, err = s.CRM.Associated(ctx, kind, []string{some}, to)
		}
	}
	return err
}

// halve takes ids that were refused together.
func (s *Fetch) halve(ctx context.Context, kind string, ids []string, err error, set objectSet) error {
	if len(ids) == 1 {
		words, _ := refusal(err)
		set.refused[objectKey{kind, ids[0]}] = words
		s.Logger.Warn("the CRM refuses to read one object; its webhooks are quarantined", "account", s.Account, "type", kind, "id", ids[0], "error", words)
		return nil
	}
	for _, half := range [][]string{ids[:len(ids)/2], ids[len(ids)/2:]} {
		err := s.fresh(ctx, kind, half, set)
		if _, refused := refusal(err); refused {
			err = s.halve(ctx, kind, half, err, set)
		}
		if err != nil {
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
	s.got++
	var present []string
	for _, id := range ids {
		if _, ok := found[id]; ok {
			present = append(present, id)
		}
	}
	associated, roles := map[string]map[string][]string{}, map[string]map[string]map[string][]string{}
	for _, to := range associates[kind] {
		m, as, err := s.CRM.Associated(ctx, kind, present, to)
		if err != nil {
			return err
		}
		associated[to], roles[to] = m, as
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
			if as := roles[to][id]; len(as) > 0 {
				if o.Roles == nil {
					o.Roles = map[string]map[string][]string{}
				}
				o.Roles[to] = as
			}
		}
		s.withoutErased(&o)
		s.meet(o)
		c := cached{object: o, read: began}
		s.cache.Add(objectKey{kind, id}, c)
		set.found[objectKey{kind, id}] = c
	}
	return nil
}

// associates says which associations an object's receipts need.
var associates = map[string][]string{
	"deal":    {"contact", "company"},
	"contact": {"company"},
}
