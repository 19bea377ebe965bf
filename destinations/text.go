package destinations

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
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
func VendorWords(s string) string {
	s = Text(Clip(s, 4000))
	s = mailLike.ReplaceAllString(s, "[email]")
	s = hashLike.ReplaceAllString(s, "[hash]")
	s = phoneLike.ReplaceAllString(s, "[phone]")
	return Clip(strings.ReplaceAll(s, "@", "(at)"), 300)
}

// CleanURL gives an http address without its fragment and without query parameters that
// hold an e-mail address: vendors forbid personal data in addresses. "" when it is none.
func CleanURL(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	kept := []string{}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		_, v, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(v)
		if pair == "" || err != nil || canonical.NormalEmail(plain) != "" {
			continue
		}
		kept = append(kept, pair)
	}
	u.RawQuery, u.ForceQuery = strings.Join(kept, "&"), false
	return u.String()
}
