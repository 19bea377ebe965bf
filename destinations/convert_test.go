package destinations_test

import (
	"testing"

	"tributary/canonical"
	"tributary/destinations"
)

func TestValuesAreConvertedAtTheRateOfTheLine(t *testing.T) {
	for _, tt := range []struct {
		amount, from, to, rate, want, gap string
	}{
		{"100", "USD", "EUR", "0.92", "92 EUR", ""},
		{"33.33", "USD", "EUR", "0.9234", "30.78 EUR", ""}, // 30.776922
		{"1", "USD", "EUR", "0.005", "0.01 EUR", ""},       // halves up
		{"10", "USD", "JPY", "147.36", "1474 JPY", ""},     // no coins below the yen
		{"10", "USD", "KWD", "0.30745", "3.075 KWD", ""},   // thousandths: 3.0745
		{"100", "EUR", "EUR", "", "100 EUR", ""},
		{"100", "eur", "EUR", "", "100 EUR", ""},
		{"100", "CHF", "EUR", "", "", "arr is in CHF, and the mapping has no rate to EUR that held then"},
		{"9000000000000", "USD", "EUR", "999999999", "", "arr is in USD, and the mapping has no rate to EUR that held then"},
	} {
		m, err := canonical.ParseMoney(tt.amount)
		if err != nil {
			t.Fatal(err)
		}
		v, gap := destinations.ValueOf(&canonical.Revenue{ARR: &m, Currency: tt.from}, canonical.Route{Value: "arr", Currency: tt.to, Rate: tt.rate})
		got := ""
		if v != nil {
			got = v.Amount.String() + " " + v.Currency
		}
		if got != tt.want || gap != tt.gap {
			t.Errorf("%s %s at %s: %q (%q), want %q (%q)", tt.amount, tt.from, tt.rate, got, gap, tt.want, tt.gap)
		}
	}
}
