package main

// One log, from its first leaf to its greatest checkpoint (schemas/ledger.md, "A log").

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
)

// logObjects are the objects of one log that are there, by the number in their name.
type logObjects struct {
	name        logName
	checkpoints map[int64]string
	manifests   map[int64]string
	segments    map[string]bool
	tombstones  map[int64]bool
}

// witnessed is a checkpoint of the log that was seen elsewhere.
type witnessed struct {
	checkpoint
	where string
}

type logVerifier struct {
	from    source
	objects *logObjects
	origin  string
	keys    *keyHistory
	schemas map[int64]*schema
	workers *pool
	// isTombstoneAnchored says whether an anchored round holds a tombstone, by the SHA-256 of its note.
	isTombstoneAnchored func(hash) bool
	progress            func(leaves int64)

	found    findings // of the log and its streams
	own      map[string]int64
	watch    *streamWatch
	roots    map[int64]hash
	sizes    []int64 // of roots, rising
	size     int64
	root     hash
	tree     *compactRange // nil behind a range whose nodes nobody can give
	next     int64         // leaf at which the next manifest must begin
	previous hash
	lost     string // reason for which the manifest of next did not count
	proven   int64
	waiting  int64 // leaves that wait for a checkpoint to prove them
	deleted  int64
}

// verifyLog reads one log through and judges it and its streams.
func (v *logVerifier) verifyLog(seen []witnessed) logReport {
	v.own, v.roots, v.tree, v.root = map[string]int64{}, map[int64]hash{}, &compactRange{}, emptyRoot
	v.watch = newStreamWatch(&v.found, false)
	v.readCheckpoints()
	for _, first := range slices.Sorted(maps.Keys(v.objects.manifests)) {
		m := v.readManifest(first)
		if m == nil {
			continue
		}
		v.judgeInner(m)
		if !v.readSegment(m) {
			for i := range m.streams {
				v.watch.resume(&m.streams[i], m.first, m.end-1)
			}
		}
		v.next, v.previous = m.end, m.sha256
	}
	if v.next < v.size {
		v.skipTo(v.size)
	}
	for _, s := range seen {
		v.compareWitnessed(s)
	}
	streams, population := v.watch.end()
	if v.found.count == nil {
		v.found.count = map[string]int64{}
	}
	return logReport{
		Deleted: v.deleted, Findings: v.found.kept(), FirstBad: v.found.bad, Origin: v.origin, Population: population,
		Proven: v.proven, Reasons: v.found.count, Root: v.root.String(), Size: v.size, Streams: streams, Verdict: worstOf(verdictOf(v.own), streams),
	}
}

// find adds a finding about the log itself.
func (v *logVerifier) find(reason string, leaf int64, object, detail string) {
	v.own[reason]++
	v.found.note(reason, leaf, object, detail)
}

// reasonOf names why a note does not count; form is for what is wrong with it beside its signatures.
func reasonOf(err error, form string) string {
	switch {
	case errors.Is(err, errBadSignature):
		return "bad-signature"
	case errors.Is(err, errNoKey), errors.Is(err, errNotSigned):
		return "unknown-key"
	}
	return form
}

func (v *logVerifier) readCheckpoints() {
	for _, size := range slices.Sorted(maps.Keys(v.objects.checkpoints)) {
		name := v.objects.checkpoints[size]
		read, err := openCheckpoint(v.from, name, v.origin, size, v.keys.at("log", v.origin, size))
		if err != nil {
			v.find(reasonOf(err, "checkpoint-form"), size, name, err.Error())
			continue
		}
		v.roots[size] = read.root
		v.sizes = append(v.sizes, size)
		v.size, v.root = size, read.root
	}
}

// openCheckpoint reads a checkpoint that must be of this log and size, by one of the keys.
func openCheckpoint(from source, name, origin string, size int64, keys []verifierKey) (checkpoint, error) {
	raw, err := readNote(from, name)
	if err != nil {
		return checkpoint{}, err
	}
	read, err := parseNote(raw)
	if err != nil {
		return checkpoint{}, err
	}
	if err := read.open(keys); err != nil {
		return checkpoint{}, err
	}
	c, err := parseCheckpoint(read.text)
	if err == nil && (c.origin != origin || c.size != size) {
		err = fmt.Errorf("it is a checkpoint of %d leaves of %q", c.size, c.origin)
	}
	return c, err
}

