package destinations

import (
	"slices"
	"time"

	"tributary/canonical"
)

// EmailHashes gives every e-mail hash of an event's person, each once: the event's own
// first, then those the identity log knew.
func EmailHashes(e canonical.Event, k canonical.Known) []string {
	var hashes []string
	add := func(h string) {
		if canonical.IsHash(h) && !slices.Contains(hashes, h) {
			hashes = append(hashes, h)
		}
	}
	add(canonical.EmailHash(e.Contact.Email))
	for _, ids := range [][]canonical.Identifier{e.Identifiers, k.Identifiers} {
		for _, id := range ids {
			if id.Scheme == canonical.Email {
				add(id.Value)
			}
		}
	}
	return hashes
}

// ClickOf gives the click of a scheme that an event may be credited to: the newest among
// its own and those known of its person, which are never later than the event.
func ClickOf(e canonical.Event, k canonical.Known, s canonical.Scheme) (canonical.Click, bool) {
	var own []canonical.Click
	if e.Touch != nil {
		own = e.Touch.Clicks
	}
	var newest canonical.Click
	for _, clicks := range [][]canonical.Click{own, k.Clicks} {
		for _, c := range clicks {
			if c.Scheme == s && c.Value != "" && (newest.Value == "" || c.At.After(newest.At)) {
				newest = c
			}
		}
	}
	return newest, newest.Value != ""
}

// CRMContact gives the id of the person's contact in the CRM: the record that survived
// its merges where the identity log knows one, else the event's own.
func CRMContact(e canonical.Event, k canonical.Known) string {
	if id := k.First(canonical.HubSpotContact); id != "" {
		return id
	}
	if id := e.First(canonical.HubSpotContact); id != "" {
		return id
	}
	return e.Contact.ID
}

// HappenedAt is the time to tell a vendor: when it happened, and not later than we heard
// of it. Vendors refuse times ahead of their clock, and a source's clock may be ahead.
func HappenedAt(e canonical.Event) time.Time {
	if !e.ReceivedAt.IsZero() && e.OccurredAt.After(e.ReceivedAt) {
		return e.ReceivedAt
	}
	return e.OccurredAt
}
