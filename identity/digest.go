package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"tributary/canonical"
)

// Digest is a hash of the whole state: nodes with their roots, edges, registers and
// stages. It is the same for the same facts in any order, on any engine, however
// they were cut into folds. It reads everything.
func (v *View) Digest() [32]byte {
	v.mu.RLock()
	defer v.mu.RUnlock()
	h := sha256.New()
	v.digestNodes(h)
	for _, kind := range []byte{keyEdge, keyTouch, keyClick, keyAccount, keyDeal, keyStage} {
		must(v.store.Range([]byte{kind}, []byte{kind + 1}, func(k, b []byte) bool {
			part(h, k)
			part(h, b)
			return true
		}))
	}
	return [32]byte(h.Sum(nil))
}

// digestNodes hashes every node with the root of its cluster.
func (v *View) digestNodes(h hash.Hash) {
	roots := make(map[canonical.NodeID]canonical.NodeID)
	must(v.store.Range([]byte{keyCluster}, []byte{keyCluster + 1}, func(k, b []byte) bool {
		c, err := decodeCluster(lastWord(k), b)
		must(err)
		roots[c.id] = c.root
		return true
	}))
	must(v.store.Range([]byte{keyNode}, []byte{keyNode + 1}, func(k, b []byte) bool {
		n, err := decodeNode(lastWord(k), b)
		must(err)
		root, ok := roots[n.cluster]
		if !ok {
			root = n.id
		}
		part(h, []byte(n.scheme))
		part(h, []byte(n.value))
		word(h, uint64(n.id))
		word(h, uint64(root))
		word(h, uint64(n.seen))
		if n.merged {
			word(h, 1)
		} else {
			word(h, 0)
		}
		return true
	}))
}

func part(h hash.Hash, b []byte) {
	word(h, uint64(len(b)))
	h.Write(b)
}

func word(h hash.Hash, w uint64) { h.Write(binary.BigEndian.AppendUint64(nil, w)) }
