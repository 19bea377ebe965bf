package identity

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"tributary/canonical"
)

// consents states what the person agreed to.
func (s *statements) consents(ids []canonical.Identifier, e *canonical.Event) {
	if s.report.Consent == nil {
		return
	}
	c := *s.report.Consent
	s.say(canonical.Fact{Kind: canonical.FactConsent, At: s.at, Nodes: []canonical.Identifier{theNode(ids, e)}, Consent: &c})
}

// A consented is the newest that a node said of consent.
type consented struct {
	At   int64              `json:"at"`
	Said *canonical.Consent `json:"said"`
}

// compare orders statements: what was said later holds, at one time a no before all else,
// then the greater text.
func (x consented) compare(y consented) int {
	no := func(c consented) int {
		if c.Said.DeniesAds() {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(x.At, y.At), cmp.Compare(no(x), no(y)), slices.Compare(x.text(), y.text()))
}

func (x consented) text() []byte {
	b, err := json.Marshal(x.Said)
	must(err)
	return b
}

// consentAgain is how long a yes said again says nothing new.
const consentAgain = 24 * time.Hour

// consent notes what a person said. It states nothing where the node said something at a
// later time, or the same yes within a day.
func (f *folder) consent(fact canonical.Fact) bool {
	if len(fact.Nodes) == 0 || fact.Consent == nil || graphOf(fact.Nodes[0].Scheme) != people || !foldable(fact.Nodes[0]) {
		return false
	}
	said := consented{At: nanos(fact.At), Said: fact.Consent}
	k := key(keyConsent, uint64(fact.Nodes[0].Node()))
	var held consented
	b, had := f.get(k)
	if had {
		held = decodeConsented(b)
	}
	if old := f.look(fact.Nodes[0].Node()); f.statements && had && said.Said.AllowsAds() && slices.Equal(said.text(), held.text()) &&
		said.At >= held.At && said.At-held.At < int64(consentAgain) && old != nil && said.At >= old.seen {
		return false
	}
	n, stated := f.seeChanged(fact.Nodes[0], said.At)
	if n == nil {
		return false
	}
	if had && said.compare(held) <= 0 {
		return stated
	}
	body, err := json.Marshal(said)
	must(err)
	f.put(k, body)
	n.touches = true
	f.change(n)
	return true
}

func decodeConsented(b []byte) consented {
	var c consented
	if err := json.Unmarshal(b, &c); err != nil || c.Said == nil {
		must(errRecord)
	}
	return c
}

// newerConsent gives the newer of what is held and what a node said.
func newerConsent(store Store, n canonical.NodeID, held *consented) *consented {
	b, ok, err := store.Get(key(keyConsent, uint64(n)))
	must(err)
	if !ok {
		return held
	}
	if said := decodeConsented(b); held == nil || said.compare(*held) > 0 {
		return &said
	}
	return held
}
