package wire

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/canonical"
)

// objectTypes are HubSpot's numbers for its object types; custom ones are 2-N.
var objectTypes = map[string]string{
	"0-1": "contact", "0-2": "company", "0-3": "deal", "0-5": "ticket", "0-7": "product",
	"0-8": "line_item", "0-11": "conversation", "0-136": "lead",
}

// objectType names an object type number; an unknown one stands for itself.
func objectType(id string) string { return first(objectTypes[id], id) }

// A notice is the type of one webhook event: what happened to what. Classic types say
// contact.propertyChange, generic ones object.propertyChange with an objectTypeId.
type notice struct{ object, change string }

func (n node) notice() notice {
	object, change, ok := strings.Cut(n.text("subscriptionType", "eventType"), ".")
	if !ok {
		return notice{}
	}
	if id := n.text("objectTypeId"); id != "" && object == "object" {
		object = objectType(id)
	} else if id != "" {
		n.rd.property("object_type_id", id)
	}
	return notice{object, change}
}

// Bare says that a receipt is one that fetch must complete first: a HubSpot webhook of
// a property change or creation of a contact, company or deal, not completed yet.
func Bare(r canonical.Receipt) bool {
	t, id, _ := Wants(r)
	return t != "" && id != ""
}

// Wants lists what fetch must read to complete a bare receipt: the object with the
// properties that Properties names for its type, and
//
//	of a deal, its contacts and companies (associations) with their own properties;
//	of a contact, its companies with theirs;
//	of a company, nothing more.
//
// occurredAt is when the change happened: what was read before it does not complete the
// receipt. It is zero where the body says no time; Read then reports the problem.
func Wants(r canonical.Receipt) (objectType, id string, occurredAt time.Time) {
	if r.Way != canonical.WayHubSpot || r.Completion != nil {
		return "", "", time.Time{}
	}
	body, problem := decode(r.Body)
	if problem != nil {
		return "", "", time.Time{}
	}
	n := node{f: body, rd: &reader{receipt: r}}
	w := n.notice()
	switch w.object {
	case "contact", "company", "deal":
	default:
		return "", "", time.Time{}
	}
	if w.change != "propertyChange" && w.change != "creation" {
		return "", "", time.Time{}
	}
	if id = n.key("objectId"); !isDigits(id) || len(id) > 20 {
		return "", "", time.Time{}
	}
	return w.object, id, n.when("occurredAt").at
}

// Properties lists the properties that fetch asks for, by object type.
func Properties(objectType string) []string {
	switch objectType {
	case "contact":
		return []string{
			"email", "hs_additional_emails", "phone", "mobilephone", "firstname", "lastname", "city", "state", "zip", "country", "jobtitle",
			"lifecyclestage", "hs_lead_status", "hs_facebook_click_id", "hs_google_click_id", "associatedcompanyid", "hubspot_owner_id",
			"hs_legal_basis", "hs_merged_object_ids",
		}
	case "company":
		return []string{"domain", "name", "hubspot_owner_id", "hs_is_target_account", "hs_ideal_customer_profile", "hs_parent_company_id", "lifecyclestage"}
	case "deal":
		return []string{
			"dealname", "dealstage", "pipeline", "amount", "deal_currency_code", "hs_mrr", "hs_arr", "hs_acv", "hs_tcv", "closedate",
			"dealtype", "hubspot_owner_id", "hs_is_closed", "hs_is_closed_won", "hs_deal_stage_probability", "billing_period",
		}
	}
	return nil
}

// Dated lists the properties of a type whose history fetch asks for, so that a receipt says what they
// held when the change happened: what a deal was worth, and its pipeline. What the mapping
// reads besides is asked for in the same way.
func Dated(objectType string) []string {
	if objectType != "deal" {
		return nil
	}
	return []string{"pipeline", "amount", "deal_currency_code", "hs_mrr", "hs_arr", "hs_acv", "hs_tcv", "billing_period"}
}

// Names gives the property that a bare receipt is a change of, and its new value.
func Names(r canonical.Receipt) (property, value string) {
	body, problem := decode(r.Body)
	if problem != nil {
		return "", ""
	}
	n := node{f: body, rd: &reader{receipt: r}}
	return n.text("propertyName"), n.stage("propertyValue")
}

