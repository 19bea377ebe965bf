package linkedin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// The identifier types used here.
const (
	emailType = "SHA256_EMAIL"
	clickType = "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID"
)

// leadURN is the prefix of a lead form response.
const leadURN = "urn:li:leadGenFormResponse:"

// Plan gives one part, "rule:<name>". Each rule has batches of its own, so that a rule
// that was deleted or disabled spoils no other's.
func (d destination) Plan(e canonical.Event, k canonical.Known, route canonical.Route) ([]destinations.Part, destinations.Refusal) {
	refuse := func(reason, format string, args ...any) ([]destinations.Part, destinations.Refusal) {
		return nil, destinations.Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
	}
	if route.Rule == "" {
		return refuse(canonical.ReasonNotMapped, "the mapping names no LinkedIn rule for %s", e.Name)
	}
	if d.Rules[route.Rule] == "" {
		return refuse(canonical.ReasonNotConfigured, "rule %q of the mapping (%s) is bound to no conversion rule: add it under rules in this destination's configuration", route.Rule, route.At)
	}
	if !d.sufficient(d.user(e, k)) {
		return refuse(canonical.ReasonAwaitingIdentity, "LinkedIn needs an e-mail, a li_fat_id, both names or a lead form response")
	}
	_, gap := destinations.ValueOf(e.Revenue, route)
	if held, ok := destinations.HoldsForValue(gap, route); ok {
		return nil, held
	}
	name := "rule:" + route.Rule
	return []destinations.Part{{Name: name, Batch: name, Route: route}}, destinations.Refusal{}
}

// An element is one event as LinkedIn wants it. Nothing else may stand in it, no null and
// no empty text. Fields stand in the order of their JSON names.
type element struct {
	Conversion string `json:"conversion"`
	HappenedAt int64  `json:"conversionHappenedAt"` // milliseconds
	Value      *value `json:"conversionValue,omitempty"`
	EventID    string `json:"eventId"`
	User       user   `json:"user"`
}

type value struct {
	Amount   string `json:"amount"`
	Currency string `json:"currencyCode"`
}

type user struct {
	ExternalIDs []string  `json:"externalIds,omitempty"`
	Lead        string    `json:"lead,omitempty"`
	IDs         []userID  `json:"userIds"` // always there, be it empty
	Info        *userInfo `json:"userInfo,omitempty"`
}

type userID struct {
	Type  string `json:"idType"`
	Value string `json:"idValue"`
}

type userInfo struct {
	Company   string `json:"companyName,omitempty"`
	Country   string `json:"countryCode,omitempty"`
	FirstName string `json:"firstName"`
	LastName  string `json:"lastName"`
	Title     string `json:"title,omitempty"`
}

// Build gives one BATCH_CREATE, for a single event too.
func (d destination) Build(batch []destinations.Item) (destinations.Request, error) {
	if len(batch) == 0 {
		return destinations.Request{}, errors.New("an empty batch")
	}
	q := destinations.Request{
		Method: http.MethodPost,
		Path:   "/rest/conversionEvents",
		Header: destinations.JSONHeader(),
		Bodies: make([][]byte, len(batch)),
		Values: make([]destinations.Value, len(batch)),
	}
	q.Header.Set("LinkedIn-Version", d.Version)
	q.Header.Set("X-RestLi-Method", "BATCH_CREATE")
	q.Header.Set("X-Restli-Protocol-Version", "2.0.0")
	for i, it := range batch {
		el, v, err := d.element(it)
		if err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
		}
		if q.Bodies[i], err = destinations.JSON(el); err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
		}
		q.Values[i] = v
	}
	q.Body = destinations.List("elements", q.Bodies, "")
	return q, nil
}

