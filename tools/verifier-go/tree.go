package main

// The Merkle tree of RFC 6962, section 2.1: leaf SHA-256(00 | entry), node SHA-256(01 | left | right).

import (
	"crypto/sha256"
	"encoding/hex"
	"math/bits"
)

type hash [sha256.Size]byte

func (h hash) String() string { return hex.EncodeToString(h[:]) }

func hashFromHex(text string) (hash, bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != sha256.Size || hex.EncodeToString(raw) != text {
		return hash{}, false
	}
	return hash(raw), true
}

const pieceLeaves = 256

var emptyRoot = hash(sha256.Sum256(nil))

func leafHash(entry []byte) hash {
	return sha256.Sum256(append([]byte{0}, entry...))
}

func nodeHash(left, right *hash) hash {
	var both [1 + 2*sha256.Size]byte
	both[0] = 1
	copy(both[1:], left[:])
	copy(both[1+sha256.Size:], right[:])
	return sha256.Sum256(both[:])
}

// subtree is the root of the complete subtree of 2^level leaves.
type subtree struct {
	level int
	root  hash
}

// compactRange holds the fewest complete aligned subtrees of the leaves [first, end), from left to right.
type compactRange struct {
	first, end int64
	nodes      []subtree
}

// add appends a complete subtree of 2^level leaves, which must be aligned at end.
func (r *compactRange) add(level int, root hash) {
	r.end += 1 << level
	node := subtree{level, root}
	for len(r.nodes) > 0 {
		left := r.nodes[len(r.nodes)-1]
		start := r.end - 1<<(node.level+1)
		if left.level != node.level || start&(1<<(node.level+1)-1) != 0 {
			break
		}
		node = subtree{node.level + 1, nodeHash(&left.root, &node.root)}
		r.nodes = r.nodes[:len(r.nodes)-1]
	}
	r.nodes = append(r.nodes, node)
}

// addNodes joins the nodes of [r.end, end); false, and r unchanged, when there are not as many as that range has.
func (r *compactRange) addNodes(end int64, nodes []hash) bool {
	levels := rangeLevels(r.end, end)
	if len(levels) != len(nodes) {
		return false
	}
	for i, level := range levels {
		r.add(level, nodes[i])
	}
	return true
}

func (r *compactRange) clone() *compactRange {
	return &compactRange{r.first, r.end, append([]subtree(nil), r.nodes...)}
}

// root folds from the right; the range must begin at 0 to be the root of a log.
func (r *compactRange) root() hash {
	if len(r.nodes) == 0 {
		return emptyRoot
	}
	root := r.nodes[len(r.nodes)-1].root
	for i := len(r.nodes) - 2; i >= 0; i-- {
		root = nodeHash(&r.nodes[i].root, &root)
	}
	return root
}

func (r *compactRange) hashes() []hash {
	hashes := make([]hash, len(r.nodes))
	for i, node := range r.nodes {
		hashes[i] = node.root
	}
	return hashes
}

// rangeLevels gives the levels of the nodes of [first, end): from first on, the largest aligned subtree that fits.
func rangeLevels(first, end int64) []int {
	var levels []int
	for at := first; at < end; {
		level := bits.Len64(uint64(end-at)) - 1
		if at != 0 {
			level = min(level, bits.TrailingZeros64(uint64(at)))
		}
		levels = append(levels, level)
		at += 1 << level
	}
	return levels
}

// rangeTree takes leaves one by one and keeps the compact range and the pieces of [first, end).
type rangeTree struct {
	end    int64
	whole  compactRange
	piece  compactRange // the leaves of the piece alone, counted from 0
	pieces []hash
}

func newRangeTree(first int64) *rangeTree {
	return &rangeTree{end: first, whole: compactRange{first: first, end: first}}
}

func (t *rangeTree) add(leaf hash) {
	t.piece.add(0, leaf)
	if t.startsInside() {
		t.whole.add(0, leaf)
	}
	t.end++
	if t.end%pieceLeaves == 0 {
		t.closePiece()
	}
}

// startsInside says that the current piece does not begin at a multiple of 256, so that its nodes are not the tree's.
func (t *rangeTree) startsInside() bool {
	return len(t.pieces) == 0 && t.whole.first%pieceLeaves != 0
}

// closePiece ends the current piece, at a multiple of 256 and at the end of the range.
func (t *rangeTree) closePiece() {
	if t.piece.end == 0 {
		return
	}
	if !t.startsInside() {
		for _, node := range t.piece.nodes {
			t.whole.add(node.level, node.root)
		}
	}
	t.pieces = append(t.pieces, t.piece.root())
	t.piece = compactRange{nodes: t.piece.nodes[:0]}
}