// hubspot reads one event of an app webhook, completed or bare.
func (rd *reader) hubspot(n node) {
	r := &rd.report
	rd.portal(n.whole("portalId"))
	w := n.notice()
	r.Event = w.object + "." + w.change
	rd.happened(n.when("occurredAt"), moment{})
	if r.Reported {
		rd.fail(CodeBadTime, "occurredAt", "is missing")
	}
	switch {
	case w.change == "":
		r.Event = ""
		rd.fail(CodeUnknown, "subscriptionType", "is missing or has no reading")
	case w.change == "propertyChange":
		rd.propertyChange(n, w.object)
	case w.change == "creation", w.object == "conversation" && w.change == "newMessage":
		r.Subject = canonical.SubjectProperty
		rd.context(w.object, n.objectID())
	case w.change == "deletion", w.change == "privacyDeletion", w.change == "restore":
		r.Subject, r.Restored = canonical.SubjectDeletion, w.change == "restore"
		r.Object = rd.object(w.object, n.objectID())
		if w.object == "contact" {
			rd.contactID(r.Object.ID)
			r.Forgotten = w.change == "privacyDeletion"
		}
	case w.change == "merge":
		rd.webhookMerge(n, w.object)
	case w.change == "associationChange":
		rd.association(n)
	default:
		rd.fail(CodeUnknown, "subscriptionType", "is not a type of webhook event that is known")
	}
	rd.housekeeping(n)
	rd.finish()
}

// portal ties the event to the CRM account of its own portal.
func (rd *reader) portal(id int64, given bool) {
	if given {
		rd.property("portal_id", id)
	}
	account, known := rd.settings.of(id, given)
	if !known {
		rd.fail(CodePortal, "portalId", "no configured source has this portal")
		return
	}
	if rd.settings.Account = account; account == defaultAccount {
		rd.settings.Account = ""
	}
}

// defaultAccount is the CRM account that "" stands for.
const defaultAccount = "hubspot"

// of names the CRM account of a portal; false: no configured source has it.
func (s Settings) of(portal int64, given bool) (string, bool) {
	if len(s.Portals) > 0 {
		account, known := s.Portals[portal]
		return first(account, defaultAccount), given && known
	}
	return first(s.Account, defaultAccount), true
}

// Account names the CRM account that a HubSpot webhook is of: that of its portal, where
// settings name portals. False: it cannot be told, as for a receipt of another way in.
func Account(r canonical.Receipt, s Settings) (string, bool) {
	if r.Way != canonical.WayHubSpot {
		return "", false
	}
	body, problem := decode(r.Body)
	if problem != nil {
		return "", false
	}
	n := node{f: body, rd: &reader{receipt: r}}
	id, ok := n.whole("portalId")
	return s.of(id, ok)
}

// objectID reads the object's id: 64-bit digits.
func (n node) objectID() string { return n.recordID("objectId") }

func (n node) recordID(key string) string {
	id := n.key(key)
	if id != "" && (!isDigits(id) || len(id) > 20) {
		n.rd.fail(CodeWrongType, n.path+key, "must be a record id of digits")
		return ""
	}
	return id
}

// propertyChange reads a change of one property. The trigger comes from the webhook,
// the rest from what was read afterwards, which may be newer.
func (rd *reader) propertyChange(n node, object string) {
	r := &rd.report
	property, value := n.text("propertyName"), n.stage("propertyValue")
	if value == redacted && n.said("isSensitive") == "true" {
		value = ""
	}
	rd.context(object, n.objectID())
	r.Subject = canonical.SubjectProperty
	blank := strings.TrimSpace(value) == "" // clearing a stage is no business event
	switch {
	case blank:
	case property == "lifecyclestage" && (object == "contact" || object == "company"):
		r.Subject, r.RawStage = canonical.SubjectLifecycle, value
		rd.labels(value)
	case property == "hs_lead_status" && object == "contact":
		r.Subject, r.RawStage = canonical.SubjectLeadStatus, value
		rd.labels(value)
	case property == "dealstage" && object == "deal":
		r.Subject, r.RawStage = canonical.SubjectDealStage, value
		rd.labels(value)
	}
	r.Echo = property == "lifecyclestage" && rd.echo(n, value)
	rd.property("property", property)
	if r.Subject == canonical.SubjectProperty {
		rd.property("value", value)
		r.Property, r.Value = property, value
	}
}

