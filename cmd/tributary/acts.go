package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/ingest"
	"tributary/internal/pipeline"
)

// The routes in this file act on what was decided before: replays of many events, dead
// letters and what is held. Any process answers them.

// mountActs adds the routes.
func (r *router) mountActs(g gin.IRouter, auth func(ingest.Scope) gin.HandlerFunc) {
	read, replay, admin := auth(ingest.ScopeRead), auth(ingest.ScopeReplay), auth(ingest.ScopeAdmin)
	g.POST("/v1/replay/preview", read, r.act(func(c *gin.Context) (int, any, error) { return r.previewOne(c, false) }))
	g.POST("/v1/replay/bodies", admin, r.act(func(c *gin.Context) (int, any, error) { return r.previewOne(c, true) }))
	g.POST("/v1/explain", admin, r.act(r.explainEvent))
	g.POST("/v1/replays", replay, r.act(r.makeReplay))
	g.GET("/v1/replays", read, r.act(r.listReplays))
	g.GET("/v1/replays/:id", read, r.act(func(c *gin.Context) (int, any, error) {
		return ok(r.jobs.Job(c.Request.Context(), c.Param("id")))
	}))
	g.POST("/v1/replays/:id/run", replay, r.act(func(c *gin.Context) (int, any, error) {
		return ok(r.jobs.Start(c.Request.Context(), c.Param("id"), ingest.KeyName(c)))
	}))
	g.POST("/v1/replays/:id/cancel", replay, r.act(func(c *gin.Context) (int, any, error) {
		var q reasonBody
		if err := readAct(c, &q, true); err != nil {
			return 0, nil, err
		}
		return ok(r.jobs.Cancel(c.Request.Context(), c.Param("id"), ingest.KeyName(c), q.Reason))
	}))
	g.GET("/v1/deadletters", read, r.act(r.listLetters))
	g.GET("/v1/deadletters/:destination/:event", read, r.act(func(c *gin.Context) (int, any, error) { return r.showLetter(c, false) }))
	g.GET("/v1/deadletters/:destination/:event/body", admin, r.act(func(c *gin.Context) (int, any, error) { return r.showLetter(c, true) }))
	g.POST("/v1/deadletters/retry", replay, r.act(r.retryLetters))
	g.POST("/v1/deadletters/discard", admin, r.act(r.discardLetters))
}

func ok[T any](v T, err error) (int, any, error) { return http.StatusOK, shown(v), err }

// shown leaves out of a job what only its owner needs.
func shown(v any) any {
	if j, is := v.(canonical.ReplayJob); is {
		j.Selection.IDs, j.End, j.Begun, j.Next, j.Stamp = nil, nil, canonical.JobPlace{}, canonical.JobPlace{}, ""
		return j
	}
	return v
}

// act answers with what do gives, or with its error in the words of the one table.
func (r *router) act(do func(*gin.Context) (int, any, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		// The ledger or a list may be walked over: longer than an ordinary answer takes.
		_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(5 * time.Minute))
		status, v, err := do(c)
		if err == nil {
			c.JSON(status, v)
			return
		}
		r.refuse(c, err)
	}
}

// refuse answers with an error in the words of the one table; what is none of them is logged,
// unless who asked has gone.
func (r *router) refuse(c *gin.Context, err error) {
	code, says := actError(err)
	if code == ingest.CodeInternal && c.Request.Context().Err() == nil {
		r.logger.Error("request", "route", c.FullPath(), "error", err.Error())
	}
	ingest.Refuse(c, code, says)
}

// A refusal is an error of the table, for who asked.
type refusal struct {
	code ingest.Code
	says string
}

func (e *refusal) Error() string { return e.says }

