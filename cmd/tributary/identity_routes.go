package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/identity"
	"tributary/ingest"
	"tributary/internal/eventlog"
	"tributary/internal/pipeline"
)

// The routes in this file are about who is who. Reading shows hashes and ids, as the log
// holds them; what was sent in the clear is shown to scope admin alone.

func (r *router) mountIdentity(g gin.IRouter, auth func(ingest.Scope) gin.HandlerFunc) {
	read, admin := auth(ingest.ScopeRead), auth(ingest.ScopeAdmin)
	g.GET("/v1/identity/:identifier", read, r.act(r.showIdentity))
	g.GET("/v1/identity/:identifier/clear", admin, r.act(r.clearIdentity))
	g.GET("/v1/identity/explain", read, r.act(r.explainIdentity))
	g.GET("/v1/identity/review", read, r.act(r.reviewIdentity))
	g.GET("/v1/identity/stats", read, r.act(r.identityStats))
	g.GET("/v1/identity/export", read, r.exportIdentity)
	g.POST("/v1/identity/erase", admin, r.act(r.eraseIdentity))
	for kind := range statementsSay {
		g.POST("/v1/identity/"+string(kind), admin, r.act(func(c *gin.Context) (int, any, error) { return r.stateIdentity(c, kind) }))
	}
}

// identityStats counts; with ?digest=true it also hashes everything, which holds the fold up
// for as long.
func (r *router) identityStats(c *gin.Context) (int, any, error) {
	stats := r.view.Stats()
	switch c.DefaultQuery("digest", "false") {
	case "false":
	case "true":
		offset, sum := r.view.DigestAt()
		stats.Digest = &identity.Digested{Offset: offset, SHA256: hex.EncodeToString(sum[:])}
	default:
		return 0, nil, &refusal{ingest.CodeSelection, "digest: must be true or false"}
	}
	return http.StatusOK, stats, nil
}

func (r *router) statements() *pipeline.Statements {
	return &pipeline.Statements{Log: r.log, Topics: r.topics, View: r.view, Archive: r.warehouse}
}

// whose reads an identifier that must be known.
func (r *router) whose(field, text string) (whom, error) {
	if text == "" {
		return whom{}, missingField(field, "which identifier: "+howWritten)
	}
	w, err := parseIdentifier(text)
	if err != nil {
		return w, &refusal{ingest.CodeIdentifier, field + ": " + err.Error()}
	}
	id, ok := r.view.Node(w.nodeOf())
	if !ok {
		return w, &refusal{ingest.CodeNobody, unknownIdentifier(w)}
	}
	id.Seen = time.Time{}
	w.Identifier = id
	return w, nil
}

// A causedTie is a tie with what made it.
type causedTie struct {
	identity.Tie
	Causes []pipeline.Cause `json:"causes,omitempty"`
}

// caused adds to lists of ties what made each.
func (r *router) caused(ctx context.Context, lists ...[]identity.Tie) (out [][]causedTie, gap string, err error) {
	causes, gap, err := r.statements().CausesOf(ctx, slices.Concat(lists...))
	if err != nil {
		return nil, "", err
	}
	for _, list := range lists {
		with := make([]causedTie, len(list))
		for i, t := range list {
			with[i] = causedTie{Tie: t, Causes: causes[i]}
		}
		causes = causes[len(list):]
		out = append(out, with)
	}
	return out, gap, nil
}

// A shownIdentity is a portrait with what made its ties, and the events that stand under it.
type shownIdentity struct {
	identity.Portrait
	Ties    []causedTie        `json:"ties"`
	Stopped []causedTie        `json:"stopped"`
	Events  []ingest.EventView `json:"events"`
	// Clear holds what was sent in the clear, by node.
	Clear map[string]string `json:"clear,omitempty"`
	Notes []string          `json:"notes,omitempty"` // what could not be looked at
}

// mostEvents is how many events of a person are shown.
const mostEvents = 20

func (r *router) showIdentity(c *gin.Context) (int, any, error) {
	a, err := r.portrait(c.Request.Context(), c.Param("identifier"))
	return http.StatusOK, a, err
}

func (r *router) portrait(ctx context.Context, text string) (shownIdentity, error) {
	w, err := r.whose("identifier", text)
	if err != nil {
		return shownIdentity{}, err
	}
	p, _ := r.view.About(w.nodeOf())
	a := shownIdentity{Portrait: p, Events: []ingest.EventView{}}
	lists, gap, err := r.caused(ctx, p.Ties, p.Stopped)
	if err != nil {
		return a, err
	}
	a.Ties, a.Stopped = lists[0], lists[1]
	a.note(gap)
	return a, r.eventsOf(ctx, w, &a)
}

func (a *shownIdentity) note(says string) {
	if says != "" {
		a.Notes = append(a.Notes, says)
	}
}

