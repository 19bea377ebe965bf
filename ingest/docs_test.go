package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/canonical/wire"
)

// An example is one curl of docs/http.md with the answer that follows it, if one does.
type example struct {
	method, path, body, answer string
	headers                    []string
}

var (
	exampleBlock = regexp.MustCompile("(?s)```sh\n(curl .*?)\n```\n(?:\n```json\n(.*?)\n```)?")
	receiptIDs   = regexp.MustCompile(`"01[0-9A-Z]{24}"`)
)

// examples reads a document's curls.
func examples(t *testing.T, name string) []example {
	doc, err := os.ReadFile("../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var out []example
	for _, m := range exampleBlock.FindAllStringSubmatch(string(doc), -1) {
		e := example{method: "GET", answer: m[2]}
		words := shellWords(m[1], map[string]string{"KEY": "k-admin", "BROWSER_KEY": "k-browser", "NOW": strconv.FormatInt(noon.Unix(), 10)})
		for i := 1; i < len(words); i++ {
			switch w := words[i]; w {
			case "-X", "-H", "-d":
				i++
				switch w {
				case "-X":
					e.method = words[i]
				case "-H":
					name, value, _ := strings.Cut(words[i], ": ")
					e.headers = append(e.headers, name, value)
				default:
					e.body = words[i]
				}
			default:
				u, err := url.Parse(w)
				if err != nil || u.Host != "localhost:8080" {
					t.Fatalf("unexpected word %q in %s", w, m[1])
				}
				e.path = u.RequestURI()
			}
		}
		out = append(out, e)
	}
	return out
}

// shellWords splits a command as a shell does, as far as the document needs it.
func shellWords(s string, vars map[string]string) []string {
	var words []string
	var word strings.Builder
	var quote byte
	begun := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && (c == ' ' || c == '\n'):
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
			continue
		case quote == 0 && c == '\\' && i+1 < len(s) && s[i+1] == '\n':
			i++
			continue
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote == c && quote != 0:
			quote = 0
		case quote != '\'' && c == '$':
			end := i + 1
			for end < len(s) && (s[end] == '_' || s[end] >= 'A' && s[end] <= 'Z') {
				end++
			}
			word.WriteString(vars[s[i+1:end]])
			i = end - 1
		default:
			word.WriteByte(c)
		}
		begun = true
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}

// Every curl of docs/http.md is taken, answers what the document says, and what it sends
// can be read.
func TestTheDocumentsExamplesWork(t *testing.T) {
	all := append(examples(t, "http.md"), examples(t, "meta.md")...)
	if len(all) < 12 {
		t.Fatalf("only %d examples were found", len(all))
	}
	for i, e := range all {
		t.Run(fmt.Sprint(i, " ", e.path), func(t *testing.T) {
			dry := strings.HasSuffix(e.path, "dry_run=true")
			w := newWorld(t, func(o *Options) {
				o.Rehearse = func(_ context.Context, rs []canonical.Receipt, known bool) ([]Foreseen, error) {
					var documented struct{ Items []Foreseen }
					if err := json.Unmarshal([]byte(e.answer), &documented); err != nil || len(rs) != len(documented.Items) || !known {
						t.Errorf("asked for %d items, known %v: %v", len(rs), known, err)
					}
					return documented.Items, nil
				}
				o.Replay = func(_ context.Context, q ReplayRequest) (ReplayAnswer, error) {
					if q.EventID != "deal_84721_contractsent_2026-04-23T11:04:19Z" || len(q.Destinations) != 2 || q.Reason != "destination_timeout" || q.Who != "root" {
						t.Errorf("asked for %+v", q)
					}
					return ReplayAnswer{OK: true, CanonicalEvent: "proposal_sent", Replayed: 2}, nil
				}
			})
			rec := w.send(e.method, e.path, e.body, e.headers...)
			if rec.Code/100 != 2 {
				t.Fatalf("%d: %s", rec.Code, rec.Body)
			}
			if e.answer != "" && !sameAnswer(t, rec, e.answer) {
				t.Errorf("answered %s, the document says %s", rec.Body, e.answer)
			}
			kept := w.log.take()
			if dry && len(kept) > 0 {
				t.Error("a dry run was kept")
			}
			if len(kept) == 0 && !dry && e.path != "/v1/replay" {
				t.Error("nothing was kept")
			}
			for _, r := range kept {
				if report, p := wire.Read(r, wire.Settings{}); p != nil {
					t.Errorf("%s cannot be read: %v", r.Body, p)
				} else if len(report.Identifiers) == 0 {
					t.Errorf("%s ties to nobody", r.Body)
				}
			}
		})
	}
}

// sameAnswer compares JSON, whatever the receipt ids are.
func sameAnswer(t *testing.T, rec *httptest.ResponseRecorder, want string) bool {
	t.Helper()
	read := func(s string) (v any) {
		if err := json.Unmarshal([]byte(receiptIDs.ReplaceAllString(s, `"id"`)), &v); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		return v
	}
	return reflect.DeepEqual(read(rec.Body.String()), read(want))
}
