package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations"
	"tributary/destinations/delivery"
	"tributary/destinations/hubspot"
	"tributary/destinations/linkedin"
	"tributary/destinations/meta"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
	"tributary/mappings"
)

// mapped compiles the default mapping with changes: pairs of a text and what takes its place.
func mapped(t testing.TB, changes ...string) *mappings.Mapping {
	t.Helper()
	f := mappings.Default()
	text := string(f.Text)
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("the default mapping holds no %q", changes[i])
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	f.Text = []byte(text)
	m, problems := mappings.Compile(f)
	if mappings.Failed(problems) {
		t.Fatal(problems)
	}
	return m
}

// trials are the three vendors as they are configured without a network.
func trials(t testing.TB) (out []*delivery.Trial) {
	t.Helper()
	for _, v := range []struct {
		kind     destinations.Kind
		settings string
	}{
		{hubspot.Kind(), `{}`}, {linkedin.Kind(), `{rules: {lead: 101, mql: 102, sql: 103, opportunity: 104, proposal: 105, closed_won: 106, expansion: 107}}`},
		{meta.Kind(), `{dataset_id: "111222333"}`},
	} {
		var section yaml.Node
		if err := yaml.Unmarshal([]byte(v.settings), &section); err != nil {
			t.Fatal(err)
		}
		dest, problems := v.kind.New(section.Content[0])
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		out = append(out, (&delivery.Lane{Name: v.kind.Name, Destination: dest, Mode: delivery.Live}).Trial())
	}
	return out
}

// A diffing is a resolve over a log, and what compares mappings over it.
type diffing struct {
	log     *memlog.Log
	mapping *mappings.Mapping
	view    *identity.View
	diff    *MapDiff
	stop    func()
	n       int
}

func newDiffing(t *testing.T) *diffing {
	t.Helper()
	view, err := identity.Open(memstore.New())
	if err != nil {
		t.Fatal(err)
	}
	db := newDB(t)
	index, err := OpenIndex(db, "index\x00")
	if err != nil {
		t.Fatal(err)
	}
	d := &diffing{log: newLog(t), mapping: mapped(t), view: view}
	settings := func(string) wire.Settings { return wire.Settings{Currency: "EUR"} }
	resolve := &Resolve{Log: d.log, Topics: topics, Prefix: "t.", Mapping: func() *mappings.Mapping { return d.mapping }, Settings: settings, View: view}
	d.diff = &MapDiff{
		Recorded: Recorded{Log: d.log, Topics: topics, Index: index},
		Judge: Judge{Settings: settings, People: view, Trials: trials(t), Routes: func(m *mappings.Mapping, name string, e *canonical.Event) (canonical.Route, bool) {
			return m.RouteOf(name, name, e)
		}},
	}
	end := run(t, resolve.Run, func(ctx context.Context) error { return FollowIdentity(ctx, d.log, topics.Identity, view) },
		func(ctx context.Context) error { return FollowIndex(ctx, d.log, topics.Inbound, index) },
		func(ctx context.Context) error { return FollowIndex(ctx, d.log, topics.Events, index) })
	d.stop = func() { end(); db.Close() }
	return d
}

func (d *diffing) crm(t *testing.T, body string, args ...any) {
	t.Helper()
	d.n++
	post(t, d.log, canonical.Receipt{ID: canonical.ReceiptID(fmt.Sprintf("r%06d", d.n)), Source: "crm", Way: canonical.WayCRM, ReceivedAt: time.Now().UTC(), Body: []byte(fmt.Sprintf(body, args...))})
	time.Sleep(time.Millisecond)
}

