package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/internal/eventlog"
)

// A Letter is an entry of a ledger's list: a dead letter, or an item that is held.
type Letter struct {
	Destination string             `json:"destination"`
	Event       canonical.EventKey `json:"event"`
	Part        string             `json:"part"`
	State       canonical.State    `json:"state"`
	Reason      string             `json:"reason,omitempty"`
	Detail      string             `json:"detail,omitempty"` // the vendor's words
	At          time.Time          `json:"at"`
	Attempt     int                `json:"attempt,omitempty"`
	Ambiguous   bool               `json:"ambiguous,omitempty"` // an attempt's answer never came
	HTTPStatus  int                `json:"http_status,omitempty"`
	TraceID     string             `json:"trace_id,omitempty"`
	ReplayID    string             `json:"replay_id,omitempty"`
	Owner       string             `json:"owner,omitempty"`
	BodyHash    string             `json:"body_hash,omitempty"`
	Who         string             `json:"who,omitempty"`
	Match       map[string]string  `json:"match,omitempty"`
	// Body is what was built. It holds personal data and is left out unless asked for.
	Body json.RawMessage `json:"body,omitempty"`
}

func letter(d canonical.Delivery) Letter {
	return Letter{Destination: d.Destination, Event: d.Event, Part: d.Part, State: d.State, Reason: d.Reason, Detail: d.Detail, At: d.At, Attempt: d.Attempt,
		Ambiguous: d.Ambiguous, HTTPStatus: d.HTTPStatus, TraceID: d.TraceID, ReplayID: d.ReplayID, Owner: d.Owner, BodyHash: d.BodyHash, Who: d.Who, Match: d.Match}
}

// Letters are one page of a list.
type Letters struct {
	Items []Letter `json:"items"`
	// Next goes on behind the last item; "" where there are no more.
	Next string `json:"next,omitempty"`
	// Counts is how many there are by destination and reason; on the first page only.
	Counts map[string]map[string]int `json:"counts,omitempty"`
}

// ErrNoLetter: nothing of that name stands on a list.
var ErrNoLetter = errors.New("no such dead letter or held item")

// A CountDiffers says that a list does not hold what somebody saw.
type CountDiffers struct{ Expected, Found int }

func (e *CountDiffers) Error() string {
	return fmt.Sprintf("%d were expected and there are %d now; nothing was done: look again", e.Expected, e.Found)
}

// DeadLetters are what waits for a person at the destinations.
type DeadLetters struct {
	Log     eventlog.Log
	Topics  eventlog.Topics
	Replay  *Replay
	Archive Archive
	Owner   string
}

// current brings the ledger to the end of deliveries: what was given up or sent a moment
// ago, in any process, is not shown.
func (s *DeadLetters) current(ctx context.Context, dests []string) error {
	_, end, err := s.Log.Bounds(ctx, s.Topics.Deliveries)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, d := range dests {
		if err := s.Replay.Lanes[d].Ledger.WaitEnd(ctx, end); err != nil {
			return fmt.Errorf("the ledger has not reached the end of %s: %w", s.Topics.Deliveries, err)
		}
	}
	return nil
}

// List gives up to limit entries, by destination and then the oldest first, behind a
// cursor that an earlier page gave.
func (s *DeadLetters) List(ctx context.Context, dests []string, sel canonical.Selection, after string, limit int) (Letters, error) {
	dests, err := s.Replay.names(dests)
	if err != nil {
		return Letters{}, err
	}
	if err := checkSelection(sel); err != nil {
		return Letters{}, err
	}
	if err := s.current(ctx, dests); err != nil {
		return Letters{}, err
	}
	out := Letters{Items: []Letter{}}
	from, cursor, _ := strings.Cut(after, "~")
	if after != "" && !slices.Contains(dests, from) {
		return Letters{}, &BadSelection{"after", "this cursor is of another list"}
	}
	if after == "" {
		out.Counts = map[string]map[string]int{}
	}
	for _, d := range slices.Sorted(slices.Values(dests)) {
		if after != "" && d < from {
			continue
		}
		if d != from {
			cursor = ""
		}
		err := s.Replay.Lanes[d].Ledger.Listed(d, delivery.List(sel.List), cursor, func(at string, e canonical.Delivery) bool {
			if !onList(sel, e) {
				return true
			}
			if out.Counts != nil {
				if out.Counts[d] == nil {
					out.Counts[d] = map[string]int{}
				}
				out.Counts[d][e.Reason]++
			}
			if len(out.Items) < limit {
				out.Items = append(out.Items, letter(e))
				cursor = d + "~" + at
				return true
			}
			if out.Next == "" {
				out.Next = cursor
			}
			return out.Counts != nil // they are counted to the end
		})
		if err != nil {
			return Letters{}, err
		}
		if out.Next != "" && out.Counts == nil {
			break
		}
	}
	return out, nil
}

// A LetterHistory is a letter with what is known of its event's attempts at the destination.
type LetterHistory struct {
	Letters []Letter `json:"letters"` // what stands now, part by part
	History []Letter `json:"history"` // every change that the warehouse keeps, in order
	// Note says why the history may be short.
	Note string `json:"note,omitempty"`
}

