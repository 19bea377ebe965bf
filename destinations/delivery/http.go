package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"tributary/destinations"
)

// An Endpoint is where a destination's requests go and how they are authorised.
type Endpoint struct {
	BaseURL   string
	Authorize func(r *http.Request, body []byte, secret string)
	// Secret gives the credential. It is asked for every request, so that a changed one is used
	// at once; nil: there is none. Its error keeps the request from being sent (NoCredential).
	Secret func(ctx context.Context) (string, error)
	// Answered, where not nil, is told the status of every answer with the credential of its
	// request. An error stands in place of the answer, which took nothing: the credential was
	// refused and the request can be made again with another, or somebody must act.
	Answered func(ctx context.Context, secret string, status int) error
	// AllowPrivate lets the address be one of the machine's own network (a simulator, an
	// internal tool). Without it loopback, private and link-local addresses are refused.
	AllowPrivate bool
	UserAgent    string
}

const maxAnswer = 1 << 20

// NoCredential is why a request could not be authorised: it was not sent, or not taken.
type NoCredential struct {
	Err   error         // in words, with what to do; it holds no secret
	Halt  bool          // nothing will work until somebody acts
	After time.Duration // else: not before this long
}

func (e *NoCredential) Error() string { return e.Err.Error() }

// Unwrap says that a second try is no second send.
func (e *NoCredential) Unwrap() []error { return []error{ErrNotSent, e.Err} }

// noCredential asks the error itself whether waiting helps; one that does not say is a
// secret that is not where the configuration says, which somebody must mend.
func noCredential(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.Join(ErrNotSent, err)
	}
	e := &NoCredential{Err: err, Halt: true}
	var t interface{ Halting() (bool, time.Duration) }
	if errors.As(err, &t) {
		e.Halt, e.After = t.Halting()
	}
	return e
}

// unanswered is the outcome of a request without an answer.
func unanswered(err error) destinations.Outcome {
	var c *NoCredential
	switch {
	case !errors.As(err, &c):
		return destinations.Outcome{Verdict: destinations.Retry, Reason: "unreachable", Detail: networkWords(err), Unknown: !errors.Is(err, ErrNotSent)}
	case c.Halt:
		return destinations.Outcome{Verdict: destinations.Halt, Reason: "no_credential", Detail: destinations.VendorWords(c.Error())}
	}
	return destinations.Outcome{Verdict: destinations.Retry, Reason: "no_credential", Detail: destinations.VendorWords(c.Error()), After: c.After}
}

// NewClient gives a client for addresses that were configured: it follows no redirect, and
// without allowPrivate it does not dial this machine's own networks. A connection that was
// never made is ErrNotSent.
func NewClient(allowPrivate bool) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if !allowPrivate {
		dialer.Control = refusePrivate
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := dialer.DialContext(ctx, network, addr)
				if err != nil {
					return nil, errors.Join(ErrNotSent, err)
				}
				return c, nil
			},
			ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 5 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// NewSender gives the Sender of an endpoint. It follows no redirect: an address that
// was not configured is not asked.
func NewSender(e Endpoint) (Sender, error) {
	base, err := url.Parse(e.BaseURL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("base URL %q is not an http or https address", e.BaseURL)
	}
	client := NewClient(e.AllowPrivate)
	return func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
		return request(ctx, client, base, e, q)
	}, nil
}

func request(ctx context.Context, client *http.Client, base *url.URL, e Endpoint, q destinations.Request) (destinations.Response, error) {
	u := *base
	if q.Path != "" {
		u.Path = strings.TrimSuffix(base.Path, "/") + q.Path
		u.RawPath = ""
		if plain, err := url.PathUnescape(q.Path); err == nil && plain != q.Path { // escaped by the adapter, to be sent as it stands
			u.Path, u.RawPath = strings.TrimSuffix(base.Path, "/")+plain, strings.TrimSuffix(base.EscapedPath(), "/")+q.Path
		}
	}
	if len(q.Query) > 0 {
		u.RawQuery = q.Query.Encode()
	}
	if q.RawQuery != "" {
		u.RawQuery = q.RawQuery
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, u.String(), bytes.NewReader(q.Body))
	if err != nil {
		return destinations.Response{}, errors.Join(ErrNotSent, err)
	}
	r.GetBody = nil // a broken connection is ours to judge: net/http must not send twice
	for k, v := range q.Header {
		r.Header[k] = v
	}
	r.Header.Set("User-Agent", e.UserAgent)
	secret := ""
	if e.Authorize != nil && e.Secret != nil {
		if secret, err = e.Secret(ctx); err != nil {
			return destinations.Response{}, noCredential(ctx, err)
		}
		e.Authorize(r, q.Body, secret)
		if !sendable(r.Header) { // the transport would refuse it, and say nothing of why
			return destinations.Response{}, noCredential(ctx, errors.New("the credential cannot be sent in a header: it holds a line break or another control character"))
		}
	}
	res, err := client.Do(r)
	if err != nil {
		return destinations.Response{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil && res.StatusCode/100 == 2 {
		return destinations.Response{}, err // what was taken cannot be told
	}
	if e.Answered != nil {
		if err := e.Answered(ctx, secret, res.StatusCode); err != nil {
			return destinations.Response{}, noCredential(ctx, err)
		}
	}
	return destinations.Response{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// sendable says whether every value of a header can be written on one line.
func sendable(h http.Header) bool {
	for _, values := range h {
		for _, v := range values {
			if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
				return false
			}
		}
	}
	return true
}

// refusePrivate is asked with the address that will be dialled, after name resolution.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	if isPrivate(ip) {
		return privateAddress{ip}
	}
	return nil
}

// A privateAddress is one that was refused.
type privateAddress struct{ netip.Addr }

func (p privateAddress) Error() string {
	return fmt.Sprintf("%s is an address of a private network; set allow_private beside it in the configuration if that is meant", p.Addr)
}

// PrivateAddress tells this error from others.
func (privateAddress) PrivateAddress() bool { return true }

// reserved are the addresses that no vendor on the internet has: of this machine, of private and shared networks, of
// documentation and tests, of groups, and of tunnels, which could lead to any of them.
var reserved = func() (all []netip.Prefix) {
	for _, prefix := range strings.Fields(`
		0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24
		192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
		::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8`) {
		all = append(all, netip.MustParsePrefix(prefix))
	}
	return all
}()

// nat64 carries an IPv4 address in its last four bytes.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func isPrivate(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	return slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(ip) })
}
