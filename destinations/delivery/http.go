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
	Secret    func() string // read for every request, so that a changed token is used at once
	// AllowPrivate lets the address be one of the machine's own network (a simulator, an
	// internal tool). Without it loopback, private and link-local addresses are refused.
	AllowPrivate bool
	UserAgent    string
}

const maxAnswer = 1 << 20

// NewSender gives the Sender of an endpoint. It follows no redirect: an address that
// was not configured is not asked.
func NewSender(e Endpoint) (Sender, error) {
	base, err := url.Parse(e.BaseURL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("base URL %q is not an http or https address", e.BaseURL)
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if !e.AllowPrivate {
		dialer.Control = refusePrivate
	}
	client := &http.Client{
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
	return func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
		return request(ctx, client, base, e, q)
	}, nil
}

func request(ctx context.Context, client *http.Client, base *url.URL, e Endpoint, q destinations.Request) (destinations.Response, error) {
	u := *base
	if q.Path != "" {
		u.Path = strings.TrimSuffix(base.Path, "/") + q.Path
		u.RawPath = ""
	}
	if len(q.Query) > 0 {
		u.RawQuery = q.Query.Encode()
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
	if e.Authorize != nil && e.Secret != nil {
		e.Authorize(r, q.Body, e.Secret())
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
	return destinations.Response{Status: res.StatusCode, Header: res.Header, Body: body}, nil
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
		return fmt.Errorf("%s is an address of a private network; set allow_private on the destination if that is meant", ip)
	}
	return nil
}

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
