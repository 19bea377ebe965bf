package config

import (
	"fmt"
	"slices"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// Identity are the guards: what keeps people apart whom something wrongly ties.
type Identity struct {
	// NeverLink are identifiers that tie nobody to anybody, as a person writes them; once
	// read, addresses and numbers are hashes.
	NeverLink         []string `yaml:"never_link"`
	NeverLinkPatterns []string `yaml:"never_link_patterns"` // of e-mail addresses, * for any text
	SharedMailboxes   []string `yaml:"shared_mailboxes"`    // local parts, beside the built-in ones
	FreeMail          []string `yaml:"free_mail"`           // domains, beside the built-in ones
	Crowd             int      `yaml:"crowd"`               // anchors of one kind that an identifier may be linked to
	CrowdRecord       int      `yaml:"crowd_record"`        // e-mails that a contact may be linked to
	Limit             int      `yaml:"limit"`               // anchors of one kind that a person may hold

	lists *canonical.Lists
}

// Lists are the rules that are judged where an address is still in the clear; nil where the
// file adds none to the built-in ones.
func (i Identity) Lists() *canonical.Lists { return i.lists }

// Guards are the rules for the identity log.
func (i Identity) Guards() canonical.Guards {
	g := canonical.Guards{Crowd: i.Crowd, CrowdRecord: i.CrowdRecord, Limit: i.Limit, Lists: i.lists.Hash()}
	for _, text := range i.NeverLink {
		scheme, value, _ := strings.Cut(text, ":")
		g.NeverLink = append(g.NeverLink, canonical.Identifier{Scheme: canonical.Scheme(scheme), Value: value})
	}
	return g
}

// mostListed bounds each list, so that the fact that states them is one that any log takes.
const mostListed = 5000

// validateIdentity checks the guards. What is written is not repeated: it may name somebody.
func (c *Config) validateIdentity(s *destinations.Section) {
	i := &c.Identity
	for n, text := range i.NeverLink {
		i.NeverLink[n] = neverLinked(s, fmt.Sprintf("identity.never_link.%d", n), text, i.NeverLink[:n])
	}
	for n, p := range i.NeverLinkPatterns {
		checkPattern(s, fmt.Sprintf("identity.never_link_patterns.%d", n), p)
	}
	for n, m := range i.SharedMailboxes {
		checkMailbox(s, fmt.Sprintf("identity.shared_mailboxes.%d", n), m)
	}
	for n, d := range i.FreeMail {
		checkProvider(s, fmt.Sprintf("identity.free_mail.%d", n), d)
	}
	destinations.Within(s, "identity.crowd", i.Crowd, 1, 100_000)
	destinations.Within(s, "identity.crowd_record", i.CrowdRecord, 1, 100_000)
	destinations.Within(s, "identity.limit", i.Limit, 1, 100_000)
	for _, l := range []struct {
		path string
		list []string
	}{
		{"identity.never_link", i.NeverLink}, {"identity.never_link_patterns", i.NeverLinkPatterns},
		{"identity.shared_mailboxes", i.SharedMailboxes}, {"identity.free_mail", i.FreeMail},
	} {
		if len(l.list) > mostListed {
			s.Problem(l.path, "%s has %d entries; at most %d are taken", l.path, len(l.list), mostListed)
		}
	}
	i.lists = canonical.NewLists(i.NeverLinkPatterns, i.SharedMailboxes, i.FreeMail)
}

// neverLinked gives an entry of never_link as scheme and value, hashed where it is an address
// or a number; "" where it is a mistake.
func neverLinked(s *destinations.Section, path, text string, before []string) string {
	id, err := canonical.ReadIdentifier(text)
	word, _, _ := strings.Cut(text, ":")
	word = strings.ToLower(strings.TrimSpace(word))
	known := slices.Contains(canonical.SchemeWords(), word)
	if like := destinations.Suggest(word, canonical.SchemeWords()); strings.Contains(text, ":") && !known && like != "" {
		s.Problem(path, "%s: there is no kind of identifier %q (did you mean %q?)", path, word, like)
		return ""
	}
	written := string(id.Scheme) + ":" + id.Value
	_, address, _ := strings.Cut(text, ":")
	switch {
	case id.Scheme == canonical.Email && strings.Contains(address, "*"), err != nil && strings.Contains(text, "*"):
		s.Problem(path, "%s is a pattern: write it in identity.never_link_patterns, without email: before it", path)
	case strings.Trim(text, "0123456789+ -") == "":
		s.Problem(path, "%s is a number of what? write contact:, company: or phone: before it", path)
	case err != nil:
		s.Problem(path, "%s: %v", path, err)
	case id.Scheme == canonical.HubSpotDeal:
		s.Problem(path, "%s is a deal, which ties nobody to anybody; name a contact, an address, a company", path)
	case slices.Contains(before, written):
		s.Problem(path, "%s says what an entry before it says", path)
	default:
		return written
	}
	return ""
}

func checkPattern(s *destinations.Section, path, p string) {
	local, domain, at := strings.Cut(p, "@")
	switch {
	case strings.TrimSpace(p) == "":
		s.Problem(path, "%s is empty; write a pattern of addresses such as *@test.com or noreply*@*", path)
	case strings.ContainsAny(p, " \t\n"):
		s.Problem(path, "%s has a space in it; no address has one", path)
	case strings.HasPrefix(strings.ToLower(p), "email:"):
		s.Problem(path, "%s begins with email:, and is never like an address; leave that away", path)
	case !strings.Contains(p, "*"):
		s.Problem(path, "%s has no * in it; write one address in identity.never_link as email:…, and all of a domain as *@its name", path)
	case !at || strings.Contains(domain, "@"):
		s.Problem(path, "%s must be like a whole address, with one @: *@test.com, noreply*@*", path)
	case local == "" || domain == "":
		s.Problem(path, "%s has nothing on one side of the @, and is never like an address; write * there", path)
	case strings.Trim(local+domain, "*.") == "":
		s.Problem(path, "%s is like every address: nobody would be linked by one", path)
	}
}

func checkMailbox(s *destinations.Section, path, m string) {
	switch {
	case strings.TrimSpace(m) == "":
		s.Problem(path, "%s is empty; write what stands before the @ of a mailbox, such as frontdesk", path)
	case strings.Contains(m, "*"):
		s.Problem(path, "%s is a pattern, and mailboxes are compared whole; name them one by one, or use identity.never_link_patterns", path)
	case strings.Contains(m, "@"):
		s.Problem(path, "%s is an address; write what stands before the @ only, or the whole one in identity.never_link as email:…", path)
	case strings.ContainsAny(m, " \t\n"):
		s.Problem(path, "%s has a space in it; no address has one", path)
	case strings.Contains(m, "+"):
		s.Problem(path, "%s has a plus-tag, which is cut off before it is compared; write what stands before the +", path)
	}
}

func checkProvider(s *destinations.Section, path, d string) {
	normal := canonical.NormalDomain(d)
	switch {
	case strings.Contains(d, "*"):
		s.Problem(path, "%s is a pattern; write a domain, which stands for those below it too", path)
	case strings.Contains(d, "@"):
		s.Problem(path, "%s is an address; write the domain only, what stands behind the @", path)
	case normal == "" || normal != strings.TrimSuffix(strings.ToLower(strings.TrimSpace(d)), "."):
		s.Problem(path, "%s is %q; it must be a domain such as mail.example.com", path, d)
	case canonical.RegistrableDomain(normal) == "":
		s.Problem(path, "%s is %q, which is a public suffix or no domain, and never an account anyway", path, d)
	case canonical.FreeMail(normal):
		s.Problem(path, "%s is %q, which is among the built-in ones already; leave it away", path, d)
	}
}
