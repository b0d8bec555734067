package main

// A whole bucket: the key history, the anchor log, and every log that it or the anchor log names.

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

type settings struct {
	rootKey       *verifierKey
	keyNotes      [][]byte // of the auditor, instead of the bucket's
	kept          []witnessed
	expectAnchors bool
	progress      func(origin string, leaves int64)
}

func verifyBucket(from source, s settings) (*report, error) {
	schemas, err := loadSchemas()
	if err != nil {
		return nil, err
	}
	objects, ignored := sortNames(from.names(), false)
	keys, r, err := readKeys(from, objects, s)
	if err != nil {
		return nil, err
	}
	r.ignored = ignored
	for i := range objects {
		objects[i].log.deployment = keys.deployment
	}
	anchors := readAnchors(from, objects, keys)
	r.Anchors = anchors.report
	workers := newPool(keys)
	defer workers.close()
	logs := gatherLogs(objects, keys, anchors, s.kept)
	for _, origin := range slices.SortedFunc(maps.Keys(logs), func(a, b string) int { return compareLogs(logs[a].name, logs[b].name) }) {
		v := &logVerifier{
			from: from, objects: logs[origin], origin: origin, keys: keys, schemas: schemas, workers: workers,
			isTombstoneAnchored: func(digest hash) bool { return anchors.tombstones[digest] },
			progress:            func(leaves int64) { s.progress(origin, leaves) },
		}
		r.Logs = append(r.Logs, v.verifyAnchored(anchors.checkpoints[origin], s))
	}
	r.conclude()
	return r, nil
}

// verifyAnchored compares a log with what the anchor log and the auditor hold of it.
func (v *logVerifier) verifyAnchored(anchored []witnessed, s settings) logReport {
	seen := slices.Clone(anchored)
	for _, kept := range s.kept {
		if kept.origin == v.origin {
			seen = append(seen, kept)
		}
	}
	to := int64(0)
	for _, one := range anchored {
		to = max(to, one.size)
	}
	read := v.verifyLog(seen)
	read.AnchoredTo = to
	if s.expectAnchors && to < read.Size {
		v.find("not-anchored", to, "", fmt.Sprintf("leaves from %d on are below no anchor checkpoint", to))
		read.Findings, read.Verdict = v.found.kept(), worstOf(verdictOf(v.own), read.Streams)
	}
	return read
}

// sortNames reads the names of objects; those of other forms, and of a bucket those that only bundles have, are ignored and
// counted.
func sortNames(names []string, inBundle bool) (objects []objectName, ignored int) {
	for _, name := range names {
		read, ok := parseObjectName(name, "")
		if !ok || (!inBundle && slices.Contains(bundleKinds, read.kind)) {
			ignored++
			continue
		}
		objects = append(objects, read)
	}
	return objects, ignored
}

var bundleKinds = []string{"leaves", "events", "tree", "proof"}

func readKeys(from source, objects []objectName, s settings) (*keyHistory, *report, error) {
	notes := s.keyNotes
	var found findings
	if notes == nil {
		statements := map[int64]string{}
		for _, o := range objects {
			if o.kind == "key" {
				statements[o.number] = o.name
			}
		}
		for number := int64(0); number < int64(len(statements)); number++ {
			name, ok := statements[number]
			if !ok {
				found.note("key-form", number, fmt.Sprintf("key/%020d.note", number), "the statement is not there, and others follow it")
				break
			}
			raw, err := readNote(from, name)
			if err != nil {
				return nil, nil, err
			}
			notes = append(notes, raw)
		}
	}
	keys, err := readKeyHistory(notes, s.rootKey)
	if keys == nil {
		return nil, nil, err
	}
	if err != nil {
		number := int64(keys.statements)
		reason := "key-form"
		if errors.Is(err, errBadSignature) {
			reason = "bad-signature"
		}
		found.note(reason, number, fmt.Sprintf("key/%020d.note", number), err.Error())
	}
	r := &report{
		Deployment: keys.deployment, Kind: "cairn/verdict", V: 1, Logs: []logReport{},
		Keys: keysReport{found.kept(), keys.statements, found.verdict()},
	}
	return keys, r, nil
}

// gatherLogs finds every log that objects, anchored or kept checkpoints name.
func gatherLogs(objects []objectName, keys *keyHistory, anchors *anchorLog, kept []witnessed) map[string]*logObjects {
	logs := map[string]*logObjects{}
	of := func(name logName) *logObjects {
		log := logs[name.origin()]
		if log == nil {
			log = &logObjects{
				name: name, checkpoints: map[int64]string{}, manifests: map[int64]string{}, segments: map[string]bool{},
				tombstones: map[int64]bool{},
			}
			logs[name.origin()] = log
		}
		return log
	}
	for _, o := range objects {
		switch o.kind {
		case "segment":
			of(o.log).segments[o.name] = true
		case "manifest":
			of(o.log).manifests[o.number] = o.name
		case "checkpoint":
			of(o.log).checkpoints[o.number] = o.name
		case "tombstone":
			of(o.log).tombstones[o.number] = true
		}
	}
	for origin := range anchors.checkpoints {
		if name, ok := parseOrigin(origin, keys.deployment); ok {
			of(name)
		}
	}
	for _, one := range kept {
		if name, ok := parseOrigin(one.origin, keys.deployment); ok {
			of(name)
		}
	}
	return logs
}

func parseOrigin(origin, deployment string) (logName, bool) {
	if !isOriginOf(origin, deployment) {
		return logName{}, false
	}
	parts := strings.Split(origin, "/")
	partition, _ := parseDecimal(parts[2])
	return logName{deployment, parts[1], partition}, true
}

func compareLogs(a, b logName) int {
	return cmp.Or(strings.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
}
