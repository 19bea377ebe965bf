// Package alert tells a webhook what stands still in a process and what goes again. It
// holds nothing up: what cannot be told now is told later, with what holds then.
package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/destinations"
)

// SignatureHeader carries the time of sending and the hex HMAC-SHA256 over it and the body, as
// the webhook destination's does: t=<Unix seconds>,v1=<hex of "<t>.<body>">.
const SignatureHeader = "Tributary-Signature"

// A Teller watches what is degraded and tells the changes.
type Teller struct {
	// Degraded lists what stands still now, a sentence each: "part: why; what to do".
	Degraded func() []string
	// URL reads the address; it may be a secret. Secret reads the key to sign with; "" signs nothing.
	URL       func() (string, error)
	Secret    func() (string, error)
	Client    *http.Client
	Instance  string
	UserAgent string
	Settle    time.Duration // how long a change must last to be told
	Logger    *slog.Logger
	// Trouble is told when the webhook does not take what it is sent, and nil when it does.
	Trouble func(error)
}

// A Message is the body of an alert.
type Message struct {
	At       time.Time `json:"at"`
	Instance string    `json:"instance"`
	Degraded []string  `json:"degraded"` // all that stands still now
	Added    []string  `json:"added"`
	Resolved []string  `json:"resolved"`
	Text     string    `json:"text"` // the same in words, for chat tools
}

// Part is the name of the trouble that Trouble is told; it is never told itself.
const Part = "alerts"

const (
	look       = time.Second
	timeout    = 10 * time.Second
	longest    = time.Minute // a list that does not come to rest is told all the same
	backoffMin = 2 * time.Second
	backoffMax = 5 * time.Minute
)

// Run tells changes until ctx ends. What was degraded before it began counts as new:
// nobody remembers what the last process told.
func (t *Teller) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	var w watch
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		now := time.Now()
		added, resolved, due := w.see(t.list(), now, t.Settle)
		if !due {
			continue
		}
		m := Message{At: now.UTC(), Instance: t.Instance, Degraded: w.seen, Added: added, Resolved: resolved}
		m.Text = words(m)
		err := t.post(ctx, m)
		t.Trouble(err)
		if err != nil {
			wait := w.put(time.Now())
			t.Logger.Warn("alert not taken; it is sent again", "error", err.Error(), "wait", wait)
			continue
		}
		w.told = w.seen
		w.failures, w.again = 0, time.Time{}
		t.Logger.Info("alert sent", "added", len(added), "resolved", len(resolved))
	}
}

// list is what stands still, without what personal data a sentence may have caught up and
// without the webhook's own trouble.
func (t *Teller) list() []string {
	out := []string{}
	for _, s := range t.Degraded() {
		if !strings.HasPrefix(s, Part+":") {
			out = append(out, destinations.Masked(s))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// A watch compares what is with what was told.
type watch struct {
	told, seen []string
	since      time.Time // seen has been so since then
	first      time.Time // seen differs from told since then; zero: it does not
	failures   int
	again      time.Time
}

// see notes the list of now. due is true when it differs from what was told last, has
// been as it is for settle (or has not come to rest for long), and no back-off holds.
func (w *watch) see(list []string, now time.Time, settle time.Duration) (added, resolved []string, due bool) {
	if !slices.Equal(sames(list), sames(w.seen)) || w.since.IsZero() {
		w.since = now
	}
	w.seen = list
	added, resolved = without(list, w.told), without(w.told, list)
	if len(added)+len(resolved) == 0 {
		w.first, w.failures, w.again = time.Time{}, 0, time.Time{}
		return nil, nil, false
	}
	if w.first.IsZero() {
		w.first = now
	}
	rested := now.Sub(w.since) >= settle || now.Sub(w.first) >= settle+longest
	return added, resolved, rested && !now.Before(w.again)
}

// put puts the next try off.
func (w *watch) put(now time.Time) time.Duration {
	w.failures++
	most := min(backoffMin<<min(w.failures, 20), backoffMax)
	wait := backoffMin + rand.N(most-backoffMin+1)
	w.again = now.Add(wait)
	return wait
}

var numbers = regexp.MustCompile(`[0-9]+`)

// same is what of a sentence tells one trouble from another: times and counts in it move
// while it is the same trouble. The part that it is about is kept: linkedin-1 is not linkedin-2.
func same(sentence string) string {
	part, why, ok := strings.Cut(sentence, ": ")
	if !ok || !named.MatchString(part) {
		part, why = "", sentence
	}
	return part + ": " + numbers.ReplaceAllString(why, "#")
}

// named is how sentences name their part: destination linkedin-1, budget meta/acme2, books.
var named = regexp.MustCompile(`^[a-z][a-z_]*( \S+){0,2}$|^[a-z]+(\.[A-Za-z0-9_-]+)+$`)

func sames(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = same(s)
	}
	return out
}

// without gives those of list that are not in other; never nil.
func without(list, other []string) []string {
	known := map[string]bool{}
	for _, s := range other {
		known[same(s)] = true
	}
	out := []string{}
	for _, s := range list {
		if !known[same(s)] {
			out = append(out, s)
		}
	}
	return out
}

// words says a message in text.
func words(m Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Tributary %s: ", m.Instance)
	if len(m.Degraded) == 0 {
		b.WriteString("all is well again")
	} else {
		fmt.Fprintf(&b, "%d degraded", len(m.Degraded))
	}
	for _, s := range m.Added {
		b.WriteString("\n• new: " + s)
	}
	for _, s := range m.Resolved {
		b.WriteString("\n• over: " + s)
	}
	return b.String()
}

// post sends one message. Its errors name neither the address nor the secret.
func (t *Teller) post(ctx context.Context, m Message) error {
	address, err := t.URL()
	if err != nil {
		return fmt.Errorf("alerts.url: %w", err)
	}
	secret, err := t.Secret()
	if err != nil {
		return fmt.Errorf("alerts.secret: %w", err)
	}
	body, err := destinations.JSON(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil || r.URL.Host == "" || r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		return errors.New("alerts.url holds no http or https address")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", t.UserAgent)
	if secret != "" {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(at + "."))
		mac.Write(body)
		r.Header.Set(SignatureHeader, "t="+at+",v1="+hex.EncodeToString(mac.Sum(nil)))
	}
	res, err := t.Client.Do(r)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the webhook at alerts.url did not answer within %v", timeout)
	case err != nil:
		return errors.New("the webhook at alerts.url cannot be reached" + private(err)) // the error itself names the address
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the webhook at alerts.url answers %d", res.StatusCode)
	}
	return nil
}

// private adds what to do where the address was refused here.
func private(err error) string {
	var p interface{ PrivateAddress() bool }
	if errors.As(err, &p) && p.PrivateAddress() {
		return ": it is an address of a private network; set alerts.allow_private if that is meant"
	}
	return ""
}
