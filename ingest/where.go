package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tributary/canonical"
	"tributary/canonical/wire"
)

// Where answers where something is now, at once and from local state.
type Where interface {
	// Receipt gives a receipt and what became of it; ErrNotFound when there is none.
	Receipt(ctx context.Context, id canonical.ReceiptID) (ReceiptView, error)
	// Event gives an event and its state at every destination; ErrNotFound when there is
	// none, ErrNotYetResolved when its receipt is not resolved yet. name "" takes the only
	// event with the id, or the first by name.
	Event(ctx context.Context, id canonical.EventID, name string) (EventView, error)
}

// A ReceiptView is where a receipt is now.
type ReceiptView struct {
	ReceiptID  canonical.ReceiptID `json:"receipt_id"`
	Source     string              `json:"source,omitempty"`
	Way        canonical.Way       `json:"way,omitempty"`
	ReceivedAt time.Time           `json:"received_at,omitzero"`
	// Fate is "waiting" while there is none.
	Fate   canonical.Fate `json:"fate"`
	Reason string         `json:"reason,omitempty"`
	Detail string         `json:"detail,omitempty"`
	Rule   string         `json:"rule,omitempty"`
	// CompletedBy is the receipt that fetch made of a bare webhook.
	CompletedBy canonical.ReceiptID `json:"completed_by,omitempty"`
	Event       *EventView          `json:"event,omitempty"`
}

// An EventView is where an event is now.
type EventView struct {
	Name       string              `json:"name"`
	ID         canonical.EventID   `json:"event_id"`
	OccurredAt time.Time           `json:"occurred_at,omitzero"`
	Source     string              `json:"source,omitempty"`
	ReceiptID  canonical.ReceiptID `json:"receipt_id,omitempty"`
	Person     string              `json:"person,omitempty"`
	Account    string              `json:"account,omitempty"`
	Rule       string              `json:"rule,omitempty"`
	// Claimed is what the sender took it to be, where that is not Name.
	Claimed      string            `json:"claimed,omitempty"`
	Destinations []DestinationView `json:"destinations"`
}

// A DestinationView is where an event is at one destination: the worst of its parts.
type DestinationView struct {
	Destination string     `json:"destination"`
	State       string     `json:"state"` // pending, parked, delivered, dead, suppressed
	Reason      string     `json:"reason,omitempty"`
	Detail      string     `json:"detail,omitempty"`
	Due         *time.Time `json:"due,omitempty"`
	Parts       []PartView `json:"parts,omitempty"`
}

// A PartView is one part of an event at a destination.
type PartView struct {
	Part    string     `json:"part"`
	State   string     `json:"state"`
	Reason  string     `json:"reason,omitempty"`
	Detail  string     `json:"detail,omitempty"`
	At      time.Time  `json:"at,omitzero"`
	Attempt int        `json:"attempt,omitempty"`
	Due     *time.Time `json:"due,omitempty"`
}

// A ReplayRequest asks destinations to take an event again.
type ReplayRequest struct {
	EventID      canonical.EventID `json:"event_id"`
	Name         string            `json:"name"`         // where one id stands for several events
	Destinations []string          `json:"destinations"` // none: all
	Reason       string            `json:"reason"`
	Force        bool              `json:"force"` // also where it was delivered
	Who          string            `json:"-"`     // the key's name
}

// A ReplayAnswer counts the lanes asked to send. Deduplicated is true when all of them
// had the event already; Reasons says why one was not asked.
type ReplayAnswer struct {
	OK             bool              `json:"ok"`
	Deduplicated   bool              `json:"deduplicated"`
	CanonicalEvent string            `json:"canonical_event"`
	Replayed       int               `json:"replayed_destinations"`
	Reasons        map[string]string `json:"reasons,omitempty"`
}

// replay asks for an event again: POST /v1/replay.
func (f *front) replay(c *gin.Context, r *request) error {
	if f.Replay == nil {
		return notHere()
	}
	body, err := f.readJSON(c.Request, f.limits.Body)
	if err != nil {
		return err
	}
	var q ReplayRequest
	if err := decodeStrictly(body, &q); err != nil {
		return err
	}
	if q.EventID == "" {
		return failField(CodeMissing, "event_id", "event_id says which event to replay")
	}
	if q.Reason == "" {
		return failField(CodeMissing, "reason", "reason is kept with the replay")
	}
	q.Who = r.key.Name
	answer, err := f.Replay(c.Request.Context(), q)
	if err != nil {
		return fromPort(err, CodeNoEvent, "no event has this id")
	}
	c.JSON(http.StatusOK, answer)
	return nil
}

