package simulator

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A HubSpotAccount is one portal with one private app.
type HubSpotAccount struct {
	PortalID     int64  // 0 means 424242
	AppID        int64  // 0 means 9001
	Token        string // "" takes any token that is not empty
	ClientSecret string // signs webhooks
	Tier         Tier   // "" means enterprise
	TimeZone     string // the day's limit ends at its midnight; "" means UTC
	Currency     string // "" means USD
	// Scopes of the token; nil means all that the simulator asks for.
	Scopes []string
	// Pipelines of deals beside "default".
	Pipelines []Pipeline
	// Lifecycle replaces the eight stages, in order.
	Lifecycle []string
	// LifecycleSync moves contacts and companies along with a company's stage, a new deal and a won
	// deal.
	LifecycleSync bool
	// PropertyPrefix, where set, makes the ten attribution properties of that prefix exist.
	PropertyPrefix string
	// EventDefinitions are the custom events that exist, by name without pe<portal>_.
	EventDefinitions []string
	// Subscriptions of the app: "contact.creation", "deal.propertyChange:dealstage",
	// "object.deletion", …; nil means DefaultSubscriptions.
	Subscriptions []string
	// SearchLag is how long a record stays unseen by search; 0 means five seconds, below 0 none.
	SearchLag time.Duration
	// Burst, Daily and SearchRate replace the tier's limits; below 0 there is none.
	Burst, Daily, SearchRate int
	// PartialUpsert lets an upsert by e-mail answer for each row (207), as the specification has it and
	// the guide denies.
	PartialUpsert bool
	// LinkPage is how many associations of one record v4's batch read gives at a time; 0 means 500.
	LinkPage int
	// MaxRecords bounds the CRM; 0 means 200,000.
	MaxRecords int
}

// A Tier is what the account pays for.
type Tier string

// The tiers.
const (
	Free         Tier = "free"
	Starter      Tier = "starter"
	Professional Tier = "professional"
	Enterprise   Tier = "enterprise"
)

var burstOf = map[Tier]int{Free: 100, Starter: 100, Professional: 190, Enterprise: 190}
var dailyOf = map[Tier]int{Free: 250_000, Starter: 250_000, Professional: 625_000, Enterprise: 1_000_000}

type hubSpotServer struct {
	account HubSpotAccount
	random  *rand.Rand
	started time.Time
	crm     *crm

	burst, search, events rolling
	daily                 daily

	definitions map[string]bool // custom events, by full name
	occurrences []occurrence
	uuids       map[string]time.Time // event name and uuid, when first seen

	hooks hooks
}

func newHubSpotServer(a HubSpotAccount, random *rand.Rand, now time.Time) *hubSpotServer {
	a.PortalID = cmp.Or(a.PortalID, 424242)
	a.AppID = cmp.Or(a.AppID, 9001)
	a.Tier = cmp.Or(a.Tier, Enterprise)
	a.TimeZone = cmp.Or(a.TimeZone, "UTC")
	a.Currency = cmp.Or(a.Currency, "USD")
	a.SearchLag = cmp.Or(a.SearchLag, 5*time.Second)
	a.MaxRecords = cmp.Or(a.MaxRecords, 200_000)
	a.LinkPage = cmp.Or(a.LinkPage, 500)
	if a.Lifecycle == nil {
		a.Lifecycle = defaultLifecycle
	}
	if a.Subscriptions == nil {
		a.Subscriptions = DefaultSubscriptions()
	}
	zone, err := time.LoadLocation(a.TimeZone)
	if err != nil {
		zone = time.UTC // New checks it
	}
	limit := func(n, standard int) int {
		if n < 0 {
			return 0
		}
		return cmp.Or(n, standard)
	}
	h := &hubSpotServer{
		account: a, random: random, started: now,
		burst:       rolling{most: limit(a.Burst, burstOf[a.Tier]), span: 10 * time.Second},
		daily:       daily{most: limit(a.Daily, dailyOf[a.Tier]), zone: zone},
		search:      rolling{most: limit(a.SearchRate, 5), span: time.Second},
		events:      rolling{most: 1250, span: time.Second},
		definitions: make(map[string]bool),
		uuids:       make(map[string]time.Time),
		hooks:       newHooks(a),
	}
	h.crm = newCRM(a)
	for _, name := range a.EventDefinitions {
		h.definitions[h.eventName(name)] = true
	}
	return h
}

