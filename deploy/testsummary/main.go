// Command testsummary runs `go test` and says what came of it: a line for each package
// as it ends, the whole output of whatever failed, and on the last line how many tests
// passed, failed and were skipped; before that, which took longest. A skipped test is a failure: what make test promises
// to have run must have run.
//
//	go run ./deploy/testsummary -race ./...
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout))
}

// run gives the exit code: that of go test, or 1 where tests were skipped or none ran.
func run(args []string, w io.Writer) int {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(w, "go test:", err)
		return 1
	}
	s := newSummary(w)
	read := s.read(out)
	err = cmd.Wait()
	s.end()
	switch {
	case read != nil:
		fmt.Fprintln(w, "go test:", read)
	case err != nil && s.failed == 0:
		fmt.Fprintln(w, "go test:", err)
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, len(s.skipped))
	if err != nil || read != nil || s.failed > 0 || len(s.skipped) > 0 || s.passed == 0 {
		return 1
	}
	return 0
}

// An event is one line of go test -json.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
	FailedBuild                               string
}

// A summary gathers what tests say and prints it package by package.
type summary struct {
	w        io.Writer
	packages map[string]*pkg
	builds   map[string]*strings.Builder // what the compiler said, by import path
	passed   int
	failed   int
	skipped  []string
	slow     []slow
}

// A slow test took a while.
type slow struct {
	name    string
	seconds float64
}

// Of tests that took this long so many are named.
const (
	slowSeconds = 10
	slowNamed   = 12
)

// A pkg is what is known of one package that runs.
type pkg struct {
	output map[string]*strings.Builder // by test; "": the package's own
	count  int
	failed []string
}

func newSummary(w io.Writer) *summary {
	return &summary{w: w, packages: map[string]*pkg{}, builds: map[string]*strings.Builder{}}
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(s.w, lines.Text()) // not for us
			continue
		}
		s.take(e)
	}
	return lines.Err()
}

func (s *summary) take(e event) {
	if e.Action == "build-output" {
		if s.builds[e.ImportPath] == nil {
			s.builds[e.ImportPath] = &strings.Builder{}
		}
		s.builds[e.ImportPath].WriteString(e.Output)
		return
	}
	if e.Package == "" {
		return
	}
	p := s.packages[e.Package]
	if p == nil {
		p = &pkg{output: map[string]*strings.Builder{}}
		s.packages[e.Package] = p
	}
	switch {
	case e.Action == "output":
		if p.output[e.Test] == nil {
			p.output[e.Test] = &strings.Builder{}
		}
		p.output[e.Test].WriteString(e.Output)
	case e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip"):
		s.endPackage(e, p)
		delete(s.packages, e.Package)
	case e.Action == "pass":
		s.passed++
		p.count++
		delete(p.output, e.Test)
		s.took(e)
	case e.Action == "fail":
		s.failed++
		p.count++
		p.failed = append(p.failed, e.Test)
	case e.Action == "skip":
		s.skipped = append(s.skipped, e.Package+" "+e.Test)
		fmt.Fprintf(s.w, "SKIP  %s %s\n%s", e.Package, e.Test, p.text(e.Test))
	}
}

// took remembers a test of its own that took a while.
func (s *summary) took(e event) {
	if e.Elapsed >= slowSeconds && !strings.Contains(e.Test, "/") {
		s.slow = append(s.slow, slow{e.Package + " " + e.Test, e.Elapsed})
	}
}

func (s *summary) endPackage(e event, p *pkg) {
	name := strings.TrimSuffix(e.Package, ".test")
	switch e.Action {
	case "pass":
		fmt.Fprintf(s.w, "ok    %-45s %4d tests %7.1fs\n", name, p.count, e.Elapsed)
	case "skip":
		fmt.Fprintf(s.w, "--    %-45s no tests\n", name)
	case "fail":
		fmt.Fprintf(s.w, "FAIL  %-45s %4d tests %7.1fs\n", name, p.count, e.Elapsed)
		if len(p.failed) == 0 { // it was not built, or it broke off
			s.failed++
		}
		if b := s.builds[e.FailedBuild]; b != nil {
			fmt.Fprint(s.w, b)
			delete(s.builds, e.FailedBuild)
		}
		s.tell(p)
	}
}

// tell prints what failed tests said, and what no test of its own said.
func (s *summary) tell(p *pkg) {
	names := slices.Clone(p.failed)
	for name := range p.output { // those that never ended, where the package broke off
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprint(s.w, p.text(name))
	}
}

func (p *pkg) text(test string) string {
	if b := p.output[test]; b != nil {
		return b.String()
	}
	return ""
}

// end tells of packages that never came to an end, names what took longest and lists what
// was skipped.
func (s *summary) end() {
	slices.SortFunc(s.slow, func(x, y slow) int { return cmp.Compare(y.seconds, x.seconds) })
	for i, t := range s.slow[:min(len(s.slow), slowNamed)] {
		if i == 0 {
			fmt.Fprintln(s.w, "took longest:")
		}
		fmt.Fprintf(s.w, "%7.1fs %s\n", t.seconds, t.name)
	}
	for name, p := range s.packages {
		s.failed++
		fmt.Fprintf(s.w, "FAIL  %s did not end\n", name)
		s.tell(p)
	}
	if len(s.skipped) > 0 {
		fmt.Fprintln(s.w, "skipped, so that this run proves less than it should:")
		for _, name := range s.skipped {
			fmt.Fprintln(s.w, " ", name)
		}
	}
}
