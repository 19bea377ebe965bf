//go:build interop

package ingest

import (
	"encoding/json"
	"os"
	"testing"
)

// A list of crawlers' user agents that others keep: nearly all of them are told.
func TestInteropCrawlers(t *testing.T) {
	text, err := os.ReadFile("../interop/node/node_modules/crawler-user-agents/crawler-user-agents.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ Instances []string }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	all, told := 0, 0
	for _, c := range list {
		for _, agent := range c.Instances {
			all++
			if unseenAgent(agent) != "" {
				told++
			}
		}
	}
	t.Logf("%d of %d crawlers are told by their user agent", told, all)
	if all < 1000 || told < all*95/100 {
		t.Errorf("only %d of %d crawlers are told", told, all)
	}
}
