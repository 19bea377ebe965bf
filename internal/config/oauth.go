package config

import (
	"net/url"
	"regexp"
	"strings"
	"time"

	"tributary/destinations"
)

// OAuth is a consent that access tokens are refreshed with.
type OAuth struct {
	ClientID     string `yaml:"client_id"`
	ClientSecret Secret `yaml:"client_secret"`
	RefreshToken Secret `yaml:"refresh_token"`
}

// Given is true where the section is there.
func (o OAuth) Given() bool { return o != OAuth{} }

// TokenURL is where a kind's tokens are refreshed. With a base URL of one's own (a
// simulator, a proxy) it is that host's.
func TokenURL(k destinations.OAuth, baseURL string) string {
	u, err := url.Parse(k.TokenURL)
	base, err2 := url.Parse(baseURL)
	if err == nil && err2 == nil && base.Host != "" {
		u.Scheme, u.Host = base.Scheme, base.Host
		return u.String()
	}
	return k.TokenURL
}

func (c *Config) validateOAuth(s *destinations.Section, at string, o OAuth, token Secret, k destinations.Kind) {
	path := at + ".oauth"
	if !o.Given() {
		if s.Given(path) {
			s.Problem(path, "%s is empty: it needs client_id, client_secret and refresh_token", path)
		}
		return
	}
	if token != "" {
		s.Problem(path, "%s and %s.token are both given: keep token where the vendor gave one that lasts, oauth where tokens must be refreshed", path, at)
	}
	if k.OAuth == nil {
		s.Problem(path, "%s: %s gives tokens that last, not ones to refresh; use token", path, k.Name)
	}
	for _, part := range []struct{ name, v string }{
		{"client_id", o.ClientID}, {"client_secret", string(o.ClientSecret)}, {"refresh_token", string(o.RefreshToken)},
	} {
		if strings.TrimSpace(part.v) == "" {
			s.Problem(path, "%s.%s is missing: the app's client_id and client_secret and the refresh_token that its consent gave go together", path, part.name)
		}
	}
	if c.DataKey == "" {
		s.Problem(path, "%s needs data_key, which the tokens that the vendor gives are sealed with on disk; a key made in data_dir would lie beside them. "+
			"Make one with: openssl rand -hex 32, hand it in as an environment variable, write data_key: env:TRIBUTARY_DATA_KEY, and keep a copy (a router that made its own has it in data_dir/data.key: use that one, and remove the file)", path)
	}
}

// Alerts are told to a webhook.
type Alerts struct {
	// URL is the address, or where it stands (env:, file:): those of chat tools are secrets.
	URL Secret `yaml:"url"`
	// Secret signs what is sent; empty: it is not signed.
	Secret       Secret        `yaml:"secret"`
	AllowPrivate bool          `yaml:"allow_private"`
	Settle       time.Duration `yaml:"settle"` // how long a change must last to be told
}

// AddressReader gives a func that reads the address, as Secret.Reader does where it stands
// elsewhere.
func (a Alerts) AddressReader() func() (string, error) {
	if a.URL.check() != nil {
		return func() (string, error) { return string(a.URL), nil }
	}
	return a.URL.Reader()
}

func (c *Config) validateAlerts(s *destinations.Section) {
	a := c.Alerts
	if a.URL.check() != nil {
		webAddress(s, "alerts.url", string(a.URL))
	}
	if a.URL == "" && (a.Secret != "" || a.AllowPrivate) {
		s.Problem("alerts", "alerts needs url: where to send what stands still, or env:NAME or file:PATH where that stands")
	}
	destinations.Within(s, "alerts.settle", a.Settle, 0, time.Hour)
}

var instanceShape = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,39}$`)

func (c *Config) validateInstance(s *destinations.Section) {
	if c.Instance != "" && !instanceShape.MatchString(c.Instance) {
		s.Problem("instance", "instance %q may hold letters, digits, '.', '_' and '-', at most 40; leave it out for a random one", c.Instance)
	}
}
