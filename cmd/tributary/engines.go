package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations/delivery"
	"tributary/identity"
	"tributary/identity/pebblestore"
	"tributary/internal/config"
	"tributary/internal/eventlog"
	embeddedlog "tributary/internal/eventlog/embedded"
	"tributary/internal/eventlog/kafkalog"
	"tributary/internal/pipeline"
	"tributary/internal/warehouse"
	"tributary/internal/warehouse/embedded"
)

func (r *router) openLog(ctx context.Context) error {
	c := r.cfg.Log
	wanted := r.topics.Wanted(c.Partitions, c.Retention, c.Deliveries)
	o, err := kafkaOptions(c)
	if err != nil {
		return err
	}
	o.Logger = r.logger.With("part", "log")
	if len(c.Brokers) == 0 {
		b, err := embeddedlog.Start(ctx, embeddedlog.Options{
			Dir: filepath.Join(r.cfg.DataDir, "log"), Port: c.Embedded.Port, MaxBytes: c.Embedded.MaxBytes, SegmentBytes: c.Embedded.SegmentBytes,
			Topics: wanted, Groups: r.groups, Logger: r.logger.With("part", "embedded log"),
		})
		if err != nil {
			return err
		}
		r.broker, o.Brokers, o.Embedded, o.Dial = b, []string{b.Addr()}, true, b.Dial
	}
	l, err := kafkalog.Open(ctx, o)
	if err != nil {
		return err
	}
	r.log = l
	return l.Ensure(ctx, wanted...)
}

// kafkaOptions are the configured brokers and how to speak to them.
func kafkaOptions(c config.Log) (kafkalog.Options, error) {
	o := kafkalog.Options{Brokers: c.Brokers, ClientID: "tributary", SessionTimeout: c.Session}
	password, err := c.SASL.Password.Value()
	if err != nil {
		return o, fmt.Errorf("log.sasl.password: %w", err)
	}
	o.SASL = kafkalog.SASL{Mechanism: strings.ToUpper(c.SASL.Mechanism), User: c.SASL.Username, Password: password}
	if o.TLS, err = tlsConfig(c.TLS); err != nil {
		return o, fmt.Errorf("log.tls: %w", err)
	}
	return o, nil
}

// groups are the consumer groups that count: what they have not read is not trimmed.
func (r *router) groups() []eventlog.Group {
	p := r.cfg.Log.Prefix
	t := r.topics
	out := []eventlog.Group{
		{Name: pipeline.ResolveGroup(p), Topics: []string{t.Inbound}},
		{Name: pipeline.RecordGroup(p), Topics: []string{t.Events, t.Inbound, t.Identity, t.Deliveries, t.Replays}},
	}
	out = append(out, eventlog.Group{Name: pipeline.JobsGroup(p), Topics: []string{t.Replays}, Whole: true})
	for _, name := range r.accounts() {
		out = append(out, eventlog.Group{Name: pipeline.FetchGroup(p, name), Topics: []string{t.Inbound}, Whole: true})
	}
	for name := range r.cfg.Destinations {
		out = append(out, eventlog.Group{Name: delivery.Group(p, name), Topics: []string{t.Events, t.Replays}, Whole: true})
	}
	return out
}

// readAuthorities reads certificates of authorities.
func readAuthorities(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
}

