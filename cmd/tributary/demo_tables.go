package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"tributary/canonical"
	"tributary/destinations/simulator"
	"tributary/ingest"
	"tributary/internal/pipeline"
	"tributary/internal/warehouse"
)

// demoBooks are both balances as GET /v1/balances gives them.
type demoBooks struct {
	Receipts   []pipeline.ReceiptBalance  `json:"receipts"`
	Deliveries []pipeline.DeliveryBalance `json:"deliveries"`
	Lost       int                        `json:"lost"`
	Balanced   bool                       `json:"balanced"`
	Warehouse  struct {
		Receipts   []warehouse.ReceiptBalance  `json:"receipts"`
		Deliveries []warehouse.DeliveryBalance `json:"deliveries"`
	} `json:"warehouse"`
}

func (d *demo) books(ctx context.Context) (demoBooks, error) {
	var b demoBooks
	c := client{base: d.router, key: d.secrets["key_read"]}
	return b, c.call(ctx, http.MethodGet, "/v1/balances", nil, &b)
}

// settle asks until every receipt sent has a fate and every event a state everywhere, and
// just so many events wait for their person to become known.
func (d *demo) settle(ctx context.Context, parked int) error {
	_, err := d.until(ctx, func(b demoBooks) string { return b.unsettled(d.sent, parked) })
	return err
}

// patience is how long the demo waits for one thing; what it waits for takes a second.
const demoPatience = 90 * time.Second

// until asks for the books until wrong finds nothing to say of them.
func (d *demo) until(ctx context.Context, wrong func(demoBooks) string) (demoBooks, error) {
	for end := time.Now().Add(demoPatience); ; {
		b, err := d.books(ctx)
		if err != nil {
			return b, err
		}
		why := wrong(b)
		if why == "" {
			return b, nil
		}
		if time.Now().After(end) {
			return b, fmt.Errorf("the router did not come to rest in %s: %s (see %s)", demoPatience, why, d.path("router.log"))
		}
		select {
		case <-time.After(25 * time.Millisecond):
		case <-ctx.Done():
			return b, ctx.Err()
		}
	}
}

// totals count the receipts that callers sent, those without a fate, and the events.
func (b demoBooks) totals() (accepted, waiting, events int) {
	for _, r := range b.Receipts {
		accepted += r.Accepted - r.Completed // a completed receipt is one more, of our own making
		waiting += r.Waiting + r.Lost
		events += r.Event
	}
	return accepted, waiting, events
}

// unsettled says what is not done yet; "" when all is.
func (b demoBooks) unsettled(sent, parked int) string {
	accepted, waiting, events := b.totals()
	switch {
	case accepted != sent:
		return fmt.Sprintf("%d receipts were sent and %d are there", sent, accepted)
	case waiting > 0:
		return fmt.Sprintf("%d receipts have no fate", waiting)
	}
	waits := 0
	for _, r := range b.Deliveries {
		switch {
		case r.Events != events:
			return fmt.Sprintf("%s knows of %d of %d events", r.Destination, r.Events, events)
		case r.Pending+r.Lost > 0:
			return fmt.Sprintf("%d events are pending at %s", r.Pending+r.Lost, r.Destination)
		}
		for reason, n := range r.Parked {
			if waits += n; n > 0 && reason != canonical.ReasonAwaitingIdentity {
				return fmt.Sprintf("%d events are parked at %s: %s", n, r.Destination, reason)
			}
		}
	}
	if waits != parked {
		return fmt.Sprintf("%d events wait for their person, not %d", waits, parked)
	}
	return ""
}

// disagreement says where ClickHouse's books differ from those of the topics; "" nowhere.
func (b demoBooks) disagreement() string {
	if len(b.Receipts) != len(b.Warehouse.Receipts) || len(b.Deliveries) != len(b.Warehouse.Deliveries) {
		return "ClickHouse does not have every row yet"
	}
	for i, r := range b.Receipts {
		w := b.Warehouse.Receipts[i]
		if got, want := fmt.Sprint(w.Source, w.Accepted, w.Event, w.Observation, w.FactsOnly, w.Completed, w.Quarantined, w.Waiting, w.NotRecorded),
			fmt.Sprint(r.Source, r.Accepted, r.Event, r.Observation, r.FactsOnly, r.Completed, r.Quarantined, r.Waiting, 0); got != want {
			return fmt.Sprintf("receipts: ClickHouse says %s, the topics %s", got, want)
		}
	}
	for i, r := range b.Deliveries {
		w := b.Warehouse.Deliveries[i]
		if got, want := fmt.Sprint(w.Destination, w.Events, w.Delivered, w.Dead, w.Suppressed, w.Parked, w.Pending, w.Suppression),
			fmt.Sprint(r.Destination, r.Events, r.Delivered, r.Dead, total(r.Suppressed), total(r.Parked), r.Pending, r.Suppressed); got != want {
			return fmt.Sprintf("deliveries: ClickHouse says %s, the topics %s", got, want)
		}
	}
	return ""
}

