package meta

import (
	"time"

	"tributary/destinations"
)

const (
	maxAge      = 7 * 24 * time.Hour
	maxAgeStore = 62 * 24 * time.Hour
	dedupWindow = 48 * time.Hour
	clickWindow = 90 * 24 * time.Hour // how long the click's cookie lives
	maxBytes    = 4 << 20             // ours: no limit is documented
)

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

const graph = "meta.md §1.1, Graph's table of versions"

// versions is Graph's own table of expiry.
var versions = []destinations.Version{
	{Name: "v20.0", Ends: date(2026, 9, 24), Source: graph},
	{Name: "v21.0", Ends: date(2027, 1, 21), Source: graph},
	{Name: "v22.0", Ends: date(2027, 5, 20), Source: graph},
	{Name: "v23.0", Ends: date(2027, 10, 8), Source: graph},
	{Name: "v24.0", Ends: date(2028, 2, 18), Source: graph},
	{Name: "v25.0", Ends: date(2028, 7, 29), Source: graph},
	{Name: "v26.0", Source: graph + ": not set"},
}

// table is what is known of the Conversions API, by the sheet meta.md.
func table() destinations.Table {
	return destinations.Table{
		Vendor:   "Meta Conversions API",
		Versions: versions,
		Facts: []destinations.Fact{
			{Name: "older versions", Value: "the Marketing API's own table ends v24.0 on 2026-10-06; calls go on with X-Ad-Api-Version-Warning", Mark: "doc", Source: "meta.md §1.1; the two tables disagree"},
			{Name: "batch", Value: "1 to 1000 events; one bad event refuses all, and nothing is stored", Mark: "doc", Source: "meta.md §1.3"},
			{Name: "body", Value: "4 MiB", Mark: "assumed", Source: "ours: no limit is documented"},
			{Name: "age window", Value: "7 days of event_time on arrival", Mark: "doc", Source: "meta.md §1.3"},
			{Name: "age window physical_store", Value: "62 days", Mark: "doc", Source: "meta.md §1.3"},
			{Name: "click window of a deal's contacts", Value: "90 days before the event, as long as the click's cookie lives", Mark: "assumed", Source: "meta.md §2.4"},
			{Name: "age window CRM", Value: "7 days; a funnel's target stage is to be reached within 28 days of the lead", Mark: "doc", Source: "meta.md §4"},
			{Name: "future event_time", Value: "never later than the receipt", Mark: "open", Source: "meta.md §1.3, §8"},
			{Name: "freshness", Value: "within 1 hour; after 2 hours optimisation suffers, after 24 badly", Mark: "doc", Source: "meta.md §1.3"},
			{Name: "dedup", Value: "dataset, event_name and event_id within 48 hours, browser and server copy", Mark: "doc", Source: "meta.md §1.8"},
			{Name: "dedup of two server copies", Value: "taken as not done", Mark: "open", Source: "meta.md §1.8, §8"},
			{Name: "rate", Value: "none of its own; counted as Marketing API calls, told in percent by X-App-Usage, X-Business-Use-Case-Usage, X-Ad-Account-Usage", Mark: "doc", Source: "meta.md §1.3, §5.3"},
			{Name: "slow down", Value: "above 80 % of a usage header", Mark: "doc", Source: "meta.md §5.3"},
			{Name: "time-out", Value: "Meta suggests 1500 ms; the default here is 5 s", Mark: "doc", Source: "meta.md §1.1"},
			{Name: "field event_name", Value: "50 characters, no space around it; case counts", Mark: "open", Source: "meta.md §3.3"},
			{Name: "field event_id", Value: "kept as given; one of our own over 64 characters is hashed", Mark: "open", Source: "meta.md §1.4, §8"},
			{Name: "field partner_agent", Value: "under 23 characters, at least two letters", Mark: "doc", Source: "meta.md §1.2"},
			{Name: "field value", Value: "a number in major units, not negative, finite; Purchase needs it with currency", Mark: "doc", Source: "meta.md §3.2"},
			{Name: "field currency", Value: "ISO 4217, upper case", Mark: "doc", Source: "meta.md §3.2"},
			{Name: "field lead_id", Value: "15 to 17 digits, never hashed", Mark: "doc", Source: "meta.md §4"},
			{Name: "field fbc", Value: "fb.1.<ms of the click>.<fbclid>, case kept; fbclid up to 500 characters", Mark: "doc", Source: "meta.md §2.4"},
			{Name: "field data_processing_options", Value: "[] or [LDU]; country 0 or 1, state 0 or 1000 to 1013, always both", Mark: "doc", Source: "meta.md §1.7"},
			{Name: "hash", Value: "SHA-256 of the normal form, 64 lower-case hex; what arrived hashed is not hashed again", Mark: "doc", Source: "meta.md §2.1"},
			{Name: "hash em", Value: "no white space, lower case; ASCII only", Mark: "doc", Source: "meta.md §2.1"},
			{Name: "hash ph", Value: "digits with country code, without trunk zero and extension", Mark: "doc", Source: "meta.md §2.1, §2.6"},
			{Name: "hash fn, ln", Value: "lower case, no white space and punctuation; accents and scripts stay (NFC)", Mark: "doc", Source: "meta.md §2.1"},
			{Name: "hash db", Value: "YYYYMMDD; day and month that could be either are refused", Mark: "doc", Source: "meta.md §2.1, §2.5"},
			{Name: "hash ge", Value: "m or f", Mark: "doc", Source: "meta.md §2.1"},
			{Name: "hash ct", Value: "setting city: library (a-z and digits) or written (accents stay)", Mark: "open", Source: "meta.md §2.6: Meta's own libraries disagree"},
			{Name: "hash st", Value: "two letters in the USA and Canada, else the full name", Mark: "doc", Source: "meta.md §2.1, §2.6"},
			{Name: "hash zp", Value: "no space or dash; USA the first five", Mark: "doc", Source: "meta.md §2.1"},
			{Name: "hash country", Value: "ISO 3166-1 alpha-2, lower case", Mark: "doc", Source: "meta.md §2.1"},
			{Name: "hash external_id", Value: "lower case, no white space: the same in pixel and server", Mark: "doc", Source: "meta.md §2.1"},
			{Name: "unicode", Value: "NFC before hashing", Mark: "assumed", Source: "meta.md §2.7: Meta states no normal form"},
			{Name: "test_event_code", Value: "shown in the Test Events tool and not discarded: they count", Mark: "doc", Source: "meta.md §1.2"},
			{Name: "refunds", Value: "none is known; negative values are never sent", Mark: "open", Source: "meta.md §1.9"},
			{Name: "codes 12, 2500, 2635", Value: "an ended version or a path that is none: the lane halts", Mark: "assumed", Source: "not in meta.md §5.2"},
		},
	}
}

// versionEnds is zero where no date is known.
func versionEnds(version string) time.Time {
	for _, v := range versions {
		if v.Name == version {
			return v.Ends
		}
	}
	return time.Time{}
}

func knownVersions() []string {
	var names []string
	for _, v := range versions {
		names = append(names, v.Name)
	}
	return names
}
