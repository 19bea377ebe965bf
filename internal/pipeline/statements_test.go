package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/identity"
	"tributary/identity/memstore"
)

// facts is a warehouse that holds the facts up to an offset; away, it holds none.
type facts struct {
	rows []canonical.Fact
	away bool
}

func (m *facts) LastFact(context.Context) (int64, error) {
	if m.away {
		return 0, errors.New("away")
	}
	return int64(len(m.rows)) - 1, nil
}

func (m *facts) FactsAmong(_ context.Context, nodes []canonical.NodeID, least int, _ []canonical.FactKind, _ int, each func(int64, []byte) error) error {
	for i, f := range m.rows {
		if nodesOf(f, nodes) < least {
			continue
		}
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if err := each(int64(i), b); err != nil {
			return err
		}
	}
	return nil
}

// Who said what is found in the warehouse, what is newer in the log, and all of it in the log where the
// warehouse is away.
func TestCausesAreFoundWhereverTheyStand(t *testing.T) {
	for _, held := range []int{0, 3, 6, -1} {
		synctest.Test(t, func(t *testing.T) {
			l := newLog(t)
			view, err := identity.Open(memstore.New())
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- FollowIdentity(ctx, l, topics.Identity, view) }()
			defer func() { stop(); <-done }()
			a, b, c := canonical.Identifier{Scheme: canonical.HubSpotContact, Value: "1"}, canonical.Identifier{Scheme: canonical.HubSpotContact, Value: "2"}, canonical.Identifier{Scheme: canonical.UserID, Value: "u"}
			day := func(n int) time.Time { return time.Date(2026, 5, n, 0, 0, 0, 0, time.UTC) }
			said := []canonical.Fact{
				{Kind: canonical.FactLink, At: day(3), Nodes: []canonical.Identifier{a, c}, Cause: "r1", Source: "crm"},
				{Kind: canonical.FactLink, At: day(2), Nodes: []canonical.Identifier{a, c}, Cause: "r2", Source: "web"},
				{Kind: canonical.FactStage, At: day(2), Nodes: []canonical.Identifier{a}, Stage: &canonical.StageReached{Name: "lead"}},
				{Kind: canonical.FactMerge, At: day(4), Nodes: []canonical.Identifier{a, b}, Cause: "r3"},
				{Kind: canonical.FactLink, At: day(5), Nodes: []canonical.Identifier{b, c}, Cause: "r4"},
				{Kind: canonical.FactUnmerge, At: day(6), Nodes: []canonical.Identifier{a, b}, By: "ops", Reason: "wrong"},
			}
			archive := &facts{away: held < 0}
			s := &Statements{Log: l, Topics: topics, View: view, Archive: archive}
			for i, f := range said {
				offset, folded, err := s.State(t.Context(), f)
				if err != nil || !folded || offset != int64(i) {
					t.Fatalf("offset %d, folded %v: %v", offset, folded, err)
				}
			}
			if held > 0 {
				archive.rows = said[:held]
			}
			causes, gap, err := s.CausesOf(t.Context(), []identity.Tie{{A: c, B: a}, {A: a, B: b}, {A: c, B: c}})
			if err != nil || (gap != "") != (held < 0) {
				t.Fatalf("%q, %v", gap, err)
			}
			var got []string
			for _, list := range causes {
				for _, x := range list {
					got = append(got, fmt.Sprint(x.Offset, x.Kind, x.Receipt, x.By, x.Reason))
				}
				got = append(got, "|")
			}
			if want := "0linkr1 1linkr2 | 3merger3 5unmergeopswrong | |"; strings.Join(got, " ") != want {
				t.Errorf("warehouse holding %d: %q, want %q", held, strings.Join(got, " "), want)
			}
		})
	}
}

// What was said of somebody before they were erased is not found again in the log: not of who comes
// back later either.
func TestCausesLeaveOutWhoWasErased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, view := newLog(t), keyedView(t)
		stop := run(t, func(ctx context.Context) error { return FollowIdentity(ctx, l, topics.Identity, view) })
		defer stop()
		s := &Statements{Log: l, Topics: topics, View: view, Archive: &facts{away: true}}
		her, cookie := canonical.Identifier{Scheme: canonical.UserID, Value: "u"}, canonical.Identifier{Scheme: canonical.Anonymous, Value: "c"}
		day := func(n int) time.Time { return time.Date(2026, 5, n, 0, 0, 0, 0, time.UTC) }
		say := func(f canonical.Fact, err error) {
			t.Helper()
			if err == nil {
				_, _, err = s.State(t.Context(), f)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		tied := canonical.Fact{Kind: canonical.FactLink, At: day(1), Weak: true, Nodes: []canonical.Identifier{her, cookie}, Cause: "before"}
		say(tied, nil)
		say(view.Erasure(day(2), her))
		say(view.Lifting(day(3), her))
		tied.At, tied.Cause = day(4), "after"
		say(tied, nil)
		causes, _, err := s.CausesOf(t.Context(), []identity.Tie{{A: her, B: cookie}})
		if err != nil || len(causes) != 1 || len(causes[0]) != 1 || causes[0][0].Receipt != "after" {
			t.Errorf("causes %+v, %v; want the one after she came back", causes, err)
		}
	})
}
