package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// What README.md tells a reader to type is typed here: the shell blocks of "The first ten
// minutes", in order, with the real program and curl.
func TestReadme(t *testing.T) {
	blocks := readmeBlocks(t)
	dir := t.TempDir()
	script := []string{"# the first ten minutes of README.md"}
	var files []string
	for i, b := range blocks {
		// make is another test's matter, the address is a free one, and tributary is this binary.
		text := regexp.MustCompile(`(?m)^make .*\n`).ReplaceAllString(b.text, "")
		text = strings.ReplaceAll(text, "./bin/tributary", "tributary")
		text = strings.ReplaceAll(text, "127.0.0.1:8080", "$ADDRESS")
		name := fmt.Sprintf("block%d.sh", i)
		if b.kind == "serve" { // in the shell's place, so that signals reach it
			text = "exec " + strings.TrimSpace(text) + "\n"
		}
		files = append(files, fmt.Sprintf("-- %s --\nset -eu\n%s", name, text))
		switch {
		case b.kind == "serve":
			script = append(script,
				"exec sed -i s/127.0.0.1:8080/$ADDRESS/ my-router/tributary.yaml",
				"exec sh "+name+" &router&",
				"eventually curl -sSf http://$ADDRESS/readyz")
		case strings.Contains(text, "RECEIPT_ID"):
			// The id is the one that the last answer held; the event is there a moment later.
			script = append(script, "receipt "+name,
				`eventually sh -c 'sh `+name+` >shown && grep -q suppressed shown'`,
				"grep '\"fate\": \"event\"' shown", "grep '\"name\": \"qualified_lead\"' shown", "grep 'mappings/default.yaml:[0-9]+' shown", "grep '\"reason\": \"dry_run\"' shown")
		case strings.Contains(text, "v_events"):
			script = append(script,
				"eventually sh -c 'sh "+name+" >shown && grep -q qualified_lead shown'",
				`grep 'qualified_lead +[0-9a-f]{16} +[0-9a-f]{16}' shown`,
				`grep 'crm +1 +1 ' shown`)
		case strings.Contains(text, "curl"):
			script = append(script, "exec sh "+name, `stdout '"receipt_id"'`)
		default:
			script = append(script, "exec sh "+name)
		}
	}
	script = append(script, "kill -INT router", "wait router")
	text := strings.Join(script, "\n") + "\n" + strings.Join(files, "\n")
	if err := os.WriteFile(filepath.Join(dir, "readme.txtar"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := scripts(t, dir)
	p.Cmds["receipt"] = receiptIn
	testscript.Run(t, p)
}

// receiptIn puts the receipt id of the last output in place of RECEIPT_ID in a file.
func receiptIn(ts *testscript.TestScript, _ bool, args []string) {
	id := regexp.MustCompile(`"receipt_id":"(\w+)"`).FindStringSubmatch(ts.ReadFile("stdout"))
	if id == nil {
		ts.Fatalf("the last answer holds no receipt id")
	}
	path := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(path, []byte(strings.ReplaceAll(ts.ReadFile(args[0]), "RECEIPT_ID", id[1])), 0o600))
}

type readmeBlock struct{ kind, text string }

func readmeBlocks(t *testing.T) []readmeBlock {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n## The first ten minutes\n")
	section, _, ok2 := strings.Cut(section, "\n## ")
	if !ok || !ok2 {
		t.Fatal("README.md has no section on the first ten minutes")
	}
	var out []readmeBlock
	for _, m := range regexp.MustCompile("(?s)```sh ?(\\w*)\n(.*?)```").FindAllStringSubmatch(section, -1) {
		out = append(out, readmeBlock{m[1], m[2]})
	}
	if len(out) < 6 {
		t.Fatalf("only %d blocks to type", len(out))
	}
	return out
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// Links between our documents lead somewhere.
func TestLinks(t *testing.T) {
	root := filepath.Join("..", "..")
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, filepath.Join(root, "README.md"), filepath.Join(root, "CHANGELOG.md"))
	more, err := filepath.Glob(filepath.Join(root, "destinations", "*", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(files, more...) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	}
}
