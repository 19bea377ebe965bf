package hubspotcrm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// How long the account's settings are believed, and how soon a word that they do not have is
// looked for again: somebody may have made it since.
const (
	believed = time.Hour
	asked    = time.Minute
)

// words are the account's settings as last read. The zero value has read nothing.
type words struct {
	mu   sync.Mutex
	kept map[string]reading
}

// A reading is what was read of one kind of settings; refused says that the account does
// not show them.
type reading struct {
	value   any
	at      time.Time
	refused bool
}

// settings gives what was read of one kind, newly where it is old, or where it does not have what
// is wanted and was not read within the last minute. What the token may not read, or the account refuses, is the zero
// value: it is told, and holds up nobody. What is old serves where it cannot be read now.
func settings[T any](ctx context.Context, c *Client, what string, has func(T) bool, read func(context.Context) (T, error)) (T, error) {
	c.words.mu.Lock()
	old, met := c.words.kept[what]
	c.words.mu.Unlock()
	value, _ := old.value.(T)
	age := time.Since(old.at)
	if met && (age < asked || age < believed && (old.refused || has(value))) {
		return value, nil
	}
	fresh, err := read(ctx)
	var t *Trouble
	switch refused := errors.As(err, &t) && (t.Status == http.StatusForbidden || t.Refuse); {
	case refused:
		c.tell(what, fmt.Errorf("%w; labels and names are left out until the token may read them", err))
		fresh = *new(T)
		c.keep(what, reading{value: fresh, at: time.Now(), refused: true})
		return fresh, nil
	case err != nil && met && has(value):
		return value, nil
	case err != nil:
		return value, err
	}
	c.tell(what, nil)
	c.keep(what, reading{value: fresh, at: time.Now()})
	return fresh, nil
}

func (c *Client) keep(what string, r reading) {
	c.words.mu.Lock()
	defer c.words.mu.Unlock()
	if c.words.kept == nil {
		c.words.kept = map[string]reading{}
	}
	c.words.kept[what] = r
}

func (c *Client) tell(what string, problem error) {
	if c.Told != nil {
		c.Told(what, problem)
	}
}

// Meaning says what the account's settings make of a value of a stage's property: dealstage of a deal
// that is in a pipeline, lifecyclestage of a contact or company, hs_lead_status of a contact.
// Nil: it is no such property, or they do not know the value.
func (c *Client) Meaning(ctx context.Context, objectType, property, value, pipeline string) (*canonical.StageMeaning, error) {
	switch {
	case value == "":
	case objectType == "deal" && property == "dealstage":
		return c.stage(ctx, "deal", pipeline, value)
	case property == "lifecyclestage" && (objectType == "contact" || objectType == "company"):
		m, err := c.stage(ctx, "contact", "", value) // companies have the contacts' stages
		if m != nil {
			m = &canonical.StageMeaning{Stage: m.Stage, Label: m.Label}
		}
		return m, err
	case objectType == "contact" && property == "hs_lead_status":
		return c.option(ctx, objectType, property, value)
	}
	return nil, nil
}

// stage looks a stage up in its pipeline, else in the only one that has it.
func (c *Client) stage(ctx context.Context, objectType, pipeline, id string) (*canonical.StageMeaning, error) {
	find := func(list []Pipeline) *canonical.StageMeaning {
		var found []*canonical.StageMeaning
		for _, p := range list {
			for _, s := range p.Stages {
				if s.ID != id {
					continue
				}
				m := &canonical.StageMeaning{Pipeline: p.ID, PipelineLabel: p.Label, Stage: id, Label: s.Label, Closed: s.Closed, Probability: s.Probability}
				if p.ID == pipeline {
					return m
				}
				found = append(found, m)
			}
		}
		if len(found) != 1 {
			return nil
		}
		return found[0]
	}
	list, err := c.KnownPipelines(ctx, objectType, func(list []Pipeline) bool { return find(list) != nil })
	return find(list), err
}

// KnownPipelines gives the pipelines as last read; has says whether they hold what is looked for.
func (c *Client) KnownPipelines(ctx context.Context, objectType string, has func([]Pipeline) bool) ([]Pipeline, error) {
	return settings(ctx, c, "pipelines of "+plural[objectType], has, func(ctx context.Context) ([]Pipeline, error) { return c.Pipelines(ctx, objectType) })
}

// KnownOwners gives the owners as last read; has says whether they hold who is looked for.
func (c *Client) KnownOwners(ctx context.Context, has func([]Owner) bool) ([]Owner, error) {
	return settings(ctx, c, "owners", has, c.Owners)
}

// KnownDefinitions gives what the properties of a type of object are, as last read.
func (c *Client) KnownDefinitions(ctx context.Context, objectType string, has func([]Definition) bool) ([]Definition, error) {
	return settings(ctx, c, "properties of "+plural[objectType], has, func(ctx context.Context) ([]Definition, error) { return c.Definitions(ctx, objectType) })
}

// option looks up what a value of an enumeration is called.
func (c *Client) option(ctx context.Context, objectType, property, value string) (*canonical.StageMeaning, error) {
	find := func(list []Definition) *canonical.StageMeaning {
		for _, d := range list {
			for _, o := range d.Options {
				if d.Name == property && o.Value == value {
					return &canonical.StageMeaning{Stage: value, Label: o.Label}
				}
			}
		}
		return nil
	}
	list, err := c.KnownDefinitions(ctx, objectType, func(list []Definition) bool { return find(list) != nil })
	return find(list), err
}

// known leaves out what the account has no such property for, which HubSpot would pass over in silence,
// and tells of it. Where the definitions cannot be read, all names stand.
func (c *Client) known(ctx context.Context, objectType string, names []string) []string {
	if len(names) == 0 {
		return nil
	}
	absent := func(list []Definition) (out []string) {
		for _, name := range names {
			if !slices.ContainsFunc(list, func(d Definition) bool { return d.Name == name }) {
				out = append(out, name)
			}
		}
		return out
	}
	list, err := c.KnownDefinitions(ctx, objectType, func(list []Definition) bool { return len(absent(list)) == 0 })
	if err != nil || len(list) == 0 {
		return names
	}
	missing, about := absent(list), "properties that the mapping reads of "+plural[objectType]
	if len(missing) == 0 {
		c.tell(about, nil)
		return names
	}
	var all, said []string
	for _, d := range list {
		all = append(all, d.Name)
	}
	for _, name := range missing {
		if near := destinations.Suggest(name, all); near != "" {
			name += " (did you mean " + near + "?)"
		}
		said = append(said, name)
	}
	c.tell(about, fmt.Errorf("HubSpot has no %s property %s: the mapping reads it and gets nothing; correct the name, or make the property", objectType, strings.Join(said, ", ")))
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(missing, name) })
}
