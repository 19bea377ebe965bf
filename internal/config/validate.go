package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/destinations"
)

var (
	nameShape     = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,40}$`)
	prefixShape   = regexp.MustCompile(`^[a-zA-Z0-9._-]*$`)
	databaseShape = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,62}$`)
	currencyShape = regexp.MustCompile(`^[A-Z]{3}$`)
	hostShape     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)
	countryShape  = regexp.MustCompile(`^[A-Z]{2}$`)
)

func (c *Config) validate(s *destinations.Section, kinds []destinations.Kind) {
	c.validateHTTP(s)
	c.validateLog(s)
	c.validateWarehouse(s)
	c.validateDelivery(s)
	c.validateIdentity(s)
	c.validateAlerts(s)
	c.validateInstance(s)
	secrets := c.Secrets()
	for _, path := range keys(secrets) {
		if err := secrets[path].check(); err != nil {
			s.Problem(path, "%s: %v", path, err)
		}
	}
	for _, name := range keys(c.Sources) {
		c.validateSource(s, name, c.Sources[name])
	}
	byName := map[string]destinations.Kind{}
	for _, k := range kinds {
		byName[k.Name] = k
	}
	for _, name := range keys(c.Accounts) {
		c.validateAccount(s, name, c.Accounts[name])
		c.validateOAuth(s, "accounts."+name, c.Accounts[name].OAuth, c.Accounts[name].Token, byName[c.Accounts[name].Kind])
	}
	for _, name := range keys(c.Destinations) {
		c.validateDestination(s, name, c.Destinations[name], byName)
	}
}

func (c *Config) validateHTTP(s *destinations.Section) {
	if strings.TrimSpace(c.DataDir) == "" {
		s.Problem("data_dir", "data_dir is empty: name a folder")
	}
	address(s, "http.listen", c.HTTP.Listen)
	webAddress(s, "http.public_url", c.HTTP.PublicURL)
	c.validateLimits(s)
	together(s, "http", c.HTTP.CertFile, c.HTTP.KeyFile)
	if c.HTTP.ClientCAFile != "" && c.HTTP.CertFile == "" {
		s.Problem("http.client_ca_file", "http.client_ca_file needs cert_file and key_file: client certificates are shown over TLS only")
	}
	for i, p := range c.HTTP.TrustedProxies {
		if _, err := Network(p); err != nil {
			s.Problem(fmt.Sprintf("http.trusted_proxies.%d", i), "%q is no address and no network: write 10.0.0.7 or 10.0.0.0/8", p)
		}
	}
}

func (c *Config) validateLog(s *destinations.Section) {
	l := c.Log
	destinations.Within(s, "log.partitions", l.Partitions, 1, 256)
	destinations.Within(s, "log.retention", l.Retention, time.Hour, 10*year)
	destinations.Within(s, "log.deliveries_retention", l.Deliveries, time.Hour, 10*year)
	destinations.Within(s, "log.session_timeout", l.Session, 100*time.Millisecond, 5*time.Minute)
	destinations.Within(s, "log.embedded.max_bytes", l.Embedded.MaxBytes, 8<<20, 1<<40)
	destinations.Within(s, "log.embedded.segment_bytes", l.Embedded.SegmentBytes, 1<<16, 1<<30)
	destinations.Within(s, "log.embedded.port", l.Embedded.Port, 0, 65535)
	if !prefixShape.MatchString(l.Prefix) {
		s.Problem("log.prefix", "log.prefix %q may hold letters, digits, '.', '_' and '-' only", l.Prefix)
	}
	for i, b := range l.Brokers {
		address(s, fmt.Sprintf("log.brokers.%d", i), b)
	}
	if l.SASL.Mechanism != "" {
		s.OneOf("log.sasl.mechanism", l.SASL.Mechanism, "plain", "scram-sha-256", "scram-sha-512")
		if l.SASL.Username == "" || l.SASL.Password == "" {
			s.Problem("log.sasl", "log.sasl needs username and password")
		}
	} else if l.SASL.Username != "" || l.SASL.Password != "" {
		s.Problem("log.sasl", "log.sasl needs mechanism: plain, scram-sha-256 or scram-sha-512")
	}
	if len(l.Brokers) == 0 && (l.SASL.Mechanism != "" || l.TLS.Enabled) {
		s.Problem("log", "log.tls and log.sasl need log.brokers: the embedded log listens on loopback only")
	}
	l.TLS.validate(s, "log.tls")
}

