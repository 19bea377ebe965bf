package wire

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"tributary/canonical"
)

// segment reads one call of Segment's tracking API, field by field as docs/segment.md has it.
// What stood beside it in its batch, and the route that says which call it is, are in the
// receipt's context.
func (rd *reader) segment(n node) {
	r, about := &rd.report, rd.receipt.Context
	call := strings.ToLower(first(about["type"], n.text("type")))
	delete(n.f, "type")
	r.EventID = canonical.EventID(n.key("messageId", "message_id"))
	rd.calledAt(n)

	context := n.object("context", "options").beside(about["context"])
	if integrations := n.object("integrations").beside(about["integrations"]); len(integrations.f) > 0 {
		rd.property("integrations", integrations.f)
	}
	traits, properties := n.object("traits"), n.object("properties")
	user := n.pick("userId", "user_id", "user_id", "user_id", "anonymousId", "anonymous_id", "anonymous_id", "anonymous_id")
	rd.mailAsID(user)
	user.who()
	if call != "group" {
		traits.segmentPerson()
	}
	said := context.object("traits")
	said.segmentPerson()
	if call == "track" && aboutOneself[spoken(n.said("event"))] {
		properties.segmentPerson()
	}
	var t canonical.Touch
	rd.circumstances(context, properties, &t, call == "page" || call == "screen")

	if about["opt_out"] != "" { // the browser says no, and the source was told to listen
		no := false
		r.Consent = &canonical.Consent{AdStorage: &no, AdUserData: &no}
	}

	switch call {
	case "track":
		rd.tracked(n, properties, t)
	case "page", "screen":
		r.Event = call
		if call == "page" {
			r.Event = "page_view"
		}
		rd.touch(properties.pick(), node{rd: rd}, t, "page_view")
		if r.Object.ID == "" {
			r.Object.ID = first(n.said("name"), properties.said("name"))
		}
	case "identify", "group", "alias":
		r.Event, r.Subject, r.Object = call, canonical.SubjectProperty, canonical.Object{Type: "person"}
		switch call {
		case "group":
			traits.pick(groupTraits...).company()
			if n.said("groupId") == "" {
				rd.fail(CodeMissingID, "groupId", "is missing")
			}
		case "alias":
			rd.alias(n)
		}
	case "":
		rd.fail(CodeUnknown, "type", "is missing: it says which call this is")
	default:
		rd.fail(CodeUnknown, "type", "is none of track, identify, page, screen, group and alias")
	}
	if r.Touch == nil {
		r.Touch = rd.acquired(t)
		rd.keepCampaign(t)
	}
	for _, k := range []string{"writeKey", "write_key", "_metadata", "receivedAt", "version", "projectId"} {
		delete(n.f, k)
	}
	if v, there := properties.f["integrations"]; there { // it chooses no destinations
		rd.property("properties.integrations", v)
		delete(properties.f, "integrations")
	}
	properties.keep("")
	n.keep("")
	context.keep("context.")
	said.keep("context.traits.")
	traits.keep("traits.")
	rd.finish()
}

// tracked reads a call of track by the name of its event.
func (rd *reader) tracked(n, properties node, t canonical.Touch) {
	r := &rd.report
	r.Event = n.name("event")
	r.Subject, r.Object = canonical.SubjectCustom, canonical.Object{Type: "person"}
	kind, _ := kindOf(spoken(r.Event))
	if spoken(r.Event) == "email_link_clicked" {
		kind = emailClick
	}
	if touchKinds[kind] != "" {
		of := properties.pick("form", "form", "form_id", "form_id", "formId", "form_id", "form_name", "form_name", "email_id", "email_id",
			"email_subject", "subject", "campaign_id", "campaign_id", "meeting_id", "meeting_id")
		rd.touch(of, node{rd: rd}, t, touchKinds[kind])
		of.keep("")
	}
	rd.segmentRevenue(properties)
}

// spoken gives an event's name as the names of kinds are written: "Form Submitted" is
// form_submitted.
func spoken(name string) string {
	return strings.ToLower(strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '_' || r == '-' }), "_"))
}

