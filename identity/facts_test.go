package identity_test

import (
	"encoding/json"
	"fmt"
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
		}{{f.Weak && f.Kind == canonical.FactLink, "weak"}, {f.Weak && f.Kind == canonical.FactAssociation, "found"}, {f.Primary, "primary"}, {f.Removed, "removed"}} {
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
		out = append(out, fmt.Sprintf("%s @%d", s, int(f.At.Sub(day(0)).Hours()/24)))
	}
	return out
}

var hashes = map[string]string{home.Value: "home", work.Value: "work", canonical.EmailHash("info@acme.example"): "info", canonical.EmailHash("lou@acme.example"): "lou"}

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
			want: []string{"link hubspot_contact:1001 email:home @2", "link weak hubspot_contact:1001 anonymous:c-1 @2", "link hubspot_company:77 domain:acme.example @2",
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
				canonical.ReadObject{Type: "deal", ID: "5", Associated: map[string][]string{"contact": {"1001", "1002"}, "company": {"77"}}},
				canonical.ReadObject{Type: "contact", ID: "1001", Properties: map[string]string{"email": "kim@acme.example", "associatedcompanyid": "77"}},
				canonical.ReadObject{Type: "contact", ID: "1002", CurrentID: "1009", Properties: map[string]string{"email": "lou@acme.example"}},
				canonical.ReadObject{Type: "company", ID: "77", Properties: map[string]string{"domain": "acme.example"}}),
			want: []string{"link hubspot_contact:1001 email:work @3", "merge hubspot_contact:1009 hubspot_contact:1002 @20",
				"association found hubspot_deal:5 hubspot_contact:1001 @20", "association found hubspot_deal:5 hubspot_contact:1002 @20", "association found primary hubspot_deal:5 hubspot_company:77 @20",
				"association found primary hubspot_contact:1001 hubspot_company:77 @20", "link hubspot_contact:1009 email:lou @3", "association found hubspot_contact:1009 domain:acme.example @20",
				"link hubspot_company:77 domain:acme.example @3"},
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
		"an association the other way round": {
			report: canonical.Report{Subject: canonical.SubjectAssociation, OccurredAt: day(5),
				Association: &canonical.Association{FromType: "company", FromID: "77", ToType: "contact", ToID: "1001", Primary: true, Removed: true}},
			want: []string{"association primary removed hubspot_contact:1001 hubspot_company:77 @5"},
		},
		"a deletion": {
			report: canonical.Report{Subject: canonical.SubjectDeletion, OccurredAt: day(5), Object: canonical.Object{Type: "contact", ID: "1001"}},
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
		facts := identity.FactsOf(c.report, c.event, rc)
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
	b, err := json.Marshal(identity.FactsOf(r, nil, canonical.Receipt{ID: "r1"}))
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
