package ingest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"tributary/canonical/wire"
	"tributary/internal/openapi"
)

// An Operation describes a route for GET /openapi.json. Every route that is served has one:
// those of this package in operations, those that the process mounts in Options.Operations.
//
// A new route: register it, and add its Operation beside those of its neighbours. Say what it
// does, which codes of the error table it answers with (keyed, readsJSON and the like are the
// usual ones), and give its answers as the Go types that are encoded. Tests walk the routes
// and the document both ways, send the examples, and hold the scope to what the route asks for.
type Operation = openapi.Operation

// Tags of operations, in the order in which the document lists them.
var tags = []openapi.Tag{
	{Name: "events", Says: "Ways in for CRM records, events, webhooks, browsers and ad formats. 2xx means kept."},
	{Name: "segment", Says: "Segment's tracking API: an official analytics SDK works with only its host changed."},
	{Name: "where", Says: "Where a receipt or an event is now, and the books."},
	{Name: "replay", Says: "Sending again, one event or many."},
	{Name: "deadletters", Says: "What waits for a person."},
	{Name: "destinations", Says: "What each destination does, and standing still."},
	{Name: "mapping", Says: "Which mapping is live, and what another would do."},
	{Name: "identity", Says: "Who is who."},
	{Name: "warehouse", Says: "Asking ClickHouse."},
	{Name: "hubspot", Says: "What HubSpot changed, and what of it webhooks told."},
	{Name: "process", Says: "The process itself."},
}

// proofs are the security schemes: what a caller shows.
var proofs = map[string]openapi.Schema{
	openapi.Bearer:      {"type": "http", "scheme": "bearer", "description": "A key of ours: `Authorization: Bearer trib_…`. `tributary keys create` makes one."},
	"browser_key":       {"type": "apiKey", "in": "query", "name": "key", "description": "A key with the scope `browser`, which may stand in a page."},
	"access_token":      {"type": "apiKey", "in": "query", "name": "access_token", "description": "A key with the scope `ingest`, where Meta's SDKs put theirs; also in the body."},
	"write_key":         {"type": "http", "scheme": "basic", "description": "A key of ours as the user name, with an empty password: what Segment's SDKs call the write key."},
	"hubspot_signature": {"type": "apiKey", "in": "header", "name": "X-HubSpot-Signature-v3", "description": "HubSpot's signature, v3; v2 and v1 stand in `X-HubSpot-Signature`."},
	"hook_signature":    {"type": "apiKey", "in": "header", "name": "X-Signature", "description": "The HMAC that the source is configured for, in the header that it is configured for."},
	"hook_password":     {"type": "http", "scheme": "basic", "description": "The user and password that the source is configured for."},
}

// The codes that routes of a kind have in common.
var (
	limits    = []Code{CodeOverloaded, CodeBusy, CodeInternal}
	keyErrors = []Code{CodeNoKey, CodeBadKey, CodeExpired, CodeRevoked, CodeScope, CodeRate}
	readsBody = []Code{CodeMalformed, CodeWrongType, CodeTooDeep, CodeUTF8, CodeEncoding, CodeIncomplete, CodeSlow, CodeTooLarge, CodeContentEnc}
	readsJSON = append(slices.Clone(readsBody), CodeMediaType)
	keeps     = []Code{CodeBadSource, CodeNothing, CodeTooMany, CodeRate, CodeLog, CodeLogFull}
)

// Codes joins lists of codes, for an Operation's Errors.
func Codes(lists ...[]Code) []string {
	var out []string
	for _, c := range slices.Concat(lists...) {
		if !slices.Contains(out, string(c)) {
			out = append(out, string(c))
		}
	}
	return out
}

// Keyed are the codes of a mounted route that needs a key.
func Keyed(more ...Code) []string { return Codes(keyErrors, []Code{CodeInternal}, more) }

// A Refused is how every error is answered.
type Refused struct {
	Error Error `json:"error"`
}

// kept describes the answer of a way in.
func kept(status int) []openapi.Answer {
	return []openapi.Answer{{Status: status, Says: "Kept: one entry for each item, in order.", Of: openapi.Ref("Kept")}}
}

