package catalog

import (
	"slices"
	"testing"
)

func TestKinds(t *testing.T) {
	names := Names()
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("names are not sorted or not one of each: %v", names)
	}
	for _, want := range []string{"hubspot", "linkedin", "meta", "webhook"} {
		if k, ok := Kind(want); !ok || k.Name != want {
			t.Errorf("no kind %s", want)
		}
	}
	if _, ok := Kind("salesforce"); ok {
		t.Error("a kind that is not there was found")
	}
}