// tables gives the demo's tables: as they are compared with docs/demo.txt, and as they
// are shown. The two differ in the receipts of a further run.
func (d *demo) tables(ctx context.Context) (compared, shown string, err error) {
	b, err := d.until(ctx, demoBooks.disagreement)
	if err != nil {
		return "", "", err
	}
	vendors, err := d.vendorTable(ctx)
	if err != nil {
		return "", "", err
	}
	timeline, err := d.timelineTable(ctx)
	if err != nil {
		return "", "", err
	}
	rest, err := d.analystTables(ctx)
	if err != nil {
		return "", "", err
	}
	with := func(receipts string) string {
		return strings.Join(append([]string{vendors, timeline, receipts, deliveryTable(b)}, rest...), "\n")
	}
	return with(receiptTable(b.normalised(d.past.Runs), 1)), with(receiptTable(b, d.past.Runs)), nil
}

// normalised gives the receipts of n runs as those of one: a further run repeats all and
// makes no further event. What does not divide stays as it is, and so shows.
func (b demoBooks) normalised(n int) demoBooks {
	part := func(v int) int {
		if v%n != 0 {
			return v
		}
		return v / n
	}
	rows := slices.Clone(b.Receipts)
	for i, r := range rows {
		rows[i].Accepted, rows[i].FactsOnly, rows[i].Completed = part(r.Accepted), part(r.FactsOnly), part(r.Completed)
		rows[i].Observation = part(r.Observation - (n-1)*r.Event)
	}
	b.Receipts = rows
	return b
}

// A sheet is a table of text with a title.
type sheet struct {
	title string
	head  []string
	rows  [][]string
}

func (s *sheet) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	s.rows = append(s.rows, row)
}

func (s sheet) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, s.title)
	fmt.Fprintln(&b)
	t := tabwriter.NewWriter(&b, 2, 4, 3, ' ', 0)
	for _, row := range append([][]string{s.head}, s.rows...) {
		fmt.Fprintln(t, "  "+strings.Join(row, "\t"))
	}
	t.Flush()
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// vendorTable counts what each vendor's own memory holds.
func (d *demo) vendorTable(ctx context.Context) (string, error) {
	s := sheet{title: "What each vendor received, by its own memory, and for how many it knew the person",
		head: []string{"vendor", "event or rule", "received", "matched", "value"}}
	for _, v := range []simulator.Vendor{simulator.Meta, simulator.LinkedIn, simulator.HubSpot} {
		items, err := d.received(ctx, v)
		if err != nil {
			return "", err
		}
		var order []string
		counts := map[string][2]int{}
		values := map[string]canonical.Money{}
		currencies := map[string]string{}
		written := map[string]bool{}
		for _, r := range items {
			if r.Kind == "contact" { // rows of one contact merge as they meet: what counts is which contacts were written
				if row := r.EventName + r.Object; written[row] {
					continue
				} else {
					written[row] = true
				}
			}
			if _, met := counts[r.EventName]; !met {
				order = append(order, r.EventName)
			}
			n := counts[r.EventName]
			n[0]++
			if r.Matched {
				n[1]++
			}
			counts[r.EventName] = n
			if r.Value != "" {
				m, err := canonical.ParseMoney(r.Value)
				if err != nil {
					return "", fmt.Errorf("%s was sent the value %q: %w", v, r.Value, err)
				}
				values[r.EventName] += m
				currencies[r.EventName] = r.Currency
			}
		}
		slices.SortFunc(order, func(a, b string) int { return cmp.Or(cmp.Compare(placeOf(a), placeOf(b)), cmp.Compare(a, b)) })
		for _, name := range order {
			value := "-"
			if currencies[name] != "" {
				value = values[name].Fixed() + " " + currencies[name]
			}
			s.add(vendorNames[v], name, counts[name][0], counts[name][1], value)
		}
	}
	return s.String(), nil
}

var vendorNames = map[simulator.Vendor]string{simulator.Meta: "Meta", simulator.LinkedIn: "LinkedIn", simulator.HubSpot: "HubSpot"}

