package simulator

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkHubSpot writes batches as large as they may be, without a network: items/s is
// what one core takes.
func BenchmarkHubSpot(b *testing.B) {
	for name, tc := range map[string]struct {
		path, row string
		rows      int
	}{
		"upsert":        {"/crm/v3/objects/contacts/batch/upsert", `{"id":"p%[1]d@example.test","idProperty":"email","objectWriteTraceId":"row-%[1]d","properties":{"tributary_utm_source":"linkedin","tributary_utm_medium":"paid","tributary_source_campaign":"spring %[2]d","tributary_last_touch_at":"1788000000000","lifecyclestage":"lead"}}`, 100},
		"custom events": {"/events/v3/send/batch", `{"eventName":"pe424242_touch","email":"p%[1]d@example.test","occurredAt":"2026-09-01T10:00:00Z","uuid":"%[2]d-%[1]d","properties":{"sentence":"Clicked ad: Spring on linkedin","page_url":"https://example.com/?a=1"}}`, 500},
		"notes":         {"/crm/v3/objects/notes/batch/create", `{"objectWriteTraceId":"row-%[1]d","properties":{"hs_timestamp":"1788000000000","hs_note_body":"Clicked ad: Spring %[2]d on linkedin"},"associations":[{"to":{"id":"%[3]d"},"types":[{"associationCategory":"HUBSPOT_DEFINED","associationTypeId":202}]}]}`, 100},
	} {
		b.Run(name, func(b *testing.B) {
			s, err := New(Options{HubSpot: HubSpotAccount{PropertyPrefix: "tributary_", EventDefinitions: []string{"touch"}, Burst: -1, Daily: -1, MaxRecords: 1 << 30}, MaxReceived: 10_000})
			if err != nil {
				b.Fatal(err)
			}
			var ids []int64
			for i := range tc.rows {
				id, err := s.Make(Made{Type: "contact", Properties: map[string]string{"email": fmt.Sprintf("p%d@example.test", i)}})
				if err != nil {
					b.Fatal(err)
				}
				ids = append(ids, id)
			}
			client := http.Client{Transport: s.Transport()}
			round := 0
			body := func() string {
				rows := make([]string, tc.rows)
				for i := range rows {
					rows[i] = fmt.Sprintf(strings.ReplaceAll(tc.row, "%[3]d", fmt.Sprint(ids[i])), i, round)
				}
				round++
				return `{"inputs":[` + strings.Join(rows, ",") + `]}`
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				b.StopTimer()
				text := body()
				b.StartTimer()
				req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://hubspot.test"+tc.path, strings.NewReader(text))
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer pat")
				res, err := client.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				var answer bytes.Buffer
				_, _ = io.Copy(&answer, res.Body)
				if res.StatusCode/100 != 2 || res.StatusCode == http.StatusMultiStatus {
					b.Fatal(res.StatusCode, answer.String())
				}
				n++
			}
			b.ReportMetric(float64(n*tc.rows)/b.Elapsed().Seconds(), "items/s")
		})
	}
}
