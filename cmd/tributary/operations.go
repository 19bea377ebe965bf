package main

import (
	"net/http"
	"time"

	"tributary/destinations/delivery"
	"tributary/identity"
	"tributary/ingest"
	"tributary/internal/openapi"
	"tributary/internal/pipeline"
	"tributary/internal/warehouse"
	"tributary/mappings"

	"tributary/canonical"
)

// The answers and bodies of routes that have no type elsewhere.
type (
	// A standingAnswer says what a destination does after somebody acted on it.
	standingAnswer struct {
		OK          bool      `json:"ok"`
		Destination string    `json:"destination"`
		Standing    string    `json:"standing"` // run, pause, halt, disable
		Why         string    `json:"why"`
		Since       time.Time `json:"since"`
	}
	// A standingDestination is one row of GET /v1/destinations.
	standingDestination struct {
		Destination string        `json:"destination"`
		Kind        string        `json:"kind"`
		Mode        delivery.Mode `json:"mode"`
		Standing    string        `json:"standing"`
		Why         string        `json:"why"`
		Since       time.Time     `json:"since,omitzero"`
		Trouble     []string      `json:"trouble"`
		Waiting     *limitUsedUp  `json:"waiting,omitempty"`
		Findings    []accountFlaw `json:"findings"`
	}
	limitUsedUp struct {
		Limit string    `json:"limit"`
		Until time.Time `json:"until"`
	}
	accountFlaw struct {
		Subject string `json:"subject"`
		Problem string `json:"problem"`
		Blocks  bool   `json:"blocks"`
	}
	destinationsAnswer struct {
		Destinations []standingDestination `json:"destinations"`
	}
	lagAnswer struct {
		Lag []pipeline.Lag `json:"lag"`
	}
	previewAnswer struct {
		Preview []pipeline.Prospect `json:"preview"`
	}
	discardedAnswer struct {
		OK        bool `json:"ok"`
		Discarded int  `json:"discarded"`
	}
	replaysAnswer struct {
		Replays []any  `json:"replays"`
		Next    string `json:"next"`
	}
	uncoveredAnswer struct {
		Uncovered []mappings.Seen `json:"uncovered"`
	}
	reloadedAnswer struct {
		OK       bool      `json:"ok"`
		Changed  bool      `json:"changed"`
		Version  string    `json:"version"`
		Before   string    `json:"before"`
		Since    time.Time `json:"since"`
		Warnings []string  `json:"warnings"`
		AtStart  []string  `json:"at_next_start,omitempty"`
	}
	reasonBody struct {
		Reason string `json:"reason"`
	}
	sqlBody struct {
		SQL    string         `json:"sql"`
		Params map[string]any `json:"params"`
	}
	previewBody struct {
		EventID      canonical.EventID `json:"event_id"`
		Name         string            `json:"name"`
		Destinations []string          `json:"destinations"`
		Force        bool              `json:"force"`
	}
	explainBody struct {
		EventID      canonical.EventID `json:"event_id"`
		Destinations []string          `json:"destinations"`
	}
)

// acts are the codes of routes that read a small strict body, lists those of lists.
var (
	acts  = []ingest.Code{ingest.CodeMalformed, ingest.CodeWrongType, ingest.CodeTooLarge, ingest.CodeSlow, ingest.CodeOverloaded, ingest.CodeBusy, ingest.CodeMissing, ingest.CodeUnknown}
	lists = []ingest.Code{ingest.CodeSelection}
	logs  = []ingest.Code{ingest.CodeLog, ingest.CodeLogFull}
)

func needs(lists ...[]ingest.Code) []string {
	var all []ingest.Code
	for _, l := range lists {
		all = append(all, l...)
	}
	return ingest.Keyed(all...)
}

func gives(status int, of any) []openapi.Answer { return []openapi.Answer{{Status: status, Of: of}} }

func byLine() []openapi.Answer {
	return []openapi.Answer{{Status: http.StatusOK, Says: "JSON by lines.", Type: "application/x-ndjson", Of: openapi.Schema{"type": "string"}}}
}

