package warehouse

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tributary/canonical"
)

// A Person is somebody to be forgotten: what rows hold of Nodes is taken away, and where rows
// are counted Nobody stands in for them. What became known from the identity offset Before on is
// not meant.
type Person struct {
	Nodes  []canonical.NodeID
	Nobody canonical.NodeID
	Before int64
	Lifted bool // they may be somebody's again, so nodes without an offset are left
	// LiftedAt is since when, zero where they are not: receipts of later are not meant.
	LiftedAt time.Time
}

// fates is a condition on the fates that name a person.
func (p Person) fates() (where string, args []any) {
	if p.LiftedAt.IsZero() {
		return names, []any{numbers(p.Nodes)}
	}
	return names + ` AND received_at < ` + fromMillis, []any{numbers(p.Nodes), when(p.LiftedAt).UnixMilli()}
}

// A Forgetting opens and seals what is sealed, and says whether an event's own person is
// erased; of others it takes out who is.
type Forgetting struct {
	Open   func([]byte) ([]byte, error)
	Seal   func([]byte) []byte
	Forget func(*canonical.Event) bool
}

// Found counts what ClickHouse holds of a person.
type Found struct {
	Events     int `json:"events"`     // their own
	Mentioned  int `json:"mentioned"`  // others' events that name them among the contacts of a deal, or hold a cookie of theirs
	Receipts   int `json:"receipts"`   // raw bodies
	Deliveries int `json:"deliveries"` // records of their events' deliveries
	Facts      int `json:"facts"`      // statements
}

// A telling is an event that tells, or may tell, of a person.
type telling struct {
	key      string
	receipt  string
	at       canonical.Position
	own      bool
	sealed   []byte
	resealed *canonical.Event // another's event without the person, where it named them
}

// Erase takes a person out of ClickHouse: raw receipts and whole events, deliveries and dead letters
// lose what is sealed; touches, conversions and stage transitions go on under Nobody, so that
// counts and sums stand; what is said of the person in the identity tables is deleted. It may be done
// again, also after it was cut short.
func (w *Warehouse) Erase(ctx context.Context, p Person, f Forgetting) (Found, error) {
	if w.settings.Load() == nil {
		return Found{}, errNotConnected
	}
	found, err := w.erase(ctx, p, f)
	if err != nil {
		return found, fmt.Errorf("forget a person in the warehouse: %w", quietly(err))
	}
	return found, nil
}

func (w *Warehouse) erase(ctx context.Context, p Person, f Forgetting) (Found, error) {
	told, err := w.tellings(ctx, p, f)
	if err != nil {
		return Found{}, err
	}
	receipts, err := w.receiptsTelling(ctx, p, told)
	if err != nil {
		return Found{}, err
	}
	found := Found{Receipts: len(receipts)}
	var keys, others []string
	for _, t := range told {
		if t.own {
			keys = append(keys, t.key)
		} else {
			others = append(others, t.key)
		}
	}
	found.Events, found.Mentioned = len(keys), len(others)
	for chunk := range slices.Chunk(receipts, 1000) {
		if err := w.mutate(ctx, `ALTER TABLE receipts UPDATE sealed = '' WHERE sealed != '' AND receipt_id IN (?)`, chunk); err != nil {
			return found, err
		}
	}
	for chunk := range slices.Chunk(others, 1000) {
		if _, err := w.emptyDeliveries(ctx, p, chunk, f, false); err != nil {
			return found, err
		}
	}
	if err := w.reseal(ctx, told, f); err != nil { // after what is found by it
		return found, err
	}
	for chunk := range slices.Chunk(keys, 1000) {
		n, err := w.emptyDeliveries(ctx, p, chunk, f, true)
		found.Deliveries += n
		if err != nil {
			return found, err
		}
		if err := w.anonymise(ctx, p, chunk); err != nil {
			return found, err
		}
	}
	return found, w.eraseIdentity(ctx, p)
}

// Tells counts what Erase would find, and changes nothing.
func (w *Warehouse) Tells(ctx context.Context, p Person, f Forgetting) (Found, error) {
	told, err := w.tellings(ctx, p, f)
	if err != nil {
		return Found{}, fmt.Errorf("look for a person in the warehouse: %w", quietly(err))
	}
	receipts, err := w.receiptsTelling(ctx, p, told)
	if err != nil {
		return Found{}, fmt.Errorf("look for a person in the warehouse: %w", quietly(err))
	}
	found := Found{Receipts: len(receipts)}
	var keys []string
	for _, t := range told {
		if t.own {
			keys = append(keys, t.key)
		} else if t.resealed != nil {
			found.Mentioned++
		}
	}
	found.Events = len(keys)
	count := func(into *int, query string, args ...any) {
		var n uint64
		if err == nil {
			err = w.conn.QueryRow(ctx, query, args...).Scan(&n)
			*into += int(n)
		}
	}
	for chunk := range slices.Chunk(keys, 1000) {
		count(&found.Deliveries, `SELECT count() FROM deliveries WHERE `+keyOf("event_name")+` IN (?)`, chunk)
	}
	count(&found.Facts, `SELECT count() FROM identity_facts WHERE `+names+` AND fact_offset < ?`, numbers(p.Nodes), p.Before)
	if err != nil {
		return found, fmt.Errorf("look for a person in the warehouse: %w", quietly(err))
	}
	return found, nil
}

