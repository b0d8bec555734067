package main

// What is made to deceive or to exhaust, and the parts of the format that few archives use.

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestABlockIsExactlyOneFrameThatHoldsItsSize(t *testing.T) {
	encoder, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	whole := encoder.EncodeAll([]byte("some rows, some rows, some rows"), nil)
	if size, err := contentSize(whole); err != nil || size != 31 {
		t.Fatalf("%d, %v", size, err)
	}
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 0}
	bomb := encoder.EncodeAll(make([]byte, blockBytesMax+1), nil)
	var unsized bytes.Buffer
	writer, err := zstd.NewWriter(&unsized)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := writer.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	for name, frame := range map[string][]byte{
		"two frames": slices.Concat(whole, whole), "a frame and a skippable one": slices.Concat(whole, skippable),
		"a skippable frame": skippable, "more than 16 MiB": bomb, "no size": unsized.Bytes(), "cut short": whole[:len(whole)-1],
		"longer": append(bytes.Clone(whole), 0), "nothing": nil,
	} {
		if _, err := contentSize(frame); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestADatumHasOneSpelling(t *testing.T) {
	w := newWorld(t)
	datum := w.record("seal")
	var e event
	if n, err := w.schema.walk(datum, &e); err != nil || n != len(datum) || string(e.org) != "acme" || e.seq != 0 || len(e.signature) != 64 {
		t.Fatalf("%d, %v, %+v", n, err, e)
	}
	// event_id is 16 bytes; then org_id's length, its four letters, kind.
	spelled := func(at, until int, with ...byte) []byte { return slices.Concat(datum[:at], with, datum[until:]) }
	for name, other := range map[string][]byte{
		"a length in two bytes":    spelled(16, 17, 0x88, 0x00),
		"a negative length":        spelled(16, 17, 0x07),
		"a text beyond the datum":  spelled(16, 17, 0xfe, 0xff, 0x03),
		"a text that is not UTF-8": spelled(17, 18, 0xff),
		"a symbol that is none":    spelled(21, 22, 0x7e),
		"a kind below all":         spelled(21, 22, 0x01),
		"a union branch too many":  spelled(23, 24, 0x04),
		"cut by a byte":            datum[:len(datum)-1],
		"empty":                    nil,
	} {
		if n, err := w.schema.walk(other, &e); err == nil && n == len(other) {
			t.Errorf("%s: passes", name)
		}
	}
}

func TestAContainerOfAnyBytesEndsInAFinding(t *testing.T) {
	w := newWorld(t)
	w.stream(20)
	w.cut()
	key := testLog.segmentName(0, 1)
	whole := w.bucket[key]
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		hostile := bytes.Clone(whole)
		for range 1 + random.IntN(8) {
			at := random.IntN(len(hostile))
			switch random.IntN(3) {
			case 0:
				hostile[at] = byte(random.Uint32())
			case 1:
				hostile = slices.Delete(hostile, at, min(len(hostile), at+random.IntN(40)))
			case 2:
				hostile = slices.Insert(hostile, at, hostile[:random.IntN(len(hostile))]...)
			}
			if len(hostile) == 0 {
				break
			}
		}
		w.bucket[key] = hostile
		if r := w.verify(); r.Verdict != broken && !bytes.Equal(hostile, whole) {
			t.Fatalf("verdict %s", r.Verdict)
		}
	}
}

func TestACosignatureCountsWhenTheWitnessIsKnown(t *testing.T) {
	w := smallWorld(t)
	witness := newSigner("witness.test/w1", 11)
	vkey := fmt.Sprintf("%s+%08x+%s", witness.name, keyID(witness.name, typeCosignature, witness.public()),
		base64.StdEncoding.EncodeToString(append([]byte{typeCosignature}, witness.public()...)))
	name := "anchor/checkpoint/00000000000000000002.note"
	read, err := parseNote(w.bucket[name])
	if err != nil {
		t.Fatal(err)
	}
	line := func(text string) []byte {
		signed := binary.BigEndian.AppendUint32(nil, keyID(witness.name, typeCosignature, witness.public()))
		signed = binary.BigEndian.AppendUint64(signed, 1_795_000_000)
		signed = append(signed, ed25519.Sign(witness.key, []byte(text))...)
		return fmt.Appendf(nil, "— %s %s\n", witness.name, base64.StdEncoding.EncodeToString(signed))
	}
	cosigned := slices.Concat(w.bucket[name], line("cosignature/v1\ntime 1795000000\n"+read.text))
	forged := slices.Concat(w.bucket[name], line("cosignature/v1\ntime 1795000001\n"+read.text))
	w.bucket["anchor/cosigned/00000000000000000002.w1.note"] = cosigned
	w.bucket["anchor/timestamp/00000000000000000002.tsa.tsr"] = []byte{0x30}
	if r := w.verify(); r.Verdict != intact || r.Anchors.Cosignatures[0].Verdict != notVerifiable || len(reasonsOf(r)) != 0 {
		t.Errorf("unknown witness: %s, %v, %v", r.Verdict, r.Anchors.Cosignatures, reasonsOf(r))
	}
	w.addVkey("witness", testDeployment+"/anchors", vkey, 0, nil)
	r := w.verify()
	if r.Verdict != intact || len(r.Anchors.Cosignatures) != 1 || r.Anchors.Cosignatures[0] != (cosignatureReport{2, 1_795_000_000, intact, "w1"}) {
		t.Errorf("%s, %+v, %v", r.Verdict, r.Anchors, reasonsOf(r))
	}
	if len(r.Anchors.Timestamps) != 1 || r.Anchors.Timestamps[0].Verdict != notVerifiable {
		t.Errorf("timestamps %+v", r.Anchors.Timestamps)
	}
	w.bucket["anchor/cosigned/00000000000000000002.w1.note"] = forged
	if r := w.verify(); r.Verdict != broken || !slices.Contains(reasonsOf(r), "bad-signature") {
		t.Errorf("forged: %s, %v", r.Verdict, reasonsOf(r))
	}
}

