package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/ingest"
	"tributary/internal/openapi"
)

// scopedKeys has a key for every scope, named by it, and one with all scopes but one: "not-<scope>".
type scopedKeys struct{}

func (scopedKeys) Find(secret string) (ingest.Key, bool) {
	all := []ingest.Scope{ingest.ScopeIngest, ingest.ScopeRead, ingest.ScopeReplay, ingest.ScopeBrowser}
	if not, is := strings.CutPrefix(secret, "not-"); is {
		return ingest.Key{Name: secret, Scopes: slices.DeleteFunc(all, func(s ingest.Scope) bool { return string(s) == not })}, true
	}
	return ingest.Key{Name: secret, Scopes: []ingest.Scope{ingest.Scope(secret)}}, slices.Contains(append(all, ingest.ScopeAdmin), ingest.Scope(secret))
}

type keepsNothing struct{}

func (keepsNothing) Append(context.Context, ...canonical.Receipt) error { return nil }

// wholeFront is the HTTP front of a whole process whose stages are not there: it is asked only for
// what is answered before them.
func wholeFront(t *testing.T) *gin.Engine {
	t.Helper()
	r := &router{}
	h, err := ingest.Handler(ingest.Options{Appender: keepsNothing{}, Keys: scopedKeys{}, Mount: r.mount, Operations: operations(),
		Now: func() time.Time { return time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	return h.(*gin.Engine)
}

type openDocument struct {
	Paths map[string]map[string]struct {
		Scope     string                     `json:"x-scope"`
		Responses map[string]json.RawMessage `json:"responses"`
	} `json:"paths"`
}

func readDocument(t *testing.T, h http.Handler) (d openDocument) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/openapi.json", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Every route is in the document, and everything in the document is a route.
func TestTheDocumentHasEveryRoute(t *testing.T) {
	front := wholeFront(t)
	doc := readDocument(t, front)
	served := map[string]bool{"post /{version}/{pixel}/events": true, "post /capi/{pixel}/events": true, "get /{version}/{pixel}": true} // Meta's, told apart behind the routes
	for _, r := range front.Routes() {
		served[strings.ToLower(r.Method)+" "+openapi.Template(r.Path)] = true
	}
	described := map[string]bool{}
	for path, methods := range doc.Paths {
		for method := range methods {
			described[method+" "+path] = true
			if !served[method+" "+path] {
				t.Errorf("%s %s is described and not served", method, path)
			}
		}
	}
	for route := range served {
		if !described[route] {
			t.Errorf("%s is served and not described: give it an Operation (see ingest/operations.go)", route)
		}
	}
	if len(served) < 50 {
		t.Errorf("only %d routes", len(served))
	}
}

// A route asks for the scope that the document says: without a key it answers 401, with a key
// of every other scope 403, and both are documented.
func TestScopesAreAsDocumented(t *testing.T) {
	front := wholeFront(t)
	for path, methods := range readDocument(t, front).Paths {
		for method, op := range methods {
			if op.Scope == "" {
				continue
			}
			url := strings.NewReplacer("{", "", "}", "").Replace(path)
			for key, want := range map[string]int{"": 401, "nobody": 401, "not-" + op.Scope: 403} {
				rec := httptest.NewRecorder()
				q := httptest.NewRequest(strings.ToUpper(method), url, strings.NewReader("{}"))
				if key != "" {
					q.Header.Set("Authorization", "Bearer "+key)
				}
				front.ServeHTTP(rec, q)
				if rec.Code != want {
					t.Errorf("%s %s with key %q: %d, want %d", method, path, key, rec.Code, want)
				}
				if len(op.Responses["401"]) == 0 || len(op.Responses["403"]) == 0 {
					t.Errorf("%s %s does not say 401 and 403", method, path)
				}
			}
		}
	}
}
