package canonical

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// receipts are usual and unusual ones, and a few hundred with every field filled at
// random, so that a new field cannot be forgotten.
func receipts() []Receipt {
	noon := time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)
	all := []Receipt{
		{},
		{ID: "01KAP", Source: "hubspot", Way: WayCRM, ReceivedAt: noon, Body: []byte(`{"event":"a"}`)},
		{ID: "01KAP", Source: `sh"op\<&>` + "\u2028\x00\x7fé\xff", Way: WayPixel, Browser: true, ReceivedAt: noon.Add(123456 * time.Microsecond), Body: []byte{}},
		{ReceivedAt: noon.In(time.FixedZone("", 5400)), Context: map[string]string{}, Completion: &Completion{}},
		{ReceivedAt: noon, Context: map[string]string{"user_agent": "a <b>", "ip": "192.0.2.1"}},
		{ReceivedAt: noon, Completion: &Completion{Of: "01KAP", ReadAt: noon, Objects: []ReadObject{{Type: "contact", ID: "1", Properties: map[string]string{"email": "ada@example.com"}}}}},
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var r Receipt
		fill(rng, reflect.ValueOf(&r).Elem())
		all = append(all, r)
	}
	return all
}

// fill sets v and everything in it to something that is not its zero value.
func fill(rng *rand.Rand, v reflect.Value) {
	if _, ok := v.Interface().(time.Time); ok {
		v.Set(reflect.ValueOf(time.Unix(rng.Int64N(1<<33), rng.Int64N(1e9)).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.String:
		text := make([]rune, 1+rng.IntN(20))
		for i := range text {
			text[i] = rune(rng.IntN(0x180))
		}
		v.SetString(string(text))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(1 + rng.Uint64N(255))
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + rng.Int64N(1e6))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(rng, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rng, v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+rng.IntN(5), 5))
		for i := range v.Len() {
			fill(rng, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(rng, key)
		fill(rng, value)
		v.SetMapIndex(key, value)
	default:
		panic("fill does not know " + v.Type().String())
	}
}

func TestReceiptJSONIsEncodingJSONs(t *testing.T) {
	for _, r := range receipts() {
		want, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.AppendJSON([]byte("before"))
		if err != nil || string(got) != "before"+string(want) {
			t.Fatalf("AppendJSON gave %v\n%s\nencoding/json gives\n%s", err, got, want)
		}
		if r.Context == nil && r.Completion == nil && len(got)-len("before") > r.JSONSize() && r.Source == "hubspot" {
			t.Errorf("%d bytes, and JSONSize says %d", len(got), r.JSONSize())
		}
	}
}

func TestReceiptJSONRefusesAnImpossibleTime(t *testing.T) {
	r := Receipt{ReceivedAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if _, err := json.Marshal(r); err == nil {
		t.Fatal("encoding/json takes the year 10000")
	}
	if b, err := r.AppendJSON(nil); err == nil {
		t.Errorf("the year 10000 was written as %s", b)
	}
}

func BenchmarkReceiptJSON(b *testing.B) {
	r := Receipt{ID: "01KAPQ3Z5T7V9X1B3D5F7H9J1K", Source: "hubspot", Way: WayEvents, ReceivedAt: time.Unix(1e9, 5e8).UTC(), Body: make([]byte, 300)}
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.AppendJSON(make([]byte, 0, r.JSONSize())); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}
