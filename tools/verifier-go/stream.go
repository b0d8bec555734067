package main

// Streams: every event of a log placed after the one before in its stream (schemas/ledger.md, "A stream").

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	rememberedMax  = 1_024
	holesMax       = 1_024
	openTailMax    = 256
	silenceMicros  = 60_000_000
	millisOfDay    = 86_400_000
	secondsOfDay   = 86_400
	unknownDay     = ""
	genesisSpelled = "audit-genesis/v1\n"
)

func genesisHash(org, gateway string, epoch int64, before hash) hash {
	text := fmt.Appendf(nil, "%s%s\n%s\n", genesisSpelled, org, gateway)
	text = binary.BigEndian.AppendUint64(text, uint64(epoch))
	return sha256.Sum256(append(text, before[:]...))
}

// streamWatch judges all streams of one log.
type streamWatch struct {
	found     *findings
	isPartial bool // leaves before the next are not known: what begins now may have begun there
	isExcerpt bool // of a bundle, which nobody asked for what was before
	gateways  map[gatewayKey]*gatewayWatch
}

type gatewayKey struct{ org, gateway string }

type gatewayWatch struct {
	org, gateway string
	isPartial    bool
	current      *epochWatch
	epochs       []*epochWatch // all of them, in order of appearance
	unsettled    *epochWatch   // the one before, while nothing authentic has named its end
	remembered   [rememberedMax]memory
	days         map[int64]int64 // events by day since 1970
	day          int64           // of the row before; its events are not yet in days
	dayEvents    int64
	deleted      int64
}

// memory is the hash of a number of the current epoch, at its number modulo 1,024.
type memory struct {
	isKnown bool
	seq     int64
	hash    hash
}

// hole is the numbers [from, to) that are missing, seen when leaf came.
type hole struct{ from, to, leaf int64 }

// epochWatch is one stream: its last event, what is missing of it and what is not yet signed for.
type epochWatch struct {
	report        streamReport
	reasons       map[string]int64
	lastHash      hash
	lastLeaf      int64
	lastMicros    int64
	isTimed       bool // lastMicros is the last event's; of deleted ones it is not known
	isInterrupted bool // what came after the last event is not known
	silence       int64
	unsealed      int64
	holes         []hole
}

func newStreamWatch(found *findings, isPartial bool) *streamWatch {
	return &streamWatch{found: found, isPartial: isPartial, gateways: map[gatewayKey]*gatewayWatch{}}
}

func (w *streamWatch) gatewayOf(org, gateway []byte) *gatewayWatch {
	g := w.gateways[gatewayKey{string(org), string(gateway)}]
	if g == nil {
		g = &gatewayWatch{org: string(org), gateway: string(gateway), isPartial: w.isPartial, days: map[int64]int64{}}
		w.gateways[gatewayKey{g.org, g.gateway}] = g
	}
	return g
}

// interrupt says that the leaves up to the next that is placed are not known.
func (w *streamWatch) interrupt() {
	w.isPartial = true
	for _, g := range w.gateways {
		g.isPartial = true
		if g.current != nil {
			g.current.isInterrupted = true
		}
	}
}

// place judges the event of a leaf. latest is the gateway of the row before, which most rows share.
func (w *streamWatch) place(r *row, leaf int64, latest *gatewayWatch) *gatewayWatch {
	e := &r.event
	g := latest
	if g == nil || g.gateway != string(e.gateway) || g.org != string(e.org) {
		g = w.gatewayOf(e.org, e.gateway)
	}
	g.countDay(r.received)
	switch stream := g.current; {
	case stream == nil || e.epoch > stream.report.Epoch:
		w.open(g, e.epoch, e.seq, hash(e.prevHash), r.isOpen, leaf)
	case e.epoch < stream.report.Epoch:
		w.goBack(g, e.epoch, e.seq, leaf).report.Events++
		return g
	case e.seq <= stream.report.LastSeq:
		stream.report.Events++
		w.turnBack(g, stream, e.seq, r.leaf, leaf)
		return g
	default:
		w.follow(g, stream, e.seq, hash(e.prevHash), leaf)
		if stream.report.Closed {
			w.find(g, stream, "after-close", leaf, e.seq, "the stream was closed")
		}
	}
	w.advance(g, g.current, r, leaf)
	return g
}

