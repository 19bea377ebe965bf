package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tributary/mappings"
	"tributary/mappings/cases"
)

// The cases of the shipped mapping hold: the guide's six rows, its FAQ on recycled leads and
// its section on revenue among them.
func TestTheShippedCasesHold(t *testing.T) {
	s := casesHold(t, mappings.DefaultCases())
	for _, row := range []string{"row 1", "row 2", "row 3", "row 4", "row 5, the first way", "row 5, the second way", "row 5, the third way", "row 6", "FAQ: ", "revenue: "} {
		found := false
		for _, c := range s.Cases {
			found = found || strings.HasPrefix(c.Name, row)
		}
		if !found {
			t.Errorf("no case begins with %q", row)
		}
	}
}

// The examples of docs/mapping.md hold under the shipped mapping, and each kind of destination.
func TestTheReferencesCasesHold(t *testing.T) {
	text, err := os.ReadFile("../../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?ms)^```yaml case\n(.*?)^```$").FindAllSubmatch(text, -1)
	if len(examples) == 0 {
		t.Error("no example")
	}
	for _, e := range examples {
		casesHold(t, mappings.File{Name: "example.test.yaml", Text: e[1]})
	}
}

// casesHold runs cases of the shipped mapping.
func casesHold(t *testing.T, f mappings.File) *cases.Suite {
	t.Helper()
	s, problems := cases.Read(f)
	if s == nil {
		t.Fatalf("%v", problems)
	}
	b := workbench{files: []mappings.File{mappings.Default()}}
	m, problems := mappings.Compile(b.files...)
	if m == nil {
		t.Fatalf("%v", problems)
	}
	dests, problems := seats(b, s, m)
	if len(problems) > 0 {
		t.Fatalf("%v", problems)
	}
	for _, c := range s.Cases {
		t.Run(c.Name, func(t *testing.T) {
			v, err := judge(t.Context(), b, c, m, settingsFor(b, s), dests)
			if err != nil {
				t.Fatal(err)
			}
			if !v.OK {
				t.Errorf("%s%s", v.Diff, strings.Join(v.Says, "\n"))
			}
		})
	}
	return s
}

// Every bad mapping gives SARIF, workflow commands and JSON that say the same as the text.
func TestFormatsOfProblems(t *testing.T) {
	paths, _ := filepath.Glob("../../mappings/testdata/*/*.yaml")
	if len(paths) < 60 {
		t.Fatalf("only %d files", len(paths))
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files := []mappings.File{{Name: "mappings/a file.yaml", Text: text}}
		_, problems := mappings.Compile(files...)
		var sarif struct {
			Schema  string `json:"$schema"`
			Version string `json:"version"`
			Runs    []struct {
				Tool struct {
					Driver struct {
						Name  string              `json:"name"`
						Rules []map[string]string `json:"rules"`
					} `json:"driver"`
				} `json:"tool"`
				Results []struct {
					RuleID    string `json:"ruleId"`
					RuleIndex int    `json:"ruleIndex"`
					Level     string `json:"level"`
					Message   struct {
						Text string `json:"text"`
					} `json:"message"`
					Locations []struct {
						PhysicalLocation struct {
							ArtifactLocation struct {
								URI string `json:"uri"`
							} `json:"artifactLocation"`
							Region *struct {
								StartLine   int `json:"startLine"`
								StartColumn int `json:"startColumn"`
								EndColumn   int `json:"endColumn"`
							} `json:"region"`
						} `json:"physicalLocation"`
					} `json:"locations"`
				} `json:"results"`
			} `json:"runs"`
		}
		strictly(t, sarifProblems, files, problems, &sarif)
		run := sarif.Runs[0]
		if sarif.Version != "2.1.0" || len(sarif.Runs) != 1 || run.Tool.Driver.Name == "" || len(run.Results) != len(problems) {
			t.Fatalf("%s: %+v", path, sarif)
		}
		var list []foundProblem
		strictly(t, jsonProblems, files, problems, &list)
		var commands bytes.Buffer
		if err := githubProblems(&commands, files, problems); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(commands.String(), "\n")
		for i, p := range problems {
			r := run.Results[i]
			if run.Tool.Driver.Rules[r.RuleIndex]["id"] != r.RuleID || r.RuleID != p.Code || r.Level != severity(p) || !strings.HasPrefix(r.Message.Text, p.Message) {
				t.Errorf("%s: %+v of %v", path, r, p)
			}
			at := r.Locations[0].PhysicalLocation
			if at.ArtifactLocation.URI != "mappings/a%20file.yaml" || (at.Region == nil) != (p.Line == 0) ||
				at.Region != nil && (at.Region.StartLine != p.Line || at.Region.StartColumn < 1 || at.Region.EndColumn < at.Region.StartColumn) {
				t.Errorf("%s: %+v of %v", path, at, p)
			}
			if list[i].Line != p.Line || list[i].Message != p.Message || list[i].Severity != severity(p) {
				t.Errorf("%s: %+v of %v", path, list[i], p)
			}
			if !strings.HasPrefix(lines[i], "::"+severity(p)+" file=mappings/a file.yaml") || strings.Count(lines[i], "::") < 2 {
				t.Errorf("%s: %s", path, lines[i])
			}
		}
		if len(lines) != len(problems)+1 {
			t.Errorf("%s: %d commands of %d problems", path, len(lines)-1, len(problems))
		}
	}
}

