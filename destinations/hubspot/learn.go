package hubspot

import (
	"cmp"
	stdcontext "context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tributary/destinations"
)

// A schema is what the account was found to hold of what deliveries write.
type schema struct {
	properties map[string]map[string]property // object → name; an object that could not be read is not there
	events     map[string][]string            // custom events by full name → their properties; nil: not read
}

// of gives the properties of an object; false where they were not read.
func (s *schema) of(object string) (map[string]property, bool) {
	if s == nil {
		return nil, false
	}
	p, read := s.properties[object]
	return p, read
}

var _ destinations.Learner = destination{}

// Learn reads the account's number and time zone, the properties that deliveries write, the
// definitions of custom events, and tries with empty requests, which change nothing, whether
// the token may do what not every token may. HubSpot refusing one of these is a finding; HubSpot away is an error.
func (d destination) Learn(ctx stdcontext.Context, call destinations.Caller) (destinations.Destination, []destinations.Finding, error) {
	l := &learning{destination: d, call: call, ctx: ctx}
	l.schema = &schema{properties: map[string]map[string]property{}}
	for _, step := range []func() error{l.account, l.properties, l.events, l.rights} {
		if err := step(); err != nil {
			return d, nil, fmt.Errorf("learn HubSpot account %s: %w", d.Account, err)
		}
	}
	return l.destination, l.findings, nil
}

type learning struct {
	destination
	ctx      stdcontext.Context
	call     destinations.Caller
	findings []destinations.Finding
}

func (l *learning) find(subject string, blocks bool, format string, args ...any) {
	l.findings = append(l.findings, destinations.Finding{Subject: subject, Problem: destinations.Clip(fmt.Sprintf(format, args...), 400), Blocks: blocks})
}

// ask sends one request. What is no answer of the account itself (too busy, away, moving) is an error.
func (l *learning) ask(q destinations.Request) (destinations.Response, answer, error) {
	return ask(l.ctx, l.call, q)
}

func ask(ctx stdcontext.Context, call destinations.Caller, q destinations.Request) (destinations.Response, answer, error) {
	q.Header = destinations.JSONHeader()
	r, err := call(ctx, q)
	if err != nil {
		return r, answer{}, err
	}
	var a answer
	destinations.ReadJSON(r.Body, &a) // what refusals say; other answers have other shapes
	var document any
	read := destinations.ReadJSON(r.Body, &document)
	switch {
	case r.Status == http.StatusUnauthorized:
		return r, a, fmt.Errorf("HubSpot refuses the token (401 %s): replace it", a.Category)
	case r.Status/100 == 2 && (read || r.Status == http.StatusNoContent), r.Status/100 == 4 && r.Status != http.StatusTooManyRequests && r.Status != http.StatusLocked && r.Status != 477:
		return r, a, nil
	}
	return r, a, fmt.Errorf("%s %s answers %d", q.Method, q.Path, r.Status)
}

// account reads number and time zone.
func (l *learning) account() error {
	r, _, err := l.ask(destinations.Request{Method: http.MethodGet, Path: l.paths.account})
	if err != nil {
		return err
	}
	var details struct {
		Portal int64  `json:"portalId"`
		Zone   string `json:"timeZone"`
	}
	if r.Status/100 != 2 || !destinations.ReadJSON(r.Body, &details) || details.Portal == 0 {
		l.find("account", false, "its details cannot be read (%d): set time_zone, so that a used-up day is waited for until the account's midnight", r.Status)
		return nil
	}
	if l.PortalID != 0 && details.Portal != l.PortalID {
		l.find("account", true, "the token is of account %d and portal_id says %d: use that account's token, or correct portal_id", details.Portal, l.PortalID)
	}
	if l.PortalID == 0 {
		l.PortalID = details.Portal
	}
	if zone, err := time.LoadLocation(details.Zone); err == nil && details.Zone != "" && l.TimeZone == "" {
		l.zone = zone
	}
	return nil
}

// properties reads the properties that deliveries write, and says what is wrong with them.
func (l *learning) properties() error {
	wants := l.wants()
	for _, object := range []string{contacts, companies, deals} {
		mine := slices.DeleteFunc(slices.Clone(wants), func(w want) bool { return w.object != object })
		if len(mine) == 0 {
			continue
		}
		found, r, err := readProperties(l.ctx, l.call, l.paths, object, mine)
		if err != nil {
			return err
		}
		if found == nil {
			l.find("properties of "+object, false, "they cannot be read (%d): grant the token crm.schemas.%s.read, so that types are known and a missing property does not stop the destination",
				r.Status, object)
			continue
		}
		l.schema.properties[object] = found
		for _, w := range mine {
			l.judge(w, found)
		}
	}
	return nil
}

