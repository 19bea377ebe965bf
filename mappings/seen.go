package mappings

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"tributary/canonical"
)

// A Seen is a stage that reports gave and that no line names.
type Seen struct {
	Source        string        `json:"source"`
	Way           canonical.Way `json:"way"`
	Table         string        `json:"table"`  // where its line would stand: lifecycle, company_lifecycle, lead_status, deals, objects
	Object        string        `json:"object"` // contact, company, deal, or a custom object's type
	Pipeline      string        `json:"pipeline,omitempty"`
	PipelineLabel string        `json:"pipeline_label,omitempty"`
	Stage         string        `json:"stage"`
	StageLabel    string        `json:"stage_label,omitempty"`
	Times         int64         `json:"times"`
	Last          time.Time     `json:"last"` // when it was last reached
}

// Uncovered gives the stage that a report gives and that no line of this mapping names, neither by
// its value nor by its label nor by what the CRM says of it. Stages of a kind that the mapping names
// none of are nobody's step, and left out, but for those of contacts and deals.
func (m *Mapping) Uncovered(r canonical.Report, rc canonical.Receipt) (seen Seen, is bool) {
	s := Seen{Source: rc.Source, Way: rc.Way, Object: r.Object.Type, Pipeline: r.Pipeline, PipelineLabel: r.PipelineLabel,
		Stage: strings.TrimSpace(r.RawStage), StageLabel: r.StageLabel, Times: 1, Last: r.OccurredAt}
	near := m.near(&r, &rc)
	says := func(of func(*section) map[string]rule) bool { return table(near, of) != nil }
	switch {
	case r.Subject == canonical.SubjectLifecycle && r.Object.Type == "company":
		if s.Table = "company_lifecycle"; !says(func(s *section) map[string]rule { return s.company }) {
			return Seen{}, false
		}
	case r.Subject == canonical.SubjectLifecycle:
		s.Table, s.Object = "lifecycle", cmp.Or(s.Object, "contact")
	case r.Subject == canonical.SubjectDealStage:
		s.Table, s.Object = "deals", cmp.Or(s.Object, "deal")
	case r.Subject == canonical.SubjectLeadStatus:
		if s.Table, s.Object = "lead_status", cmp.Or(s.Object, "contact"); !says(func(s *section) map[string]rule { return s.leadStatus }) {
			return Seen{}, false
		}
	case r.Subject == canonical.SubjectProperty && fold(r.Property) == "hs_pipeline_stage":
		if s.Table, s.Stage = "objects", strings.TrimSpace(r.Value); !says(func(s *section) map[string]rule { return s.objects[r.Object.Type].stages }) {
			return Seen{}, false
		}
	}
	if s.Table == "" || s.Stage == "" || rc.Browser {
		return Seen{}, false
	}
	got := m.Apply(r, rc)
	if e := got.Event; got.Quarantine != nil || e != nil && (e.Rule != "" || e.Ignored != "") {
		return Seen{}, false
	}
	return s, true
}

// CheckSeen warns of stages that were reported and that no line of this mapping names.
func (m *Mapping) CheckSeen(seen []Seen) []Problem {
	ps := &problems{}
	for _, s := range seen {
		r := canonical.Report{Subject: canonical.SubjectLifecycle, Object: canonical.Object{Type: s.Object}}
		near := m.near(&r, &canonical.Receipt{Source: s.Source, Way: s.Way})
		at := placeFor(near, s)
		where := ""
		if s.Pipeline != "" {
			where = " in pipeline " + labelled(s.Pipeline, s.PipelineLabel)
		}
		var known []string
		for _, n := range near {
			known = append(known, stagesOf(n, s)...)
		}
		suggestion := cmp.Or(nearest(s.Stage, known), nearest(s.StageLabel, known))
		if suggestion != "" {
			suggestion = "the line " + suggestion
		}
		what := s.Object + " stage"
		if s.Table == "lead_status" {
			what = "lead status"
		}
		ps.warn(at, "stage_not_covered", suggestion, "%s %s%s was reported %s, last on %s, and no line of %s names it",
			what, labelled(s.Stage, s.StageLabel), where, times(s.Times), s.Last.UTC().Format(time.DateOnly), s.Table)
	}
	return ps.list
}

// labelled writes a value with what people call it.
func labelled(value, label string) string {
	if label == "" || fold(label) == fold(value) {
		return shown(value)
	}
	return shown(value) + " (" + label + ")"
}

// placeFor is the nearest section that names such stages, else the nearest there is.
func placeFor(near [3]*section, seen Seen) (at place) {
	for _, s := range near {
		switch {
		case s == nil:
		case len(stagesOf(s, seen)) > 0:
			return s.at
		case at == place{}:
			at = s.at
		}
	}
	return at
}

// stagesOf lists the raw values that a section's lines for such a stage name.
func stagesOf(s *section, seen Seen) (out []string) {
	if s == nil {
		return nil
	}
	switch seen.Table {
	case "lifecycle":
		return sortedKeys(s.lifecycle)
	case "company_lifecycle":
		return sortedKeys(s.company)
	case "lead_status":
		return sortedKeys(s.leadStatus)
	case "objects":
		return sortedKeys(s.objects[seen.Object].stages)
	}
	for _, p := range sortedKeys(s.pipelines) {
		out = append(out, sortedKeys(s.pipelines[p])...)
	}
	return out
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
