package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/internal/config"
	"tributary/internal/hubspotcrm"
)

func connectCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "connect", Short: "Connect an account: look at its credential, and write or print the lines that the configuration needs"}
	c.AddCommand(connectHubSpotCommand(o))
	return c
}

// A connection is what is asked for to connect a HubSpot account.
type connection struct {
	account, source     string
	token, clientSecret string // env:NAME, file:PATH, or "" to be asked for
	publicURL, baseURL  string
	write               bool

	in  *bufio.Reader
	out io.Writer
}

func connectHubSpotCommand(o *options) *cobra.Command {
	var q connection
	c := &cobra.Command{
		Use: "hubspot", Short: "Connect a HubSpot account by the access token and client secret of a private app; docs/hubspot.md", Args: cobra.NoArgs,
		Long: "Asks for what no flag gives, a line each on standard input. A secret that is typed in is kept in a file of its own, secrets/… beside the configuration, and never printed.",
		RunE: func(c *cobra.Command, _ []string) error {
			q.in, q.out = bufio.NewReader(c.InOrStdin()), c.OutOrStdout()
			return q.run(c.Context(), o.config)
		},
	}
	f := c.Flags()
	f.StringVar(&q.account, "account", "hubspot", "what the account is called in the configuration")
	f.StringVar(&q.source, "source", "hubspot_app", "what its way in is called: a part of the target URL")
	f.StringVar(&q.token, "token", "", "where the access token stands, env:NAME or file:PATH (default: asked for)")
	f.StringVar(&q.clientSecret, "client-secret", "", "where the app's client secret stands, env:NAME or file:PATH (default: asked for)")
	f.StringVar(&q.publicURL, "public-url", "", "the address by which HubSpot reaches this router, such as https://in.example.com (default: http.public_url, else asked for)")
	f.StringVar(&q.baseURL, "base-url", "", "where HubSpot's API answers, for a simulator (default: "+hubspotcrm.Host+")")
	f.BoolVar(&q.write, "write", false, "write the lines into the configuration file; without it they are printed")
	return c
}

func (q *connection) run(ctx context.Context, path string) error {
	cfg, err := config.Load(path, catalog.Kinds())
	if err != nil {
		return wrong(err)
	}
	for name, taken := range map[string]bool{"accounts." + q.account: hasKey(cfg.Accounts, q.account), "sources." + q.source: hasKey(cfg.Sources, q.source)} {
		if taken {
			return wrong(fmt.Errorf("%s is in the configuration already: choose another name, or look at it with tributary check hubspot", name))
		}
	}
	dir := filepath.Join(filepath.Dir(path), "secrets")
	token, err := q.secret(&q.token, "Access token of the private app (Settings, Private Apps, Auth): ", dir, q.account+".token")
	if err != nil {
		return err
	}
	look := hubspotcrm.Look{BaseURL: cmp.Or(q.baseURL, hubspotcrm.Host), HTTP: delivery.NewClient(q.baseURL != "")}
	portal, err := look.Portal(ctx, token)
	if err != nil {
		return wrong(fmt.Errorf("%w: %s", err, privateApps("app.hubspot.com", 0, 0)))
	}
	info, err := look.Private(ctx, token)
	if err != nil && !errors.Is(err, hubspotcrm.ErrNoSuchToken) {
		return wrong(err)
	}
	fmt.Fprintf(q.out, "portal %d, %s, %s\n", portal.Portal, words([]string{cmp.Or(portal.Tier, "limits not told"), cmp.Or(portal.TimeZone, "no time zone")}), cmp.Or(portal.Currency, "no currency"))
	if _, err := q.secret(&q.clientSecret, "Client secret of the same app (Auth, below the token): ", dir, q.source+".secret"); err != nil {
		return err
	}
	if q.publicURL == "" && cfg.HTTP.PublicURL == "" {
		if q.publicURL, err = q.ask("Address by which HubSpot reaches this router (https://…): "); err != nil {
			return err
		}
	}
	public := strings.TrimSuffix(cmp.Or(q.publicURL, cfg.HTTP.PublicURL), "/")
	if !strings.HasPrefix(public, "https://") {
		return wrong(fmt.Errorf("the public address is %q, and HubSpot sends to https only", public))
	}
	if err := q.lines(path, cfg, portal, public); err != nil {
		return err
	}
	target := public + "/v1/ingest/hubspot/" + q.source
	fmt.Fprintf(q.out, "\nin HubSpot, %s:\n  Webhooks, Target URL: %s\n  Webhooks, Create subscription, and activate:\n    %s\n  in a workflow, Send a webhook: %s/workflow, Include request signature in header, App ID %d\n",
		privateApps(portal.UI, portal.Portal, info.App), target, strings.Join(hubspotcrm.Subscriptions(), "\n    "), target, info.App)
	if missing := hubspotcrm.Missing([]string{"crm.objects.contacts.read", "crm.objects.companies.read", "crm.objects.deals.read"}, info.Scopes); info.Kind != "" && len(missing) > 0 {
		fmt.Fprintf(q.out, "  Scopes: add %s\n", words(missing))
	}
	_, err = fmt.Fprintf(q.out, "\nthen: tributary check hubspot %s -c %s\n", q.account, path)
	return err
}

