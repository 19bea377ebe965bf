package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tributary/internal/hubspotcrm"
)

// The values of a property that names an owner are people: neither a name nor an address of theirs
// is written down.
func TestNoOwnersNameIsWrittenDown(t *testing.T) {
	hubspot := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/crm/v3/properties/"):
			fmt.Fprint(w, `{"results":[{"name":"hubspot_owner_id","type":"enumeration","referencedObjectType":"OWNER","options":[{"value":"7","label":"Ana Example"}]},
				{"name":"account_manager","type":"enumeration","referencedObjectType":"OWNER","options":[{"value":"7","label":"Ana Example"}]},
				{"name":"hs_lead_status","type":"enumeration","options":[{"value":"NEW","label":"New"}]}]}`)
		case strings.HasPrefix(r.URL.Path, "/crm/v3/owners"):
			fmt.Fprint(w, `{"results":[{"id":"7","userId":8,"email":"ana@example.com","firstName":"Ana","lastName":"Example"}]}`)
		default:
			fmt.Fprint(w, `{"results":[]}`)
		}
	}))
	defer hubspot.Close()
	c := &hubspotcrm.Client{BaseURL: hubspot.URL, HTTP: hubspot.Client(), Token: func(context.Context) (string, error) { return "t", nil }}
	s, err := crmSettings(t.Context(), "hubspot", c, func(string) []string { return []string{"account_manager"} })
	if err != nil || len(s.Owners) == 0 || len(s.Options) != 1 || s.Options[0].Label != "New" {
		t.Errorf("%+v %v", s, err)
	}
	if all := fmt.Sprintf("%+v", s); strings.Contains(all, "Ana") || strings.Contains(all, "ana@") {
		t.Errorf("somebody's name or address is in %s", all)
	}
}
