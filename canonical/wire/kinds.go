package wire

import "strings"

// A kind is what a named event of a caller is read as.
type kind int

const (
	custom kind = iota
	lifecycle
	leadStatus
	dealStage
	dealCreated
	merged
	unmerged
	changed
	deleted
	restored
	pageView
	form
	adClick
	emailOpen
	emailClick
	meeting
	identified
)

// An EventName is a name that is read as something of its own.
type EventName struct {
	Names   []string // the documented one first; "hubspot." may stand before each
	Needs   string   // what its body must have
	Becomes string
	kind    kind
	object  string // what it is about, where the name says so
}

// EventNames lists every name that POST /v1/ingest/crm and POST /v1/events read as something of
// its own. In the first any other name is a mistake, in the second a custom event.
func EventNames() []EventName { return eventNames }

var eventNames = func() []EventName {
	stage, facts, touch := "the stage's canonical name", "facts", "a touch"
	person := "`contact.id` or who it is; `contact.lifecycle_stage`"
	return []EventName{
		{[]string{"lifecycle_changed", "lifecycle_stage_changed"}, person + "; or of a company", stage, lifecycle, ""},
		{[]string{"lead_stage_changed"}, "the same; in `/v1/events` mostly `custom_data.hubspot_lifecycle_stage`", stage, lifecycle, ""},
		{[]string{"contact.lifecycle_changed", "contact.lifecycle_stage_changed"}, person, stage, lifecycle, "contact"},
		{[]string{"company.lifecycle_changed", "company.lifecycle_stage_changed"}, "`company.id`, `company.lifecycle_stage`", stage, lifecycle, "company"},
		{[]string{"lead_status_changed", "contact.lead_status_changed"}, "`contact.id` or who it is; `contact.lead_status`", facts, leadStatus, "contact"},

		{[]string{"deal.stage_changed", "deal_stage_changed"}, "`deal.id`, `deal.stage`", "the deal stage's canonical name", dealStage, "deal"},
		{[]string{"deal.created", "deal_created"}, "`deal.id`; `deal.stage` where it has one", "the deal stage's canonical name; facts without a stage", dealCreated, "deal"},

		{[]string{"contact.merged", "contact_merged", "contact.merge"}, "the survivor and `merged_ids`", "facts: the identity graph", merged, "contact"},
		{[]string{"company.merged", "company_merged", "company.merge"}, "the survivor and `merged_ids`", "facts: the identity graph", merged, "company"},
		{[]string{"contact.unmerged", "contact.unmerge"}, "the survivor and `merged_ids`", "facts: the merges of these ids so far are cancelled", unmerged, "contact"},
		{[]string{"company.unmerged", "company.unmerge"}, "the survivor and `merged_ids`", "facts: the merges of these ids so far are cancelled", unmerged, "company"},

		{[]string{"contact.created"}, "`contact.id` or who it is", facts, changed, "contact"},
		{[]string{"contact.updated"}, "`contact.id` or who it is", facts, changed, "contact"},
		{[]string{"company.created"}, "`company.id`", facts, changed, "company"},
		{[]string{"company.updated"}, "`company.id`", facts, changed, "company"},
		{[]string{"deal.updated"}, "`deal.id`", facts, changed, "deal"},
		{[]string{"contact.deleted"}, "`contact.id`", facts, deleted, "contact"},
		{[]string{"company.deleted"}, "`company.id`", facts, deleted, "company"},
		{[]string{"deal.deleted"}, "`deal.id`", facts, deleted, "deal"},
		{[]string{"contact.restored"}, "`contact.id`", facts, restored, "contact"},
		{[]string{"company.restored"}, "`company.id`", facts, restored, "company"},
		{[]string{"deal.restored"}, "`deal.id`", facts, restored, "deal"},

		{[]string{"page_view", "pageview", "page", "page_viewed"}, "who it is, or the account", "a touch `page_view`; `ad_click` when its page (or the event) has a click id, or `utm_medium` is cpc, ppc, paid or paid_social", pageView, "page"},
		{[]string{"form_submitted", "form_submit", "form"}, "who it is, or the account", "a touch `form`; field `form` names it", form, "form"},
		{[]string{"ad_click", "ad_clicked"}, "who it is, or a click id", touch, adClick, "ad"},
		{[]string{"email_open", "email_opened"}, "who it is", touch, emailOpen, "email"},
		{[]string{"email_click", "email_clicked"}, "who it is", touch, emailClick, "email"},
		{[]string{"meeting_booked", "meeting"}, "who it is", touch, meeting, "meeting"},
		{[]string{"identify"}, "two identifiers", "facts: the identifiers are one person", identified, "person"},
	}
}()

// kinds by name, without a leading "hubspot." and in lower case.
var kinds = func() map[string]EventName {
	m := map[string]EventName{}
	for _, e := range eventNames {
		for _, n := range e.Names {
			m[n] = e
		}
	}
	return m
}()

// kindOf says what a named event is read as; an unknown name is custom.
func kindOf(name string) (kind, string) {
	k := kinds[strings.TrimPrefix(strings.ToLower(name), "hubspot.")]
	return k.kind, k.object
}

// touchKinds name touches as canonical.Touch has them.
var touchKinds = map[kind]string{
	pageView: "page_view", form: "form", adClick: "ad_click",
	emailOpen: "email_open", emailClick: "email_click", meeting: "meeting",
}

// name reads the event's name and checks that it can stand in an event key.
func (n node) name(keys ...string) string {
	s := n.text(keys...)
	switch {
	case s == "":
		n.rd.fail(CodeBadName, n.path+keys[0], "is missing")
	case len(s) > 128:
		n.rd.fail(CodeBadName, n.path+keys[0], "is longer than 128 bytes")
	case strings.Contains(s, "{{"):
		n.rd.fail(CodeTemplate, n.path+keys[0], "holds a template that was not rendered")
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '|' }):
		n.rd.fail(CodeBadName, n.path+keys[0], "holds | or a control character")
	default:
		return s
	}
	return ""
}
