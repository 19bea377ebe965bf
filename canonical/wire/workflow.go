package wire

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tributary/canonical"
)

// WorkflowEvent is the key of a receipt's context under which the name stands that the target URL
// of a workflow gave its event: ?event=….
const WorkflowEvent = "event"

// workflow reads what HubSpot's workflow action "Send a webhook" says: a record as it is now, in
// one of two forms (hubspot.md §3). Either is brought into the shape of POST /v1/ingest/crm and
// read as that, so that a change has the same id by whichever way it came:
//
//	all properties: {"vid":…,"properties":{"email":{"value":…,"versions":[…]},…}}, and of other
//	objects {"objectId":…,"objectTypeId":…,"properties":{…}}; versions say when a stage was entered;
//	a list of keys and values: {"email":…,"lifecyclestage":…}; a key such as deal.id says whose value
//	it is.
//
// It names no trigger: the event is the one named in the URL or under the key event, else the stage
// that the record has.
func (rd *reader) workflow(n node) {
	if id, given := n.whole("portalId", "portal-id", "portal_id", "hub_id"); given {
		rd.portal(id, true) // else it is its source's
	}
	w := enrolled{rd: rd, parts: map[string]map[string]any{}, event: rd.receipt.Context[WorkflowEvent]}
	if p, ok := n.f["properties"].(map[string]any); ok {
		w.whole(n, p)
	} else {
		w.listed(n)
	}
	named := w.event != ""
	w.change()
	if !plainObject(w.object) && !named {
		w.bystander()
	} else {
		rd.read(rd.body(node{f: w.shape(), rd: rd}))
	}
	r := &rd.report
	if r.Subject == canonical.SubjectCustom && w.id != "" {
		r.Object = rd.object(w.object, w.id)
	}
	if len(w.merged) > 0 && r.Merge == nil {
		r.Merge = &canonical.Merge{Type: "contact", Survivor: w.id, Merged: w.merged}
	}
	r.Echo = r.Subject == canonical.SubjectLifecycle && rd.wrote(r.RawStage, w.by, w.byID)
}

// plainObject is true for the objects that a CRM body has a place for.
func plainObject(kind string) bool { return kind == "contact" || kind == "company" || kind == "deal" }

// An enrolled is a record that went through a workflow, on its way to the shape of a CRM body.
type enrolled struct {
	rd         *reader
	event      string
	object, id string
	merged     []string // ids that the record has absorbed
	parts      map[string]map[string]any
	past       map[string]version // of properties whose history is given
	by, byID   string             // who set the stage, where that is said
}

// A version is one value that a property had: since when, and set by whom.
type version struct {
	value, by, byID string
	at              int64 // Unix milliseconds; 0: not said
}

func (w *enrolled) put(part, key string, v any) {
	if w.parts[part] == nil {
		w.parts[part] = map[string]any{}
	}
	w.parts[part][key] = v
}

// said is the text of a value that was put, or "".
func (w *enrolled) said(part string, keys ...string) string {
	for _, k := range keys {
		if s := strings.TrimSpace(scalar(w.parts[part][k])); s != "" {
			return s
		}
	}
	return ""
}