// keptOrDry describes the answers of a way in that takes ?dry_run=true.
func keptOrDry() []openapi.Answer {
	return append(kept(http.StatusAccepted), openapi.Answer{Status: http.StatusOK, Says: "Of a dry run: what each item would come to. Nothing was kept.", Of: openapi.Ref("DryRun")})
}

var dryParam = []openapi.Param{{Name: "dry_run", Says: "`true` answers what would happen and keeps nothing.", Schema: openapi.Schema{"type": "string", "enum": []string{"true", "false"}}}}

// named are the schemas that no Go type is behind: what is written by hand for speed.
func named() map[string]openapi.Schema {
	id := openapi.Schema{"type": "string", "description": "Where it is now: `GET /v1/receipts/{id}`."}
	out := wire.Schema()
	maps.Copy(out, map[string]openapi.Schema{
		"Receipt": {"type": "object", "description": "What became of one item: kept with this id, or refused.",
			"oneOf": []openapi.Schema{
				{"type": "object", "required": []string{"receipt_id"}, "properties": openapi.Schema{"receipt_id": id}},
				{"type": "object", "required": []string{"error"}, "properties": openapi.Schema{"error": openapi.Ref("Error")}},
			}},
		"Kept": {"type": "object", "required": []string{"ok", "receipts"}, "properties": openapi.Schema{
			"ok": openapi.Schema{"const": true}, "receipts": openapi.Schema{"type": "array", "items": openapi.Ref("Receipt")}, "unseen": openapi.Schema{"const": true}}},
		"DryRun": {"type": "object", "required": []string{"ok", "dry_run", "items"}, "properties": openapi.Schema{"ok": openapi.Schema{"const": true}, "dry_run": openapi.Schema{"const": true},
			"items": openapi.Schema{"type": "array", "items": openapi.Schema{"anyOf": []openapi.Schema{openapi.Ref("Foreseen"), {"type": "object", "required": []string{"error"}, "properties": openapi.Schema{"error": openapi.Ref("Error")}}}}}}},
		"KeptAsMeta": {"type": "object", "required": []string{"events_received", "messages", "fbtrace_id", "receipts"}, "properties": openapi.Schema{
			"events_received": openapi.Schema{"type": "integer"}, "messages": openapi.Schema{"type": "array"}, "fbtrace_id": openapi.Schema{"type": "string"},
			"receipts": openapi.Schema{"type": "array", "items": openapi.Ref("Receipt")}}},
	})
	return out
}

// refusedAsMeta is the envelope that Meta's SDKs read.
var refusedAsMeta = openapi.Schema{"type": "object", "required": []string{"error"}, "properties": openapi.Schema{"error": openapi.Schema{
	"type": "object", "required": []string{"message", "type", "code", "is_transient", "error_user_title", "error_user_msg", "fbtrace_id"},
	"properties": openapi.Schema{
		"message": openapi.Schema{"type": "string"}, "type": openapi.Schema{"type": "string"}, "code": openapi.Schema{"type": "integer"},
		"error_subcode": openapi.Schema{"type": "integer"}, "is_transient": openapi.Schema{"type": "boolean"}, "error_user_msg": openapi.Schema{"type": "string"},
		"error_data": openapi.Schema{"type": "object"}, "error_user_title": openapi.Schema{"type": "string"}, "fbtrace_id": openapi.Schema{"type": "string"}}}}}

