package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Object types, as paths name them.
const (
	contacts  = "contacts"
	companies = "companies"
	deals     = "deals"
	notes     = "notes"
)

// typeNames reads every way a path or a control call may name a type.
var typeNames = map[string]string{
	"contacts": contacts, "contact": contacts, "0-1": contacts,
	"companies": companies, "company": companies, "0-2": companies,
	"deals": deals, "deal": deals, "0-3": deals,
	"notes": notes, "note": notes, "0-46": notes,
}

var singular = map[string]string{contacts: "contact", companies: "company", deals: "deal", notes: "note"}
var typeIDs = map[string]string{contacts: "0-1", companies: "0-2", deals: "0-3", notes: "0-46"}

// A propertyDefinition is a property as the properties API shows it.
type propertyDefinition struct {
	Name         string           `json:"name"`
	Label        string           `json:"label"`
	Type         string           `json:"type"`
	FieldType    string           `json:"fieldType"`
	GroupName    string           `json:"groupName"`
	Description  string           `json:"description"`
	Options      []propertyOption `json:"options"`
	Unique       bool             `json:"hasUniqueValue"`
	Calculated   bool             `json:"calculated"`
	FormField    bool             `json:"formField"`
	Hidden       bool             `json:"hidden"`
	DisplayOrder int              `json:"displayOrder"`
	OfHubSpot    bool             `json:"hubspotDefined"`
	Formula      string           `json:"calculationFormula,omitempty"`
	Modification modification     `json:"modificationMetadata"`
	CreatedAt    string           `json:"createdAt,omitempty"`
	UpdatedAt    string           `json:"updatedAt,omitempty"`
}

type propertyOption struct {
	Label        string `json:"label"`
	Value        string `json:"value"`
	DisplayOrder int    `json:"displayOrder"`
	Hidden       bool   `json:"hidden"`
}

type modification struct {
	Archivable         bool `json:"archivable"`
	ReadOnlyDefinition bool `json:"readOnlyDefinition"`
	ReadOnlyValue      bool `json:"readOnlyValue"`
}

