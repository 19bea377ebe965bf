package config

import "tributary/destinations"

// Workflow is what HubSpot's workflow action "Send a webhook" shows: docs/hubspot.md.
type Workflow struct {
	Scheme string `yaml:"scheme"` // signature, key, header, query; "" is signature
	Name   string `yaml:"name"`   // of the header, or of the query's parameter
	// Secret is what both sides know; of a signature the client secret of the app whose id stands in
	// the action, where that is not the one whose webhooks the source takes.
	Secret Secret `yaml:"secret"`
}

// signed is true where the action is signed with a secret.
func (w Workflow) signed() bool { return w.Scheme == "" || w.Scheme == "signature" }

// validateHubSpot looks at what only a source of kind hubspot has.
func (c *Config) validateHubSpot(s *destinations.Section, at string, src Source) {
	w, path := src.Workflow, at+".workflow"
	if src.Kind != "hubspot" {
		if s.Given(path) {
			s.Problem(path, "%s is only for sources of kind hubspot", path)
		}
		return
	}
	if w.Scheme != "" {
		s.OneOf(path+".scheme", w.Scheme, "signature", "key", "header", "query")
	}
	switch named := w.Scheme == "header" || w.Scheme == "query"; {
	case named && (w.Name == "" || w.Secret == ""):
		s.Problem(path, "%s needs name and secret: scheme %s cannot do without", path, w.Scheme)
	case w.Scheme == "key" && w.Secret != "":
		s.Problem(path+".secret", "%s.secret means nothing to scheme key: the action sends a key of tributary keys create", path)
	case !named && w.Name != "":
		s.Problem(path+".name", "%s.name is only for the schemes header and query", path)
	case named && !headerShape.MatchString(w.Name) && w.Scheme == "header":
		s.Problem(path+".name", "%s.name is %q, which is no name of a header", path, w.Name)
	case w.Scheme == "query" && w.Name == "event":
		s.Problem(path+".name", "%s.name cannot be event: that names the event", path)
	}
	if src.ClientSecret == "" && (w.signed() && w.Secret == "") {
		s.Problem(at, "%s needs client_secret: the client secret of the HubSpot app, which signs its webhooks (or workflow, where only workflows send to it)", at)
	}
}
