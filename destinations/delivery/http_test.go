package delivery

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"tributary/destinations"
)

func TestPrivateAddressesAreRefused(t *testing.T) {
	for _, c := range []struct {
		addresses string
		private   bool
	}{
		{"0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.9.9.9 169.254.169.254 172.16.0.1 172.31.255.255", true},
		{"192.0.0.1 192.0.0.170 192.168.1.1 198.18.0.1 198.19.255.255 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255", true},
		{":: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::10.0.0.1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1", true},
		{"64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b::7f00:1 64:ff9b:1::1 2002:a00:1::1 2002:7f00:1:: 2001:0:102:304::f5ff:fffe 2001:db8::1", true},
		{"1.1.1.1 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 198.17.255.255 198.20.0.1 9.255.255.255 11.0.0.1 223.255.255.255", false},
		{"2606:4700:4700::1111 2a00:1450:4001::1 ::ffff:1.1.1.1 64:ff9b::101:101 2003::1", false},
	} {
		for _, a := range strings.Fields(c.addresses) {
			ip := netip.MustParseAddr(a)
			err := refusePrivate("tcp", net.JoinHostPort(ip.String(), "443"), nil)
			if (err != nil) != c.private {
				t.Errorf("%s: %v, want private %v", a, err, c.private)
			}
		}
	}
	if refusePrivate("tcp", "no address", nil) == nil || refusePrivate("tcp", "host:1", nil) == nil {
		t.Error("what is no address was let through")
	}
}

const httpSecret = "secret-of-nobody"

func sender(t *testing.T, e Endpoint) Sender {
	t.Helper()
	e.Secret = func(context.Context) (string, error) { return httpSecret, nil }
	e.Authorize = func(r *http.Request, _ []byte, secret string) { r.Header.Set("Authorization", "Bearer "+secret) }
	s, err := NewSender(e)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func post(t *testing.T, s Sender) (destinations.Response, error) {
	t.Helper()
	r, err := s(t.Context(), destinations.Request{Method: http.MethodPost, Path: "/events", Body: []byte("{}"), Header: http.Header{}})
	if err != nil && (strings.Contains(err.Error(), httpSecret) || strings.Contains(err.Error(), "Bearer")) {
		t.Errorf("the secret is in the error %v", err)
	}
	return r, err
}

func TestARefusedDialWasNotSent(t *testing.T) {
	var asked atomic.Int32
	vendor := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer vendor.Close()
	_, err := post(t, sender(t, Endpoint{BaseURL: vendor.URL}))
	if !errors.Is(err, ErrNotSent) || !strings.Contains(err.Error(), "allow_private") || asked.Load() != 0 {
		t.Errorf("a private address: %v, asked %d times", err, asked.Load())
	}
	if _, err := post(t, sender(t, Endpoint{BaseURL: strings.Replace(vendor.URL, "127.0.0.1", "localhost", 1)})); !errors.Is(err, ErrNotSent) {
		t.Errorf("a name of a private address: %v", err)
	}
	if r, err := post(t, sender(t, Endpoint{BaseURL: vendor.URL, AllowPrivate: true})); err != nil || r.Status != http.StatusOK {
		t.Errorf("an allowed one: %d %v", r.Status, err)
	}
	vendor.Close()
	if _, err := post(t, sender(t, Endpoint{BaseURL: vendor.URL, AllowPrivate: true})); !errors.Is(err, ErrNotSent) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestAnAnswerThatNeverCameMayHaveBeenSent(t *testing.T) {
	vendor := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer vendor.Close()
	if _, err := post(t, sender(t, Endpoint{BaseURL: vendor.URL, AllowPrivate: true})); err == nil || errors.Is(err, ErrNotSent) {
		t.Errorf("%v, want an error that leaves it open", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		vendor := httptest.NewServer(http.RedirectHandler(other.URL, status))
		r, err := post(t, sender(t, Endpoint{BaseURL: vendor.URL, AllowPrivate: true}))
		vendor.Close()
		if err != nil || r.Status != status || elsewhere.Load() != 0 {
			t.Errorf("%d: %d %v, followed %d times", status, r.Status, err, elsewhere.Load())
		}
	}
}

func TestAnAnswerIsReadUpToItsLimit(t *testing.T) {
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 3 * maxAnswer >> 10 {
			w.Write(make([]byte, 1<<10))
		}
	}))
	defer vendor.Close()
	if r, err := post(t, sender(t, Endpoint{BaseURL: vendor.URL, AllowPrivate: true})); err != nil || len(r.Body) != maxAnswer {
		t.Errorf("%d bytes, %v; want %d", len(r.Body), err, maxAnswer)
	}
}
