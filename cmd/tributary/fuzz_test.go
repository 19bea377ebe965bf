package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"tributary/ingest"
)

// FuzzOperatorBodies: whatever an operator's route is sent, it is read, or refused with a code of
// the table.
func FuzzOperatorBodies(f *testing.F) {
	for _, s := range []string{
		`{"event_id":"e","destinations":["meta"],"reason":"r","force":true}`, `{"since":"2026-04-23T00:00:00Z","event":"lead","states":["dead"]}`, `{"sql":"SELECT 1","params":{"a":[1]}}`,
		`{`, `[]`, `{"reason":7}`, `{"a":1,"a":2}`, "", "\xff", `{"destinations":[[[[[[]]]]]]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, into := range []any{&replayRequest{}, &sqlBody{}, &reasonBody{}} {
			rec := httptest.NewRecorder()
			c, _ := gin.CreateTestContext(rec)
			c.Request = httptest.NewRequest("POST", "/", strings.NewReader(string(body)))
			err := readAct(c, into, false)
			if err == nil {
				continue
			}
			if code, says := actError(err); code == ingest.CodeInternal || says == "" {
				t.Fatalf("%v is %s %q", err, code, says)
			}
		}
	})
}

// FuzzIdentifier: whatever names a person in a path, it is read, and written so that it is read
// as the same, or refused without being repeated.
func FuzzIdentifier(f *testing.F) {
	for _, s := range []string{"email:jo@example.com", "contact:102948", "contact:hubspot/102948", "phone:+14155550134", "node:00000000000000ff", "cookie:a:b", "deal:1", ":", "email:", "node:x", "\xff:\xff", "company:3029911"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		who, err := parseIdentifier(text)
		if err != nil {
			if _, secret, ok := strings.Cut(text, ":"); ok && len(secret) > 12 && strings.Contains(err.Error(), secret) {
				t.Fatalf("the error repeats what was written: %v", err)
			}
			return
		}
		again, err := parseIdentifier(who.written())
		if err != nil || again.nodeOf() != who.nodeOf() {
			t.Fatalf("%q is written %q, which is %v, %v", text, who.written(), again, err)
		}
	})
}
