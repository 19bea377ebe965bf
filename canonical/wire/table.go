package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The fields that a body of POST /v1/ingest/crm or POST /v1/events may hold stand in the lists of
// this file and nowhere else: the readers take their names from here, and docs/http.md and
// the OpenAPI document are written from here. A test holds that no reader has a name of its own.

// A Type says what a field's value may be.
type Type string

// The types of fields. A number stands for its digits wherever text is taken.
const (
	Text     Type = "text"
	ID       Type = "id"
	Stage    Type = "stage"
	Time     Type = "time"
	Amount   Type = "amount"
	Flag     Type = "flag"
	Texts    Type = "texts"
	Currency Type = "currency"
	Whole    Type = "whole"
	Nested   Type = "object"
)

// Types says what each type of field takes, for the documentation.
func Types() []Field {
	return []Field{
		{Names: []string{string(Text)}, Says: "text; a number or a boolean is taken as it is written"},
		{Names: []string{string(ID)}, Says: "an id: text up to 1024 bytes, or a number"},
		{Names: []string{string(Stage)}, Says: "a stage's internal name or id: text up to 1024 bytes, or a number"},
		{Names: []string{string(Time)}, Says: "RFC 3339 text, or Unix seconds or milliseconds"},
		{Names: []string{string(Amount)}, Says: "a decimal, as number or text"},
		{Names: []string{string(Flag)}, Says: "`true` or `false`, also as text, 1 or 0, yes or no, granted or denied"},
		{Names: []string{string(Texts)}, Says: "text, or a list of texts"},
		{Names: []string{string(Currency)}, Says: "an ISO 4217 code of three letters"},
		{Names: []string{string(Whole)}, Says: "a whole number, also as text"},
		{Names: []string{string(Nested)}, Says: "an object"},
	}
}

// A Field is one member that is read: its name, the other names that it is taken by, and what
// it means.
type Field struct {
	Names   []string // the documented one first; the first that is there counts
	Type    Type
	Says    string
	Example json.RawMessage
}

// Name is the documented one.
func (f Field) Name() string { return f.Names[0] }

// Also are the other names.
func (f Field) Also() []string { return f.Names[1:] }

// An Object is a part of a body.
type Object struct {
	Names  []string // none: the body itself
	Says   string
	Fields []Field
}

func field(t Type, says, example string, names ...string) Field {
	return Field{Names: names, Type: t, Says: says, Example: json.RawMessage(example)}
}

// fields are a list that readers take names from.
type fields []Field

// names gives the names by which a field of the list is read.
func (fs fields) names(name string) []string {
	for _, f := range fs {
		if f.Name() == name {
			return f.Names
		}
	}
	panic(fmt.Sprintf("no list has the field %s", name)) // when the program starts, if ever
}

