package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/ingest"
	"tributary/internal/config"
)

// docs/operations.md, "Under pressure", lists every limit with the default that holds, and the
// configuration's defaults are those of the way in.
func TestTheLimitsAreListed(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(b), "\n## Under pressure\n")
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		listed[m[1]] = m[2]
	}
	defaults := config.Default().HTTP.Limits
	v := reflect.ValueOf(defaults)
	for i := range v.NumField() {
		name, want := v.Type().Field(i).Tag.Get("yaml"), fmt.Sprint(v.Field(i).Interface())
		if listed[name] != want {
			t.Errorf("%s is listed as %q, and is %s", name, listed[name], want)
		}
		delete(listed, name)
	}
	if len(listed) > 0 {
		t.Errorf("listed and not there: %v", listed)
	}
	own := ingest.DefaultLimits()
	if got := limitsOf(defaults); got.Rate != own.Rate || got.AddressRate != own.AddressRate || got.MaxInFlight != own.MaxInFlight || got.InFlightBytes != own.InFlightBytes ||
		got.BodyGrace != own.BodyGrace || got.BodyRate != own.BodyRate || got.WriteAnswer != own.WriteAnswer {
		t.Errorf("configured are %+v, the way in has %+v", got, own)
	}
	for _, bound := range []string{
		fmt.Sprintf("| a single event's body | %d bytes |", own.Body), fmt.Sprintf("| a batch's body, packed and unpacked | %d bytes |", own.Batch), fmt.Sprintf("| one item | %d bytes |", own.Item),
		fmt.Sprintf("| items of a batch | %d |", own.Items), fmt.Sprintf("| nesting of one item | %d levels |", own.Depth), fmt.Sprintf("| the head of a request | %d bytes |", maxHeaderBytes),
		fmt.Sprintf("| an append to the log | %s |", own.Append), fmt.Sprintf("| gzip, once it unpacked to %d bytes | %d times its size |", ingest.RatioMatters, ingest.MaxRatio),
		fmt.Sprintf("beside %d of our own", otherFiles),
	} {
		if !strings.Contains(section, bound) {
			t.Errorf("not listed: %s", bound)
		}
	}
	for code, wait := range map[ingest.Code]int{ingest.CodeBusy: 1, ingest.CodeOverloaded: 1, ingest.CodeLog: 5, ingest.CodeLogFull: 30} {
		if got := (&ingest.Error{Code: code}).RetryAfter(); got != wait || !strings.Contains(section, fmt.Sprintf("`%s`", code)) {
			t.Errorf("%s: Retry-After %d", code, got)
		}
	}
	if defaults.Shutdown > 30*time.Second {
		t.Error("the unit file's TimeoutStopSec is shorter")
	}
}
