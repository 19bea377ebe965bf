package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/internal/config"
	"tributary/internal/hubspotcrm"
)

// checkHubSpotCommand looks at both sides of a connection to HubSpot.
func checkHubSpotCommand(o *options) *cobra.Command {
	var developerKey string
	c := &cobra.Command{
		Use: "hubspot [ACCOUNT]", Short: "Ask HubSpot whether an account is connected as it should be: token, scopes, tier, portal, subscriptions, target URL; changes nothing there", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load(o.config, catalog.Kinds())
			if err != nil {
				return wrong(err)
			}
			names := sortedKeys(cfg.Accounts)
			if len(args) == 1 {
				if _, ok := cfg.Accounts[args[0]]; !ok {
					return wrong(fmt.Errorf("there is no account %q in the configuration; there are %s%s", args[0], words(names), suggestion(args[0], names)))
				}
				names = args
			}
			if len(names) == 0 {
				return wrong(errors.New("the configuration has no accounts; tributary connect hubspot adds one"))
			}
			key, err := config.Secret(developerKey).Where()
			if err != nil {
				return wrong(fmt.Errorf("--developer-key: %w", err))
			}
			k := hubspotChecker{checker: checker{w: c.OutOrStdout()}, cfg: cfg, developerKey: key}
			for _, name := range names {
				k.account(c.Context(), name)
			}
			if k.failed {
				return wrong(errors.New("something must be mended first"))
			}
			return nil
		},
	}
	c.Flags().StringVar(&developerKey, "developer-key", "", "where the developer API key of a public app stands, env:NAME or file:PATH: its subscriptions can then be looked at")
	return c
}

// A hubspotChecker checks accounts of HubSpot.
type hubspotChecker struct {
	checker
	cfg          config.Config
	developerKey string
}

func (k *hubspotChecker) account(ctx context.Context, name string) {
	a := k.cfg.Accounts[name]
	look := hubspotcrm.Look{BaseURL: crmURL(a), HTTP: delivery.NewClient(a.BaseURL != "")}
	token, err := k.token(ctx, name, a)
	if err != nil {
		k.say("error", "account %s: %v", name, err)
		return
	}
	portal, err := look.Portal(ctx, token)
	if err != nil {
		k.say("error", "account %s: %v. Copy it again: %s", name, err, privateApps("app.hubspot.com", a.PortalID, 0))
		return
	}
	info := k.whose(ctx, look, name, a, token)
	k.portal(name, a, portal, info)
	k.scopes(name, portal, info)
	k.sources(ctx, look, name, portal, info)
}

