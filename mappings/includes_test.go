package mappings

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
)

func readFrom(files map[string]string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		text, ok := files[path]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(text), nil
	}
}

func TestIncludes(t *testing.T) {
	disk := map[string]string{
		"mappings/main.yaml":          "version: 1\ninclude: [shared/stages.yaml, ../common/ads.yaml]\nvocabulary: [lead_captured, customer_won]\n",
		"mappings/shared/stages.yaml": "version: 1\ninclude: [../main.yaml, deals.yaml]\nsources:\n  hubspot:\n    lifecycle: { lead: lead_captured }\n",
		"mappings/shared/deals.yaml":  "version: 1\nsources:\n  hubspot:\n    deals: { \"*\": { closedwon: customer_won } }\n",
		"common/ads.yaml":             "version: 1\ndestinations:\n  meta:\n    lead_captured: { event: Lead }\n    customer_won: { event: Won }\n",
	}
	files, err := Read([]string{"mappings/main.yaml"}, readFrom(disk), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	if want := []string{"mappings/main.yaml", "mappings/shared/stages.yaml", "mappings/shared/deals.yaml", "common/ads.yaml"}; !reflect.DeepEqual(names, want) {
		t.Errorf("read %v, want %v", names, want)
	}
	m, problems := Compile(files...)
	if m == nil || len(problems) > 0 {
		t.Fatalf("problems:\n%s", lines(problems))
	}
	if r, _ := m.Route("meta", "customer_won"); r.At != "common/ads.yaml:5" {
		t.Errorf("the line is at %s", r.At)
	}
	if _, err := Read([]string{"none.yaml"}, readFrom(disk), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	delete(disk, "mappings/shared/deals.yaml")
	files, _ = Read([]string{"mappings/main.yaml"}, readFrom(disk), nil)
	_, problems = Compile(files...)
	if got, want := lines(problems), "mappings/shared/stages.yaml:2:25: \"mappings/shared/deals.yaml\" cannot be read\n"; !strings.HasPrefix(got, want) {
		t.Errorf("got %s", got)
	}
}

// A file is one file, however its path is written, and what is included is known also where it
// cannot be read.
func TestFilesByAnyPath(t *testing.T) {
	const main = "version: 1\ninclude: [more.yaml, gone.yaml]\nvocabulary: [lead_captured]\n"
	more := "version: 1\ninclude: [main.yaml]\nsources: { hubspot: { lifecycle: { lead: lead_captured } } }\n"
	disk := map[string]string{"./m/../m/main.yaml": main, "m/main.yaml": main, "m/more.yaml": more}
	files, err := Read([]string{"./m/../m/main.yaml"}, readFrom(disk), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, problems := Compile(files...)
	if got, want := lines(problems), "./m/../m/main.yaml:2:22: \"m/gone.yaml\" cannot be read\n"; !strings.HasPrefix(got, want) || len(files) != 2 {
		t.Errorf("%d files, %s; want 2, %s", len(files), got, want)
	}
	if got, want := Included(files), []string{"m/more.yaml", "m/gone.yaml", "m/main.yaml"}; !reflect.DeepEqual(got, want) {
		t.Errorf("included are %v, want %v", got, want)
	}
	files, _ = Read([]string{"./m/../m/main.yaml", "m/main.yaml"}, readFrom(disk), nil)
	_, problems = Compile(files...)
	if got := lines(problems); !strings.Contains(got, "m/main.yaml: the file is given twice\n") || strings.Contains(got, "already") {
		t.Errorf("one file by two paths: %s", got)
	}
}

func TestVariablesAreIDs(t *testing.T) {
	text := []byte(`version: 1
vocabulary: [proposal_sent, customer_won]
x-own: &stages
  "${env:WON_STAGE_ID}": customer_won
sources:
  hubspot:
    deals:
      ${env:EMEA_PIPELINE_ID}: *stages
      "*": *stages
`)
	asked := []string{}
	env := map[string]string{"EMEA_PIPELINE_ID": "4417902", "WON_STAGE_ID": " 99 ", "PATH": "/bin"}
	read := func(env map[string]string) (*Mapping, []Problem) {
		files, err := Read([]string{"m.yaml"}, readFrom(map[string]string{"m.yaml": string(text)}), func(name string) (string, bool) {
			asked = append(asked, name)
			v, ok := env[name]
			return v, ok
		})
		if err != nil {
			t.Fatal(err)
		}
		return Compile(files...)
	}
	m, problems := read(env)
	if m == nil {
		t.Fatalf("problems:\n%s", lines(problems))
	}
	r := deal("99")
	r.Pipeline = "4417902"
	if got := m.Apply(r, crm()).Event.Name; got != "customer_won" {
		t.Errorf("the deal is %s", got)
	}
	for _, name := range asked {
		if !strings.HasSuffix(name, "_ID") {
			t.Errorf("%s was looked up", name)
		}
	}
	env["WON_STAGE_ID"] = "100"
	if other, _ := read(env); other.Version() == m.Version() {
		t.Error("another id is the same version")
	}
	env["WON_STAGE_ID"] = "not an id"
	if _, problems := read(env); !strings.Contains(lines(problems), "m.yaml:4:3: the environment variable WON_STAGE_ID does not hold an id") || strings.Contains(lines(problems), "not an id\"") {
		t.Errorf("got %s", lines(problems))
	}
}
