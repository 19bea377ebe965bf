package identity

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"

	"tributary/canonical"
)

// Classes of touch. Known prefers those that say where somebody came from.
const (
	campaignTouch = 0 // carries a click id, a campaign, a UTM source, an ad, or is one by its kind
	directTouch   = 1 // any other
)

func classOf(t *canonical.Touch) byte {
	switch {
	case len(t.Clicks) > 0, t.Campaign != "", t.CampaignID != "", t.Source != "", t.Medium != "", t.Ad != "", t.AdSet != "",
		t.Kind == "ad_click", t.Kind == "email_click", t.Kind == "meeting":
		return campaignTouch
	}
	return directTouch
}

// touch updates the registers of the first node: of each class the first and the
// newest touches by business time, of each scheme the newest click ids. A click id's own
// node holds when it was first clicked.
func (f *folder) touch(fact canonical.Fact) bool {
	if len(fact.Nodes) == 0 || fact.Touch == nil || graphOf(fact.Nodes[0].Scheme) != people {
		return false
	}
	t := *fact.Touch
	if t.At.IsZero() {
		t.At = fact.At
	}
	n, stated := f.seeChanged(fact.Nodes[0], nanos(t.At))
	if n == nil {
		return false
	}
	body, err := json.Marshal(t)
	if err != nil {
		return false // a time that JSON cannot hold: it did not come from the log
	}
	if f.addTouch(n, classOf(&t), nanos(t.At), body) {
		stated = true
	}
	for _, c := range t.Clicks {
		id := canonical.Identifier{Scheme: c.Scheme, Value: c.Value}
		if !c.Scheme.IsClick() {
			continue
		}
		at := nanos(c.At)
		if c.At.IsZero() {
			at = nanos(t.At)
		}
		click, earlier := f.seeChanged(id, at)
		if click == nil {
			continue
		}
		later, fresh := f.addClick(n, c.Scheme, c.Value, at)
		stated = stated || earlier || later
		if fresh {
			mark(&f.touched, n.id)
			if n.cut == sharedDevice && !f.statements {
				mark(&f.touched, f.holderAt(n, click.seen))
			}
		}
	}
	if stated {
		f.change(n) // whoever holds its person in memory looks again
	}
	return stated
}

// addTouch keeps a touch where it is the first of its class or among the newest, and
// says whether it was kept and is new. What is kept of a set does not depend on its order.
func (f *folder) addTouch(n *node, class byte, at int64, body []byte) bool {
	prefix := append(key(keyTouch, uint64(n.id)), class)
	sum := sha256.Sum256(body)
	k := binary.BigEndian.AppendUint64(slices.Clone(prefix), ordered(at))
	k = append(k, sum[:8]...)
	var all []entry
	if n.touches {
		all = f.under(prefix)
	}
	i, there := slices.BinarySearchFunc(all, k, func(e entry, k []byte) int { return slices.Compare(e.key, k) })
	if there {
		return false
	}
	all = slices.Insert(all, i, entry{k, body})
	if len(all) > lastTouches+1 {
		f.delete(all[1].key) // between the first and the newest
		if i == 1 {
			return false
		}
	}
	f.put(k, body)
	n.touches = true
	return true
}

// addClick keeps when a click id was last seen on a node, for the newest of its scheme.
// It says whether that was news, and whether the id was.
func (f *folder) addClick(n *node, s canonical.Scheme, value string, at int64) (later, fresh bool) {
	prefix := append(key(keyClick, uint64(n.id)), byte(len(s)))
	prefix = append(prefix, s...)
	k := append(slices.Clone(prefix), value...)
	var all []entry
	if n.clicks {
		all = f.under(prefix)
	}
	last := binary.BigEndian.AppendUint64(nil, ordered(at))
	i, there := slices.BinarySearchFunc(all, k, func(e entry, k []byte) int { return slices.Compare(e.key, k) })
	if there {
		if slices.Compare(all[i].value, last) >= 0 {
			return false, false
		}
		f.put(k, last)
		return true, false
	}
	all = append(all, entry{k, last})
	if len(all) > lastClicks {
		oldest := slices.MinFunc(all, func(x, y entry) int {
			return cmp.Or(slices.Compare(x.value, y.value), slices.Compare(x.key, y.key))
		})
		if slices.Equal(oldest.key, k) {
			return false, false
		}
		f.delete(oldest.key)
	}
	f.put(k, last)
	n.clicks = true
	return true, true
}

// stage adds to the history of an object.
func (f *folder) stage(fact canonical.Fact) bool {
	if len(fact.Nodes) == 0 || fact.Stage == nil {
		return false
	}
	st := *fact.Stage
	if st.At.IsZero() {
		st.At = fact.At
	}
	body, err := json.Marshal(st)
	if err != nil {
		return false // a time that JSON cannot hold: it did not come from the log
	}
	n := f.see(fact.Nodes[0], nanos(st.At))
	if n == nil {
		return false
	}
	sum := sha256.Sum256(body)
	k := append(key(keyStage, uint64(n.id), ordered(nanos(st.At))), sum[:8]...)
	if _, ok := f.get(k); ok {
		return false
	}
	f.put(k, body)
	n.stages = true
	f.change(n)
	return true
}