// scalar is a plain value as text; what has another form is nothing.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return plainNumber(v)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// whole reads the form with all properties. What stands beside them (forms, lists, identity
// profiles) is HubSpot's own bookkeeping and left out.
func (w *enrolled) whole(n node, properties map[string]any) {
	w.object = w.kind(n)
	switch vid := n.key("vid"); {
	case vid != "":
		w.object, w.id = "contact", first(n.key("canonical-vid"), vid)
		for _, id := range append(n.list("merged-vids"), vid) {
			if id != w.id && !slices.Contains(w.merged, id) {
				w.merged = append(w.merged, id)
			}
		}
		slices.Sort(w.merged)
	default:
		w.id = n.recordID("objectId")
	}
	if yes := n.flag("is-contact"); w.object == "" && (yes == nil || *yes) {
		w.object = "contact"
	}
	values := map[string]any{}
	w.past = map[string]version{}
	for name, v := range properties {
		now := history(v)
		if strings.TrimSpace(now.value) == "" {
			continue
		}
		values[name] = now.value
		w.past[name] = now
	}
	w.id = first(w.id, strings.TrimSpace(scalar(values["hs_object_id"])))
	delete(values, "hs_object_id")
	for name, v := range values {
		if strings.HasPrefix(name, "hs_") && !slices.Contains(Properties(w.object), name) && !w.entered(name, values) {
			continue // calculated by the hundred, and none of it has a reading
		}
		w.put(w.object, name, v)
	}
	w.company(n.object("associated-company"))
}

// entered is true for the properties that say when the record's stage was entered.
func (w *enrolled) entered(name string, values map[string]any) bool {
	for _, property := range []string{"lifecyclestage", "dealstage"} {
		stage := strings.ToLower(strings.TrimSpace(scalar(values[property])))
		if stage != "" && (name == "hs_"+property+"_"+stage+"_date" || name == "hs_v2_date_entered_"+stage || name == "hs_date_entered_"+stage) {
			return true
		}
	}
	return false
}

// company takes the company that stands in a contact's body, or that the contact names.
func (w *enrolled) company(n node) {
	if w.object != "contact" {
		return
	}
	id := first(n.key("company-id", "companyId"), w.said("contact", "associatedcompanyid"))
	if id == "" {
		return
	}
	w.put("company", "id", id)
	if p, ok := n.f["properties"].(map[string]any); ok {
		for _, name := range Properties("company") {
			if v := history(p[name]); strings.TrimSpace(v.value) != "" && name != "lifecyclestage" {
				w.put("company", name, v.value)
			}
		}
	}
}

// history reads a property: its value alone, or with when and by whom it was set, or with all the
// values it had. Where one value was set over and over, it holds since the first time.
func history(v any) version {
	m, ok := v.(map[string]any)
	if !ok {
		return version{value: scalar(v)}
	}
	now := versionOf(m)
	list, _ := m["versions"].([]any)
	past := make([]version, 0, min(len(list), maxList))
	for _, v := range list[:min(len(list), maxList)] {
		if m, ok := v.(map[string]any); ok {
			past = append(past, versionOf(m))
		}
	}
	slices.SortStableFunc(past, func(a, b version) int { return cmp.Compare(b.at, a.at) })
	for _, p := range past {
		if p.value != now.value || p.at == 0 {
			break
		}
		now = p
	}
	return now
}

func versionOf(m map[string]any) version {
	text := func(keys ...string) string {
		for _, k := range keys {
			if s := scalar(m[k]); s != "" {
				return s
			}
		}
		return ""
	}
	at, err := strconv.ParseInt(text("timestamp"), 10, 64)
	if err != nil || at < earliest.UnixMilli() {
		at = 0
	}
	return version{value: scalar(m["value"]), at: at, by: text("source-type", "sourceType", "source"), byID: text("source-id", "sourceId")}
}

// sections are the objects of a CRM body, by which a key may say whose value it is.
var sections = []string{"contact", "company", "deal", "user_data", "account_data", "campaign", "consent", "custom_data"}