// placeOf orders what vendors call things by the funnel.
func placeOf(name string) int {
	funnel := [][]string{{"Lead", "lead"}, {"QualifiedLead", "mql"}, {"SalesQualifiedLead", "sql"}, {"Opportunity", "opportunity"}, {"ProposalSent", "proposal"}, {"Purchase", "closed_won"}}
	i := slices.IndexFunc(funnel, func(names []string) bool { return slices.Contains(names, name) })
	if i < 0 {
		return len(funnel)
	}
	return i
}

func (d *demo) received(ctx context.Context, v simulator.Vendor) ([]simulator.Received, error) {
	var items []simulator.Received
	c := client{base: d.vendor}
	return items, c.call(ctx, http.MethodGet, "/_received?vendor="+url.QueryEscape(string(v)), nil, &items)
}

// timelineTable is what a salesperson sees on the merged contact.
func (d *demo) timelineTable(ctx context.Context) (string, error) {
	var entries []simulator.Entry
	c := client{base: d.vendor}
	if err := c.call(ctx, http.MethodGet, fmt.Sprintf("/_timeline?contact=%d&kind=note", benMerged), nil, &entries); err != nil {
		return "", err
	}
	s := sheet{title: fmt.Sprintf("The timeline of Ben Okafor in HubSpot (contact %d), at the times things happened", benMerged), head: []string{"when", "entry"}}
	for _, e := range entries {
		s.add(d.day(e.At), e.Sentence)
	}
	return s.String(), nil
}

func receiptTable(b demoBooks, runs int) string {
	s := sheet{title: "What was received, and what became of it (a webhook is completed by what is then read from HubSpot)",
		head: []string{"source", "accepted", "event", "again", "facts only", "completed", "quarantined", "waiting", "lost"}}
	if runs > 1 {
		s.title = fmt.Sprintf("What was received in %d runs, and what became of it", runs)
	}
	for _, r := range b.Receipts {
		s.add(r.Source, r.Accepted, r.Event, r.Observation, r.FactsOnly, r.Completed, r.Quarantined, r.Waiting, r.Lost)
	}
	return s.String()
}

func deliveryTable(b demoBooks) string {
	s := sheet{title: "What became of every event at every destination", head: []string{"destination", "events", "delivered", "not sent", "parked", "dead", "pending", "lost", "not sent because"}}
	for _, r := range b.Deliveries {
		var why []string
		for _, reason := range sortedKeys(r.Suppressed) {
			why = append(why, fmt.Sprintf("%s %d", reason, r.Suppressed[reason]))
		}
		s.add(r.Destination, r.Events, r.Delivered, total(r.Suppressed), total(r.Parked), r.Dead, r.Pending, r.Lost, strings.Join(why, ", "))
	}
	return s.String() + fmt.Sprintf("\n  balanced: %t   lost: %d   ClickHouse has the same numbers: %t\n", b.Balanced, b.Lost, b.disagreement() == "")
}

const revenueSQL = `SELECT scope, model, campaign, platform, conversions, revenue, currency
FROM v_revenue_by_campaign
WHERE name = 'customer_won'
ORDER BY scope DESC, model, campaign`

// analystTables are asked of ClickHouse, as an analyst would.
func (d *demo) analystTables(ctx context.Context) ([]string, error) {
	var won ingest.EventView
	c := client{base: d.router, key: d.secrets["key_read"]}
	if err := c.call(ctx, http.MethodGet, "/v1/events/"+escaped(d.wonID())+"?name=customer_won", nil, &won); err != nil {
		return nil, err
	}
	person, err := d.personTable(ctx, won.Person, won.Account)
	if err != nil {
		return nil, err
	}
	history, err := d.historyTable(ctx, won.Person)
	if err != nil {
		return nil, err
	}
	rows, err := d.sql(ctx, revenueSQL)
	if err != nil {
		return nil, err
	}
	revenue := sheet{title: "Revenue by campaign: who won it for the person on the deal, and for the whole account", head: rows.head, rows: rows.rows}
	return []string{person, history, revenue.String() + "\n  by this SQL:\n\n    " + strings.ReplaceAll(revenueSQL, "\n", "\n    ") + "\n"}, nil
}

// sql asks the router's own SQL route.
func (d *demo) sql(ctx context.Context, statement string) (sheet, error) {
	var result warehouse.Result
	var s sheet
	c := client{base: d.router, key: d.secrets["key_read"]}
	if err := c.call(ctx, http.MethodPost, "/v1/sql", map[string]any{"sql": statement}, &result); err != nil {
		return s, fmt.Errorf("%w, asked: %s", err, statement)
	}
	for _, col := range result.Columns {
		s.head = append(s.head, col.Name)
	}
	for _, row := range result.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = cell(v)
		}
		s.rows = append(s.rows, cells)
	}
	return s, nil
}

