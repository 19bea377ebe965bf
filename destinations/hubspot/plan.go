package hubspot

import (
	"regexp"
	"slices"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// The parts.
const (
	propertiesPart = "properties"
	companyPart    = "company"
	dealPart       = "deal"
	timelinePart   = "timeline"
)

// What shares a request: each has an address and rows of its own kind.
const (
	byID         = "properties by id"
	byKey        = "properties by key"
	byEmail      = "properties by e-mail"
	companyByID  = "companies by id"
	companyByKey = "companies by key"
	dealByID     = "deals by id"
	asNotes      = "timeline as notes"
	asBehavior   = "timeline as custom events"
	asTimeline   = "timeline of an OAuth app"
	asAppEvents  = "timeline as app events"
)

var entryBatches = map[string]string{notes: asNotes, customEvents: asBehavior, oauthTimeline: asTimeline, appEvents: asAppEvents}

const (
	noContact    = "HubSpot needs the contact's id or an e-mail address in the clear"
	noEventName  = "no name of a custom event can be made of this event's: set event_name, or event in the mapping"
	noContactYet = "this kind of entry needs the contact's id, and no report has given it yet"
	noTemplate   = "templates names none for this event; add its canonical name, or \"*\""
)

// Plan gives up to four parts. "properties", "company" and "deal" are written for every event
// that has something to say of the record; "timeline" once for each touch and funnel event.
func (d destination) Plan(e canonical.Event, k canonical.Known, route canonical.Route) ([]destinations.Part, destinations.Refusal) {
	it := destinations.Item{Event: e, Known: k, Part: destinations.Part{Route: route}}
	parts, left := d.recordParts(it)
	who := d.contact(e, k)
	values, more := d.contactValues(who.batch, []destinations.Item{it})
	left = append(more, left...)
	text := ""
	if d.Timeline != off {
		text = sentence(e, route)
	}
	if len(values) == 0 && text == "" && len(parts) == 0 {
		return nil, destinations.Refusal{Reason: canonical.ReasonNotMapped, Detail: "neither a property nor a timeline entry comes of this event"}
	}
	if who.id == "" && len(parts) == 0 {
		return nil, destinations.Refusal{Reason: canonical.ReasonAwaitingIdentity, Detail: noContact}
	}
	var wait destinations.Refusal
	if who.id == "" {
		wait = destinations.Refusal{Reason: canonical.ReasonAwaitingIdentity, Detail: noContact}
	}
	if len(values) > 0 {
		p := destinations.Part{Name: propertiesPart, Batch: who.batch, Unique: who.unique(k), Merges: true, Route: route, Slotless: true, Refused: wait}
		parts = append([]destinations.Part{p}, parts...) // first: it makes the contact that an entry may stand on
	}
	if text != "" {
		p := d.entryPart(it, who)
		if len(parts) == 0 && p.Refused.Reason == canonical.ReasonAwaitingIdentity {
			return nil, p.Refused
		}
		parts = append(parts, p)
	}
	return parts, destinations.Refusal{Detail: warning(left)}
}

// warning tells the operator what was left out of the rows.
func warning(left []string) string {
	if len(left) == 0 {
		return ""
	}
	return destinations.Clip("left out: "+strings.Join(slices.Compact(left), "; "), 300)
}

// recordParts plans the writes to the company and to the deal.
func (d destination) recordParts(it destinations.Item) (parts []destinations.Part, left []string) {
	add := func(name, batch, object, id string) {
		if id == "" {
			return
		}
		values, more := d.values(object, []destinations.Item{it})
		left = append(left, more...)
		if len(values) > 0 {
			parts = append(parts, destinations.Part{Name: name, Batch: batch, Unique: name + " " + id, Merges: true, Route: it.Part.Route, Slotless: true})
		}
	}
	if len(d.Companies) > 0 || d.hasCustom(companies) {
		if id := d.companyID(it.Event); id != "" {
			add(companyPart, companyByID, companies, id)
		} else if d.CompanyKey != "" {
			add(companyPart, companyByKey, companies, companyDomain(it.Event))
		}
	}
	if len(d.Deals) > 0 || d.hasCustom(deals) {
		add(dealPart, dealByID, deals, d.dealID(it.Event))
	}
	return parts, left
}

func (d destination) hasCustom(object string) bool {
	for _, f := range d.Custom {
		if f.objectOf() == object {
			return true
		}
	}
	return false
}

// entryPart plans the timeline entry, or says what it waits for.
func (d destination) entryPart(it destinations.Item, who record) destinations.Part {
	e, route := it.Event, it.Part.Route
	p := destinations.Part{Name: timelinePart, Batch: entryBatches[d.Timeline], Route: route}
	if d.Timeline == notes {
		p.Ambiguous = destinations.Ambiguous(d.Unanswered)
	}
	switch {
	case who.id == "":
		p.Refused = destinations.Refusal{Reason: canonical.ReasonAwaitingIdentity, Detail: noContact}
	case (d.Timeline == notes || d.Timeline == customEvents) && who.batch != byID:
		// The properties make the contact, whose id then comes back by webhook. HubSpot would take a
		// custom event for an address that nobody has yet, and show it nowhere.
		p.Refused = destinations.Refusal{Reason: canonical.ReasonAwaitingIdentity, Detail: noContactYet}
	case who.batch == byKey && canonical.NormalEmail(e.Contact.Email) == "":
		p.Refused = destinations.Refusal{Reason: canonical.ReasonAwaitingIdentity, Detail: noContact}
	case d.Timeline == customEvents:
		p.Refused = d.undefined(d.eventName(e, route))
	case (d.Timeline == oauthTimeline || d.Timeline == appEvents) && d.template(e) == "":
		p.Refused = destinations.Refusal{Reason: canonical.ReasonNotConfigured, Detail: noTemplate}
	}
	return p
}

// undefined holds an entry whose custom event is known not to be defined: HubSpot would
// refuse it, and the whole request with it.
func (d destination) undefined(name string) destinations.Refusal {
	if name == "" {
		return destinations.Refusal{Reason: canonical.ReasonNotConfigured, Detail: noEventName}
	}
	if d.schema != nil && d.schema.events != nil {
		if _, there := d.schema.events[name]; !there {
			return destinations.Refusal{Reason: canonical.ReasonHold,
				Detail: "HubSpot has no custom event " + name + ": tributary destinations setup hubspot makes it; then replay what is held"}
		}
	}
	return destinations.Refusal{}
}

// A record is how the person's contact is found: by which of HubSpot's ways, and its id there.
type record struct{ batch, id string }

// contact says how the person's contact is found: by record id, the surest; by the unique
// property, where one is configured; by e-mail. Upserts by the latter two make it on a miss.
func (d destination) contact(e canonical.Event, k canonical.Known) record {
	if id := d.contactID(e, k); id != "" {
		return record{byID, id}
	}
	if d.Key != byEmailKey {
		if v := d.keyOf(e, k); v != "" {
			return record{byKey, v}
		}
	}
	return record{byEmail, canonical.NormalEmail(e.Contact.Email)}
}

// unique keeps rows of one contact out of one request, unless they merge. Two addresses of
// one person may be two addresses of one contact.
func (r record) unique(k canonical.Known) string {
	switch {
	case r.id == "":
		return ""
	case r.batch == byEmail && k.Person != 0:
		return "person " + k.Person.String()
	case r.batch == byID:
		return r.id
	}
	return canonical.SHA256(r.id)
}

// keyOf gives the value of the unique property.
func (d destination) keyOf(e canonical.Event, k canonical.Known) string {
	if d.KeyFrom != string(canonical.UserID) {
		return plain(given(e, d.KeyFrom))
	}
	if id := e.First(canonical.UserID); id != "" {
		return destinations.Text(id)
	}
	return destinations.Text(k.First(canonical.UserID))
}

// contactValues are those of a contact. Where nothing else is known of a new one it is made
// of its address alone; else the address is only what the row is found by: written to a
// contact that has it as a further address, it would become the first.
func (d destination) contactValues(kind string, items []destinations.Item) (map[string]string, []string) {
	values, left := d.values(contacts, items)
	e := byTime(items)[len(items)-1].Event
	email, name := canonical.NormalEmail(e.Contact.Email), d.property(contacts, "email")
	if email != "" && name != "" && !fromHubSpot(e) && (kind == byKey || kind == byEmail && len(values) == 0) {
		values[name] = email
	}
	return values, left
}

var idShape = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)

