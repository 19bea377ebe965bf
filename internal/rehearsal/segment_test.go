package rehearsal

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

// segmentCalls are those of two people of one company, one of whom changes their user id and has
// two devices.
var segmentCalls = func() (out []string) {
	const phone, laptop, other = "0192f0c4-1111-4222-8333-444455556666", "0192f0c4-2222-4222-8333-444455556666", "0192f0c4-3333-4222-8333-444455556666"
	for i, call := range []string{
		`"type":"page","anonymousId":"` + phone + `","properties":{"url":"https://acme.example/?li_fat_id=L1&utm_campaign=spring"}`,
		`"type":"page","anonymousId":"` + laptop + `","properties":{"url":"https://acme.example/pricing"}`,
		`"type":"identify","anonymousId":"` + phone + `","userId":"u-1","traits":{"email":"ana@acme.example"}`,
		`"type":"identify","anonymousId":"` + laptop + `","userId":"u-2"`,
		`"type":"alias","userId":"u-2","previousId":"u-1"`,
		`"type":"alias","userId":"u-9","previousId":"` + other + `"`,
		`"type":"group","userId":"u-1","groupId":"g","traits":{"domain":"acme.example","name":"Acme"}`,
		`"type":"group","userId":"u-9","groupId":"g","traits":{"domain":"acme.example","name":"Acme"}`,
		`"type":"track","userId":"u-2","event":"Order Completed","properties":{"revenue":12}`,
		`"type":"track","anonymousId":"` + other + `","event":"Song Played"`,
		`"type":"screen","userId":"u-9","name":"Home"`,
	} {
		out = append(out, fmt.Sprintf(`{%s,"messageId":"m-%d","timestamp":"2026-04-23T10:%02d:00Z"}`, call, i, i))
	}
	return out
}()

// Whatever order calls come in, alone or in a batch, once or again, each is one event, and the
// people, accounts and touches are the same.
func TestSegmentCallsInAnyOrder(t *testing.T) {
	come := func(seed uint64) string {
		r := begin(t)
		rnd := rand.New(rand.NewPCG(seed, 7))
		calls := slices.Clone(segmentCalls)
		if seed > 0 {
			for _, c := range segmentCalls {
				for range rnd.IntN(3) {
					calls = append(calls, c)
				}
			}
			rnd.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
		}
		events := map[canonical.EventKey]int{}
		met := map[canonical.Identifier]bool{}
		for i, c := range calls {
			at := noon.Add(time.Duration(rnd.IntN(90)) * time.Second)
			rc := canonical.Receipt{ID: canonical.ReceiptID(fmt.Sprint("r", i)), Source: "segment", Way: canonical.WaySegment, ReceivedAt: at, Body: []byte(c)}
			if rnd.IntN(2) == 0 { // in a batch, sent as it came but for the way
				rc.Context = map[string]string{"sent_at": at.Add(-time.Duration(rnd.IntN(60)) * time.Second).Format(time.RFC3339Nano)}
			}
			o, err := r.Take(t.Context(), rc, Profile{}, at)
			if err != nil || o.Fate == canonical.FateQuarantined {
				t.Fatalf("%s: %v %v", c, o.Detail, err)
			}
			for _, id := range o.Report.Identifiers {
				met[id] = true
			}
			if o.Fate == canonical.FateEvent {
				events[o.Event.Key()]++
			}
		}
		var lines []string
		for k, n := range events {
			lines = append(lines, fmt.Sprint(k, " ", n))
		}
		for id := range met {
			known := r.view.Known(canonical.Event{Node: id.Node(), OccurredAt: noon})
			lines = append(lines, fmt.Sprint(id.Scheme, ":", id.Value, " is ", known.Person, " of ", known.Account, known.Fields, known.FirstTouch, known.LastTouch))
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	want := come(0)
	persons := map[string]bool{}
	for _, m := range regexp.MustCompile(` is ([0-9a-f]+) of `).FindAllStringSubmatch(want, -1) {
		persons[m[1]] = true
	}
	if n := strings.Count(want, " 1\n"); n != 5 || len(persons) != 2 {
		t.Fatalf("in their order they are %d people\n%s", len(persons), want)
	}
	for seed := range uint64(60) {
		if got := come(seed + 1); got != want {
			t.Fatalf("in order %d they are\n%s\nwant\n%s", seed+1, got, want)
		}
	}
}
