package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"tributary/destinations"
)

// Auth is how the sender of a hook proves who it is: docs/hooks.md.
type Auth struct {
	Scheme    string    `yaml:"scheme"` // key, bearer, basic, header, hmac, certificate; "" is key
	Secret    Secret    `yaml:"secret"`
	User      string    `yaml:"user"`
	Header    string    `yaml:"header"`
	Subjects  []string  `yaml:"subjects"`
	Algorithm string    `yaml:"algorithm"` // sha256, sha512, sha1
	Encoding  string    `yaml:"encoding"`  // hex, base64
	Prefix    string    `yaml:"prefix"`
	Field     string    `yaml:"field"`
	Signs     string    `yaml:"signs"`
	Timestamp Timestamp `yaml:"timestamp"`
}

// Timestamp is where a signed request says when it was sent.
type Timestamp struct {
	Header string        `yaml:"header"`
	Field  string        `yaml:"field"`
	Within time.Duration `yaml:"within"`
}

// schemeNeeds are the settings that a scheme cannot do without, and those that it knows
// beside them.
var schemeNeeds = map[string]struct{ needs, knows []string }{
	"key":         {},
	"bearer":      {needs: []string{"secret"}},
	"basic":       {needs: []string{"user", "secret"}},
	"header":      {needs: []string{"header", "secret"}},
	"hmac":        {needs: []string{"header", "secret"}, knows: []string{"algorithm", "encoding", "prefix", "field", "signs", "timestamp"}},
	"certificate": {knows: []string{"subjects"}},
}

var (
	signedName   = regexp.MustCompile(`\{[^{}]*\}`)
	signedNames  = []string{"{body}", "{timestamp}", "{method}", "{url}"}
	headerShape  = regexp.MustCompile(`^[A-Za-z0-9-]{1,100}$`)
	longestDrift = 24 * time.Hour
)

// validateHook looks at what only a source of kind hook has.
func (c *Config) validateHook(s *destinations.Section, at string, src Source) {
	if src.Kind != "hook" {
		for _, field := range []string{"auth", "allow"} {
			if s.Given(at + "." + field) {
				s.Problem(at+"."+field, "%s.%s is only for sources of kind hook", at, field)
			}
		}
		return
	}
	for i, a := range src.Allow {
		if _, err := Network(a); err != nil {
			s.Problem(fmt.Sprintf("%s.allow.%d", at, i), "%q is no address and no network: write 203.0.113.7 or 203.0.113.0/24", a)
		}
	}
	c.validateAuth(s, at+".auth", src.Auth)
}

func (c *Config) validateAuth(s *destinations.Section, at string, a Auth) {
	scheme := a.Scheme
	if scheme == "" {
		scheme = "key"
	}
	known, ok := schemeNeeds[scheme]
	if !ok {
		s.OneOf(at+".scheme", a.Scheme, keys(schemeNeeds)...)
		return
	}
	for _, field := range []string{"secret", "user", "header", "subjects", "algorithm", "encoding", "prefix", "field", "signs", "timestamp"} {
		given, needed := s.Given(at+"."+field), slices.Contains(known.needs, field)
		switch {
		case needed && !given:
			s.Problem(at, "%s needs %s: scheme %s cannot do without", at, field, scheme)
		case given && !needed && !slices.Contains(known.knows, field):
			s.Problem(at+"."+field, "%s.%s means nothing to scheme %s", at, field, scheme)
		}
	}
	if a.Header != "" && !headerShape.MatchString(a.Header) {
		s.Problem(at+".header", "%s.header is %q, which is no name of a header", at, a.Header)
	}
	if scheme == "certificate" && c.HTTP.ClientCAFile == "" {
		s.Problem(at, "%s needs http.client_ca_file: the authority whose client certificates are believed", at)
	}
	if scheme == "hmac" {
		validateHMAC(s, at, a)
	}
}

func validateHMAC(s *destinations.Section, at string, a Auth) {
	if a.Algorithm != "" {
		s.OneOf(at+".algorithm", a.Algorithm, "sha256", "sha512", "sha1")
	}
	if a.Encoding != "" {
		s.OneOf(at+".encoding", a.Encoding, "hex", "base64")
	}
	for _, name := range signedName.FindAllString(a.Signs, -1) {
		if !slices.Contains(signedNames, name) {
			s.Problem(at+".signs", "%s.signs names %s; it knows %s", at, name, strings.Join(signedNames, ", "))
		}
	}
	if a.Signs != "" && !strings.Contains(a.Signs, "{body}") {
		s.Problem(at+".signs", "%s.signs does not name {body}: whoever sees one request could send any other", at)
	}
	t := a.Timestamp
	switch where := at + ".timestamp"; {
	case t.Header != "" && t.Field != "":
		s.Problem(where, "%s stands in a header or in a field of the signature's, not in both", where)
	case t.Header == "" && t.Field == "" && s.Given(where):
		s.Problem(where, "%s does not say where it stands: header or field", where)
	case t.Header != "" && !headerShape.MatchString(t.Header):
		s.Problem(where+".header", "%s.header is %q, which is no name of a header", where, t.Header)
	case t != (Timestamp{}) && !strings.Contains(a.Signs, "{timestamp}"):
		s.Problem(where, "%s is not signed: name {timestamp} in %s.signs as the sender does, or leave it out", where, at)
	case t == (Timestamp{}) && strings.Contains(a.Signs, "{timestamp}"):
		s.Problem(at+".signs", "%s.signs names {timestamp}, and %s does not say where it stands", at, where)
	}
	if t.Within < 0 || t.Within > longestDrift {
		s.Problem(at+".timestamp.within", "%s.timestamp.within is %s; it must be between 0 and 24h", at, t.Within)
	}
}

// Network reads an address or a network; an address is a network of itself alone.
func Network(v string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(v); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(v)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("read the network %q: %w", v, err)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}
