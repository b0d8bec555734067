package main

// Manifests, tombstones and deletions: what a segment holds, that it may go, and that it went.

import (
	"errors"
	"fmt"
	"slices"
)

type manifestObject struct {
	key          string
	schema       int64
	leaves, size int64
	sha256       hash
	schemaSHA256 hash
	crc64        string
	versionID    string
}

// streamRange is what a segment has of one stream.
type streamRange struct {
	org, gateway      string
	epoch             int64
	events            int64
	firstSeq, lastSeq int64
	link, head        hash
	sealedTo          int64
	closed, whole     bool
}

type span struct{ least, most int64 }

type manifest struct {
	first, end          int64
	origin              string
	nodes, pieces       []hash
	objects             []manifestObject
	offsets             span // of the first and the last leaf
	received, timestamp span
	previous, root      hash
	until               int64
	class               string
	streams             []streamRange
	sha256              hash // of the whole note
}

func parseManifest(text string) (*manifest, error) {
	m, err := parseStatement(text, "cairn/manifest")
	if err != nil {
		return nil, err
	}
	read := &manifest{
		first: m.number("first", 0), end: m.number("end", 1), origin: m.text("origin"),
		nodes: m.hashes("nodes"), pieces: m.hashes("pieces"), previous: m.hash("previous"), root: m.hash("root"),
	}
	for _, item := range m.list("objects") {
		o := membersOf(item)
		read.objects = append(read.objects, manifestObject{
			key: o.text("key"), schema: o.number("schema", 1), leaves: o.number("leaves", 1), size: o.number("size", 1),
			sha256: o.hash("sha256"), schemaSHA256: o.hash("schema_sha256"), crc64: o.text("crc64"), versionID: o.text("version_id"),
		})
		m.take(o)
	}
	readSpan := func(name, least, most string) span {
		o := m.object(name)
		s := span{o.number(least, 0), o.number(most, 0)}
		m.take(o)
		return s
	}
	read.offsets = readSpan("offsets", "first", "last")
	read.received = readSpan("received", "min", "max")
	read.timestamp = readSpan("timestamps", "min", "max")
	retention := m.object("retention")
	read.class, read.until = retention.text("class"), retention.number("until", 0)
	mode := retention.text("mode")
	retention.text("policy")
	m.take(retention)
	for _, item := range m.list("streams") {
		o := membersOf(item)
		read.streams = append(read.streams, streamRange{
			org: o.text("org"), gateway: o.text("gateway"), epoch: o.number("epoch", 0), events: o.number("events", 1),
			firstSeq: o.number("first_seq", 0), lastSeq: o.number("last_seq", 0), link: o.hash("link"), head: o.hash("head"),
			sealedTo: o.number("sealed_to", -1), closed: o.boolean("closed"), whole: o.boolean("whole"),
		})
		m.take(o)
	}
	if err := m.done(); err != nil {
		return nil, err
	}
	if mode != "COMPLIANCE" && mode != "GOVERNANCE" && mode != "NONE" || (mode == "NONE") != (read.until == 0) {
		return nil, errors.New("a retention that is none")
	}
	if len(read.objects) == 0 || len(read.streams) == 0 {
		return nil, errors.New("no objects or no streams")
	}
	return read, nil
}

// misplaced says how a manifest breaks its place: a segment begins at first, ends by the next multiple of 65,536 and has
// its objects by rising schema under their names.
func (m *manifest) misplaced(l logName, first int64) error {
	if m.origin != l.origin() || m.first != first {
		return errors.New("it is of another log or segment")
	}
	if m.end <= m.first || m.end > (m.first/segmentLeaves+1)*segmentLeaves {
		return errors.New("its range is no segment's")
	}
	last := int64(0)
	for _, o := range m.objects {
		if o.schema <= last || o.key != l.segmentName(m.first, o.schema) {
			return errors.New("its objects are not in order or not under their names")
		}
		last = o.schema
	}
	return nil
}

// differs names what a manifest says of its segment that is not so.
func (m *manifest) differs(f *segmentFacts) []string {
	var wrong []string
	compare := func(what string, equal bool) {
		if !equal {
			wrong = append(wrong, what)
		}
	}
	compare("nodes", slices.Equal(m.nodes, f.tree.whole.hashes()))
	compare("pieces", slices.Equal(m.pieces, f.tree.pieces))
	compare("offsets", m.offsets == f.offsets)
	compare("received", m.received == f.received)
	compare("timestamps", m.timestamp == f.timestamp)
	for i, o := range m.objects {
		compare(fmt.Sprintf("objects[%d].leaves", i), o.leaves == f.leaves[i])
	}
	compare("streams", len(m.streams) == len(f.streams))
	for i := range min(len(m.streams), len(f.streams)) {
		compare(fmt.Sprintf("streams[%d]", i), m.streams[i] == *f.streams[i])
	}
	return wrong
}

type tombstone struct {
	manifest   hash
	first, end int64
	origin     string
	nodes      []hash
	root       hash
	decidedAt  int64
	until      int64
	keys       []string
}

func parseTombstone(text string) (*tombstone, error) {
	m, err := parseStatement(text, "cairn/tombstone")
	if err != nil {
		return nil, err
	}
	read := &tombstone{
		decidedAt: m.number("decided_at", 0), first: m.number("first", 0), end: m.number("end", 1),
		manifest: m.hash("manifest_sha256"), nodes: m.hashes("nodes"), origin: m.text("origin"), root: m.hash("root"),
	}
	m.text("decided_by")
	holds := m.object("holds")
	holds.number("checked", 0)
	holds.number("checked_at", 0)
	holds.hash("sha256")
	m.take(holds)
	for _, item := range m.list("objects") {
		o := membersOf(item)
		read.keys = append(read.keys, o.text("key"))
		for _, version := range o.list("version_ids") {
			if _, ok := version.(string); !ok {
				o.fail("version_ids", "holds something else than texts")
			}
		}
		m.take(o)
	}
	policy := m.object("policy")
	policy.text("class")
	read.until = policy.number("until", 0)
	policy.text("version")
	m.take(policy)
	return read, m.done()
}

// misfits says how a tombstone does not belong to its manifest.
func (t *tombstone) misfits(m *manifest) error {
	keys := make([]string, len(m.objects))
	for i, o := range m.objects {
		keys[i] = o.key
	}
	switch {
	case t.origin != m.origin || t.first != m.first || t.end != m.end:
		return errors.New("it is of another segment")
	case t.manifest != m.sha256 || t.root != m.root || !slices.Equal(t.nodes, m.nodes) || !slices.Equal(t.keys, keys):
		return errors.New("it is of another manifest")
	case t.until < m.until || t.decidedAt < t.until:
		return errors.New("it was decided before the retention's end")
	}
	return nil
}

type deletion struct {
	first     int64
	origin    string
	tombstone hash
}

func parseDeletion(text string) (*deletion, error) {
	m, err := parseStatement(text, "cairn/deletion")
	if err != nil {
		return nil, err
	}
	read := &deletion{first: m.number("first", 0), origin: m.text("origin"), tombstone: m.hash("tombstone_sha256")}
	m.boolean("absent")
	m.number("deleted_at", 0)
	for _, item := range m.list("answers") {
		o := membersOf(item)
		o.text("answer")
		o.text("key")
		o.text("version_id")
		m.take(o)
	}
	return read, m.done()
}
