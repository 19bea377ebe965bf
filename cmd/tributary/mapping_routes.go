package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"

	"tributary/canonical"
	"tributary/ingest"
	"tributary/mappings"
)

// mountMapping adds the routes about the mapping.
func (r *router) mountMapping(g gin.IRouter, auth func(ingest.Scope) gin.HandlerFunc) {
	read, admin := auth(ingest.ScopeRead), auth(ingest.ScopeAdmin)
	g.GET("/v1/mapping", read, func(c *gin.Context) { c.JSON(http.StatusOK, r.live.now()) })
	g.POST("/v1/mapping/reload", admin, r.reloadMapping)
	g.POST("/v1/mapping/diff", read, r.answerDiff)
	g.GET("/v1/mapping/coverage", read, r.act(r.answerCoverage))
	g.POST("/v1/mapping/uncovered", read, r.answerUncovered)
}

func (l *liveMapping) now() mappingStanding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.standing
}

func (r *router) reloadMapping(c *gin.Context) {
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(5 * time.Minute))
	before := r.mapping.Load().Version()
	changed, err := r.live.reload(c.Request.Context(), ingest.KeyName(c))
	var no *refusedMapping
	switch {
	case errors.As(err, &no):
		refuseMapping(c, no.Problems)
	case err != nil:
		r.logger.Error("request", "route", c.FullPath(), "error", err.Error())
		ingest.Refuse(c, ingest.CodeLog, "the log did not take it; the mapping before stays live, try again")
	default:
		s := r.live.now()
		c.JSON(http.StatusOK, reloadedAnswer{true, changed, s.Version, before, s.Since, s.Warnings, s.AtStart})
	}
}

// refuseMapping answers with every mistake of a mapping.
func refuseMapping(c *gin.Context, problems []mappings.Problem) {
	ingest.RefuseWith(c, ingest.CodeMapping, problemText(problems), gin.H{"problems": problems})
}

func mappingReloadCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Let the running router load the mapping from its files now", Args: cobra.NoArgs,
		Long: `Let the running router load the mapping from its files now. They are compiled, held against the
configuration, and the cases beside them are run; a mapping with a mistake is refused, and the one before
stays live. (A router looks at its files every two seconds by itself.)`,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var a struct {
				Changed  bool     `json:"changed"`
				Version  string   `json:"version"`
				Before   string   `json:"before"`
				Warnings []string `json:"warnings"`
				AtStart  []string `json:"at_next_start"`
			}
			if err := cl.call(c.Context(), http.MethodPost, "/v1/mapping/reload", nil, &a); err != nil {
				return mappingRefused(err, "refused, the mapping before stays live")
			}
			if o.json {
				return printJSON(c.OutOrStdout(), a)
			}
			for _, w := range a.Warnings {
				fmt.Fprintln(c.OutOrStdout(), w)
			}
			if !a.Changed {
				fmt.Fprintf(c.OutOrStdout(), "nothing has changed: %s is live\n", a.Version)
				return nil
			}
			fmt.Fprintf(c.OutOrStdout(), "live: %s (before: %s)\n", a.Version, a.Before)
			for _, said := range a.AtStart {
				fmt.Fprintln(c.OutOrStdout(), said)
			}
			return nil
		},
	}
}

func mappingLiveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "live", Short: "Say which mapping is live in the running router, since when, and what was refused", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var s mappingStanding
			if err := cl.call(c.Context(), http.MethodGet, "/v1/mapping", nil, &s); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), s)
			}
			w := c.OutOrStdout()
			fmt.Fprintf(w, "live:  %s\nsince: %s, by %s, in process %s\n", s.Version, canonical.FormatTime(s.Since.Truncate(time.Second)), s.By, s.Process)
			for _, f := range s.Files {
				fmt.Fprintf(w, "file:  %s (%d bytes)\n", f.Name, f.Bytes)
			}
			for _, said := range s.AtStart {
				fmt.Fprintf(w, "waits: %s\n", said)
			}
			if s.Refused != nil {
				fmt.Fprintf(w, "refused at %s, by %s:\n%s\n", canonical.FormatTime(s.Refused.At.Truncate(time.Second)), s.Refused.By, problemText(s.Refused.Problems))
			}
			return nil
		},
	}
}
