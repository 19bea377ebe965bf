package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"tributary/canonical"
	"tributary/identity"
)

// partyText names a person or account in a line.
func partyText(p identity.Party) string {
	kind := "person"
	if p.Account {
		kind = "account"
	}
	name := ""
	if len(p.Identifiers) > 0 {
		name = " " + identifierText(p.Identifiers[0].Identifier)
	}
	return fmt.Sprintf("%s %s%s, %s", kind, p.Root, name, counted(p.Size, "identifier"))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func printMembers(w io.Writer, p identity.Party, clear map[string]string) {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	for _, m := range p.Identifiers {
		var marks []string
		for _, mark := range []struct {
			is   bool
			says string
		}{{m.Node == p.Root, "the root"}, {m.Merged, "merged away"}, {m.Deleted, "deleted"}, {m.Cut != "", "cut: " + string(m.Cut)}, {clear[m.Node.String()] != "", clear[m.Node.String()]}} {
			if mark.is {
				marks = append(marks, mark.says)
			}
		}
		fmt.Fprintf(t, "  %s\tsince %s\t%s\n", identifierText(m.Identifier), m.Seen.Format(time.RFC3339), strings.Join(marks, ", "))
	}
	t.Flush()
	if len(p.Identifiers) < p.Size {
		fmt.Fprintf(w, "  and %d more\n", p.Size-len(p.Identifiers))
	}
}

// reasonText says in words why a tie does not join.
func reasonText(t identity.Tie) string {
	whose := "one of them"
	if t.Whose != nil {
		whose = identifierText(*t.Whose)
	}
	switch t.Reason {
	case identity.NeverLink:
		return whose + " is on the guards' list never_link"
	case identity.Crowded:
		return whose + " is linked to more than the guards allow"
	case identity.SharedDevice:
		return whose + " is a device of several people"
	case identity.PersonLimit:
		return "together they would hold more identifiers of a kind than a person may"
	case identity.TwoPeople:
		return "a weak link, and both belonged to somebody already"
	case identity.Blocked:
		return "somebody forbade it"
	}
	return "an unmerge undid it"
}

// sayingText says one kind of thing said of two identifiers.
func sayingText(s identity.Saying) string {
	what := string(s.Kind)
	switch {
	case s.Kind == canonical.FactLink && s.Weak:
		what = "weak link"
	case s.Survivor != nil:
		what = "merge into " + identifierText(*s.Survivor)
	}
	if !s.Holds {
		what += " (undone)"
	}
	return what + " of " + s.At.Format(time.RFC3339)
}

// printTie writes a tie with what was said and by whom.
func printTie(w io.Writer, t causedTie) {
	mark := "—"
	if !t.Joins {
		mark = "✕"
	}
	fmt.Fprintf(w, "  %s %s %s\n", identifierText(t.A), mark, identifierText(t.B))
	for _, s := range t.Said {
		fmt.Fprintf(w, "      %s\n", sayingText(s))
	}
	if !t.Joins {
		fmt.Fprintf(w, "      does not join: %s\n", strings.TrimSpace(reasonText(t.Tie)+" "+bracketed(string(t.Reason))))
	}
	for _, c := range t.Causes {
		by := cmp.Or(c.By, c.Source)
		line := fmt.Sprintf("      said at offset %d: %s", c.Offset, c.Kind)
		if by != "" {
			line += " by " + by
		}
		if c.Receipt != "" {
			line += ", receipt " + string(c.Receipt)
		}
		if c.Reason != "" {
			line += ": " + c.Reason
		}
		fmt.Fprintln(w, line)
	}
}

func bracketed(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

func printExplained(w io.Writer, e explainedIdentity) {
	switch {
	case e.Together:
		fmt.Fprintf(w, "together: %s\n", partyText(e.A))
	default:
		fmt.Fprintf(w, "apart: %s\n       %s\n", partyText(e.A), partyText(e.B))
	}
	switch {
	case len(e.Chain) > 0 && e.Together:
		fmt.Fprintln(w, "\nthe shortest chain that joins them:")
	case len(e.Chain) > 0:
		fmt.Fprintln(w, "\nwhat leads from one to the other, and where it stops:")
	case !e.Together:
		fmt.Fprintln(w, "\nnothing that was said leads from one to the other.")
	}
	for _, t := range e.Chain {
		printTie(w, t)
	}
	if len(e.Between) > 0 {
		title := "what was said between the two, and joins nothing:"
		if e.Together {
			title = "what was said of these two does not join them; others do:"
		}
		fmt.Fprintln(w, "\n"+title)
		for _, t := range e.Between {
			printTie(w, t)
		}
	}
	if e.Cut {
		fmt.Fprintln(w, "(too much was said to look at all of it)")
	}
	for _, n := range e.Notes {
		fmt.Fprintf(w, "(%s)\n", n)
	}
}

func printIdentity(w io.Writer, a shownIdentity) error {
	if a.Party != nil {
		fmt.Fprintln(w, partyText(*a.Party))
		printMembers(w, *a.Party, a.Clear)
	} else {
		fmt.Fprintln(w, "deal "+identifierText(a.Asked.Identifier))
	}
	section := func(title string, n int) {
		if n > 0 {
			fmt.Fprintf(w, "\n%s:\n", title)
		}
	}
	section("what joins them", len(a.Ties))
	for _, t := range a.Ties {
		printTie(w, t)
	}
	section("what does not join others", len(a.Stopped))
	for _, t := range a.Stopped {
		printTie(w, t)
	}
	section("shared devices beside them", len(a.Devices))
	for _, d := range a.Devices {
		fmt.Fprintln(w, "  "+identifierText(d))
	}
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	for _, list := range []struct {
		title string
		of    []identity.Belonging
	}{{"accounts", a.Accounts}, {"contacts", a.Contacts}} {
		section(list.title, len(list.of))
		for _, b := range list.of {
			var marks []string
			for _, mark := range []struct {
				is   bool
				says string
			}{{b.Counts, "counts"}, {b.Primary, "primary"}, {b.Ended, "ended"}} {
				if mark.is {
					marks = append(marks, mark.says)
				}
			}
			fmt.Fprintf(t, "  %s\t%s\tsince %s\t%s\t%s\n", identifierText(b.Identifier), b.Party, b.Since.Format(time.RFC3339), strings.Join(marks, ", "), strings.Join(b.Roles, ", "))
		}
		t.Flush()
	}
	section("deals", len(a.Deals))
	for _, d := range a.Deals {
		fmt.Fprintln(w, "  "+identifierText(d))
	}
	section("fields", len(a.Fields))
	for _, k := range sortedKeys(a.Fields) {
		fmt.Fprintf(w, "  %s: %s\n", k, a.Fields[k])
	}
	section("touches, the newest first", len(a.Touches))
	for _, x := range a.Touches {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", x.At.Format(time.RFC3339), x.Kind, cmp.Or(x.Platform, x.Source), x.Campaign, identifierText(x.On))
	}
	t.Flush()
	section("stages", len(a.Stages))
	for _, x := range a.Stages {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", x.At.Format(time.RFC3339), x.Name, identifierText(x.On), x.EventID)
	}
	t.Flush()
	section("events, the newest first", len(a.Events))
	for _, e := range a.Events {
		var states []string
		for _, d := range e.Destinations {
			states = append(states, strings.TrimSpace(d.Destination+" "+d.State+" "+d.Reason))
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", e.OccurredAt.Format(time.RFC3339), e.Name, e.ID, strings.Join(states, ", "))
	}
	t.Flush()
	if a.Cut {
		fmt.Fprintln(w, "(some lists are longer than they are shown here)")
	}
	for _, n := range a.Notes {
		fmt.Fprintf(w, "(%s)\n", n)
	}
	return nil
}

// printProspect writes what a statement would change.
func printProspect(w io.Writer, kind canonical.FactKind, p identity.Prospect) {
	if p.Already {
		fmt.Fprintln(w, "nothing to do: it holds already, or undoes nothing")
	}
	printParties(w, "now", p.Before)
	if p.Already && len(p.Still) == 0 {
		return
	}
	if !p.Already {
		printParties(w, "then", p.After)
		fmt.Fprintf(w, "%s would be somebody else's.\n", counted(p.Moved, "identifier"))
		if p.Renamed > 0 {
			fmt.Fprintf(w, "%s would go by another name (the root), with the same others.\n", counted(p.Renamed, "identifier"))
		}
		if kind == canonical.FactMerge && len(p.After) > 1 {
			fmt.Fprintln(w, "they would not be one: a person's block stands between them (tributary identity explain says which; allow undoes it)")
		}
	}
	printStill(w, p)
}

func printParties(w io.Writer, title string, list []identity.Party) {
	fmt.Fprintln(w, title+":")
	for _, party := range list {
		fmt.Fprintln(w, "  "+partyText(party))
		for _, m := range party.Identifiers {
			fmt.Fprintln(w, "      "+identifierText(m.Identifier))
		}
		if len(party.Identifiers) < party.Size {
			fmt.Fprintf(w, "      and %d more\n", party.Size-len(party.Identifiers))
		}
	}
}

// printStill writes what keeps two together that should be separated, and the blocks.
func printStill(w io.Writer, p identity.Prospect) {
	if len(p.Still) == 0 {
		return
	}
	fmt.Fprintln(w, "they would still be one, joined by:")
	for _, s := range p.Still {
		for _, t := range s.Chain {
			printTie(w, causedTie{Tie: t})
		}
		fmt.Fprintf(w, "    to separate: tributary identity block %s %s --reason …\n", identifierText(s.Block[0]), identifierText(s.Block[1]))
	}
	printParties(w, "with these blocks", p.Halves)
}

func printStated(w io.Writer, a statedIdentity) {
	if a.Already {
		fmt.Fprintln(w, "nothing was said: it holds already")
		return
	}
	fmt.Fprintf(w, "%s said by %s at offset %d: %s\n", a.Kind, a.By, *a.Offset, a.Reason)
	if !a.Folded {
		fmt.Fprintln(w, "it is durable, and not folded here yet: look again in a moment")
		return
	}
	for _, p := range a.After {
		fmt.Fprintln(w, "now: "+partyText(p))
	}
}

func printReview(w io.Writer, a reviewPage) error {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	fmt.Fprintln(t, "reason\tidentifier\tnot joined to\tsuch as")
	for _, s := range a.Items {
		var some []string
		for _, id := range s.Some {
			some = append(some, identifierText(id))
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\n", s.Reason, identifierText(s.Identifier), s.Neighbours, strings.Join(some, " "))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, x := range a.Collisions {
		fmt.Fprintf(w, "collision: %s has the node of %s, and is not folded\n", identifierText(x.Lost), identifierText(x.Kept))
	}
	if a.Next != "" {
		fmt.Fprintf(w, "(more may follow: --after %s)\n", a.Next)
	}
	return nil
}

func printStats(w io.Writer, s identity.Stats) error {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	fmt.Fprintf(t, "facts\t%d\npersons\t%d\n  known\t%d\naccounts\t%d\nedges\t%d\nblocks\t%d\nallows\t%d\n", s.Facts, s.Persons, s.Known, s.Accounts, s.Edges, s.Blocks, s.Allows)
	if s.Largest != nil {
		fmt.Fprintf(t, "largest person\t%d\t%s\n", s.Largest.Size, s.Largest.Root)
	}
	fmt.Fprintln(t, "identifiers")
	for _, k := range sortedKeys(s.Nodes) {
		fmt.Fprintf(t, "  %s\t%d\n", k, s.Nodes[k])
	}
	fmt.Fprintln(t, "cut")
	for _, k := range sortedKeys(s.Cut) {
		fmt.Fprintf(t, "  %s\t%d\n", k, s.Cut[k])
	}
	if s.Collisions > 0 {
		fmt.Fprintf(t, "collisions\t%d\n", s.Collisions)
	}
	fmt.Fprintf(t, "guards\tcrowd %d, crowd_record %d, limit %d, never_link %d\t%.12s\n", s.Guards.Crowd, s.Guards.CrowdRecord, s.Guards.Limit, len(s.Guards.NeverLink), s.GuardsHash)
	return t.Flush()
}