// eventsOf adds the newest events of a person or deal with what became of each.
func (r *router) eventsOf(ctx context.Context, w whom, a *shownIdentity) error {
	if w.Scheme.IsAccount() {
		return nil
	}
	var nodes []canonical.NodeID
	var object canonical.Object
	if w.Scheme == canonical.HubSpotDeal {
		object = dealObject(w.Value)
	} else {
		nodes = r.view.Cluster(w.nodeOf())
	}
	keys, err := r.warehouse.EventsOn(ctx, nodes, object, mostEvents)
	if err != nil {
		a.note("ClickHouse does not answer: its events are not shown")
		return nil
	}
	for _, k := range keys {
		e, err := where{r}.Event(ctx, k.ID, k.Name)
		if errors.Is(err, ingest.ErrNotFound) || errors.Is(err, ingest.ErrNotYetResolved) {
			continue // its retention is over
		}
		if err != nil {
			return err
		}
		a.Events = append(a.Events, e)
	}
	if len(keys) == mostEvents {
		a.note(fmt.Sprintf("only the newest %d events are shown", mostEvents))
	}
	return nil
}

func dealObject(value string) canonical.Object {
	for i := len(value) - 1; i >= 0; i-- {
		if value[i] == ':' {
			return canonical.Object{Account: value[:i], Type: "deal", ID: value[i+1:]}
		}
	}
	return canonical.Object{Type: "deal", ID: value}
}

// clearIdentity is showIdentity with the addresses and numbers as they were sent, as far as
// the receipts that named them are kept.
func (r *router) clearIdentity(c *gin.Context) (int, any, error) {
	ctx := c.Request.Context()
	a, err := r.portrait(ctx, c.Param("identifier"))
	if err != nil || a.Party == nil {
		return http.StatusOK, a, err
	}
	a.Clear = map[string]string{}
	for _, m := range a.Party.Identifiers {
		if m.Scheme != canonical.Email && m.Scheme != canonical.Phone || len(a.Clear) == mostEvents {
			continue
		}
		text, gap, err := r.clearText(ctx, m.Identifier)
		if err != nil {
			return 0, nil, err
		}
		if text != "" {
			a.Clear[m.Node.String()] = text
		} else {
			a.note(cmp.Or(gap, "the receipts that named "+identifierText(m.Identifier)+" are not kept any more, or held its hash only"))
		}
	}
	r.logger.Info("identity shown in the clear", "who", ingest.KeyName(c), "person", a.Party.Root.String(), "values", len(a.Clear))
	return http.StatusOK, a, nil
}

// receiptsLooked is how many receipts are opened for one value.
const receiptsLooked = 20

// clearText looks through the receipts that named an identifier for the text that it is the
// hash of.
func (r *router) clearText(ctx context.Context, id canonical.Identifier) (text, gap string, err error) {
	found, gap, err := r.statements().Among(ctx, []canonical.NodeID{id.Node()}, 1, canonical.FactLink, canonical.FactAssociation, canonical.FactTouch, canonical.FactStage)
	if err != nil {
		return "", gap, err
	}
	looked := map[canonical.ReceiptID]bool{}
	for _, f := range found {
		if f.Fact.Cause == "" || looked[f.Fact.Cause] {
			continue
		}
		if looked[f.Fact.Cause] = true; len(looked) > receiptsLooked {
			break
		}
		rc, err := r.replay.Receipt(ctx, f.Fact.Cause)
		if errors.Is(err, pipeline.ErrUnknown) {
			continue
		}
		if err != nil {
			return "", gap, err
		}
		if text := textOf(rc, id, r.settings(rc.Source).Region); text != "" {
			return text, gap, nil
		}
	}
	return "", gap, nil
}

// textOf finds in a receipt the text whose hash an identifier is.
func textOf(rc canonical.Receipt, id canonical.Identifier, region string) string {
	is := func(s string) bool {
		if id.Scheme == canonical.Email {
			return canonical.EmailHash(s) == id.Value
		}
		return canonical.PhoneHash(s, region) == id.Value
	}
	var body any
	if json.Unmarshal(rc.Body, &body) == nil {
		if s := textIn(body, is); s != "" {
			return s
		}
	}
	if rc.Completion != nil {
		for _, o := range rc.Completion.Objects {
			for _, s := range o.Properties {
				if is(s) {
					return s
				}
			}
		}
	}
	return ""
}

// textIn walks through JSON for a text.
func textIn(v any, is func(string) bool) string {
	switch v := v.(type) {
	case string:
		if is(v) {
			return v
		}
	case []any:
		for _, x := range v {
			if s := textIn(x, is); s != "" {
				return s
			}
		}
	case map[string]any:
		for _, x := range v {
			if s := textIn(x, is); s != "" {
				return s
			}
		}
	}
	return ""
}