// open begins a higher epoch, which names the end of the one before.
func (w *streamWatch) open(g *gatewayWatch, epoch, seq int64, previous hash, isOpenKind bool, leaf int64) {
	before := g.current
	stream := g.begin(epoch, seq, leaf)
	isLinked := seq == 0 && w.judgeOpeningLink(g, before, stream, previous, leaf)
	if before != nil {
		w.closeHoles(g, before)
		g.unsettled = before
		if !isLinked {
			w.settle(g, false)
		}
	}
	g.current = stream
	g.remembered = [rememberedMax]memory{}
	switch {
	case seq == 0 && isOpenKind:
	case g.isPartial && w.isExcerpt:
	case g.isPartial:
		w.find(g, stream, "history-missing", leaf, seq, "what was before is not known here")
	default:
		w.find(g, stream, "not-opened", leaf, seq, "its first event is not its opening")
		if seq > 0 {
			stream.holes = append(stream.holes, hole{0, seq, leaf})
		}
	}
	g.isPartial = false
}

func (w *streamWatch) judgeOpeningLink(g *gatewayWatch, before, stream *epochWatch, previous hash, leaf int64) bool {
	epoch := stream.report.Epoch
	namesNone := previous == genesisHash(g.org, g.gateway, epoch, hash{})
	switch {
	case before != nil && previous == genesisHash(g.org, g.gateway, epoch, before.lastHash):
		return true
	case before == nil && !namesNone && !g.isPartial:
		w.find(g, stream, "unlinked-epoch", leaf, 0, "the epoch that it names is not in this log")
	case before == nil:
	case namesNone:
		w.find(g, stream, "unlinked-epoch", leaf, 0, "it does not name the epoch before")
	case before.isInterrupted:
		w.find(g, stream, "history-missing", leaf, 0, "the end of the epoch before is not known here")
	default:
		w.find(g, stream, "link", leaf, 0,
			fmt.Sprintf("it does not name leaf %d, the end of epoch %d", before.lastLeaf, before.report.Epoch))
	}
	return false
}

func (g *gatewayWatch) begin(epoch, seq, leaf int64) *epochWatch {
	stream := &epochWatch{
		report: streamReport{
			Org: g.org, Gateway: g.gateway, Epoch: epoch, FirstSeq: seq, LastSeq: seq, AuthenticatedTo: -1,
		},
		reasons:  map[string]int64{},
		lastLeaf: leaf,
	}
	g.epochs = append(g.epochs, stream)
	return stream
}

// settle decides on the end of the epoch before: the opening that names it is authentic, or it stays as it was.
func (w *streamWatch) settle(g *gatewayWatch, isNamed bool) {
	before := g.unsettled
	g.unsettled = nil
	switch {
	case before == nil:
	case isNamed:
		before.report.AuthenticatedTo = before.report.LastSeq
	case before.unsealed > 0:
		w.find(g, before, "unsealed-tail", before.lastLeaf, before.report.LastSeq,
			fmt.Sprintf("%d events are not signed for, and nothing authentic names them", before.unsealed))
	}
}

// follow judges what has a higher number than the last.
func (w *streamWatch) follow(g *gatewayWatch, stream *epochWatch, seq int64, previous hash, leaf int64) {
	switch {
	case stream.isInterrupted:
		stream.isInterrupted, g.isPartial = false, false
		w.find(g, stream, "history-missing", leaf, seq,
			fmt.Sprintf("what followed number %d is not known here", stream.report.LastSeq))
	case seq > stream.report.LastSeq+1:
		stream.holes = append(stream.holes, hole{stream.report.LastSeq + 1, seq, leaf})
		if len(stream.holes) > holesMax {
			w.findGap(g, stream, stream.holes[0])
			stream.holes = slices.Delete(stream.holes, 0, 1)
		}
	case previous != stream.lastHash:
		w.find(g, stream, "link", leaf, seq, fmt.Sprintf("it does not name leaf %d, the event before it", stream.lastLeaf))
	}
}

