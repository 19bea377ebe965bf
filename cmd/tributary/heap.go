package main

import "runtime"

// heapFloor is garbage that may always gather. A router at rest lives in a few tens of
// megabytes; without a floor the collector would run dozens of times a second as soon as
// requests come in.
const heapFloor = 64 << 20

// keepHeapFloor makes the collector count heapFloor bytes as live until release is called.
// Nobody writes to them, so that they take no memory; what they allow to gather does, 64
// MiB by default and in proportion with GOGC.
func keepHeapFloor() (release func()) {
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(floor) }
}
