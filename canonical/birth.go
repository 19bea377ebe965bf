package canonical

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// NormalBirthDate gives a birth date as YYYYMMDD, as it is hashed for Meta (meta.md §2.1, §2.5),
// or "" for no date of 1900 to now, and for one whose day and month could be either.
func NormalBirthDate(s string, now time.Time) string {
	groups := strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if len(groups) == 1 && len(groups[0]) == 8 {
		g := groups[0]
		groups = []string{g[:4], g[4:6], g[6:]}
	}
	if len(groups) < 3 {
		return ""
	}
	groups = groups[:3] // a time of day may follow
	var n [3]int
	for i, g := range groups {
		var err error
		if n[i], err = strconv.Atoi(g); err != nil {
			return ""
		}
	}
	year, month, day := n[0], n[1], n[2]
	if len(groups[0]) != 4 { // day or month first, the year last
		year, month, day = n[2], n[0], n[1]
		if month <= 12 && day <= 12 && month != day {
			return ""
		}
	}
	if month > 12 {
		month, day = day, month
	}
	at := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if year < 1900 || at.Year() != year || at.Month() != time.Month(month) || at.Day() != day || at.After(now) {
		return ""
	}
	return fmt.Sprintf("%04d%02d%02d", year, month, day)
}

// NormalGender gives m or f for those letters and their words, else "".
func NormalGender(s string) string {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "m", "male":
		return "m"
	case "f", "female":
		return "f"
	}
	return ""
}
