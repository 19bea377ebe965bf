package simulator

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
)

// A Person is somebody the vendors know, in plain text. MetaUser and LinkedInMember say
// with whom they have a profile; without one, nothing matches them there.
type Person struct {
	ID        string   `json:"id,omitempty"` // "" means the name, else the first e-mail
	FirstName string   `json:"first_name,omitempty"`
	LastName  string   `json:"last_name,omitempty"`
	Company   string   `json:"company,omitempty"`
	Emails    []string `json:"emails,omitempty"` // as their owner writes them
	Phones    []string `json:"phones,omitempty"` // with country code

	MetaUser    bool     `json:"meta_user,omitempty"`
	FBCLIDs     []string `json:"fbclids,omitempty"` // of the ads they clicked
	FBPs        []string `json:"fbps,omitempty"`
	MetaLeadIDs []string `json:"meta_lead_ids,omitempty"`
	ExternalIDs []string `json:"external_ids,omitempty"` // an advertiser's own ids, in plain

	LinkedInMember  bool     `json:"linkedin_member,omitempty"`
	LiFatIDs        []string `json:"li_fat_ids,omitempty"`
	LinkedInLeadIDs []string `json:"linkedin_lead_ids,omitempty"` // of lead form responses
	AcxiomIDs       []string `json:"acxiom_ids,omitempty"`
}

func (p Person) name() string {
	full := strings.TrimSpace(p.FirstName + " " + p.LastName)
	if full == "" && len(p.Emails) > 0 {
		full = p.Emails[0]
	}
	return cmp.Or(p.ID, full)
}

// A directory finds people by what a vendor would look them up by. Keys are
// "kind:value"; values are names.
type directory struct {
	people []Person
	keys   map[string]string
}

func newDirectory(people []Person) directory {
	d := directory{keys: make(map[string]string)}
	for _, p := range people {
		d.add(p)
	}
	return d
}

// add makes p known; a person of the same name is replaced.
func (d *directory) add(p Person) {
	i := slices.IndexFunc(d.people, func(q Person) bool { return q.name() == p.name() })
	if i >= 0 {
		d.people[i] = p
	} else {
		d.people = append(d.people, p)
	}
	if i >= 0 {
		clear(d.keys)
		for _, q := range d.people {
			d.index(q)
		}
		return
	}
	d.index(p)
}

func (d *directory) index(p Person) {
	who := p.name()
	put := func(kind string, value string) {
		if value != "" {
			d.keys[kind+":"+value] = who
		}
	}
	for _, e := range p.Emails {
		put("crm.email", strings.ToLower(strings.TrimSpace(e)))
	}
	if p.MetaUser {
		for _, e := range p.Emails {
			put("meta.em", hashHex(strings.ToLower(strings.TrimSpace(e))))
		}
		for _, n := range p.Phones {
			put("meta.ph", hashHex(metaPhone(n)))
		}
		for _, x := range p.ExternalIDs {
			put("meta.external_id", x)
			put("meta.external_id", hashHex(strings.ToLower(withoutSpace(x))))
		}
		for kind, values := range map[string][]string{"meta.fbclid": p.FBCLIDs, "meta.fbp": p.FBPs, "meta.lead_id": p.MetaLeadIDs} {
			for _, v := range values {
				put(kind, v)
			}
		}
	}
	if p.LinkedInMember {
		for _, e := range p.Emails {
			put("linkedin.email", hashHex(strings.ToLower(withoutSpace(e))))
		}
		for kind, values := range map[string][]string{"linkedin.li_fat_id": p.LiFatIDs, "linkedin.lead": p.LinkedInLeadIDs, "linkedin.acxiom": p.AcxiomIDs} {
			for _, v := range values {
				put(kind, v)
			}
		}
	}
}

// find returns who has the identifier, or "".
func (d *directory) find(kind, value string) string { return d.keys[kind+":"+value] }

// member finds the one LinkedIn member of that name (and company, where both sides name
// one), or "".
func (d *directory) member(first, last, company string) string {
	same := func(a, b string) bool { return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b)) }
	found := ""
	for _, p := range d.people {
		if !p.LinkedInMember || !same(p.FirstName, first) || !same(p.LastName, last) {
			continue
		}
		if company != "" && p.Company != "" && !same(p.Company, company) {
			continue
		}
		if found != "" {
			return ""
		}
		found = p.name()
	}
	return found
}

func hashHex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func withoutSpace(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
}

// metaPhone keeps the digits and drops leading zeros.
func metaPhone(text string) string {
	only := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, text)
	return strings.TrimLeft(only, "0")
}
