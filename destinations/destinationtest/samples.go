package destinationtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// Noon is when the samples happen.
var Noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func money(units int64) *canonical.Money {
	m := canonical.Money(units * 1_000_000)
	return &m
}

// Deals gives n events of won deals, each of another person who is well known: CRM
// contact, e-mail, clicks, first and last touch.
func Deals(n int) []canonical.Event {
	events := make([]canonical.Event, n)
	for i := range events {
		id := strconv.Itoa(1001 + i)
		email := fmt.Sprintf("person%d@example.com", i)
		at := Noon.Add(time.Duration(i) * time.Second)
		click := canonical.Click{Scheme: canonical.FBCLID, Value: "IwAR0-Click" + id, At: Noon.Add(-48 * time.Hour)}
		fat := canonical.Click{Scheme: canonical.LIFatID, Value: "0a1b2c3d-0000-4000-8000-00000000" + id, At: Noon.Add(-24 * time.Hour)}
		first := &canonical.Touch{Kind: "ad_click", At: click.At, Platform: "meta", Source: "facebook", Medium: "paid_social", Campaign: "Spring", Page: "https://example.com/"}
		last := &canonical.Touch{Kind: "ad_click", At: fat.At, Platform: "linkedin", Source: "linkedin", Medium: "cpc", Campaign: "Demo days", AdSet: "DE", Ad: "Video", Page: "https://example.com/demo"}
		contact := canonical.Identifier{Scheme: canonical.HubSpotContact, Value: id, Seen: Noon.Add(-72 * time.Hour)}
		hash := canonical.Identifier{Scheme: canonical.Email, Value: canonical.EmailHash(email), Seen: Noon.Add(-72 * time.Hour)}
		events[i] = canonical.Event{
			ID: canonical.MintDealID("9"+id, "closedwon", canonical.FormatTime(at)), IDRecipe: 1, Name: "customer_won",
			OccurredAt: at, ReceivedAt: at.Add(time.Minute), Source: "hubspot", Way: canonical.WayHubSpot,
			Object: canonical.Object{Type: "deal", ID: "9" + id}, RawStage: "closedwon", Stage: "customer_won",
			Funnel: true, Rank: 6, CountedBy: "deal", Node: contact.Node(),
			Identifiers: []canonical.Identifier{contact, hash},
			Contact:     canonical.Contact{ID: id, Email: email, Phone: "+1 (415) 555-01" + strconv.Itoa(10+i%90), FirstName: "Ada", LastName: "Byron", City: "Salt Lake City", State: "Nevada", Zip: "89101-4402", Country: "USA", Title: "CFO"},
			Company:     canonical.Company{ID: "77", Domain: "example.com", Name: "Example Inc"},
			Revenue:     &canonical.Revenue{Amount: money(36000), ARR: money(12000), Currency: "USD"},
			Known: &canonical.Known{
				Offset: 41, Person: contact.Node(), Identifiers: []canonical.Identifier{contact, hash},
				Clicks: []canonical.Click{click, fat}, FirstTouch: first, LastTouch: last,
			},
			MappingVersion: "sha256:0123456789ab", ReceiptID: canonical.ReceiptID("01SAMPLE" + id),
		}
	}
	return events
}

