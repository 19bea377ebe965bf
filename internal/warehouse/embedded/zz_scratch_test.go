package embedded_test

import (
	"os"
	"strings"
	"testing"

	"tributary/internal/warehouse/embedded"
)

func TestZZ(t *testing.T) {
	e := start(t, embedded.Options{Dir: os.Getenv("ZZDIR")})
	text, _ := os.ReadFile(os.Getenv("ZZ"))
	for _, q := range strings.Split(string(text), "\n===\n") {
		q = strings.TrimSpace(q)
		if q == "" { continue }
		st, a, err := post(e, q, nil)
		if len(a) > 6000 { a = a[:6000] }
		t.Logf("%s\n -> %d %s %v", q, st, a, err)
	}
}
