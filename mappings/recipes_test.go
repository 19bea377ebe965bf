package mappings

import (
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

const ownIDs = `version: 1
vocabulary: [proposal_sent, customer_won]
sources:
  hubspot:
    lifecycle: { customer: customer_won }
    deals: { "*": { closedwon: customer_won, contractsent: proposal_sent } }
ids:
  - { event: customer_won, recipe: 2, parts: [object_id, stage], from: 2026-05-01T00:00:00Z }
  - { event: "*", recipe: 3, parts: [object_id, stage, time], from: 2026-06-01 }
  - { event: customer_won, recipe: 4, parts: [object_id, stage, day], from: "2026-07-01T02:00:00+02:00" }
`

func TestTheRecipeInForceWhenItHappened(t *testing.T) {
	m := mustCompile(t, ownIDs)
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		stage, at string
		want      int
	}{
		{"closedwon", "2026-04-30T23:59:59Z", 1}, {"closedwon", "2026-05-01T00:00:00Z", 2}, {"closedwon", "2026-05-31T23:59:59Z", 2},
		{"closedwon", "2026-06-01T00:00:00Z", 3}, {"closedwon", "2026-07-01T00:00:00Z", 4}, {"closedwon", "2030-01-01T00:00:00Z", 4},
		{"contractsent", "2026-05-15T00:00:00Z", 1}, {"contractsent", "2026-06-01T00:00:00Z", 3},
	} {
		r := deal(c.stage)
		r.OccurredAt, r.TimeText = at(c.at), c.at
		e := apply(t, m, r, crm())
		if e.IDRecipe != c.want {
			t.Errorf("%s at %s is made by recipe %d, want %d", c.stage, c.at, e.IDRecipe, c.want)
		}
		if c.want == 1 && e.ID != canonical.MintDealID("84721", c.stage, c.at) {
			t.Errorf("recipe 1 gives %s", e.ID)
		}
		late := crm()
		late.ReceivedAt = at("2031-01-01T00:00:00Z")
		if again := apply(t, m, r, late); again.ID != e.ID || again.IDRecipe != e.IDRecipe {
			t.Errorf("%s at %s, come late, has another id", c.stage, c.at)
		}
		given := r
		given.EventID = "own"
		if e := apply(t, m, given, crm()); e.ID != "own" || e.IDRecipe != 0 {
			t.Errorf("a sender's id became %s", e.ID)
		}
	}
	r := deal("closedwon")
	r.OccurredAt = at("2026-05-02T00:00:00Z")
	first := apply(t, m, r, crm())
	if want := canonical.MintID("recipe", "2", "deal:84721", "closedwon"); first.ID != want {
		t.Errorf("recipe 2 gives %s, want %s", first.ID, want)
	}
	r.OccurredAt, r.RawStage = at("2026-05-20T00:00:00Z"), "Closed Won"
	if again := apply(t, m, r, crm()); again.ID != first.ID {
		t.Error("the deal that is won again, in other letters, has another id")
	}
	r.Object.Account = "emea"
	if other := apply(t, m, r, crm()); other.ID == first.ID {
		t.Error("deals of two accounts have one id")
	}
	r.Object.ID = ""
	if e := apply(t, m, r, crm()); e.IDRecipe != 1 || e.ID == "" {
		t.Errorf("an event that lacks a part is made by recipe %d", e.IDRecipe)
	}
}

// No parts of one recipe can be those of another, or of other values put side by side.
func TestRecipesAreLengthDelimited(t *testing.T) {
	m := mustCompile(t, "version: 1\nvocabulary: [customer_won]\nids:\n  - { event: \"*\", recipe: 2, parts: [properties.a, properties.b], from: 2026-01-01 }\n")
	seen := make(map[canonical.EventID]string)
	for _, c := range []struct{ a, b string }{{"ab", "c"}, {"a", "bc"}, {"a", "b:c"}, {"a:b", "c"}} {
		e := apply(t, m, canonical.Report{Subject: canonical.SubjectCustom, Event: "x", OccurredAt: guideAt, Properties: map[string]any{"a": c.a, "b": c.b}}, crm())
		if before, twice := seen[e.ID]; twice || e.IDRecipe != 2 {
			t.Errorf("%v has the id of %s", c, before)
		}
		seen[e.ID] = c.a + "|" + c.b
	}
}

