// Package linkedin writes events as requests to LinkedIn's Conversions API and reads its
// answers. The facts it goes by are in its README.
package linkedin

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
	"tributary/destinations"
)

// Settings are the section of a LinkedIn destination.
type Settings struct {
	Version string `yaml:"version"` // YYYYMM
	// Rules binds the mapping's rule names to conversion rules of the ad account: the
	// number, or the whole URN.
	Rules             map[string]string `yaml:"rules"`
	UserInfo          bool              `yaml:"user_info"` // send names, title, company and country where both names are known
	ExternalIDPrefix  string            `yaml:"external_id_prefix"`
	ExternalIDAlone   bool              `yaml:"external_id_alone"` // send events that have no other key than the CRM contact id
	Batch             int               `yaml:"batch"`
	Linger            time.Duration     `yaml:"linger"`
	Timeout           time.Duration     `yaml:"timeout"`
	RequestsPerSecond float64           `yaml:"requests_per_second"`
}

// Default is what holds where the section says nothing.
func Default() Settings {
	return Settings{
		Version: "202609", UserInfo: true,
		Batch: 200, Linger: time.Second, Timeout: 10 * time.Second, RequestsPerSecond: 9,
	}
}

// versionEnds says when a version stops answering (README, sources). 202512 never was.
var versionEnds = map[string]time.Time{
	"202510": date(2026, 10, 15), "202511": date(2026, 11, 16),
	"202601": date(2027, 1, 15), "202602": date(2027, 2, 15), "202603": date(2027, 3, 16), "202604": date(2027, 4, 15),
	"202605": date(2027, 5, 15), "202606": date(2027, 6, 15), "202607": date(2027, 7, 15), "202608": date(2027, 8, 17),
	"202609": date(2027, 9, 15),
}

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

var (
	versionShape = regexp.MustCompile(`^20[0-9]{2}(0[1-9]|1[0-2])$`)
	ruleShape    = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)
)

// urn is the prefix of a conversion rule's URN, exactly.
const urn = "urn:lla:llaPartnerConversion:"

// Kind is LinkedIn's line in the catalog.
func Kind() destinations.Kind {
	return destinations.Kind{
		Name:       "linkedin",
		New:        open,
		BaseURL:    "https://api.linkedin.com",
		Credential: "an access token with rw_conversions, or the direct API token of Campaign Manager",
		Authorize:  destinations.Bearer,
	}
}

func open(section *yaml.Node) (destinations.Destination, []destinations.Problem) {
	settings := Default()
	s := destinations.Decode(section, &settings)
	checkVersion(s, settings.Version)
	for _, name := range slices.Sorted(maps.Keys(settings.Rules)) {
		id := strings.TrimPrefix(strings.TrimSpace(settings.Rules[name]), urn)
		if !ruleShape.MatchString(id) {
			s.Problem("rules."+name, "rule %q is bound to %q; it must be the rule's number in Campaign Manager or its URN %s<number>",
				name, settings.Rules[name], urn)
		}
		settings.Rules[name] = id
	}
	if len(settings.ExternalIDPrefix) > 64 || strings.ContainsAny(settings.ExternalIDPrefix, "@ \t\r\n") {
		s.Problem("external_id_prefix", "external_id_prefix is up to 64 characters without spaces and without @")
	}
	destinations.Within(s, "batch", settings.Batch, 1, 5000)
	destinations.Within(s, "linger", settings.Linger, 0, time.Minute)
	destinations.Within(s, "timeout", settings.Timeout, 100*time.Millisecond, time.Minute)
	destinations.Within(s, "requests_per_second", settings.RequestsPerSecond, 0.1, 10)
	return destination{settings}, s.Problems()
}

func checkVersion(s *destinations.Section, v string) {
	if !versionShape.MatchString(v) || v == "202512" || v < "202510" {
		s.Problem("version", "version %q is none that answers; known: %s", v, strings.Join(slices.Sorted(maps.Keys(versionEnds)), ", "))
	}
}

type destination struct{ Settings }

var _ destinations.Destination = destination{}

// Contract says what LinkedIn takes.
func (d destination) Contract() destinations.Contract {
	return destinations.Contract{
		Vendor:      "LinkedIn Conversions API",
		APIVersion:  d.Version,
		VersionEnds: versionEnds[d.Version],
		NeedsRoute:  true,
		MaxBatch:    d.Batch,
		MaxBytes:    4 << 20, // ours: no limit is documented
		Limits:      destinations.PerSecond(d.RequestsPerSecond),
		MaxAge:      90 * 24 * time.Hour,
		Ambiguous:   destinations.Resend,
		Timeout:     d.Timeout,
		Linger:      d.Linger,
	}
}

var _ destinations.Adviser = destination{}

// Advice names the rules that the mapping uses and nobody bound to a rule of the account.
func (d destination) Advice(routes map[string]canonical.Route) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		if rule := routes[name].Rule; rule != "" && d.Rules[rule] == "" {
			out = append(out, "rule "+rule+" ("+routes[name].At+") is not bound: events named "+name+" are suppressed as not_configured until settings.rules names its number")
		}
	}
	return out
}