var (
	// Of the body itself.
	topFields = fields{
		field(Text, "What happened: one of the names below, or in `/v1/events` any other. A leading `hubspot.` may be left out.", `"lead_stage_changed"`, "event", "event_name", "type"),
		field(Text, "The configured source that it belongs to; the source of the key counts before it.", `"hubspot"`, "source"),
		field(ID, "Kept as the event's id. The same name and id are the same event, however often it is sent. Without one it is made from the fact.", `"crm-102948-7"`, "event_id"),
		field(Time, "When it happened. Of a change of lifecycle stage or lead status in `/v1/ingest/crm`: when it was reported.", `"2026-04-23T11:04:19Z"`, "occurred_at", "timestamp", "event_time"),
		field(Time, "When the change happened, where `occurred_at` is when it was reported.", `"2026-04-23T11:04:19Z"`, "changed_at"),
		field(ID, "Of a deal's event: the deal.", `"84721"`, "deal_id"),
	}
	// Of contact and company: what only a CRM says.
	contactFields = fields{
		field(ID, "The contact's id in the CRM.", `"102948"`, "id", "hs_object_id", "hubspot_contact_id", "contact_id", "vid"),
		field(Stage, "Its lifecycle stage.", `"marketingqualifiedlead"`, "lifecycle_stage", "lifecyclestage", "stage", "hubspot_lifecycle_stage"),
		field(Stage, "Its lead status.", `"OPEN"`, "lead_status", "hs_lead_status"),
		field(Time, "When it came into the stage; also as `hs_lifecyclestage_<stage>_date`, `hs_v2_date_entered_<stage>` or `hs_date_entered_<stage>`.", `"2026-04-23T11:04:19Z"`, "lifecycle_stage_changed_at"),
	}
	companyFields = fields{
		field(ID, "The company's id in the CRM.", `"3029911"`, "id", "hs_object_id", "hubspot_company_id", "company_id"),
		field(ID, "Its domain, or an address of its website: names the account.", `"acme.example"`, "domain", "website", "company_domain"),
		field(Text, "Its name.", `"Acme"`, "name", "company_name"),
		field(Text, "The CRM's id of the account's owner.", `"55192"`, "owner_id", "account_owner", "hubspot_owner_id", "owner"),
		field(Text, "Its tier.", `"tier_1"`, "tier", "target_tier", "hs_ideal_customer_profile"),
		field(Flag, "Whether it is a target account.", `true`, "target", "target_account", "is_target", "hs_is_target_account"),
	}
	// Of a deal.
	dealFields = fields{
		field(ID, "The deal's id in the CRM.", `"84721"`, "id", "hs_object_id", "deal_id", "hubspot_deal_id"),
		field(Stage, "Its stage.", `"contractsent"`, "stage", "dealstage", "deal_stage"),
		field(Text, "The stage's label, as people see it.", `"Contract sent"`, "stage_label", "dealstage_label"),
		field(Time, "When it came into the stage; also as `hs_dealstage_<stage>_date`, `hs_v2_date_entered_<stage>` or `hs_date_entered_<stage>`.", `"2026-04-23T11:04:19Z"`, "stage_changed_at"),
		field(ID, "Its pipeline.", `"sales_pipeline"`, "pipeline", "pipeline_id"),
		field(Text, "The pipeline's label.", `"Sales"`, "pipeline_label"),
		field(Text, "The CRM's id of its owner; kept as the property `owner_id`.", `"55192"`, "owner_id", "hubspot_owner_id", "owner"),
		field(Flag, "Whether its stage is one that is won.", `false`, "hs_is_closed_won", "is_closed_won"),
		field(Flag, "Whether its stage is one that is closed.", `false`, "hs_is_closed", "is_closed"),
		field(Amount, "The probability of its stage, 0 to 1.", `0.9`, "hs_deal_stage_probability", "probability"),
		field(Texts, "CRM ids of its contacts; the one who counts first.", `["102948"]`, "contact_ids", "contacts"),
		field(Texts, "CRM ids of its companies; the primary one first.", `["3029911"]`, "company_ids", "companies"),
	}
	// Values of a deal or of an event; they are kept side by side.
	revenueFields = fields{
		field(Amount, "The amount.", `36000`, "value", "amount"),
		field(Amount, "Monthly recurring revenue.", `3000`, "mrr", "hs_mrr"),
		field(Amount, "Annual recurring revenue.", `36000`, "arr", "hs_arr"),
		field(Amount, "Annual contract value.", `36000`, "acv", "hs_acv"),
		field(Amount, "Total contract value.", `72000`, "contract_value", "tcv", "hs_tcv"),
		field(Currency, "The currency of all values; left out: that of the source or account.", `"USD"`, "currency", "deal_currency_code"),
		field(Text, "What the amount is for: annual, monthly, …", `"annual"`, "billing_period"),
	}
	// Who somebody is: of contact, user_data and the body itself.
	whoFields = fields{
		field(Texts, "E-mail addresses, in the clear or as SHA-256.", `"buyer@acme.example"`, "email", "em", "emails"),
		field(Texts, "SHA-256 of the normalised address, 64 hex digits.", `"27caec5ade10f667c4a05e8387c5d97dac8c1be9ea715e820de22ab9fcdb91ff"`, "email_sha256", "email_hash", "hashed_email", "sha256_email", "em_sha256"),
		field(Texts, "Telephone numbers, in the clear or as SHA-256.", `"+49 30 1234567"`, "phone", "ph", "phone_number", "mobilephone"),
		field(Texts, "SHA-256 of the number in E.164 without the plus.", `"37caec5ade10f667c4a05e8387c5d97dac8c1be9ea715e820de22ab9fcdb91ff"`, "phone_sha256", "phone_hash", "hashed_phone"),
		field(ID, "Meta's id of a lead of its lead ads.", `"1234567890"`, "lead_id", "leadgen_id"),
		field(ID, "Your own id of the person; hashed before it is used.", `"u-1"`, "user_id", "userId"),
		field(Texts, "Your own ids of the person, as Meta's `external_id`.", `"u-1"`, "external_id"),
		field(ID, "The first-party cookie of a browser.", `"a-77"`, "anonymous_id", "anonymousId"),
		field(ID, "HubSpot's cookie.", `"7a5e1c0f3b9d4e6f8a2b1c3d5e7f9a0b"`, "hubspotutk", "hutk", "utk"),
		field(ID, "Meta's browser cookie.", `"fb.1.1776942000000.1098115397"`, "fbp", "_fbp"),
		field(ID, "Meta's click cookie.", `"fb.1.1776942000000.IwAR0example"`, "fbc", "_fbc"),
		field(Text, "The address of the browser.", `"203.0.113.7"`, "client_ip_address", "ip", "ip_address"),
		field(Text, "The browser's own name.", `"Mozilla/5.0"`, "client_user_agent", "user_agent"),
		field(Nested, "What the person agreed to; see below.", `{"ad_user_data": true}`, "consent"),
		field(Texts, "Meta's limited data use.", `["LDU"]`, "data_processing_options"),
		field(Whole, "Its country.", `0`, "data_processing_options_country"),
		field(Whole, "Its state.", `0`, "data_processing_options_state"),
	}
	// What is known of a person: of contact and user_data.
	personFields = fields{
		field(Texts, "First name; it may be hashed, as all up to `country`.", `"Jo"`, "first_name", "firstname", "fn"),
		field(Texts, "Last name.", `"Miller"`, "last_name", "lastname", "ln"),
		field(Texts, "City.", `"Berlin"`, "city", "ct"),
		field(Texts, "State or region.", `"BE"`, "state", "st", "region"),
		field(Texts, "Postal code.", `"10115"`, "zip", "zp", "postal_code"),
		field(Texts, "Country.", `"DE"`, "country", "country_code"),
		field(Texts, "Date of birth; kept as a hash only.", `"19800501"`, "db"),
		field(Texts, "Gender; kept as a hash only.", `"f"`, "ge"),
		field(Text, "Job title.", `"Head of IT"`, "title", "job_title", "jobtitle"),
	}
	consentFields = fields{
		field(Flag, "Whether data may be stored for advertising.", `true`, "ad_storage", "ads"),
		field(Flag, "Whether data of the person may be sent for advertising.", `true`, "ad_user_data", "ads_user_data"),
	}
	// Where somebody came from: of campaign, custom_data and the body itself.
	campaignFields = fields{
		field(Text, "UTM source.", `"linkedin"`, "utm_source"),
		field(Text, "UTM medium.", `"cpc"`, "utm_medium"),
		field(Text, "UTM campaign.", `"spring"`, "utm_campaign"),
		field(Text, "UTM term.", `"crm"`, "utm_term"),
		field(Text, "UTM content.", `"ad-7"`, "utm_content"),
		field(Text, "The campaign's id at the ad platform.", `"600100"`, "campaign_id", "utm_id", "hsa_cam"),
		field(Text, "The ad set's (ad group's) id.", `"600200"`, "adset_id", "ad_set_id", "hsa_grp"),
		field(Text, "The ad's id.", `"600300"`, "ad_id", "hsa_ad"),
	}
	clickFields = fields{
		field(ID, "Click id of Meta.", `"IwAR0example"`, "fbclid"),
		field(ID, "Click id of LinkedIn.", `"7f3c"`, "li_fat_id"),
		field(ID, "Click id of Google.", `"EAIaIQ"`, "gclid"),
		field(ID, "Click id of Google, app to web.", `"gb-1"`, "gbraid"),
		field(ID, "Click id of Google, web to app.", `"wb-1"`, "wbraid"),
		field(ID, "Click id of Microsoft.", `"ms-1"`, "msclkid"),
		field(ID, "Click id of TikTok.", `"tt-1"`, "ttclid"),
	}
	// Where something happened: of the body itself, custom_data and user_data.
	pageFields = fields{
		field(Text, "The page; campaign and click ids are read from its query too.", `"https://acme.example/pricing?utm_source=linkedin"`, "event_source_url", "page_url", "landing_page", "url"),
		field(Text, "Where the browser came from.", `"https://social.example/"`, "referrer_url", "referrer", "referer"),
	}
	// Of touches: of the body itself and custom_data.
	touchFields = fields{
		field(Text, "Of a form: its name or id.", `"demo"`, "form", "form_id", "form_name"),
		field(Text, "Of an e-mail: its subject.", `"News of May"`, "subject"),
		field(Text, "Of an e-mail: its id.", `"em-1"`, "email_id", "message_id"),
		field(Text, "Of a meeting: its id.", `"mt-1"`, "meeting_id"),
	}
	// Of custom_data, where a middleware puts what it has of the CRM.
	customFields = fields{
		field(ID, "The contact's id in the CRM.", `"102948"`, "hubspot_contact_id", "contact_id"),
		field(Stage, "The contact's lifecycle stage.", `"marketingqualifiedlead"`, "hubspot_lifecycle_stage", "lifecycle_stage", "lifecyclestage"),
		field(Stage, "The contact's lead status.", `"OPEN"`, "hubspot_lead_status", "lead_status"),
		field(ID, "The deal's id in the CRM.", `"84721"`, "hubspot_deal_id", "deal_id"),
		field(Stage, "The deal's stage.", `"contractsent"`, "hubspot_deal_stage", "deal_stage", "dealstage"),
		field(Text, "The label of the deal's stage.", `"Contract sent"`, "deal_stage_label"),
		field(ID, "The deal's pipeline.", `"sales_pipeline"`, "hubspot_pipeline", "pipeline", "pipeline_id"),
		field(Text, "The label of the pipeline.", `"Sales"`, "pipeline_label"),
		field(ID, "The company's id in the CRM.", `"3029911"`, "hubspot_company_id", "company_id"),
		field(Text, "The CRM's id of the deal's owner; kept as the property `owner_id`.", `"55192"`, "owner_id"),
	}
	// What the sender thinks: of custom_data and the body itself.
	claimFields = fields{
		field(Text, "What the sender takes the stage to be in our words: kept for audit, never used. Where it differs from what the mapping says, that is counted and shown.", `"proposal_sent"`, "tracklayer_stage", "tributary_stage", "canonical_stage", "canonical_event"),
	}
	// Of a merge and an unmerge: of the body itself, and of the contact or company.
	mergeFields = fields{
		field(ID, "The record that holds the result. May be a fresh id. Left out: `contact.id` or `company.id`.", `"102948"`, "survivor_id", "survivor", "new_object_id", "newObjectId", "primary_object_id", "primaryObjectId", "primary_id"),
		field(Texts, "The records that are it, or are themselves again. The survivor may stand among them.", `["102311", "102977"]`, "merged_ids", "merged_object_ids", "mergedObjectIds", "merged", "merged_contact_ids", "merged_company_ids"),
	}
)