func tlsConfig(c config.TLS) (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		var err error
		if t.RootCAs, err = readAuthorities(c.CAFile); err != nil {
			return nil, err
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

func (r *router) openWarehouse(ctx context.Context) error {
	c := r.cfg.Warehouse
	o := warehouse.Options{URL: c.URL, User: c.User, Database: c.Database}
	if c.URL == "" {
		addr := ""
		if c.Embedded.Port != 0 {
			addr = fmt.Sprintf("127.0.0.1:%d", c.Embedded.Port)
		}
		e, err := embedded.Start(ctx, embedded.Options{
			Dir: filepath.Join(r.cfg.DataDir, "warehouse"), Library: c.Embedded.Library, Addr: addr, Log: r.logger.With("part", "warehouse engine"),
		})
		if err != nil {
			return err
		}
		r.engine = e
		o.URL, o.User, o.Password = e.URL(), e.User(), e.Password()
	} else {
		var err error
		if o.Password, err = c.Password.Value(); err != nil {
			return fmt.Errorf("warehouse.password: %w", err)
		}
		if o.TLS, err = tlsConfig(c.TLS); err != nil {
			return fmt.Errorf("warehouse.tls: %w", err)
		}
	}
	key, err := dataKey(r.cfg)
	if err != nil {
		return err
	}
	if r.sealer, err = warehouse.NewSealer(key); err != nil {
		return err
	}
	if r.warehouse, err = warehouse.New(o); err != nil {
		return err
	}
	// A warehouse that does not answer holds up only what is recorded: the router starts.
	if err = r.connectWarehouse(ctx); warehouse.Unanswered(err) && r.engine == nil {
		r.health.Set("warehouse", away(err))
		return nil
	}
	r.connected = err == nil
	return err
}

func (r *router) connectWarehouse(ctx context.Context) error {
	answer, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := r.warehouse.Connect(answer); err != nil {
		return err
	}
	return r.warehouse.Migrate(ctx)
}

// away adds to what went wrong what it means; nil stays nil.
func away(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w; the router takes in and delivers, what is to be recorded waits, and it is tried again by itself", err)
}

// reachWarehouse tries until the warehouse answers.
func (r *router) reachWarehouse(ctx context.Context) error {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		err := r.connectWarehouse(ctx)
		r.health.Set("warehouse", away(err))
		if err == nil {
			<-ctx.Done()
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// dataKey is the key that raw receipts and whole events are sealed with: configured,
// else generated once in the data directory.
func dataKey(cfg config.Config) ([]byte, error) {
	text, err := cfg.DataKey.Value()
	if err != nil {
		return nil, fmt.Errorf("data_key: %w", err)
	}
	if text == "" {
		path := filepath.Join(cfg.DataDir, "data.key")
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			fresh := make([]byte, 32)
			rand.Read(fresh)
			b = []byte(hex.EncodeToString(fresh) + "\n")
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("data key: %w", err)
		}
		text = strings.TrimSpace(string(b))
	}
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != 32 {
		return nil, wrong(errors.New("the data key must be 64 hex digits"))
	}
	return key, nil
}

func (r *router) openState(context.Context) error {
	db, err := pebble.Open(filepath.Join(r.cfg.DataDir, "state"), pebblestore.Tune(&pebble.Options{Logger: quiet{}}))
	if err != nil {
		return fmt.Errorf("open local state in %s: %w (it is a cache: delete the folder to rebuild it)", filepath.Join(r.cfg.DataDir, "state"), err)
	}
	r.state = db
	secret, err := dataKey(r.cfg)
	if err != nil {
		return err
	}
	key, err := identity.NewErasureKey(secret)
	if err != nil {
		return err
	}
	if r.view, err = identity.Open(pebblestore.New(db, []byte("identity\x00")), identity.WithErasureKey(key)); err != nil {
		return err
	}
	if r.ledger, err = delivery.OpenLedger(db, "ledger\x00"); err != nil {
		return err
	}
	if r.index, err = pipeline.OpenIndex(db, "index\x00"); err != nil {
		return err
	}
	if r.jobView, err = pipeline.OpenJobView(db, "jobs\x00"); err != nil {
		return err
	}
	r.heard, err = pipeline.OpenHeard(db, "heard\x00", func(rc canonical.Receipt) (wire.Notice, bool) {
		return wire.NoticeOf(rc, r.settings(rc.Source))
	})
	return err
}

// quiet keeps Pebble's chatter out of the log; its errors come back from its calls.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf("local state: "+f, a...))
}

// archive is the warehouse with the key to what is sealed in it.
type archive struct {
	*warehouse.Warehouse
	*warehouse.Sealer
}

func (a archive) Unseal(b []byte) ([]byte, error) { return a.Sealer.Open(b) }
