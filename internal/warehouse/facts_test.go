package warehouse_test

import (
	"fmt"
	"testing"

	"tributary/canonical"
	"tributary/internal/warehouse"
)

func TestFactsAreFoundByTheirNodes(t *testing.T) {
	w := open(t)
	if last, err := w.LastFact(t.Context()); err != nil || last != -1 {
		t.Fatalf("an empty warehouse holds facts up to %d: %v", last, err)
	}
	b := warehouse.Block{Facts: []warehouse.FactRow{
		{Offset: 3, Fact: canonical.Fact{Kind: canonical.FactLink, At: at(1), Nodes: []canonical.Identifier{contact("1"), contact("2")}, Cause: "r1"}},
		{Offset: 4, Fact: canonical.Fact{Kind: canonical.FactMerge, At: at(2), Nodes: []canonical.Identifier{contact("1"), contact("3"), contact("4")}}},
		{Offset: 5, Fact: canonical.Fact{Kind: canonical.FactBlock, At: at(3), Nodes: []canonical.Identifier{contact("2"), contact("1")}, By: "ops", Reason: "two people"}},
		{Offset: 6, Fact: canonical.Fact{Kind: canonical.FactStage, At: at(3), Nodes: []canonical.Identifier{contact("1")}, Stage: &canonical.StageReached{Name: "lead"}}},
	}}
	b.Events = []warehouse.EventRow{
		{Event: canonical.Event{ID: "e1", Name: "lead", OccurredAt: at(1), ReceivedAt: at(5), Node: contact("1").Node()}, Position: canonical.Position{Offset: 1}},
		{Event: canonical.Event{ID: "e2", Name: "won", OccurredAt: at(2), ReceivedAt: at(5), Object: canonical.Object{Account: "hubspot", Type: "deal", ID: "5"}}, Position: canonical.Position{Offset: 2}},
	}
	write(t, w, "1", b)
	write(t, w, "2", b)
	all := []canonical.FactKind{canonical.FactLink, canonical.FactMerge, canonical.FactBlock, canonical.FactStage}
	for _, tt := range []struct {
		nodes []string
		least int
		kinds []canonical.FactKind
		limit int
		want  string
	}{
		{[]string{"1", "2"}, 2, all, 10, "[3 5]"},
		{[]string{"1", "4", "9"}, 2, all, 10, "[4]"},
		{[]string{"1"}, 1, all, 10, "[3 4 5 6]"},
		{[]string{"1"}, 1, all, 2, "[3 4]"},
		{[]string{"1"}, 1, all[2:3], 10, "[5]"},
		{[]string{"9"}, 1, all, 10, "[]"},
		{nil, 0, all, 10, "[]"},
	} {
		var nodes []canonical.NodeID
		for _, v := range tt.nodes {
			nodes = append(nodes, contact(v).Node())
		}
		got := []int64{}
		if err := w.FactsAmong(t.Context(), nodes, tt.least, tt.kinds, tt.limit, func(offset int64, _ []byte) error { got = append(got, offset); return nil }); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%v: %v, want %s", tt, got, tt.want)
		}
	}
	if last, err := w.LastFact(t.Context()); err != nil || last != 6 {
		t.Errorf("it holds facts up to %d: %v", last, err)
	}
	for _, tt := range []struct {
		nodes  []canonical.NodeID
		object canonical.Object
		want   string
	}{
		{[]canonical.NodeID{contact("1").Node(), contact("2").Node()}, canonical.Object{}, "[lead|e1]"},
		{nil, canonical.Object{Type: "deal", ID: "5"}, "[won|e2]"},
		{nil, canonical.Object{Account: "eu", Type: "deal", ID: "5"}, "[]"},
		{nil, canonical.Object{}, "[]"},
	} {
		if got, err := w.EventsOn(t.Context(), tt.nodes, tt.object, 10); err != nil || fmt.Sprint(got) != tt.want {
			t.Errorf("%v: %v, %v, want %s", tt, got, err, tt.want)
		}
	}
}
