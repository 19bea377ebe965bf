package main

import (
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/warehouse"
)

// matchCommand shows by which identifiers events could be matched.
func matchCommand(o *options) *cobra.Command {
	since := 30 * 24 * time.Hour
	destination := ""
	c := &cobra.Command{
		Use: "match", Args: cobra.NoArgs,
		Short: "Which identifiers were present, usable, refused or pre-hashed, per destination and event",
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			ask := map[string]any{
				"sql": `SELECT destination, name, identifier, sum(parts) AS parts, sum(usable) AS usable, sum(prehashed) AS prehashed, sum(refused) AS refused, sum(missing) AS missing,
					round(100 * (usable + prehashed) / parts, 1) AS percent
					FROM v_match WHERE day >= toDate({since:DateTime64(3)}) AND ({destination:String} = '' OR destination = {destination:String})
					GROUP BY destination, name, identifier ORDER BY destination, name, percent DESC, identifier`,
				"params": map[string]any{"since": time.Now().UTC().Add(-since).Format("2006-01-02 15:04:05.000"), "destination": destination},
			}
			var result warehouse.Result
			if err := cl.call(c.Context(), http.MethodPost, "/v1/sql", ask, &result); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), result)
			}
			if len(result.Rows) == 0 {
				fmt.Fprintln(c.OutOrStdout(), "nothing was built for a destination in that time")
				return nil
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 2, 4, 2, ' ', tabwriter.AlignRight)
			fmt.Fprintln(t, "destination\tevent\tidentifier\tparts\tusable\tpre-hashed\trefused\tmissing\tmatchable\t")
			for _, row := range result.Rows {
				for i, v := range row {
					unit := ""
					if i == len(row)-1 {
						unit = " %"
					}
					fmt.Fprintf(t, "%s%s\t", cell(v), unit)
				}
				fmt.Fprintln(t)
			}
			return t.Flush()
		},
	}
	c.Flags().DurationVar(&since, "since", since, "how far back")
	c.Flags().StringVar(&destination, "destination", "", "one destination only (default: all)")
	return c
}
