package main

import (
	"strings"
	"testing"

	"tributary/canonical"
)

func TestIdentifiersAreReadAsPeopleWriteThem(t *testing.T) {
	hash := canonical.EmailHash("jo@example.com")
	number := canonical.PhoneHash("+49301234567", "")
	for text, want := range map[string]string{
		"contact:123":                                "contact:123",
		" Contact: 123 ":                             "contact:123",
		"hubspot_contact:hubspot:123":                "contact:123",
		"hubspot_contact:eu:123":                     "contact:eu:123",
		"contact:eu:123":                             "contact:eu:123",
		"company:77":                                 "company:77",
		"deal:eu:5":                                  "deal:eu:5",
		"email: Jo@Example.com":                      "email:" + hash,
		"email:" + strings.ToUpper(hash):             "email:" + hash,
		"phone:0049 30 1234567":                      "phone:" + number,
		"phone:" + number:                            "phone:" + number,
		"domain:https://www.Mail.Acme.example/about": "domain:acme.example",
		"cookie:a-77":                                "cookie:a-77",
		"anonymous:a-77":                             "cookie:a-77",
		"user:u-1":                                   "user_id:u-1",
		"fbclid:AbC:d":                               "fbclid:AbC:d",
		"loyalty_card:9":                             "loyalty_card:9",
		"node:94655cdcd3fe3373":                      "node:94655cdcd3fe3373",
		"person:94655CDCD3FE3373":                    "node:94655cdcd3fe3373",
	} {
		got, err := parseIdentifier(text)
		if err != nil || got.written() != want {
			t.Errorf("%q is %q, %v; want %q", text, got.written(), err, want)
			continue
		}
		again, err := parseIdentifier(got.written())
		if err != nil || again != got {
			t.Errorf("%q is read as %+v, not as %+v: %v", got.written(), again, got, err)
		}
	}
}

// A text that names nothing is explained, and what may be an address is not repeated.
func TestWhatIsNoIdentifierIsExplained(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "its kind, a colon and its value",
		"jo@example.com":         "write email: before it",
		"4711":                   "contact:4711, company:4711 or deal:4711",
		"contact:":               "its kind, a colon",
		"the buyer:1":            "its kind, a colon",
		"email:jo@example":       "neither an address",
		"phone:12":               "country code",
		"phone:030 1234567":      "country code",
		"domain:gmail.com":       "no domain of a company",
		"domain:localhost":       "no domain of a company",
		"contact:jo@example.com": "account:id",
		"emial:jo@example.com":   "write email: before it",
		"user_id:jo@example.com": "write email: before it",
		"node:12":                "16 hex digits",
		"node:0000000000000000":  "16 hex digits",
	} {
		got, err := parseIdentifier(text)
		if err == nil {
			t.Errorf("%q is taken for %q", text, got.written())
			continue
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "jo@example.") && !strings.Contains(err.Error(), "email:jo@example.com") {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
	for _, id := range []string{"contact:9", "email:jo@example.com", "node:94655cdcd3fe3373"} {
		if w, err := parseIdentifier(id); err != nil || strings.Contains(unknownIdentifier(w), w.Value) && w.Scheme == canonical.Email {
			t.Errorf("%s: %v, %q", id, err, unknownIdentifier(w))
		}
	}
	for text, want := range map[string]bool{
		"as jo@example.com, said": true, "jo@example.com/ann@example.com": true, "jo@example.com,ann@example.com": true, "jo%40example.com": true,
		"two people @ home": false, "see @ops, or 7@9": false,
	} {
		if mentionsAddress(text) != want {
			t.Errorf("%q: an address is taken for none, or the other way round", text)
		}
	}
}
