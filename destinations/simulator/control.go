package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// control puts the paths that are not any vendor's on mux. They ask for no credential: the
// simulator is for a loopback address.
func (s *Simulator) control(mux *http.ServeMux) {
	mux.HandleFunc("GET /_received", s.getReceived)
	mux.HandleFunc("GET /_requests", s.getRequests)
	mux.HandleFunc("GET /_stats", s.getStats)
	mux.HandleFunc("GET /_timeline", s.getTimeline)
	post := func(path string, do func(*http.Request) (any, error)) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, s.opts.MaxBody)
			out, err := do(r)
			if err != nil {
				say(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
				return
			}
			say(w, http.StatusOK, out)
		})
	}
	post("/_fail", s.postFail)
	post("/_script", s.postScript)
	post("/_heal", s.postHeal)
	post("/_people", s.postPeople)
	post("/_reset", func(*http.Request) (any, error) { return done, s.Reset() })
	post("/_hubspot/make", s.postMake)
	post("/_hubspot/set", s.postSet)
	post("/_hubspot/associate", s.postAssociate)
	post("/_hubspot/merge", s.postMerge)
	post("/_hubspot/delete", s.postDelete)
	post("/_hubspot/restore", s.postRestore)
	post("/_hubspot/webhooks", s.postWebhooks)
	post("/_hubspot/workflow", s.postWorkflow)
	post("/_hubspot/revoke", s.postRevoke)
	mux.HandleFunc("GET /_hubspot/record", s.getRecord)
}

var done = map[string]bool{"ok": true}

func say(w http.ResponseWriter, status int, body any) {
	text, err := marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}

// getReceived lists what a vendor took and still remembers: all, or the last n.
func (s *Simulator) getReceived(w http.ResponseWriter, r *http.Request) {
	vendor := Vendor(r.URL.Query().Get("vendor"))
	if !slices.Contains(vendors, vendor) {
		say(w, http.StatusBadRequest, map[string]string{"error": "vendor must be meta, linkedin, hubspot or webhook"})
		return
	}
	items := s.Received(vendor)
	if last, err := strconv.Atoi(r.URL.Query().Get("last")); err == nil && last >= 0 && last < len(items) {
		items = items[len(items)-last:]
	}
	if items == nil {
		items = []Received{}
	}
	say(w, http.StatusOK, items)
}

// getRequests lists requests: all that are kept, those after a number, or the last n.
func (s *Simulator) getRequests(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	after, _ := strconv.ParseInt(query.Get("after"), 10, 64) // no number: from the first
	list := s.Requests(Vendor(query.Get("vendor")), after)
	if last, err := strconv.Atoi(query.Get("last")); err == nil && last >= 0 && last < len(list) {
		list = list[len(list)-last:]
	}
	say(w, http.StatusOK, list)
}

func (s *Simulator) getStats(w http.ResponseWriter, _ *http.Request) {
	out := make(map[Vendor]Stats)
	for _, v := range vendors {
		out[v] = s.Stats(v)
	}
	say(w, http.StatusOK, out)
}

func (s *Simulator) getTimeline(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.URL.Query().Get("contact"), 10, 64)
	entries := s.Timeline(id)
	if err != nil || entries == nil {
		say(w, http.StatusNotFound, map[string]string{"error": "no such contact"})
		return
	}
	if kinds := list(r.URL.Query()["kind"]); len(kinds) > 0 {
		entries = slices.DeleteFunc(entries, func(e Entry) bool { return !slices.Contains(kinds, e.Kind) })
	}
	say(w, http.StatusOK, entries)
}

func (s *Simulator) getRecord(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.URL.Query().Get("id"), 10, 64)
	rec, ok := s.Record(r.URL.Query().Get("type"), id)
	if err != nil || !ok {
		say(w, http.StatusNotFound, map[string]string{"error": "no such record"})
		return
	}
	say(w, http.StatusOK, rec)
}

// strictly reads a control body: an unknown field is a mistake.
func strictly(body io.Reader, into any) error {
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("the body cannot be read: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("the body cannot be read: more than one JSON value")
	}
	return nil
}

func (s *Simulator) postFail(r *http.Request) (any, error) {
	var in faultText
	if err := strictly(r.Body, &in); err != nil {
		return nil, err
	}
	f, err := in.fault()
	if err != nil {
		return nil, err
	}
	return done, s.Fail(f)
}

