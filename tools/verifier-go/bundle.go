package main

// An evidence bundle: the events of one organisation, the leaf hashes of every segment that holds one of them, and what
// leads from these to a signed and anchored root (schemas/ledger.md, "Evidence bundle").

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

type bundleStatement struct {
	org      string
	from, to int64
	members  []tarMember
}

func parseBundle(text string) (*bundleStatement, error) {
	m, err := parseStatement(text, "cairn/bundle")
	if err != nil {
		return nil, err
	}
	read := &bundleStatement{org: m.text("org"), from: m.number("from", 0), to: m.number("to", 0)}
	m.number("created_at", 0)
	m.get("query")
	for _, item := range m.list("members") {
		o := membersOf(item)
		read.members = append(read.members, tarMember{name: o.text("name"), sha256: o.hash("sha256"), size: o.number("size", 0)})
		m.take(o)
	}
	return read, m.done()
}

func verifyBundle(path string, s settings) (*report, error) {
	schemas, err := loadSchemas()
	if err != nil {
		return nil, err
	}
	file, tarErr := openTar(path)
	if file == nil {
		return nil, tarErr
	}
	defer file.file.Close()
	objects, _ := sortNames(file.names(), true)
	keys, r, err := readKeys(file, objects, s)
	if err != nil {
		return nil, err
	}
	for i := range objects {
		objects[i].log.deployment = keys.deployment
	}
	var found findings
	if tarErr != nil {
		found.note("bundle-form", 0, "", tarErr.Error())
	}
	statement := judgeMembers(file, keys, &found)
	r.Bundle = &bundleReport{From: statement.from, Org: statement.org, To: statement.to}
	anchors := readAnchors(file, objects, keys)
	r.Anchors = anchors.report
	workers := newPool(keys)
	defer workers.close()
	logs := gatherBundled(objects)
	for _, name := range slices.SortedFunc(maps.Keys(logs), compareLogs) {
		v := &bundleVerifier{
			from: file, log: logs[name], name: name, org: statement.org, keys: keys, schemas: schemas, workers: workers, own: map[string]int64{},
		}
		r.Logs = append(r.Logs, v.verify(anchors.checkpoints[name.origin()], s))
	}
	r.Bundle.Findings, r.Bundle.Verdict = found.kept(), found.verdict()
	r.conclude()
	return r, nil
}

// judgeMembers holds every member to what bundle.note, which is the first, says of it.
func judgeMembers(file *tarFile, keys *keyHistory, found *findings) *bundleStatement {
	const name = "bundle.note"
	statement := &bundleStatement{}
	_, text, err := openText(file, name, keys.archiveKeys())
	if err == nil {
		var read *bundleStatement
		if read, err = parseBundle(text); err == nil {
			statement = read
		}
	}
	if err != nil {
		found.note(reasonOf(err, "bundle-form"), 0, name, err.Error())
		return statement
	}
	others := file.members
	if len(others) == 0 || others[0].name != name {
		found.note("bundle-form", 0, name, "it is not the first member")
	} else {
		others = others[1:]
	}
	for i, listed := range statement.members {
		if i >= len(others) || others[i].name != listed.name {
			found.note("bundle-form", 0, listed.name, "the member is not in its place")
			return statement
		}
		if others[i].size != listed.size || others[i].sha256 != listed.sha256 {
			found.note("bundle-form", 0, listed.name, "the member's size or SHA-256 is not that of bundle.note")
		}
	}
	if len(others) > len(statement.members) {
		found.note("bundle-form", 0, others[len(statement.members)].name, "bundle.note does not name the member")
	}
	return statement
}

// bundledLog is what a bundle has of one log.
type bundledLog struct {
	checkpoints map[int64]string
	trees       map[int64]string
	leaves      map[int64]string
	events      map[int64][]string
}

