package config

import (
	"time"

	"tributary/destinations"
)

// A Budget says how much of a vendor account's limits is whose.
type Budget struct {
	// Share is this process's part of the account; 0 means 1, all of it. Processes that call the
	// same account have fixed parts, which together are 1 at most.
	Share float64 `yaml:"share"`
	// Shares are the parts of this process's budget by who calls; none given: what is usual.
	Shares Shares `yaml:"shares"`
}

// Shares add up to 1. What one leaves is lent to the others.
type Shares struct {
	Deliver  float64 `yaml:"deliver"`
	Fetch    float64 `yaml:"fetch"` // reads that complete webhooks
	Backfill float64 `yaml:"backfill"`
}

// tiers are what HubSpot sells, and how an OAuth app calls.
var tiers = []string{"free", "starter", "professional", "enterprise", "oauth"}

func (a Account) validateBudget(s *destinations.Section, at string) {
	if a.Tier != "" {
		s.OneOf(at+".tier", a.Tier, tiers...)
	}
	if s.Given(at + ".requests_per_10s") {
		destinations.Within(s, at+".requests_per_10s", a.Per10s, 1, 1000)
	}
	if s.Given(at + ".requests_per_day") {
		destinations.Within(s, at+".requests_per_day", a.PerDay, 1, 10_000_000)
	}
	if _, err := time.LoadLocation(a.TimeZone); err != nil || a.TimeZone == "Local" {
		s.Problem(at+".time_zone", "%s.time_zone %q is not known; write it as the account's own settings do, such as Europe/Berlin", at, a.TimeZone)
	}
	a.Budget().validate(s, at, true)
}

// Budget is the account's.
func (a Account) Budget() Budget { return Budget{a.Share, a.Shares} }

func (b Budget) validate(s *destinations.Section, at string, fetched bool) {
	if s.Given(at + ".share") {
		destinations.Within(s, at+".share", b.Share, 0.01, 1)
	}
	if !s.Given(at + ".shares") {
		return
	}
	parts := map[string]float64{"deliver": b.Shares.Deliver, "backfill": b.Shares.Backfill}
	if fetched {
		parts["fetch"] = b.Shares.Fetch
	} else if s.Given(at + ".shares.fetch") {
		s.Problem(at+".shares.fetch", "%s.shares.fetch: nothing is read from this vendor; only CRM accounts have it", at)
		return
	}
	sum := 0.0
	for _, name := range keys(parts) {
		if parts[name] < 0.01 || parts[name] > 1 {
			s.Problem(at+".shares", "%s.shares.%s is %v; every part lies between 0.01 and 1, or nothing would ever be sent for it while others call", at, name, parts[name])
			return
		}
		sum += parts[name]
	}
	if sum < 0.999 || sum > 1.001 {
		s.Problem(at+".shares", "%s.shares add up to %.3g; name %s, and make them add up to 1", at, sum, listed(keys(parts)))
	}
}

func listed(names []string) string {
	out := ""
	for i, n := range names {
		switch {
		case i > 0 && i == len(names)-1:
			out += " and "
		case i > 0:
			out += ", "
		}
		out += n
	}
	return out
}

// accountSettings are those of a destination that its account has, where one is configured.
var accountSettings = map[string]string{
	"tier": "tier", "time_zone": "time_zone", "requests_per_ten_seconds": "requests_per_10s", "requests_per_day": "requests_per_day",
}

// validateSharing holds a destination's budget against the others of the same account: each
// account has one.
func (c *Config) validateSharing(s *destinations.Section, name string, d Destination, account string) {
	at := "destinations." + name
	d.Budget.validate(s, at+".budget", false)
	if account == "" {
		return
	}
	if a, ok := c.Accounts[account]; ok && a.Kind == d.Kind {
		if s.Given(at + ".budget") {
			s.Problem(at+".budget", "%s.budget: this destination shares the budget of accounts.%s; write share and shares there", at, account)
		}
		for i := 0; i+1 < len(d.Settings.Content); i += 2 {
			key := d.Settings.Content[i]
			if there := accountSettings[key.Value]; there != "" {
				s.Place(destinations.Problem{Line: key.Line, Column: key.Column,
					Message: at + ".settings." + key.Value + " is the account's: write " + there + " at accounts." + account}, at)
			}
		}
	}
}
