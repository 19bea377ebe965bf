package identity_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/identity"
)

// written gives facts one to a line: kind, marks, nodes, day.
func written(facts []canonical.Fact) []string {
	var out []string
	for _, f := range facts {
		s := string(f.Kind)
		for _, m := range []struct {
			set  bool
			name string
		}{{f.Weak && f.Kind == canonical.FactLink, "weak"}, {f.Weak && f.Kind != canonical.FactLink, "found"}, {f.Primary, "primary"}, {f.Removed, "removed"}} {
			if m.set {
				s += " " + m.name
			}
		}
		for _, n := range f.Nodes {
			v := n.Value
			if name, ok := hashes[v]; ok {
				v = name
			}
			s += fmt.Sprintf(" %s:%s", n.Scheme, v)
		}
		for _, k := range slices.Sorted(maps.Keys(f.Fields)) {
			s += fmt.Sprintf(" %s=%s", k, f.Fields[k])
		}
		if f.Role != "" {
			s += " as " + f.Role
		}
		out = append(out, fmt.Sprintf("%s @%d", s, int(f.At.Sub(day(0)).Hours()/24)))
	}
	return out
}

var hashes = map[string]string{home.Value: "home", work.Value: "work", canonical.EmailHash("info@acme.example"): "info", canonical.EmailHash("lou@acme.example"): "lou"}

// factsOf are the facts of a receipt with the built-in lists.
func factsOf(r canonical.Report, e *canonical.Event, rc canonical.Receipt) []canonical.Fact {
	facts, _ := identity.FactsOf(r, e, rc, nil)
	return facts
}

