package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/destinations/simulator"
)

// TestReadScript reads the script of docs/simulator.md, and says where one is wrong.
func TestReadScript(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "simulator.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(doc), "```yaml\nseed:")
	script, _, _ := strings.Cut("seed:"+after, "```")
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "faults.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sc, err := readScript(write(script))
	if err != nil {
		t.Fatal(err)
	}
	if sc.Seed != 7 || len(sc.Faults) != 4 || sc.Faults[0].At != 30*time.Second || sc.Faults[0].For != 20*time.Second || sc.Faults[1].Mode != "401" || sc.Faults[2].Vendor != simulator.LinkedIn {
		t.Errorf("script %+v", sc)
	}
	for text, want := range map[string]string{
		"faults: [{vendor: meta, mode: \"500\", whne: 3s}]": "whne",
		"faults: [{vendor: meta, mode: \"500\", at: soon}]": "fault 1",
		"faults: [{vendor: metta, mode: \"500\"}]":          "metta",
		"faults: {":  "yaml",
		"- a\n- b\n": "yaml",
	} {
		if _, err := readScript(write(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want one with %q", text, err, want)
		}
	}
	if _, err := readScript(filepath.Join(t.TempDir(), "none.yaml")); err == nil {
		t.Error("a file that is not there was read")
	}
}
