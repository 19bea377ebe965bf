package meta

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// A person is everything that Meta may find somebody by, ready to be written.
type person struct {
	values    []value
	used      keySet
	prehashed keySet // at least one value arrived hashed
	own       keySet // at least one value was hashed here, or is never hashed
	refused   keySet // something was given that cannot be sent
	unwritten bool   // only the sets are wanted: nothing is hashed
	room      [20]value
}

type value struct {
	key  key
	text string
}

// gather finds every key of an event's person. p is empty; from is the action source.
func (d *destination) gather(p *person, e *canonical.Event, k *canonical.Known, from string) {
	p.values = p.room[:0]
	c := &e.Contact
	if len(c.Hashed) > 0 {
		p.addHashed(c.Hashed)
	}
	country := destinations.Country(c.Country)
	region := country
	if region == "" {
		region = d.DefaultRegion
	}
	p.addEmails(e, k)
	p.hash(keyPhone, c.Phone, normalPhone(region))
	p.addPhones(e, k)
	p.hash(keyFirstName, c.FirstName, canonical.NormalName)
	p.hash(keyLastName, c.LastName, canonical.NormalName)
	p.hash(keyCity, c.City, normalCity(d.City))
	p.hash(keyState, c.State, normalState(country))
	p.hash(keyZip, c.Zip, normalZip(country))
	p.hash(keyCountry, c.Country, func(string) string { return strings.ToLower(country) })
	p.addIDs(e, k)
	p.put(keyClick, fbc(e, k))
	p.put(keyBrowser, fbp(e, k))
	p.addLead(e, k)
	p.addTold(e, from)
	p.order()
}

// keep leaves only what the line of the mapping lets the person be found by.
func (p *person) keep(route *canonical.Route) {
	if len(route.Match) == 0 {
		return
	}
	may := keySet(0)
	for k := range keys {
		if route.MayMatch(keyNames[k]) {
			may |= setOf(k)
		}
	}
	p.values = slices.DeleteFunc(p.values, func(v value) bool { return !may.has(v.key) })
	p.used, p.prehashed, p.own, p.refused = p.used&may, p.prehashed&may, p.own&may, p.refused&may
}

// addHashed takes what arrived hashed; what is no hash is refused.
func (p *person) addHashed(given map[string][]string) {
	for k := range keys {
		if !hashedKeys.has(k) {
			continue
		}
		for _, v := range given[keyNames[k]] {
			if h, ok := hashed(v); ok {
				p.add(k, h)
				p.prehashed |= setOf(k)
			} else if v != "" {
				p.refused |= setOf(k)
			}
		}
	}
}

// hash normalises and hashes a value given in the clear. What arrived hashed in its place
// is not hashed again, and what only looks like a hash is refused.
func (p *person) hash(k key, given string, normal func(string) string) {
	if given == "" {
		return
	}
	if h, ok := hashed(given); ok {
		p.add(k, h)
		p.prehashed |= setOf(k)
		return
	}
	text := ""
	if !brokenHash(given) {
		text = normal(given)
	}
	if text == "" {
		p.refused |= setOf(k)
		return
	}
	p.own |= setOf(k)
	if p.unwritten {
		p.used |= setOf(k)
		return
	}
	p.add(k, canonical.SHA256(text))
}

// addEmails adds the event's own address and the hashes of the whole person's.
func (p *person) addEmails(e *canonical.Event, k *canonical.Known) {
	unwanted := "" // the hash of an address that Meta's library would not take
	if given := e.Contact.Email; given != "" {
		if normal := canonical.NormalEmail(given); normal != "" && normalEmail(normal) == "" {
			unwanted = canonical.SHA256(normal)
		}
		p.hash(keyEmail, given, normalEmail)
	}
	p.addKnown(keyEmail, canonical.Email, e, k, unwanted)
}

func (p *person) addPhones(e *canonical.Event, k *canonical.Known) {
	p.addKnown(keyPhone, canonical.Phone, e, k, "")
}

