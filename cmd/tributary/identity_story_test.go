package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations/simulator"
)

// A posting is one request of a story.
type posting struct{ path, body string }

// written gives a body with its values as JSON.
func written(format string, values ...any) string {
	for i, v := range values {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		values[i] = b
	}
	return fmt.Sprintf(format, values...)
}

// platforms counts what the two ad platforms took.
func (s *system) platforms() string {
	meta, linkedin := s.got(simulator.Meta), s.got(simulator.LinkedIn)
	return fmt.Sprintf("Meta %d leads, %d MQL, %d SQL, %d proposals, %d won; LinkedIn %d, %d, %d, %d, %d",
		meta["Lead"], meta["QualifiedLead"], meta["SalesQualifiedLead"], meta["ProposalSent"], meta["Purchase"],
		linkedin["101"], linkedin["102"], linkedin["103"], linkedin["105"], linkedin["106"])
}

func record(id int) string {
	return canonical.Identifier{Scheme: canonical.HubSpotContact, Value: fmt.Sprint(id)}.Node().String()
}

func companyRecord(id int) string {
	return canonical.Identifier{Scheme: canonical.HubSpotCompany, Value: fmt.Sprint(id)}.Node().String()
}

// The buyer of the guide: a click and a webinar with a personal address (contact A), a demo with the
// work address (B), a merge of the two into a third record (C), sales and a won deal of C's. Worked out by
// hand: every stage and the 36,000 count once, whoever A, B and C are taken for; told apart A has the
// click, B and C share the work address; as one they are C, at one account, and the deal was won by
// A's click. Six of them are told in six orders.
func TestTheBuyerWhoWasMergedCountsOnce(t *testing.T) {
	t.Parallel()
	const buyers = 6
	var people []simulator.Person
	for i := range buyers {
		people = append(people, simulator.Person{ID: fmt.Sprint("buyer ", i), FirstName: "Bea", LastName: "Yer", MetaUser: true, LinkedInMember: true,
			Emails: []string{fmt.Sprintf("bea%d@gmail.com", i), fmt.Sprintf("bea@w%d.example", i)}})
	}
	s := newSystem(t, systemOptions{People: people})
	s.start()
	base := time.Now().UTC().Add(-60 * time.Hour).Truncate(time.Second)
	hour := func(n int) string { return base.Add(time.Duration(n) * time.Hour).Format(time.RFC3339) }
	numbers := func(i int) (a, b, c, deal, company int) {
		return 10_001 + 10*i, 10_002 + 10*i, 10_003 + 10*i, 90_001 + i, 70_001 + i
	}
	var merges, unmerges []posting
	story := make([][]posting, buyers)
	for i := range buyers {
		a, b, c, deal, company := numbers(i)
		private, work, cookie := people[i].Emails[0], people[i].Emails[1], fmt.Sprintf("c%d-5f1d", i)
		account := written(`{"domain":%s,"company_name":"Acme","hubspot_company_id":%s}`, fmt.Sprintf("w%d.example", i), fmt.Sprint(company))
		page := func(at int, what, url, more string) posting {
			return posting{"/v1/ingest/pixel", written(`{"events":[{"event":%s,"anonymous_id":%s,"url":%s,"occurred_at":%s`, what, cookie, url, hour(at)) + more + `}]}`}
		}
		stage := func(at, contact int, mail, stage string, more string) posting {
			return posting{"/v1/events", written(`{"event":"lead_stage_changed","source":"hubspot","occurred_at":%s,"user_data":{"email":%s},"custom_data":{"hubspot_contact_id":%s,"hubspot_lifecycle_stage":%s}`,
				hour(at), mail, fmt.Sprint(contact), stage) + more + `}`}
		}
		dealt := func(at int, stage string) posting {
			return posting{"/v1/events", written(`{"event":"deal.stage_changed","source":"hubspot","occurred_at":%s,"user_data":{"email":%s},
				"custom_data":{"hubspot_contact_id":%s,"hubspot_deal_id":%s,"hubspot_pipeline":"sales_pipeline","hubspot_deal_stage":%s,"currency":"USD","value":36000}`,
				hour(at), work, fmt.Sprint(c), fmt.Sprint(deal), stage) + `,"account_data":` + account + `}`}
		}
		story[i] = []posting{
			page(1, "page_view", "https://shop.example.com/webinar?utm_source=facebook&utm_medium=paid_social&utm_campaign=retarget&fbclid=IwAR"+cookie, ""),
			page(2, "form_submitted", "https://shop.example.com/webinar", written(`,"form":"webinar","email":%s`, private)),
			stage(2, a, private, "lead", ""),
			page(9, "form_submitted", "https://shop.example.com/demo", written(`,"form":"demo","email":%s`, work)),
			stage(10, b, work, "marketingqualifiedlead", `,"account_data":`+account),
			stage(13, c, work, "salesqualifiedlead", ""),
			dealt(14, "contractsent"), dealt(15, "closedwon"),
		}
		both := written(`"contact":{"id":%s,"merged_ids":[%s,%s]}}`, fmt.Sprint(c), fmt.Sprint(a), fmt.Sprint(b))
		merges = append(merges, posting{"/v1/ingest/crm", written(`{"source":"hubspot","event":"contact.merged","occurred_at":%s,`, hour(12)) + both})
		unmerges = append(unmerges, posting{"/v1/ingest/crm", written(`{"source":"hubspot","event":"contact.unmerged","occurred_at":%s,`, hour(20)) + both})
	}
	tell := func(all ...posting) {
		t.Helper()
		for n, p := range all {
			s.send(p.path, p.body)
			if n%20 == 7 {
				s.drained() // blocks are cut differently
			}
		}
		s.settle()
		s.drained()
	}
	conversions := "SELECT name, counted_by, person, account, amount_micros FROM v_conversions ORDER BY ALL"
	credit := "SELECT scope, model, campaign, conversions, revenue FROM v_revenue_by_campaign WHERE name = 'customer_won' ORDER BY ALL"
	once := "SELECT name, count(), sum(revenue_micros) / 1000000, uniqExact(person) FROM v_conversions GROUP BY name ORDER BY name"
	counted := "customer_won 6 216000 6\nlead_captured 6 0 6\nproposal_sent 6 216000 6\nqualified_lead 6 0 6\nsales_qualified_lead 6 0 6"
	sent := "Meta 6 leads, 6 MQL, 6 SQL, 6 proposals, 6 won; LinkedIn 6, 6, 6, 6, 6"
	check := func(when string, merged bool) {
		t.Helper()
		t.Log(when)
		s.recorded(once, counted)
		var persons, whole []string
		for i := range buyers {
			a, b, c, _, company := numbers(i)
			one, other := record(a), record(b) // told apart, B was seen first of the two who share the work address
			if merged {
				one, other = record(c), record(c)
			}
			persons = append(persons, fmt.Sprintf("%d %s", a, one), fmt.Sprintf("%d %s", b, other), fmt.Sprintf("%d %s", c, other))
			whole = append(whole, fmt.Sprintf("%[1]d %[2]s %[3]s 3 2 5 %[3]s 3 %[3]s", a, record(c), companyRecord(company)))
		}
		s.recorded("SELECT value, root FROM v_nodes WHERE scheme = 'hubspot_contact' ORDER BY value", strings.Join(persons, "\n"))
		if merged {
			s.recorded(`SELECT p.hubspot_contacts[1], p.person, p.account, length(p.hubspot_contacts), length(p.email_sha256), c.n, c.accounts, t.n, t.accounts
				FROM v_persons AS p
				LEFT JOIN (SELECT person, count() AS n, arrayStringConcat(groupUniqArray(account), ' ') AS accounts FROM v_conversions GROUP BY person) AS c ON c.person = p.person
				LEFT JOIN (SELECT person, count() AS n, arrayStringConcat(groupUniqArray(account), ' ') AS accounts FROM v_touches GROUP BY person) AS t ON t.person = p.person
				WHERE notEmpty(p.hubspot_contacts) ORDER BY p.hubspot_contacts[1]`, strings.Join(whole, "\n"))
			s.recorded("SELECT count(), uniqExact(person), uniqExact(account) FROM v_conversions", "30 6 6")
			s.recorded("SELECT count(), countIf(persons = 1) FROM v_accounts WHERE notEmpty(hubspot_companies)", "6 6")
			s.recorded(credit, "account first_touch retarget 6 216000\naccount last_touch retarget 6 216000\nperson first_touch retarget 6 216000\nperson last_touch retarget 6 216000")
		}
		if got := s.platforms(); got != sent {
			t.Errorf("%s: the platforms took %s, want %s", when, got, sent)
		}
	}
	lines := func(sql string) string {
		var out []string
		for _, row := range s.query(sql) {
			out = append(out, strings.Join(row, " "))
		}
		return strings.Join(out, "\n")
	}

	var all []posting
	for n := range len(story[0]) {
		for i, order := range sixOrders(len(story[0])) {
			all = append(all, story[i][order[n]])
		}
	}
	tell(all...)
	check("before the merge", false)
	apart, aparted := lines(conversions), lines(credit)
	tell(merges...)
	check("merged", true)
	one, seen := lines(conversions), time.Now().UTC().Format("2006-01-02 15:04:05.000")
	tell(unmerges...)
	check("unmerged", false)
	s.recorded("SELECT count(), uniqExact(root) FROM v_nodes WHERE scheme = 'hubspot_contact'", "18 12")
	s.recorded("SELECT count(), uniqExact(root) FROM p_nodes_at(at = '"+seen+"') WHERE scheme = 'hubspot_contact'", "18 6") // as it was taken to be then
	s.recorded(conversions, apart)
	s.recorded(credit, aparted)

	again := append(append(append([]posting{}, all...), merges...), unmerges...)
	again = append(again, again...)
	rand.New(rand.NewPCG(4, 4)).Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	tell(again...)
	check("all again, twice and shuffled", false)
	s.recorded(conversions, apart)
	s.recorded(credit, aparted)

	for i := range merges { // HubSpot says so once more, later
		merges[i].body = strings.Replace(merges[i].body, hour(12), hour(30), 1)
	}
	tell(merges...)
	check("merged for good", true)
	s.recorded(conversions, one)
}

