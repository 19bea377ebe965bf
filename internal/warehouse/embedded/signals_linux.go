package embedded

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// libchdb sets these signals to their default action when it is told not to handle them, and again with every new
// connection. Go needs its own handlers: without them a nil pointer in a request handler ends the process.
var fatalSignals = [...]syscall.Signal{
	syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGILL, syscall.SIGBUS,
	syscall.SIGSYS, syscall.SIGFPE, syscall.SIGTSTP, syscall.SIGTRAP,
}

// A sigaction is the C library's struct of that name, never looked into.
type sigaction [152]byte

// signalKeeper puts signal handlers back to what they were when it was made.
type signalKeeper struct {
	call  func(signal int32, act, old unsafe.Pointer) int32
	saved [len(fatalSignals)]sigaction
}

func keepSignals() (*signalKeeper, error) {
	address, err := purego.Dlsym(purego.RTLD_DEFAULT, "sigaction")
	if err != nil {
		return nil, fmt.Errorf("find sigaction: %w", err)
	}
	k := &signalKeeper{}
	purego.RegisterFunc(&k.call, address)
	for i, signal := range fatalSignals {
		if k.call(int32(signal), nil, unsafe.Pointer(&k.saved[i])) != 0 {
			return nil, fmt.Errorf("read the handler of signal %d", signal)
		}
	}
	return k, nil
}

func (k *signalKeeper) restore() {
	for i, signal := range fatalSignals {
		k.call(int32(signal), unsafe.Pointer(&k.saved[i]), nil)
	}
	runtime.KeepAlive(k)
}
