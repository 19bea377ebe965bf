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
	// MatchKeys are the vendor's keys that a line of the mapping may choose among (match); none: it
	// cannot choose.
	MatchKeys []string
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

// A Counter writes how many events of each name a person has had (Known.Counts) where
// WritesCounts is true; it is given them then.
type Counter interface {
	WritesCounts() bool
}

// A Fielder writes properties of a CRM's contacts that a mapping can declare.
type Fielder interface {
	// WithFields gives the destination that writes what the mapping declares, instead of what its
	// own settings say of contacts. twice names the settings that say it too, in words: one place
	// must say it.
	WithFields(p canonical.ContactProperties) (d Destination, twice []string)
}

// An Authorizer is a destination whose configuration says how its credential is put on a
// request; it is asked instead of Kind.Authorize.
type Authorizer interface {
	// NeedsSecret is false where requests go without a credential.
	NeedsSecret() bool
	// Authorize puts the credential on a request that is ready to be sent; now is the time of
	// sending, for signatures that hold it.
	Authorize(r *http.Request, body []byte, secret string, now time.Time)
}

// A Stager writes lifecycle stages of a CRM, which come back as the CRM's own reports.
type Stager interface {
	// WritesStages gives the CRM account's name and the stages' internal names.
	WritesStages() (account string, stages []string)
}

// A Tokened destination works only with some kinds of credential. TokenProblem says why an
// OAuth token, or a static one, will not do; "" is fine. Configuration asks it.
type Tokened interface {
	TokenProblem(oauth bool) string
}
