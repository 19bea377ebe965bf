package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// execute runs a command line. What is wrong with the line itself, before any command
// began its work, has the exit code of a wrong command.
func execute(ctx context.Context, root *cobra.Command) error {
	began := false
	watch(root, &began)
	err := root.ExecuteContext(ctx)
	if err != nil && !began {
		return wrong(err)
	}
	return err
}

// watch notes when a command begins, and makes groups of commands refuse words that they
// do not know.
func watch(c *cobra.Command, began *bool) {
	for _, sub := range c.Commands() {
		watch(sub, began)
	}
	if c.RunE == nil && c.HasSubCommands() {
		c.RunE = group
		return
	}
	if work := c.RunE; work != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			*began = true
			return work(c, args)
		}
	}
}

// group is what a command does that only has commands below it.
func group(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	c.SuggestionsMinimumDistance = 2
	text := fmt.Sprintf("unknown command %q for %q", args[0], c.CommandPath())
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
	}
	return fmt.Errorf("%s; see %s --help", text, c.CommandPath())
}
