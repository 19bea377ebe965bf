package main

import (
	"github.com/spf13/cobra"

	"tributary/mappings"
)

func mappingSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of mapping files, for completion and hover in editors", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(mappings.Schema())
			return err
		},
	}
}
