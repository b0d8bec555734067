package main

// Known answers, made by other tools: schemas/vectors.

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "schemas", "vectors", name))
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestTheReleasedSchemasAreThoseOfTheRepository(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "schemas", "history", "*.avsc"))
	if err != nil || len(files) == 0 {
		t.Fatal("no released schemas", err)
	}
	for _, file := range append(files, filepath.Join("..", "..", "schemas", "registry.json")) {
		theirs, err := os.ReadFile(file)
		ours, ourErr := releasedSchemas.ReadFile("schemas/" + filepath.Base(file))
		if err != nil || ourErr != nil || string(theirs) != string(ours) {
			t.Errorf("%s differs: run go generate (%v, %v)", file, err, ourErr)
		}
	}
	if _, err := loadSchemas(); err != nil {
		t.Error(err)
	}
}

func TestEventsOfFastavroPassTheWalkAndHaveTheirLeafHashes(t *testing.T) {
	var vectors struct {
		Events []struct {
			Name, Datum, Entry string
			LeafHash           string `json:"leaf_hash"`
			SignedBytes        string `json:"signed_bytes"`
		}
	}
	readVectors(t, "event.json", &vectors)
	schemas, err := loadSchemas()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors.Events {
		datum := unhex(t, v.Datum)
		var e event
		if n, err := schemas[1].walk(datum, &e); err != nil || n != len(datum) {
			t.Errorf("%s: %d of %d bytes, %v", v.Name, n, len(datum), err)
		}
		entry := slices.Concat([]byte{0xc3, 0x01}, schemas[1].crc64[:], datum)
		if hex.EncodeToString(entry) != v.Entry || leafHash(entry).String() != v.LeafHash {
			t.Errorf("%s: entry or leaf hash differs", v.Name)
		}
		for at := range datum {
			if n, err := schemas[1].walk(datum[:at], &e); err == nil {
				t.Errorf("%s: cut at %d it passes as %d bytes", v.Name, at, n)
			}
		}
	}
}

func TestRootsAreThoseOfGolangOrgXMod(t *testing.T) {
	var vectors struct {
		Origin, Vkey, Checkpoint string
		Roots                    map[string]string
	}
	readVectors(t, "ledger-go.json", &vectors)
	greatest, roots := int64(0), map[int64]string{}
	for size, root := range vectors.Roots {
		n, err := parseDecimal(size)
		if err != nil {
			t.Fatal(err)
		}
		roots[n], greatest = root, max(greatest, n)
	}
	tree := &compactRange{}
	for i := range greatest {
		tree.add(0, leafHash(fmt.Appendf(nil, "event-%d", i)))
		if want, ok := roots[i+1]; ok && tree.root().String() != want {
			t.Errorf("root of %d is %s", i+1, tree.root())
		}
	}
	key, err := parseVerifierKey(vectors.Vkey)
	if err != nil {
		t.Fatal(err)
	}
	read, err := parseNote([]byte(vectors.Checkpoint))
	if err != nil || read.open([]verifierKey{key}) != nil {
		t.Errorf("the checkpoint does not open: %v", err)
	}
	if c, err := parseCheckpoint(read.text); err != nil || c.origin != vectors.Origin || c.root.String() != roots[c.size] {
		t.Errorf("checkpoint %+v, %v", c, err)
	}
}

func TestAnArchiveWrittenByPythonIsIntact(t *testing.T) {
	var vectors struct {
		RootVkey   string            `json:"root_vkey"`
		LeafHashes []string          `json:"leaf_hashes"`
		Objects    map[string]string `json:"objects"`
	}
	readVectors(t, "ledger.json", &vectors)
	bucket := bucketInMemory{}
	for name, text := range vectors.Objects {
		bucket[name] = unhex(t, text)
	}
	key, err := parseVerifierKey(vectors.RootVkey)
	if err != nil {
		t.Fatal(err)
	}
	r, err := verifyBucket(bucket, settings{rootKey: &key, progress: func(string, int64) {}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != intact || r.Logs[0].Proven != int64(len(vectors.LeafHashes)) {
		t.Errorf("verdict %s, reasons %v, proven %d", r.Verdict, reasonsOf(r), r.Logs[0].Proven)
	}
}

func TestAnyCutOfARangeLeadsToTheSameRoot(t *testing.T) {
	leaves := make([]hash, 700)
	for i := range leaves {
		leaves[i] = leafHash(fmt.Appendf(nil, "leaf %d", i))
	}
	whole := &compactRange{}
	for _, leaf := range leaves {
		whole.add(0, leaf)
	}
	for step := 1; step < len(leaves); step += 7 {
		joined := &compactRange{}
		for first := 0; first < len(leaves); first += step {
			part := newRangeTree(int64(first))
			for _, leaf := range leaves[first:min(first+step, len(leaves))] {
				part.add(leaf)
			}
			part.closePiece()
			if !joined.addNodes(part.end, part.whole.hashes()) {
				t.Fatalf("the nodes of [%d, %d) are not as many as they must be", first, part.end)
			}
		}
		if joined.root() != whole.root() {
			t.Fatalf("cut every %d leaves the root differs", step)
		}
	}
}

func TestJSONThatIsNotCanonicalIsRefused(t *testing.T) {
	for _, text := range []string{`{"a":1,"b":[true,null,"é\n\u001f"]}`, `{}`, `[-1,0]`} {
		if _, err := parseCanonical(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		`{"b":1,"a":1}`, `{"a":1,"a":1}`, `{"a": 1}`, `[1.0]`, `[01]`, `[1e3]`, `[-2]`, `["\u00e9"]`, `["\/"]`, `[-0]`, `{} `,
		`[9007199254740992]`, "[\"\xff\"]", `["\ud800"]`, `["\u001F"]`, `{}{}`, ``,
	} {
		if _, err := parseCanonical(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
