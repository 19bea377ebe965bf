package main

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	for _, tc := range []struct {
		name                    string
		lines                   []string
		passed, failed, skipped int
		says                    []string
		hides                   []string
	}{
		{
			name: "passing tests say nothing of their own",
			lines: []string{
				`{"Action":"start","Package":"m/a"}`,
				`{"Action":"run","Package":"m/a","Test":"TestA"}`,
				`{"Action":"output","Package":"m/a","Test":"TestA","Output":"chatter\n"}`,
				`{"Action":"pass","Package":"m/a","Test":"TestA","Elapsed":0.1}`,
				`{"Action":"output","Package":"m/a","Output":"PASS\n"}`,
				`{"Action":"pass","Package":"m/a","Elapsed":0.2}`,
			},
			passed: 1, says: []string{"ok    m/a", "1 tests"}, hides: []string{"chatter", "PASS"},
		},
		{
			name: "what took long is named, the longest first",
			lines: []string{
				`{"Action":"pass","Package":"m/a","Test":"TestA","Elapsed":11}`,
				`{"Action":"pass","Package":"m/a","Test":"TestB/part","Elapsed":40}`,
				`{"Action":"pass","Package":"m/a","Test":"TestB","Elapsed":41.5}`,
				`{"Action":"pass","Package":"m/a","Test":"TestC","Elapsed":9.9}`,
				`{"Action":"pass","Package":"m/a","Elapsed":70}`,
			},
			passed: 4, says: []string{"took longest:\n   41.5s m/a TestB\n   11.0s m/a TestA\n"}, hides: []string{"TestC", "part"},
		},
		{
			name: "a failure is told whole",
			lines: []string{
				`{"Action":"output","Package":"m/a","Test":"TestA","Output":"a.go:1: got 1, want 2\n"}`,
				`{"Action":"fail","Package":"m/a","Test":"TestA"}`,
				`{"Action":"fail","Package":"m/a"}`,
			},
			failed: 1, says: []string{"FAIL  m/a", "got 1, want 2"},
		},
		{
			name: "a panic that ends the package shows the test it was in",
			lines: []string{
				`{"Action":"run","Package":"m/a","Test":"TestA"}`,
				`{"Action":"output","Package":"m/a","Test":"TestA","Output":"panic: out of range\n"}`,
				`{"Action":"fail","Package":"m/a"}`,
			},
			failed: 1, says: []string{"panic: out of range"},
		},
		{
			name: "a package that does not build",
			lines: []string{
				`{"ImportPath":"m/a [m/a.test]","Action":"build-output","Output":"a.go:3:2: undefined: x\n"}`,
				`{"ImportPath":"m/a [m/a.test]","Action":"build-fail"}`,
				`{"Action":"start","Package":"m/a"}`,
				`{"Action":"output","Package":"m/a","Output":"FAIL\tm/a [build failed]\n"}`,
				`{"Action":"fail","Package":"m/a","FailedBuild":"m/a [m/a.test]"}`,
			},
			failed: 1, says: []string{"undefined: x"},
		},
		{
			name: "a skipped test is named with its reason",
			lines: []string{
				`{"Action":"output","Package":"m/a","Test":"TestKafka","Output":"no java\n"}`,
				`{"Action":"skip","Package":"m/a","Test":"TestKafka"}`,
				`{"Action":"pass","Package":"m/a"}`,
			},
			skipped: 1, says: []string{"SKIP  m/a TestKafka", "no java", "proves less"},
		},
		{
			name:  "a package without tests is no skipped test",
			lines: []string{`{"Action":"skip","Package":"m/a"}`},
			says:  []string{"m/a", "no tests"},
		},
		{
			name:   "a package that never ends",
			lines:  []string{`{"Action":"start","Package":"m/a"}`},
			failed: 1, says: []string{"m/a did not end"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b strings.Builder
			s := newSummary(&b)
			if err := s.read(strings.NewReader(strings.Join(tc.lines, "\n"))); err != nil {
				t.Fatal(err)
			}
			s.end()
			if s.passed != tc.passed || s.failed != tc.failed || len(s.skipped) != tc.skipped {
				t.Errorf("got %d passed, %d failed, %d skipped; want %d, %d, %d", s.passed, s.failed, len(s.skipped), tc.passed, tc.failed, tc.skipped)
			}
			for _, text := range tc.says {
				if !strings.Contains(b.String(), text) {
					t.Errorf("it does not say %q:\n%s", text, b.String())
				}
			}
			for _, text := range tc.hides {
				if strings.Contains(b.String(), text) {
					t.Errorf("it says %q:\n%s", text, b.String())
				}
			}
		})
	}
}
