package destinations

import (
	"slices"
	"time"

	"tributary/canonical"
)

// A ContactRule says which of a deal's contacts lends an event about it the identifiers.
type ContactRule string

// The rules. Where the first finds nobody the second is asked, then the third.
const (
	LatestClick ContactRule = "latest_click" // who clicked one of the vendor's ads last, within its window
	Primary     ContactRule = "primary"      // the primary contact
	Earliest    ContactRule = "earliest"     // who was associated first
)

// Carried gives an event and what was known as they are to be sent by a rule: of an event
// about a deal, with the identifiers, clicks, touches and consent of the contact who is chosen.
// Where that is not the event's own person, nothing that its report said of a person goes
// along. Known then says who was chosen (Contact, Others) and not among whom, so that a
// retry is of the same one under any rule. Where the event says nothing of consent, or nothing of
// whether its person may be advertised to, or of limits of use, what the person said last holds. It is pure, and what it gives it gives again for that.
func Carried(e canonical.Event, k canonical.Known, rule ContactRule, c Contract) (canonical.Event, canonical.Known) {
	if i := choose(e, k, rule, c); i >= 0 {
		k = lent(k, i)
	}
	if k.Contact != 0 {
		e.Contact, e.Identifiers, e.Touch, e.Browser, e.Consent = canonical.Contact{}, nil, nil, canonical.BrowserContext{}, nil
	}
	switch own, last := e.Consent, k.Consent; {
	case own == nil:
		e.Consent = last
	case last != nil:
		c := *own
		if c.AdStorage == nil && c.AdUserData == nil {
			c.AdStorage, c.AdUserData = last.AdStorage, last.AdUserData
		}
		if c.DataProcessing == nil {
			c.DataProcessing, c.ProcessingCountry, c.ProcessingState = last.DataProcessing, last.ProcessingCountry, last.ProcessingState
		}
		e.Consent = &c
	}
	return e, k
}

// choose gives the place of the contact that lends the identifiers; -1: the event's own.
func choose(e canonical.Event, k canonical.Known, rule ContactRule, c Contract) int {
	if len(k.Contacts) == 0 {
		return -1
	}
	if rule == LatestClick || rule == "" {
		if i := latestClick(e, k, c); i >= 0 {
			return i
		}
	}
	if i := slices.IndexFunc(k.Contacts, func(d canonical.DealContact) bool { return d.Primary }); i >= 0 && rule != Earliest {
		return i
	}
	first := 0
	for i, d := range k.Contacts {
		if d.Since.Before(k.Contacts[first].Since) {
			first = i
		}
	}
	return first
}

// latestClick gives the contact with the latest click of the vendor within its window, of two
// at one time the one that counts first.
func latestClick(e canonical.Event, k canonical.Known, c Contract) int {
	best, at := -1, time.Time{}
	for i, d := range k.Contacts {
		of, known := canonical.Event{}, canonical.Known{Clicks: d.Clicks}
		if d.Person == k.Person {
			of, known = e, k
		}
		for _, s := range c.Clicks {
			click, ok := ClickOf(of, known, s)
			if !ok || click.At.After(e.OccurredAt) || c.ClickWindow > 0 && e.OccurredAt.Sub(click.At) > c.ClickWindow {
				continue
			}
			if best < 0 || click.At.After(at) {
				best, at = i, click.At
			}
		}
	}
	return best
}

// lent gives what is known of one of the contacts in place of them all.
func lent(k canonical.Known, i int) canonical.Known {
	d, others := k.Contacts[i], make([]canonical.NodeID, 0, len(k.Contacts))
	for j, other := range k.Contacts {
		if j != i {
			others = append(others, other.Node)
		}
	}
	k.Contacts, k.Others = nil, others
	if d.Person == k.Person {
		return k
	}
	k.Contact, k.Person, k.Consent = d.Node, d.Person, d.Consent
	k.Identifiers, k.Clicks, k.FirstTouch, k.LastTouch = d.Identifiers, d.Clicks, d.FirstTouch, d.LastTouch
	k.Counts = nil // they are the event's own person's
	return k
}
