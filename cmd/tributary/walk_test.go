package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/destinations/simulator"
)

// A walkBlock is one fenced block of the marketer's walk.
type walkBlock struct{ kind, what, text string }

// walkBlocks reads the section of docs/mapping.md. Its blocks are
//   - sh walk: typed into a shell; sh walk until: again and again until the next block is its answer;
//   - text walk: what the last command answered. A line of … stands for any lines, … in a line for any text;
//   - diff walk FILE: lines added (+) and taken out (-) in a file, below or between lines as they stand;
//   - yaml walk FILE: a whole file.
func walkBlocks(t *testing.T) []walkBlock {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "mapping.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n## A marketer's walk\n")
	if !ok {
		t.Fatal("docs/mapping.md has no walk")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var out []walkBlock
	for _, m := range regexp.MustCompile("(?ms)^```(sh|text|diff|yaml) walk ?([^\n]*)\n(.*?)^```$").FindAllStringSubmatch(section, -1) {
		out = append(out, walkBlock{m[1], m[2], m[3]})
	}
	if len(out) < 15 {
		t.Fatalf("the walk has only %d blocks", len(out))
	}
	return out
}

// What docs/mapping.md tells a marketer to do is done here, with the real program, against a
// running router and Meta played by the simulator.
func TestMarketersWalk(t *testing.T) {
	t.Parallel()
	s := newSystem(t, systemOptions{Config: "mapping: [mappings/default.yaml]", Destinations: `
  meta: {kind: meta, mode: live, base_url: "VENDORS", allow_private: true, token: "file:meta.token", settings: {dataset_id: "111222333", linger: 0s}}
`})
	s.shell("sed -i s#VENDORS#" + s.vendors.URL + "# tributary.yaml")
	s.shell("mkdir mappings && tributary mapping default > mappings/default.yaml")
	s.start()
	s.eventually("curl -sSf http://localhost:8080/readyz", func(string) bool { return true })
	said := ""
	for i, b := range walkBlocks(t) {
		path := filepath.Join(s.dir, b.what)
		switch b.kind {
		case "sh":
			if b.what == "until" {
				want := walkBlocks(t)[i+1].text
				said = s.eventually(b.text, func(got string) bool { return answers(got, want) })
				continue
			}
			said, _ = s.shell(b.text)
			t.Logf("%s\n%s", b.text, said)
		case "text":
			if !answers(said, b.text) {
				t.Errorf("the walk shows\n%s\nthe program said\n%s", b.text, said)
			}
		case "yaml":
			if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
		case "diff":
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed, err := patched(string(text), b.text)
			if err != nil {
				t.Fatalf("%s: %v", b.what, err)
			}
			if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := s.got(simulator.Meta)["PartnerIntroduced"]; n != 1 {
		t.Errorf("Meta got %d new conversions; want the one that came after the reload", n)
	}
	s.settle()
}

// shell types commands in the router's folder, where tributary is this binary.
func (s *system) shell(text string) (said string, code int) {
	s.t.Helper()
	bin := filepath.Join(s.dir, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		s.t.Fatal(err)
	}
	self := fmt.Sprintf("#!/bin/sh\nTRIBUTARY_TEST_MAIN=1 TRIBUTARY_CHDB='%s' exec '%s' \"$@\"\n", warehouseLibrary(s.t), os.Args[0])
	if err := os.WriteFile(filepath.Join(bin, "tributary"), []byte(self), 0o700); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", strings.ReplaceAll(text, "localhost:8080", s.address))
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "KEY="+s.key, "NO_COLOR=1")
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// eventually types a command until it ends well and its answer is good.
func (s *system) eventually(text string, good func(string) bool) string {
	s.t.Helper()
	said, code := "", 0
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if said, code = s.shell(text); code == 0 && good(said) {
			return said
		}
	}
	s.t.Fatalf("%s\ncame to\n%s\n%s", text, said, s.err)
	return ""
}

// answers is true where a text is what is shown of it.
func answers(got, shown string) bool {
	pattern := regexp.QuoteMeta(strings.TrimSpace(shown))
	pattern = regexp.MustCompile(`(?m)^…$\n?`).ReplaceAllString(pattern, `(?s:.*?)`)
	pattern = strings.ReplaceAll(pattern, "…", `[^\n]*?`)
	pattern = regexp.MustCompile(` +`).ReplaceAllString(pattern, ` +`)
	return regexp.MustCompile(`^\s*` + pattern + `\s*$`).MatchString(regexp.MustCompile(`(?m) +$`).ReplaceAllString(got, ""))
}

// patched changes a text as a block of diff says: the lines without + must stand in it, one
// after the other.
func patched(text, diff string) (string, error) {
	var old, now []string
	for line := range strings.Lines(strings.TrimSuffix(diff, "\n")) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			line = " "
		}
		switch line[0] {
		case '+':
			now = append(now, line[1:])
		case '-':
			old = append(old, line[1:])
		default:
			old, now = append(old, line[1:]), append(now, line[1:])
		}
	}
	before := strings.Join(old, "\n") + "\n"
	if strings.Count(text, before) != 1 {
		return "", fmt.Errorf("these lines stand in it %d times:\n%s", strings.Count(text, before), before)
	}
	return strings.Replace(text, before, strings.Join(now, "\n")+"\n", 1), nil
}