// Examples of the two server-side ways in: tests send them.
var (
	examplesCRM = map[string]any{
		"lifecycle": json.RawMessage(`{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":"2026-04-23T11:04:19Z","contact":{"id":"102948","email":"buyer@acme.example","lifecycle_stage":"marketingqualifiedlead"},"company":{"id":"3029911","domain":"acme.example","owner_id":"55192","target":true,"tier":"tier_1"}}`),
		"deal":      json.RawMessage(`{"event":"deal.created","occurred_at":"2026-04-23T11:04:19Z","deal":{"id":"84721","stage":"appointmentscheduled","pipeline":"sales_pipeline","value":36000,"mrr":3000,"currency":"USD","billing_period":"annual","owner_id":"55192","contact_ids":["102948"]}}`),
		"merge":     json.RawMessage(`{"event":"contact.merged","occurred_at":"2026-04-23T11:20:00Z","contact":{"id":"102948","merged_ids":["102311","102977"]}}`),
		"unmerge":   json.RawMessage(`{"event":"company.unmerged","occurred_at":"2026-04-23T11:30:00Z","survivor_id":"3029911","merged_ids":["3029912"]}`),
	}
	examplesEvents = map[string]any{
		"stage":  json.RawMessage(`{"event_id":"crm-102948-7","event":"lead_stage_changed","source":"hubspot","occurred_at":"2026-04-23T11:04:19Z","user_data":{"email":"buyer@acme.example"},"account_data":{"domain":"acme.example"},"custom_data":{"hubspot_contact_id":"102948","hubspot_lifecycle_stage":"marketingqualifiedlead","tracklayer_stage":"qualified_lead"}}`),
		"touch":  json.RawMessage(`[{"event":"page_view","anonymous_id":"a-77","url":"https://acme.example/pricing?utm_source=linkedin&utm_medium=cpc&li_fat_id=7f3c"},{"event":"form_submitted","anonymous_id":"a-77","form":"demo","user_data":{"email":"buyer@acme.example"}}]`),
		"custom": json.RawMessage(`{"events":[{"event":"trial_started","user_data":{"user_id":"u-1"},"custom_data":{"plan":"team","value":99,"currency":"EUR"},"campaign":{"utm_source":"linkedin","campaign_id":"600100"}}]}`),
	}
)

// itemOrMany is a body of one item, an array of them, or {"events": […]}.
func itemOrMany(item string) openapi.Schema {
	list := openapi.Schema{"type": "array", "minItems": 1, "maxItems": 1000, "items": openapi.Ref(item)}
	return openapi.Schema{"anyOf": []openapi.Schema{openapi.Ref(item), openapi.Ref("ItemMerge"), list,
		{"type": "object", "required": []string{"events"}, "properties": openapi.Schema{"events": list}}}}
}

var anything = openapi.Schema{"type": "object"}

// Of Meta's format.
var (
	metaVersion = openapi.Param{Name: "version", Schema: openapi.Schema{"type": "string", "pattern": `^v[0-9]{1,3}\.[0-9]{1,2}$`}, Example: "v25.0"}
	metaPixelID = openapi.Param{Name: "pixel", Schema: openapi.Schema{"type": "string", "pattern": "^[0-9]{1,20}$"}, Example: "111222333"}
	metaBody    = &openapi.Body{Types: []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}, Of: metaRequest()}
)

func metaRequest() openapi.Schema {
	members := openapi.Schema{"data": openapi.Schema{"type": "array", "minItems": 1, "maxItems": 1000, "items": anything}, "access_token": openapi.Schema{"type": "string"}}
	for _, name := range besideData {
		members[name] = openapi.Schema{"type": "string"}
	}
	return openapi.Schema{"type": "object", "required": []string{"data"}, "properties": members}
}

