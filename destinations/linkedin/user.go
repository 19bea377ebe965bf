package linkedin

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"tributary/canonical"
	"tributary/destinations"
)

// The identifier types (linkedin.md §4). There is none for telephone numbers.
const (
	emailType  = "SHA256_EMAIL"
	clickType  = "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID"
	plainIP    = "PLAINTEXT_IP_ADDRESS"
	hashedIP   = "SHA256_IP_ADDRESS"
	acxiomType = "ACXIOM_ID"
	googleType = "GOOGLE_AID"
)

// givenTypes are those that a property of the event may carry (setting ids_from).
var givenTypes = []string{acxiomType, googleType}

// leadURN is the prefix of a lead form response.
const leadURN = "urn:li:leadGenFormResponse:"

// The keys of a match that are no identifier types.
const (
	leadKey     = "lead"
	infoKey     = "userInfo"
	externalKey = "externalIds"
)

// matchKeys are what a line of the mapping may choose among.
var matchKeys = []string{emailType, clickType, acxiomType, googleType, plainIP, hashedIP, leadKey, infoKey, externalKey}

// user gathers what the person may be found by, as far as the line of the mapping allows.
func (d destination) user(e canonical.Event, k canonical.Known, route canonical.Route) user {
	u := user{IDs: []userID{}}
	if route.MayMatch(leadKey) {
		u.Lead = lead(e, k)
	}
	add := func(kind, value string) {
		if value != "" && route.MayMatch(kind) {
			u.IDs = append(u.IDs, userID{kind, value})
		}
	}
	for _, h := range emails(e, k) {
		add(emailType, h)
	}
	add(clickType, opaque(clickOf(e, k)))
	for _, kind := range givenTypes {
		add(kind, d.given(e, kind))
	}
	if ip := browserIP(e); d.IPAddress == "plain" {
		add(plainIP, ip)
	} else if d.IPAddress == "hashed" && ip != "" {
		add(hashedIP, canonical.SHA256(ip))
	}
	if d.UserInfo && route.MayMatch(infoKey) {
		u.Info = d.info(e)
	}
	if id := opaque(destinations.CRMContact(e, k)); id != "" && route.MayMatch(externalKey) {
		u.ExternalIDs = []string{d.ExternalIDPrefix + id}
	}
	return u
}

// sufficient says whether LinkedIn can take an event. An external id counts only where
// LinkedIn has learned it before, which nobody can ask; it always did where the person's
// e-mail is known, and then it is not alone. Of an address it is open whether it is enough.
func (d destination) sufficient(u user) bool {
	for _, id := range u.IDs {
		if d.IPAlone || id.Type != plainIP && id.Type != hashedIP {
			return true
		}
	}
	return u.Info != nil || u.Lead != "" || d.ExternalIDAlone && len(u.ExternalIDs) > 0
}

// emails gives hashes without Meta's appendix, lower case, each once.
func emails(e canonical.Event, k canonical.Known) []string {
	hashes := destinations.EmailHashes(e, k)
	for _, h := range hashedEmails(e) {
		if !slices.Contains(hashes, h) {
			hashes = append(hashes, h)
		}
	}
	return hashes[:min(len(hashes), mostEmails)]
}

// hashedEmails are those that came hashed, in a field that says so.
func hashedEmails(e canonical.Event) []string {
	var out []string
	for _, h := range e.Contact.Hashed["em"] {
		h, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(h)), ".")
		if canonical.IsHash(h) {
			out = append(out, h)
		}
	}
	return out
}

// clickOf is the li_fat_id of the newest click, exactly as given.
func clickOf(e canonical.Event, k canonical.Known) string {
	if c, ok := destinations.ClickOf(e, k, canonical.LIFatID); ok {
		return c.Value
	}
	if id := e.First(canonical.LIFatID); id != "" {
		return id
	}
	return k.First(canonical.LIFatID)
}

// given is an identifier that the event has in a property of its own.
func (d destination) given(e canonical.Event, kind string) string {
	switch v := e.Properties[d.IDsFrom[kind]].(type) {
	case string:
		return opaque(strings.TrimSpace(v))
	case float64, int, int64:
		return opaque(fmt.Sprintf("%v", v))
	}
	return ""
}

