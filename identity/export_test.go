package identity

// HoldAtMost sets how many nodes a cluster holds itself, until the function it gives is called.
func HoldAtMost(nodes int) (restore func()) {
	before := smallCluster
	smallCluster = nodes
	return func() { smallCluster = before }
}