// A lead that goes MQL, SQL, MQL, SQL, told in all 24 orders: each platform gets one MQL and one SQL,
// and ClickHouse has one of each, one step back and one repeat.
func TestALeadThatComesBackIsSentOnceInAllOrders(t *testing.T) {
	t.Parallel()
	s := newSystem(t, systemOptions{People: []simulator.Person{buyer}})
	s.start()
	base := time.Now().UTC().Add(-48 * time.Hour).Truncate(time.Second)
	orders := permutations(4)
	for n := range 4 {
		for i, order := range orders {
			k := order[n]
			s.send("/v1/events", written(`{"event":"lead_stage_changed","source":"hubspot","occurred_at":%s,"user_data":{"email":%s},"custom_data":{"hubspot_contact_id":%s,"hubspot_lifecycle_stage":%s}}`,
				base.Add(time.Duration(k)*time.Hour).Format(time.RFC3339), fmt.Sprintf("lead%d@acme.example.com", i), fmt.Sprint(20_000+i), []string{"marketingqualifiedlead", "salesqualifiedlead"}[k%2]))
		}
		s.settle()
	}
	s.drained()
	want := "Meta 0 leads, 24 MQL, 24 SQL, 0 proposals, 0 won; LinkedIn 0, 24, 24, 0, 0"
	if got := s.platforms(); got != want {
		t.Errorf("the platforms took %s, want %s", got, want)
	}
	for _, v := range []simulator.Vendor{simulator.Meta, simulator.LinkedIn} {
		took := map[string]int{}
		for _, r := range s.sim.Received(v) {
			took[r.EventName+r.Rule+fmt.Sprint(r.EventID)]++
		}
		for what, n := range took {
			if n != 1 {
				t.Errorf("%s took %s %d times", v, what, n)
			}
		}
	}
	s.recorded("SELECT kind, counts_as, nth, count(), uniqExact(person) FROM v_stage_history GROUP BY ALL ORDER BY ALL",
		"first qualified_lead 1 24 24\nfirst sales_qualified_lead 1 24 24\nrecycled lead_recycled 2 24 24\nrepeat sales_qualified_lead 2 24 24")
	s.recorded("SELECT name, count(), uniqExact(person) FROM v_conversions GROUP BY name ORDER BY name", "qualified_lead 24 24\nsales_qualified_lead 24 24")
}

