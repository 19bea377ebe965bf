package canonical

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Lists are the guards that are judged where an address is still in the clear, beside the
// built-in ones: nil adds nothing to those. Make one with NewLists.
type Lists struct {
	patterns  []string // of addresses in normal form; * stands for any text, also none
	mailboxes map[string]struct{}
	freeMail  map[string]struct{}
	hash      string
}

// NewLists gives the lists of addresses that tie nobody to anybody (patterns, with * for any
// text), of local parts that several people read, and of domains where anybody can have a
// mailbox; nil where all are empty.
func NewLists(patterns, mailboxes, freeMail []string) *Lists {
	if len(patterns)+len(mailboxes)+len(freeMail) == 0 {
		return nil
	}
	words := func(list []string, form func(string) string) map[string]struct{} {
		m := make(map[string]struct{})
		for _, w := range list {
			m[form(w)] = struct{}{}
		}
		return m
	}
	l := &Lists{mailboxes: words(mailboxes, lowered), freeMail: words(freeMail, lowered)}
	l.patterns = slices.Sorted(maps.Keys(words(patterns, lowered)))
	b, err := json.Marshal([][]string{l.patterns, slices.Sorted(maps.Keys(l.mailboxes)), slices.Sorted(maps.Keys(l.freeMail))})
	if err != nil {
		panic(err) // strings
	}
	l.hash = SHA256(string(b))
	return l
}

func lowered(s string) string {
	return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s)), ".")
}

// Hash is equal for equal lists, in any order; "" where nothing is added to the built-in ones.
func (l *Lists) Hash() string {
	if l == nil {
		return ""
	}
	return l.hash
}

// NeverLinks is true for an address that ties nobody to anybody.
func (l *Lists) NeverLinks(address string) bool {
	if l == nil || len(l.patterns) == 0 {
		return false
	}
	a := NormalEmail(address)
	return a != "" && slices.ContainsFunc(l.patterns, func(p string) bool { return matches(p, a) })
}

// matches says whether a text is like a pattern, in which * stands for any text.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	for _, p := range parts[1 : len(parts)-1] {
		_, rest, ok := strings.Cut(text, p)
		if !ok {
			return false
		}
		text = rest
	}
	return strings.HasSuffix(text, last)
}

// SharedMailbox is as the function of this name, and knows the added local parts.
func (l *Lists) SharedMailbox(address string) bool {
	if SharedMailbox(address) {
		return true
	}
	if l == nil || len(l.mailboxes) == 0 {
		return false
	}
	local, _, ok := strings.Cut(NormalEmail(address), "@")
	if !ok {
		return false
	}
	local, _, _ = strings.Cut(local, "+")
	_, shared := l.mailboxes[local]
	return shared
}

// CompanyDomain is as the function of this name, and knows the added providers, whose domains
// stand for those below them too.
func (l *Lists) CompanyDomain(s string) string {
	d := CompanyDomain(s)
	if l == nil || d == "" {
		return d
	}
	for at := NormalDomain(s); at != ""; _, at, _ = strings.Cut(at, ".") {
		if _, free := l.freeMail[at]; free {
			return ""
		}
	}
	return d
}

// AccountNode is the node of an event's account: the company's id, else its domain, else that
// of the person's address; 0 where there is none. A free-mail domain is no account.
func (l *Lists) AccountNode(e *Event) NodeID {
	company := Object{Account: e.Object.Account, Type: "company", ID: e.Company.ID}
	if e.Object.Type == "company" {
		company.ID = e.Object.ID
	}
	if id, ok := ObjectIdentifier(company); ok {
		return id.Node()
	}
	domain := l.CompanyDomain(e.Company.Domain)
	if NormalDomain(e.Company.Domain) == "" && e.Contact.Email != "" {
		domain = l.CompanyDomain(EmailDomain(e.Contact.Email))
	}
	if domain == "" {
		return 0
	}
	return Identifier{Scheme: Domain, Value: domain}.Node()
}
