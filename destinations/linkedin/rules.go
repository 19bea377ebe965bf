package linkedin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tributary/destinations"
)

// A rule is a conversion rule as LinkedIn shows it (linkedin.md §8). That it shows its
// campaigns is what its public examples say; the sheet is silent.
type rule struct {
	ID         json.Number `json:"id"`
	Name       string      `json:"name"`
	Method     string      `json:"conversionMethod"`
	Type       string      `json:"type"`
	Enabled    *bool       `json:"enabled"`
	Associated []struct {
		Campaign string `json:"campaign"`
	} `json:"associatedCampaigns"`
}

func (r rule) enabled() bool { return r.Enabled == nil || *r.Enabled }

func (r rule) has(campaign string) bool {
	for _, a := range r.Associated {
		if strings.TrimPrefix(a.Campaign, campaignURN) == campaign {
			return true
		}
	}
	return false
}

// trouble says why a rule takes no events, and what to do; "" where it takes them.
func (r rule) trouble() string {
	switch {
	case r.Method != "" && r.Method != apiMethod:
		return "it belongs to the Insight Tag (" + r.Method + ") and refuses events of the API: make one of its own with tributary destinations setup, and bind that"
	case !r.enabled():
		return "it is switched off: switch it on in Campaign Manager, or with tributary destinations setup"
	}
	return ""
}

const apiMethod = "CONVERSIONS_API"

// request is a request beside the events.
func (d destination) request(method, path, query string, body any) (destinations.Request, error) {
	q := destinations.Request{Method: method, Path: path, RawQuery: query, Header: destinations.JSONHeader()}
	q.Header.Set("LinkedIn-Version", d.Version)
	q.Header.Set("X-Restli-Protocol-Version", "2.0.0")
	if body == nil {
		return q, nil
	}
	var err error
	q.Body, err = destinations.JSON(body)
	return q, err
}

// ask sends a request and reads the answer into into (nil: not read). What is not a 2xx is
// an error that says what to do.
func (d destination) ask(ctx context.Context, call destinations.Caller, q destinations.Request, into any) (destinations.Response, error) {
	r, err := call(ctx, q)
	if err != nil {
		return r, fmt.Errorf("%s %s: %w", q.Method, q.Path, err)
	}
	if r.Status/100 == 2 {
		if into != nil && !destinations.ReadJSON(r.Body, into) {
			return r, fmt.Errorf("%s %s: %w", q.Method, q.Path, errUnreadable)
		}
		return r, nil
	}
	var p problem
	if !destinations.ReadJSON(r.Body, &p) {
		p = problem{}
	}
	o := d.verdict(r.Status, p, destinations.Part{})
	what := o.Detail
	if r.Status == http.StatusForbidden && o.Reason == "rule_forbidden" {
		what = said("the token's member has no role on ad account "+d.AdAccount+", or the token lacks r_ads", destinations.VendorWords(p.Message))
	}
	return r, fmt.Errorf("%s %s: %d %s: %s", q.Method, q.Path, r.Status, o.Reason, what)
}

var errUnreadable = errors.New("the answer cannot be read")

const (
	pageSize = 100
	mostRead = 20_000 // rules, or campaigns, of one account: a list that is longer does not end
)

// listRules reads every rule of the ad account. Each comes with all its campaigns, so that a page
// may be longer than what is read of an answer: it is then asked for in smaller ones.
func (d destination) listRules(ctx context.Context, call destinations.Caller) ([]rule, error) {
	var all []rule
	count := pageSize
	for start := 0; ; start = len(all) {
		query := "q=account&account=" + url.QueryEscape(accountURN+d.AdAccount) + "&start=" + strconv.Itoa(start) + "&count=" + strconv.Itoa(count)
		q, err := d.request(http.MethodGet, "/rest/conversions", query, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Elements []rule `json:"elements"`
		}
		if _, err := d.ask(ctx, call, q, &page); errors.Is(err, errUnreadable) && count > 1 {
			count = max(1, count/4)
			continue
		} else if err != nil {
			return nil, err
		}
		all = append(all, page.Elements...)
		switch {
		case len(page.Elements) < count:
			return all, nil
		case len(all) > mostRead:
			return nil, fmt.Errorf("%s: the list of rules of ad account %s does not end", q.Path, d.AdAccount)
		}
	}
}

// Learn reads the rules that are bound, so that those which take no events hold their own
// back instead of having them refused one by one. Without ad_account nothing is read.
func (d destination) Learn(ctx context.Context, call destinations.Caller) (destinations.Destination, []destinations.Finding, error) {
	if d.AdAccount == "" || len(d.rules) == 0 {
		return d, nil, nil
	}
	all, err := d.listRules(ctx, call)
	if err != nil {
		return d, nil, err
	}
	learnt := d
	learnt.stopped = map[string]string{}
	var findings []destinations.Finding
	for _, name := range sortedKeys(d.rules) {
		for _, id := range d.rules[name] {
			f := destinations.Finding{Subject: "rule " + name + " (" + id + ")"}
			i := slices.IndexFunc(all, func(r rule) bool { return r.ID.String() == id })
			switch {
			case i < 0: // of another account, perhaps: LinkedIn's answer to its events will tell
				f.Problem = "ad account " + d.AdAccount + " has no such rule: its events will be refused unless it is another account's"
				f.Blocks = true
			case all[i].trouble() != "":
				f.Problem, f.Blocks = all[i].trouble(), true
				learnt.stopped[id] = f.Subject + ": " + f.Problem
			case all[i].Associated != nil && len(all[i].Associated) == 0:
				f.Problem = "it is attached to no campaign: it collects events and attributes nothing (tributary destinations setup attaches it)"
			}
			findings = append(findings, f)
		}
	}
	return learnt, findings, nil
}
