package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tributary/canonical"
	"tributary/destinations/delivery"
)

// print writes explanations for people, or as JSON.
func (e *explainer) print(list []explanation) error {
	if e.o.json {
		return printJSON(e.w, list)
	}
	for i, x := range list {
		if i > 0 {
			fmt.Fprintln(e.w)
		}
		x.print(e)
	}
	if !e.show && slices.ContainsFunc(list, func(x explanation) bool { return x.event != nil }) {
		fmt.Fprintf(e.w, "\npersonal data is masked; --show-personal-data shows it\n")
	}
	return nil
}

func (x explanation) print(e *explainer) {
	say := func(head, format string, args ...any) {
		fmt.Fprintf(e.w, "%-9s %s\n", head, fmt.Sprintf(format, args...))
	}
	in := string(x.Input.Way)
	if x.Input.Guessed {
		in += " (guessed; --way says another)"
	}
	if x.Input.ReceiptID != "" {
		in += ", receipt " + string(x.Input.ReceiptID)
	}
	say("input", "%s, source %s", in, x.Input.Source)
	if x.Input.Says != "" {
		say("reads", "%s", x.Input.Says)
	}
	if x.Rule != nil {
		say("rule", "%s", x.Rule.At)
		if x.Rule.Text != "" {
			say("", "    %s", strings.TrimSpace(x.Rule.Text))
		}
	}
	if x.event == nil {
		say("fate", "%s", strings.TrimSpace(strings.ReplaceAll(string(x.Fate), "_", " ")+" "+x.Reason))
		if x.Detail != "" {
			say("", "%s", x.Detail)
		}
		return
	}
	say("event", "%s", named(*x.event))
	say("id", "%s", x.ID.ID)
	say("", "%s", recipeWords(x.ID))
	for _, p := range x.ID.Parts {
		say("", "    %s: %s", p.Name, p.Value)
	}
	if x.Fate == canonical.FateObservation {
		say("fate", "a further copy of an event that was there already: nothing is sent for it")
	}
	if x.event.Ignored != "" {
		say("ignored", "%s", x.event.Ignored)
		if x.event.IgnoredBy != "" {
			say("", "    by %s", x.event.IgnoredBy)
		}
	}
	for _, d := range x.Destinations {
		d.print(e)
	}
}

func named(e canonical.Event) string {
	switch {
	case !e.Funnel:
		return e.Name + ", outside the funnel"
	case e.CoveredBy != "":
		return fmt.Sprintf("%s, number %d of the funnel; the %s counts it, not this report", e.Name, e.Rank, e.CoveredBy)
	case e.CountedBy == "deal":
		return fmt.Sprintf("%s, number %d of the funnel, once for the deal", e.Name, e.Rank)
	}
	return fmt.Sprintf("%s, number %d of the funnel, once for the person", e.Name, e.Rank)
}

func recipeWords(id *explainedID) string {
	switch {
	case id.Recipe == 0:
		return "given by the sender"
	case len(id.Parts) == 0:
		return fmt.Sprintf("made by recipe %d", id.Recipe)
	}
	return fmt.Sprintf("made by recipe %d of", id.Recipe)
}

func (d explainedDestination) print(e *explainer) {
	for i, p := range d.Parts {
		name := d.Destination
		if i > 0 {
			name = ""
		}
		part := ""
		if p.Part != "" && (len(d.Parts) > 1 || p.Part != "event") {
			part = p.Part + ": "
		}
		state := ""
		if i == 0 && d.State != "" && d.State != "suppressed, "+p.Reason {
			state = "; now " + d.State
		}
		if !p.Sent {
			why := p.Reason
			if p.Detail != "" {
				why += ": " + p.Detail
			}
			if p.Body == nil {
				fmt.Fprintf(e.w, "%-9s %snot sent, %s%s\n", name, part, why, state)
				continue
			}
			if p.Reason == string(delivery.AlreadyThere) {
				why = "sent already; by this mapping it is"
			} else {
				why = "not sent, " + why + "; it would be"
			}
			fmt.Fprintf(e.w, "%-9s %s%s%s\n", name, part, why, state)
			d.body(e, p)
			continue
		}
		worth := ""
		if p.Value != nil {
			worth = fmt.Sprintf(", value %s %s", p.Value, p.Currency)
		}
		fmt.Fprintf(e.w, "%-9s %swould be sent%s%s\n", name, part, worth, state)
		d.body(e, p)
	}
}

