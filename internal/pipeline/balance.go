package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations/delivery"
	"tributary/internal/eventlog"
)

// Books count from the topics what was accepted and what became of it: both balances of
// the design. They are an operator's question, not a hot path: the whole log is read.
type Books struct {
	Log     eventlog.Log
	Topics  eventlog.Topics
	Prefix  string
	Account func(canonical.Receipt) string // the connected account a bare receipt is completed from
	Index   *Index
	// Fates asks the warehouse for the fates of receipts whose record the log and the index
	// no longer hold.
	Fates    func(ctx context.Context, ids []canonical.ReceiptID) (map[canonical.ReceiptID]canonical.Fate, error)
	Accounts []string
	Lanes    map[string]*delivery.Lane
}

// A ReceiptBalance is the balance of one source, by distinct receipt id:
// accepted = event + observation + facts only + completed + quarantined + erased + waiting + lost.
type ReceiptBalance struct {
	Source      string `json:"source"`
	Accepted    int    `json:"accepted"`
	Event       int    `json:"event"`
	Observation int    `json:"observation"`
	FactsOnly   int    `json:"facts_only"`
	Completed   int    `json:"completed"`
	Quarantined int    `json:"quarantined"`
	Erased      int    `json:"erased"`
	Waiting     int    `json:"waiting"`
	Lost        int    `json:"lost"`
}

// A DeliveryBalance is the balance of one destination: events since its activation, and
// earlier ones asked for by replay = delivered + dead + suppressed + parked + pending + lost.
type DeliveryBalance struct {
	Destination string         `json:"destination"`
	Events      int            `json:"events"`
	Delivered   int            `json:"delivered"`
	Dead        int            `json:"dead"`
	Suppressed  map[string]int `json:"suppressed"`
	Parked      map[string]int `json:"parked"`
	Pending     int            `json:"pending"`
	Lost        int            `json:"lost"`
}

// Balanced is true when everything accepted came to something known.
func (b ReceiptBalance) Balanced() bool {
	return b.Lost == 0 && b.Accepted == b.Event+b.Observation+b.FactsOnly+b.Completed+b.Quarantined+b.Erased+b.Waiting
}

// Balanced is true when every event has a state or is still to come to one.
func (b DeliveryBalance) Balanced() bool {
	sum := b.Delivered + b.Dead + b.Pending
	for _, n := range b.Suppressed {
		sum += n
	}
	for _, n := range b.Parked {
		sum += n
	}
	return b.Lost == 0 && b.Events == sum
}

// Receipts counts the first balance, over the receipts that the log still holds.
func (b *Books) Receipts(ctx context.Context) ([]ReceiptBalance, error) {
	return b.countReceipts(ctx, func(counted) {})
}

// counted is one receipt or event as it was counted.
type counted struct {
	id     canonical.ReceiptID // of a receipt
	event  canonical.EventKey  // of an event
	of     string              // its source, or the destination
	fate   canonical.Fate      // "": none yet
	worst  canonical.Delivery  // of the event's parts; zero: none yet
	isLost bool
}

