package pipeline

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
)

// What the account's words mean is written down once an hour while webhooks come, and not while none do.
func TestSettingsAreWrittenDownHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		f := newFetch(l, &crm{})
		times := 0
		f.Settings = func(context.Context) error { times++; return nil }
		time.Sleep(24 * time.Hour)
		stop := run(t, f.Run)
		defer stop()
		for i, want := range []int{1, 1, 2} {
			post(t, l, webhook(fmt.Sprint("r", i), i, "lead", time.Now()))
			settle()
			if times != want {
				t.Errorf("after webhook %d they were written down %d times, want %d", i, times, want)
			}
			time.Sleep([]time.Duration{20 * time.Minute, time.Hour, 0}[i])
		}
	})
}

// An owner who was not met before is worth a minute's wait, not an hour's.
func TestANewOwnerIsWrittenDownSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFetch(newLog(t), &crm{})
		times := 0
		f.Settings = func(context.Context) error { times++; return nil }
		for i, tc := range []struct {
			owner string
			wait  time.Duration
			want  int
		}{{"1", 0, 1}, {"1", 2 * time.Minute, 1}, {"2", 0, 2}, {"2", 2 * time.Minute, 2}, {"", 2 * time.Minute, 2}} {
			time.Sleep(tc.wait)
			f.meet(canonical.ReadObject{Properties: map[string]string{"hubspot_owner_id": tc.owner}})
			f.settle(t.Context())
			synctest.Wait()
			if times != tc.want {
				t.Errorf("step %d: written down %d times, want %d", i, times, tc.want)
			}
		}
	})
}

// A merge gives its survivor a new id; whoever came first of a deal's contacts still does.
func TestADealsContactsKeepTheirOrderOverMerges(t *testing.T) {
	set := newObjectSet()
	for id, old := range map[string]string{"28": "", "900": "15;16", "1000": "99;", "7000": ""} {
		set.found[objectKey{"contact", id}] = cached{object: canonical.ReadObject{Type: "contact", ID: id, Properties: map[string]string{"hs_merged_object_ids": old}}}
	}
	deal := canonical.ReadObject{Type: "deal", Associated: map[string][]string{"contact": {"28", "900", "1000", "7000"}, "company": {"9", "1"}}}
	got := set.inOldOrder(deal)
	if want := []string{"900", "28", "1000", "7000"}; !slices.Equal(got.Associated["contact"], want) || !slices.Equal(got.Associated["company"], []string{"9", "1"}) {
		t.Errorf("%v, want contacts %v and companies as they were", got.Associated, want)
	}
	if deal.Associated["contact"][0] != "28" {
		t.Error("what the cache holds was changed")
	}
}