// Objects are the parts of a body of the two server-side ways in, the body itself first.
func Objects() []Object {
	return []Object{
		{nil, "The body itself.", slices.Concat(topFields, mergeFields, whoFields, revenueFields, campaignFields, clickFields, pageFields, touchFields, claimFields)},
		{[]string{"contact"}, "A contact of the CRM.", slices.Concat(contactFields, mergeFields, whoFields, personFields, clickFields)},
		{[]string{"company"}, "A company of the CRM.", slices.Concat(companyFields, mergeFields, contactFields[1:2], contactFields[3:])},
		{[]string{"deal"}, "A deal of the CRM.", slices.Concat(dealFields, revenueFields)},
		{[]string{"user_data", "user"}, "Whose event it is.", slices.Concat(whoFields, personFields, clickFields, pageFields)},
		{[]string{"account_data", "account"}, "Of which account.", companyFields},
		{[]string{"custom_data"}, "What else there is to say; what has no name here is kept as a property.", slices.Concat(customFields, claimFields, revenueFields, campaignFields, clickFields, pageFields, touchFields)},
		{[]string{"campaign"}, "The campaign that brought it.", slices.Concat(campaignFields, clickFields)},
		{[]string{"consent"}, "What the person agreed to; stands in `contact`, `user_data` or the body itself.", consentFields},
	}
}