// browserIP is the browser's IPv4 address; LinkedIn takes no other, and one of a private
// network finds nobody.
func browserIP(e canonical.Event) string {
	ip, err := netip.ParseAddr(strings.TrimSpace(e.Browser.IP))
	if err != nil {
		return ""
	}
	ip = ip.Unmap()
	if !ip.Is4() || ip.IsPrivate() || ip.IsLoopback() || ip.IsUnspecified() || ip.IsLinkLocalUnicast() || ip.IsMulticast() {
		return ""
	}
	return ip.String()
}

// opaque gives an id as it is, or "" when it is too long or holds more than visible
// ASCII, or an address. The formats are not documented (linkedin.md §7).
func opaque(id string) string {
	if len(id) > longestText {
		return ""
	}
	for _, r := range id {
		if r <= ' ' || r > '~' || r == '@' {
			return ""
		}
	}
	return id
}

// info is what may help to find the person; LinkedIn wants both names or nothing.
func (d destination) info(e canonical.Event) *userInfo {
	c := e.Contact
	first, last := name(c.FirstName), name(c.LastName)
	if first == "" || last == "" {
		return nil
	}
	i := userInfo{
		Title: destinations.Clip(plain(c.Title), longestText), Company: destinations.Clip(plain(e.Company.Name), longestText),
		Country: destinations.Country(c.Country),
	}
	if !d.HashNames {
		i.FirstName, i.LastName = first, last
		return &i
	}
	if i.HashedFirstName, i.HashedLastName = nameHash(first), nameHash(last); i.HashedFirstName == "" || i.HashedLastName == "" {
		return nil
	}
	return &i
}

// plain gives a text to send as it is, or "" for one that arrived hashed.
func plain(s string) string {
	if canonical.IsHash(s) {
		return ""
	}
	return destinations.Text(s)
}

// name gives a name to send, or "" for one that no person has.
func name(s string) string {
	if s = plain(s); len(s) > longestText {
		return ""
	}
	return s
}

// nameHash is lower case without spaces and punctuation, then SHA-256 (linkedin.md §5).
func nameHash(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsPunct(r) || unicode.IsSymbol(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
	if s == "" {
		return ""
	}
	return canonical.SHA256(s)
}

// lead is a LinkedIn lead form response; Meta's lead ids are none.
func lead(e canonical.Event, k canonical.Known) string {
	for _, id := range leads(e, k) {
		if len(id) > len(leadURN) && strings.HasPrefix(id, leadURN) && opaque(id) != "" {
			return id
		}
	}
	return ""
}

func leads(e canonical.Event, k canonical.Known) []string {
	return []string{e.Contact.LeadID, e.First(canonical.LeadID), k.First(canonical.LeadID)}
}

// Match says what became of every identifier that LinkedIn could have been given.
func (d destination) Match(it destinations.Item) map[string]string {
	e, k := it.Event, it.Known
	state := func(usable bool, given bool) string {
		switch {
		case usable:
			return "usable"
		case given:
			return "refused"
		}
		return "missing"
	}
	click := clickOf(e, k)
	contact := destinations.CRMContact(e, k)
	m := map[string]string{
		emailType:   state(len(destinations.EmailHashes(e, k)) > 0, e.Contact.Email != "" || len(e.Contact.Hashed["em"]) > 0),
		clickType:   state(opaque(click) != "", click != ""),
		externalKey: state(opaque(contact) != "", contact != ""),
		leadKey:     state(lead(e, k) != "", slices.ContainsFunc(leads(e, k), func(s string) bool { return s != "" })),
	}
	if canonical.NormalEmail(e.Contact.Email) == "" && len(hashedEmails(e)) > 0 {
		m[emailType] = "prehashed"
	}
	if d.UserInfo {
		m[infoKey] = state(d.info(e) != nil, e.Contact.FirstName != "" || e.Contact.LastName != "")
	}
	for kind, property := range d.IDsFrom {
		m[kind] = state(d.given(e, kind) != "", e.Properties[property] != nil)
	}
	switch d.IPAddress {
	case "plain":
		m[plainIP] = state(browserIP(e) != "", e.Browser.IP != "")
	case "hashed":
		m[hashedIP] = state(browserIP(e) != "", e.Browser.IP != "")
	}
	maps.DeleteFunc(m, func(key, _ string) bool { return !it.Part.Route.MayMatch(key) })
	return m
}