// judge says what is wrong with one property.
func (l *learning) judge(w want, found map[string]property) {
	subject := "property " + w.property + " of " + w.object
	p, there := found[w.property]
	switch {
	case !there && w.unique:
		l.find(subject, true, "it is not there, and rows are found by it: tributary destinations setup hubspot makes it with unique values")
	case !there:
		l.find(subject, false, "it is not there and is left out: tributary destinations setup hubspot makes it as %s", w.kind)
	case p.closed() != "":
		l.find(subject, w.unique, "it %s and is left out: map the field to another property", p.closed())
	case w.unique && !p.Unique:
		l.find(subject, true, "its values are not unique, which only its creation can decide: make another property with unique values and name that")
	case !fits(w.kind, p):
		l.find(subject, false, "it is of type %s and the field is a %s: values that do not fit are left out; map the field to a property of type %s", p.Type, w.kind, kinds[w.kind])
	default:
		for _, o := range w.options {
			if len(p.Options) > 0 && !slices.Contains(p.Options, o) {
				l.find(subject, false, "it has no option %q, so that value is left out: add it in HubSpot, or write one of %s", o, destinations.Clip(strings.Join(p.Options, ", "), 200))
			}
		}
	}
}

// fits is true where every value of a kind can be written as the property's type.
func fits(kind string, p property) bool {
	switch p.Type {
	case "string", kinds[kind]:
		return true
	case "date":
		return kind == "datetime"
	case "datetime":
		return kind == "date"
	case "enumeration":
		return kind == "text" || kind == "bool"
	case "number", "bool":
		return false
	}
	return true // a type that only reading shows
}

// readProperties reads the named properties of an object, the archived ones too; nil where
// HubSpot will not show them. What is not in the map is not in the account.
func readProperties(ctx stdcontext.Context, call destinations.Caller, p paths, object string, wants []want) (map[string]property, destinations.Response, error) {
	out := map[string]property{}
	var last destinations.Response
	for _, archived := range []bool{false, true} {
		missing := slices.DeleteFunc(slices.Clone(wants), func(w want) bool { _, there := out[w.property]; return there })
		for some := range slices.Chunk(missing, 100) {
			inputs := make([]named, len(some))
			for i, w := range some {
				inputs[i] = named{w.property}
			}
			body, err := destinations.JSON(map[string]any{"archived": archived, "inputs": inputs})
			if err != nil {
				return nil, last, err
			}
			r, _, err := ask(ctx, call, destinations.Request{Method: http.MethodPost, Path: p.properties + "/" + object + "/batch/read", Body: body})
			if err != nil {
				return nil, r, err
			}
			last = r
			if r.Status/100 != 2 {
				if archived {
					return out, r, nil
				}
				return nil, r, nil
			}
			take(out, r, archived)
		}
	}
	return out, last, nil
}

type named struct {
	Name string `json:"name"`
}

// take reads definitions of properties out of an answer.
func take(out map[string]property, r destinations.Response, archived bool) {
	var a struct {
		Results []struct {
			Name     string `json:"name"`
			Type     string `json:"type"`
			Field    string `json:"fieldType"`
			Unique   bool   `json:"hasUniqueValue"`
			Computed bool   `json:"calculated"`
			Archived bool   `json:"archived"`
			Options  []struct {
				Value text `json:"value"`
			} `json:"options"`
			Modification struct {
				ReadOnly bool `json:"readOnlyValue"`
			} `json:"modificationMetadata"`
		} `json:"results"`
	}
	if !destinations.ReadJSON(r.Body, &a) {
		return
	}
	for _, p := range a.Results {
		q := property{Type: p.Type, Field: p.Field, Unique: p.Unique, ReadOnly: p.Modification.ReadOnly, Computed: p.Computed, Archived: p.Archived}
		if archived && !p.Archived {
			continue // an account that does not tell them apart has said so above
		}
		for _, o := range p.Options {
			q.Options = append(q.Options, string(o.Value))
		}
		out[p.Name] = q
	}
}

