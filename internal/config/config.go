// Package config reads the one configuration file: strictly, over defaults, every
// mistake at once with its line and column. Secrets stand in the environment or in
// files of their own; the configuration only says where.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/destinations"
)

// A Config is the whole configuration. Default says what holds where the file is silent.
type Config struct {
	DataDir      string                 `yaml:"data_dir"`
	Instance     string                 `yaml:"instance"` // what vendors and records know this process by; empty: random at every start
	DataKey      Secret                 `yaml:"data_key"` // 64 hex digits; empty, with the embedded warehouse: generated in data_dir
	HTTP         HTTP                   `yaml:"http"`
	Log          Log                    `yaml:"log"`
	Warehouse    Warehouse              `yaml:"warehouse"`
	Mapping      []string               `yaml:"mapping"` // files; empty: the shipped default
	Accounts     map[string]Account     `yaml:"accounts"`
	Sources      map[string]Source      `yaml:"sources"`
	Destinations map[string]Destination `yaml:"destinations"`
	Identity     Identity               `yaml:"identity"`
	Delivery     Delivery               `yaml:"delivery"`
	Alerts       Alerts                 `yaml:"alerts"`
	Replay       Replay                 `yaml:"replay"`
}

// HTTP is the way in.
type HTTP struct {
	Listen    string `yaml:"listen"`
	PublicURL string `yaml:"public_url"` // as the outside sees it: two of HubSpot's signatures cover it
	CertFile  string `yaml:"cert_file"`
	KeyFile   string `yaml:"key_file"`
	// ClientCAFile holds the authorities whose client certificates are believed: see Auth.
	ClientCAFile string `yaml:"client_ca_file"`
	// TrustedProxies are addresses or networks whose X-Forwarded-For, -Proto and -Host are believed.
	TrustedProxies []string `yaml:"trusted_proxies"`
	Limits         Limits   `yaml:"limits"`
}

// Log says which log: embedded where no broker is named.
type Log struct {
	Brokers    []string      `yaml:"brokers"`
	Prefix     string        `yaml:"prefix"`
	Partitions int           `yaml:"partitions"`
	Retention  time.Duration `yaml:"retention"`
	Deliveries time.Duration `yaml:"deliveries_retention"`
	TLS        TLS           `yaml:"tls"`
	SASL       SASL          `yaml:"sasl"`
	Session    time.Duration `yaml:"session_timeout"`
	Embedded   EmbeddedLog   `yaml:"embedded"`
}