func (h *hubSpotServer) eventName(name string) string {
	return "pe" + strconv.FormatInt(h.account.PortalID, 10) + "_" + name
}

func (h *hubSpotServer) windows(now time.Time) []Window {
	return []Window{
		{Name: "ten_seconds", Limit: h.burst.most, Used: h.burst.used(now)},
		{Name: "day", Limit: h.daily.most, Used: h.daily.used(now)},
		{Name: "search_second", Limit: h.search.most, Used: h.search.used(now)},
	}
}

// A hubSpotError is HubSpot's error body with its status.
type hubSpotError struct {
	Status   int              `json:"-"`
	Text     string           `json:"status"`
	Message  string           `json:"message"`
	ID       string           `json:"correlationId"`
	Category string           `json:"category,omitempty"`
	Sub      string           `json:"subCategory,omitempty"`
	Context  map[string]any   `json:"context,omitempty"`
	Errors   []hubSpotProblem `json:"errors,omitempty"`

	ErrorType  string `json:"errorType,omitempty"` // 429 only
	PolicyName string `json:"policyName,omitempty"`
	GroupName  string `json:"groupName,omitempty"`
	RequestID  string `json:"requestId,omitempty"`
}

type hubSpotProblem struct {
	Message string         `json:"message"`
	Code    string         `json:"code,omitempty"`
	In      string         `json:"in,omitempty"`
	Context map[string]any `json:"context,omitempty"`
}

func hubSpotInvalid(message string, problems ...hubSpotProblem) *hubSpotError {
	return &hubSpotError{Status: http.StatusBadRequest, Category: "VALIDATION_ERROR", Message: message, Errors: problems}
}

func hubSpotMissing(message string) *hubSpotError {
	return &hubSpotError{Status: http.StatusNotFound, Category: "OBJECT_NOT_FOUND", Message: message}
}

// hubSpotBadJSON is the 400 without a category.
func hubSpotBadJSON() *hubSpotError {
	return &hubSpotError{Status: http.StatusBadRequest, Message: "Invalid input JSON"}
}

func (e *hubSpotError) answer(c *call) answer {
	e.Text, e.ID = "error", correlationID(c)
	a := jsonAnswer(e.Status, e)
	if e.Status == http.StatusNotFound {
		a = a.with("X-HubSpot-NotFound", "true")
	}
	return a
}

// correlationID names a request in the form of a UUID, the same in every run.
func correlationID(c *call) string {
	sum := sha256.Sum256([]byte("correlation " + strconv.FormatInt(c.number, 10)))
	t := hex.EncodeToString(sum[:16])
	return t[:8] + "-" + t[8:12] + "-" + t[12:16] + "-" + t[16:20] + "-" + t[20:]
}

// A route is where a path leads, whatever form of it was used.
type hubSpotRoute struct {
	api  string   // objects, properties, pipelines, associations, send, event-definitions, …
	rest []string // what stands behind it
}

var datedVersions = []string{"2025-09", "2026-03", "2026-09"}

var numbered = regexp.MustCompile(`^v[1-4]$`)

// hubSpotRouteOf reads both the numbered and the dated form of a path.
func hubSpotRouteOf(path string) (hubSpotRoute, bool) {
	p := strings.Split(strings.Trim(path, "/"), "/")
	isVersion := func(i int) bool {
		return i < len(p) && (numbered.MatchString(p[i]) || slices.Contains(datedVersions, p[i]))
	}
	switch {
	case len(p) >= 3 && p[0] == "crm" && numbered.MatchString(p[1]):
		return hubSpotRoute{p[2], p[3:]}, true
	case len(p) >= 3 && p[0] == "crm" && slices.Contains(datedVersions, p[2]):
		return hubSpotRoute{p[1], p[3:]}, true
	case len(p) >= 2 && p[0] == "integrators" && p[1] == "timeline":
		return hubSpotRoute{"timeline", p[2:]}, true
	case len(p) >= 4 && p[0] == "events" && p[1] == "custom" && isVersion(2):
		return hubSpotRoute{p[3], p[4:]}, true
	case len(p) >= 3 && p[0] == "events" && isVersion(1):
		return hubSpotRoute{p[2], p[3:]}, true
	case len(p) >= 3 && p[0] == "events" && isVersion(2):
		return hubSpotRoute{p[1], p[3:]}, true
	case len(p) == 3 && p[0] == "account-info" && isVersion(1):
		return hubSpotRoute{"account-info", p[2:]}, true
	case path == "/oauth/v2/private-apps/get/access-token-info":
		return hubSpotRoute{"token-info", nil}, true
	case len(p) == 3 && p[0] == "oauth" && isVersion(1) && p[2] == "token":
		return hubSpotRoute{"token", nil}, true
	}
	return hubSpotRoute{}, false
}

