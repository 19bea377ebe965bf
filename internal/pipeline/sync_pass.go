package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/internal/hubspotcrm"
)

// A passing is one comparison under way.
type passing struct {
	*syncing
	canonical.CRMPass
	since time.Time // nothing before it is pulled but merges
}

// pass compares all that changed since the last one with what was told, pulls what is
// missing, and notes up to when that is so.
func (w *syncing) pass(ctx context.Context, state canonical.CRMSync) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	p := &passing{syncing: w, CRMPass: canonical.CRMPass{Began: now, From: state.Through.Add(-syncOverlap), To: now.Add(-syncSettle),
		Looked: map[string]int{}, Told: map[string]int{}, Missing: map[string]int{}, Created: map[string]int{}}}
	asked := state.Asked
	if asked != nil {
		p.ID, p.Who = asked.ID, asked.Who
		if asked.Since != nil {
			p.From = asked.Since.UTC()
		}
	}
	if oldest := now.Add(-heardFor + 24*time.Hour); p.From.Before(oldest) {
		p.From = oldest
		p.Notes = append(p.Notes, fmt.Sprintf("changes before %s were not looked at: what webhooks told is remembered for %d days", oldest.Format(time.RFC3339), int(heardFor.Hours()/24)))
	}
	if p.From.Before(state.Connected) {
		p.From = state.Connected
	}
	p.since = p.From
	if err := w.hearAll(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{p.modified, p.deleted, p.counted} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	p.advise()
	p.Ended = time.Now().UTC()
	for {
		if asked != nil && state.Asked != nil && state.Asked.ID == asked.ID {
			state.Asked = nil
		}
		if p.To.After(state.Through) && (asked == nil || asked.Since == nil || !asked.Since.After(state.Through)) {
			state.Through = p.To
		}
		state.Pass = &p.CRMPass
		err := w.put(ctx, &state, w.Owner)
		if err == nil {
			break
		}
		if err != errSuperseded {
			return err
		}
		if state, err = w.state(ctx); err != nil {
			return err
		}
	}
	w.Metrics.passed(w.Account, &p.CRMPass)
	w.Logger.Info("changes of the CRM compared", "account", w.Account, "from", p.From, "to", p.To, "missing", total(p.Missing), "pulled", p.Pulled, "who", p.Who)
	return nil
}

func total(m map[string]int) (n int) {
	for _, k := range m {
		n += k
	}
	return n
}

