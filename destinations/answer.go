package destinations

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Refused is the outcome of a batch that the vendor will not take as it is: Split, so
// that the lane finds out which item it was, and Reject where there is only one.
func Refused(batch []Item, o Outcome) []Outcome {
	o.Verdict = Split
	if len(batch) == 1 {
		o.Verdict = Reject
	}
	return All(batch, o)
}

// longestWait bounds what a vendor's header can make a lane wait.
const longestWait = 24 * time.Hour

// RetryAfter reads a Retry-After header: seconds, or a date taken against the answer's own
// Date. Zero when there is none that makes sense.
func RetryAfter(h http.Header) time.Duration {
	s := strings.TrimSpace(h.Get("Retry-After"))
	if s == "" {
		return 0
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if !(f > 0) {
			return 0
		}
		return time.Duration(min(f, longestWait.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), longestWait)
}

// ReadJSON reads a vendor's answer into v; false when it is no single JSON document of
// that shape. Unknown keys are fine: vendors add them.
func ReadJSON(body []byte, v any) bool {
	body = bytes.TrimSpace(body)
	return len(body) > 0 && (body[0] == '{' || body[0] == '[') && json.Unmarshal(body, v) == nil
}

// JSONHeader is the header of a JSON request.
func JSONHeader() http.Header {
	return http.Header{"Content-Type": {"application/json"}}
}