func (c *Config) validateWarehouse(s *destinations.Section) {
	w := c.Warehouse
	webAddress(s, "warehouse.url", w.URL)
	if !databaseShape.MatchString(w.Database) {
		s.Problem("warehouse.database", "warehouse.database %q must be letters, digits and '_', a letter first", w.Database)
	}
	destinations.Within(s, "warehouse.embedded.port", w.Embedded.Port, 0, 65535)
	if w.URL == "" && (w.User != "" || w.Password != "" || w.TLS != TLS{}) {
		s.Problem("warehouse", "warehouse.user, password and tls need warehouse.url: the embedded engine makes its own")
	}
	if w.URL != "" && c.DataKey == "" {
		s.Problem("warehouse.url", "warehouse.url needs data_key, the key that sealed receipts and events are opened with: a key made in data_dir would be unknown to a second process and lost with the folder, and what a ClickHouse server holds could not be read again. "+
			"Make one with: openssl rand -hex 32 > data.key, write data_key: file:data.key, and keep a copy (a router that made its own has it in data_dir/data.key: name that file)")
	}
	w.TLS.validate(s, "warehouse.tls")
	if w.TLS.Enabled && strings.HasPrefix(w.URL, "http://") {
		s.Problem("warehouse.tls", "warehouse.tls needs a warehouse.url that begins with https://")
	}
}

func (t TLS) validate(s *destinations.Section, path string) {
	together(s, path, t.CertFile, t.KeyFile)
	if !t.Enabled && t != (TLS{}) {
		s.Problem(path, "%s names files but is not enabled: add enabled: true", path)
	}
}

func (c *Config) validateDelivery(s *destinations.Section) {
	d := c.Delivery
	destinations.Within(s, "delivery.await_identity", d.AwaitFor, 0, year)
	destinations.Within(s, "delivery.retry_for", d.RetryFor, 0, year)
	destinations.Within(s, "delivery.backoff_min", d.BackoffMin, time.Millisecond, time.Hour)
	destinations.Within(s, "delivery.backoff_max", d.BackoffMax, time.Millisecond, 24*time.Hour)
	destinations.Within(s, "delivery.reconcile_every", d.ReconcileEvery, 0, year)
	destinations.Within(s, "replay.per_second", c.Replay.PerSecond, 1, 100_000)
	destinations.Within(s, "replay.ahead", c.Replay.Ahead, 1, 1_000_000)
	if d.BackoffMin > d.BackoffMax {
		s.Problem("delivery.backoff_max", "delivery.backoff_max (%v) is less than delivery.backoff_min (%v)", d.BackoffMax, d.BackoffMin)
	}
}

func (c *Config) validateAccount(s *destinations.Section, name string, a Account) {
	at := "accounts." + name
	named(s, at, "account", name)
	oneOf(s, at, "kind", a.Kind, "hubspot")
	webAddress(s, at+".base_url", a.BaseURL)
	a.validateBudget(s, at)
	if a.PortalID < 0 {
		s.Problem(at+".portal_id", "%s.portal_id must not be negative", at)
	}
	if every := a.Reconciles(); every != 0 && (every < time.Minute || every > 7*24*time.Hour) {
		s.Problem(at+".reconcile_every", "%s.reconcile_every is %v: it must be from 1m to 168h, or 0s for only when asked", at, every)
	}
	if j := a.Journal; j.Given() && (j.ClientID == "" || j.ClientSecret == "") {
		s.Problem(at+".journal", "%s.journal needs client_id and client_secret: those of the platform app with the scope developer.webhooks_journal.read", at)
	}
	if a.Journal.Given() && a.PortalID == 0 {
		s.Problem(at+".journal", "%s.journal needs %s.portal_id: the journal tells of every portal that has the app, and records of two portals may have the same ids", at, at)
	}
	for i, host := range a.Journal.FileHosts {
		if name := strings.TrimPrefix(host, "*."); !hostShape.MatchString(name) {
			s.Problem(fmt.Sprintf("%s.journal.file_hosts.%d", at, i), "%q is no host: write files.example.com, or *.example.com for any below it", host)
		}
	}
	if a.AppID < 0 {
		s.Problem(at+".app_id", "%s.app_id must not be negative", at)
	}
	currency(s, at+".currency", a.Currency)
	country(s, at+".region", a.Region)
}

var sourceKinds = []string{"crm", "hubspot", "website", "meta_api", "hook", "segment"}

func (c *Config) validateSource(s *destinations.Section, name string, src Source) {
	at := "sources." + name
	named(s, at, "source", name)
	oneOf(s, at, "kind", src.Kind, sourceKinds...)
	if src.Account != "" && src.Account != "hubspot" {
		s.OneOf(at+".account", src.Account, keys(c.Accounts)...)
	}
	for i, v := range src.Signatures {
		s.OneOf(fmt.Sprintf("%s.signatures.%d", at, i), v, "v1", "v2", "v3")
	}
	if slices.Contains(sourceKinds, src.Kind) && src.Kind != "hubspot" && src.ClientSecret != "" {
		s.Problem(at+".client_secret", "%s.client_secret is only for sources of kind hubspot; other callers use a key", at)
	}
	c.validateHubSpot(s, at, src)
	c.validateHook(s, at, src)
	rateOf(s, at, "", src.Rate, src.Burst)
	c.validateWebsite(s, at, src)
	currency(s, at+".currency", src.Currency)
	country(s, at+".region", src.Region)
}

