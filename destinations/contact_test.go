package destinations_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

func TestWhoseIdentifiersADealsEventCarries(t *testing.T) {
	won := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	ago := func(days int) time.Time { return won.AddDate(0, 0, -days) }
	click := func(s canonical.Scheme, days int) []canonical.Click {
		return []canonical.Click{{Scheme: s, Value: string(s), At: ago(days)}}
	}
	contact := func(n canonical.NodeID, since int, clicks []canonical.Click) canonical.DealContact {
		return canonical.DealContact{Node: n, Person: n, Since: ago(since), Clicks: clicks}
	}
	primary := func(c canonical.DealContact) canonical.DealContact { c.Primary = true; return c }
	ads := destinations.Contract{Clicks: []canonical.Scheme{canonical.LIFatID}, ClickWindow: 30 * 24 * time.Hour}
	crm := destinations.Contract{}
	const own, second, third = 1, 2, 3
	for name, c := range map[string]struct {
		clicks   []canonical.Click // of the event's own person
		contacts []canonical.DealContact
		rule     destinations.ContactRule
		contract destinations.Contract
		want     canonical.NodeID
	}{
		"no contacts":                      {nil, nil, "", ads, own},
		"one":                              {nil, []canonical.DealContact{contact(own, 9, nil)}, "", ads, own},
		"one, and another person's event":  {nil, []canonical.DealContact{contact(second, 9, nil)}, "", ads, second},
		"the latest click":                 {click(canonical.LIFatID, 9), []canonical.DealContact{contact(own, 9, nil), contact(second, 5, click(canonical.LIFatID, 3))}, "", ads, second},
		"the own click is later":           {click(canonical.LIFatID, 2), []canonical.DealContact{contact(own, 9, nil), contact(second, 50, click(canonical.LIFatID, 3))}, "", ads, own},
		"at the edge of the window":        {nil, []canonical.DealContact{contact(own, 9, nil), contact(second, 5, click(canonical.LIFatID, 30))}, "", ads, second},
		"outside the window":               {nil, []canonical.DealContact{contact(own, 9, nil), contact(second, 5, click(canonical.LIFatID, 31))}, "", ads, own},
		"after the event":                  {nil, []canonical.DealContact{contact(own, 9, nil), contact(second, 5, click(canonical.LIFatID, -1))}, "", ads, own},
		"another vendor's click":           {nil, []canonical.DealContact{contact(own, 9, nil), contact(second, 5, click(canonical.GCLID, 3))}, "", ads, own},
		"a vendor without ads":             {nil, []canonical.DealContact{contact(own, 9, nil), contact(second, 5, click(canonical.LIFatID, 3))}, "", crm, own},
		"without a click, the primary one": {nil, []canonical.DealContact{primary(contact(third, 2, nil)), contact(own, 9, nil)}, "", ads, third},
		"without either, the earliest":     {nil, []canonical.DealContact{contact(own, 5, nil), contact(second, 9, nil)}, "", ads, second},
		"clicks at one time":               {nil, []canonical.DealContact{contact(second, 5, click(canonical.LIFatID, 3)), contact(third, 5, click(canonical.LIFatID, 3))}, "", ads, second},
		"primary before a click":           {nil, []canonical.DealContact{primary(contact(third, 2, nil)), contact(second, 9, click(canonical.LIFatID, 3))}, destinations.Primary, ads, third},
		"primary where none is":            {nil, []canonical.DealContact{contact(third, 2, click(canonical.LIFatID, 3)), contact(second, 9, nil)}, destinations.Primary, ads, second},
		"earliest before both":             {nil, []canonical.DealContact{primary(contact(third, 2, nil)), contact(own, 9, nil), contact(second, 5, click(canonical.LIFatID, 3))}, destinations.Earliest, ads, own},
	} {
		yes := true
		e := canonical.Event{
			ID: "won", Name: "customer_won", OccurredAt: won, Node: own, Object: canonical.Object{Type: "deal", ID: "5"},
			Contact: canonical.Contact{ID: "1001", Email: "kim@example.com"}, Identifiers: []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: "1001"}},
			Browser: canonical.BrowserContext{FBP: "fb.1.1.1"}, Touch: &canonical.Touch{Kind: "ad_click", Carried: true}, Consent: &canonical.Consent{AdUserData: &yes},
			Company: canonical.Company{ID: "77"}, Deal: "5",
		}
		k := canonical.Known{Offset: 9, Person: own, Account: 77, Clicks: c.clicks, Contacts: c.contacts, Identifiers: e.Identifiers}
		got, known := destinations.Carried(e, k, c.rule, c.contract)
		if known.Person != c.want || known.Contacts != nil || known.Account != 77 || known.Offset != 9 {
			t.Errorf("%s: known %+v, want person %d", name, known, c.want)
		}
		if len(known.Others) != max(len(c.contacts)-1, 0) || slices.Contains(known.Others, c.want) {
			t.Errorf("%s: others %v", name, known.Others)
		}
		if c.want == own && (known.Contact != 0 || !reflect.DeepEqual(got, e)) {
			t.Errorf("%s: its own event was changed: %+v", name, got)
		}
		if c.want != own && (known.Contact != c.want || got.Contact.Email != "" || got.Identifiers != nil || got.Touch != nil || got.Browser.FBP != "" || got.Consent != nil || got.Company.ID != "77" || got.Node != own) {
			t.Errorf("%s: carried %+v", name, got)
		}
		for _, rule := range []destinations.ContactRule{"", destinations.Primary, destinations.Earliest} {
			if again, same := destinations.Carried(e, known, rule, crm); !reflect.DeepEqual(again, got) || !reflect.DeepEqual(same, known) {
				t.Errorf("%s: carried again by %q it is another: %+v, %+v", name, rule, again, same)
			}
		}
	}
}

func TestAnEventThatSaysNothingOfConsentCarriesItsPersons(t *testing.T) {
	no := &canonical.Consent{AdUserData: new(bool)}
	yes := true
	e, _ := destinations.Carried(canonical.Event{}, canonical.Known{Consent: no}, "", destinations.Contract{})
	if !e.Consent.DeniesAds() {
		t.Errorf("consent %+v", e.Consent)
	}
	e, _ = destinations.Carried(canonical.Event{Consent: &canonical.Consent{AdUserData: &yes}}, canonical.Known{Consent: no}, "", destinations.Contract{})
	if e.Consent.DeniesAds() {
		t.Error("what the event says itself holds")
	}
	none := &canonical.Consent{DataProcessing: []string{}}
	e, _ = destinations.Carried(canonical.Event{Consent: none}, canonical.Known{Consent: no}, "", destinations.Contract{})
	if !e.Consent.DeniesAds() || none.AdUserData != nil {
		t.Errorf("an event that limits nothing says nothing of advertising: %+v", e.Consent)
	}
	e, _ = destinations.Carried(canonical.Event{Consent: &canonical.Consent{AdUserData: &yes}}, canonical.Known{Consent: &canonical.Consent{DataProcessing: []string{"LDU"}}}, "", destinations.Contract{})
	if !e.Consent.LimitsUse() || !e.Consent.AllowsAds() {
		t.Errorf("a limit said before holds: %+v", e.Consent)
	}
}
