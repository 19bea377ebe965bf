// Package webhook posts canonical events as JSON to any address: signed, or with another
// credential, with a body of its own or one from a template. It is the adapter to copy for
// a new vendor.
package webhook

import (
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
	Method            string            `yaml:"method"`
	Headers           map[string]string `yaml:"headers"`            // sent with every request; no secrets; with batch 1 they may hold {{ }}
	Auth              string            `yaml:"auth"`               // how the destination's token is used
	AuthName          string            `yaml:"auth_name"`          // of the header or query parameter that carries it
	OnlyMapped        bool              `yaml:"only_mapped"`        // only events that the mapping names for this destination
	IncludeContact    bool              `yaml:"include_contact"`    // e-mail, names, telephone number in the clear
	IncludeProperties bool              `yaml:"include_properties"` // unknown fields of the source, whatever they hold
	IncludeRevenue    bool              `yaml:"include_revenue"`    // every value side by side, not only the one that the mapping chose
	Body              yaml.Node         `yaml:"body"`               // a template; none: the event as it is
	Batch             int               `yaml:"batch"`              // 1: the event itself; more: a list
	BatchKey          string            `yaml:"batch_key"`          // of the list; "": the list alone
	Answers           Answers           `yaml:"answers"`
	AcceptedIf        yaml.Node         `yaml:"accepted_if"`
	Linger            time.Duration     `yaml:"linger"`
	Timeout           time.Duration     `yaml:"timeout"`
	RequestsPerSecond float64           `yaml:"requests_per_second"`
}

// Default is what holds where the section says nothing.
func Default() Settings {
	return Settings{
		Method: http.MethodPost, Auth: signature, Batch: 1, BatchKey: "events",
		Linger: time.Second, Timeout: 10 * time.Second, RequestsPerSecond: 50,
	}
}

// Kind is the webhook's line in the catalog.
func Kind() destinations.Kind {
	return destinations.Kind{
		Name:       "webhook",
		New:        open,
		Credential: "the secret that the receiver checks signatures with, or the credential that auth says how to send",
		Table:      table(),
	}
}

func open(section *yaml.Node) (destinations.Destination, []destinations.Problem) {
	settings := Default()
	s := destinations.Decode(section, &settings)
	d := destination{Settings: settings, url: readURL(s, settings), headers: map[string]*text{}}
	s.OneOf("method", settings.Method, http.MethodPost, http.MethodPut, http.MethodPatch)
	checkAuth(s, settings)
	for _, name := range slices.Sorted(maps.Keys(settings.Headers)) {
		d.readHeader(s, name, settings.Headers[name])
	}
	if settings.Body.Kind != 0 {
		d.body = compileBody(s, &settings.Body, settings)
	}
	d.readAnswers(s)
	if settings.BatchKey != "" && !keyShape.MatchString(settings.BatchKey) {
		s.Problem("batch_key", "batch_key is the name of the list (letters, digits, _ . and -), or \"\" for the list alone")
	}
	if s.Given("batch_key") && settings.Batch == 1 {
		s.Problem("batch_key", "batch_key does nothing while batch is 1")
	}
	destinations.Within(s, "batch", settings.Batch, 1, 1000)
	destinations.Within(s, "linger", settings.Linger, 0, time.Minute)
	destinations.Within(s, "timeout", settings.Timeout, 100*time.Millisecond, time.Minute)
	destinations.Within(s, "requests_per_second", settings.RequestsPerSecond, 0.1, 1000)
	return d, s.Problems()
}

func readURL(s *destinations.Section, settings Settings) url.URL {
	s.Require("url", "the address to post events to")
	u, err := url.Parse(strings.TrimSpace(settings.URL))
	switch {
	case settings.URL == "":
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		s.Problem("url", "url is no http or https address")
	case u.User != nil:
		s.Problem("url", "url holds a user name or password; put it into the destination's token, with auth: basic")
	case u.Fragment != "":
		s.Problem("url", "url ends with #%s, which is never sent", u.Fragment)
	}
	if u == nil {
		u = &url.URL{}
	}
	return *u
}

var keyShape = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)

var headerShape = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`)

// ours are headers that configuration may not set: credentials belong under the
// destination's token, the rest is written by the sender.
var ours = []string{
	"Authorization", "Proxy-Authorization", "Cookie", SignatureHeader, "Content-Type", "Content-Length",
	"Content-Encoding", "Transfer-Encoding", "Connection", "Host", "Te", "Trailer", "Upgrade", "User-Agent", "Accept-Encoding", "Expect",
}

func (d destination) readHeader(s *destinations.Section, name, value string) {
	path := "headers." + name
	switch {
	case !headerShape.MatchString(name):
		s.Problem(path, "%q is no name of a header", name)
	case slices.Contains(ours, http.CanonicalHeaderKey(name)):
		s.Problem(path, "header %s is not for configuration: credentials belong under the destination's token, with auth; the rest is ours", name)
	case d.Auth == authHeader && http.CanonicalHeaderKey(name) == http.CanonicalHeaderKey(d.AuthName):
		s.Problem(path, "header %s carries the token already (auth_name)", name)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		s.Problem(path, "the value of header %s holds a line break or another control character", name)
	case strings.Contains(value, "{{") && d.Batch > 1:
		s.Problem(path, "header %s holds {{ }}, and a request of batch %d has no one event to fill it from", name, d.Batch)
	default:
		d.headers[name] = compileHeader(s, path, value, d.Settings)
	}
}

type destination struct {
	Settings
	url        url.URL
	headers    map[string]*text
	body       *node // nil: the event as it is
	statuses   map[int]class
	acceptedIf *condition
}

var _ destinations.Destination = destination{}

// Contract says what a receiver is asked to take.
func (d destination) Contract() destinations.Contract {
	return destinations.Contract{
		Vendor:     "webhook",
		BaseURL:    d.url.Scheme + "://" + d.url.Host,
		NeedsRoute: d.OnlyMapped,
		MaxBatch:   d.Batch,
		MaxBytes:   4 << 20,
		Limits:     destinations.PerSecond(d.RequestsPerSecond),
		Ambiguous:  destinations.Resend, // the receiver drops what it has: every event has its id
		Timeout:    d.Timeout,
		Linger:     d.Linger,
	}
}

// table is what a receiver can rely on; of its own limits nothing is known.
func table() destinations.Table {
	const source = "destinations/webhook/README.md"
	t := destinations.Table{Vendor: "webhook"}
	for _, f := range [][3]string{
		{"batch", "1 event, or a list of up to batch", "doc"},
		{"body", "JSON, at most 4 MiB", "doc"},
		{"age window", "none", "doc"},
		{"Retry-After", "seconds, or a date taken against the answer's own Date", "doc"},
		{"signature", SignatureHeader + ": t=<Unix seconds>,v1=<hex HMAC-SHA256 of \"<t>.<body>\">", "doc"},
		{"repeats", "an attempt whose answer never came is sent again: event_id with name tells a copy", "doc"},
	} {
		t.Facts = append(t.Facts, destinations.Fact{Name: f[0], Value: f[1], Mark: f[2], Source: source})
	}
	return t
}