// rerun reads a quarantined receipt again: POST /v1/receipts/:id/rerun.
func (f *front) rerun(c *gin.Context, r *request) error {
	if f.Rerun == nil {
		return notHere()
	}
	id := canonical.ReceiptID(c.Param("id"))
	if err := f.Rerun(c.Request.Context(), id, r.key.Name); err != nil {
		return fromPort(err, CodeNoReceipt, "no receipt has this id")
	}
	c.JSON(http.StatusAccepted, rerunAnswer{true, string(id)})
	return nil
}

func (f *front) receipt(c *gin.Context, _ *request) error {
	if f.Where == nil {
		return notHere()
	}
	v, err := f.Where.Receipt(c.Request.Context(), canonical.ReceiptID(c.Param("id")))
	if err != nil {
		return fromPort(err, CodeNoReceipt, "no receipt has this id")
	}
	c.JSON(http.StatusOK, v)
	return nil
}

func (f *front) eventByID(c *gin.Context, _ *request) error {
	if f.Where == nil {
		return notHere()
	}
	v, err := f.Where.Event(c.Request.Context(), canonical.EventID(c.Param("id")), c.Query("name"))
	if err != nil {
		return fromPort(err, CodeNoEvent, "no event has this id")
	}
	if v.Destinations == nil {
		v.Destinations = []DestinationView{}
	}
	c.JSON(http.StatusOK, v)
	return nil
}

func (f *front) balances(c *gin.Context, _ *request) error {
	if f.Balances == nil {
		return notHere()
	}
	// The whole log is read: longer than any other request takes.
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(10 * time.Minute))
	v, err := f.Balances(c.Request.Context())
	if err != nil {
		return fromPort(err, CodeNotFound, "there are no balances")
	}
	c.JSON(http.StatusOK, v)
	return nil
}

func (f *front) healthz(c *gin.Context, _ *request) error {
	c.JSON(http.StatusOK, healthAnswer{true})
	return nil
}

// readyz is red only when this process cannot do its HTTP work; what else is not well
// is listed.
func (f *front) readyz(c *gin.Context, _ *request) error {
	ok, degraded := true, []string(nil)
	if f.Readiness != nil {
		ok, degraded = f.Readiness()
	}
	if degraded == nil {
		degraded = []string{}
	}
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
		c.Header("Retry-After", "5")
	}
	c.JSON(status, readyAnswer{ok, degraded})
	return nil
}

// exposition serves the metrics.
func (f *front) exposition() handler {
	if f.Gatherer == nil {
		return func(*gin.Context, *request) error { return notHere() }
	}
	h := promhttp.HandlerFor(f.Gatherer, promhttp.HandlerOpts{})
	return func(c *gin.Context, _ *request) error {
		h.ServeHTTP(c.Writer, c.Request)
		return nil
	}
}

func notHere() *Error {
	return fail(CodeNotHere, "this process does not have the role that answers this")
}

// fromPort turns the sentinels of the ports into answers.
func fromPort(err error, missing Code, says string) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return fail(missing, says)
	case errors.Is(err, ErrNotYetResolved):
		return fail(CodeUnresolved, "accepted, and not resolved yet; try again in a moment")
	case errors.Is(err, ErrUnknownDestination):
		return failField(CodeDestination, "destinations", err.Error())
	case errors.Is(err, ErrNotQuarantined):
		return fail(CodeNotHeld, "the receipt is not quarantined")
	case errors.Is(err, ErrLogFull):
		return fail(CodeLogFull, err.Error())
	}
	return err
}

// decodeStrictly reads a small body whose every field is known.
func decodeStrictly(body []byte, to any) error {
	s, fault := scanSmall(body)
	if fault != nil {
		return fault
	}
	if s != '{' {
		return fail(CodeWrongType, "the body must be an object")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(to)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case err == io.EOF:
		return fail(CodeMalformed, "the body is empty")
	case errors.As(err, &wrong):
		return failField(CodeWrongType, wrong.Field, "this field must be "+jsonKind(wrong.Type))
	}
	return fail(CodeUnknown, "the body holds a field that this route does not know")
}

// scanSmall gives the kind of a body that is whole and in bounds.
func scanSmall(body []byte) (byte, *Error) {
	s, fault := wire.Scan(body)
	if fault != nil {
		return 0, fromFault(fault)
	}
	if !s.UTF8 {
		return 0, fail(CodeUTF8, "the body holds bytes that are not UTF-8")
	}
	if s.Depth > 64 {
		return 0, fail(CodeTooDeep, "the body is nested too deeply")
	}
	return s.Kind, nil
}

func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "text"
}
