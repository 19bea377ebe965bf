//go:build unix

package catalog_test

import (
	"syscall"
	"time"
)

// cpuTime is how long this process has had a core, which does not depend on what else the
// machine is busy with; 0 where that is not known.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