// advance makes an event the last of its stream.
func (w *streamWatch) advance(g *gatewayWatch, stream *epochWatch, r *row, leaf int64) {
	e := &r.event
	stream.report.LastSeq, stream.lastHash, stream.lastLeaf = e.seq, r.leaf, leaf
	stream.report.Events++
	stream.report.Closed = r.isClose
	stream.unsealed++
	g.remembered[slotOf(e.seq)] = memory{true, e.seq, r.leaf}
	if stream.isTimed {
		stream.silence = max(stream.silence, e.timestamp-stream.lastMicros)
	}
	stream.lastMicros, stream.isTimed = e.timestamp, true
	switch r.signed {
	case signatureValid:
		stream.report.AuthenticatedTo, stream.unsealed = e.seq, 0
	case signatureFalse:
		w.find(g, stream, "bad-signature", leaf, e.seq, "its signature does not verify")
	case signatureUnknownKey:
		// Said once for each epoch: every seal of it is by the same key.
		if stream.reasons["unknown-key"] == 0 {
			w.find(g, stream, "unknown-key", leaf, e.seq, "the history has no such key of this gateway for this epoch")
		}
	}
	if g.unsettled != nil {
		w.settle(g, r.signed == signatureValid)
	}
}

// slotOf is where a number is remembered. A hostile row may have one below zero.
func slotOf(seq int64) int64 { return (seq%rememberedMax + rememberedMax) % rememberedMax }

// turnBack judges what has a number that is not above the last.
func (w *streamWatch) turnBack(g *gatewayWatch, stream *epochWatch, seq int64, head hash, leaf int64) {
	switch {
	case stream.fill(seq):
		w.find(g, stream, "order", leaf, seq, fmt.Sprintf("it stands behind number %d", stream.report.LastSeq))
	case g.remembered[slotOf(seq)] == memory{true, seq, head}:
		w.find(g, stream, "repeated", leaf, seq, "the same event stands twice")
	default:
		w.find(g, stream, "fork", leaf, seq, "its number was taken")
	}
}

// fill takes a number out of the hole in which it is.
func (s *epochWatch) fill(seq int64) bool {
	at := slices.IndexFunc(s.holes, func(h hole) bool { return h.from <= seq && seq < h.to })
	if at < 0 {
		return false
	}
	whole := s.holes[at]
	var rest []hole
	if whole.from < seq {
		rest = append(rest, hole{whole.from, seq, whole.leaf})
	}
	if seq+1 < whole.to {
		rest = append(rest, hole{seq + 1, whole.to, whole.leaf})
	}
	s.holes = slices.Replace(s.holes, at, at+1, rest...)
	return true
}

// goBack judges what belongs to an epoch below the current one.
func (w *streamWatch) goBack(g *gatewayWatch, epoch, seq, leaf int64) *epochWatch {
	at := slices.IndexFunc(g.epochs, func(s *epochWatch) bool { return s.report.Epoch == epoch })
	if at < 0 {
		g.begin(epoch, seq, leaf)
		at = len(g.epochs) - 1
	}
	w.find(g, g.epochs[at], "fork", leaf, seq, "an epoch that was left goes on")
	return g.epochs[at]
}

// placeDeleted goes on over what a deleted segment had of a stream, as its manifest says.
func (w *streamWatch) placeDeleted(r *streamRange, leaf int64) {
	g := w.gatewayOf([]byte(r.org), []byte(r.gateway))
	g.deleted += r.events
	switch stream := g.current; {
	case stream == nil || r.epoch > stream.report.Epoch:
		w.open(g, r.epoch, r.firstSeq, r.link, true, leaf)
		w.settle(g, r.sealedTo >= 0)
	case r.epoch < stream.report.Epoch:
		w.goBack(g, r.epoch, r.firstSeq, leaf).report.Deleted += r.events
		return
	case r.firstSeq <= stream.report.LastSeq:
		w.find(g, stream, "fork", leaf, r.firstSeq, "a deleted segment begins at a number that was taken")
	default:
		w.follow(g, stream, r.firstSeq, r.link, leaf)
	}
	stream := g.current
	if !r.whole {
		w.find(g, stream, "gap", leaf, r.firstSeq, "the deleted events were no unbroken chain")
	}
	stream.reasons["deleted"]++
	stream.report.Deleted += r.events
	stream.unsealed += r.events
	if r.sealedTo >= 0 {
		stream.report.AuthenticatedTo, stream.unsealed = r.sealedTo, r.lastSeq-r.sealedTo
	}
	g.standAt(r, leaf)
}