func gatherBundled(objects []objectName) map[logName]*bundledLog {
	logs := map[logName]*bundledLog{}
	for _, o := range objects {
		if o.log.topic == "" {
			continue
		}
		log := logs[o.log]
		if log == nil {
			log = &bundledLog{map[int64]string{}, map[int64]string{}, map[int64]string{}, map[int64][]string{}}
			logs[o.log] = log
		}
		switch o.kind {
		case "checkpoint":
			log.checkpoints[o.number] = o.name
		case "tree":
			log.trees[o.number] = o.name
		case "leaves":
			log.leaves[o.number] = o.name
		case "events":
			log.events[o.number] = append(log.events[o.number], o.name)
		}
	}
	return logs
}

type bundleVerifier struct {
	from    source
	log     *bundledLog
	name    logName
	org     string
	keys    *keyHistory
	schemas map[int64]*schema
	workers *pool

	found  findings
	own    map[string]int64
	watch  *streamWatch
	roots  map[int64]hash
	size   int64
	root   hash
	proven int64
}

func (v *bundleVerifier) find(reason string, leaf int64, object, detail string) {
	v.own[reason]++
	v.found.note(reason, leaf, object, detail)
}

func (v *bundleVerifier) verify(anchored []witnessed, s settings) logReport {
	origin := v.name.origin()
	v.roots, v.root = map[int64]hash{}, emptyRoot
	for _, size := range slices.Sorted(maps.Keys(v.log.checkpoints)) {
		name := v.log.checkpoints[size]
		c, err := openCheckpoint(v.from, name, origin, size, v.keys.at("log", origin, size))
		if err != nil {
			v.find(reasonOf(err, "checkpoint-form"), size, name, err.Error())
			continue
		}
		v.roots[size], v.size, v.root = c.root, size, c.root
	}
	firsts := slices.Sorted(maps.Keys(v.log.trees))
	v.watch = newStreamWatch(&v.found, len(firsts) == 0 || firsts[0] > 0)
	v.watch.isExcerpt = true
	for _, first := range firsts {
		v.verifySegment(first)
	}
	for first := range v.log.events {
		if v.log.trees[first] == "" {
			v.find("missing", first, v.log.events[first][0], "nothing leads from these events to a root")
		}
	}
	anchoredTo := v.compareAnchored(anchored, s)
	streams, population := v.watch.end()
	if v.found.count == nil {
		v.found.count = map[string]int64{}
	}
	return logReport{
		AnchoredTo: anchoredTo, Findings: v.found.kept(), FirstBad: v.found.bad, Origin: origin, Population: population,
		Proven: v.proven, Reasons: v.found.count, Root: v.root.String(), Size: v.size, Streams: streams, Verdict: worstOf(verdictOf(v.own), streams),
	}
}

// compareAnchored demands that every checkpoint of the log is an entry of the anchor log.
func (v *bundleVerifier) compareAnchored(anchored []witnessed, s settings) int64 {
	to := int64(0)
	covered := map[int64]bool{}
	for _, one := range anchored {
		to = max(to, one.size)
		covered[one.size] = true
	}
	for _, kept := range s.kept {
		if kept.origin == v.name.origin() {
			anchored = append(anchored, kept)
		}
	}
	for _, one := range anchored {
		if known, ok := v.roots[one.size]; ok && known != one.root {
			v.find("split-view", one.size, v.log.checkpoints[one.size], one.where+" has another root of this size")
		}
	}
	for _, size := range slices.Sorted(maps.Keys(v.roots)) {
		if !covered[size] {
			v.find("not-anchored", size, v.log.checkpoints[size], "the checkpoint is no entry of the anchor log")
		}
	}
	return to
}

// bundledTree leads from the leaves of a segment to the root of size.
type bundledTree struct {
	first, end, size int64
	before, after    []hash
}

func (v *bundleVerifier) readTree(first int64) (*bundledTree, error) {
	raw, err := readNote(v.from, v.log.trees[first])
	if err != nil {
		return nil, err
	}
	line, ok := strings.CutSuffix(string(raw), "\n")
	value, err := parseCanonical(line)
	if err == nil && !ok {
		err = errors.New("it does not end with a newline")
	}
	if err != nil {
		return nil, err
	}
	m := membersOf(value)
	t := &bundledTree{
		first: m.number("first", 0), end: m.number("end", 1), size: m.number("size", 1), before: m.hashes("before"), after: m.hashes("after"),
	}
	if err := m.done(); err != nil {
		return nil, err
	}
	if t.first != first || t.end <= first || t.end > t.size || t.end > (first/segmentLeaves+1)*segmentLeaves {
		return nil, errors.New("its range is no segment's")
	}
	return t, nil
}