func (d *diffing) run(t *testing.T, since time.Time, old, now *mappings.Mapping) MapDiffResult {
	t.Helper()
	result, err := d.diff.Run(t.Context(), MapDiffAsk{Old: old, New: now, Since: since, Samples: 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

var diffStages = []string{"subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "evangelist", "nobodys_stage", ""}

// random posts traffic of a few people: stages forwards and backwards, deals, touches, merges,
// copies, and what cannot be used.
func (d *diffing) random(t *testing.T, r *rand.Rand, n int) {
	t.Helper()
	var last string
	for range n {
		at := canonical.FormatTime(time.Now().UTC().Add(-time.Duration(r.IntN(300)) * time.Hour).Truncate(time.Second))
		who := r.IntN(8)
		person := fmt.Sprintf(`"id":"%d","email":"p%d@firm%d.example"`, 100+who, who, who%3)
		body := ""
		switch r.IntN(10) {
		case 0, 1, 2, 3:
			body = fmt.Sprintf(`{"event":"lifecycle_changed","changed_at":%q,"contact":{%s,"lifecycle_stage":%q}}`, at, person, diffStages[r.IntN(len(diffStages))])
		case 4, 5:
			stage := []string{"contractsent", "closedwon", "appointmentscheduled"}[r.IntN(3)]
			body = fmt.Sprintf(`{"event":"deal.stage_changed","occurred_at":%q,"deal":{"id":"%d","stage":%q,"pipeline":"p%d","value":%d,"currency":"EUR"},"contact":{%s}}`,
				at, 900+r.IntN(6), stage, r.IntN(2), 100*(1+r.IntN(50)), person)
		case 6:
			body = fmt.Sprintf(`{"event":"page_view","occurred_at":%q,"contact":{%s},"url":"https://www.example.com/?fbclid=click%d"}`, at, person, r.IntN(20))
		case 7:
			body = fmt.Sprintf(`{"event":"contact.merged","occurred_at":%q,"contact":{"id":"%d","merged_ids":["%d"]}}`, at, 100+who, 100+r.IntN(8))
		case 8:
			body = last // the same again, under another receipt
		case 9:
			body = `{"event":"lifecycle_changed","occurred_at":"{{ date_now }}","contact":{"id":"1"}}`
		}
		if body == "" {
			continue
		}
		last = body
		d.crm(t, "%s", body)
		if r.IntN(5) == 0 {
			time.Sleep(time.Duration(r.IntN(4)) * time.Minute)
			settle()
		}
	}
	settle()
}

// A mapping against itself changes nothing, whatever came and whoever was merged when, also
// where the log was recorded under another mapping and only the end of it is looked at.
func TestDiffOfAMappingWithItselfIsEmpty(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(90 * 24 * time.Hour)
			d := newDiffing(t)
			defer func() { d.stop() }()
			r := rand.New(rand.NewPCG(seed, 5))
			began := time.Now()
			d.random(t, r, 60)
			middle := time.Now()
			d.mapping = mapped(t, "lead: lead_captured", "lead: qualified_lead")
			d.random(t, r, 60)
			for _, since := range []time.Time{began, middle} {
				for _, m := range []*mappings.Mapping{mapped(t), d.mapping} {
					again := *m
					result := d.run(t, since, m, &again)
					if !result.Empty || result.Receipts == 0 {
						t.Errorf("seed %d: %+v", seed, result)
					}
					for _, row := range result.Rows {
						if row.Same != row.Before || row.Before != row.After || fmt.Sprint(row.ValueBefore) != fmt.Sprint(row.ValueAfter) {
							t.Errorf("seed %d: %+v", seed, row)
						}
					}
				}
			}
		})
	}
}

// What is sent in a comparison is what lanes send: the first of each, to each destination.
func TestDiffSaysWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(90 * 24 * time.Hour)
		d := newDiffing(t)
		defer func() { d.stop() }()
		began := time.Now()
		stage := func(contact int, stage string) {
			d.crm(t, `{"event":"lifecycle_changed","changed_at":%q,"contact":{"id":"%d","email":"p%d@firm.example","lifecycle_stage":%q}}`,
				canonical.FormatTime(time.Now().UTC().Truncate(time.Second)), contact, contact, stage)
			time.Sleep(time.Minute)
		}
		deal := func(id, contact, value int, pipeline string) {
			d.crm(t, `{"event":"deal.stage_changed","occurred_at":%q,"deal":{"id":"%d","stage":"closedwon","pipeline":%q,"value":%d,"currency":"EUR"},"contact":{"id":"%d","email":"p%d@firm.example"}}`,
				canonical.FormatTime(time.Now().UTC().Truncate(time.Second)), id, pipeline, value, contact, contact)
			time.Sleep(time.Minute)
		}
		stage(1, "lead")
		stage(1, "marketingqualifiedlead")
		stage(1, "lead") // recycled
		stage(1, "marketingqualifiedlead")
		stage(2, "lead")
		stage(3, "custom_stage")
		deal(900, 1, 1000, "renewals")
		deal(901, 2, 2500, "sales")
		stage(2, "customer") // covered by the deal
		settle()
		row := func(result MapDiffResult, destination, event string) DiffRow {
			t.Helper()
			for _, r := range result.Rows {
				if r.Destination == destination && r.Event == event {
					return r
				}
			}
			t.Fatalf("no row %s %s in %+v", destination, event, result.Rows)
			return DiffRow{}
		}
		base := mapped(t)

		named := mapped(t, "      lead: lead_captured", "      lead: lead_captured\n      custom_stage: qualified_lead")
		result := d.run(t, began, base, named)
		r := row(result, "meta", "qualified_lead")
		if result.Empty || r.Before != 1 || r.After != 2 || r.Same != 1 || r.Newly != 1 || r.Reasons["is crm_stage_changed → sent"] != 1 || len(r.Samples) != 1 || r.Samples[0].Change != "newly_sent" {
			t.Errorf("a stage that gets a name: %+v", r)
		}
		if r := row(result, "meta", "lead_captured"); r.Changed() || r.Same != 2 {
			t.Errorf("what stays: %+v", r)
		}
		if r := row(result, "meta", "customer_won"); r.Same != 2 || r.ValueAfter["EUR"].String() != "3500" {
			t.Errorf("two deals: %+v", r)
		}

		moved := mapped(t, "    deals:\n", "    deals:\n      renewals:\n        closedwon: customer_expanded\n")
		result = d.run(t, began, base, moved)
		won, expanded := row(result, "meta", "customer_won"), row(result, "meta", "customer_expanded")
		if won.NoLonger != 1 || won.Same != 1 || won.ValueBefore["EUR"].String() != "3500" || won.ValueAfter["EUR"].String() != "2500" {
			t.Errorf("a pipeline of its own: %+v", won)
		}
		if expanded.Newly != 1 || expanded.ValueAfter["EUR"].String() != "1000" {
			t.Errorf("a pipeline of its own: %+v", expanded)
		}

		later := mapped(t, "      lead: lead_captured", "      lead: lead_captured # a word")
		if result := d.run(t, began, base, later); !result.Empty || result.Old == result.New {
			t.Errorf("a comment changes %+v", result)
		}

		// What a name stands for in reports changes no body, and is a change.
		meant := mapped(t, "  - lead_captured\n", "  - lead_captured: { meaning: opportunity }\n")
		result = d.run(t, began, base, meant)
		r = row(result, "meta", "lead_captured")
		if want := []DiffMeaning{{"lead_captured", "lead", "opportunity"}}; result.Empty || !slices.Equal(result.Meanings, want) || r.Changed() {
			t.Errorf("a meaning changes %+v", result)
		}

		// A policy for leads that go back: what is told of one, and sent again.
		told := mapped(t, "  - lead_captured\n", "  - lead_captured:\n      recycle: report\n", "  meta:\n", "  meta:\n    lead_recycled: { event: LeadRecycled, value: none }\n",
			"  hubspot:\n    ad_clicked", "  hubspot:\n    lead_recycled: {}\n    ad_clicked")
		d.diff.Show = func(body []byte, _ *canonical.Event, _ ...canonical.Route) []Field {
			return []Field{{Path: "body", Value: string(body), Exact: string(body)}}
		}
		result = d.run(t, began, base, told)
		if r := row(result, "hubspot", "lead_captured"); len(r.Samples) == 0 || !strings.Contains(fmt.Sprint(r.Samples[0].Fields), "Converted: lead_recycled") {
			t.Errorf("a step back that is told under its own name: %+v", r)
		}
		d.diff.Show = nil
		if r := row(result, "meta", "lead_captured"); r.Newly != 1 || r.Same != 2 || r.Reasons["recycled → sent"] != 1 {
			t.Errorf("a step back that is told: %+v", r)
		}
		again := mapped(t, "  - qualified_lead\n", "  - qualified_lead:\n      recycle: send\n")
		if r := row(d.run(t, began, base, again), "meta", "qualified_lead"); r.Newly != 1 || r.Same != 1 || r.Reasons["repeat → sent"] != 1 {
			t.Errorf("a stage reached again: %+v", r)
		}

		// What happened long ago and is told only now is of now: the first report has the slot.
		late := time.Now()
		for _, ago := range []int{5, 20} {
			d.crm(t, `{"event":"lifecycle_changed","changed_at":%q,"contact":{"id":"40","email":"p40@firm.example","lifecycle_stage":"lead"}}`,
				canonical.FormatTime(time.Now().UTC().AddDate(0, 0, -ago).Truncate(time.Second)))
		}
		settle()
		if r := row(d.run(t, late, base, later), "meta", "lead_captured"); r.Same != 1 {
			t.Errorf("told late: %+v", r)
		}

		// Only what came later is looked at: what was reached before is not sent again.
		middle := time.Now()
		stage(1, "marketingqualifiedlead")
		settle()
		if result := d.run(t, middle, base, later); result.Receipts != 1 || len(result.Rows) != 0 {
			t.Errorf("a stage reached before: %+v", result)
		}
	})
}

