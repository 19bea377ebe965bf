package wire

import (
	"testing"
	"time"

	"tributary/canonical"
)

// What the door lets through as a merge is read as one later; what it refuses is not.
func FuzzCheckMerge(f *testing.F) {
	for _, s := range []string{
		`{"event":"contact.merged","contact":{"id":"1","merged_ids":["2"]}}`, `{"event":"company.unmerged","survivor_id":1,"merged_ids":[1,2,2]}`,
		`{"event":"HubSpot.Contact.Merged","newObjectId":3,"mergedObjectIds":[1,2]}`, `{"event":"contact.merged","contact":7}`, `{"event":"contact.merge","merged_ids":[]}`,
	} {
		f.Add([]byte(s))
	}
	now := func() time.Time { return time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC) }
	f.Fuzz(func(t *testing.T, body []byte) {
		s, fault := Scan(body, "event")
		if fault != nil || s.Check(canonical.WayEvents, Bounds{}) != nil {
			return
		}
		problem := CheckMerge(canonical.WayEvents, s.Picked[0], body, now)
		r, later := Read(canonical.Receipt{Way: canonical.WayEvents, Body: body, ReceivedAt: now()}, Settings{})
		if problem != nil && later == nil {
			t.Errorf("%s is refused (%v) and could be read", body, problem)
		}
		if problem == nil && later == nil && r.Subject == canonical.SubjectMerge && (r.Merge == nil || r.Merge.Survivor == "" || len(r.Merge.Merged) == 0) {
			t.Errorf("%s is taken and merges nobody", body)
		}
	})
}
