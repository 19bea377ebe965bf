package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"tributary/destinations/catalog"
	"tributary/internal/config"
	embeddedlog "tributary/internal/eventlog/embedded"
	"tributary/internal/eventlog/kafkalog"
)

func logCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "log", Short: "Mend a reader's place in the log"}
	var group, topic, to string
	var partition int
	reset := &cobra.Command{
		Use: "reset", Short: "Move a group whose committed offset lies outside the log, accepting the gap", Args: cobra.NoArgs,
		Long: "A reader whose committed offset lies outside the log stops, because what lies between is gone or was never there.\n" +
			"When the gap is understood and accepted, this moves the group to the log's first or end. Stop the router before.",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(o.config, catalog.Kinds())
			if err != nil {
				return wrong(err)
			}
			if to != "first" && to != "end" {
				return wrong(errors.New("--to is first or end"))
			}
			return resetGroup(c, cfg, group, topic, partition, to)
		},
	}
	reset.Flags().StringVar(&group, "group", "", "the consumer group, as the message named it")
	reset.Flags().StringVar(&topic, "topic", "", "the topic")
	reset.Flags().IntVar(&partition, "partition", 0, "the partition")
	reset.Flags().StringVar(&to, "to", "first", "first: read everything that is there; end: read only what comes")
	for _, name := range []string{"group", "topic", "partition"} {
		reset.MarkFlagRequired(name)
	}
	c.AddCommand(reset)
	return c
}

func resetGroup(c *cobra.Command, cfg config.Config, group, topic string, partition int, to string) error {
	l, closeLog, err := openLogOnly(c.Context(), cfg)
	if err != nil {
		return err
	}
	defer closeLog()
	first, end, err := l.Bounds(c.Context(), topic)
	if err != nil {
		return err
	}
	if partition < 0 || partition >= len(end) {
		return wrong(fmt.Errorf("%s has %d partitions, the first is 0", topic, len(end)))
	}
	committed, err := l.Committed(c.Context(), group, topic)
	if err != nil {
		return err
	}
	next := first[partition]
	if to == "end" {
		next = end[partition]
	}
	if err := l.Reset(c.Context(), group, map[string]map[int]int64{topic: {partition: next}}); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: %s/%d moved from %d to %d; the log reaches from %d to %d\n", group, topic, partition, committed[partition], next, first[partition], end[partition])
	return nil
}

// openLogOnly opens the log without the rest of the router. The embedded one belongs to
// one process, so this fails while a router runs on it.
func openLogOnly(ctx context.Context, cfg config.Config) (*kafkalog.Log, func(), error) {
	logger := slog.New(slog.DiscardHandler)
	o, err := kafkaOptions(cfg.Log)
	if err != nil {
		return nil, nil, err
	}
	var broker *embeddedlog.Broker
	if len(cfg.Log.Brokers) == 0 {
		broker, err = embeddedlog.Start(ctx, embeddedlog.Options{Dir: filepath.Join(cfg.DataDir, "log"), SegmentBytes: cfg.Log.Embedded.SegmentBytes, Logger: logger})
		if err != nil {
			return nil, nil, err
		}
		o.Brokers, o.Embedded = []string{broker.Addr()}, true
	}
	l, err := kafkalog.Open(ctx, o)
	if err != nil {
		if broker != nil {
			broker.Close()
		}
		return nil, nil, err
	}
	return l, func() {
		l.Close()
		if broker != nil {
			broker.Close()
		}
	}, nil
}
