package simulator

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultSubscriptions are those an attribution router asks for.
func DefaultSubscriptions() []string {
	return []string{
		"contact.creation", "contact.deletion", "contact.merge", "contact.privacyDeletion", "contact.restore", "contact.associationChange",
		"contact.propertyChange:lifecyclestage",
		"company.creation", "company.deletion", "company.merge", "company.associationChange", "company.propertyChange:lifecyclestage",
		"deal.creation", "deal.deletion", "deal.merge", "deal.associationChange", "deal.propertyChange:dealstage", "deal.propertyChange:amount",
	}
}

// A hookEvent is one event of an app webhook. Its fields are in the order of the reference
// sheet's sample.
type hookEvent struct {
	EventID          int64   `json:"eventId"`
	SubscriptionID   int64   `json:"subscriptionId"`
	PortalID         int64   `json:"portalId"`
	AppID            int64   `json:"appId"`
	OccurredAt       int64   `json:"occurredAt"`
	SubscriptionType string  `json:"subscriptionType"`
	AttemptNumber    int     `json:"attemptNumber"`
	ObjectID         int64   `json:"objectId,omitempty"`
	ObjectTypeID     string  `json:"objectTypeId,omitempty"`
	PropertyName     string  `json:"propertyName,omitempty"`
	PropertyValue    *string `json:"propertyValue,omitempty"`
	ChangeFlag       string  `json:"changeFlag,omitempty"`
	ChangeSource     string  `json:"changeSource,omitempty"`
	SourceID         string  `json:"sourceId,omitempty"`
	PrimaryObjectID  int64   `json:"primaryObjectId,omitempty"`
	MergedObjectIDs  []int64 `json:"mergedObjectIds,omitempty"`
	NewObjectID      int64   `json:"newObjectId,omitempty"`
	PropertiesMoved  *int    `json:"numberOfPropertiesMoved,omitempty"`
	AssociationType  string  `json:"associationType,omitempty"`
	FromObjectID     int64   `json:"fromObjectId,omitempty"`
	ToObjectID       int64   `json:"toObjectId,omitempty"`
	Removed          *bool   `json:"associationRemoved,omitempty"`
	Primary          *bool   `json:"isPrimaryAssociation,omitempty"`
}

// A fact is something the CRM may tell of.
type fact struct {
	object   string
	action   string // creation, deletion, propertyChange, merge, restore, associationChange, privacyDeletion
	record   int64
	property string
	value    string
	flag     string

	primary2, result int64 // merge
	merged           []int64
	moved            int

	from, to         int64 // association
	toType           string
	removed, primary bool
}

const (
	maxPending   = 100_000
	maxEmitted   = 20_000
	hookBatch    = 100
	hookAttempts = 11 // one, and up to ten further tries
	hookTimeout  = 10 * time.Second
)

// hooks are the webhooks that wait to be posted, and those there ever were.
type hooks struct {
	secret  string
	pending []hookEvent
	emitted []hookEvent // the last maxEmitted
	retries []Webhook
	dropped int64
	next    int64
}

func newHooks(a HubSpotAccount) hooks {
	return hooks{secret: a.ClientSecret, next: 1_000_000_001}
}

// emit queues one event for every subscription a fact falls under. It carries nothing but
// what HubSpot's webhooks carry.
func (h *hubSpotServer) emit(f fact, ch Change) {
	if ch.Silent || f.object == notes || f.toType == notes {
		return
	}
	h.publish(f, ch)
	for i, sub := range h.account.Subscriptions {
		kind, property, _ := strings.Cut(sub, ":")
		object, action, _ := strings.Cut(kind, ".")
		if action != f.action || property != f.property || object != h.crm.one(f.object) && object != "object" {
			continue
		}
		if len(h.hooks.pending) >= maxPending {
			h.hooks.dropped++
			continue
		}
		e := h.event(f, ch)
		e.EventID, e.SubscriptionID, e.SubscriptionType = h.hooks.next, int64(i+1), kind
		e.PortalID, e.AppID = h.account.PortalID, h.apps[0].ID
		if object == "object" {
			e.ObjectTypeID = h.crm.typeID(f.object)
		}
		h.hooks.next += 1 + h.random.Int64N(1000)
		h.hooks.pending = append(h.hooks.pending, e)
		h.hooks.was(e)
		h.note("hook", e)
		h.sim.wake()
	}
}

