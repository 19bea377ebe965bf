package simulator

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A JournalApp is the app that may read the webhooks journal of a portal: HubSpot's own list of
// what it would have posted. The journal is not kept in Options.Dir.
type JournalApp struct {
	ClientID, ClientSecret string // "" is none
	Scopes                 []string
	PerFile                int // events in one file; 0 means 50
}

// journalScope is what a token needs to read.
const journalScope = "developer.webhooks_journal.read"

const (
	journalKept  = 3 * 24 * time.Hour
	journalToken = 30 * time.Minute
	journalURL   = 5 * time.Minute // how long a file's address holds
)

// A webhookJournal is what was published, oldest first, and what is to be.
type webhookJournal struct {
	pending []map[string]any
	files   []journalFile
	next    int64
	tokens  map[string]time.Time // until when each holds
	reads   rolling
}

type journalFile struct {
	offset string
	at     time.Time
	events []map[string]any
}

// journalActions are the words for what webhooks call otherwise.
var journalActions = map[string]string{"creation": "CREATE", "propertyChange": "UPDATE", "deletion": "DELETE", "merge": "MERGE", "restore": "RESTORE", "privacyDeletion": "GDPR_DELETE"}

// publish takes a fact into the journal, whatever the app's webhooks are subscribed to.
func (h *hubSpotServer) publish(f fact, ch Change) {
	if h.account.Journal.ClientID == "" {
		return
	}
	e := map[string]any{"type": "crm", "portalId": h.account.PortalID, "occurredAt": ch.At.UnixMilli(), "action": journalActions[f.action], "objectTypeId": h.crm.typeID(f.object), "objectId": f.record}
	switch f.action {
	case "propertyChange":
		e["propertyChanges"] = map[string]any{f.property: h.hookValue(f.object, f.property, f.value)}
	case "merge":
		e["objectId"], e["primaryObjectId"], e["mergedObjectIds"], e["newObjectId"] = f.result, f.primary2, f.merged, f.result
	case "associationChange":
		e["action"] = "ASSOCIATION_ADDED"
		if f.removed {
			e["action"] = "ASSOCIATION_REMOVED"
		}
		delete(e, "objectId")
		e["fromObjectId"], e["toObjectId"], e["fromObjectTypeId"], e["toObjectTypeId"] = f.from, f.to, h.crm.typeID(f.object), h.crm.typeID(f.toType)
	}
	h.journal.pending = append(h.journal.pending, e)
}

// settle makes files of what is pending and drops those that are too old.
func (h *hubSpotServer) settleJournal(now time.Time) {
	j := &h.journal
	for n := cmp.Or(h.account.Journal.PerFile, 50); len(j.pending) > 0; {
		k := min(n, len(j.pending))
		j.next++
		j.files = append(j.files, journalFile{offset: fmt.Sprintf("%016x", 0xabc000+j.next*7), at: now, events: j.pending[:k:k]})
		j.pending = j.pending[k:]
	}
	for len(j.files) > 0 && now.Sub(j.files[0].at) > journalKept {
		j.files = j.files[1:]
	}
}

// grantJournal gives a token for the credentials of an app that may read a journal; false: they
// are none of such an app.
func (s *Simulator) grantJournal(c *call) (answer, bool) {
	id, secret := c.r.PostForm.Get("client_id"), c.r.PostForm.Get("client_secret")
	for _, h := range s.portals {
		if app := h.account.Journal; app.ClientID != "" && app.ClientID == id && c.r.PostForm.Get("grant_type") == "client_credentials" {
			if app.ClientSecret != secret {
				return oauthRefusal("invalid_client", "BAD_CLIENT_SECRET", "missing or invalid client secret"), true
			}
			if h.journal.tokens == nil {
				h.journal.tokens = map[string]time.Time{}
			}
			token := fmt.Sprintf("journal-%d-%d", h.account.PortalID, len(h.journal.tokens)+1)
			h.journal.tokens[token] = c.now.Add(journalToken)
			return jsonAnswer(http.StatusOK, map[string]any{"access_token": token, "token_type": "bearer", "expires_in": int(journalToken.Seconds())}), true
		}
	}
	return answer{}, false
}

