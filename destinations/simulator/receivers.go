package simulator

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Receivers are the addresses of anybody's own that webhooks are posted to: a signed one, chat
// tools' and a plain JSON API. None of them is a vendor's documentation made to run: their
// rules are what such tools are commonly seen to do, and are assumed throughout.
type Receivers struct {
	// Secret is what signatures at /webhook/in are checked with; "" checks none.
	Secret string
	// Tolerance is how old a signature may be; 0 means five minutes.
	Tolerance time.Duration
	// ChatPath is the secret end of the chat tool's address, /webhook/chat/<ChatPath>; "" takes any.
	ChatPath string
	// CardSig is the parameter sig of /webhook/card; "" takes any.
	CardSig string
	// Key is the JSON API's, as Bearer, X-Api-Key or the password of basic; "" takes any.
	Key string
}

// maxReceiverBody and the others are what the receivers take.
const (
	signatureHeader = "Tributary-Signature"
	maxChatText     = 3000
	maxChatBlocks   = 50
)

func plainAnswer(status int, text string) answer {
	return answer{status: status, header: http.Header{}, body: []byte(text), kind: "text/plain; charset=utf-8"}
}

func sayError(status int, words string) answer {
	return jsonAnswer(status, map[string]any{"ok": false, "error": words})
}

// serveReceiver leads a request to the receiver whose path it is.
func (s *Simulator) serveReceiver(c *call) answer {
	a := s.receiver(c)
	if a.status >= 400 {
		s.memory[Receiver].refusal(strconv.Itoa(a.status))
	}
	return a
}

func (s *Simulator) receiver(c *call) answer {
	first, rest, _ := strings.Cut(strings.TrimPrefix(c.path, "/"), "/")
	if c.method != http.MethodPost && !(first == "api" && c.method == http.MethodPut) {
		return sayError(http.StatusMethodNotAllowed, "POST only").with("Allow", "POST")
	}
	if kind, _, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
		return sayError(http.StatusUnsupportedMediaType, "Content-Type must be application/json")
	}
	body, err := decode(c.body)
	if err != nil {
		return sayError(http.StatusBadRequest, "invalid_payload")
	}
	switch first {
	case "in":
		return s.receiveSigned(c, body)
	case "chat":
		return s.receiveChat(c, body, rest)
	case "card":
		return s.receiveCard(c, body)
	case "api":
		return s.receiveRecords(c, body)
	}
	return sayError(http.StatusNotFound, "there is no such receiver")
}

// receiveSigned takes events as they are: one, or a list of them.
func (s *Simulator) receiveSigned(c *call, body any) answer {
	if err := s.opts.Receivers.verify(c); err != nil {
		return sayError(http.StatusUnauthorized, err.Error())
	}
	events := []any{body}
	if object, ok := body.(map[string]any); ok && object["events"] != nil {
		events, _ = object["events"].([]any)
	} else if list, ok := body.([]any); ok {
		events = list
	}
	var items []*Received
	for _, e := range events {
		object, ok := e.(map[string]any)
		id, _ := object["event_id"].(string)
		if !ok || id == "" {
			return sayError(http.StatusUnprocessableEntity, "an event without event_id")
		}
		items = append(items, receivedOf(c, "event", object, "name", "event_id"))
	}
	s.take(Receiver, c, items...)
	return jsonAnswer(http.StatusAccepted, map[string]any{"ok": true, "received": len(items)})
}

