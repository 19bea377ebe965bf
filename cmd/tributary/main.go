// Command tributary is the attribution event router: one binary that serves, and that
// asks a running server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"tributary/internal/warehouse/embedded"
)

func main() {
	embedded.MaybeChild() // the warehouse engine is a child of the same binary
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(exitCode(err, os.Stderr))
}

// Exit codes: 0 done, 1 it failed, 2 the command or the configuration is wrong, 3 the
// books do not balance.
func exitCode(err error, stderr io.Writer) int {
	var coded *codedError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return 0
	case errors.As(err, &coded):
		fmt.Fprintln(stderr, "tributary:", err)
		return coded.code
	default:
		fmt.Fprintln(stderr, "tributary:", err)
		return 1
	}
}

// A codedError is an error with an exit code of its own.
type codedError struct {
	code int
	error
}

func (e *codedError) Unwrap() error { return e.error }

func wrong(err error) error { return &codedError{2, err} }

// run is the program. It ends when its work is done or ctx ends.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use: "tributary", Short: "Server-side attribution event router for B2B teams",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return wrong(err) })
	o := &options{}
	root.PersistentFlags().StringVarP(&o.config, "config", "c", "tributary.yaml", "configuration file")
	root.PersistentFlags().BoolVar(&o.json, "json", false, "answer in JSON")
	root.AddCommand(
		initCommand(o), keysCommand(o), serveCommand(o), checkCommand(o), mappingCommand(o),
		replayCommand(o), backfillCommand(o), deadlettersCommand(o), receiptCommand(o), eventCommand(o), destinationsCommand(o), identityCommand(o), importCommand(o), hubspotCommand(o), reportCommand(o), sqlCommand(o), logCommand(o),
		versionCommand(o), connectCommand(o), simulateCommand(o), demoCommand(o), benchCommand(o),
	)
	return execute(ctx, root)
}

// options are the flags that every command has.
type options struct {
	config string
	json   bool
}