// Schema is the JSON schema of a body. Fields that are not named are kept as properties, so
// none is refused.
func Schema() map[string]map[string]any {
	out := map[string]map[string]any{}
	merge := map[string]any{}
	for _, f := range slices.Concat(mergeFields, topFields[1:4]) {
		for _, name := range f.Names {
			merge[name] = f.Type.schema()
		}
	}
	var names []string
	for _, e := range EventNames() {
		if e.kind == merged || e.kind == unmerged {
			names = append(names, e.Names...)
		}
	}
	merge["event"] = map[string]any{"enum": names}
	for _, object := range []string{"contact", "company"} {
		merge[object] = map[string]any{"type": "object", "properties": map[string]any{"id": ID.schema(), mergedIDs[0]: Texts.schema()}}
	}
	out["ItemMerge"] = map[string]any{"type": "object", "description": "A merge or an unmerge of CRM records: refused at the door unless it says which record survives, and at least one other.",
		"required": []string{"event"}, "properties": merge}
	for _, o := range Objects() {
		properties := map[string]any{}
		for _, f := range o.Fields {
			for i, name := range f.Names {
				s := f.Type.schema()
				if s["description"] = f.Says; i > 0 {
					s["description"] = "As `" + f.Name() + "`."
				}
				properties[name] = s
			}
		}
		if o.Names != nil {
			out[schemaName(o.Names[0])] = map[string]any{"type": "object", "description": o.Says, "properties": properties}
			continue
		}
		for _, part := range Objects()[1:] {
			for _, name := range part.Names {
				properties[name] = orNull(map[string]any{"$ref": "#/components/schemas/" + schemaName(part.Names[0])})
			}
		}
		properties["event"] = map[string]any{"type": []string{"string", "null"}, "description": o.Fields[0].Says, "examples": documentedNames()}
		out["Item"] = map[string]any{"type": "object", "description": "One event or change of a CRM record. What is not named here is kept as a property.", "properties": properties}
	}
	return out
}

func documentedNames() []string {
	var names []string
	for _, e := range EventNames() {
		names = append(names, e.Names[0])
	}
	return names
}

func schemaName(object string) string {
	var b strings.Builder
	b.WriteString("Item")
	for _, w := range strings.Split(object, "_") {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

func orNull(s map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{s, map[string]any{"type": "null"}}}
}

// schema describes what a field of the type takes.
func (t Type) schema() map[string]any {
	switch t {
	case Amount, Time, Whole:
		return map[string]any{"type": []string{"string", "number", "null"}}
	case Currency:
		return map[string]any{"type": []string{"string", "null"}}
	case Texts:
		text := []string{"string", "number", "null"}
		return map[string]any{"type": append(slices.Clone(text), "array"), "items": map[string]any{"type": text}, "maxItems": maxList}
	case Nested:
		return map[string]any{"type": []string{"object", "null"}}
	case Flag:
		return map[string]any{"type": []string{"boolean", "string", "number", "null"}}
	}
	return map[string]any{"type": []string{"string", "number", "boolean", "null"}}
}
