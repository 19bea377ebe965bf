package identity

import (
	"bytes"
	"encoding/binary"
	"slices"

	"tributary/canonical"
)

// isDevice is true for what ties to a person without saying who it is: a cookie, a click
// id, a telephone.
func isDevice(n *node) bool { return graphOf(n.scheme) == people && !anchors(n.scheme) }

// tells says whether an edge of a device to another node is a link that says whose the
// device is.
func tells(d, o *node, e edge) bool {
	return anchors(o.scheme) && e.linked() && !d.cut.barred() && !o.cut.barred()
}

// relink keeps what is known of a device's links to anchors when one of them came, went or
// is now said earlier.
func (f *folder) relink(c *change, d, m *node, was, e edge) {
	if !isDevice(d) || !anchors(m.scheme) {
		return
	}
	had, has := tells(d, m, was), tells(d, m, e)
	switch {
	case had && !has:
		f.retie(d)
		if d.cut == sharedDevice {
			c.device(d)
		}
		return
	case !has || had && was.weak == e.weak:
		return
	}
	if d.cut == sharedDevice {
		if f.handOver(d, m, e.weak.at); had {
			f.takeBack(d, m, was.weak.at)
		}
	} else if d.isTied && !had && f.clusterOf(f.look(d.tiedTo())).id != f.clusterOf(m).id {
		c.device(d)
	}
	if k := keyOf(e.weak.at, d.id, m.id); !d.isTied || k.compare(d.tied) < 0 {
		d.tied, d.isTied = k, true
		f.change(d)
	}
}

// tiedTo is the anchor that the device's first link leads to.
func (n *node) tiedTo() canonical.NodeID {
	if n.tied.low == n.id {
		return n.tied.high
	}
	return n.tied.low
}

// retie looks for a device's first link to an anchor.
func (f *folder) retie(d *node) {
	d.tied, d.isTied = edgeKey{}, false
	f.edges(d.id, func(other canonical.NodeID, e edge) bool {
		if tells(d, f.look(other), e) {
			if k := keyOf(e.weak.at, d.id, other); !d.isTied || k.compare(d.tied) < 0 {
				d.tied, d.isTied = k, true
			}
		}
		return true
	})
	f.change(d)
}

// isShared says whether a device's links lead to anchors of two people, where of gives
// whose an anchor is.
func (f *folder) isShared(d *node, of func(*node) canonical.NodeID) bool {
	var first canonical.NodeID
	found, two := false, false
	f.edges(d.id, func(other canonical.NodeID, e edge) bool {
		o := f.look(other)
		if !tells(d, o, e) {
			return true
		}
		who := of(o)
		two = found && who != first
		first, found = who, true
		return !two
	})
	return two
}

// comeNear notes that a shared device is linked to an anchor.
func (f *folder) comeNear(m *node) {
	f.change(m) // whoever holds its person in memory looks again
	if m.near {
		return
	}
	m.near = true
	if c := f.clusterOf(m); !c.near {
		if c.near = true; c.size > 1 {
			f.keep(c)
		}
	}
}

// A Hand says that from Since on, until the next hand of the device, touches on it belong
// to the person of Holder; those before the first hand, to the first. Zero: no hand
// begins then any more. It is known since Offset.
type Hand struct {
	Offset int64
	Device canonical.NodeID
	Since  int64 // in nanoseconds
	Holder canonical.NodeID
}

// A hand is the beginning of a time in which a shared device was in somebody's hands.
type hand struct {
	device canonical.NodeID
	since  int64
}

// Hands stand with the newest first, so that the one at a time is found at once.
func (h hand) key() []byte { return key(keyHand, uint64(h.device), ^ordered(h.since)) }

// handOver notes a link of a shared device, or that it is said earlier than before.
func (f *folder) handOver(d, m *node, at int64) {
	f.comeNear(m)
	h := hand{d.id, at}
	if b, ok := f.get(h.key()); !ok || m.id < lastWord(b) {
		f.give(h, m.id)
	}
}

// takeBack notes that a link of a shared device no longer says this time: the next one that does
// holds.
func (f *folder) takeBack(d, m *node, at int64) {
	h := hand{d.id, at}
	if b, ok := f.get(h.key()); !ok || lastWord(b) != m.id {
		return
	}
	var next canonical.NodeID
	f.edges(d.id, func(other canonical.NodeID, e edge) bool {
		if e.weak == (times{at, true}) && (next == 0 || other < next) && tells(d, f.look(other), e) {
			next = other
		}
		return true
	})
	f.give(h, next)
}

// rehand writes down anew in whose hands a device was: nobody's where it is not shared.
func (f *folder) rehand(d *node) {
	holds := make(map[hand]canonical.NodeID)
	if d.cut == sharedDevice {
		f.edges(d.id, func(other canonical.NodeID, e edge) bool {
			if o := f.look(other); tells(d, o, e) {
				f.comeNear(o)
				h := hand{d.id, e.weak.at}
				if old, ok := holds[h]; !ok || other < old {
					holds[h] = other
				}
			}
			return true
		})
	}
	for _, e := range f.under(key(keyHand, uint64(d.id))) {
		h := hand{d.id, unordered(^uint64(lastWord(e.key)))}
		switch who, ok := holds[h]; {
		case !ok:
			f.give(h, 0)
		case who == lastWord(e.value):
			delete(holds, h)
		}
	}
	for h, who := range holds {
		f.give(h, who)
	}
}