// aboutOneself names the events whose properties say who the one is that did it; of any other,
// an address may be a colleague's who was invited.
var aboutOneself = map[string]bool{
	"form_submitted": true, "signed_up": true, "lead_generated": true, "lead_captured": true, "trial_started": true,
	"demo_requested": true, "newsletter_subscribed": true, "email_subscribed": true,
}

// calledAt sets when a call was made. A clock that is minutes off (clockOff) is set right by what it
// said when the call was sent; a smaller difference is the way here, and the same call sent twice
// must say the same time twice. Of a call that went through Segment the time was set right there.
func (rd *reader) calledAt(n node) {
	original, stamp, sent := n.clock("originalTimestamp"), n.clock("timestamp"), n.clock("sentAt")
	if !sent.given {
		sent, _ = parseTime(rd.receipt.Context["sent_at"])
	}
	at, right := original, false
	if stamp.given {
		at, right = stamp, original.given || n.said("receivedAt") != ""
	}
	if !at.given { // made as it came
		rd.happened(moment{}, moment{})
		rd.report.Reported = false
		return
	}
	before := at.at.Sub(sent.at) >= clockOff // no call is sent before it is made: that clock says nothing
	if off := rd.receipt.ReceivedAt.Sub(sent.at); sent.given && !before && !right && off.Abs() >= clockOff {
		at.at = at.at.Add(off).UTC().Truncate(time.Second)
		at.text = canonical.FormatTime(at.at)
	}
	if why := rd.doubt(at.at); why != "" {
		rd.fail(CodeBadTime, "timestamp", why)
		return
	}
	rd.happened(at, moment{})
}

// clock reads a time without doubting it yet. What is no time is a problem of timestamp, the
// only one of them that a person writes.
func (n node) clock(key string) moment {
	text := strings.TrimSpace(n.said(key))
	m, ok := parseTime(text)
	if key == "timestamp" && !ok && n.f[key] != nil && n.f[key] != "" {
		n.rd.fail(CodeBadTime, key, "cannot be read as a time")
	}
	delete(n.f, key)
	return m
}

// beside gives the object with what stood beside a call in its batch, where the call itself says nothing.
func (n node) beside(text string) node {
	if n.f == nil {
		n.f = map[string]any{}
	}
	var more map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if text == "" || d.Decode(&more) != nil {
		return n
	}
	for k, v := range more {
		if _, there := n.f[k]; !there {
			n.f[k] = v
		}
	}
	return n
}

// pick moves text and numbers of n to a node of their own, under the names that our readings
// know: pairs of theirs and ours. Whatever has another form stays what the caller made it.
func (n node) pick(pairs ...string) node {
	out := node{f: map[string]any{}, path: n.path, rd: n.rd}
	for i := 0; i+1 < len(pairs); i += 2 {
		theirs, ours := pairs[i], pairs[i+1]
		v, ok := n.f[theirs]
		if _, taken := out.f[ours]; !ok || taken {
			continue
		}
		switch v := v.(type) {
		case string:
			if strings.TrimSpace(v) == "" || len(v) > maxKey && ours != "url" && ours != "referrer" {
				continue
			}
		case json.Number:
		default:
			continue
		}
		out.f[ours] = v
		delete(n.f, theirs)
	}
	return out
}

// mailAsID takes an address that is used as a user id for what it also is.
func (rd *reader) mailAsID(user node) {
	if id := user.said("user_id"); strings.Contains(id, "@") && canonical.NormalEmail(id) != "" {
		rd.email("userId", id)
	}
}

var personTraits = []string{
	"email", "email", "Email", "email", "phone", "phone", "firstName", "first_name", "first_name", "first_name", "firstname", "first_name",
	"lastName", "last_name", "last_name", "last_name", "lastname", "last_name", "title", "title", "jobTitle", "title", "job_title", "title",
	"birthday", "db", "gender", "ge", "hubspotutk", "hubspotutk", "fbp", "fbp", "fbc", "fbc",
}

var addressTraits = []string{
	"city", "city", "state", "state", "region", "state", "postalCode", "zip", "postal_code", "zip", "zip", "zip", "country", "country",
}

