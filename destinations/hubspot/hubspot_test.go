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

func TestSuite(t *testing.T)           { suite.Run(t) }
func TestSuiteBehavioral(t *testing.T) { behavioral.Run(t) }
func TestGolden(t *testing.T)          { suite.Golden(t) }
func TestReadme(t *testing.T)          { suite.Readme(t) }
func FuzzClassify(f *testing.F)        { suite.Fuzz(f) }
func BenchmarkBuild(b *testing.B)      { suite.Bench(b) }

// expand puts in what only the batch knows: {trace 0}, {id 0}.
func expand(body string, batch []destinations.Item) string {
	for i, it := range batch {
		n := strconv.Itoa(i)
		body = strings.ReplaceAll(body, "{trace "+n+"}", traceID(it))
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