func actError(err error) (ingest.Code, string) {
	var own *refusal
	var bad *pipeline.BadSelection
	var differs *pipeline.CountDiffers
	var unknown *pipeline.UnknownDestination
	switch {
	case errors.As(err, &own):
		return own.code, own.says
	case errors.As(err, &bad):
		return ingest.CodeSelection, bad.Error()
	case errors.As(err, &differs):
		return ingest.CodeCount, differs.Error()
	case errors.As(err, &unknown):
		return ingest.CodeDestination, unknown.Error()
	case errors.Is(err, pipeline.ErrNoJob):
		return ingest.CodeNoReplay, "no replay has this id; ClickHouse keeps old ones in v_replay_jobs"
	case errors.Is(err, pipeline.ErrWrongState), errors.Is(err, pipeline.ErrImporting):
		return ingest.CodeState, err.Error()
	case errors.Is(err, pipeline.ErrNoLetter):
		return ingest.CodeNoLetter, "the event has no state at this destination"
	case errors.Is(err, pipeline.ErrUnknown):
		return ingest.CodeNoEvent, "no event has this id"
	case errors.Is(err, pipeline.ErrNotResolved):
		return ingest.CodeUnresolved, "accepted, and not resolved yet; try again in a moment"
	case errors.Is(err, ingest.ErrLogFull):
		return ingest.CodeLogFull, err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return ingest.CodeLog, "the log was not read to its end in time; try again"
	}
	return ingest.CodeInternal, "something went wrong on our side; the log has it"
}

// readAct reads a small body whose every field is known. may allows that there is none.
func readAct(c *gin.Context, into any, may bool) error {
	if may && c.Request.ContentLength == 0 {
		return nil
	}
	d := json.NewDecoder(http.MaxBytesReader(c.Writer, c.Request.Body, 1<<20))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var own *ingest.Error
	var tooLarge *http.MaxBytesError
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own): // too slow, or too much at a time
		return &refusal{own.Code, own.Message}
	case errors.As(err, &tooLarge):
		return &refusal{ingest.CodeTooLarge, "the body is larger than 1 MiB"}
	case errors.As(err, &wrong):
		return &refusal{ingest.CodeWrongType, wrong.Field + " has another type"}
	}
	return &refusal{ingest.CodeMalformed, "the body cannot be read: " + err.Error()}
}

func missingField(field, says string) error {
	return &refusal{ingest.CodeMissing, field + ": " + says}
}

func (r *router) previewOne(c *gin.Context, bodies bool) (int, any, error) {
	var q previewBody
	if err := readAct(c, &q, false); err != nil {
		return 0, nil, err
	}
	if q.EventID == "" {
		return 0, nil, missingField("event_id", "which event")
	}
	p, err := r.replay.Preview(c.Request.Context(), pipeline.Order{EventID: q.EventID, Name: q.Name, Destinations: q.Destinations, Force: q.Force}, bodies)
	return http.StatusOK, previewAnswer{p}, err
}

// A replayRequest asks for a job.
type replayRequest struct {
	canonical.Selection
	Destinations []string `json:"destinations"`
	Reason       string   `json:"reason"`
	Force        bool     `json:"force"`
	Run          bool     `json:"run"` // once it is previewed
	Backfill     bool     `json:"backfill"`
}

func (r *router) makeReplay(c *gin.Context) (int, any, error) {
	var q replayRequest
	if err := readAct(c, &q, false); err != nil {
		return 0, nil, err
	}
	if q.Reason == "" {
		return 0, nil, missingField("reason", "it is kept with the replay")
	}
	if q.List != "" {
		return 0, nil, &refusal{ingest.CodeSelection, "list: POST /v1/deadletters/retry retries what stands on a list"}
	}
	kind := "replay"
	if q.Backfill {
		if len(q.Destinations) != 1 || len(q.IDs)+len(q.States) > 0 {
			return 0, nil, &refusal{ingest.CodeSelection, "backfill: is for one destination, and names neither ids nor states"}
		}
		kind, q.States = "backfill", []string{"none"}
	}
	return r.accepted(c, canonical.ReplayJob{Kind: kind, Selection: q.Selection, Destinations: q.Destinations, Force: q.Force, Run: q.Run, Reason: q.Reason, Who: ingest.KeyName(c)})
}

func (r *router) accepted(c *gin.Context, j canonical.ReplayJob) (int, any, error) {
	j, err := r.jobs.Make(c.Request.Context(), j)
	if err == nil {
		r.logger.Info("replay asked for", "replay", j.ID, "kind", j.Kind, "who", j.Who, "destinations", j.Destinations, "reason", j.Reason)
	}
	return http.StatusAccepted, shown(j), err
}

