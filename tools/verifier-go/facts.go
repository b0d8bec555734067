package main

// What a segment's rows say of it, to be compared with what its manifest says.

type segmentFacts struct {
	tree                *rangeTree
	count               int64
	leaves              []int64 // of each object
	offsets             span
	received, timestamp span
	streams             []*streamRange
	byStream            map[streamKey]*streamRange
}

type streamKey struct {
	org, gateway string
	epoch        int64
}

func newSegmentFacts(first int64, objects int) *segmentFacts {
	return &segmentFacts{
		tree: newRangeTree(first), leaves: make([]int64, objects), byStream: map[streamKey]*streamRange{},
	}
}

// add takes the next row, of this object, and gives what the segment has of its stream up to it. latest is the range of
// the row before, which most rows share.
func (f *segmentFacts) add(r *row, object int, latest *streamRange) *streamRange {
	f.tree.add(r.leaf)
	f.leaves[object]++
	if f.count == 0 {
		f.offsets.least = r.offset
		f.received, f.timestamp = span{r.received, r.received}, span{r.event.timestamp, r.event.timestamp}
	}
	f.count++
	f.offsets.most = r.offset
	f.received.include(r.received)
	f.timestamp.include(r.event.timestamp)

	e := &r.event
	in := latest
	if in == nil || in.epoch != e.epoch || in.gateway != string(e.gateway) || in.org != string(e.org) {
		in = f.byStream[streamKey{string(e.org), string(e.gateway), e.epoch}]
	}
	switch {
	case in == nil:
		in = &streamRange{
			org: string(e.org), gateway: string(e.gateway), epoch: e.epoch,
			firstSeq: e.seq, link: hash(e.prevHash), sealedTo: -1, whole: true,
		}
		f.streams = append(f.streams, in)
		f.byStream[streamKey{in.org, in.gateway, in.epoch}] = in
	case e.seq != in.lastSeq+1 || hash(e.prevHash) != in.head:
		in.whole = false
	}
	in.events++
	in.lastSeq, in.head, in.closed = e.seq, r.leaf, r.isClose
	if e.signature != nil {
		in.sealedTo = e.seq
	}
	return in
}

func (s *span) include(value int64) {
	s.least, s.most = min(s.least, value), max(s.most, value)
}