// serveHubSpot is the gateway: token, limits, scopes, then the API.
func (s *Simulator) serveHubSpot(c *call) answer {
	h := s.hubspot
	route, known := hubSpotRouteOf(c.path)
	if route.api == "token" || route.api == "token-info" {
		return h.serveToken(c, route.api)
	}
	a, refused := s.hubSpotGateway(c, route, known)
	if refused != nil {
		m := s.memory[HubSpot]
		m.refusal(strings.TrimSpace(strconv.Itoa(refused.Status) + " " + cmp.Or(refused.Category, refused.PolicyName)))
		if refused.Status == http.StatusTooManyRequests {
			m.stats.Throttled++
		}
		a = refused.answer(c)
	}
	return h.withLimits(a, c, route)
}

func (s *Simulator) hubSpotGateway(c *call, route hubSpotRoute, known bool) (answer, *hubSpotError) {
	h := s.hubspot
	if refused := h.authorize(c); refused != nil {
		return answer{}, refused
	}
	if refused := h.throttle(c, route); refused != nil {
		return answer{}, refused
	}
	if !known {
		return answer{}, &hubSpotError{Status: http.StatusNotFound, Message: "resource not found"}
	}
	if refused := h.checkScopes(c, route); refused != nil {
		return answer{}, refused
	}
	switch route.api {
	case "objects":
		return s.serveObjects(c, route.rest)
	case "associations":
		return s.serveAssociations(c, route.rest)
	case "properties":
		return s.serveProperties(c, route.rest)
	case "pipelines":
		return h.servePipelines(c, route.rest)
	case "send":
		return s.serveSend(c, route.rest)
	case "event-definitions":
		return s.serveDefinitions(c, route.rest)
	case "event-occurrences":
		return h.serveOccurrences(c)
	case "account-info":
		return h.serveAccount(c)
	}
	return answer{}, &hubSpotError{Status: http.StatusNotFound, Message: "resource not found"}
}

func (h *hubSpotServer) authorize(c *call) *hubSpotError {
	token, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	if token = strings.TrimSpace(token); !ok || token == "" || h.account.Token != "" && token != h.account.Token {
		return &hubSpotError{Status: http.StatusUnauthorized, Category: "INVALID_AUTHENTICATION",
			Message: "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview"}
	}
	return nil
}

func isSearch(route hubSpotRoute) bool {
	return route.api == "objects" && len(route.rest) == 2 && route.rest[1] == "search"
}

// throttle counts a call against the limits it falls under: custom events have their own,
// search its own and the day's, everything else the ten seconds' and the day's.
func (h *hubSpotServer) throttle(c *call, route hubSpotRoute) *hubSpotError {
	app := "privateapp:" + strconv.FormatInt(h.account.AppID, 10)
	switch {
	case route.api == "send":
		if !h.events.take(c.now) {
			return &hubSpotError{Status: http.StatusTooManyRequests, Category: "RATE_LIMITS", Message: "You have reached your secondly limit."}
		}
		return nil
	case h.daily.full(c.now):
		return &hubSpotError{Status: http.StatusTooManyRequests, Message: "You have reached your daily limit.", ErrorType: "RATE_LIMIT",
			PolicyName: "DAILY", GroupName: app, RequestID: correlationID(c)}
	case isSearch(route):
		if !h.search.take(c.now) {
			return &hubSpotError{Status: http.StatusTooManyRequests, Category: "RATE_LIMITS", Message: "You have reached your secondly limit."}
		}
	case !h.burst.take(c.now):
		return &hubSpotError{Status: http.StatusTooManyRequests, Message: "You have reached your ten_secondly_rolling limit.", ErrorType: "RATE_LIMIT",
			PolicyName: "TEN_SECONDLY_ROLLING", GroupName: app}
	}
	h.daily.take(c.now)
	return nil
}

