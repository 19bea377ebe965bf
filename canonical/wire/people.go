package wire

import (
	"slices"
	"strings"
	"time"

	"tributary/canonical"
)

// who reads what says who someone is: of contact and user_data objects, and of the top
// level.
func (n node) who() {
	rd := n.rd
	for _, e := range n.list(emailName...) {
		rd.email(n.path+"email", e)
	}
	for _, h := range n.list(emailHash...) {
		rd.hashed("em", canonical.Email, n.path+"email_sha256", h)
	}
	for _, p := range n.list(phoneName...) {
		rd.phone(p)
	}
	for _, h := range n.list(phoneHash...) {
		rd.hashed("ph", canonical.Phone, n.path+"phone_sha256", h)
	}
	if id := n.key(leadID...); id != "" {
		if rd.report.Contact.LeadID == "" {
			rd.report.Contact.LeadID = id
		}
		rd.identify(canonical.LeadID, id)
	}
	rd.user(n.key(userID...))
	for _, v := range n.ids(externalID...) {
		rd.user(v)
		if isHashed(v) {
			rd.keepHash("external_id", v)
		}
	}
	rd.device(n)
	n.consent()
}

// person reads who someone is and what is known of them: contact and user_data objects.
func (n node) person() {
	n.who()
	rd := n.rd
	c := &rd.report.Contact
	keep := func(to *string, v string) {
		if *to == "" {
			*to = v
		}
	}
	for _, f := range []struct {
		to   *string
		hash string
		keys []string
	}{
		{&c.FirstName, "fn", firstName},
		{&c.LastName, "ln", lastName},
		{&c.City, "ct", cityName},
		{&c.State, "st", stateName},
		{&c.Zip, "zp", zipName},
		{&c.Country, "country", countryName},
	} {
		for _, v := range n.list(f.keys...) {
			switch {
			case isHashed(v):
				rd.keepHash(f.hash, v)
			case *f.to == "" || *f.to == v:
				keep(f.to, v)
			case f.hash == "fn" || f.hash == "ln": // one more name: for Meta only
				if v = canonical.NormalName(v); v != "" {
					rd.keepHash(f.hash, canonical.SHA256(v))
				}
			}
		}
	}
	for k, normal := range map[string]func(string) string{birthName[0]: rd.birthDate, genderName[0]: canonical.NormalGender} { // kept only as hashes
		for _, v := range n.list(k) {
			if isHashed(v) {
				rd.keepHash(k, v)
			} else if v = normal(v); v != "" {
				rd.keepHash(k, canonical.SHA256(v))
			}
		}
	}
	keep(&c.Title, n.text(titleName...))
}

func (rd *reader) birthDate(v string) string {
	return canonical.NormalBirthDate(v, rd.receipt.ReceivedAt)
}

// device reads cookies, click ids and the browser's own context.
func (rd *reader) device(n node) {
	b := &rd.report.Browser
	if v := n.key(anonymousID...); v != "" {
		if strings.Contains(v, "@") { // somebody's address: it stays out of the identity log
			v = canonical.SHA256(strings.ToLower(v))
		}
		rd.identify(canonical.Anonymous, v)
	}
	rd.identify(canonical.UTK, n.key(hubspotUTK...))
	if v := n.key(fbpName...); v != "" {
		b.FBP = v
		rd.identify(canonical.FBP, withoutAppendix(v))
	}
	if v := n.key(fbcName...); v != "" {
		b.FBC = v
		rd.fbc(v)
	}
	for _, s := range clickSchemes {
		if v := n.key(string(s)); v != "" {
			rd.click(s, v, time.Time{})
		}
	}
	if v := n.text(ipName...); v != "" {
		b.IP = withoutIPAppendix(v)
		if b.IP != v {
			b.IPAppendix = v[len(b.IP)+1:]
		}
	}
	if v := n.text(agentName...); v != "" {
		b.UserAgent = v
	}
}

