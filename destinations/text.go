package destinations

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"tributary/canonical"
)

// JSON writes v compactly, keys of maps sorted, without escaping <, > and &.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// List writes {"<key>":[bodies…]<rest>}: the body of most batches.
func List(key string, bodies [][]byte, rest string) []byte {
	size := len(key) + len(rest) + 8
	for _, b := range bodies {
		size += len(b) + 1
	}
	out := make([]byte, 0, size)
	out = append(out, `{"`+key+`":[`...)
	for i, b := range bodies {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, b...)
	}
	return append(out, "]"+rest+"}"...)
}

// Text gives a text as a vendor can take it: valid UTF-8 on one line, white space between
// words only, no control characters.
func Text(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.Join(strings.Fields(s), " ")
}

// Clip gives at most n characters of s.
func Clip(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	i := 0
	for at := range s {
		if i == n {
			return s[:at]
		}
		i++
	}
	return s
}

var (
	mailLike  = regexp.MustCompile(`[^\s"'<>,;:()\[\]{}=]+(@|%40)[^\s"'<>,;:()\[\]{}=]+`)
	hashLike  = regexp.MustCompile(`\b[A-Fa-f0-9]{64}\b`)
	phoneLike = regexp.MustCompile(`\+\d[\d ().-]{6,}\d`)
)

// VendorWords makes a vendor's message fit to be kept and logged: one line, at most 300
// characters, addresses, hashes and telephone numbers masked.
func VendorWords(s string) string { return Clip(Masked(s), 300) }

// Masked gives a text of up to 4,000 characters on one line without addresses, hashes and
// telephone numbers.
func Masked(s string) string {
	s = Text(Clip(s, 4000))
	s = mailLike.ReplaceAllString(s, "[email]")
	s = hashLike.ReplaceAllString(s, "[hash]")
	s = phoneLike.ReplaceAllString(s, "[phone]")
	return strings.ReplaceAll(s, "@", "(at)")
}

// Unnamed masks, in what a vendor said, what it may have repeated of the people it was sent.
func Unnamed(words string, batch []Item) string {
	words = Masked(words)
	for i := range batch {
		c := &batch[i].Event.Contact
		for _, v := range [...]string{c.Phone, c.FirstName, c.LastName, c.City, c.Zip, c.Title} {
			if v = Text(v); len(v) > 2 {
				words = strings.ReplaceAll(words, v, "[person]")
			}
		}
	}
	return words
}

// HoldsAddress is true for a text with an e-mail address in it, escaped as in a URL or not.
func HoldsAddress(s string) bool {
	for range 3 {
		if strings.Contains(s, "@") && slices.ContainsFunc(strings.FieldsFunc(s, notOfAddress), func(word string) bool { return canonical.NormalEmail(word) != "" }) {
			return true
		}
		plain, err := url.QueryUnescape(s)
		if err != nil || plain == s {
			return false
		}
		s = plain
	}
	return false
}

func notOfAddress(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune(",;:<>()[]\"'/?&=|", r)
}

// CleanURL gives an http address without its fragment and without query parameters and parts of
// the path that hold an e-mail address: vendors forbid personal data in addresses. "" when it is none.
func CleanURL(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	kept := []string{}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		_, v, _ := strings.Cut(pair, "=")
		if _, err := url.QueryUnescape(v); pair == "" || err != nil || HoldsAddress(pair) {
			continue
		}
		kept = append(kept, pair)
	}
	u.RawQuery, u.ForceQuery = strings.Join(kept, "&"), false
	if HoldsAddress(u.EscapedPath()) {
		parts := strings.Split(u.Path, "/")
		for i, part := range parts {
			if HoldsAddress(part) {
				parts[i] = "-"
			}
		}
		u.Path, u.RawPath = strings.Join(parts, "/"), ""
	}
	return u.String()
}
