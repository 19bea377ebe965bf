package simulator

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A metaEvent is one element of data on its way through the rules.
type metaEvent struct {
	object   map[string]any // without nulls
	now      time.Time
	name     string
	source   string // action_source
	time     time.Time
	user     map[string]any
	custom   map[string]any
	warnings []string
}

var actionSources = []string{
	"email", "website", "app", "phone_call", "chat", "physical_store", "system_generated", "business_messaging", "other",
}

const (
	metaMaxAge      = 7 * 24 * time.Hour
	metaMaxAgeStore = 62 * 24 * time.Hour
	metaMaxAhead    = time.Minute
)

// check is the list of what Meta checks of one event, in order.
func (e *metaEvent) check() *metaError {
	for _, step := range []func() *metaError{
		e.checkShape, e.checkTime, e.checkSource, e.checkUser, e.checkCustom, e.checkOptions,
	} {
		if refused := step(); refused != nil {
			return refused
		}
	}
	return nil
}

func (e *metaEvent) warn(format string, args ...any) {
	e.warnings = append(e.warnings, fmt.Sprintf(format, args...))
}

func (e *metaEvent) text(key string) string {
	t, _ := e.object[key].(string)
	return t
}

func (e *metaEvent) checkShape() *metaError {
	e.name, e.source = e.text("event_name"), e.text("action_source")
	if e.name == "" {
		return metaInvalid("event_name", "The parameter event_name is required")
	}
	if len([]rune(e.name)) > 50 || strings.TrimSpace(e.name) != e.name {
		e.warn("event_name is longer than 50 characters or has spaces around it")
	}
	if !slices.Contains(actionSources, e.source) {
		return metaInvalid("action_source", "action_source must be one of "+strings.Join(actionSources, ", "))
	}
	user, ok := e.object["user_data"].(map[string]any)
	if !ok {
		return metaInvalid("user_data", "The parameter user_data is required")
	}
	e.user = user
	switch custom := e.object["custom_data"].(type) {
	case nil:
	case map[string]any:
		e.custom = custom
	default:
		return metaInvalid("custom_data", "custom_data must be an object")
	}
	for _, key := range []string{"event_id", "event_source_url", "referrer_url", "messaging_channel"} {
		if v, ok := e.object[key]; ok {
			if _, text := v.(string); !text {
				return metaInvalid(key, key+" must be a string")
			}
		}
	}
	if e.text("event_id") == "" {
		e.warn("no event_id: nothing can be told apart")
	}
	if v, ok := e.object["opt_out"]; ok {
		if _, isBool := v.(bool); !isBool {
			return metaInvalid("opt_out", "opt_out must be a boolean")
		}
	}
	return nil
}

func (e *metaEvent) checkTime() *metaError {
	n, ok := number(e.object["event_time"])
	seconds, err := n.Int64()
	if !ok || err != nil {
		return metaInvalid("event_time", "event_time must be a Unix time in seconds")
	}
	if seconds > 1e11 || seconds < 0 { // milliseconds, or nonsense
		return metaInvalid("event_time", "event_time must be a Unix time in seconds")
	}
	e.time = time.Unix(seconds, 0).UTC()
	if e.time.After(e.now.Add(metaMaxAhead)) {
		return metaInvalid("event_time", "event_time is in the future")
	}
	most := metaMaxAge
	if e.source == "physical_store" {
		most = metaMaxAgeStore
	}
	if e.now.Sub(e.time) > most {
		return &metaError{status: http.StatusBadRequest, code: 100, subcode: 2804003, message: "Invalid parameter", title: "Event Timestamp Too Old",
			text: "The timestamp for this event is too far in the past. Events must be sent within 7 days.", blame: "event_time"}
	}
	return nil
}

func (e *metaEvent) checkSource() *metaError {
	switch e.source {
	case "website":
		if e.text("event_source_url") == "" && e.name != "AppendValue" {
			return metaInvalid("event_source_url", "event_source_url is required for website events")
		}
		if _, ok := e.user["client_user_agent"]; !ok {
			e.warn("website event without client_user_agent")
		}
	case "app":
		return checkAppData(e.object["app_data"])
	case "business_messaging":
		return e.checkMessaging()
	case "system_generated":
		if _, ok := e.user["lead_id"]; ok && (e.custom["event_source"] != "crm" || e.custom["lead_event_source"] == nil) {
			e.warn("not registered for Conversion Leads: custom_data needs event_source crm and lead_event_source")
		}
	}
	return nil
}

func checkAppData(v any) *metaError {
	app, ok := v.(map[string]any)
	if !ok {
		return metaInvalid("app_data", "app_data is required for app events")
	}
	for _, key := range []string{"advertiser_tracking_enabled", "application_tracking_enabled"} {
		if _, ok := app[key]; !ok {
			return metaInvalid("app_data", key+" is required in app_data")
		}
	}
	info, _ := app["extinfo"].([]any)
	if len(info) != 16 {
		return metaInvalid("app_data", "extinfo must be an array of 16 strings")
	}
	for i, item := range info {
		text, ok := item.(string)
		if !ok || i == 0 && text != "a2" && text != "i2" || i == 4 && text == "" {
			return metaInvalid("app_data", fmt.Sprintf("extinfo[%d] is not valid", i))
		}
	}
	return nil
}