// contactID gives the id of the person's contact in this destination's account: the
// record that survived its merges first. Ids of other accounts carry their name.
func (d destination) contactID(e canonical.Event, k canonical.Known) string {
	for _, ids := range [][]canonical.Identifier{k.Identifiers, e.Identifiers} {
		for _, id := range ids {
			if id.Scheme == canonical.HubSpotContact {
				if own := d.ownID(id.Value); own != "" {
					return own
				}
			}
		}
	}
	return d.here(e, e.Contact.ID)
}

// companyID and dealID give the ids of the event's own company and deal in this account.
func (d destination) companyID(e canonical.Event) string {
	if e.Object.Type == "company" {
		return d.here(e, e.Object.ID)
	}
	return d.here(e, e.Company.ID)
}

func (d destination) dealID(e canonical.Event) string {
	if e.Object.Type != "deal" {
		return ""
	}
	return d.here(e, e.Object.ID)
}

// here gives an id that an event brings if the event is of this account.
func (d destination) here(e canonical.Event, id string) string {
	if (e.Object.Account == d.Account || e.Object.Account == "" && d.Account == "hubspot") && idShape.MatchString(id) {
		return id
	}
	return ""
}

// ownID reads an id of the identity log, which carries its account's name but for the default's.
func (d destination) ownID(value string) string {
	id := value
	if d.Account != "hubspot" {
		rest, ok := strings.CutPrefix(value, d.Account+":")
		if !ok {
			return ""
		}
		id = rest
	}
	if !idShape.MatchString(id) {
		return ""
	}
	return id
}

// companyDomain is the domain that names the event's account; "" for free mail. Where the domain
// alone names it, the event says which domains count: those of the identity section do not.
func companyDomain(e canonical.Event) string {
	domain := canonical.CompanyDomain(e.Company.Domain)
	if domain == "" && e.Contact.Email != "" {
		domain = canonical.CompanyDomain(canonical.EmailDomain(e.Contact.Email))
	}
	if named := (canonical.Identifier{Scheme: canonical.Domain, Value: domain}); domain == "" || e.Company.ID == "" && e.AccountNode != named.Node() {
		return ""
	}
	return domain
}