// email takes an address in the clear, or a hash given in its place.
func (rd *reader) email(field, v string) {
	if isHashed(v) {
		rd.hashed("em", canonical.Email, field, v)
		return
	}
	normal := canonical.NormalEmail(v)
	if normal == "" {
		rd.badEmail = true
		return
	}
	if rd.report.Contact.Email == "" {
		rd.report.Contact.Email = normal
	}
	rd.identify(canonical.Email, canonical.SHA256(normal))
}

// phone takes a number in the clear, or a hash given in its place. One that cannot be
// read ties nothing, and is no reason to refuse the rest.
func (rd *reader) phone(v string) {
	if isHashed(v) {
		rd.hashed("ph", canonical.Phone, "", v)
		return
	}
	if rd.receipt.Way == canonical.WayMeta && len(v) >= 11 && len(v) <= 15 && isDigits(v) && v[0] != '0' {
		v = "+" + v // as Meta wants it written: the country's code, no sign (meta.md §2.1)
	}
	if rd.report.Contact.Phone == "" {
		rd.report.Contact.Phone = v
	}
	rd.identify(canonical.Phone, canonical.PhoneHash(v, rd.settings.Region))
}

// hashed takes a value that arrived hashed; Meta's appendix is kept for Meta only.
func (rd *reader) hashed(key string, s canonical.Scheme, field, v string) {
	if !isHashed(v) {
		rd.fail(CodeWrongType, field, "must be 64 hex digits")
		return
	}
	if hashOfNothing(v) {
		return
	}
	rd.keepHash(key, v)
	if h := strings.ToLower(withoutHashAppendix(v)); len(h) == 64 {
		rd.identify(s, h)
	}
}

// hashOfNothing is true for the hash of an empty text, or of a program's word for nothing: senders
// hash what they do not have (meta.md §2.1), and it would make one person of all of them.
func hashOfNothing(v string) bool {
	v = withoutHashAppendix(v)
	return (len(v) == 64 || len(v) == 32) && hashesOfNothing[strings.ToLower(v)]
}

var hashesOfNothing = func() map[string]bool {
	m := map[string]bool{"d41d8cd98f00b204e9800998ecf8427e": true} // MD5 of ""
	for _, s := range []string{"", "null", "undefined", "none", "None", "nan", "NaN"} {
		m[canonical.SHA256(s)] = true
	}
	return m
}()

func (rd *reader) keepHash(key, v string) {
	if hashOfNothing(v) {
		return
	}
	c := &rd.report.Contact
	if c.Hashed == nil {
		c.Hashed = make(map[string][]string)
	}
	if len(c.Hashed[key]) < maxIdentifiers && !slices.Contains(c.Hashed[key], v) {
		c.Hashed[key] = append(c.Hashed[key], v)
	}
}

// user takes an id of the customer's own. It may be an address, so it is always hashed:
// lower case and without space, as Meta's library hashes external_id.
func (rd *reader) user(v string) {
	if v == "" || hashOfNothing(v) {
		return
	}
	if isHashed(v) {
		if h := strings.ToLower(withoutHashAppendix(v)); len(h) == 64 {
			rd.identify(canonical.UserID, h)
		}
		return
	}
	v = strings.ToLower(strings.Join(strings.Fields(v), ""))
	rd.identify(canonical.UserID, canonical.SHA256(v))
}

// identify adds an identifier once.
func (rd *reader) identify(s canonical.Scheme, v string) {
	if v == "" {
		return
	}
	for _, id := range rd.report.Identifiers {
		if id.Scheme == s && id.Value == v {
			return
		}
	}
	if len(rd.report.Identifiers) == maxIdentifiers {
		rd.fail(CodeWrongType, "", "ties together more than 200 identifiers")
		return
	}
	rd.report.Identifiers = append(rd.report.Identifiers, canonical.Identifier{Scheme: s, Value: v})
}

// object names a CRM object of the source's account.
func (rd *reader) object(kind, id string) canonical.Object {
	return canonical.Object{Account: rd.settings.Account, Type: kind, ID: id}
}

