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
	// IgnoredBy is the place of the rule that set Event.Ignored, as file:line.
	IgnoredBy string
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
	switch r.Subject {
	case canonical.SubjectLifecycle, canonical.SubjectDealStage, canonical.SubjectTouch, canonical.SubjectCustom:
	case canonical.SubjectLeadStatus, canonical.SubjectMerge, canonical.SubjectAssociation, canonical.SubjectDeletion, canonical.SubjectProperty:
		return Result{}
	default:
		return Result{Quarantine: &Quarantine{CodeUnknownEvent, "the report is about nothing that is known here"}}
	}
	if r.OccurredAt.IsZero() {
		return Result{Quarantine: &Quarantine{CodeBadTime, "the report does not say when it happened"}}
	}
	near := m.near(&r, &rc)
	named := m.named(&r, &rc, near)
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
	m.count(e)
	e.Revenue = m.meant(e.Revenue)
	if e.ID = r.EventID; e.ID == "" {
		e.ID, e.IDRecipe = mint(&r, e), 1
	}
	reason, at, err := ignored(near, &r, &rc, e.Name)
	if err != nil {
		return Result{Quarantine: &Quarantine{CodeRuleFailed, "the ignore rule at " + at + " could not be evaluated"}}
	}
	e.Ignored = reason
	return Result{Event: e, IgnoredBy: at}
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
	return r.Subject == canonical.SubjectLifecycle || r.Subject == canonical.SubjectDealStage
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

// dealName asks the pipeline's own lines by id, then by label, then those for any.
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
	if own == "" {
		return naming{name: CustomEvent}
	}
	if n, known := m.names[own]; known && browser && !n.browser {
		return naming{name: CustomEvent, claimed: own}
	}
	return naming{name: own}
}

// event carries over what the report says, without a name.
func event(r *canonical.Report, rc *canonical.Receipt) *canonical.Event {
	e := &canonical.Event{
		OccurredAt: r.OccurredAt.UTC(), ReceivedAt: rc.ReceivedAt.UTC(),
		Source: rc.Source, Way: rc.Way, Reported: r.Event, Object: r.Object, Pipeline: r.Pipeline, RawStage: r.RawStage,
		Identifiers: r.Identifiers, Contact: r.Contact, Company: r.Company, Contacts: r.Contacts,
		Touch: touchOf(r), Revenue: r.Revenue, Consent: r.Consent, Browser: r.Browser, Properties: r.Properties,
		ReceiptID: rc.ID,
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
	e.Node, e.AccountNode = personNode(r), accountNode(e)
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

// accountNode is the node of the account: the company's id, else its domain, else that
// of the person's address. A free-mail domain is no account.
func accountNode(e *canonical.Event) canonical.NodeID {
	company := canonical.Object{Account: e.Object.Account, Type: "company", ID: e.Company.ID}
	if e.Object.Type == "company" {
		company.ID = e.Object.ID
	}
	if id, ok := canonical.ObjectIdentifier(company); ok {
		return id.Node()
	}
	domain := canonical.NormalDomain(e.Company.Domain)
	if domain == "" && e.Contact.Email != "" {
		domain = canonical.NormalDomain(canonical.EmailDomain(e.Contact.Email))
	}
	if domain == "" || canonical.FreeMail(domain) {
		return 0
	}
	return canonical.Identifier{Scheme: canonical.Domain, Value: domain}.Node()
}

// count says what a name of the funnel is counted by, and whether this report is the one
// that counts: the mapping alone decides, whether or not the other is ever seen.
func (m *Mapping) count(e *canonical.Event) {
	n := m.names[e.Name]
	if n.rank == 0 {
		return
	}
	e.Funnel, e.Rank, e.Stage, e.CountedBy = true, n.rank, e.Name, "person"
	deal := e.Object.Type == "deal"
	switch {
	case n.counts == countDeal && !deal:
		e.CoveredBy = "deal"
	case n.counts == countContact && e.Object.Type != "contact" && (deal || e.Object.Type == "company"):
		e.CoveredBy = "contact"
	case deal && e.Object.ID != "":
		e.CountedBy = "deal"
	}
}

// meant gives a bare amount the meaning that the mapping declares, beside the amount; a
// value that was given is never replaced.
func (m *Mapping) meant(given *canonical.Revenue) *canonical.Revenue {
	if given == nil || given.Amount == nil || len(m.amountMeans) == 0 {
		return given
	}
	basis, ok := m.amountMeans[fold(given.BillingPeriod)]
	if !ok {
		basis = m.amountMeans[""]
	}
	if basis == "" || given.By(basis) != nil {
		return given
	}
	r := *given
	switch basis {
	case "mrr":
		r.MRR = r.Amount
	case "arr":
		r.ARR = r.Amount
	case "acv":
		r.ACV = r.Amount
	case "tcv":
		r.TCV = r.Amount
	}
	return &r
}

// ignored asks the ignore rules of every section that speaks about the report; the first
// that holds gives its reason.
func ignored(near [3]*section, r *canonical.Report, rc *canonical.Receipt, name string) (reason, at string, err error) {
	var a *asked
	for _, s := range near {
		if s == nil {
			continue
		}
		for i := range s.ignore {
			if a == nil {
				a = ask(r, rc, name)
			}
			rule := &s.ignore[i]
			holds, err := rule.when.holds(a)
			if err != nil {
				return "", rule.at, err
			}
			if holds {
				return rule.reason, rule.at, nil
			}
		}
	}
	return "", "", nil
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