func strictly(t *testing.T, format func(w io.Writer, files []mappings.File, problems []mappings.Problem) error, files []mappings.File, problems []mappings.Problem, into any) {
	t.Helper()
	var b bytes.Buffer
	if err := format(&b, files, problems); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.Bytes(), into); err != nil {
		t.Fatal(err)
	}
}

func TestMaskingOfPersonalData(t *testing.T) {
	m, problems := mappings.Compile(mappings.Default())
	if m == nil {
		t.Fatal(problems)
	}
	input := `{"event":"deal.stage_changed","event_id":"d1","source":"hubspot","occurred_at":"2026-04-23T11:04:19Z",
		"user_data":{"email":"ada.lovelace@example.com","phone":"+44 20 7946 0123","first_name":"Augusta","fbp":"fb.1.1776900000000.123456"},
		"custom_data":{"hubspot_contact_id":"1","hubspot_deal_id":"84721","hubspot_deal_stage":"closedwon","value":36000,"currency":"USD","note":"write to ada.lovelace@example.com"}}`
	for _, show := range []bool{false, true} {
		dir := t.TempDir()
		path := filepath.Join(dir, "in.json")
		if err := os.WriteFile(path, []byte(input), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Chdir(dir)
		for _, asJSON := range []bool{false, true} {
			args := []string{"mapping", "explain", path, "--now", "2026-04-23T12:00:00Z"}
			if show {
				args = append(args, "--show-personal-data")
			}
			if asJSON {
				args = append(args, "--json")
			}
			var out, stderr bytes.Buffer
			if err := run(t.Context(), args, strings.NewReader(""), &out, &stderr); err != nil {
				t.Fatalf("%v: %v %s", args, err, stderr.String())
			}
			for _, secret := range []string{"ada.lovelace", "7946", "Augusta", "1776900000000.123456"} {
				if !show && strings.Contains(out.String(), secret) {
					t.Errorf("%v shows %s:\n%s", args, secret, out.String())
				}
			}
			if show && asJSON && !strings.Contains(out.String(), "ada.lovelace@example.com") {
				t.Errorf("%v does not show what it was asked for", args)
			}
			if !strings.Contains(out.String(), "36000") || !strings.Contains(out.String(), "84721") {
				t.Errorf("%v masks what is nobody's:\n%s", args, out.String())
			}
		}
	}
}
