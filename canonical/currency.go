package canonical

import (
	"strings"

	"golang.org/x/text/currency"
)

// Currency gives a code of ISO 4217 in upper case; false where there is no such code, or
// where it stands for no currency or for tests.
func Currency(s string) (string, bool) {
	u, err := currency.ParseISO(strings.ToUpper(strings.TrimSpace(s)))
	if none := (currency.Unit{}); err != nil || u == none || u == currency.XTS {
		return "", false
	}
	return u.String(), true
}