// resume goes on from what a manifest says, behind a segment whose own rows cannot be relied on.
// The segment is [first, leaf].
func (w *streamWatch) resume(r *streamRange, first, leaf int64) {
	g := w.gatewayOf([]byte(r.org), []byte(r.gateway))
	switch stream := g.current; {
	case stream == nil || r.epoch > stream.report.Epoch:
		if stream != nil {
			w.closeHoles(g, stream)
		}
		g.current = g.begin(r.epoch, r.firstSeq, leaf)
	case r.epoch < stream.report.Epoch:
		return
	}
	w.closeHoles(g, g.current)
	g.current.unsealed = 0
	g.standAt(r, leaf)
	w.find(g, g.current, "history-missing", first, r.firstSeq,
		fmt.Sprintf("the events to number %d are not known here; its manifest stands for them", r.lastSeq))
}

func (g *gatewayWatch) standAt(r *streamRange, leaf int64) {
	stream := g.current
	stream.report.LastSeq, stream.lastHash, stream.lastLeaf = r.lastSeq, r.head, leaf
	stream.report.Closed = r.closed
	stream.isInterrupted, stream.isTimed = false, false
	g.remembered = [rememberedMax]memory{}
}

func (w *streamWatch) closeHoles(g *gatewayWatch, stream *epochWatch) {
	for _, left := range stream.holes {
		w.findGap(g, stream, left)
	}
	stream.holes = nil
}

func (w *streamWatch) findGap(g *gatewayWatch, stream *epochWatch, left hole) {
	w.find(g, stream, "gap", left.leaf, left.from, fmt.Sprintf("numbers %d to %d are missing", left.from, left.to-1))
}

func (w *streamWatch) find(g *gatewayWatch, stream *epochWatch, reason string, leaf, seq int64, detail string) {
	stream.reasons[reason]++
	w.found.add(finding{
		Reason: reason, Leaf: leaf, Seq: seq, Detail: detail, Stream: &streamName{stream.report.Epoch, g.gateway, g.org},
	})
}

func (g *gatewayWatch) countDay(received int64) {
	if day := received / millisOfDay; day != g.day {
		g.closeDay()
		g.day = day
	}
	g.dayEvents++
}

func (g *gatewayWatch) closeDay() {
	if g.dayEvents > 0 {
		g.days[g.day] += g.dayEvents
		g.dayEvents = 0
	}
}

// end tells what remains open, and gives the streams and the population in their order.
func (w *streamWatch) end() ([]streamReport, []populationEntry) {
	streams, population := []streamReport{}, []populationEntry{}
	keys := slices.SortedFunc(maps.Keys(w.gateways), func(a, b gatewayKey) int {
		return cmp.Or(cmp.Compare(a.org, b.org), cmp.Compare(a.gateway, b.gateway))
	})
	for _, key := range keys {
		g := w.gateways[key]
		w.endCurrent(g)
		slices.SortFunc(g.epochs, func(a, b *epochWatch) int { return cmp.Compare(a.report.Epoch, b.report.Epoch) })
		for _, stream := range g.epochs {
			streams = append(streams, stream.conclude())
		}
		population = append(population, g.population()...)
	}
	return streams, population
}

func (w *streamWatch) endCurrent(g *gatewayWatch) {
	stream := g.current
	if stream == nil {
		return
	}
	switch {
	case stream.unsealed > openTailMax:
		w.find(g, stream, "unsealed-tail", stream.lastLeaf, stream.report.LastSeq,
			fmt.Sprintf("%d events follow the last signature", stream.unsealed))
	case stream.unsealed > 0:
		stream.reasons["open-tail"]++
	}
	w.closeHoles(g, stream)
}

func (s *epochWatch) conclude() streamReport {
	if s.silence > silenceMicros {
		s.reasons["silence"]++
		s.report.SilenceMS = (s.silence + 500) / 1_000
	}
	s.report.Reasons = slices.AppendSeq([]string{}, maps.Keys(s.reasons))
	slices.Sort(s.report.Reasons)
	s.report.Verdict = verdictOf(s.reasons)
	return s.report
}

func (g *gatewayWatch) population() []populationEntry {
	g.closeDay()
	var entries []populationEntry
	if g.deleted > 0 {
		entries = append(entries, populationEntry{unknownDay, g.deleted, g.gateway, g.org})
	}
	for _, day := range slices.Sorted(maps.Keys(g.days)) {
		date := time.Unix(day*secondsOfDay, 0).UTC().Format(time.DateOnly)
		entries = append(entries, populationEntry{date, g.days[day], g.gateway, g.org})
	}
	return entries
}