func TestFactsOf(t *testing.T) {
	receipt := canonical.Receipt{ID: "r1", Source: "site", ReceivedAt: day(30)}
	completed := func(objects ...canonical.ReadObject) canonical.Receipt {
		rc := receipt
		rc.Completion = &canonical.Completion{ReadAt: day(20), Objects: objects}
		return rc
	}
	for name, c := range map[string]struct {
		report  canonical.Report
		event   *canonical.Event
		receipt canonical.Receipt
		want    []string
	}{
		"a page view": {
			report: canonical.Report{Subject: canonical.SubjectTouch, OccurredAt: day(1), Identifiers: []canonical.Identifier{cookie, id(canonical.FBCLID, "x")},
				Touch: &canonical.Touch{Kind: "page_view", At: day(1)}},
			event: &canonical.Event{Node: cookie.Node()},
			want:  []string{"link weak anonymous:c-1 fbclid:x @1", "touch anonymous:c-1 @1"},
		},
		"an ignored page view": {
			report: canonical.Report{Subject: canonical.SubjectTouch, OccurredAt: day(1), Identifiers: []canonical.Identifier{cookie}, Touch: &canonical.Touch{Kind: "page_view", At: day(1)}},
			event:  &canonical.Event{Node: cookie.Node(), Ignored: "internal_test"},
		},
		"a form with an address of a company": {
			report: canonical.Report{Subject: canonical.SubjectTouch, OccurredAt: day(1), Identifiers: []canonical.Identifier{work, cookie},
				Contact: canonical.Contact{Email: "kim@acme.example"}, Touch: &canonical.Touch{Kind: "form", At: day(1)}},
			event: &canonical.Event{Node: work.Node()},
			want:  []string{"link weak email:work anonymous:c-1 @1", "association found email:work domain:acme.example @1", "touch email:work @1"},
		},
		"a custom event is no touch": {
			report: canonical.Report{Subject: canonical.SubjectCustom, OccurredAt: day(1), Identifiers: []canonical.Identifier{cookie}, Touch: &canonical.Touch{Kind: "custom"}},
		},
		"free mail is no account": {
			report: canonical.Report{Subject: canonical.SubjectCustom, OccurredAt: day(1), Identifiers: []canonical.Identifier{id(canonical.UserID, "u"), home},
				Contact: canonical.Contact{Email: "kim@gmail.com"}, Company: canonical.Company{ID: "77", Domain: "gmail.com"}},
			want: []string{"link email:home user_id:u @1", "association found primary email:home hubspot_company:77 @1"},
		},
		"a shared mailbox ties weakly and last": {
			report: canonical.Report{Subject: canonical.SubjectCustom, OccurredAt: day(1), Contact: canonical.Contact{Email: "info@acme.example"},
				Identifiers: []canonical.Identifier{id(canonical.Email, canonical.EmailHash("info@acme.example")), id(canonical.UserID, "u"), id(canonical.Phone, canonical.SHA256("1")), cookie}},
			want: []string{"link weak user_id:u email:info @1", "link weak user_id:u phone:" + canonical.SHA256("1") + " @1", "link weak user_id:u anonymous:c-1 @1",
				"association found user_id:u domain:acme.example @1"},
		},
		"a lifecycle change": {
			report: canonical.Report{Subject: canonical.SubjectLifecycle, OccurredAt: day(2), Object: canonical.Object{Type: "contact", ID: "1001"},
				Identifiers: []canonical.Identifier{lead, home, cookie}, Company: canonical.Company{ID: "77", Domain: "www.Acme.example"}},
			event: &canonical.Event{ID: "e", Name: "qualified_lead", Funnel: true, Rank: 2, OccurredAt: day(2), TimeBasis: "reported", Node: lead.Node(),
				Object: canonical.Object{Type: "contact", ID: "1001"}, RawStage: "mql"},
			want: []string{"link hubspot_contact:1001 email:home @2", "link weak hubspot_contact:1001 anonymous:c-1 @2", "link hubspot_company:77 domain:acme.example @2", "account found hubspot_company:77 domain=acme.example @2",
				"association found primary hubspot_contact:1001 hubspot_company:77 @2", "stage hubspot_contact:1001 @2"},
		},
		"a stage without an object": {
			report: canonical.Report{Subject: canonical.SubjectLifecycle, OccurredAt: day(2), Identifiers: []canonical.Identifier{home}},
			event:  &canonical.Event{Name: "qualified_lead", Funnel: true, Rank: 2, OccurredAt: day(2), Node: home.Node()},
			want:   []string{"stage email:home @2"},
		},
		"a deal": {
			report: canonical.Report{Subject: canonical.SubjectDealStage, OccurredAt: day(3), Object: canonical.Object{Type: "deal", ID: "5"},
				Identifiers: []canonical.Identifier{lead, work}, Contacts: []string{"1001", "1002"}, Companies: []string{"77", "78"}, Company: canonical.Company{ID: "77"}},
			event: &canonical.Event{Name: "customer_won", Funnel: true, Rank: 6, OccurredAt: day(3), Object: canonical.Object{Type: "deal", ID: "5"}},
			want: []string{"link hubspot_contact:1001 email:work @3", "association found hubspot_contact:1001 hubspot_company:77 @3",
				"association found hubspot_deal:5 hubspot_contact:1001 @3", "association found hubspot_deal:5 hubspot_contact:1002 @3",
				"association found primary hubspot_deal:5 hubspot_company:77 @3", "association found hubspot_deal:5 hubspot_company:78 @3", "stage hubspot_deal:5 @3"},
		},
		"a completed deal": {
			report: canonical.Report{Subject: canonical.SubjectDealStage, OccurredAt: day(3), Object: canonical.Object{Type: "deal", ID: "5"},
				Identifiers: []canonical.Identifier{lead, work}, Contacts: []string{"1001", "1002"}, Companies: []string{"77"}},
			receipt: completed(
				canonical.ReadObject{Type: "deal", ID: "5", Associated: map[string][]string{"contact": {"1001", "1002"}, "company": {"77"}}, Roles: map[string]map[string][]string{"contact": {"1001": {"31"}}}},
				canonical.ReadObject{Type: "contact", ID: "1001", Properties: map[string]string{"email": "kim@acme.example", "associatedcompanyid": "77"}},
				canonical.ReadObject{Type: "contact", ID: "1002", CurrentID: "1009", Properties: map[string]string{"email": "lou@acme.example"}},
				canonical.ReadObject{Type: "company", ID: "77", Properties: map[string]string{"domain": "shop.acme.example", "hubspot_owner_id": "", "hs_is_target_account": "true"}}),
			want: []string{"link hubspot_contact:1001 email:work @3", "merge found hubspot_contact:1009 hubspot_contact:1002 @20",
				"association found hubspot_deal:5 hubspot_contact:1001 @20", "association found hubspot_deal:5 hubspot_contact:1001 as 31 @20", "association found hubspot_deal:5 hubspot_contact:1002 @20", "association found primary hubspot_deal:5 hubspot_company:77 @20",
				"association found primary hubspot_contact:1001 hubspot_company:77 @20", "link hubspot_contact:1009 email:lou @3", "association found hubspot_contact:1009 domain:acme.example @20",
				"link hubspot_company:77 domain:acme.example @3", "account found hubspot_company:77 domain=acme.example owner= target=true @20"},
		},
		"a merge": {
			report: canonical.Report{Subject: canonical.SubjectMerge, OccurredAt: day(4), Object: canonical.Object{Type: "contact", ID: "1009"}, Identifiers: []canonical.Identifier{united},
				Merge: &canonical.Merge{Type: "contact", Survivor: "1009", Merged: []string{"1002", "1001", "1009", "1002"}}},
			want: []string{"merge hubspot_contact:1009 hubspot_contact:1001 hubspot_contact:1002 @4"},
		},
		"a merge of companies of another account": {
			report: canonical.Report{Subject: canonical.SubjectMerge, OccurredAt: day(4), Object: canonical.Object{Account: "emea", Type: "company", ID: "1"},
				Merge: &canonical.Merge{Type: "company", Survivor: "1", Merged: []string{"2"}}},
			want: []string{"merge hubspot_company:emea:1 hubspot_company:emea:2 @4"},
		},
		"an unmerge": {
			report: canonical.Report{Subject: canonical.SubjectMerge, OccurredAt: day(4), Object: canonical.Object{Type: "contact", ID: "1009"}, Identifiers: []canonical.Identifier{united},
				Merge: &canonical.Merge{Type: "contact", Survivor: "1009", Merged: []string{"1002", "1001"}, Undone: true}},
			want: []string{"unmerge hubspot_contact:1009 hubspot_contact:1001 hubspot_contact:1002 @4"},
		},
		"a deletion": {
			report: canonical.Report{Subject: canonical.SubjectDeletion, OccurredAt: day(4), Object: canonical.Object{Type: "contact", ID: "1001"}, Identifiers: []canonical.Identifier{lead}},
			want:   []string{"deletion hubspot_contact:1001 @4"},
		},
		"a deal restored": {
			report: canonical.Report{Subject: canonical.SubjectDeletion, OccurredAt: day(4), Object: canonical.Object{Type: "deal", ID: "5"}, Restored: true},
			want:   []string{"deletion removed hubspot_deal:5 @4"},
		},
		"a deletion of what is no node": {
			report: canonical.Report{Subject: canonical.SubjectDeletion, OccurredAt: day(4), Object: canonical.Object{Type: "ticket", ID: "5"}},
		},
		"an association the other way round": {
			report: canonical.Report{Subject: canonical.SubjectAssociation, OccurredAt: day(5),
				Association: &canonical.Association{FromType: "company", FromID: "77", ToType: "contact", ToID: "1001", Primary: true, Removed: true}},
			want: []string{"association primary removed hubspot_contact:1001 hubspot_company:77 @5"},
		},
		"a labelled association": {
			report: canonical.Report{Subject: canonical.SubjectAssociation, OccurredAt: day(5),
				Association: &canonical.Association{FromType: "deal", FromID: "5", ToType: "contact", ToID: "1001", Label: "31"}},
			want: []string{"association hubspot_deal:5 hubspot_contact:1001 as 31 @5"},
		},
		"a form with what is known of the account": {
			report: canonical.Report{Subject: canonical.SubjectTouch, OccurredAt: day(1), Identifiers: []canonical.Identifier{cookie},
				Company: canonical.Company{Domain: "www.shop.acme.co.uk", Owner: "kim@acme.example", Tier: "tier_1", Target: new(bool), Name: "Acme"}},
			want: []string{"account found domain:acme.co.uk name=Acme target=false tier=tier_1 @1", "association found anonymous:c-1 domain:acme.co.uk @1"},
		},
		"a browser says nothing of an account": {
			report:  canonical.Report{Subject: canonical.SubjectCustom, OccurredAt: day(1), Identifiers: []canonical.Identifier{cookie}, Company: canonical.Company{Domain: "acme.example", Tier: "tier_1"}},
			receipt: canonical.Receipt{ID: "r1", Source: "site", Browser: true},
			want:    []string{"association found anonymous:c-1 domain:acme.example @1"},
		},
		"a browser ties no company to a domain": {
			report:  canonical.Report{Subject: canonical.SubjectCustom, OccurredAt: day(1), Identifiers: []canonical.Identifier{cookie}, Company: canonical.Company{ID: "77", Domain: "acme.example"}},
			receipt: canonical.Receipt{ID: "r1", Source: "site", Browser: true},
			want:    []string{"association found anonymous:c-1 hubspot_company:77 @1"},
		},
		"a bare public suffix is no account": {
			report: canonical.Report{Subject: canonical.SubjectCustom, OccurredAt: day(1), Identifiers: []canonical.Identifier{cookie}, Company: canonical.Company{Domain: "co.uk", Tier: "tier_1"}},
		},
		"a company's property changed": {
			report: canonical.Report{Subject: canonical.SubjectProperty, OccurredAt: day(5), Object: canonical.Object{Account: "emea", Type: "company", ID: "77"},
				Property: "hs_parent_company_id", Value: "70", Company: canonical.Company{ID: "77", Tier: "tier_1"}},
			receipt: completed(canonical.ReadObject{Type: "company", ID: "77", Properties: map[string]string{"hs_ideal_customer_profile": "tier_1"}}),
			want:    []string{"account found hubspot_company:emea:77 tier=tier_1 @20", "account hubspot_company:emea:77 parent=emea:70 @5"},
		},
		"a company's property was emptied": {
			report: canonical.Report{Subject: canonical.SubjectProperty, OccurredAt: day(5), Object: canonical.Object{Type: "company", ID: "77"}, Property: "hubspot_owner_id"},
			want:   []string{"account hubspot_company:77 owner= @5"},
		},
		"what somebody agreed to": {
			report: canonical.Report{Subject: canonical.SubjectCustom, OccurredAt: day(5), Identifiers: []canonical.Identifier{cookie}, Consent: &canonical.Consent{AdUserData: new(bool)}},
			want:   []string{"consent anonymous:c-1 @5"},
		},
		"without a time": {
			report: canonical.Report{Identifiers: []canonical.Identifier{lead, home}},
			want:   []string{"link hubspot_contact:1001 email:home @30"},
		},
	} {
		rc := c.receipt
		if rc.ID == "" {
			rc = receipt
		}
		facts := factsOf(c.report, c.event, rc)
		if got := written(facts); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", name, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
		for _, f := range facts {
			if f.Cause != "r1" || f.Source != "site" {
				t.Errorf("%s: a fact without its cause: %+v", name, f)
			}
		}
	}
}