// listed reads the list of keys and values.
func (w *enrolled) listed(n node) {
	w.event = first(w.event, n.text("event", "event_name"))
	w.object = w.kind(n)
	id := n.key("hs_object_id", "objectId", "object_id", "record_id")
	rest := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(n.f)) { // contact before contact.email, which says more
		v := n.f[key]
		section, name, dotted := strings.Cut(key, ".")
		switch {
		case v == nil:
		case dotted && slices.Contains(sections, section):
			w.put(section, name, v)
		case slices.Contains(sections, key):
			if m, ok := v.(map[string]any); ok {
				for name, v := range m {
					w.put(key, name, v)
				}
				continue
			}
			rest[key] = v
		default:
			rest[key] = v
		}
	}
	if w.object == "" {
		w.object = w.guess(rest)
	}
	for key, v := range rest {
		w.put(w.place(key), key, v)
	}
	ids := map[string][]string{"contact": {"contact_id", "hubspot_contact_id", "vid", "id"}, "company": {"company_id", "hubspot_company_id", "id"}, "deal": {"deal_id", "hubspot_deal_id", "id"}}
	if w.id = first(id, w.said(w.object, ids[w.object]...)); id != "" && plainObject(w.object) {
		w.put(w.object, "id", id)
	}
}

// kind reads what type of record it is, where that is said.
func (w *enrolled) kind(n node) string {
	kind := strings.ToLower(n.key("objectTypeId", "objectType", "object_type_id", "object_type"))
	if name, ok := objectTypes[kind]; ok {
		return name
	}
	switch kind {
	case "contacts", "companies", "deals", "tickets":
		return map[string]string{"contacts": "contact", "companies": "company", "deals": "deal", "tickets": "ticket"}[kind]
	}
	return kind
}

// guess says what type of record a list of keys and values is of.
func (w *enrolled) guess(rest map[string]any) string {
	if _, object := kindOf(w.event); plainObject(object) {
		return object
	}
	has := func(keys ...string) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.TrimSpace(scalar(rest[k])) != "" })
	}
	switch {
	case has("deal_id", "hubspot_deal_id"), w.said("deal", "id", "dealstage", "stage") != "":
		return "deal"
	case has("dealstage") && !has("lifecyclestage"):
		return "deal"
	case has("vid", "contact_id", "hubspot_contact_id", "email"), len(w.parts["contact"]) > 0:
		return "contact"
	case has("domain", "company_id", "hubspot_company_id"), len(w.parts["company"]) > 0:
		return "company"
	}
	return "contact"
}

// places say whose value a key is that stands in a list without saying so. Any other key of
// HubSpot's own (hs_…) is the record's; what nobody knows stays at the top.
var places = map[string][]string{
	"contact": {"email", "vid", "contact_id", "hubspot_contact_id", "firstname", "lastname", "first_name", "last_name", "jobtitle", "mobilephone",
		"hs_lead_status", "lead_status", "hs_additional_emails", "hs_facebook_click_id", "hs_google_click_id"},
	"company": {"domain", "company_id", "hubspot_company_id", "company_domain", "company_name", "hs_is_target_account", "hs_ideal_customer_profile"},
	"deal": {"deal_id", "hubspot_deal_id", "dealstage", "deal_stage", "dealstage_label", "dealname", "dealtype", "pipeline", "pipeline_label", "amount", "closedate", "deal_currency_code",
		"hs_mrr", "hs_arr", "hs_acv", "hs_tcv", "billing_period", "hs_is_closed", "hs_is_closed_won", "hs_deal_stage_probability"},
}

// own are keys that are the record's, whatever type it is of.
var own = []string{"lifecyclestage", "lifecycle_stage", "name", "phone", "city", "state", "zip", "country", "website", "hubspot_owner_id", "stage", "id"}

func (w *enrolled) place(key string) string {
	for part, keys := range places {
		if slices.Contains(keys, key) {
			return part
		}
	}
	if plainObject(w.object) && (slices.Contains(own, key) || strings.HasPrefix(key, "hs_")) {
		return w.object
	}
	return ""
}