// kept is an archive that holds what the log held before it was trimmed.
type kept struct {
	receipts map[int][]eventlog.Record
	events   []eventlog.Record
	asked    atomic.Int64
}

func (k *kept) Unseal(b []byte) ([]byte, error) { return b, nil }

func (k *kept) ReceiptsSince(_ context.Context, p int, from, to int64, since time.Time, limit int, each func(int64, []byte) error) error {
	k.asked.Add(1)
	for _, r := range k.receipts[p] {
		if r.Offset < from || r.Offset >= to || limit == 0 {
			continue
		}
		limit--
		if err := each(r.Offset, r.Value); err != nil {
			return err
		}
	}
	return nil
}

func (k *kept) EventsOf(_ context.Context, ids []canonical.ReceiptID, each func([]byte) error) error {
	for _, r := range k.events {
		e, err := decode[canonical.Event](r)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if e.ReceiptID == id {
				if err := each(r.Value); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Where the log no longer reaches, the warehouse is asked, and says the same.
func TestDiffReadsOnInTheWarehouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(90 * 24 * time.Hour)
		d := newDiffing(t)
		defer func() { d.stop() }()
		began := time.Now()
		d.random(t, rand.New(rand.NewPCG(1, 1)), 200)
		other := mapped(t, "lead: lead_captured", "lead: qualified_lead")
		whole := d.run(t, began, mapped(t), other)
		archive := &kept{receipts: map[int][]eventlog.Record{}}
		for p := range 2 {
			for _, topic := range []string{topics.Inbound, topics.Events} {
				first, end, err := d.log.Bounds(t.Context(), topic)
				if err != nil {
					t.Fatal(err)
				}
				records, err := d.log.Read(t.Context(), topic, p, first[p], int(end[p]), 0)
				if err != nil {
					t.Fatal(err)
				}
				cut := len(records) * 2 / 3
				for _, r := range records[:cut] {
					switch r.Type {
					case eventlog.TypeReceipt:
						archive.receipts[p] = append(archive.receipts[p], r)
					case eventlog.TypeEvent:
						archive.events = append(archive.events, r)
					}
				}
				d.log.Trim(topic, p, int64(cut))
			}
		}
		d.diff.Archive = archive
		trimmed := d.run(t, began, mapped(t), other)
		if archive.asked.Load() == 0 || fmt.Sprintf("%+v", trimmed) != fmt.Sprintf("%+v", whole) {
			t.Errorf("from the log and the warehouse\n%+v\nfrom the log alone\n%+v", trimmed, whole)
		}
	})
}