// operations describes the routes of this package, in the order of routes.
func operations() []Operation {
	return []Operation{
		{Method: "POST", Path: "/v1/ingest/crm", ID: "ingestCRM", Tag: "events", Says: "Changes of CRM records", Scope: string(ScopeIngest),
			More: "What a CRM workflow or your own code says of a CRM record: one object, an array or `{\"events\": […]}`, up to 1 MiB.",
			Body: &openapi.Body{Of: itemOrMany("Item"), Examples: examplesCRM}, Params: dryParam, Answers: keptOrDry(), Errors: Codes([]Code{CodeNotHere}, keyErrors, limits, readsJSON, keeps, []Code{CodeMerge})},
		{Method: "POST", Path: "/v1/events", ID: "ingestEvents", Tag: "events", Says: "Any event", Scope: string(ScopeIngest),
			More: "From your middleware, product or server: one object (1 MiB), an array or `{\"events\": […]}` (5 MiB, 1000 items of 256 KiB).",
			Body: &openapi.Body{Of: itemOrMany("Item"), Examples: examplesEvents}, Params: dryParam, Answers: keptOrDry(), Errors: Codes([]Code{CodeNotHere}, keyErrors, limits, readsJSON, keeps, []Code{CodeMerge})},
		{Method: "POST", Path: "/v1/ingest/hubspot/:source", ID: "ingestHubSpot", Tag: "events", Says: "Webhooks of a HubSpot app",
			More:   "`source` is a configured source of kind `hubspot`. An array of 1 to 100 events of any subscription type. A source without a client secret takes a key with the scope `ingest`.",
			Proofs: []string{"hubspot_signature", openapi.Bearer}, Body: &openapi.Body{Of: openapi.Schema{"anyOf": []openapi.Schema{anything, {"type": "array", "items": anything}}}},
			Answers: kept(http.StatusOK), Errors: Codes(keyErrors, limits, readsBody, keeps, []Code{CodeNoSource, CodeSignature, CodeStale, CodeNoSecret})},
		{Method: "POST", Path: "/v1/ingest/hubspot/:source/workflow", ID: "ingestWorkflow", Tag: "events", Says: "HubSpot's workflow action \"Send a webhook\"",
			More:   "Either form of its body: all properties, or a list of keys and values. `event` names the event where the stage of the record is not meant. What the caller shows is the source's setting `workflow`. Never a `Retry-After`: HubSpot reads it in milliseconds.",
			Proofs: []string{"hubspot_signature", openapi.Bearer}, Params: []openapi.Param{{Name: "event"}},
			Body:    &openapi.Body{Of: openapi.Schema{"anyOf": []openapi.Schema{anything, {"type": "array", "items": anything}}}},
			Answers: kept(http.StatusOK), Errors: Codes(keyErrors, limits, readsBody, keeps, []Code{CodeNoSource, CodeSignature, CodeStale, CodeNoSecret})},
		{Method: "GET", Path: "/v1/ingest/hubspot/:source/workflow", ID: "ingestWorkflowQuery", Tag: "events", Says: "The same, as the query of a GET", Proofs: []string{"hubspot_signature", openapi.Bearer},
			More: "Every parameter is a key with its value.", Params: []openapi.Param{{Name: "event"}},
			Answers: kept(http.StatusOK), Errors: Codes(keyErrors, limits, keeps, []Code{CodeNoSource, CodeSignature, CodeStale, CodeNoSecret})},
		{Method: "POST", Path: "/v1/ingest/hook/:source", Params: dryParam, ID: "ingestHook", Tag: "events", Says: "Webhooks of any shape",
			More:   "`source` is a configured source of kind `hook`; it says what the caller must show. The mapping reads the JSON.",
			Proofs: []string{openapi.Bearer, "hook_signature", "hook_password"}, Body: &openapi.Body{Types: []string{"*/*"}, Of: openapi.Schema{}},
			Answers: keptOrDry(), Errors: Codes([]Code{CodeNotHere}, keyErrors, limits, readsBody, keeps, []Code{CodeNoSource, CodeSignature, CodeStale, CodeAddress})},
		{Method: "GET", Path: "/v1/pixel.gif", ID: "pixelImage", Tag: "events", Says: "A browser event as the query of an image", Proofs: []string{"browser_key", openapi.Bearer},
			More:    "Takes the fields of `POST /v1/ingest/pixel` as a query; without `url` the page is the `Referer`.",
			Params:  []openapi.Param{{Name: "event"}, {Name: "anonymous_id"}, {Name: "url"}},
			Answers: []openapi.Answer{{Status: http.StatusOK, Says: "Kept: an image that is not cached.", Type: "image/gif", Of: openapi.Schema{"type": "string", "format": "binary"}}},
			Errors:  Codes(keyErrors, limits, readsBody, keeps)},
		{Method: "HEAD", Path: "/v1/pixel.gif", ID: "headPixelImage", Tag: "events", Says: "The image's headers; it tells of nothing", Proofs: []string{"browser_key", openapi.Bearer},
			Answers: []openapi.Answer{{Status: http.StatusOK, Says: "Nothing was kept.", Type: "-"}}, Errors: Codes(keyErrors, limits, readsBody, keeps)},
		{Method: "GET", Path: "/t.js", ID: "pageScript", Tag: "events", Says: "The script of pages", More: "docs/pixel.md says what it does.",
			Answers: []openapi.Answer{{Status: http.StatusOK, Type: "text/javascript", Of: openapi.Schema{"type": "string"}}, {Status: http.StatusNotModified, Says: "It is the one of `If-None-Match`.", Type: "-"}},
			Errors:  Codes([]Code{CodeInternal})},
		{Method: "HEAD", Path: "/t.js", ID: "headPageScript", Tag: "events", Says: "The headers of the script of pages",
			Answers: []openapi.Answer{{Status: http.StatusOK, Type: "-"}, {Status: http.StatusNotModified, Type: "-"}}, Errors: Codes([]Code{CodeInternal})},
		{Method: "POST", Path: "/v1/ingest/pixel", Params: dryParam, ID: "ingestPixel", Tag: "events", Says: "Browser events", Proofs: []string{"browser_key", openapi.Bearer},
			More: "One event, an array or `{\"events\": […]}`. The browser key may also stand in the body as `key`; its source says which origins may ask. `unseen` is there where no person saw the page and its source keeps nothing of that.",
			Body: &openapi.Body{Types: []string{"application/json", "text/plain"}, Of: anything}, Answers: keptOrDry(), Errors: Codes([]Code{CodeNotHere}, keyErrors, limits, readsJSON, keeps, []Code{CodeOrigin})},
		{Method: "OPTIONS", Path: "/v1/ingest/pixel", ID: "preflightPixel", Tag: "events", Says: "Whether a page may ask",
			Answers: []openapi.Answer{{Status: http.StatusNoContent, Says: "`Access-Control-Allow-Origin` says which pages may.", Type: "-"}}, Errors: Codes([]Code{CodeInternal})},
		{Method: "POST", Path: "/:version/:pixel/events", ID: "ingestMeta", Tag: "events", Says: "Events in Meta's own wire format", Envelope: refusedAsMeta,
			More:   "As an official SDK sends it, with only its host changed and a key of ours as its access token. A request is taken whole or not at all.",
			Proofs: []string{openapi.Bearer, "access_token"}, Params: []openapi.Param{metaVersion, metaPixelID}, Body: metaBody,
			Answers: []openapi.Answer{{Status: http.StatusOK, Says: "All of them were kept.", Of: openapi.Ref("KeptAsMeta")}},
			Errors:  Codes(keyErrors, limits, readsJSON, keeps, []Code{CodeMissing, CodeUnusable, CodeMethod})},
		{Method: "POST", Path: "/capi/:pixel/events", ID: "ingestMetaGateway", Tag: "events", Says: "The same as the Conversions API Gateway takes them", Envelope: refusedAsMeta,
			More:   "The key may stand in the body as `accessKey`.",
			Proofs: []string{openapi.Bearer, "access_token"}, Params: []openapi.Param{metaPixelID}, Body: metaBody,
			Answers: []openapi.Answer{{Status: http.StatusAccepted, Says: "All of them were kept.", Of: openapi.Ref("KeptAsMeta")}},
			Errors:  Codes(keyErrors, limits, readsJSON, keeps, []Code{CodeMissing, CodeUnusable, CodeMethod})},
		{Method: "GET", Path: "/:version/:pixel", ID: "getMetaPixel", Tag: "events", Says: "Whether events of a pixel are taken", Envelope: refusedAsMeta,
			More:   "What an SDK reads to test its settings.",
			Proofs: []string{openapi.Bearer, "access_token"}, Params: []openapi.Param{metaVersion, metaPixelID},
			Answers: []openapi.Answer{{Status: http.StatusOK, Says: "They are, with this key.", Of: openapi.Schema{"type": "object", "required": []string{"id", "name"},
				"properties": openapi.Schema{"id": openapi.Schema{"type": "string"}, "name": openapi.Schema{"type": "string"}}}}},
			Errors: Codes(keyErrors, limits, []Code{CodeMethod})},

		{Method: "POST", Path: "/v1/replay", ID: "replayEvent", Tag: "replay", Says: "Ask destinations to take an event again, under its own id", Scope: string(ScopeReplay),
			Body:    &openapi.Body{Of: ReplayRequest{}, Needs: []string{"event_id", "reason"}},
			Answers: []openapi.Answer{{Status: http.StatusOK, Says: "Asked.", Of: ReplayAnswer{}}},
			Errors:  Codes(keyErrors, limits, readsJSON, []Code{CodeMissing, CodeUnknown, CodeDestination, CodeNoEvent, CodeUnresolved, CodeNotHere, CodeLogFull})},
		{Method: "POST", Path: "/v1/receipts/:id/rerun", ID: "rerunReceipt", Tag: "replay", Says: "Read a quarantined receipt again", Scope: string(ScopeReplay),
			Answers: []openapi.Answer{{Status: http.StatusAccepted, Says: "It is read again.", Of: rerunAnswer{}}},
			Errors:  Codes(keyErrors, limits, []Code{CodeNoReceipt, CodeNotHeld, CodeNotHere, CodeLogFull})},
		{Method: "GET", Path: "/v1/receipts/:id", ID: "getReceipt", Tag: "where", Says: "A receipt, and what became of it", Scope: string(ScopeRead),
			Answers: []openapi.Answer{{Status: http.StatusOK, Of: ReceiptView{}}}, Errors: Codes(keyErrors, limits, []Code{CodeNoReceipt, CodeNotHere})},
		{Method: "GET", Path: "/v1/events/:id", ID: "getEvent", Tag: "where", Says: "An event, and its state at every destination", Scope: string(ScopeRead),
			Params:  []openapi.Param{{Name: "name", Says: "The canonical name, where one id stands for several events."}},
			Answers: []openapi.Answer{{Status: http.StatusOK, Of: EventView{}}}, Errors: Codes(keyErrors, limits, []Code{CodeNoEvent, CodeUnresolved, CodeNotHere})},
		{Method: "GET", Path: "/v1/balances", ID: "getBalances", Tag: "where", Says: "The books: receipts by fate, events by state", Scope: string(ScopeRead),
			More:    "The whole log is read for it: a question for people or a nightly job.",
			Answers: []openapi.Answer{{Status: http.StatusOK, Of: anything}}, Errors: Codes(keyErrors, limits, []Code{CodeNotHere})},

		{Method: "GET", Path: "/healthz", ID: "healthz", Tag: "process", Says: "Whether the process answers",
			Answers: []openapi.Answer{{Status: http.StatusOK, Of: healthAnswer{}}}, Errors: Codes([]Code{CodeInternal})},
		{Method: "GET", Path: "/readyz", ID: "readyz", Tag: "process", Says: "Whether the process can do its HTTP work, and what else is not well",
			Answers: []openapi.Answer{{Status: http.StatusOK, Says: "It can.", Of: readyAnswer{}}, {Status: http.StatusServiceUnavailable, Says: "It cannot.", Of: readyAnswer{}}}, Errors: Codes([]Code{CodeInternal})},
		{Method: "GET", Path: "/metrics", ID: "metrics", Tag: "process", Says: "Metrics, as Prometheus reads them",
			Answers: []openapi.Answer{{Status: http.StatusOK, Type: "text/plain", Of: openapi.Schema{"type": "string"}}}, Errors: Codes([]Code{CodeInternal, CodeNotHere})},
		{Method: "GET", Path: "/openapi.json", ID: "openapi", Tag: "process", Says: "This document",
			Answers: []openapi.Answer{{Status: http.StatusOK, Of: anything}}, Errors: Codes([]Code{CodeInternal})},
	}
}

