package delivery

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"tributary/canonical"
)

// A List is one of the ledger's lists of what waits for a person.
type List string

// The lists.
const (
	Dead List = "dead" // will never work as it is
	Held List = "held" // parked as ambiguous or on hold, without a due time
)

// discardable is true for what stands on a list: somebody may give it up.
func discardable(d canonical.Delivery) bool {
	return d.State == canonical.StateDead ||
		d.State == canonical.StateParked && (d.Reason == canonical.ReasonAmbiguous || d.Reason == canonical.ReasonHold)
}

func (l *Ledger) listKey(d canonical.Delivery, list List) []byte {
	return l.key("l", d.Destination, string(list), dueText(d.At), d.Event.String(), d.Part)
}

// Listed visits what stands on a list of a destination, the oldest first, until visit
// says that it has enough. after is the cursor of the entry to go on behind; "" begins.
func (l *Ledger) Listed(dest string, list List, after string, visit func(cursor string, d canonical.Delivery) (more bool)) error {
	from, err := base64.RawURLEncoding.DecodeString(after)
	if err != nil {
		return fmt.Errorf("%q is no cursor: %w", after, err)
	}
	return l.scanAfter("l", string(from), func(rest []string, _ []byte) error {
		if len(rest) != 3 {
			return fmt.Errorf("the ledger's list %s holds a key that is none", list)
		}
		d, had, err := l.get(l.db, l.key("p", dest, rest[1], rest[2]))
		if err != nil || !had {
			return err
		}
		if !visit(base64.RawURLEncoding.EncodeToString([]byte(strings.Join(rest, "\x00"))), d) {
			return errStop
		}
		return nil
	}, dest, string(list))
}

// Counted says how many entries a list of a destination has.
func (l *Ledger) Counted(dest string, list List) (int, error) {
	n := 0
	err := l.scan("l", func([]string, []byte) error { n++; return nil }, dest, string(list))
	return n, err
}

// dueText is a time in the order of keys.
func dueText(t time.Time) string { return fmt.Sprintf("%020d", max(t.UnixMilli(), 0)) }
