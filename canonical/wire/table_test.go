package wire

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

var update = flag.Bool("update", false, "write the tables of docs/http.md anew")

// The readers of the two server-side ways in, and what they share with the others, have no name
// of a field of their own: all stand in the lists of table.go.
func TestNoReaderHasNamesOfItsOwn(t *testing.T) {
	takes := []string{"text", "key", "raw", "stage", "list", "flag", "money", "when", "whole", "object", "take", "currency", "said", "small", "name"}
	may := []string{"contact", "company", "deal", "user_data", "user", "account_data", "account", "campaign", "custom_data"} // the objects
	for _, file := range []string{"body.go", "people.go", "touch.go", "fields.go"} {
		at := token.NewFileSet()
		tree, err := parser.ParseFile(at, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains(takes, sel.Sel.Name) {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "rd" { // rd.object names a CRM object
				return true
			}
			for _, a := range call.Args {
				if l, ok := a.(*ast.BasicLit); ok && !slices.Contains(may, strings.Trim(l.Value, `"`)) {
					t.Errorf("%s reads %s, which no list has", at.Position(l.Pos()), l.Value)
				}
			}
			return true
		})
	}
}

// Every field is read wherever the tables say that it stands, by every name that it has: what it
// says reaches the report, and none of it is kept as something unknown.
func TestEveryFieldIsRead(t *testing.T) {
	noon := time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)
	// By the events below at least one reads each field.
	events := []string{
		`"event":"x","user_data":{"user_id":"u"}`, `"event":"lifecycle_changed","contact":{"id":"1","lifecycle_stage":"lead"}`, `"event":"company.lifecycle_changed","company":{"id":"1","lifecycle_stage":"lead"}`,
		`"event":"lead_status_changed","contact":{"id":"1","lead_status":"OPEN"}`, `"event":"deal.stage_changed","deal":{"id":"5","stage":"won"}`, `"event":"contact.merged","contact":{"id":"9","merged_ids":["7"]}`,
		`"event":"company.merged","company":{"id":"9","merged_ids":["7"]}`, `"event":"form","user_id":"u"`, `"event":"email_open","user_id":"u"`, `"event":"meeting","user_id":"u"`,
		`"event":"x","user_id":"u","value":5,"custom_data":{"value":5},"data_processing_options":[]`, `"event":"x","user_id":"u","contact":{"data_processing_options":[]},"user_data":{"data_processing_options":[]}`,
	}
	read := func(body map[string]any) (canonical.Report, *Problem) {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return Read(canonical.Receipt{ID: "r", Way: canonical.WayEvents, ReceivedAt: noon, Body: b}, Settings{Currency: "EUR"})
	}
	for _, o := range Objects() {
		for _, f := range o.Fields {
			for _, name := range f.Names {
				found := false
				for _, text := range events {
					var body map[string]any
					if err := json.Unmarshal([]byte("{"+text+"}"), &body); err != nil {
						t.Fatal(err)
					}
					in := body
					if o.Names != nil {
						object := o.Names[0]
						in, _ = body[object].(map[string]any)
						if in == nil {
							in = map[string]any{}
						}
						body[object] = in
					}
					without, _ := read(body)
					for _, n := range f.Names { // another name of it counts before
						delete(in, n)
					}
					var v any
					if err := json.Unmarshal(f.Example, &v); err != nil {
						t.Fatalf("%s: the example: %v", f.Name(), err)
					}
					in[name] = v
					if name == "event" || name == "event_name" || name == "type" {
						found = true
						continue
					}
					with, problem := read(body)
					kept := prefixOf(o) + name
					if _, is := with.Properties[kept]; is && f.Type != Nested && !keptAsProperty(f.Name()) {
						continue
					}
					found = found || problem == nil && (!reflect.DeepEqual(with, without) || with.Properties[kept] == nil)
				}
				if !found {
					t.Errorf("%v: %s is read nowhere", o.Names, name)
				}
			}
		}
	}
}

func prefixOf(o Object) string {
	if o.Names == nil || o.Names[0] == "custom_data" {
		return ""
	}
	return o.Names[0] + "."
}

// keptAsProperty are those that are said and kept.
func keptAsProperty(name string) bool {
	return slices.Contains([]string{"tracklayer_stage", "owner_id", "hs_is_closed_won", "hs_is_closed", "hs_deal_stage_probability"}, name)
}

// The tables of docs/http.md are those of this package.
func TestTheDocumentHasTheTables(t *testing.T) {
	const path, begin, end = "../../docs/http.md", "<!-- tables of canonical/wire -->\n", "<!-- end of tables -->\n"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the tables", path)
	}
	want := tablesInMarkdown()
	if old == want {
		return
	}
	if !*update {
		t.Fatalf("the tables of %s are not those of the code: run this test with -update", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tablesInMarkdown() string {
	var b strings.Builder
	names := func(all []string) string {
		out := make([]string, len(all))
		for i, n := range all {
			out[i] = "`" + n + "`"
		}
		return strings.Join(out, ", ")
	}
	b.WriteString("\n#### Event names\n\nA leading `hubspot.` may be left out; case does not matter.\n\n| event | also | needs | becomes |\n| --- | --- | --- | --- |\n")
	for _, e := range EventNames() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", e.Names[0], names(e.Names[1:]), e.Needs, e.Becomes)
	}
	b.WriteString("\n#### Types\n\n| type | takes |\n| --- | --- |\n")
	for _, f := range Types() {
		fmt.Fprintf(&b, "| %s | %s |\n", f.Name(), f.Says)
	}
	for _, o := range Objects() {
		title := "The body itself"
		if o.Names != nil {
			title = names(o.Names)
		}
		fmt.Fprintf(&b, "\n#### %s\n\n%s\n\n| field | also | type | meaning |\n| --- | --- | --- | --- |\n", title, o.Says)
		for _, f := range o.Fields {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name(), names(f.Also()), f.Type, f.Says)
		}
	}
	b.WriteString("\n")
	return b.String()
}
