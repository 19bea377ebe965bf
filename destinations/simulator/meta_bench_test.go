package simulator

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// BenchmarkMeta has the simulator take requests of 200 CRM events, as a lane sends them.
func BenchmarkMeta(b *testing.B) {
	const size = 200
	sim, err := New(Options{Now: func() time.Time { return noon }, Meta: MetaAccount{DatasetIDs: []string{"111222333"}, Token: "t"}})
	if err != nil {
		b.Fatal(err)
	}
	handler := sim.Handler()
	hashes := make([]string, 12)
	for i := range hashes {
		hashes[i] = hashHex(fmt.Sprint(i))
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		var body strings.Builder
		body.WriteString(`{"data":[`)
		for i := range size {
			if i > 0 {
				body.WriteByte(',')
			}
			n++
			fmt.Fprintf(&body, `{"action_source":"system_generated","custom_data":{"currency":"USD","event_source":"crm","lead_event_source":"HubSpot","value":36000},`+
				`"event_id":"deal_%d_closedwon","event_name":"Purchase","event_time":%d,"user_data":{"country":["%s"],"ct":["%s"],"em":["%s"],"external_id":["%s"],`+
				`"fbc":"fb.1.%d.IwAR0-Click%d","fn":["%s"],"ln":["%s"],"ph":["%s"],"st":["%s"],"zp":["%s"]}}`,
				n, noon.Unix()-60, hashes[0], hashes[1], hashes[2], hashes[3], noon.UnixMilli()-1000, n, hashes[4], hashes[5], hashes[6], hashes[7], hashes[8])
		}
		body.WriteString(`]}`)
		r := httptest.NewRequest("POST", "/v25.0/111222333/events", strings.NewReader(body.String()))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer t")
		w := httptest.NewRecorder()
		b.StartTimer()
		handler.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatalf("%d: %s", w.Code, w.Body)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
