package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/canonical"
	"tributary/internal/pipeline"
	"tributary/internal/rehearsal"
	"tributary/mappings"
	"tributary/mappings/cases"
)

func mappingExplainCommand(o *options) *cobra.Command {
	e := explainer{o: o}
	c := &cobra.Command{
		Use: "explain FILE|-|EVENT_ID", Short: "Say what becomes of an input: the rule that names it, its id, and what each destination gets", Args: cobra.ExactArgs(1),
		Long: `Say step by step what becomes of an input: as it is read, the rule that names it, the event with its id,
and for every destination the body that would be sent, or why none is. A file, or - for standard input,
holds what a source sends, as JSON; no running router is needed. An event id asks the running router.`,
		RunE: func(c *cobra.Command, args []string) error {
			e.w = c.OutOrStdout()
			return e.explain(c, args[0])
		},
	}
	c.Flags().StringSliceVar(&e.files, "mapping", nil, "mapping files, instead of the configured ones")
	c.Flags().StringVar(&e.way, "way", "", "the way in that the input came by: "+strings.Join(cases.Ways(), ", ")+" (default: guessed)")
	c.Flags().StringVar(&e.source, "source", "", "the configured source that it came from")
	c.Flags().BoolVar(&e.browser, "browser", false, "it came with a browser's key")
	c.Flags().StringVar(&e.now, "now", "", "the time of deciding (default: now)")
	c.Flags().StringSliceVar(&e.only, "to", nil, "only these destinations")
	c.Flags().BoolVar(&e.show, "show-personal-data", false, "do not mask addresses, names, telephone numbers, cookies and click ids")
	return c
}

// An explainer says what becomes of inputs.
type explainer struct {
	o             *options
	w             io.Writer
	files, only   []string
	way, source   string
	browser, show bool
	now           string
	given         int // inputs so far
}

// An explanation is what is said of one input, in the order of its way. Personal data in it
// is masked unless it was asked for.
type explanation struct {
	Input        explainedInput         `json:"input"`
	Rule         *explainedRule         `json:"rule,omitempty"`
	Fate         canonical.Fate         `json:"fate"`
	Reason       string                 `json:"reason,omitempty"`
	Detail       string                 `json:"detail,omitempty"`
	ID           *explainedID           `json:"id,omitempty"`
	Event        any                    `json:"event,omitempty"`
	Destinations []explainedDestination `json:"destinations,omitempty"`
	Masked       bool                   `json:"personal_data_masked"`

	event *canonical.Event
}

type explainedInput struct {
	Way       canonical.Way       `json:"way,omitempty"`
	Guessed   bool                `json:"way_guessed,omitempty"`
	Source    string              `json:"source,omitempty"`
	Bytes     int                 `json:"bytes,omitempty"`
	ReceiptID canonical.ReceiptID `json:"receipt_id,omitempty"`
	Says      string              `json:"says,omitempty"` // what it was read as, in words
}

type explainedRule struct {
	At   string `json:"at"` // file:line; built-in
	Text string `json:"text,omitempty"`
}

type explainedID struct {
	ID     canonical.EventID `json:"event_id"`
	Recipe int               `json:"recipe"` // 0: the sender's own
	Parts  []mappings.IDPart `json:"parts,omitempty"`
}

type explainedDestination struct {
	Destination string          `json:"destination"`
	State       string          `json:"state,omitempty"` // now, at a running router
	Route       string          `json:"line,omitempty"`  // file:line
	Parts       []explainedPart `json:"parts"`
}

type explainedPart struct {
	Part     string           `json:"part"`
	Sent     bool             `json:"would_be_sent"`
	Reason   string           `json:"reason,omitempty"`
	Detail   string           `json:"detail,omitempty"`
	Value    *canonical.Money `json:"value,omitempty"`
	Currency string           `json:"currency,omitempty"`
	Body     any              `json:"body,omitempty"`
}

// mostExplained bounds what is explained at a time.
const mostExplained = 16 << 20

func (e *explainer) explain(c *cobra.Command, what string) error {
	var text []byte
	var err error
	if what == "-" {
		text, err = io.ReadAll(io.LimitReader(c.InOrStdin(), mostExplained+1))
	} else if text, err = os.ReadFile(what); errors.Is(err, fs.ErrNotExist) {
		return e.event(c, what)
	}
	if err == nil && len(text) > mostExplained {
		err = fmt.Errorf("%s holds more than %d MiB; explain it in pieces", what, mostExplained>>20)
	}
	if err != nil {
		return wrong(err)
	}
	out, err := e.inputs(c, what, text)
	if err != nil {
		return err
	}
	return e.print(out)
}

