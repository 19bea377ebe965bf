package canonical

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"
	"github.com/shopspring/decimal"
)

// The short way for North American numbers gives what the library gives.
func FuzzNorthAmericanPhones(f *testing.F) {
	for _, s := range []string{"+1 (415) 555-0134", "+14155550134", "+1 415.555.0134", "+1 015 555 0134", "+1-800-555-0199", "+1 (4155550134", "+1 999 999 9999", "+1 ) 2 2 2 222 2222-", "+1 - 4155550134"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.TrimSpace(s)
		got := northAmerican(s)
		if got == "" {
			return
		}
		n, err := phonenumbers.Parse(s, "")
		if err != nil || !phonenumbers.IsPossibleNumber(n) {
			t.Fatalf("%q is %s here and no number to the library (%v)", s, got, err)
		}
		if want := strings.TrimPrefix(phonenumbers.Format(n, phonenumbers.E164), "+"); got != want {
			t.Errorf("%q is %s here and %s to the library", s, got, want)
		}
	})
}

func FuzzIsAddress(f *testing.F) {
	shape := regexp.MustCompile(`^[^@]+@[^@.]+(\.[^@.]+)+$`)
	for _, s := range []string{"a@b.c", "a@b", "@b.c", "a@.b.c", "a@b.c.", "a@b..c", "a@b@c.d", "", "a@b.c.d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := isAddress(s), shape.MatchString(s); got != want {
			t.Errorf("isAddress(%q) = %v", s, got)
		}
	})
}

func FuzzMoneyText(f *testing.F) {
	for _, n := range []int64{0, 1, -1, 10, 1e6, 1490500000, -3e6, 123456789, -9223372036854775808, 9223372036854775807} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n int64) {
		got, want := Money(n).String(), decimal.New(n, -6).String()
		if got != want {
			t.Errorf("%d micro-units are written %s, want %s", n, got, want)
		}
	})
}

func FuzzPlainMoney(f *testing.F) {
	for _, s := range []string{"0", "-0", "36000", "1490.50", "-3", "0.000001", "999999999999.999999", "1.", ".5", "007", "1.2345678", "+1", "1e3", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := plainMoney(s)
		if !ok {
			return
		}
		d, err := decimal.NewFromString(s)
		if err != nil || !d.Equal(decimal.New(int64(got), -6)) {
			t.Errorf("%q is read as %d micro-units, and as %v (%v) by the library", s, got, d, err)
		}
	})
}

func TestBirthDates(t *testing.T) {
	now := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"1988-11-05": "19881105", "19881105": "19881105", "25/12/1988": "19881225", "12-25-1988": "19881225", "2.2.2002": "20020202",
		"1988-11-05T00:00:00Z": "19881105", "05/11/1988": "", "88-11-05": "", "1988-13-32": "", "2026-09-02": "", "": "", "99999999": "", "1988-11": "",
		strings.Repeat("9", 400) + "-1-1": "",
	} {
		if got := NormalBirthDate(in, now); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}
