package mappings

import (
	"maps"
	"strings"

	"tributary/canonical"
)

// A Result is what the mapping makes of one report. With neither Event nor Quarantine
// the report states facts only.
type Result struct {
	Event      *canonical.Event
	Quarantine *Quarantine
	// QuarantinedBy is the place of the rule that holds the report back, as file:line; "" where
	// none does.
	QuarantinedBy string
}

// A Quarantine says why a report cannot be used under this mapping.
type Quarantine struct {
	Code   string
	Detail string // a sentence without personal data
}

// Codes of quarantine.
const (
	CodeBadTime      = "bad_time"
	CodeUnknownEvent = "unknown_event"
	CodeRuleFailed   = "rule_failed"
)

// builtInRule is Event.Rule of a name that no line of the text gave.
const builtInRule = "built-in"

// Apply names what a report says and gives it its id. It reads nothing but its
// arguments and changes none of them; the event shares the report's slices and maps. It
// fills every field of the event except Known.
func (m *Mapping) Apply(r canonical.Report, rc canonical.Receipt) Result {
	near := m.near(&r, &rc)
	var mk marker
	var named naming
	switch r.Subject {
	case canonical.SubjectLifecycle, canonical.SubjectDealStage, canonical.SubjectTouch, canonical.SubjectCustom:
		if r.OccurredAt.IsZero() {
			return Result{Quarantine: &Quarantine{CodeBadTime, "the report does not say when it happened"}}
		}
		named = m.named(&r, &rc, near)
	case canonical.SubjectLeadStatus, canonical.SubjectProperty, canonical.SubjectAssociation:
		named = m.recordName(&r, near)
		// What a CRM says cannot come from a browser, and since when a tie that was found is there, nobody knows.
		named.nothing = named.nothing || rc.Browser || r.Subject == canonical.SubjectAssociation && rc.Pulled() == canonical.PulledByReconcile
		if !named.nothing && r.OccurredAt.IsZero() {
			return Result{Quarantine: &Quarantine{CodeBadTime, "the report does not say when it happened"}}
		}
	case canonical.SubjectMerge, canonical.SubjectDeletion:
		named.nothing = true
	default:
		return Result{Quarantine: &Quarantine{CodeUnknownEvent, "the report is about nothing that is known here"}}
	}
	if m.quarantines {
		rule, err := mk.first(quarantineRules, near, &r, &rc, named.name)
		switch {
		case err != nil:
			return Result{Quarantine: &Quarantine{CodeRuleFailed, "the quarantine rule at " + rule.at + " could not be evaluated"}}
		case rule != nil:
			return Result{Quarantine: &Quarantine{rule.reason, "by the quarantine rule at " + rule.at}, QuarantinedBy: rule.at}
		}
	}
	if named.nothing {
		return Result{}
	}
	e := event(&r, &rc)
	e.MappingVersion = m.version
	e.Name, e.Rule = named.name, named.at
	if named.claimed != "" {
		e.Properties = maps.Clone(e.Properties)
		if e.Properties == nil {
			e.Properties = make(map[string]any, 1)
		}
		e.Properties["claimed_name"] = named.claimed
	}
	if !canonical.SameName(r.Claimed, e.Name) {
		e.Claimed = r.Claimed
	}
	m.count(e)
	m.earns(e)
	if e.ID = r.EventID; e.ID == "" {
		e.ID, e.IDRecipe = m.mint(&r, e)
	}
	rule, err := mk.first(ignoreRules, near, &r, &rc, e.Name)
	if err != nil {
		return Result{Quarantine: &Quarantine{CodeRuleFailed, "the ignore rule at " + rule.at + " could not be evaluated"}}
	}
	if rule == nil {
		return Result{Event: e}
	}
	e.Ignored, e.IgnoredBy = rule.reason, rule.at
	return Result{Event: e}
}

