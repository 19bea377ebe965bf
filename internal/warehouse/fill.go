package warehouse

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"tributary/canonical"
)

// A filler gathers the rows of each table. Every text that does not go into a sealed
// column passes clean.
type filler struct {
	rows  map[string][][]any
	nodes map[nodeKey]nodeSeen
	ties  map[tieKey]time.Time
}

type nodeKey struct {
	scheme canonical.Scheme
	value  string
}

type nodeSeen struct {
	node  canonical.NodeID
	first time.Time
}

type tieKey struct{ node, account canonical.NodeID }

func (f *filler) add(table string, values ...any) { f.rows[table] = append(f.rows[table], values) }

// StoredKey gives an event's key as the tables hold it: an e-mail address that a caller
// put into an event id stands there as a hash. All others are stored as they are.
func StoredKey(k canonical.EventKey) canonical.EventKey {
	return canonical.EventKey{Name: clean(k.Name), ID: canonical.EventID(clean(string(k.ID)))}
}

// copyVersion makes the first of several copies win; retractions carry versions from
// 1<<63 on, above every copy.
func copyVersion(at canonical.Position) uint64 { return math.MaxInt64 - uint64(max(at.Offset, 0)) }

func (f *filler) receipt(r ReceiptRow) {
	var completes string
	if r.Receipt.Completion != nil {
		completes = string(r.Receipt.Completion.Of)
	}
	f.add("receipts", string(r.Receipt.ID), clean(r.Receipt.Source), string(r.Receipt.Way), when(r.Receipt.ReceivedAt), r.Receipt.Browser,
		completes, uint32(r.Position.Partition), r.Position.Offset, string(r.Sealed))
}

func (f *filler) fate(r FateRow) {
	f.add("receipt_fates", string(r.ReceiptID), clean(r.Source), string(r.Way), when(r.At), string(r.Fate),
		clean(r.Reason), clean(r.Detail), clean(r.Event.Name), clean(string(r.Event.ID)), clean(r.Rule), r.Mapping,
		uint32(r.Position.Partition), r.Position.Offset, numbers(r.Nodes))
}

func (f *filler) event(r EventRow) {
	e, id := r.Event, clean(string(r.Event.ID))
	name, source, version := clean(e.Name), clean(e.Source), copyVersion(r.Position)
	nodes := make([]uint64, 0, len(e.Identifiers))
	for _, i := range e.Identifiers {
		nodes = append(nodes, uint64(i.Node()))
		f.node(i, e.OccurredAt)
	}
	object, named := canonical.ObjectIdentifier(e.Object)
	if named {
		f.node(object, e.OccurredAt)
	}
	if company, ok := canonical.ObjectIdentifier(canonical.Object{Account: e.Object.Account, Type: "company", ID: e.Company.ID}); ok {
		f.node(company, e.OccurredAt)
	}
	if domain := canonical.CompanyDomain(e.Company.Domain); domain != "" {
		f.node(canonical.Identifier{Scheme: canonical.Domain, Value: domain}, e.OccurredAt)
	}
	if e.Node != 0 && e.AccountNode != 0 && e.Ignored == "" {
		k := tieKey{e.Node, e.AccountNode}
		if last, had := f.ties[k]; !had || e.OccurredAt.After(last) {
			f.ties[k] = e.OccurredAt
		}
	}
	known := int64(-1)
	if e.Known != nil {
		known = e.Known.Offset
	}
	f.add("events", id, name, when(e.OccurredAt), e.TimeBasis, whenever(e.ObservedAt),
		when(e.ReceivedAt), source, string(e.Way), clean(e.Reported), e.Object.Account,
		clean(e.Object.Type), clean(e.Object.ID), clean(e.Pipeline), clean(e.RawStage), clean(e.Stage), clean(e.Claimed),
		e.Funnel, uint16(e.Rank), e.CountedBy, e.CoveredBy, clean(e.Ignored), clean(e.IgnoredBy),
		clean(e.Rule), uint64(e.Node), uint64(e.AccountNode), nodes, known,
		consent(e.Consent), e.MappingVersion, uint8(e.IDRecipe), string(e.ReceiptID),
		uint32(r.Position.Partition), r.Position.Offset, version, uint8(0), string(r.Sealed))
	if e.Touch != nil && !e.Touch.Carried {
		f.touch(id, name, source, version, e)
	}
	if e.Funnel && e.Ignored == "" && !e.Echo {
		f.conversion(id, name, source, version, e)
	}
	if e.RawStage != "" || e.Stage != "" || e.Funnel {
		stage := e.Stage
		if stage == "" && e.Funnel {
			stage = e.Name
		}
		var objectNode canonical.NodeID
		if named {
			objectNode = object.Node()
		}
		f.add("stage_transitions", id, name, when(e.OccurredAt), e.TimeBasis, source,
			string(e.Way), clean(e.Reported), e.Object.Account, clean(e.Object.Type), clean(e.Object.ID),
			uint64(objectNode), uint64(e.Node), uint64(e.AccountNode), clean(e.Pipeline), clean(e.RawStage),
			clean(stage), e.Funnel, uint16(e.Rank), e.CountedBy, e.CoveredBy,
			clean(e.Ignored), version, uint8(0))
	}
}