func (c *Config) validateDestination(s *destinations.Section, name string, d Destination, kinds map[string]destinations.Kind) {
	at := "destinations." + name
	named(s, at, "destination", name)
	oneOf(s, at, "kind", d.Kind, keys(kinds)...)
	oneOf(s, at, "mode", d.Mode, "dry_run", "test", "live", "paused", "disabled")
	webAddress(s, at+".base_url", d.BaseURL)
	if d.Ambiguous != "" {
		s.OneOf(at+".ambiguous", d.Ambiguous, string(destinations.Resend), string(destinations.Hold), string(destinations.Look))
	}
	if d.Contact != "" {
		s.OneOf(at+".deal_contact", d.Contact, string(destinations.LatestClick), string(destinations.Primary), string(destinations.Earliest))
	}
	if d.AwaitFor != nil {
		destinations.Within(s, at+".await_identity", *d.AwaitFor, 0, year)
	}
	k, ok := kinds[d.Kind]
	if !ok {
		return
	}
	if d.Mode == "test" && k.TestMode == nil {
		s.Problem(at+".mode", "%s has no test facility; use dry_run or live", d.Kind)
	}
	c.validateOAuth(s, at, d.OAuth, d.Token, k)
	section := d.Settings
	if section.Kind == 0 {
		section = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	dest, problems := k.New(&section)
	for _, p := range problems {
		s.Place(p, at)
	}
	needs := k.Credential != ""
	if a, configured := dest.(destinations.Authorizer); configured && len(problems) == 0 {
		needs = a.NeedsSecret()
	}
	if d.Mode == "test" && k.TestMode != nil && len(problems) == 0 && !k.TestMode(dest).Contract().Test {
		s.Problem(at+".mode", "%s.mode is test, and the settings name no way to test (for meta: test_event_code): its events would be live ones", at)
	}
	if (d.Mode == "live" || d.Mode == "test") && d.Token == "" && !s.Given(at+".oauth") && needs {
		s.Problem(at, "%s is %s and needs a token: %s", at, d.Mode, k.Credential)
	}
	if _, can := dest.(destinations.Seeker); d.Ambiguous == string(destinations.Look) && len(problems) == 0 && !can {
		s.Problem(at+".ambiguous", "%s.ambiguous: %s has no way to look whether something arrived; use resend or hold", at, d.Kind)
	}
	if len(problems) == 0 {
		c.validateSharing(s, name, d, dest.Contract().Account)
	}
	if t, asks := dest.(destinations.Tokened); asks && len(problems) == 0 {
		if why := t.TokenProblem(s.Given(at + ".oauth")); why != "" {
			s.Problem(at, "%s: %s", at, why)
		}
	}
}

const year = 365 * 24 * time.Hour

func named(s *destinations.Section, at, what, name string) {
	if !nameShape.MatchString(name) {
		s.Problem(at, "the %s's name %q may hold lower-case letters, digits, '_' and '-', a letter first", what, name)
	}
}

// oneOf is a setting that must be there and be one of those known.
func oneOf(s *destinations.Section, at, field, v string, known ...string) {
	path := at + "." + field
	if !s.Given(path) {
		s.Problem(at, "%s is missing: it is one of %s", path, strings.Join(known, ", "))
		return
	}
	s.OneOf(path, v, known...)
}

func address(s *destinations.Section, path, v string) {
	if _, port, err := net.SplitHostPort(v); err != nil || port == "" {
		s.Problem(path, "%s is %q; it must be host:port", path, v)
	}
}

func webAddress(s *destinations.Section, path, v string) {
	if v == "" {
		return
	}
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		s.Problem(path, "%s must begin with http:// or https:// and name a host", path)
	case u.User != nil:
		s.Problem(path, "%s must hold no user and no password: there are settings for them", path)
	}
}

func together(s *destinations.Section, path, cert, key string) {
	if (cert == "") != (key == "") {
		s.Problem(path, "%[1]s.cert_file and %[1]s.key_file go together", path)
	}
}

func currency(s *destinations.Section, path, v string) {
	if v != "" && !currencyShape.MatchString(v) {
		s.Problem(path, "%s is %q; it must be an ISO 4217 code such as EUR", path, v)
	}
}

func country(s *destinations.Section, path, v string) {
	if v != "" && !countryShape.MatchString(v) {
		s.Problem(path, "%s is %q; it must be an ISO 3166 code such as DE", path, v)
	}
}
