package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/ingest"
	"tributary/internal/hubspotcrm"
	"tributary/internal/pipeline"
)

// buildSyncs makes a sync of every HubSpot account that can be read and whose webhooks come in.
func (r *router) buildSyncs(metrics *pipeline.Metrics, reads *hubspotcrm.Metrics) map[string]*pipeline.Sync {
	out := map[string]*pipeline.Sync{}
	for _, name := range sortedKeys(r.cfg.Accounts) {
		a := r.cfg.Accounts[name]
		source := ""
		for _, s := range sortedKeys(r.cfg.Sources) {
			if c := r.cfg.Sources[s]; source == "" && c.Kind == "hubspot" && accountOf(c) == name {
				source = s
			}
		}
		if a.Kind != "hubspot" || source == "" || a.Token == "" && !a.OAuth.Given() {
			continue
		}
		cred := r.credentials.ofAccount(name, a)
		account, headroom := r.budgets.fetch(a, name)
		out[name] = &pipeline.Sync{Log: r.log, Topics: r.topics, Prefix: r.cfg.Log.Prefix, Account: name, Portal: a.PortalID, Source: source,
			CRM: &hubspotcrm.Client{BaseURL: crmURL(a), Budget: account, Headroom: headroom, HTTP: delivery.NewClient(a.BaseURL != ""), Token: cred.secret, Answered: cred.answered,
				Low: true, Account: name, Metrics: reads,
				Further: func(object string) []string { return r.mapping.Load().ReadProperties(object) }},
			View: r.jobView, Heard: r.heard, People: r.view, Watched: func(object string) []string { return r.mapping.Load().WatchedProperties(object) },
			Every: a.Reconciles(), Owner: r.instance, Health: r.health, Logger: r.logger, Metrics: metrics}
		if j := a.Journal; j.Given() {
			hosts := j.FileHosts
			if len(hosts) == 0 {
				hosts = hubspotcrm.JournalFileHosts
			}
			out[name].Journal = &hubspotcrm.Journal{BaseURL: crmURL(a), ClientID: j.ClientID, Secret: j.ClientSecret.Reader(), HTTP: delivery.NewClient(a.BaseURL != ""), FileHosts: hosts}
		}
	}
	return out
}

type (
	syncsAnswer struct {
		Accounts []canonical.CRMSync `json:"accounts"`
	}
	reconcileBody struct {
		Since *time.Time `json:"since,omitempty"` // left out: since the last comparison
	}
	importBody struct {
		Months int `json:"months"`
	}
)

// mountSync adds the routes about what HubSpot changed. Any process answers them.
func (r *router) mountSync(g gin.IRouter, auth func(ingest.Scope) gin.HandlerFunc) {
	read, admin := auth(ingest.ScopeRead), auth(ingest.ScopeAdmin)
	g.GET("/v1/hubspot", read, r.act(func(c *gin.Context) (int, any, error) {
		out := syncsAnswer{Accounts: []canonical.CRMSync{}}
		for _, name := range sortedKeys(r.syncs) {
			state, err := r.syncs[name].State(c.Request.Context())
			if err != nil {
				return 0, nil, err
			}
			out.Accounts = append(out.Accounts, state)
		}
		return http.StatusOK, out, nil
	}))
	g.POST("/v1/hubspot/:account/reconcile", admin, r.onSync(func(ctx context.Context, s *pipeline.Sync, c *gin.Context) (int, any, error) {
		var q reconcileBody
		if err := readAct(c, &q, true); err != nil {
			return 0, nil, err
		}
		if q.Since != nil && q.Since.After(time.Now()) {
			return 0, nil, &refusal{ingest.CodeSelection, "since: is yet to come"}
		}
		return acceptedSync(s.Ask(ctx, ingest.KeyName(c), q.Since))
	}))
	g.POST("/v1/hubspot/:account/import", admin, r.onSync(func(ctx context.Context, s *pipeline.Sync, c *gin.Context) (int, any, error) {
		var q importBody
		if err := readAct(c, &q, false); err != nil {
			return 0, nil, err
		}
		return acceptedSync(s.Import(ctx, ingest.KeyName(c), q.Months))
	}))
	g.POST("/v1/hubspot/:account/import/cancel", admin, r.onSync(func(ctx context.Context, s *pipeline.Sync, c *gin.Context) (int, any, error) {
		return ok(s.CancelImport(ctx, ingest.KeyName(c)))
	}))
}

func acceptedSync(s canonical.CRMSync, err error) (int, any, error) {
	return http.StatusAccepted, s, err
}

// onSync leads to the sync of the account that the path names.
func (r *router) onSync(do func(context.Context, *pipeline.Sync, *gin.Context) (int, any, error)) gin.HandlerFunc {
	return r.act(func(c *gin.Context) (int, any, error) {
		s := r.syncs[c.Param("account")]
		if s == nil {
			return 0, nil, &refusal{ingest.CodeNotFound, "no HubSpot account of this name has a token and a source of kind hubspot" + known(r.syncs)}
		}
		return do(c.Request.Context(), s, c)
	})
}

func known(syncs map[string]*pipeline.Sync) string {
	if len(syncs) == 0 {
		return ""
	}
	return "; known are " + strings.Join(sortedKeys(syncs), ", ")
}

func hubspotCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "hubspot", Short: "What HubSpot changed, and what of it webhooks told: docs/hubspot-sync.md"}
	var account, since string
	reconcile := &cobra.Command{
		Use: "reconcile", Short: "Compare what HubSpot changed with what webhooks told, now, and pull what is missing", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var q reconcileBody
			if since != "" {
				at, err := moment(since, time.Now())
				if err != nil {
					return wrong(fmt.Errorf("--since: %w", err))
				}
				q.Since = &at
			}
			var s canonical.CRMSync
			if err := cl.call(c.Context(), http.MethodPost, "/v1/hubspot/"+escaped(account)+"/reconcile", q, &s); err != nil {
				return err
			}
			if s.Asked == nil {
				return nil
			}
			asked := *s.Asked
			for s.Pass == nil || s.Pass.ID != asked.ID && !s.Pass.Began.After(asked.At) { // or a later one that looks as far back
				if pause(c.Context(), time.Second); c.Context().Err() != nil {
					fmt.Fprintln(c.ErrOrStderr(), "the comparison goes on; tributary hubspot state shows what it found")
					return nil
				}
				if s, err = syncOf(c.Context(), cl, account); err != nil {
					return err
				}
			}
			if o.json {
				return printJSON(c.OutOrStdout(), s.Pass)
			}
			return printPass(c.OutOrStdout(), *s.Pass)
		},
	}
	reconcile.Flags().StringVar(&account, "account", "hubspot", "name of the account in the configuration")
	reconcile.Flags().StringVar(&since, "since", "", "from when on, such as 36h or 2026-04-01; left out: a day before the last comparison")
	state := &cobra.Command{
		Use: "state", Short: "Up to when each account's changes are known, and what the last comparison found", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var a syncsAnswer
			if err := cl.call(c.Context(), http.MethodGet, "/v1/hubspot", nil, &a); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), a)
			}
			for _, s := range a.Accounts {
				if err := printSync(c.OutOrStdout(), s); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.AddCommand(reconcile, state)
	return c
}

func importHubSpotCommand(o *options) *cobra.Command {
	var account string
	var months int
	var cancel bool
	c := &cobra.Command{
		Use: "hubspot", Short: "Bring in HubSpot's companies, contacts and deals of the last months as facts and history: docs/hubspot-sync.md", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			path := "/v1/hubspot/" + escaped(account) + "/import"
			var s canonical.CRMSync
			if cancel {
				if err := cl.call(c.Context(), http.MethodPost, path+"/cancel", nil, &s); err != nil {
					return err
				}
				return printImport(c.OutOrStdout(), *s.Import)
			}
			if months == 0 {
				return wrong(fmt.Errorf("--months: how many months back; up to %d", pipeline.MostMonths))
			}
			if err := cl.call(c.Context(), http.MethodPost, path, importBody{Months: months}, &s); err != nil {
				return err
			}
			shown := ""
			for s.Import.State == canonical.ImportRunning {
				if line := ofEach(s.Import.Records); line != shown && !o.json {
					fmt.Fprintln(c.ErrOrStderr(), line)
					shown = line
				}
				if pause(c.Context(), time.Second); c.Context().Err() != nil {
					fmt.Fprintln(c.ErrOrStderr(), "the import goes on in the router; tributary hubspot state shows how far it is, --cancel ends it")
					return nil
				}
				if s, err = syncOf(c.Context(), cl, account); err != nil {
					return err
				}
			}
			if o.json {
				return printJSON(c.OutOrStdout(), s.Import)
			}
			return printImport(c.OutOrStdout(), *s.Import)
		},
	}
	c.Flags().StringVar(&account, "account", "hubspot", "name of the account in the configuration")
	c.Flags().IntVar(&months, "months", 0, "records changed in so many months are brought in")
	c.Flags().BoolVar(&cancel, "cancel", false, "end the import that is under way; what it brought in stays")
	return c
}

func syncOf(ctx context.Context, cl *client, account string) (canonical.CRMSync, error) {
	var a syncsAnswer
	if err := cl.call(ctx, http.MethodGet, "/v1/hubspot", nil, &a); err != nil {
		return canonical.CRMSync{}, err
	}
	i := slices.IndexFunc(a.Accounts, func(s canonical.CRMSync) bool { return s.Account == account })
	if i < 0 {
		return canonical.CRMSync{}, fmt.Errorf("account %s is gone from the router's configuration", account)
	}
	return a.Accounts[i], nil
}

// ofEach says how many there are of each.
func ofEach(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", m[k], k))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func printPass(w io.Writer, p canonical.CRMPass) error {
	fmt.Fprintf(w, "changes from %s to %s\n", p.From.Format(time.RFC3339), p.To.Format(time.RFC3339))
	fmt.Fprintf(w, "records looked at: %s\n", ofEach(p.Looked))
	fmt.Fprintf(w, "told by webhooks:  %s\n", ofEach(p.Told))
	_, err := fmt.Fprintf(w, "missing, pulled:   %s\n", ofEach(p.Missing))
	for _, note := range p.Notes {
		_, err = fmt.Fprintf(w, "note: %s\n", note)
	}
	return err
}

func printImport(w io.Writer, i canonical.CRMImport) error {
	_, err := fmt.Fprintf(w, "import %s of %d months: %s; records: %s; receipts: %d\n", i.ID, i.Months, strings.TrimSpace(i.State+" "+i.Note), ofEach(i.Records), i.Pulled)
	return err
}

func printSync(w io.Writer, s canonical.CRMSync) error {
	fmt.Fprintf(w, "account %s: connected %s, every change before %s was compared\n", s.Account, s.Connected.Format(time.RFC3339), s.Through.Format(time.RFC3339))
	if s.Asked != nil {
		fmt.Fprintf(w, "asked for by %s, and not done yet\n", s.Asked.Who)
	}
	if s.Pass != nil {
		if err := printPass(w, *s.Pass); err != nil {
			return err
		}
	}
	if j := s.Journal; j != nil {
		fmt.Fprintf(w, "journal: read up to %s, %d files, %d receipts, %d gaps\n", j.Read.Format(time.RFC3339), j.Files, j.Pulled, j.Gaps)
	}
	if s.Import != nil {
		return printImport(w, *s.Import)
	}
	return nil
}
