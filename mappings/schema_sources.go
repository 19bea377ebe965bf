package mappings

import (
	"maps"
	"slices"
)

// What editors are shown of the parts that say what sources call things. That these are the
// keys which the compiler knows, a test holds.

var vocabularyKeys = keys{
	{"meaning", "What the name stands for in reports. Said of nothing, the names of the usual funnel have their own and every other is other.", func() schema { return enum(meanings...) }},
	{"aliases", "Other words for the name.", is(list(anyWord()))},
	{"count", "How often it is sent: once, every time, or once for each person.", func() schema { return enum(oftens...) }},
	{"recycle", "What becomes of a step back to it.", func() schema { return enum(recycles...) }},
	{"reported_by", "Who may report it: servers only, or browsers too, with the same event id.", func() schema { return enum(reporters...) }},
	{"rank", "Its place in the funnel, where two names share one or places are left free.", is(wholeNumber(1, maxRank))},
}

var sourceKeys = keys{
	{"lifecycle", "Lifecycle stages of contacts: raw value or label, in any case.", is(ref("table"))},
	{"company_lifecycle", "Lifecycle stages of companies, where they mean something of their own.", is(ref("table"))},
	{"deals", "Deal stages by pipeline, by id or label; \"*\" is any pipeline.", is(tableOf(ref("table")))},
	{"lead_status", "Lead statuses of contacts.", is(ref("table"))},
	{"properties", "Changes of other properties: every change, or one name for each new value.", is(tableOf(anyOf(ref("name"), ref("table"))))},
	{"objects", "Records of other types, custom ones by their type id: made, and their stages.", func() schema { return tableOf(group(objectKeys)) }},
	{"associations", "New ties between records: contact_to_deal, or the type id of a label.", is(ref("table"))},
	{"events", "Names of other events.", is(ref("table"))},
	{"ignore", "Events that are kept and never sent.", is(ref("marks"))},
	{"quarantine", "Reports that are kept apart until somebody looks.", is(ref("marks"))},
	{"json", "Where the fields of an event stand in this source's JSON.", func() schema { return group(jsonKeys) }},
}

var objectKeys = keys{
	{"created", "What a new record becomes.", is(ref("name"))},
	{"stages", "The stages of the record's own pipeline.", is(ref("table"))},
}

var markKeys = keys{
	{"when", "A condition over the report.", is(text())},
	{"reason", "What counts and reports call it.", is(pattern(nameShape))},
}

var jsonKeys = keys{
	{"each", "The list that one body holds: $.items[*].", is(text())},
	{"event", "What the event is called: a path such as $.type, a name, or an expression that begins with =.", is(anyWord())},
	{"fields", "For each field of an event: a path, a constant, or an expression that begins with =.", func() schema {
		s := tableOf(anyWord())
		properties := schema{}
		for _, name := range slices.Sorted(maps.Keys(shapeFields)) {
			properties[name] = anyWord()
		}
		s["properties"], s["additionalProperties"] = properties, false
		s["patternProperties"] = schema{`^properties\..`: anyWord()}
		return s
	}},
}

var recipeKeys = keys{
	{"event", "A canonical name, or \"*\".", is(text())},
	{"recipe", "The recipe's number, kept with every id that it made.", is(wholeNumber(firstRecipe, lastRecipe))},
	{"parts", "What the id is made of.", func() schema { return list(anyOf(enum(recipeParts...), pattern(`^properties\..`))) }},
	{"from", "The time from which it holds, by when the event happened.", is(text())},
}
