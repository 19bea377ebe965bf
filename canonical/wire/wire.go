// Package wire reads what each way in sends: one receipt becomes one report, the shape
// that mappings and identity work on. It is pure: the same receipt and settings give
// the same report, and no clock, network or history is asked.
//
// docs/http.md says for every way in which bodies are read, and how.
package wire

import (
	"time"

	"tributary/canonical"
)

// Settings are what a source's configuration adds to the reading of its receipts. The
// zero value reads everything that needs no setting.
type Settings struct {
	Account  string           // CRM account name of the source; "" is "hubspot"
	Portals  map[int64]string // HubSpot portal id → CRM account name; empty takes every portal as Account
	Apps     map[string]App   // CRM account name → the app that this router writes with
	Region   string           // ISO country assumed for phone numbers without a country code; "" assumes none
	Currency string           // ISO currency of values that name none; "" leaves it open
	KeepBots bool             // what the front marked as seen by nobody is read like anything else
	Lists    *canonical.Lists // guards that are judged where an address is in the clear; nil: the built-in ones
}

// An App is what this router writes with into a CRM account.
type App struct {
	ID     int64
	Stages []string // internal names of the lifecycle stages that it writes
}

// A Problem says why a receipt cannot be used as it is. Code is a closed set (the Code
// constants), Field the path in the body, Detail a sentence without personal data.
type Problem struct {
	Code   string
	Detail string
	Field  string
}

func (p *Problem) Error() string {
	if p.Field == "" {
		return p.Code + ": " + p.Detail
	}
	return p.Code + ": " + p.Field + ": " + p.Detail
}

// The codes of problems: the reasons for which a receipt is quarantined on reading.
const (
	CodeMalformed  = "malformed"           // no JSON object
	CodeWrongType  = "wrong_type"          // a field has a type or form that has no reading
	CodeTemplate   = "unrendered_template" // an id, stage, e-mail or time still holds {{…}}
	CodeBadTime    = "bad_time"            // no time, before 2000, or over a day after receipt
	CodeMissingID  = "missing_id"          // nothing to tie it to
	CodeMissing    = "missing_stage"       // a change of stage that names no stage
	CodeBadEmail   = "bad_email"           // the only identifier is an address that is none
	CodeBadName    = "bad_name"            // an event name that cannot stand in an event key
	CodeUnknown    = "unknown_event"       // this way in has no such event
	CodePortal     = "unknown_portal"      // no configured source has this HubSpot portal
	CodeUnknownWay = "unknown_way"         // a receipt of a later version
	CodeBot        = "bot"                 // a crawler, a browser without a screen or a prefetch
)

// Codes lists every problem code with what it means, for the documentation.
func Codes() map[string]string {
	return map[string]string{
		CodeMalformed:  "the item is not a JSON object",
		CodeWrongType:  "a field has a type or form that has no reading",
		CodeTemplate:   "an id, stage, e-mail or time still holds an unrendered {{…}}",
		CodeBadTime:    "the time cannot be read, lies before 2000 or more than 24 hours after receipt",
		CodeMissingID:  "there is no contact, company or deal id, no e-mail and no cookie to tie it to",
		CodeMissing:    "a change of stage that names no stage",
		CodeBadEmail:   "the only identifier is an e-mail address that is none",
		CodeBadName:    "the event name is missing, too long or holds | or control characters",
		CodeUnknown:    "this way in has no such event",
		CodePortal:     "no configured source has this HubSpot portal",
		CodeUnknownWay: "the receipt's way in is not known to this version",
		CodeBot:        "no person saw the page: a crawler, a browser without a screen or a prefetch",
	}
}

// earliest is the first time that is believed.
var earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// ahead is how far after its receipt a time may lie: clocks differ, days do not.
const ahead = 24 * time.Hour

// Read reads one receipt into a report. A problem means that the receipt cannot be used
// as it is; the report then holds what could be read.
//
// A bare webhook (see Bare) reads as its trigger alone, without e-mail, amount or
// associations. Numbers in Properties are json.Number.
func Read(r canonical.Receipt, s Settings) (canonical.Report, *Problem) {
	rd := &reader{receipt: r, settings: s}
	if s.Account == defaultAccount {
		rd.settings.Account = ""
	}
	body, problem := decode(r.Body)
	if problem != nil {
		return canonical.Report{}, problem
	}
	n := node{f: body, rd: rd}
	switch r.Way {
	case canonical.WayCRM:
		rd.crm(n)
	case canonical.WayEvents:
		rd.event(n)
	case canonical.WayHubSpot:
		rd.hubspot(n)
	case canonical.WayPixel:
		rd.pixel(n)
	case canonical.WayMeta:
		rd.meta(n)
	case canonical.WayHook:
		rd.hook(n)
	case canonical.WayWorkflow:
		rd.workflow(n)
	case canonical.WaySegment:
		rd.segment(n)
	default:
		rd.fail(CodeUnknownWay, "", "no reading for this way in")
	}
	return rd.report, rd.problem
}

// A reader holds one report while it is read.
type reader struct {
	receipt  canonical.Receipt
	settings Settings
	report   canonical.Report
	problem  *Problem // the first

	badEmail bool // an address was given and is none
	anybody  bool // it need not be tied to an identifier: Meta may find the person without
	clicks   []canonical.Click
	landed   []canonical.Scheme // click ids that the event itself names, not a cookie
}

// fail keeps the first problem.
func (rd *reader) fail(code, field, detail string) {
	if rd.problem == nil {
		rd.problem = &Problem{Code: code, Field: field, Detail: detail}
	}
}
