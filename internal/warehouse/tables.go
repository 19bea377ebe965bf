package warehouse

// A table is what Write fills: its columns in the order that fill.go gives their values.
type table struct {
	name    string
	columns []column
}

type column struct{ name, kind string }

const (
	text     = "String"
	small    = "LowCardinality(String)"
	instant  = "DateTime64(3, 'UTC')"
	maybe    = "Nullable(DateTime64(3, 'UTC'))"
	money    = "Nullable(Int64)"
	node     = "UInt64"
	yes      = "Bool"
	place    = "Int64"
	division = "UInt32"
)

var tables = []table{
	{"receipts", []column{
		{"receipt_id", text}, {"source", small}, {"way", small}, {"received_at", instant}, {"browser", yes},
		{"completes", text}, {"log_partition", division}, {"log_offset", place}, {"sealed", text},
	}},
	{"receipt_fates", []column{
		{"receipt_id", text}, {"source", small}, {"way", small}, {"received_at", instant}, {"fate", small},
		{"reason", small}, {"detail", text}, {"event_name", small}, {"event_id", text}, {"rule", small}, {"mapping_version", small},
		{"log_partition", division}, {"log_offset", place}, {"nodes", "Array(UInt64)"},
	}},
	{"events", []column{
		{"event_id", text}, {"name", small}, {"occurred_at", instant}, {"time_basis", small}, {"observed_at", maybe},
		{"received_at", instant}, {"source", small}, {"way", small}, {"reported_as", small}, {"object_account", small},
		{"object_type", small}, {"object_id", text}, {"pipeline", small}, {"raw_stage", small}, {"stage", small}, {"claimed", text},
		{"funnel", yes}, {"rank", "UInt16"}, {"counted_by", small}, {"covered_by", small}, {"ignored", small}, {"ignored_by", small},
		{"rule", small}, {"node", node}, {"account_node", node}, {"nodes", "Array(UInt64)"}, {"known_offset", place},
		{"consent", small}, {"mapping_version", small}, {"id_recipe", "UInt8"}, {"receipt_id", text},
		{"log_partition", division}, {"log_offset", place}, {"version", "UInt64"}, {"is_deleted", "UInt8"}, {"sealed", text},
	}},
	{"touches", []column{
		{"event_id", text}, {"name", small}, {"touch_at", instant}, {"node", node}, {"account_node", node},
		{"source", small}, {"ignored", small}, {"kind", small}, {"platform", small}, {"utm_source", small},
		{"utm_medium", small}, {"utm_campaign", small}, {"utm_term", text}, {"utm_content", text}, {"campaign_id", small},
		{"ad_set", small}, {"ad", small}, {"page", text}, {"referrer", text}, {"form", small},
		{"click_types", "Array(LowCardinality(String))"}, {"click_ids", "Array(String)"}, {"version", "UInt64"}, {"is_deleted", "UInt8"},
	}},
	{"conversions", []column{
		{"event_id", text}, {"name", small}, {"occurred_at", instant}, {"time_basis", small}, {"source", small},
		{"way", small}, {"object_account", small}, {"object_type", small}, {"object_id", text}, {"node", node},
		{"account_node", node}, {"rank", "UInt16"}, {"counted_by", small}, {"covered_by", small},
		{"amount_micros", money}, {"mrr_micros", money}, {"arr_micros", money}, {"acv_micros", money}, {"tcv_micros", money},
		{"currency", small}, {"billing_period", small}, {"version", "UInt64"}, {"is_deleted", "UInt8"}, {"deal", text},
	}},
	{"stage_transitions", []column{
		{"event_id", text}, {"name", small}, {"occurred_at", instant}, {"time_basis", small}, {"source", small},
		{"way", small}, {"reported_as", small}, {"object_account", small}, {"object_type", small}, {"object_id", text},
		{"object_node", node}, {"node", node}, {"account_node", node}, {"pipeline", small}, {"raw_stage", small},
		{"stage", small}, {"funnel", yes}, {"rank", "UInt16"}, {"counted_by", small}, {"covered_by", small},
		{"ignored", small}, {"version", "UInt64"}, {"is_deleted", "UInt8"},
	}},
	{"identity_facts", []column{
		{"fact_offset", place}, {"kind", small}, {"at", instant}, {"nodes", "Array(UInt64)"},
		{"schemes", "Array(LowCardinality(String))"}, {"weak", yes}, {"is_primary", yes}, {"removed", yes},
		{"stage", small}, {"raw_stage", small}, {"cause", text}, {"source", small}, {"fact", text},
	}},
	{"identity_nodes", []column{
		{"scheme", small}, {"value", text}, {"node", node}, {"first_seen", "SimpleAggregateFunction(min, DateTime64(3, 'UTC'))"},
	}},
	{"identity_overrides", []column{
		{"account", yes}, {"node", node}, {"root", node}, {"version", place},
	}},
	{"identity_log", []column{
		{"account", yes}, {"node", node}, {"fact_offset", place}, {"root", node}, {"stated_at", instant},
	}},
	{"identity_hands", []column{
		{"device", node}, {"since", place}, {"holder", node}, {"version", place},
	}},
	{"associations", []column{
		{"from_node", node}, {"to_node", node}, {"fact_offset", place}, {"at", instant}, {"from_scheme", small},
		{"to_scheme", small}, {"is_primary", yes}, {"removed", yes}, {"source", small}, {"role", small},
	}},
	{"account_fields", []column{
		{"node", node}, {"field", small}, {"fact_offset", place}, {"at", instant}, {"value", text}, {"source", small},
	}},
	{"consents", []column{
		{"node", node}, {"fact_offset", place}, {"at", instant}, {"consent", small}, {"source", small},
	}},
	{"node_accounts", []column{
		{"node", node}, {"account_node", node}, {"last_at", "SimpleAggregateFunction(max, DateTime64(3, 'UTC'))"},
	}},
	{"deliveries", []column{
		{"destination", small}, {"event_id", text}, {"event_name", small}, {"part", small}, {"state", small},
		{"reason", small}, {"detail", text}, {"at", instant}, {"attempt", "UInt32"}, {"replay_id", text},
		{"owner", small}, {"ambiguous", yes}, {"due", maybe}, {"give_up_at", maybe}, {"first_try", maybe},
		{"slot", text}, {"http_status", "UInt16"}, {"latency_ms", "UInt32"}, {"trace_id", text}, {"batch_size", "UInt32"},
		{"value_micros", money}, {"currency", small}, {"log_partition", division}, {"log_offset", place}, {"sealed", text},
		{"body_hash", text}, {"match", "Map(LowCardinality(String), LowCardinality(String))"}, {"who", small},
	}},
	{"destination_controls", []column{
		{"destination", small}, {"at", instant}, {"control", small}, {"detail", text}, {"who", small},
		{"log_partition", division}, {"log_offset", place},
	}},
	{"activations", []column{
		{"destination", small}, {"at", instant}, {"events_end", "Array(Int64)"}, {"replays_end", "Array(Int64)"},
		{"log_partition", division}, {"log_offset", place},
	}},
	{"dead_letters", []column{
		{"destination", small}, {"event_id", text}, {"event_name", small}, {"part", small}, {"at", instant},
		{"reason", small}, {"detail", text}, {"attempt", "UInt32"}, {"http_status", "UInt16"}, {"trace_id", text},
		{"log_partition", division}, {"log_offset", place}, {"sealed", text},
	}},
	{"replays", []column{
		{"replay_id", text}, {"event_id", text}, {"event_name", small}, {"destinations", "Array(LowCardinality(String))"},
		{"force", yes}, {"reason", text}, {"who", small}, {"at", instant}, {"log_partition", division}, {"log_offset", place},
	}},
	{"replay_jobs", []column{
		{"replay_id", text}, {"seq", place}, {"state", small}, {"kind", small}, {"destinations", "Array(LowCardinality(String))"},
		{"force", yes}, {"reason", text}, {"who", small}, {"at", instant}, {"changed", instant}, {"changed_by", small},
		{"filter", text}, {"ids", "UInt32"}, {"events", "UInt64"}, {"missing", "UInt64"}, {"orders", "UInt64"},
		{"foreseen", text}, {"asked", text}, {"outcome", text}, {"note", text}, {"log_partition", division}, {"log_offset", place},
	}},
	{"crm_stages", []column{
		{"account", small}, {"object", small}, {"pipeline", text}, {"pipeline_label", text}, {"stage", text}, {"label", text},
		{"place", place}, {"closed", small}, {"probability", small}, {"read_at", instant},
	}},
	{"crm_owners", []column{
		{"account", small}, {"owner", text}, {"user", text}, {"email_sha256", text}, {"teams", "Array(String)"}, {"archived", yes}, {"read_at", instant},
	}},
	{"crm_options", []column{
		{"account", small}, {"object", small}, {"property", text}, {"value", text}, {"label", text}, {"read_at", instant},
	}},
	{"mapping_versions", []column{
		{"mapping_version", text}, {"live_at", instant}, {"process", small}, {"by", small}, {"before", text},
		{"file_names", "Array(String)"}, {"file_texts", "Array(String)"}, {"log_partition", division}, {"log_offset", place}, {"sealed", text},
		{"names", "Array(LowCardinality(String))"}, {"meanings", "Array(LowCardinality(String))"},
	}},
}
