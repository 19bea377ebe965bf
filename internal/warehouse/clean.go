package warehouse

import (
	"regexp"
	"strings"

	"tributary/canonical"
)

// address finds what looks like an e-mail address in a text, also percent-encoded.
var address = regexp.MustCompile(`(?i)[\p{L}\p{N}._+'-]+(?:@|%40)[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)+`)

// clean is the last door before an unsealed column: e-mail addresses that a caller put
// into an id, a campaign name or a page become the start of their hash. The same text
// always becomes the same text, so ids still join.
func clean(s string) string {
	if !strings.Contains(s, "@") && !strings.Contains(s, "%40") {
		return s
	}
	return address.ReplaceAllStringFunc(s, func(found string) string {
		plain := strings.ReplaceAll(found, "%40", "@")
		return "email-" + canonical.SHA256(strings.ToLower(plain))[:16]
	})
}

// cleanURL also drops query and fragment: that is where forms put what people typed.
func cleanURL(s string) string {
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	if scheme, rest, ok := strings.Cut(s, "://"); ok { // user:password@host
		host, path, _ := strings.Cut(rest, "/")
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			s = scheme + "://" + host[at+1:]
			if path != "" {
				s += "/" + path
			}
		}
	}
	return clean(s)
}