// names is a condition on lists of nodes.
const names = `hasAny(nodes, CAST(?, 'Array(UInt64)'))`

// keyOf is an event's key as one text.
func keyOf(name string) string { return `concat(toString(` + name + `), '|', event_id)` }

// object is a CRM object as an identifier's value.
const object = `if(toString(object_account) IN ('', 'hubspot'), object_id, concat(toString(object_account), ':', object_id))`

func numbers(nodes []canonical.NodeID) []uint64 {
	out := make([]uint64, len(nodes))
	for i, n := range nodes {
		out[i] = uint64(n)
	}
	return out
}

// tellings finds the events that tell of a person, or may: their own, those with an identifier of
// theirs, and those about a deal that they belong to.
func (w *Warehouse) tellings(ctx context.Context, p Person, f Forgetting) ([]telling, error) {
	nodes := numbers(p.Nodes)
	const contacts = `(SELECT value FROM identity_nodes WHERE scheme = 'hubspot_contact' AND node IN (?))`
	const deals = `(SELECT value FROM identity_nodes WHERE scheme = 'hubspot_deal' AND node IN (SELECT from_node FROM associations WHERE to_node IN (?)))`
	rows, err := w.conn.Query(ctx, `SELECT `+keyOf("name")+`, receipt_id, log_partition, log_offset, sealed,
			node IN (?) OR object_type = 'contact' AND `+object+` IN `+contacts+` AS own
		FROM events FINAL
		WHERE known_offset < ? AND (own OR `+names+` OR object_type = 'deal' AND `+object+` IN `+deals+`)`,
		nodes, nodes, p.Before, nodes, nodes)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []telling
	for rows.Next() {
		var t telling
		var sealed string
		var partition uint32
		var own uint8
		if err := rows.Scan(&t.key, &t.receipt, &partition, &t.at.Offset, &sealed, &own); err != nil {
			return nil, err
		}
		t.at.Partition, t.own, t.sealed = int(partition), own == 1, []byte(sealed)
		if err := t.look(f); err != nil {
			return nil, err
		}
		if t.own || t.resealed != nil {
			out = append(out, t)
		}
	}
	return out, rows.Err()
}

// look opens an event to see whom it tells of.
func (t *telling) look(f Forgetting) error {
	if len(t.sealed) == 0 {
		return nil
	}
	body, err := f.Open(t.sealed)
	if err != nil {
		return err
	}
	var e canonical.Event
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	whole, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if t.own = t.own || f.Forget(&e); t.own {
		return nil
	}
	left, err := json.Marshal(e)
	if err == nil && !bytes.Equal(whole, left) {
		t.resealed = &e
	}
	return err
}

