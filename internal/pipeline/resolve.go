package pipeline

import (
	"context"
	"fmt"
	"sort"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/identity"
	"tributary/internal/eventlog"
	"tributary/mappings"
)

// Resolve reads receipts, states what they say in the identity log, and turns each into
// an event or a fate. Name and id are functions of the receipt and the mapping alone.
type Resolve struct {
	Log      eventlog.Log
	Topics   eventlog.Topics
	Prefix   string
	Mapping  func() *mappings.Mapping
	Settings func(source string) wire.Settings
	View     *identity.View
	Metrics  *Metrics
}

// ResolveGroup is the name of the consumer group that resolve reads in.
func ResolveGroup(prefix string) string { return prefix + "resolve" }

// Run resolves until ctx ends.
func (s *Resolve) Run(ctx context.Context) error {
	return s.Log.Consume(ctx, eventlog.Group{Name: ResolveGroup(s.Prefix), Topics: []string{s.Topics.Inbound}}, s.own)
}

func (s *Resolve) own(ctx context.Context, claim eventlog.Claim) error {
	for {
		records, err := claim.Poll(ctx, 1000, time.Second)
		if err != nil {
			return err
		}
		if err := s.step(ctx, records); err != nil {
			return err
		}
		for _, r := range records {
			claim.Commit(r.Topic, r.Partition, r.Offset+1)
		}
	}
}

// step takes a poll's receipts from bytes to events.
func (s *Resolve) step(ctx context.Context, records []eventlog.Record) error {
	receipts, err := receiptsOf(records)
	if err != nil || len(receipts) == 0 {
		return err
	}
	readings := make([]Reading, len(receipts))
	mapping := s.Mapping()
	for i, rc := range receipts {
		readings[i] = Understand(rc, mapping, s.Settings(rc.Source))
	}
	for len(readings) > 0 { // whoever asks to be forgotten is, before what comes after
		n := throughForgotten(readings)
		if err := s.resolve(ctx, readings[:n], mapping); err != nil {
			return err
		}
		readings = readings[n:]
	}
	return nil
}

// resolve states what receipts say and gives each its event or fate.
func (s *Resolve) resolve(ctx context.Context, readings []Reading, mapping *mappings.Mapping) error {
	var facts []canonical.Fact
	for i := range readings {
		s.forget(&readings[i], mapping)
		facts = append(facts, readings[i].Facts...)
	}
	if err := s.state(ctx, facts); err != nil {
		return err
	}
	if err := s.erase(ctx, readings[len(readings)-1]); err != nil {
		return err
	}
	out := make([]eventlog.Record, len(readings))
	var err error
	for i, rd := range readings {
		if out[i], err = s.outcome(rd); err != nil {
			return err
		}
	}
	if _, err := s.Log.Append(ctx, s.Topics.Events, out...); err != nil {
		return fmt.Errorf("append events: %w", err)
	}
	for _, rd := range readings {
		s.Metrics.resolved(rd)
	}
	return nil
}

// receiptsOf decodes a poll, leaves out what fetch must complete first, and puts the
// rest in the order of their receipt.
func receiptsOf(records []eventlog.Record) ([]canonical.Receipt, error) {
	var out []canonical.Receipt
	for _, r := range records {
		rc, err := decode[canonical.Receipt](r)
		if err != nil {
			return nil, err
		}
		if !wire.Bare(rc) {
			out = append(out, rc)
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		if !out[i].ReceivedAt.Equal(out[j].ReceivedAt) {
			return out[i].ReceivedAt.Before(out[j].ReceivedAt)
		}
		return out[i].ID < out[j].ID
	})
	return out, nil
}

// A Reading is what one receipt comes to: facts, and an event or a fate.
type Reading struct {
	Receipt canonical.Receipt
	Report  canonical.Report
	Event   *canonical.Event // without known
	Fate    canonical.Fate
	Reason  string
	Detail  string
	By      string // the quarantine rule: file:line
	Facts   []canonical.Fact
	Mapping string

	Withheld identity.Withheld // links that a list kept from the facts
}

// Understand reads one receipt by a mapping. It is pure.
func Understand(rc canonical.Receipt, m *mappings.Mapping, settings wire.Settings) Reading {
	return understand(rc, m, settings, nil)
}

// understand is Understand, with what leaves something out of the report before it is mapped.
func understand(rc canonical.Receipt, m *mappings.Mapping, settings wire.Settings, without func(*canonical.Report)) Reading {
	rd := Reading{Receipt: rc, Fate: canonical.FateFacts, Mapping: m.Version()}
	shaped, unusable := m.Shape(rc)
	if unusable != nil {
		rd.Fate, rd.Reason, rd.Detail = canonical.FateQuarantined, unusable.Code, unusable.Detail
		return rd
	}
	report, problem := wire.Read(shaped, settings)
	if problem != nil {
		rd.Fate, rd.Reason, rd.Detail = canonical.FateQuarantined, problem.Code, problem.Detail
		return rd
	}
	if without != nil {
		without(&report)
	}
	rd.Report = report
	result := m.Apply(report, rc)
	if q := result.Quarantine; q != nil {
		rd.Fate, rd.Reason, rd.Detail, rd.By = canonical.FateQuarantined, q.Code, q.Detail, result.QuarantinedBy
		return rd
	}
	if result.Event != nil {
		rd.Event, rd.Fate = result.Event, canonical.FateEvent
	}
	placeAccount(result.Event, settings.Lists)
	rd.Facts, rd.Withheld = identity.FactsOf(report, result.Event, rc, settings.Lists)
	return rd
}

// placeAccount gives an event the account that it has where domains were added to those of
// free mail.
func placeAccount(e *canonical.Event, lists *canonical.Lists) {
	if e != nil && lists != nil {
		e.AccountNode = lists.AccountNode(e)
	}
}

// state appends what the log does not say yet, and folds it.
func (s *Resolve) state(ctx context.Context, facts []canonical.Fact) error {
	fresh := s.View.New(facts)
	if len(fresh) == 0 {
		return nil
	}
	records := make([]eventlog.Record, len(fresh))
	for i, f := range fresh {
		r, err := encode(eventlog.TypeFact, "", f)
		if err != nil {
			return err
		}
		records[i] = r
	}
	placed, err := s.Log.Append(ctx, s.Topics.Identity, records...)
	if err != nil {
		return fmt.Errorf("append facts: %w", err)
	}
	return s.View.Wait(ctx, placed[len(placed)-1].Offset)
}

// outcome is the record that ends a receipt's way: its event with what is known now, or
// its fate.
func (s *Resolve) outcome(rd Reading) (eventlog.Record, error) {
	if rd.Event != nil {
		e := *rd.Event
		known := s.View.Known(e)
		e.Known = &known
		return encode(eventlog.TypeEvent, string(e.ID), e)
	}
	return encode(eventlog.TypeFate, string(rd.Receipt.ID), canonical.FateRecord{
		ReceiptID: rd.Receipt.ID, Source: rd.Receipt.Source, Way: rd.Receipt.Way, Fate: rd.Fate,
		Reason: rd.Reason, Detail: rd.Detail, Rule: rd.By, At: rd.Receipt.ReceivedAt, Mapping: rd.Mapping, Nodes: nodesToForget(rd),
	})
}
