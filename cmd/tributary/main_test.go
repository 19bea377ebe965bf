package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tributary/internal/warehouse/embedded"
)

// The test binary is also the program, and the engine child of the program: a child is
// told so by its arguments, the program by its environment (tests that start it
// themselves) or by its name (scripts).
func TestMain(m *testing.M) {
	embedded.MaybeChild()
	if os.Getenv("TRIBUTARY_TEST_MAIN") == "1" {
		main()
		return
	}
	testscript.Main(m, map[string]func(){"tributary": main})
}
