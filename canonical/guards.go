package canonical

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// Guards are the rules by which identity keeps apart what should not be one: what a
// fact of kind guards carries. The zero value means the defaults.
type Guards struct {
	// NeverLink are identifiers that tie nobody to anybody; e-mail and phone by their hash.
	NeverLink []Identifier `json:"never_link,omitempty"`
	// Crowd is how many anchors of one scheme an identifier may be linked to, CrowdRecord
	// how many e-mails a CRM contact; Limit how many anchors of one scheme a person may hold.
	Crowd       int `json:"crowd,omitempty"`        // default 10
	CrowdRecord int `json:"crowd_record,omitempty"` // default 50
	Limit       int `json:"limit,omitempty"`        // default 100
	// Lists is the hash of the rules that are judged where an address is still in the
	// clear: they are not folded, but it is known when they changed.
	Lists string `json:"lists,omitempty"`
}

// Whole gives the guards with defaults filled in and the list in one order, so that equal
// rules are equal text.
func (g Guards) Whole() Guards {
	g.Crowd, g.CrowdRecord, g.Limit = cmp.Or(max(g.Crowd, 0), 10), cmp.Or(max(g.CrowdRecord, 0), 50), cmp.Or(max(g.Limit, 0), 100)
	g.NeverLink = slices.Clone(g.NeverLink)
	slices.SortFunc(g.NeverLink, func(x, y Identifier) int {
		return cmp.Or(cmp.Compare(x.Scheme, y.Scheme), cmp.Compare(x.Value, y.Value))
	})
	g.NeverLink = slices.Compact(g.NeverLink)
	return g
}

// Text gives the rules as JSON, equal for equal rules.
func (g Guards) Text() string {
	b, err := json.Marshal(g.Whole())
	if err != nil {
		panic(err) // strings and numbers
	}
	return string(b)
}

// Hash is that of Text.
func (g Guards) Hash() string {
	sum := sha256.Sum256([]byte(g.Text()))
	return hex.EncodeToString(sum[:])
}
