// Package hubspotcrm reads HubSpot's CRM: contacts, companies and deals in batches with
// their associations, and what the account's own words mean: pipelines and stages, owners,
// definitions of properties. Facts: reference §4, §6 of HubSpot's API as of 2026-09.
package hubspotcrm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"tributary/destinations"
	"tributary/internal/budget"
)

// plural is the path segment of an object type.
var plural = map[string]string{"contact": "contacts", "company": "companies", "deal": "deals"}

// A Client reads one account. Calls wait for the account's budget, which they share with the
// lanes that write to it.
type Client struct {
	BaseURL string
	// Token gives the access token of a request; its error holds the request back. Answered, where
	// not nil, is told how each was answered; its error stands in place of the answer. An error of
	// theirs may say with Halting, as Trouble does, whether waiting helps; one that does not needs a person.
	Token    func(ctx context.Context) (string, error)
	Answered func(ctx context.Context, token string, status int) error
	Budget   *budget.Account
	// Headroom reads what an answer's headers say of the account's limits; nil: nothing.
	Headroom func(destinations.Response) []destinations.Reading
	HTTP     *http.Client
	// Low says that the reads may take all day: they have the backfill's share of the budget.
	Low bool
	// Account is the account's name, for metrics; Metrics counts requests, nil counts nothing.
	Account string
	Metrics *Metrics
	// Further names properties that the mapping reads, beside what is always asked for; nil: none.
	Further func(objectType string) []string
	// Told is given what is found wrong with the account's settings, by what it is about; nil ends
	// it. Not set: nobody is told.
	Told func(what string, problem error)

	words words
}

// A Trouble is an answer that was not the objects asked for. Halt means that no call
// will work until somebody acts, Refuse that this one never will; otherwise After says how
// long to wait.
type Trouble struct {
	Status int
	Words  string
	Halt   bool
	Refuse bool
	After  time.Duration
}

func (t *Trouble) Error() string {
	switch {
	case t.Status == 0: // nothing was asked
		return t.Words
	case t.Words == "":
		return fmt.Sprintf("HubSpot answered %d", t.Status)
	}
	return fmt.Sprintf("HubSpot answered %d: %s", t.Status, t.Words)
}

func chunks[T any](ids []T, n int) func(func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(ids) > 0 {
			k := min(n, len(ids))
			if !yield(ids[:k]) {
				return
			}
			ids = ids[k:]
		}
	}
}

// An ask is one request.
type ask struct {
	method, path string
	body         any    // sent as JSON; nil: nothing
	what         string // of the reads, for the metrics: "objects.contact", "owners", …
	class        string // of the request, as limits have it; "search" is counted apart
}

func (c *Client) post(ctx context.Context, what, path string, body, into any) error {
	return c.call(ctx, ask{method: http.MethodPost, path: path, body: body, what: what}, into)
}

func (c *Client) get(ctx context.Context, what, path string, into any) error {
	return c.call(ctx, ask{method: http.MethodGet, path: path, what: what}, into)
}

const maxAnswer = 16 << 20 // a hundred records are far smaller

// call sends one request within the account's budget and reads its answer.
func (c *Client) call(ctx context.Context, q ask, into any) error {
	var body []byte
	if q.body != nil {
		var err error
		if body, err = json.Marshal(q.body); err != nil {
			return err
		}
	}
	who := budget.Fetch
	if c.Low {
		who = budget.Backfill
	}
	permit, err := c.Budget.Begin(ctx, who, q.class)
	if err != nil {
		return err
	}
	var said []destinations.Reading
	status := 0
	defer func() { permit.Answered(said); c.Metrics.asked(c.Account, q.what, status) }()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, q.method, strings.TrimSuffix(c.BaseURL, "/")+q.path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	token, err := c.Token(ctx)
	if err != nil {
		permit.Unused()
		return untokened(ctx, err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	res, err := c.HTTP.Do(r)
	if err != nil {
		return errors.New("HubSpot cannot be reached") // the cause names the URL with ids
	}
	defer res.Body.Close()
	status = res.StatusCode
	if c.Headroom != nil {
		said = c.Headroom(destinations.Response{Status: res.StatusCode, Header: res.Header})
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return errors.New("HubSpot's answer broke off")
	case len(b) > maxAnswer:
		return &Trouble{Status: res.StatusCode, Words: "more than is read of one answer", Refuse: true, After: 2 * time.Second}
	}
	if c.Answered != nil {
		if err := c.Answered(ctx, token, res.StatusCode); err != nil {
			return untokened(ctx, err)
		}
	}
	if res.StatusCode/100 == 2 {
		if err := json.Unmarshal(b, into); err != nil { // a gateway's page, or half an answer
			return &Trouble{Status: res.StatusCode, Words: "an answer that is no JSON of HubSpot's", After: 2 * time.Second}
		}
		return nil
	}
	t, limit := trouble(res, b, q.class)
	if t.Status == http.StatusNotFound && q.method == http.MethodPost {
		t.Refuse = false // of a batch it says nothing of any record: the path, or a gateway
	}
	if t.Status == http.StatusTooManyRequests {
		c.Budget.Refused(q.class, limit, destinations.RetryAfter(res.Header))
	}
	return t
}

// limitOf is the limit behind a 429's policyName, by its name in the account's budget.
var limitOf = map[string]string{"TEN_SECONDLY_ROLLING": "ten_seconds", "DAILY": "day"}

// searchClass is the class of a search: five a second for the whole account, whoever asks,
// and none of the ten seconds'. Searching is not here; see what reconciles.
const searchClass = "search"

// untokened is why a request could not be made, or was not taken, for want of a token.
func untokened(ctx context.Context, err error) error {
	var t interface{ Halting() (bool, time.Duration) }
	if ctx.Err() != nil || errors.As(err, &t) {
		return err
	}
	return &Trouble{Words: err.Error(), Halt: true}
}

// trouble reads a refusal by status first, category second, message never, and says which
// limit a 429 is of. After is short there: it is the budget that waits.
func trouble(res *http.Response, body []byte, class string) (t *Trouble, limit string) {
	var e struct {
		Category   string `json:"category"`
		PolicyName string `json:"policyName"`
	}
	_ = json.Unmarshal(body, &e) // an HTML body says nothing more than its status
	t = &Trouble{Status: res.StatusCode, Words: cmp.Or(e.Category, e.PolicyName), After: 2 * time.Second}
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		t.Halt = true
	case http.StatusTooManyRequests:
		if limit = limitOf[e.PolicyName]; limit == "" && class == searchClass {
			limit = "search_second" // its 429 names none
		}
	case http.StatusRequestTimeout, http.StatusLocked, statusMoving:
	default:
		t.Refuse = res.StatusCode/100 == 4
	}
	if after := destinations.RetryAfter(res.Header); after > 0 && !t.Halt && !t.Refuse {
		t.After = after
	}
	return t, limit
}

// statusMoving is answered while an account moves to another region.
const statusMoving = 477

// Halting says whether nothing will work until somebody acts, and how long to wait.
func (t *Trouble) Halting() (bool, time.Duration) { return t.Halt, t.After }

// Refused says whether this very request will never be answered.
func (t *Trouble) Refused() bool { return t.Refuse }