func (d explainedDestination) body(e *explainer, p explainedPart) {
	for line := range strings.Lines(indentedJSON(p.Body)) {
		fmt.Fprintf(e.w, "%-9s %s", "", line)
	}
}

func indentedJSON(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("    ", "  ")
	if err := enc.Encode(v); err != nil {
		return err.Error() + "\n"
	}
	return "    " + b.String()
}

// A mask makes personal data unreadable: what an event or report says of its person, and
// whatever looks like an address or a hash of one.
type mask struct {
	off    bool
	hidden map[string]bool
	keep   map[string]bool // ids of the event: hashes that name nobody
}

const blacked = "…masked…"

func newMask(off bool, e *canonical.Event, r *canonical.Report) mask {
	m := mask{off: off, hidden: map[string]bool{}, keep: map[string]bool{}}
	hide := func(values ...string) {
		for _, v := range values {
			if len(v) > 1 {
				m.hidden[v] = true
			}
		}
	}
	contact := func(c canonical.Contact) {
		hide(c.Email, canonical.NormalEmail(c.Email), c.Phone, c.FirstName, c.LastName, c.City, c.Zip, c.LeadID)
		for _, list := range c.Hashed {
			hide(list...)
		}
	}
	browser := func(b canonical.BrowserContext) { hide(b.IP, b.UserAgent, b.FBP, b.FBC, b.IPAppendix) }
	ids := func(list []canonical.Identifier) {
		for _, id := range list {
			if id.Scheme != canonical.HubSpotContact {
				hide(id.Value)
			}
		}
	}
	clicks := func(list []canonical.Click) {
		for _, c := range list {
			hide(c.Value)
		}
	}
	if r != nil {
		contact(r.Contact)
		browser(r.Browser)
		ids(r.Identifiers)
		if r.Touch != nil {
			clicks(r.Touch.Clicks)
		}
	}
	if e != nil {
		contact(e.Contact)
		browser(e.Browser)
		ids(e.Identifiers)
		if e.Touch != nil {
			clicks(e.Touch.Clicks)
		}
		if e.Known != nil {
			ids(e.Known.Identifiers)
			clicks(e.Known.Clicks)
		}
		m.keep[string(e.ID)] = true
	}
	return m
}

var (
	addressLike = regexp.MustCompile(`[^\s"'@<>(),;:/=]+(?:@|%40)[^\s"'@<>(),;/&]+`)
	hashes      = regexp.MustCompile(`\b[0-9a-fA-F]{64}\b`)
	browserID   = regexp.MustCompile(`\bfb\.\d+\.\d+\.[\w-]+`)
)

// text masks a text.
func (m mask) text(s string) string {
	if m.off || s == "" || m.keep[s] {
		return s
	}
	if m.hidden[s] {
		return blacked
	}
	for v := range m.hidden {
		if len(v) >= 6 && strings.Contains(s, v) {
			s = strings.ReplaceAll(s, v, blacked)
		}
	}
	s = addressLike.ReplaceAllString(s, blacked)
	s = browserID.ReplaceAllString(s, blacked)
	return hashes.ReplaceAllStringFunc(s, func(h string) string {
		if m.keep[h] {
			return h
		}
		return blacked
	})
}

// value masks every text within a JSON value.
func (m mask) value(v any) any {
	switch v := v.(type) {
	case string:
		return m.text(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = m.value(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			out[k] = m.value(item)
		}
		return out
	}
	return v
}