// receiptsTelling finds the receipts whose bodies tell of a person, bare and completed.
func (w *Warehouse) receiptsTelling(ctx context.Context, p Person, told []telling) ([]string, error) {
	nodes := numbers(p.Nodes)
	ids, err := w.texts(ctx, `SELECT DISTINCT cause FROM identity_facts WHERE cause != '' AND `+names+` AND fact_offset < ?`, nodes, p.Before)
	if err != nil {
		return nil, err
	}
	where, args := p.fates()
	more, err := w.texts(ctx, `SELECT DISTINCT receipt_id FROM receipt_fates WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	ids = append(ids, more...)
	var keys []string
	for _, t := range told {
		ids, keys = append(ids, t.receipt), append(keys, t.key)
	}
	for chunk := range slices.Chunk(keys, 1000) { // further copies
		if more, err = w.texts(ctx, `SELECT DISTINCT receipt_id FROM receipt_fates WHERE `+keyOf("event_name")+` IN (?)`, chunk); err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	for _, id := range slices.Clone(ids) {
		bare, _ := strings.CutSuffix(id, ".c")
		ids = append(ids, bare, string(canonical.ReceiptID(bare).CompletedID()))
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var out []string
	for chunk := range slices.Chunk(ids, 1000) {
		held, err := w.texts(ctx, `SELECT DISTINCT receipt_id FROM receipts WHERE sealed != '' AND receipt_id IN (?)`, chunk)
		if err != nil {
			return nil, err
		}
		out = append(out, held...)
	}
	return out, nil
}

func (w *Warehouse) texts(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := w.conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// mutate changes or deletes rows and returns when it is done everywhere.
func (w *Warehouse) mutate(ctx context.Context, statement string, args ...any) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"mutations_sync": 2}))
	if err := w.conn.Exec(ctx, statement, args...); err != nil {
		words, _, _ := strings.Cut(statement, " WHERE ")
		return fmt.Errorf("%s: %w", words, err)
	}
	return nil
}

// reseal writes others' events again without the person, then deletes what stood before.
func (w *Warehouse) reseal(ctx context.Context, told []telling, f Forgetting) error {
	fl := filler{rows: map[string][][]any{}, nodes: map[nodeKey]nodeSeen{}, ties: map[tieKey]time.Time{}}
	var keys, old []string
	for _, t := range told {
		if t.own || t.resealed == nil {
			continue
		}
		body, err := json.Marshal(t.resealed)
		if err != nil {
			return err
		}
		fl.event(EventRow{Event: *t.resealed, Position: t.at, Sealed: f.Seal(body)})
		keys, old = append(keys, t.key), append(old, canonical.SHA256(string(t.sealed)))
	}
	if len(keys) == 0 {
		return nil
	}
	if err := w.insert(ctx, "", "events", fl.rows["events"]); err != nil {
		return err
	}
	return w.deleteOld(ctx, "events", "name", keys, old)
}

func (w *Warehouse) deleteOld(ctx context.Context, table, name string, keys, old []string) error {
	return w.mutate(ctx, `ALTER TABLE `+table+` DELETE WHERE `+keyOf(name)+` IN (?) AND lower(hex(SHA256(sealed))) IN (?)`, keys, old)
}

// emptyDeliveries leaves of what became of a person's own events at destinations that it did;
// of others' events all but the person.
func (w *Warehouse) emptyDeliveries(ctx context.Context, p Person, keys []string, f Forgetting, own bool) (int, error) {
	rows, err := w.conn.Query(ctx, `SELECT log_partition, log_offset, sealed FROM deliveries WHERE sealed != '' AND `+keyOf("event_name")+` IN (?)`, keys)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	fl := filler{rows: map[string][][]any{}}
	var old []string
	n := 0
	for rows.Next() {
		var partition uint32
		var at canonical.Position
		var sealed string
		if err := rows.Scan(&partition, &at.Offset, &sealed); err != nil {
			return n, err
		}
		at.Partition = int(partition)
		body, err := f.Open([]byte(sealed))
		if err != nil {
			return n, err
		}
		d, err := canonical.ReadDelivery(body)
		if err != nil {
			return n, err
		}
		n++
		its, changed := ForgetIn(&d, f.Forget)
		if own || its || slices.Contains(p.Nodes, d.Node) {
			changed = StripDelivery(&d, p.Nodes) || changed
		}
		if !changed {
			continue
		}
		if body, err = d.AppendJSON(nil); err != nil {
			return n, err
		}
		fl.delivery(DeliveryRow{Delivery: d, Position: at, Sealed: f.Seal(body)})
		old = append(old, canonical.SHA256(sealed))
	}
	if err := rows.Err(); err != nil {
		return n, err
	}
	if err := w.mutate(ctx, `ALTER TABLE dead_letters UPDATE sealed = '', detail = '' WHERE sealed != '' AND `+keyOf("event_name")+` IN (?)`, keys); err != nil || len(old) == 0 {
		return n, err
	}
	if err := w.insert(ctx, "", "deliveries", fl.rows["deliveries"]); err != nil {
		return n, err
	}
	return n, w.deleteOld(ctx, "deliveries", "event_name", keys, old)
}

// ForgetIn takes people out of the event and of what was known that a delivery keeps; own says
// that it is of one of them.
func ForgetIn(d *canonical.Delivery, forget func(*canonical.Event) bool) (own, changed bool) {
	if d.Content != nil {
		e := *d.Content
		if own = forget(&e); e.Less(d.Content) {
			d.Content, changed = &e, true
		}
	}
	if d.Known != nil {
		e := canonical.Event{Node: d.Known.Person, Identifiers: d.Known.Identifiers, Known: d.Known}
		if own = forget(&e) || own; e.Known != d.Known {
			d.Known, changed = e.Known, true
		}
	}
	return own, changed
}

// StripDelivery leaves of a delivery what the books need, and says whether that is less.
func StripDelivery(d *canonical.Delivery, nodes []canonical.NodeID) bool {
	slot, _, _ := strings.Cut(d.Slot, "|")
	held := slices.ContainsFunc(nodes, func(n canonical.NodeID) bool { return n.String() == slot })
	if d.Content == nil && d.Known == nil && len(d.Body) == 0 && len(d.Match) == 0 && d.Node == 0 && d.Detail == "" && !held {
		return false
	}
	d.Content, d.Known, d.Body, d.Match, d.Node, d.Detail = nil, nil, nil, nil, 0, ""
	if held {
		d.Slot = ""
	}
	return true
}

// anonymise puts nobody in the place of the person of events.
func (w *Warehouse) anonymise(ctx context.Context, p Person, keys []string) error {
	const contact = `object_id = if(object_type = 'contact', '', object_id)`
	for _, t := range []struct{ table, set string }{
		{"touches", `page = '', referrer = '', utm_term = '', utm_content = '', form = '', click_ids = arrayMap(x -> '', click_ids)`},
		{"conversions", contact},
		{"stage_transitions", `object_node = if(object_type = 'contact', 0, object_node), ` + contact},
		{"events", `nodes = CAST([], 'Array(UInt64)'), sealed = '', ` + contact}, // the last: by it the others are found
	} {
		err := w.mutate(ctx, `ALTER TABLE `+t.table+` UPDATE node = if(node = 0, 0, toUInt64(?)), `+t.set+` WHERE `+keyOf("name")+` IN (?)`, uint64(p.Nobody), keys)
		if err != nil {
			return err
		}
	}
	return nil
}

// eraseIdentity deletes what was said of a person. The accounts that they were tied to stay
// tied to nobody.
func (w *Warehouse) eraseIdentity(ctx context.Context, p Person) error {
	nodes := numbers(p.Nodes)
	fates, named := p.fates()
	steps := []struct {
		table, do, where string
		args             []any
	}{
		{"consents", "DELETE", `node IN (?) AND fact_offset < ?`, []any{nodes, p.Before}},
		{"identity_hands", "DELETE", `(device IN (?) OR holder IN (?)) AND version < ?`, []any{nodes, nodes, p.Before}},
		{"identity_overrides", "DELETE", `(node IN (?) OR root IN (?)) AND version <= ?`, []any{nodes, nodes, p.Before}},
		{"identity_log", "DELETE", `node IN (?) AND fact_offset <= ?`, []any{nodes, p.Before}},
		{"identity_log", "UPDATE root = node", `root IN (?) AND fact_offset <= ?`, []any{nodes, p.Before}}, // whom it was before that is not who it was then
		{"associations", "DELETE", `(from_node IN (?) OR to_node IN (?)) AND fact_offset < ?`, []any{nodes, nodes, p.Before}},
		{"receipt_fates", `UPDATE nodes = CAST([], 'Array(UInt64)')`, fates, named},
		{"identity_facts", "DELETE", names + ` AND fact_offset < ?`, []any{nodes, p.Before}},
		{"node_accounts", "DELETE", `node IN (?)`, []any{nodes}},
		{"identity_nodes", "DELETE", `node IN (?)`, []any{nodes}},
	}
	if p.Lifted {
		steps = steps[:len(steps)-2]
	}
	var counts []string
	var args []any
	for _, s := range steps {
		counts, args = append(counts, `SELECT count() AS n FROM `+s.table+` WHERE `+s.where), append(args, s.args...)
	}
	var left uint64
	if err := w.conn.QueryRow(ctx, `SELECT sum(n) FROM (`+strings.Join(counts, " UNION ALL ")+`)`, args...).Scan(&left); err != nil || left == 0 {
		return err
	}
	err := w.conn.Exec(w.inserting(ctx, ""), `INSERT INTO node_accounts SELECT toUInt64(?), account, max(at) FROM (
			SELECT account_node AS account, last_at AS at FROM node_accounts WHERE node IN (?)
			UNION ALL
			SELECT to_node, at FROM associations WHERE from_node IN (?) AND to_scheme IN ('hubspot_company', 'domain') AND NOT removed AND fact_offset < ?
		) GROUP BY account`, uint64(p.Nobody), nodes, nodes, p.Before)
	if err != nil {
		return fmt.Errorf("keep the accounts of nobody: %w", err)
	}
	for _, s := range steps {
		if err := w.mutate(ctx, `ALTER TABLE `+s.table+` `+s.do+` WHERE `+s.where, s.args...); err != nil {
			return err
		}
	}
	return nil
}

// quietly leaves out of ClickHouse's words what it repeats of a statement: whom that is about.
func quietly(err error) error {
	code := refusedAs.FindStringSubmatch(err.Error())
	if code == nil {
		return err
	}
	name := ""
	if all := refusedBy.FindAllString(err.Error(), -1); len(all) > 0 {
		name = " " + all[len(all)-1]
	}
	return fmt.Errorf("ClickHouse refuses a statement, code %s%s", code[1], name)
}

var (
	refusedAs = regexp.MustCompile(`code: (\d+)`)
	refusedBy = regexp.MustCompile(`\([A-Z_]{4,}\)`)
)
