package simulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"
)

const jsonType = "Content-Type: application/json"

func sign(secret, body string, at time.Time) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
	return fmt.Sprintf("Tributary-Signature: t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}

func TestSignedReceiver(t *testing.T) {
	const one = `{"event_id":"e1","name":"customer_won"}`
	for name, c := range map[string]struct {
		body   string
		header string
		status int
		taken  int
	}{
		"one":           {one, sign("s", one, noon), 202, 1},
		"two":           {`{"events":[` + one + `,` + one + `]}`, sign("s", `{"events":[`+one+`,`+one+`]}`, noon), 202, 2},
		"a bare list":   {`[` + one + `]`, sign("s", `[`+one+`]`, noon.Add(-4*time.Minute)), 202, 1},
		"unsigned":      {one, "X: y", 401, 0},
		"another key":   {one, sign("x", one, noon), 401, 0},
		"another body":  {one, sign("s", one+" ", noon), 401, 0},
		"an old one":    {one, sign("s", one, noon.Add(-6*time.Minute)), 401, 0},
		"from tomorrow": {one, sign("s", one, noon.Add(24*time.Hour)), 401, 0},
		"not JSON":      {`{`, sign("s", `{`, noon), 400, 0},
		"no id":         {`{}`, sign("s", `{}`, noon), 422, 0},
	} {
		b := newBench(t, Options{Receivers: Receivers{Secret: "s"}})
		b.send("POST", "/webhook/in", c.body, jsonType, c.header).wants(t, c.status)
		if got := b.Received(Receiver); len(got) != c.taken || c.taken > 0 && (got[0].EventID != "e1" || got[0].EventName != "customer_won") {
			t.Errorf("%s: %d taken, want %d", name, len(got), c.taken)
		}
	}
}

func TestChatReceiver(t *testing.T) {
	for name, c := range map[string]struct {
		path, body string
		status     int
		want       string
	}{
		"text":            {"T/B/x", `{"text":"won"}`, 200, "ok"},
		"blocks":          {"T/B/x", `{"blocks":[{"type":"divider"},{"type":"section","text":{"type":"mrkdwn","text":"won"},"fields":[{"type":"mrkdwn","text":"*EUR*"}]}]}`, 200, "ok"},
		"another address": {"T/B/y", `{"text":"won"}`, 404, "no_service"},
		"nothing":         {"T/B/x", `{}`, 400, "no_text"},
		"a list":          {"T/B/x", `[]`, 400, "invalid_payload"},
		"an empty block":  {"T/B/x", `{"blocks":[{"type":"section"}]}`, 400, "invalid_blocks"},
		"an empty text":   {"T/B/x", `{"blocks":[{"type":"section","text":{"type":"mrkdwn","text":""}}]}`, 400, "invalid_blocks"},
		"a long text":     {"T/B/x", `{"blocks":[{"type":"section","text":{"type":"mrkdwn","text":"` + strings.Repeat("x", 3001) + `"}}]}`, 400, "invalid_blocks"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{Receivers: Receivers{ChatPath: "T/B/x"}})
			b.send("POST", "/webhook/chat/"+c.path, c.body, jsonType).wants(t, c.status, c.want)
		})
	}
}

func TestCardReceiver(t *testing.T) {
	const card = `{"type":"message","attachments":[{"contentType":"application/vnd.microsoft.card.adaptive","content":{"type":"AdaptiveCard","version":"1.4","body":[{"type":"TextBlock","text":"won"}]}}]}`
	b := newBench(t, Options{Receivers: Receivers{CardSig: "s+1"}})
	b.send("POST", "/webhook/card?v=1&sig=s%2B1", card, jsonType).wants(t, 202)
	b.send("POST", "/webhook/card?sig=no", card, jsonType).wants(t, 401)
	b.send("POST", "/webhook/card?sig=s%2B1", `{"text":"won"}`, jsonType).wants(t, 400)
	if n := len(b.Received(Receiver)); n != 1 {
		t.Errorf("%d taken, want 1", n)
	}
}

func TestRecordReceiver(t *testing.T) {
	b := newBench(t, Options{Receivers: Receivers{Key: "k"}})
	b.send("POST", "/webhook/api/v1/records", `[{"external_id":"1","amount":1490.5,"currency":"EUR","stage":"won"}]`, jsonType, "X-Api-Key: k").wants(t, 200, `"ok":true`)
	b.send("PUT", "/webhook/api/v1/records", `{"records":[{"external_id":"2"}]}`, jsonType, "Authorization: Bearer k").wants(t, 200, `"accepted":1`)
	b.send("POST", "/webhook/api/v1/records", `[{"external_id":"1"},{"amount":1}]`, jsonType, "X-Api-Key: k").wants(t, 200, `"ok":false`, "record 1 has no external_id")
	b.send("POST", "/webhook/api/v1/records", `[{"external_id":"1","amount":"1490"}]`, jsonType, "X-Api-Key: k").wants(t, 200, "must be a number")
	b.send("POST", "/webhook/api/v1/records", `[{"external_id":"1","note":null}]`, jsonType, "X-Api-Key: k").wants(t, 200, "is null")
	b.send("POST", "/webhook/api/v1/records", `[]`, jsonType, "X-Api-Key: no").wants(t, 401)
	got := b.Received(Receiver)
	if len(got) != 2 || got[0].Value != "1490.5" || got[0].EventName != "won" {
		t.Errorf("received %+v", got)
	}
}
