package canonical

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// schemeWords are the short words for schemes, as people write them.
var schemeWords = map[string]Scheme{
	"contact": HubSpotContact, "company": HubSpotCompany, "deal": HubSpotDeal,
	"cookie": Anonymous, "anonymous_id": Anonymous, "utk": UTK, "user": UserID, "lead": LeadID,
}

// Schemes are those that we have a name for; facts may hold others.
var Schemes = []Scheme{
	HubSpotContact, Email, UserID, LeadID, Phone, UTK, Anonymous, FBP,
	LIFatID, GCLID, FBCLID, GBRAID, WBRAID, MSCLKID, TTCLID,
	HubSpotCompany, Domain, HubSpotDeal,
}

// SchemeWords lists every word that an identifier's kind may be written with: the short ones
// and the schemes' own names.
func SchemeWords() []string {
	var out []string
	for w := range schemeWords {
		out = append(out, w)
	}
	for _, s := range Schemes {
		out = append(out, string(s))
	}
	return out
}

// HowWritten says how an identifier is written.
const HowWritten = "contact:123, company:77, deal:5, email:jo@example.com, phone:+49301234567, domain:example.com, cookie:a-77, or a scheme's own name such as user_id:u-1"

var schemeShape = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// ReadIdentifier reads an identifier as a person writes it: its kind, a colon and its value.
// An address or a number is hashed at once. The error never repeats what was written after
// the colon, nor a text without one: that may be an address.
func ReadIdentifier(text string) (Identifier, error) {
	word, value, ok := strings.Cut(strings.TrimSpace(text), ":")
	word, value = strings.ToLower(strings.TrimSpace(word)), strings.TrimSpace(value)
	switch {
	case !ok && strings.Contains(text, "@"):
		return Identifier{}, errors.New("that looks like an address: write email: before it")
	case !ok && strings.Trim(word, "0123456789") == "" && word != "":
		return Identifier{}, fmt.Errorf("%s of what? write contact:%s, company:%s or deal:%s", word, word, word, word)
	case !ok || value == "" || !schemeShape.MatchString(word):
		return Identifier{}, errors.New("an identifier is written as its kind, a colon and its value: " + HowWritten)
	}
	scheme := Scheme(word)
	if s, known := schemeWords[word]; known {
		scheme = s
	}
	v, says := writtenValue(scheme, value)
	if says != "" {
		return Identifier{}, errors.New(word + ": " + says)
	}
	return Identifier{Scheme: scheme, Value: v}, nil
}

// writtenValue gives a value in its one form, or says what is wrong with it.
func writtenValue(s Scheme, value string) (string, string) {
	switch s {
	case Email:
		if IsHash(value) {
			return strings.ToLower(value), ""
		}
		if h := EmailHash(value); h != "" {
			return h, ""
		}
		return "", "this is neither an address nor the SHA-256 of one"
	case Phone:
		if IsHash(value) {
			return strings.ToLower(value), ""
		}
		if h := PhoneHash(value, ""); h != "" {
			return h, ""
		}
		return "", "this is neither a number with its country code (+49…) nor the SHA-256 of one"
	case Domain:
		if d := CompanyDomain(value); d != "" {
			return d, ""
		}
		return "", "this is no domain of a company: a provider of mailboxes, or no domain"
	case HubSpotContact, HubSpotCompany, HubSpotDeal:
		account, id, of := strings.Cut(value, ":")
		if !of {
			account, id = "", value
		}
		if id == "" || strings.ContainsAny(value, " @") {
			return "", "a record is written as its id, or as account:id where it is not of the account hubspot"
		}
		kind := map[Scheme]string{HubSpotContact: "contact", HubSpotCompany: "company", HubSpotDeal: "deal"}[s]
		v, _ := ObjectIdentifier(Object{Account: account, Type: kind, ID: id})
		return v.Value, ""
	}
	if NormalEmail(value) != "" {
		return "", "this looks like an address: write email: before it"
	}
	return value, ""
}
