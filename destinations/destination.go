// Package destinations says what a destination is: two pure functions and a declared
// contract. An adapter writes requests and reads answers; it does not send, wait,
// retry, log or see a credential. Package delivery does all that, the same for every
// vendor.
package destinations

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"tributary/canonical"
)

// A Destination is one vendor's adapter with one configuration.
type Destination interface {
	// Contract says what the vendor takes. It never changes.
	Contract() Contract
	// Plan says what an event becomes here: its parts, or why it becomes none. With parts, the
	// refusal has no reason; its detail, if any, is a warning for the operator. The clock is
	// not asked: the lane checks ages. route is empty where the mapping has none (Contract.NeedsRoute).
	Plan(e canonical.Event, k canonical.Known, route canonical.Route) ([]Part, Refusal)
	// Build turns a batch into one request. All items have the same Part.Batch. The same
	// batch gives the same bytes. It holds no credential. An error means none of the batch can
	// be built; the lane then tries the items one by one, and a single one is dead.
	Build(batch []Item) (Request, error)
	// Classify reads the vendor's answer: exactly one outcome per item, in order, whatever
	// the answer holds; never Delivered by default.
	Classify(batch []Item, answer Response) []Outcome
}

// A Part is what one event becomes at a destination; most become one.
type Part struct {
	Name string // event, rule:mql, properties, timeline, …
	// Batch groups items that may share a request; different values never do.
	Batch string
	// Unique, where not "", must not occur twice in one request (HubSpot refuses two rows of
	// one contact).
	Unique string
	// Merges lets items of one Unique share a row of the request: Build makes one of them, the
	// latest business time winning for each field, every item gets the row's outcome, and
	// Contract.MaxBatch counts the row once.
	Merges bool
	Route  canonical.Route
	// Slotless parts (a property write) are sent for every event and hold no slot.
	Slotless bool
	// Ambiguous says what to do with an attempt whose answer never came; "" is the contract's.
	Ambiguous Ambiguous
	// Refused, where its reason is not "", holds back this part alone, as a refusal of Plan holds
	// back the event: it is parked or suppressed while the event's other parts are sent.
	Refused Refusal
}

// A Refusal says why an event becomes no part: a reason of package canonical, or "".
// AwaitingIdentity may change; every other is final.
type Refusal struct {
	Reason string
	Detail string
}

// An Item is one part of one event, with what was known when it was first built.
type Item struct {
	Event canonical.Event
	Known canonical.Known
	Part  Part
}

// A Request is what to send, without its credential. Path is joined to the
// destination's base URL.
type Request struct {
	// Class says which of the account's limits count the request (Limit.Classes); "" is the ordinary.
	Class  string
	Method string
	Path   string // escaped as it is to be sent where it holds a %, else plain
	Query  url.Values
	// RawQuery, where set, is the query as it stands, instead of Query: some vendors' syntax
	// (Rest.li's lists) may not be escaped.
	RawQuery string
	Header   http.Header
	Body     []byte
	// Bodies holds each item's own share of the body, in order, for dry runs and dead letters.
	Bodies [][]byte
	// Values holds what each item sends as value, in order; the zero Value where it sends none.
	Values []Value
}

// A Value is an amount with its currency.
type Value struct {
	Amount   canonical.Money
	Currency string
}

// A Response is what came back. The lane turns network failures into outcomes itself.
type Response struct {
	Status int
	Header http.Header
	Body   []byte // bounded to 1 MiB
}

// A Verdict is what a vendor's answer means for one item. The set is closed.
type Verdict int

// The verdicts. The zero value is no verdict: a Classify that leaves it is at fault.
const (
	_         Verdict = iota
	Delivered         // the vendor took it
	Retry             // not now: try again later
	Reject            // this item will never work as it is
	Split             // the batch was refused; find out which item by halves. For one item: Reject
	Halt              // nothing will work until somebody acts: stop the lane, keep the backlog
	Park              // this item waits for somebody to act, as the detail says; the lane goes on
)

func (v Verdict) String() string {
	return [...]string{"none", "delivered", "retry", "reject", "split", "halt", "park"}[v]
}

// An Outcome is a verdict on one item with its grounds.
type Outcome struct {
	Verdict Verdict
	Reason  string        // a code from the adapter's closed set; a metric label
	Detail  string        // the vendor's words, for people; no personal data
	After   time.Duration // Retry: not before this long; 0 leaves it to the back-off
	TraceID string        // the vendor's id of the request
	// Unknown is true where the vendor may have taken the item all the same (5xx).
	Unknown bool
	// Suspect is true for items of a refused batch (Split) that the vendor's words point at. It is
	// a hint only: they are tried alone first, and where one goes through no further hint is heard.
	Suspect bool
	// Stale is true where what was learned of the account holds no longer (Learner): it is learned
	// anew before the next try.
	Stale bool
}