var groupTraits = []string{
	"domain", "domain", "website", "domain", "companyDomain", "domain", "company_domain", "domain", "name", "name", "tier", "tier",
	"owner", "owner", "accountOwner", "owner", "account_owner", "owner",
}

// segmentPerson reads the traits of a user. company is a name, or an object like a group's traits.
func (n node) segmentPerson() {
	if n.f == nil {
		return
	}
	p := n.pick(personTraits...)
	if first, last, two := strings.Cut(n.said("name"), " "); two && p.f["first_name"] == nil && p.f["last_name"] == nil && !strings.Contains(last, " ") {
		p.f["first_name"], p.f["last_name"] = first, last // more words could be either
	}
	p.person()
	n.pick(addressTraits...).person()
	if address, ok := n.f["address"].(map[string]any); ok {
		node{f: address, path: n.path + "address.", rd: n.rd}.pick(addressTraits...).person()
	}
	switch company := n.f["company"].(type) {
	case string:
		n.pick("company", "name").company()
	case map[string]any:
		node{f: company, path: n.path + "company.", rd: n.rd}.pick(groupTraits...).company()
	}
}

// circumstances reads what a call says of where it was made: browser, page, campaign, consent.
func (rd *reader) circumstances(context, properties node, t *canonical.Touch, viewed bool) {
	r, about := &rd.report, rd.receipt.Context
	clicks := []string{"fbp", "fbp", "_fbp", "fbp", "fbc", "fbc", "_fbc", "fbc", "hubspotutk", "hubspotutk", "hutk", "hubspotutk"}
	rd.device(context.pick(append([]string{"ip", "ip", "userAgent", "user_agent", "user_agent", "user_agent"}, clicks...)...))
	rd.device(properties.pick(clicks...))
	if r.Browser.IP == "0.0.0.0" { // what stands for an address that is not to be kept
		r.Browser.IP = ""
	} else {
		r.Browser.IP = first(r.Browser.IP, about["ip"])
	}
	r.Browser.UserAgent = first(r.Browser.UserAgent, about["user_agent"])
	if viewed {
		properties.place(t)
	}
	page := context.object("page")
	page.place(t)
	page.keep("context.page.")
	if r.Browser.URL == "" && about["referer"] != "" {
		r.Browser.URL = about["referer"]
		rd.query(t, about["referer"])
	}
	utm := []string{
		"utm_source", "utm_source", "utm_medium", "utm_medium", "utm_campaign", "utm_campaign", "utm_term", "utm_term",
		"utm_content", "utm_content", "utm_id", "utm_id",
	}
	for _, s := range clickSchemes {
		utm = append(utm, string(s), string(s))
	}
	named := []string{"source", "utm_source", "medium", "utm_medium", "name", "utm_campaign", "term", "utm_term", "content", "utm_content", "id", "utm_id"}
	var own canonical.Touch // what is named outright says more than the page's URL
	for _, n := range []node{context.object("campaign").pick(append(named, utm...)...), properties.pick(utm...), context.pick(utm...)} {
		n.campaign(&own)
	}
	for _, f := range []struct{ to, from *string }{
		{&t.Source, &own.Source}, {&t.Medium, &own.Medium}, {&t.Campaign, &own.Campaign}, {&t.Term, &own.Term},
		{&t.Content, &own.Content}, {&t.CampaignID, &own.CampaignID}, {&t.AdSet, &own.AdSet}, {&t.Ad, &own.Ad},
	} {
		*f.to = first(*f.from, *f.to)
	}
	context.preferences()
}

// place reads a page's URL, with the query that may stand beside it.
func (n node) place(t *canonical.Touch) {
	p := n.pick("url", "url", "referrer", "referrer")
	u := p.said("url")
	if q := n.said("search"); strings.HasPrefix(q, "?") && u != "" && !strings.Contains(u, "?") {
		if page, err := url.Parse(u); err == nil {
			page.RawQuery = q[1:]
			p.f["url"] = page.String()
		}
	}
	n.rd.page(p, t)
}

