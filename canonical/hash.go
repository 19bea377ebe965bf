package canonical

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/unicode/norm"
)

// SHA256 gives 64 lower-case hex digits of the text's UTF-8 bytes.
func SHA256(s string) string {
	h := sha256.Sum256([]byte(s))
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], h[:])
	return string(text[:])
}

// isAddress is true for something, one @, and a domain of at least two parts none of which
// is empty.
func isAddress(s string) bool {
	local, domain, _ := strings.Cut(s, "@")
	return local != "" && domain != "" && domain[0] != '.' && domain[len(domain)-1] != '.' &&
		strings.Contains(domain, ".") && !strings.Contains(domain, "..") && !strings.Contains(domain, "@")
}

// NormalEmail gives an address as both Meta and LinkedIn hash it: NFC, all white space
// removed, lower case. "" when it is no address: nothing empty is ever hashed. Dots and
// plus-tags stay (linkedin.md §5.1, meta.md §2.1).
func NormalEmail(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, norm.NFC.String(s))
	s = strings.ToLower(s)
	if !isAddress(s) {
		return ""
	}
	return s
}

// EmailHash is the SHA-256 of the normal form, or "".
func EmailHash(s string) string {
	if s = NormalEmail(s); s == "" {
		return ""
	}
	return SHA256(s)
}

// EmailDomain gives the domain of an address in normal form, or "".
func EmailDomain(s string) string {
	_, d, ok := strings.Cut(NormalEmail(s), "@")
	if !ok {
		return ""
	}
	return d
}

// NormalPhone gives digits with country code, without plus and trunk zeros (E.164
// without the plus), or "" when s is no telephone number. region is the ISO country
// assumed where the number has no country code; "" assumes none.
func NormalPhone(s, region string) string {
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "00"); ok {
		s = "+" + rest
	}
	if digits := northAmerican(s); digits != "" {
		return digits
	}
	n, err := phonenumbers.Parse(s, strings.ToUpper(region))
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return ""
	}
	digits := strings.TrimPrefix(phonenumbers.Format(n, phonenumbers.E164), "+")
	if len(digits) < 7 || len(digits) > 15 {
		return ""
	}
	return digits
}

// northAmerican gives the digits of a number that is written +1 and ten more, which the library
// reads the same way, only slower; "" for every other.
func northAmerican(s string) string {
	if !strings.HasPrefix(s, "+1") {
		return ""
	}
	var digits [11]byte
	n := 0
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9' && n < len(digits):
			digits[n] = c
			n++
		case c == ' ' || c == '-' || c == '.' || c == '(' || c == ')':
		default:
			return ""
		}
	}
	if n < len(digits) || digits[1] < '2' {
		return ""
	}
	return string(digits[:])
}

// PhoneHash is the SHA-256 of the normal form, or "".
func PhoneHash(s, region string) string {
	if s = NormalPhone(s, region); s == "" {
		return ""
	}
	return SHA256(s)
}

// NormalName gives a first or last name as Meta hashes it: lower case, no white space, no
// ASCII punctuation, no typographic apostrophe; accents and other scripts stay.
func NormalName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r), r == '\u2019':
			return -1
		case r < unicode.MaxASCII && (unicode.IsPunct(r) || unicode.IsSymbol(r)):
			return -1
		}
		return r
	}, strings.ToLower(norm.NFC.String(s)))
}

// IsHash is true for 64 hex digits: a value that is hashed already.
func IsHash(s string) bool {
	s = strings.TrimSpace(s)
	for i := range len(s) {
		if c := s[i] | 0x20; !(s[i] >= '0' && s[i] <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return len(s) == 64
}
