package wire

import (
	"cmp"
	"slices"
	"strings"

	"tributary/canonical"
)

// A body is the JSON of the two server-side ways in: POST /v1/ingest/crm and
// POST /v1/events. Both take every object below; they differ in what their time means
// and in whether an unknown name is a mistake.
type body struct {
	node
	contact, company, deal  node
	user, account, campaign node
	custom                  node // custom_data, else properties
	name                    string
	kind                    kind
	object                  string // what the name says it is about, or ""
	occurred, changed       moment
}

func (rd *reader) crm(n node) {
	b := rd.body(n)
	if b.kind == custom {
		rd.fail(CodeUnknown, "event", "is no event of POST /v1/ingest/crm; POST /v1/events takes any name")
	}
	rd.read(b)
}

func (rd *reader) event(n node) { rd.read(rd.body(n)) }

func (rd *reader) body(n node) *body {
	n.text(sourceName...) // the receipt has it
	b := &body{
		node: n, name: n.name(eventName...),
		contact: n.object("contact"), company: n.object("company"), deal: n.object("deal"),
		user: n.object("user_data", "user"), account: n.object("account_data", "account"),
		campaign: n.object("campaign"), custom: n.object("custom_data"),
		occurred: n.when(occurredAt...), changed: n.when(changedAt...),
	}
	b.kind, b.object = kindOf(b.name)
	rd.report.Event = b.name
	rd.report.EventID = canonical.EventID(n.key(eventIDName...))
	return b
}

// read takes everything out of a body, then says what it is about.
func (rd *reader) read(b *body) {
	r := &rd.report
	b.people()
	b.companies()
	b.money()
	r.Claimed = first(b.custom.said(claimName...), b.said(claimName...))
	rd.property("owner_id", b.deal.plain(dealOwner...))
	var touch canonical.Touch
	for _, n := range []node{b.campaign, b.custom, b.node} {
		n.campaign(&touch)
	}
	b.page(&touch)

	switch b.kind {
	case lifecycle:
		b.lifecycle()
	case leadStatus:
		r.Subject, r.Object = canonical.SubjectLeadStatus, rd.object("contact", r.Contact.ID)
		r.RawStage = first(b.contact.stage(contactStatus...), b.custom.stage(customStatus...))
		rd.happened(b.time(b.changed))
	case dealStage, dealCreated:
		b.dealStage()
	case merged, unmerged:
		b.merge()
	case changed, identified:
		r.Subject = canonical.SubjectProperty
		r.Object = b.about()
		rd.happened(b.time(b.changed))
	case deleted, restored:
		r.Subject, r.Restored = canonical.SubjectDeletion, b.kind == restored
		r.Object = b.about()
		rd.happened(b.time(b.changed))
	case custom:
		r.Subject = canonical.SubjectCustom
		r.Object = b.about()
		rd.happened(b.time(b.changed))
	default:
		rd.happened(b.time(b.changed))
		rd.touch(b.node, b.custom, touch, touchKinds[b.kind])
	}
	if r.Touch == nil {
		r.Touch = rd.acquired(touch)
		rd.keepCampaign(touch)
	}
	if r.Object.Type != "deal" {
		if r.Deal = first(b.deal.said(dealID...), b.custom.said(customDealID...)); namesNothing(r.Deal) {
			r.Deal = ""
		}
	}
	b.properties()
	rd.finish()
}

// time says which of a body's times is the change: in POST /v1/events occurred_at is; in
// a CRM body and a workflow's it is when the workflow ran, unless the body says when the change was. A
// deal body and a merge carry the time of the change by either way.
func (b *body) time(change moment) (at, reported moment) {
	if change.given {
		return change, b.occurred
	}
	if way := b.rd.receipt.Way; (way == canonical.WayCRM || way == canonical.WayWorkflow) && (b.kind == lifecycle || b.kind == leadStatus) {
		return moment{}, b.occurred
	}
	if b.occurred.given {
		return b.occurred, moment{}
	}
	return moment{}, moment{}
}

func (b *body) people() {
	rd := b.rd
	rd.contactID(b.contact.key(contactID...))
	rd.contactID(b.custom.key(customContactID...))
	b.contact.person()
	b.user.person()
	b.node.who()
}