// redacted stands in a webhook in place of a sensitive property's value (hubspot.md §1.3).
const redacted = "REDACTED"

// echo is true for a stage that this router writes, where the account's own app wrote it.
// HubSpot tells which app wrote, not who used it, so the app must be this router's alone
// (hubspot.md §10, inferred). A stage that HubSpot gave by itself is none, such as that of a
// contact which an upsert made, though it is told as the app's change too.
func (rd *reader) echo(n node, stage string) bool {
	said := func(key string) string { // without taking it: housekeeping keeps it
		switch v := n.f[key].(type) {
		case string:
			return strings.TrimSpace(v)
		case json.Number:
			return v.String()
		}
		return ""
	}
	return rd.wrote(stage, said("changeSource"), said("sourceId"))
}

// wrote is true for a stage of this router's that its own app set.
func (rd *reader) wrote(stage, by, id string) bool {
	app := rd.settings.Apps[first(rd.settings.Account, defaultAccount)]
	id = id[strings.LastIndex(id, ":")+1:] // also "appId:9001"
	return app.ID != 0 && slices.Contains(app.Stages, stage) && (by == "INTEGRATION" || by == "API") && id == strconv.FormatInt(app.ID, 10)
}

// labels takes the stage's label and pipeline, and whether the CRM calls it won or lost: from what the
// account's settings said of it, else from the read when the deal still stands there.
func (rd *reader) labels(stage string) {
	c, r := rd.receipt.Completion, &rd.report
	if c == nil {
		return
	}
	if m := c.Stage; m != nil && m.Stage == stage {
		r.StageLabel = m.Label
		if m.Pipeline != "" {
			r.Pipeline, r.PipelineLabel = m.Pipeline, m.PipelineLabel
		}
		r.Outcome = outcome("", m.Closed, m.Probability)
	}
	if len(c.Objects) == 0 || c.Objects[0].Type != "deal" {
		return
	}
	if p := c.Objects[0].Properties; p["dealstage"] == stage {
		r.StageLabel = first(r.StageLabel, p["dealstage_label"])
		r.Outcome = first(r.Outcome, outcome(p["hs_is_closed_won"], p["hs_is_closed"], p["hs_deal_stage_probability"]))
	}
}

// outcome says what the CRM's own metadata makes of a deal's stage: won is closed with
// probability 1, lost closed with 0 (hubspot.md §4.7). "" where it does not say.
func outcome(won, closed, probability string) string {
	yes := func(s string) bool { return s == "true" || s == "1" }
	certain, err := strconv.ParseFloat(probability, 64)
	switch {
	case yes(won), yes(closed) && won == "" && err == nil && certain == 1:
		return "won"
	case yes(closed) && (won != "" || err == nil && certain == 0):
		return "lost"
	}
	return ""
}

// webhookMerge: the survivor is newObjectId, else primaryObjectId, else objectId; every
// other id named is an alias of it (hubspot.md §1.6).
func (rd *reader) webhookMerge(n node, object string) {
	rd.report.Subject = canonical.SubjectMerge
	ids := []string{n.recordID("newObjectId"), n.recordID("primaryObjectId"), n.recordID("objectId")}
	rd.merge(object, first(ids...), append(n.list("mergedObjectIds"), ids...))
}

