package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tributary/internal/config"
)

// The listener believes client certificates of the authority it was given, refuses those of
// others, and lets in who shows none: the way in then asks for something else.
func TestClientCertificatesAreVerified(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := newAuthority(t), newAuthority(t)
	server := ours.issue(t, dir, "localhost")
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, ours.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.VerifiedChains) == 0 {
			io.WriteString(w, "nobody")
			return
		}
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	})
	c := config.Default().HTTP
	c.CertFile, c.KeyFile, c.ClientCAFile = server.cert, server.key, caFile
	go func() { ended <- listen(ctx, c, l, who) }()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ours.pem)
	for _, c := range []struct {
		what string
		with *issued
		want string
	}{{"none", nil, "nobody"}, {"ours", ours.issue(t, dir, "billing"), "billing"}, {"another's", theirs.issue(t, dir, "billing2"), ""}} {
		own := &tls.Config{RootCAs: roots, ServerName: "localhost"}
		if c.with != nil {
			pair, err := tls.LoadX509KeyPair(c.with.cert, c.with.key)
			if err != nil {
				t.Fatal(err)
			}
			// Without this the client keeps to itself what the server's authorities did not issue.
			own.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: own}, Timeout: time.Minute}
		got := ""
		if a, err := client.Get(fmt.Sprintf("https://%s/", l.Addr())); err == nil {
			b, _ := io.ReadAll(a.Body)
			a.Body.Close()
			got = string(b)
		}
		if got != c.want {
			t.Errorf("certificate %s: %q, want %q", c.what, got, c.want)
		}
		client.CloseIdleConnections()
	}
	stop()
	if err := <-ended; err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}

// An authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

type issued struct{ cert, key string } // files

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newECKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (a *authority) issue(t *testing.T, dir, name string) *issued {
	t.Helper()
	k := newECKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	out := &issued{filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")}
	for path, block := range map[string]*pem.Block{out.cert: {Type: "CERTIFICATE", Bytes: der}, out.key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
