package embedded

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// spool is the directory where the rows of an INSERT wait for the engine, which reads them from a file: rows put after
// the statement itself would be cut at a line break.
type spool string

// errSpool says that a body could not be written to disk, which is not the client's fault.
var errSpool = errors.New("spool")

// open makes the directory, empty: what a dead predecessor left is of no use.
func (s spool) open() error {
	if err := os.RemoveAll(string(s)); err != nil {
		return err
	}
	return os.MkdirAll(string(s), 0o700)
}

type spooled struct{ path string }

func (f spooled) remove() { os.Remove(f.path) }

// keep writes up to limit bytes to a file. The caller removes it.
func (s spool) keep(from io.Reader, limit int64) (spooled, error) {
	file, err := os.CreateTemp(string(s), "rows-")
	if err != nil {
		return spooled{}, fmt.Errorf("%w: %w", errSpool, err)
	}
	kept := spooled{filepath.ToSlash(file.Name())}
	written, err := io.Copy(onlyWriter{file}, io.LimitReader(from, limit+1))
	if closed := file.Close(); err == nil && closed != nil {
		err = fmt.Errorf("%w: %w", errSpool, closed)
	}
	if err == nil && written > limit {
		err = &http.MaxBytesError{Limit: limit}
	}
	if err != nil {
		kept.remove()
		return spooled{}, err
	}
	return kept, nil
}

// onlyWriter marks errors of the disk apart from errors of the body.
type onlyWriter struct{ w io.Writer }

func (o onlyWriter) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errSpool, err)
	}
	return n, err
}