func TestFactsHoldNoAddress(t *testing.T) {
	r := canonical.Report{
		Subject: canonical.SubjectTouch, OccurredAt: day(1),
		Contact: canonical.Contact{Email: "kim@acme.example", Phone: "+1 415 555 0134"},
		Identifiers: []canonical.Identifier{
			id(canonical.Email, "kim@acme.example"), id(canonical.Phone, "14155550134"), id(canonical.Anonymous, "kim@acme.example"), work, cookie,
		},
		Touch: &canonical.Touch{Kind: "email_click", At: day(1), Subject: "Hello Kim", Campaign: "to-kim@acme.example", Form: "kim%40acme.example",
			Page: "https://example.com/u/kim@acme.example?email=kim@acme.example", Referrer: "https://example.com/?phone=14155550134#kim@acme.example",
			Clicks: []canonical.Click{{Scheme: canonical.GCLID, Value: "kim@acme.example", At: day(1)}, {Scheme: canonical.GCLID, Value: "ok", At: day(1)}}},
	}
	b, err := json.Marshal(factsOf(r, nil, canonical.Receipt{ID: "r1"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, clear := range []string{"kim@", "kim%40", "4155550134", "Hello"} {
		if strings.Contains(string(b), clear) {
			t.Errorf("%q stands in %s", clear, b)
		}
	}
	if !strings.Contains(string(b), `"value":"ok"`) || !strings.Contains(string(b), "https://example.com/") {
		t.Errorf("too much was left out: %s", b)
	}
}

// What lists say of an address is judged where it is in the clear, also of the contacts that were read; every link
// that they keep from the facts is counted.
func TestListsKeepLinksFromTheFacts(t *testing.T) {
	lists := canonical.NewLists([]string{"*@acme.example"}, []string{"frontdesk"}, []string{"freebie.example"})
	mail := func(s string) canonical.Identifier {
		return canonical.Identifier{Scheme: canonical.Email, Value: canonical.EmailHash(s)}
	}
	form := func(address string, more ...canonical.Identifier) canonical.Report {
		return canonical.Report{Subject: canonical.SubjectCustom, OccurredAt: day(5), Contact: canonical.Contact{Email: address}, Identifiers: append(more, mail(address))}
	}
	read := canonical.Receipt{ID: "r1", Source: "site", ReceivedAt: day(30), Completion: &canonical.Completion{ReadAt: day(20), Objects: []canonical.ReadObject{
		{Type: "contact", ID: "1001", Properties: map[string]string{"email": "frontdesk@other.example", "hs_additional_emails": "jo@other.example;lou@acme.example"}},
		{Type: "contact", ID: "1002", Properties: map[string]string{"email": "lou@acme.example"}},
	}}}
	for name, c := range map[string]struct {
		report   canonical.Report
		receipt  canonical.Receipt
		want     []string
		withheld identity.Withheld
	}{
		"a pattern": {report: form("lou@acme.example", lead, cookie), withheld: identity.Withheld{Patterns: 1}, want: []string{
			"link weak hubspot_contact:1001 anonymous:c-1 @5", "association found hubspot_contact:1001 domain:acme.example @5"}},
		"a pattern, and nobody else": {report: form("lou@acme.example", cookie), withheld: identity.Withheld{Patterns: 1}, want: []string{
			"association found anonymous:c-1 domain:acme.example @5"}},
		"an added mailbox": {report: form("frontdesk@freebie.example", lead), withheld: identity.Withheld{Mailboxes: 1}, want: []string{
			"link weak hubspot_contact:1001 email:desk @5"}},
		"a mailbox and a device": {report: form("frontdesk@freebie.example", cookie), want: []string{"link weak email:desk anonymous:c-1 @5"}},
		"an added provider":      {report: form("kim@freebie.example", lead), want: []string{"link hubspot_contact:1001 email:kim @5"}},
		"contacts read": {
			report: canonical.Report{Subject: canonical.SubjectLifecycle, OccurredAt: day(5), Object: canonical.Object{Type: "contact", ID: "1001"}, Contact: canonical.Contact{Email: "frontdesk@other.example"},
				Identifiers: []canonical.Identifier{mail("frontdesk@other.example"), mail("jo@other.example"), mail("lou@acme.example")}},
			receipt: read, withheld: identity.Withheld{Patterns: 2, Mailboxes: 2},
			want: []string{
				"link hubspot_contact:1001 email:jo @5", "link weak hubspot_contact:1001 email:desk2 @5",
				"association found hubspot_contact:1001 domain:other.example @20", "association found hubspot_contact:1002 domain:acme.example @20"},
		},
	} {
		rc := c.receipt
		if rc.ID == "" {
			rc = canonical.Receipt{ID: "r1", Source: "site", ReceivedAt: day(30)}
		}
		facts, withheld := identity.FactsOf(c.report, nil, rc, lists)
		text := strings.Join(written(facts), "\n")
		for name, address := range map[string]string{"desk": "frontdesk@freebie.example", "desk2": "frontdesk@other.example", "kim": "kim@freebie.example", "jo": "jo@other.example", "lou": "lou@acme.example"} {
			text = strings.ReplaceAll(text, mail(address).Value, name)
		}
		if text != strings.Join(c.want, "\n") || withheld != c.withheld {
			t.Errorf("%s:\ngot  %s\nwant %s\nwithheld %+v, want %+v", name, text, strings.Join(c.want, "\n     "), withheld, c.withheld)
		}
	}
}
