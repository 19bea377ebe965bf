package canonical

import (
	"encoding/json"
	"time"
)

// A State is where one part of an event stands at one destination.
type State string

// The states. Pending is the absence of a record; intent is an attempt under way.
const (
	StateIntent     State = "intent"
	StateParked     State = "parked"
	StateDelivered  State = "delivered"
	StateDead       State = "dead"
	StateSuppressed State = "suppressed"
	// StateActivation begins a destination's books: End holds the end offsets.
	StateActivation State = "activation"
	// StateControl says how a whole destination is run from now on: Reason is one of the Control
	// words, Detail why, Who did it. The last one in the log holds, in every process.
	StateControl State = "control"
)

// What a control record says of a destination.
const (
	ControlRun     = "run"     // after a pause, a halt or a disabling: as configured
	ControlPause   = "pause"   // an operator's: nothing is read or sent, the backlog is kept
	ControlHalt    = "halt"    // the lane's own: nothing will work until somebody acts
	ControlDisable = "disable" // the backlog is read and suppressed, so that it holds up no log
)

// Terminal is true for a state that nothing but an explicit act leaves.
func (s State) Terminal() bool {
	return s == StateDelivered || s == StateDead || s == StateSuppressed
}

// Reasons of parked and suppressed items: a closed set, used as metric labels.
const (
	ReasonAwaitingIdentity = "awaiting_identity"
	ReasonRetry            = "retry"
	ReasonHold             = "hold"
	ReasonAmbiguous        = "ambiguous"
	// ReasonDelay: the mapping's line wants it decided on later, at Due.
	ReasonDelay = "delay"

	ReasonNotMapped = "not_mapped"
	// ReasonNotMeant: the condition (when) of the mapping's line does not hold.
	ReasonNotMeant         = "not_meant"
	ReasonNotConfigured    = "not_configured"
	ReasonNoIdentifier     = "no_identifier"
	ReasonNoConsent        = "no_consent"
	ReasonTooOld           = "too_old"
	ReasonReReport         = "re_report"
	ReasonRecycled         = "recycled"
	ReasonRepeat           = "repeat"
	ReasonCoveredByDeal    = "covered_by_deal"
	ReasonCoveredByContact = "covered_by_contact"
	ReasonDryRun           = "dry_run"
	ReasonIgnored          = "ignored"
	ReasonDisabled         = "disabled"
	ReasonLedgerExpired    = "ledger_expired"
	// ReasonEcho: the CRM reports what this router wrote itself.
	ReasonEcho = "echo"
	// ReasonHistory: it was imported of the time before the account was connected.
	ReasonHistory = "history"
	// ReasonErased: its person asked to be forgotten.
	ReasonErased = "erased"
	// ReasonDiscarded: somebody gave up a dead letter or a held item; Who and Detail say who and why.
	ReasonDiscarded = "discarded"
	// ReasonPlanned ends the wait of a whole event (part ""): its parts speak for it now.
	ReasonPlanned = "planned"
)

// A Delivery is one change of the state of one part: the value of a record in the
// topic deliveries, which is the only record of delivery state.
type Delivery struct {
	Destination string   `json:"destination"`
	Event       EventKey `json:"event"`
	// Part is what the event becomes here; "" stands for the whole event, where it came to
	// no parts. A part that was delivered and is sent again by force is a part of its own:
	// "<part>!<replay id>".
	Part     string    `json:"part"`
	State    State     `json:"state"`
	Reason   string    `json:"reason,omitempty"`
	Detail   string    `json:"detail,omitempty"` // the vendor's words, without personal data
	At       time.Time `json:"at"`
	Attempt  int       `json:"attempt,omitempty"` // from 1
	ReplayID string    `json:"replay_id,omitempty"`
	Forced   bool      `json:"forced,omitempty"` // the replay sends also what was delivered, and asks no slot
	Mode     string    `json:"mode,omitempty"`   // "test" where the vendor's test facility was used
	Owner    string    `json:"owner,omitempty"`  // process and generation of the lane
	// Ambiguous is true for an outcome of an attempt whose answer never came.
	Ambiguous bool       `json:"ambiguous,omitempty"`
	Due       *time.Time `json:"due,omitempty"`        // parked
	FirstTry  *time.Time `json:"first_try,omitempty"`  // time of the first intent
	GiveUpAt  *time.Time `json:"give_up_at,omitempty"` // parked awaiting_identity: then suppressed no_identifier
	// Slot is what this part holds, "" for names without slots: see delivery.SlotOf.
	Slot string `json:"slot,omitempty"`
	// Content is the whole event (parked) with the known it was built from (intent: Known).
	Content *Event `json:"content,omitempty"`
	Known   *Known `json:"known,omitempty"`
	// Body is what was built: dead letters and dry runs. It never carries credentials.
	Body json.RawMessage `json:"body,omitempty"`
	// BodyHash is the SHA-256 of the item's own share of the body, in hex: intents and what
	// follows them. It tells whether a replay would send the same.
	BodyHash string `json:"body_hash,omitempty"`
	// Match says of each identifier the vendor could have been given what became of it:
	// usable, missing, refused, prehashed (the keys are the vendor's). Intents, dry runs and dead letters.
	Match map[string]string `json:"match,omitempty"`
	// Who acted: control records and discarded items. The name of a key, never a person's data.
	Who string `json:"who,omitempty"`
	// Node is of whom the body tells that is kept: by it that is found when the person is to be forgotten.
	Node NodeID `json:"node,omitempty"`
	// The vendor's answer.
	HTTPStatus int    `json:"http_status,omitempty"`
	LatencyMS  int64  `json:"latency_ms,omitempty"`
	TraceID    string `json:"trace_id,omitempty"`
	BatchSize  int    `json:"batch_size,omitempty"`
	Value      *Money `json:"value,omitempty"` // what was sent
	Currency   string `json:"currency,omitempty"`

	End map[string][]int64 `json:"end,omitempty"` // activation: end offset of every partition of events and replays
}

// A ReplayOrder asks lanes to take an event again: the value of a record in replays.
type ReplayOrder struct {
	ID           string    `json:"replay_id"`
	Event        Event     `json:"event"`
	Destinations []string  `json:"destinations"`
	Force        bool      `json:"force,omitempty"`
	Reason       string    `json:"reason"`
	Who          string    `json:"who"` // the key's name
	At           time.Time `json:"at"`
	// Job is the replay of many that this order is one of; "" for one asked for by itself.
	Job string `json:"job,omitempty"`
	// Parts are the parts meant, of one destination; none: all of them.
	Parts []string `json:"parts,omitempty"`
	// Low orders give way: they are sent with the share of the vendor's budget kept for backfills.
	Low bool `json:"low,omitempty"`
}
