package canonical

import (
	"regexp"
	"testing"
)

// Which parts are plain is part of recipe 1: it may never change.
func FuzzPlainParts(f *testing.F) {
	part, time := regexp.MustCompile(`^[A-Za-z0-9._-]+$`), regexp.MustCompile(`^[A-Za-z0-9.:+_-]+$`)
	for _, s := range []string{"", "closedwon", "Closed Won", "a:b", "2026-04-23T11:04:19Z", "2026-04-23T11:04:19+02:00", "ä", "a\n", "\xff", "a\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if isPlain(s, false) != part.MatchString(s) || isPlain(s, true) != time.MatchString(s) {
			t.Errorf("%q", s)
		}
	})
}