// contactID adds a CRM contact.
func (rd *reader) contactID(id string) {
	if id == "" {
		return
	}
	if rd.report.Contact.ID == "" {
		rd.report.Contact.ID = id
	}
	if v, ok := canonical.ObjectIdentifier(rd.object("contact", id)); ok {
		rd.identify(v.Scheme, v.Value)
	}
}

// consent reads what the person agreed to: a consent object or Meta's options. Where the parts of a
// body differ, a no holds.
func (n node) consent() {
	o := n.object(consentName...)
	ad, user := o.flag(adStorage...), o.flag(adUserData...)
	o.keep("consent.")
	options, given := n.options()
	if ad == nil && user == nil && !given {
		return
	}
	c := n.rd.report.Consent
	if c == nil {
		c = &canonical.Consent{}
		n.rd.report.Consent = c
	}
	if ad != nil && (c.AdStorage == nil || *c.AdStorage) {
		c.AdStorage = ad
	}
	if user != nil && (c.AdUserData == nil || *c.AdUserData) {
		c.AdUserData = user
	}
	if given && !c.LimitsUse() {
		c.DataProcessing = options
		c.ProcessingCountry = n.small(optionsCountry)
		c.ProcessingState = n.small(optionsState)
	}
}

// options reads data_processing_options; an empty list is an answer of its own.
func (n node) options() ([]string, bool) {
	v, there := n.f[optionsName[0]]
	if !there || v == nil {
		return nil, false
	}
	out := n.list(optionsName...)
	if out == nil {
		out = []string{}
	}
	return out, true
}

func (n node) small(keys []string) *int {
	v, ok := n.whole(keys...)
	if !ok {
		return nil
	}
	i := int(v)
	return &i
}

// company reads an account: company and account_data objects. What was read before it
// stands.
func (n node) company() {
	c := &n.rd.report.Company
	keep := func(to *string, v string) {
		if *to == "" {
			*to = v
		}
	}
	if id := n.key(companyID...); id != "" {
		keep(&c.ID, id)
		if !slices.Contains(n.rd.report.Companies, id) {
			n.rd.report.Companies = append(n.rd.report.Companies, id)
		}
	}
	keep(&c.Domain, canonical.NormalDomain(n.key(companyDomain...)))
	keep(&c.Name, n.text(companyName...))
	keep(&c.Owner, n.text(companyOwner...))
	keep(&c.Tier, n.text(companyTier...))
	if t := n.flag(companyTarget...); c.Target == nil {
		c.Target = t
	}
}

// isHashed is true for a SHA-256 or MD5 in hex, with or without Meta's appendix.
func isHashed(v string) bool {
	h := withoutHashAppendix(v)
	if len(h) != 64 && len(h) != 32 {
		return false
	}
	for i := range len(h) {
		c := h[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

// withoutHashAppendix takes Meta's appendix off a hash (meta.md §2.4).
func withoutHashAppendix(v string) string {
	if h, a, ok := strings.Cut(v, "."); ok && (len(a) == 2 || len(a) == 8) && isBase64URL(a) {
		return h
	}
	return v
}

// withoutAppendix takes the appendix off an fbc or fbp cookie: a fifth part.
func withoutAppendix(v string) string {
	parts := strings.Split(v, ".")
	if len(parts) == 5 && (len(parts[4]) == 2 || len(parts[4]) == 8) && isBase64URL(parts[4]) {
		return strings.Join(parts[:4], ".")
	}
	return v
}

// withoutIPAppendix takes the appendix off the value of an _fbi cookie.
func withoutIPAppendix(v string) string {
	i := strings.LastIndexByte(v, '.')
	if i < 0 {
		return v
	}
	rest, a := v[:i], v[i+1:]
	v4 := strings.Count(rest, ".") == 3
	v6 := strings.Contains(rest, ":") && !strings.Contains(rest, ".")
	if (v4 || v6) && (len(a) == 2 || len(a) == 8) && isBase64URL(a) {
		return rest
	}
	return v
}

func isBase64URL(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}
