package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/destinations/simulator"
	"tributary/ingest"
)

// Who is in the story. Northwind is the buyer; brightline.example is the seller's site.
const (
	company  = 3029911
	dana     = 102311
	benFirst = 102948 // with his personal address
	benWorks = 102977 // with his work address
	// HubSpot merges the two into a fresh record.
	benMerged = 103350
	carla     = 103412
	deal      = 84721

	danaMail  = "dana.reyes@northwind.example"
	benMail   = "ben.okafor@personal.example.test"
	benWork   = "ben.okafor@northwind.example"
	carlaMail = "carla.jensen@northwind.example"

	danaClick = "7f3c1e52-0a4b-4d6e-9b57-5d1f6a2c8e90"
	benClick  = "IwAR2c7Hd5kTq9ZbWm3XvN1sPf0aYe8LrUoJg6"

	danaCookie = "5d0c9e7a-3b1f"
	benCookie  = "e41b77f2-90ac"

	site      = "https://brightline.example"
	datasetID = "1184207733019"
	firstRule = 18423345
)

// ruleNames are the default mapping's rules at LinkedIn, in the order of the funnel.
var ruleNames = []string{"lead", "mql", "sql", "opportunity", "proposal", "closed_won", "expansion"}

func ruleID(i int) string { return strconv.Itoa(firstRule + i) }

// vendorsOfTheStory are the accounts, and the people that Meta and LinkedIn know.
func vendorsOfTheStory() simulator.Options {
	o := simulator.Options{
		Seed: 4,
		People: []simulator.Person{
			{ID: "Dana Reyes", FirstName: "Dana", LastName: "Reyes", Emails: []string{danaMail}, LinkedInMember: true, LiFatIDs: []string{danaClick}},
			{ID: "Ben Okafor", FirstName: "Ben", LastName: "Okafor", Emails: []string{benMail, benWork}, MetaUser: true, FBCLIDs: []string{benClick}, LinkedInMember: true},
			{ID: "Carla Jensen", FirstName: "Carla", LastName: "Jensen", Emails: []string{carlaMail}, MetaUser: true},
		},
		Meta:    simulator.MetaAccount{DatasetIDs: []string{datasetID}},
		HubSpot: simulator.HubSpotAccount{LifecycleSync: true, PropertyPrefix: "tributary_", Pipelines: []simulator.Pipeline{simulator.DealPipeline("sales_pipeline", "Sales")}},
	}
	for i, name := range ruleNames {
		o.LinkedIn.Rules = append(o.LinkedIn.Rules, simulator.Rule{ID: ruleID(i), Name: name})
	}
	return o
}

// at gives a time of the story: the five days before the one of the first run.
func (d *demo) at(day int, clock string) time.Time {
	t, err := time.Parse("15:04:05", clock)
	if err != nil {
		panic(err) // the clocks are constants of this file
	}
	first := d.past.Began.UTC().Truncate(24*time.Hour).AddDate(0, 0, -5)
	return first.AddDate(0, 0, day-1).Add(t.Sub(t.Truncate(24 * time.Hour)))
}

// day says a time as the tables do.
func (d *demo) day(t time.Time) string {
	since := t.Sub(d.at(1, "00:00:00"))
	return fmt.Sprintf("day %d %s", 1+int(since/(24*time.Hour)), t.UTC().Format("15:04"))
}

// wonID is the id of the won deal's event, as any middleware would make it.
func (d *demo) wonID() string {
	return string(canonical.MintDealID(strconv.Itoa(deal), "closedwon", canonical.FormatTime(d.at(5, "16:00:00"))))
}

// A post is one request that the story sends, as a file remembers it.
type post struct {
	Path string `json:"path"`
	Key  string `json:"key,omitempty"` // the secret's name; "": signed as HubSpot does
	Body string `json:"body"`
}

const (
	pixelPath = "/v1/ingest/pixel"
	crmPath   = "/v1/ingest/crm"
	eventPath = "/v1/events"
	hookPath  = "/v1/ingest/hubspot/hubspot_app"
)

