package simulator

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzVendors: no request body brings a vendor down, and every refusal is JSON.
func FuzzVendors(f *testing.F) {
	paths := []string{
		"/v25.0/1/events", "/rest/conversionEvents", "/rest/conversions", "/crm/v3/objects/contacts/batch/upsert", "/crm/v3/objects/contacts/batch/read",
		"/crm/v3/objects/notes/batch/create", "/crm/v3/objects/deals/search", "/events/v3/send/batch", "/crm/v3/properties/contacts/batch/create",
		"/crm/v4/associations/contacts/companies/batch/create", "/crm/v3/objects/contacts/merge", "/crm/v3/objects/contacts/batch/update",
	}
	for i := range paths {
		f.Add(uint8(i), `{"data":[{"event_name":"Lead","user_data":{"em":["x"]}}],"inputs":[{"id":"a@example.test","idProperty":"email","properties":{"email":null}}]}`, true)
		f.Add(uint8(i), `{"elements":[{"conversion":"urn:lla:llaPartnerConversion:1","user":{"userIds":[{}]}}]}`, true)
		f.Add(uint8(i), `[]`, false)
	}
	s, err := New(Options{People: []Person{ada}, HubSpot: HubSpotAccount{Burst: -1, SearchRate: -1, EventDefinitions: []string{"touch"}}, LinkedIn: LinkedInAccount{Minute: -1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string, batch bool) {
		r := httptest.NewRequest("POST", paths[int(which)%len(paths)], strings.NewReader(body))
		for name, value := range map[string]string{"Authorization": "Bearer t", "Content-Type": "application/json", "LinkedIn-Version": "202609"} {
			r.Header.Set(name, value)
		}
		if batch {
			r.Header.Set("X-RestLi-Method", "BATCH_CREATE")
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("answer %s", w.Body)
		}
	})
}

// TestImports: a second opinion shares no code with the first.
func TestImports(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if path := strings.Trim(i.Path.Value, `"`); strings.HasPrefix(path, "tributary") || strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}
