package meta

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"tributary/canonical"
	"tributary/destinations"
)

// How city names are normalised: as Meta's current library does it (letters A-Z and
// digits only, so that accents vanish), or as its pages are written (accents stay).
const (
	cityLibrary = "library"
	cityWritten = "written"
)

// hashed gives a value that arrived hashed in the form to send: SHA-256, or the MD5 that
// Meta's library also takes for hashed, in lower case, an appendix as it is. False when it
// is no hash.
func hashed(s string) (string, bool) {
	s = strings.TrimSpace(s)
	hash, appendix, found := strings.Cut(s, ".")
	if len(hash) != 64 && len(hash) != 32 || !onlyHex(hash) || found && (len(appendix) != 2 && len(appendix) != 8 || !base64URL(appendix)) {
		return "", false
	}
	hash = strings.ToLower(hash)
	if found {
		return hash + "." + appendix, true
	}
	return hash, true
}

// brokenHash is true for what was meant for a hash and is none: cut, or with something
// behind it. To hash it once more would only hide the mistake.
func brokenHash(s string) bool {
	s = strings.TrimSpace(s)
	hash, _, _ := strings.Cut(s, ".")
	return len(hash) >= 40 && onlyHex(hash)
}

func onlyHex(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; !(s[i] >= '0' && s[i] <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return s != ""
}

func base64URL(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

func onlyDigits(s string, least, most int) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) >= least && len(s) <= most
}

// isAppendix is true for what Meta's libraries append to cookies and addresses (meta.md §2.4).
func isAppendix(s string) bool {
	switch s {
	case "AQ", "Ag", "Aw", "BA", "BQ", "Bg":
		return true
	}
	return len(s) == 8 && base64URL(s)
}

// leadID is true for the id of a lead ads form: 15 to 17 digits.
func leadID(s string) bool { return onlyDigits(s, 15, 17) && s[0] != '0' }

// normalEmail takes what Meta's library takes: an ASCII address.
func normalEmail(s string) string {
	s = canonical.NormalEmail(s)
	for _, r := range s {
		if r > unicode.MaxASCII {
			return ""
		}
	}
	return s
}

// normalPhone gives digits with country code; region is assumed where there is none.
func normalPhone(region string) func(string) string {
	return func(s string) string { return canonical.NormalPhone(s, region) }
}

func normalCity(profile string) func(string) string {
	if profile == cityWritten {
		return normalPlace
	}
	return func(s string) string {
		s = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, strings.ToLower(norm.NFC.String(s)))
		if s == "" || s[0] < 'a' {
			return ""
		}
		return s
	}
}

// normalPlace keeps letters, marks and digits of any script.
func normalPlace(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) {
			return r
		}
		return -1
	}, strings.ToLower(norm.NFC.String(s)))
}

// normalState gives the two letters of a state of the USA or a province of Canada, and
// the full name elsewhere. country is an alpha-2 code in upper case, or "".
func normalState(country string) func(string) string {
	return func(s string) string {
		s = normalPlace(s)
		if country == "" || country == "US" || country == "CA" {
			if code, ok := states[s]; ok {
				return code
			}
		}
		return s
	}
}

// normalZip removes spaces and dashes; in the USA the first five digits count.
func normalZip(country string) func(string) string {
	return func(s string) string {
		s = strings.ToLower(strings.Join(strings.Fields(s), ""))
		if country == "US" || country == "" && len(s) == 10 && s[5] == '-' && onlyDigits(s[:5], 5, 5) && onlyDigits(s[6:], 4, 4) {
			s, _, _ = strings.Cut(s, "-")
			s = destinations.Clip(s, 5)
		}
		s = strings.ReplaceAll(s, "-", "")
		if len(s) < 2 {
			return ""
		}
		return s
	}
}

func normalCountry(s string) string { return strings.ToLower(destinations.Country(s)) }

// normalExternalID is the library's form: lower case, no white space.
func normalExternalID(s string) string {
	return strings.ToLower(strings.Join(strings.Fields(s), ""))
}

// cookie gives an fbc or fbp cookie exactly as it came, or "" when it is none: four parts
// between dots, or five of which the last is an appendix.
func cookie(s string) string {
	if len(s) > 1024 || !strings.HasPrefix(s, "fb.") {
		return ""
	}
	var parts [5]string
	n := 0
	for part := range strings.SplitSeq(s, ".") {
		if n == len(parts) {
			return ""
		}
		parts[n] = part
		n++
	}
	switch {
	case n < 4 || n == 5 && !isAppendix(parts[4]),
		!onlyDigits(parts[1], 1, 20), !onlyDigits(parts[2], 1, 20), parts[3] == "",
		strings.ContainsFunc(s, unicode.IsSpace):
		return ""
	}
	return s
}
