package identity

import "tributary/canonical"

// tiesOf gives all that was said of a node and others, in ascending order of the others,
// whether it joins them or not. The caller holds v.mu.
func (v *View) tiesOf(n *node) []tie {
	var entries []entry
	prefix := key(keyEdge, uint64(n.id))
	must(v.store.Range(prefix, after(prefix), func(k, b []byte) bool {
		entries = append(entries, entry{append([]byte{}, k...), append([]byte{}, b...)})
		return true
	}))
	out := make([]tie, 0, len(entries))
	for _, en := range entries {
		e, err := decodeEdge(en.value)
		must(err)
		if o := lookNode(v.store, v.warm, lastWord(en.key)); o != nil {
			out = append(out, tie{o, e})
		}
	}
	return out
}

// keptApart says why what was said of two nodes does not join them; "" where it does,
// where something else does, or where nothing ties them. The caller holds v.mu.
func (v *View) keptApart(a, b *node, e edge) Reason {
	said := e.strong.set || e.weak.set || e.allow.set || e.merge[0].set || e.merge[1].set
	if !said || v.together(a, b) {
		return ""
	}
	if e.blocked() {
		return Blocked
	}
	if !e.linked() {
		return "" // an unmerge took away all there was
	}
	for _, c := range [...]cut{neverLink, crowded, sharedDevice} {
		if a.cut == c || b.cut == c {
			return c.reason()
		}
	}
	if bondOf(a, b, e).strength == strong {
		return PersonLimit
	}
	return TwoPeople
}

// together says whether two nodes are one person or account.
func (v *View) together(a, b *node) bool { return a.cluster == b.cluster }

// Cut says why none of a node's links may join; "" where they may, or it is not known.
func (v *View) Cut(n canonical.NodeID) Reason {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if nd := lookNode(v.store, v.warm, n); nd != nil {
		return nd.cut.reason()
	}
	return ""
}
