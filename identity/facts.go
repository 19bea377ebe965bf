package identity

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"tributary/canonical"
)

// FactsOf gives the facts that one receipt states: who is who, what was merged, what
// belongs together, which stage was reached, which touch was had. It is a function of
// its arguments alone. e is the event that the receipt became, nil when it states facts
// only or is quarantined; lists are those added to the built-in ones. No fact holds an
// e-mail address or a telephone number in the clear, nor an identifier that looks like one.
func FactsOf(r canonical.Report, e *canonical.Event, rc canonical.Receipt, lists *canonical.Lists) ([]canonical.Fact, Withheld) {
	s := &statements{report: r, receipt: rc, lists: lists, at: r.OccurredAt}
	if s.at.IsZero() {
		s.at = rc.ReceivedAt
	}
	s.readAt = s.at
	if rc.Completion != nil && !rc.Completion.ReadAt.IsZero() {
		s.readAt = rc.Completion.ReadAt
	}
	ids := s.person()

	s.links(ids)
	s.merges()
	s.completion()
	s.company()
	s.accountFields()
	s.consents(ids, e)
	switch r.Subject {
	case canonical.SubjectAssociation:
		s.association()
	case canonical.SubjectDeletion:
		s.deletion()
	case canonical.SubjectMerge:
	default:
		s.employer(ids)
		s.deal(ids)
	}
	if e == nil || e.Ignored == "" {
		s.stage(ids, e)
		s.touch(ids, e)
	}
	return s.facts, s.withheld
}

// Withheld counts the links that a receipt would have stated but for a list.
type Withheld struct {
	Patterns  int // left out: an address is like one of never_link_patterns
	Mailboxes int // said weak: several people read the mailbox
}

// statements collects the facts of one receipt.
type statements struct {
	report  canonical.Report
	receipt canonical.Receipt
	lists   *canonical.Lists
	at      time.Time // business time
	readAt  time.Time // when a read found it so: associations have no time of their own
	facts   []canonical.Fact
	placed  []canonical.Identifier // contacts whose company a read told

	withheld Withheld
}

func (s *statements) say(f canonical.Fact) {
	f.Cause, f.Source = s.receipt.ID, s.receipt.Source
	for _, n := range f.Nodes {
		if n.Value == "" || n.Scheme == "" {
			return
		}
	}
	if slices.ContainsFunc(s.facts, func(o canonical.Fact) bool { return sameStatement(f, o) }) {
		return
	}
	s.facts = append(s.facts, f)
}

// sameStatement compares links, merges and associations; of the others a receipt states
// one at most.
func sameStatement(f, o canonical.Fact) bool {
	return f.Kind == o.Kind && f.At.Equal(o.At) && f.Weak == o.Weak && f.Primary == o.Primary && f.Removed == o.Removed && f.Role == o.Role &&
		f.Stage == nil && o.Stage == nil && f.Touch == nil && o.Touch == nil && maps.Equal(f.Fields, o.Fields) && f.Consent == nil && slices.Equal(f.Nodes, o.Nodes)
}

// object names a CRM object of the report's account.
func (s *statements) object(kind, id string) canonical.Identifier {
	v, _ := canonical.ObjectIdentifier(canonical.Object{Account: s.report.Object.Account, Type: kind, ID: id})
	return v
}

