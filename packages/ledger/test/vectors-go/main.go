// Writes schemas/vectors/ledger-go.json with golang.org/x/mod/sumdb/note and tlog, so that the vectors owe nothing to the
// code they judge.
//
//	cd packages/ledger/test/vectors-go && go run . > ../../../../schemas/vectors/ledger-go.json
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "audit.example/audit.events.standard/0"

var sizes = []int64{1, 2, 3, 7, 8, 255, 256, 257, 1000}

type proof struct {
	Index  int64    `json:"index"`
	Size   int64    `json:"size"`
	Hashes []string `json:"hashes"`
}

type consistency struct {
	From   int64    `json:"from"`
	To     int64    `json:"to"`
	Hashes []string `json:"hashes"`
}

// The log of the entries "event-0", "event-1" and so on.
type memory struct{ hashes []tlog.Hash }

func (m *memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for at, index := range indexes {
		found[at] = m.hashes[index]
	}
	return found, nil
}

// A signer of a seed; note keeps its keys in its own text form.
func signerOf(name string, first byte) (note.Signer, string) {
	seed := make([]byte, ed25519.SeedSize)
	for at := range seed {
		seed[at] = first + byte(at)
	}
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	vkey := must(note.NewEd25519VerifierKey(name, public))
	verifier := must(note.NewVerifier(vkey))
	private := fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, verifier.KeyHash(),
		base64.StdEncoding.EncodeToString(append([]byte{1}, seed...)))
	return must(note.NewSigner(private)), vkey
}

func main() {
	log := &memory{}
	roots := map[int64]string{}
	for index := int64(0); index < 1000; index++ {
		hashes := must(tlog.StoredHashes(index, []byte(fmt.Sprintf("event-%d", index)), log))
		log.hashes = append(log.hashes, hashes...)
	}
	for _, size := range sizes {
		roots[size] = hexOf(must(tlog.TreeHash(size, log)))
	}
	var inclusion []proof
	var trees []consistency
	for _, size := range sizes {
		for _, index := range []int64{0, size / 3, size - 1} {
			made := must(tlog.ProveRecord(size, index, log))
			inclusion = append(inclusion, proof{index, size, hexesOf(made)})
		}
		for _, from := range sizes {
			if from <= size {
				made := must(tlog.ProveTree(size, from, log))
				trees = append(trees, consistency{from, size, hexesOf(made)})
			}
		}
	}
	signer, vkey := signerOf(origin, 7)
	checkpoint := tlog.FormatTree(tlog.Tree{N: 1000, Hash: must(tlog.TreeHash(1000, log))})
	// FormatTree writes Go's own origin; ours stands in its place.
	text := origin + string(checkpoint[len("go.sum database tree"):])
	signed := must(note.Sign(&note.Note{Text: text}, signer))
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	check(encoder.Encode(map[string]any{
		"roots": roots, "inclusion": inclusion, "consistency": trees,
		"origin": origin, "vkey": vkey, "checkpoint": string(signed),
	}))
}

func hexOf(hash tlog.Hash) string { return hex.EncodeToString(hash[:]) }

func hexesOf(hashes []tlog.Hash) []string {
	texts := []string{}
	for _, hash := range hashes {
		texts = append(texts, hexOf(hash))
	}
	return texts
}

func must[Value any](value Value, err error) Value {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