// change says which event it is, where none is named, and since when what it says holds.
func (w *enrolled) change() {
	w.contactsOwn()
	stages := map[string][]string{"contact": {"lifecyclestage", "lifecycle_stage"}, "company": {"lifecyclestage", "lifecycle_stage"}, "deal": {"dealstage", "deal_stage", "stage"}}
	stage := w.said(w.object, stages[w.object]...)
	if w.event == "" {
		switch {
		case stage != "" && w.object == "deal":
			w.event = "deal.stage_changed"
		case stage != "":
			w.event = w.object + ".lifecycle_changed"
		case w.said("contact", "hs_lead_status", "lead_status") != "" && w.object == "contact":
			w.event = "lead_status_changed"
		default:
			w.event = w.object + ".updated"
		}
	}
	property := ""
	switch k, _ := kindOf(w.event); k {
	case lifecycle:
		property = "lifecyclestage"
	case leadStatus:
		property = "hs_lead_status"
	case dealStage, dealCreated:
		property = "dealstage"
	}
	since := w.past[property]
	w.by, w.byID = since.by, since.byID
	if w.said("", "changed_at") != "" || property == "" {
		return
	}
	if since.at > 0 && w.believed(since.at) {
		w.put("", "changed_at", json.Number(strconv.FormatInt(since.at, 10)))
	} else if property == "dealstage" {
		w.closed(strings.ToLower(stage))
	}
}

// closed takes the date on which a deal was closed for the time of its closing, where nothing
// better is given.
func (w *enrolled) closed(stage string) {
	date := w.said("deal", "closedate")
	at, ok := parseTime(date)
	if !ok || !w.believed(at.at.UnixMilli()) || w.said("deal", "stage_changed_at", "hs_dealstage_"+stage+"_date", "hs_v2_date_entered_"+stage, "hs_date_entered_"+stage) != "" {
		return
	}
	if outcome(w.said("deal", "hs_is_closed_won"), w.said("deal", "hs_is_closed"), w.said("deal", "hs_deal_stage_probability")) != "" {
		w.put("", "changed_at", date)
	}
}

// believed is true for a time that is not before 2000 and not after the receipt.
func (w *enrolled) believed(ms int64) bool {
	received := w.rd.receipt.ReceivedAt
	return ms >= earliest.UnixMilli() && (received.IsZero() || ms <= received.UnixMilli())
}

// contactsOwn takes what only HubSpot calls so.
func (w *enrolled) contactsOwn() {
	c := w.parts["contact"]
	if more := w.said("contact", "hs_additional_emails"); more != "" {
		list := []any{}
		for _, e := range append([]string{w.said("contact", "email")}, strings.Split(more, ";")...) {
			if e = strings.TrimSpace(e); e != "" {
				list = append(list, e)
			}
		}
		c["email"] = list
		delete(c, "hs_additional_emails")
	}
	// HubSpot does not say when the click was: an identifier, not a click.
	for key, scheme := range map[string]canonical.Scheme{"hs_facebook_click_id": canonical.FBCLID, "hs_google_click_id": canonical.GCLID} {
		if v := w.said("contact", key); len(v) <= maxKey {
			w.rd.identify(scheme, v)
		}
		delete(c, key)
	}
}

// shape is the CRM body that says the same.
func (w *enrolled) shape() map[string]any {
	f := maps.Clone(w.parts[""])
	if f == nil {
		f = map[string]any{}
	}
	if plainObject(w.object) && w.id != "" {
		w.put(w.object, "id", w.id)
	}
	for _, section := range sections {
		if part := w.parts[section]; len(part) > 0 {
			f[section] = part
		}
	}
	f["event"] = w.event
	return f
}

// bystander reads a record of another type (a ticket, an object of the account's own): its values
// are kept, and a mapping may look at them.
func (w *enrolled) bystander() {
	r := &w.rd.report
	r.Event, r.Subject = w.event, canonical.SubjectProperty
	r.Object = w.rd.object(w.object, w.id)
	w.rd.happened(moment{}, moment{})
	for _, part := range slices.Backward(slices.Sorted(maps.Keys(w.parts))) { // what stands at the top last: it holds
		node{f: w.parts[part], rd: w.rd}.keep("")
	}
	w.rd.finish()
}