func (b *body) companies() {
	b.company.company()
	b.account.company()
	if id := b.custom.key(customCompanyID...); id != "" {
		node{f: map[string]any{"id": id}, path: b.custom.path, rd: b.rd}.company()
	}
}

// money keeps every value side by side.
func (b *body) money() {
	var rev canonical.Revenue
	for _, n := range []node{b.deal, b.custom, b.node} {
		n.revenue(&rev)
	}
	b.rd.earned(rev)
}

// revenue reads the values of one object; what was read before it stands.
func (n node) revenue(rev *canonical.Revenue) {
	set := func(to **canonical.Money, keys ...string) {
		if m := n.money(keys...); *to == nil {
			*to = m
		}
	}
	set(&rev.Amount, amountName...)
	set(&rev.MRR, mrrName...)
	set(&rev.ARR, arrName...)
	set(&rev.ACV, acvName...)
	set(&rev.TCV, tcvName...)
	if c := n.currency(currencyName...); rev.Currency == "" {
		rev.Currency = c
	}
	if p := n.text(billingPeriod...); rev.BillingPeriod == "" {
		rev.BillingPeriod = p
	}
}

func (n node) currency(keys ...string) string {
	k, s := n.raw(keys...)
	if s = strings.ToUpper(strings.TrimSpace(s)); s == "" {
		return ""
	}
	if len(s) != 3 || strings.ContainsFunc(s, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		n.rd.fail(CodeWrongType, n.path+k, "must be an ISO 4217 code of three letters")
		return ""
	}
	return s
}

// earned sets the report's revenue when there is a value.
func (rd *reader) earned(rev canonical.Revenue) {
	if rev.Amount == nil && rev.MRR == nil && rev.ARR == nil && rev.ACV == nil && rev.TCV == nil {
		if rev.BillingPeriod != "" {
			rd.property("billing_period", rev.BillingPeriod)
		}
		return
	}
	rev.Currency = first(rev.Currency, strings.ToUpper(rd.settings.Currency))
	rd.report.Revenue = &rev
}

// page reads where it happened.
func (b *body) page(t *canonical.Touch) {
	for _, n := range []node{b.node, b.custom, b.user} {
		b.rd.page(n, t)
	}
}

func (rd *reader) page(n node, t *canonical.Touch) {
	ctx := &rd.report.Browser
	if v := n.text(pageURL...); v != "" && ctx.URL == "" {
		ctx.URL = v
		rd.query(t, v)
	}
	if v := n.text(pageReferrer...); v != "" && ctx.Referrer == "" {
		ctx.Referrer, t.Referrer = v, v
	}
}

// lifecycle reads a contact's or company's change of stage.
func (b *body) lifecycle() {
	rd, r := b.rd, &b.rd.report
	r.Subject = canonical.SubjectLifecycle
	of := b.contact
	r.RawStage = first(b.contact.stage(contactStage...), b.custom.stage(customStage...))
	if b.object == "company" || r.RawStage == "" {
		if s := b.company.stage(contactStage...); s != "" {
			r.RawStage, of, b.object = s, b.company, "company"
		}
	}
	switch {
	case b.object == "company":
		r.Object = rd.object("company", r.Company.ID)
	case r.Contact.ID == "" && len(r.Identifiers) == 0 && r.Company.ID != "":
		r.Object = rd.object("company", r.Company.ID)
	default:
		r.Object = rd.object("contact", r.Contact.ID)
	}
	if r.RawStage == "" {
		rd.fail(CodeMissing, "lifecycle_stage", "is missing")
	}
	rd.happened(b.time(firstTime(b.changed, of.entered(contactStageTime, "lifecyclestage", r.RawStage))))
}

// entered reads when a stage was entered from the properties HubSpot keeps for it.
func (n node) entered(changed []string, property, stage string) moment {
	stage = strings.ToLower(strings.TrimSpace(stage))
	return n.when(append(slices.Clone(changed), "hs_"+property+"_"+stage+"_date", "hs_v2_date_entered_"+stage, "hs_date_entered_"+stage)...)
}

