package wire

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/canonical"
)

// metaContext are the members of a Meta request that stand beside data: each is kept with
// every receipt of the request and becomes a property of that name.
var metaContext = []string{"pixel_id", "test_event_code", "partner_agent", "namespace_id", "upload_id", "upload_tag", "upload_source"}

// MetaContext lists them.
func MetaContext() []string { return slices.Clone(metaContext) }

// metaUser are the keys of user_data (meta.md §2.1 to §2.3); the first of them, as many as
// metaLists says, are hashed and may have several values.
var metaUser = []string{
	"em", "ph", "fn", "ln", "db", "ge", "ct", "st", "zp", "country", "external_id",
	"f5first", "f5last", "fi", "dobd", "dobm", "doby",
	"client_ip_address", "client_user_agent", "fbc", "fbp", "subscription_id", "fb_login_id", "lead_id", "anon_id", "madid",
	"page_id", "page_scoped_user_id", "ctwa_clid", "ig_account_id", "ig_sid", "instagram_business_account_id", "whatsapp_business_account_id",
}

const metaLists = 17

// tooLittle are the sets of which Meta refuses an event whose user_data holds nothing else
// (meta.md §1.4).
var tooLittle = [][]string{
	{"ct", "country", "st", "zp", "ge", "client_user_agent"},
	{"db", "client_user_agent"},
	{"fn", "ge"},
	{"ln", "ge"},
}

// metaSources are the values of action_source (meta.md §1.5).
var metaSources = []string{
	"email", "website", "app", "phone_call", "chat", "physical_store", "system_generated", "business_messaging", "other",
}

// How old an event may be that Meta takes (meta.md §1.3).
const (
	metaAge      = 7 * 24 * time.Hour
	metaStoreAge = 62 * 24 * time.Hour // action_source physical_store
)

// meta reads one element of data of Meta's Conversions API (meta.md §1.4): user_data
// hashed or plain, nulls as absent, numbers also as digits.
func (rd *reader) meta(n node) {
	r := &rd.report
	r.Event = n.name("event_name")
	r.EventID = canonical.EventID(n.key("event_id"))
	rd.happened(n.when("event_time"), moment{})
	if r.Reported {
		rd.fail(CodeBadTime, "event_time", "is missing")
	}
	user, data := n.object("user_data"), n.object("custom_data")
	given, whole := givenForMeta(user.f), maps.Clone(user.f)
	user.person()
	if !slices.ContainsFunc(r.Identifiers, func(id canonical.Identifier) bool { return id.Scheme == canonical.Email }) && len(r.Contact.Hashed["em"]) == 0 {
		given = slices.DeleteFunc(given, func(k string) bool { return k == "em" }) // no address at all
	}
	rd.anybody = enoughForMeta(given)
	n.consent()
	var t canonical.Touch
	data.campaign(&t)
	rd.page(n, &t)
	if r.Event == "PageView" {
		rd.touch(n, data, t, "page_view")
	} else {
		r.Subject, r.Object = canonical.SubjectCustom, canonical.Object{Type: "person"}
		if strings.EqualFold(data.text("event_source"), "crm") {
			rd.property("event_source", "crm")
		}
		r.Touch = rd.acquired(t)
		rd.keepCampaign(t)
	}
	var rev canonical.Revenue
	data.revenue(&rev)
	rd.earned(rev)

	for _, k := range metaContext {
		rd.property(k, rd.receipt.Context[k])
	}
	n.keep("")
	data.keep("")
	user.keep("user_data.")
	rd.finish()
	if rd.problem == nil && r.Object.Type == "person" && r.Object.ID == "" {
		// Two people that Meta knows by what is no identifier of ours are not one.
		r.Object.ID = fingerprint(whole)
	}
}

// fingerprint is a hash over what a user_data says.
func fingerprint(user map[string]any) string {
	b, err := json.Marshal(user) // names in order
	if err != nil {
		return ""
	}
	return canonical.SHA256(string(b))
}