// A merge that comes before anybody saw its members, the losers' deletions, and the losers' old ids in
// what comes later, in all 24 orders: all of it is the survivor's.
func TestOldIdsEndOnTheSurvivorInAllOrders(t *testing.T) {
	t.Parallel()
	s := newSystem(t, systemOptions{})
	s.start()
	base := time.Now().UTC().Add(-48 * time.Hour).Truncate(time.Second)
	hour := func(n int) string { return base.Add(time.Duration(n) * time.Hour).Format(time.RFC3339) }
	orders := permutations(4)
	for n := range 4 {
		for i, order := range orders {
			a, b, c := fmt.Sprint(30_001+10*i), fmt.Sprint(30_002+10*i), fmt.Sprint(30_003+10*i)
			stage := func(at int, contact, stage string) string {
				return written(`{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":%s,"contact":{"id":%s,"lifecycle_stage":%s}}`, hour(at), contact, stage)
			}
			deleted := func(at int, contact string) string {
				return written(`{"source":"hubspot","event":"contact.deleted","occurred_at":%s,"contact":{"id":%s}}`, hour(at), contact)
			}
			things := [][]string{
				{written(`{"source":"hubspot","event":"contact.merged","occurred_at":%s,"contact":{"id":%s,"merged_ids":[%s,%s]}}`, hour(5), c, a, b)},
				{deleted(4+2*(i%2), a), deleted(6-2*(i%2), b)}, // said to have been before the merge, and after it
				{stage(7, a, "marketingqualifiedlead")},
				{stage(8, b, "marketingqualifiedlead"), stage(9, a, "salesqualifiedlead")},
			}
			for _, body := range things[order[n]] {
				s.send("/v1/ingest/crm", body)
			}
		}
		s.drained()
	}
	s.settle()
	s.drained()
	var want []string
	for i := range orders {
		want = append(want, fmt.Sprintf("%s 3 qualified_lead,sales_qualified_lead", record(30_003+10*i)))
	}
	s.recorded(`SELECT p.person, any(p.identifiers), arrayStringConcat(arraySort(groupArray(c.name)), ',') FROM v_persons AS p
		LEFT JOIN v_conversions AS c ON c.person = p.person GROUP BY p.person ORDER BY min(arraySort(p.hubspot_contacts))`, strings.Join(want, "\n"))
}

