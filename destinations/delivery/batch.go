package delivery

import (
	"context"
	"time"

	"tributary/canonical"
)

// A batchKey names what may share a request.
type batchKey struct {
	batch string
	low   bool
}

// batches groups sends that may share a request, in order. Where rows merge, all items of
// one Unique share one; else each Unique stands in a request once. most bounds the rows.
func batches(sends []*send, most int) [][]*send {
	b := batcher{most: most}
	b.add(sends)
	b.end()
	return b.closed
}

// A batcher groups sends as they come. A batch is closed, in the order in which batches were
// begun, once nothing that comes can join it.
type batcher struct {
	most   int
	closed [][]*send
	begun  []*openBatch // not closed yet
	last   map[batchKey]*openBatch
}

type openBatch struct {
	sends []*send
	rows  map[string]bool
	n     int
	full  bool // another one was begun for what would join it
}

func (b *batcher) add(sends []*send) {
	if b.last == nil {
		b.last = map[batchKey]*openBatch{}
	}
	for _, s := range sends {
		p := s.item.Part
		k := batchKey{p.Batch, s.low}
		o := b.last[k]
		joins := o != nil && p.Unique != "" && o.rows[p.Unique]
		if o == nil || joins && !p.Merges || !joins && o.n >= b.most {
			if o != nil {
				o.full = true
			}
			o, joins = &openBatch{}, false
			b.last[k], b.begun = o, append(b.begun, o)
		}
		o.sends = append(o.sends, s)
		if !joins {
			o.n++
			if p.Unique != "" {
				if o.rows == nil {
					o.rows = map[string]bool{}
				}
				o.rows[p.Unique] = true
			}
		}
	}
	for len(b.begun) > 0 && b.begun[0].full {
		b.closed, b.begun = append(b.closed, b.begun[0].sends), b.begun[1:]
	}
}

// end closes what is left: nothing more comes.
func (b *batcher) end() {
	for _, o := range b.begun {
		b.closed = append(b.closed, o.sends)
	}
	b.begun, b.last = nil, nil
}

// rows gives the rows of a batch in order, each with the items that share it.
func rows(batch []*send) [][]*send {
	out := make([][]*send, 0, len(batch))
	at := map[string]int{}
	for _, s := range batch {
		unique := s.item.Part.Unique
		if i, had := at[unique]; had && unique != "" && s.item.Part.Merges {
			out[i] = append(out[i], s)
			continue
		}
		at[unique] = len(out)
		out = append(out, []*send{s})
	}
	return out
}

// alone is true for a batch of one row.
func alone(batch []*send) bool {
	first := batch[0].item.Part
	for _, s := range batch[1:] {
		if p := s.item.Part; !p.Merges || p.Unique == "" || p.Unique != first.Unique {
			return false
		}
	}
	return true
}

func join(rows [][]*send) []*send {
	var out []*send
	for _, row := range rows {
		out = append(out, row...)
	}
	return out
}

// mostNamed bounds how many rows one refusal may point at: one that names more names nothing.
const mostNamed = 50

// isolate finds what is wrong with a batch that the vendor refused whole. Rows that its words
// point at are tried alone, then the rest again as one. Where one of them goes through the
// words were wrong and are not heard again for the rest, so that they cannot cost more than
// mostNamed requests. Without such words the batch is halved at once.
func (r *run) isolate(ctx context.Context, refused []*send) error {
	var named [][]*send
	var rest []*send
	for _, row := range rows(refused) {
		suspect := false
		for _, s := range row {
			suspect, s.suspect = suspect || s.suspect, false
		}
		if suspect {
			named = append(named, row)
		} else {
			rest = append(rest, row...)
		}
	}
	if len(named) == 0 || len(named) > mostNamed || len(rest) == 0 {
		return r.halves(ctx, refused, true)
	}
	for _, row := range named {
		clean, err := r.sendBatch(ctx, row, nil)
		if err != nil {
			return err
		}
		for i := range rest {
			rest[i].deaf = rest[i].deaf || clean
		}
	}
	_, err := r.sendBatch(ctx, rest, nil)
	return err
}

// halves sends a batch in two, to find what is wrong with it; the items of a row stay
// together. told is true when the vendor refused it whole: where one half then goes through,
// the other holds what is wrong, and is not asked for as a whole again. That bounds the
// requests for k bad rows of n by 2k(log2(n/k)+2).
func (r *run) halves(ctx context.Context, batch []*send, told bool) error {
	all := rows(batch)
	if len(all) == 1 {
		_, err := r.sendBatch(ctx, batch, nil)
		return err
	}
	first, second := all[:len(all)/2], all[len(all)/2:]
	clean, err := r.sendBatch(ctx, join(first), nil)
	if err != nil {
		return err
	}
	if told && clean && len(second) > 1 {
		return r.halves(ctx, join(second), true)
	}
	_, err = r.sendBatch(ctx, join(second), nil)
	return err
}

// unbuildable deals with a batch of which no request could be made: the items are tried in
// halves, those of one row as well, and one that is alone is dead.
func (r *run) unbuildable(ctx context.Context, batch []*send, why error) error {
	if !alone(batch) {
		return r.halves(ctx, batch, false)
	}
	if len(batch) == 1 {
		s := batch[0]
		d := r.change(s, canonical.StateDead, "unbuildable", why.Error(), time.Now().UTC())
		d.Match = r.matched(s.item)
		return r.record(ctx, []canonical.Delivery{d})
	}
	if _, err := r.sendBatch(ctx, batch[:len(batch)/2], nil); err != nil {
		return err
	}
	_, err := r.sendBatch(ctx, batch[len(batch)/2:], nil)
	return err
}