func (h *hubSpotServer) event(f fact, ch Change) hookEvent {
	e := hookEvent{OccurredAt: ch.At.UnixMilli(), ObjectID: f.record, ChangeFlag: f.flag, ChangeSource: ch.Source, SourceID: ch.SourceID}
	switch f.action {
	case "propertyChange":
		e.PropertyName, e.PropertyValue = f.property, &f.value
	case "merge":
		e.PrimaryObjectID, e.MergedObjectIDs, e.NewObjectID, e.PropertiesMoved = f.primary2, f.merged, f.result, &f.moved
	case "associationChange":
		e.AssociationType = strings.ToUpper(h.crm.one(f.object) + "_TO_" + h.crm.one(f.toType))
		e.FromObjectID, e.ToObjectID, e.Removed, e.Primary = f.from, f.to, &f.removed, &f.primary
	}
	return e
}

// hookValue is a property's value as webhooks give it: datetimes in milliseconds.
func (h *hubSpotServer) hookValue(object, name, value string) string {
	p, _ := h.crm.property(object, name)
	if p.Type != "datetime" && p.Type != "date" || value == "" {
		return value
	}
	at, ok := readTime(value)
	if !ok {
		return value
	}
	return strconv.FormatInt(at.UnixMilli(), 10)
}

// A Webhook is one request of HubSpot's to an app: up to 100 events, signed v1 and v3.
type Webhook struct {
	URL     string
	Attempt int
	Header  http.Header
	Body    []byte

	events []hookEvent
	from   *hubSpotServer // the portal, as it was
}

// Webhooks empties the queues into requests for target, in no particular order, each of one
// portal. The caller posts them; Again makes the next try of one.
func (s *Simulator) Webhooks(target string) []Webhook {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Webhook
	for _, h := range s.portals {
		for _, w := range h.hooks.retries {
			out = append(out, h.webhook(target, w.events, w.Attempt, s.now()))
		}
		h.hooks.retries = nil
		events := h.hooks.pending
		h.hooks.pending = nil
		out = append(out, h.batches(target, events, s.now())...)
	}
	return out
}

// Emitted makes every webhook there ever was again (the last 20,000 events of each portal,
// also those of before a restart), whether posted or not: for a story that is told twice.
func (s *Simulator) Emitted(target string) []Webhook {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Webhook
	for _, h := range s.portals {
		out = append(out, h.batches(target, slices.Clone(h.hooks.emitted), s.now())...)
	}
	return out
}

// batches cuts events into requests, in no particular order.
func (h *hubSpotServer) batches(target string, events []hookEvent, now time.Time) []Webhook {
	var out []Webhook
	h.random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for len(events) > 0 {
		n := min(hookBatch, len(events))
		out = append(out, h.webhook(target, events[:n:n], 0, now))
		events = events[n:]
	}
	return out
}

// was remembers an event that was emitted.
func (k *hooks) was(e hookEvent) {
	k.emitted = append(k.emitted, e)
	if over := len(k.emitted) - maxEmitted; over >= maxEmitted/10 {
		k.emitted = slices.Clone(k.emitted[over:])
	}
	k.next = max(k.next, e.EventID+1)
}

// Again is a further try of a webhook: the same events with another attemptNumber, signed
// anew.
func (s *Simulator) Again(w Webhook, attempt int) Webhook {
	s.mu.Lock()
	defer s.mu.Unlock()
	return w.from.webhook(w.URL, w.events, attempt, s.now())
}

func (h *hubSpotServer) webhook(target string, events []hookEvent, attempt int, now time.Time) Webhook {
	w := h.hooks.webhook(target, events, attempt, now)
	w.from = h
	return w
}

func (k *hooks) webhook(target string, events []hookEvent, attempt int, now time.Time) Webhook {
	list := make([]hookEvent, len(events))
	for i, e := range events {
		e.AttemptNumber = attempt
		list[i] = e
	}
	body, _ := marshal(list) // numbers and texts only
	return Webhook{URL: target, Attempt: attempt, Body: body, Header: SignWebhook(k.secret, target, body, now), events: list}
}

