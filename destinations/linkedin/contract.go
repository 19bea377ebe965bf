package linkedin

import (
	"maps"
	"slices"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// What LinkedIn takes. The section numbers in this file are those of the reference sheet
// linkedin.md, which names LinkedIn's own pages.
const (
	current     = "202609" // §2
	mostEvents  = 5000     // §1, in a request
	minuteLimit = 600      // §10, requests of a member token
	dayLimit    = 500_000  // §10; older pages say 300,000
	maxAge      = 90 * 24 * time.Hour
	mostEmails  = 10 // ours: no maximum is documented, examples show four identifiers
	longestText = 255
)

// versionEnds says when a version stops answering (§2). 202512 never was.
var versionEnds = map[string]time.Time{
	"202510": date(2026, 10, 15), "202511": date(2026, 11, 16),
	"202601": date(2027, 1, 15), "202602": date(2027, 2, 15), "202603": date(2027, 3, 16), "202604": date(2027, 4, 15),
	"202605": date(2027, 5, 15), "202606": date(2027, 6, 15), "202607": date(2027, 7, 15), "202608": date(2027, 8, 17),
	"202609": date(2027, 9, 15),
}

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// Contract says what LinkedIn takes.
func (d destination) Contract() destinations.Contract {
	return destinations.Contract{
		Vendor:      "LinkedIn Conversions API",
		APIVersion:  d.Version,
		VersionEnds: versionEnds[d.Version],
		NeedsRoute:  true,
		MaxBatch:    d.Batch,
		MaxBytes:    4 << 20, // ours: no limit is documented
		Limits: append(destinations.PerSecond(d.RequestsPerSecond),
			destinations.Limit{Name: "minute", Requests: d.RequestsPerMinute, Per: time.Minute},
			destinations.Limit{Name: "day", Requests: d.RequestsPerDay, Per: 24 * time.Hour, Daily: true, Zone: time.UTC}),
		MaxAge:    maxAge,
		Ambiguous: destinations.Resend, // the same eventId again; what a second copy does is open
		Clicks:    []canonical.Scheme{canonical.LIFatID},
		// The window that rules made by this destination have, unless one has its own.
		ClickWindow: time.Duration(d.Settings.Arrange.PostClickDays) * 24 * time.Hour,
		Timeout:     d.Timeout,
		Linger:      d.Linger,
	}
}

// table is the same for people and for checks.
func table() destinations.Table {
	const sheet = "linkedin.md §"
	t := destinations.Table{Vendor: "LinkedIn Conversions API"}
	for _, v := range slices.Sorted(maps.Keys(versionEnds)) {
		t.Versions = append(t.Versions, destinations.Version{Name: v, Ends: versionEnds[v], Source: sheet + "2"})
	}
	for _, f := range [][4]string{
		{"batch", "5,000 events in a request; 100 to 500 is wise, one bad event refuses all", "doc", "1, 11.1"},
		{"requests a minute", "600 for a member token", "doc", "10"},
		{"requests a day", "500,000 for a member token, to 00:00 UTC; older pages say 300,000", "doc", "10"},
		{"Retry-After", "none is documented; back off from 60 seconds", "doc", "10"},
		{"headroom", "no header tells it", "doc", "10"},
		{"click window of a deal's contacts", "arrange.post_click_days before the event (30 unless set)", "doc", "8"},
		{"age window", "90 days when the request arrives, never ahead", "doc", "3"},
		{"header LinkedIn-Version", "YYYYMM, mandatory; missing 400 VERSION_MISSING, ended 426 NONEXISTENT_VERSION", "doc", "2"},
		{"field conversionHappenedAt", "whole milliseconds", "doc", "3"},
		{"field conversionValue.amount", "decimal as a text; a number is refused with 422", "doc", "3"},
		{"field conversionValue.currencyCode", "ISO 4217; LinkedIn does not check it", "seen", "3"},
		{"field eventId", "64 characters (one connector); the API's own maximum", "open", "3, 14"},
		{"field user.userIds", "always present, be it empty", "doc", "3"},
		{"field user.userInfo", "both names or nothing; hashed names from 202609", "doc", "5"},
		{"field user.externalIds", "one, plain; counts once it came with a standard identifier, for a year", "doc", "5"},
		{"field user.lead", "urn:li:leadGenFormResponse:{id}; enough alone since May 2026", "doc", "5"},
		{"hash SHA256_EMAIL", "lower case, no white space, SHA-256, lower-case hex; no gmail folding", "doc", "5.1"},
		{"hash of names", "lower case, no spaces or punctuation, SHA-256, lower-case hex", "doc", "5"},
		{"identifier LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID", "li_fat_id as it is; no format is documented", "open", "7, 14"},
		{"identifier ACXIOM_ID, GOOGLE_AID", "plain", "doc", "4"},
		{"identifier PLAINTEXT_IP_ADDRESS, SHA256_IP_ADDRESS", "IPv4; whether the hashed one is enough alone", "open", "4, 5, 14"},
		{"identifier ORACLE_MOAT_ID", "dropped", "doc", "4"},
		{"identifier of telephones", "there is none", "doc", "4"},
		{"unknown field", "422 for the whole request", "doc", "3"},
		{"repeated eventId from the API", "not documented; assume that both count", "open", "6, 14"},
		{"403", "an unknown rule, or no role or scope on its account", "doc", "11"},
		{"403 ACCESS_DENIED, code 100", "the token lacks the scope altogether", "seen", ""},
		{"access token", "60 days; refresh token 365 days, not renewed by use", "doc", "9"},
	} {
		source := sheet + f[3]
		if f[3] == "" {
			source = "answers of LinkedIn's API that people published"
		}
		t.Facts = append(t.Facts, destinations.Fact{Name: f[0], Value: f[1], Mark: f[2], Source: source})
	}
	return t
}
