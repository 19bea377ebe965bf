package identity

import (
	"runtime"
	"sync"

	"tributary/canonical"
)

// manyFacts is from how many on a fold reads ahead.
const manyFacts = 100

// readAhead reads what facts name with all processors, before one of them folds: most of the
// time of a large fold is spent on looking for nodes, and most of those are not there yet.
func (s *state) readAhead(records []Folded) {
	if len(records) < manyFacts {
		return
	}
	var ids []canonical.NodeID
	seen := make(map[canonical.NodeID]bool, 2*len(records))
	for _, r := range records {
		for _, id := range r.Fact.Nodes {
			if n := id.Node(); !seen[n] && !s.warm.nodes.Contains(n) {
				seen[n] = true
				ids = append(ids, n)
			}
		}
	}
	found, errs := make([]*node, len(ids)), make([]error, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for i := w; i < len(ids) && errs[w] == nil; i += len(errs) {
				found[i], errs[w] = readNode(s.store, ids[i])
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		must(err)
	}
	for i, n := range found {
		if n == nil {
			s.nodes[ids[i]] = nil
		} else {
			s.warm.nodes.Add(n.id, n)
		}
	}
}