// SignWebhook makes the headers of an app webhook: v1, and v3 beside it.
func SignWebhook(secret, target string, body []byte, now time.Time) http.Header {
	ms := strconv.FormatInt(now.UnixMilli(), 10)
	return http.Header{
		"Content-Type":                {"application/json"},
		"User-Agent":                  {"HubSpot Connect 2.0 (http://dev.hubspot.com/) (namespace: webhooks-nio-http-client) - WebhooksExecutorDaemon-executor"},
		"X-Hubspot-Signature":         {signV1(secret, body)},
		"X-Hubspot-Signature-Version": {"v1"},
		"X-Hubspot-Signature-V3":      {signV3(secret, http.MethodPost, target, body, ms)},
		"X-Hubspot-Request-Timestamp": {ms},
		"X-Hubspot-Timeout-Millis":    {"10000"},
	}
}

// SignWorkflow makes the headers of a workflow's "Send a webhook": v2.
func SignWorkflow(secret, method, target string, body []byte) http.Header {
	return http.Header{
		"Content-Type":                {"application/json"},
		"X-Hubspot-Signature":         {signV2(secret, method, target, body)},
		"X-Hubspot-Signature-Version": {"v2"},
	}
}

func signV1(secret string, body []byte) string { return hashHex(secret + string(body)) }

func signV2(secret, method, uri string, body []byte) string {
	return hashHex(secret + method + uri + string(body))
}

// v3Escapes are the only escapes that v3 decodes before signing.
var v3Escapes = strings.NewReplacer(
	"%3A", ":", "%2F", "/", "%3F", "?", "%40", "@", "%21", "!", "%24", "$", "%27", "'", "%28", "(", "%29", ")", "%2A", "*", "%2C", ",", "%3B", ";",
)

func signV3(secret, method, uri string, body []byte, timestamp string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, method+v3Escapes.Replace(uri))
	mac.Write(body)
	io.WriteString(mac, timestamp)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (s *Simulator) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// A Posted says how one webhook fared.
type Posted struct {
	Attempt int    `json:"attempt"`
	Events  int    `json:"events"`
	Status  int    `json:"status,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Post posts everything that waits to target, each request 1+repeat times with attemptNumber
// 0, 1, …, as if the answers had been lost. A request that is refused waits for the next Post,
// up to ten further tries.
func (s *Simulator) Post(ctx context.Context, client *http.Client, target string, repeat int) ([]Posted, error) {
	return s.postThem(ctx, client, s.Webhooks(target), repeat)
}

// PostEmitted posts once more every webhook there ever was.
func (s *Simulator) PostEmitted(ctx context.Context, client *http.Client, target string) ([]Posted, error) {
	return s.postThem(ctx, client, s.Emitted(target), 0)
}

func (s *Simulator) postThem(ctx context.Context, client *http.Client, hooks []Webhook, repeat int) ([]Posted, error) {
	var out []Posted
	for _, w := range hooks {
		for range 1 + max(0, repeat) {
			p := post(ctx, client, w)
			out = append(out, p)
			if ctx.Err() != nil {
				s.requeue(w)
				return out, ctx.Err()
			}
			if p.Status/100 != 2 {
				s.requeue(w)
				break
			}
			w = s.Again(w, w.Attempt+1)
		}
	}
	return out, nil
}

func (s *Simulator) requeue(w Webhook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := &w.from.hooks
	if w.Attempt++; w.Attempt < hookAttempts {
		k.retries = append(k.retries, w)
		return
	}
	k.dropped += int64(len(w.events))
}

func post(ctx context.Context, client *http.Client, w Webhook) Posted {
	p := Posted{Attempt: w.Attempt, Events: len(w.events)}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(w.Body))
	if err != nil {
		p.Error = err.Error()
		return p
	}
	req.Header = w.Header.Clone()
	res, err := client.Do(req)
	if err != nil {
		p.Error = err.Error()
		return p
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	p.Status = res.StatusCode
	return p
}

// RunWebhooks posts to target whatever comes, as it comes, until ctx ends. After a failure
// it waits for every.
func (s *Simulator) RunWebhooks(ctx context.Context, client *http.Client, target string, every time.Duration) error {
	for {
		failed := false
		posted, err := s.Post(ctx, client, target, 0)
		for _, p := range posted {
			failed = failed || p.Status/100 != 2
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if failed {
			if !pause(ctx, every) {
				return ctx.Err()
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// String names a webhook for logs: no body.
func (w Webhook) String() string {
	sum := sha256.Sum256(w.Body)
	return fmt.Sprintf("webhook of %d events, attempt %d, %s", len(w.events), w.Attempt, hex.EncodeToString(sum[:4]))
}