// Show gives what stands of an event at a destination and how it came to that: of one
// part, or of all ("*"). name may be "" where the id stands for one event. Bodies hold
// personal data.
func (s *DeadLetters) Show(ctx context.Context, dest string, id canonical.EventID, name, part string, bodies bool) (LetterHistory, error) {
	dests, err := s.Replay.names([]string{dest})
	if err != nil {
		return LetterHistory{}, err
	}
	if err := s.current(ctx, dests); err != nil {
		return LetterHistory{}, err
	}
	keys, err := s.keys(dest, id, name)
	if err != nil {
		return LetterHistory{}, err
	}
	out := LetterHistory{Letters: []Letter{}, History: []Letter{}}
	keep := func(d canonical.Delivery) (Letter, bool) {
		l := letter(d)
		if bodies {
			l.Body = d.Body
		}
		return l, part == "*" || d.Part == part
	}
	for _, key := range keys {
		states, err := s.Replay.Lanes[dest].State(key)
		if err != nil {
			return out, err
		}
		for _, d := range states {
			if l, meant := keep(d); meant {
				out.Letters = append(out.Letters, l)
			}
		}
		err = s.Archive.DeliveriesOf(ctx, dest, key, func(sealed []byte) error {
			b, err := s.Archive.Unseal(sealed)
			if err != nil || len(b) == 0 {
				return err
			}
			var d canonical.Delivery
			if err := json.Unmarshal(b, &d); err != nil {
				return err
			}
			if l, meant := keep(d); meant {
				out.History = append(out.History, l)
			}
			return nil
		})
		if err != nil {
			out.Note = "the warehouse cannot be asked for the history now"
		}
	}
	if len(out.Letters) == 0 {
		return out, ErrNoLetter
	}
	return out, nil
}

// keys finds the events of an id that have a state at a destination.
func (s *DeadLetters) keys(dest string, id canonical.EventID, name string) ([]canonical.EventKey, error) {
	if name != "" {
		return []canonical.EventKey{{Name: name, ID: id}}, nil
	}
	found, err := s.Replay.Index.Events(id)
	if err != nil {
		return nil, err
	}
	var keys []canonical.EventKey
	for _, f := range found {
		keys = append(keys, f.Event)
	}
	if len(keys) > 0 {
		return keys, nil
	}
	for _, list := range []delivery.List{delivery.Dead, delivery.Held} { // of an event that the index no longer knows
		err := s.Replay.Lanes[dest].Ledger.Listed(dest, list, "", func(_ string, d canonical.Delivery) bool {
			if d.Event.ID == id && !slices.Contains(keys, d.Event) {
				keys = append(keys, d.Event)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// A Discarding says what to give up: of one list of the destinations, what a selection
// means, and of that one part where Part is not nil.
type Discarding struct {
	Destinations []string
	Selection    canonical.Selection
	Part         *string
	Expect       int // how many somebody saw; nothing is done where there are others
	Reason, Who  string
}

// Discard gives up what stands on a list: it becomes suppressed as discarded. What was
// sent or taken up meanwhile is left as it is and not counted in what it gives back.
func (s *DeadLetters) Discard(ctx context.Context, q Discarding) (discarded int, err error) {
	dests, err := s.Replay.names(q.Destinations)
	if err != nil {
		return 0, err
	}
	q.Selection.List = cmp.Or(q.Selection.List, string(delivery.Dead))
	if err := checkSelection(q.Selection); err != nil {
		return 0, err
	}
	if err := s.current(ctx, dests); err != nil {
		return 0, err
	}
	letters, err := s.meant(dests, q)
	if err != nil {
		return 0, err
	}
	if len(letters) != q.Expect {
		return 0, &CountDiffers{q.Expect, len(letters)}
	}
	for chunk := range slices.Chunk(letters, 1000) {
		n, err := s.discard(ctx, chunk, q)
		discarded += n
		if err != nil {
			return discarded, err
		}
	}
	return discarded, nil
}

// meant lists what a discarding means.
func (s *DeadLetters) meant(dests []string, q Discarding) (letters []canonical.Delivery, err error) {
	for _, d := range dests {
		err := s.Replay.Lanes[d].Ledger.Listed(d, delivery.List(q.Selection.List), "", func(_ string, e canonical.Delivery) bool {
			if onList(q.Selection, e) && (q.Part == nil || *q.Part == e.Part) {
				letters = append(letters, e)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return letters, nil
}

func (s *DeadLetters) discard(ctx context.Context, letters []canonical.Delivery, q Discarding) (int, error) {
	records := make([]eventlog.Record, len(letters))
	now := time.Now().UTC()
	for i, d := range letters {
		rec, err := encode(eventlog.TypeDelivery, string(d.Event.ID), canonical.Delivery{
			Destination: d.Destination, Event: d.Event, Part: d.Part, State: canonical.StateSuppressed, Reason: canonical.ReasonDiscarded,
			Detail: q.Reason, Who: q.Who, At: now, Owner: s.Owner,
		})
		if err != nil {
			return 0, err
		}
		records[i] = rec
	}
	placed, err := s.Log.Append(ctx, s.Topics.Deliveries, records...)
	if err != nil {
		return 0, fmt.Errorf("discard: %w", err)
	}
	n := 0
	for _, d := range letters {
		ledger := s.Replay.Lanes[d.Destination].Ledger
		if err := ledger.Wait(ctx, placed); err != nil {
			return n, err
		}
		is, _, err := ledger.Part(d.Destination, d.Event, d.Part)
		if err != nil {
			return n, err
		}
		if is.State == canonical.StateSuppressed && is.Reason == canonical.ReasonDiscarded {
			n++
		}
	}
	return n, nil
}