func (f *folder) give(h hand, who canonical.NodeID) {
	if who == 0 {
		f.delete(h.key())
	} else {
		f.put(h.key(), binary.BigEndian.AppendUint64(nil, uint64(who)))
	}
	if f.handed == nil {
		f.handed = make(map[hand]canonical.NodeID)
	}
	f.handed[h] = who
}

// holderAt gives the anchor in whose hands a shared device was at a time; zero of a device
// that is not shared.
func (f *folder) holderAt(d *node, at int64) (holder canonical.NodeID) {
	if d == nil || d.cut != sharedDevice {
		return 0
	}
	from := hand{d.id, max(at, d.tied.at)}.key() // before the first hand it is the first
	var first []byte
	take := func(k, who []byte) {
		if first == nil || bytes.Compare(k, first) < 0 {
			first, holder = bytes.Clone(k), lastWord(who)
		}
	}
	for _, k := range f.groups[group(from)] {
		if w := f.over[k]; w.Value != nil && bytes.Compare(w.Key, from) >= 0 {
			take(w.Key, w.Value)
		}
	}
	must(f.store.Range(from, after(from[:groupLen]), func(k, who []byte) bool {
		if _, laid := f.over[string(k)]; laid {
			return true
		}
		take(k, who)
		return false
	}))
	return holder
}

// settleHands writes down the hands that the fact changed, and that it touched the device and
// whoever has it now.
func (f *folder) settleHands() {
	if len(f.handed) == 0 {
		return
	}
	var b []byte
	for h, who := range f.handed {
		mark(&f.touched, h.device)
		if now := f.holderAt(f.look(h.device), h.since); now != 0 {
			mark(&f.touched, now)
		}
		b = binary.BigEndian.AppendUint64(b, uint64(h.device))
		b = binary.BigEndian.AppendUint64(b, ordered(h.since))
		b = binary.BigEndian.AppendUint64(b, uint64(who))
	}
	const row = 24
	rows := slices.SortedFunc(slices.Chunk(b, row), slices.Compare)
	f.put(key(keyHanded, ordered(f.offset)), slices.Concat(rows...))
}

// Hands gives the rows that the facts at offsets in (from, to] caused, in their order, of
// one fact by device and time. They are what was computed when each fact was folded, and do not change.
func (v *View) Hands(from, to int64) []Hand {
	v.mu.RLock()
	defer v.mu.RUnlock()
	x := v.erased.Load()
	var out []Hand
	v.span(keyHanded, from, to, func(offset int64, b []byte) {
		for r := (reader{b: b}); len(r.b) > 0; {
			h := Hand{Offset: offset, Device: canonical.NodeID(r.word()), Since: unordered(r.word()), Holder: canonical.NodeID(r.word())}
			if r.short {
				must(errRecord)
			}
			if !x.shownRow(offset, h.Device, h.Holder) {
				continue
			}
			out = append(out, h)
		}
	})
	return out
}

// holderAt gives the anchor in whose hands a shared device was at a time; the node itself
// where it is no shared device.
func (v *View) holderAt(n canonical.NodeID, at int64) canonical.NodeID {
	d := lookNode(v.store, v.warm, n)
	if d == nil || d.cut != sharedDevice {
		return n
	}
	if at < d.tied.at {
		at = d.tied.at // before the first hand
	}
	holder := n
	must(v.store.Range(hand{n, at}.key(), after(key(keyHand, uint64(n))), func(_, b []byte) bool {
		holder = lastWord(b)
		return false
	}))
	return holder
}

// sharedBy gives the shared devices that a person's nodes are linked to, ascending.
func (v *View) sharedBy(nodes []*node) []canonical.NodeID {
	var out []canonical.NodeID
	for _, n := range nodes {
		if !n.near || n.cut.barred() {
			continue
		}
		for _, t := range v.tiesOf(n) {
			if t.node.cut == sharedDevice && t.edge.linked() {
				out = append(out, t.node.id)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// touchesOf gives the touches of a person by class, with those on shared devices that were
// in its hands.
func (v *View) touchesOf(p *profile) [2][]touchSeen {
	if len(p.devices) == 0 {
		return p.touches
	}
	var on profile
	all := p.touches
	for _, d := range p.devices {
		on.addTouches(v.store, d)
		for class, list := range on.touches {
			for _, t := range list {
				if v.root(v.holderAt(d, t.at)) == p.root {
					all[class] = append(all[class][:len(all[class]):len(all[class])], t)
				}
			}
			on.touches[class] = nil
		}
	}
	for class := range all {
		all[class] = slices.SortedFunc(slices.Values(all[class]), touchSeen.compare)
	}
	return all
}

// clicksOf gives the click ids of a person, with those on shared devices that were in its
// hands when the click was first seen.
func (v *View) clicksOf(p *profile) []clickSeen {
	if len(p.devices) == 0 {
		return p.clicks
	}
	all := slices.Clone(p.clicks)
	for _, d := range p.devices {
		var on profile
		on.addClicks(v.store, d)
		for _, c := range on.clicks {
			if n := lookNode(v.store, v.warm, c.node); n != nil && v.root(v.holderAt(d, n.seen)) == p.root {
				all = append(all, c)
			}
		}
	}
	return all
}