// serveJournal answers from the journal, and gives its files.
func (s *Simulator) serveJournal(c *call) answer {
	p := strings.Split(strings.Trim(c.path, "/"), "/")
	if p[0] == "webhooks-journal-files" {
		return s.serveJournalFile(c, p)
	}
	token, _ := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	for _, h := range s.portals {
		until, ours := h.journal.tokens[token]
		switch {
		case !ours:
			continue
		case !c.now.Before(until):
			return badToken().answer(c)
		case !strings.Contains(strings.Join(h.account.Journal.Scopes, " "), journalScope):
			return missingScopes(journalScope).answer(c)
		case c.method != http.MethodGet || len(p) < 4 || p[1] != "journal" || p[2] != "2026-03":
			return noSuchPath().answer(c)
		}
		if h.journal.reads.most == 0 {
			h.journal.reads = rolling{most: 100, span: time.Second}
		}
		if !h.journal.reads.take(c.now) {
			return h.tooMany(c, "search").answer(c)
		}
		h.settleJournal(c.now)
		return h.journalEntry(c, p[3:])
	}
	return badToken().answer(c)
}

func (h *hubSpotServer) journalEntry(c *call, rest []string) answer {
	files := h.journal.files
	at := -1
	switch {
	case len(rest) == 1 && rest[0] == "earliest":
		at = 0
	case len(rest) == 1 && rest[0] == "latest":
		at = len(files) - 1
	case len(rest) == 3 && rest[0] == "offset" && rest[2] == "next":
		for i, f := range files {
			if f.offset == rest[1] {
				at = i + 1
			}
		}
		if at < 0 { // unknown, or no longer kept
			return hubSpotMissing("offset not found").answer(c)
		}
	default:
		return noSuchPath().answer(c)
	}
	if at < 0 || at >= len(files) {
		return answer{status: http.StatusNoContent}
	}
	scheme := "http"
	if c.r.TLS != nil {
		scheme = "https"
	}
	until := c.now.Add(journalURL)
	path := fmt.Sprintf("/webhooks-journal-files/%d/%s", h.number, files[at].offset)
	return jsonAnswer(http.StatusOK, map[string]any{"currentOffset": files[at].offset, "expiresAt": stamp(until),
		"url": fmt.Sprintf("%s://%s%s?until=%d&signature=%s", scheme, c.r.Host, path, until.UnixMilli(), h.signFile(path, until.UnixMilli()))})
}

func (h *hubSpotServer) signFile(path string, until int64) string {
	return hashHex(h.account.Journal.ClientSecret + path + strconv.FormatInt(until, 10))
}

// serveJournalFile is another host's, as it were: its address is the permission, and whoever
// shows a token there gives it away.
func (s *Simulator) serveJournalFile(c *call, p []string) answer {
	q := c.r.URL.Query()
	until, _ := strconv.ParseInt(q.Get("until"), 10, 64)
	if len(p) != 3 || c.method != http.MethodGet {
		return answer{status: http.StatusNotFound}
	}
	n, err := strconv.Atoi(p[1])
	if err != nil || n < 0 || n >= len(s.portals) {
		return answer{status: http.StatusNotFound}
	}
	h := s.portals[n]
	switch {
	case c.r.Header.Get("Authorization") != "":
		return answer{status: http.StatusBadRequest, kind: "text/plain", body: []byte("only one auth mechanism allowed")}
	case q.Get("signature") != h.signFile(c.path, until), c.now.UnixMilli() > until:
		return answer{status: http.StatusForbidden}
	}
	for _, f := range h.journal.files {
		if f.offset == p[2] {
			return jsonAnswer(http.StatusOK, map[string]any{"offset": f.offset, "publishedAt": f.at.UnixMilli(), "journalEvents": f.events})
		}
	}
	return answer{status: http.StatusNotFound}
}