func (f *filler) touch(id, name, source string, version uint64, e canonical.Event) {
	t := e.Touch
	at := t.At
	if at.IsZero() {
		at = e.OccurredAt
	}
	types, ids := make([]string, 0, len(t.Clicks)), make([]string, 0, len(t.Clicks))
	for _, c := range t.Clicks {
		types, ids = append(types, string(c.Scheme)), append(ids, clean(c.Value))
	}
	f.add("touches", id, name, when(at), uint64(e.Node), uint64(e.AccountNode),
		source, clean(e.Ignored), t.Kind, clean(t.Platform), clean(t.Source),
		clean(t.Medium), clean(t.Campaign), clean(t.Term), clean(t.Content), clean(t.CampaignID),
		clean(t.AdSet), clean(t.Ad), cleanURL(t.Page), cleanURL(t.Referrer), clean(t.Form),
		types, ids, version, uint8(0))
}

func (f *filler) conversion(id, name, source string, version uint64, e canonical.Event) {
	var worth canonical.Revenue
	if e.Revenue != nil {
		worth = *e.Revenue
	}
	f.add("conversions", id, name, when(e.OccurredAt), e.TimeBasis, source,
		string(e.Way), e.Object.Account, clean(e.Object.Type), clean(e.Object.ID), uint64(e.Node),
		uint64(e.AccountNode), uint16(e.Rank), e.CountedBy, e.CoveredBy,
		micros(worth.Amount), micros(worth.MRR), micros(worth.ARR), micros(worth.ACV), micros(worth.TCV),
		clean(worth.Currency), clean(worth.BillingPeriod), version, uint8(0), clean(e.Deal))
}

func (f *filler) fact(r FactRow) error {
	c := r.Fact
	nodes, schemes := make([]uint64, 0, len(c.Nodes)), make([]string, 0, len(c.Nodes))
	kept := make([]canonical.Identifier, 0, len(c.Nodes))
	for _, i := range c.Nodes {
		nodes, schemes = append(nodes, uint64(i.Node())), append(schemes, string(i.Scheme))
		f.node(i, c.At)
		i.Value = clean(i.Value)
		kept = append(kept, i)
	}
	var stage, raw string
	if c.Stage != nil {
		stage, raw = clean(c.Stage.Name), clean(c.Stage.Raw)
	}
	switch {
	case c.Kind == canonical.FactAssociation && len(c.Nodes) >= 2:
		f.add("associations", nodes[0], nodes[1], r.Offset, when(c.At), schemes[0],
			schemes[1], c.Primary, c.Removed, clean(c.Source), clean(c.Role))
	case c.Kind == canonical.FactAccount && len(c.Nodes) > 0:
		for _, name := range canonical.AccountFields {
			if v, said := c.Fields[name]; said {
				f.add("account_fields", nodes[0], name, r.Offset, when(c.At), clean(v), clean(c.Source))
			}
		}
	case c.Kind == canonical.FactConsent && len(c.Nodes) > 0 && consent(c.Consent) != "":
		f.add("consents", nodes[0], r.Offset, when(c.At), consent(c.Consent), clean(c.Source))
	}
	body := c
	body.Nodes = kept
	if c.Touch != nil {
		t := *c.Touch
		t.Page, t.Referrer, t.Subject = cleanURL(t.Page), cleanURL(t.Referrer), ""
		body.Touch = &t
	}
	written, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write fact %d: %w", r.Offset, err)
	}
	f.add("identity_facts", r.Offset, string(c.Kind), when(c.At), nodes,
		schemes, c.Weak, c.Primary, c.Removed,
		stage, raw, string(c.Cause), clean(c.Source), clean(string(written)))
	return nil
}

// node remembers an identifier with the earliest time this block saw it.
func (f *filler) node(i canonical.Identifier, seen time.Time) {
	if i.Value == "" {
		return
	}
	k := nodeKey{i.Scheme, clean(i.Value)}
	if had, ok := f.nodes[k]; !ok || seen.Before(had.first) {
		f.nodes[k] = nodeSeen{i.Node(), seen}
	}
}

func (f *filler) override(r OverrideRow) {
	f.add("identity_overrides", r.Account, uint64(r.Node), uint64(r.Root), r.Offset)
	f.add("identity_log", r.Account, uint64(r.Node), r.Offset, uint64(r.Root), when(r.Stated))
}

