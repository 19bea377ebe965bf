package canonical

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// anyDelivery fills every field of a delivery, or about half of them.
func anyDelivery(r *rand.Rand, all bool) Delivery {
	var d Delivery
	populate(r, reflect.ValueOf(&d).Elem(), all)
	d.Body = nil
	if all || r.IntN(2) == 0 {
		d.Body = json.RawMessage(`{"data":[{"a":"}]\"\\"}]}`)
	}
	if d.Content != nil {
		d.Content.Properties = map[string]any{"plan": "pro", "seats": 12.0}
	}
	return d
}

func populate(r *rand.Rand, v reflect.Value, all bool) {
	texts := []string{"meta", "qualified_lead", "a|b", "tab\there", `quo"te`, "Grüße <&>", "back\\slash", "\u2028", ""}
	if !all && r.IntN(2) == 0 {
		return
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.UnixMilli(r.Int64N(4e12)).UTC().Add(time.Duration(r.IntN(3)) * time.Nanosecond)))
	case v.Type() == reflect.TypeFor[map[string]any]():
	case v.Kind() == reflect.String:
		v.SetString(texts[r.IntN(len(texts))])
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(r.Int64N(1<<40) - 1<<20)
	case v.CanUint():
		v.SetUint(r.Uint64())
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		populate(r, v.Elem(), all)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			populate(r, v.Field(i), all)
		}
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		e := reflect.New(v.Type().Elem()).Elem()
		populate(r, e, true)
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), e)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			populate(r, v.Index(i), all)
		}
	}
}

func TestADeliveryIsWrittenAndReadAsEncodingJSONDoes(t *testing.T) {
	for seed := range uint64(2000) {
		d := anyDelivery(rand.New(rand.NewPCG(seed, 1)), seed%10 == 0)
		want, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.AppendJSON(nil)
		if err != nil || string(got) != string(want) {
			t.Fatalf("seed %d: wrote\n%s, want\n%s (%v)", seed, got, want, err)
		}
		var plain Delivery
		if err := json.Unmarshal(want, &plain); err != nil {
			t.Fatal(err)
		}
		if read, err := ReadDelivery(want); err != nil || !reflect.DeepEqual(read, plain) {
			t.Fatalf("seed %d: read\n%+v, want\n%+v (%v)", seed, read, plain, err)
		}
	}
}

func FuzzReadDelivery(f *testing.F) {
	for seed := range uint64(30) {
		d := anyDelivery(rand.New(rand.NewPCG(seed, 2)), seed%3 == 0)
		b, _ := json.Marshal(d)
		f.Add(b)
	}
	for _, s := range []string{`{}`, `null`, `{"part":"a","part":"b"}`, `{"Part":"a"}`, `{"attempt":-0}`, `{"attempt":01}`, `{"attempt":1.0}`, `{"at":"2026-02-30T00:00:00Z"}`, `{"body":{]}}`, `{"body":1,"part":"x"}`, `{"forced":false}`, `{"at":"2026-01-01T00:00:00Z"} `, `{"due":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var want Delivery
		wrong := json.Unmarshal(b, &want)
		got, err := ReadDelivery(b)
		if (err == nil) != (wrong == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nread  %+v %v\nwant  %+v %v", b, got, err, want, wrong)
		}
	})
}

func BenchmarkReadDelivery(b *testing.B) {
	now := time.Now().UTC()
	d := Delivery{Destination: "meta", Event: EventKey{Name: "qualified_lead", ID: "27caec5ade10f667c4a05e8387c5d97dac8c1be9ea715e820de22ab9fcdb91ff"}, Part: "event",
		State: StateIntent, At: now, Attempt: 1, Owner: "host/1234", FirstTry: &now, Slot: "0123456789abcdef|qualified_lead", BatchSize: 500, BodyHash: SHA256("x")}
	text, _ := d.AppendJSON(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadDelivery(text); err != nil {
			b.Fatal(err)
		}
	}
}