// near lists the sections that speak about a report, the nearest first: that of the
// configured source, that of the way in, and for what a CRM says that of HubSpot.
func (m *Mapping) near(r *canonical.Report, rc *canonical.Receipt) [3]*section {
	var out [3]*section
	n := 0
	add := func(key string) {
		if s := m.sections[key]; s != nil && s != out[0] && s != out[1] {
			out[n] = s
			n++
		}
	}
	add(rc.Source)
	add(string(rc.Way))
	if isCRM(r) || rc.Way == canonical.WayCRM {
		add(sectionHubSpot)
	}
	return out
}

func isCRM(r *canonical.Report) bool {
	return r.Subject != canonical.SubjectTouch && r.Subject != canonical.SubjectCustom
}

// A naming is the name of a report and the line that gave it.
type naming struct {
	name    string
	at      string
	claimed string // the name that a browser asked for and may not have
	nothing bool   // no event: facts only
}

func (m *Mapping) named(r *canonical.Report, rc *canonical.Receipt, near [3]*section) naming {
	var n naming
	switch r.Subject {
	case canonical.SubjectLifecycle:
		n = m.lifecycleName(r, near)
	case canonical.SubjectDealStage:
		n = m.dealName(r, near)
	default:
		return m.eventName(r, rc.Browser, near)
	}
	if rc.Browser && !n.nothing { // what a CRM says cannot come from a browser
		return naming{name: CustomEvent, claimed: n.name}
	}
	return n
}

// lifecycleName names a stage of a contact or company. An emptied stage is no business
// fact: it is the first half of setting one back.
func (m *Mapping) lifecycleName(r *canonical.Report, near [3]*section) naming {
	if strings.TrimSpace(r.RawStage) == "" {
		return naming{nothing: true}
	}
	contacts := table(near, func(s *section) map[string]rule { return s.lifecycle })
	if r.Object.Type != "company" {
		return stageName(contacts, r)
	}
	if n := stageName(table(near, func(s *section) map[string]rule { return s.company }), r); n.at != "" {
		return n
	}
	// HubSpot moves companies along with their contacts and deals: where a deal counts the
	// name, the company's report is one more report of it; else it is nobody's step.
	if n := stageName(contacts, r); m.names[n.name].counts == countDeal {
		return n
	}
	return naming{name: StageChanged}
}

func table(near [3]*section, of func(*section) map[string]rule) map[string]rule {
	for _, s := range near {
		if s != nil && of(s) != nil {
			return of(s)
		}
	}
	return nil
}

// stageName looks a stage up by its raw value, then by its label.
func stageName(t map[string]rule, r *canonical.Report) naming {
	if rule, ok := t[fold(r.RawStage)]; ok {
		return naming{name: rule.name, at: rule.at}
	}
	if r.StageLabel != "" {
		if rule, ok := t[fold(r.StageLabel)]; ok {
			return naming{name: rule.name, at: rule.at}
		}
	}
	return naming{name: StageChanged}
}

// dealName asks the pipeline's own lines by id, then by label, then those for any. In
// each, the stage's own line comes before the one for whatever the CRM calls won or lost.
func (m *Mapping) dealName(r *canonical.Report, near [3]*section) naming {
	if strings.TrimSpace(r.RawStage) == "" {
		return naming{nothing: true}
	}
	for _, s := range near {
		if s == nil || s.pipelines == nil {
			continue
		}
		for _, pipeline := range [...]string{fold(r.Pipeline), fold(r.PipelineLabel), anyName} {
			if pipeline == "" {
				continue
			}
			if n := stageName(s.pipelines[pipeline], r); n.at != "" {
				return n
			}
			if rule, ok := s.pipelines[pipeline][r.Outcome]; ok {
				return naming{name: rule.name, at: rule.at}
			}
		}
		break
	}
	return naming{name: StageChanged}
}

