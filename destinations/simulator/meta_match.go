package simulator

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// metaReceive looks up who an event is about. Only a lead_id that nobody has refuses the
// request; anything else that is nobody's is taken and unmatched.
func (s *Simulator) metaReceive(r *Received, e *metaEvent, dataset string) *metaError {
	*r = Received{
		Kind: "event", EventName: strings.Clone(e.name), Dataset: dataset, EventID: strings.Clone(e.text("event_id")), EventTime: e.time,
		Value: strings.Clone(e.valueText()), Warnings: e.warnings, // clones: what is remembered does not hold on to the request
	}
	if currency, ok := e.custom["currency"].(string); ok {
		r.Currency = strings.Clone(currency)
	}
	if n, ok := number(e.user["lead_id"]); ok {
		who := s.people.find("meta.lead_id", n.String())
		if who == "" {
			return metaInvalid("user_data.lead_id", "The lead_id is not known")
		}
		r.match("lead_id", who)
	}
	if fbc, ok := e.user["fbc"].(string); ok {
		id, fault := clickOf(fbc, e.now)
		if fault != "" {
			r.Warnings = append(r.Warnings, "fbc: "+fault)
		}
		r.match("fbc", s.people.find("meta.fbclid", id))
	}
	for _, key := range []string{"em", "ph"} {
		if value, ok := e.user[key]; ok {
			hashes, _ := hashList(key, value)
			r.match(key, s.firstOf("meta."+key, hashes))
		}
	}
	if value, ok := e.user["external_id"]; ok {
		r.match("external_id", s.firstOf("meta.external_id", plainList(value)))
	}
	if fbp, ok := e.user["fbp"].(string); ok {
		r.match("fbp", s.firstOf("meta.fbp", []string{fbp, withoutAppendix(fbp)}))
	}
	slices.Sort(r.Warnings)
	r.Warnings = slices.Compact(r.Warnings)
	return nil
}

// match notes one identifier and whose it is. The first that is somebody's decides.
func (r *Received) match(by, who string) {
	switch {
	case who == "":
		r.UnmatchedBy = append(r.UnmatchedBy, by)
	case r.Person == "":
		r.Person, r.Matched = who, true
		r.MatchedBy = append(r.MatchedBy, by)
	case r.Person == who:
		r.MatchedBy = append(r.MatchedBy, by)
	default:
		r.Warnings = append(r.Warnings, by+" is another person's")
	}
}

func (s *Simulator) firstOf(kind string, values []string) string {
	for _, v := range values {
		if who := s.people.find(kind, v); who != "" {
			return who
		}
	}
	return ""
}

func plainList(value any) []string {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var out []string
	for _, v := range list {
		if text, ok := v.(string); ok {
			if hash, ok := hashAt(text); ok {
				text = hash
			}
			out = append(out, text)
		}
	}
	return out
}

var (
	appendixShort = []string{"AQ", "Ag", "Aw", "BA", "BQ", "Bg"}
	appendixLong  = regexp.MustCompile(`^[A-Za-z0-9_-]{8}$`)
)

func validAppendix(text string) bool {
	return slices.Contains(appendixShort, text) || appendixLong.MatchString(text)
}

// clickOf reads fb.<index>.<milliseconds>.<fbclid>[.<appendix>] and returns the fbclid, or
// what is wrong with it.
func clickOf(fbc string, now time.Time) (id, fault string) {
	parts := strings.Split(fbc, ".")
	if len(parts) == 5 && !validAppendix(parts[4]) || len(parts) != 4 && len(parts) != 5 || parts[0] != "fb" {
		return "", "not of the form fb.index.milliseconds.fbclid"
	}
	if _, err := strconv.Atoi(parts[1]); err != nil {
		return "", "not of the form fb.index.milliseconds.fbclid"
	}
	ms, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return "", "not of the form fb.index.milliseconds.fbclid"
	}
	created := time.UnixMilli(ms)
	if created.After(now.Add(metaMaxAhead)) {
		return "", "created in the future"
	}
	if created.Before(day(2010, 1, 1)) {
		return "", "creation time is not in milliseconds"
	}
	if len(parts[3]) > 500 {
		return "", "longer than 500 characters"
	}
	return parts[3], ""
}

// withoutAppendix cuts the library's appendix off a cookie of five parts.
func withoutAppendix(cookie string) string {
	parts := strings.Split(cookie, ".")
	if len(parts) == 5 && validAppendix(parts[4]) {
		return strings.Join(parts[:4], ".")
	}
	return cookie
}