// countReceipts shows every receipt it counts, once.
func (b *Books) countReceipts(ctx context.Context, show func(counted)) ([]ReceiptBalance, error) {
	// What is committed is asked before the fates are looked up: a fate may come meanwhile,
	// a commit without one may not.
	done, err := finished(ctx, b.Log, b.Topics, b.Prefix, b.Accounts, b.Account, b.Index)
	if err != nil {
		return nil, err
	}
	rows := map[string]*ReceiptBalance{}
	missing := map[canonical.ReceiptID]*ReceiptBalance{}
	seen := map[canonical.ReceiptID]bool{}
	err = b.scan(ctx, b.Topics.Inbound, func(r eventlog.Record) error {
		rc, err := decode[canonical.Receipt](r)
		if err != nil || seen[rc.ID] {
			return err
		}
		seen[rc.ID] = true
		row := rows[rc.Source]
		if row == nil {
			row = &ReceiptBalance{Source: rc.Source}
			rows[rc.Source] = row
		}
		row.Accepted++
		w, _, err := b.Index.Receipt(rc.ID)
		switch {
		case err != nil:
			return err
		case row.count(w.Fate):
			show(counted{id: rc.ID, of: rc.Source, fate: w.Fate})
		case done.waits(rc, r):
			row.Waiting++
			show(counted{id: rc.ID, of: rc.Source})
		default:
			missing[rc.ID] = row
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := b.recall(ctx, missing, show); err != nil {
		return nil, err
	}
	out := make([]ReceiptBalance, 0, len(rows))
	for _, r := range rows {
		out = append(out, *r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Source < out[j].Source })
	return out, nil
}

// count adds a receipt with a fate; false: it has none.
func (b *ReceiptBalance) count(f canonical.Fate) bool {
	switch f {
	case canonical.FateEvent:
		b.Event++
	case canonical.FateObservation:
		b.Observation++
	case canonical.FateFacts:
		b.FactsOnly++
	case canonical.FateCompleted:
		b.Completed++
	case canonical.FateQuarantined:
		b.Quarantined++
	case canonical.FateErased:
		b.Erased++
	default:
		return false
	}
	return true
}

// recall asks the warehouse for what came to nothing that is known here: it was trimmed,
// or it is lost.
func (b *Books) recall(ctx context.Context, missing map[canonical.ReceiptID]*ReceiptBalance, show func(counted)) error {
	if len(missing) == 0 {
		return nil
	}
	ids := make([]canonical.ReceiptID, 0, len(missing))
	for id := range missing {
		ids = append(ids, id)
	}
	fates, err := b.Fates(ctx, ids)
	if err != nil {
		return fmt.Errorf("look for fates in the warehouse: %w", err)
	}
	for id, row := range missing {
		known := row.count(fates[id])
		if !known {
			row.Lost++
		}
		show(counted{id: id, of: row.Source, fate: fates[id], isLost: !known})
	}
	return nil
}

// A finish is how far the stages that give fates have committed.
type finish struct {
	resolve []int64
	fetch   map[string][]int64
	account func(canonical.Receipt) string
}

// finished asks how far those stages are, and waits until the index holds every fate
// that they gave until then.
func finished(ctx context.Context, log eventlog.Log, topics eventlog.Topics, prefix string, accounts []string, account func(canonical.Receipt) string, index *Index) (finish, error) {
	f := finish{fetch: map[string][]int64{}, account: account}
	var err error
	if f.resolve, err = log.Committed(ctx, ResolveGroup(prefix), topics.Inbound); err != nil {
		return f, err
	}
	for _, account := range accounts {
		if f.fetch[account], err = log.Committed(ctx, FetchGroup(prefix, account), topics.Inbound); err != nil {
			return f, err
		}
	}
	// Whatever was committed has its fate below this end, and the index holds it then.
	_, end, err := log.Bounds(ctx, topics.Events)
	if err != nil {
		return f, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := index.Wait(ctx, topics.Events, end); err != nil {
		return f, fmt.Errorf("the index has not reached the end of %s: %w", topics.Events, err)
	}
	return f, nil
}

// patience is how long a question waits for a local view to come to the log's end.
const patience = 30 * time.Second

// waits is true when the stage that gives a receipt its fate has not come past it.
func (f finish) waits(rc canonical.Receipt, r eventlog.Record) bool {
	done := f.resolve
	if wire.Bare(rc) {
		done = f.fetch[f.account(rc)]
	}
	return r.Partition >= len(done) || r.Offset >= done[r.Partition]
}

// least is the offset of a partition below which no receipt waits.
func (f finish) least(partition int) int64 {
	var least int64
	if partition < len(f.resolve) {
		least = f.resolve[partition]
	}
	for _, done := range f.fetch {
		if partition >= len(done) {
			return 0
		}
		least = min(least, done[partition])
	}
	return max(least, 0)
}

// Deliveries counts the second balance of every configured destination.
func (b *Books) Deliveries(ctx context.Context) ([]DeliveryBalance, error) {
	return b.countDeliveries(ctx, func(counted) {})
}

// countDeliveries shows every event in a destination's books, once.
func (b *Books) countDeliveries(ctx context.Context, show func(counted)) ([]DeliveryBalance, error) {
	events := map[canonical.EventKey]canonical.Position{}
	err := b.scan(ctx, b.Topics.Events, func(r eventlog.Record) error {
		if r.Type != eventlog.TypeEvent {
			return nil
		}
		e, err := decode[canonical.Event](r)
		if _, had := events[e.Key()]; !had {
			events[e.Key()] = canonical.Position{Partition: r.Partition, Offset: r.Offset}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	replayed := map[string]map[canonical.EventKey]lastOrder{}
	err = b.scan(ctx, b.Topics.Replays, func(r eventlog.Record) error {
		if r.Type != eventlog.TypeReplay {
			return nil
		}
		o, err := decode[canonical.ReplayOrder](r)
		for _, d := range o.Destinations {
			if replayed[d] == nil {
				replayed[d] = map[canonical.EventKey]lastOrder{}
			}
			replayed[d][o.Event.Key()] = lastOrder{canonical.Position{Partition: r.Partition, Offset: r.Offset}, len(o.Parts) > 0}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []DeliveryBalance
	for name, lane := range b.Lanes {
		row, err := b.destination(ctx, name, lane, events, replayed[name], show)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Destination < out[j].Destination })
	return out, nil
}

// A lastOrder is where the last replay order for an event stands, and whether it names parts:
// the plan may no longer have those.
type lastOrder struct {
	at    canonical.Position
	parts bool
}

func (b *Books) destination(ctx context.Context, name string, lane *delivery.Lane, events map[canonical.EventKey]canonical.Position, replayed map[canonical.EventKey]lastOrder,
	show func(counted)) (DeliveryBalance, error) {
	row := DeliveryBalance{Destination: name, Suppressed: map[string]int{}, Parked: map[string]int{}}
	committed, err := b.Log.Committed(ctx, delivery.Group(b.Prefix, name), b.Topics.Events)
	if err != nil {
		return row, err
	}
	decided, err := b.Log.Committed(ctx, delivery.Group(b.Prefix, name), b.Topics.Replays)
	if err != nil {
		return row, err
	}
	// The lane may be another process: what it committed stands below this end.
	if err := b.caughtUp(ctx, lane.Ledger); err != nil {
		return row, err
	}
	activation, _, err := lane.Ledger.Activation(name)
	if err != nil {
		return row, err
	}
	begin := activation.End[b.Topics.Events]
	since := func(at canonical.Position) bool { return beganBefore(begin, at) }
	ours := func(key canonical.EventKey, at canonical.Position) bool {
		_, asked := replayed[key]
		return asked || since(at)
	}
	passed := func(key canonical.EventKey, at canonical.Position) bool { // by the lane, with all that asks for it
		o, asked := replayed[key]
		if asked && (o.parts || o.at.Partition >= len(decided) || o.at.Offset >= decided[o.at.Partition] || !beganBefore(activation.End[b.Topics.Replays], o.at)) {
			return false
		}
		return at.Offset < committed[at.Partition] || asked && !since(at)
	}
	stated := map[canonical.EventKey]bool{}
	err = lane.Each(func(key canonical.EventKey, parts []canonical.Delivery) {
		if at, there := events[key]; !there || !ours(key, at) {
			return
		}
		if w := delivery.Worst(parts); w.State != "" {
			stated[key] = true
			row.count(w)
			show(counted{event: key, of: name, worst: w})
		}
	})
	if err != nil {
		return row, err
	}
	for key, at := range events {
		switch {
		case !ours(key, at):
		case stated[key]:
			row.Events++
		case passed(key, at):
			row.Events++
			row.Lost++
			show(counted{event: key, of: name, isLost: true})
		default:
			row.Events++
			row.Pending++
			show(counted{event: key, of: name})
		}
	}
	return row, nil
}

// beganBefore is true for a place that a lane whose books begin at those ends has read from.
func beganBefore(begin []int64, at canonical.Position) bool {
	return at.Partition >= len(begin) || at.Offset >= begin[at.Partition]
}

// count adds an event by the state of its worst part.
func (b *DeliveryBalance) count(worst canonical.Delivery) {
	switch worst.State {
	case canonical.StateDelivered:
		b.Delivered++
	case canonical.StateDead:
		b.Dead++
	case canonical.StateSuppressed:
		b.Suppressed[worst.Reason]++
	case canonical.StateParked:
		b.Parked[worst.Reason]++
	case canonical.StateIntent:
		b.Pending++
	}
}

// caughtUp waits until the ledger holds everything that deliveries does now.
func (b *Books) caughtUp(ctx context.Context, ledger *delivery.Ledger) error {
	_, end, err := b.Log.Bounds(ctx, b.Topics.Deliveries)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := ledger.WaitEnd(ctx, end); err != nil {
		return fmt.Errorf("the ledger has not reached the end of %s: %w", b.Topics.Deliveries, err)
	}
	return nil
}

// scan reads a topic from its first to what is its end now; what is trimmed meanwhile is not seen.
func (b *Books) scan(ctx context.Context, topic string, visit func(eventlog.Record) error) error {
	first, end, err := b.Log.Bounds(ctx, topic)
	if err != nil {
		return err
	}
	for p := range end {
		for at := first[p]; at < end[p]; {
			records, err := b.Log.Read(ctx, topic, p, at, 5000, 5*time.Second)
			if errors.Is(err, eventlog.ErrOutOfRange) { // trimmed meanwhile
				now, _, failed := b.Log.Bounds(ctx, topic)
				if failed == nil && now[p] > at {
					at = now[p]
					continue
				}
			}
			if err != nil {
				return err
			}
			for _, r := range records {
				if r.Offset >= end[p] {
					break
				}
				if err := visit(r); err != nil {
					return err
				}
			}
			if len(records) == 0 {
				break
			}
			at = records[len(records)-1].Offset + 1
		}
	}
	return nil
}
