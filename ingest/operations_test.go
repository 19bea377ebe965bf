package ingest

import (
	"encoding/json"
	"testing"

	"tributary/canonical/wire"
)

// The examples of the OpenAPI document are taken as its answers say, and what they send can be read.
func TestTheDescribedExamplesWork(t *testing.T) {
	sent := 0
	for _, o := range operations() {
		if o.Body == nil {
			continue
		}
		for name, v := range o.Body.Examples {
			body, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if o.Scope != string(ScopeIngest) {
				continue
			}
			sent++
			w := newWorld(t)
			rec := w.send(o.Method, o.Path, string(body), bearer("k-ingest")...)
			if rec.Code != o.Answers[0].Status {
				t.Errorf("%s %s: %d %s, documented is %d", o.ID, name, rec.Code, rec.Body, o.Answers[0].Status)
			}
			kept := w.log.take()
			if len(kept) == 0 {
				t.Errorf("%s %s: nothing was kept", o.ID, name)
			}
			for _, r := range kept {
				if _, p := wire.Read(r, wire.Settings{}); p != nil {
					t.Errorf("%s %s cannot be read: %v", o.ID, name, p)
				}
			}
		}
	}
	if sent < 7 {
		t.Errorf("only %d examples", sent)
	}
}