// eventName names what a browser or a server reported: by a line of the mapping, by what
// is built in, else by its own name.
func (m *Mapping) eventName(r *canonical.Report, browser bool, near [3]*section) naming {
	raw := fold(r.Event)
	for _, s := range near {
		if s == nil {
			continue
		}
		if rule, ok := s.events[raw]; ok {
			if browser && !m.names[rule.name].browser {
				break
			}
			return naming{name: rule.name, at: rule.at}
		}
	}
	if raw == "" && r.Touch != nil {
		raw = r.Touch.Kind
	}
	if raw == identifyEvent {
		return naming{nothing: true}
	}
	if name, ok := builtInEvent(raw); ok {
		if name == PageViewed && r.Touch != nil && r.Touch.Kind == "ad_click" {
			name = AdClicked
		}
		return naming{name: name, at: builtInRule}
	}
	own := snake(r.Event)
	of, aliased := m.aliases[raw]
	if !aliased && own != "" {
		of, aliased = m.aliases[own]
	}
	if aliased {
		own = of.name
	}
	if own == "" {
		return naming{name: CustomEvent}
	}
	if n, known := m.names[own]; known && browser && !n.browser {
		return naming{name: CustomEvent, claimed: own}
	}
	return naming{name: own, at: of.at}
}

// event carries over what the report says, without a name.
func event(r *canonical.Report, rc *canonical.Receipt) *canonical.Event {
	e := &canonical.Event{
		OccurredAt: r.OccurredAt.UTC(), ReceivedAt: rc.ReceivedAt.UTC(),
		Source: rc.Source, Way: rc.Way, Reported: r.Event, Object: r.Object, Pipeline: r.Pipeline, RawStage: r.RawStage,
		Identifiers: r.Identifiers, Contact: r.Contact, Company: r.Company, Contacts: r.Contacts,
		Touch: touchOf(r), Revenue: r.Revenue, Consent: r.Consent, Browser: r.Browser, Properties: r.Properties,
		ReceiptID: rc.ID, Echo: r.Echo, Deal: r.Deal, History: rc.Pulled() == canonical.PulledByImport,
	}
	switch a := r.Association; {
	case r.Subject == canonical.SubjectProperty && r.Property == "hs_pipeline_stage":
		e.RawStage = r.Value
	case r.Subject == canonical.SubjectAssociation && a != nil: // about the contact, whichever end was told first
		for _, end := range [...][2]string{{a.ToType, a.ToID}, {a.FromType, a.FromID}} {
			switch end[0] {
			case "contact":
				e.Object.Type, e.Object.ID = end[0], end[1]
			case "deal":
				e.Deal = end[1]
			}
		}
	}
	if r.Reported {
		e.TimeBasis = "reported"
	}
	if !r.ObservedAt.IsZero() {
		at := r.ObservedAt.UTC()
		e.ObservedAt = &at
	}
	if e.Company.ID == "" && len(r.Companies) > 0 {
		e.Company.ID = r.Companies[0]
	}
	e.Node, e.AccountNode = personNode(r), (*canonical.Lists)(nil).AccountNode(e)
	return e
}

// personNode is the node of the person: of a deal the contact who counts, else the
// strongest identifier.
func personNode(r *canonical.Report) canonical.NodeID {
	if r.Subject == canonical.SubjectDealStage && len(r.Contacts) > 0 {
		contact := canonical.Object{Account: r.Object.Account, Type: "contact", ID: r.Contacts[0]}
		if id, ok := canonical.ObjectIdentifier(contact); ok {
			return id.Node()
		}
	}
	for _, id := range r.Identifiers {
		if id.Scheme.IsPerson() {
			return id.Node()
		}
	}
	return 0
}

// touchOf marks the click that a report of something else brings along.
func touchOf(r *canonical.Report) *canonical.Touch {
	if r.Touch == nil || r.Subject == canonical.SubjectTouch {
		return r.Touch
	}
	t := *r.Touch
	t.Carried = true
	return &t
}
