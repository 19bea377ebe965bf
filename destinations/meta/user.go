package meta

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// userData is the key material of an event. Hashed keys are lists.
type userData map[string]any

// hashedKeys may arrive hashed already (canonical.Contact.Hashed).
var hashedKeys = []string{
	"em", "ph", "fn", "ln", "db", "ge", "ct", "st", "zp", "country", "external_id",
	"f5first", "f5last", "fi", "dobd", "dobm", "doby",
}

// insufficient are the sets of which Meta refuses any that holds nothing else
// (100/2804050).
var insufficient = [][]string{
	{"ct", "country", "st", "zp", "ge", "client_user_agent"},
	{"db", "client_user_agent"},
	{"fn", "ge"},
	{"ln", "ge"},
}

// user gathers everything that Meta may find the person by.
func (d destination) user(e canonical.Event, k canonical.Known) userData {
	u := userData{}
	for _, key := range hashedKeys {
		for _, v := range e.Contact.Hashed[key] {
			if h, ok := hashed(v); ok {
				u.add(key, h)
			}
		}
	}
	c := e.Contact
	country := destinations.Country(c.Country)
	region := country
	if region == "" {
		region = d.DefaultRegion
	}
	u.add("em", hashOf(c.Email, normalEmail))
	u.add("ph", hashOf(c.Phone, func(s string) string { return canonical.NormalPhone(s, region) }))
	u.add("fn", hashOf(c.FirstName, normalName))
	u.add("ln", hashOf(c.LastName, normalName))
	u.add("ct", hashOf(c.City, normalCity(d.City)))
	u.add("st", hashOf(c.State, normalState(country)))
	u.add("zp", hashOf(c.Zip, normalZip(country)))
	u.add("country", hashOf(c.Country, normalCountry))
	u.addKnown(e, k)
	if id := normalExternalID(destinations.CRMContact(e, k)); id != "" {
		u.add("external_id", canonical.SHA256(id))
	}
	u.addPlain(e, k)
	return u
}

// addKnown adds the e-mail and telephone hashes of the event and of the whole person.
func (u userData) addKnown(e canonical.Event, k canonical.Known) {
	refused := "" // an address that Meta's library would not take
	if normalEmail(e.Contact.Email) == "" {
		refused = canonical.EmailHash(e.Contact.Email)
	}
	for _, h := range destinations.EmailHashes(e, k) {
		if h != refused {
			u.add("em", h)
		}
	}
	for _, id := range slices.Concat(e.Identifiers, k.Identifiers) {
		if id.Scheme == canonical.Phone && canonical.IsHash(id.Value) {
			u.add("ph", id.Value)
		}
	}
}

// addPlain adds what Meta wants unhashed.
func (u userData) addPlain(e canonical.Event, k canonical.Known) {
	u.put("fbc", fbc(e, k))
	u.put("fbp", fbp(e, k))
	if id := leadID(e, k); id != "" {
		u["lead_id"] = json.Number(id)
	}
	if source(e) == website {
		u.put("client_ip_address", publicIP(e.Browser.IP))
		u.put("client_user_agent", strings.TrimSpace(e.Browser.UserAgent))
	}
}

// add adds a hash to a key once; appendices do not make a hash another.
func (u userData) add(key, hash string) {
	if hash == "" {
		return
	}
	list, _ := u[key].([]string)
	bare, _, _ := strings.Cut(hash, ".")
	for _, have := range list {
		if b, _, _ := strings.Cut(have, "."); b == bare {
			return
		}
	}
	u[key] = append(list, hash)
}

func (u userData) put(key, value string) {
	if value != "" {
		u[key] = value
	}
}

// sufficient says whether Meta takes an event with these keys. A CRM contact id alone is
// taken and yet finds nobody unless the site's pixel sends the same one.
func (u userData) sufficient(externalIDAlone bool) bool {
	keys := slices.Collect(maps.Keys(u))
	if !externalIDAlone {
		keys = slices.DeleteFunc(keys, func(k string) bool { return k == "external_id" })
	}
	for _, set := range insufficient {
		if !slices.ContainsFunc(keys, func(k string) bool { return !slices.Contains(set, k) }) {
			return false
		}
	}
	return true
}

// fbc is the click: the cookie exactly as given, unless the event itself brings another
// click id, else built from the newest click known with the time of that click.
func fbc(e canonical.Event, k canonical.Known) string {
	given := cookie(e.Browser.FBC)
	click, ok := destinations.ClickOf(canonical.Event{Touch: e.Touch}, canonical.Known{}, canonical.FBCLID)
	if given != "" && (!ok || strings.Split(given, ".")[3] == click.Value) {
		return given
	}
	if !ok {
		click, ok = destinations.ClickOf(e, k, canonical.FBCLID)
	}
	if !ok || len(click.Value) > 500 || click.At.IsZero() || strings.ContainsAny(click.Value, " \t\r\n") {
		return given
	}
	return "fb.1." + strconv.FormatInt(click.At.UnixMilli(), 10) + "." + click.Value
}

// fbp is the browser's cookie: the event's own, else the last one seen of the person.
func fbp(e canonical.Event, k canonical.Known) string {
	if c := cookie(e.Browser.FBP); c != "" {
		return c
	}
	if c := cookie(e.First(canonical.FBP)); c != "" {
		return c
	}
	var last canonical.Identifier
	for _, id := range k.Identifiers {
		if id.Scheme == canonical.FBP && cookie(id.Value) != "" && !id.Seen.After(e.OccurredAt) &&
			(last.Value == "" || id.Seen.After(last.Seen)) {
			last = id
		}
	}
	return last.Value
}

// leadID is the id of a lead ads form: 15 to 17 digits, never hashed.
func leadID(e canonical.Event, k canonical.Known) string {
	for _, id := range []string{e.Contact.LeadID, e.First(canonical.LeadID), k.First(canonical.LeadID)} {
		if id = strings.TrimSpace(id); leadIDShape.MatchString(id) {
			return id
		}
	}
	return ""
}

// sharedNAT is the range that providers use among themselves: not public.
var sharedNAT = netip.MustParsePrefix("100.64.0.0/10")

// publicIP gives a public address as it came, with its appendix if it has one, or "".
func publicIP(s string) string {
	s = strings.TrimSpace(s)
	bare := s
	ip, err := netip.ParseAddr(bare)
	if i := strings.LastIndexByte(s, '.'); err != nil && i > 0 && cookieEnd.MatchString(s[i+1:]) {
		bare = s[:i]
		ip, err = netip.ParseAddr(bare)
	}
	if err != nil || ip.Zone() != "" {
		return ""
	}
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || sharedNAT.Contains(ip) {
		return ""
	}
	return s
}
