package hubspot

import (
	"errors"
	"html"
	"net/http"
	"strconv"
	"strings"

	"tributary/destinations"
)

var _ destinations.Seeker = destination{}

// Seek asks for the notes of the contact at the time of the event. Nothing else needs to be
// looked for: writes of properties say the same again, and entries with an id are taken once;
// for those the question is a harmless read of the account.
func (d destination) Seek(it destinations.Item) (destinations.Request, error) {
	q := destinations.Request{Method: http.MethodPost, Header: destinations.JSONHeader(), Path: d.paths.objects + "/notes/search", Class: searchClass}
	if it.Part.Batch != asNotes {
		q.Method, q.Path, q.Class = http.MethodGet, d.paths.account, ""
		return q, nil
	}
	id := d.contactID(it.Event, it.Known)
	if id == "" {
		return destinations.Request{}, errors.New(noContactYet)
	}
	at := destinations.HappenedAt(it.Event).UnixMilli()
	body, err := destinations.JSON(map[string]any{
		"filterGroups": []any{map[string]any{"filters": []any{
			map[string]any{"propertyName": "associations.contact", "operator": "EQ", "value": id},
			map[string]any{"propertyName": "hs_timestamp", "operator": "EQ", "value": strconv.FormatInt(at, 10)},
		}}},
		"properties": []string{"hs_note_body", "hs_timestamp"},
		"limit":      100,
	})
	q.Body = body
	return q, err
}

// Found looks for the note's own sentence at its own time. None found is sure as well: by
// Contract.LookAfter HubSpot's index, which lags by seconds, has had the time to learn of it.
func (d destination) Found(it destinations.Item, r destinations.Response) (found, sure bool) {
	if it.Part.Batch != asNotes {
		return false, true // sent again, it does no harm
	}
	var a answer
	if r.Status/100 != 2 || !destinations.ReadJSON(r.Body, &a) || a.Results == nil {
		return false, false
	}
	text, at := plainBody(noteBody(sentence(it.Event, it.Part.Route))), datetime(destinations.HappenedAt(it.Event))
	for _, res := range a.Results {
		if plainBody(string(res.Properties["hs_note_body"])) != text {
			continue
		}
		if when, ok := instant(string(res.Properties["hs_timestamp"])); ok && datetime(when) == at {
			return true, true
		}
	}
	return false, len(a.Results) < 100
}

// plainBody is a note's text without what HubSpot may put round it.
func plainBody(s string) string {
	var b strings.Builder
	inTag := false
	for _, r := range s {
		switch {
		case r == '<':
			inTag = true
		case r == '>' && inTag:
			inTag = false
		case !inTag:
			b.WriteRune(r)
		}
	}
	return destinations.Text(html.UnescapeString(b.String()))
}
