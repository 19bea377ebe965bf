package ingest

import (
	"github.com/gin-gonic/gin"

	"tributary/canonical"
)

// crm takes one change of a CRM record: POST /v1/ingest/crm.
func (f *front) crm(c *gin.Context, r *request) error {
	body, err := f.readJSON(c.Request, f.limits.Body)
	if err != nil {
		return err
	}
	items, batch, fault := f.cut(canonical.WayCRM, body, "events")
	if fault != nil {
		return fault
	}
	return f.accept(c, r, &intake{way: canonical.WayCRM, items: items, batch: batch, bound: r.key.Source, absent: sourceHubSpot})
}

// events takes one event, an array or {"events":[…]}: POST /v1/events.
func (f *front) events(c *gin.Context, r *request) error {
	body, err := f.readJSON(c.Request, f.limits.Batch)
	if err != nil {
		return err
	}
	items, batch, fault := f.cut(canonical.WayEvents, body, "events")
	if fault != nil {
		return fault
	}
	if !batch && len(body) > f.limits.Body {
		return tooLarge(f.limits.Body)
	}
	return f.accept(c, r, &intake{way: canonical.WayEvents, items: items, batch: batch, bound: r.key.Source, absent: sourceAPI})
}
