package hubspotcrm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tributary/destinations"
)

// A Journal reads HubSpot's webhooks journal: its own list of what it would have posted, kept
// for three days. Reference §1.8.
type Journal struct {
	BaseURL  string
	ClientID string
	Secret   func() (string, error)
	HTTP     *http.Client // follows no redirect
	// FileHosts are the hosts that files are fetched from, "*.example.com" for any below one. The
	// host of BaseURL is one of them where BaseURL is not HubSpot's own.
	FileHosts []string

	mu    sync.Mutex
	token string
	until time.Time
}

// JournalFileHosts are those that HubSpot's files are known to stand on. [open: the documentation
// names none]
var JournalFileHosts = []string{"*.hubapi.com", "*.hubspot.com", "*.hubspotusercontent.com", "*.amazonaws.com"}

const (
	journalPath    = "/webhooks-journal/journal/2026-03"
	mostJournal    = 16 << 20 // bytes of one file
	mostInJournal  = 100_000  // events of one file, and changes of properties
	journalTimeout = 30 * time.Second
)

// ErrJournalGap: what follows an offset is no longer kept.
var ErrJournalGap = errors.New("the journal no longer holds what follows")

// A JournalFile is one file of the journal.
type JournalFile struct {
	Offset string
	Events []JournalEvent
}

// A JournalEvent is one change, as the journal tells it. Properties are those that changed.
type JournalEvent struct {
	Portal     int64
	At         time.Time
	Action     string // CREATE, UPDATE, DELETE, …
	TypeID, ID string
	Properties []JournalProperty // by name
	Survivor   string            // MERGE
	Merged     []string
	FromTypeID string // ASSOCIATION_…
	From       string
	ToTypeID   string
	To         string
}

// A JournalProperty is a property's new value.
type JournalProperty struct{ Name, Value string }

// Next reads the file behind an offset; of "" the earliest there is. False: there is none yet.
// ErrJournalGap: what follows is no longer kept.
func (j *Journal) Next(ctx context.Context, offset string) (JournalFile, bool, error) {
	path := journalPath + "/earliest"
	if offset != "" {
		path = journalPath + "/offset/" + url.PathEscape(offset) + "/next"
	}
	var entry struct {
		Offset any    `json:"currentOffset"`
		URL    string `json:"url"`
	}
	status, err := j.ask(ctx, path, &entry)
	var t *Trouble
	switch {
	case errors.As(err, &t) && (t.Status == http.StatusNotFound || t.Status == http.StatusGone) && offset != "":
		return JournalFile{}, false, ErrJournalGap
	case errors.As(err, &t) && t.Status == http.StatusNotFound, err == nil && (status == http.StatusNoContent || entry.URL == ""):
		return JournalFile{}, false, nil
	case err != nil:
		return JournalFile{}, false, fmt.Errorf("read the webhooks journal: %w", err)
	}
	b, err := j.file(ctx, entry.URL)
	if err != nil {
		return JournalFile{}, false, fmt.Errorf("fetch a file of the webhooks journal: %w", err)
	}
	f, err := DecodeJournal(b)
	if err != nil {
		return f, false, fmt.Errorf("read a file of the webhooks journal: %w", err)
	}
	if f.Offset = textOf(entry.Offset); f.Offset == "" {
		return f, false, errors.New("read the webhooks journal: an answer without currentOffset")
	}
	return f, true, nil
}

// ask sends one request with the app's own token, which is made anew before it ends and when it
// was refused.
func (j *Journal) ask(ctx context.Context, path string, into any) (int, error) {
	for again := false; ; again = true {
		token, err := j.tokenFor(ctx, again)
		if err != nil {
			return 0, err
		}
		status, b, header, err := j.send(ctx, http.MethodGet, strings.TrimSuffix(j.BaseURL, "/")+path, token, nil, 1<<20)
		switch {
		case err != nil:
			return 0, err
		case status == http.StatusUnauthorized && !again:
			continue
		case status == http.StatusNoContent:
			return status, nil
		case status/100 != 2:
			t, _ := trouble(&http.Response{StatusCode: status, Header: header}, b, "")
			return status, t
		}
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.UseNumber()
		if err := d.Decode(into); err != nil {
			return status, &Trouble{Status: status, Words: "an answer that is no JSON of HubSpot's", After: 2 * time.Second}
		}
		return status, nil
	}
}

func (j *Journal) tokenFor(ctx context.Context, anew bool) (string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !anew && j.token != "" && time.Now().Before(j.until) {
		return j.token, nil
	}
	secret, err := j.Secret()
	if err != nil {
		return "", &Trouble{Words: err.Error(), Halt: true}
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {j.ClientID}, "client_secret": {secret}, "scope": {"developer.webhooks_journal.read"}}
	status, b, header, err := j.send(ctx, http.MethodPost, strings.TrimSuffix(j.BaseURL, "/")+"/oauth/v1/token", "", strings.NewReader(form.Encode()), 1<<20)
	if err != nil {
		return "", err
	}
	if status/100 != 2 {
		t, _ := trouble(&http.Response{StatusCode: status, Header: header}, b, "")
		t.Halt, t.Words = status/100 == 4 && status != http.StatusTooManyRequests, strings.TrimSpace("the journal's client_id and client_secret: "+t.Words)
		return "", t
	}
	var a struct {
		Token string `json:"access_token"`
		Life  int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(b, &a); err != nil || a.Token == "" {
		return "", &Trouble{Status: status, Words: "a token that is none", After: time.Minute}
	}
	j.token, j.until = a.Token, time.Now().Add(time.Duration(min(a.Life, 86400))*time.Second-time.Minute)
	return j.token, nil
}

// file fetches a file. Its address comes from an answer, so only hosts that are configured are
// asked, over TLS, on its own port, without the token.
func (j *Journal) file(ctx context.Context, address string) ([]byte, error) {
	if err := j.allowed(address); err != nil {
		return nil, err
	}
	status, b, header, err := j.send(ctx, http.MethodGet, address, "", nil, mostJournal)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, &Trouble{Status: status, After: max(2*time.Second, destinations.RetryAfter(header))}
	}
	return b, nil
}

