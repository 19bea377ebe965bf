// Package webhook posts canonical events as JSON to any address, signed. It is the
// adapter to copy for a new vendor.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/destinations"
)

// Settings are the section of a webhook destination.
type Settings struct {
	URL               string            `yaml:"url"`
	Headers           map[string]string `yaml:"headers"`            // sent with every request; no secrets
	IncludeContact    bool              `yaml:"include_contact"`    // e-mail, names, telephone number in the clear
	IncludeProperties bool              `yaml:"include_properties"` // unknown fields of the source, whatever they hold
	Batch             int               `yaml:"batch"`              // 1: the event itself; more: {"events":[…]}
	Linger            time.Duration     `yaml:"linger"`
	Timeout           time.Duration     `yaml:"timeout"`
	RequestsPerSecond float64           `yaml:"requests_per_second"`
}

// Default is what holds where the section says nothing.
func Default() Settings {
	return Settings{Batch: 1, Linger: time.Second, Timeout: 10 * time.Second, RequestsPerSecond: 50}
}

// SignatureHeader carries "v1=" and the hex HMAC-SHA256 of the body.
const SignatureHeader = "Tributary-Signature"

// Kind is the webhook's line in the catalog.
func Kind() destinations.Kind {
	return destinations.Kind{
		Name:       "webhook",
		New:        open,
		Credential: "the secret that the receiver checks signatures with",
		Authorize:  sign,
	}
}

// sign puts the signature of the body on a request. Without a secret there is none.
func sign(r *http.Request, body []byte, secret string) {
	if secret == "" {
		return
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	r.Header.Set(SignatureHeader, "v1="+hex.EncodeToString(mac.Sum(nil)))
}

var headerShape = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`)

// ours are headers that configuration may not set: credentials belong under the
// destination's secret, the rest is written by the sender.
var ours = []string{
	"Authorization", "Proxy-Authorization", "Cookie", SignatureHeader, "Content-Type", "Content-Length",
	"Content-Encoding", "Transfer-Encoding", "Connection", "Host", "Te", "Trailer", "Upgrade",
}

func open(section *yaml.Node) (destinations.Destination, []destinations.Problem) {
	settings := Default()
	s := destinations.Decode(section, &settings)
	s.Require("url", "the address to post events to")
	u, err := url.Parse(strings.TrimSpace(settings.URL))
	switch {
	case settings.URL == "":
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		s.Problem("url", "url is no http or https address")
	case u.User != nil:
		s.Problem("url", "url holds a user name or password; put it into the destination's secret")
	case u.RawPath != "":
		s.Problem("url", "url has an escaped slash or the like in its path, which would not reach the receiver as it is written")
	case u.Fragment != "":
		s.Problem("url", "url ends with #%s, which is never sent", u.Fragment)
	}
	for _, name := range slices.Sorted(maps.Keys(settings.Headers)) {
		checkHeader(s, name, settings.Headers[name])
	}
	destinations.Within(s, "batch", settings.Batch, 1, 1000)
	destinations.Within(s, "linger", settings.Linger, 0, time.Minute)
	destinations.Within(s, "timeout", settings.Timeout, 100*time.Millisecond, time.Minute)
	destinations.Within(s, "requests_per_second", settings.RequestsPerSecond, 0.1, 1000)
	if u == nil {
		u = &url.URL{}
	}
	return destination{Settings: settings, url: *u}, s.Problems()
}

func checkHeader(s *destinations.Section, name, value string) {
	path := "headers." + name
	switch {
	case !headerShape.MatchString(name):
		s.Problem(path, "%q is no name of a header", name)
	case slices.Contains(ours, http.CanonicalHeaderKey(name)):
		s.Problem(path, "header %s is not for configuration: credentials belong under the destination's secret, the rest is ours", name)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		s.Problem(path, "the value of header %s holds a line break or another control character", name)
	}
}

type destination struct {
	Settings
	url url.URL
}

var _ destinations.Destination = destination{}

// Contract says what a receiver is asked to take.
func (d destination) Contract() destinations.Contract {
	return destinations.Contract{
		Vendor:    "webhook",
		BaseURL:   d.url.Scheme + "://" + d.url.Host,
		MaxBatch:  d.Batch,
		MaxBytes:  4 << 20,
		Limits:    destinations.PerSecond(d.RequestsPerSecond),
		Ambiguous: destinations.Resend, // the receiver drops what it has: every event has its id
		Timeout:   d.Timeout,
		Linger:    d.Linger,
	}
}
