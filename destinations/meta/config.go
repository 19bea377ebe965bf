// Package meta writes events as requests to Meta's Conversions API and reads its
// answers. The facts it goes by are in its README.
package meta

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
	"tributary/destinations"
)

// Settings are the section of a Meta destination.
type Settings struct {
	DatasetID         string        `yaml:"dataset_id"` // also called the pixel id
	Version           string        `yaml:"version"`
	TestEventCode     string        `yaml:"test_event_code"`   // sent in mode test only
	PartnerAgent      string        `yaml:"partner_agent"`     // what calls itself the sender; "" says nothing
	LeadEventSource   string        `yaml:"lead_event_source"` // the CRM's product name
	DefaultRegion     string        `yaml:"default_region"`    // country of telephone numbers without a code
	City              string        `yaml:"city"`              // library or written: how city names are normalised
	ExternalIDAlone   bool          `yaml:"external_id_alone"` // send events that have no other key than the CRM contact id
	CustomData        []string      `yaml:"custom_data"`       // event properties that go into custom_data
	ConsentUnsaid     string        `yaml:"consent_unsaid"`    // send, limited, opt_out or suppress where nothing was said on advertising
	StoreEvents       bool          `yaml:"store_events"`      // takes physical_store only, up to 62 days old
	Account           string        `yaml:"account"`           // destinations of one app or ad account share its budget
	Batch             int           `yaml:"batch"`
	Linger            time.Duration `yaml:"linger"`
	Timeout           time.Duration `yaml:"timeout"`
	RequestsPerSecond float64       `yaml:"requests_per_second"`
}

// Default is what holds where the section says nothing.
func Default() Settings {
	return Settings{
		Version: "v25.0", LeadEventSource: "HubSpot", City: cityLibrary, ConsentUnsaid: unsaidSend,
		Batch: 200, Linger: time.Second, Timeout: 5 * time.Second, RequestsPerSecond: 10,
	}
}

var (
	digits       = regexp.MustCompile(`^[0-9]{1,20}$`)
	versionShape = regexp.MustCompile(`^v[0-9]{2}\.0$`)
	letters      = regexp.MustCompile(`[A-Za-z]`)
)

// ownCustom are the keys of custom_data that are written from what an event and its mapping say.
var ownCustom = map[string]bool{"value": true, "currency": true, "event_source": true, "lead_event_source": true}

// Kind is Meta's line in the catalog.
func Kind() destinations.Kind {
	return destinations.Kind{
		Name:       "meta",
		New:        open,
		BaseURL:    "https://graph.facebook.com",
		Credential: "a system user's access token, or the token made for the dataset; where the app demands appsecret_proof, the token, a space and the app secret",
		Authorize:  authorize,
		MatchKeys:  slices.Clone(keyNames[:]),
		Table:      table(),
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
			strings.Join(knownVersions(), ", "))
	}
	if a := settings.PartnerAgent; a != "" && (len(a) >= 23 || len(letters.FindAllString(a, 2)) < 2) {
		s.Problem("partner_agent", "partner_agent is %q; Meta takes fewer than 23 characters with at least two letters", a)
	}
	for i, name := range settings.CustomData {
		if ownCustom[name] || strings.TrimSpace(name) == "" {
			s.Problem(fmt.Sprintf("custom_data.%d", i), "custom_data names %q; it must be an event property that is not among those the adapter writes itself", name)
		}
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
	s.OneOf("consent_unsaid", settings.ConsentUnsaid, unsaidSend, unsaidLimited, unsaidOptOut, unsaidSuppress)
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

var (
	_ destinations.Destination = destination{}
	_ destinations.Matcher     = destination{}
	_ destinations.Gauge       = destination{}
	_ destinations.Adviser     = destination{}
)

// authorize puts the token into the header, never into the address. With the app's secret
// behind it, the proof that Meta asks for goes along: HMAC-SHA256 of the token (meta.md §1.1).
func authorize(r *http.Request, body []byte, secret string) {
	token, app, _ := strings.Cut(strings.TrimSpace(secret), " ")
	destinations.Bearer(r, body, token)
	if app = strings.TrimSpace(app); app != "" {
		q := r.URL.Query()
		q.Set("appsecret_proof", proof(token, app))
		r.URL.RawQuery = q.Encode()
	}
}

func proof(token, app string) string {
	mac := hmac.New(sha256.New, []byte(app))
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}

// Contract says what Meta takes.
func (d destination) Contract() destinations.Contract {
	age := maxAge
	if d.StoreEvents {
		age = maxAgeStore
	}
	return destinations.Contract{
		Vendor:       "Meta Conversions API",
		APIVersion:   d.Version,
		VersionEnds:  versionEnds(d.Version),
		NeedsRoute:   true,
		MaxBatch:     d.Batch,
		MaxBytes:     maxBytes,
		Account:      d.Account,
		Limits:       destinations.PerSecond(d.RequestsPerSecond),
		MaxAge:       age,
		Ambiguous:    destinations.Resend,
		ResendWithin: dedupWindow,
		Clicks:       []canonical.Scheme{canonical.FBCLID},
		ClickWindow:  clickWindow,
		Timeout:      d.Timeout,
		Linger:       d.Linger,
		Test:         d.TestEventCode != "",
	}
}

// Advice names what the mapping asks for and Meta will not do as it is meant.
func (d destination) Advice(routes map[string]canonical.Route) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		r := routes[name]
		if s, ok := nearStandard(r.Event); ok {
			out = append(out, fmt.Sprintf("%s is sent as %q, which Meta takes for a custom event; its standard event is %q (%s)", name, r.Event, s, r.At))
		}
		if needsValue(r.Event) && (r.Value == "" || r.Value == "none") {
			out = append(out, fmt.Sprintf("%s is sent as Purchase without value: Meta refuses that, so it will be suppressed; name a value, such as value: amount (%s)", name, r.At))
		}
		if n := utf8.RuneCountInString(r.Event); n > maxName {
			out = append(out, fmt.Sprintf("%s has an event name of %d characters; more than %d are not sent (%s)", name, n, maxName, r.At))
		}
	}
	return out
}

// standard are Meta's standard events (meta.md §3.3); case counts.
var standard = []string{
	"AddPaymentInfo", "AddToCart", "AddToWishlist", "CompleteRegistration", "Contact", "CustomizeProduct", "Donate", "FindLocation",
	"InitiateCheckout", "Lead", "PageView", "Purchase", "Schedule", "Search", "StartTrial", "SubmitApplication", "Subscribe", "ViewContent",
}

// nearStandard gives the standard event that a name differs from only in case, spaces and
// underscores.
func nearStandard(name string) (string, bool) {
	plain := strings.NewReplacer(" ", "", "_", "", "-", "").Replace(strings.TrimSpace(name))
	for _, s := range standard {
		if strings.EqualFold(s, plain) {
			return s, s != name
		}
	}
	return "", false
}
