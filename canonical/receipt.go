package canonical

import (
	"maps"
	"time"
)

// A Way is the way in by which a receipt came: it decides how its bytes are read.
type Way string

// The ways in. See docs/http.md for the body of each.
const (
	WayCRM     Way = "crm"      // POST /v1/ingest/crm
	WayEvents  Way = "events"   // POST /v1/events
	WayHubSpot Way = "hubspot"  // POST /v1/ingest/hubspot/<source>: one event of an app webhook
	WayPixel   Way = "pixel"    // GET /v1/pixel.gif (query as a JSON object) and POST /v1/ingest/pixel
	WayMeta    Way = "meta_api" // POST /v<N>.0/<pixel id>/events: one element of data
	// WayWorkflow is HubSpot's workflow action "Send a webhook": POST and GET
	// /v1/ingest/hubspot/<source>/workflow (query as a JSON object).
	WayWorkflow Way = "workflow"
	WayHook     Way = "hook"    // POST /v1/ingest/hook/<source>: JSON of any shape, read as the mapping says
	WaySegment  Way = "segment" // POST /v1/track, /v1/batch and the like: one call of Segment's tracking API
)

// A Receipt is one accepted raw input: one item of a batch, its own bytes exactly as
// they arrived. It is the value of a record in the topic inbound.
type Receipt struct {
	ID         ReceiptID `json:"receipt_id"`
	Source     string    `json:"source"` // the configured source
	Way        Way       `json:"way"`
	Browser    bool      `json:"browser,omitempty"` // came with a browser-scope key: may not claim names of the CRM
	ReceivedAt time.Time `json:"received_at"`
	Body       []byte    `json:"body"` // exactly as it arrived (base64 in JSON)
	// Context is what the request said beside its body and the item needs: user_agent,
	// ip, pixel_id, test_event_code, event (of a workflow's URL); of a Segment call type, sent_at,
	// context and integrations, which its route and its batch say of it.
	Context map[string]string `json:"context,omitempty"`
	// Completion is set on a completed receipt: the original's body with what was read.
	Completion *Completion `json:"completion,omitempty"`
}

// A Completion is what fetch read to complete a bare receipt, and when.
type Completion struct {
	Of      ReceiptID    `json:"of"`
	ReadAt  time.Time    `json:"read_at"`
	Objects []ReadObject `json:"objects"` // the object itself first, then those associated with it
	// Stage is what the account's own settings said of the stage that the receipt names; nil
	// where it names none, or they do not know it.
	Stage *StageMeaning `json:"stage,omitempty"`
}

// A StageMeaning is what an account's pipelines and lists say of one stage.
type StageMeaning struct {
	Pipeline      string `json:"pipeline,omitempty"` // of a deal's stage
	PipelineLabel string `json:"pipeline_label,omitempty"`
	Stage         string `json:"stage"`
	Label         string `json:"label,omitempty"`
	Closed        string `json:"closed,omitempty"`      // "true", "false"; as the vendor writes it
	Probability   string `json:"probability,omitempty"` // "0.0" to "1.0"
}

// A ReadObject is one CRM object as read: its current properties, but those that At sets
// back to the time of the change.
type ReadObject struct {
	Type       string            `json:"type"` // contact, company, deal
	ID         string            `json:"id"`   // the id asked for
	CurrentID  string            `json:"current_id,omitempty"`
	Properties map[string]string `json:"properties"`
	// Associated lists ids by type: "contact", "company", "deal"; the primary first where
	// the vendor names one, else ascending.
	Associated map[string][]string `json:"associated,omitempty"`
	// Roles lists the labels of an association by type and id, by the ids of their types.
	Roles map[string]map[string][]string `json:"roles,omitempty"`
	// Archived says that the account has deleted it, and still shows it.
	Archived bool `json:"archived,omitempty"`
	// History is what its properties were before, of those that were asked for with it. A receipt
	// does not keep it.
	History map[string][]DatedValue `json:"-"`
}

// A DatedValue is what a property held from a time on.
type DatedValue struct {
	From  time.Time
	Value string
}

// At is the object with what it held at a time, of the properties whose history was read: a
// value that was given later does not stand in an earlier report, however late it was read. A
// property that had no value yet has the first that it was given.
func (o ReadObject) At(t time.Time) ReadObject {
	if len(o.History) == 0 || t.IsZero() {
		return o
	}
	o.Properties = maps.Clone(o.Properties)
	for name, values := range o.History {
		var before, after *DatedValue
		for i := range values {
			v := &values[i]
			switch {
			case !v.From.After(t) && (before == nil || v.From.After(before.From)):
				before = v
			case v.From.After(t) && (after == nil || v.From.Before(after.From)):
				after = v
			}
		}
		if before == nil {
			before = after
		}
		if before != nil {
			o.Properties[name] = before.Value
		}
	}
	return o
}

// CompletedID is the id of the receipt that completes id: always the same, so that a
// fetch cut short and run again is a redelivery.
func (id ReceiptID) CompletedID() ReceiptID { return id + ".c" }

// A Fate says what became of a receipt.
type Fate string

// The fates. An event record is its receipt's fate (event, or observation for a
// further copy); every other receipt gets a FateRecord.
const (
	FateEvent       Fate = "event"
	FateObservation Fate = "observation"
	FateFacts       Fate = "facts_only"
	FateCompleted   Fate = "completed"
	FateQuarantined Fate = "quarantined"
	FateErased      Fate = "erased"
)

// A FateRecord is the fate of a receipt that became no event. It stands in the topic
// events under the key of the receipt id; lanes skip it.
type FateRecord struct {
	ReceiptID ReceiptID `json:"receipt_id"`
	Source    string    `json:"source"`
	Way       Way       `json:"way"`
	Fate      Fate      `json:"fate"`
	Reason    string    `json:"reason,omitempty"` // a code, for quarantined
	Detail    string    `json:"detail,omitempty"` // a sentence without personal data
	Rule      string    `json:"rule,omitempty"`   // the quarantine rule: file:line
	At        time.Time `json:"at"`               // received_at of the receipt
	Mapping   string    `json:"mapping_version,omitempty"`
	// Nodes are those of its person, where it stated facts only: by them it is found when the person
	// is to be forgotten.
	Nodes []NodeID `json:"nodes,omitempty"`
}
