package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tributary/destinations"
)

// later is an error that says how long to wait, or that nothing but a person helps.
type later struct {
	halt  bool
	after time.Duration
}

func (l later) Error() string                  { return "the token endpoint is busy" }
func (l later) Halting() (bool, time.Duration) { return l.halt, l.after }

// A request without a credential is not sent; what becomes of it is what the error says,
// and a secret that is not where the configuration says is a person's matter.
func TestWithoutACredentialNothingIsSent(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer server.Close()
	for _, c := range []struct {
		name string
		err  error
		want destinations.Outcome
	}{
		{"not set", errors.New("destinations.meta.token: the environment variable META is not set"),
			destinations.Outcome{Verdict: destinations.Halt, Reason: "no_credential", Detail: "destinations.meta.token: the environment variable META is not set"}},
		{"busy", later{after: time.Minute},
			destinations.Outcome{Verdict: destinations.Retry, Reason: "no_credential", Detail: "the token endpoint is busy", After: time.Minute}},
		{"wrapped", fmt.Errorf("hub: %w", later{halt: true}),
			destinations.Outcome{Verdict: destinations.Halt, Reason: "no_credential", Detail: "hub: the token endpoint is busy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			send, err := NewSender(Endpoint{BaseURL: server.URL, AllowPrivate: true, Authorize: destinations.Bearer,
				Secret: func(context.Context) (string, error) { return "", c.err }})
			if err != nil {
				t.Fatal(err)
			}
			_, err = post(t, send)
			if !errors.Is(err, ErrNotSent) || asked != 0 {
				t.Errorf("%v after %d requests", err, asked)
			}
			if got := unanswered(err); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// A credential of two lines cannot stand in a header: that is said, and no attempt is taken
// for one whose answer never came.
func TestACredentialOfTwoLines(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer server.Close()
	send, err := NewSender(Endpoint{BaseURL: server.URL, AllowPrivate: true, Authorize: destinations.Bearer,
		Secret: func(context.Context) (string, error) { return "hunter\n2", nil }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = post(t, send)
	if o := unanswered(err); !errors.Is(err, ErrNotSent) || asked != 0 || o.Verdict != destinations.Halt || o.Unknown || !strings.Contains(o.Detail, "line break") || strings.Contains(o.Detail, "hunter") {
		t.Errorf("%v after %d requests: %+v", err, asked, o)
	}
}

// A caller that goes away is no reason to halt.
func TestACallerThatGoesAwayHaltsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	send, err := NewSender(Endpoint{BaseURL: "http://127.0.0.1:1", Authorize: destinations.Bearer,
		Secret: func(ctx context.Context) (string, error) { cancel(); return "", ctx.Err() }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = send(ctx, destinations.Request{Method: http.MethodPost, Path: "/"})
	if o := unanswered(err); o.Verdict != destinations.Retry || o.Unknown {
		t.Errorf("%v is %+v", err, o)
	}
}

// A refused credential stands in place of the answer where another can be had, and the
// answer speaks for itself where none can.
func TestARefusedCredential(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer server.Close()
	var told []string
	var answer error
	send, err := NewSender(Endpoint{BaseURL: server.URL, AllowPrivate: true, Authorize: destinations.Bearer,
		Secret: func(context.Context) (string, error) { return "t", nil },
		Answered: func(_ context.Context, secret string, status int) error {
			told = append(told, fmt.Sprint(secret, status))
			return answer
		}})
	if err != nil {
		t.Fatal(err)
	}
	answer = later{}
	if _, err := post(t, send); unanswered(err) != (destinations.Outcome{Verdict: destinations.Retry, Reason: "no_credential", Detail: "the token endpoint is busy"}) {
		t.Errorf("%v", err)
	}
	answer = nil
	if r, err := post(t, send); err != nil || r.Status != http.StatusUnauthorized {
		t.Errorf("%v %v", r.Status, err)
	}
	if got := strings.Join(told, " "); got != "t401 t401" {
		t.Errorf("told %q", got)
	}
}
