package mappings

import (
	"strings"

	"tributary/canonical"
)

// An IDPart is one of the parts that an event's id was made of.
type IDPart struct{ Name, Value string }

// IDParts says what the id of an event was made of: the parts of its recipe in their
// order, none where its sender gave the id. The report is the one that the event is of.
// What stands for a person is a hash; texts are as the source sent them.
func (m *Mapping) IDParts(r canonical.Report, e canonical.Event) []IDPart {
	if e.IDRecipe == 0 {
		return nil
	}
	if e.IDRecipe >= firstRecipe {
		by := m.recipeOf(e.Name, e.OccurredAt)
		if by == nil || by.number != e.IDRecipe {
			return nil
		}
		out := make([]IDPart, len(by.parts))
		for i, name := range by.parts {
			out[i] = IDPart{name, partOf(name, &r, &e)}
		}
		return out
	}
	at := r.TimeText
	if at == "" {
		at = canonical.FormatTime(r.OccurredAt)
	}
	stage := r.Subject == canonical.SubjectLifecycle || r.Subject == canonical.SubjectDealStage
	out := []IDPart{}
	add := func(name, value string) {
		if value != "" {
			out = append(out, IDPart{name, value})
		}
	}
	if stage && r.Object.ID != "" {
		add(r.Object.Type, objectID(r.Object))
		add("stage", r.RawStage)
		add("time", at)
		return out
	}
	add("source", e.Source)
	add("event", r.Event)
	add("object", strings.Trim(r.Object.Type+":"+objectID(r.Object), ":"))
	if e.Node != 0 {
		add("person", e.Node.String())
	}
	add("pipeline", r.Pipeline)
	add("stage", r.RawStage)
	if r.Touch != nil {
		add("kind", r.Touch.Kind)
		add("page", r.Touch.Page)
		add("form", r.Touch.Form)
	}
	add("time", at)
	return out
}