// play plays the story on a new directory; on one that has seen it, it sends every
// request again.
func (d *demo) play(ctx context.Context) error {
	if d.past.Runs > 0 {
		return d.again(ctx)
	}
	for _, chapter := range []func(context.Context) error{
		d.danaClicks, d.benClicks, d.benAsksForDemo, d.benIsMerged, d.salesTakesOver, d.dealIsMade, d.dealIsWon,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return d.replay(ctx)
}

func (d *demo) tell(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) danaClicks(ctx context.Context) error {
	d.tell("day 1  Dana Reyes of Northwind clicks a LinkedIn ad, reads two pages, leaves her work address for the newsletter")
	if err := d.pixel(ctx, 1,
		visit{"09:00:00", danaCookie, site + "/abm?utm_source=linkedin&utm_medium=cpc&utm_campaign=spring_abm&li_fat_id=" + danaClick, nil},
		visit{"09:02:00", danaCookie, site + "/pricing", nil},
		visit{"09:05:00", danaCookie, site + "/customers", nil},
	); err != nil {
		return err
	}
	if err := d.settle(ctx, 3); err != nil { // at HubSpot, until it is known who she is
		return err
	}
	ch := simulator.Change{At: d.at(1, "09:08:10"), Source: "FORM", SourceID: "newsletter"}
	if _, err := d.sim.Make(simulator.Made{Change: ch, Type: "company", ID: company, Properties: map[string]string{"name": "Northwind", "domain": "northwind.example"}}); err != nil {
		return err
	}
	if err := d.contact(ch, dana, danaMail, "Dana", "Reyes", "lead", company); err != nil {
		return err
	}
	form := map[string]any{"event": "form_submitted", "form": "newsletter", "email": danaMail}
	if err := d.pixel(ctx, 1, visit{"09:08:00", danaCookie, site + "/newsletter", form}); err != nil {
		return err
	}
	if err := d.settle(ctx, 4); err != nil {
		return err
	}
	return d.hooksAndSettle(ctx, 0)
}

func (d *demo) benClicks(ctx context.Context) error {
	d.tell("day 2  Ben Okafor clicks a Meta ad, reads a page (its pixel fires twice), signs up for a webinar with his personal address")
	page := visit{"10:03:00", benCookie, site + "/blog/attribution", nil}
	if err := d.pixel(ctx, 2,
		visit{"10:00:00", benCookie, site + "/webinar?utm_source=facebook&utm_medium=paid_social&utm_campaign=retarget_q4&fbclid=" + benClick, nil},
		page,
	); err != nil {
		return err
	}
	if err := d.pixel(ctx, 2, page); err != nil {
		return err
	}
	if err := d.settle(ctx, 2); err != nil {
		return err
	}
	ch := simulator.Change{At: d.at(2, "10:06:20"), Source: "FORM", SourceID: "webinar"}
	if err := d.contact(ch, benFirst, benMail, "Ben", "Okafor", "lead"); err != nil {
		return err
	}
	form := map[string]any{"event": "form_submitted", "form": "webinar", "email": benMail}
	if err := d.pixel(ctx, 2, visit{"10:06:00", benCookie, site + "/webinar", form}); err != nil {
		return err
	}
	if err := d.settle(ctx, 3); err != nil {
		return err
	}
	return d.hooksAndSettle(ctx, 0)
}

func (d *demo) benAsksForDemo(ctx context.Context) error {
	d.tell("day 3  Ben asks for a demo with his work address: a second contact, marketing qualified, told by HubSpot and by a middleware")
	changed := d.at(3, "15:00:10")
	ch := simulator.Change{At: changed, Source: "FORM", SourceID: "demo"}
	if err := d.contact(ch, benWorks, benWork, "Ben", "Okafor", "marketingqualifiedlead", company); err != nil {
		return err
	}
	form := map[string]any{"event": "form_submitted", "form": "demo_request", "email": benWork}
	if err := d.pixel(ctx, 3, visit{"14:55:00", benCookie, site + "/demo", nil}, visit{"15:00:00", benCookie, site + "/demo", form}); err != nil {
		return err
	}
	if err := d.settle(ctx, 1); err != nil {
		return err
	}
	if err := d.hooksAndSettle(ctx, 0); err != nil {
		return err
	}
	id, at := strconv.Itoa(benWorks), canonical.FormatTime(changed)
	if err := d.sendJSON(ctx, eventPath, "key_ingest", map[string]any{
		"event_id":     canonical.SHA256(id + ":marketingqualifiedlead:" + at),
		"event":        "lead_stage_changed",
		"source":       "hubspot",
		"occurred_at":  at,
		"user_data":    map[string]any{"email": benWork},
		"account_data": map[string]any{"domain": "northwind.example"},
		"custom_data":  map[string]any{"hubspot_contact_id": id, "hubspot_lifecycle_stage": "marketingqualifiedlead"},
	}); err != nil {
		return err
	}
	return d.settle(ctx, 0)
}

func (d *demo) benIsMerged(ctx context.Context) error {
	d.tell("       HubSpot merges Ben's two contacts into a third")
	ch := simulator.Change{At: d.at(3, "17:00:00")}
	if _, err := d.sim.Merge(simulator.Merger{Change: ch, Primary: benWorks, Merge: benFirst, NewID: benMerged}); err != nil {
		return err
	}
	return d.hooksAndSettle(ctx, 0)
}

func (d *demo) salesTakesOver(ctx context.Context) error {
	d.tell("day 4  sales accepts Ben (HubSpot says it twice, a workflow once more, later); Carla Jensen of Northwind becomes a contact")
	if err := d.sim.Set("contact", benMerged, map[string]string{"lifecyclestage": "salesqualifiedlead"}, simulator.Change{At: d.at(4, "09:00:00")}); err != nil {
		return err
	}
	if err := d.hooksAndSettle(ctx, 1); err != nil {
		return err
	}
	if err := d.sendJSON(ctx, crmPath, "key_ingest", map[string]any{
		"source":      "hubspot",
		"event":       "hubspot.lifecycle_changed",
		"occurred_at": canonical.FormatTime(d.at(4, "09:45:00")),
		"contact":     map[string]any{"id": strconv.Itoa(benMerged), "email": benWork, "lifecycle_stage": "salesqualifiedlead", "lead_status": "OPEN"},
		"company":     map[string]any{"id": strconv.Itoa(company), "domain": "northwind.example", "name": "Northwind"},
	}); err != nil {
		return err
	}
	if err := d.settle(ctx, 0); err != nil {
		return err
	}
	if err := d.contact(simulator.Change{At: d.at(4, "10:30:00")}, carla, carlaMail, "Carla", "Jensen", "lead", company); err != nil {
		return err
	}
	return d.hooksAndSettle(ctx, 0)
}

func (d *demo) dealIsMade(ctx context.Context) error {
	d.tell("       the deal 'Northwind platform' is made with Ben and Carla; HubSpot's lifecycle sync makes everybody an opportunity; a contract is sent")
	if _, err := d.sim.Make(simulator.Made{
		Change: simulator.Change{At: d.at(4, "11:00:00")}, Type: "deal", ID: deal, Contacts: []int64{benMerged, carla}, Companies: []int64{company},
		Properties: map[string]string{
			"dealname": "Northwind platform", "pipeline": "sales_pipeline", "dealstage": "qualifiedtobuy", "amount": "34000", "deal_currency_code": "USD",
		},
	}); err != nil {
		return err
	}
	// Somebody mends the amount after the webhooks were made and before anybody reads the deal.
	mended := simulator.Change{At: d.at(4, "11:20:00"), Silent: true}
	if err := d.sim.Set("deal", deal, map[string]string{"amount": "36000"}, mended); err != nil {
		return err
	}
	if err := d.hooksAndSettle(ctx, 0); err != nil {
		return err
	}
	if err := d.sim.Set("deal", deal, map[string]string{"dealstage": "contractsent", "pipeline": "sales_pipeline"}, simulator.Change{At: d.at(4, "15:00:00")}); err != nil {
		return err
	}
	return d.hooksAndSettle(ctx, 0)
}

func (d *demo) dealIsWon(ctx context.Context) error {
	d.tell("day 5  the deal is won; HubSpot turns three contacts and the company into customers")
	if err := d.sim.Set("deal", deal, map[string]string{"dealstage": "closedwon", "pipeline": "sales_pipeline"}, simulator.Change{At: d.at(5, "16:00:00")}); err != nil {
		return err
	}
	return d.hooksAndSettle(ctx, 0)
}

// replay asks for the won deal to be sent again: everybody had it.
func (d *demo) replay(ctx context.Context) error {
	var a ingest.ReplayAnswer
	ask := map[string]any{"event_id": d.wonID(), "destinations": []string{"linkedin", "meta"}, "reason": "demo"}
	c := client{base: d.router, key: d.secrets["key_replay"]}
	if err := c.call(ctx, http.MethodPost, "/v1/replay", ask, &a); err != nil {
		return err
	}
	d.tell("       somebody asks for a replay of the won deal: deduplicated %t, destinations asked %d", a.Deduplicated, a.Replayed)
	if !a.Deduplicated || a.Replayed != 0 || a.CanonicalEvent != "customer_won" {
		return fmt.Errorf("the replay of the won deal was answered with %+v", a)
	}
	return d.settle(ctx, 0)
}

// again sends every request of the first run, as callers do that had no answer.
func (d *demo) again(ctx context.Context) error {
	if err := d.ownOnly(ctx); err != nil {
		return err
	}
	b, err := os.ReadFile(d.path("posts.jsonl"))
	if err != nil {
		return err
	}
	posts := strings.Split(strings.TrimSpace(string(b)), "\n")
	d.tell("run %d: all %d requests of the first run are sent once more", d.past.Runs+1, len(posts))
	for _, line := range posts {
		var p post
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			return fmt.Errorf("read %s: %w", d.path("posts.jsonl"), err)
		}
		if p.Path == hookPath {
			p.Body = attempt.ReplaceAllStringFunc(p.Body, func(s string) string {
				n, _ := strconv.Atoi(attempt.FindStringSubmatch(s)[1])
				return fmt.Sprintf(`"attemptNumber":%d`, n+d.past.Runs)
			})
		}
		if err := d.send(ctx, p); err != nil {
			return err
		}
	}
	if err := d.settle(ctx, 0); err != nil {
		return err
	}
	return d.replay(ctx)
}

