package wire

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/canonical"
)

var clickSchemes = canonical.ClickSchemes()

// platform of a click id.
func platform(s canonical.Scheme) string {
	switch s {
	case canonical.FBCLID:
		return "meta"
	case canonical.LIFatID:
		return "linkedin"
	case canonical.GCLID, canonical.GBRAID, canonical.WBRAID:
		return "google"
	case canonical.MSCLKID:
		return "microsoft"
	case canonical.TTCLID:
		return "tiktok"
	}
	return ""
}

// click adds a click id. A zero time stands for the event's own; see settleClicks.
func (rd *reader) click(s canonical.Scheme, v string, at time.Time) {
	if v == "" || len(v) > maxKey {
		return
	}
	rd.identify(s, v)
	for i, c := range rd.clicks {
		if c.Scheme == s && c.Value == v {
			if c.At.IsZero() {
				rd.clicks[i].At = at
			}
			return
		}
	}
	rd.clicks = append(rd.clicks, canonical.Click{Scheme: s, Value: v, At: at})
}

// fbc reads Meta's click cookie, fb.<index>.<ms>.<fbclid>: it says when the click was.
// What has another form is treated as absent.
func (rd *reader) fbc(v string) {
	parts := strings.SplitN(withoutAppendix(v), ".", 4)
	if len(parts) != 4 || parts[0] != "fb" || !isDigits(parts[1]) || !isDigits(parts[2]) {
		return
	}
	var at time.Time
	if ms, err := strconv.ParseInt(parts[2], 10, 64); err == nil && len(parts[2]) == 13 {
		if t := canonical.FromMillis(ms); rd.doubt(t) == "" {
			at = t
		}
	}
	rd.click(canonical.FBCLID, parts[3], at)
}

// campaign reads UTM values, ad ids and click ids of one object: the top level of a
// browser event, or campaign and custom_data.
func (n node) campaign(t *canonical.Touch) {
	n.rd.told(t, n.text, n.key)
}

// query reads the same from a page's URL, which says less than what was named outright.
func (rd *reader) query(t *canonical.Touch, page string) {
	u, err := url.Parse(strings.TrimSpace(page))
	if err != nil || u.Host == "" {
		return
	}
	t.Page = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	q := u.Query()
	first := func(names ...string) string {
		for _, name := range names {
			if v := strings.TrimSpace(q.Get(name)); v != "" {
				return v
			}
		}
		return ""
	}
	rd.told(t, first, first)
}

// told fills in what a touch does not say yet: text gives the first value under some names, id
// that of an identifier.
func (rd *reader) told(t *canonical.Touch, text, id func(names ...string) string) {
	for _, f := range []struct {
		to    *string
		names []string
	}{
		{&t.Source, utmSource}, {&t.Medium, utmMedium}, {&t.Campaign, utmCampaign}, {&t.Term, utmTerm}, {&t.Content, utmContent},
		{&t.CampaignID, campaignID}, {&t.AdSet, adSetID}, {&t.Ad, adID},
	} {
		if v := text(f.names...); v != "" && *f.to == "" {
			*f.to = v
		}
	}
	for _, s := range clickSchemes {
		if v := id(string(s)); v != "" {
			rd.click(s, v, time.Time{})
			rd.landed = append(rd.landed, s)
		}
	}
}

// paid mediums of UTM; a page view that has one is an ad click.
var paid = []string{"cpc", "ppc", "paid", "paid_social", "paidsocial", "paid-social", "paidsearch", "paid_search"}

// settle finishes a touch: ad and set named by UTM where no id is, platform, and the
// time of clicks.
func (rd *reader) settle(t *canonical.Touch) {
	if t.Ad == "" {
		t.Ad = t.Content
	}
	if t.AdSet == "" {
		t.AdSet = t.Term
	}
	t.At = rd.report.OccurredAt
	for i, c := range rd.clicks {
		if c.At.IsZero() || c.At.After(t.At) {
			rd.clicks[i].At = t.At
		}
	}
	t.Clicks = slices.Clone(rd.clicks)
	t.Platform = strings.ToLower(t.Source)
	for _, s := range clickSchemes {
		if slices.Contains(rd.landed, s) {
			t.Platform = platform(s)
			break
		}
	}
}

// viewKind tells a page view that an ad brought from one that it did not. Only click
// ids that the event itself names make one: a cookie's is from an earlier visit.
func (rd *reader) viewKind(t *canonical.Touch) string {
	if len(rd.landed) > 0 || slices.Contains(paid, strings.ToLower(t.Medium)) {
		return "ad_click"
	}
	return "page_view"
}

// acquired gives the touch of an event that is none itself but carries click ids: the
// click that it came from, at the click's own time where that is known. Nil without.
func (rd *reader) acquired(t canonical.Touch) *canonical.Touch {
	if len(rd.clicks) == 0 {
		return nil
	}
	rd.settle(&t)
	t.Kind = "ad_click"
	for _, c := range t.Clicks {
		if c.At.Before(t.At) {
			t.At = c.At
		}
	}
	if len(rd.landed) == 0 {
		t.Platform = platform(t.Clicks[0].Scheme)
	}
	return &t
}
