package wire

import (
	"time"

	"tributary/canonical"
)

// A Notice is what one HubSpot webhook tells, in the form in which two tellings of one
// change are compared.
type Notice struct {
	Account  string // the CRM account's name in the configuration
	Type, ID string // of the record; of a merge the survivor
	Change   string // creation, deletion, restore, privacyDeletion, propertyChange, merge, associationChange
	Property string
	Value    string
	At       time.Time
	Merged   []string // of a merge: the ids that are ID from now on

	// Of an associationChange, from ID: to what, whether it was undone, and the type id of a
	// label of the account's own.
	ToType, ToID string
	Removed      bool
	Label        string
}

// NoticeOf reads a HubSpot webhook as far as its change goes, completed or not. False: it is
// none, or none of an account that is configured, or one that cannot be read.
func NoticeOf(r canonical.Receipt, s Settings) (Notice, bool) {
	if r.Way != canonical.WayHubSpot {
		return Notice{}, false
	}
	body, problem := decode(r.Body)
	if problem != nil {
		return Notice{}, false
	}
	rd := &reader{receipt: r, settings: s}
	n := node{f: body, rd: rd}
	portal, given := n.whole("portalId")
	account, known := s.of(portal, given)
	w := n.notice()
	out := Notice{Account: account, Type: w.object, ID: n.objectID(), Change: w.change, At: n.when("occurredAt").at}
	switch w.change {
	case "propertyChange":
		out.Property, out.Value = n.text("propertyName"), n.said("propertyValue")
	case "merge":
		rd.webhookMerge(n, w.object)
		if m := rd.report.Merge; m != nil {
			out.ID, out.Merged = m.Survivor, m.Merged
		}
	case "associationChange":
		rd.association(n)
		if a := rd.report.Association; a != nil {
			out.Type, out.ID, out.ToType, out.ToID, out.Removed, out.Label = a.FromType, a.FromID, a.ToType, a.ToID, a.Removed, a.Label
		}
	}
	return out, known && rd.problem == nil && out.Type != "" && out.ID != "" && !out.At.IsZero()
}
