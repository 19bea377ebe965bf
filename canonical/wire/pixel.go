package wire

import "tributary/canonical"

// pixel reads one browser event: the query of GET /v1/pixel.gif or one object of
// POST /v1/ingest/pixel. Browsers say what they see; that a person became a lead is the
// CRM's to say, which mappings hold by the receipt's Browser.
func (rd *reader) pixel(n node) {
	r := &rd.report
	n.text("source")
	delete(n.f, "key") // the browser key that it came with
	r.Event = "page_view"
	if _, there := n.f["event"]; there {
		r.Event = n.name("event")
	} else if _, there := n.f["ev"]; there {
		r.Event = n.name("ev")
	}
	r.EventID = canonical.EventID(n.key("event_id", "eid"))
	at := n.when("occurred_at", "timestamp", "ts")
	if !at.given {
		// A beacon is sent when it happens: its arrival is its time.
		rd.happened(moment{}, moment{})
		r.Reported = false
	} else {
		rd.happened(at, moment{})
	}

	user, data := n.object("user_data", "user"), n.object("custom_data")
	n.who()
	user.person()
	n.object("company", "account_data").company()

	var t canonical.Touch
	for _, o := range []node{n.object("campaign"), data, n} {
		o.campaign(&t)
	}
	rd.page(alias(n, map[string]string{"dl": "url", "rl": "referrer"}), &t)
	ctx := rd.receipt.Context
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
