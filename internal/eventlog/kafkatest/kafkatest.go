// Package kafkatest gives tests a real Apache Kafka: one node for a test binary, started
// by deploy/kafka/run.sh and stopped with the binary.
package kafkatest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Node is a running Kafka with two listeners: one in the clear, and one with TLS and
// SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512).
type Node struct {
	Addr       string
	SecureAddr string
	Roots      *x509.CertPool // to trust its certificate by
	User       string
	Password   string

	stop func()
}

var (
	once   sync.Once
	shared *Node
	failed error
)

// Start gives the address of this test binary's Kafka, starting it at the first call.
// Without Java or Maven it skips the test and says so, or fails it when
// TRIBUTARY_REQUIRE_ENGINES is 1.
func Start(t testing.TB) (addr string) {
	t.Helper()
	return Shared(t).Addr
}

// Shared is Start with all that there is to know of the node.
func Shared(t testing.TB) *Node {
	t.Helper()
	once.Do(func() { shared, failed = start() })
	var missing *missingError
	switch {
	case failed == nil:
		return shared
	case errors.As(failed, &missing) && os.Getenv("TRIBUTARY_REQUIRE_ENGINES") != "1":
		t.Skip(failed)
	default:
		t.Fatal(failed)
	}
	return nil
}

// Main runs a package's tests and stops the node: func TestMain(m *testing.M) {
// kafkatest.Main(m) }. Without it the node stops when the binary is gone.
func Main(m *testing.M) {
	code := m.Run()
	if shared != nil {
		shared.stop()
	}
	os.Exit(code)
}

// A missingError names what this machine lacks.
type missingError struct{ what string }

func (e *missingError) Error() string { return "no Apache Kafka to test with: " + e.what }

func start() (*Node, error) {
	script, err := find(filepath.Join("deploy", "kafka", "run.sh"))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tributary-kafka-test")
	if err != nil {
		return nil, err
	}
	n := &Node{User: "tributary", Password: rand.Text(), Roots: x509.NewCertPool()}
	identity := filepath.Join(dir, "node.pem")
	if err := n.certify(identity); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	n.Addr, n.SecureAddr = "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[2]
	cmd := exec.Command(script, "--port", ports[0], "--controller-port", ports[1], "--secure-port", ports[2],
		"--pem", identity, "--user", n.User, "--password", n.Password)
	var trouble strings.Builder
	cmd.Stderr = &trouble
	// The script stops the node when this end of its standard input closes, which the
	// kernel sees to even if this process is killed.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	n.stop = func() {
		stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err == nil && strings.HasPrefix(line, "ready ") {
		return n, nil
	}
	n.stop()
	if cmd.ProcessState.ExitCode() == 3 {
		return nil, &missingError{strings.TrimSpace(trouble.String())}
	}
	return nil, fmt.Errorf("start Apache Kafka: %v: %s%s", cmd.ProcessState, line, trouble.String())
}

// find looks for a file of the repository, from the working directory upwards.
func find(path string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, path), nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("%s: no go.mod in any folder above the tests", path)
		}
		dir = up
	}
}

func freePorts(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return out, nil
}

// certify makes the node's key and certificate for 127.0.0.1 and trusts it.
func (n *Node) certify(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "kafka.example.test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	n.Roots.AppendCertsFromPEM(chain)
	return os.WriteFile(path, append(text, chain...), 0o600)
}
