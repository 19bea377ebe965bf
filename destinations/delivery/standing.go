package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tributary/canonical"
)

// ErrConfigured: the configuration holds a destination where it stands, and no act of an
// operator changes that.
var ErrConfigured = errors.New("the configuration says so")

// Control gives the last control record of a destination; false: it runs as configured
// since its books began.
func (l *Ledger) Control(dest string) (canonical.Delivery, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, ok := l.controls[dest]
	return d, ok
}

// controlled is closed when the next control record is folded.
func (l *Ledger) controlledNext() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.controlled
}

// Standing says how the destination is run now, in a Control word of package canonical,
// why, and since when: the zero time where the configuration says so or nobody ever did.
func (l *Lane) Standing() (word, why string, since time.Time) {
	switch l.Mode {
	case Disabled:
		return canonical.ControlDisable, "mode: disabled in the configuration", time.Time{}
	case Paused:
		return canonical.ControlPause, "mode: paused in the configuration", time.Time{}
	}
	d, ok := l.Ledger.Control(l.Name)
	if !ok {
		return canonical.ControlRun, "", time.Time{}
	}
	return d.Reason, d.Detail, d.At
}

// Pause keeps the lane from reading and sending until it is resumed; a request in flight
// finishes. Every process sees it, also after a restart. who is the name of a key.
func (l *Lane) Pause(ctx context.Context, who, why string) error {
	return l.control(ctx, canonical.ControlPause, who, why)
}

// Resume lets a destination that was paused, halted or disabled go on as configured. A
// vendor that is taken to be down is tried at once.
func (l *Lane) Resume(ctx context.Context, who, why string) error {
	return l.control(ctx, canonical.ControlRun, who, why)
}

// Disable gives the destination up until it is resumed: the lane reads on and
// suppresses, so that the log is not held up by a halt nobody mends.
func (l *Lane) Disable(ctx context.Context, who, why string) error {
	return l.control(ctx, canonical.ControlDisable, who, why)
}

// control writes a control record and waits until it is folded here.
func (l *Lane) control(ctx context.Context, word, who, why string) error {
	if l.Mode == Disabled || l.Mode == Paused {
		return fmt.Errorf("%s destination %s: %w: mode: %s; change it there and restart", word, l.Name, ErrConfigured, l.Mode)
	}
	d := l.controlRecord(word, why)
	d.Who = who
	if err := l.write(ctx, []canonical.Delivery{d}); err != nil {
		return fmt.Errorf("%s destination %s: %w", word, l.Name, err)
	}
	l.Logger.Info("destination", "destination", l.Name, "control", word, "who", who, "why", why)
	return nil
}

func (l *Lane) controlRecord(word, why string) canonical.Delivery {
	return canonical.Delivery{Destination: l.Name, State: canonical.StateControl, Reason: word, Detail: why, At: time.Now().UTC(), Owner: l.Owner}
}

// Halted says what the lane halted for; "" when it does not stand still for that.
func (l *Lane) Halted() string {
	if word, why, _ := l.Standing(); word == canonical.ControlHalt {
		return why
	}
	return ""
}

// stands is true while nothing may be read or sent.
func (l *Lane) stands() bool {
	word, _, _ := l.Standing()
	return word == canonical.ControlHalt || word == canonical.ControlPause
}

// sends is true while requests may go out.
func (l *Lane) sends() bool {
	word, _, _ := l.Standing()
	return word == canonical.ControlRun
}

// mode is how far the destination goes now.
func (l *Lane) mode() Mode {
	if word, _, _ := l.Standing(); word == canonical.ControlDisable {
		return Disabled
	}
	if l.Mode == Paused { // asked what would come of an event once it goes on
		return Live
	}
	return l.Mode
}

// Trouble says in words what keeps the destination from delivering, with what to do; nil
// when nothing does.
func (l *Lane) Trouble() []string {
	var out []string
	word, why, since := l.Standing()
	at := ""
	if !since.IsZero() {
		at = " since " + since.Format(time.RFC3339)
	}
	switch word {
	case canonical.ControlHalt:
		out = append(out, fmt.Sprintf("halted%s: %s; mend it, then POST /v1/destinations/%s/resume", at, why, l.Name))
	case canonical.ControlPause:
		out = append(out, fmt.Sprintf("paused%s: %s; its backlog is kept until POST /v1/destinations/%s/resume", at, why, l.Name))
		if l.Mode == Paused {
			out[0] = why + ": its backlog is kept until that is changed"
		}
	}
	if why := l.learnFailed(); why != "" {
		out = append(out, why)
	}
	for _, f := range l.Findings() {
		if f.Blocks && f.Problem != "" {
			out = append(out, f.Subject+": "+f.Problem)
		}
	}
	if limit, until, ok := l.Budget.Waiting(); ok && word == canonical.ControlRun {
		out = append(out, fmt.Sprintf("waiting: the vendor account's limit %q is used up until %s", limit, until.UTC().Format(time.RFC3339)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := time.Until(l.pause); l.failures > 2 || wait > time.Minute {
		out = append(out, fmt.Sprintf("waiting: the vendor refused or did not answer %d requests in a row (%s); the next is sent at %s", l.failures, l.failure, l.pause.UTC().Format(time.RFC3339)))
	}
	return out
}

// waitRunning returns when the lane may read and send, and its circuit lets something
// pass. fresh is true when somebody resumed it since the last time.
func (r *run) waitRunning(ctx context.Context) (fresh bool, err error) {
	for {
		controlled := r.Ledger.controlledNext() // taken before looking, so that nothing is missed
		word, _, since := r.Standing()
		r.Metrics.halted(r.Name, word == canonical.ControlHalt)
		if !since.Equal(r.stood) && word == canonical.ControlRun { // it may be of a process whose clock is behind
			r.stood, fresh = since, true
			r.closeCircuit()
		}
		wait := time.Until(r.resumeAt())
		switch {
		case r.stands():
			wait = 24 * time.Hour
		case word == canonical.ControlDisable:
			r.closeCircuit() // nothing is sent, so nobody is waited for
			return fresh, nil
		case wait <= 0:
			return fresh, nil
		}
		t := time.NewTimer(wait)
		select {
		case <-controlled:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fresh, ctx.Err()
		}
		t.Stop()
	}
}
