package destinations

import (
	"net/http"

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
