package main

import (
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"tributary/mappings"
)

// textProblems is for people: each problem with its line and a caret.
func textProblems(w io.Writer, files []mappings.File, problems []mappings.Problem) error {
	for _, p := range problems {
		if _, err := fmt.Fprintf(w, "%s\n%s", p, mappings.Excerpt(files, p)); err != nil {
			return err
		}
	}
	return nil
}

// A foundProblem is a problem as --json gives it.
type foundProblem struct {
	File       string `json:"file"`
	Line       int    `json:"line,omitempty"` // from 1; absent: the file as a whole
	Column     int    `json:"column,omitempty"`
	EndColumn  int    `json:"end_column,omitempty"` // behind the last character
	Severity   string `json:"severity"`             // error, warning
	Code       string `json:"code"`
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitempty"`
	Excerpt    string `json:"excerpt,omitempty"`
}

func jsonProblems(w io.Writer, files []mappings.File, problems []mappings.Problem) error {
	out := make([]foundProblem, len(problems))
	for i, p := range problems {
		out[i] = foundProblem{File: p.File, Line: p.Line, Column: p.Column, Severity: severity(p), Code: p.Code, Message: p.Message,
			Suggestion: p.Suggestion, Excerpt: mappings.Excerpt(files, p)}
		if p.Line > 0 {
			out[i].EndColumn = mappings.EndColumn(files, p)
		}
	}
	return printJSON(w, out)
}

func severity(p mappings.Problem) string {
	if p.Warning {
		return "warning"
	}
	return "error"
}

// said is a problem's message with what was perhaps meant.
func said(p mappings.Problem) string {
	if p.Suggestion == "" {
		return p.Message
	}
	return p.Message + " (did you mean " + p.Suggestion + "?)"
}

// githubProblems writes workflow commands, which GitHub shows beside the lines.
func githubProblems(w io.Writer, files []mappings.File, problems []mappings.Problem) error {
	value := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	for _, p := range problems {
		at := "file=" + property.Replace(filepath.ToSlash(p.File))
		if p.Line > 0 {
			at += fmt.Sprintf(",line=%d,col=%d,endColumn=%d", p.Line, p.Column, mappings.EndColumn(files, p))
		}
		if _, err := fmt.Fprintf(w, "::%s %s,title=%s::%s\n", severity(p), at, property.Replace(p.Code), value.Replace(said(p))); err != nil {
			return err
		}
	}
	return nil
}

// The parts of a SARIF 2.1.0 log that we write (OASIS, sarif-schema-2.1.0.json).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID string `json:"id"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
		EndColumn   int `json:"endColumn"`
	}
)

func sarifProblems(w io.Writer, files []mappings.File, problems []mappings.Problem) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{},
		Tool: sarifTool{sarifDriver{Name: "tributary", Version: version, Rules: []sarifRule{}}}}
	for _, p := range problems {
		rule := slices.IndexFunc(run.Tool.Driver.Rules, func(r sarifRule) bool { return r.ID == p.Code })
		if rule < 0 {
			rule = len(run.Tool.Driver.Rules)
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{p.Code})
		}
		r := sarifResult{RuleID: p.Code, RuleIndex: rule, Level: severity(p), Message: sarifText{said(p)}, Locations: []sarifLocation{}}
		if p.File != "" {
			at := sarifPhysical{ArtifactLocation: sarifArtifact{uriOf(p.File)}}
			if p.Line > 0 {
				at.Region = &sarifRegion{p.Line, max(p.Column, 1), mappings.EndColumn(files, p)}
			}
			r.Locations = append(r.Locations, sarifLocation{at})
		}
		run.Results = append(run.Results, r)
	}
	return printJSON(w, sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

// uriOf writes a path as a reference: relative ones stay relative to where the command ran.
func uriOf(path string) string {
	u := url.URL{Path: filepath.ToSlash(path)}
	if filepath.IsAbs(path) {
		u.Scheme = "file"
	}
	return u.String()
}
