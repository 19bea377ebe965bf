package identity

import (
	"cmp"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"tributary/canonical"
)

// companyProperties are the properties of a company in the CRM, by the field that each is.
var companyProperties = map[string]string{
	"name":                      canonical.AccountName,
	"domain":                    canonical.AccountDomain,
	"hubspot_owner_id":          canonical.AccountOwner,
	"hs_ideal_customer_profile": canonical.AccountTier,
	"hs_is_target_account":      canonical.AccountTarget,
	"hs_parent_company_id":      canonical.AccountParent,
}

// accountFields states what the report says of its account. What a body says was found to be
// so, like what a read gave (completion); only the change of a property tells when. A
// browser is not heard: whoever has a page's key could name any company.
func (s *statements) accountFields() {
	r := s.report
	switch {
	case r.Subject == canonical.SubjectProperty && r.Object.Type == "company" && companyProperties[r.Property] != "":
		s.sayFields(s.at, s.object("company", r.Object.ID), map[string]string{r.Property: r.Value}, false)
	case s.receipt.Completion == nil && !s.receipt.Browser:
		c := r.Company
		said := map[string]string{"name": c.Name, "domain": c.Domain, "hubspot_owner_id": c.Owner, "hs_ideal_customer_profile": c.Tier}
		if c.Target != nil {
			said["hs_is_target_account"] = map[bool]string{true: "true", false: "false"}[*c.Target]
		}
		maps.DeleteFunc(said, func(_, v string) bool { return v == "" })
		self := s.companyDomain(c.Domain)
		if c.ID != "" {
			self = s.object("company", c.ID)
		} else if r.Object.Type == "company" && r.Object.ID != "" {
			self = s.object("company", r.Object.ID)
		}
		s.sayFields(s.at, self, said, true)
	}
}

// sayFields states properties of an account as its fields. A value that could name a person,
// or is none of its kind, is not said.
func (s *statements) sayFields(at time.Time, self canonical.Identifier, properties map[string]string, found bool) {
	fields := make(map[string]string)
	for p, v := range properties {
		name, ok := companyProperties[p]
		if v = strings.TrimSpace(v); !ok || addressLike.MatchString(v) || len(v) > longestField {
			continue
		}
		given := v
		switch name {
		case canonical.AccountDomain:
			v = s.lists.CompanyDomain(v)
		case canonical.AccountTarget:
			if v = strings.ToLower(v); v != "true" && v != "false" {
				v = ""
			}
		case canonical.AccountParent:
			v = s.object("company", v).Value
		}
		if v == "" && given != "" {
			continue
		}
		fields[name] = v
	}
	if self.Scheme == canonical.Domain {
		delete(fields, canonical.AccountDomain) // it is that itself
	}
	if len(fields) > 0 {
		s.say(canonical.Fact{Kind: canonical.FactAccount, At: at, Nodes: []canonical.Identifier{self}, Weak: found, Fields: fields})
	}
}

// longestField bounds the value of a field, in bytes.
const longestField = 200

// A field is the newest that was said of one field of an account's node.
type field struct {
	At    int64  `json:"at"`
	Value string `json:"value"`
}

// compare orders statements of one field: what was said later holds, at one time the
// greater value.
func (x field) compare(y field) int {
	return cmp.Or(cmp.Compare(x.At, y.At), cmp.Compare(x.Value, y.Value))
}

// fields notes what is said of an account. It states nothing where each field was said at
// an equal or later time; what was only found nothing where all of it stands.
func (f *folder) fields(fact canonical.Fact) bool {
	if len(fact.Nodes) == 0 || graphOf(fact.Nodes[0].Scheme) != accounts || !foldable(fact.Nodes[0]) {
		return false
	}
	at := nanos(fact.At)
	k := key(keyField, uint64(fact.Nodes[0].Node()))
	held := make(map[string]field)
	if b, ok := f.get(k); ok {
		held = decodeFields(b)
	}
	if f.statements && fact.Weak && f.standsSaid(fact, at, held) {
		return false
	}
	n, stated := f.seeChanged(fact.Nodes[0], at)
	if n == nil {
		return false
	}
	changed := false
	for _, name := range canonical.AccountFields {
		v, said := fact.Fields[name]
		old, had := held[name]
		if fresh := (field{at, v}); said && (!had || fresh.compare(old) > 0) {
			held[name], changed = fresh, true
		}
	}
	if changed {
		b, err := json.Marshal(held)
		must(err)
		f.put(k, b)
		n.accounts = true
		f.change(n)
	}
	return stated || changed
}

// standsSaid is true where the node is known from an earlier time and has all these fields.
func (f *folder) standsSaid(fact canonical.Fact, at int64, held map[string]field) bool {
	n := f.look(fact.Nodes[0].Node())
	if n == nil || at < n.seen {
		return false
	}
	for name, v := range fact.Fields {
		if old, had := held[name]; !had || old.Value != v {
			return false
		}
	}
	return true
}

func decodeFields(b []byte) map[string]field {
	out := make(map[string]field)
	if err := json.Unmarshal(b, &out); err != nil {
		must(errRecord)
	}
	return out
}

// addFields takes what is said of a node to what is said of its account.
func addFields(store Store, n canonical.NodeID, to map[string]field) {
	b, ok, err := store.Get(key(keyField, uint64(n)))
	must(err)
	if !ok {
		return
	}
	for name, said := range decodeFields(b) {
		if old, had := to[name]; !had || said.compare(old) > 0 {
			to[name] = said
		}
	}
}

// AccountFields gives what was said last of each field of an account, by the AccountField
// words; a field without a value is left out.
func (v *View) AccountFields(n canonical.NodeID) map[string]string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.fieldsOf(n)
}

func (v *View) fieldsOf(n canonical.NodeID) map[string]string {
	if p := v.person(n); p != nil {
		return maps.Clone(p.fields)
	}
	return nil
}
