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

// kinds by name, without a leading "hubspot." and in lower case.
var kinds = map[string]struct {
	kind   kind
	object string // where the name says it
}{
	"lifecycle_changed":               {lifecycle, ""},
	"lifecycle_stage_changed":         {lifecycle, ""},
	"lead_stage_changed":              {lifecycle, ""},
	"contact.lifecycle_changed":       {lifecycle, "contact"},
	"contact.lifecycle_stage_changed": {lifecycle, "contact"},
	"company.lifecycle_changed":       {lifecycle, "company"},
	"company.lifecycle_stage_changed": {lifecycle, "company"},
	"lead_status_changed":             {leadStatus, "contact"},
	"contact.lead_status_changed":     {leadStatus, "contact"},

	"deal.stage_changed": {dealStage, "deal"},
	"deal_stage_changed": {dealStage, "deal"},
	"deal.created":       {dealCreated, "deal"},
	"deal_created":       {dealCreated, "deal"},

	"contact.merged": {merged, "contact"},
	"contact_merged": {merged, "contact"},
	"contact.merge":  {merged, "contact"},
	"company.merged": {merged, "company"},
	"company_merged": {merged, "company"},
	"company.merge":  {merged, "company"},

	"contact.unmerged": {unmerged, "contact"},
	"company.unmerged": {unmerged, "company"},

	"contact.created": {changed, "contact"},
	"contact.updated": {changed, "contact"},
	"company.created": {changed, "company"},
	"company.updated": {changed, "company"},
	"deal.updated":    {changed, "deal"},
	"contact.deleted": {deleted, "contact"},
	"company.deleted": {deleted, "company"},
	"deal.deleted":    {deleted, "deal"},

	"contact.restored": {restored, "contact"},
	"company.restored": {restored, "company"},
	"deal.restored":    {restored, "deal"},

	"page_view":      {pageView, "page"},
	"pageview":       {pageView, "page"},
	"page":           {pageView, "page"},
	"page_viewed":    {pageView, "page"},
	"form_submitted": {form, "form"},
	"form_submit":    {form, "form"},
	"form":           {form, "form"},
	"ad_click":       {adClick, "ad"},
	"ad_clicked":     {adClick, "ad"},
	"email_open":     {emailOpen, "email"},
	"email_opened":   {emailOpen, "email"},
	"email_click":    {emailClick, "email"},
	"email_clicked":  {emailClick, "email"},
	"meeting":        {meeting, "meeting"},
	"meeting_booked": {meeting, "meeting"},
	"identify":       {identified, "person"},
}

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