// One account: A clicks an ad and leaves her address, B fills a form, the deal is C's; two of them
// have their part in it by labels of the account's own. The company is a target account with an owner.
// A and B share a screen on a fair, one after the other.
func TestAnAccountsJourney(t *testing.T) {
	t.Parallel()
	s := newSystem(t, systemOptions{People: []simulator.Person{buyer}})
	s.start()
	const northwind, deal = 71_001, 91_001
	base := time.Now().UTC().Add(-48 * time.Hour).Truncate(time.Second)
	at := func(hours int) time.Time { return base.Add(time.Duration(hours) * time.Hour) }
	hour := func(n int) string { return at(n).Format(time.RFC3339) }
	account := fmt.Sprintf(`"company":{"id":"%d","domain":"northwind.example","name":"Northwind","owner_id":"55192","tier":"Tier 1","target_account":true}`, northwind)
	for i, who := range []string{"ada", "ben", "cleo"} {
		s.send("/v1/ingest/crm", written(`{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":%s,"contact":{"id":%s,"email":%s,"lifecycle_stage":"lead"},`,
			hour(4+i), fmt.Sprint(41_001+i), who+"@northwind.example")+account+`}`)
	}
	page := func(at int, cookie, what, url, more string) {
		s.send("/v1/ingest/pixel", written(`{"events":[{"event":%s,"anonymous_id":%s,"url":%s,"occurred_at":%s`, what, cookie, url, hour(at))+more+`}]}`)
	}
	page(1, "a-5f1d", "page_view", "https://shop.example.com/abm?utm_source=linkedin&utm_medium=cpc&utm_campaign=spring_abm&li_fat_id=7f3c1e52-0a4b-4d6e-9b57-5d1f6a2c8e90", "")
	page(2, "a-5f1d", "form_submitted", "https://shop.example.com/news", `,"form":"newsletter","email":"ada@northwind.example"`)
	page(5, "b-77c0", "form_submitted", "https://shop.example.com/paper", `,"form":"whitepaper","email":"ben@northwind.example"`)
	page(6, "kiosk-01", "form_submitted", "https://shop.example.com/survey", `,"form":"survey","email":"ada@northwind.example"`) // on a fair
	page(7, "kiosk-01", "page_view", "https://shop.example.com/faq", "")
	page(8, "kiosk-01", "form_submitted", "https://shop.example.com/survey", `,"form":"survey","email":"ben@northwind.example"`)
	page(9, "kiosk-01", "page_view", "https://shop.example.com/faq", "")
	s.send("/v1/ingest/crm", written(`{"source":"hubspot","event":"deal.stage_changed","occurred_at":%s,"deal":{"id":%s,"pipeline":"sales_pipeline","stage":"closedwon","amount":36000,"currency":"USD"},"contact":{"id":"41003"},`,
		hour(20), fmt.Sprint(deal))+account+`}`)
	label := func(event int, contact int, label string, removed bool) {
		body := fmt.Appendf(nil, `[{"eventId":%d,"subscriptionId":7,"portalId":62515,"appId":1,"occurredAt":%d,"subscriptionType":"deal.associationChange","attemptNumber":0,
			"changeSource":"USER","associationType":"DEAL_TO_CONTACT","associationCategory":"USER_DEFINED","associationTypeId":%s,"fromObjectId":%d,"toObjectId":%d,"associationRemoved":%t,"isPrimaryAssociation":false}]`,
			event, at(10+event).UnixMilli(), label, deal, contact, removed)
		path := "/v1/ingest/hubspot/hubspot_app"
		if status, answer := s.post(path, body, simulator.SignWebhook(clientSecret, "http://"+s.address+path, body, time.Now())); status/100 != 2 {
			t.Fatalf("%d %s", status, answer)
		}
	}
	const champion, decides, influences = "31", "33", "35"
	label(1, 41_001, champion, false)
	label(2, 41_002, influences, false)
	label(3, 41_003, decides, false)
	label(4, 41_003, influences, false)
	label(5, 41_003, influences, true) // ends that label, and nothing else
	s.settle()
	s.drained()
	s.recorded("SELECT account, domains, hubspot_companies, persons, name, domain, owner, tier, target FROM v_accounts",
		companyRecord(northwind)+` ["northwind.example"] ["71001"] 3 Northwind northwind.example 55192 Tier 1 true`)
	s.recorded("SELECT contact, roles, account FROM v_deal_contacts WHERE deal = '91001' ORDER BY contact", strings.ReplaceAll("41001 [\"31\"] ACCOUNT\n41002 [\"35\"] ACCOUNT\n41003 [\"33\"] ACCOUNT", "ACCOUNT", companyRecord(northwind)))
	// The journey: the first question of docs/sql.md's kind, with each person's part in the deal.
	journey := fmt.Sprintf(`SELECT j.what, j.about, c.contact, c.roles FROM (
			SELECT touch_at AS at, kind AS what, if(utm_campaign != '', utm_campaign, form) AS about, person FROM v_touches WHERE account = '%[1]s'
			UNION ALL
			SELECT occurred_at AS at, name AS what, '' AS about, person FROM v_conversions WHERE account = '%[1]s'
		) AS j LEFT JOIN v_deal_contacts AS c ON c.person = j.person ORDER BY j.at, j.what`, companyRecord(northwind))
	s.recorded(journey, strings.Join([]string{
		`ad_click spring_abm 41001 ["31"]`,
		`form newsletter 41001 ["31"]`,
		`lead_captured  41001 ["31"]`,
		`form whitepaper 41002 ["35"]`,
		`lead_captured  41002 ["35"]`,
		`form survey 41001 ["31"]`,
		`lead_captured  41003 ["33"]`,
		`page_view  41001 ["31"]`,
		`form survey 41002 ["35"]`,
		`page_view  41002 ["35"]`,
		`customer_won  41003 ["33"]`,
	}, "\n"))
	s.recorded("SELECT scope, model, campaign, touch_kind FROM v_credit WHERE name = 'customer_won' ORDER BY ALL", strings.Join([]string{
		"account first_touch spring_abm ad_click",
		"account last_touch spring_abm ad_click",
		"person first_touch (unattributed) ",
		"person last_touch (unattributed) ",
	}, "\n"))
}

