package ingest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"tributary/canonical/wire"
)

// A Code names what went wrong, for programs.
type Code string

// The codes, in the order of the table in docs/http.md.
const (
	CodeMalformed   Code = wire.FaultMalformed
	CodeWrongType   Code = wire.FaultWrongType
	CodeTooDeep     Code = wire.FaultTooDeep
	CodeUTF8        Code = wire.FaultUTF8
	CodeEncoding    Code = "bad_encoding"
	CodeIncomplete  Code = "incomplete_body"
	CodeMissing     Code = "missing_field"
	CodeUnknown     Code = "unknown_field"
	CodeBadSource   Code = "bad_source"
	CodeDestination Code = "unknown_destination"
	CodeQuery       Code = "bad_query"
	CodeSelection   Code = "bad_selection"
	CodeIdentifier  Code = "bad_identifier"
	CodeMerge       Code = "bad_merge"
	CodeNothing     Code = "nothing_kept"
	CodeUnusable    Code = "unusable_event"
	CodeNoKey       Code = "missing_key"
	CodeBadKey      Code = "unknown_key"
	CodeExpired     Code = "expired_key"
	CodeRevoked     Code = "revoked_key"
	CodeSignature   Code = "bad_signature"
	CodeStale       Code = "stale_signature"
	CodeScope       Code = "wrong_scope"
	CodeAddress     Code = "wrong_address"
	CodeOrigin      Code = "wrong_origin"
	CodeNotFound    Code = "not_found"
	CodeNoSource    Code = "unknown_source"
	CodeNoReceipt   Code = "unknown_receipt"
	CodeNoEvent     Code = "unknown_event"
	CodeNobody      Code = "unknown_identifier"
	CodeNoReplay    Code = "unknown_replay"
	CodeNoLetter    Code = "unknown_letter"
	CodeMethod      Code = "method_not_allowed"
	CodeUnresolved  Code = "not_yet_resolved"
	CodeNotHeld     Code = "not_quarantined"
	CodeConfigured  Code = "configured"
	CodeState       Code = "wrong_state"
	CodeCount       Code = "count_differs"
	CodeTooLarge    Code = wire.FaultTooLarge
	CodeTooMany     Code = "too_many_items"
	CodeMediaType   Code = "unsupported_type"
	CodeContentEnc  Code = "unsupported_encoding"
	CodeMapping     Code = "bad_mapping"
	CodeSlow        Code = "slow_body"
	CodeRate        Code = "rate_limited"
	CodeOverloaded  Code = "overloaded"
	CodeInternal    Code = "internal"
	CodeNotHere     Code = "not_here"
	CodeBusy        Code = "log_busy"
	CodeNoSecret    Code = "secret_unavailable"
	CodeLog         Code = "log_unavailable"
	CodeLogFull     Code = "log_full"
	CodeBooks       Code = "books_unavailable"
)

// A row of the one error table: a test holds docs/http.md to it.
type row struct {
	code   Code
	status int
	// meta is the error number by which Meta's SDKs know it.
	meta int
	says string
}

