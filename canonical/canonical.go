// Package canonical says what an event is: receipts, reports, events, facts and
// deliveries as they stand in the log, identifiers and how they are normalised and
// hashed, deterministic ids, money and consent. It does no I/O, reads no clock and
// keeps no state.
//
// Every type that is written to the log carries JSON names in snake_case; times are
// RFC 3339 in UTC with a fraction only where it is not zero; money is a decimal in
// JSON and integer micro-units inside.
package canonical

import (
	"fmt"
	"strconv"
	"time"
)

// A ReceiptID names one accepted raw input. Time-ordered (a ULID); the receipt that
// completes another carries the other's id with the suffix ".c".
type ReceiptID string

// An EventID names one business fact. It is deterministic: see MintContactID and
// MintDealID; an id that the caller sent is kept as it is.
type EventID string

// An EventKey is what makes two events the same: canonical name and id.
type EventKey struct {
	Name string  `json:"name"`
	ID   EventID `json:"event_id"`
}

// String gives the key in one piece, name first; names hold no "|".
func (k EventKey) String() string { return k.Name + "|" + string(k.ID) }

// A NodeID is the stable 64-bit id of one identifier: the first eight bytes of the
// SHA-256 of (workspace, scheme, normalised value), length-delimited. Written as 16
// hex digits. Zero is no node.
type NodeID uint64

func (n NodeID) String() string {
	var text [16]byte
	for i := range text {
		text[i] = "0123456789abcdef"[n>>(60-4*i)&15]
	}
	return string(text[:])
}

// MarshalText writes 16 hex digits.
func (n NodeID) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (n *NodeID) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 16, 64)
	if err != nil {
		return fmt.Errorf("node id %q is not 16 hex digits", b)
	}
	*n = NodeID(v)
	return nil
}

// A PersonID is the root node of a person; an AccountID that of an account. They are
// what the identity graph says now, never what is stored with an event for ever.
type (
	PersonID  = NodeID
	AccountID = NodeID
)

// A Position is a place in the log.
type Position struct {
	Partition int   `json:"partition"`
	Offset    int64 `json:"offset"`
}

// FormatTime writes t as the product writes every time: RFC 3339, UTC, a fraction
// only where it is not zero.
func FormatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// FromMillis turns Unix milliseconds into a UTC time.
func FromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
