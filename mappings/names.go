package mappings

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"tributary/canonical"
)

// Names that always exist and are not of the funnel.
const (
	// StageChanged is what a CRM stage becomes that no rule names.
	StageChanged = "crm_stage_changed"
	// LeadRecycled is a lead that went back.
	LeadRecycled = canonical.NameRecycled
	// CustomEvent is what an event becomes that may not have the name it claims, or that has
	// no name that can be written.
	CustomEvent = "custom_event"

	PageViewed    = "page_viewed"
	AdClicked     = "ad_clicked"
	FormSubmitted = "form_submitted"
	EmailOpened   = "email_opened"
	EmailClicked  = "email_clicked"
	MeetingBooked = "meeting_booked"
)

// anyName stands, under destinations, for every name without a line of its own; among
// pipelines for every pipeline.
const anyName = "*"

func builtInNames() map[string]name {
	return map[string]name{
		StageChanged: {}, LeadRecycled: {},
		CustomEvent: {browser: true}, PageViewed: {browser: true}, AdClicked: {browser: true}, FormSubmitted: {browser: true},
		EmailOpened: {browser: true}, EmailClicked: {browser: true}, MeetingBooked: {browser: true},
	}
}

// builtInEvent names what browsers and servers report, where the mapping says nothing of
// it. Keys are folded.
func builtInEvent(folded string) (string, bool) {
	switch folded {
	case "page_view", "pageview", "page", "page_viewed", "screen":
		return PageViewed, true
	case "ad_click", "adclick", "ad_clicked":
		return AdClicked, true
	case "form", "form_submit", "form_submitted", "form_submission", "formsubmitted":
		return FormSubmitted, true
	case "email_open", "email_opened":
		return EmailOpened, true
	case "email_click", "email_clicked", "emaillinkclicked":
		return EmailClicked, true
	case "meeting", "meeting_booked":
		return MeetingBooked, true
	}
	return "", false
}

// identifyEvent says who somebody is and nothing else: it states facts and becomes no
// event.
const identifyEvent = "identify"

// allNames lists every name there is: the funnel in order, then the others.
func (c *compiler) allNames() []string {
	others := slices.Sorted(maps.Keys(c.m.names))
	others = slices.DeleteFunc(others, func(s string) bool { return c.m.names[s].rank > 0 })
	return append(slices.Clone(c.m.vocabulary), others...)
}

// fold gives a raw value or label in the one form in which it is compared: small
// letters, no white space and nothing that cannot be seen, accents in one character.
// "Marketing Qualified Lead" and "marketingqualifiedlead" are one.
func fold(s string) string {
	for i := 0; i < len(s); i++ {
		if b := s[i]; b >= 0x80 || 'A' <= b && b <= 'Z' || b <= ' ' {
			return norm.NFC.String(strings.ToLower(strings.Map(func(r rune) rune {
				if unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) {
					return -1
				}
				return r
			}, s)))
		}
	}
	return s
}

// snake gives an event's own name as a canonical one: DemoRequested, demo-requested and
// "Demo requested" are demo_requested. "" when nothing can be written, or it is too long.
func snake(s string) string {
	if len(s) > 4*maxName {
		return ""
	}
	var b strings.Builder
	runes := []rune(s)
	for i, r := range runes {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b.WriteRune(r)
		case 'A' <= r && r <= 'Z':
			if i > 0 && startsWord(runes, i) {
				b.WriteByte('_')
			}
			b.WriteRune(r + 'a' - 'A')
		default:
			b.WriteByte('_')
		}
	}
	words := strings.FieldsFunc(b.String(), func(r rune) bool { return r == '_' })
	out := strings.Join(words, "_")
	if len(out) > maxName || !snakeCase.MatchString(out) {
		return ""
	}
	return out
}

// inSnake suggests how a word could be written, quoted; "" when it cannot.
func inSnake(word string) string {
	s := snake(word)
	if s == "" || s == word || strings.Contains(word, "@") {
		return ""
	}
	return shown(s)
}

// startsWord is true for the D of PageDemo and the last capital of CTAClick.
func startsWord(runes []rune, i int) bool {
	before := runes[i-1]
	if 'a' <= before && before <= 'z' || '0' <= before && before <= '9' {
		return true
	}
	return 'A' <= before && before <= 'Z' && i+1 < len(runes) && 'a' <= runes[i+1] && runes[i+1] <= 'z'
}
