package simulator

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A hubSpotRoute is where a path leads, whatever form of it was used.
type hubSpotRoute struct {
	api     string // objects, properties, pipelines, associations, send, event-definitions, …
	version string
	rest    []string // what stands behind it
}

var datedVersions = []string{"2025-09", "2026-03", "2026-09"}

// numberedVersions are those of each API that were ever there with the shapes played here.
var numberedVersions = map[string][]string{
	"objects": {"v3", "v4"}, "properties": {"v3"}, "pipelines": {"v3"}, "associations": {"v4"}, "owners": {"v3"}, "timeline": {"v3", "v4"},
	"send": {"v3"}, "event-definitions": {"v3"}, "event-occurrences": {"v3"}, "account-info": {"v3"},
}

// known says that there is such a version of the API.
func (r hubSpotRoute) known() bool {
	switch {
	case r.api == "objects" && r.version == "v4": // associations of one record, and nothing else
		return len(r.rest) >= 4 && r.rest[2] == "associations"
	case slices.Contains(numberedVersions[r.api], r.version):
		return true
	}
	return numberedVersions[r.api] != nil && slices.Contains(datedVersions, r.version)
}

// hubSpotRouteOf reads both the numbered and the dated form of a path.
func hubSpotRouteOf(path string) (hubSpotRoute, bool) {
	p := strings.Split(strings.Trim(path, "/"), "/")
	dated := func(i int) bool { return i < len(p) && slices.Contains(datedVersions, p[i]) }
	var r hubSpotRoute
	switch {
	case len(p) >= 3 && p[0] == "crm" && dated(2):
		r = hubSpotRoute{p[1], p[2], p[3:]}
	case len(p) >= 3 && p[0] == "crm":
		r = hubSpotRoute{p[2], p[1], p[3:]}
	case len(p) >= 4 && p[0] == "integrators" && p[1] == "timeline":
		r = hubSpotRoute{"timeline", p[2], p[3:]}
	case len(p) >= 4 && p[0] == "events" && p[1] == "custom" && dated(2):
		r = hubSpotRoute{p[3], p[2], p[4:]}
	case len(p) >= 3 && p[0] == "events" && dated(2):
		r = hubSpotRoute{p[1], p[2], p[3:]}
	case len(p) >= 3 && p[0] == "events":
		r = hubSpotRoute{p[2], p[1], p[3:]}
	case len(p) == 3 && p[0] == "account-info" && p[2] == "details":
		r = hubSpotRoute{"account-info", p[1], p[2:]}
	}
	return r, r.known()
}

// serveHubSpot is the gateway: token, limits, scopes, then the API.
func (s *Simulator) serveHubSpot(c *call) answer {
	if strings.HasPrefix(c.path, "/oauth/") {
		return s.serveOAuth(c)
	}
	if strings.HasPrefix(c.path, "/webhooks/") {
		return s.serveWebhookSettings(c)
	}
	if strings.HasPrefix(c.path, "/webhooks-journal") {
		return s.serveJournal(c)
	}
	h, refused := s.authorize(c)
	if refused != nil {
		s.refusedHubSpot(refused)
		return refused.answer(c).with("X-HubSpot-Correlation-Id", correlationID(c))
	}
	route, known := hubSpotRouteOf(c.path)
	a, refused := h.gateway(c, route, known)
	if refused != nil {
		s.refusedHubSpot(refused)
		a = refused.answer(c)
	}
	return h.withLimits(a, c, route)
}

func (s *Simulator) refusedHubSpot(e *hubSpotError) {
	m := s.memory[HubSpot]
	m.refusal(strings.TrimSpace(strconv.Itoa(e.Status) + " " + cmp.Or(e.Category, e.PolicyName)))
	if e.Status == http.StatusTooManyRequests {
		m.stats.Throttled++
	}
}

const maxURL = 8192

func (h *hubSpotServer) gateway(c *call, route hubSpotRoute, known bool) (answer, *hubSpotError) {
	if refused := h.throttle(c, route); refused != nil {
		return answer{}, refused
	}
	if len(c.r.URL.RequestURI()) > maxURL {
		return answer{}, &hubSpotError{Status: http.StatusRequestURITooLong, Message: "URI too long"}
	}
	if !known {
		return answer{}, noSuchPath()
	}
	if refused := h.checkScopes(c, route); refused != nil {
		return answer{}, refused
	}
	switch route.api {
	case "objects":
		return h.serveObjects(c, route.rest)
	case "associations":
		return h.serveAssociations(c, route.rest)
	case "properties":
		return h.serveProperties(c, route.rest)
	case "pipelines":
		return h.servePipelines(c, route.rest)
	case "owners":
		return h.serveOwners(c, route.rest)
	case "send":
		return h.serveSend(c, route.rest)
	case "event-definitions":
		return h.serveDefinitions(c, route.rest)
	case "event-occurrences":
		return h.serveOccurrences(c, route.rest)
	case "timeline":
		return h.serveTimeline(c, route)
	case "account-info":
		return h.serveAccount(c)
	}
	return answer{}, noSuchPath()
}

