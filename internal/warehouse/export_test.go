package warehouse

// TableColumns gives "name type" of every column that Write fills, by table.
func TableColumns() map[string][]string {
	out := map[string][]string{}
	for _, t := range tables {
		for _, c := range t.columns {
			out[t.name] = append(out[t.name], c.name+" "+c.kind)
		}
	}
	return out
}

// Clean is what every unsealed text passes.
func Clean(s string) string { return clean(s) }

// CleanURL is what every unsealed address passes.
func CleanURL(s string) string { return cleanURL(s) }
