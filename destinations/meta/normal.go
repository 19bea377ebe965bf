package meta

import (
	"regexp"
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

var (
	hashedShape = regexp.MustCompile(`^([A-Fa-f0-9]{64}|[A-Fa-f0-9]{32})(\.[A-Za-z0-9_-]{2}|\.[A-Za-z0-9_-]{8})?$`)
	zipPlusFour = regexp.MustCompile(`^[0-9]{5}-[0-9]{4}$`)
	cookieEnd   = regexp.MustCompile(`^(AQ|Ag|Aw|BA|BQ|Bg|[A-Za-z0-9_-]{8})$`)
	leadIDShape = regexp.MustCompile(`^[1-9][0-9]{14,16}$`)
)

// hashed gives a value that arrived hashed in the form to send: lower case, its appendix
// as it is. False when it is no hash.
func hashed(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if !hashedShape.MatchString(s) {
		return "", false
	}
	hash, appendix, found := strings.Cut(s, ".")
	if found {
		return strings.ToLower(hash) + "." + appendix, true
	}
	return strings.ToLower(hash), true
}

// hashOf normalises and hashes a value, unless it is hashed already. "" when nothing is
// left: nothing empty is ever hashed.
func hashOf(s string, normal func(string) string) string {
	if h, ok := hashed(s); ok {
		return h
	}
	if s = normal(s); s == "" {
		return ""
	}
	return canonical.SHA256(s)
}

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

// normalName is for first and last names: lower case, no white space, no ASCII
// punctuation, no typographic apostrophe; accents and other scripts stay.
func normalName(s string) string {
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
		if country == "US" || country == "" && zipPlusFour.MatchString(s) {
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

// cookie gives an fbc or fbp cookie exactly as it came, or "" when it is none.
func cookie(s string) string {
	parts := strings.Split(s, ".")
	switch {
	case len(parts) != 4 && len(parts) != 5:
		return ""
	case len(parts) == 5 && !cookieEnd.MatchString(parts[4]):
		return ""
	case parts[0] != "fb" || !digits.MatchString(parts[1]) || !digits.MatchString(parts[2]) || parts[3] == "":
		return ""
	case strings.ContainsFunc(s, unicode.IsSpace):
		return ""
	}
	return s
}

// states maps the names of the states of the USA and the provinces of Canada.
var states = map[string]string{
	"alabama": "al", "alaska": "ak", "arizona": "az", "arkansas": "ar", "california": "ca", "colorado": "co",
	"connecticut": "ct", "delaware": "de", "districtofcolumbia": "dc", "washingtondc": "dc", "florida": "fl", "georgia": "ga",
	"hawaii": "hi", "idaho": "id", "illinois": "il", "indiana": "in", "iowa": "ia", "kansas": "ks", "kentucky": "ky",
	"louisiana": "la", "maine": "me", "maryland": "md", "massachusetts": "ma", "michigan": "mi", "minnesota": "mn",
	"mississippi": "ms", "missouri": "mo", "montana": "mt", "nebraska": "ne", "nevada": "nv", "newhampshire": "nh",
	"newjersey": "nj", "newmexico": "nm", "newyork": "ny", "northcarolina": "nc", "northdakota": "nd", "ohio": "oh",
	"oklahoma": "ok", "oregon": "or", "pennsylvania": "pa", "rhodeisland": "ri", "southcarolina": "sc",
	"southdakota": "sd", "tennessee": "tn", "texas": "tx", "utah": "ut", "vermont": "vt", "virginia": "va",
	"washington": "wa", "westvirginia": "wv", "wisconsin": "wi", "wyoming": "wy",
	"puertorico": "pr", "guam": "gu", "americansamoa": "as", "usvirginislands": "vi", "northernmarianaislands": "mp",

	"alberta": "ab", "britishcolumbia": "bc", "manitoba": "mb", "newbrunswick": "nb", "newfoundland": "nl",
	"newfoundlandandlabrador": "nl", "northwestterritories": "nt", "novascotia": "ns", "nunavut": "nu", "ontario": "on",
	"princeedwardisland": "pe", "quebec": "qc", "québec": "qc", "saskatchewan": "sk", "yukon": "yt", "yukonterritory": "yt",
}