// Forms gives n events of forms filled on a website by people the CRM does not know.
func Forms(n int) []canonical.Event {
	events := make([]canonical.Event, n)
	for i := range events {
		email := fmt.Sprintf("visitor%d@example.org", i)
		at := Noon.Add(time.Duration(i) * time.Second)
		hash := canonical.Identifier{Scheme: canonical.Email, Value: canonical.EmailHash(email)}
		cookie := canonical.Identifier{Scheme: canonical.Anonymous, Value: fmt.Sprintf("visitor-%d", i)}
		touch := &canonical.Touch{Kind: "form", At: at, Form: "demo", Page: "https://example.com/demo", Source: "newsletter", Medium: "email", Campaign: "August"}
		events[i] = canonical.Event{
			ID: canonical.MintID("touch", "site", strconv.Itoa(i)), IDRecipe: 1, Name: "form_submitted",
			OccurredAt: at, ReceivedAt: at, Source: "site", Way: canonical.WayPixel,
			Object: canonical.Object{Type: "form", ID: "demo"}, Node: hash.Node(),
			Identifiers: []canonical.Identifier{hash, cookie},
			Contact:     canonical.Contact{Email: email, FirstName: "Kim", LastName: "Lee"},
			Touch:       touch,
			Revenue:     &canonical.Revenue{Amount: money(5), Currency: "EUR"},
			Browser: canonical.BrowserContext{
				URL: "https://example.com/demo?utm_source=newsletter&mail=" + email, UserAgent: "Mozilla/5.0", IP: "203.0.113.7",
				FBP: "fb.1.1788000000000.123456789012345678",
			},
			Known:          &canonical.Known{Offset: 12, Person: hash.Node(), Identifiers: []canonical.Identifier{hash, cookie}, FirstTouch: touch, LastTouch: touch},
			MappingVersion: "sha256:0123456789ab", ReceiptID: canonical.ReceiptID("01FORM" + strconv.Itoa(i)),
		}
	}
	return events
}

// odd plans events that no sane source sends. What becomes a part must build alone, or
// say why not; nothing panics.
func (s Suite) odd(t *testing.T, d destinations.Destination) {
	for name, e := range oddEvents() {
		for _, route := range []canonical.Route{{}, s.Route, {Event: strings.Repeat("E", 300), Rule: "nobody bound this", Value: "cats", IfMissing: "use:"}} {
			parts, refusal := d.Plan(e, KnownOf(e), route)
			if len(parts) == 0 && refusal.Reason == "" {
				t.Errorf("%s: neither a part nor a reason", name)
			}
			if len(parts) > 0 && refusal.Reason != "" {
				t.Errorf("%s: both parts and a reason", name)
			}
			for _, p := range parts {
				it := destinations.Item{Event: e, Known: KnownOf(e), Part: p}
				s.match(t, d, name, it)
				q, err := d.Build([]destinations.Item{it})
				if err != nil {
					if p.Refused.Reason == "" {
						t.Errorf("%s: part %s was planned and cannot be built: %v", name, p.Name, err)
					}
					continue
				}
				s.check(t, q, 1)
			}
		}
	}
}

// match checks that what an adapter says of identifiers holds no values.
func (s Suite) match(t *testing.T, d destinations.Destination, name string, it destinations.Item) {
	m, ok := d.(destinations.Matcher)
	if !ok {
		return
	}
	for key, what := range m.Match(it) {
		if key == "" || !slices.Contains([]string{"usable", "missing", "refused", "prehashed"}, what) {
			t.Errorf("%s: %s is said to be %q", name, key, what)
		}
	}
}

