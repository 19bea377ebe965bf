package hubspot

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"tributary/canonical"
	"tributary/destinations"
)

// The rows of a batch. Fields stand in the order of their JSON names.
type recordRow struct {
	ID         string            `json:"id,omitempty"`
	IDProperty string            `json:"idProperty,omitempty"`
	Trace      string            `json:"objectWriteTraceId,omitempty"`
	Properties map[string]string `json:"properties"`
}

// A row is one record of a request with the items that are about it.
type row struct {
	id    string // record id, key or e-mail
	items []int  // of the batch, in order
}

// Build gives one call: all items are of one kind (Part.Batch). Items of one record become
// one row. One record by its id alone is changed by the single call, which, unlike the
// batch, takes the ids that a merge took away.
func (d destination) Build(batch []destinations.Item) (destinations.Request, error) {
	if len(batch) == 0 {
		return destinations.Request{}, errors.New("an empty batch")
	}
	kind := batch[0].Part.Batch
	for _, it := range batch {
		if it.Part.Batch != kind {
			return destinations.Request{}, fmt.Errorf("event %s: %q cannot share a request with %q", it.Event.ID, it.Part.Batch, kind)
		}
	}
	q := destinations.Request{
		Method: http.MethodPost, Header: destinations.JSONHeader(),
		Bodies: make([][]byte, len(batch)), Values: make([]destinations.Value, len(batch)),
	}
	var bodies [][]byte
	rows := d.rows(batch)
	for _, r := range rows {
		it := batch[r.items[0]]
		content, err := d.row(batch, r, len(rows) == 1)
		if err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
		}
		body, err := destinations.JSON(content)
		if err != nil {
			return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
		}
		bodies = append(bodies, body)
		share := body
		if record, is := content.(recordRow); is { // the same whichever call it goes by
			if share, err = destinations.JSON(record.Properties); err != nil {
				return destinations.Request{}, fmt.Errorf("event %s: %w", it.Event.ID, err)
			}
		}
		for _, i := range r.items {
			q.Bodies[i] = share
		}
	}
	q.Body = destinations.List("inputs", bodies, "")
	switch object := objectOf(kind); {
	case alone(kind, rows):
		q.Method, q.Path, q.Body = http.MethodPatch, d.paths.objects+"/"+object+"/"+rows[0].id, bodies[0]
	case finds(kind):
		q.Path = d.paths.objects + "/" + object + "/batch/update"
	case object != "":
		q.Path = d.paths.objects + "/" + object + "/batch/upsert"
	case kind == asNotes:
		q.Path = d.paths.objects + "/notes/batch/create"
	case kind == asBehavior:
		q.Path, q.Class = d.paths.send, eventsClass
	default:
		q.Path = d.timelineEvents()
	}
	return q, nil
}

// objectOf is what a kind of request writes to; "" for timeline entries.
func objectOf(kind string) string {
	switch kind {
	case byID, byKey, byEmail:
		return contacts
	case companyByID, companyByKey:
		return companies
	case dealByID:
		return deals
	}
	return ""
}

// finds is true for requests by record id, which make nothing on a miss.
func finds(kind string) bool { return kind == byID || kind == companyByID || kind == dealByID }

// alone is true where the single call is used.
func alone(kind string, rows []row) bool { return finds(kind) && len(rows) == 1 }

// rows gathers the items of a batch by record: those that the plan says are of one, and those
// that turn out to be, since more may be known by now.
func (d destination) rows(batch []destinations.Item) []row {
	var rows []row
	at := map[string]int{} // by Unique and by what the row is found by
	newest := map[int]destinations.Item{}
	for i, it := range batch {
		id := d.rowID(it)
		n, known := at["row "+id]
		if !known && it.Part.Merges && it.Part.Unique != "" {
			n, known = at["unique "+it.Part.Unique]
		}
		if objectOf(it.Part.Batch) == "" || !known { // every entry is a row of its own
			n = len(rows)
			rows = append(rows, row{})
		}
		rows[n].items = append(rows[n].items, i)
		if was, had := newest[n]; !had || order(it, was) >= 0 {
			rows[n].id, newest[n] = id, it
		}
		at["row "+id], at["unique "+it.Part.Unique] = n, n
	}
	return rows
}

// order compares items by when they happened.
func order(a, b destinations.Item) int {
	return cmp.Or(a.Event.OccurredAt.Compare(b.Event.OccurredAt), cmp.Compare(a.Event.ID, b.Event.ID))
}

// rowID is what an item's record is found by in its kind of request.
func (d destination) rowID(it destinations.Item) string {
	e, k := it.Event, it.Known
	switch it.Part.Batch {
	case byID:
		return d.contactID(e, k)
	case byKey:
		return d.keyOf(e, k)
	case byEmail:
		return canonical.NormalEmail(e.Contact.Email)
	case companyByID:
		return d.companyID(e)
	case companyByKey:
		return companyDomain(e)
	case dealByID:
		return d.dealID(e)
	}
	return e.Key().String()
}

func (d destination) row(batch []destinations.Item, r row, only bool) (any, error) {
	it := batch[r.items[0]]
	object := objectOf(it.Part.Batch)
	if object == "" {
		return d.entry(it)
	}
	items := make([]destinations.Item, len(r.items))
	for n, i := range r.items {
		items[n] = batch[i]
	}
	values, _ := d.values(object, items)
	out := recordRow{ID: r.id, Trace: traceOf(it.Part, r.id), Properties: values}
	switch it.Part.Batch {
	case byKey:
		out.IDProperty = d.Key
		fallthrough
	case byEmail, byID:
		out.Properties, _ = d.contactValues(it.Part.Batch, items)
		if it.Part.Batch == byEmail {
			out.IDProperty = "email"
		}
	case companyByKey:
		out.IDProperty = d.CompanyKey
		newest := byTime(items)[len(items)-1].Event
		out.Properties = maps.Clone(values)
		out.Properties["domain"] = r.id // a company that is made needs a name or a domain
		if name := destinations.Text(newest.Company.Name); name != "" {
			out.Properties["name"] = name
		}
	}
	if r.id == "" || len(out.Properties) == 0 {
		return nil, errors.New("no " + object + " record, or nothing to write")
	}
	if finds(it.Part.Batch) && only {
		out.ID, out.Trace = "", ""
	}
	return out, nil
}

// traceOf names a record's row in HubSpot's answer: once in a request.
func traceOf(p destinations.Part, id string) string {
	return string(canonical.MintID("hubspot", p.Name, p.Batch, id))[:32]
}