// token gives the account's access token, refreshed where it is one to refresh.
func (k *hubspotChecker) token(ctx context.Context, name string, a config.Account) (string, error) {
	key := make([]byte, 32)
	if a.OAuth.Given() {
		var err error
		if key, err = dataKey(k.cfg); err != nil {
			return "", err
		}
	}
	c, err := newCredentials(k.cfg, key, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	return c.ofAccount(name, a).secret(ctx)
}

// whose says whose the token is.
func (k *hubspotChecker) whose(ctx context.Context, look hubspotcrm.Look, name string, a config.Account, token string) hubspotcrm.TokenInfo {
	var info hubspotcrm.TokenInfo
	var err error
	if a.OAuth.Given() {
		var secret string
		if secret, err = a.OAuth.ClientSecret.Value(); err == nil {
			info, err = look.Introspect(ctx, token, a.OAuth.ClientID, secret)
		}
	} else {
		info, err = look.Private(ctx, token)
	}
	switch {
	case errors.Is(err, hubspotcrm.ErrNoSuchToken):
		k.say("warn", "account %s: the token works and is no private app's: a service key, or a platform app's. HubSpot does not tell its scopes, and a service key gets no webhooks", name)
	case err != nil:
		k.say("error", "account %s: what the token may do cannot be told: %v", name, err)
	default:
		k.say("ok", "account %s: the token of %s %d works", name, info.Kind, info.App)
	}
	return info
}

// portal holds what the configuration says of the account against what the account says.
func (k *hubspotChecker) portal(name string, a config.Account, p hubspotcrm.PortalInfo, info hubspotcrm.TokenInfo) {
	at := "accounts." + name
	switch a.PortalID {
	case p.Portal:
		k.say("ok", "account %s: portal %d", name, p.Portal)
	case 0:
		k.say("warn", "account %s: %s.portal_id is not set: write portal_id: %d, so that webhooks of another portal are told apart", name, at, p.Portal)
	default:
		k.say("error", "account %s: %s.portal_id is %d, and the token is of portal %d", name, at, a.PortalID, p.Portal)
	}
	tier := p.Tier
	if info.Kind == "OAuth app" {
		tier = "oauth"
	}
	switch set := a.Tier; {
	case tier == "":
		k.say("warn", "account %s: HubSpot does not tell the account's limits; %s.tier stays as it is", name, at)
	case set == tier, set == "" && tier == "free", set == "starter" && tier == "free":
		k.say("ok", "account %s: tier %s", name, tier)
	case set == "":
		k.say("warn", "account %s: %s.tier is not set and counts as free: write tier: %s to use what HubSpot grants", name, at, tier)
	default:
		k.say("error", "account %s: %s.tier is %s, and HubSpot grants what it grants %s", name, at, set, tier)
	}
	if a.TimeZone == "" && p.TimeZone != "" {
		k.say("warn", "account %s: %s.time_zone is not set: write time_zone: %s, where its day of requests ends", name, at, p.TimeZone)
	}
	if a.AppID != 0 && info.App != 0 && a.AppID != info.App {
		k.say("error", "account %s: %s.app_id is %d, and the token is of app %d", name, at, a.AppID, info.App)
	}
}

// neededScopes are what completing webhooks reads, and what writing back needs; good has those that
// are only worth having.
func (k *hubspotChecker) neededScopes(name string) (needed, good []string) {
	needed = []string{"crm.objects.contacts.read", "crm.objects.companies.read", "crm.objects.deals.read"}
	good = []string{"crm.schemas.contacts.read", "crm.schemas.companies.read", "crm.schemas.deals.read", "crm.objects.owners.read"}
	for _, d := range k.cfg.Destinations {
		if d.Kind == "hubspot" && (d.Mode == "live" || d.Mode == "test") && hubspotAccountOf(d) == name {
			needed, good = append(needed, "crm.objects.contacts.write"), append(good, "crm.schemas.contacts.write")
			break
		}
	}
	return needed, good
}

// hubspotAccountOf names the CRM account that a destination writes to.
func hubspotAccountOf(d config.Destination) string {
	var s struct {
		Account string `yaml:"account"`
	}
	if d.Settings.Decode(&s) != nil || s.Account == "" {
		return "hubspot"
	}
	return s.Account
}

func (k *hubspotChecker) scopes(name string, p hubspotcrm.PortalInfo, info hubspotcrm.TokenInfo) {
	if info.Kind == "" {
		return
	}
	needed, good := k.neededScopes(name)
	if missing := hubspotcrm.Missing(needed, info.Scopes); len(missing) > 0 {
		k.say("error", "account %s: the token lacks the scopes %s: add them (Scopes) and save: %s", name, words(missing), privateApps(p.UI, p.Portal, info.App))
	} else {
		k.say("ok", "account %s: the token has the scopes that are needed", name)
	}
	if missing := hubspotcrm.Missing(good, info.Scopes); len(missing) > 0 {
		k.say("warn", "account %s: without the scopes %s, labels of stages, types of properties or owners are not known", name, words(missing))
	}
}

// sources looks at the ways in from this account.
func (k *hubspotChecker) sources(ctx context.Context, look hubspotcrm.Look, name string, p hubspotcrm.PortalInfo, info hubspotcrm.TokenInfo) {
	found := false
	for _, source := range sortedKeys(k.cfg.Sources) {
		s := k.cfg.Sources[source]
		if s.Kind != "hubspot" || accountOf(s) != name {
			continue
		}
		found = true
		target := k.target(ctx, source)
		if s.ClientSecret != "" {
			k.clientSecret(source, s, p, info)
			k.subscriptions(ctx, look, source, target, p, info)
		}
		k.say("ok", "source %s: a workflow's \"Send a webhook\" goes to %s/workflow (%s): https://%s/workflows/%d", source, target, workflowShows(s.Workflow), p.UI, p.Portal)
	}
	if !found {
		k.say("warn", "account %s: no source of kind hubspot belongs to it, so nothing comes in from it: add sources.hubspot_app: {kind: hubspot, account: %s, client_secret: env:…}", name, name)
	}
}

func workflowShows(w config.Workflow) string {
	switch w.Scheme {
	case "key":
		return "with a key of ours as Authorization"
	case "header":
		return "with the secret in the header " + w.Name
	case "query":
		return "with the secret in the query parameter " + w.Name
	}
	return "signed: Include request signature in header"
}

// target says where HubSpot must send, and whether somebody is there.
func (k *hubspotChecker) target(ctx context.Context, source string) string {
	public := strings.TrimSuffix(k.cfg.HTTP.PublicURL, "/")
	path := "/v1/ingest/hubspot/" + source
	switch {
	case public == "":
		k.say("error", "source %s: http.public_url is not set: write the address by which HubSpot reaches this router, such as https://in.example.com", source)
		return "https://…" + path
	case !strings.HasPrefix(public, "https://"):
		k.say("error", "source %s: http.public_url is %s, and HubSpot sends to https only", source, public)
		return public + path
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if r, err := http.NewRequestWithContext(ctx, http.MethodGet, public+"/healthz", nil); err == nil {
		res, err := http.DefaultClient.Do(r)
		if err == nil {
			res.Body.Close()
		}
		if err != nil || res.StatusCode != http.StatusOK {
			k.say("warn", "source %s: nobody answers at %s/healthz from here: start the router, and look at DNS, certificate and proxy", source, public)
		} else {
			k.say("ok", "source %s: a router answers at %s", source, public)
		}
	}
	return public + path
}

// clientSecret tells the mistakes that are made with it.
func (k *hubspotChecker) clientSecret(source string, s config.Source, p hubspotcrm.PortalInfo, info hubspotcrm.TokenInfo) {
	switch v, err := s.ClientSecret.Value(); {
	case err != nil:
		k.say("error", "source %s: client_secret: %v", source, err)
	case strings.HasPrefix(v, "pat-"):
		k.say("error", "source %s: client_secret holds an access token; HubSpot signs with the client secret, below it (Auth): %s", source, privateApps(p.UI, p.Portal, info.App))
	default:
		k.say("ok", "source %s: client_secret can be read", source)
	}
}

// subscriptions says which are missing, or what to tick where HubSpot has no API for that.
func (k *hubspotChecker) subscriptions(ctx context.Context, look hubspotcrm.Look, source, target string, p hubspotcrm.PortalInfo, info hubspotcrm.TokenInfo) {
	wanted := hubspotcrm.Subscriptions()
	if info.Kind != "OAuth app" || k.developerKey == "" {
		why := "HubSpot has no API that tells a private app's"
		if info.Kind == "OAuth app" {
			why = "a public app's can be looked at with --developer-key"
		}
		k.say("to do", "source %s: see that these subscriptions are active and go to %s (%s): %s: %s", source, target, why, strings.Join(wanted, ", "), privateApps(p.UI, p.Portal, info.App))
		return
	}
	have, goes, err := look.Subscribed(ctx, info.App, k.developerKey)
	switch {
	case err != nil:
		k.say("error", "source %s: the app's subscriptions cannot be read: %v", source, err)
		return
	case goes != target:
		k.say("error", "source %s: the app's target URL is %q; it must be %s", source, goes, target)
	}
	if missing := hubspotcrm.Missing(wanted, have); len(missing) > 0 {
		k.say("error", "source %s: the app does not subscribe to %s (or they are not active): https://%s/developer/%d/application/%d", source, strings.Join(missing, ", "), p.UI, p.Portal, info.App)
	} else {
		k.say("ok", "source %s: the app subscribes to all that is needed", source)
	}
}

// privateApps is where a private app is set up.
func privateApps(ui string, portal, app int64) string {
	at := "https://" + ui + "/private-apps"
	if portal != 0 {
		at += fmt.Sprintf("/%d", portal)
	}
	if app != 0 {
		at += fmt.Sprintf("/%d", app)
	}
	return at
}
