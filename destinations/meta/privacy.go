package meta

import (
	"strconv"

	"tributary/canonical"
	"tributary/destinations"
)

// What becomes of an event whose person said nothing on advertising (consent_unsaid).
const (
	unsaidSend     = "send"
	unsaidLimited  = "limited"  // with limited data use
	unsaidOptOut   = "opt_out"  // for attribution only
	unsaidSuppress = "suppress" // not at all
)

// said is true where the person said anything that bears on advertising.
func said(c *canonical.Consent) bool {
	return c != nil && (c.AdStorage != nil || c.AdUserData != nil || c.DataProcessing != nil)
}

// A limit is what an event says of limited data use: nothing, explicitly none, or LDU with
// the place whose law asks for it; 0 and 0 let Meta find the place.
type limit struct {
	given          bool
	limited        bool
	country, state int
}

// limitOf reads what the person said, and where nothing was said, the setting.
func (d *destination) limitOf(e *canonical.Event) limit {
	c := e.Consent
	switch {
	case c != nil && c.DataProcessing != nil:
		if !c.LimitsUse() {
			return limit{given: true}
		}
	case d.ConsentUnsaid == unsaidLimited && !said(c):
		c = &canonical.Consent{}
	default:
		return limit{}
	}
	l := limit{given: true, limited: true}
	l.country, l.state = place(c, e)
	return l
}

// place gives country and state together, as Meta wants them: what was said where Meta
// knows it, else the contact's own state in the USA, else 0 and 0.
func place(c *canonical.Consent, e *canonical.Event) (country, state int) {
	if c.ProcessingCountry != nil || c.ProcessingState != nil {
		if k, s := c.ProcessingCountry, c.ProcessingState; k != nil && s != nil && (*k == 0 || *k == 1) && (*s == 0 || *s >= 1000 && *s <= 1013) {
			return *k, *s // as it was said
		}
		if s := c.ProcessingState; s != nil && *s >= 1000 && *s <= 1013 {
			return 1, *s
		}
		if c.ProcessingCountry != nil && *c.ProcessingCountry == 1 {
			return 1, 0
		}
		return 0, 0
	}
	if e.Browser.IP != "" || destinations.Country(e.Contact.Country) != "US" {
		return 0, 0
	}
	if n := limitedStates[normalState("US")(e.Contact.State)]; n != 0 {
		return 1, n
	}
	return 0, 0
}

func (l limit) write(b []byte) []byte {
	switch {
	case !l.given:
		return b
	case !l.limited:
		return append(b, `,"data_processing_options":[]`...)
	}
	b = append(b, `,"data_processing_options":["LDU"],"data_processing_options_country":`...)
	b = strconv.AppendInt(b, int64(l.country), 10)
	b = append(b, `,"data_processing_options_state":`...)
	return strconv.AppendInt(b, int64(l.state), 10)
}