// dealStage reads a deal that entered a stage. A deal created without one states facts.
func (b *body) dealStage() {
	rd, r := b.rd, &b.rd.report
	r.Subject = canonical.SubjectDealStage
	r.Object = rd.object("deal", first(b.deal.key(dealID...), b.custom.key(customDealID...), b.key(topDealID...)))
	r.RawStage = first(b.deal.stage(dealStageName...), b.custom.stage(customDealStage...))
	r.StageLabel = first(b.deal.text(dealStageLabel...), b.custom.text(customDealStageLabel...))
	r.Pipeline = first(b.deal.key(dealPipeline...), b.custom.key(customPipeline...))
	r.PipelineLabel = first(b.deal.text(dealPipelineLabel...), b.custom.text(customPipelineLabel...))
	r.Outcome = outcome(b.deal.said(dealWon...), b.deal.said(dealClosed...), b.deal.said(dealProbability...))
	r.Contacts = b.deal.ids(dealContacts...)
	if id := r.Contact.ID; id != "" && !slices.Contains(r.Contacts, id) {
		r.Contacts = append([]string{id}, r.Contacts...)
	}
	for _, id := range b.deal.ids(dealCompanies...) {
		if !slices.Contains(r.Companies, id) {
			r.Companies = append(r.Companies, id)
		}
	}
	if r.RawStage == "" {
		if r.Subject = canonical.SubjectProperty; b.kind == dealStage {
			rd.fail(CodeMissing, "hubspot_deal_stage", "is missing")
		}
	}
	rd.happened(b.time(firstTime(b.changed, b.deal.entered(dealStageTime, "dealstage", r.RawStage))))
}

// merge reads {"event":"contact.merged","contact":{"id":…,"merged_ids":[…]}}; the ids
// may also stand at the top as survivor_id and merged_ids. contact.unmerged has the same.
func (b *body) merge() {
	rd, r := b.rd, &b.rd.report
	r.Subject = canonical.SubjectMerge
	of, id := b.contact, r.Contact.ID
	if b.object == "company" {
		of, id = b.company, r.Company.ID
	}
	survivor := first(b.key(survivorID...), of.key(survivorID...), id)
	rd.merge(b.object, survivor, append(b.ids(mergedIDs...), of.ids(mergedIDs...)...))
	if r.Merge != nil {
		r.Merge.Undone = b.kind == unmerged
	}
	rd.happened(b.time(b.changed))
}

// merge states that every id named is the survivor.
func (rd *reader) merge(kind, survivor string, ids []string) {
	r := &rd.report
	r.Object = rd.object(kind, survivor)
	m := &canonical.Merge{Type: kind, Survivor: survivor}
	for _, id := range ids {
		if id != "" && id != survivor && !slices.Contains(m.Merged, id) {
			m.Merged = append(m.Merged, id)
		}
	}
	slices.Sort(m.Merged)
	switch {
	case survivor == "":
		rd.fail(CodeMissingID, "survivor_id", "is missing: which record survives (also as "+kind+".id)")
	case len(ids) == 0:
		rd.fail(CodeMissingID, "merged_ids", "is missing or empty: which records are the survivor")
	case len(m.Merged) == 0:
		rd.fail(CodeMissingID, "merged_ids", "holds the survivor alone: a record is not merged with itself")
	}
	if rd.problem != nil {
		return
	}
	r.Merge = m
	if kind == "contact" && r.Contact.ID == "" {
		rd.contactID(survivor)
	}
}

// about names what an event of no kind of its own is about: the deal, contact or
// company it gives, in that order.
func (b *body) about() canonical.Object {
	rd, r := b.rd, &b.rd.report
	deal := first(b.deal.key(dealID...), b.custom.key(customDealID...))
	switch {
	case b.object == "deal" || b.object == "" && deal != "":
		return rd.object("deal", deal)
	case b.object == "company" || b.object == "" && r.Contact.ID == "" && r.Company.ID != "":
		return rd.object("company", r.Company.ID)
	case r.Contact.ID != "" || b.object == "contact":
		return rd.object("contact", r.Contact.ID)
	}
	return canonical.Object{Type: "person"}
}