func TestThePastOfIDsStays(t *testing.T) {
	now := time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)
	none := mustCompile(t, strings.Split(ownIDs, "ids:")[0])
	live := mustCompile(t, ownIDs)
	for _, c := range []struct {
		title    string
		previous *Mapping
		next     *Mapping
		want     string
	}{
		{"the same", live, live, ""},
		{"without recipes", none, none, ""},
		{"a first start without recipes", nil, none, ""},
		{"a future line is added", live, mustCompile(t, ownIDs+"  - { event: proposal_sent, recipe: 5, parts: [object_id], from: 2027-01-01 }\n"), ""},
		{"a future line is moved", live, mustCompile(t, strings.Replace(ownIDs, "2026-06-01", "2026-08-01", 1)), ""},
		{"a line begins in the past", none, live, `m.yaml:8:5: recipe 2 for "customer_won" begins at 2026-05-01T00:00:00Z, which is past, and was not live before: events that have an id would get a second one; choose a later from`},
		{"nothing is known of before", nil, live, `m.yaml:8:5: recipe 2 for "customer_won" begins at 2026-05-01T00:00:00Z, which is past, and was not live before: events that have an id would get a second one; choose a later from`},
		{"a live line is taken out", live, none, `m.yaml:1:1: recipe 2 for "customer_won" has been in force since 2026-05-01T00:00:00Z and may be neither changed nor taken out; to end it, add one with a later from`},
		{"a live line has other parts", live, mustCompile(t, strings.Replace(ownIDs, "[object_id, stage],", "[object_id],", 1)),
			`m.yaml:7:1: recipe 2 for "customer_won" has been in force since 2026-05-01T00:00:00Z and may be neither changed nor taken out; to end it, add one with a later from` + "\n" +
				`m.yaml:8:5: recipe 2 for "customer_won" begins at 2026-05-01T00:00:00Z, which is past, and was not live before: events that have an id would get a second one; choose a later from`},
		{"the name is gone", live, mustCompile(t, "version: 1\nvocabulary: [proposal_sent]\n"), ""},
	} {
		if got := strings.TrimSuffix(lines(c.next.CheckRecipes(c.previous, now)), "\n"); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.title, got, c.want)
		}
	}
}

// Where CheckRecipes lets one mapping follow another, no event that happened before has
// another id under it.
func TestWhatMayFollowChangesNoID(t *testing.T) {
	now := time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC)
	lines := []string{
		`{ event: customer_won, recipe: 2, parts: [object_id, stage], from: 2026-05-01 }`,
		`{ event: "*", recipe: 3, parts: [object_id, stage, time], from: 2026-06-01 }`,
		`{ event: customer_won, recipe: 3, parts: [object_id, stage, time], from: 2026-06-01 }`,
		`{ event: "*", recipe: 4, parts: [object_id], from: 2026-07-01 }`,
		`{ event: customer_won, recipe: 5, parts: [person], from: 2026-07-01 }`,
	}
	var all []*Mapping
	for set := range 1 << len(lines) {
		text := strings.Split(ownIDs, "ids:")[0] + "ids:\n"
		for i, l := range lines {
			if set&(1<<i) != 0 {
				text += "  - " + l + "\n"
			}
		}
		if set == 0 {
			text = strings.TrimSuffix(text, "ids:\n")
		}
		all = append(all, mustCompile(t, text))
	}
	allowed := 0
	for _, before := range all {
		for _, after := range all {
			if Failed(after.CheckRecipes(before, now)) {
				continue
			}
			allowed++
			for day := range 60 {
				r := deal([]string{"closedwon", "contractsent"}[day%2])
				r.OccurredAt = now.AddDate(0, 0, -day)
				if a, b := apply(t, before, r, crm()), apply(t, after, r, crm()); a.ID != b.ID || a.IDRecipe != b.IDRecipe {
					t.Fatalf("an event of %s has two ids: recipe %d, then %d", r.OccurredAt, a.IDRecipe, b.IDRecipe)
				}
			}
		}
	}
	if allowed < len(all) {
		t.Errorf("only %d of %d may follow", allowed, len(all)*len(all))
	}
}