func (s *Simulator) postScript(r *http.Request) (any, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	sc, err := ReadScript(text)
	if err != nil {
		return nil, err
	}
	return done, s.Play(sc)
}

func (s *Simulator) postHeal(r *http.Request) (any, error) {
	var in struct {
		Vendor Vendor `json:"vendor"`
	}
	if err := strictly(r.Body, &in); err != nil && r.ContentLength != 0 { // no body heals all
		return nil, err
	}
	s.Heal(in.Vendor)
	return done, nil
}

func (s *Simulator) postPeople(r *http.Request) (any, error) {
	var people []Person
	if err := strictly(r.Body, &people); err != nil {
		return nil, err
	}
	return done, s.AddPeople(people...)
}

func (s *Simulator) postMake(r *http.Request) (any, error) {
	var in Made
	if err := strictly(r.Body, &in); err != nil {
		return nil, err
	}
	id, err := s.Make(in)
	return map[string]int64{"id": id}, err
}

func (s *Simulator) postSet(r *http.Request) (any, error) {
	var in struct {
		Change
		Type       string            `json:"type"`
		ID         int64             `json:"id"`
		Properties map[string]string `json:"properties"`
	}
	if err := strictly(r.Body, &in); err != nil {
		return nil, err
	}
	return done, s.Set(in.Type, in.ID, in.Properties, in.Change)
}

func (s *Simulator) postAssociate(r *http.Request) (any, error) {
	var in Tie
	if err := strictly(r.Body, &in); err != nil {
		return nil, err
	}
	return done, s.Associate(in)
}

func (s *Simulator) postMerge(r *http.Request) (any, error) {
	var in Merger
	if err := strictly(r.Body, &in); err != nil {
		return nil, err
	}
	id, err := s.Merge(in)
	return map[string]int64{"id": id}, err
}

type gone struct {
	Change
	Type   string `json:"type"`
	ID     int64  `json:"id"`
	Forget bool   `json:"forget,omitempty"`
}

func (s *Simulator) postDelete(r *http.Request) (any, error) {
	var in gone
	if err := strictly(r.Body, &in); err != nil {
		return nil, err
	}
	return done, s.Delete(in.Type, in.ID, in.Forget, in.Change)
}

func (s *Simulator) postRestore(r *http.Request) (any, error) {
	var in gone
	if err := strictly(r.Body, &in); err != nil {
		return nil, err
	}
	return done, s.Restore(in.Type, in.ID, in.Change)
}

func (s *Simulator) postRevoke(r *http.Request) (any, error) {
	var in struct {
		Portal int64 `json:"portal"`
		App    int64 `json:"app"`
		Undo   bool  `json:"undo"`
	}
	if err := strictly(r.Body, &in); err != nil {
		return nil, err
	}
	return done, s.Revoke(in.Portal, in.App, in.Undo)
}

// postWebhooks posts what waits to url, with all everything there ever was; with drain it
// hands it out instead.
func (s *Simulator) postWebhooks(r *http.Request) (any, error) {
	var in struct {
		URL    string `json:"url"`
		Repeat int    `json:"repeat"`
		Drain  bool   `json:"drain"`
		All    bool   `json:"all"`
	}
	if err := strictly(r.Body, &in); err != nil {
		return nil, err
	}
	if u, err := url.Parse(in.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("url must be the whole address of the webhook target")
	}
	if in.Repeat < 0 || in.Repeat > 10 {
		return nil, errors.New("repeat must be 0 to 10")
	}
	client := &http.Client{Timeout: hookTimeout}
	if !in.Drain && in.All {
		return s.PostEmitted(r.Context(), client, in.URL)
	}
	if !in.Drain {
		return s.Post(r.Context(), client, in.URL, in.Repeat)
	}
	type handed struct {
		Header http.Header `json:"header"`
		Body   string      `json:"body"` // to be posted byte for byte
	}
	out := []handed{}
	hooks := s.Webhooks
	if in.All {
		hooks = s.Emitted
	}
	for _, w := range hooks(in.URL) {
		out = append(out, handed{w.Header, string(w.Body)})
	}
	return out, nil
}