func TestWhatNoAnchorCoversIsSaidWhereAnchorsAreExpected(t *testing.T) {
	w := smallWorld(t)
	w.append(w.record("seal"))
	w.cut()
	s := w.settings()
	s.expectAnchors = true
	r, err := verifyBucket(w.bucket, s)
	if err != nil || r.Verdict != notVerifiable || !slices.Contains(reasonsOf(r), "not-anchored") {
		t.Errorf("%v, %v", reasonsOf(r), err)
	}
}

func TestKeysOfTheAuditorStandInPlaceOfTheArchives(t *testing.T) {
	w := smallWorld(t)
	var file []byte
	directory := t.TempDir()
	for _, name := range w.bucket.names() {
		if name[:4] == "key/" {
			file = append(file, w.bucket[name]...)
			continue
		}
		path := filepath.Join(directory, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, w.bucket[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, file, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, progress bytes.Buffer
	if code, err := run([]string{"-keys", keys, directory}, &out, &progress); code != 0 || err != nil {
		t.Errorf("exit %d, %v: %s", code, err, out.String())
	}
	if code, _ := run([]string{"-keys", keys, "-root-key", w.anchor.vkey(), directory}, &out, &progress); code != exitUsage {
		t.Errorf("another's root key: exit %d", code)
	}
}

func TestANoteIsRefusedUnlessItIsOne(t *testing.T) {
	s := newSigner("a/b", 1)
	key, err := parseVerifierKey(s.vkey())
	if err != nil {
		t.Fatal(err)
	}
	whole := s.note("text\n")
	if read, err := parseNote(whole); err != nil || read.open([]verifierKey{key}) != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{
		"no signature":        []byte("text\n"),
		"no newline at end":   whole[:len(whole)-1],
		"a control character": bytes.Replace(whole, []byte("text"), []byte("te\tt"), 1),
		"not UTF-8":           bytes.Replace(whole, []byte("text"), []byte("te\xfft"), 1),
		"a hyphen for a dash": bytes.Replace(whole, []byte("— "), []byte("- "), 1),
		"101 signatures":      append([]byte("text\n\n"), bytes.Repeat([]byte("— x AAAAAAAA\n"), 101)...),
	} {
		if _, err := parseNote(raw); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	stranger := slices.Concat(whole, []byte("— other/name AAAAAAAA\n"))
	if read, err := parseNote(stranger); err != nil || read.open([]verifierKey{key}) != nil {
		t.Error("a line by a stranger spoils the note")
	}
	other := s.note("other\n")
	spoiled := slices.Concat(whole, other[len("other\n\n"):])
	if read, err := parseNote(spoiled); err != nil || read.open([]verifierKey{key}) != errBadSignature {
		t.Error("a false line by a known key does not spoil the note")
	}
}

func TestAProofInABucketStandsForNothing(t *testing.T) {
	w := smallWorld(t)
	w.bucket["anchor/proof/audit.events.standard/0/00000000000000000311.tlog-proof"] = []byte("c2sp.org/tlog-proof@v1\n")
	r := w.verify()
	if r.Verdict != intact || r.ignored != 1 || r.Logs[0].AnchoredTo != 311 {
		t.Errorf("%s, %d ignored, %v", r.Verdict, r.ignored, reasonsOf(r))
	}
}

func TestANumberBelowZeroIsAFindingAndNoCrash(t *testing.T) {
	var found findings
	w := newStreamWatch(&found, false)
	for at, seq := range []int64{-16, 3, -16, -7} {
		r := row{}
		r.event.org, r.event.gateway, r.event.epoch, r.event.seq = []byte("acme"), []byte("gw-1"), 1, seq
		r.event.prevHash = make([]byte, 32)
		w.place(&r, int64(at), nil)
	}
	w.end()
	if found.count["not-opened"] != 1 || found.count["repeated"] != 1 || found.count["order"] != 1 {
		t.Errorf("found %v", found.count)
	}
}
