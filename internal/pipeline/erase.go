package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/identity"
	"tributary/internal/eventlog"
	"tributary/mappings"
)

// throughForgotten counts the readings up to the first by which somebody asks to be
// forgotten, that one included.
func throughForgotten(readings []Reading) int {
	i := slices.IndexFunc(readings, func(rd Reading) bool { return rd.Report.Forgotten })
	if i < 0 {
		return len(readings)
	}
	return i + 1
}

// erasedReason is the reason of a receipt's fate erased.
const erasedReason = "erased"

// forget drops what a receipt says of somebody who is erased: all of it, or, where it is about a
// deal, a company or somebody else, the person alone.
func (s *Resolve) forget(rd *Reading, m *mappings.Mapping) {
	if s.View.ErasedUpTo() < 0 {
		return
	}
	again := func(without func(*canonical.Report)) {
		*rd = understand(rd.Receipt, m, s.Settings(rd.Receipt.Source), without)
	}
	switch {
	case !tellsOf(s.View, rd.Receipt, rd.Report):
	case rd.Report.Object.Type == "deal", rd.Report.Object.Type == "company":
		again(withoutPerson)
	default:
		*rd = Reading{Receipt: rd.Receipt, Fate: canonical.FateErased, Reason: erasedReason, Mapping: rd.Mapping}
		return
	}
	erased := func(id canonical.Identifier) bool { return s.View.Erased(id) }
	contact := contactErased(s.View, rd.Report.Object.Account)
	if slices.ContainsFunc(rd.Report.Identifiers, erased) || slices.ContainsFunc(rd.Report.Contacts, contact) || slices.ContainsFunc(mergedContacts(rd.Report), contact) {
		again(func(r *canonical.Report) { withoutErased(s.View, r) })
	}
}

// tellsOf says whether the person of a report is erased.
func tellsOf(v *identity.View, rc canonical.Receipt, r canonical.Report) bool {
	return v.ErasedSince(rc.ReceivedAt, peopleOf(rc, r))
}

