package mappings

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

func cash(s string) *canonical.Money {
	m, err := canonical.ParseMoney(s)
	if err != nil {
		panic(err)
	}
	return &m
}

// earned applies a mapping's revenue section to a won deal.
func earned(t testing.TB, section string, given *canonical.Revenue, properties map[string]any) *canonical.Revenue {
	t.Helper()
	m := mustCompile(t, "version: 1\nvocabulary: [customer_won, {customer_expanded: {meaning: expansion}}]\nsources:\n  hubspot:\n    deals: { \"*\": { closedwon: customer_won, renewed: customer_expanded } }\n"+section)
	r := deal("closedwon")
	r.Revenue, r.Properties = given, properties
	before, _ := json.Marshal(r)
	got := m.Apply(r, crm()).Event.Revenue
	if after, _ := json.Marshal(r); string(after) != string(before) {
		t.Errorf("the report was changed: %s, was %s", after, before)
	}
	return got
}

func TestRevenueOfADeal(t *testing.T) {
	for _, tt := range []struct {
		name, section string
		given         *canonical.Revenue
		properties    map[string]any
		want          *canonical.Revenue
	}{
		{"nothing is said", "", &canonical.Revenue{Amount: cash("36000"), Currency: "USD"}, nil, &canonical.Revenue{Amount: cash("36000"), Currency: "USD"}},
		{"a property of the customer's own", "revenue: { properties: { arr: contract_arr } }\n", &canonical.Revenue{Amount: cash("5"), ARR: cash("1"), Currency: "USD"},
			map[string]any{"contract_arr": "12000.50"}, &canonical.Revenue{Amount: cash("5"), ARR: cash("12000.5"), Currency: "USD"}},
		{"one that is empty is not swapped for HubSpot's", "revenue: { properties: { arr: contract_arr } }\n", &canonical.Revenue{Amount: cash("5"), ARR: cash("1"), Currency: "USD"},
			map[string]any{"contract_arr": ""}, &canonical.Revenue{Amount: cash("5"), Currency: "USD"}},
		{"unless the mapping says so", "revenue: { properties: { arr: [contract_arr, hs_arr] } }\n", &canonical.Revenue{ARR: cash("1"), Currency: "USD"},
			nil, &canonical.Revenue{ARR: cash("1"), Currency: "USD"}},
		{"a body keeps a deal's own under deal", "revenue: { properties: { mrr: monthly } }\n", &canonical.Revenue{Amount: cash("5"), Currency: "USD"},
			map[string]any{"deal.monthly": json.Number("99.5")}, &canonical.Revenue{Amount: cash("5"), MRR: cash("99.5"), Currency: "USD"}},
		{"only properties", "revenue: { properties: { tcv: total }, currency: EUR }\n", nil, map[string]any{"total": "9", "deal_currency_code": "USD"}, &canonical.Revenue{TCV: cash("9"), Currency: "USD"}},
		{"a default currency", "revenue: { properties: { tcv: total }, currency: EUR }\n", nil, map[string]any{"total": "9"}, &canonical.Revenue{TCV: cash("9"), Currency: "EUR"}},
		{"a currency of a property", "revenue: { currency: { property: paid_in, default: EUR } }\n", &canonical.Revenue{Amount: cash("9"), Currency: "USD"}, map[string]any{"paid_in": "chf"}, &canonical.Revenue{Amount: cash("9"), Currency: "CHF"}},
		{"what is no number was not given", "revenue: { properties: { tcv: total } }\n", nil, map[string]any{"total": "nine"}, nil},
		{"calculated properties have many decimals", "revenue: { properties: { mrr: m }, currency: EUR }\n", nil, map[string]any{"m": "33.33333333333333"}, &canonical.Revenue{MRR: cash("33.333333"), Currency: "EUR"}},
		{"terms", "revenue: { properties: { term_years: years, billing_period: pays } }\n", &canonical.Revenue{Amount: cash("9")}, map[string]any{"years": "1.5", "pays": "Annual"},
			&canonical.Revenue{Amount: cash("9"), TermMonths: 18, BillingPeriod: "Annual"}},
		{"terms of ISO 8601", "revenue: { properties: { term_months: t } }\n", &canonical.Revenue{Amount: cash("9")}, map[string]any{"t": "P1Y6M"}, &canonical.Revenue{Amount: cash("9"), TermMonths: 18}},
		{"a term of a third of a month is none", "revenue: { properties: { term_months: t } }\n", &canonical.Revenue{Amount: cash("9")}, map[string]any{"t": "0.3"}, &canonical.Revenue{Amount: cash("9")}},

		{"an amount by billing period", "revenue: { amount_means: { annual: arr, otherwise: tcv } }\n", &canonical.Revenue{Amount: cash("9"), BillingPeriod: "Annual"}, nil,
			&canonical.Revenue{Amount: cash("9"), ARR: cash("9"), BillingPeriod: "Annual"}},
		{"an amount by term", "revenue:\n  properties: { term_months: t }\n  amount_means:\n    - { billing_period: annual, term_up_to: 12 months, means: arr }\n    - { term_over: 1 year, means: tcv }\n",
			&canonical.Revenue{Amount: cash("9"), BillingPeriod: "annual"}, map[string]any{"t": "24"}, &canonical.Revenue{Amount: cash("9"), TCV: cash("9"), BillingPeriod: "annual", TermMonths: 24}},
		{"the first line that fits", "revenue:\n  properties: { term_months: t }\n  amount_means:\n    - { billing_period: annual, term_up_to: 12 months, means: arr }\n    - { means: acv }\n",
			&canonical.Revenue{Amount: cash("9"), BillingPeriod: "annual"}, map[string]any{"t": "12"}, &canonical.Revenue{Amount: cash("9"), ARR: cash("9"), BillingPeriod: "annual", TermMonths: 12}},
		{"no line fits without a term", "revenue:\n  amount_means:\n    - { term_up_to: 12 months, means: arr }\n", &canonical.Revenue{Amount: cash("9")}, nil, &canonical.Revenue{Amount: cash("9")}},

		{"a currency by property", "revenue: { currency: { property: cur, default: EUR } }\n", &canonical.Revenue{Amount: cash("9"), Currency: "USD"}, map[string]any{"cur": " gbp "}, &canonical.Revenue{Amount: cash("9"), Currency: "GBP"}},
		{"no currency is the default", "revenue: { currency: { property: cur, default: EUR } }\n", &canonical.Revenue{Amount: cash("9")}, nil, &canonical.Revenue{Amount: cash("9"), Currency: "EUR"}},
		{"a currency that is none is not the default", "revenue: { currency: { property: cur, default: EUR } }\n", &canonical.Revenue{Amount: cash("9")}, map[string]any{"cur": "pounds"}, &canonical.Revenue{Amount: cash("9")}},
		{"nor is the code for tests", "revenue: { currency: { property: cur, default: EUR } }\n", &canonical.Revenue{Amount: cash("9")}, map[string]any{"cur": "XTS"}, &canonical.Revenue{Amount: cash("9")}},
		{"the next property may know", "revenue: { currency: { property: [cur, other], default: EUR } }\n", &canonical.Revenue{Amount: cash("9")}, map[string]any{"cur": "pounds", "other": "CHF"}, &canonical.Revenue{Amount: cash("9"), Currency: "CHF"}},
		{"a derivation", "revenue: { derive: { arr: \"= mrr * 12\" } }\n", &canonical.Revenue{MRR: cash("83.33"), Currency: "USD"}, nil, &canonical.Revenue{MRR: cash("83.33"), ARR: cash("999.96"), Currency: "USD"}},
		{"a value that was given stays", "revenue: { derive: { arr: \"= mrr * 12\" } }\n", &canonical.Revenue{MRR: cash("1"), ARR: cash("7")}, nil, &canonical.Revenue{MRR: cash("1"), ARR: cash("7")}},
		{"a derivation sees no other one", "revenue: { derive: { arr: \"= mrr * 12\", acv: = arr } }\n", &canonical.Revenue{MRR: cash("1")}, nil, &canonical.Revenue{MRR: cash("1"), ARR: cash("12")}},
		{"it sees what an amount means", "revenue: { amount_means: mrr, derive: { arr: \"= mrr * 12\" } }\n", &canonical.Revenue{Amount: cash("2")}, nil, &canonical.Revenue{Amount: cash("2"), MRR: cash("2"), ARR: cash("24")}},
		{"division is rounded once, halves away from zero", "revenue: { properties: { term_years: y }, derive: { acv: = tcv / term_years } }\n", &canonical.Revenue{TCV: cash("100")}, map[string]any{"y": 3},
			&canonical.Revenue{TCV: cash("100"), ACV: cash("33.333333"), TermMonths: 36}},
		{"thirds come back whole", "revenue: { derive: { acv: = tcv / 3 * 3 } }\n", &canonical.Revenue{TCV: cash("100")}, nil, &canonical.Revenue{TCV: cash("100"), ACV: cash("100")}},
		{"half a micro-unit", "revenue: { derive: { acv: = tcv / 2, mrr: = -tcv / 2 } }\n", &canonical.Revenue{TCV: cash("0.000003")}, nil, &canonical.Revenue{TCV: cash("0.000003"), ACV: cash("0.000002"), MRR: cash("-0.000002")}},
		{"decimals are what they say", "revenue: { derive: { acv: = tcv * 0.1 * 3 } }\n", &canonical.Revenue{TCV: cash("1")}, nil, &canonical.Revenue{TCV: cash("1"), ACV: cash("0.3")}},
		{"nothing comes of what is missing", "revenue: { derive: { acv: = tcv / term_years } }\n", &canonical.Revenue{TCV: cash("100")}, nil, &canonical.Revenue{TCV: cash("100")}},
		{"nothing is divided by zero", "revenue: { derive: { acv: = tcv / mrr } }\n", &canonical.Revenue{TCV: cash("100"), MRR: cash("0")}, nil, &canonical.Revenue{TCV: cash("100"), MRR: cash("0")}},
		{"nothing beyond what money can be", "revenue: { derive: { acv: = tcv * tcv } }\n", &canonical.Revenue{TCV: cash("9000000000000")}, nil, &canonical.Revenue{TCV: cash("9000000000000")}},
		{"by billing period", "revenue: { derive: { arr: \"= billing_period == 'Monthly' ? amount * 12 : amount\" } }\n", &canonical.Revenue{Amount: cash("5"), BillingPeriod: "monthly"}, nil,
			&canonical.Revenue{Amount: cash("5"), ARR: cash("60"), BillingPeriod: "monthly"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := earned(t, tt.section, tt.given, tt.properties); !reflect.DeepEqual(got, tt.want) {
				g, _ := json.Marshal(got)
				w, _ := json.Marshal(tt.want)
				t.Errorf("got  %s\nwant %s", g, w)
			}
		})
	}
}