// givenForMeta lists the keys of a user_data that hold something, and takes out the others.
// What has one value may stand in a list, as what has several does.
func givenForMeta(user map[string]any) (given []string) {
	for i, k := range metaUser {
		v := user[k]
		if list, ok := v.([]any); ok && i >= metaLists {
			v = nil
			if at := slices.IndexFunc(list, holds); at >= 0 {
				v = list[at]
				user[k] = v
			}
		}
		if !holds(v) {
			delete(user, k)
			continue
		}
		given = append(given, k)
	}
	return given
}

// enoughForMeta says whether Meta looks for anybody by these keys.
func enoughForMeta(given []string) bool {
	for _, set := range tooLittle {
		if !slices.ContainsFunc(given, func(k string) bool { return !slices.Contains(set, k) }) {
			return false
		}
	}
	return true
}

// holds is true for a value that says something.
func holds(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return strings.TrimSpace(v) != "" && !hashOfNothing(v)
	case []any:
		return slices.ContainsFunc(v, holds)
	case map[string]any:
		return len(v) > 0
	}
	return true
}

// A MetaRefusal says why Meta would take nothing of a request that holds an event, as its
// errors say it. The text holds nothing of the event.
type MetaRefusal struct {
	Field   string // the path in the event, "" for the event as a whole
	Subcode int    // Meta's number, 0 where it has none that is known
	Title   string
	Says    string
}

// CheckMeta says why an event in Meta's own format is refused, nil where it is not: because
// Meta refuses it (meta.md §1.3, §1.4, §3.2), or because nothing could be made of it. What
// it lets through is never quarantined on reading.
func CheckMeta(r canonical.Receipt) *MetaRefusal {
	body, problem := decode(r.Body)
	if problem != nil {
		return &MetaRefusal{Title: "Invalid Event", Says: problem.Detail}
	}
	user, _ := body["user_data"].(map[string]any)
	bare := len(user) == 0
	n := node{f: body}
	source, name := n.said("action_source"), n.said("event_name")
	data, _ := body["custom_data"].(map[string]any)
	priced := holds(data["value"]) && holds(data["currency"])

	rd := &reader{receipt: r}
	rd.meta(node{f: body, rd: rd})
	p := rd.problem
	problemIn := func(fields ...string) bool { return p != nil && slices.Contains(fields, p.Field) }
	age := r.ReceivedAt.Sub(rd.report.OccurredAt)
	switch {
	case problemIn("event_name", "event_time"):
		return refusedFor(p)
	case source != "" && !slices.Contains(metaSources, source):
		return &MetaRefusal{Field: "action_source", Title: "Invalid Action Source", Says: "must be one of " + strings.Join(metaSources, ", ")}
	case age > metaAge && source != "physical_store", age > metaStoreAge:
		return &MetaRefusal{Field: "event_time", Subcode: 2804003, Title: "Event Timestamp Too Old",
			Says: "is more than " + days(source) + " days ago, and Meta takes no such event; POST /v1/events does"}
	case name == "Purchase" && !priced:
		return &MetaRefusal{Field: "custom_data.value", Subcode: 2804009, Title: "Missing Value or Currency for Purchase",
			Says: "a Purchase needs a value and a currency"}
	case p != nil && p.Code != CodeMissingID && p.Code != CodeBadEmail:
		return refusedFor(p)
	case bare:
		return &MetaRefusal{Field: "user_data", Subcode: 2804050, Title: "Too Little Customer Information", Says: "is missing, or holds nothing"}
	case !rd.anybody, p != nil:
		return &MetaRefusal{Field: "user_data", Subcode: 2804050, Title: "Too Little Customer Information",
			Says: "holds nothing that Meta finds a person by; add an e-mail address, a telephone number, fbc, fbp, external_id or the like"}
	}
	return nil
}

func days(source string) string {
	age := metaAge
	if source == "physical_store" {
		age = metaStoreAge
	}
	return strconv.Itoa(int(age / (24 * time.Hour)))
}

func refusedFor(p *Problem) *MetaRefusal {
	return &MetaRefusal{Field: p.Field, Title: "Invalid Parameter", Says: p.Detail}
}
