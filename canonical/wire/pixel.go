package wire

import (
	"slices"
	"time"

	"tributary/canonical"
)

// pixel reads one browser event: the query of GET /v1/pixel.gif or one object of
// POST /v1/ingest/pixel. Browsers say what they see; that a person became a lead is the
// CRM's to say, which mappings hold by the receipt's Browser.
func (rd *reader) pixel(n node) {
	r, ctx := &rd.report, rd.receipt.Context
	if bot := ctx["bot"]; bot != "" && !rd.settings.KeepBots {
		rd.fail(CodeBot, "", "no person saw it: "+bot)
	}
	n.text("source")
	delete(n.f, "key") // the browser key that it came with
	times := []string{"occurred_at", "timestamp", "ts"}
	skew := n.skew(times)
	n.shift(skew, times)
	n.flatConsent()
	r.Event = "page_view"
	if _, there := n.f["event"]; there {
		r.Event = n.name("event")
	} else if _, there := n.f["ev"]; there {
		r.Event = n.name("ev")
	}
	r.EventID = canonical.EventID(n.key("event_id", "eid", "eventID"))
	at := n.when(times...)
	if !at.given {
		// A beacon is sent when it happens: its arrival is its time.
		rd.happened(moment{}, moment{})
		r.Reported = false
	} else {
		rd.happened(at, moment{})
	}

	user, data := n.object("user_data", "user"), n.object("custom_data")
	n.keptClicks(skew)
	n.who()
	user.person()
	if !slices.ContainsFunc(r.Identifiers, func(id canonical.Identifier) bool { return id.Scheme == canonical.Anonymous }) {
		rd.identify(canonical.Anonymous, ctx["cookie"])
	}
	if ctx["opt_out"] != "" { // the browser says no, and the site was told to listen
		no := false
		r.Consent = &canonical.Consent{AdStorage: &no, AdUserData: &no}
	}
	n.object("company", "account_data").company()

	var t canonical.Touch
	for _, o := range []node{n.object("campaign"), data, n} {
		o.campaign(&t)
	}
	rd.page(alias(n, map[string]string{"dl": "url", "rl": "referrer"}), &t)
	if r.Browser.URL == "" && ctx["referer"] != "" {
		// An image's Referer is the page it stands on.
		r.Browser.URL = ctx["referer"]
		rd.query(&t, ctx["referer"])
	}
	r.Browser.UserAgent = first(r.Browser.UserAgent, ctx["user_agent"])
	r.Browser.IP = first(r.Browser.IP, ctx["ip"])

	switch k, _ := kindOf(r.Event); k {
	case pageView, form, adClick, emailOpen, emailClick, meeting:
		rd.touch(n, data, t, touchKinds[k])
	case identified:
		r.Subject, r.Object = canonical.SubjectProperty, canonical.Object{Type: "person"}
	default:
		r.Subject, r.Object = canonical.SubjectCustom, canonical.Object{Type: "person"}
		var rev canonical.Revenue
		data.revenue(&rev)
		n.revenue(&rev)
		rd.earned(rev)
	}
	if r.Touch == nil {
		r.Touch = rd.acquired(t)
		rd.keepCampaign(t)
	}
	n.keep("")
	if m, ok := r.Properties["properties"].(map[string]any); ok {
		delete(r.Properties, "properties")
		node{f: m, rd: rd}.keep("")
	}
	data.keep("")
	user.keep("user_data.")
	rd.finish()
}

// alias gives short names their long form where that is not there.
func alias(n node, names map[string]string) node {
	for short, long := range names {
		if v, ok := n.f[short]; ok {
			delete(n.f, short)
			if _, taken := n.f[long]; !taken {
				n.f[long] = v
			}
		}
	}
	return n
}

// clockOff is how far a visitor's clock may be from ours before it is set right: less is the
// way that a request takes.
const clockOff = 2 * time.Minute

// skew tells by sent_at, what the visitor's clock said on sending, how far it is from ours. Nothing
// is sent before it happened: such a clock says nothing.
func (n node) skew(times []string) time.Duration {
	m, ok := parseTime(n.plain("sent_at"))
	if !ok {
		return 0
	}
	if at, ok := parseTime(n.said(times...)); ok && at.at.Sub(m.at) >= clockOff {
		return 0
	}
	if d := n.rd.receipt.ReceivedAt.Sub(m.at); d.Abs() >= clockOff {
		return d
	}
	return 0
}

// shift moves times of the visitor's clock to ours.
func (n node) shift(d time.Duration, keys []string) {
	if d == 0 {
		return
	}
	for _, k := range keys {
		if m, ok := parseTime(n.said(k)); ok {
			n.f[k] = canonical.FormatTime(m.at.Add(d))
		}
	}
}

// keptClicks reads the click ids that the page's script remembers: {"gclid": {"id", "at"}}. A
// time that cannot be read or believed is none; the click is one all the same. A page may mean
// something else by clicks: what is no object stays a property.
func (n node) keptClicks(skew time.Duration) {
	if _, ok := n.f["clicks"].(map[string]any); !ok {
		return
	}
	kept := n.object("clicks")
	for _, s := range clickSchemes {
		of, _ := kept.f[string(s)].(map[string]any)
		c := node{f: of, rd: n.rd}
		id := first(c.said("id"), kept.said(string(s)))
		if namesNothing(id) {
			continue
		}
		m, ok := parseTime(c.said("at"))
		if at := m.at.Add(skew); ok && n.rd.doubt(at) == "" {
			n.rd.click(s, id, at)
		} else {
			n.rd.click(s, id, time.Time{})
		}
	}
}

// flatConsent takes consent that stands beside the other fields: an image's query has no objects.
func (n node) flatConsent() {
	said, nested := n.f["consent"].(map[string]any)
	if v := n.f["consent"]; !nested && v != nil && v != "" {
		return
	}
	if !nested {
		said = map[string]any{}
	}
	for _, k := range []string{"ad_storage", "ad_user_data"} {
		if v, there := n.f[k]; there {
			if _, taken := said[k]; !taken {
				said[k] = v
			}
			delete(n.f, k)
		}
	}
	if len(said) > 0 {
		n.f["consent"] = said
	}
}
