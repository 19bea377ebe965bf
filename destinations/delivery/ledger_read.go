package delivery

import (
	"fmt"
	"strings"
	"time"

	"tributary/canonical"
)

// Part gives the state of one part; false: none yet.
func (l *Ledger) Part(dest string, key canonical.EventKey, part string) (canonical.Delivery, bool, error) {
	return l.get(l.db, l.key("p", dest, key.String(), part))
}

// Event gives the states of all parts of an event at a destination.
func (l *Ledger) Event(dest string, key canonical.EventKey) ([]canonical.Delivery, error) {
	var out []canonical.Delivery
	err := l.scan("p", func(_ []string, value []byte) error {
		d, err := canonical.ReadDelivery(value)
		out = append(out, d)
		return err
	}, dest, key.String())
	return out, err
}

// each visits every part's state at a destination, an event's parts side by side.
func (l *Ledger) each(dest string, visit func(canonical.Delivery)) error {
	return l.scan("p", func(_ []string, value []byte) error {
		d, err := canonical.ReadDelivery(value)
		visit(d)
		return err
	}, dest)
}

// Holder gives the event that holds a slot at a destination's part; false: it is free.
func (l *Ledger) Holder(dest, part, slot string) (canonical.EventKey, bool, error) {
	var key canonical.EventKey
	var found bool
	err := l.scan("s", func(rest []string, _ []byte) error {
		name, id, _ := strings.Cut(rest[0], "|")
		key, found = canonical.EventKey{Name: name, ID: canonical.EventID(id)}, true
		return errStop
	}, dest, part, slot)
	return key, found, err
}

// Due gives up to max parked parts whose due time has come, the earliest first, and the
// next due time after those (zero: none).
func (l *Ledger) Due(dest string, now time.Time, limit int) (due []canonical.Delivery, next time.Time, err error) {
	until := dueText(now)
	err = l.scan("d", func(rest []string, _ []byte) error {
		if rest[0] > until || len(due) >= limit {
			var ms int64
			if _, err := fmt.Sscanf(rest[0], "%d", &ms); err != nil {
				return err
			}
			next = canonical.FromMillis(ms)
			return errStop
		}
		d, had, err := l.get(l.db, l.key("p", dest, rest[1], rest[2]))
		if had {
			due = append(due, d)
		}
		return err
	}, dest)
	return due, next, err
}

// Awaiting gives the parked parts that wait for the person of a node to be known.
func (l *Ledger) Awaiting(dest string, node canonical.NodeID) ([]canonical.Delivery, error) {
	var out []canonical.Delivery
	err := l.scan("w", func(rest []string, _ []byte) error {
		d, had, err := l.get(l.db, l.key("p", dest, rest[0], rest[1]))
		if had {
			out = append(out, d)
		}
		return err
	}, dest, node.String())
	return out, err
}

// Awaits is true when anything at a destination waits for somebody to be known.
func (l *Ledger) Awaits(dest string) (any bool, err error) {
	err = l.scan("w", func([]string, []byte) error { any = true; return errStop }, dest)
	return any, err
}

// AwaitingPage gives up to max parts of a destination that wait to be known, behind a
// cursor ("" begins), and the cursor to go on behind; "" when there is no more.
func (l *Ledger) AwaitingPage(dest, after string, most int) (page []canonical.Delivery, next string, err error) {
	err = l.scanAfter("w", after, func(rest []string, _ []byte) error {
		if len(page) >= most {
			next = after
			return errStop
		}
		after = strings.Join(rest, "\x00")
		d, had, err := l.get(l.db, l.key("p", dest, rest[1], rest[2]))
		if had {
			page = append(page, d)
		}
		return err
	}, dest)
	return page, next, err
}

// Open gives the intents without an outcome: attempts that a dead owner left behind.
func (l *Ledger) Open(dest string) ([]canonical.Delivery, error) {
	var out []canonical.Delivery
	err := l.scan("i", func(rest []string, _ []byte) error {
		d, had, err := l.get(l.db, l.key("p", dest, rest[0], rest[1]))
		if had {
			out = append(out, d)
		}
		return err
	}, dest)
	return out, err
}

// Activation gives the record with which a destination's books begin.
func (l *Ledger) Activation(dest string) (canonical.Delivery, bool, error) {
	return l.get(l.db, l.key("a", dest))
}