func (d *demo) personTable(ctx context.Context, person, account string) (string, error) {
	nodes, err := d.sql(ctx, `SELECT scheme, value FROM v_nodes WHERE root = '`+person+`' AND belongs_to = 'person'`)
	if err != nil {
		return "", err
	}
	slices.SortFunc(nodes.rows, func(a, b []string) int {
		return cmp.Or(cmp.Compare(canonical.Scheme(a[0]).Strength(), canonical.Scheme(b[0]).Strength()), slices.Compare(a, b))
	})
	s := sheet{title: "Who Ben is: identifiers that are one person, and the account (values masked)", head: []string{"identifier", "value"}}
	for _, row := range nodes.rows {
		s.add(row[0], masked(row[0], row[1]))
	}
	accounts, err := d.sql(ctx, `SELECT arrayStringConcat(hubspot_companies, ', '), arrayStringConcat(domains, ', '), persons FROM v_accounts WHERE account = '`+account+`'`)
	if err != nil {
		return "", err
	}
	for _, row := range accounts.rows {
		s.add("account", fmt.Sprintf("HubSpot company %s, %s, %s people", row[0], row[1], row[2]))
	}
	return s.String(), nil
}

// masked shows enough of a value to tell it from another.
func masked(scheme, value string) string {
	switch canonical.Scheme(scheme) {
	case canonical.HubSpotContact:
		return value
	case canonical.Email:
		return "SHA-256 " + value[:min(8, len(value))] + "…"
	}
	return value[:min(6, len(value))] + "…"
}

func (d *demo) historyTable(ctx context.Context, person string) (string, error) {
	rows, err := d.sql(ctx, `SELECT toUnixTimestamp64Milli(occurred_at) AS ms, track, object_type, object_id, raw_stage, name, kind, if(time_basis = 'reported', 'when reported', 'when it changed')
FROM v_stage_history WHERE person = '`+person+`' ORDER BY toStartOfMinute(occurred_at), track, raw_stage, ms`)
	if err != nil {
		return "", err
	}
	s := sheet{title: "Ben's stages, on his contact and on his deal: only a first one counts", head: []string{"when", "record", "HubSpot's stage", "event", "meant", "time"}}
	for _, r := range rows.rows {
		ms, err := strconv.ParseInt(r[0], 10, 64)
		if err != nil {
			return "", err
		}
		s.add(d.day(time.UnixMilli(ms)), r[2]+" "+r[3], r[4], r[5], r[6], r[7])
	}
	return s.String(), nil
}

// check holds the story's outcome against what it must be, apart from the tables.
func (d *demo) check(ctx context.Context) error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for vendor, name := range map[simulator.Vendor]string{simulator.Meta: "Purchase", simulator.LinkedIn: "closed_won"} {
		items, err := d.received(ctx, vendor)
		if err != nil {
			return err
		}
		n := 0
		for _, r := range items {
			if r.EventName == name {
				n++
			}
			if r.Duplicate || len(r.Warnings) > 0 {
				say("%s has a duplicate or a warning of %s: %v", vendor, r.EventName, r.Warnings)
			}
		}
		if n != 1 {
			say("%s received %d %s, not one", vendor, n, name)
		}
	}
	b, err := d.books(ctx)
	if err != nil {
		return err
	}
	if !b.Balanced || b.Lost != 0 || b.disagreement() != "" {
		say("the books do not balance: lost %d, ClickHouse: %q", b.Lost, b.disagreement())
	}
	for _, q := range []struct{ what, sql, want string }{
		{"revenue won", `SELECT toString(toFloat64(sum(revenue_micros)) / 1000000), count() FROM v_conversions WHERE name = 'customer_won'`, "36000 1"},
		{"first touch of the account", `SELECT campaign, platform, sum(conversions) FROM v_revenue_by_campaign WHERE name = 'customer_won' AND scope = 'account' AND model = 'first_touch' GROUP BY campaign, platform`, "spring_abm linkedin 1"},
		{"credit of the LinkedIn ad at the person", `SELECT count() FROM v_revenue_by_campaign WHERE name = 'customer_won' AND scope = 'person' AND campaign = 'spring_abm'`, "0"},
	} {
		rows, err := d.sql(ctx, q.sql)
		if err != nil {
			return err
		}
		var got []string
		for _, row := range rows.rows {
			got = append(got, strings.Join(row, " "))
		}
		if strings.Join(got, "; ") != q.want {
			say("%s: %v, not %s", q.what, got, q.want)
		}
	}
	return errors.Join(errs...)
}
