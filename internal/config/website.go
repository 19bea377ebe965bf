package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"tributary/destinations"
)

// Cookie is the first-party id as the router sets it: docs/pixel.md.
type Cookie struct {
	Domain string        `yaml:"domain"`
	Life   time.Duration `yaml:"life"` // 0: 395 days
}

// DefaultCookieLife is what browsers take at most, less a few days.
const DefaultCookieLife = 395 * 24 * time.Hour

// Given is true where the configuration has the section.
func (c Cookie) Given() bool { return c != Cookie{} }

// validateWebsite looks at what only a source of kind website has.
func (c *Config) validateWebsite(s *destinations.Section, at string, src Source) {
	if src.Kind != "website" {
		for _, field := range []string{"origins", "cookie", "bots", "respect"} {
			if s.Given(at + "." + field) {
				s.Problem(at+"."+field, "%s.%s is only for sources of kind website", at, field)
			}
		}
		return
	}
	for i, o := range src.Origins {
		if why := originProblem(o); why != "" {
			s.Problem(fmt.Sprintf("%s.origins.%d", at, i), "%q %s", o, why)
		}
	}
	if src.Bots != "" {
		s.OneOf(at+".bots", src.Bots, "quarantine", "refuse", "keep")
	}
	for i, v := range src.Respect {
		s.OneOf(fmt.Sprintf("%s.respect.%d", at, i), v, "gpc", "dnt")
	}
	if s.Given(at + ".cookie") {
		src.validateCookie(s, at)
	}
}

func (src Source) validateCookie(s *destinations.Section, at string) {
	if src.Cookie.Domain == "" || strings.ContainsAny(src.Cookie.Domain, "/:* ") || strings.HasPrefix(src.Cookie.Domain, ".") {
		s.Problem(at+".cookie", "%s.cookie needs domain, the one that its pages and this router share, such as acme.example", at)
		return
	}
	if len(src.Origins) == 0 {
		s.Problem(at+".cookie", "%s.cookie needs %s.origins: a browser sends cookies along only where the page's site is named", at, at)
	}
	for i, o := range src.Origins {
		u, err := url.Parse(strings.Replace(o, "://*.", "://", 1))
		if err == nil && u.Hostname() != src.Cookie.Domain && !strings.HasSuffix(u.Hostname(), "."+src.Cookie.Domain) {
			s.Problem(fmt.Sprintf("%s.origins.%d", at, i), "pages of %s do not see a cookie of %s: it must be their domain or one above it", o, src.Cookie.Domain)
		}
	}
	if s.Given(at + ".cookie.life") {
		destinations.Within(s, at+".cookie.life", src.Cookie.Life, time.Hour, 400*24*time.Hour)
	}
}

// originProblem says what is wrong with the origin of a page, or "".
func originProblem(o string) string {
	u, err := url.Parse(o)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "is no origin: write https://acme.example, or https://*.acme.example for all below it"
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "names more than an origin: leave out what stands behind the host"
	case strings.Contains(strings.TrimPrefix(u.Host, "*."), "*"):
		return "has its star elsewhere than before the first dot"
	case o != strings.ToLower(o):
		return "has capital letters, which browsers write small"
	}
	return ""
}