// inputsOf cuts a body into the inputs that it holds: the elements of a list, of Meta's
// data or of Segment's batch, else itself.
func inputsOf(text []byte) ([]json.RawMessage, error) {
	text = bytes.TrimSpace(text)
	if !json.Valid(text) {
		return nil, errors.New("this is not JSON; a file must hold the body of one request, as the source sends it")
	}
	var list []json.RawMessage
	if json.Unmarshal(text, &list) == nil {
		if len(list) == 0 {
			return nil, errors.New("there is no input in it")
		}
		return list, nil
	}
	var wrapped map[string]json.RawMessage
	if json.Unmarshal(text, &wrapped) == nil {
		for _, key := range []string{"data", "batch", "events"} {
			if json.Unmarshal(wrapped[key], &list) == nil && len(list) > 0 {
				return list, nil
			}
		}
	}
	return []json.RawMessage{text}, nil
}

// inputs runs inputs through the mapping, one after the other: what one says of its person
// holds for those that follow.
func (e *explainer) inputs(c *cobra.Command, what string, text []byte) ([]explanation, error) {
	b, err := openBench(c, e.o, e.files, true)
	if err != nil {
		return nil, err
	}
	m, problems := b.compile()
	if mappings.Failed(problems) || m == nil {
		return nil, wrong(errors.New(problemText(problems)))
	}
	dests, problems := configuredSeats(b, m)
	if len(problems) > 0 {
		return nil, wrong(errors.New(problemText(problems)))
	}
	if dests, err = e.chosen(dests); err != nil {
		return nil, err
	}
	bodies, err := inputsOf(text)
	if err == nil && e.way == string(canonical.WayHook) { // the mapping says where its elements are
		bodies, err = m.Items(e.source, text)
	}
	if err != nil {
		return nil, wrong(fmt.Errorf("%s: %w", what, err))
	}
	now := time.Now()
	if e.now != "" {
		if now, err = moment(e.now, now); err != nil {
			return nil, wrong(fmt.Errorf("--now: %w", err))
		}
	}
	for i := range dests {
		dests[i].Adapter, _ = withFields(dests[i].Adapter, m)
	}
	r, err := rehearsal.New(m, settingsFor(b, &cases.Suite{}), b.cfg.Identity.Guards(), dests)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out []explanation
	for _, body := range bodies {
		rc, guessed, err := e.receipt(body, now)
		if err != nil {
			return nil, err
		}
		o, err := r.Take(c.Context(), rc, rehearsal.Profile{}, now)
		if err != nil {
			return nil, err
		}
		x := e.explained(b, m, o)
		x.Input.Guessed = guessed
		out = append(out, x)
	}
	return out, nil
}

// chosen keeps the destinations that were asked for.
func (e *explainer) chosen(dests []rehearsal.Destination) ([]rehearsal.Destination, error) {
	if len(e.only) == 0 {
		return dests, nil
	}
	var known []string
	for _, d := range dests {
		known = append(known, d.Name)
	}
	for _, name := range e.only {
		if !slices.Contains(known, name) {
			return nil, wrong(fmt.Errorf("there is no destination %q; there are %s%s", name, words(known), suggestion(name, known)))
		}
	}
	return slices.DeleteFunc(dests, func(d rehearsal.Destination) bool { return !slices.Contains(e.only, d.Name) }), nil
}

// receipt makes a receipt of a body as the door would.
func (e *explainer) receipt(body []byte, now time.Time) (rc canonical.Receipt, guessed bool, err error) {
	way := canonical.Way(e.way)
	if way == "" {
		way, guessed = cases.GuessWay(body), true
	}
	if !slices.Contains(cases.Ways(), string(way)) {
		if e.way == "" {
			return rc, true, wrong(fmt.Errorf("nothing in the input says which way in it came by; name it: --way %s", strings.Join(cases.Ways(), "|")))
		}
		return rc, false, wrong(fmt.Errorf("there is no way in %q; there are %s%s", way, strings.Join(cases.Ways(), ", "), suggestion(string(way), cases.Ways())))
	}
	e.given++
	rc = canonical.Receipt{ID: canonical.ReceiptID(fmt.Sprintf("explained-%d", e.given)), Way: way, Source: e.source, ReceivedAt: now.UTC(), Body: body,
		Browser: e.browser || way == canonical.WayPixel}
	if rc.Source == "" {
		rc.Source = cases.SourceOf(way)
	}
	return rc, guessed, nil
}

// explained says what one input came to.
func (e *explainer) explained(b workbench, m *mappings.Mapping, o rehearsal.Outcome) explanation {
	mask := newMask(e.show, o.Event, &o.Report)
	x := explanation{
		Input: explainedInput{Way: o.Receipt.Way, Source: o.Receipt.Source, Bytes: len(o.Receipt.Body), Says: mask.text(inWords(o))},
		Fate:  o.Fate, Reason: o.Reason, Detail: mask.text(o.Detail), Masked: !e.show, event: o.Event,
	}
	if o.Event == nil {
		return x
	}
	x.Rule = ruleAt(b.files, o.Event.Rule)
	x.ID = &explainedID{ID: o.Event.ID, Recipe: o.Event.IDRecipe}
	for _, p := range m.IDParts(o.Report, *o.Event) {
		p.Value = mask.text(p.Value)
		x.ID.Parts = append(x.ID.Parts, p)
	}
	x.Event = mask.value(jsonValue(o.Event))
	for _, r := range o.ForCases().Destinations {
		d := explainedDestination{Destination: r.Destination}
		for _, p := range r.Parts {
			d.Parts = append(d.Parts, explainedPart{Part: p.Name, Sent: p.Sent, Reason: p.Reason, Detail: mask.text(p.Detail), Value: p.Value, Currency: p.Currency,
				Body: mask.value(jsonValue(json.RawMessage(p.Body)))})
		}
		x.Destinations = append(x.Destinations, d)
	}
	return x
}