// allowed says why a file is not fetched from an address. What it says holds no address: those
// are signed.
func (j *Journal) allowed(address string) error {
	u, err := url.Parse(address)
	base, _ := url.Parse(j.BaseURL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Opaque != "":
		return &Trouble{Words: "the address of a file is none that is fetched", Refuse: true, After: time.Minute}
	case base != nil && base.Hostname() != "api.hubapi.com" && u.Scheme == base.Scheme && u.Host == base.Host:
		return nil // a simulator, or a proxy that somebody configured
	case u.Scheme != "https" || u.Port() != "" && u.Port() != "443":
		return &Trouble{Words: "the address of a file is not https on its own port", Refuse: true, After: time.Minute}
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if slices.ContainsFunc(j.FileHosts, func(allowed string) bool {
		below, wild := strings.CutPrefix(allowed, "*")
		return wild && strings.HasSuffix(host, below) && len(host) > len(below) || host == allowed
	}) {
		return nil
	}
	return &Trouble{Words: fmt.Sprintf("a file stands on %q, which is none of the journal's file_hosts", host), Halt: true}
}

func (j *Journal) send(ctx context.Context, method, address, token string, body io.Reader, most int64) (int, []byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return 0, nil, nil, errors.New("the address cannot be asked")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := j.HTTP.Do(r)
	if err != nil {
		return 0, nil, nil, errors.New("HubSpot cannot be reached") // the cause names the address
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case err != nil:
		return 0, nil, nil, errors.New("HubSpot's answer broke off")
	case int64(len(b)) > most:
		return 0, nil, nil, &Trouble{Status: res.StatusCode, Words: "more than is read of one file", After: time.Minute}
	}
	return res.StatusCode, b, res.Header, nil
}

// DecodeJournal reads a file, leniently: ids are numbers or texts, and propertyChanges an object
// by name or a list. What has no reading in an event is left out of it.
func DecodeJournal(b []byte) (JournalFile, error) {
	var f JournalFile
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	var in struct {
		Offset any               `json:"offset"`
		Events []json.RawMessage `json:"journalEvents"`
	}
	if err := d.Decode(&in); err != nil {
		return f, errors.New("it is no JSON of a journal")
	}
	if len(in.Events) > mostInJournal {
		return f, fmt.Errorf("it holds more than %d events", mostInJournal)
	}
	f.Offset = textOf(in.Offset)
	changes := 0
	for _, raw := range in.Events {
		if e, ok := decodeJournalEvent(raw); ok {
			f.Events = append(f.Events, e)
			changes += len(e.Properties)
		}
		if changes > mostInJournal {
			return f, fmt.Errorf("it holds more than %d changes", mostInJournal)
		}
	}
	return f, nil
}

func decodeJournalEvent(raw json.RawMessage) (e JournalEvent, ok bool) {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var m map[string]any
	if d.Decode(&m) != nil || m == nil {
		return e, false
	}
	text := func(key string) string { return textOf(m[key]) }
	e.Portal, _ = strconv.ParseInt(text("portalId"), 10, 64)
	e.At = readTime(text("occurredAt"))
	e.Action, e.TypeID, e.ID = text("action"), text("objectTypeId"), text("objectId")
	e.FromTypeID, e.From, e.ToTypeID, e.To = text("fromObjectTypeId"), text("fromObjectId"), text("toObjectTypeId"), text("toObjectId")
	e.Survivor = text("newObjectId")
	for _, key := range []string{"primaryObjectId", "objectId"} {
		if e.Survivor == "" {
			e.Survivor = text(key)
		}
	}
	if list, is := m["mergedObjectIds"].([]any); is {
		for _, v := range list {
			e.Merged = append(e.Merged, textOf(v))
		}
	}
	if primary := text("primaryObjectId"); primary != "" && primary != e.Survivor && !slices.Contains(e.Merged, primary) {
		e.Merged = append(e.Merged, primary)
	}
	switch changes := m["propertyChanges"].(type) {
	case map[string]any:
		for name, v := range changes {
			if of, is := v.(map[string]any); is {
				v = firstOf(of, "value", "newValue", "propertyValue")
			}
			e.Properties = append(e.Properties, JournalProperty{name, textOf(v)})
		}
	case []any:
		for _, v := range changes {
			if of, is := v.(map[string]any); is {
				if name := textOf(firstOf(of, "propertyName", "name")); name != "" {
					e.Properties = append(e.Properties, JournalProperty{name, textOf(firstOf(of, "propertyValue", "value", "newValue"))})
				}
			}
		}
	}
	slices.SortFunc(e.Properties, func(a, b JournalProperty) int { return strings.Compare(a.Name+"\x00"+a.Value, b.Name+"\x00"+b.Value) })
	return e, e.Action != "" && !e.At.IsZero()
}

func firstOf(m map[string]any, keys ...string) any {
	for _, k := range keys {
		if v, there := m[k]; there {
			return v
		}
	}
	return nil
}

// textOf gives a text or a number as text; anything else is "".
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}