// addKnown adds hashed identifiers of a scheme, the event's own before the person's.
func (p *person) addKnown(as key, s canonical.Scheme, e *canonical.Event, k *canonical.Known, unwanted string) {
	for _, ids := range [...][]canonical.Identifier{e.Identifiers, k.Identifiers} {
		for i := range ids {
			if ids[i].Scheme == s && ids[i].Value != unwanted && canonical.IsHash(ids[i].Value) {
				p.add(as, strings.ToLower(strings.TrimSpace(ids[i].Value)))
				p.own |= setOf(as)
			}
		}
	}
}

// addIDs adds the contact's id in the CRM, of the record that survived its merges, and the
// customer's own ids of the person, which are kept hashed in the same form.
func (p *person) addIDs(e *canonical.Event, k *canonical.Known) {
	if id := destinations.CRMContact(*e, *k); id != "" && normalExternalID(id) != "" {
		p.own |= setOf(keyExternalID)
		if p.used |= setOf(keyExternalID); !p.unwritten {
			p.add(keyExternalID, canonical.SHA256(normalExternalID(id)))
		}
	}
	p.addKnown(keyExternalID, canonical.UserID, e, k, "")
}

func (p *person) addLead(e *canonical.Event, k *canonical.Known) {
	for _, id := range [...]string{e.Contact.LeadID, e.First(canonical.LeadID), k.First(canonical.LeadID)} {
		if id = strings.TrimSpace(id); leadID(id) {
			p.put(keyLead, id)
			return
		}
		if id != "" {
			p.refused |= setOf(keyLead)
		}
	}
}

// addTold adds what a browser, or a caller in Meta's own format, said of the request. A CRM
// knows of no browser.
func (p *person) addTold(e *canonical.Event, from string) {
	told := e.Way == canonical.WayMeta
	if told || from == website {
		ip := publicIP(e.Browser.IP)
		if ip == "" && e.Browser.IP != "" {
			p.refused |= setOf(keyIP)
		}
		if a := e.Browser.IPAppendix; ip != "" && isAppendix(a) {
			ip += "." + a
		}
		p.put(keyIP, ip)
		p.put(keyAgent, strings.TrimSpace(e.Browser.UserAgent))
	}
	if !told || len(e.Properties) == 0 {
		return
	}
	for k := range keys {
		v, ok := e.Properties["user_data."+keyNames[k]]
		switch {
		case !ok:
		case toldKeys.has(k):
			p.put(k, givenID(v, numberKeys.has(k)))
		case hashedKeys.has(k):
			list, ok := v.([]any)
			if !ok {
				list = []any{v}
			}
			for _, one := range list[:min(len(list), 100)] {
				if text, _ := one.(string); text != "" {
					p.hash(k, text, func(string) string { return "" }) // these come hashed or not at all
				}
			}
		}
	}
}

// givenID is one id as a caller gave it, or "".
func givenID(v any, number bool) string {
	text := ""
	switch t := v.(type) {
	case string:
		text = strings.TrimSpace(t)
	default:
		text, _ = plainNumber(v)
	}
	if number && !onlyDigits(text, 1, 20) || len(text) > 512 {
		return ""
	}
	return text
}

// add adds a hash to a key once; appendices do not make a hash another.
func (p *person) add(k key, hash string) {
	bare, _, _ := strings.Cut(hash, ".")
	for i := range p.values {
		if v := &p.values[i]; v.key == k && strings.HasPrefix(v.text, bare) && (len(v.text) == len(bare) || v.text[len(bare)] == '.') {
			return
		}
	}
	p.values = append(p.values, value{k, hash})
	p.used |= setOf(k)
}

// put sets a key that has one value.
func (p *person) put(k key, text string) {
	if text == "" || p.used.has(k) {
		return
	}
	p.values = append(p.values, value{k, text})
	p.used |= setOf(k)
	p.own |= setOf(k)
}

// order sorts by key; the order within a key stays.
func (p *person) order() {
	slices.SortStableFunc(p.values, func(a, b value) int { return int(a.key) - int(b.key) })
}