// modified looks through the records that changed.
func (p *passing) modified(ctx context.Context) error {
	for _, kind := range syncTypes {
		err := p.CRM.Modified(ctx, kind, p.From, "", func(found []hubspotcrm.Record, _ time.Time, _ string) error {
			p.Calls++
			ids := make([]string, 0, len(found))
			for _, r := range found {
				if !slices.Contains(ids, r.ID) {
					ids = append(ids, r.ID)
				}
			}
			return p.compare(ctx, kind, ids)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// compare pulls what is missing of some records.
func (p *passing) compare(ctx context.Context, kind string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	records, err := p.told(ctx, kind, ids, false)
	if err != nil {
		return err
	}
	missing, err := p.ties(ctx, kind, records)
	if err != nil {
		return err
	}
	return p.append(ctx, p.receipts(missing))
}

// told pulls what is missing of some records, but for their ties. binned says that they are in
// the bin.
func (p *passing) told(ctx context.Context, kind string, ids []string, binned bool) (map[string]hubspotcrm.Record, error) {
	watched := p.Watched(kind)
	records, err := p.CRM.Histories(ctx, kind, ids, watched, binned)
	if err != nil {
		return nil, err
	}
	p.Looked[kind] += len(records)
	var out []canonical.Receipt
	for _, id := range ids {
		r, there := records[id]
		if !there {
			continue
		}
		for _, find := range []func(string, hubspotcrm.Record) ([]telling, error){p.creation, p.merges, func(kind string, r hubspotcrm.Record) ([]telling, error) { return p.changes(kind, r, watched) }} {
			missing, err := find(kind, r)
			if err != nil {
				return nil, err
			}
			out = append(out, p.receipts(missing)...)
		}
	}
	return records, p.append(ctx, out)
}

// within says that a change is one of those looked at.
func (p *passing) within(at time.Time) bool { return !at.Before(p.since) && !at.After(p.To) }

// creation is that of a record of which nobody told that it was made. A record that is the
// result of a merge was not made, as webhooks have it.
func (p *passing) creation(kind string, r hubspotcrm.Record) ([]telling, error) {
	if !p.within(r.Created) || len(r.Merged) > 0 {
		return nil, nil
	}
	had, err := p.Heard.created(p.Account, kind, r.ID)
	if err != nil || had {
		p.heard(kind, "creation", had)
		return nil, err
	}
	return []telling{{At: r.Created.UnixMilli(), Kind: kindOf(kind, "creation"), ObjectID: number(r.ID)}}, nil
}

func (p *passing) heard(kind, change string, had bool) {
	if had {
		p.Told[kindOf(kind, change)]++
	}
}

// merges are those into a record of which nobody told. Of a record that was merged away HubSpot
// tells also that it is deleted.
func (p *passing) merges(kind string, r hubspotcrm.Record) ([]telling, error) {
	var missing []string
	var out []telling
	for _, id := range r.Merged {
		if number(id) == 0 {
			continue
		}
		_, had, err := p.Heard.merged(p.Account, kind, id)
		if err != nil {
			return nil, err
		}
		p.heard(kind, "merge", had)
		if !had {
			missing = append(missing, id)
		}
		if is, _, err := p.Heard.state(p.Account, kind, id); err != nil {
			return nil, err
		} else if is == isThere && p.within(mergedAt(r, id)) {
			out = append(out, telling{At: mergedAt(r, id).UnixMilli(), Kind: kindOf(kind, "deletion"), ObjectID: number(id)})
		}
	}
	if len(missing) == 0 {
		return out, nil
	}
	m := telling{At: mergedAt(r, missing[0]).UnixMilli(), Kind: kindOf(kind, "merge"), Primary: number(r.ID), Survivor: number(r.ID)}
	for _, id := range missing {
		m.Merged = append(m.Merged, number(id))
	}
	return append(out, m), nil
}

// mergedAt is when a record became another: since that one's list names it, where HubSpot keeps
// the history of the list, else its last change.
func mergedAt(r hubspotcrm.Record, id string) time.Time {
	for _, v := range r.History["hs_merged_object_ids"] {
		if slices.Contains(strings.Split(v.Value, ";"), id) {
			return v.At
		}
	}
	return r.Updated
}

// changes are the values that properties took in the time looked at, and of which nobody
// told. What was told of a record that is this one now was told of it.
func (p *passing) changes(kind string, r hubspotcrm.Record, watched []string) ([]telling, error) {
	var out []telling
	for _, property := range watched {
		versions := taken(r, property)
		if len(versions) == 0 || versions[len(versions)-1].At.Before(p.since) {
			continue
		}
		var had []utterance
		for _, id := range append([]string{r.ID}, r.Merged...) {
			more, err := p.Heard.changes(p.Account, kind, id, "propertyChange", property, p.since.Add(-sameChange))
			if err != nil {
				return nil, err
			}
			had = append(had, more...)
		}
		versions = slices.DeleteFunc(versions, func(v hubspotcrm.Version) bool { return !p.within(v.At) })
		missing := unheard(versions, had)
		p.Told[kindOf(kind, "propertyChange")] += len(versions) - len(missing)
		for _, v := range missing {
			of, err := p.owner(kind, r, v.At)
			if err != nil {
				return nil, err
			}
			out = append(out, tellingOf(kind, of, property, v))
		}
	}
	return out, nil
}

// owner is the id that a record had when a property of it changed, as far as that can be told of
// one that swallowed others: whoever was made at that very time, else the record itself where it
// was there by then.
func (p *passing) owner(kind string, r hubspotcrm.Record, at time.Time) (string, error) {
	if len(r.Merged) == 0 {
		return r.ID, nil
	}
	var before []string
	for _, id := range append([]string{r.ID}, r.Merged...) {
		made, err := p.Heard.changes(p.Account, kind, id, "creation", "", time.Time{})
		if err != nil {
			return "", err
		}
		for _, u := range made {
			switch apart := time.Duration(at.UnixMilli()-u.at) * time.Millisecond; {
			case max(apart, -apart) <= sameChange:
				return id, nil
			case apart > 0:
				before = append(before, id)
			}
		}
	}
	if len(before) > 0 {
		return before[0], nil
	}
	return r.ID, nil
}

func tellingOf(kind, id, property string, v hubspotcrm.Version) telling {
	return telling{At: v.At.UnixMilli(), Kind: kindOf(kind, "propertyChange"), ObjectID: number(id), Property: property, Value: &v.Value, Source: v.Source, SourceID: v.SourceID}
}

// taken lists the values that a property took, as webhooks tell them: a time in milliseconds,
// and a value written over itself not at all.
func taken(r hubspotcrm.Record, property string) []hubspotcrm.Version {
	versions := slices.Clone(r.History[property])
	slices.SortStableFunc(versions, func(a, b hubspotcrm.Version) int { return a.At.Compare(b.At) })
	var out []hubspotcrm.Version
	for i, v := range versions {
		if i == 0 && v.Value == "" || i > 0 && v.Value == versions[i-1].Value && len(r.Merged) == 0 {
			continue
		}
		if at, err := time.Parse(time.RFC3339, v.Value); err == nil {
			v.Value = strconv.FormatInt(at.UnixMilli(), 10)
		}
		out = append(out, v)
	}
	return out
}

// unheard gives the versions that no telling is of. Each telling is of one: first those of the
// same time, then those of a moment before or after.
func unheard(versions []hubspotcrm.Version, had []utterance) []hubspotcrm.Version {
	used := make([]bool, len(had))
	match := func(v hubspotcrm.Version, within time.Duration) bool {
		for i, u := range had {
			if apart := time.Duration(u.at-v.At.UnixMilli()) * time.Millisecond; !used[i] && max(apart, -apart) <= within && u.says(v.Value) {
				used[i] = true
				return true
			}
		}
		return false
	}
	for _, within := range []time.Duration{0, sameChange} {
		versions = slices.DeleteFunc(slices.Clone(versions), func(v hubspotcrm.Version) bool { return match(v, within) })
	}
	return versions
}

// ties are those that nobody told of, and those told of that are gone. Of a record that nobody
// ever told of they are none of ours.
func (p *passing) ties(ctx context.Context, kind string, records map[string]hubspotcrm.Record) ([]telling, error) {
	var ids []string
	for id, r := range records {
		known, err := p.Heard.known(p.Account, kind, id)
		if err != nil {
			return nil, err
		}
		if known && r.ID == id {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var out []telling
	for _, to := range associates[kind] {
		if len(ids) == 0 {
			break
		}
		asked := time.Now().UTC()
		tied, _, err := p.CRM.Associated(ctx, kind, ids, to)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			had, err := p.Heard.ties(p.Account, kind, id, to)
			if err != nil {
				return nil, err
			}
			now := maps.Clone(had) // as the others are called today
			for other, there := range had {
				survivor, err := p.Heard.current(p.Account, to, other)
				if err != nil {
					return nil, err
				}
				if there {
					now[survivor] = true
				}
			}
			for i, other := range tied[id] {
				if !now[other] {
					out = append(out, tieOf(kind, id, to, other, asked, false, i == 0 && to == "company"))
				}
				p.heard(kind, "associationChange", now[other])
			}
			for _, other := range slices.Sorted(maps.Keys(had)) {
				if !had[other] || slices.Contains(tied[id], other) || len(tied[id]) >= mostTies {
					continue
				}
				_, merged, err := p.Heard.merged(p.Account, to, other)
				if err != nil {
					return nil, err
				}
				is, _, err := p.Heard.state(p.Account, to, other)
				if err != nil {
					return nil, err
				}
				if !merged && is == isThere { // else it went with its record
					out = append(out, tieOf(kind, id, to, other, asked, true, false))
				}
			}
		}
	}
	return out, nil
}

// mostTies is how many ties of one record are surely all of them.
const mostTies = 5000

func tieOf(kind, id, to, other string, at time.Time, removed, primary bool) telling {
	return telling{At: at.UnixMilli(), Kind: kindOf(kind, "associationChange"), Tie: strings.ToUpper(kind + "_to_" + to), From: number(id), To: number(other), Removed: &removed, IsPrimary: &primary}
}

// most pages of the bin that one pass looks at, of a type.
const mostBin = 200

// deleted looks into the bin for what nobody told of, and for what was told to be deleted and
// is there.
func (p *passing) deleted(ctx context.Context) error {
	for _, kind := range syncTypes {
		var out []telling
		bin := map[string]bool{}
		whole := false
		for after, n := "", 0; n < mostBin && !whole; n++ {
			found, next, err := p.CRM.Bin(ctx, kind, after)
			if err != nil {
				return err
			}
			p.Calls++
			var lately []string
			for _, r := range found {
				bin[r.ID] = true
				if p.within(r.Archived) {
					lately = append(lately, r.ID)
				}
				is, at, err := p.Heard.state(p.Account, kind, r.ID)
				if err != nil {
					return err
				}
				switch {
				case is == isForgotten || !p.within(r.Archived):
				case is == isGone && !at.Before(r.Archived.Add(-sameChange)):
					p.heard(kind, "deletion", true)
				default:
					out = append(out, telling{At: r.Archived.UnixMilli(), Kind: kindOf(kind, "deletion"), ObjectID: number(r.ID)})
				}
			}
			if len(lately) > 0 { // what they were before they went
				if _, err := p.told(ctx, kind, lately, true); err != nil {
					return err
				}
			}
			after, whole = next, next == ""
		}
		if !whole {
			p.Notes = append(p.Notes, fmt.Sprintf("of the bin only the first %d %s were looked at", mostBin*hubspotcrm.BatchSize, plurals[kind]))
		}
		back, err := p.restored(ctx, kind, bin, whole)
		if err != nil {
			return err
		}
		if err := p.append(ctx, p.receipts(append(out, back...))); err != nil {
			return err
		}
	}
	return nil
}

var plurals = map[string]string{"contact": "contacts", "company": "companies", "deal": "deals"}

// restored finds the records held for deleted that are there, and those that are nowhere.
func (p *passing) restored(ctx context.Context, kind string, bin map[string]bool, whole bool) ([]telling, error) {
	gone, err := p.Heard.deleted(p.Account, kind, p.Began.Add(-binKept+5*24*time.Hour))
	if err != nil || len(gone) == 0 {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(gone))
	live, err := p.CRM.Live(ctx, kind, ids)
	if err != nil {
		return nil, err
	}
	var out []telling
	for _, id := range ids {
		if r, there := live[id]; there {
			at := r.Updated
			if !at.After(gone[id]) {
				at = gone[id].Add(time.Millisecond)
			}
			out = append(out, telling{At: at.UnixMilli(), Kind: kindOf(kind, "restore"), ObjectID: number(id)})
		} else if kind == "contact" && whole && !bin[id] && len(p.Gone) < 100 {
			p.Gone = append(p.Gone, id)
		}
	}
	return out, nil
}

// counted asks HubSpot how many records were made in the time looked at.
func (p *passing) counted(ctx context.Context) error {
	for _, kind := range syncTypes {
		n, err := p.CRM.Created(ctx, kind, p.From, p.To)
		if err != nil {
			return err
		}
		p.Created[kind] = n
	}
	return nil
}

// advise says in words what somebody should look into.
func (p *passing) advise() {
	for _, kind := range slices.Sorted(maps.Keys(p.Missing)) {
		if p.Missing[kind] >= 5 && p.Told[kind] == 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("no webhook told of any of %d %s: the app may have no subscription for it, or none reach us", p.Missing[kind], kind))
		}
	}
	for _, kind := range syncTypes {
		told := p.Told[kindOf(kind, "creation")] + p.Missing[kindOf(kind, "creation")]
		if n := p.Created[kind]; n > told {
			p.Notes = append(p.Notes, fmt.Sprintf("HubSpot counts %d %s made in that time and lists %d: its search lags, and the next pass looks again", n, plurals[kind], told))
		}
	}
	if len(p.Gone) > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d contacts are deleted, and not in the bin: somebody may have asked to be forgotten; see tributary identity erase", len(p.Gone)))
	}
}

// receipts makes of what was not told the receipts that the webhooks would have made, and
// counts them.
func (p *passing) receipts(missing []telling) []canonical.Receipt {
	var out []canonical.Receipt
	for _, t := range missing {
		p.Missing[t.Kind]++
		p.Pulled++
		out = append(out, p.receipt(t, canonical.PulledByReconcile))
	}
	return out
}

// receipt is the webhook that should have come.
func (s *Sync) receipt(t telling, by string) canonical.Receipt {
	t.PortalID = s.Portal
	b, _ := json.Marshal(t) // numbers and texts only
	id := []string{s.Account, t.Kind, fmt.Sprint(cmp.Or(t.ObjectID, t.Survivor, t.From)), t.Property, fmt.Sprint(t.At), fmt.Sprint(t.Merged), t.Tie, fmt.Sprint(t.To, t.Removed != nil && *t.Removed)}
	if t.Value != nil {
		id = append(id, *t.Value)
	}
	rc := canonical.Receipt{
		ID: canonical.PulledID(time.UnixMilli(t.At), id...), Source: s.Source, Way: canonical.WayHubSpot,
		ReceivedAt: time.Now().UTC().Truncate(time.Microsecond), Body: b,
	}
	rc.Pull(by)
	return rc
}

// number reads a record's id; 0 where it is none.
func number(id string) int64 {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
