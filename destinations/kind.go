package destinations

import (
	"net/http"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// A Kind is one vendor in the catalog.
type Kind struct {
	Name string // as configuration writes it
	// New reads the vendor's own section of a destination's configuration (never nil; an
	// empty mapping node where there is none) and checks it. Every mistake at once.
	New func(section *yaml.Node) (Destination, []Problem)
	// BaseURL is the vendor's own address, where the configuration names no other.
	BaseURL string
	// Credential says in words what the secret is: "a system user's access token".
	Credential string
	// Authorize puts the credential on a request that is ready to be sent.
	Authorize func(r *http.Request, body []byte, secret string)
	// TestMode changes a destination so that it uses the vendor's test facility; nil: none.
	TestMode func(Destination) Destination
	// OAuth says how access tokens are refreshed; nil: the vendor gives static ones only.
	OAuth *OAuth
	// Table is what is known of the vendor's API, as data.
	Table Table
}

// OAuth is where and how a vendor refreshes access tokens.
type OAuth struct {
	TokenURL string // of the vendor itself; a destination's base URL replaces scheme and host
	// Ahead is how long before its end a token is refreshed.
	Ahead time.Duration
	// InParams sends client id and secret in the form instead of basic authorisation.
	InParams bool
}

// A Table is what a vendor's API takes, as data with its sources. People read it
// (tributary destinations contract), and checks go by it.
type Table struct {
	Vendor   string
	Versions []Version
	Facts    []Fact
}

// A Version is one version of a vendor's API.
type Version struct {
	Name   string
	Ends   time.Time // zero: no date is known
	Source string
}

// A Fact is one limit or rule.
type Fact struct {
	Name   string // batch, age window, field user_data.em
	Value  string
	Mark   string // doc, seen, assumed, open
	Source string // the sheet's words for where it stands
}

// A Problem is one mistake in a configuration, at its place.
type Problem struct {
	Line, Column int
	Message      string // with a suggestion where there is one
}

// Bearer puts the secret where most vendors want it.
func Bearer(r *http.Request, _ []byte, secret string) {
	r.Header.Set("Authorization", "Bearer "+secret)
}

// An Adviser tells an operator, in words, what its configuration will not do with the
// routes that the mapping gives it: rules nobody bound, features a token cannot have.
type Adviser interface {
	Advice(routes map[string]canonical.Route) []string
}
