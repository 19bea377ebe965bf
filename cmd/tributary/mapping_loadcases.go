package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"tributary/internal/config"
	"tributary/mappings"
	"tributary/mappings/cases"
)

// readConfigured reads and compiles the configured mapping and holds it against the
// configuration. An error is about files that cannot be read; mistakes are among the problems.
func readConfigured(cfg config.Config) (loadedMapping, error) {
	files, err := readMapping(cfg.Mapping)
	if err != nil {
		return loadedMapping{}, err
	}
	m, problems := compileMapping(cfg, files)
	return loadedMapping{mapping: m, files: files, problems: problems}, nil
}

// caseProblems runs the cases beside a mapping before it goes live: each that does not hold is
// a mistake. Files of cases that name another mapping are not about this one.
func caseProblems(ctx context.Context, cfg config.Config, loaded loadedMapping) []mappings.Problem {
	if len(cfg.Mapping) == 0 {
		return nil
	}
	paths, err := besides(cfg.Mapping)
	if err != nil {
		return []mappings.Problem{{File: "mapping", Code: "unreadable", Message: err.Error()}}
	}
	var out []mappings.Problem
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			out = append(out, mappings.Problem{File: path, Code: "unreadable", Message: err.Error()})
			continue
		}
		s, problems := cases.Read(mappings.File{Name: path, Text: text})
		out = append(out, problems...)
		if s == nil || mappings.Failed(problems) || !about(s, path, cfg.Mapping) {
			continue
		}
		out = append(out, suiteProblems(ctx, workbench{cfg: cfg, configured: true, files: loaded.files}, s, path, loaded.mapping)...)
	}
	return out
}

// about is true for cases of the configured files: they name them, or none.
func about(s *cases.Suite, path string, configured []string) bool {
	for _, name := range s.Mapping {
		at := filepath.Join(filepath.Dir(path), name)
		if !slices.ContainsFunc(configured, func(c string) bool { return filepath.Clean(c) == at }) {
			return false
		}
	}
	return true
}

func suiteProblems(ctx context.Context, b workbench, s *cases.Suite, path string, m *mappings.Mapping) []mappings.Problem {
	dests, problems := seats(b, s, m)
	if mappings.Failed(problems) {
		return problems
	}
	settings := settingsFor(b, s)
	for _, c := range s.Cases {
		says := ""
		v, err := judge(ctx, b, c, m, settings, dests)
		switch {
		case err != nil:
			says = fmt.Sprintf("case %q cannot be run: %v", c.Name, err)
		case !v.OK:
			says = fmt.Sprintf("case %q does not hold; tributary mapping test shows what came instead", c.Name)
		default:
			continue
		}
		problems = append(problems, mappings.Problem{File: path, Line: c.Line(), Column: 1, Code: "case_fails", Message: says})
	}
	return problems
}
