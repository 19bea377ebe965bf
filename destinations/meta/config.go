// Package meta writes events as requests to Meta's Conversions API and reads its
// answers. The facts it goes by are in its README.
package meta

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/destinations"
)

// Settings are the section of a Meta destination.
type Settings struct {
	DatasetID         string        `yaml:"dataset_id"` // also called the pixel id
	Version           string        `yaml:"version"`
	TestEventCode     string        `yaml:"test_event_code"`   // sent in mode test only
	LeadEventSource   string        `yaml:"lead_event_source"` // the CRM's product name
	DefaultRegion     string        `yaml:"default_region"`    // country of telephone numbers without a code
	City              string        `yaml:"city"`              // library or written: how city names are normalised
	ExternalIDAlone   bool          `yaml:"external_id_alone"` // send events that have no other key than the CRM contact id
	Batch             int           `yaml:"batch"`
	Linger            time.Duration `yaml:"linger"`
	Timeout           time.Duration `yaml:"timeout"`
	RequestsPerSecond float64       `yaml:"requests_per_second"`
}

// Default is what holds where the section says nothing.
func Default() Settings {
	return Settings{
		Version: "v25.0", LeadEventSource: "HubSpot", City: cityLibrary,
		Batch: 200, Linger: time.Second, Timeout: 5 * time.Second, RequestsPerSecond: 10,
	}
}

// versionEnds is Graph's own table of expiry (README, sources).
var versionEnds = map[string]time.Time{
	"v20.0": date(2026, 9, 24), "v21.0": date(2027, 1, 21), "v22.0": date(2027, 5, 20),
	"v23.0": date(2027, 10, 8), "v24.0": date(2028, 2, 18), "v25.0": date(2028, 7, 29),
}

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

var (
	digits       = regexp.MustCompile(`^[0-9]{1,20}$`)
	versionShape = regexp.MustCompile(`^v[0-9]{2}\.0$`)
)

// Kind is Meta's line in the catalog.
func Kind() destinations.Kind {
	return destinations.Kind{
		Name:       "meta",
		New:        open,
		BaseURL:    "https://graph.facebook.com",
		Credential: "a system user's access token, or the token made for the dataset",
		Authorize:  destinations.Bearer,
		TestMode: func(d destinations.Destination) destinations.Destination {
			if m, ok := d.(destination); ok {
				m.testing = true
				return m
			}
			return d
		},
	}
}

func open(section *yaml.Node) (destinations.Destination, []destinations.Problem) {
	settings := Default()
	s := destinations.Decode(section, &settings)
	s.Require("dataset_id", "the number of the dataset (pixel) in Events Manager")
	if s.Given("dataset_id") && settings.DatasetID != "" && !digits.MatchString(settings.DatasetID) {
		s.Problem("dataset_id", "dataset_id is %q; it is a number", settings.DatasetID)
	}
	if !versionShape.MatchString(settings.Version) {
		s.Problem("version", "version is %q; it looks like v25.0 (known: %s)", settings.Version,
			strings.Join(slices.Sorted(maps.Keys(versionEnds)), ", "))
	}
	if settings.DefaultRegion != "" {
		if code := destinations.Country(settings.DefaultRegion); len(settings.DefaultRegion) == 2 && code != "" {
			settings.DefaultRegion = code
		} else {
			s.Problem("default_region", "default_region is %q; it is a country's two letters, such as DE", settings.DefaultRegion)
		}
	}
	if strings.TrimSpace(settings.LeadEventSource) == "" {
		s.Problem("lead_event_source", "lead_event_source is empty; Meta needs the CRM's product name")
	}
	s.OneOf("city", settings.City, cityLibrary, cityWritten)
	destinations.Within(s, "batch", settings.Batch, 1, 1000)
	destinations.Within(s, "linger", settings.Linger, 0, time.Minute)
	destinations.Within(s, "timeout", settings.Timeout, 100*time.Millisecond, time.Minute)
	destinations.Within(s, "requests_per_second", settings.RequestsPerSecond, 0.1, 100)
	return destination{Settings: settings}, s.Problems()
}

type destination struct {
	Settings
	testing bool
}

var _ destinations.Destination = destination{}

// Contract says what Meta takes.
func (d destination) Contract() destinations.Contract {
	return destinations.Contract{
		Vendor:       "Meta Conversions API",
		APIVersion:   d.Version,
		VersionEnds:  versionEnds[d.Version],
		NeedsRoute:   true,
		MaxBatch:     d.Batch,
		MaxBytes:     4 << 20, // ours: no limit is documented
		Limits:       destinations.PerSecond(d.RequestsPerSecond),
		MaxAge:       7 * 24 * time.Hour,
		Ambiguous:    destinations.Resend,
		ResendWithin: 48 * time.Hour,
		Timeout:      d.Timeout,
		Linger:       d.Linger,
		Test:         d.TestEventCode != "",
	}
}