// touch makes the event a touch: of a page, form, ad, e-mail or meeting.
func (rd *reader) touch(n, more node, t canonical.Touch, kind string) {
	r := &rd.report
	r.Subject = canonical.SubjectTouch
	t.Form = first(n.text(formName...), more.text(formName...))
	t.Subject = first(n.text(emailSubject...), more.text(emailSubject...))
	rd.settle(&t)
	t.Kind = kind
	if kind == "page_view" {
		t.Kind = rd.viewKind(&t)
	}
	r.Touch = &t
	switch kind {
	case "page_view":
		r.Object = canonical.Object{Type: "page", ID: t.Page}
	case "form":
		r.Object = canonical.Object{Type: "form", ID: first(t.Form, t.Page)}
	case "ad_click":
		r.Object = canonical.Object{Type: "ad", ID: first(t.Ad, t.Page)}
	case "email_open", "email_click":
		r.Object = canonical.Object{Type: "email", ID: first(n.text(emailID...), more.text(emailID...))}
	case "meeting":
		r.Object = canonical.Object{Type: "meeting", ID: first(n.text(meetingID...), more.text(meetingID...))}
	}
}

// keepCampaign keeps campaign data of an event that is no touch.
func (rd *reader) keepCampaign(t canonical.Touch) {
	if rd.report.Touch != nil {
		return
	}
	for k, v := range map[string]string{
		"utm_source": t.Source, "utm_medium": t.Medium, "utm_campaign": t.Campaign, "utm_term": t.Term,
		"utm_content": t.Content, "campaign_id": t.CampaignID, "ad_set": t.AdSet, "ad": t.Ad,
	} {
		rd.property(k, v)
	}
}

// properties keeps what has no name of ours: custom data and the top level as they
// stand, the rest under the name of its object.
func (b *body) properties() {
	b.node.keep("")
	if m, ok := b.rd.report.Properties["properties"].(map[string]any); ok {
		delete(b.rd.report.Properties, "properties")
		node{f: m, rd: b.rd}.keep("")
	}
	b.custom.keep("")
	b.contact.keep("contact.")
	b.company.keep("company.")
	b.deal.keep("deal.")
	b.user.keep("user_data.")
	b.account.keep("account_data.")
	b.campaign.keep("campaign.")
}

// finish orders the identifiers and checks that there is something to tie the report to.
func (rd *reader) finish() {
	r := &rd.report
	slices.SortStableFunc(r.Identifiers, func(a, b canonical.Identifier) int {
		return cmp.Compare(a.Scheme.Strength(), b.Scheme.Strength())
	})
	if rd.badEmail {
		rd.property("email_unusable", true)
	}
	person := len(r.Identifiers) > 0
	tied := person
	switch r.Subject {
	case canonical.SubjectLifecycle, canonical.SubjectLeadStatus, canonical.SubjectDealStage,
		canonical.SubjectDeletion, canonical.SubjectProperty, canonical.SubjectMerge, canonical.SubjectAssociation:
		tied = person || r.Object.ID != ""
	default:
		tied = person || rd.anybody || r.Company.ID != "" || r.Company.Domain != ""
	}
	switch {
	case tied:
	case rd.badEmail:
		rd.fail(CodeBadEmail, "email", "is not an e-mail address, and nothing else says whose event this is")
	default:
		rd.fail(CodeMissingID, "", "there is no id and no e-mail to tie it to")
	}
	if r.Object.ID == "" && person && (r.Object.Type == "contact" || r.Object.Type == "person") {
		// A person without a CRM id is named by the strongest identifier.
		r.Object = canonical.Object{Type: "person", ID: r.Identifiers[0].Value}
	}
	if rd.problem == nil && r.OccurredAt.IsZero() {
		rd.fail(CodeBadTime, "occurred_at", "is missing")
	}
}

func first(vs ...string) string {
	for _, v := range vs {
		if v != "" {
			return v
		}
	}
	return ""
}

func firstTime(ms ...moment) moment {
	for _, m := range ms {
		if m.given {
			return m
		}
	}
	return moment{}
}
