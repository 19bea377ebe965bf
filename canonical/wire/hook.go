package wire

import "tributary/canonical"

// hookKinds name how a mapping's json section may have an event read.
var hookKinds = map[string]kind{
	"lifecycle": lifecycle, "lead_status": leadStatus, "deal_stage": dealStage, "page_view": pageView, "form": form,
	"ad_click": adClick, "email_open": emailOpen, "email_click": emailClick, "meeting": meeting, "custom": custom,
}

// hook reads what a configured source sent in any shape, once the mapping has brought it
// into that of POST /v1/events (mappings.Shape); without such a mapping it must have that
// shape. An object called shape says what the body of POST /v1/events has no place for: how
// the event is read (kind), what it is about, whether its time is only that of reporting,
// and the platform of its touch.
func (rd *reader) hook(n node) {
	var shape node
	if f, ok := n.f["shape"].(map[string]any); ok {
		delete(n.f, "shape")
		shape = node{f: f, rd: rd, path: "shape."}
	}
	as, reported, platform := shape.text("kind"), shape.flag("reported"), shape.text("platform")
	objectType, objectID := shape.text("object_type"), shape.key("object_id")
	b := rd.body(n)
	if as != "" {
		kind, known := hookKinds[as]
		if !known {
			rd.fail(CodeUnknown, "kind", "is no kind of event")
		}
		b.kind, b.object = kind, ""
	}
	r := &rd.report
	switch {
	case b.kind == leadStatus:
		b.object = "contact"
	case b.kind == dealStage:
		b.object = "deal"
	case b.kind == lifecycle && objectType == "company":
		b.object = "company"
	}
	rd.read(b)
	if r.Subject == canonical.SubjectCustom || r.Subject == canonical.SubjectTouch {
		if objectType != "" || objectID != "" {
			r.Object = rd.object(first(objectType, r.Object.Type), first(objectID, r.Object.ID))
		}
	}
	if reported != nil && *reported && !r.Reported {
		r.Reported, r.ObservedAt = true, r.OccurredAt
	}
	if platform != "" && r.Touch != nil {
		r.Touch.Platform = platform
	}
}
