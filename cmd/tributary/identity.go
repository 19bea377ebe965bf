package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"tributary/canonical"
	"tributary/identity"
)

func identityCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use: "identity", Short: "Who is who: show a person, explain and correct what joins two identifiers",
		Long: "Who is who: show a person, explain and correct what joins two identifiers.\n\nAn identifier is written " + howWritten + ".\nAddresses and numbers are hashed before they are sent anywhere.",
	}
	c.AddCommand(identityShowCommand(o), identityExplainCommand(o),
		identityStateCommand(o, canonical.FactMerge, "merge SURVIVOR MERGED…", "Say that CRM records are one: the first goes on, the others are merged into it"),
		identityStateCommand(o, canonical.FactUnmerge, "unmerge SURVIVOR MERGED…", "Say that a merge of the first with each other one was wrong"),
		identityStateCommand(o, canonical.FactBlock, "block A B", "Say that nothing that is said of two identifiers joins them: no link, no merge"),
		identityStateCommand(o, canonical.FactAllow, "allow A B", "Say that two identifiers are one person or account, whatever guards say"),
		identityEraseCommand(o), identityReviewCommand(o), identityStatsCommand(o), identityExportCommand(o))
	return c
}

// writtenIdentifiers reads identifiers from a command line; what is sent on holds nothing in
// the clear.
func writtenIdentifiers(args []string) ([]string, error) {
	out := make([]string, len(args))
	var wrongs []error
	for i, text := range args {
		w, err := parseIdentifier(text)
		if err != nil {
			wrongs = append(wrongs, fmt.Errorf("argument %d: %w", i+1, err))
			continue
		}
		out[i] = w.written()
	}
	if len(wrongs) > 0 {
		return nil, wrong(errors.Join(wrongs...))
	}
	return out, nil
}

func identityShowCommand(o *options) *cobra.Command {
	var clear bool
	c := &cobra.Command{
		Use: "show IDENTIFIER", Short: "The person, account or deal: identifiers and what said each link, accounts, touches, stages, events and deliveries", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := writtenIdentifiers(args)
			if err != nil {
				return err
			}
			path := "/v1/identity/" + escaped(ids[0])
			if clear {
				path += "/clear"
			}
			if o.json {
				return show(c, o, path)
			}
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var a shownIdentity
			if err := cl.call(c.Context(), http.MethodGet, path, nil, &a); err != nil {
				return err
			}
			return printIdentity(c.OutOrStdout(), a)
		},
	}
	c.Flags().BoolVar(&clear, "clear", false, "also addresses and numbers as they were sent, where their receipts are kept (needs scope admin)")
	return c
}

func identityExplainCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "explain A B", Short: "The shortest chain of facts that joins two identifiers, or what keeps them apart", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := writtenIdentifiers(args)
			if err != nil {
				return err
			}
			path := "/v1/identity/explain?" + url.Values{"a": {ids[0]}, "b": {ids[1]}}.Encode()
			if o.json {
				return show(c, o, path)
			}
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var e explainedIdentity
			if err := cl.call(c.Context(), http.MethodGet, path, nil, &e); err != nil {
				return err
			}
			printExplained(c.OutOrStdout(), e)
			return nil
		},
	}
}

func identityStateCommand(o *options, kind canonical.FactKind, use, short string) *cobra.Command {
	var reason string
	var yes, dry bool
	c := &cobra.Command{
		Use: use, Short: short,
		Long: short + ".\n\nPrinted is what would change; it is done with --yes, or where you answer y. It stands in the identity log with the key's name and the reason, and holds until the opposite is said.",
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := writtenIdentifiers(args)
			if err != nil {
				return err
			}
			if reason == "" && !dry {
				return wrong(errors.New("say why: --reason; it is kept with the statement (or look first, with --dry-run)"))
			}
			cl, err := dial(o)
			if err != nil {
				return err
			}
			body := map[string]any{"identifiers": ids, "reason": reason, "dry_run": true}
			var a statedIdentity
			if err := cl.call(c.Context(), http.MethodPost, "/v1/identity/"+string(kind), body, &a); err != nil {
				return err
			}
			if dry && o.json {
				return printJSON(c.OutOrStdout(), a)
			}
			if !o.json {
				printProspect(c.OutOrStdout(), kind, a.Prospect)
			}
			if dry || a.Already {
				if o.json {
					return printJSON(c.OutOrStdout(), a)
				}
				return nil
			}
			if !yes && !agreed(c) {
				return errors.New("nothing was said: answer y, or give --yes")
			}
			body["dry_run"], body["expect"] = false, a.Moved
			a = statedIdentity{}
			if err := cl.call(c.Context(), http.MethodPost, "/v1/identity/"+string(kind), body, &a); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), a)
			}
			printStated(c.OutOrStdout(), a)
			return nil
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; kept with the statement for ever, so name no address in it")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&dry, "dry-run", false, "only print what would change")
	return c
}

// agreed asks on the error stream and reads an answer.
func agreed(c *cobra.Command) bool {
	fmt.Fprint(c.ErrOrStderr(), "Say it? [y/N] ")
	answer, _ := bufio.NewReader(c.InOrStdin()).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}

func identityReviewCommand(o *options) *cobra.Command {
	var reasons []string
	var after string
	var limit int
	c := &cobra.Command{
		Use: "review", Short: "What guards and blocks stopped, and at which identifiers", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var a reviewPage
			for v := (url.Values{"reason": reasons, "after": {after}}); ; v.Set("after", a.Next) {
				v.Set("limit", fmt.Sprint(limit-len(a.Items)))
				var page reviewPage
				if err := cl.call(c.Context(), http.MethodGet, "/v1/identity/review?"+v.Encode(), nil, &page); err != nil {
					return err
				}
				a.Items, a.Collisions, a.Next = append(a.Items, page.Items...), append(a.Collisions, page.Collisions...), page.Next
				if a.Next == "" || len(a.Items) >= limit {
					break // one answer looks at so many identifiers only
				}
			}
			if o.json {
				return printJSON(c.OutOrStdout(), a)
			}
			return printReview(c.OutOrStdout(), a)
		},
	}
	c.Flags().StringSliceVar(&reasons, "reason", nil, "only these: never_link, crowded, shared_device, person_limit, two_people, blocked")
	c.Flags().StringVar(&after, "after", "", "go on behind an earlier page")
	c.Flags().IntVar(&limit, "limit", 50, "how many")
	return c
}

func identityStatsCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "stats", Short: "Identifiers by kind, persons, accounts, the largest person, what is cut", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var s identity.Stats
			if err := cl.call(c.Context(), http.MethodGet, "/v1/identity/stats", nil, &s); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), s)
			}
			return printStats(c.OutOrStdout(), s)
		},
	}
}

func identityExportCommand(o *options) *cobra.Command {
	var accounts bool
	c := &cobra.Command{
		Use: "export", Short: "Every person with its identifiers as they are stored (hashes), as JSON by lines", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			of := "persons"
			if accounts {
				of = "accounts"
			}
			return cl.copy(c.Context(), "/v1/identity/export?of="+of, c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&accounts, "accounts", false, "accounts instead")
	return c
}