// peopleOf lists the identifiers of a report's person; of a receipt that could not be read, the
// addresses in it.
func peopleOf(rc canonical.Receipt, r canonical.Report) []canonical.Identifier {
	if r.Subject != "" {
		return identity.PersonOf(r)
	}
	var body any
	if json.Unmarshal(rc.Body, &body) != nil {
		return nil
	}
	var out []canonical.Identifier
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if h := canonical.EmailHash(v); strings.Contains(v, "@") && h != "" && len(out) < mostAddresses {
				out = append(out, canonical.Identifier{Scheme: canonical.Email, Value: h})
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(body)
	return out
}

const mostAddresses = 100 // in one receipt

func contactErased(v *identity.View, account string) func(id string) bool {
	return func(id string) bool {
		o, ok := canonical.ObjectIdentifier(canonical.Object{Account: account, Type: "contact", ID: id})
		return ok && v.Erased(o)
	}
}

// withoutPerson leaves of a report about a deal or a company what it says of that.
func withoutPerson(r *canonical.Report) {
	c := r.Contact
	said := []string{c.Email, c.Phone, c.FirstName, c.LastName, c.ID}
	r.Properties = leftOf(r.Properties, func(v any) bool {
		text, ok := v.(string)
		return ok && slices.ContainsFunc(said, func(s string) bool { return s != "" && strings.EqualFold(s, text) }) || ok && strings.Contains(text, "@")
	})
	r.Contacts = slices.DeleteFunc(slices.Clone(r.Contacts), func(id string) bool { return id == c.ID })
	r.Contact, r.Identifiers, r.Touch, r.Consent, r.Browser = canonical.Contact{}, nil, nil, nil, canonical.BrowserContext{}
}

func leftOf(properties map[string]any, gone func(any) bool) map[string]any {
	var out map[string]any
	for k, v := range properties {
		if gone(v) {
			continue
		}
		if out == nil {
			out = make(map[string]any)
		}
		out[k] = v
	}
	return out
}

// mergedContacts are the contacts that a report says went on in another one.
func mergedContacts(r canonical.Report) []string {
	if r.Merge == nil || r.Merge.Type != "contact" {
		return nil
	}
	return r.Merge.Merged
}

// withoutErased leaves erased cookies, click ids and contacts of others out of a report: of a
// merge, so that it still holds for those who stay.
func withoutErased(v *identity.View, r *canonical.Report) {
	ids := slices.DeleteFunc(slices.Clone(r.Identifiers), func(id canonical.Identifier) bool { return v.Erased(id) })
	if len(ids) < len(r.Identifiers) {
		r.Identifiers, r.Browser.FBP, r.Browser.FBC = ids, "", ""
	}
	if r.Touch != nil {
		t := *r.Touch
		t.Clicks = slices.DeleteFunc(slices.Clone(t.Clicks), func(c canonical.Click) bool {
			return v.Erased(canonical.Identifier{Scheme: c.Scheme, Value: c.Value})
		})
		r.Touch = &t
	}
	contact := contactErased(v, r.Object.Account)
	r.Contacts = slices.DeleteFunc(slices.Clone(r.Contacts), contact)
	if merged := mergedContacts(*r); slices.ContainsFunc(merged, contact) {
		m := *r.Merge
		m.Merged = slices.DeleteFunc(slices.Clone(merged), contact)
		r.Merge = &m
	}
}

// nodesToForget are those of the person of a receipt that came to no event.
func nodesToForget(rd Reading) []canonical.NodeID {
	if rd.Fate != canonical.FateFacts && rd.Fate != canonical.FateQuarantined {
		return nil
	}
	var out []canonical.NodeID
	for _, id := range peopleOf(rd.Receipt, rd.Report) {
		out = append(out, id.Node())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// erase states that the person of a privacy deletion is erased, once everything that was said
// before is folded.
func (s *Resolve) erase(ctx context.Context, rd Reading) error {
	if !rd.Report.Forgotten || rd.Fate == canonical.FateErased {
		return nil
	}
	contact, ok := canonical.ObjectIdentifier(rd.Report.Object)
	if !ok {
		return nil
	}
	f, err := ErasureOf(ctx, s.Log, s.Topics, s.View, func() (canonical.Fact, error) { return s.View.Erasure(rd.Receipt.ReceivedAt, contact) })
	if err != nil {
		return fmt.Errorf("erase a person that the CRM forgot: %w", err)
	}
	f.Cause, f.Source, f.Reason = rd.Receipt.ID, rd.Receipt.Source, "privacy deletion in the CRM"
	return s.state(ctx, []canonical.Fact{f})
}

// ErasureOf makes an erase fact of what is known once everything stated so far is folded.
func ErasureOf(ctx context.Context, log eventlog.Log, topics eventlog.Topics, v *identity.View, of func() (canonical.Fact, error)) (canonical.Fact, error) {
	_, end, err := log.Bounds(ctx, topics.Identity)
	if err != nil {
		return canonical.Fact{}, fmt.Errorf("read the end of %s: %w", topics.Identity, err)
	}
	if err := v.Wait(ctx, end[0]-1); err != nil {
		return canonical.Fact{}, err
	}
	return of()
}

// forgotten is the fate of a bare receipt of a contact who is erased: it is not read.
func (s *Fetch) forgotten(rc canonical.Receipt) bool {
	if s.View == nil || s.View.ErasedUpTo() < 0 {
		return false
	}
	kind, id, _ := wire.Wants(rc)
	o, ok := canonical.ObjectIdentifier(canonical.Object{Account: s.Account, Type: kind, ID: id})
	return ok && s.View.ErasedSince(rc.ReceivedAt, []canonical.Identifier{o})
}

// forget empties the cache where somebody was erased since it was filled.
func (s *Fetch) forget() {
	if s.View == nil {
		return
	}
	if now := s.View.ErasedUpTo(); now != s.erased {
		s.cache.Purge()
		s.erased = now
	}
}

// withoutErased leaves contacts who are erased out of what an object is associated with, so
// that they are not read.
func (s *Fetch) withoutErased(o *canonical.ReadObject) {
	if s.View == nil || s.View.ErasedUpTo() < 0 {
		return
	}
	gone := contactErased(s.View, s.Account)
	if contacts := o.Associated["contact"]; slices.ContainsFunc(contacts, gone) {
		left := slices.DeleteFunc(slices.Clone(contacts), gone)
		if o.Associated["contact"] = left; len(left) == 0 {
			delete(o.Associated, "contact")
		}
	}
	for id := range o.Roles["contact"] {
		if gone(id) {
			delete(o.Roles["contact"], id)
		}
	}
}

// forget says whether an event is of somebody who is erased, and takes others who are out of it.
func (s *Replay) forget(e *canonical.Event) bool { return s.View != nil && s.View.Forget(e) }

// opened reads a receipt's record, unless it tells of somebody who is erased: that is not
// found any more.
func (s *Replay) opened(value []byte) (canonical.Receipt, error) {
	rc, err := decode[canonical.Receipt](eventlog.Record{Topic: s.Topics.Inbound, Type: eventlog.TypeReceipt, Version: eventlog.Schema, Value: value})
	if err == nil && s.Forgotten(rc) {
		return canonical.Receipt{}, fmt.Errorf("%w: receipt %s is of somebody who asked to be forgotten", ErrUnknown, rc.ID)
	}
	return rc, err
}

// Forgotten says whether a receipt tells of somebody who is erased.
func (s *Replay) Forgotten(rc canonical.Receipt) bool {
	return s.View != nil && s.View.ErasedUpTo() >= 0 && receiptTells(s.View, rc, s.Mapping(), s.Settings(rc.Source))
}

// receiptTells says whether any person of a receipt is erased: the one of its report, or a
// contact among the objects read.
func receiptTells(v *identity.View, rc canonical.Receipt, m *mappings.Mapping, settings wire.Settings) bool {
	rd := Understand(rc, m, settings)
	if tellsOf(v, rc, rd.Report) {
		return true
	}
	if kind, id, _ := wire.Wants(rc); kind == "contact" { // bare: it has no report of its own yet
		if o, ok := canonical.ObjectIdentifier(canonical.Object{Account: settings.Account, Type: kind, ID: id}); ok && v.ErasedSince(rc.ReceivedAt, []canonical.Identifier{o}) {
			return true
		}
	}
	if rc.Completion == nil {
		return false
	}
	for _, o := range rc.Completion.Objects {
		var ids []canonical.Identifier
		for _, id := range []string{o.ID, o.CurrentID} {
			if n, ok := canonical.ObjectIdentifier(canonical.Object{Account: rd.Report.Object.Account, Type: o.Type, ID: id}); ok && o.Type == "contact" {
				ids = append(ids, n)
			}
		}
		if h := canonical.EmailHash(o.Properties["email"]); o.Type == "contact" && h != "" {
			ids = append(ids, canonical.Identifier{Scheme: canonical.Email, Value: h})
		}
		if v.ErasedSince(rc.ReceivedAt, ids) {
			return true
		}
	}
	return false
}