// An expansion is worth its own deal, or the declared difference: never the whole contract again.
func TestAnExpansionIsNotTheWholeContractAgain(t *testing.T) {
	const head = "version: 1\nvocabulary: [customer_won, {customer_expanded: {meaning: expansion}}]\nsources:\n  hubspot:\n    deals: { \"*\": { closedwon: customer_won, renewed: customer_expanded } }\n"
	contract := &canonical.Revenue{Amount: cash("70000"), ARR: cash("48000"), TCV: cash("96000"), Currency: "EUR"}
	difference := head + "revenue:\n  expansion: { difference_to: { arr: previous_arr } }\n"
	for _, tt := range []struct {
		name, text, stage string
		properties        map[string]any
		want              canonical.Revenue
	}{
		{"own", head, "renewed", nil, *contract},
		{"the difference", difference, "renewed", map[string]any{"previous_arr": "36000"}, canonical.Revenue{ARR: cash("12000"), Currency: "EUR"}},
		{"less than before", difference, "renewed", map[string]any{"previous_arr": "50000"}, canonical.Revenue{ARR: cash("-2000"), Currency: "EUR"}},
		{"nobody knows what it was", difference, "renewed", nil, canonical.Revenue{Currency: "EUR"}},
		{"a first contract is whole", difference, "closedwon", map[string]any{"previous_arr": "36000"}, *contract},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := deal(tt.stage)
			r.Revenue, r.Properties = contract, tt.properties
			if got := mustCompile(t, tt.text).Apply(r, crm()).Event.Revenue; !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestReportsOfOtherThingsKeepTheirValues(t *testing.T) {
	m := mustCompile(t, "version: 1\nvocabulary: [customer_won]\nother_names: [order_paid]\nrevenue: { properties: { amount: contract_amount } }\n")
	r := canonical.Report{Subject: canonical.SubjectCustom, Event: "order_paid", OccurredAt: time.Now(), Revenue: &canonical.Revenue{Amount: cash("9"), Currency: "EUR"}}
	if got := m.Apply(r, canonical.Receipt{Source: "shop", Way: canonical.WayEvents}).Event.Revenue; got.Amount == nil || *got.Amount != *cash("9") {
		t.Errorf("got %+v", got)
	}
}

func TestWhatTheCRMMustBeAskedFor(t *testing.T) {
	m := mustCompile(t, "version: 1\nvocabulary: [customer_won]\nrevenue:\n  properties: { arr: [contract_arr, hs_arr], term_months: deal.term_c }\n  currency: { property: deal_currency_code }\n  expansion: { names: [customer_won], difference_to: { arr: previous_arr } }\ndestinations:\n  meta:\n    customer_won: { event: Purchase, value: arr, if_missing: hold, when: properties.region == \"emea\" }\n")
	if got, want := strings.Join(m.ReadProperties("deal"), " "), "contract_arr previous_arr region term_c"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := m.ReadProperties("contact"); got != nil {
		t.Errorf("of contacts: %v", got)
	}
}

// Formulas are exact: whatever the order of sums and fractions, the answer is that of
// arithmetic, rounded once.
func FuzzFormula(f *testing.F) {
	for _, s := range []string{"= tcv / term_years", "= mrr * 12", "= amount > 5 ? amount : mrr", "= -(arr - 0.1) * 3", "= ((((amount))))", "= 1e300 * amount", "= amount + x"} {
		f.Add(s, int64(1_000_000), 12)
	}
	f.Fuzz(func(t *testing.T, text string, micros int64, months int) {
		m, problems := Compile(File{Name: "m.yaml", Text: []byte("version: 1\nvocabulary: [customer_won]\nrevenue:\n  derive:\n    acv: " + yamlQuoted(text) + "\n")})
		for _, p := range problems {
			if p.Line == 0 || p.Message == "" {
				t.Errorf("%+v", p)
			}
		}
		if m == nil {
			return
		}
		v := canonical.Money(micros)
		r := &canonical.Revenue{Amount: &v, MRR: &v, TermMonths: months}
		first, second := *r, *r
		m.revenue.derived(&first)
		m.revenue.derived(&second)
		if !reflect.DeepEqual(first, second) {
			t.Errorf("%s gives %+v, then %+v", text, first, second)
		}
	})
}