// association reads a tie between two objects, made or removed.
func (rd *reader) association(n node) {
	r := &rd.report
	r.Subject = canonical.SubjectAssociation
	from, to := associationTypes(n.text("associationType"))
	if id := n.text("fromObjectTypeId"); id != "" {
		from = objectType(id)
	}
	if id := n.text("toObjectTypeId"); id != "" {
		to = objectType(id)
	}
	a := canonical.Association{FromType: from, FromID: n.recordID("fromObjectId"), ToType: to, ToID: n.recordID("toObjectId")}
	if v := n.flag("associationRemoved"); v != nil {
		a.Removed = *v
	}
	if v := n.flag("isPrimaryAssociation"); v != nil {
		a.Primary = *v
	}
	if category := n.said("associationCategory"); category != "" && category != "HUBSPOT_DEFINED" {
		a.Label = n.said("associationTypeId")
	}
	if from == "" || to == "" || a.FromID == "" || a.ToID == "" {
		rd.fail(CodeMissingID, "fromObjectId", "an association needs the type and id of both objects")
		return
	}
	r.Association = &a
	r.Object = rd.object(from, a.FromID)
	for _, end := range [][2]string{{a.FromType, a.FromID}, {a.ToType, a.ToID}} {
		if end[0] == "contact" {
			rd.contactID(end[1])
			break
		}
	}
	if a.ToType == "deal" {
		r.Deal = a.ToID
	}
}

// associationTypes reads CONTACT_TO_DEAL, also with a word such as _UNLABELED after it.
func associationTypes(s string) (from, to string) {
	from, to, ok := strings.Cut(strings.ToLower(s), "_to_")
	if !ok {
		return "", ""
	}
	for _, t := range objectTypes {
		if strings.HasPrefix(to, t+"_") {
			return from, t
		}
	}
	return from, to
}

// housekeeping keeps what HubSpot says beside the fact. attemptNumber is left out: a
// further try of one delivery says nothing new.
func (rd *reader) housekeeping(n node) {
	n.text("attemptNumber")
	n.text("objectId")
	for _, f := range [][2]string{
		{"eventId", "hubspot_event_id"}, {"subscriptionId", "subscription_id"}, {"appId", "app_id"}, {"changeSource", "change_source"},
		{"sourceId", "source_id"}, {"changeFlag", "change_flag"}, {"isSensitive", "is_sensitive"},
	} {
		if _, v := n.take(f[0]); v != nil {
			rd.property(f[1], v)
		}
	}
	n.keep("")
}

// context names the object and takes what was read of it.
func (rd *reader) context(kind, id string) {
	r := &rd.report
	r.Object = rd.object(kind, id)
	c := rd.receipt.Completion
	if c == nil || len(c.Objects) == 0 {
		if kind == "contact" {
			rd.contactID(id)
		}
		return
	}
	it := c.Objects[0]
	switch kind {
	case "contact":
		rd.readContact(it)
		r.Companies = it.Associated["company"]
		if p := it.Properties["associatedcompanyid"]; p != "" && !slices.Contains(r.Companies, p) {
			r.Companies = append([]string{p}, r.Companies...)
		}
		rd.firstCompany(c.Objects)
	case "company":
		rd.readCompany(it)
		if r.Companies = []string{currentID(it)}; it.CurrentID != "" && it.CurrentID != it.ID {
			r.Merge = &canonical.Merge{Type: "company", Survivor: it.CurrentID, Merged: []string{it.ID}}
		}
	case "deal":
		rd.readDeal(it)
		r.Contacts, r.Companies = it.Associated["contact"], it.Associated["company"]
		for _, o := range c.Objects[1:] {
			if o.Type == "contact" && len(r.Contacts) > 0 && o.ID == r.Contacts[0] {
				rd.readContact(o)
				break
			}
		}
		if r.Contact.ID == "" && len(r.Contacts) > 0 {
			rd.contactID(r.Contacts[0])
		}
		rd.firstCompany(c.Objects)
	}
}

// currentID is the id under which an object is found now: another after a merge.
func currentID(o canonical.ReadObject) string { return first(o.CurrentID, o.ID) }

