//go:build unix

package main

import "golang.org/x/sys/unix"

// openFiles is how many files this process may have open.
func openFiles() (n uint64, known bool) {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0, false
	}
	return uint64(l.Cur), true
}
