package canonical

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// anyEvent fills every field of an event, or about half of them.
func anyEvent(r *rand.Rand, all bool) Event {
	var e Event
	populate(r, reflect.ValueOf(&e).Elem(), all)
	if all || r.IntN(2) == 0 {
		e.Properties = map[string]any{
			"plan": "pro", "Größe": "ä\"\\\n&", "seats": 12.0, "rate": -1.5e-3, "big": 1e300, "on": true, "off": false, "none": nil,
			"list": []any{1.0, "a,]}", map[string]any{}}, "nested": map[string]any{"a": map[string]any{"b": []any{}}},
		}
	}
	return e
}

func TestAnEventIsReadAsEncodingJSONDoes(t *testing.T) {
	for seed := range uint64(3000) {
		text, err := json.Marshal(anyEvent(rand.New(rand.NewPCG(seed, 1)), seed%10 == 0))
		if err != nil {
			t.Fatal(err)
		}
		var want, short Event
		got := Event{Name: "what stood here before"}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if err := ReadEvent(text, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: read\n%+v, want\n%+v (%v)", seed, got, want, err)
		}
		if r := (reader{all: string(text)}); !readMembers(&r, &short, eventMembers) || !r.done() {
			t.Fatalf("seed %d: left to encoding/json at %.80s", seed, r.all[r.at:])
		}
	}
}

func FuzzReadEvent(f *testing.F) {
	for seed := range uint64(30) {
		b, _ := json.Marshal(anyEvent(rand.New(rand.NewPCG(seed, 2)), seed%3 == 0))
		f.Add(b)
	}
	for _, s := range []string{
		`{}`, `null`, `{"name":"a","name":"b"}`, `{"Name":"a"}`, `{"name":"a","event_id":"b"}`, `{"name":"\ud800"}`, "{\"name\":\"a\xff\"}", "{\"name\":\"é\x01\"}", `{"name":"é\n"}`,
		`{"rank":-0}`, `{"rank":01}`, `{"rank":1.0}`, `{"rank":1e2}`, `{"rank":9223372036854775808}`, `{"node":"_1"}`, `{"node":""}`, `{"node":"+1"}`, `{"node":"00000000000000001"}`,
		`{"identifiers":[]}`, `{"identifiers":null}`, `{"identifiers":[{}]}`, `{"identifiers":[{},]}`, `{"contacts":[null]}`, `{"touch":{}}`, `{"touch":{"clicks":[]}}`,
		`{"revenue":{"amount":"12.5"}}`, `{"revenue":{"amount":1e3}}`, `{"revenue":{"amount":01}}`, `{"revenue":{"amount":1.}}`, `{"revenue":{"amount":0.0000001}}`,
		`{"properties":{}}`, `{"properties":{"a":1,"a":2}}`, `{"properties":{"a":-}}`, `{"properties":{"a":1e999}}`, `{"properties":{"a":nul}}`, `{"properties":{"a":[}}`, `{"properties":{"a":{"b":1,}}}`,
		`{"known":{"counts":{"a":1}}}`, `{"known":{"offset":-1,"person":"0123456789abcdef"}} `, `{"funnel":false,"echo":true}`, `{"occurred_at":"2026-02-30T00:00:00Z"}`, `{"occurred_at":null}`,
		`{"consent":{"ad_storage":false,"data_processing_options":["LDU"],"data_processing_options_country":1}}`, `{"unknown":1}`, `{"name":"a",}`, `{"name":"a"`, `{"name"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var want, got Event
		wrong := json.Unmarshal(b, &want)
		err := ReadEvent(b, &got)
		if (err == nil) != (wrong == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nread  %+v %v\nwant  %+v %v", b, got, err, want, wrong)
		}
	})
}

func BenchmarkReadEvent(b *testing.B) {
	at := time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC)
	amount := Money(36000e6)
	ids := []Identifier{{Scheme: HubSpotContact, Value: "1001", Seen: at}, {Scheme: Email, Value: EmailHash("ada@example.com"), Seen: at}}
	touch := &Touch{Kind: "ad_click", At: at, Platform: "linkedin", Source: "linkedin", Medium: "cpc", Campaign: "Demo days & more", Page: "https://example.com/demo"}
	text, err := json.Marshal(Event{
		ID: "deal_91001_closedwon_2026-11-03T09:00:00Z", Name: "customer_won", OccurredAt: at, ReceivedAt: at, Source: "hubspot", Way: WayHubSpot,
		Object: Object{Type: "deal", ID: "91001"}, RawStage: "closedwon", Stage: "customer_won", Funnel: true, Rank: 6, CountedBy: "deal", Node: 1,
		Identifiers: ids, Contact: Contact{ID: "1001", Email: "ada@example.com", FirstName: "Ada", LastName: "Byron", City: "Zürich"},
		Revenue: &Revenue{Amount: &amount, Currency: "USD"}, MappingVersion: "sha256:0123456789ab", ReceiptID: "01SAMPLE1001",
		Known: &Known{Offset: 41, Person: 1, Identifiers: ids, Clicks: []Click{{Scheme: FBCLID, Value: "IwAR0", At: at}}, FirstTouch: touch, LastTouch: touch},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var e Event
		if err := ReadEvent(text, &e); err != nil {
			b.Fatal(err)
		}
	}
}