// advertising are the categories of a consent tool that say whether somebody may be advertised
// to; sharing those that say whether what is known may be given to others.
var (
	advertising = []string{"advertising", "ads", "marketing", "targeting", "ad_storage", "c0004"}
	sharing     = []string{"datasharing", "data_sharing", "saleofdata", "sale_of_data", "ad_user_data", "advertising", "ads", "marketing", "targeting", "c0004"}
)

// preferences reads context.consent.categoryPreferences: one no among the categories of a kind
// is a no, in whatever form it is said.
func (n node) preferences() {
	consent, ok := n.f["consent"].(map[string]any)
	if !ok {
		return
	}
	chosen, _ := consent["categoryPreferences"].(map[string]any)
	of := func(categories []string) *bool {
		var said *bool
		for k, v := range chosen {
			yes, ok := chose(v)
			for _, c := range categories {
				if ok && strings.EqualFold(k, c) && (said == nil || *said) {
					said = &yes
				}
			}
		}
		return said
	}
	ad, user := of(advertising), of(sharing)
	if ad == nil && user == nil {
		return
	}
	if n.rd.report.Consent == nil {
		n.rd.report.Consent = &canonical.Consent{}
	}
	n.rd.report.Consent.AdStorage, n.rd.report.Consent.AdUserData = ad, user
}

// chose reads what somebody chose of a category.
func chose(v any) (yes, ok bool) {
	switch strings.ToLower(strings.TrimSpace(scalar(v))) {
	case "true", "1", "yes", "granted":
		return true, true
	case "false", "0", "no", "denied":
		return false, true
	}
	return false, false
}

// alias ties the id that somebody was known by to the one that they are known by now. Either may
// be a cookie's: a random id (RFC 9562) is taken for one, anything else may be both.
func (rd *reader) alias(n node) {
	previous := n.key("previousId", "previous_id")
	switch {
	case previous == "":
		rd.fail(CodeMissingID, "previousId", "is missing")
	case len(rd.report.Identifiers) == 0:
		rd.fail(CodeMissingID, "userId", "is missing")
	}
	known := node{f: map[string]any{"anonymous_id": previous}, rd: rd}
	if !randomID(previous) {
		rd.user(previous)
		if strings.Contains(previous, "@") {
			if canonical.NormalEmail(previous) != "" {
				rd.email("previousId", previous)
			}
			return
		}
	}
	rd.device(known)
}

// randomID is true for a UUID in its usual form.
func randomID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'):
			return false
		}
	}
	return true
}

// segmentRevenue reads what an event earned: revenue, else value, else total. What is no amount
// stays a property, and an event whose revenue is none is marked.
func (rd *reader) segmentRevenue(n node) {
	var rev canonical.Revenue
	for _, k := range []string{"revenue", "value", "total"} {
		text := n.said(k)
		m, ok := readMoney(text)
		if ok && rev.Amount == nil {
			rev.Amount = &m
			delete(n.f, k)
		} else if !ok && n.f[k] != nil && k == "revenue" {
			rd.property("revenue_unusable", true)
		}
	}
	for _, f := range []struct {
		key string
		to  **canonical.Money
	}{{"mrr", &rev.MRR}, {"arr", &rev.ARR}, {"acv", &rev.ACV}, {"contract_value", &rev.TCV}, {"tcv", &rev.TCV}} {
		if m, ok := readMoney(n.said(f.key)); ok && *f.to == nil {
			*f.to = &m
			delete(n.f, f.key)
		}
	}
	if c := n.said("currency"); len(c) == 3 && !strings.ContainsFunc(c, func(r rune) bool { return (r|0x20) < 'a' || (r|0x20) > 'z' }) {
		rev.Currency = strings.ToUpper(c)
		delete(n.f, "currency")
	}
	if id := first(n.said("orderId"), n.said("transaction_id"), n.said("transactionId")); id != "" && n.f["order_id"] == nil {
		n.f["order_id"] = id
	}
	rev.BillingPeriod = n.pick("billing_period", "billing_period").text("billing_period")
	rd.earned(rev)
	if rd.report.Revenue == nil && rev.Currency != "" {
		rd.property("currency", rev.Currency)
	}
}
