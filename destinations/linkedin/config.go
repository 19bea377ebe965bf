// Package linkedin writes events as requests to LinkedIn's Conversions API and reads its
// answers. The facts it goes by are in contract.go and in its README.
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
	// AdAccount is the ad account's number or URN. Without it rules are neither read nor made.
	AdAccount string `yaml:"ad_account"`
	// Rules binds the mapping's rule names to conversion rules of the ad account: a number or a
	// whole URN, or a list of them; the event is then sent once for each.
	Rules            map[string]yaml.Node `yaml:"rules"`
	UserInfo         bool                 `yaml:"user_info"`  // send names, title, company and country where both names are known
	HashNames        bool                 `yaml:"hash_names"` // send the names hashed; from 202609
	IDsFrom          map[string]string    `yaml:"ids_from"`   // ACXIOM_ID, GOOGLE_AID → property of the event
	IPAddress        string               `yaml:"ip_address"` // off, plain, hashed: the browser's, IPv4 only
	IPAlone          bool                 `yaml:"ip_address_alone"`
	ExternalIDPrefix string               `yaml:"external_id_prefix"`
	ExternalIDAlone  bool                 `yaml:"external_id_alone"` // send events that have no other key than the CRM contact id
	EventIDMax       int                  `yaml:"event_id_max"`      // longer ids are hashed
	OnForbidden      string               `yaml:"on_forbidden"`      // hold_rule, halt
	Arrange          Arrange              `yaml:"arrange"`

	Batch             int           `yaml:"batch"`
	Linger            time.Duration `yaml:"linger"`
	Timeout           time.Duration `yaml:"timeout"`
	RequestsPerSecond float64       `yaml:"requests_per_second"`
	RequestsPerMinute int           `yaml:"requests_per_minute"`
	RequestsPerDay    int           `yaml:"requests_per_day"`
}

// Default is what holds where the section says nothing.
func Default() Settings {
	return Settings{
		Version: current, UserInfo: true, IPAddress: "off", EventIDMax: 64, OnForbidden: "hold_rule",
		Arrange: Arrange{PostClickDays: 30, ViewThroughDays: 7, Attribution: attributions[0]},
		Batch:   200, Linger: time.Second, Timeout: 10 * time.Second,
		RequestsPerSecond: 9, RequestsPerMinute: minuteLimit, RequestsPerDay: dayLimit,
	}
}

var (
	versionShape = regexp.MustCompile(`^20[0-9]{2}(0[1-9]|1[0-2])$`)
	numberShape  = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)
)

// The prefixes of URNs, exactly.
const (
	ruleURN     = "urn:lla:llaPartnerConversion:"
	accountURN  = "urn:li:sponsoredAccount:"
	campaignURN = "urn:li:sponsoredCampaign:"
)

// Kind is LinkedIn's line in the catalog.
func Kind() destinations.Kind {
	return destinations.Kind{
		Name:       "linkedin",
		New:        open,
		BaseURL:    "https://api.linkedin.com",
		Credential: "an access token with rw_conversions (and r_ads for setup), or the direct API token of Campaign Manager",
		Authorize:  destinations.Bearer,
		OAuth:      &destinations.OAuth{TokenURL: "https://www.linkedin.com/oauth/v2/accessToken", Ahead: 7 * 24 * time.Hour, InParams: true},
		MatchKeys:  matchKeys,
		Table:      table(),
	}
}

func open(section *yaml.Node) (destinations.Destination, []destinations.Problem) {
	settings := Default()
	s := destinations.Decode(section, &settings)
	checkVersion(s, settings.Version)
	d := destination{Settings: settings, rules: readRules(s, settings.Rules)}
	d.AdAccount = readAccount(s, settings.AdAccount)
	checkIdentifiers(s, settings)
	checkArrange(s, settings)
	s.OneOf("on_forbidden", settings.OnForbidden, "hold_rule", "halt")
	destinations.Within(s, "event_id_max", settings.EventIDMax, 64, 1024)
	destinations.Within(s, "batch", settings.Batch, 1, mostEvents)
	destinations.Within(s, "linger", settings.Linger, 0, time.Minute)
	destinations.Within(s, "timeout", settings.Timeout, 100*time.Millisecond, time.Minute)
	destinations.Within(s, "requests_per_second", settings.RequestsPerSecond, 0.1, 10)
	destinations.Within(s, "requests_per_minute", settings.RequestsPerMinute, 1, minuteLimit)
	destinations.Within(s, "requests_per_day", settings.RequestsPerDay, 1, dayLimit)
	return d, s.Problems()
}