var table = []row{
	{CodeMalformed, http.StatusBadRequest, 100, "The body is not JSON. The message says what is wrong and at which byte."},
	{CodeWrongType, http.StatusBadRequest, 100, "The body, an item or a field has a type that this route does not take."},
	{CodeTooDeep, http.StatusBadRequest, 100, "An item is nested deeper than 64 levels."},
	{CodeUTF8, http.StatusBadRequest, 100, "An item holds bytes that are not UTF-8."},
	{CodeEncoding, http.StatusBadRequest, 100, "The body is not the gzip that `Content-Encoding` says it is."},
	{CodeIncomplete, http.StatusBadRequest, 100, "The body ended before its length, or could not be read."},
	{CodeMissing, http.StatusBadRequest, 100, "A field that this route needs is missing."},
	{CodeUnknown, http.StatusBadRequest, 100, "A field that this route does not know; only routes that act on what is kept refuse those."},
	{CodeBadSource, http.StatusBadRequest, 100, "`source` names no configured source."},
	{CodeDestination, http.StatusBadRequest, 100, "`destinations` names a destination that is not configured."},
	{CodeQuery, http.StatusBadRequest, 100, "The warehouse refused the statement; the message is its own."},
	{CodeSelection, http.StatusBadRequest, 100, "What says which events are meant cannot be used; the message names the field."},
	{CodeIdentifier, http.StatusBadRequest, 100, "What names a person, account or deal cannot be read, or is not of the kind that this route takes; the message says how it is written."},
	{CodeMerge, http.StatusBadRequest, 100, "A merge or an unmerge cannot be read, or does not say which record survives and which others are it; the message names the field."},
	{CodeNothing, http.StatusBadRequest, 100, "A batch held no item that could be kept; `receipts` says why, item by item."},
	{CodeUnusable, http.StatusBadRequest, 100, "In Meta's format: Meta refuses such an event, and with it the request. The message says which and why."},
	{CodeNoKey, http.StatusUnauthorized, 190, "There is no key. Send `Authorization: Bearer <key>`."},
	{CodeBadKey, http.StatusUnauthorized, 190, "The key is none of ours."},
	{CodeExpired, http.StatusUnauthorized, 190, "The key has expired."},
	{CodeRevoked, http.StatusUnauthorized, 190, "The key was revoked."},
	{CodeSignature, http.StatusUnauthorized, 190, "The signature is missing, of a scheme the source does not take, or wrong."},
	{CodeStale, http.StatusUnauthorized, 190, "The signature's time is more than five minutes away, or no time."},
	{CodeScope, http.StatusForbidden, 200, "The key is good but does not have the scope of this route."},
	{CodeAddress, http.StatusForbidden, 200, "The source takes nothing from the address that the request came from."},
	{CodeOrigin, http.StatusForbidden, 200, "The page is on a site that is none of the `origins` of the key's source."},
	{CodeNotFound, http.StatusNotFound, 100, "There is no such route, or nothing of that name."},
	{CodeNoSource, http.StatusNotFound, 100, "The path names no configured source."},
	{CodeNoReceipt, http.StatusNotFound, 100, "No receipt has this id."},
	{CodeNoEvent, http.StatusNotFound, 100, "No event has this id."},
	{CodeNobody, http.StatusNotFound, 100, "No fact has named this identifier."},
	{CodeNoReplay, http.StatusNotFound, 100, "No replay has this id."},
	{CodeNoLetter, http.StatusNotFound, 100, "The event has no state at this destination."},
	{CodeMethod, http.StatusMethodNotAllowed, 100, "The route does not take this method; `Allow` lists those it takes."},
	{CodeSlow, http.StatusRequestTimeout, 2, "The body came too slowly. The connection is closed; send it again."},
	{CodeUnresolved, http.StatusConflict, 2, "The event was accepted and is not resolved yet. Try again in a moment."},
	{CodeNotHeld, http.StatusConflict, 100, "The receipt is not quarantined: there is nothing to run again."},
	{CodeConfigured, http.StatusConflict, 100, "The configuration holds the destination where it stands (`mode: paused` or `disabled`): change it there."},
	{CodeState, http.StatusConflict, 100, "The replay is past what was asked of it; the message says where it is."},
	{CodeCount, http.StatusConflict, 100, "There are not as many as `expect` says; nothing was done. Look again."},
	{CodeTooLarge, http.StatusRequestEntityTooLarge, 100, "The body (also when unpacked) or an item is larger than its limit, or the body unpacks to more than 100 times its size."},
	{CodeTooMany, http.StatusRequestEntityTooLarge, 100, "The batch holds more than 1000 items."},
	{CodeMediaType, http.StatusUnsupportedMediaType, 100, "`Content-Type` is none that this route takes."},
	{CodeContentEnc, http.StatusUnsupportedMediaType, 100, "`Content-Encoding` is neither `gzip` nor `identity`."},
	{CodeMapping, http.StatusUnprocessableEntity, 100, "The mapping has mistakes; `problems` lists each with its place."},
	{CodeRate, http.StatusTooManyRequests, 4, "The key, the source or the browser's address makes more requests than it may. `Retry-After` says when to try again."},
	{CodeOverloaded, http.StatusTooManyRequests, 4, "Too many requests, or bytes of their bodies, at a time. `Retry-After` says when to try again."},
	{CodeInternal, http.StatusInternalServerError, 2, "A fault of ours. The log has it; nothing was kept."},
	{CodeNotHere, http.StatusServiceUnavailable, 2, "This process does not have the role that answers this."},
	{CodeBusy, http.StatusServiceUnavailable, 2, "The log is slower than what comes in, and no more can wait for it. Nothing was kept; send it again."},
	{CodeNoSecret, http.StatusServiceUnavailable, 2, "The source's secret cannot be read; the router's log says why. Send it again."},
	{CodeLog, http.StatusServiceUnavailable, 2, "The log did not take it in time. Send it again: what was kept already is not counted twice."},
	{CodeLogFull, http.StatusServiceUnavailable, 2, "The log is at its size limit. The message says who holds it and what to do."},
	{CodeBooks, http.StatusServiceUnavailable, 2, "The books cannot be counted now; the message says what they wait for."},
}

var rows = func() map[Code]row {
	m := make(map[Code]row, len(table))
	for _, r := range table {
		m[r.code] = r
	}
	return m
}()

