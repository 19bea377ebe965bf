//go:build unix

package main

import (
	"math"

	"golang.org/x/sys/unix"
)

// openFiles is how many files this process may have open; math.MaxUint64 where nobody says.
func openFiles() uint64 {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return math.MaxUint64
	}
	return uint64(l.Cur)
}