// person lists the usable identifiers of the report's person, the strongest first; a
// shared mailbox comes after whatever says who somebody is.
func (s *statements) person() []canonical.Identifier {
	var ids []canonical.Identifier
	add := func(id canonical.Identifier) {
		id.Seen = time.Time{}
		if id.Scheme.IsPerson() && usable(id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if s.report.Object.Type == "contact" {
		add(s.object("contact", s.report.Object.ID))
	}
	for _, id := range s.report.Identifiers {
		add(id)
	}
	place := func(id canonical.Identifier) int {
		switch {
		case s.neverLinks(id):
			return canonical.HubSpotCompany.Strength() // behind everybody
		case s.isShared(id):
			return canonical.Phone.Strength()
		}
		return id.Scheme.Strength()
	}
	slices.SortStableFunc(ids, func(x, y canonical.Identifier) int { return place(x) - place(y) })
	return ids
}

// usable is false for what may not or can not stand in a fact.
func usable(id canonical.Identifier) bool {
	switch id.Scheme {
	case canonical.Email, canonical.Phone:
		return canonical.IsHash(id.Value)
	}
	return id.Value != "" && !addressLike.MatchString(id.Value)
}

var addressLike = regexp.MustCompile(`[^\s@/?&=]+(@|%40)[^\s@/?&=]+\.[^\s@/?&=]+`)

// isShared is true for the hash of an address that many read: it ties nobody to anybody.
func (s *statements) isShared(id canonical.Identifier) bool { return s.is(id, s.lists.SharedMailbox) }

// neverLinks is true for the hash of an address of which a pattern says that it ties nobody
// to anybody.
func (s *statements) neverLinks(id canonical.Identifier) bool { return s.is(id, s.lists.NeverLinks) }

// is says whether an identifier is the hash of an address of a kind, as far as the receipt
// holds addresses in the clear: the report's own, and those of the contacts read.
func (s *statements) is(id canonical.Identifier, kind func(address string) bool) bool {
	if id.Scheme != canonical.Email {
		return false
	}
	like := func(address string) bool {
		return address != "" && kind(address) && canonical.EmailHash(address) == id.Value
	}
	if like(s.report.Contact.Email) {
		return true
	}
	if c := s.receipt.Completion; c != nil {
		for _, o := range c.Objects {
			if like(o.Properties["email"]) || slices.ContainsFunc(strings.Split(o.Properties["hs_additional_emails"], ";"), like) {
				return true
			}
		}
	}
	return false
}

// links ties each identifier to the strongest. Devices, clicks, telephones and shared
// mailboxes tie weakly, and what a pattern names not at all: see docs/identity.md.
func (s *statements) links(ids []canonical.Identifier) {
	for i := 1; i < len(ids); i++ {
		if s.neverLinks(ids[i]) {
			s.withheld.Patterns++
			continue
		}
		anchored := anchors(ids[0].Scheme) && anchors(ids[i].Scheme)
		shared := s.isShared(ids[0]) || s.isShared(ids[i])
		if anchored && shared {
			s.withheld.Mailboxes++
		}
		s.say(canonical.Fact{Kind: canonical.FactLink, At: s.at, Nodes: []canonical.Identifier{ids[0], ids[i]}, Weak: !anchored || shared})
	}
}

// linkRecord ties a CRM record that was read to the address that it holds.
func (s *statements) linkRecord(self canonical.Identifier, mail string) {
	h := canonical.EmailHash(mail)
	switch {
	case h == "":
		return
	case s.lists.NeverLinks(mail):
		s.withheld.Patterns++
		return
	}
	shared := s.lists.SharedMailbox(mail)
	if shared {
		s.withheld.Mailboxes++
	}
	s.say(canonical.Fact{Kind: canonical.FactLink, At: s.at, Weak: shared, Nodes: []canonical.Identifier{self, {Scheme: canonical.Email, Value: h}}})
}

// merges states that CRM records are one, or several again, the survivor first: by a
// notice, or because a read by one id gave another.
func (s *statements) merges() {
	if m := s.report.Merge; m != nil && (m.Type == "contact" || m.Type == "company") {
		kind := canonical.FactMerge
		if m.Undone {
			kind = canonical.FactUnmerge
		}
		s.merge(canonical.Fact{Kind: kind, At: s.at}, m.Type, m.Survivor, m.Merged)
	}
	if c := s.receipt.Completion; c != nil {
		for _, o := range c.Objects {
			if (o.Type == "contact" || o.Type == "company") && o.CurrentID != "" {
				s.merge(canonical.Fact{Kind: canonical.FactMerge, At: s.readAt, Weak: true}, o.Type, o.CurrentID, []string{o.ID})
			}
		}
	}
}

func (s *statements) merge(f canonical.Fact, kind, survivor string, merged []string) {
	nodes := []canonical.Identifier{s.object(kind, survivor)}
	for _, id := range slices.Sorted(slices.Values(merged)) {
		if n := s.object(kind, id); id != "" && !slices.Contains(nodes, n) {
			nodes = append(nodes, n)
		}
	}
	if len(nodes) > 1 {
		f.Nodes = nodes
		s.say(f)
	}
}

// deletion states that the report's record was deleted, or restored.
func (s *statements) deletion() {
	if o := s.report.Object; o.Type == "contact" || o.Type == "company" || o.Type == "deal" {
		s.say(canonical.Fact{Kind: canonical.FactDeletion, At: s.at, Removed: s.report.Restored, Nodes: []canonical.Identifier{s.object(o.Type, o.ID)}})
	}
}

// completion states what the objects read say of themselves: a deal's other contacts
// have their own addresses and companies.
func (s *statements) completion() {
	if s.receipt.Completion == nil {
		return
	}
	for _, o := range s.receipt.Completion.Objects {
		id := o.ID
		if o.CurrentID != "" {
			id = o.CurrentID
		}
		self := s.object(o.Type, id)
		switch o.Type {
		case "contact":
			mail := o.Properties["email"]
			s.linkRecord(self, mail)
			company := first(append(slices.Clone(o.Associated["company"]), o.Properties["associatedcompanyid"]))
			if account := s.account(company, "", mail); account.Value != "" {
				s.belongs(s.readAt, self, account, company != "")
				s.placed = append(s.placed, self)
			}
		case "company":
			s.sameAccount(self, o.Properties["domain"])
			s.sayFields(s.readAt, self, o.Properties, true)
		case "deal":
			for _, c := range o.Associated["contact"] {
				s.belongs(s.readAt, self, s.object("contact", c), false, o.Roles["contact"][c]...)
			}
			for i, c := range o.Associated["company"] {
				s.belongs(s.readAt, self, s.object("company", c), i == 0, o.Roles["company"][c]...)
			}
		}
	}
}

// company ties the report's company to its domain. A browser is not heard: by a domain that it makes up,
// two companies would be one.
func (s *statements) company() {
	if s.receipt.Browser {
		return
	}
	id := s.report.Company.ID
	if id == "" && s.report.Object.Type == "company" {
		id = s.report.Object.ID
	}
	s.sameAccount(s.object("company", id), s.report.Company.Domain)
}

// sameAccount links a company to a domain of its own.
func (s *statements) sameAccount(company canonical.Identifier, domain string) {
	if d := s.companyDomain(domain); d.Value != "" {
		s.say(canonical.Fact{Kind: canonical.FactLink, At: s.at, Nodes: []canonical.Identifier{company, d}})
	}
}

// companyDomain is the identifier of a domain that one company has for itself; empty for
// a free-mail domain.
func (s *statements) companyDomain(domain string) canonical.Identifier {
	d := s.lists.CompanyDomain(domain)
	if d == "" {
		return canonical.Identifier{}
	}
	return canonical.Identifier{Scheme: canonical.Domain, Value: d}
}

// account chooses what stands for a person's account: the company, else its domain, else
// the domain of the address.
func (s *statements) account(company, domain, mail string) canonical.Identifier {
	if company != "" {
		return s.object("company", company)
	}
	if d := s.companyDomain(domain); d.Value != "" {
		return d
	}
	return s.companyDomain(canonical.EmailDomain(mail))
}

// belongs associates a person or deal with an account or contact: found to be so, hence
// weak. Only a notice tells when it became so.
func (s *statements) belongs(at time.Time, who, whose canonical.Identifier, primary bool, roles ...string) {
	f := canonical.Fact{Kind: canonical.FactAssociation, At: at, Nodes: []canonical.Identifier{who, whose}, Weak: true, Primary: primary}
	s.say(f)
	for _, f.Role = range roles {
		s.say(f)
	}
}

// employer associates the report's person with its account, unless a read said more. The
// company of a deal need not be that of its contact, so there it is not the primary one.
func (s *statements) employer(ids []canonical.Identifier) {
	if len(ids) == 0 || slices.Contains(s.placed, ids[0]) {
		return
	}
	company := first(append([]string{s.report.Company.ID}, s.report.Companies...))
	account := s.account(company, s.report.Company.Domain, s.report.Contact.Email)
	s.belongs(s.at, ids[0], account, company != "" && s.report.Object.Type != "deal" && !s.receipt.Browser)
}

// deal associates the report's deal with its contacts and companies.
func (s *statements) deal(ids []canonical.Identifier) {
	if s.report.Object.Type != "deal" {
		return
	}
	deal := s.object("deal", s.report.Object.ID)
	for _, c := range s.report.Contacts {
		s.belongs(s.readAt, deal, s.object("contact", c), false)
	}
	if len(s.report.Contacts) == 0 && len(ids) > 0 {
		s.belongs(s.readAt, deal, ids[0], false)
	}
	companies := s.report.Companies
	if len(companies) == 0 && s.report.Company.ID != "" {
		companies = []string{s.report.Company.ID}
	}
	for i, c := range companies {
		s.belongs(s.readAt, deal, s.object("company", c), i == 0)
	}
	if len(companies) == 0 {
		s.belongs(s.readAt, deal, s.companyDomain(s.report.Company.Domain), false)
	}
}

// association states what an association notice says, the person or deal first.
func (s *statements) association() {
	a := s.report.Association
	if a == nil {
		return
	}
	rank := map[string]int{"deal": 1, "contact": 2, "company": 3}
	fromType, fromID, toType, toID := a.FromType, a.FromID, a.ToType, a.ToID
	if rank[fromType] > rank[toType] {
		fromType, fromID, toType, toID = toType, toID, fromType, fromID
	}
	if rank[fromType] == 0 || rank[fromType] == rank[toType] {
		return
	}
	s.say(canonical.Fact{Kind: canonical.FactAssociation, At: s.at, Primary: a.Primary, Removed: a.Removed,
		Role: a.Label, Nodes: []canonical.Identifier{s.object(fromType, fromID), s.object(toType, toID)}})
}

// stage states that the event's object reached a stage of the funnel; without a CRM
// object, that the person did.
func (s *statements) stage(ids []canonical.Identifier, e *canonical.Event) {
	if e == nil || !e.Funnel {
		return
	}
	on, ok := canonical.ObjectIdentifier(e.Object)
	if !ok {
		on = theNode(ids, e)
	}
	s.say(canonical.Fact{Kind: canonical.FactStage, At: e.OccurredAt, Nodes: []canonical.Identifier{on}, Stage: &canonical.StageReached{
		Name: e.Name, Raw: e.RawStage, Rank: e.Rank, At: e.OccurredAt, Reported: e.TimeBasis == "reported", EventID: e.ID,
	}})
}

// theNode is the identifier that the event stands under.
func theNode(ids []canonical.Identifier, e *canonical.Event) canonical.Identifier {
	for _, id := range ids {
		if e != nil && id.Node() == e.Node {
			return id
		}
	}
	if len(ids) > 0 {
		return ids[0]
	}
	return canonical.Identifier{}
}

// touch states a marketing contact of the person, without what could name somebody.
func (s *statements) touch(ids []canonical.Identifier, e *canonical.Event) {
	if s.report.Touch == nil || !countsAsTouch(s.report.Touch.Kind) {
		return
	}
	t := *s.report.Touch
	if t.At.IsZero() {
		t.At = s.at
	}
	t.Subject = ""
	for _, p := range []*string{&t.Page, &t.Referrer} {
		*p, _, _ = strings.Cut(*p, "?")
		*p, _, _ = strings.Cut(*p, "#")
	}
	for _, p := range []*string{&t.Platform, &t.Source, &t.Medium, &t.Campaign, &t.Term, &t.Content, &t.CampaignID, &t.AdSet, &t.Ad, &t.Page, &t.Referrer, &t.Form} {
		if addressLike.MatchString(*p) {
			*p = ""
		}
	}
	t.Clicks = slices.DeleteFunc(slices.Clone(t.Clicks), func(c canonical.Click) bool {
		return !usable(canonical.Identifier{Scheme: c.Scheme, Value: c.Value})
	})
	s.say(canonical.Fact{Kind: canonical.FactTouch, At: t.At, Nodes: []canonical.Identifier{theNode(ids, e)}, Touch: &t})
}

func countsAsTouch(kind string) bool {
	switch kind {
	case "ad_click", "page_view", "form", "meeting":
		return true
	}
	return strings.HasPrefix(kind, "email_")
}

// first gives the first that is not empty.
func first(values []string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
