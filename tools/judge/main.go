// Judges what Cairn writes with code that nobody here wrote: golang.org/x/mod/sumdb (note, tlog) and torchwood.
//
//	judge note <vkey> <file>               opens a signed note, prints its text
//	judge proof <vkey> <file>              verifies a tlog-proof whose extra is the entry, prints the leaf hash
//	judge tree <checkpoint> <vkey> <tiles> proves every 997th leaf of a tlog-tiles directory against the checkpoint's root
//
// The exit code is 0 when it holds, else 1.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if len(os.Args) < 4 {
		fail(fmt.Errorf("usage: judge note|proof|tree …"))
	}
	var err error
	switch os.Args[1] {
	case "note":
		err = judgeNote(os.Args[2], os.Args[3])
	case "proof":
		err = judgeProof(os.Args[2], os.Args[3])
	case "tree":
		err = judgeTree(os.Args[2], os.Args[3], os.Args[4])
	default:
		err = fmt.Errorf("%s is none of note, proof, tree", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func judgeNote(vkey, path string) error {
	opened, err := openNote(vkey, path)
	if err != nil {
		return err
	}
	fmt.Print(opened.Text)
	return nil
}

func openNote(vkey, path string) (*note.Note, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return note.Open(bytes, note.VerifierList(verifier))
}

func judgeProof(vkey, path string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	bytes, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	entry, err := torchwood.ProofExtraData(bytes)
	if err != nil {
		return err
	}
	hash := tlog.RecordHash(entry)
	policy := torchwood.ThresholdPolicy(2, torchwood.SingleVerifierPolicy(verifier), torchwood.OriginPolicy(verifier.Name()))
	if err := torchwood.VerifyProof(policy, hash, bytes); err != nil {
		return err
	}
	fmt.Printf("%x\n", hash[:])
	return nil
}

// tiles reads tiles of a directory; tlog verifies them against the tree.
type tiles struct{ directory string }

func (t tiles) Height() int { return 8 }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range wanted {
		bytes, err := os.ReadFile(filepath.Join(t.directory, torchwood.TilePath(tile)))
		if err != nil {
			return nil, err
		}
		read = append(read, bytes)
	}
	return read, nil
}

func judgeTree(checkpoint, vkey, directory string) error {
	opened, err := openNote(vkey, checkpoint)
	if err != nil {
		return err
	}
	parsed, err := torchwood.ParseCheckpoint(opened.Text)
	if err != nil {
		return err
	}
	tree := tlog.Tree{N: parsed.N, Hash: parsed.Hash}
	reader := tlog.TileHashReader(tree, tiles{directory})
	checked := 0
	for index := int64(0); index < tree.N; index += 997 {
		hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return err
		}
		proof, err := tlog.ProveRecord(tree.N, index, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, hashes[0]); err != nil {
			return err
		}
		checked++
	}
	fmt.Printf("%d leaves of %d\n", checked, tree.N)
	return nil
}
