package hubspotcrm

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A file's address comes from an answer: only what is configured is asked.
func TestAJournalsFilesAreFetchedFromItsHostsOnly(t *testing.T) {
	j := &Journal{BaseURL: "https://api.hubapi.com", FileHosts: []string{"*.files.example.com", "store.example.com"}}
	for address, want := range map[string]bool{
		"https://store.example.com/a?signature=x": true, "https://eu1.files.example.com:443/a": true, "https://STORE.example.com/a": true,
		"http://store.example.com/a": false, "https://store.example.com:8443/a": false, "https://files.example.com/a": false, "https://evilfiles.example.com/a": false,
		"https://store.example.com.evil.test/a": false, "https://user:pw@store.example.com/a": false, "https://127.0.0.1/a": false, "https://169.254.169.254/latest": false,
		"https://[::1]/a": false, "file:///etc/passwd": false, "//store.example.com/a": false, "https:store.example.com": false, "": false, "https://api.hubapi.com/a": false,
	} {
		if got := j.allowed(address) == nil; got != want {
			t.Errorf("%s: fetched is %v", address, got)
		}
	}
	local := &Journal{BaseURL: "http://127.0.0.1:9000"}
	if local.allowed("http://127.0.0.1:9000/f") != nil || local.allowed("http://127.0.0.1:9001/f") == nil {
		t.Error("with a base URL of one's own its host is asked, and no other")
	}
}

func TestAJournalsFile(t *testing.T) {
	f, err := DecodeJournal([]byte(`{"offset":"o7","publishedAt":1,"journalEvents":[
		{"type":"crm","portalId":42,"occurredAt":1767225600000,"action":"UPDATE","objectTypeId":"0-3","objectId":5550001,"propertyChanges":{"dealstage":"closedwon","amount":1200.5}},
		{"portalId":"42","occurredAt":"2026-01-01T00:00:00Z","action":"MERGE","objectTypeId":"0-1","primaryObjectId":1001,"mergedObjectIds":[1002],"newObjectId":1009},
		{"portalId":42,"occurredAt":1767225600000,"action":"UPDATE","objectTypeId":"0-1","objectId":"7","propertyChanges":[{"propertyName":"lifecyclestage","propertyValue":"lead"}]},
		{"action":"UPDATE"}, 7, null, "x"]}`))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %d %v %v %s %v %v", f.Offset, len(f.Events), f.Events[0].Properties, f.Events[1].Merged, f.Events[1].Survivor, f.Events[1].At.UnixMilli(), f.Events[2].Properties)
	if want := "o7 3 [{amount 1200.5} {dealstage closedwon}] [1002 1001] 1009 1767225600000 [{lifecyclestage lead}]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A change becomes a receipt: a file of 16 MiB may hold millions of them.
func TestAJournalsFileOfTooMuch(t *testing.T) {
	event := `{"portalId":42,"occurredAt":1767225600000,"action":"UPDATE","objectTypeId":"0-1","objectId":7,"propertyChanges":[` +
		strings.Repeat(`{"name":"a"},`, 60_000) + `{"name":"b"}]}`
	for n, want := range map[int]bool{1: true, 2: false} {
		if _, err := DecodeJournal([]byte(`{"journalEvents":[` + strings.TrimSuffix(strings.Repeat(event+",", n), ",") + `]}`)); (err == nil) != want {
			t.Errorf("%d events of 60001 changes: %v", n, err)
		}
	}
}

// Whatever a file holds, it is read without a panic, with memory in proportion to it.
func FuzzDecodeJournal(f *testing.F) {
	f.Add([]byte(`{"offset":"o","journalEvents":[{"occurredAt":1767225600000,"action":"UPDATE","objectTypeId":"0-1","objectId":7,"propertyChanges":{"a":{"value":"b"}}}]}`))
	f.Add([]byte(`{"journalEvents":[{"propertyChanges":[[],{},{"name":1,"value":null}],"mergedObjectIds":[{},null,1e99]}]}`))
	f.Add([]byte(`{"journalEvents":[[[[[[[[[[]]]]]]]]]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		file, err := DecodeJournal(b)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; len(b) <= 1<<20 && used > 64<<20+64*uint64(len(b)) {
			t.Errorf("%d bytes took %d", len(b), used)
		}
		if err == nil {
			for _, e := range file.Events {
				if e.Action == "" || e.At.IsZero() {
					t.Errorf("an event without action or time: %+v", e)
				}
			}
		}
	})
}
