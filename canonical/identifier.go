package canonical

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// A Scheme is a kind of identifier.
type Scheme string

// The schemes of people, then of accounts, then of other objects.
const (
	HubSpotContact Scheme = "hubspot_contact"
	Email          Scheme = "email" // value: EmailHash
	Phone          Scheme = "phone" // value: PhoneHash
	UserID         Scheme = "user_id"
	LeadID         Scheme = "lead_id"
	Anonymous      Scheme = "anonymous" // first-party cookie
	UTK            Scheme = "hubspotutk"
	FBP            Scheme = "fbp"
	FBCLID         Scheme = "fbclid"
	GCLID          Scheme = "gclid"
	GBRAID         Scheme = "gbraid"
	WBRAID         Scheme = "wbraid"
	LIFatID        Scheme = "li_fat_id"
	MSCLKID        Scheme = "msclkid"
	TTCLID         Scheme = "ttclid"

	HubSpotCompany Scheme = "hubspot_company"
	Domain         Scheme = "domain"

	HubSpotDeal Scheme = "hubspot_deal"
)

// strengths orders the schemes of people: an event's node is that of its strongest
// identifier, and a person's root is looked for in this order.
var strengths = map[Scheme]int{
	HubSpotContact: 1, Email: 2, UserID: 3, LeadID: 4, Phone: 5, UTK: 6,
	Anonymous: 7, FBP: 8, LIFatID: 9, GCLID: 10, FBCLID: 11, GBRAID: 12, WBRAID: 13, MSCLKID: 14, TTCLID: 15,
	HubSpotCompany: 101, Domain: 102,
	HubSpotDeal: 201,
}

// Strength gives a scheme's place, 1 the strongest; an unknown scheme comes last.
func (s Scheme) Strength() int {
	if n, ok := strengths[s]; ok {
		return n
	}
	return 100
}

// IsPerson, IsAccount: which graph an identifier belongs to. A deal belongs to neither.
func (s Scheme) IsPerson() bool  { return s.Strength() <= 100 }
func (s Scheme) IsAccount() bool { return s == HubSpotCompany || s == Domain }

// IsWeak is true for what a device or a click gives: it ties to a person, and never two
// known people to each other.
func (s Scheme) IsWeak() bool { n := s.Strength(); return n >= 6 && n < 100 }

// clickSchemes are the click ids of URLs and cookies; a touch takes its platform from the
// first it has.
var clickSchemes = []Scheme{FBCLID, LIFatID, GCLID, GBRAID, WBRAID, MSCLKID, TTCLID}

// ClickSchemes lists the click ids; a touch that has several takes its platform from the first.
func ClickSchemes() []Scheme { return slices.Clone(clickSchemes) }

// IsClick is true for click ids.
func (s Scheme) IsClick() bool { return slices.Contains(clickSchemes, s) }

// An Identifier is (scheme, normalised value). E-mail and phone values are hashes.
type Identifier struct {
	Scheme Scheme    `json:"scheme"`
	Value  string    `json:"value"`
	Seen   time.Time `json:"seen,omitzero"` // in Known: first business time
}

// Node gives the identifier's node in the one workspace there is so far.
func (id Identifier) Node() NodeID {
	var room [160]byte
	b := room[:0]
	for _, part := range [...]string{"default", string(id.Scheme), id.Value} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	h := sha256.Sum256(b)
	return NodeID(binary.BigEndian.Uint64(h[:]))
}

// ObjectIdentifier names a CRM object: contact, company or deal. The account is part
// of the value only where it is not the default one.
func ObjectIdentifier(o Object) (Identifier, bool) {
	var s Scheme
	switch o.Type {
	case "contact":
		s = HubSpotContact
	case "company":
		s = HubSpotCompany
	case "deal":
		s = HubSpotDeal
	}
	if s == "" || o.ID == "" {
		return Identifier{}, false
	}
	v := o.ID
	if o.Account != "" && o.Account != "hubspot" {
		v = o.Account + ":" + o.ID
	}
	return Identifier{Scheme: s, Value: v}, true
}

// NormalDomain gives a company domain in one form: lower case, without scheme, "www."
// and path; "" when nothing is left.
func NormalDomain(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	s = strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://")
	s, _, _ = strings.Cut(s, "/")
	s = strings.TrimSuffix(strings.TrimPrefix(s, "www."), ".")
	if !strings.Contains(s, ".") || strings.ContainsAny(s, " @:") {
		return ""
	}
	return s
}