func (r *router) listReplays(c *gin.Context) (int, any, error) {
	limit, err := limitOf(c)
	if err != nil {
		return 0, nil, err
	}
	jobs, err := r.jobs.List(c.Request.Context(), c.Query("after"), limit)
	out := make([]any, 0, len(jobs))
	next := ""
	for _, j := range jobs {
		j.Samples = nil
		out = append(out, shown(j))
		next = j.ID
	}
	if len(jobs) < limit {
		next = ""
	}
	return http.StatusOK, replaysAnswer{out, next}, err
}

func limitOf(c *gin.Context) (int, error) {
	n, err := strconv.Atoi(cmp.Or(c.Query("limit"), "100"))
	if err != nil || n < 1 || n > 1000 {
		return 0, &refusal{ingest.CodeSelection, "limit: must be a number from 1 to 1000"}
	}
	return n, nil
}

// asked reads what a query says of a list.
func asked(c *gin.Context) (canonical.Selection, error) {
	sel := canonical.Selection{List: cmp.Or(c.Query("list"), "dead"), Reasons: c.QueryArray("reason"), Events: c.QueryArray("event")}
	for _, id := range c.QueryArray("event_id") {
		sel.IDs = append(sel.IDs, canonical.EventID(id))
	}
	for name, into := range map[string]**time.Time{"since": &sel.Since, "until": &sel.Until} {
		if text := c.Query(name); text != "" {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return sel, &refusal{ingest.CodeSelection, name + ": must be a time as RFC 3339 writes it"}
			}
			*into = &t
		}
	}
	return sel, nil
}

func (r *router) listLetters(c *gin.Context) (int, any, error) {
	sel, err := asked(c)
	if err != nil {
		return 0, nil, err
	}
	limit, err := limitOf(c)
	if err != nil {
		return 0, nil, err
	}
	return ok(r.letters.List(c.Request.Context(), c.QueryArray("destination"), sel, c.Query("after"), limit))
}

func (r *router) showLetter(c *gin.Context, bodies bool) (int, any, error) {
	part, given := c.GetQuery("part")
	if !given {
		part = "*"
	}
	return ok(r.letters.Show(c.Request.Context(), c.Param("destination"), canonical.EventID(c.Param("event")), c.Query("name"), part, bodies))
}

// An actRequest names entries of a list.
type actRequest struct {
	canonical.Selection
	Destinations []string `json:"destinations"`
	Reason       string   `json:"reason"`
	Run          *bool    `json:"run"`    // retry: nil is true
	Force        bool     `json:"force"`  // retry
	Expect       *int     `json:"expect"` // discard
	Part         *string  `json:"part"`   // discard
}

func readList(c *gin.Context) (actRequest, error) {
	var q actRequest
	if err := readAct(c, &q, false); err != nil {
		return q, err
	}
	if q.Reason == "" {
		return q, missingField("reason", "it is kept with what is done")
	}
	q.List = cmp.Or(q.List, "dead")
	return q, nil
}

func (r *router) retryLetters(c *gin.Context) (int, any, error) {
	q, err := readList(c)
	if err != nil {
		return 0, nil, err
	}
	if q.Expect != nil || q.Part != nil {
		return 0, nil, &refusal{ingest.CodeUnknown, "expect and part are for discarding"}
	}
	return r.accepted(c, canonical.ReplayJob{Kind: "retry", Selection: q.Selection, Destinations: q.Destinations, Force: q.Force, Run: q.Run == nil || *q.Run,
		Reason: q.Reason, Who: ingest.KeyName(c)})
}

func (r *router) discardLetters(c *gin.Context) (int, any, error) {
	q, err := readList(c)
	if err != nil {
		return 0, nil, err
	}
	if q.Run != nil || q.Force {
		return 0, nil, &refusal{ingest.CodeUnknown, "run and force are for retrying"}
	}
	if q.Expect == nil {
		return 0, nil, missingField("expect", "how many you saw, so that no more are given up")
	}
	who := ingest.KeyName(c)
	n, err := r.letters.Discard(c.Request.Context(), pipeline.Discarding{Destinations: q.Destinations, Selection: q.Selection, Part: q.Part, Expect: *q.Expect, Reason: q.Reason, Who: who})
	if n > 0 {
		r.logger.Info("discarded", "list", q.List, "items", n, "who", who, "reason", q.Reason)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("after %d: %w", n, err)
	}
	return http.StatusOK, discardedAnswer{true, n}, nil
}
