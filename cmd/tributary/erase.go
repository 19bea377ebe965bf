package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"

	"tributary/canonical"
	"tributary/identity"
	"tributary/ingest"
	"tributary/internal/eventlog"
	"tributary/internal/pipeline"
	"tributary/internal/warehouse"
)

// An erasure asks that a person be forgotten, or may be known again.
type erasure struct {
	Identifiers []string `json:"identifiers"`
	Reason      string   `json:"reason"`
	DryRun      bool     `json:"dry_run"`
	Lift        bool     `json:"lift"`
	Expect      *int     `json:"expect"` // how many identifiers it may erase
}

// An erasedPerson is what an erasure found and dropped, in numbers only.
type erasedPerson struct {
	OK          bool                               `json:"ok"`
	DryRun      bool                               `json:"dry_run,omitempty"`
	Lifted      bool                               `json:"lifted,omitempty"`
	Total       int                                `json:"total"`                 // identifiers
	Identifiers map[canonical.Scheme]int           `json:"identifiers,omitempty"` // by kind
	Deliveries  map[string]map[canonical.State]int `json:"deliveries,omitempty"`  // parked, dead and dry-run items by destination
	Warehouse   *warehouse.Found                   `json:"warehouse,omitempty"`
	Emptied     bool                               `json:"emptied,omitempty"` // ClickHouse holds nothing of them any more
	Offset      *int64                             `json:"offset,omitempty"`  // of the fact in topic identity
	At          *time.Time                         `json:"at,omitempty"`
	By          string                             `json:"by,omitempty"`
	Reason      string                             `json:"reason,omitempty"`
	// KeptUntil is until when the log keeps bytes that nothing reads any more, by topic.
	KeptUntil map[string]time.Time `json:"log_keeps_bytes_until,omitempty"`
	Notes     []string             `json:"notes,omitempty"`
}

func (a *erasedPerson) note(says string) { a.Notes = append(a.Notes, says) }

// emptiedWithin is how long an answer waits until ClickHouse has followed.
const emptiedWithin = 20 * time.Second

func (r *router) eraseIdentity(c *gin.Context) (int, any, error) {
	ctx := c.Request.Context()
	var q erasure
	if err := readAct(c, &q, false); err != nil {
		return 0, nil, err
	}
	ids, err := r.toErase(q)
	if err != nil {
		return 0, nil, err
	}
	now := time.Now().UTC()
	fact, err := pipeline.ErasureOf(ctx, r.log, r.topics, r.view, func() (canonical.Fact, error) {
		if q.Lift {
			return r.view.Lifting(now, ids...)
		}
		return r.view.Erasure(now, ids...)
	})
	if err != nil {
		return 0, nil, &refusal{ingest.CodeIdentifier, err.Error()}
	}
	a := erasedPerson{OK: true, DryRun: q.DryRun, Lifted: q.Lift, Total: len(fact.Hashes)}
	if q.Expect != nil && *q.Expect != a.Total {
		return 0, nil, &refusal{ingest.CodeCount, fmt.Sprintf("it would erase %d identifiers, and %d were expected: look again", a.Total, *q.Expect)}
	}
	if !q.Lift {
		if err := r.findToErase(ctx, ids, &a); err != nil {
			return 0, nil, err
		}
	}
	if q.DryRun {
		return http.StatusOK, a, nil
	}
	fact.By, fact.Reason = ingest.KeyName(c), q.Reason
	if err := r.sayErased(ctx, fact, &a); err != nil {
		return 0, nil, err
	}
	r.logger.Info("identity statement", "kind", string(fact.Kind), "lift", q.Lift, "identifiers", a.Total, "who", fact.By, "reason", fact.Reason, "offset", *a.Offset)
	return http.StatusOK, a, nil
}

