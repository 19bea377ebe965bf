package mappings

import "tributary/canonical"

// mint gives an event that came without an id its own, and says by which recipe: that of
// the mapping which was in force when it happened, else recipe 1.
func (m *Mapping) mint(r *canonical.Report, e *canonical.Event) (canonical.EventID, int) {
	if len(m.recipes) > 0 {
		if by := m.recipeOf(e.Name, e.OccurredAt); by != nil {
			if id, ok := by.mint(r, e); ok {
				return id, by.number
			}
		}
	}
	return mintFirst(r, e), 1
}

// mintFirst is recipe 1: an id from what the report says alone. It is that of the
// published guide for stages of contacts and deals of the one CRM, and has
// length-delimited parts for everything the guide does not name. It sees no canonical
// name, so that a change of the mapping changes no id.
func mintFirst(r *canonical.Report, e *canonical.Event) canonical.EventID {
	at := r.TimeText
	if at == "" {
		at = canonical.FormatTime(r.OccurredAt)
	}
	switch r.Subject {
	case canonical.SubjectLifecycle:
		switch {
		case r.Object.ID == "":
			return canonical.MintID("lifecycle", e.Source, e.Node.String(), r.RawStage, at)
		case r.Object.Type == "company": // a company and a contact may have one number
			return canonical.MintID("company", objectID(r.Object), r.RawStage, at)
		}
		return canonical.MintContactID(objectID(r.Object), r.RawStage, at)
	case canonical.SubjectDealStage:
		if r.Object.ID == "" {
			return canonical.MintID("deal", e.Source, e.Node.String(), r.Pipeline, r.RawStage, at)
		}
		return canonical.MintDealID(objectID(r.Object), r.RawStage, at)
	case canonical.SubjectTouch:
		return mintTouch(r, e, at)
	case canonical.SubjectLeadStatus:
		return canonical.MintID("lead_status", e.Source, objectID(r.Object), e.Node.String(), r.RawStage, at)
	case canonical.SubjectAssociation:
		if a := r.Association; a != nil { // both directions are one tie
			one, other := ends(a)
			return canonical.MintID("association", r.Object.Account, one, other, a.Label, at)
		}
	case canonical.SubjectProperty:
		return canonical.MintID("property", e.Source, r.Event, r.Object.Type, objectID(r.Object), e.Node.String(), r.Property, r.Value, at)
	}
	return canonical.MintID("event", e.Source, r.Event, r.Object.Account, r.Object.Type, r.Object.ID, e.Node.String(), at)
}

// mintTouch tells two touches of one moment apart by page, form, e-mail and click; where
// nothing says whose touch it was, also by the browser it came from.
func mintTouch(r *canonical.Report, e *canonical.Event, at string) canonical.EventID {
	parts := []string{"touch", e.Source, r.Event, e.Node.String(), at}
	if t := r.Touch; t != nil {
		parts = append(parts, t.Kind, t.Page, t.Form, t.Subject, t.Campaign)
		for _, c := range t.Clicks {
			parts = append(parts, string(c.Scheme), c.Value)
		}
	}
	if e.Node == 0 {
		parts = append(parts, r.Browser.IP, r.Browser.UserAgent)
	}
	return canonical.MintID(parts...)
}

// objectID is an object's id, with the account's name before it where it is not the
// default one: ids of two CRM accounts overlap.
func objectID(o canonical.Object) string {
	if o.Account == "" || o.Account == "hubspot" {
		return o.ID
	}
	return o.Account + ":" + o.ID
}
