package main

import (
	"fmt"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/destinations"
	"tributary/internal/budget"
	"tributary/internal/config"
)

// budgets are those of every vendor account that this process calls: one each, whoever calls.
type budgets struct {
	metrics  *budget.Metrics
	accounts map[string]*budget.Account // by kind and account
	gauges   map[string]destinations.Gauge
}

// openBudgets makes the budgets of the configured accounts, and of the destinations whose
// account has no section.
func openBudgets(cfg config.Config, kinds map[string]destinations.Kind, metrics *budget.Metrics) (*budgets, error) {
	b := &budgets{metrics: metrics, accounts: map[string]*budget.Account{}, gauges: map[string]destinations.Gauge{}}
	for _, name := range sortedKeys(cfg.Accounts) {
		a := cfg.Accounts[name]
		d, err := accountOfKind(kinds[a.Kind], name, a)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", name, err)
		}
		key := a.Kind + "/" + name
		b.accounts[key] = budget.New(key, d.Contract().Limits, budgetOptions(a.Budget(), a.Token != "" || a.OAuth.Given(), metrics))
		b.gauges[key], _ = d.(destinations.Gauge)
	}
	given := map[string]config.Budget{}
	limits := map[string][]destinations.Limit{}
	for _, name := range sortedKeys(cfg.Destinations) {
		d := cfg.Destinations[name]
		section := d.Settings
		dest, problems := kinds[d.Kind].New(settingsNode(&section))
		if len(problems) > 0 { // config.Load has said so already
			return nil, fmt.Errorf("destination %s: %s", name, problems[0].Message)
		}
		key := accountKey(d.Kind, name, dest)
		if b.accounts[key] == nil {
			limits[key] = smallest(limits[key], dest.Contract().Limits)
			given[key] = smaller(given[key], d.Budget)
		}
	}
	for _, key := range sortedKeys(limits) {
		b.accounts[key] = budget.New(key, limits[key], budgetOptions(given[key], false, metrics))
	}
	return b, nil
}

// of is the budget that a destination's requests are counted in.
func (b *budgets) of(kind, name string, d destinations.Destination) *budget.Account {
	return b.accounts[accountKey(kind, name, d)]
}

// fetch is the budget that an account is read within, and how its answers' headers are read.
func (b *budgets) fetch(a config.Account, name string) (*budget.Account, func(destinations.Response) []destinations.Reading) {
	key := a.Kind + "/" + name
	if g := b.gauges[key]; g != nil {
		return b.accounts[key], g.Headroom
	}
	return b.accounts[key], nil
}

// degraded tells which accounts nobody may call for a while.
func (b *budgets) degraded() []string {
	var out []string
	for _, key := range sortedKeys(b.accounts) {
		if limit, until, ok := b.accounts[key].Waiting(); ok {
			out = append(out, fmt.Sprintf("budget %s: the vendor's limit %q is used up; what it counts waits until %s", key, limit, until.UTC().Format(time.RFC3339)))
		}
	}
	return out
}

// accountKey names the vendor account of a destination: the one that its contract names, or
// its own.
func accountKey(kind, name string, d destinations.Destination) string {
	if account := d.Contract().Account; account != "" {
		return kind + "/" + account
	}
	return kind + "/destination." + name
}

// accountOfKind opens the vendor's adapter for what the account's section says, which knows
// the limits of each tier and how to read the vendor's headers.
func accountOfKind(kind destinations.Kind, name string, a config.Account) (destinations.Destination, error) {
	settings := map[string]any{"account": name}
	if a.Tier != "" {
		settings["tier"] = a.Tier
	}
	if a.TimeZone != "" {
		settings["time_zone"] = a.TimeZone
	}
	if a.Per10s > 0 {
		settings["requests_per_ten_seconds"] = a.Per10s
	}
	if a.PerDay > 0 {
		settings["requests_per_day"] = a.PerDay
	}
	var section yaml.Node
	if err := section.Encode(settings); err != nil {
		return nil, err
	}
	d, problems := kind.New(&section)
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s", problems[0].Message)
	}
	return d, nil
}

// budgetOptions are a budget's. Where nothing is configured, what is never read needs no part.
func budgetOptions(b config.Budget, fetched bool, metrics *budget.Metrics) budget.Options {
	s := budget.Shares{budget.Deliver: b.Shares.Deliver, budget.Fetch: b.Shares.Fetch, budget.Backfill: b.Shares.Backfill}
	if s == (budget.Shares{}) {
		if s = budget.Default; !fetched {
			s[budget.Fetch] = 0
		}
	}
	return budget.Options{Share: b.Share, Shares: s, Metrics: metrics}
}

// smallest joins the limits of destinations that share one account: of two of one name the
// tighter holds.
func smallest(a, b []destinations.Limit) []destinations.Limit {
	for _, l := range b {
		met := false
		for i := range a {
			if a[i].Name == l.Name {
				met = true
				if float64(l.Requests)*a[i].Per.Seconds() < float64(a[i].Requests)*l.Per.Seconds() {
					a[i] = l
				}
			}
		}
		if !met {
			a = append(a, l)
		}
	}
	return a
}

// smaller joins what destinations that share one account say of its budget: the smaller
// share, and the parts of whoever names some first.
func smaller(a, b config.Budget) config.Budget {
	if a.Share == 0 || b.Share > 0 && b.Share < a.Share {
		a.Share = b.Share
	}
	if a.Shares == (config.Shares{}) {
		a.Shares = b.Shares
	}
	return a
}