func oddEvents() map[string]canonical.Event {
	deal := Deals(1)[0]
	change := func(f func(*canonical.Event)) canonical.Event {
		e := deal
		k := *deal.Known
		e.Known = &k
		f(&e)
		return e
	}
	long := strings.Repeat("long ", 30000)
	return map[string]canonical.Event{
		"nothing at all":      {},
		"an id and no more":   {ID: "x", Name: "customer_won"},
		"nothing known":       change(func(e *canonical.Event) { e.Known = nil }),
		"no identifiers":      change(func(e *canonical.Event) { e.Known, e.Identifiers, e.Contact = nil, nil, canonical.Contact{} }),
		"junk in every field": change(func(e *canonical.Event) { junk(e, "\x00\xff\u2028 <b>\"'&") }),
		"long text":           change(func(e *canonical.Event) { junk(e, long) }),
		"spaces":              change(func(e *canonical.Event) { junk(e, " \t\n ") }),
		"emoji":               change(func(e *canonical.Event) { junk(e, "🙂👩🏽‍💻") }),
		"a negative amount": change(func(e *canonical.Event) {
			*e = deal
			e.Revenue = &canonical.Revenue{Amount: money(-5), Currency: "USD"}
		}),
		"no such currency": change(func(e *canonical.Event) { e.Revenue = &canonical.Revenue{Amount: money(5), Currency: "QQQ"} }),
		"no currency":      change(func(e *canonical.Event) { e.Revenue = &canonical.Revenue{Amount: money(5)} }),
		"no revenue":       change(func(e *canonical.Event) { e.Revenue = nil }),
		"before time":      change(func(e *canonical.Event) { e.OccurredAt, e.ReceivedAt = time.Time{}, time.Time{} }),
		"ahead of time":    change(func(e *canonical.Event) { e.OccurredAt = e.ReceivedAt.Add(time.Hour) }),
		"a very long id":   change(func(e *canonical.Event) { e.ID = canonical.EventID(long) }),
		"an empty touch":   change(func(e *canonical.Event) { e.Touch = &canonical.Touch{} }),
		"an empty consent": change(func(e *canonical.Event) { e.Consent = &canonical.Consent{} }),
		"odd hashes": change(func(e *canonical.Event) {
			e.Contact.Hashed = map[string][]string{"em": {"", "zz", strings.Repeat("a", 63)}, "unknown": {"x"}}
		}),
		"an unknown touch":      {ID: "t", Name: "x", Touch: &canonical.Touch{Kind: "carrier_pigeon", At: Noon}, Contact: canonical.Contact{Email: "a@example.com"}},
		"a page without a page": {ID: "t", Name: "page_view", Touch: &canonical.Touch{Kind: "page_view", At: Noon}, Contact: canonical.Contact{Email: "a@example.com"}},
	}
}

func junk(e *canonical.Event, s string) {
	*e = canonical.Event{
		ID: "junk", Name: s, OccurredAt: Noon, ReceivedAt: Noon, Way: e.Way, Funnel: true, Object: e.Object, RawStage: s,
		Identifiers: append([]canonical.Identifier{{Scheme: canonical.Email, Value: s}, {Scheme: canonical.LIFatID, Value: s}, {Scheme: canonical.LeadID, Value: s}, {Scheme: canonical.HubSpotContact, Value: s}}, e.Identifiers...),
		Contact: canonical.Contact{ID: s, Email: s, Phone: s, FirstName: s, LastName: s, City: s, State: s, Zip: s, Country: s, Title: s, LeadID: s,
			Hashed: map[string][]string{"em": {s}, "ph": {s}}},
		Company:    canonical.Company{Name: s, Domain: s},
		Touch:      &canonical.Touch{Kind: "ad_click", At: Noon, Campaign: s, Platform: s, Page: s, Clicks: []canonical.Click{{Scheme: canonical.FBCLID, Value: s, At: Noon}, {Scheme: canonical.LIFatID, Value: s, At: Noon}}},
		Revenue:    &canonical.Revenue{Amount: money(1), Currency: s},
		Browser:    canonical.BrowserContext{URL: s, Referrer: s, UserAgent: s, IP: s, FBC: s, FBP: s},
		Consent:    &canonical.Consent{DataProcessing: []string{"LDU"}},
		Properties: map[string]any{"lead_score": s, "action_source": s},
		Known:      e.Known,
	}
}

// mistakes checks that every mistake is told, with its place, all at once.
func (s Suite) mistakes(t *testing.T) {
	_, problems := s.Kind.New(Section(t, "timeoutt: 5s\nbatch: many\nlinger: [1]\n"))
	var told []string
	for _, p := range problems {
		told = append(told, fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message))
	}
	all := strings.Join(told, "\n")
	for _, want := range []string{
		`1:1: unknown setting "timeoutt" (did you mean "timeout"?)`,
		`2:8: batch is "many"; it must be a whole number`,
		`3:9: linger must be a duration such as 5s or 2m`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the problems do not say %q:\n%s", want, all)
		}
	}
	if d, _ := s.Kind.New(Section(t, "")); d == nil {
		t.Error("an empty section gives no destination at all")
	}
	if d, problems := s.Kind.New(Section(t, "- a list\n")); d == nil || len(problems) == 0 {
		t.Error("a list is no section")
	}
}