// ownOnly refuses a folder to which somebody else has sent something, while a demo was
// kept running: what then comes is not in the book.
func (d *demo) ownOnly(ctx context.Context) error {
	b, err := d.until(ctx, func(b demoBooks) string {
		if _, waiting, _ := b.totals(); waiting > 0 {
			return fmt.Sprintf("%d receipts have no fate", waiting)
		}
		return ""
	})
	if err != nil {
		return err
	}
	if accepted, _, _ := b.totals(); accepted != d.sent {
		return wrong(fmt.Errorf("%s holds %d receipts, and the demo sent %d of them; for a further run take a folder of its own", d.dir, accepted, d.sent))
	}
	return nil
}

var attempt = regexp.MustCompile(`"attemptNumber":(\d+)`)

// contact puts a contact into HubSpot, tied to companies.
func (d *demo) contact(ch simulator.Change, id int64, mail, first, last, stage string, companies ...int64) error {
	_, err := d.sim.Make(simulator.Made{Change: ch, Type: "contact", ID: id, Companies: companies, Properties: map[string]string{
		"email": mail, "firstname": first, "lastname": last, "lifecyclestage": stage,
	}})
	return err
}

// A visit is one event of a browser.
type visit struct {
	clock   string
	browser string
	url     string
	more    map[string]any
}