// toErase reads whom an erasure is about. Nobody need have heard of them: they are kept out then.
func (r *router) toErase(q erasure) ([]canonical.Identifier, error) {
	switch {
	case q.Reason == "" && !q.DryRun:
		return nil, missingField("reason", "why; it is kept with the statement")
	case mentionsAddress(q.Reason):
		return nil, &refusal{ingest.CodeIdentifier, "reason: it is kept for ever and holds an address; say it without"}
	case len(q.Reason) > 1000:
		return nil, &refusal{ingest.CodeTooLarge, "reason: at most 1000 bytes"}
	case len(q.Identifiers) == 0 || len(q.Identifiers) > 50:
		return nil, missingField("identifiers", "whom: 1 to 50 identifiers, each written "+howWritten)
	}
	var ids []canonical.Identifier
	for i, text := range q.Identifiers {
		w, err := parseIdentifier(text)
		if err != nil {
			return nil, &refusal{ingest.CodeIdentifier, fmt.Sprintf("identifiers[%d]: %s", i, err)}
		}
		if w.node != 0 {
			if w, err = r.whose(fmt.Sprintf("identifiers[%d]", i), text); err != nil {
				return nil, err
			}
		}
		if !w.Scheme.IsPerson() {
			return nil, &refusal{ingest.CodeIdentifier, fmt.Sprintf("identifiers[%d]: only people are erased; a deal, a company or a domain is no person", i)}
		}
		ids = append(ids, w.Identifier)
	}
	return ids, nil
}

// findToErase counts what there is of persons.
func (r *router) findToErase(ctx context.Context, ids []canonical.Identifier, a *erasedPerson) error {
	a.Identifiers, a.Deliveries = map[canonical.Scheme]int{}, map[string]map[canonical.State]int{}
	var nodes []canonical.NodeID
	for _, id := range r.view.WholePersons(ids...) {
		a.Identifiers[id.Scheme]++
		nodes = append(nodes, id.Node())
	}
	for name, l := range r.lanes {
		n, err := l.Forget(ctx, true, func(n canonical.NodeID) bool { return slices.Contains(nodes, n) })
		if err != nil {
			return err
		}
		if len(n) > 0 {
			a.Deliveries[name] = n
		}
	}
	f := r.record.Forgetting()
	f.Forget = identity.ForgetThese(nodes)
	found, err := r.warehouse.Tells(ctx, warehouse.Person{Nodes: nodes, Before: math.MaxInt64}, f)
	if err != nil {
		a.note("ClickHouse does not answer: what it holds is not counted; it is emptied when it is back")
		return nil
	}
	a.Warehouse = &found
	return nil
}

// sayErased states the fact, ends what waits, and waits a while until ClickHouse has followed.
func (r *router) sayErased(ctx context.Context, fact canonical.Fact, a *erasedPerson) error {
	offset, folded, err := r.statements().State(ctx, fact)
	switch {
	case errors.Is(err, eventlog.ErrFull):
		return &refusal{ingest.CodeLogFull, err.Error()}
	case errors.Is(err, eventlog.ErrUnavailable):
		return &refusal{ingest.CodeLog, "the log did not take it in time; say it again"}
	case err != nil:
		return err
	}
	a.Offset, a.At, a.By, a.Reason = &offset, &fact.At, fact.By, fact.Reason
	if fact.Removed {
		return nil
	}
	a.KeptUntil = map[string]time.Time{}
	for _, topic := range []string{r.topics.Inbound, r.topics.Events, r.topics.Replays} {
		a.KeptUntil[topic] = fact.At.Add(r.cfg.Log.Retention)
	}
	a.KeptUntil[r.topics.Deliveries] = fact.At.Add(r.cfg.Log.Deliveries)
	a.note(r.topics.Identity + " never expires: it keeps record ids, cookies and hashes that nothing reads any more, and nothing in the clear")
	if !folded {
		a.note("this process has not folded it yet: it takes effect when it has")
		return nil
	}
	for name, l := range r.lanes {
		n, err := l.Forget(ctx, false, nil)
		if err != nil {
			a.note("destination " + name + ": what waits there is ended when the log answers")
			continue
		}
		if len(n) > 0 && a.Deliveries[name] == nil {
			a.Deliveries[name] = n
		}
	}
	for until := time.Now().Add(emptiedWithin); !a.Emptied && time.Now().Before(until) && ctx.Err() == nil; {
		if a.Emptied = r.record.ErasedThrough(offset); !a.Emptied {
			time.Sleep(50 * time.Millisecond)
		}
	}
	if !a.Emptied {
		a.note("ClickHouse is emptied as soon as it answers; degraded says where it does not")
	}
	return nil
}

