package cases

import (
	"encoding/json"
	"slices"

	"tributary/canonical"
)

var ways = []string{string(canonical.WayCRM), string(canonical.WayEvents), string(canonical.WayHubSpot), string(canonical.WayPixel), string(canonical.WayMeta), string(canonical.WayHook), string(canonical.WayWorkflow), string(canonical.WaySegment)}

// SourceOf is the configured source that a way in belongs to where no key says another.
func SourceOf(way canonical.Way) string {
	switch way {
	case canonical.WayPixel:
		return "web"
	case canonical.WayMeta:
		return "meta"
	case canonical.WaySegment:
		return "segment"
	case canonical.WayCRM, canonical.WayHubSpot, canonical.WayEvents, canonical.WayWorkflow:
		return "hubspot"
	}
	return "api"
}

// GuessWay says which way in a body was meant for; "" where nothing tells.
func GuessWay(body []byte) canonical.Way {
	var b map[string]json.RawMessage
	if json.Unmarshal(body, &b) != nil {
		return ""
	}
	has := func(keys ...string) bool {
		return slices.ContainsFunc(keys, func(k string) bool { _, ok := b[k]; return ok })
	}
	switch {
	case has("subscriptionType", "eventType") && has("objectId"):
		return canonical.WayHubSpot
	case has("messageId", "anonymousId", "userId", "previousId", "groupId", "originalTimestamp"):
		return canonical.WaySegment
	case has("event_name", "action_source"):
		return canonical.WayMeta
	case has("contact", "company", "deal"):
		return canonical.WayCRM
	case has("user_data", "custom_data", "account_data"):
		return canonical.WayEvents
	case has("anonymous_id", "url", "page"):
		return canonical.WayPixel
	case has("event"):
		return canonical.WayEvents
	}
	return ""
}

// Ways lists the ways in that an input can come by.
func Ways() []string { return slices.Clone(ways) }
