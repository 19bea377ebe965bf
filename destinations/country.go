package destinations

import (
	"strings"
	"sync"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// Country gives the ISO 3166-1 alpha-2 code, upper case, of a country written as alpha-2,
// alpha-3 or its English name; "" when it is none.
func Country(s string) string {
	s = strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(s, ".", "")), " "))
	if s == "" {
		return ""
	}
	if code, ok := countryNames()[strings.TrimPrefix(s, "the ")]; ok {
		return code
	}
	if len(s) != 2 && len(s) != 3 {
		return ""
	}
	return countryCode(s)
}

func countryCode(s string) string {
	r, err := language.ParseRegion(s)
	if err != nil {
		return ""
	}
	r = r.Canonicalize() // uk is GB
	if code := r.String(); r.IsCountry() && len(code) == 2 && code != "ZZ" {
		return code
	}
	return ""
}

// countryNames holds English names, and other ways in which people write them.
var countryNames = sync.OnceValue(func() map[string]string {
	names := map[string]string{
		"united states of america": "US", "us of a": "US", "america": "US",
		"great britain": "GB", "britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "northern ireland": "GB",
		"uae": "AE", "holland": "NL", "korea": "KR", "republic of korea": "KR", "czech republic": "CZ", "deutschland": "DE",
		"españa": "ES", "italia": "IT", "österreich": "AT", "schweiz": "CH", "suisse": "CH", "brasil": "BR", "méxico": "MX",
		"polska": "PL", "danmark": "DK", "sverige": "SE", "norge": "NO", "suomi": "FI", "türkiye": "TR", "turkey": "TR",
		"russian federation": "RU", "viet nam": "VN", "ivory coast": "CI", "hong kong": "HK", "macau": "MO",
		"burma": "MM", "swaziland": "SZ", "cape verde": "CV", "macedonia": "MK", "palestine": "PS", "bosnia and herzegovina": "BA",
	}
	english := display.English.Regions()
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := countryCode(string([]rune{a, b}))
			if code == "" {
				continue
			}
			name := strings.ToLower(english.Name(language.MustParseRegion(code)))
			if _, ok := names[name]; !ok && name != "" {
				names[name] = code
			}
		}
	}
	return names
})
