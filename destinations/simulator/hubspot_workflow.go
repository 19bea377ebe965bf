package simulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Workflow is the action "Send a webhook" of a workflow that a record goes through.
type Workflow struct {
	URL    string `json:"url"`
	Method string `json:"method,omitempty"` // "" means POST
	Type   string `json:"type"`
	ID     int64  `json:"id"`
	// Fields are the keys of a customised body, each with the property whose value it gets; none: all
	// properties (by POST only). Fixed are keys with a text of their own.
	Fields map[string]string `json:"fields,omitempty"`
	Fixed  map[string]string `json:"fixed,omitempty"`
	// Header or Query names where the API key Key goes; neither: the request is signed, v2.
	Header string `json:"header,omitempty"`
	Query  string `json:"query,omitempty"`
	Key    string `json:"key,omitempty"`
	Portal int64  `json:"portal,omitempty"`
}

// Enrolled says how a workflow's call was answered, and what HubSpot does about it: done, failed (a
// 4xx is not sent again), or again after a wait.
type Enrolled struct {
	Posted
	Fate  string        `json:"fate"` // done, failed, again
	After time.Duration `json:"after_ms,omitempty"`
}

const (
	workflowAnswer = 30 * time.Second
	workflowFirst  = time.Minute
)

// Enrol sends a record through a workflow once.
func (s *Simulator) Enrol(ctx context.Context, client *http.Client, w Workflow) (Enrolled, error) {
	req, err := s.WorkflowRequest(ctx, w)
	if err != nil {
		return Enrolled{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, workflowAnswer)
	defer cancel()
	out := Enrolled{Posted: Posted{Events: 1}, Fate: "again", After: workflowFirst}
	res, err := client.Do(req.WithContext(ctx))
	if err != nil {
		out.Error = err.Error()
		return out, nil
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	out.Status = res.StatusCode
	switch {
	case res.StatusCode/100 == 2:
		out.Fate, out.After = "done", 0
	case res.StatusCode == http.StatusTooManyRequests: // its Retry-After is read in milliseconds
		if ms, err := strconv.ParseInt(res.Header.Get("Retry-After"), 10, 64); err == nil {
			out.After = time.Duration(ms) * time.Millisecond
		}
	case res.StatusCode/100 == 4:
		out.Fate, out.After = "failed", 0
	}
	return out, nil
}

// WorkflowRequest is the request that a record's way through a workflow makes.
func (s *Simulator) WorkflowRequest(ctx context.Context, w Workflow) (*http.Request, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.portal(w.Portal)
	if err != nil {
		return nil, err
	}
	r, err := h.storyRecord(w.Type, w.ID)
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(w.URL)
	if err != nil || target.Host == "" {
		return nil, errors.New("url must be the whole address of the webhook target")
	}
	get := w.Method == http.MethodGet
	if !get && w.Method != "" && w.Method != http.MethodPost {
		return nil, fmt.Errorf("a workflow sends POST or GET, not %s", w.Method)
	}
	listed := len(w.Fields)+len(w.Fixed) > 0
	if get && !listed {
		return nil, errors.New("a GET has no body: list its keys")
	}
	for key := range w.Fields {
		if _, twice := w.Fixed[key]; twice {
			return nil, fmt.Errorf("the key %s stands twice", key)
		}
	}
	var body []byte
	query := url.Values{}
	switch values := h.listed(r, w); {
	case get:
		for key, v := range values {
			query.Set(key, v)
		}
	case listed:
		body, err = marshal(values)
	default:
		body, err = marshal(h.wholeRecord(r))
	}
	if err != nil {
		return nil, err
	}
	if w.Query != "" {
		query.Set(w.Query, w.Key)
	}
	if more := query.Encode(); more != "" {
		target.RawQuery = strings.TrimPrefix(target.RawQuery+"&"+more, "&")
	}
	method := http.MethodPost
	if get {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	switch {
	case w.Header != "":
		req.Header.Set(w.Header, w.Key)
	case w.Query == "":
		req.Header = SignWorkflow(h.hooks.secret, method, target.String(), body)
	}
	if !get {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// listed are the keys and values of a customised body; what the record does not have is missing.
func (h *hubSpotServer) listed(r *record, w Workflow) map[string]string {
	out := map[string]string{}
	for key, text := range w.Fixed {
		out[key] = text
	}
	for key, property := range w.Fields {
		v := r.Props[property]
		if property == "hs_object_id" {
			v = strconv.FormatInt(r.ID, 10)
		}
		if v = h.hookValue(r.Type, property, v); v != "" {
			out[key] = v
		}
	}
	return out
}

// wholeRecord is the body with all properties: of a contact the old shape with the history of each,
// of any other record its current values.
func (h *hubSpotServer) wholeRecord(r *record) map[string]any {
	properties := map[string]any{}
	for name, value := range r.Props {
		one := map[string]any{"value": h.hookValue(r.Type, name, value)}
		if r.Type == contacts {
			versions := []any{}
			for i := len(r.History[name]) - 1; i >= 0; i-- {
				v := r.History[name][i]
				versions = append(versions, map[string]any{"value": h.hookValue(r.Type, name, v.Value), "timestamp": v.At.UnixMilli(), "source-type": v.Source, "source-id": v.SourceID, "selected": false})
			}
			one["versions"] = versions
		}
		properties[name] = one
	}
	if r.Type == contacts {
		merged := []int64{}
		return map[string]any{"vid": r.ID, "canonical-vid": r.ID, "merged-vids": append(merged, r.Absorbed...), "portal-id": h.account.PortalID, "is-contact": true, "properties": properties}
	}
	return map[string]any{"objectId": r.ID, "objectTypeId": h.crm.typeID(r.Type), "portalId": h.account.PortalID, "properties": properties}
}

func (s *Simulator) postWorkflow(r *http.Request) (any, error) {
	var in Workflow
	if err := strictly(r.Body, &in); err != nil {
		return nil, err
	}
	out, err := s.Enrol(r.Context(), http.DefaultClient, in)
	out.After /= time.Millisecond
	return out, err
}
