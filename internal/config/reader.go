package config

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// Reader gives a func that reads the credential as Value does, at the price of one look
// at the file's entry where it did not change. A file that was written again or replaced
// is read at once; the value is never made of two versions of a replaced file.
func (s Secret) Reader() func() (string, error) {
	path, ok := strings.CutPrefix(string(s), "file:")
	if !ok {
		return s.Value
	}
	f := &secretFile{path: path}
	return f.value
}

// A secretFile remembers what it read, and of which file.
type secretFile struct {
	path string

	mu   sync.Mutex
	of   fs.FileInfo // nil: nothing is remembered
	read string
}

// young is how long a file may be written a second time without its time of change
// showing it: coarser than any file system in use.
const young = 3 * time.Second

func (f *secretFile) value() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now, err := os.Stat(f.path); err == nil && f.of != nil && os.SameFile(f.of, now) && now.Size() == f.of.Size() && now.ModTime().Equal(f.of.ModTime()) {
		return f.read, nil
	}
	f.of = nil
	file, err := os.Open(f.path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	defer file.Close()
	of, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	b, err := io.ReadAll(file)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	v := strings.TrimSpace(string(b))
	if v == "" {
		return "", fmt.Errorf("read secret: %s is empty", f.path)
	}
	if age := time.Since(of.ModTime()); age > young && int64(len(b)) == of.Size() {
		f.of, f.read = of, v
	}
	return v, nil
}