// pixel sends one browser's events of a day.
func (d *demo) pixel(ctx context.Context, day int, visits ...visit) error {
	var events []map[string]any
	for _, v := range visits {
		e := map[string]any{
			"event": "page_view", "anonymous_id": v.browser, "url": v.url,
			"occurred_at": canonical.FormatTime(d.at(day, v.clock)),
		}
		for k, value := range v.more {
			e[k] = value
		}
		events = append(events, e)
	}
	return d.sendJSON(ctx, pixelPath, "key_browser", map[string]any{"events": events})
}

// hooksAndSettle posts the webhooks that HubSpot has ready, each 1+repeat times, and
// waits until everything is told everywhere.
func (d *demo) hooksAndSettle(ctx context.Context, repeat int) error {
	for _, w := range d.sim.Webhooks(d.router + hookPath) {
		for n := range 1 + repeat {
			if n > 0 {
				w = d.sim.Again(w, n)
			}
			if err := d.note(post{Path: hookPath, Body: string(w.Body)}); err != nil {
				return err
			}
			if err := d.send(ctx, post{Path: hookPath, Body: string(w.Body)}); err != nil {
				return err
			}
		}
	}
	return d.settle(ctx, 0)
}

func (d *demo) sendJSON(ctx context.Context, path, key string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	p := post{Path: path, Key: key, Body: string(b)}
	if err := d.note(p); err != nil {
		return err
	}
	return d.send(ctx, p)
}

// note remembers a request for later runs.
func (d *demo) note(p post) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(d.path("posts.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
}

var callers = &http.Client{Timeout: 30 * time.Second}

// send makes one request as its caller would and counts the receipts.
func (d *demo) send(ctx context.Context, p post) error {
	target := d.router + p.Path
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader([]byte(p.Body)))
	if err != nil {
		return err
	}
	switch p.Key {
	case "":
		q.Header = simulator.SignWebhook(d.secrets["hubspot_app"], target, []byte(p.Body), time.Now())
	case "key_browser":
		q.URL.RawQuery = "key=" + url.QueryEscape(d.secrets[p.Key])
		q.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36")
	default:
		q.Header.Set("Authorization", "Bearer "+d.secrets[p.Key])
	}
	q.Header.Set("Content-Type", "application/json")
	res, err := callers.Do(q)
	if err != nil {
		return fmt.Errorf("send to %s: %w", p.Path, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("send to %s: %w", p.Path, err)
	}
	var a struct {
		Receipts []struct {
			ID string `json:"receipt_id"`
		} `json:"receipts"`
	}
	if res.StatusCode/100 != 2 || json.Unmarshal(answer, &a) != nil {
		return fmt.Errorf("%s answered %s: %s", p.Path, res.Status, answer)
	}
	for _, r := range a.Receipts {
		if r.ID == "" {
			return fmt.Errorf("%s kept only a part: %s", p.Path, answer)
		}
	}
	d.sent += len(a.Receipts)
	return nil
}