// All gives every item of the batch the same outcome.
func All(batch []Item, o Outcome) []Outcome {
	out := make([]Outcome, len(batch))
	for i := range out {
		out[i] = o
	}
	return out
}

// Ambiguous says what to do with an attempt whose answer never came.
type Ambiguous string

// Resend sends again within Contract.ResendWithin of the first attempt (0: always),
// then holds. Hold parks until someone decides. Look asks the vendor first whether the item
// arrived (Seeker), and holds where that cannot be told.
const (
	Resend Ambiguous = "resend"
	Hold   Ambiguous = "hold"
	Look   Ambiguous = "look"
)

// A Seeker can ask the vendor whether an item arrived whose answer never came.
type Seeker interface {
	// Seek builds the question.
	Seek(it Item) (Request, error)
	// Found reads the answer. sure is false where it tells neither: the item is then held.
	Found(it Item, answer Response) (found, sure bool)
}

// A Contract is what a vendor takes, as data with its sources in the adapter's README.
type Contract struct {
	Vendor string
	// BaseURL, where not "", is the address this one destination is configured for; else the
	// kind's holds.
	BaseURL     string
	APIVersion  string
	VersionEnds time.Time // zero: not known
	NeedsRoute  bool      // an event whose name the mapping gives no route is not_mapped
	MaxBatch    int       // items in a request
	MaxBytes    int       // of the body
	// Account names the vendor account whose limits these are; destinations and readers of one
	// account share one budget. "" is the destination's own.
	Account      string
	Limits       []Limit
	MaxAge       time.Duration // of occurred_at when the request arrives; 0: none
	Ambiguous    Ambiguous
	ResendWithin time.Duration
	LookAfter    time.Duration // an attempt is looked for no sooner: until then the vendor may not show what it took
	Timeout      time.Duration // of one request
	Linger       time.Duration // how long to wait for a fuller batch
	// Clicks are the schemes of the vendor's click ids, and ClickWindow is how long before it a
	// conversion may have been clicked; none: it has no ads.
	Clicks      []canonical.Scheme
	ClickWindow time.Duration
	// Test says that mode test can be kept (the vendor has a test facility).
	Test bool
}

// A Limit is one of the limits on requests to a vendor account.
type Limit struct {
	Name     string // ten_seconds, minute, day: a metric label
	Requests int
	Per      time.Duration
	// Daily counts by calendar days of Zone (nil: UTC) instead of the last Per.
	Daily bool
	Zone  *time.Location
	// Classes are the classes of requests it counts; empty: those without a class.
	Classes []string
}

// PerSecond is a limit of so many requests a second; below one, of one in so many seconds.
func PerSecond(n float64) []Limit {
	if n < 1 {
		return []Limit{{Name: "second", Requests: 1, Per: time.Duration(float64(time.Second) / max(n, 1e-6))}}
	}
	return []Limit{{Name: "second", Requests: int(n), Per: time.Second}}
}

// A Reading is what an answer says of a limit. Max is 0, and Remaining -1, where it is silent.
type Reading struct {
	Limit          string // as in Limit.Name
	Max, Remaining int
	Resets         time.Duration // until the window is over; 0: not said
}

// A Gauge reads what a vendor's answers say of its limits.
type Gauge interface {
	Headroom(answer Response) []Reading
}

// A Matcher says which identifiers an item could be matched by: the vendor's key → usable,
// missing, refused or prehashed. It holds no values.
type Matcher interface {
	Match(it Item) map[string]string
}

// A Caller sends one request to the vendor account with the destination's credential, paced
// like any other.
type Caller func(ctx context.Context, q Request) (Response, error)

// A Finding is one thing noticed in a vendor account.
type Finding struct {
	Subject string // property tributary_first_touch_at, rule mql
	Problem string // in words, with what to do; "" is as it should be
	// Blocks is true where deliveries will fail until it is mended.
	Blocks bool
}

// A Learner is a destination that must know something of the account it writes to, such as
// the types of properties.
type Learner interface {
	// Learn reads the account and gives the destination that knows it. The lane asks at start,
	// once an hour, and when it is resumed. An error leaves the destination as it was.
	Learn(ctx context.Context, call Caller) (Destination, []Finding, error)
}

// An Arranger can make what deliveries need in the account: definitions, rules.
type Arranger interface {
	// Arrange looks at what is there and gives the steps that are missing, in order; with
	// apply it takes them and stops at the first that fails. Run twice it finds nothing to do.
	Arrange(ctx context.Context, call Caller, routes map[string]canonical.Route, apply bool) ([]Step, error)
}

// A Step is one change of a vendor account.
type Step struct {
	What string // create property tributary_first_touch_at (datetime) of contacts
	Done bool
	Note string // what the vendor gave back: an id to put into the configuration
}