// TLS of a connection to a broker or a warehouse.
type TLS struct {
	Enabled  bool   `yaml:"enabled"`
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// SASL of a connection to a broker.
type SASL struct {
	Mechanism string `yaml:"mechanism"` // plain, scram-sha-256, scram-sha-512
	Username  string `yaml:"username"`
	Password  Secret `yaml:"password"`
}

// EmbeddedLog are the settings of the broker inside this process.
type EmbeddedLog struct {
	Port         int   `yaml:"port"` // 0: any free one
	MaxBytes     int64 `yaml:"max_bytes"`
	SegmentBytes int64 `yaml:"segment_bytes"`
}

// Warehouse says which ClickHouse: embedded where no URL is given.
type Warehouse struct {
	URL      string            `yaml:"url"`
	User     string            `yaml:"user"`
	Password Secret            `yaml:"password"`
	Database string            `yaml:"database"`
	TLS      TLS               `yaml:"tls"`
	Embedded EmbeddedWarehouse `yaml:"embedded"`
}

// EmbeddedWarehouse are the settings of the ClickHouse engine in a child process.
type EmbeddedWarehouse struct {
	Library string `yaml:"library"` // path of libchdb.so; empty: looked for
	Port    int    `yaml:"port"`    // 0: any free one
}

// An Account is a connected CRM account: where bare webhooks are completed from, and whose
// limits all that calls it shares.
type Account struct {
	Kind     string  `yaml:"kind"` // hubspot
	BaseURL  string  `yaml:"base_url"`
	Token    Secret  `yaml:"token"`
	OAuth    OAuth   `yaml:"oauth"`            // instead of token
	Tier     string  `yaml:"tier"`             // what sizes the limits: free, starter, professional, enterprise, oauth; "" is free
	Per10s   int     `yaml:"requests_per_10s"` // of the whole account; 0: the tier's
	PerDay   int     `yaml:"requests_per_day"` // of the whole account; 0: the tier's
	TimeZone string  `yaml:"time_zone"`        // of the account: its day ends at midnight there; "": not known
	Share    float64 `yaml:"share"`            // this process's part, as in Budget
	Shares   Shares  `yaml:"shares"`
	PortalID int64   `yaml:"portal_id"`
	AppID    int64   `yaml:"app_id"`   // of the app whose token this router writes with, and nobody else: its own changes are then recognised
	Currency string  `yaml:"currency"` // of deals that name none
	Region   string  `yaml:"region"`   // ISO country of phone numbers without a country code
	// ReconcileEvery is how often its changes are compared with what webhooks told; nil: every hour,
	// 0: only when asked.
	ReconcileEvery *time.Duration `yaml:"reconcile_every"`
	Journal        Journal        `yaml:"journal"`
}

// Journal is the app that may read the account's webhooks journal.
type Journal struct {
	ClientID     string   `yaml:"client_id"`
	ClientSecret Secret   `yaml:"client_secret"`
	FileHosts    []string `yaml:"file_hosts"` // from which its files may be fetched; none: HubSpot's own
}

// Given is true where the section is there.
func (j Journal) Given() bool {
	return j.ClientID != "" || j.ClientSecret != "" || len(j.FileHosts) > 0
}

// Reconciles is how often an account's changes are compared by themselves; 0: not.
func (a Account) Reconciles() time.Duration {
	if a.ReconcileEvery == nil {
		return time.Hour
	}
	return *a.ReconcileEvery
}

// A Source is a configured way in.
type Source struct {
	Kind         string   `yaml:"kind"` // crm, hubspot, website, meta_api, hook, segment
	Account      string   `yaml:"account"`
	ClientSecret Secret   `yaml:"client_secret"` // hubspot: of the app whose webhooks these are
	Signatures   []string `yaml:"signatures"`    // hubspot: v1, v2, v3
	Workflow     Workflow `yaml:"workflow"`      // hubspot: what the account's workflows show
	Region       string   `yaml:"region"`
	Currency     string   `yaml:"currency"`
	Auth         Auth     `yaml:"auth"`    // hook: how its sender proves who it is
	Allow        []string `yaml:"allow"`   // hook: addresses or networks it may come from; none: any
	Origins      []string `yaml:"origins"` // website: of the pages; none: any
	Cookie       Cookie   `yaml:"cookie"`  // website: the first-party id as the router sets it; none: only the page's script does
	Bots         string   `yaml:"bots"`    // website: what becomes of what no person saw: quarantine, refuse, keep; "" is quarantine
	Respect      []string `yaml:"respect"` // website: signals of the browser that count as a no to advertising: gpc, dnt
	Rate         string   `yaml:"rate"`    // of requests that are proven without a key of ours; "": http.limits.rate
	Burst        int      `yaml:"burst"`
}

// A Destination is a configured way out.
type Destination struct {
	Kind         string `yaml:"kind"`
	Mode         string `yaml:"mode"` // dry_run, test, live, paused, disabled
	BaseURL      string `yaml:"base_url"`
	AllowPrivate bool   `yaml:"allow_private"`
	Token        Secret `yaml:"token"`
	OAuth        OAuth  `yaml:"oauth"` // instead of token
	// Ambiguous, where not "", says what becomes of attempts whose answer never came, instead
	// of what is usual for the vendor: resend, hold or look.
	Ambiguous string         `yaml:"ambiguous"`
	AwaitFor  *time.Duration `yaml:"await_identity"` // nil: delivery.await_identity
	Contact   string         `yaml:"deal_contact"`   // whose identifiers an event about a deal carries: latest_click, primary, earliest
	Budget    Budget         `yaml:"budget"`         // where the account has no section of its own
	Settings  yaml.Node      `yaml:"settings"`       // the vendor's own
}

// Replay paces replays of many events.
type Replay struct {
	PerSecond int   `yaml:"per_second"` // orders given to the lanes
	Ahead     int64 `yaml:"ahead"`      // orders that a lane may have to decide on while more are given
}

// Delivery are the settings of every lane.
type Delivery struct {
	AwaitFor   time.Duration `yaml:"await_identity"`
	RetryFor   time.Duration `yaml:"retry_for"`
	BackoffMin time.Duration `yaml:"backoff_min"`
	BackoffMax time.Duration `yaml:"backoff_max"`
	// ReconcileEvery is how often the books are reconciled by themselves; 0: only when asked.
	ReconcileEvery time.Duration `yaml:"reconcile_every"`
}

// Default is what holds where the file says nothing.
func Default() Config {
	return Config{
		DataDir: "data",
		HTTP:    HTTP{Listen: "127.0.0.1:8080", Limits: defaultLimits()},
		Log: Log{
			Prefix: "tributary.", Partitions: 2, Retention: 30 * 24 * time.Hour, Deliveries: 180 * 24 * time.Hour,
			Session: 10 * time.Second, Embedded: EmbeddedLog{MaxBytes: 2 << 30, SegmentBytes: 64 << 20},
		},
		Warehouse: Warehouse{Database: "tributary"},
		Identity:  Identity{Crowd: 10, CrowdRecord: 50, Limit: 100},
		Delivery:  Delivery{AwaitFor: 24 * time.Hour, RetryFor: 72 * time.Hour, BackoffMin: time.Second, BackoffMax: 15 * time.Minute, ReconcileEvery: time.Hour},
		Alerts:    Alerts{Settle: 10 * time.Second},
		Replay:    Replay{PerSecond: 50, Ahead: 1000},
	}
}

// A Mistake is one thing wrong in a configuration file, at its place.
type Mistake struct {
	File         string
	Line, Column int
	Message      string
}

func (m Mistake) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Message)
}