// readManifest opens the manifest that begins at first; nil when it is none of the committed log.
func (v *logVerifier) readManifest(first int64) *manifest {
	name := v.objects.manifests[first]
	if first >= v.size {
		v.find("uncommitted", first, name, "a manifest beyond the latest checkpoint")
		return nil
	}
	m, err := v.openManifest(name)
	if err == nil {
		err = m.misplaced(v.objects.name, first)
	}
	if err == nil && first < v.next {
		err = fmt.Errorf("leaf %d belongs to the manifest before it", first)
	}
	if err != nil {
		v.lost = reasonOf(err, "manifest-form")
		v.find(v.lost, first, name, err.Error())
		return nil
	}
	if first > v.next {
		v.skipTo(first)
	} else if m.previous != v.previous {
		v.find("manifest-form", first, name, "it does not name the manifest before it")
	}
	if m.end > v.size {
		v.find("uncommitted", first, name, "a manifest that goes beyond the latest checkpoint")
		return nil
	}
	return m
}

// judgeInner finds checkpoints within a segment: a log has them where segments end and nowhere else.
func (v *logVerifier) judgeInner(m *manifest) {
	from, _ := slices.BinarySearch(v.sizes, m.first+1)
	for _, size := range v.sizes[from:] {
		if size >= m.end {
			return
		}
		v.find("checkpoint-form", size, v.objects.checkpoints[size], "no segment ends at its size")
	}
}

// claimedEnd is what chooses a manifest's keys, before anything of it is believed.
var claimedEnd = regexp.MustCompile(`^\{"end":([0-9]{1,16}),`)

// openManifest believes what a manifest says of its end, by which its keys are chosen, when one of these has signed it.
func (v *logVerifier) openManifest(name string) (*manifest, error) {
	raw, err := readNote(v.from, name)
	if err != nil {
		return nil, err
	}
	read, err := parseNote(raw)
	if err != nil {
		return nil, err
	}
	claimed := claimedEnd.FindStringSubmatch(read.text)
	if claimed == nil {
		return nil, errors.New("it does not begin with its end")
	}
	end, err := strconv.ParseInt(claimed[1], 10, 64)
	if err != nil {
		return nil, err
	}
	if err := read.open(v.keys.at("archive", v.origin, end)); err != nil {
		return nil, err
	}
	m, err := parseManifest(read.text)
	if err != nil {
		return nil, err
	}
	m.sha256 = sha256.Sum256(raw)
	return m, nil
}

// skipTo passes leaves that no manifest accounts for.
func (v *logVerifier) skipTo(first int64) {
	reason := "missing"
	if v.lost == "unknown-key" {
		reason = "history-missing"
	}
	v.find(reason, v.next, v.objects.name.noteName("manifest", v.next),
		fmt.Sprintf("no manifest accounts for leaves %d to %d", v.next, first-1))
	v.lost = ""
	v.tree = nil
	v.next = first
	v.watch.interrupt()
}

// readSegment judges the segment of a manifest, and says whether its streams have been moved on.
func (v *logVerifier) readSegment(m *manifest) bool {
	name := v.objects.name.noteName("manifest", m.first)
	if signed, ok := v.roots[m.end]; ok && signed != m.root {
		v.find("manifest-mismatch", m.first, name, "its root is not the signed one")
	}
	var missing []string
	for _, o := range m.objects {
		if !v.objects.segments[o.key] {
			missing = append(missing, o.key)
		}
	}
	if len(missing) == len(m.objects) && v.isDeleted(m) {
		v.join(m)
		v.deleted += m.end - m.first
		v.find("deleted", m.first, v.objects.name.noteName("tombstone", m.first), fmt.Sprintf("leaves %d to %d were deleted under policy", m.first, m.end-1))
		for i := range m.streams {
			v.watch.placeDeleted(&m.streams[i], m.first)
		}
		return true
	}
	if len(missing) > 0 {
		v.find("missing", m.first, missing[0], "it is not there, and no tombstone accounts for it")
		v.join(m)
		return false
	}
	return v.readLeaves(m)
}

