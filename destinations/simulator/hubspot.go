package simulator

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// A HubSpotAccount is one portal with its first app: a private app unless Kind says
// otherwise. Apps are further ones.
type HubSpotAccount struct {
	PortalID     int64   // 0 means 424242, of a further portal the next number
	AppID        int64   // 0 means 9001
	Kind         AppKind // "" means private_app
	Token        string  // see HubSpotApp; "" takes any token that no other app has (not for OAuth)
	ClientID     string  // OAuth
	ClientSecret string  // signs webhooks, and goes with ClientID
	RefreshToken string
	Code         string
	TokenLife    time.Duration
	Tier         Tier   // "" means enterprise
	LimitAddOns  int    // API limit add-ons bought, at most 2
	TimeZone     string // the day's limit ends at its midnight; "" means UTC
	Currency     string // "" means USD
	// Scopes of the token; nil means all that the simulator asks for.
	Scopes []string
	// Templates, Partner and EventTypes: see HubSpotApp.
	Templates  []EventTemplate
	Partner    bool
	EventTypes []AppEventType
	Apps       []HubSpotApp
	Journal    JournalApp

	// Pipelines of deals beside "default".
	Pipelines []Pipeline
	// Lifecycle replaces the eight stages, in order; DefaultStage is what a new contact or company
	// gets, "" means lead, or the first where there is no lead.
	Lifecycle    []string
	DefaultStage string
	// LifecycleSync moves contacts and companies along with a company's stage, a new deal and a won
	// deal.
	LifecycleSync bool
	// PropertyPrefix, where set, makes the ten attribution properties of that prefix exist.
	PropertyPrefix string
	// Objects are the account's own object types (Enterprise).
	Objects []CustomObject
	// Owners are the ids that hubspot_owner_id may hold; nil means any number.
	Owners []int64
	// OwnersLeft are the ids of owners who have gone: they are shown among the archived ones.
	OwnersLeft []int64
	// Rules are the account's validation rules, which writes have to keep (from 2026-09).
	Rules []WriteRule
	// EventDefinitions are the custom events that exist, by name without pe<portal>_; they take any
	// property. One made through the API takes those it names.
	EventDefinitions []string
	// EventLag is how long a custom event that was taken stays unseen when events are read back; 0
	// means five seconds, below 0 none.
	EventLag time.Duration
	// Subscriptions of the app: "contact.creation", "deal.propertyChange:dealstage",
	// "object.deletion", …; nil means DefaultSubscriptions.
	Subscriptions []string
	// TargetURL is what the app's settings name, and DeveloperKey what they ask for ("" takes any):
	// of a public app (OAuth), whose settings have an API.
	TargetURL, DeveloperKey string
	// SearchLag is how long search does not see what was written; 0 means five seconds, below 0
	// none.
	SearchLag time.Duration
	// Burst, Daily and SearchRate replace the limits of app and tier; below 0 there is none.
	Burst, Daily, SearchRate int
	// PartialUpsert lets an upsert by e-mail answer for each row (207), as the specification has it and
	// the guide denies.
	PartialUpsert bool
	// LinkPage is how many associations of one record v4 gives at a time; 0 means 500.
	LinkPage int
	// MaxRecords bounds the CRM; 0 means 200,000.
	MaxRecords int
}

// A CustomObject is an object type of the account's own.
type CustomObject struct {
	Name   string // singular, lower case; its paths are 2-<N>, p<portal>_<name> and <name>
	Plural string // "" means the name with an s
	// Properties are "name type", with "unique" behind it for a key.
	Properties []string
	Needs      []string // properties a new record must have
}

