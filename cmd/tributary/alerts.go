package main

import (
	"context"

	"tributary/destinations/delivery"
	"tributary/internal/alert"
)

// startAlerts tells the webhook, where one is configured, what stands still and what goes
// again.
func (r *router) startAlerts(keep func(name string, stage func(context.Context) error)) {
	c := r.cfg.Alerts
	if c.URL == "" {
		return
	}
	t := &alert.Teller{
		Degraded: r.degraded, URL: c.AddressReader(), Secret: c.Secret.Reader(), Client: delivery.NewClient(c.AllowPrivate), Instance: r.instance,
		UserAgent: userAgent(r.instance), Settle: c.Settle, Logger: r.logger.With("part", alert.Part),
		Trouble: func(err error) { r.health.Set(alert.Part, err) },
	}
	keep(alert.Part, t.Run)
}
