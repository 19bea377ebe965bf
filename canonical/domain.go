package canonical

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// RegistrableDomain gives the part of a domain that somebody can register, by the public
// suffix list with its private part: example.co.uk of mail.eu.example.co.uk, and
// acme.github.io of itself. "" of what is no domain: a bare suffix, an IP address.
func RegistrableDomain(s string) string { return registrable(NormalDomain(s)) }

// CompanyDomain gives the registrable domain by which an account is known; "" where it says
// nothing about a company: a provider of mailboxes (FreeMail), or no domain.
func CompanyDomain(s string) string {
	domain := NormalDomain(s)
	if d := registrable(domain); !FreeMail(d) && !FreeMail(domain) {
		return d
	}
	return ""
}

// registrable is RegistrableDomain of a normal domain.
func registrable(d string) string {
	labels := strings.Split(d, ".")
	for _, l := range labels {
		if l == "" {
			return ""
		}
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" { // an IP address, or none of either
		return ""
	}
	name := d
	if strings.ContainsFunc(d, func(r rune) bool { return r > unicode.MaxASCII }) { // the list is in ASCII, with as many labels
		var err error
		if name, err = idna.ToASCII(d); err != nil {
			return ""
		}
	}
	suffix, _ := publicsuffix.PublicSuffix(name)
	n := strings.Count(suffix, ".") + 2 // the suffix and one label more
	if len(labels) < n {
		return ""
	}
	return strings.Join(labels[len(labels)-n:], ".")
}
