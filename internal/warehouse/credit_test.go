package warehouse_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"tributary/canonical"
	"tributary/internal/warehouse"
)

func TestAccountCreditFindsTheColleaguesClick(t *testing.T) {
	s := &story{events: []canonical.Event{
		touch("ad", cookie("x"), "linkedin", "spring", at(1)),
		touch("own", contact("2"), "meta", "summer", at(3)),
		touch("direct", contact("2"), "", "", at(4)),
		touch("late", contact("2"), "google", "after", at(11)),
		dealStage("won", "900", "2", "customer_won", 36_000_000_000, at(10)),
		dealStage("lost-in-space", "901", "9", "customer_won", 5_000_000, at(10)), // nobody touched it
		lifecycle("mql", "2", "qualified_lead", at(100)),                          // every touch lies more than 89 days back
	}}
	s.link(at(2), cookie("x"), contact("1"))
	s.join(false, contact("1"), cookie("x"))
	s.associate(at(2), contact("1"), company("77"), true)
	s.associate(at(2), contact("2"), company("77"), true)
	s.associate(at(2), contact("2"), company("78"), false)
	w := open(t)
	s.tell(t, w, 5, 3)
	expect(t, w, "SELECT scope, model, campaign, platform, touches FROM v_credit WHERE event_id = 'won' ORDER BY ALL", `
		account first_touch spring linkedin 3
		account last_touch summer meta 3
		person first_touch summer meta 2
		person last_touch summer meta 2`)
	expect(t, w, "SELECT scope, model, campaign, touches FROM v_credit WHERE event_id = 'lost-in-space' ORDER BY ALL", `
		account first_touch (unattributed) 0
		account last_touch (unattributed) 0
		person first_touch (unattributed) 0
		person last_touch (unattributed) 0`)
	expect(t, w, "SELECT scope, campaign, touches FROM v_credit WHERE event_id = 'mql' AND model = 'first_touch' ORDER BY ALL", `
		account after 1
		person after 1`)
	expect(t, w, "SELECT scope, campaign FROM p_credit(lead_days = 99, deal_days = 1) WHERE event_id IN ('won', 'mql') AND model = 'first_touch' ORDER BY ALL", `
		account (unattributed)
		account spring
		person (unattributed)
		person summer`)
	reconciles(t, w)
}

// reconciles holds promise 7: booked = attributed + unattributed, for every scope, model
// and value.
func reconciles(t testing.TB, w *warehouse.Warehouse) {
	t.Helper()
	const values = "count(), sum(revenue_micros), sum(amount_micros), sum(mrr_micros), sum(arr_micros), sum(acv_micros), sum(tcv_micros)"
	booked := ask(t, w, "SELECT "+values+" FROM v_conversions")
	expect(t, w, "SELECT scope, model, "+values+" FROM v_credit GROUP BY scope, model ORDER BY scope, model", fmt.Sprintf(`
		account first_touch %[1]s
		account last_touch %[1]s
		person first_touch %[1]s
		person last_touch %[1]s`, booked))
}

func TestDirectIsOnlyTheLastResort(t *testing.T) {
	w := open(t)
	s := &story{events: []canonical.Event{
		touch("d1", contact("1"), "", "", at(1)),
		touch("d2", contact("1"), "", "", at(2)),
		lifecycle("mql", "1", "qualified_lead", at(2)), // at the same instant as d2: both ends count
		touch("tie-b", contact("2"), "meta", "b", at(1)),
		touch("tie-a", contact("2"), "meta", "a", at(1)),
		lifecycle("mql2", "2", "qualified_lead", at(91)), // exactly 90 days after
	}}
	s.tell(t, w, 6, 2)
	expect(t, w, "SELECT event_id, model, campaign, touch_event_id, touches FROM v_credit WHERE scope = 'person' ORDER BY event_id, model", `
		mql first_touch (direct) d1 2
		mql last_touch (direct) d2 2
		mql2 first_touch a tie-a 2
		mql2 last_touch b tie-b 2`)
	reconciles(t, w)
}

func TestCreditReconcilesOnAnyStory(t *testing.T) {
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := &story{}
		for i := range 150 {
			who := fmt.Sprint(random.IntN(12))
			when := at(random.Float64() * 180)
			switch random.IntN(4) {
			case 0:
				s.events = append(s.events, touch(fmt.Sprint("t", i), contact(who), "meta", fmt.Sprint("c", random.IntN(4)), when))
			case 1:
				s.events = append(s.events, touch(fmt.Sprint("v", i), contact(who), "", "", when))
			case 2:
				s.events = append(s.events, lifecycle(fmt.Sprint("l", i), who, []string{"lead_captured", "qualified_lead", "sales_qualified_lead"}[random.IntN(3)], when))
			case 3:
				s.events = append(s.events, dealStage(fmt.Sprint("d", i), fmt.Sprint(random.IntN(10)), who, []string{"proposal_sent", "customer_won"}[random.IntN(2)], canonical.Money(random.Int64N(1e12)), when))
			}
		}
		for i := range 6 {
			s.associate(at(1), contact(fmt.Sprint(i)), company(fmt.Sprint(i%2)), true)
		}
		w := open(t)
		s.tell(t, w, seed, 40)
		reconciles(t, w)
		expect(t, w, "SELECT max(n) FROM (SELECT count() AS n FROM v_conversions GROUP BY slot, name)", "1")
	}
}