// events reads the definitions of custom events.
func (l *learning) events() error {
	if l.Timeline != customEvents {
		return nil
	}
	found, r, a, err := readDefinitions(l.ctx, l.call, l.paths)
	if err != nil {
		return err
	}
	if found == nil {
		l.find("custom events", false, "their definitions cannot be read (%d%s): entries then carry the sentence alone", r.Status, lacking(a))
		return nil
	}
	l.schema.events = found
	if name := l.EventName; name != "" {
		properties, there := found[l.qualified(name)]
		if !there {
			l.find("custom event "+l.qualified(name), true, "it is not defined, and timeline entries are held: tributary destinations setup hubspot makes it")
		} else if len(properties) > 0 && !slices.Contains(properties, "summary") {
			l.find("custom event "+l.qualified(name), true, "it has no property summary, which holds the sentence: add it in HubSpot, or name another event_name")
		}
	} else if len(found) == 0 {
		l.find("custom events", true, "none is defined, and timeline entries are held: tributary destinations setup hubspot makes them")
	}
	return nil
}

// readDefinitions reads all definitions, page by page; nil where HubSpot will not show them.
func readDefinitions(ctx stdcontext.Context, call destinations.Caller, p paths) (map[string][]string, destinations.Response, answer, error) {
	out := map[string][]string{}
	for after := ""; ; {
		q := destinations.Request{Method: http.MethodGet, Path: p.definitions, Query: url.Values{"limit": {"50"}}}
		if after != "" {
			q.Query.Set("after", after)
		}
		r, a, err := ask(ctx, call, q)
		if err != nil || r.Status/100 != 2 {
			return nil, r, a, err
		}
		var page struct {
			Results []struct {
				Full       string `json:"fullyQualifiedName"`
				Archived   bool   `json:"archived"`
				Properties []struct {
					Name string `json:"name"`
				} `json:"properties"`
			} `json:"results"`
			Paging struct {
				Next struct {
					After text `json:"after"`
				} `json:"next"`
			} `json:"paging"`
		}
		if !destinations.ReadJSON(r.Body, &page) {
			return nil, r, a, nil
		}
		for _, d := range page.Results {
			if d.Full == "" || d.Archived {
				continue
			}
			out[d.Full] = []string{}
			for _, property := range d.Properties {
				out[d.Full] = append(out[d.Full], property.Name)
			}
		}
		if next := string(page.Paging.Next.After); next == "" || next == after || len(out) > 500 {
			return out, r, a, nil
		} else {
			after = next
		}
	}
}

// rights tries, with nothing in it, what a token is easily not allowed to: the scopes are
// asked for before the body is looked at [assumed], and an empty batch changes nothing.
// Contacts and notes are not tried, since HubSpot counts refused requests: a token that may
// not write those is told by the first delivery, which halts with the scope's name.
func (l *learning) rights() error {
	type attempt struct{ what, path, class string }
	var attempts []attempt
	if len(l.Companies) > 0 || l.hasCustom(companies) {
		attempts = append(attempts, attempt{"writing companies", l.paths.objects + "/companies/batch/update", ""})
	}
	if len(l.Deals) > 0 || l.hasCustom(deals) {
		attempts = append(attempts, attempt{"writing deals", l.paths.objects + "/deals/batch/update", ""})
	}
	switch l.Timeline {
	case customEvents:
		attempts = append(attempts, attempt{"sending custom events", l.paths.send, eventsClass})
	case oauthTimeline, appEvents:
		attempts = append(attempts, attempt{"writing timeline entries", l.timelineEvents(), ""})
	}
	for _, t := range attempts {
		r, a, err := l.ask(destinations.Request{Method: http.MethodPost, Path: t.path, Class: t.class, Body: []byte(`{"inputs":[]}`)})
		if err != nil {
			return err
		}
		if r.Status == http.StatusForbidden {
			l.find(t.what, true, "the token may not%s%s", lacking(a), hint(missingScopes(a)))
		}
	}
	return nil
}

// lacking names the scopes that a refusal asks for.
func lacking(a answer) string {
	if scopes := missingScopes(a); len(scopes) > 0 {
		return ": it lacks the scopes " + destinations.VendorWords(strings.Join(scopes, ", "))
	}
	return cmp.Or(strings.TrimSuffix(": "+destinations.VendorWords(a.Message), ": "), "")
}
