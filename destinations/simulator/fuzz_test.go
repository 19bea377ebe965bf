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
		"/integrators/timeline/v3/events/batch/create", "/integrators/timeline/v3/9001/event-templates", "/integrators/timeline/2026-03/events", "/events/v3/event-definitions",
		"/crm/v4/associations/contacts/companies/batch/archive", "/crm/v4/associations/contacts/companies/batch/labels/archive", "/crm/v3/objects/licences/batch/upsert",
		"/oauth/v3/token", "/oauth/2026-03/introspect", "/oauth/v2/private-apps/get/access-token-info", "/crm/v3/properties/deals/groups",
		"/crm/v3/properties/contacts/batch/archive", "/crm/v3/objects/contacts/gdpr-delete", "/crm/v3/objects/contacts", "/events/v3/event-definitions/touch/property",
	}
	for i := range paths {
		f.Add(uint8(i), `{"data":[{"event_name":"Lead","user_data":{"em":["x"]}}],"inputs":[{"id":"a@example.test","idProperty":"email","properties":{"email":null}}]}`, true)
		f.Add(uint8(i), `{"elements":[{"conversion":"urn:lla:llaPartnerConversion:1","user":{"userIds":[{}]}}]}`, true)
		f.Add(uint8(i), `{"eventTemplateId":1001,"id":"e","tokens":{"campaign":1},"email":"a@example.test","inputs":[{"eventTemplateId":"1001","id":"x","objectId":1,"timestamp":1}],"name":"n","label":"l","objectType":"CONTACT"}`, false)
		f.Add(uint8(i), `{"inputs":[{"from":{"id":1},"to":[{"id":"2"}],"types":[{"associationCategory":"HUBSPOT_DEFINED","associationTypeId":1}]}]}`, false)
		f.Add(uint8(i), `[]`, false)
	}
	s, err := New(Options{People: []Person{ada}, HubSpot: HubSpotAccount{Burst: -1, Daily: -1, SearchRate: -1, EventDefinitions: []string{"touch"}, Kind: OAuthApp, Token: "t", TokenLife: 1 << 40,
		Templates: adTemplates, Partner: true, EventTypes: []AppEventType{{Project: "router", Symbol: "viewed"}}, Objects: []CustomObject{{Name: "licence", Properties: []string{"serial string unique"}}}}, LinkedIn: LinkedInAccount{Minute: -1}})
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

// FuzzScript: no script brings the simulator down, and what is read can be played.
func FuzzScript(f *testing.F) {
	f.Add(`{"seed":1,"faults":[{"at":"1s","for":"2s","vendor":"hubspot","mode":"refuse"},{"vendor":"meta","mode":"500html","rate":0.5,"count":3,"after":1}]}`)
	f.Add(`{"faults":[{"vendor":"linkedin","mode":"day_spent","path":"/rest","agent":"x","limit":"day","retry_after":3}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		sc, err := ReadScript([]byte(text))
		if err != nil {
			return
		}
		s, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Play(sc); err != nil && len(sc.Faults) <= maxFaults {
			t.Error(err)
		}
		s.refusing()
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
