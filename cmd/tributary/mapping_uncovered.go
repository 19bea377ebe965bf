package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"tributary/ingest"
	"tributary/mappings"
)

// An uncoveredRequest asks which stages came that no line of a mapping names.
type uncoveredRequest struct {
	Mapping mappingName `json:"mapping"`
	Since   time.Time   `json:"since"` // of received_at
}

// mostUncovered bounds the answer.
const mostUncovered = 1000

func (r *router) answerUncovered(c *gin.Context) {
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(time.Hour))
	list, problems, err := r.uncovered(c)
	if err != nil {
		r.refuse(c, err)
		return
	}
	if len(problems) > 0 {
		refuseMapping(c, problems)
		return
	}
	c.JSON(http.StatusOK, uncoveredAnswer{list})
}

func (r *router) uncovered(c *gin.Context) ([]mappings.Seen, []mappings.Problem, error) {
	var q uncoveredRequest
	d := json.NewDecoder(http.MaxBytesReader(c.Writer, c.Request.Body, 64<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return nil, nil, &refusal{ingest.CodeMalformed, "the body cannot be read: " + err.Error()}
	}
	if q.Since.IsZero() {
		return nil, nil, missingField("since", "from when on receipts are looked at")
	}
	m, problems, err := r.namedMapping(c.Request.Context(), "mapping", q.Mapping)
	problems = slices.DeleteFunc(problems, func(p mappings.Problem) bool { return p.Warning })
	if err != nil || len(problems) > 0 {
		return nil, problems, err
	}
	list, err := r.mapDiff().Uncovered(c.Request.Context(), m, q.Since.UTC(), mostUncovered)
	return list, nil, err
}
