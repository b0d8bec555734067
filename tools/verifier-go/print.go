package main

// The verdict for a terminal. Names come from events and are quoted where they hold more than letters.

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const findingsPrinted = 20

func printReport(out io.Writer, r *report) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "\nkeys      %s, %d statements\n", r.Keys.Verdict, r.Keys.Statements)
	printFindings(w, r.Keys.Findings)
	fmt.Fprintf(w, "anchors   %s, %d entries, %d cosignatures, %d timestamps (not verifiable here: openssl ts judges them)\n",
		r.Anchors.Verdict, r.Anchors.Size, len(r.Anchors.Cosignatures), len(r.Anchors.Timestamps))
	printFindings(w, r.Anchors.Findings)
	if r.Bundle != nil {
		fmt.Fprintf(w, "bundle    %s, of %s\n", r.Bundle.Verdict, printable(r.Bundle.Org))
		printFindings(w, r.Bundle.Findings)
	}
	if r.ignored > 0 {
		fmt.Fprintf(w, "ignored   %d objects whose names are not of an archive\n", r.ignored)
	}
	for _, log := range r.Logs {
		printLog(w, log)
	}
	fmt.Fprintf(w, "\nverdict   %s\n", r.Verdict)
	return w.Flush()
}

func printLog(w io.Writer, log logReport) {
	fmt.Fprintf(w, "\n%s\n  %s: %d leaves, %d proven, %d deleted under policy, anchored to %d\n  root %s\n",
		log.Origin, log.Verdict, log.Size, log.Proven, log.Deleted, log.AnchoredTo, log.Root)
	if log.FirstBad != nil {
		fmt.Fprintf(w, "  first bad: leaf %d, %s %s\n", log.FirstBad.Leaf, log.FirstBad.Reason, log.FirstBad.Object)
	}
	printFindings(w, log.Findings)
	for _, s := range log.Streams {
		fmt.Fprintf(w, "  stream %s/%s epoch %d: %s, numbers %d to %d, %d events, %d deleted, signed for to %d %s\n",
			printable(s.Org), printable(s.Gateway), s.Epoch, s.Verdict, s.FirstSeq, s.LastSeq, s.Events, s.Deleted,
			s.AuthenticatedTo, strings.Join(s.Reasons, " "))
	}
	for _, p := range log.Population {
		day := p.Day
		if day == unknownDay {
			day = "deleted   "
		}
		fmt.Fprintf(w, "  %s  %s/%s  %d events\n", day, printable(p.Org), printable(p.Gateway), p.Events)
	}
}

func printFindings(w io.Writer, found []finding) {
	for i, f := range found {
		if i == findingsPrinted {
			fmt.Fprintf(w, "    and %d more: --json\n", len(found)-i)
			return
		}
		where := f.Object
		if f.Stream != nil {
			where = fmt.Sprintf("%s/%s epoch %d number %d", printable(f.Stream.Org), printable(f.Stream.Gateway), f.Stream.Epoch, f.Seq)
		}
		fmt.Fprintf(w, "    %s at leaf %d: %s (%s)\n", f.Reason, f.Leaf, f.Detail, where)
	}
}

// printable keeps a hostile name from writing to the terminal.
func printable(name string) string {
	quoted := strconv.QuoteToASCII(name)
	if quoted == `"`+name+`"` && name != "" {
		return name
	}
	return quoted
}
