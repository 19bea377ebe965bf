package pipeline

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/internal/warehouse"
)

// An Eraser takes people out of the warehouse. It may be asked again.
type Eraser interface {
	Erase(ctx context.Context, p warehouse.Person, f warehouse.Forgetting) (warehouse.Found, error)
}

// What is written after this process has folded an erasure is written without the person; what was
// written before is taken out once it is folded. Every process does both for itself, so that
// no row of one that is behind outlives it.

var erasedThrough = []byte("erased\x00through")

// forget takes out of the warehouse who was erased since it was last done, and tries until
// it is.
func (s *Record) forget(ctx context.Context) error {
	if s.Eraser == nil || s.View.ErasedUpTo() < 0 {
		return nil
	}
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 15*time.Second) {
		err := s.forgetOnce(ctx)
		if err == nil {
			s.Health.Set("erasure", nil)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.Health.Set("erasure", fmt.Errorf("the warehouse still holds somebody who was erased: %w; what is to be recorded waits in the log, and it is tried again by itself", err))
		s.Logger.Warn("a person is not erased in the warehouse yet; it is tried again", "error", err.Error(), "wait", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Record) forgetOnce(ctx context.Context) error {
	done, err := s.erasedThrough()
	if err != nil {
		return err
	}
	to := s.View.ErasedUpTo() // read before what it covers
	if to <= done {
		return nil
	}
	if s.Reading != nil { // also of destinations that are paused or halted, whose lanes do nothing
		for _, l := range s.Reading.Lanes {
			attempt, cancel := context.WithTimeout(ctx, time.Minute)
			_, err := l.Forget(attempt, false, nil)
			cancel()
			if err != nil {
				return err
			}
		}
	}
	for _, p := range s.View.ErasedAfter(done) {
		attempt, cancel := context.WithTimeout(ctx, 5*writeWait)
		found, err := s.Eraser.Erase(attempt, warehouse.Person{Nodes: p.Nodes, Nobody: p.Nobody, Before: p.Offset, Lifted: p.Lifted, LiftedAt: p.LiftedAt}, s.Forgetting())
		cancel()
		if err != nil {
			return err
		}
		s.Logger.Info("erased in the warehouse", "offset", p.Offset, "events", found.Events, "mentioned", found.Mentioned, "receipts", found.Receipts, "deliveries", found.Deliveries)
	}
	if err := s.DB.Set(erasedThrough, binary.BigEndian.AppendUint64(nil, uint64(to)), pebble.Sync); err != nil {
		return fmt.Errorf("write local state: %w", err)
	}
	return nil
}

// erasedThrough is the offset of the newest erasure that the warehouse has followed, -1 for
// none.
func (s *Record) erasedThrough() (int64, error) {
	b, closer, err := s.DB.Get(erasedThrough)
	if errors.Is(err, pebble.ErrNotFound) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("read local state: %w", err)
	}
	defer closer.Close()
	return int64(binary.BigEndian.Uint64(b)), nil
}

// ErasedThrough says whether the warehouse has followed every erasure up to an offset.
func (s *Record) ErasedThrough(offset int64) bool {
	done, err := s.erasedThrough()
	return err == nil && done >= offset
}

// Forgetting is how the warehouse sees whom its sealed rows tell of.
func (s *Record) Forgetting() warehouse.Forgetting {
	return warehouse.Forgetting{Open: s.Open, Seal: s.Seal, Forget: s.View.Forget}
}

// receiptRow is the row of a receipt; its body is kept unless it tells of somebody erased.
func (s *Record) receiptRow(rc canonical.Receipt, at canonical.Position, value []byte) warehouse.ReceiptRow {
	row := warehouse.ReceiptRow{Receipt: rc, Position: at}
	if s.Reading == nil || !s.Reading.Forgotten(rc) {
		row.Sealed = s.Seal(value)
	}
	return row
}

// eventRow is the row of an event: of somebody who is erased what can be counted, under nobody.
func (s *Record) eventRow(e canonical.Event, at canonical.Position, value []byte) warehouse.EventRow {
	if s.View.ErasedUpTo() < 0 {
		return warehouse.EventRow{Event: e, Position: at, Sealed: s.Seal(value)}
	}
	was := e
	if !s.View.Forget(&e) {
		if e.Less(&was) {
			if b, err := json.Marshal(e); err == nil {
				value = b
			}
		}
		return warehouse.EventRow{Event: e, Position: at, Sealed: s.Seal(value)}
	}
	if e.Node != 0 {
		e.Node = s.nobodyOf(e)
	}
	e.Identifiers, e.Contacts, e.Properties = nil, nil, nil
	e.Contact, e.Browser = canonical.Contact{}, canonical.BrowserContext{}
	if e.Object.Type == "contact" {
		e.Object.ID = ""
	}
	if e.Touch != nil {
		t := *e.Touch
		t.Page, t.Referrer, t.Term, t.Content, t.Form, t.Subject = "", "", "", "", "", ""
		t.Clicks = nil
		for _, c := range e.Touch.Clicks {
			t.Clicks = append(t.Clicks, canonical.Click{Scheme: c.Scheme, At: c.At})
		}
		e.Touch = &t
	}
	return warehouse.EventRow{Event: e, Position: at}
}

// nobodyOf gives what stands in for the erased person of an event.
func (s *Record) nobodyOf(e canonical.Event) canonical.NodeID {
	named := []canonical.NodeID{e.Node}
	for _, id := range e.Identifiers {
		named = append(named, id.Node())
	}
	if o, ok := canonical.ObjectIdentifier(e.Object); ok {
		named = append(named, o.Node())
	}
	for _, n := range named {
		if nobody := s.View.Nobody(n); nobody != n {
			return nobody
		}
	}
	return e.Node
}

// deliveryRow is the row of a change of state, without what it tells of somebody erased.
func (s *Record) deliveryRow(d canonical.Delivery, at canonical.Position, value []byte) (warehouse.DeliveryRow, error) {
	if s.View.ErasedUpTo() < 0 {
		return warehouse.DeliveryRow{Delivery: d, Position: at, Sealed: s.Seal(value)}, nil
	}
	node, _, _ := strings.Cut(d.Slot, "|")
	slot, _ := strconv.ParseUint(node, 16, 64)
	erased := d.Node != 0 && s.View.ErasedNode(d.Node, d.At) || slot != 0 && s.View.ErasedNode(canonical.NodeID(slot), d.At)
	if own, _ := warehouse.ForgetIn(&d, s.View.Forget); own || erased {
		warehouse.StripDelivery(&d, []canonical.NodeID{canonical.NodeID(slot)})
	}
	b, err := d.AppendJSON(nil)
	if err != nil {
		return warehouse.DeliveryRow{}, fmt.Errorf("write delivery of %s: %w", d.Event.ID, err)
	}
	return warehouse.DeliveryRow{Delivery: d, Position: at, Sealed: s.Seal(b)}, nil
}

// unerased gives the nodes that a fate names, none where one of them is erased.
func (s *Record) unerased(f canonical.FateRecord) []canonical.NodeID {
	for _, n := range f.Nodes {
		if s.View.ErasedNode(n, f.At) {
			return nil
		}
	}
	return f.Nodes
}
