package main

// Proofs that a bundle brings instead of the whole anchor log: C2SP tlog-proof files.
//
//	c2sp.org/tlog-proof@v1 | extra base64(note) | index decimal | base64 hashes, upward | empty line | checkpoint

import (
	"errors"
	"fmt"
	"strings"
)

const proofHashesMax = 63

type inclusionProof struct {
	entry []byte // `extra`
	index int64
	path  []hash
	note  []byte // the checkpoint
}

func parseProof(raw []byte) (*inclusionProof, error) {
	head, checkpoint, ok := strings.Cut(string(raw), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || len(lines) > 3+proofHashesMax || lines[0] != "c2sp.org/tlog-proof@v1" {
		return nil, errors.New("it is no tlog-proof")
	}
	extra, hasExtra := strings.CutPrefix(lines[1], "extra ")
	position, hasIndex := strings.CutPrefix(lines[2], "index ")
	entry, entryErr := decodeBase64(extra)
	index, indexErr := parseDecimal(position)
	if err := errors.Join(entryErr, indexErr); err != nil || !hasExtra || !hasIndex {
		return nil, errors.New("the proof has no entry or index")
	}
	proof := &inclusionProof{entry: entry, index: index, note: []byte(checkpoint)}
	for _, line := range lines[3:] {
		step, err := decodeBase64(line)
		if err != nil || len(step) != len(hash{}) {
			return nil, errors.New("the proof holds a line that is no hash")
		}
		proof.path = append(proof.path, hash(step))
	}
	return proof, nil
}

// rootOf climbs from a leaf to the root of size leaves (RFC 9162, section 2.1.3.2).
func (p *inclusionProof) rootOf(size int64) (hash, bool) {
	if p.index >= size {
		return hash{}, false
	}
	at, last, climbed := p.index, size-1, leafHash(p.entry)
	for _, sibling := range p.path {
		if last == 0 {
			return hash{}, false
		}
		if at&1 == 1 || at == last {
			climbed = nodeHash(&sibling, &climbed)
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		} else {
			climbed = nodeHash(&climbed, &sibling)
		}
		at, last = at>>1, last>>1
	}
	return climbed, last == 0
}

// readProofs believes a checkpoint that a proof leads to an anchor checkpoint, in place of the entries.
func (r *anchorReader) readProofs(objects []objectName) {
	for _, o := range objects {
		if o.kind != "proof" {
			continue
		}
		if err := r.readProof(o); err != nil {
			r.log.found.note(reasonOf(err, "root-mismatch"), o.number, o.name, err.Error())
		}
	}
	for _, count := range r.pending {
		count()
	}
	r.pending = nil
}

func (r *anchorReader) readProof(o objectName) error {
	raw, err := readNote(r.from, o.name)
	if err != nil {
		return err
	}
	proof, err := parseProof(raw)
	if err != nil {
		return err
	}
	c, err := r.openAnchor(proof.note)
	if err != nil {
		return err
	}
	if known, ok := r.roots[c.size]; ok && known != c.root {
		return errors.New("the anchor checkpoint of this size has another root")
	}
	if root, ok := proof.rootOf(c.size); !ok || root != c.root {
		return fmt.Errorf("entry %d does not lead to the signed root", proof.index)
	}
	if err := r.readEntry(proof.entry, proof.index); err != nil {
		return err
	}
	if c.size > r.log.report.Size {
		r.log.report.Size, r.log.report.Root = c.size, c.root.String()
	}
	return nil
}

func (r *anchorReader) openAnchor(raw []byte) (checkpoint, error) {
	read, err := parseNote(raw)
	if err != nil {
		return checkpoint{}, err
	}
	c, err := parseCheckpoint(read.text)
	if err != nil {
		return checkpoint{}, err
	}
	if c.origin != r.origin {
		return checkpoint{}, errors.New("it is no checkpoint of the anchor log")
	}
	return c, read.open(r.keys.at("anchor", r.origin, c.size))
}