// The answers of small routes.
type (
	healthAnswer struct {
		OK bool `json:"ok"`
	}
	readyAnswer struct {
		OK       bool     `json:"ok"`
		Degraded []string `json:"degraded"`
	}
	rerunAnswer struct {
		OK        bool   `json:"ok"`
		ReceiptID string `json:"receipt_id"`
	}
)

// document writes the OpenAPI document of everything that is served.
func (f *front) document() ([]byte, error) {
	all := slices.Concat(operations(), segmentOperations(), f.Operations)
	for i := range all {
		if strings.Contains(all[i].Path, "/:") { // an empty member is no route
			all[i].Errors = append(slices.Clone(all[i].Errors), string(CodeNotFound))
		}
	}
	faults := make([]openapi.Fault, len(table))
	for i, r := range table {
		faults[i] = openapi.Fault{Code: string(r.code), Status: r.status, Says: r.says}
	}
	return openapi.API{
		Title: "Tributary", Version: "1", Says: "A self-hosted attribution event router. 2xx of a way in means that what it answers a receipt for is kept. docs/http.md says more.",
		Tags: tags, Proofs: proofs, Faults: faults, Envelope: Refused{}, Types: []any{Foreseen{}}, Named: named(), Operations: all,
	}.Document()
}

// describe serves the document: GET /openapi.json.
func (f *front) describe() (handler, error) {
	text, err := f.document()
	if err != nil {
		return nil, err
	}
	return func(c *gin.Context, _ *request) error {
		c.Data(http.StatusOK, jsonType, text)
		return nil
	}, nil
}
