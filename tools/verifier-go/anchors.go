package main

// The anchor log: anchor/entries/<first>.bin holds notes, each behind its length in two bytes; anchor/checkpoint/<size>.note
// signs for them.

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	roundEntriesMax = 65_536
	roundBytesMax   = 64 << 20
)

type anchorLog struct {
	report      anchorReport
	found       findings
	checkpoints map[string][]witnessed // by origin
	tombstones  map[hash]bool          // SHA-256 of the notes
}

type anchorReader struct {
	from    source
	keys    *keyHistory
	origin  string
	log     *anchorLog
	roots   map[int64]hash
	tree    compactRange
	pending []func() // what counts once a checkpoint covers it
	round   int64    // first leaf of the round that is read
	broken  bool
}

// readAnchors reads the anchor log: all of it, or of a bundle what its proofs lead to.
func readAnchors(from source, objects []objectName, keys *keyHistory) *anchorLog {
	log := &anchorLog{checkpoints: map[string][]witnessed{}, tombstones: map[hash]bool{}}
	log.report.Root = emptyRoot.String()
	log.report.Cosignatures, log.report.Timestamps = []cosignatureReport{}, []timestampReport{}
	r := &anchorReader{from: from, keys: keys, origin: keys.deployment + "/anchors", log: log, roots: map[int64]hash{}}
	slices.SortFunc(objects, func(a, b objectName) int {
		return cmp.Or(cmp.Compare(a.number, b.number), strings.Compare(a.name, b.name))
	})
	r.readCheckpoints(objects)
	if slices.ContainsFunc(objects, func(o objectName) bool { return o.kind == "proof" }) {
		r.readProofs(objects)
	} else {
		r.readEntries(objects)
		r.demandEntries()
	}
	log.report.Findings, log.report.Verdict = log.found.kept(), log.found.verdict()
	return log
}

// readCheckpoints opens the anchor checkpoints, and what witnesses and time authorities added to them.
func (r *anchorReader) readCheckpoints(objects []objectName) {
	for _, o := range objects {
		switch o.kind {
		case "anchor":
			c, err := openCheckpoint(r.from, o.name, r.origin, o.number, r.keys.at("anchor", r.origin, o.number))
			if err != nil {
				r.log.found.note(reasonOf(err, "checkpoint-form"), o.number, o.name, err.Error())
				continue
			}
			r.roots[o.number] = c.root
		case "cosigned":
			r.readCosigned(o)
		case "timestamp":
			// RFC 3161 tokens are CMS: `openssl ts -verify` judges them.
			r.log.report.Timestamps = append(r.log.report.Timestamps, timestampReport{o.by, o.number, "", notVerifiable})
		}
	}
}

// readCosigned verifies a witness's cosignature; the checkpoint's own signature is verified as well.
func (r *anchorReader) readCosigned(o objectName) {
	read, at, err := note{}, uint64(0), errNoKey
	if _, openErr := openCheckpoint(r.from, o.name, r.origin, o.number, r.keys.at("anchor", r.origin, o.number)); openErr != nil {
		err = openErr
	} else if raw, readErr := readNote(r.from, o.name); readErr == nil {
		read, _ = parseNote(raw)
		err = errNoKey
		for _, witness := range r.keys.at("witness", r.origin, o.number) {
			if at, err = read.cosignedAt(witness); err == nil || errors.Is(err, errBadSignature) {
				break
			}
		}
	}
	verdict := intact
	if err != nil {
		reason := reasonOf(err, "checkpoint-form")
		verdict = verdictOf(map[string]int64{reason: 1})
		// One that nobody here can judge takes nothing away.
		if verdict == broken {
			r.log.found.note(reason, o.number, o.name, err.Error())
		}
	}
	r.log.report.Cosignatures = append(r.log.report.Cosignatures, cosignatureReport{o.number, at, verdict, o.by})
}

func (r *anchorReader) readEntries(objects []objectName) {
	for _, o := range objects {
		if o.kind != "entries" || r.broken {
			continue
		}
		r.round = r.tree.end
		if o.number != r.tree.end {
			r.stop("missing", fmt.Sprintf("entries %d to %d are not there", r.tree.end, o.number-1))
			return
		}
		if err := r.readRound(o.name); err != nil {
			r.stop("segment-form", err.Error())
			return
		}
		// Entries behind the greatest checkpoint are a round that was not committed.
		root, ok := r.roots[r.tree.end]
		if !ok {
			continue
		}
		if r.tree.root() != root {
			r.stop("root-mismatch", fmt.Sprintf("entries up to %d do not lead to the signed root", r.tree.end-1))
			return
		}
		r.log.report.Size, r.log.report.Root = r.tree.end, root.String()
		for _, count := range r.pending {
			count()
		}
		r.pending = nil
	}
}

// demandEntries wants the entries of every checkpoint.
func (r *anchorReader) demandEntries() {
	greatest := int64(0)
	for size := range r.roots {
		greatest = max(greatest, size)
	}
	if !r.broken && r.log.report.Size < greatest {
		r.round = r.tree.end
		r.stop("missing", fmt.Sprintf("entries %d to %d are not there", r.tree.end, greatest-1))
	}
}

// stop ends the reading: what was not proven by now does not count.
func (r *anchorReader) stop(reason, detail string) {
	r.broken = true
	r.log.found.note(reason, r.round, fmt.Sprintf("anchor/entries/%020d.bin", r.round), detail)
}

// readRound reads the entries of a round, once all of it can be cut into them.
func (r *anchorReader) readRound(name string) error {
	file, err := r.from.open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, roundBytesMax+1))
	if err != nil {
		return err
	}
	entries, err := roundEntries(raw)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := r.readEntry(entry, r.tree.end); err != nil {
			r.log.found.note(reasonOf(err, "checkpoint-form"), r.tree.end, name, err.Error())
		}
		r.tree.add(0, leafHash(entry))
	}
	return nil
}

// roundEntries cuts a round into its entries.
func roundEntries(raw []byte) ([][]byte, error) {
	if len(raw) == 0 || len(raw) > roundBytesMax {
		return nil, fmt.Errorf("the round has no entry or more than %d bytes", roundBytesMax)
	}
	var entries [][]byte
	for at := 0; at < len(raw); {
		if len(entries) == roundEntriesMax {
			return nil, fmt.Errorf("the round has more than %d entries", roundEntriesMax)
		}
		if at+2 > len(raw) {
			return nil, errors.New("the entries end within a length")
		}
		end := at + 2 + int(binary.BigEndian.Uint16(raw[at:]))
		if end > len(raw) {
			return nil, errors.New("the entries end within an entry")
		}
		entries = append(entries, raw[at+2:end])
		at = end
	}
	return entries, nil
}

// readEntry reads a tombstone, or a checkpoint that one of its log's keys signed.
func (r *anchorReader) readEntry(raw []byte, leaf int64) error {
	read, err := parseNote(raw)
	if err != nil {
		return err
	}
	if strings.HasPrefix(read.text, "{") {
		digest := hash(sha256.Sum256(raw))
		r.pending = append(r.pending, func() { r.log.tombstones[digest] = true })
		return nil
	}
	c, err := parseCheckpoint(read.text)
	if err != nil {
		return err
	}
	if err := read.open(r.keys.at("log", c.origin, c.size)); err != nil {
		return err
	}
	where := fmt.Sprintf("entry %d of the anchor log", leaf)
	r.pending = append(r.pending, func() {
		r.log.checkpoints[c.origin] = append(r.log.checkpoints[c.origin], witnessed{c, where})
	})
	return nil
}