var defaultLifecycle = []string{"subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "evangelist", "other"}

var leadStatuses = []string{"NEW", "OPEN", "IN_PROGRESS", "OPEN_DEAL", "UNQUALIFIED", "ATTEMPTED_TO_CONTACT", "CONNECTED", "BAD_TIMING"}

var analyticsSources = []string{"ORGANIC_SEARCH", "PAID_SEARCH", "EMAIL_MARKETING", "SOCIAL_MEDIA", "REFERRALS", "OTHER_CAMPAIGNS", "DIRECT_TRAFFIC", "OFFLINE", "PAID_SOCIAL"}

// standardProperties are HubSpot's own, of each type: "name type" with an exclamation mark
// where the value is read-only.
var standardProperties = map[string][]string{
	contacts: {
		"email string", "firstname string", "lastname string", "phone string", "mobilephone string", "company string", "jobtitle string", "website string",
		"city string", "state string", "zip string", "country string", "address string", "message string", "hs_google_click_id string", "hs_facebook_click_id string",
		"hubspot_owner_id string", "associatedcompanyid number", "hs_additional_emails string !", "hs_object_id number !", "createdate datetime !",
		"lastmodifieddate datetime !", "total_revenue number !", "recent_deal_amount number !", "num_associated_deals number !", "num_unique_conversion_events number !",
		"hs_merged_object_ids string !", "hs_all_contact_vids string !", "hs_calculated_merged_vids string !",
	},
	companies: {
		"name string", "domain string", "phone string", "industry string", "city string", "country string", "website string", "numberofemployees number",
		"hubspot_owner_id string", "hs_object_id number !", "createdate datetime !", "hs_lastmodifieddate datetime !", "hs_merged_object_ids string !",
	},
	deals: {
		"dealname string", "dealstage string", "pipeline string", "amount number", "closedate datetime", "dealtype string", "deal_currency_code string", "description string",
		"hubspot_owner_id string", "hs_is_closed bool !", "hs_is_closed_won bool !", "hs_deal_stage_probability number !", "hs_closed_amount number !",
		"amount_in_home_currency number !", "hs_mrr number !", "hs_arr number !", "hs_tcv number !", "hs_acv number !", "hs_object_id number !",
		"createdate datetime !", "hs_lastmodifieddate datetime !", "hs_merged_object_ids string !", "num_associated_contacts number !",
	},
	notes: {
		"hs_timestamp datetime", "hs_note_body string", "hubspot_owner_id string", "hs_attachment_ids string", "hs_object_id number !", "hs_createdate datetime !",
		"hs_lastmodifieddate datetime !",
	},
}

// attributionProperties are the ten of our own that seed a sender's default mapping, without
// their prefix.
var attributionProperties = []string{
	"source_platform string", "source_campaign string", "source_ad_set string", "source_ad string", "utm_source string", "utm_medium string",
	"utm_campaign string", "first_touch_at datetime", "last_touch_at datetime", "lead_score number",
}

// fieldTypes says which fieldType goes with which type; the first is the default.
var fieldTypes = map[string][]string{
	"string":      {"text", "textarea", "html", "phonenumber", "file"},
	"number":      {"number"},
	"bool":        {"booleancheckbox"},
	"enumeration": {"select", "radio", "checkbox", "booleancheckbox"},
	"date":        {"date"},
	"datetime":    {"date"},
}

func newSchema(a HubSpotAccount) map[string]map[string]propertyDefinition {
	out := make(map[string]map[string]propertyDefinition)
	for object, list := range standardProperties {
		out[object] = make(map[string]propertyDefinition)
		for _, text := range list {
			define(out[object], text, "", singular[object]+"information", true)
		}
	}
	for _, o := range a.Objects {
		plural := cmp.Or(o.Plural, o.Name+"s")
		out[plural] = make(map[string]propertyDefinition)
		for _, text := range []string{"hs_object_id number !", "createdate datetime !", "hs_lastmodifieddate datetime !", "hubspot_owner_id string", "hs_merged_object_ids string !"} {
			define(out[plural], text, "", o.Name+"_information", true)
		}
		for _, text := range o.Properties {
			define(out[plural], text, "", o.Name+"_information", false)
		}
	}
	for _, object := range []string{contacts, companies} {
		enumerate(out[object], "lifecyclestage", a.Lifecycle)
		for _, stage := range a.Lifecycle {
			define(out[object], "hs_lifecyclestage_"+stage+"_date datetime !", "", singular[object]+"information", true)
			define(out[object], "hs_date_entered_"+stage+" datetime !", "", singular[object]+"information", true)
		}
	}
	enumerate(out[contacts], "hs_lead_status", leadStatuses)
	enumerate(out[contacts], "hs_analytics_source", analyticsSources)
	if a.PropertyPrefix != "" {
		for _, text := range attributionProperties {
			define(out[contacts], text, a.PropertyPrefix, strings.Trim(a.PropertyPrefix, "_"), false)
		}
	}
	return out
}

// check finds an object type that no account could have.
func (o CustomObject) check() error {
	if !propertyName.MatchString(o.Name) || typeNames[o.Name] != "" || typeNames[cmp.Or(o.Plural, o.Name+"s")] != "" {
		return fmt.Errorf("want a lower-case name that is no type of HubSpot's own")
	}
	for _, text := range o.Properties {
		if words := strings.Fields(text); len(words) < 2 || len(words) > 3 || fieldTypes[words[1]] == nil || len(words) == 3 && words[2] != "unique" {
			return fmt.Errorf(`property %q: want "name type" or "name type unique"`, text)
		}
	}
	return nil
}

func define(into map[string]propertyDefinition, text, prefix, group string, ofHubSpot bool) {
	words := strings.Fields(text)
	mark := ""
	if len(words) > 2 {
		mark = words[2]
	}
	name := prefix + words[0]
	into[name] = propertyDefinition{
		Name: name, Label: strings.ReplaceAll(name, "_", " "), Type: words[1], FieldType: fieldTypes[words[1]][0], GroupName: group,
		OfHubSpot: ofHubSpot, Calculated: mark == "!", Unique: mark == "unique", Options: []propertyOption{},
		Modification: modification{ReadOnlyValue: mark == "!", ReadOnlyDefinition: ofHubSpot, Archivable: !ofHubSpot},
	}
}

func enumerate(into map[string]propertyDefinition, name string, values []string) {
	options := make([]propertyOption, len(values))
	for i, v := range values {
		options[i] = propertyOption{Label: v, Value: v, DisplayOrder: i}
	}
	into[name] = propertyDefinition{
		Name: name, Label: name, Type: "enumeration", FieldType: "select", GroupName: "contactinformation", OfHubSpot: true, Options: options,
		Modification: modification{ReadOnlyDefinition: true},
	}
}

var numberShape = regexp.MustCompile(`^-?\d+(\.\d+)?$`)

var emailShape = regexp.MustCompile(`^[^\s@]+@[^\s@]+\.[^\s@.]+$`)

// check reads a value for a property: as it will be kept, or the code and words of what is
// wrong.
func (p propertyDefinition) check(value any) (kept, code, message string) {
	text, ok := value.(string)
	if !ok {
		return "", "INVALID_TYPE", p.Name + " must be sent as a string"
	}
	if p.Modification.ReadOnlyValue {
		return "", "READ_ONLY_VALUE", `"` + p.Name + `" is a read only property; its value cannot be set.`
	}
	if text == "" {
		return "", "", ""
	}
	switch p.Type {
	case "number":
		if !numberShape.MatchString(text) {
			return "", "INVALID_NUMBER", text + " was not a valid number."
		}
	case "bool":
		if text != "true" && text != "false" {
			return "", "INVALID_OPTION", text + " was not one of the allowed options: [true, false]"
		}
	case "enumeration":
		return p.checkOptions(text)
	case "date", "datetime":
		return p.checkTime(text)
	default:
		if len(text) > maxText && utf8.RuneCountInString(text) > maxText {
			return "", "PROPERTY_TOO_LONG", p.Name + " is longer than 65536 characters"
		}
	}
	switch {
	case p.Name == "hubspot_owner_id" && !digits.MatchString(text):
		return "", "INVALID_OWNER_ID", text + " is no owner's id"
	case p.Name == "email":
		return checkEmail(text)
	}
	return text, "", ""
}

const maxText = 65536

func checkEmail(text string) (kept, code, message string) {
	text = strings.ToLower(strings.TrimSpace(text))
	if !plainEmail.MatchString(text) {
		addr, err := mail.ParseAddress(text)
		if err != nil || addr.Name != "" || !emailShape.MatchString(addr.Address) {
			return "", "INVALID_EMAIL", "Email address is invalid"
		}
	}
	return text, "", ""
}

// plainEmail is what nearly every address looks like, and is certainly one.
var plainEmail = regexp.MustCompile(`^[a-z0-9_+-]+(\.[a-z0-9_+-]+)*@[a-z0-9-]+(\.[a-z0-9-]+)+$`)

func (p propertyDefinition) checkOptions(text string) (kept, code, message string) {
	chosen := []string{text}
	if p.FieldType == "checkbox" {
		chosen = strings.Split(strings.TrimPrefix(text, ";"), ";")
	}
	for _, v := range chosen {
		if !slices.ContainsFunc(p.Options, func(o propertyOption) bool { return o.Value == v }) {
			return "", "INVALID_OPTION", v + " was not one of the allowed options of " + p.Name
		}
	}
	return text, "", ""
}

func (p propertyDefinition) checkTime(text string) (kept, code, message string) {
	at, ok := readTime(text)
	if !ok {
		return "", "INVALID_DATE", text + " was not a valid date."
	}
	if p.Type == "datetime" {
		return stamp(at), "", ""
	}
	if at.UnixMilli()%(24*time.Hour).Milliseconds() != 0 {
		return "", "INVALID_DATE", text + " is at " + at.Format(time.TimeOnly) + " UTC, not midnight!"
	}
	return at.Format(time.DateOnly), "", ""
}

// readTime reads ISO 8601 or Unix milliseconds.
func readTime(text string) (time.Time, bool) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms).UTC(), true
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