// isDeleted judges the tombstone of a segment of which no object is there.
func (v *logVerifier) isDeleted(m *manifest) bool {
	if !v.objects.tombstones[m.first] {
		return false
	}
	name := v.objects.name.noteName("tombstone", m.first)
	keys := v.keys.at("archive", v.origin, m.end)
	raw, text, err := openText(v.from, name, keys)
	if err == nil {
		var t *tombstone
		if t, err = parseTombstone(text); err == nil {
			err = t.misfits(m)
		}
	}
	if err != nil {
		v.find(reasonOf(err, "tombstone-form"), m.first, name, err.Error())
		return false
	}
	digest := hash(sha256.Sum256(raw))
	if !v.isTombstoneAnchored(digest) {
		v.find("tombstone-late", m.first, name, "the tombstone is in no anchored round")
	}
	v.judgeDeletion(m, digest, keys)
	return true
}

// judgeDeletion looks at the note that says what the store answered. It is not there when the deletion was interrupted.
func (v *logVerifier) judgeDeletion(m *manifest, tombstone hash, keys []verifierKey) {
	name := v.objects.name.deletionName(m.first)
	_, text, err := openText(v.from, name, keys)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		var d *deletion
		d, err = parseDeletion(text)
		if err == nil && (d.origin != v.origin || d.first != m.first || d.tombstone != tombstone) {
			err = errors.New("it is of another tombstone")
		}
	}
	if err != nil {
		v.find(reasonOf(err, "tombstone-form"), m.first, name, err.Error())
	}
}

func openText(from source, name string, keys []verifierKey) ([]byte, string, error) {
	raw, err := readNote(from, name)
	if err != nil {
		return nil, "", err
	}
	read, err := parseNote(raw)
	if err != nil {
		return nil, "", err
	}
	return raw, read.text, read.open(keys)
}

// readLeaves reads the objects of a segment, which are all there, and says whether its rows are the leaves.
func (v *logVerifier) readLeaves(m *manifest) bool {
	name := v.objects.name.noteName("manifest", m.first)
	facts := newSegmentFacts(m.first, len(m.objects))
	altered, harm := v.readObjects(m, facts)
	for _, key := range altered {
		v.find("object-altered", m.first, key, "its size or SHA-256 is not the manifest's")
	}
	read := m.first + facts.count
	if harm != nil {
		v.find(harm.reason, min(read, m.end-1), harm.object, harm.detail)
		v.findPiece(m, facts.tree.pieces, read)
		v.join(m)
		return false
	}
	facts.tree.closePiece()
	v.waiting += facts.count
	if led := v.goOn(m.end, facts.tree.whole.hashes()); led == leadsAstray {
		v.waiting = 0
		v.findPiece(m, facts.tree.pieces, read)
		v.join(m)
		return false
	}
	if wrong := append(v.wrongSchemas(m), m.differs(facts)...); len(wrong) > 0 {
		v.find("manifest-mismatch", m.first, name, fmt.Sprintf("not so of its segment: %v", wrong))
	}
	return true
}

func (v *logVerifier) wrongSchemas(m *manifest) []string {
	var wrong []string
	for i, o := range m.objects {
		if s := v.schemas[o.schema]; s != nil && (s.sha256 != o.schemaSHA256 || hex.EncodeToString(s.crc64[:]) != o.crc64) {
			wrong = append(wrong, fmt.Sprintf("objects[%d].schema", i))
		}
	}
	return wrong
}

// harm is the damage that ended the reading of a segment.
type harm struct {
	damage
	object string
}

