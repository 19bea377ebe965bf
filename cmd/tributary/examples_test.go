package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tributary/destinations/catalog"
	"tributary/internal/config"
)

// Every configuration that we give people to start from is right as it stands.
func TestExampleConfigurations(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "deploy", "examples", "*.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("examples: %v %v", files, err)
	}
	for _, path := range append(files, "init.yaml") {
		if _, err := config.Load(path, catalog.Kinds()); err != nil {
			t.Error(err)
		}
	}
}

// What is commented out in the configuration that init writes is right too.
func TestTheCommentedSettingsAreRight(t *testing.T) {
	var lines []string
	for line := range strings.Lines(initialConfig) {
		if text := strings.TrimPrefix(line, "# "); text != line && !strings.Contains(text, ":") || strings.HasPrefix(line, "# Secrets") ||
			strings.HasPrefix(line, "# Every") || strings.HasPrefix(line, "# Set mode") || strings.HasPrefix(line, "# Tributary") {
			continue // prose
		} else {
			line = text
		}
		before, after, ok := strings.Cut(line, "# ")
		if ok && strings.TrimSpace(before) == "" { // a setting within a section
			line = before + after
		}
		lines = append(lines, line)
	}
	text := strings.Join(lines, "")
	c, err := config.Parse("init.yaml", []byte(text), catalog.Kinds())
	if err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	if is, safe := c.Identity, config.Default().Identity; is.Crowd != safe.Crowd || is.CrowdRecord != safe.CrowdRecord || is.Limit != safe.Limit || len(is.NeverLink) != 3 || is.Lists() == nil {
		t.Errorf("the guards shown are %+v, and not the defaults %+v", is, safe)
	}
	for _, want := range []string{"\naccounts:", "\nidentity:", "\nlog:", "\nwarehouse:", "\n  hubspot_app:", "\n    token: env:META_TOKEN"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q was not uncommented:\n%s", want, text)
		}
	}
}

// The unit file names the commands and exit codes that there are.
func TestTheUnitFile(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "systemd", "tributary.service"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tributary check -c", "tributary serve -c", "RestartPreventExitStatus=2", "KillMode=mixed"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the unit file does not hold %q", want)
		}
	}
}

// docs/operations.md lists the metrics that there are, and no others.
func TestTheMetricsAreListed(t *testing.T) {
	root := filepath.Join("..", "..")
	b, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	var listed, made []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(tributary_[a-z_]+)` \\|").FindAllStringSubmatch(string(b), -1) {
		listed = append(listed, m[1])
	}
	for _, pattern := range []string{"ingest/*.go", "internal/*/*.go", "destinations/*/*.go", "cmd/tributary/*.go"} {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?:Name:\s+|NewDesc\(|gauge\()"(tributary_[a-z_]+)"`).FindAllStringSubmatch(string(text), -1) {
				made = append(made, m[1])
			}
		}
	}
	slices.Sort(listed)
	slices.Sort(made)
	if !slices.Equal(listed, made) {
		t.Errorf("listed are %v\nmade are %v", listed, made)
	}
}
