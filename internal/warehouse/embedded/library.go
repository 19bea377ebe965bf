package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// LibraryEnv names the environment variable that says where the engine's library is.
const LibraryEnv = "TRIBUTARY_CHDB"

// FetchCommand is what a person types to get the library.
const FetchCommand = "npm ci --prefix deploy/chdb"

// MissingLibraryError says that the engine's library was not found, where it was looked for, and how to get it.
type MissingLibraryError struct {
	Looked []string
}

func (e *MissingLibraryError) Error() string {
	return fmt.Sprintf("the embedded warehouse needs %s, which is not here; run `%s` (or `make engines`) in the repository, "+
		"set %s, or put the library beside the binary; looked for: %s",
		libraryName(), FetchCommand, LibraryEnv, strings.Join(e.Looked, ", "))
}

// Library finds the engine's library: the path given if there is one, else the one that TRIBUTARY_CHDB names, else
// beside the binary, else as npm left it below deploy/chdb of the working directory or of a folder above it. A path
// given by option or environment is the only one tried. The error is a *MissingLibraryError.
func Library(path string) (string, error) {
	if path == "" {
		path = os.Getenv(LibraryEnv)
	}
	candidates := []string{path}
	if path == "" {
		candidates = libraryCandidates()
	}
	for _, candidate := range candidates {
		info, err := os.Stat(candidate)
		if err != nil {
			continue
		}
		if info.IsDir() {
			candidate = filepath.Join(candidate, libraryName())
			if _, err := os.Stat(candidate); err != nil {
				continue
			}
		}
		return filepath.Abs(candidate)
	}
	return "", &MissingLibraryError{Looked: candidates}
}

// libraryCandidates lists where the library may be when nobody said, the nearest first.
func libraryCandidates() []string {
	var candidates []string
	if self, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		candidates = append(candidates, filepath.Join(filepath.Dir(self), libraryName()))
	}
	installed := filepath.Join("deploy", "chdb", "node_modules", "@chdb", libraryPackage(), libraryName())
	dir, err := os.Getwd()
	if err != nil {
		return append(candidates, installed)
	}
	for {
		candidates = append(candidates, filepath.Join(dir, installed))
		parent := filepath.Dir(dir)
		if parent == dir {
			return candidates
		}
		dir = parent
	}
}

// libraryName is the file's name, which is the same on every platform it is published for.
func libraryName() string { return "libchdb.so" }

// libraryPackage is the npm package, without its scope, that holds the library for this platform.
func libraryPackage() string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	if runtime.GOOS == "linux" {
		return "lib-linux-" + arch + "-gnu"
	}
	return "lib-" + runtime.GOOS + "-" + arch
}
