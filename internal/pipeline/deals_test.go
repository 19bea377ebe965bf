package pipeline

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
	"tributary/mappings"
)

// office is a CRM with one deal of three contacts at a company, one of them with a label.
type office struct{}

func (office) Read(_ context.Context, kind string, ids []string) (map[string]canonical.ReadObject, error) {
	properties := map[string]map[string]string{
		"deal":    {"dealstage": "closedwon", "pipeline": "default", "hs_is_closed_won": "true"},
		"contact": {"firstname": "Kim"},
		"company": {"domain": "shop.acme.co.uk", "name": "Acme", "hubspot_owner_id": "55192", "hs_is_target_account": "true", "hs_parent_company_id": "70"},
	}
	out := map[string]canonical.ReadObject{}
	for _, id := range ids {
		o := canonical.ReadObject{Type: kind, ID: id, Properties: map[string]string{}}
		for k, v := range properties[kind] {
			o.Properties[k] = v
		}
		if kind == "contact" {
			o.Properties["email"] = "p" + id + "@acme.co.uk"
		}
		out[id] = o
	}
	return out, nil
}

func (office) Meaning(context.Context, string, string, string, string) (*canonical.StageMeaning, error) {
	return nil, nil
}

func (office) Associated(_ context.Context, from string, ids []string, to string) (map[string][]string, map[string]map[string][]string, error) {
	tied, roles := map[string][]string{}, map[string]map[string][]string{}
	for _, id := range ids {
		switch {
		case from == "deal" && to == "contact":
			tied[id], roles[id] = []string{"1001", "1002", "1003"}, map[string][]string{"1003": {"31"}}
		case to == "company":
			tied[id] = []string{"77"}
		}
	}
	return tied, roles, nil
}

// From a colleague's click to the deal's event: each destination is told of the contact that
// it can credit.
func TestADealsEventKnowsItsContactsAndAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		view, err := identity.Open(memstore.New())
		if err != nil {
			t.Fatal(err)
		}
		m, problems := mappings.Compile(mappings.Default())
		if mappings.Failed(problems) {
			t.Fatal(problems)
		}
		time.Sleep(24 * time.Hour)
		s := &Resolve{Log: l, Topics: topics, Prefix: "t.", Mapping: func() *mappings.Mapping { return m }, Settings: func(string) wire.Settings { return wire.Settings{} }, View: view}
		stop := run(t, s.Run, newFetch(l, office{}).Run, func(ctx context.Context) error { return FollowIdentity(ctx, l, topics.Identity, view) })
		defer stop()
		now := time.Now().UTC()
		clicked := now.Add(-10 * time.Hour)
		post(t, l, canonical.Receipt{ID: "click", Source: "site", Way: canonical.WayEvents, ReceivedAt: now, Body: []byte(fmt.Sprintf(
			`{"event":"ad_click","occurred_at":%q,"url":"https://www.example.com/?li_fat_id=li-9","user_data":{"email":"p1002@acme.co.uk"}}`, canonical.FormatTime(clicked)))})
		settle()
		now = time.Now().UTC()
		post(t, l, canonical.Receipt{ID: "won", Source: "app", Way: canonical.WayHubSpot, ReceivedAt: now, Body: []byte(fmt.Sprintf(
			`{"eventId":1,"portalId":42,"occurredAt":%d,"attemptNumber":0,"subscriptionType":"deal.propertyChange","objectId":5,"propertyName":"dealstage","propertyValue":"closedwon"}`, now.UnixMilli()))})
		settle()
		var won *canonical.Event
		for _, e := range read[canonical.Event](t, l, topics.Events, eventlog.TypeEvent) {
			if e.Object.Type == "deal" {
				won = &e
			}
		}
		if won == nil || won.Known == nil || len(won.Known.Contacts) != 3 {
			t.Fatalf("the deal's event: %+v", won)
		}
		k := won.Known
		if k.Fields["target"] != "true" || k.Fields["owner"] != "55192" || k.Fields["domain"] != "acme.co.uk" || k.Fields["parent"] != "70" {
			t.Errorf("of the account is known %v", k.Fields)
		}
		if site := (canonical.Identifier{Scheme: canonical.Domain, Value: "acme.co.uk"}); view.Account(site.Node()) != k.Account {
			t.Error("the company's domain is another account")
		}
		if !slices.Equal(k.Contacts[2].Roles, []string{"31"}) {
			t.Errorf("roles %v", k.Contacts[2].Roles)
		}
		for name, c := range map[string]struct {
			contract destinations.Contract
			contact  string
			email    string // in the clear: of the report's own contact alone
		}{
			"with ads":     {destinations.Contract{Clicks: []canonical.Scheme{canonical.LIFatID}, ClickWindow: 24 * time.Hour}, "1002", ""},
			"out of sight": {destinations.Contract{Clicks: []canonical.Scheme{canonical.LIFatID}, ClickWindow: time.Hour}, "1001", "p1001@acme.co.uk"},
			"without ads":  {destinations.Contract{}, "1001", "p1001@acme.co.uk"},
		} {
			e, known := destinations.Carried(*won, *k, destinations.LatestClick, c.contract)
			if got := destinations.CRMContact(e, known); got != c.contact || e.Contact.Email != c.email {
				t.Errorf("%s: told of contact %s, %q", name, got, e.Contact.Email)
			}
		}
	})
}
