package wire

import (
	"strings"

	"tributary/canonical"
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
	user.person()
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

	for _, k := range []string{"pixel_id", "test_event_code"} {
		rd.property(k, rd.receipt.Context[k])
	}
	n.keep("")
	data.keep("")
	user.keep("user_data.")
	rd.finish()
}
