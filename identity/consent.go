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

// consents is the newest that a node said of each of two questions: whether it may be advertised
// to, and whether its data may be used in a limited way only. What answers one says nothing of
// the other: a server that says with every event that it limits nothing lifts nobody's no.
type consents struct {
	Answer *consented `json:"answer,omitempty"`
	Limit  *consented `json:"limit,omitempty"`
}

func consentsOf(at int64, c *canonical.Consent) consents {
	var x consents
	if c.DataProcessing != nil || c.ProcessingCountry != nil || c.ProcessingState != nil {
		x.Limit = &consented{at, &canonical.Consent{DataProcessing: c.DataProcessing, ProcessingCountry: c.ProcessingCountry, ProcessingState: c.ProcessingState}}
	}
	if x.Limit == nil || c.AdStorage != nil || c.AdUserData != nil {
		x.Answer = &consented{at, &canonical.Consent{AdStorage: c.AdStorage, AdUserData: c.AdUserData}}
	}
	return x
}

// join gives the newer of each.
func (x consents) join(y consents) consents {
	return consents{newer(x.Answer, y.Answer), newer(x.Limit, y.Limit)}
}

func newer(x, y *consented) *consented {
	if x == nil || y != nil && y.compare(*x) > 0 {
		return y
	}
	return x
}

// again is true where y says within a day only what x holds, and no no is among it.
func (x consents) again(y consents) bool {
	same := func(held, said *consented) bool {
		return said == nil || held != nil && !said.Said.LimitsUse() && slices.Equal(held.text(), said.text()) &&
			said.At >= held.At && said.At-held.At < int64(consentAgain)
	}
	return (y.Answer == nil || y.Answer.Said.AllowsAds()) && same(x.Answer, y.Answer) && same(x.Limit, y.Limit)
}

// said is both in one; nil where nothing was said.
func (x consents) said() *canonical.Consent {
	switch {
	case x.Limit == nil && x.Answer == nil:
		return nil
	case x.Limit == nil:
		return x.Answer.Said
	}
	c := *x.Limit.Said
	if x.Answer != nil {
		c.AdStorage, c.AdUserData = x.Answer.Said.AdStorage, x.Answer.Said.AdUserData
	}
	return &c
}

// A consented is what was said of one question, and when.
type consented struct {
	At   int64              `json:"at"`
	Said *canonical.Consent `json:"said"`
}

// compare orders statements: what was said later holds, at one time a no before all else,
// then the greater text.
func (x consented) compare(y consented) int {
	no := func(c consented) int {
		if c.Said.DeniesAds() || c.Said.LimitsUse() {
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
	at := nanos(fact.At)
	said := consentsOf(at, fact.Consent)
	k := key(keyConsent, uint64(fact.Nodes[0].Node()))
	var held consents
	if b, had := f.get(k); had {
		held = decodeConsents(b)
	}
	if old := f.look(fact.Nodes[0].Node()); f.statements && held.again(said) && old != nil && at >= old.seen {
		return false
	}
	n, stated := f.seeChanged(fact.Nodes[0], at)
	if n == nil {
		return false
	}
	joined := held.join(said)
	if joined == held {
		return stated
	}
	body, err := json.Marshal(joined)
	must(err)
	f.put(k, body)
	n.touches = true
	f.change(n)
	return true
}

func decodeConsents(b []byte) consents {
	var c consents
	if err := json.Unmarshal(b, &c); err != nil || c.Answer == nil && c.Limit == nil {
		must(errRecord)
	}
	for _, p := range []*consented{c.Answer, c.Limit} {
		if p != nil && p.Said == nil {
			must(errRecord)
		}
	}
	return c
}

// newerConsent gives the newer of what is held and what a node said.
func newerConsent(store Store, n canonical.NodeID, held consents) consents {
	b, ok, err := store.Get(key(keyConsent, uint64(n)))
	must(err)
	if !ok {
		return held
	}
	return held.join(decodeConsents(b))
}
