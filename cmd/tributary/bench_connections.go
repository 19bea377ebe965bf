package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tributary/internal/config"
)

func benchConnectionsCommand(o *options) *cobra.Command {
	n := 10_000
	c := &cobra.Command{
		Use: "connections", Short: "Hold connections that rest, and say what each costs", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if n < 1 || n > 1_000_000 {
				return wrong(fmt.Errorf("--connections takes numbers from 1 to 1000000"))
			}
			r, err := benchConnections(c.Context(), n)
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), r)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d connections opened in %.1f s and held for %.0f s; %d bytes of heap and stack each, %d bytes resident; all %d answered again\n",
				r.Connections, r.OpenSeconds, r.HeldSeconds, r.Bytes, r.Resident, r.Again)
			return err
		},
	}
	c.Flags().IntVar(&n, "connections", n, "how many")
	return c
}

// A connectionsReport is what resting connections cost the server's process.
type connectionsReport struct {
	Connections int     `json:"connections"`
	OpenSeconds float64 `json:"open_seconds"`
	HeldSeconds float64 `json:"held_seconds"`
	Bytes       int64   `json:"bytes_each"`    // of heap and stacks
	Resident    int64   `json:"resident_each"` // as the system counts; 0 where it does not
	Again       int     `json:"answered_again"`
}

// benchConnections serves with the settings of serve and has a child process open the
// connections, send a request on each, rest, and send another one on each.
func benchConnections(ctx context.Context, n int) (r connectionsReport, err error) {
	c := config.Default().HTTP
	c.Limits.Connections = n + 16
	if hold, why := holdable(c.Limits.Connections, openFiles()); hold < n {
		return r, why
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return r, err
	}
	ctx, stop := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error { return listen(ctx, c, l, bareGin()) })
	defer func() { stop(); g.Wait() }()
	child, err := startLoad(ctx)
	if err != nil {
		return r, err
	}
	defer child.stop()
	heap, resident := held()
	began := time.Now()
	order := loadOrder{Address: l.Addr().String(), Connections: n, Hold: true}
	if _, err := child.do(ctx, order); err != nil {
		return r, err
	}
	r.Connections, r.OpenSeconds = n, time.Since(began).Seconds()
	resting := time.Now()
	pause(ctx, time.Second) // what was still at work has come to rest
	heapAfter, residentAfter := held()
	r.Bytes, r.Resident = (heapAfter-heap)/int64(n), (residentAfter-resident)/int64(n)
	again, err := child.do(ctx, order)
	r.HeldSeconds, r.Again = time.Since(resting).Seconds(), again.Answered
	if err == nil && r.Again != n {
		err = fmt.Errorf("of %d connections %d were still good", n, r.Again)
	}
	return r, err
}

// held is what this process holds: heap and stacks, and what is resident of it.
func held() (memory, resident int64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			resident = pages * int64(os.Getpagesize())
		}
	}
	return int64(m.HeapAlloc + m.StackInuse), resident
}

// hold opens an order's connections, or takes those that are open already, and has a request
// answered on each.
func hold(o loadOrder, open []*sender) ([]*sender, loadResult, error) {
	request := fmt.Appendf(nil, "GET /v1/pixel.gif?a=b HTTP/1.1\r\nHost: %s\r\n\r\n", o.Address)
	for len(open) < o.Connections {
		c, err := net.Dial("tcp", o.Address)
		if err != nil {
			return open, loadResult{}, fmt.Errorf("open connection %d: %w", len(open)+1, err)
		}
		open = append(open, &sender{conn: c})
	}
	r := loadResult{}
	for _, s := range open {
		s.in = bufio.NewReaderSize(s.conn, 512)
		if _, err := s.conn.Write(request); err != nil {
			return open, r, err
		}
		if err := s.answer(); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return open, r, err
		}
		s.in = nil
		r.Answered++
	}
	return open, r, nil
}
