package hubspotcrm_test

import (
	"context"
	"net/http"
	"testing"

	"tributary/internal/hubspotcrm"
)

// FuzzAnswers: whatever a CRM, or a gateway before it, answers, it is read or an error.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		`{"results":[{"id":"1","properties":{"email":"a@example.com","lifecyclestage":"lead"},"createdAt":"2026-04-23T11:04:19Z","archived":false}],"paging":{"next":{"after":"1"}}}`,
		`{"total":3,"results":[{"from":{"id":"1"},"to":[{"toObjectId":2,"associationTypes":[{"typeId":1,"label":null}]}]}]}`,
		`{"results":[{"id":"p","label":"Sales","stages":[{"id":"s","label":"Won","metadata":{"isClosed":"true","probability":"1.0"}}]}]}`,
		`{"status":"error","category":"RATE_LIMITS","policyName":"DAILY","message":"x"}`, `<html>`, `[]`, `null`, `{"results":null}`, `{"results":[null,{"id":null}]}`, `{"results":[{"id":1,"properties":[]}]}`,
	} {
		f.Add(200, []byte(s))
		f.Add(429, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		ctx, first := t.Context(), true
		c := &hubspotcrm.Client{
			BaseURL: "https://crm.example.test", Token: func(context.Context) (string, error) { return "t", nil },
			HTTP: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Transport: inProcess{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if !first { // or the same page would come for ever
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				first = false
				w.WriteHeader(status)
				w.Write(body)
			})}},
		}
		ids := []string{"1", "2"}
		for _, ask := range []func(){
			func() { c.Read(ctx, "contacts", ids) },
			func() { c.Associated(ctx, "deals", ids, "contacts") },
			func() { c.Pipelines(ctx, "deals") },
			func() { c.Owners(ctx) },
			func() { c.Definitions(ctx, "contacts") },
			func() { c.Histories(ctx, "contacts", ids, []string{"lifecyclestage"}, false) },
			func() { c.Bin(ctx, "contacts", "") },
			func() { c.Live(ctx, "contacts", ids) },
		} {
			first = true
			ask()
		}
	})
}