func checkVersion(s *destinations.Section, v string) {
	if !versionShape.MatchString(v) || v == "202512" || v < "202510" {
		s.Problem("version", "version %q is none that answers; known: %s", v, strings.Join(slices.Sorted(maps.Keys(versionEnds)), ", "))
	}
}

// readRules reads each binding: one id or a list of them, each a number or a URN.
func readRules(s *destinations.Section, bound map[string]yaml.Node) map[string][]string {
	rules := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(bound)) {
		n := bound[name]
		entries := []*yaml.Node{&n}
		if n.Kind == yaml.SequenceNode {
			entries = n.Content
		}
		if len(entries) == 0 {
			s.Problem("rules."+name, "rule %q is bound to an empty list", name)
		}
		for _, e := range entries {
			at := destinations.Problem{Line: e.Line, Column: e.Column}
			id := strings.TrimPrefix(strings.TrimSpace(e.Value), ruleURN)
			switch {
			case e.Kind != yaml.ScalarNode || !numberShape.MatchString(id):
				at.Message = "rule \"" + name + "\" is bound to \"" + e.Value + "\"; it must be the rule's number in Campaign Manager or its URN " + ruleURN + "<number>, or a list of them"
				s.Place(at, "rules."+name)
			case slices.Contains(rules[name], id):
				at.Message = "rule " + id + " stands here twice: every event would be sent to it twice"
				s.Place(at, "rules."+name)
			default:
				rules[name] = append(rules[name], id)
			}
		}
	}
	return rules
}

func readAccount(s *destinations.Section, account string) string {
	id := strings.TrimPrefix(strings.TrimSpace(account), accountURN)
	if id != "" && !numberShape.MatchString(id) {
		s.Problem("ad_account", "ad_account is %q; it must be the account's number in Campaign Manager or its URN %s<number>", account, accountURN)
	}
	return id
}

func checkIdentifiers(s *destinations.Section, settings Settings) {
	for _, kind := range slices.Sorted(maps.Keys(settings.IDsFrom)) {
		path := "ids_from." + kind
		switch {
		case kind == "ORACLE_MOAT_ID":
			s.Problem(path, "LinkedIn dropped ORACLE_MOAT_ID; every event with it would be refused")
		case kind == "AXCIOM_ID":
			s.Problem(path, "AXCIOM_ID is a misspelling that another connector spread; LinkedIn's is ACXIOM_ID")
		case !slices.Contains(givenTypes, kind):
			s.Problem(path, "%s is no identifier that can be given from a property; there are %s, and there is none for telephone numbers", kind, strings.Join(givenTypes, " and "))
		case strings.TrimSpace(settings.IDsFrom[kind]) == "":
			s.Problem(path, "%s names no property of the event", path)
		}
	}
	s.OneOf("ip_address", settings.IPAddress, "off", "plain", "hashed")
	if settings.IPAlone && settings.IPAddress == "off" {
		s.Problem("ip_address_alone", "ip_address_alone does nothing while ip_address is off")
	}
	if settings.HashNames && settings.Version < "202609" {
		s.Problem("hash_names", "hashed names exist from version 202609; %s refuses them", settings.Version)
	}
	if len(settings.ExternalIDPrefix) > 64 || strings.ContainsAny(settings.ExternalIDPrefix, "@ \t\r\n") {
		s.Problem("external_id_prefix", "external_id_prefix is up to 64 characters without spaces and without @")
	}
}

type destination struct {
	Settings
	rules map[string][]string // the mapping's names → numbers
	// stopped says, of rules that were read and take no events, why: see Learn.
	stopped map[string]string
}

var (
	_ destinations.Destination = destination{}
	_ destinations.Adviser     = destination{}
	_ destinations.Matcher     = destination{}
	_ destinations.Learner     = destination{}
	_ destinations.Arranger    = destination{}
)

// Advice names the rules that the mapping uses and nobody bound to a rule of the account.
func (d destination) Advice(routes map[string]canonical.Route) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		for _, rule := range routes[name].Rules() {
			if len(d.rules[rule]) == 0 {
				out = append(out, "rule "+rule+" ("+routes[name].At+") is not bound: events named "+name+" are suppressed as not_configured until settings.rules names its number (tributary destinations setup can make it)")
			}
		}
	}
	owner := map[string]string{}
	for _, name := range sortedKeys(d.rules) {
		for _, id := range d.rules[name] {
			if other := owner[id]; other != "" {
				out = append(out, "rule "+id+" is bound to "+other+" and to "+name+": who reaches both is sent to it twice")
			}
			owner[id] = name
		}
	}
	if _, known := versionEnds[d.Version]; !known {
		out = append(out, "version "+d.Version+" is not in the table of end dates; nothing will warn before it ends")
	}
	return out
}
