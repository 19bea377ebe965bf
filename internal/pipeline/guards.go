package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tributary/canonical"
	"tributary/identity"
	"tributary/internal/eventlog"
)

// Guards states the configured guards in the identity log where others are in force, once for
// each start, and watches that they stay. The last ones stated hold: two routers with
// different configurations each have their say once, and the one that does not hold is
// degraded until somebody makes them equal.
type Guards struct {
	Log    eventlog.Log
	Topics eventlog.Topics
	View   *identity.View
	Want   canonical.Guards
	Owner  string // of the configuration: the process's name
	Health *Health
	Logger *slog.Logger

	stated bool
}

// guardsPart names the guards among what stands still.
const guardsPart = "identity guards"

// Run states and watches until ctx ends.
func (s *Guards) Run(ctx context.Context) error {
	if !s.stated {
		if err := s.state(ctx); err != nil {
			return err
		}
		s.stated = true
	}
	for want := s.Want.Hash(); ; {
		changed := s.View.Changed()
		if _, hash := s.View.Guards(); hash == want {
			s.Health.Set(guardsPart, nil)
		} else {
			s.Health.Set(guardsPart, fmt.Errorf("those in force (%.12s) are not the ones of this configuration (%.12s): another router stated its own after this one, and the last ones hold for all; "+
				"give every router the same section identity, then restart those that had another", hash, want))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// state says what is configured, unless it is what the whole log says already.
func (s *Guards) state(ctx context.Context) error {
	_, end, err := s.Log.Bounds(ctx, s.Topics.Identity)
	if err != nil {
		return fmt.Errorf("state the guards: %w", err)
	}
	if len(end) != 1 {
		return errors.New("state the guards: the topic " + s.Topics.Identity + " must have one partition")
	}
	if err := s.View.Wait(ctx, end[0]-1); err != nil {
		return fmt.Errorf("state the guards: %w", err)
	}
	_, was := s.View.Guards()
	want := s.Want.Whole()
	if was == want.Hash() {
		return nil
	}
	r, err := encode(eventlog.TypeFact, "", canonical.Fact{Kind: canonical.FactGuards, At: time.Now().UTC(), Guards: &want, By: "configuration of " + s.Owner})
	if err != nil {
		return err
	}
	placed, err := s.Log.Append(ctx, s.Topics.Identity, r)
	if err != nil {
		return fmt.Errorf("state the guards: %w", err)
	}
	s.stated = true
	s.Logger.Info("the guards of the configuration are stated", "offset", placed[0].Offset, "never_link", len(want.NeverLink), "crowd", want.Crowd, "crowd_record", want.CrowdRecord, "limit", want.Limit,
		"lists", fmt.Sprintf("%.12s", want.Lists), "hash", fmt.Sprintf("%.12s", want.Hash()), "were", fmt.Sprintf("%.12s", was))
	return s.View.Wait(ctx, placed[0].Offset)
}