func hasKey[V any](m map[string]V, k string) bool { _, ok := m[k]; return ok }

// ask reads one line.
func (q *connection) ask(question string) (string, error) {
	fmt.Fprint(q.out, question)
	line, err := q.in.ReadString('\n')
	fmt.Fprintln(q.out)
	if line = strings.TrimSpace(line); line == "" {
		if err != nil && err != io.EOF {
			return "", err
		}
		return "", wrong(errors.New("nothing was given; the flags --token, --client-secret and --public-url say it without being asked"))
	}
	return line, nil
}

// secret reads a secret where its flag says, else asks for it and keeps it in a file; at then says
// where it stands.
func (q *connection) secret(at *string, question, dir, name string) (string, error) {
	if *at != "" {
		v, err := config.Secret(*at).Where()
		if err != nil {
			return "", wrong(err)
		}
		return v, nil
	}
	v, err := q.ask(question)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.WriteString(f, v+"\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	*at = "file:secrets/" + name
	return v, nil
}

// lines writes or prints what the configuration needs.
func (q *connection) lines(path string, cfg config.Config, p hubspotcrm.PortalInfo, public string) error {
	account := []string{"kind: hubspot", "token: " + q.token, fmt.Sprintf("portal_id: %d", p.Portal)}
	if q.baseURL != "" {
		account = append(account, "base_url: "+q.baseURL)
	}
	for _, f := range [][2]string{{"tier", p.Tier}, {"time_zone", p.TimeZone}, {"currency", p.Currency}} {
		if f[1] != "" {
			account = append(account, f[0]+": "+f[1])
		}
	}
	source := []string{"kind: hubspot", "account: " + q.account, "client_secret: " + q.clientSecret}
	type entry struct {
		section, name string
		value         []string
	}
	entries := []entry{{"accounts", q.account, account}, {"sources", q.source, source}}
	if strings.TrimSuffix(cfg.HTTP.PublicURL, "/") != public {
		entries = append([]entry{{"http", "public_url: " + public, nil}}, entries...)
	}
	if !q.write {
		fmt.Fprintf(q.out, "\nadd to %s (or run it again with --write):\n", path)
		for _, e := range entries {
			fmt.Fprintf(q.out, "\n%s:\n%s", e.section, entryLines("  ", e.name, e.value))
		}
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(b)
	for _, e := range entries {
		if text, err = withEntry(text, e.section, e.name, e.value); err != nil {
			return wrong(fmt.Errorf("%s: %w; nothing was written: run it without --write and add the lines by hand", path, err))
		}
	}
	if _, err := config.Parse(path, []byte(text), catalog.Kinds()); err != nil {
		return wrong(fmt.Errorf("with the lines added the configuration would be wrong, so nothing was written: %w", err))
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	_, err = fmt.Fprintf(q.out, "wrote accounts.%s and sources.%s into %s\n", q.account, q.source, path)
	return err
}

func entryLines(indent, name string, value []string) string {
	if len(value) == 0 {
		return indent + name + "\n"
	}
	var b strings.Builder
	b.WriteString(indent + name + ":\n")
	for _, v := range value {
		b.WriteString(indent + indent + v + "\n")
	}
	return b.String()
}

// withEntry puts an entry first into a section of a YAML text, or the section at its end. Comments
// and all else stay as they are; a section that is written on one line is an error.
func withEntry(text, section, name string, value []string) (string, error) {
	lines := strings.SplitAfter(text, "\n")
	head := regexp.MustCompile(`^` + regexp.QuoteMeta(section) + `:(.*)`)
	for i, line := range lines {
		m := head.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		if rest, _, _ := strings.Cut(m[1], "#"); strings.TrimSpace(rest) != "" {
			return "", fmt.Errorf("%s (line %d) is written on one line", section, i+1)
		}
		indent := "  "
		for _, next := range lines[i+1:] {
			if body := strings.TrimLeft(next, " "); strings.TrimSpace(body) != "" && body[0] != '#' {
				if n := len(next) - len(body); n > 0 {
					indent = next[:n]
				}
				break
			}
		}
		return strings.Join(slices.Insert(lines, i+1, entryLines(indent, name, value)), ""), nil
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + "\n" + section + ":\n" + entryLines("  ", name, value), nil
}