// write appends user_data as JSON.
func (p *person) write(b []byte) []byte {
	b = append(b, '{')
	for i := 0; i < len(p.values); {
		k := p.values[i].key
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), keyNames[k]...), '"', ':')
		switch {
		case numberKeys.has(k):
			b, i = append(b, p.values[i].text...), i+1
		case !hashedKeys.has(k):
			b, i = destinations.AppendText(b, p.values[i].text), i+1
		default:
			for open := byte('['); i < len(p.values) && p.values[i].key == k; i++ {
				b = append(append(append(b, open, '"'), p.values[i].text...), '"')
				open = ','
			}
			b = append(b, ']')
		}
	}
	return append(b, '}')
}

// Match says of each key what became of it, without its values.
func (d destination) Match(it destinations.Item) map[string]string {
	p := person{unwritten: true}
	from := source(&it.Event)
	d.gather(&p, &it.Event, &it.Known, from)
	p.keep(&it.Part.Route)
	told := asked
	if it.Event.Way == canonical.WayMeta || from == website {
		told |= setOf(keyIP, keyAgent)
	}
	told |= p.used | p.refused
	out := make(map[string]string, 16)
	for k := range keys {
		switch {
		case !told.has(k) || !it.Part.Route.MayMatch(keyNames[k]):
		case p.own.has(k):
			out[keyNames[k]] = "usable"
		case p.prehashed.has(k):
			out[keyNames[k]] = "prehashed"
		case p.refused.has(k):
			out[keyNames[k]] = "refused"
		default:
			out[keyNames[k]] = "missing"
		}
	}
	return out
}

// plainlyKnown is true where no value needs to be hashed to see that Meta takes the event.
func plainlyKnown(e *canonical.Event, k *canonical.Known) bool {
	for _, ids := range [...][]canonical.Identifier{e.Identifiers, k.Identifiers} {
		for i := range ids {
			if ids[i].Scheme == canonical.Email && e.Contact.Email == "" && canonical.IsHash(ids[i].Value) {
				return true
			}
		}
	}
	return cookie(e.Browser.FBP) != "" || e.Contact.Email != "" && normalEmail(e.Contact.Email) != ""
}

// fbc is the click: the cookie exactly as given, unless the event itself brings another
// click id, else built from the newest click known with the time of that click.
func fbc(e *canonical.Event, k *canonical.Known) string {
	given := cookie(e.Browser.FBC)
	click, ok := destinations.ClickOf(canonical.Event{Touch: e.Touch}, canonical.Known{}, canonical.FBCLID)
	if given != "" && (!ok || strings.Split(given, ".")[3] == click.Value) {
		return given
	}
	if !ok {
		click, ok = destinations.ClickOf(*e, *k, canonical.FBCLID)
	}
	if !ok || len(click.Value) > 500 || click.At.UnixMilli() <= 0 || strings.ContainsAny(click.Value, " .\t\r\n") {
		return given
	}
	at := click.At
	if heard := e.ReceivedAt; !heard.IsZero() && at.After(heard) { // a source's clock is ahead, as in destinations.HappenedAt
		at = heard
	}
	return "fb.1." + strconv.FormatInt(at.UnixMilli(), 10) + "." + click.Value
}

// fbp is the browser's cookie: the event's own, else the last one seen of the person.
func fbp(e *canonical.Event, k *canonical.Known) string {
	if c := cookie(e.Browser.FBP); c != "" {
		return c
	}
	if c := cookie(e.First(canonical.FBP)); c != "" {
		return c
	}
	var last *canonical.Identifier
	for i := range k.Identifiers {
		id := &k.Identifiers[i]
		if id.Scheme == canonical.FBP && cookie(id.Value) != "" && !id.Seen.After(e.OccurredAt) &&
			(last == nil || id.Seen.After(last.Seen)) {
			last = id
		}
	}
	if last == nil {
		return ""
	}
	return last.Value
}

// sharedNAT is the range that providers use among themselves: not public.
var sharedNAT = netip.MustParsePrefix("100.64.0.0/10")

// publicIP gives a public address as it came, with its appendix if it has one, or "".
func publicIP(s string) string {
	s = strings.TrimSpace(s)
	ip, err := netip.ParseAddr(s)
	if i := strings.LastIndexByte(s, '.'); err != nil && i > 0 && isAppendix(s[i+1:]) {
		ip, err = netip.ParseAddr(s[:i])
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