// TestHowSoonAMergeIsSeen prints the time from the request that tells of a merge to the first query that has
// the merged person. TRIBUTARY_SEEN_PEOPLE says beside how many people, of an override or two each.
func TestHowSoonAMergeIsSeen(t *testing.T) {
	people := 200
	if n, err := strconv.Atoi(os.Getenv("TRIBUTARY_SEEN_PEOPLE")); err == nil {
		people = n
	}
	s := newSystem(t, systemOptions{Destinations: " {}"})
	s.start()
	at := hourAgo()
	var events []string
	for i := range people {
		events = append(events, written(`{"event":"form_submitted","form":"news","anonymous_id":%s,"url":"https://shop.example.com/news","occurred_at":%s,"email":%s}`,
			fmt.Sprintf("s%d-77c0", i), at, fmt.Sprintf("reader%d@home.example", i)))
	}
	for part := range slices.Chunk(events, 100) {
		s.send("/v1/ingest/pixel", `{"events":[`+strings.Join(part, ",")+`]}`)
	}
	const merges = 10
	for i := range 2 * merges {
		s.send("/v1/ingest/crm", written(`{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":%s,"contact":{"id":%s,"lifecycle_stage":"lead"}}`, at, fmt.Sprint(50_001+i)))
	}
	s.drained()
	overrides := s.query("SELECT count() FROM identity_overrides FINAL")[0][0]
	var took []time.Duration
	for i := range merges {
		one, other := 50_001+2*i, 50_002+2*i
		began := time.Now()
		s.send("/v1/ingest/crm", written(`{"source":"hubspot","event":"contact.merged","occurred_at":%s,"contact":{"id":%s,"merged_ids":[%s]}}`, at, fmt.Sprint(one), fmt.Sprint(other)))
		for {
			rows := s.query(fmt.Sprintf("SELECT DISTINCT person FROM v_events WHERE object_type = 'contact' AND object_id IN ('%d', '%d')", one, other))
			if len(rows) == 1 && rows[0][0] == record(one) {
				break
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("a minute after the merge the events are of %v", rows)
			}
			time.Sleep(10 * time.Millisecond)
		}
		took = append(took, time.Since(began).Round(time.Millisecond))
	}
	slices.Sort(took)
	t.Logf("%s overrides: of %d merges half were seen within %v, all within %v", overrides, merges, took[merges/2], took[merges-1])
}