// An explainedIdentity is an explanation with what made its ties.
type explainedIdentity struct {
	identity.Explanation
	Chain   []causedTie `json:"chain"`
	Between []causedTie `json:"between,omitempty"`
	Notes   []string    `json:"notes,omitempty"`
}

func (r *router) explainIdentity(c *gin.Context) (int, any, error) {
	a, err := r.whose("a", c.Query("a"))
	if err != nil {
		return 0, nil, err
	}
	b, err := r.whose("b", c.Query("b"))
	if err != nil {
		return 0, nil, err
	}
	e, ok := r.view.Why(a.nodeOf(), b.nodeOf())
	if !ok {
		return 0, nil, &refusal{ingest.CodeIdentifier, "b: people are compared with people, and companies and domains with each other; a deal belongs to neither (identity show lists whose it is)"}
	}
	out := explainedIdentity{Explanation: e}
	lists, gap, err := r.caused(c.Request.Context(), e.Chain, e.Between)
	if err != nil {
		return 0, nil, err
	}
	if out.Chain, out.Between = lists[0], lists[1]; gap != "" {
		out.Notes = append(out.Notes, gap)
	}
	return http.StatusOK, out, nil
}

// A reviewPage is part of what guards and blocks stopped.
type reviewPage struct {
	Items      []identity.Stopped   `json:"items"`
	Collisions []identity.Collision `json:"collisions,omitempty"` // on the first page
	Next       string               `json:"next,omitempty"`
}

// reviewReasons are what a review can be asked for.
var reviewReasons = []identity.Reason{identity.NeverLink, identity.Crowded, identity.SharedDevice, identity.PersonLimit, identity.TwoPeople, identity.Blocked}

func (r *router) reviewIdentity(c *gin.Context) (int, any, error) {
	limit, err := limitOf(c)
	if err != nil {
		return 0, nil, err
	}
	var reasons []identity.Reason
	for _, text := range c.QueryArray("reason") {
		if !slices.Contains(reviewReasons, identity.Reason(text)) {
			return 0, nil, &refusal{ingest.CodeSelection, fmt.Sprintf("reason: must be one of %v", reviewReasons)}
		}
		reasons = append(reasons, identity.Reason(text))
	}
	var after canonical.NodeID
	if text := c.Query("after"); text != "" {
		if err := after.UnmarshalText([]byte(text)); err != nil {
			return 0, nil, &refusal{ingest.CodeSelection, "after: must be what an earlier page gave as next"}
		}
	}
	page := reviewPage{Items: []identity.Stopped{}}
	if after == 0 {
		page.Collisions = r.view.Collisions()
	}
	found, next := r.view.Review(after, limit, reasons...)
	page.Items = append(page.Items, found...)
	if next != 0 {
		page.Next = next.String()
	}
	return http.StatusOK, page, nil
}

// exportIdentity writes persons, or accounts, one a line.
func (r *router) exportIdentity(c *gin.Context) {
	account := c.Query("of") == "accounts"
	if of := c.Query("of"); of != "" && of != "persons" && of != "accounts" {
		ingest.Refuse(c, ingest.CodeSelection, "of: must be persons or accounts")
		return
	}
	c.Header("Content-Type", "application/x-ndjson")
	c.Status(http.StatusOK)
	lines := json.NewEncoder(c.Writer)
	control := http.NewResponseController(c.Writer)
	for after := canonical.NodeID(0); ; {
		_ = control.SetWriteDeadline(time.Now().Add(time.Minute)) // of each page: the whole may take long
		page, next := r.view.Parties(after, 1000, account)
		for _, p := range page {
			if lines.Encode(p) != nil {
				return // whoever asked has gone
			}
		}
		c.Writer.Flush()
		if after = next; after == 0 || c.Request.Context().Err() != nil {
			return
		}
	}
}

// A statement asks for a fact of a person's own.
type statement struct {
	Identifiers []string `json:"identifiers"`
	Reason      string   `json:"reason"`
	DryRun      bool     `json:"dry_run"`
	Expect      *int     `json:"expect"` // how many identifiers it may move
}

