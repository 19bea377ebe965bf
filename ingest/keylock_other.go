//go:build !unix

package ingest

import (
	"io/fs"
	"os"
	"time"
)

// lockFile keeps other processes out until unlock is called: the file is there while
// somebody holds it.
func lockFile(path string) (unlock func(), err error) {
	for range 100 {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err == nil {
			return func() { f.Close(); os.Remove(path) }, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, os.ErrDeadlineExceeded
}

func stampOf(info fs.FileInfo) fileStamp {
	return fileStamp{modified: info.ModTime(), size: info.Size()}
}