// withLimits puts on the headers that tell how much is left.
func (h *hubSpotServer) withLimits(a answer, c *call, route hubSpotRoute) answer {
	a = a.with("X-HubSpot-Correlation-Id", correlationID(c))
	if route.api == "send" {
		return a
	}
	set := func(name string, n int) { a = a.with("X-HubSpot-RateLimit-"+name, strconv.Itoa(n)) }
	if h.daily.most > 0 {
		set("Daily", h.daily.most)
		set("Daily-Remaining", max(0, h.daily.most-h.daily.used(c.now)))
	}
	if h.burst.most > 0 && !isSearch(route) {
		set("Max", h.burst.most)
		set("Remaining", max(0, h.burst.most-h.burst.used(c.now)))
		set("Interval-Milliseconds", 10000)
	}
	return a
}

// scopesFor says what a call needs.
func scopesFor(c *call, route hubSpotRoute) []string {
	subject := ""
	if len(route.rest) > 0 {
		subject = typeNames[route.rest[0]]
	}
	write := ".write"
	reads := c.method == http.MethodGet || len(route.rest) > 1 && (route.rest[len(route.rest)-1] == "read" || route.rest[len(route.rest)-1] == "search")
	if reads {
		write = ".read"
	}
	switch route.api {
	case "objects", "associations":
		if subject == notes && write == ".write" {
			return []string{"crm.objects.contacts.read", "crm.objects.contacts.write"}
		}
		if subject == notes {
			subject = contacts
		}
		if subject != "" {
			return []string{"crm.objects." + subject + write}
		}
	case "properties":
		if subject != "" && subject != notes {
			return []string{"crm.schemas." + subject + write}
		}
	case "send":
		return []string{"analytics.behavioral_events.send"}
	case "event-definitions":
		return []string{"behavioral_events.event_definitions.read_write"}
	case "timeline":
		return []string{"timeline"}
	}
	return nil
}

// checkScopes refuses what the token may not do. No private app's token has the timeline
// scope, and below Enterprise none has those of custom events.
func (h *hubSpotServer) checkScopes(c *call, route hubSpotRoute) *hubSpotError {
	for _, scope := range scopesFor(c, route) {
		custom := strings.Contains(scope, "behavioral_events")
		if scope == "timeline" || custom && h.account.Tier != Enterprise || h.account.Scopes != nil && !slices.Contains(h.account.Scopes, scope) {
			return &hubSpotError{Status: http.StatusForbidden, Category: "MISSING_SCOPES",
				Message: "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: https://developers.hubspot.com/scopes.",
				Context: map[string]any{"requiredGranularScopes": []string{scope}},
				Errors:  []hubSpotProblem{{Message: "One or more of the following scopes are required.", Context: map[string]any{"requiredGranularScopes": []string{scope}}}}}
		}
	}
	return nil
}

// fault is a scripted status in HubSpot's shape.
func (h *hubSpotServer) fault(status int, c *call) answer {
	e := &hubSpotError{Status: status, Message: "internal error"}
	switch status {
	case http.StatusBadRequest:
		e = hubSpotInvalid("Property values were not valid")
	case http.StatusUnauthorized:
		e.Category, e.Message = "INVALID_AUTHENTICATION", "Authentication credentials not found."
	case http.StatusForbidden:
		e.Category, e.Message = "MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call."
		e.Context = map[string]any{"requiredGranularScopes": []string{"crm.objects.contacts.write"}}
	case http.StatusTooManyRequests:
		e.Message, e.ErrorType, e.PolicyName = "You have reached your ten_secondly_rolling limit.", "RATE_LIMIT", "TEN_SECONDLY_ROLLING"
	case http.StatusLocked:
		e.Message = "The record is locked by another process"
	}
	return e.answer(c)
}
