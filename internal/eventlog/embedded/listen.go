package embedded

import (
	"context"
	"net"
	"sync"
)

// A listener takes connections over TCP and from this process. The latter are pipes: a
// request then wakes the broker's goroutine itself, where a socket would wait until the
// scheduler, busy with those who append, looks at the network again.
type listener struct {
	net.Listener
	accepted chan accepted
	closed   chan struct{}
	once     sync.Once
}

type accepted struct {
	conn net.Conn
	err  error
}

// listen has the shape that kfake wants.
func (b *Broker) listen(network, address string) (net.Listener, error) {
	tcp, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	l := &listener{Listener: tcp, accepted: make(chan accepted), closed: make(chan struct{})}
	b.own = l
	go l.run()
	return l, nil
}

// run ends with the TCP listener.
func (l *listener) run() {
	for {
		c, err := l.Listener.Accept()
		select {
		case l.accepted <- accepted{c, err}:
		case <-l.closed:
			if err == nil {
				c.Close()
			}
			return
		}
		if err != nil {
			return
		}
	}
}

// Accept gives the next connection of either kind.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.accepted:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close stops both.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// dial opens a connection within this process.
func (l *listener) dial(ctx context.Context) (net.Conn, error) {
	theirs, ours := net.Pipe()
	select {
	case l.accepted <- accepted{conn: theirs}:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Dial opens a connection to the broker, for kafkalog's option of that name. Within this
// process it needs no socket; any other address is dialled as usual.
func (b *Broker) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address == b.addr {
		return b.own.dial(ctx)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}