func (d destination) element(it destinations.Item) (element, destinations.Value, error) {
	e, route := it.Event, it.Part.Route
	el := element{
		Conversion: urn + d.Rules[route.Rule],
		HappenedAt: destinations.HappenedAt(e).UnixMilli(),
		EventID:    eventID(e.ID),
		User:       d.user(e, it.Known),
	}
	switch {
	case d.Rules[route.Rule] == "":
		return element{}, destinations.Value{}, fmt.Errorf("rule %q is bound to no conversion rule", route.Rule)
	case e.ID == "":
		return element{}, destinations.Value{}, errors.New("no event id")
	case len(el.User.IDs) == 0 && el.User.Info == nil && el.User.Lead == "" && len(el.User.ExternalIDs) == 0:
		return element{}, destinations.Value{}, errors.New("nothing to find the person by")
	}
	v, _ := destinations.ValueOf(e.Revenue, route)
	if v == nil {
		return el, destinations.Value{}, nil
	}
	el.Value = &value{Amount: v.Amount.Fixed(), Currency: v.Currency}
	return el, *v, nil
}

func (d destination) user(e canonical.Event, k canonical.Known) user {
	u := user{IDs: []userID{}, Lead: lead(e, k)}
	for _, h := range emails(e, k) {
		u.IDs = append(u.IDs, userID{emailType, h})
	}
	if id := clickID(e, k); id != "" {
		u.IDs = append(u.IDs, userID{clickType, id})
	}
	if d.UserInfo {
		u.Info = info(e)
	}
	if id := opaque(destinations.CRMContact(e, k)); id != "" {
		u.ExternalIDs = []string{d.ExternalIDPrefix + id}
	}
	return u
}

// sufficient says whether LinkedIn can take an event. An external id counts only where
// LinkedIn has learned it before, which nobody can ask; it always did where the person's
// e-mail is known, and then it is not alone.
func (d destination) sufficient(u user) bool {
	return len(u.IDs) > 0 || u.Info != nil || u.Lead != "" || d.ExternalIDAlone && len(u.ExternalIDs) > 0
}

// emails gives hashes without Meta's appendix, lower case, each once.
func emails(e canonical.Event, k canonical.Known) []string {
	hashes := destinations.EmailHashes(e, k)
	for _, h := range e.Contact.Hashed["em"] {
		h, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(h)), ".")
		if canonical.IsHash(h) && !slices.Contains(hashes, h) {
			hashes = append(hashes, h)
		}
	}
	return hashes
}

// clickID is the li_fat_id of the newest click, exactly as given. Its format is not
// documented, so only its length and characters are bounded.
func clickID(e canonical.Event, k canonical.Known) string {
	id := ""
	if c, ok := destinations.ClickOf(e, k, canonical.LIFatID); ok {
		id = c.Value
	} else if id = e.First(canonical.LIFatID); id == "" {
		id = k.First(canonical.LIFatID)
	}
	return opaque(id)
}

// opaque gives an id as it is, or "" when it is too long or holds more than visible
// ASCII, or an address.
func opaque(id string) string {
	if len(id) > 255 {
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
func info(e canonical.Event) *userInfo {
	c := e.Contact
	i := userInfo{
		FirstName: plain(c.FirstName), LastName: plain(c.LastName), Title: plain(c.Title),
		Company: plain(e.Company.Name), Country: destinations.Country(c.Country),
	}
	if i.FirstName == "" || i.LastName == "" {
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

// lead is a LinkedIn lead form response; Meta's lead ids are none.
func lead(e canonical.Event, k canonical.Known) string {
	for _, id := range []string{e.Contact.LeadID, e.First(canonical.LeadID), k.First(canonical.LeadID)} {
		if len(id) > len(leadURN) && strings.HasPrefix(id, leadURN) && opaque(id) != "" {
			return id
		}
	}
	return ""
}

// eventID is the id itself, hashed where it is longer than the 64 characters that one
// connector documents.
func eventID(id canonical.EventID) string {
	if len(id) > 64 {
		return canonical.SHA256(string(id))
	}
	return string(id)
}
