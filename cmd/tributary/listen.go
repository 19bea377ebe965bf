package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/net/netutil"

	"tributary/internal/config"
)

// listen serves HTTP until ctx ends, over TLS HTTP/2 too. Then nobody new is let in, connections
// that rest are closed, and requests in flight have a time to be answered; each answer closes its
// connection. docs/operations.md, "Under pressure".
func listen(ctx context.Context, c config.HTTP, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: c.Limits.HeaderTimeout, ReadTimeout: c.Limits.BodyTimeout, WriteTimeout: c.Limits.WriteTimeout,
		IdleTimeout: c.Limits.IdleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
	if c.ClientCAFile != "" {
		authorities, err := readAuthorities(c.ClientCAFile)
		if err != nil {
			return fmt.Errorf("http.client_ca_file: %w", err)
		}
		// Whoever shows no certificate is let through to the ways in that ask for something else.
		s.TLSConfig = &tls.Config{ClientCAs: authorities, ClientAuth: tls.VerifyClientCertIfGiven}
	}
	connections, _ := holdable(c.Limits.Connections, openFiles())
	l = netutil.LimitListener(l, connections) // more wait to be accepted
	done := make(chan error, 1)
	go func() {
		if c.CertFile != "" {
			done <- s.ServeTLS(l, c.CertFile, c.KeyFile)
			return
		}
		done <- s.Serve(l)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Limits.Shutdown)
	defer cancel()
	if err := s.Shutdown(grace); err != nil {
		s.Close()
	}
	return ctx.Err()
}

// maxHeaderBytes bounds the head of a request.
const maxHeaderBytes = 64 << 10

// otherFiles is about how many files a router has open beside its connections: the log's
// segments, local state, engines and requests to vendors.
const otherFiles = 1000

// holdable is how many of so many connections a process that may open limit files holds beside its
// own, and where those are fewer, what to do. Go raises the soft limit to the hard one by itself.
func holdable(connections int, limit uint64) (int, error) {
	if limit >= uint64(connections)+otherFiles {
		return connections, nil
	}
	hold := max(int(limit)-otherFiles, int(limit)/2)
	return hold, fmt.Errorf("this process may open %d files, so it holds %d connections at a time; for the %d of http.limits.connections it needs %d: "+
		"raise the hard limit (LimitNOFILE= in a systemd unit, ulimit -Hn in a shell), or lower the setting", limit, hold, connections, connections+otherFiles)
}
