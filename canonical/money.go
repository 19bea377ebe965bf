package canonical

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

// Money is an amount in integer micro-units of its currency; in JSON a decimal number.
type Money int64

var micro = decimal.New(1, 6)

// ParseMoney reads a decimal such as 36000, "1490.50" or "-3". More than six decimals,
// a thousands separator, an exponent beyond the range or a symbol is an error.
func ParseMoney(s string) (Money, error) {
	if m, ok := plainMoney(s); ok {
		return m, nil
	}
	d, err := decimal.NewFromString(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a decimal amount", s)
	}
	if d.Exponent() > 18 || d.Exponent() < -30 {
		return 0, fmt.Errorf("%q is out of range", s)
	}
	m := d.Mul(micro)
	if !m.IsInteger() {
		return 0, fmt.Errorf("%q has more than six decimals", s)
	}
	if !m.BigInt().IsInt64() {
		return 0, fmt.Errorf("%q is out of range", s)
	}
	return Money(m.IntPart()), nil
}

// plainMoney reads what most amounts are: up to twelve digits, and up to six behind a point.
func plainMoney(s string) (Money, bool) {
	text, minus := strings.CutPrefix(s, "-")
	whole, part, point := strings.Cut(text, ".")
	if whole == "" || len(whole) > 12 || point && (part == "" || len(part) > 6) {
		return 0, false
	}
	var m Money
	for _, digits := range [2]string{whole, part} {
		for i := range len(digits) {
			if digits[i] < '0' || digits[i] > '9' {
				return 0, false
			}
			m = 10*m + Money(digits[i]-'0')
		}
	}
	for range 6 - len(part) {
		m *= 10
	}
	if minus {
		m = -m
	}
	return m, true
}

// String gives the shortest decimal: 36000, 1490.5.
func (m Money) String() string { return string(m.Append(nil)) }

// Append appends the shortest decimal.
func (m Money) Append(b []byte) []byte {
	u := uint64(m)
	if m < 0 {
		b, u = append(b, '-'), -u
	}
	b = strconv.AppendUint(b, u/1e6, 10)
	micros := u % 1e6
	if micros == 0 {
		return b
	}
	b = append(b, '.')
	for place := uint64(1e5); micros > 0; place /= 10 {
		b = append(b, byte('0'+micros/place))
		micros %= place
	}
	return b
}

// Fixed gives at least two decimals, as LinkedIn wants amounts: 36000.00.
func (m Money) Fixed() string {
	d := decimal.New(int64(m), -6)
	if d.Exponent() > -2 || d.Equal(d.Truncate(2)) {
		return d.StringFixed(2)
	}
	return d.String()
}

// MarshalJSON writes a JSON number.
func (m Money) MarshalJSON() ([]byte, error) { return m.Append(nil), nil }

// JSONSchema says what MarshalJSON writes.
func (m Money) JSONSchema() map[string]any { return map[string]any{"type": "number"} }

// UnmarshalJSON reads a JSON number or a string that holds one.
func (m *Money) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(s) >= 2 && s[0] == '"' {
		s = s[1 : len(s)-1]
	}
	v, err := ParseMoney(s)
	if err != nil {
		return err
	}
	*m = v
	return nil
}
