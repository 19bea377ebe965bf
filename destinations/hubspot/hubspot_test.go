package hubspot

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
)

var suite = destinationtest.Suite{
	Kind:   Kind(),
	Config: "timeline: notes\n",
	Expand: expand,
}

var behavioral = destinationtest.Suite{
	Kind:   Kind(),
	Config: "timeline: custom_events\nportal_id: 424242\napi: 2026-03\n",
	Accepts: func(batch []destinations.Item, r destinations.Response) bool {
		return r.Status == http.StatusNoContent && batch[0].Part.Batch == asBehavior // 204 says no more than that
	},
}

var templated = destinationtest.Suite{Kind: Kind(), Config: "timeline: oauth_timeline\ntier: oauth\ntemplates: {'*': '1001298'}\ntokens: {summary: sentence, page_url: page}\n"}

var typed = destinationtest.Suite{Kind: Kind(), Config: "timeline: app_events\ntemplates: {'*': ahf0_touchpoint}\n"}

var everywhere = destinationtest.Suite{Kind: Kind(), Config: `
timeline: off
key: tributary_person
key_from: user_id
company_fields: [source_platform, last_activity_at]
deal_fields: [source_campaign, first_touch_at]
lifecycle: {customer_won: customer}
`}

func TestSuiteTemplated(t *testing.T)  { templated.Run(t) }
func TestSuiteAppEvents(t *testing.T)  { typed.Run(t) }
func TestSuiteEverywhere(t *testing.T) { everywhere.Run(t) }
func TestSuite(t *testing.T)           { suite.Run(t) }
func TestSuiteBehavioral(t *testing.T) { behavioral.Run(t) }
func TestGolden(t *testing.T)          { suite.Golden(t) }
func TestReadme(t *testing.T)          { suite.Readme(t) }
func FuzzClassify(f *testing.F)        { suite.Fuzz(f) }
func BenchmarkBuild(b *testing.B)      { suite.Bench(b) }

// expand puts in what only the batch knows: {trace 0}, {uuid 0}, {id 0}.
func expand(body string, batch []destinations.Item) string {
	for i, it := range batch {
		n, trace := strconv.Itoa(i), traceID(it)
		if objectOf(it.Part.Batch) != "" {
			trace = traceOf(it.Part, destination{Settings: Default()}.rowID(it))
		}
		body = strings.ReplaceAll(body, "{trace "+n+"}", trace)
		body = strings.ReplaceAll(body, "{uuid "+n+"}", uuid(it.Event.Key()))
		body = strings.ReplaceAll(body, "{id "+n+"}", it.Event.Contact.ID)
	}
	return body
}

func TestUUIDsAreStableAndWellFormed(t *testing.T) {
	a := uuid(canonical.EventKey{Name: "customer_won", ID: "1"})
	if a != uuid(canonical.EventKey{Name: "customer_won", ID: "1"}) {
		t.Error("the same event has two")
	}
	if a == uuid(canonical.EventKey{Name: "qualified_lead", ID: "1"}) {
		t.Error("two events share one")
	}
	if len(a) != 36 || a[14] != '8' || a[19] != 'a' {
		t.Errorf("%s is no UUID of version 8", a)
	}
}
