package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"tributary/destinations/simulator"
)

// A carried stands before the vendors and remembers which events each request held: the
// simulator's record of requests says how each was answered, and not what was in it. The
// number that ties the two is put behind the User-Agent.
type carried struct {
	mu   sync.Mutex
	held [][]string
}

var offeredID = regexp.MustCompile(`load-[0-9]+-[0-9]+-[0-9]+`)

func (c *carried) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return // its sender was killed: nobody is there to be answered
		}
		var ids []string
		met := map[string]bool{}
		for _, id := range offeredID.FindAll(body, -1) {
			if id := string(id); !met[id] {
				met[id] = true
				ids = append(ids, id)
			}
		}
		c.mu.Lock()
		n := len(c.held)
		c.held = append(c.held, ids)
		c.mu.Unlock()
		q.Header.Set("User-Agent", fmt.Sprintf("%s #%d", q.UserAgent(), n))
		q.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, q)
	})
}

// A flight is what the vendors' own record says of a lane's requests that were not answered
// well: whatever their sender then knows, it cannot know whether they arrived.
type flight struct {
	requests int            // of the lane
	bad      int            // of those, not answered well
	struck   map[string]int // by what the vendor did
	items    map[string]bool
	last     map[string]bool // and what was in the last request of a process that was killed
}

// inFlight reads the record. kills are the times when the router was dead for certain.
func (c *carried) inFlight(sim *simulator.Simulator, v simulator.Vendor, timeout time.Duration, kills []time.Time) flight {
	f := flight{struck: map[string]int{}, items: map[string]bool{}, last: map[string]bool{}}
	all := sim.Requests(v, 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	add := func(q simulator.Request, to map[string]bool) {
		_, number, _ := strings.Cut(q.Agent, " #")
		if n, err := strconv.Atoi(number); err == nil && n < len(c.held) {
			for _, id := range c.held[n] {
				to[id] = true
			}
		}
	}
	life := 0
	for i, q := range all {
		f.requests++
		if word := unwell(q, timeout); word != "" {
			f.bad++
			f.struck[word]++
			add(q, f.items)
		}
		for life < len(kills) && !q.Begun.Before(kills[life]) { // the first of a later life
			life++
			if i > 0 {
				add(all[i-1], f.last)
			}
		}
	}
	if n := len(all); n > 0 && life < len(kills) {
		add(all[n-1], f.last)
	}
	return f
}

// unwell says how a request was not answered well; "" where it was, and for a refusal that
// took nothing and says so.
func unwell(q simulator.Request, timeout time.Duration) string {
	switch {
	case q.Status == http.StatusTooManyRequests:
		return ""
	case q.Ended.IsZero():
		return "unanswered"
	case q.Status/100 != 2 || q.Fault != "" && q.Fault != "slow":
		how := strings.TrimSpace(q.Fault + " ")
		if how == "" {
			how = "status " + strconv.Itoa(q.Status)
		}
		if q.Items > 0 {
			how += ", taken"
		}
		return how
	case q.Ended.Sub(q.Begun) > timeout/2:
		return "slow, taken"
	}
	return ""
}
