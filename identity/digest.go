package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"tributary/canonical"
)

// Digest is a hash of the whole state: nodes with their roots and cuts, edges, hands,
// registers, stages and guards. It is the same for the same facts in any order (guards: in theirs), on any engine, however
// they were cut into folds. It reads everything.
func (v *View) Digest() [32]byte {
	_, d := v.DigestAt()
	return d
}

// DigestAt is Digest, with the offset that it is of. Nothing is folded while it reads.
func (v *View) DigestAt() (offset int64, digest [32]byte) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	h := sha256.New()
	part(h, []byte(v.rules.hash))
	v.digestNodes(h)
	for _, kind := range []byte{keyEdge, keyHand, keyTouch, keyClick, keyAccount, keyDeal, keyStage, keyField, keyConsent, keyErased} {
		must(v.store.Range([]byte{kind}, []byte{kind + 1}, func(k, b []byte) bool {
			part(h, k)
			part(h, b)
			return true
		}))
	}
	return v.offset, [32]byte(h.Sum(nil))
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
		word(h, uint64(n.cut))
		word(h, uint64(n.crowd))
		for _, t := range [...]times{n.deleted, n.restored} {
			if t.set {
				word(h, 1)
			}
			word(h, uint64(t.at))
		}
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
