package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"tributary/ingest"
	"tributary/internal/pipeline"
)

// reconcileCommand asks the running process to hold both balances against each other.
func reconcileCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "reconcile", Args: cobra.NoArgs,
		Short: "Count both balances from the log and from ClickHouse and compare; exit 3 when anything is lost or they disagree",
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var r pipeline.Reconciliation
			if err := cl.call(c.Context(), http.MethodGet, "/v1/reconciliation", nil, &r); err != nil {
				return err
			}
			if o.json {
				err = printJSON(c.OutOrStdout(), r)
			} else {
				err = printReconciliation(c.OutOrStdout(), r)
			}
			if err == nil && !r.OK {
				return &codedError{3, fmt.Errorf("the books do not agree: %d lost, %d told differently", r.Lost, r.Differ)}
			}
			return err
		},
	}
}

// printReconciliation writes each row twice, as the log and as ClickHouse has it, and then
// what is lost or differs, by name.
func printReconciliation(w io.Writer, r pipeline.Reconciliation) error {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "source\tby\taccepted\tevent\tobservation\tfacts only\tcompleted\tquarantined\terased\twaiting\tlost\t")
	for _, s := range r.Receipts {
		for by, b := range []pipeline.ReceiptBalance{s.Log, s.Warehouse} {
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", s.Source, sides[by], b.Accepted, b.Event, b.Observation, b.FactsOnly, b.Completed, b.Quarantined, b.Erased, b.Waiting, b.Lost)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 2, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "destination\tby\tevents\tdelivered\tdead\tsuppressed\tparked\tpending\tlost\t")
	for _, d := range r.Deliveries {
		for by, b := range []pipeline.DeliveryBalance{d.Log, d.Warehouse} {
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", d.Destination, sides[by], b.Events, b.Delivered, b.Dead, total(b.Suppressed), total(b.Parked), b.Pending, b.Lost)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, s := range r.Receipts {
		for _, id := range s.LostIDs {
			fmt.Fprintf(w, "lost: receipt %s of %s: accepted, and nothing became of it; run tributary receipt show %s\n", id, s.Source, id)
		}
		for _, d := range s.Differ {
			fmt.Fprintf(w, "differs: receipt %s of %s: %s by the log, %s by ClickHouse\n", d.ID, s.Source, d.Log, d.Warehouse)
		}
	}
	for _, d := range r.Deliveries {
		for _, key := range d.LostEvents {
			fmt.Fprintf(w, "lost: %s %s at %s: below what the lane committed and without a state; tributary replay %s --to %s takes it up\n", key.Name, key.ID, d.Destination, key.ID, d.Destination)
		}
		for _, x := range d.Differ {
			fmt.Fprintf(w, "differs: %s %s at %s: %s by the ledger, %s by ClickHouse\n", x.Name, x.ID, d.Destination, x.Log, x.Warehouse)
		}
	}
	if r.OK {
		fmt.Fprintln(w, "nothing is lost, and both agree")
	}
	return nil
}

var sides = [2]string{"log", "ClickHouse"}

// answerReconciliation is GET /v1/reconciliation. It is an answer of seconds to minutes:
// the log is read from end to end.
func (r *router) answerReconciliation(c *gin.Context) {
	http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(10 * time.Minute))
	result, err := r.reconcile.Run(c.Request.Context())
	if err != nil {
		ingest.Refuse(c, ingest.CodeBooks, strings.TrimSpace(err.Error()))
		return
	}
	r.reconciled.set(result)
	c.JSON(http.StatusOK, result)
}

// reconciledMetrics shows what the last reconciliation found.
type reconciledMetrics struct {
	lost, differ *prometheus.GaugeVec
	at           prometheus.Gauge
}

func newReconciledMetrics(r prometheus.Registerer) *reconciledMetrics {
	m := &reconciledMetrics{
		lost: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tributary_books_lost", Help: "What the last reconciliation found lost, by balance (receipts, deliveries) and source or destination.",
		}, []string{"balance", "name"}),
		differ: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tributary_books_differ", Help: "What the log and ClickHouse told differently at the last reconciliation.",
		}, []string{"balance", "name"}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tributary_books_reconciled_timestamp_seconds", Help: "When the books were last reconciled."}),
	}
	r.MustRegister(m.lost, m.differ, m.at)
	return m
}

func (m *reconciledMetrics) set(r pipeline.Reconciliation) {
	m.at.Set(float64(r.At.Unix()))
	for _, s := range r.Receipts {
		m.lost.WithLabelValues("receipts", s.Source).Set(float64(s.Log.Lost))
		m.differ.WithLabelValues("receipts", s.Source).Set(float64(len(s.Differ)))
	}
	for _, d := range r.Deliveries {
		m.lost.WithLabelValues("deliveries", d.Destination).Set(float64(d.Log.Lost))
		m.differ.WithLabelValues("deliveries", d.Destination).Set(float64(len(d.Differ)))
	}
}

// keepReconciled reconciles again and again. What is lost degrades the process until a
// later run finds nothing lost; a run that could not be made is only told.
func (r *router) keepReconciled(ctx context.Context) error {
	every := r.cfg.Delivery.ReconcileEvery
	if every <= 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	for {
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return ctx.Err()
		}
		result, err := r.reconcile.Run(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			r.logger.Warn("the books could not be reconciled", "reason", err)
			continue
		case !result.OK:
			err = errors.New("the books do not agree; tributary report reconcile names what")
			r.logger.Error("the books do not agree", "lost", result.Lost, "differ", result.Differ)
		}
		r.reconciled.set(result)
		r.health.Set("books", err)
	}
}
