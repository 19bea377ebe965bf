package main

import (
	"os"
	"path/filepath"
	"testing"

	"tributary/internal/warehouse/embedded"
)

// warehouseLibrary finds the engine's library, or skips the test naming what is missing;
// where engines are required that is a failure.
func warehouseLibrary(t testing.TB) string {
	t.Helper()
	path, err := embedded.Library("")
	if err != nil {
		if os.Getenv("TRIBUTARY_REQUIRE_ENGINES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if path, err = filepath.Abs(path); err != nil {
		t.Fatal(err)
	}
	return path
}