func isSearch(route hubSpotRoute) bool {
	return route.api == "objects" && len(route.rest) == 2 && route.rest[1] == "search"
}

// throttle counts a call against the limits it falls under: custom events have their own,
// search its own and the day's, everything else the app's ten seconds and the day's. An
// OAuth app has no day.
func (h *hubSpotServer) throttle(c *call, route hubSpotRoute) *hubSpotError {
	byDay := c.caller.Kind != OAuthApp
	switch {
	case route.api == "send":
		if !h.events.take(c.now) {
			return h.tooMany(c, "search")
		}
		return nil
	case byDay && h.daily.full(c.now):
		return h.tooMany(c, "day")
	case isSearch(route):
		if !h.search.take(c.now) {
			return h.tooMany(c, "search")
		}
	case !c.caller.burst.take(c.now):
		return h.tooMany(c, "ten_seconds")
	}
	if byDay {
		h.daily.take(c.now)
	}
	return nil
}

// tooMany is the 429 of a limit: ten_seconds, day, or search, whose body is that of every
// limit by the second.
func (h *hubSpotServer) tooMany(c *call, limit string) *hubSpotError {
	e := &hubSpotError{Status: http.StatusTooManyRequests, ErrorType: "RATE_LIMIT", GroupName: "publicapi:private-apps"}
	if c.caller != nil {
		e.GroupName = c.caller.group()
	}
	switch limit {
	case "search":
		return &hubSpotError{Status: http.StatusTooManyRequests, Category: "RATE_LIMITS", Message: "You have reached your secondly limit."}
	case "day":
		e.Message, e.PolicyName, e.RequestID = "You have reached your daily limit.", "DAILY", correlationID(c)
	default:
		e.Message, e.PolicyName = "You have reached your ten_secondly_rolling limit.", "TEN_SECONDLY_ROLLING"
	}
	return e
}

// withLimits puts on the headers that tell how much is left.
func (h *hubSpotServer) withLimits(a answer, c *call, route hubSpotRoute) answer {
	a = a.with("X-HubSpot-Correlation-Id", correlationID(c))
	if route.api == "send" {
		return a
	}
	set := func(name string, n int) { a.header["X-Hubspot-Ratelimit-"+name] = []string{strconv.Itoa(n)} }
	if h.daily.most > 0 && c.caller.Kind != OAuthApp {
		set("Daily", h.daily.most)
		set("Daily-Remaining", max(0, h.daily.most-h.daily.used(c.now)))
	}
	if burst := &c.caller.burst; burst.most > 0 && !isSearch(route) {
		set("Max", burst.most)
		set("Remaining", max(0, burst.most-burst.used(c.now)))
		set("Interval-Milliseconds", int(burst.span/time.Millisecond))
	}
	return a
}

// scopesFor says what a call needs.
func (h *hubSpotServer) scopesFor(c *call, route hubSpotRoute) []string {
	subject, last := "", ""
	if len(route.rest) > 0 {
		subject, last = h.crm.typeOf(route.rest[0]), route.rest[len(route.rest)-1]
	}
	if h.crm.custom(subject) != nil {
		subject = "custom"
	}
	access := ".write"
	if c.method == http.MethodGet || last == "read" || last == "search" {
		access = ".read"
	}
	switch route.api {
	case "objects", "associations":
		if subject == notes && access == ".write" {
			return []string{"crm.objects.contacts.read", "crm.objects.contacts.write"}
		}
		if subject == notes {
			subject = contacts
		}
		if subject != "" {
			return []string{"crm.objects." + subject + access}
		}
	case "properties":
		if subject != "" && subject != notes {
			return []string{"crm.schemas." + subject + access}
		}
	case "owners":
		return []string{"crm.objects.owners.read"}
	case "send":
		return []string{"analytics.behavioral_events.send"}
	case "event-definitions":
		return []string{"behavioral_events.event_definitions.read_write"}
	case "timeline":
		return []string{"timeline"}
	}
	return nil
}

// checkScopes refuses what the token may not do.
func (h *hubSpotServer) checkScopes(c *call, route hubSpotRoute) *hubSpotError {
	needed := h.scopesFor(c, route)
	has := c.caller.scopes(h.account.Tier)
	if slices.ContainsFunc(needed, func(scope string) bool { return !slices.Contains(has, scope) }) {
		return missingScopes(needed...)
	}
	return nil
}

func missingScopes(scopes ...string) *hubSpotError {
	context := map[string]any{"requiredGranularScopes": scopes}
	return &hubSpotError{Status: http.StatusForbidden, Category: "MISSING_SCOPES", Context: context,
		Message: "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: https://developers.hubspot.com/scopes.",
		Errors:  []hubSpotProblem{{Message: "One or more of the following scopes are required.", Context: context}}}
}