// inWords says in words what an input was read as.
func inWords(o rehearsal.Outcome) string {
	r := o.Report
	if r.Subject == "" {
		return ""
	}
	what := strings.ReplaceAll(string(r.Subject), "_", " ")
	if r.Event != "" {
		what += fmt.Sprintf(" %q", r.Event)
	}
	if r.Object.ID != "" {
		what += " of " + r.Object.Type + " " + r.Object.ID
	}
	if r.Pipeline != "" {
		what += fmt.Sprintf(", pipeline %q", r.Pipeline)
	}
	if r.RawStage != "" {
		what += fmt.Sprintf(", stage %q", r.RawStage)
	}
	if r.Claimed != "" {
		what += fmt.Sprintf(", which the sender takes to be %q", r.Claimed)
	}
	if !r.OccurredAt.IsZero() {
		what += ", at " + canonical.FormatTime(r.OccurredAt)
		if r.Reported {
			what += " (only the time of reporting is known)"
		}
	}
	if o.Bare {
		what += "; a router reads the object from the CRM first, which is left out here"
	}
	return what
}

// ruleAt gives the line of a rule, file:line.
func ruleAt(files []mappings.File, at string) *explainedRule {
	if at == "" {
		return nil
	}
	r := &explainedRule{At: at}
	if i := strings.LastIndexByte(at, ':'); i > 0 {
		n, _ := number(at[i+1:])
		r.Text = mappings.LineText(files, at[:i], int(n))
	}
	return r
}

// jsonValue reads what json.Marshal makes of v into maps and lists, numbers as written.
func jsonValue(v any) any {
	text, err := json.Marshal(v)
	if raw, ok := v.(json.RawMessage); ok {
		text, err = raw, nil
	}
	if err != nil || len(text) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out any
	if d.Decode(&out) != nil {
		return string(text)
	}
	return out
}

// event asks the running router about an event.
func (e *explainer) event(c *cobra.Command, id string) error {
	cl, err := dial(e.o)
	if err != nil {
		if strings.ContainsAny(id, "./\\") {
			return wrong(fmt.Errorf("%s is no file here; and as an event id: %w", id, err))
		}
		return err
	}
	var a explainedEvents
	if err := cl.call(c.Context(), http.MethodPost, "/v1/explain", map[string]any{"event_id": id, "destinations": e.only}, &a); err != nil {
		return err
	}
	var out []explanation
	for _, x := range a.Events {
		out = append(out, e.answered(x))
	}
	return e.print(out)
}

// explainedEvents is the answer of POST /v1/explain.
type explainedEvents struct {
	Events []explainedEvent `json:"events"`
}

// An explainedEvent is an event as it was resolved, what its receipt says, and what each
// destination would make of it now.
type explainedEvent struct {
	Event    canonical.Event     `json:"event"`
	Rule     *explainedRule      `json:"rule,omitempty"`
	IDParts  []mappings.IDPart   `json:"id_parts,omitempty"`
	Says     string              `json:"says,omitempty"`
	States   map[string]string   `json:"states"` // by destination, where it is now
	Prospect []pipeline.Prospect `json:"preview"`
}

// answered says what the router answered of one event.
func (e *explainer) answered(a explainedEvent) explanation {
	mask := newMask(e.show, &a.Event, nil)
	x := explanation{
		Input: explainedInput{Way: a.Event.Way, Source: a.Event.Source, ReceiptID: a.Event.ReceiptID, Says: mask.text(a.Says)},
		Rule:  a.Rule, Fate: canonical.FateEvent, ID: &explainedID{ID: a.Event.ID, Recipe: a.Event.IDRecipe}, Masked: !e.show,
		Event: mask.value(jsonValue(a.Event)), event: &a.Event,
	}
	for _, p := range a.IDParts {
		p.Value = mask.text(p.Value)
		x.ID.Parts = append(x.ID.Parts, p)
	}
	for _, p := range a.Prospect {
		d := explainedDestination{Destination: p.Destination, State: a.States[p.Destination]}
		for _, f := range p.Parts {
			d.Parts = append(d.Parts, explainedPart{Part: f.Part, Sent: f.Class.Sends(), Reason: rehearsal.ReasonOf(f), Detail: mask.text(f.Detail),
				Value: f.Value, Currency: f.Currency, Body: mask.value(jsonValue(f.Body))})
		}
		x.Destinations = append(x.Destinations, d)
	}
	return x
}