// A WriteRule refuses a write that leaves a record without what the account demands.
type WriteRule struct {
	Object string // contact, company, deal, …
	// Where and Is name the property and value that make Needs necessary; "" means always, when a
	// record is created.
	Where, Is string
	Needs     []string
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

// A hubSpotServer is one portal. Everything of it is under the simulator's lock.
type hubSpotServer struct {
	sim     *Simulator
	account HubSpotAccount
	number  int // among the portals, from 0
	random  *rand.Rand
	crm     *crm
	apps    []*hubSpotApp

	search, events rolling
	daily          daily

	definitions map[string]*eventDefinition // custom events, by full name
	timeline    timeline
	blocked     map[string]bool // e-mails erased for good

	hooks   hooks
	journal webhookJournal
}

// check finds settings that no portal could have.
func (a HubSpotAccount) check() error {
	if _, err := time.LoadLocation(a.TimeZone); err != nil {
		return err
	}
	if a.Tier != "" && burstOf[a.Tier] == 0 {
		return fmt.Errorf("tier %q: want free, starter, professional or enterprise", a.Tier)
	}
	if a.LimitAddOns < 0 || a.LimitAddOns > 2 {
		return fmt.Errorf("%d API limit add-ons: want 0 to 2", a.LimitAddOns)
	}
	if a.DefaultStage != "" && !slices.Contains(a.stages(), a.DefaultStage) {
		return fmt.Errorf("default stage %q is none of the lifecycle stages", a.DefaultStage)
	}
	if len(a.Objects) > 0 && a.Tier != "" && a.Tier != Enterprise {
		return fmt.Errorf("custom objects need tier enterprise")
	}
	for _, o := range a.Objects {
		if err := o.check(); err != nil {
			return fmt.Errorf("custom object %q: %w", o.Name, err)
		}
	}
	for _, app := range a.apps() {
		if err := app.check(); err != nil {
			return fmt.Errorf("app %d: %w", app.ID, err)
		}
	}
	return nil
}

func (a HubSpotAccount) stages() []string {
	if a.Lifecycle == nil {
		return defaultLifecycle
	}
	return a.Lifecycle
}

func newHubSpotServer(s *Simulator, a HubSpotAccount, number int) *hubSpotServer {
	a.PortalID = cmp.Or(a.PortalID, 424242+int64(number))
	a.Tier = cmp.Or(a.Tier, Enterprise)
	a.TimeZone = cmp.Or(a.TimeZone, "UTC")
	a.Currency = cmp.Or(a.Currency, "USD")
	a.SearchLag = cmp.Or(a.SearchLag, 5*time.Second)
	a.EventLag = cmp.Or(a.EventLag, 5*time.Second)
	a.MaxRecords = cmp.Or(a.MaxRecords, 200_000)
	a.LinkPage = cmp.Or(a.LinkPage, 500)
	a.Lifecycle = a.stages()
	if a.DefaultStage == "" && slices.Contains(a.Lifecycle, "lead") {
		a.DefaultStage = "lead"
	}
	a.DefaultStage = cmp.Or(a.DefaultStage, a.Lifecycle[0])
	if a.Subscriptions == nil {
		a.Subscriptions = DefaultSubscriptions()
	}
	zone, err := time.LoadLocation(a.TimeZone)
	if err != nil {
		zone = time.UTC // New checks it
	}
	h := &hubSpotServer{
		sim: s, account: a, number: number, random: s.random,
		daily:       daily{most: limitOf(a.Daily, dailyOf[a.Tier]+a.LimitAddOns*1_000_000), zone: zone},
		search:      rolling{most: limitOf(a.SearchRate, 5), span: time.Second},
		events:      rolling{most: 1250, span: time.Second},
		definitions: make(map[string]*eventDefinition),
		timeline:    newTimeline(),
		blocked:     make(map[string]bool),
		hooks:       newHooks(a),
	}
	h.crm = newCRM(a, number)
	for _, app := range a.apps() {
		h.apps = append(h.apps, newHubSpotApp(a, app, s.now()))
	}
	for _, name := range a.EventDefinitions {
		h.definitions[h.eventName(name)] = &eventDefinition{Name: name, Label: name, Object: "CONTACT"}
	}
	return h
}

// limitOf reads a setting that replaces a standard: 0 leaves it, below 0 means none.
func limitOf(n, standard int) int {
	if n < 0 {
		return 0
	}
	return cmp.Or(n, standard)
}

func (h *hubSpotServer) eventName(name string) string {
	return "pe" + strconv.FormatInt(h.account.PortalID, 10) + "_" + name
}

// windows lists the limits: those of the first portal and app by their bare names, others
// with portal, or portal and app, in front.
func (h *hubSpotServer) windows(now time.Time) []Window {
	portal := ""
	if h.number > 0 {
		portal = strconv.FormatInt(h.account.PortalID, 10) + " "
	}
	var out []Window
	for i, app := range h.apps {
		name := portal
		if i > 0 {
			name = h.appName(app) + " "
		}
		out = append(out, app.burst.window(name+"ten_seconds", now))
	}
	return append(out, h.daily.window(portal+"day", now), h.search.window(portal+"search_second", now), h.events.window(portal+"events_second", now))
}

func (h *hubSpotServer) appName(app *hubSpotApp) string {
	return strconv.FormatInt(h.account.PortalID, 10) + "/" + strconv.FormatInt(app.ID, 10)
}

// note writes one line of this portal's to the file.
func (h *hubSpotServer) note(kind string, value any) {
	if h.number > 0 {
		kind += "@" + strconv.Itoa(h.number)
	}
	h.sim.journal.note(kind, value)
}

func (h *hubSpotServer) take(c *call, items ...*Received) {
	for _, r := range items {
		r.Portal = h.account.PortalID
	}
	h.sim.take(HubSpot, c, items...)
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

// noSuchPath is the 404 of a path that leads nowhere.
func noSuchPath() *hubSpotError {
	return &hubSpotError{Status: http.StatusNotFound, Message: "resource not found"}
}

func notAllowed() *hubSpotError {
	return &hubSpotError{Status: http.StatusMethodNotAllowed, Message: "method not allowed"}
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

// fault is a scripted status in HubSpot's shape.
func (h *hubSpotServer) fault(status int, c *call) answer {
	e := &hubSpotError{Status: status, Message: "internal error"}
	switch status {
	case http.StatusBadRequest:
		e = hubSpotInvalid("Property values were not valid")
	case http.StatusUnauthorized:
		e = badToken()
	case http.StatusForbidden:
		e = missingScopes("crm.objects.contacts.write")
	case http.StatusNotFound:
		e = noSuchPath()
	case http.StatusConflict:
		e.Category, e.Message = "CONFLICT", "The record was changed at the same time"
	case http.StatusLocked:
		e.Message = "The record is locked by another process"
	case http.StatusTooManyRequests:
		e = h.tooMany(c, c.fault.Limit)
	case statusMoving:
		e.Message = "This account is being moved to another region"
	}
	a := e.answer(c)
	if status == statusMoving {
		a = a.with("Retry-After", "30")
	}
	return a
}

// statusMoving answers for an account that moves between regions.
const statusMoving = 477
