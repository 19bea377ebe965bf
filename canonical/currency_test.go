package canonical

import (
	"testing"

	"golang.org/x/text/currency"
)

func TestCurrency(t *testing.T) {
	none := currency.Unit{}.String() // the code for no currency
	for in, want := range map[string]string{
		"usd": "USD", " EUR": "EUR", "JPY": "JPY", "": "", "EURO": "", "QQQ": "", none: "", "XTS": "", "12": "",
	} {
		if got, ok := Currency(in); got != want || ok != (want != "") {
			t.Errorf("Currency(%q) = %q, %v", in, got, ok)
		}
	}
}
