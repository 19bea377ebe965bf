package rehearsal

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations/catalog"
	"tributary/mappings"
)

var noon = time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)

func begin(t *testing.T) *Rehearsal {
	t.Helper()
	return beginWith(t, nil, canonical.Guards{})
}

func beginWith(t *testing.T, lists *canonical.Lists, guards canonical.Guards) *Rehearsal {
	t.Helper()
	m, problems := mappings.Compile(mappings.Default())
	if m == nil {
		t.Fatal(problems)
	}
	kind, _ := catalog.Kind("meta")
	var section yaml.Node
	if err := section.Encode(map[string]string{"dataset_id": "1000000000000000"}); err != nil {
		t.Fatal(err)
	}
	adapter, wrong := kind.New(&section)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	r, err := New(m, func(string) wire.Settings { return wire.Settings{Lists: lists} }, guards, []Destination{{Name: "meta", Kind: "meta", Adapter: adapter}, {Name: "off", Kind: "meta", Adapter: adapter, Disabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func stage(id, stage, at string) canonical.Receipt {
	body, _ := json.Marshal(map[string]any{
		"source": "hubspot", "event": "hubspot.lifecycle_changed", "occurred_at": at,
		"contact": map[string]string{"id": id, "email": id + "@example.com", "lifecycle_stage": stage},
	})
	return canonical.Receipt{ID: canonical.ReceiptID(id + stage + at), Source: "hubspot", Way: canonical.WayCRM, ReceivedAt: noon, Body: body}
}

// said says in one line what an input came to.
func said(t *testing.T, r *Rehearsal, rc canonical.Receipt, p Profile, now time.Time) string {
	t.Helper()
	o, err := r.Take(t.Context(), rc, p, now)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{string(o.Fate)}
	for _, d := range o.At {
		for _, f := range d.Parts {
			word := ReasonOf(f)
			if f.Class.Sends() {
				word = "sent"
			}
			out = append(out, d.Destination+" "+word)
		}
	}
	return strings.Join(out, ", ")
}

// What one input says and takes holds for those that follow; the clock is the one given.
func TestInputsFollowEachOther(t *testing.T) {
	r := begin(t)
	year := noon.AddDate(1, 0, 0)
	for i, step := range []struct {
		rc   canonical.Receipt
		now  time.Time
		want string
	}{
		{stage("1", "lead", "2026-04-23T11:00:00Z"), noon, "event, meta sent, off disabled"},
		{stage("1", "subscriber", "2026-04-23T11:10:00Z"), noon, "event, meta re_report, off disabled"},
		{stage("1", "lead", "2026-04-23T11:00:00Z"), noon, "observation"},
		{stage("2", "lead", "2026-04-23T11:00:00Z"), year, "event, meta too_old, off disabled"},
		{stage("2", "nothing", "2026-04-23T11:00:00Z"), noon, "event, meta not_mapped, off disabled"},
		{stage("2", "{{ stage }}", "2026-04-23T11:00:00Z"), noon, "quarantined"},
	} {
		if got := said(t, r, step.rc, Profile{}, step.now); got != step.want {
			t.Errorf("step %d: %s, want %s", i+1, got, step.want)
		}
	}
}

// Who is one person is rehearsed under the guards and lists of the configuration.
func TestGuardsOfTheConfiguration(t *testing.T) {
	shared := canonical.Identifier{Scheme: canonical.Email, Value: canonical.EmailHash("flat7@example.com")}
	for name, c := range map[string]struct {
		lists  *canonical.Lists
		guards canonical.Guards
		want   int // contacts that the second one is known as
	}{
		"the defaults": {want: 2},
		"never_link":   {guards: canonical.Guards{NeverLink: []canonical.Identifier{shared}}, want: 1},
		"a crowd":      {guards: canonical.Guards{Crowd: 1}, want: 1},
		"a pattern":    {lists: canonical.NewLists([]string{"flat*@*"}, nil, nil), want: 1},
		"a mailbox":    {lists: canonical.NewLists(nil, []string{"Flat7"}, nil), want: 1},
		"another's":    {lists: canonical.NewLists([]string{"*@example.test"}, []string{"front"}, nil), want: 2},
	} {
		r := beginWith(t, c.lists, c.guards)
		var known *canonical.Known
		for _, id := range []string{"71", "72"} {
			rc := stage(id, "lead", "2026-04-23T11:00:00Z")
			rc.Body = []byte(strings.ReplaceAll(string(rc.Body), id+"@example.com", "flat7@example.com"))
			o, err := r.Take(t.Context(), rc, Profile{}, noon)
			if err != nil || o.Event == nil {
				t.Fatalf("%s: %v %v", name, o.Detail, err)
			}
			known = o.Event.Known
		}
		contacts := 0
		for _, id := range known.Identifiers {
			if id.Scheme == canonical.HubSpotContact {
				contacts++
			}
		}
		if contacts != c.want {
			t.Errorf("%s: known as %d contacts, want %d", name, contacts, c.want)
		}
	}
}

// What is known of the person besides reaches the body.
func TestProfile(t *testing.T) {
	r := begin(t)
	p := Profile{
		Identifiers: []canonical.Identifier{{Scheme: canonical.FBP, Value: "fb.1.1776900000000.123"}},
		Touches:     []canonical.Touch{{Kind: "ad_click", At: noon.Add(-time.Hour), Clicks: []canonical.Click{{Scheme: canonical.FBCLID, Value: "IwAR0x", At: noon.Add(-time.Hour)}}}},
	}
	rc := stage("3", "lead", "2026-04-23T11:59:00Z")
	o, err := r.Take(t.Context(), rc, p, noon)
	if err != nil {
		t.Fatal(err)
	}
	body := string(o.At[0].Parts[0].Body)
	for _, part := range []string{"fb.1.1776900000000.123", "IwAR0x"} {
		if !strings.Contains(body, part) {
			t.Errorf("%s is not in %s", part, body)
		}
	}
	if len(o.Event.Known.Clicks) != 1 {
		t.Errorf("known: %+v", o.Event.Known)
	}
	nobody := canonical.Receipt{ID: "n", Source: "x", Way: canonical.WayCRM, ReceivedAt: noon, Body: []byte(`{}`)}
	if _, err := r.Take(t.Context(), nobody, p, noon); err == nil {
		t.Error("a profile of nobody was taken")
	}
}