func (e *metaEvent) checkMessaging() *metaError {
	needs := map[string][][]string{
		"messenger": {{"page_id", "page_scoped_user_id"}},
		"whatsapp":  {{"whatsapp_business_account_id", "ctwa_clid"}},
		"instagram": {{"ig_sid", "ig_account_id"}, {"ig_sid", "instagram_business_account_id"}},
	}[e.text("messaging_channel")]
	if needs == nil {
		return metaInvalid("messaging_channel", "messaging_channel must be whatsapp, messenger or instagram")
	}
	for _, keys := range needs {
		if !slices.ContainsFunc(keys, func(k string) bool { return e.user[k] == nil }) {
			return nil
		}
	}
	return metaInvalid("user_data", "user_data lacks the ids of the messaging channel")
}

func (e *metaEvent) checkCustom() *metaError {
	missing := &metaError{status: http.StatusBadRequest, code: 100, subcode: 2804009, message: "Invalid parameter", title: "Missing Purchase Value",
		text: "A Purchase event needs custom_data.value and custom_data.currency.", blame: "custom_data"}
	value, hasValue := e.custom["value"]
	if hasValue {
		n, ok := number(value)
		f, err := n.Float64()
		if !ok || err != nil || math.IsInf(f, 0) {
			return metaInvalid("custom_data.value", "value must be a number")
		}
		if _, text := value.(string); text {
			e.warn("value is a text")
		}
		if f < 0 {
			e.warn("value is negative")
		}
	}
	currency, hasCurrency := e.custom["currency"]
	if hasCurrency {
		text, _ := currency.(string)
		if !currencyShape.MatchString(text) {
			return metaInvalid("custom_data.currency", "currency must be a three-letter ISO 4217 code")
		}
	}
	if e.name == "Purchase" && (!hasValue || !hasCurrency) {
		return missing
	}
	return e.checkContents()
}

// checkContents checks the lists of custom_data.
func (e *metaEvent) checkContents() *metaError {
	for _, key := range [...]string{"content_ids", "contents"} {
		v, ok := e.custom[key]
		if !ok {
			continue
		}
		list, ok := v.([]any)
		if _, text := v.(string); !ok && !text {
			return metaInvalid("custom_data."+key, key+" must be an array")
		}
		for _, item := range list {
			if object, ok := item.(map[string]any); key == "contents" && (!ok || object["id"] == nil) {
				return metaInvalid("custom_data.contents", "contents must be an array of objects with id")
			}
		}
	}
	for key, v := range e.custom {
		if text, ok := v.(string); ok && strings.Contains(text, "@") {
			e.warn("custom_data.%s looks like an address: personal data is not allowed there", key)
		}
	}
	return nil
}

var currencyShape = regexp.MustCompile(`^[A-Za-z]{3}$`)

var segmentations = []string{
	"new_customer_to_business", "new_customer_to_business_line", "new_customer_to_product_area", "new_customer_to_medium",
	"existing_customer_to_business", "existing_customer_to_business_line", "existing_customer_to_product_area", "existing_customer_to_medium",
	"customer_in_loyalty_program",
}

func (e *metaEvent) checkOptions() *metaError {
	if v, ok := e.object["customer_segmentation"]; ok {
		text, _ := v.(string)
		if !slices.Contains(segmentations, text) {
			return metaInvalid("customer_segmentation", "customer_segmentation is not one of the allowed values")
		}
	}
	if refused := e.checkPrivacy(); refused != nil {
		return refused
	}
	if e.name == "AppendValue" || e.name == "AppendAttribution" {
		return e.checkAppend()
	}
	return nil
}

func (e *metaEvent) checkPrivacy() *metaError {
	options, ok := e.object["data_processing_options"]
	if !ok {
		return nil
	}
	list, ok := options.([]any)
	if !ok || slices.ContainsFunc(list, func(v any) bool { return v != "LDU" }) {
		return metaInvalid("data_processing_options", "data_processing_options must be [] or [\"LDU\"]")
	}
	country, hasCountry := number(e.object["data_processing_options_country"])
	state, hasState := number(e.object["data_processing_options_state"])
	if hasCountry != hasState {
		return metaInvalid("data_processing_options_state", "country and state must be given together")
	}
	if !hasCountry {
		return nil
	}
	n, err := state.Int64()
	if err != nil || n != 0 && (n < 1000 || n > 1013) || country != "0" && country != "1" {
		return metaInvalid("data_processing_options_state", "country or state is not one of the allowed values")
	}
	return nil
}

// checkAppend checks the two events that point at an earlier one.
func (e *metaEvent) checkAppend() *metaError {
	original, ok := e.object["original_event_data"].(map[string]any)
	if !ok || original["event_name"] == nil || original["event_time"] == nil {
		return metaInvalid("original_event_data", "original_event_data needs event_name and event_time")
	}
	if e.name == "AppendValue" {
		return nil
	}
	data, ok := e.object["attribution_data"].(map[string]any)
	if !ok {
		return metaInvalid("attribution_data", "attribution_data is required")
	}
	for _, key := range []string{"ad_id", "touchpoint_ts", "attribution_share", "attribution_value"} {
		if data[key] == nil {
			return metaInvalid("attribution_data", key+" is required in attribution_data")
		}
	}
	share, _ := number(data["attribution_share"])
	if f, err := share.Float64(); err != nil || f < 0 || f > 1 {
		return metaInvalid("attribution_data", "attribution_share must be from 0 to 1")
	}
	if e.custom["currency"] == nil || e.text("event_source_url") == "" || e.user["client_user_agent"] == nil || e.text("event_id") == "" {
		return metaInvalid("attribution_data", "currency, event_source_url, client_user_agent and event_id are required")
	}
	return nil
}

// valueText gives custom_data.value as it was written.
func (e *metaEvent) valueText() string {
	switch t := e.custom["value"].(type) {
	case json.Number:
		return t.String()
	case string:
		return t
	}
	return ""
}