// Parameters of lists.
var (
	limitParam = openapi.Param{Name: "limit", Says: "How many at most; 100.", Schema: openapi.Schema{"type": "integer", "minimum": 1, "maximum": 1000}}
	afterParam = openapi.Param{Name: "after", Says: "Goes on behind the page that gave this as `next`."}
)

func texts(name, says string) openapi.Param {
	return openapi.Param{Name: name, Says: says, Schema: openapi.Schema{"type": "array", "items": openapi.Schema{"type": "string"}}}
}

func timeParam(name, says string) openapi.Param {
	return openapi.Param{Name: name, Says: says, Schema: openapi.Schema{"type": "string", "format": "date-time"}}
}

// operations describes what mount adds.
func operations() []ingest.Operation {
	read, replay, admin := string(ingest.ScopeRead), string(ingest.ScopeReplay), string(ingest.ScopeAdmin)
	ops := []ingest.Operation{
		{Method: "GET", Path: "/v1/destinations", ID: "listDestinations", Tag: "destinations", Says: "Kind, mode, standing and trouble of each destination", Scope: read,
			Answers: gives(http.StatusOK, destinationsAnswer{}), Errors: needs()},
		{Method: "GET", Path: "/v1/reconciliation", ID: "reconcile", Tag: "where", Says: "The books, counted from the log and from ClickHouse and compared", Scope: read,
			More: "It waits up to a minute until ClickHouse has what stands in the log.", Answers: gives(http.StatusOK, pipeline.Reconciliation{}), Errors: needs([]ingest.Code{ingest.CodeBooks})},
		{Method: "GET", Path: "/v1/lag", ID: "getLag", Tag: "where", Says: "What every stage has still to read", Scope: read, Answers: gives(http.StatusOK, lagAnswer{}), Errors: needs(logs)},
		{Method: "GET", Path: "/v1/hubspot", ID: "listSyncs", Tag: "hubspot", Says: "How far the changes of each HubSpot account are known, and what the last comparison found", Scope: read,
			Answers: gives(http.StatusOK, syncsAnswer{}), Errors: needs(logs)},
		{Method: "POST", Path: "/v1/hubspot/:account/reconcile", ID: "reconcileHubSpot", Tag: "hubspot", Says: "Compare what HubSpot changed with what webhooks told, now, and pull what is missing", Scope: admin,
			Body: &openapi.Body{Of: reconcileBody{}, Optional: true}, Answers: gives(http.StatusAccepted, canonical.CRMSync{}), Errors: needs(acts, lists, logs, []ingest.Code{ingest.CodeNotFound})},
		{Method: "POST", Path: "/v1/hubspot/:account/import", ID: "importHubSpot", Tag: "hubspot", Says: "Bring in the companies, contacts and deals changed in the last months, as facts and history", Scope: admin,
			Body: &openapi.Body{Of: importBody{}, Needs: []string{"months"}}, Answers: gives(http.StatusAccepted, canonical.CRMSync{}), Errors: needs(acts, lists, logs, []ingest.Code{ingest.CodeNotFound, ingest.CodeState})},
		{Method: "POST", Path: "/v1/hubspot/:account/import/cancel", ID: "cancelImport", Tag: "hubspot", Says: "End an import; what it brought in stays", Scope: admin,
			Answers: gives(http.StatusOK, canonical.CRMSync{}), Errors: needs(logs, []ingest.Code{ingest.CodeNotFound, ingest.CodeState})},
		{Method: "POST", Path: "/v1/sql", ID: "askSQL", Tag: "warehouse", Says: "One reading statement, of this database alone", Scope: read,
			Body:    &openapi.Body{Of: sqlBody{}, Needs: []string{"sql"}, Examples: map[string]any{"counts": map[string]any{"sql": "SELECT count() FROM v_events"}}},
			Answers: gives(http.StatusOK, warehouse.Result{}), Errors: needs(acts, []ingest.Code{ingest.CodeQuery})},

		{Method: "POST", Path: "/v1/replay/preview", ID: "previewReplay", Tag: "replay", Says: "What a replay of one event would come to", Scope: read,
			Body: &openapi.Body{Of: previewBody{}, Needs: []string{"event_id"}}, Answers: gives(http.StatusOK, previewAnswer{}), Errors: needs(acts, oneEvent, logs)},
		{Method: "POST", Path: "/v1/replay/bodies", ID: "previewBodies", Tag: "replay", Says: "The same, with the bodies that would be sent: they hold personal data", Scope: admin,
			Body: &openapi.Body{Of: previewBody{}, Needs: []string{"event_id"}}, Answers: gives(http.StatusOK, previewAnswer{}), Errors: needs(acts, oneEvent, logs)},
		{Method: "POST", Path: "/v1/explain", ID: "explainEvent", Tag: "replay", Says: "The events of an id as they were resolved, and what each destination would make of them now: personal data", Scope: admin,
			Body: &openapi.Body{Of: explainBody{}, Needs: []string{"event_id"}}, Answers: gives(http.StatusOK, explainedEvents{}), Errors: needs(acts, oneEvent, logs)},
		{Method: "POST", Path: "/v1/replays", ID: "makeReplay", Tag: "replay", Says: "Replay many events: a job, previewed first", Scope: replay,
			Body: &openapi.Body{Of: replayRequest{}, Needs: []string{"reason"}}, Answers: gives(http.StatusAccepted, canonical.ReplayJob{}), Errors: needs(acts, lists, logs, []ingest.Code{ingest.CodeDestination})},
		{Method: "GET", Path: "/v1/replays", ID: "listReplays", Tag: "replay", Says: "Jobs, the newest first", Scope: read,
			Params: []openapi.Param{limitParam, afterParam}, Answers: gives(http.StatusOK, replaysAnswer{}), Errors: needs(lists, logs, []ingest.Code{ingest.CodeNoReplay})},
		{Method: "GET", Path: "/v1/replays/:id", ID: "getReplay", Tag: "replay", Says: "How a job goes", Scope: read,
			Answers: gives(http.StatusOK, canonical.ReplayJob{}), Errors: needs(logs, []ingest.Code{ingest.CodeNoReplay})},
		{Method: "POST", Path: "/v1/replays/:id/run", ID: "runReplay", Tag: "replay", Says: "Run a job that was previewed", Scope: replay,
			Answers: gives(http.StatusOK, canonical.ReplayJob{}), Errors: needs(logs, []ingest.Code{ingest.CodeNoReplay, ingest.CodeState})},
		{Method: "POST", Path: "/v1/replays/:id/cancel", ID: "cancelReplay", Tag: "replay", Says: "Cancel a job", Scope: replay,
			Body: &openapi.Body{Of: reasonBody{}, Optional: true}, Answers: gives(http.StatusOK, canonical.ReplayJob{}), Errors: needs(acts, logs, []ingest.Code{ingest.CodeNoReplay, ingest.CodeState})},

		{Method: "GET", Path: "/v1/deadletters", ID: "listDeadLetters", Tag: "deadletters", Says: "What died, or is held, the oldest first", Scope: read,
			Params: []openapi.Param{texts("destination", "Of these destinations."), texts("reason", "With these reasons."), texts("event", "With these canonical names."), texts("event_id", "Of these events."),
				timeParam("since", "From then on."), timeParam("until", "Before then."), {Name: "list", Says: "dead (the default) or held.", Schema: openapi.Schema{"type": "string", "enum": []string{"dead", "held"}}}, limitParam, afterParam},
			Answers: gives(http.StatusOK, pipeline.Letters{}), Errors: needs(lists, logs, []ingest.Code{ingest.CodeDestination})},
		{Method: "POST", Path: "/v1/deadletters/retry", ID: "retryDeadLetters", Tag: "deadletters", Says: "Have them tried again: a replay job", Scope: replay,
			Body: &openapi.Body{Of: actRequest{}, Needs: []string{"reason"}}, Answers: gives(http.StatusAccepted, canonical.ReplayJob{}), Errors: needs(acts, lists, logs, []ingest.Code{ingest.CodeDestination})},
		{Method: "POST", Path: "/v1/deadletters/discard", ID: "discardDeadLetters", Tag: "deadletters", Says: "Give them up", Scope: admin,
			Body: &openapi.Body{Of: actRequest{}, Needs: []string{"reason", "expect"}}, Answers: gives(http.StatusOK, discardedAnswer{}), Errors: needs(acts, lists, logs, []ingest.Code{ingest.CodeDestination, ingest.CodeCount})},

		{Method: "GET", Path: "/v1/mapping", ID: "getMapping", Tag: "mapping", Says: "Which mapping is live in this process", Scope: read, Answers: gives(http.StatusOK, mappingStanding{}), Errors: needs()},
		{Method: "POST", Path: "/v1/mapping/reload", ID: "reloadMapping", Tag: "mapping", Says: "Load the mapping's files now", Scope: admin,
			Answers: gives(http.StatusOK, reloadedAnswer{}), Errors: needs([]ingest.Code{ingest.CodeMapping, ingest.CodeLog})},
		{Method: "POST", Path: "/v1/mapping/diff", ID: "diffMappings", Tag: "mapping", Says: "Compare two mappings over recorded receipts", Scope: read,
			Body: &openapi.Body{Of: diffRequest{}, Needs: []string{"old", "new", "since"}}, Answers: byLine(), Errors: needs(acts, lists, []ingest.Code{ingest.CodeMapping, ingest.CodeOverloaded, ingest.CodeNotFound})},
		{Method: "GET", Path: "/v1/mapping/coverage", ID: "coverMapping", Tag: "mapping", Says: "Which lines of the mapping were used", Scope: read,
			Params:  []openapi.Param{{Name: "since", Says: "30d (the default), 12h, 2026-04-23 or a time.", Example: "30d"}},
			Answers: gives(http.StatusOK, coverage{}), Errors: needs(lists)},
		{Method: "POST", Path: "/v1/mapping/uncovered", ID: "uncoveredByMapping", Tag: "mapping", Says: "Stages that no line names", Scope: read,
			Body: &openapi.Body{Of: uncoveredRequest{}, Needs: []string{"mapping", "since"}}, Answers: gives(http.StatusOK, uncoveredAnswer{}), Errors: needs(acts, lists, []ingest.Code{ingest.CodeMapping, ingest.CodeNotFound})},

		{Method: "GET", Path: "/v1/identity/:identifier", ID: "getIdentity", Tag: "identity", Says: "The person, account or deal of an identifier", Scope: read,
			Answers: gives(http.StatusOK, shownIdentity{}), Errors: needs(whoseErrors)},
		{Method: "GET", Path: "/v1/identity/:identifier/clear", ID: "clearIdentity", Tag: "identity", Says: "The same, with addresses and numbers as they were sent", Scope: admin,
			Answers: gives(http.StatusOK, shownIdentity{}), Errors: needs(whoseErrors)},
		{Method: "GET", Path: "/v1/identity/explain", ID: "explainIdentity", Tag: "identity", Says: "What joins two identifiers, or keeps them apart", Scope: read,
			Params: []openapi.Param{{Name: "a", Required: true}, {Name: "b", Required: true}}, Answers: gives(http.StatusOK, explainedIdentity{}), Errors: needs(whoseErrors)},
		{Method: "GET", Path: "/v1/identity/review", ID: "reviewIdentity", Tag: "identity", Says: "What guards and blocks stopped", Scope: read,
			Params:  []openapi.Param{{Name: "reason", Schema: openapi.Schema{"type": "array", "items": openapi.Schema{"type": "string", "enum": reviewReasons}}}, limitParam, afterParam},
			Answers: gives(http.StatusOK, reviewPage{}), Errors: needs(lists)},
		{Method: "GET", Path: "/v1/identity/stats", ID: "identityStats", Tag: "identity", Says: "Counts of the identity graph", Scope: read,
			Params: []openapi.Param{{Name: "digest", Says: "`true` hashes everything too.", Schema: openapi.Schema{"type": "string", "enum": []string{"true", "false"}}}}, Answers: gives(http.StatusOK, identity.Stats{}), Errors: needs(lists)},
		{Method: "GET", Path: "/v1/identity/export", ID: "exportIdentity", Tag: "identity", Says: "Every person, or every account, one a line", Scope: read,
			Params: []openapi.Param{{Name: "of", Schema: openapi.Schema{"type": "string", "enum": []string{"persons", "accounts"}}}}, Answers: byLine(), Errors: needs(lists)},
		{Method: "POST", Path: "/v1/identity/erase", ID: "eraseIdentity", Tag: "identity", Says: "Forget a person, or let one in again", Scope: admin,
			Body: &openapi.Body{Of: erasure{}, Needs: []string{"identifiers"}}, Answers: gives(http.StatusOK, erasedPerson{}), Errors: needs(acts, whoseErrors, logs, []ingest.Code{ingest.CodeCount})},
	}
	for _, act := range []struct{ name, says string }{
		{"pause", "Keep a destination from reading and sending"}, {"resume", "Let a destination go on as configured"}, {"disable", "Give a destination up until it is resumed"},
	} {
		ops = append(ops, ingest.Operation{Method: "POST", Path: "/v1/destinations/:name/" + act.name, ID: act.name + "Destination", Tag: "destinations", Says: act.says, Scope: admin,
			Body: &openapi.Body{Of: reasonBody{}, Optional: true}, Answers: gives(http.StatusOK, standingAnswer{}), Errors: needs(acts, logs, []ingest.Code{ingest.CodeNotFound, ingest.CodeConfigured})})
	}
	for _, l := range []struct{ path, id, says, scope string }{
		{"/v1/deadletters/:destination/:event", "getDeadLetter", "An event's parts at a destination, and how it came to that", read},
		{"/v1/deadletters/:destination/:event/body", "getDeadLetterBody", "The same, with the bodies that were built: they hold personal data", admin},
	} {
		ops = append(ops, ingest.Operation{Method: "GET", Path: l.path, ID: l.id, Tag: "deadletters", Says: l.says, Scope: l.scope,
			Params: []openapi.Param{{Name: "name", Says: "The canonical name, where one id stands for several events."}, {Name: "part", Says: "One part; all."}}, Answers: gives(http.StatusOK, pipeline.LetterHistory{}), Errors: needs(oneEvent, logs, []ingest.Code{ingest.CodeNoLetter})})
	}
	for kind, says := range statementsSay {
		ops = append(ops, ingest.Operation{Method: "POST", Path: "/v1/identity/" + string(kind), ID: string(kind) + "Identity", Tag: "identity", Says: says, Scope: admin,
			Body: &openapi.Body{Of: statement{}, Needs: []string{"identifiers"}}, Answers: gives(http.StatusOK, statedIdentity{}), Errors: needs(acts, whoseErrors, logs, []ingest.Code{ingest.CodeCount})})
	}
	return ops
}

var (
	oneEvent    = []ingest.Code{ingest.CodeNoEvent, ingest.CodeUnresolved, ingest.CodeDestination}
	whoseErrors = []ingest.Code{ingest.CodeIdentifier, ingest.CodeNobody, ingest.CodeMissing}
	// statementsSay are the facts that a person may state.
	statementsSay = map[canonical.FactKind]string{
		canonical.FactMerge: "Say that CRM records are one person", canonical.FactUnmerge: "Take a merge back",
		canonical.FactBlock: "Keep two apart", canonical.FactAllow: "Lift a block, or let what a guard stopped join",
	}
)