// A statedIdentity is what a statement came to.
type statedIdentity struct {
	OK     bool               `json:"ok"`
	Kind   canonical.FactKind `json:"kind"`
	DryRun bool               `json:"dry_run,omitempty"`
	identity.Prospect
	Offset *int64     `json:"offset,omitempty"` // of the fact in topic identity
	Folded bool       `json:"folded,omitempty"` // after is how they are now, in this process
	At     *time.Time `json:"at,omitempty"`
	By     string     `json:"by,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

func (r *router) stateIdentity(c *gin.Context, kind canonical.FactKind) (int, any, error) {
	ctx := c.Request.Context()
	var q statement
	if err := readAct(c, &q, false); err != nil {
		return 0, nil, err
	}
	f := canonical.Fact{Kind: kind, At: time.Now().UTC(), By: ingest.KeyName(c), Reason: q.Reason}
	switch {
	case q.Reason == "" && !q.DryRun:
		return 0, nil, missingField("reason", "why; it is kept with the statement")
	case mentionsAddress(q.Reason):
		return 0, nil, &refusal{ingest.CodeIdentifier, "reason: it is kept for ever and holds an address; say it without"}
	case len(q.Reason) > 1000:
		return 0, nil, &refusal{ingest.CodeTooLarge, "reason: at most 1000 bytes"}
	}
	var err error
	if f.Nodes, err = r.statedNodes(kind, q.Identifiers); err != nil {
		return 0, nil, err
	}
	p, err := r.view.After(f)
	if err != nil {
		return 0, nil, err
	}
	if len(p.Blocked) > 0 {
		return 0, nil, &refusal{ingest.CodeIdentifier, fmt.Sprintf("%s and %s: a block keeps them apart, which a merge does not lift; allow does", identifierText(f.Nodes[0]), identifierText(p.Blocked[0]))}
	}
	a := statedIdentity{OK: true, Kind: kind, DryRun: q.DryRun, Prospect: p, By: f.By, Reason: f.Reason}
	if q.Expect != nil && *q.Expect != p.Moved {
		return 0, nil, &refusal{ingest.CodeCount, fmt.Sprintf("it would move %d identifiers, and %d were expected: somebody was quicker; look again", p.Moved, *q.Expect)}
	}
	if q.DryRun || p.Already {
		return http.StatusOK, a, nil
	}
	offset, folded, err := r.statements().State(ctx, p.Fact)
	switch {
	case errors.Is(err, eventlog.ErrFull):
		return 0, nil, &refusal{ingest.CodeLogFull, err.Error()}
	case errors.Is(err, eventlog.ErrUnavailable):
		return 0, nil, &refusal{ingest.CodeLog, "the log did not take it in time; look whether it stands (tributary identity explain), then say it again"}
	case err != nil:
		return 0, nil, err
	}
	var nodes []string
	for _, n := range f.Nodes {
		nodes = append(nodes, n.Node().String())
	}
	r.logger.Info("identity statement", "kind", string(kind), "nodes", nodes, "who", f.By, "reason", f.Reason, "offset", offset)
	a.Prospect.Offset, a.Offset, a.At, a.Folded = 0, &offset, &p.Fact.At, folded
	if folded {
		a.After = r.partiesOf(f.Nodes)
	}
	return http.StatusOK, a, nil
}

// partiesOf gives the persons of identifiers, each once.
func (r *router) partiesOf(ids []canonical.Identifier) []identity.Party {
	out := []identity.Party{}
	for _, id := range ids {
		p, ok := r.view.Party(id.Node())
		if ok && !slices.ContainsFunc(out, func(o identity.Party) bool { return o.Root == p.Root }) {
			out = append(out, p)
		}
	}
	return out
}

// statedNodes reads whom a statement is about, and refuses what would say nothing.
func (r *router) statedNodes(kind canonical.FactKind, texts []string) ([]canonical.Identifier, error) {
	records := kind == canonical.FactMerge || kind == canonical.FactUnmerge
	if len(texts) < 2 || !records && len(texts) != 2 || len(texts) > 50 {
		return nil, missingField("identifiers", map[bool]string{true: "the record that survives, and those merged into it", false: "exactly the two that it is about"}[records])
	}
	var nodes []canonical.Identifier
	for i, text := range texts {
		w, err := r.whose(fmt.Sprintf("identifiers[%d]", i), text)
		if err != nil {
			return nil, err
		}
		id := w.Identifier
		switch {
		case id.Scheme == canonical.HubSpotDeal:
			return nil, &refusal{ingest.CodeIdentifier, "a deal is neither a person nor an account"}
		case records && id.Scheme != canonical.HubSpotContact && id.Scheme != canonical.HubSpotCompany:
			return nil, &refusal{ingest.CodeIdentifier, fmt.Sprintf("identifiers[%d]: merges are of CRM records (contact:, company:); to join or separate other identifiers use allow and block", i)}
		case i > 0 && id.Scheme.IsPerson() != nodes[0].Scheme.IsPerson():
			return nil, &refusal{ingest.CodeIdentifier, "people are joined with people, and companies and domains with each other"}
		case records && i > 0 && id.Scheme != nodes[0].Scheme:
			return nil, &refusal{ingest.CodeIdentifier, "records of one kind are merged: contacts, or companies"}
		case slices.Contains(nodes, id):
			return nil, &refusal{ingest.CodeIdentifier, fmt.Sprintf("identifiers[%d]: it is named twice", i)}
		}
		nodes = append(nodes, id)
	}
	return nodes, nil
}