// readContact takes a contact as read. The id asked for and the one it is found under
// are one person.
func (rd *reader) readContact(o canonical.ReadObject) {
	r, p := &rd.report, o.Properties
	rd.contactID(currentID(o))
	if o.CurrentID != "" && o.CurrentID != o.ID {
		rd.contactID(o.ID)
		r.Merge = &canonical.Merge{Type: "contact", Survivor: o.CurrentID, Merged: []string{o.ID}}
	}
	for _, e := range append([]string{p["email"]}, strings.Split(p["hs_additional_emails"], ";")...) {
		if e = strings.TrimSpace(e); e != "" {
			rd.email("email", e)
		}
	}
	for _, v := range []string{p["phone"], p["mobilephone"]} {
		if v = strings.TrimSpace(v); v != "" {
			rd.phone(v)
		}
	}
	c := &r.Contact
	c.FirstName, c.LastName, c.Title = p["firstname"], p["lastname"], p["jobtitle"]
	c.City, c.State, c.Zip, c.Country = p["city"], p["state"], p["zip"], p["country"]
	// HubSpot does not say when the click was: an identifier, not a click.
	if v := p["hs_facebook_click_id"]; len(v) <= maxKey {
		rd.identify(canonical.FBCLID, v)
	}
	if v := p["hs_google_click_id"]; len(v) <= maxKey {
		rd.identify(canonical.GCLID, v)
	}
	rd.property("lead_status", p["hs_lead_status"])
}

// firstCompany takes the primary company as read.
func (rd *reader) firstCompany(objects []canonical.ReadObject) {
	r := &rd.report
	if len(r.Companies) == 0 {
		return
	}
	r.Company.ID = r.Companies[0]
	for _, o := range objects {
		if o.Type == "company" && o.ID == r.Companies[0] {
			rd.readCompany(o)
			return
		}
	}
}

func (rd *reader) readCompany(o canonical.ReadObject) {
	c, p := &rd.report.Company, o.Properties
	c.ID = currentID(o)
	c.Domain = canonical.NormalDomain(p["domain"])
	c.Name, c.Owner, c.Tier = p["name"], p["hubspot_owner_id"], p["hs_ideal_customer_profile"]
	switch p["hs_is_target_account"] {
	case "true":
		v := true
		c.Target = &v
	case "false":
		v := false
		c.Target = &v
	}
}

// readDeal takes a deal's pipeline and values as read. A value that is none is kept as
// a property: calculated fields are the account's own.
func (rd *reader) readDeal(o canonical.ReadObject) {
	r, p := &rd.report, o.Properties
	r.Pipeline, r.PipelineLabel = p["pipeline"], p["pipeline_label"]
	var rev canonical.Revenue
	for _, f := range []struct {
		to  **canonical.Money
		key string
	}{{&rev.Amount, "amount"}, {&rev.MRR, "hs_mrr"}, {&rev.ARR, "hs_arr"}, {&rev.ACV, "hs_acv"}, {&rev.TCV, "hs_tcv"}} {
		v := strings.TrimSpace(p[f.key])
		if v == "" {
			continue
		}
		if m, ok := readMoney(v); ok {
			*f.to = &m
		} else {
			rd.property(f.key, v)
		}
	}
	if c := strings.ToUpper(strings.TrimSpace(p["deal_currency_code"])); len(c) == 3 {
		rev.Currency = c
	}
	rev.BillingPeriod = p["billing_period"]
	rd.earned(rev)
	for from, to := range map[string]string{
		"dealname": "deal_name", "dealtype": "deal_type", "closedate": "close_date", "hubspot_owner_id": "owner_id",
		"hs_is_closed": "is_closed", "hs_is_closed_won": "is_closed_won", "dealstage": "stage_when_read",
	} {
		rd.property(to, p[from])
	}
	rd.askedBesides(o, rev)
}

// askedBesides keeps what the mapping had asked for of a deal, and, where none of HubSpot's own
// values is given, the currency of those that may be among it.
func (rd *reader) askedBesides(o canonical.ReadObject, rev canonical.Revenue) {
	more := false
	for name, v := range o.Properties {
		if !slices.Contains(readDealNames, name) && !strings.HasSuffix(name, "_label") {
			rd.property(name, v)
			more = more || v != ""
		}
	}
	if more && rd.report.Revenue == nil {
		rd.property("deal_currency_code", first(rev.Currency, strings.ToUpper(rd.settings.Currency)))
	}
}

// readDealNames are the properties of a deal that have a reading, and those that HubSpot
// answers with unasked.
var readDealNames = append(Properties("deal"), "hs_object_id", "createdate", "hs_createdate", "hs_lastmodifieddate")
