//go:build unix

package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockDir makes this process the only one in a directory. The kernel frees the lock when
// the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		_ = f.Truncate(0)
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
		return f, nil
	}
	defer f.Close()
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock the directory: %w", err)
	}
	who := ""
	if pid, err := os.ReadFile(f.Name()); err == nil && len(pid) > 0 {
		who = " (process " + strings.TrimSpace(string(pid)) + ")"
	}
	return nil, fmt.Errorf("the directory is in use by another tributary%s: stop it first, or give this one another data_dir", who)
}