// stamp writes a time as HubSpot does.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// A Pipeline is a way of deals, or of contacts, through their stages.
type Pipeline struct {
	ID     string  `json:"id"`
	Label  string  `json:"label"`
	Stages []Stage `json:"stages"`
}

// A Stage of a pipeline. Won is closed with probability 1, lost is closed with 0.
type Stage struct {
	ID          string  `json:"id"`
	Label       string  `json:"label"`
	Closed      bool    `json:"closed,omitempty"`
	Probability float64 `json:"probability,omitempty"`
}

// DealPipeline is a pipeline with the stages of HubSpot's default one.
func DealPipeline(id, label string) Pipeline {
	return Pipeline{ID: id, Label: label, Stages: []Stage{
		{ID: "appointmentscheduled", Label: "Appointment Scheduled", Probability: 0.2},
		{ID: "qualifiedtobuy", Label: "Qualified To Buy", Probability: 0.4},
		{ID: "presentationscheduled", Label: "Presentation Scheduled", Probability: 0.6},
		{ID: "decisionmakerboughtin", Label: "Decision Maker Bought-In", Probability: 0.8},
		{ID: "contractsent", Label: "Contract Sent", Probability: 0.9},
		{ID: "closedwon", Label: "Closed Won", Closed: true, Probability: 1},
		{ID: "closedlost", Label: "Closed Lost", Closed: true},
	}}
}

func (st Stage) probability() string {
	text := strconv.FormatFloat(st.Probability, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

func (st Stage) body(order int, deal bool) map[string]any {
	metadata := map[string]string{}
	if deal {
		metadata = map[string]string{"isClosed": strconv.FormatBool(st.Closed), "probability": st.probability()}
	}
	return map[string]any{"id": st.ID, "label": cmp.Or(st.Label, st.ID), "displayOrder": order, "archived": false, "metadata": metadata}
}

func (p Pipeline) body(order int, deal bool) map[string]any {
	stages := make([]any, len(p.Stages))
	for i, st := range p.Stages {
		stages[i] = st.body(i, deal)
	}
	return map[string]any{"id": p.ID, "label": cmp.Or(p.Label, p.ID), "displayOrder": order, "archived": false, "stages": stages}
}

// idText reads an id that may come as a text or a number.
func idText(v any) string {
	switch t := v.(type) {
	case string:
		return t
	case json.Number:
		return t.String()
	}
	return ""
}