func (v *bundleVerifier) verifySegment(first int64) {
	t, err := v.readTree(first)
	if err != nil {
		v.find("root-mismatch", first, v.log.trees[first], err.Error())
		return
	}
	leaves, err := v.readLeaves(t)
	if err != nil {
		v.find("root-mismatch", first, v.log.leaves[first], err.Error())
		return
	}
	names := v.log.events[first]
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(schemaOfName(a), schemaOfName(b)) })
	if len(names) == 0 {
		v.find("missing", first, v.log.trees[first], "the segment's events are not there")
		return
	}
	v.readEvents(t, leaves, names)
}

// readLeaves reads the leaf hashes of a segment and leads them to the signed root.
func (v *bundleVerifier) readLeaves(t *bundledTree) ([]byte, error) {
	signed, ok := v.roots[t.size]
	if !ok {
		return nil, fmt.Errorf("there is no checkpoint of %d leaves", t.size)
	}
	file, err := v.from.open(v.log.leaves[t.first])
	if err != nil {
		return nil, err
	}
	defer file.Close()
	leaves, err := io.ReadAll(io.LimitReader(file, segmentLeaves*int64(len(hash{}))+1))
	if err != nil || int64(len(leaves)) != (t.end-t.first)*int64(len(hash{})) {
		return nil, errors.New("it does not hold the hash of every leaf")
	}
	tree := &compactRange{}
	if !tree.addNodes(t.first, t.before) {
		return nil, errors.New("the nodes before it are not those of their range")
	}
	for at := 0; at < len(leaves); at += len(hash{}) {
		tree.add(0, hash(leaves[at:]))
	}
	if !tree.addNodes(t.size, t.after) {
		return nil, errors.New("the nodes behind it are not those of their range")
	}
	if tree.root() != signed {
		return nil, errors.New("the leaves do not lead to the signed root")
	}
	return leaves, nil
}

// readEvents holds each event to the leaf at its index, and places it in its stream.
func (v *bundleVerifier) readEvents(t *bundledTree, leaves []byte, names []string) {
	merged := &merge{}
	for _, name := range names {
		want := container{origin: v.name.origin(), first: t.first, end: t.end, proven: true, schema: v.schemas[schemaOfName(name)]}
		if want.schema != nil {
			want.schemaHash = want.schema.sha256
		}
		file, err := v.from.open(name)
		if err != nil {
			file = unreadable{err}
		}
		merged.add(v.workers, file, want, name)
	}
	last := t.first - 1
	var watched *gatewayWatch
	for {
		r, object, hurt := merged.next()
		if hurt != nil {
			v.find(hurt.reason, last+1, hurt.object, hurt.detail)
			break
		}
		if r == nil {
			break
		}
		leaf := r.leafIndex
		if leaf <= last || leaf >= t.end {
			v.find("datum-form", max(last, t.first), names[object], "the row's leaf does not rise, or is not in its range")
			break
		}
		last = leaf
		if at := (leaf - t.first) * int64(len(hash{})); r.leaf != hash(leaves[at:]) {
			v.find("root-mismatch", leaf, names[object], "the event is not the leaf at its index")
		} else {
			v.proven++
		}
		if string(r.event.org) != v.org {
			v.find("bundle-form", leaf, names[object], "the event is of another organisation")
		}
		watched = v.watch.place(r, leaf, watched)
	}
	merged.end(v.workers)
}

// schemaOfName gives the schema's id in the name of a container.
func schemaOfName(name string) int64 {
	digits := strings.TrimSuffix(name[strings.LastIndexByte(name, '-')+1:], ".avro")
	id, _ := strconv.ParseInt(digits, 10, 64)
	return id
}