// An Error is an answer that is not 2xx. Its message holds nothing personal: it goes
// to the caller and, by its code, into the log.
type Error struct {
	Code      Code   `json:"code"`
	Message   string `json:"message"`
	Field     string `json:"field,omitempty"`
	ReceiptID string `json:"receipt_id,omitempty"`

	after  int  // seconds until trying again, where this one knows better than its code
	silent bool // about when to try again

	// As Meta words it: see answerMeta.
	subcode int
	title   string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Status is the HTTP status of the error's code.
func (e *Error) Status() int { return rows[e.Code].status }

// RetryAfter is in seconds, 0 where trying again does not help.
func (e *Error) RetryAfter() int {
	if e.after > 0 {
		return e.after
	}
	switch e.Code {
	case CodeOverloaded, CodeUnresolved, CodeRate, CodeBusy:
		return 1
	case CodeLog:
		return 5
	case CodeLogFull, CodeNotHere, CodeNoSecret, CodeBooks:
		return 30
	}
	return 0
}

// Refuse answers a request of a mounted route with an error of the table.
func Refuse(c *gin.Context, code Code, message string) {
	c.Set(refusedAs, string(code))
	fail(code, message).answer(c)
}

// RefuseWith is Refuse with more beside the error.
func RefuseWith(c *gin.Context, code Code, message string, beside gin.H) {
	c.Set(refusedAs, string(code))
	e := fail(code, message)
	e.headers(c)
	body := gin.H{"error": e}
	for k, v := range beside {
		body[k] = v
	}
	c.JSON(e.Status(), body)
}

func fail(code Code, message string) *Error { return &Error{Code: code, Message: message} }

func failField(code Code, field, message string) *Error {
	return &Error{Code: code, Field: field, Message: message}
}

// fromFault turns what the scan found into an answer.
func fromFault(f *wire.Fault) *Error { return fromFaultOf("the body", f) }

func fromFaultOf(what string, f *wire.Fault) *Error {
	if f.Code == wire.FaultMalformed {
		what += " is not JSON:"
	}
	return fail(Code(f.Code), what+" "+f.Error())
}

// Errors that the ports of Options return; what is none of these stays inside.
var (
	ErrNotFound           = errors.New("not found")
	ErrNotYetResolved     = errors.New("accepted but not resolved yet")
	ErrUnknownDestination = errors.New("unknown destination")
	ErrNotQuarantined     = errors.New("not quarantined")
)

// silent are the routes that never say when to try again: HubSpot's workflows read Retry-After
// in milliseconds, and without one keep to a schedule of their own.
var silent = map[string]bool{"/v1/ingest/hubspot/:source/workflow": true}

// known gives the answer to an error. Whatever is not of the table is ours and is told
// to nobody but the log.
func known(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return fail(CodeInternal, "something went wrong on our side; the log has it")
}

// answer writes an error as this API does.
func (e *Error) answer(c *gin.Context) {
	e.headers(c)
	c.JSON(e.Status(), gin.H{"error": e})
}

func (e *Error) headers(c *gin.Context) {
	if s := e.RetryAfter(); s > 0 && !e.silent {
		c.Header("Retry-After", strconv.Itoa(s))
	}
	if e.Code == CodeSlow {
		c.Header("Connection", "close")
	}
	if e.Status() == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", `Bearer realm="tributary"`)
	}
}

// answerMeta writes an error in the envelope that Meta's SDKs read (meta.md §5.2).
func (e *Error) answerMeta(c *gin.Context, trace string) {
	e.headers(c)
	c.Header("X-Fb-Trace-Id", trace)
	number := rows[e.Code].meta
	kind, subcode, title := "OAuthException", e.subcode, e.title
	switch e.Code {
	case CodeNotFound, CodeMethod:
		kind, subcode = "GraphMethodException", 33
	case CodeExpired:
		subcode = 463
	case CodeRevoked:
		subcode = 460
	}
	if title == "" {
		title = string(e.Code)
	}
	body := gin.H{
		"message": e.Message, "type": kind, "code": number, "is_transient": number == 2 || number == 4,
		"error_user_title": title, "error_user_msg": e.Message, "fbtrace_id": trace,
	}
	if subcode != 0 {
		body["error_subcode"] = subcode
	}
	if e.Field != "" {
		body["error_data"] = gin.H{"blame_field_specs": [][]string{{e.Field}}}
	}
	c.JSON(e.Status(), gin.H{"error": body})
}

// answerSegment writes an error with what Segment's clients look for beside our own.
func (e *Error) answerSegment(c *gin.Context) {
	e.headers(c)
	c.JSON(e.Status(), gin.H{"success": false, "message": e.Message, "error": e})
}

// appendError writes {"code":…,"message":…} behind b.
func appendError(b []byte, e *Error) []byte {
	j, err := json.Marshal(e)
	if err != nil {
		return append(b, `{"code":"internal"}`...)
	}
	return append(b, j...)
}