// Load reads a file. The error joins every Mistake. Paths in it are relative to the
// file's own folder.
func Load(path string, kinds []destinations.Kind) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w (tributary init writes one)", err)
	}
	c, err := Parse(path, text, kinds)
	if err != nil {
		return Config{}, err
	}
	c.rebase(filepath.Dir(path))
	return c, nil
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// Parse reads a configuration text; name stands for it in messages.
func Parse(name string, text []byte, kinds []destinations.Kind) (Config, error) {
	c := Default()
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		m := Mistake{File: name, Line: 1, Column: 1, Message: err.Error()}
		if p := yamlLine.FindStringSubmatch(err.Error()); p != nil {
			fmt.Sscan(p[1], &m.Line)
			m.Message = "not YAML: " + p[2]
		}
		return c, m
	}
	s := destinations.Decode(&doc, &c)
	if err := d.Decode(&more); err == nil && doc.Kind != 0 {
		return c, Mistake{File: name, Line: more.Line, Column: 1, Message: "a second document begins here; there is one configuration in a file"}
	}
	c.validate(s, kinds)
	var errs []error
	for _, p := range s.Problems() {
		errs = append(errs, Mistake{File: name, Line: max(p.Line, 1), Column: max(p.Column, 1), Message: p.Message})
	}
	return c, errors.Join(errs...)
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Secrets lists every secret by its path in the file; those not given are "".
func (c *Config) Secrets() map[string]Secret {
	out := map[string]Secret{"data_key": c.DataKey, "log.sasl.password": c.Log.SASL.Password, "warehouse.password": c.Warehouse.Password, "alerts.secret": c.Alerts.Secret}
	if c.Alerts.URL.check() == nil {
		out["alerts.url"] = c.Alerts.URL
	}
	for n, a := range c.Accounts {
		out["accounts."+n+".token"] = a.Token
		out["accounts."+n+".journal.client_secret"] = a.Journal.ClientSecret
		out["accounts."+n+".oauth.client_secret"], out["accounts."+n+".oauth.refresh_token"] = a.OAuth.ClientSecret, a.OAuth.RefreshToken
	}
	for n, s := range c.Sources {
		out["sources."+n+".client_secret"], out["sources."+n+".auth.secret"] = s.ClientSecret, s.Auth.Secret
		out["sources."+n+".workflow.secret"] = s.Workflow.Secret
	}
	for n, d := range c.Destinations {
		out["destinations."+n+".token"] = d.Token
		out["destinations."+n+".oauth.client_secret"], out["destinations."+n+".oauth.refresh_token"] = d.OAuth.ClientSecret, d.OAuth.RefreshToken
	}
	return out
}

// rebase makes the paths of the file absolute: they are relative to its folder.
func (c *Config) rebase(dir string) {
	abs := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	abs(&c.DataDir)
	for i := range c.Mapping {
		abs(&c.Mapping[i])
	}
	for _, p := range []*string{&c.HTTP.CertFile, &c.HTTP.KeyFile, &c.HTTP.ClientCAFile, &c.Log.TLS.CAFile, &c.Log.TLS.CertFile, &c.Log.TLS.KeyFile,
		&c.Warehouse.TLS.CAFile, &c.Warehouse.TLS.CertFile, &c.Warehouse.TLS.KeyFile, &c.Warehouse.Embedded.Library} {
		abs(p)
	}
	base := func(s *Secret) {
		if p, ok := strings.CutPrefix(string(*s), "file:"); ok && !filepath.IsAbs(p) {
			*s = Secret("file:" + filepath.Join(dir, p))
		}
	}
	base(&c.DataKey)
	base(&c.Log.SASL.Password)
	base(&c.Warehouse.Password)
	base(&c.Alerts.URL)
	base(&c.Alerts.Secret)
	for n, a := range c.Accounts {
		base(&a.Token)
		base(&a.OAuth.ClientSecret)
		base(&a.OAuth.RefreshToken)
		base(&a.Journal.ClientSecret)
		c.Accounts[n] = a
	}
	for n, s := range c.Sources {
		base(&s.ClientSecret)
		base(&s.Auth.Secret)
		base(&s.Workflow.Secret)
		c.Sources[n] = s
	}
	for n, d := range c.Destinations {
		base(&d.Token)
		base(&d.OAuth.ClientSecret)
		base(&d.OAuth.RefreshToken)
		c.Destinations[n] = d
	}
}
