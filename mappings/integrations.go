package mappings

import (
	"strings"

	"tributary/canonical"
)

// vendorNames are the words by which Segment's catalogue names the vendors of our kinds of
// destination: "Facebook Conversions API (Actions)".
var vendorNames = map[string][]string{
	"meta": {"meta", "facebook"}, "linkedin": {"linkedin"}, kindHubSpot: {"hubspot"}, "webhook": {"webhooks"},
}

// unchosen is true where a Segment call says in its integrations that it is not for a
// destination: by the destination's name, else by its kind, else by a name of the vendor in
// Segment's catalogue (one yes is a yes), else by All.
func unchosen(destination, kind string, e *canonical.Event) bool {
	if e.Way != canonical.WaySegment || len(e.Properties) == 0 {
		return false
	}
	chosen, _ := e.Properties["integrations"].(map[string]any)
	said, rank := true, 0
	for key, v := range chosen {
		yes := v != false && v != "false" // an object holds settings of a destination that is meant
		key = strings.ToLower(strings.TrimSpace(key))
		as := 0
		switch {
		case key == destination:
			as = 4
		case key == kind:
			as = 3
		case key == "all":
			as = 1
		default:
			for _, word := range vendorNames[kind] {
				if strings.HasPrefix(key+" ", word+" ") {
					as = 2
				}
			}
		}
		switch {
		case as == rank && as > 0:
			said = said || yes
		case as > rank:
			said, rank = yes, as
		}
	}
	return !said
}