// verify checks a signature as a receiver should: over the raw body, in constant time, and
// not too old.
func (o Receivers) verify(c *call) error {
	if o.Secret == "" {
		return nil
	}
	var at string
	var given []byte
	for part := range strings.SplitSeq(c.r.Header.Get(signatureHeader), ",") {
		switch k, v, _ := strings.Cut(strings.TrimSpace(part), "="); k {
		case "t":
			at = v
		case "v1":
			given, _ = hex.DecodeString(v)
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || len(given) == 0 {
		return fmt.Errorf("no signature")
	}
	mac := hmac.New(sha256.New, []byte(o.Secret))
	mac.Write([]byte(at + "."))
	mac.Write(c.body)
	if !hmac.Equal(mac.Sum(nil), given) {
		return fmt.Errorf("the signature is not of this body")
	}
	if age := c.now.Sub(time.Unix(seconds, 0)); age.Abs() > cmp.Or(o.Tolerance, 5*time.Minute) {
		return fmt.Errorf("the signature is %s old", age.Round(time.Second))
	}
	return nil
}

// receiveChat takes a message of the shape that chat tools' incoming webhooks take: text, or
// blocks, or both. The answer of success is the two letters ok.
func (s *Simulator) receiveChat(c *call, body any, path string) answer {
	if want := s.opts.Receivers.ChatPath; want != "" && path != want {
		return plainAnswer(http.StatusNotFound, "no_service")
	}
	message, ok := body.(map[string]any)
	if !ok {
		return plainAnswer(http.StatusBadRequest, "invalid_payload")
	}
	text, _ := message["text"].(string)
	blocks, hasBlocks := message["blocks"].([]any)
	switch {
	case strings.TrimSpace(text) == "" && len(blocks) == 0:
		return plainAnswer(http.StatusBadRequest, "no_text")
	case message["blocks"] != nil && !hasBlocks, len(blocks) > maxChatBlocks:
		return plainAnswer(http.StatusBadRequest, "invalid_blocks")
	}
	for _, b := range blocks {
		if !soundBlock(b) {
			return plainAnswer(http.StatusBadRequest, "invalid_blocks")
		}
	}
	s.take(Receiver, c, receivedOf(c, "message", message, "", ""))
	return plainAnswer(http.StatusOK, "ok")
}

// soundBlock holds that a block has a type, and that texts are there and not too long.
func soundBlock(b any) bool {
	block, ok := b.(map[string]any)
	kind, _ := block["type"].(string)
	if !ok || kind == "" {
		return false
	}
	texts := []any{}
	if block["text"] != nil {
		texts = append(texts, block["text"])
	}
	fields, _ := block["fields"].([]any)
	for _, t := range append(texts, fields...) {
		text, ok := t.(map[string]any)
		words, _ := text["text"].(string)
		if !ok || (text["type"] != "mrkdwn" && text["type"] != "plain_text") || words == "" || len(words) > maxChatText {
			return false
		}
	}
	return kind == "divider" || len(texts)+len(fields) > 0
}

// receiveCard takes a message with one card, as workflow tools' addresses do.
func (s *Simulator) receiveCard(c *call, body any) answer {
	if want := s.opts.Receivers.CardSig; want != "" && c.r.URL.Query().Get("sig") != want {
		return sayError(http.StatusUnauthorized, "DirectApiAuthorizationRequired")
	}
	message, _ := body.(map[string]any)
	attachments, _ := message["attachments"].([]any)
	if message["type"] != "message" || len(attachments) != 1 {
		return sayError(http.StatusBadRequest, "type must be message, with one attachment")
	}
	attachment, _ := attachments[0].(map[string]any)
	card, _ := attachment["content"].(map[string]any)
	parts, _ := card["body"].([]any)
	if attachment["contentType"] != "application/vnd.microsoft.card.adaptive" || card["type"] != "AdaptiveCard" || card["version"] == nil || len(parts) == 0 {
		return sayError(http.StatusBadRequest, "the attachment is no card")
	}
	s.take(Receiver, c, receivedOf(c, "message", message, "", ""))
	return answer{status: http.StatusAccepted, header: http.Header{}}
}

// receiveRecords takes a list of records, or an object that holds one. It answers 200 for
// everything it can read, and says in the body whether it took it.
func (s *Simulator) receiveRecords(c *call, body any) answer {
	if !s.opts.Receivers.knows(c.r) {
		return sayError(http.StatusUnauthorized, "unknown key")
	}
	records, ok := body.([]any)
	if object, isObject := body.(map[string]any); isObject {
		if records, ok = object["records"].([]any); !ok {
			records, ok = []any{object}, true
		}
	}
	if !ok || len(records) == 0 {
		return sayError(http.StatusOK, "records must be a list")
	}
	var items []*Received
	for i, r := range records {
		record, _ := r.(map[string]any)
		id, _ := record["external_id"].(string)
		_, isNumber := record["amount"].(json.Number)
		switch {
		case id == "":
			return sayError(http.StatusOK, fmt.Sprintf("record %d has no external_id", i))
		case record["amount"] != nil && !isNumber:
			return sayError(http.StatusOK, fmt.Sprintf("record %d: amount must be a number", i))
		}
		for key, v := range record {
			if v == nil {
				return sayError(http.StatusOK, fmt.Sprintf("record %d: %s is null", i, key))
			}
		}
		items = append(items, receivedOf(c, "record", record, "stage", "external_id"))
	}
	s.take(Receiver, c, items...)
	return jsonAnswer(http.StatusOK, map[string]any{"ok": true, "accepted": len(items)})
}

// knows says whether a request carries the key, in one of the usual places.
func (o Receivers) knows(r *http.Request) bool {
	_, password, _ := r.BasicAuth()
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return o.Key == "" || bearer == o.Key || r.Header.Get("X-Api-Key") == o.Key || password == o.Key
}

// receivedOf remembers one object; name and id are the members that hold them.
func receivedOf(c *call, kind string, object map[string]any, name, id string) *Received {
	r := &Received{Kind: kind}
	r.EventName, _ = object[name].(string)
	r.EventID, _ = object[id].(string)
	if n, ok := object["amount"].(json.Number); ok {
		r.Value = n.String()
	}
	r.Currency, _ = object["currency"].(string)
	if text, err := marshal(object); err == nil { // it was read from JSON
		r.Body = text
	}
	return r
}

// receiverFault is a scripted status.
func receiverFault(status int) answer { return sayError(status, http.StatusText(status)) }