// readObjects gives the rows of a segment's objects, merged by offset, to the facts and the streams. Every object is
// hashed to its end whatever is found.
func (v *logVerifier) readObjects(m *manifest, facts *segmentFacts) (altered []string, found *harm) {
	merged := &merge{}
	for _, o := range m.objects {
		want := container{origin: v.origin, first: m.first, end: m.end, schema: v.schemas[o.schema], schemaHash: o.schemaSHA256}
		if want.schema != nil {
			want.schemaHash = want.schema.sha256
		}
		file, err := v.from.open(o.key)
		if err != nil {
			file = unreadable{err}
		}
		merged.add(v.workers, file, want, o.key)
	}
	var watched *gatewayWatch
	var latest *streamRange
	leaf := m.first
	for {
		r, object, hurt := merged.next()
		if hurt == nil && r != nil && leaf == m.end {
			hurt = &harm{*formDamage("it holds more rows than its range"), m.objects[object].key}
		}
		if hurt == nil && r == nil && leaf < m.end {
			hurt = &harm{*formDamage("it holds fewer rows than its range"), m.objects[0].key}
		}
		if hurt == nil && r != nil && facts.count > 0 && r.offset <= facts.offsets.most {
			hurt = &harm{damage{"datum-form", "the row's offset does not rise"}, m.objects[object].key}
		}
		if hurt != nil || r == nil {
			found = hurt
			break
		}
		latest = facts.add(r, object, latest)
		watched = v.watch.place(r, leaf, watched)
		leaf++
	}
	v.progress(facts.count)
	for i, ended := range merged.end(v.workers) {
		if ended.size != m.objects[i].size || ended.sha256 != m.objects[i].sha256 {
			altered = append(altered, m.objects[i].key)
		}
	}
	return altered, found
}

type led int

const (
	leadsTo led = iota
	leadsAstray
	leadsNowhere // there is nothing signed to lead to, or the tree is not known
)

// goOn takes the tree on to end, if the nodes lead to the root that is signed there.
func (v *logVerifier) goOn(end int64, nodes []hash) led {
	if v.tree == nil {
		return leadsNowhere
	}
	tree := v.tree.clone()
	if !tree.addNodes(end, nodes) {
		return leadsAstray
	}
	signed, ok := v.roots[end]
	if !ok {
		v.find("missing", end, v.objects.name.noteName("checkpoint", end), "the checkpoint at a segment's end is not there")
	} else if tree.root() != signed {
		return leadsAstray
	}
	v.tree = tree
	if !ok {
		return leadsNowhere
	}
	v.proven += v.waiting
	v.waiting = 0
	return leadsTo
}

// join goes on from the nodes that a manifest names.
func (v *logVerifier) join(m *manifest) {
	if v.goOn(m.end, m.nodes) == leadsAstray {
		v.find("root-mismatch", m.first, v.objects.name.noteName("manifest", m.first),
			"the nodes of its manifest do not lead to the signed root")
		v.tree = nil
	}
}

// findPiece names the first piece that was read whole and is not as the manifest has it.
func (v *logVerifier) findPiece(m *manifest, pieces []hash, read int64) {
	first := m.first
	for i, piece := range pieces {
		end := min((first/pieceLeaves+1)*pieceLeaves, m.end)
		if end > read {
			break
		}
		if i >= len(m.pieces) || m.pieces[i] != piece {
			v.find("root-mismatch", first, m.objects[0].key, fmt.Sprintf("leaves %d to %d do not lead to the signed root", first, end-1))
			return
		}
		first = end
	}
	if read == m.end {
		v.find("root-mismatch", m.first, m.objects[0].key, "the leaves do not lead to the signed root")
	}
}

// compareWitnessed holds the log to a checkpoint that was seen elsewhere.
func (v *logVerifier) compareWitnessed(s witnessed) {
	name := v.objects.name.noteName("checkpoint", s.size)
	known, ok := v.roots[s.size]
	switch {
	case s.size > v.size:
		v.find("rollback", v.size, name, fmt.Sprintf("%s has a checkpoint of %d leaves", s.where, s.size))
	case s.size == 0:
	case !ok:
		v.find("missing", s.size, name, s.where+" has a checkpoint of this size, the log has none")
	case known != s.root:
		v.find("split-view", s.size, name, s.where+" has another root of this size")
	}
}
