package canonical

import "encoding/json"

// ReadEvent reads an event as encoding/json does. A lane reads every event once, so what this
// program wrote itself is read the short way.
func ReadEvent(b []byte, e *Event) error {
	*e = Event{}
	if r := (reader{all: string(b)}); readMembers(&r, e, eventMembers) && r.done() {
		return nil
	}
	*e = Event{}
	return json.Unmarshal(b, e)
}

// The members of each type, in the order of its fields. A test holds that none is missing:
// one that were would only be slow.
var (
	eventMembers = []member[Event]{
		{"event_id", func(r *reader, e *Event) bool { return r.text((*string)(&e.ID)) }},
		{"name", func(r *reader, e *Event) bool { return r.text(&e.Name) }},
		{"occurred_at", func(r *reader, e *Event) bool { return r.time(&e.OccurredAt) }},
		{"time_basis", func(r *reader, e *Event) bool { return r.text(&e.TimeBasis) }},
		{"observed_at", func(r *reader, e *Event) bool { return r.newTime(&e.ObservedAt) }},
		{"received_at", func(r *reader, e *Event) bool { return r.time(&e.ReceivedAt) }},
		{"source", func(r *reader, e *Event) bool { return r.text(&e.Source) }},
		{"way", func(r *reader, e *Event) bool { return r.text((*string)(&e.Way)) }},
		{"reported_as", func(r *reader, e *Event) bool { return r.text(&e.Reported) }},
		{"object", func(r *reader, e *Event) bool { return readMembers(r, &e.Object, objectMembers) }},
		{"pipeline", func(r *reader, e *Event) bool { return r.text(&e.Pipeline) }},
		{"raw_stage", func(r *reader, e *Event) bool { return r.text(&e.RawStage) }},
		{"stage", func(r *reader, e *Event) bool { return r.text(&e.Stage) }},
		{"claimed", func(r *reader, e *Event) bool { return r.text(&e.Claimed) }},
		{"funnel", func(r *reader, e *Event) bool { return r.bool(&e.Funnel) }},
		{"rank", func(r *reader, e *Event) bool { return r.int(&e.Rank) }},
		{"counted_by", func(r *reader, e *Event) bool { return r.text(&e.CountedBy) }},
		{"covered_by", func(r *reader, e *Event) bool { return r.text(&e.CoveredBy) }},
		{"deal", func(r *reader, e *Event) bool { return r.text(&e.Deal) }},
		{"recycle", func(r *reader, e *Event) bool { return r.text(&e.Recycle) }},
		{"ignored", func(r *reader, e *Event) bool { return r.text(&e.Ignored) }},
		{"ignored_by", func(r *reader, e *Event) bool { return r.text(&e.IgnoredBy) }},
		{"echo", func(r *reader, e *Event) bool { return r.bool(&e.Echo) }},
		{"history", func(r *reader, e *Event) bool { return r.bool(&e.History) }},
		{"rule", func(r *reader, e *Event) bool { return r.text(&e.Rule) }},
		{"node", func(r *reader, e *Event) bool { return r.node(&e.Node) }},
		{"account_node", func(r *reader, e *Event) bool { return r.node(&e.AccountNode) }},
		{"identifiers", func(r *reader, e *Event) bool { return readList(r, &e.Identifiers, readIdentifier) }},
		{"contact", func(r *reader, e *Event) bool { return readMembers(r, &e.Contact, contactMembers) }},
		{"company", func(r *reader, e *Event) bool { return readMembers(r, &e.Company, companyMembers) }},
		{"contacts", func(r *reader, e *Event) bool { return r.texts(&e.Contacts) }},
		{"touch", func(r *reader, e *Event) bool { return readNew(r, &e.Touch, touchMembers) }},
		{"revenue", func(r *reader, e *Event) bool { return readNew(r, &e.Revenue, revenueMembers) }},
		{"known", func(r *reader, e *Event) bool { return readNew(r, &e.Known, knownMembers) }},
		{"consent", func(r *reader, e *Event) bool { return readNew(r, &e.Consent, consentMembers) }},
		{"browser", func(r *reader, e *Event) bool { return readMembers(r, &e.Browser, browserMembers) }},
		{"properties", func(r *reader, e *Event) bool { return readMap(r, &e.Properties, (*reader).value) }},
		{"mapping_version", func(r *reader, e *Event) bool { return r.text(&e.MappingVersion) }},
		{"id_recipe", func(r *reader, e *Event) bool { return r.int(&e.IDRecipe) }},
		{"receipt_id", func(r *reader, e *Event) bool { return r.text((*string)(&e.ReceiptID)) }},
	}
	objectMembers = []member[Object]{
		{"account", func(r *reader, o *Object) bool { return r.text(&o.Account) }},
		{"type", func(r *reader, o *Object) bool { return r.text(&o.Type) }},
		{"id", func(r *reader, o *Object) bool { return r.text(&o.ID) }},
	}
	identifierMembers = []member[Identifier]{
		{"scheme", func(r *reader, i *Identifier) bool { return r.text((*string)(&i.Scheme)) }},
		{"value", func(r *reader, i *Identifier) bool { return r.text(&i.Value) }},
		{"seen", func(r *reader, i *Identifier) bool { return r.time(&i.Seen) }},
	}
	clickMembers = []member[Click]{
		{"scheme", func(r *reader, c *Click) bool { return r.text((*string)(&c.Scheme)) }},
		{"value", func(r *reader, c *Click) bool { return r.text(&c.Value) }},
		{"at", func(r *reader, c *Click) bool { return r.time(&c.At) }},
	}
	contactMembers = []member[Contact]{
		{"id", func(r *reader, c *Contact) bool { return r.text(&c.ID) }},
		{"email", func(r *reader, c *Contact) bool { return r.text(&c.Email) }},
		{"phone", func(r *reader, c *Contact) bool { return r.text(&c.Phone) }},
		{"first_name", func(r *reader, c *Contact) bool { return r.text(&c.FirstName) }},
		{"last_name", func(r *reader, c *Contact) bool { return r.text(&c.LastName) }},
		{"city", func(r *reader, c *Contact) bool { return r.text(&c.City) }},
		{"state", func(r *reader, c *Contact) bool { return r.text(&c.State) }},
		{"zip", func(r *reader, c *Contact) bool { return r.text(&c.Zip) }},
		{"country", func(r *reader, c *Contact) bool { return r.text(&c.Country) }},
		{"title", func(r *reader, c *Contact) bool { return r.text(&c.Title) }},
		{"lead_id", func(r *reader, c *Contact) bool { return r.text(&c.LeadID) }},
		{"hashed", func(r *reader, c *Contact) bool { return readMap(r, &c.Hashed, (*reader).texts) }},
	}
	companyMembers = []member[Company]{
		{"id", func(r *reader, c *Company) bool { return r.text(&c.ID) }},
		{"domain", func(r *reader, c *Company) bool { return r.text(&c.Domain) }},
		{"name", func(r *reader, c *Company) bool { return r.text(&c.Name) }},
		{"owner", func(r *reader, c *Company) bool { return r.text(&c.Owner) }},
		{"target", func(r *reader, c *Company) bool { return r.newBool(&c.Target) }},
		{"tier", func(r *reader, c *Company) bool { return r.text(&c.Tier) }},
	}
	touchMembers = []member[Touch]{
		{"kind", func(r *reader, t *Touch) bool { return r.text(&t.Kind) }},
		{"at", func(r *reader, t *Touch) bool { return r.time(&t.At) }},
		{"platform", func(r *reader, t *Touch) bool { return r.text(&t.Platform) }},
		{"utm_source", func(r *reader, t *Touch) bool { return r.text(&t.Source) }},
		{"utm_medium", func(r *reader, t *Touch) bool { return r.text(&t.Medium) }},
		{"utm_campaign", func(r *reader, t *Touch) bool { return r.text(&t.Campaign) }},
		{"utm_term", func(r *reader, t *Touch) bool { return r.text(&t.Term) }},
		{"utm_content", func(r *reader, t *Touch) bool { return r.text(&t.Content) }},
		{"campaign_id", func(r *reader, t *Touch) bool { return r.text(&t.CampaignID) }},
		{"ad_set", func(r *reader, t *Touch) bool { return r.text(&t.AdSet) }},
		{"ad", func(r *reader, t *Touch) bool { return r.text(&t.Ad) }},
		{"page", func(r *reader, t *Touch) bool { return r.text(&t.Page) }},
		{"referrer", func(r *reader, t *Touch) bool { return r.text(&t.Referrer) }},
		{"form", func(r *reader, t *Touch) bool { return r.text(&t.Form) }},
		{"subject", func(r *reader, t *Touch) bool { return r.text(&t.Subject) }},
		{"clicks", func(r *reader, t *Touch) bool { return readList(r, &t.Clicks, readClick) }},
		{"carried", func(r *reader, t *Touch) bool { return r.bool(&t.Carried) }},
	}
	revenueMembers = []member[Revenue]{
		{"amount", func(r *reader, v *Revenue) bool { return r.newMoney(&v.Amount) }},
		{"mrr", func(r *reader, v *Revenue) bool { return r.newMoney(&v.MRR) }},
		{"arr", func(r *reader, v *Revenue) bool { return r.newMoney(&v.ARR) }},
		{"acv", func(r *reader, v *Revenue) bool { return r.newMoney(&v.ACV) }},
		{"tcv", func(r *reader, v *Revenue) bool { return r.newMoney(&v.TCV) }},
		{"currency", func(r *reader, v *Revenue) bool { return r.text(&v.Currency) }},
		{"billing_period", func(r *reader, v *Revenue) bool { return r.text(&v.BillingPeriod) }},
		{"term_months", func(r *reader, v *Revenue) bool { return r.int(&v.TermMonths) }},
	}
	knownMembers = []member[Known]{
		{"offset", func(r *reader, k *Known) bool { return r.int64(&k.Offset) }},
		{"person", func(r *reader, k *Known) bool { return r.node(&k.Person) }},
		{"account", func(r *reader, k *Known) bool { return r.node(&k.Account) }},
		{"identifiers", func(r *reader, k *Known) bool { return readList(r, &k.Identifiers, readIdentifier) }},
		{"clicks", func(r *reader, k *Known) bool { return readList(r, &k.Clicks, readClick) }},
		{"first_touch", func(r *reader, k *Known) bool { return readNew(r, &k.FirstTouch, touchMembers) }},
		{"last_touch", func(r *reader, k *Known) bool { return readNew(r, &k.LastTouch, touchMembers) }},
		{"consent", func(r *reader, k *Known) bool { return readNew(r, &k.Consent, consentMembers) }},
		{"account_fields", func(r *reader, k *Known) bool { return readMap(r, &k.Fields, (*reader).text) }},
		{"contacts", func(r *reader, k *Known) bool { return readList(r, &k.Contacts, readDealContact) }},
		{"contact", func(r *reader, k *Known) bool { return r.node(&k.Contact) }},
		{"others", func(r *reader, k *Known) bool { return readList(r, &k.Others, (*reader).node) }},
		{"counts", func(r *reader, k *Known) bool { return readMap(r, &k.Counts, (*reader).int) }},
	}
	dealContactMembers = []member[DealContact]{
		{"node", func(r *reader, c *DealContact) bool { return r.node(&c.Node) }},
		{"person", func(r *reader, c *DealContact) bool { return r.node(&c.Person) }},
		{"primary", func(r *reader, c *DealContact) bool { return r.bool(&c.Primary) }},
		{"since", func(r *reader, c *DealContact) bool { return r.time(&c.Since) }},
		{"roles", func(r *reader, c *DealContact) bool { return r.texts(&c.Roles) }},
		{"identifiers", func(r *reader, c *DealContact) bool { return readList(r, &c.Identifiers, readIdentifier) }},
		{"clicks", func(r *reader, c *DealContact) bool { return readList(r, &c.Clicks, readClick) }},
		{"first_touch", func(r *reader, c *DealContact) bool { return readNew(r, &c.FirstTouch, touchMembers) }},
		{"last_touch", func(r *reader, c *DealContact) bool { return readNew(r, &c.LastTouch, touchMembers) }},
		{"consent", func(r *reader, c *DealContact) bool { return readNew(r, &c.Consent, consentMembers) }},
	}
	consentMembers = []member[Consent]{
		{"ad_storage", func(r *reader, c *Consent) bool { return r.newBool(&c.AdStorage) }},
		{"ad_user_data", func(r *reader, c *Consent) bool { return r.newBool(&c.AdUserData) }},
		{"data_processing_options", func(r *reader, c *Consent) bool { return r.texts(&c.DataProcessing) }},
		{"data_processing_options_country", func(r *reader, c *Consent) bool { return r.newInt(&c.ProcessingCountry) }},
		{"data_processing_options_state", func(r *reader, c *Consent) bool { return r.newInt(&c.ProcessingState) }},
	}
	browserMembers = []member[BrowserContext]{
		{"url", func(r *reader, c *BrowserContext) bool { return r.text(&c.URL) }},
		{"referrer", func(r *reader, c *BrowserContext) bool { return r.text(&c.Referrer) }},
		{"user_agent", func(r *reader, c *BrowserContext) bool { return r.text(&c.UserAgent) }},
		{"ip", func(r *reader, c *BrowserContext) bool { return r.text(&c.IP) }},
		{"fbp", func(r *reader, c *BrowserContext) bool { return r.text(&c.FBP) }},
		{"fbc", func(r *reader, c *BrowserContext) bool { return r.text(&c.FBC) }},
		{"ip_appendix", func(r *reader, c *BrowserContext) bool { return r.text(&c.IPAppendix) }},
	}
)

func readIdentifier(r *reader, i *Identifier) bool { return readMembers(r, i, identifierMembers) }
func readDealContact(r *reader, c *DealContact) bool {
	return readMembers(r, c, dealContactMembers)
}
func readClick(r *reader, c *Click) bool { return readMembers(r, c, clickMembers) }