func identityEraseCommand(o *options) *cobra.Command {
	var q erasure
	var yes bool
	c := &cobra.Command{
		Use: "erase IDENTIFIER…", Short: "Forget a person: all identifiers, touches, waiting deliveries, and what ClickHouse holds",
		Long: "Forget a person: all identifiers, touches, waiting deliveries, and what ClickHouse holds.\n\nPrinted is what there is, in numbers; it is done with --yes, or where you answer y, and cannot be undone. What comes in later of the person is dropped. With --lift somebody who comes back by own wish is known again from then on; nothing from before comes back.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := writtenIdentifiers(args)
			if err != nil {
				return err
			}
			if q.Reason == "" && !q.DryRun {
				return wrong(errors.New("say why: --reason; it is kept with the statement (or look first, with --dry-run)"))
			}
			cl, err := dial(o)
			if err != nil {
				return err
			}
			ask := q
			ask.Identifiers, ask.DryRun = ids, true
			var a erasedPerson
			if err := cl.call(c.Context(), http.MethodPost, "/v1/identity/erase", ask, &a); err != nil {
				return err
			}
			if !q.DryRun {
				if !o.json {
					printErased(c.OutOrStdout(), a)
				}
				if !yes && !agreed(c) {
					return errors.New("nothing was said: answer y, or give --yes")
				}
				seen := a.Total
				ask.DryRun, ask.Expect = false, &seen
				a = erasedPerson{}
				if err := cl.call(c.Context(), http.MethodPost, "/v1/identity/erase", ask, &a); err != nil {
					return err
				}
			}
			if o.json {
				return printJSON(c.OutOrStdout(), a)
			}
			printErased(c.OutOrStdout(), a)
			return nil
		},
	}
	c.Flags().StringVar(&q.Reason, "reason", "", "why; kept with the statement for ever, so name no address in it")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&q.DryRun, "dry-run", false, "only print what there is")
	c.Flags().BoolVar(&q.Lift, "lift", false, "let an erased person be known again, from now on")
	return c
}

func printErased(w io.Writer, a erasedPerson) {
	switch {
	case a.Lifted && a.DryRun:
		fmt.Fprintf(w, "would let %s be known again\n", many(a.Total, "erased identifier"))
	case a.Lifted:
		fmt.Fprintf(w, "%s may be known again, from offset %d on\n", many(a.Total, "identifier"), *a.Offset)
	case a.Offset == nil:
		fmt.Fprintf(w, "would erase %s%s\n", many(a.Total, "identifier"), byKind(a.Identifiers))
	default:
		fmt.Fprintf(w, "erased %s%s, at offset %d\n", many(a.Total, "identifier"), byKind(a.Identifiers), *a.Offset)
	}
	for _, name := range sortedKeys(a.Deliveries) {
		var parts []string
		for _, state := range sortedKeys(a.Deliveries[name]) {
			parts = append(parts, fmt.Sprintf("%d %s", a.Deliveries[name][state], state))
		}
		fmt.Fprintf(w, "  destination %s: %s\n", name, strings.Join(parts, ", "))
	}
	if f := a.Warehouse; f != nil {
		fmt.Fprintf(w, "  ClickHouse: %s, %s, %s, %s; named in %s of others\n", many(f.Events, "event"), many(f.Receipts, "raw receipt"), many(f.Deliveries, "delivery record"), many(f.Facts, "statement"), many(f.Mentioned, "event"))
	}
	for _, topic := range slices.Sorted(maps.Keys(a.KeptUntil)) {
		fmt.Fprintf(w, "  %s keeps bytes until %s\n", topic, a.KeptUntil[topic].Format(time.DateOnly))
	}
	for _, n := range a.Notes {
		fmt.Fprintf(w, "  note: %s\n", n)
	}
}

func byKind(counts map[canonical.Scheme]int) string {
	var parts []string
	for _, s := range sortedKeys(counts) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[s], s))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// many is a number with its word.
func many(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return fmt.Sprintf("%d %s", n, word)
}