func (f *filler) delivery(r DeliveryRow) {
	d, p := r.Delivery, r.Position
	if d.State == canonical.StateActivation {
		f.add("activations", clean(d.Destination), when(d.At), ends(d.End, "events"), ends(d.End, "replays"),
			uint32(p.Partition), p.Offset)
	}
	f.add("deliveries", clean(d.Destination), clean(string(d.Event.ID)), clean(d.Event.Name), clean(d.Part), string(d.State),
		clean(d.Reason), clean(d.Detail), when(d.At), uint32(d.Attempt), d.ReplayID,
		d.Owner, d.Ambiguous, whenever(d.Due), whenever(d.GiveUpAt), whenever(d.FirstTry),
		clean(d.Slot), uint16(d.HTTPStatus), uint32(max(d.LatencyMS, 0)), clean(d.TraceID), uint32(d.BatchSize),
		micros(d.Value), clean(d.Currency), uint32(p.Partition), p.Offset, string(r.Sealed),
		d.BodyHash, cleanMap(d.Match), clean(d.Who))
	if d.State == canonical.StateControl {
		f.add("destination_controls", clean(d.Destination), when(d.At), clean(d.Reason), clean(d.Detail), clean(d.Who), uint32(p.Partition), p.Offset)
	}
	if d.State == canonical.StateDead {
		f.add("dead_letters", clean(d.Destination), clean(string(d.Event.ID)), clean(d.Event.Name), clean(d.Part), when(d.At),
			clean(d.Reason), clean(d.Detail), uint32(d.Attempt), uint16(d.HTTPStatus), clean(d.TraceID),
			uint32(p.Partition), p.Offset, string(r.Sealed))
	}
}

func cleanMap(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[clean(k)] = clean(v)
	}
	return out
}

func (f *filler) replay(r ReplayRow) {
	k := StoredKey(r.Event.Key())
	destinations := make([]string, 0, len(r.Destinations))
	for _, d := range r.Destinations {
		destinations = append(destinations, clean(d))
	}
	f.add("replays", r.ID, string(k.ID), k.Name, destinations,
		r.Force, clean(r.Reason), clean(r.Who), when(r.At), uint32(r.Position.Partition), r.Position.Offset)
}

// job keeps the counts as JSON; neither ids nor samples.
func (f *filler) job(r JobRow) error {
	ids := len(r.Selection.IDs)
	filter := r.Selection
	filter.IDs = nil
	var texts [4]string
	for i, v := range []any{filter, r.Foreseen, r.Asked, r.Outcome} {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("write replay %s: %w", r.ID, err)
		}
		texts[i] = clean(string(b))
	}
	destinations := make([]string, 0, len(r.Destinations))
	for _, d := range r.Destinations {
		destinations = append(destinations, clean(d))
	}
	f.add("replay_jobs", r.ID, r.Seq, string(r.State), r.Kind, destinations,
		r.Force, clean(r.Reason), clean(r.Who), when(r.At), when(r.Changed), clean(r.By),
		texts[0], uint32(ids), uint64(max(r.Events, 0)), uint64(max(r.Missing, 0)), uint64(max(r.Orders, 0)),
		texts[1], texts[2], texts[3], clean(r.Note), uint32(r.Position.Partition), r.Position.Offset)
	return nil
}

// mapping keeps a mapping's files with the cleaning of every unsealed column: a condition
// may name somebody's address.
func (f *filler) mapping(r MappingRow) error {
	files, err := r.Files()
	if err != nil {
		return err
	}
	names, texts := make([]string, len(files)), make([]string, len(files))
	for i, file := range files {
		names[i], texts[i] = clean(file.Name), clean(file.Text)
	}
	words := slices.Sorted(maps.Keys(r.Meanings))
	meanings := make([]string, len(words))
	for i, word := range words {
		words[i], meanings[i] = clean(word), clean(r.Meanings[word])
	}
	f.add("mapping_versions", r.Version, when(r.At), clean(r.Process), clean(r.By), r.Before,
		names, texts, uint32(r.Position.Partition), r.Position.Offset, string(r.Sealed), words, meanings)
	return nil
}

// gathered adds the rows that stand for many of the block's.
func (f *filler) gathered() {
	for k, seen := range f.nodes {
		f.add("identity_nodes", string(k.scheme), k.value, uint64(seen.node), when(seen.first))
	}
	for k, last := range f.ties {
		f.add("node_accounts", uint64(k.node), uint64(k.account), when(last))
	}
}

// The first and last instant a DateTime64(3) column is trusted with.
var (
	earliest = time.Unix(0, 0).UTC()
	latest   = time.Date(2199, 12, 31, 0, 0, 0, 0, time.UTC)
)

// when keeps milliseconds; what no clock can have said becomes the nearest that can.
func when(t time.Time) time.Time {
	switch t = t.UTC().Truncate(time.Millisecond); {
	case t.Before(earliest):
		return earliest
	case t.After(latest):
		return latest
	}
	return t
}

func whenever(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	at := when(*t)
	return &at
}

func micros(m *canonical.Money) *int64 {
	if m == nil {
		return nil
	}
	v := int64(*m)
	return &v
}

func consent(c *canonical.Consent) string {
	switch {
	case c == nil:
		return ""
	case c.DeniesAds():
		return "denied"
	case c.AllowsAds():
		return "given"
	}
	return "" // of limits alone
}

// ends finds the end offsets of a topic whatever the prefix of its name.
func ends(all map[string][]int64, topic string) []int64 {
	for name, end := range all {
		if strings.HasSuffix(name, topic) {
			return end
		}
	}
	return []int64{}
}
