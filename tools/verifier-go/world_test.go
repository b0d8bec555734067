package main

// A deployment in memory, written by this test alone: keys, a gateway that records, segments, manifests, checkpoints, a
// round of the anchor log, and a bundle.

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/klauspost/compress/zstd"
)

const testDeployment = "audit.test"

var testLog = logName{testDeployment, "audit.events.standard", 0}

// memory is a bucket in memory.
type bucketInMemory map[string][]byte

func (b bucketInMemory) names() []string {
	var names []string
	for name := range b {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (b bucketInMemory) open(name string) (io.ReadCloser, error) {
	raw, ok := b[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(raw)), nil
}

type signer struct {
	name string
	key  ed25519.PrivateKey
}

func newSigner(name string, seed byte) signer {
	return signer{name, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))}
}

func (s signer) public() []byte { return s.key.Public().(ed25519.PublicKey) }

func (s signer) vkey() string {
	return fmt.Sprintf("%s+%08x+%s", s.name, keyID(s.name, typeEd25519, s.public()),
		base64.StdEncoding.EncodeToString(append([]byte{typeEd25519}, s.public()...)))
}

func (s signer) note(text string) []byte {
	signed := binary.BigEndian.AppendUint32(nil, keyID(s.name, typeEd25519, s.public()))
	signed = append(signed, ed25519.Sign(s.key, []byte(text))...)
	return fmt.Appendf(nil, "%s\n— %s %s\n", text, s.name, base64.StdEncoding.EncodeToString(signed))
}

func (s signer) statement(t testing.TB, value map[string]any) []byte {
	t.Helper()
	return s.note(canonicalOf(t, value) + "\n")
}

func canonicalOf(t testing.TB, value any) string {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var read any
	if err := decoder.Decode(&read); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := writeCanonical(&out, read); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// world records and archives.
type world struct {
	t                          testing.TB
	schema                     *schema
	bucket                     bucketInMemory
	root, log, archive, anchor signer
	gateway                    signer
	org, gatewayID             string
	epoch, seq                 int64
	head                       hash
	micros                     int64
	rows                       [][]byte // offset | received_at | datum, of the open segment
	facts                      *segmentFacts
	leaves                     []hash
	bundled                    [][]byte // rows of the open segment behind their leaf's index
	tree                       compactRange
	previous                   hash
	anchorTree                 compactRange
	offset                     int64
	keyNotes                   int
	lastKey                    hash
}

func newWorld(t testing.TB) *world {
	t.Helper()
	schemas, err := loadSchemas()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, schema: schemas[1], bucket: bucketInMemory{}, org: "acme", gatewayID: "gw-1", micros: 1_795_000_000_000_000,
		root: newSigner(testDeployment+"/root", 1), log: newSigner(testLog.origin(), 2),
		archive: newSigner(testDeployment+"/archive", 3), anchor: newSigner(testDeployment+"/anchors", 4),
		gateway: newSigner(testDeployment+"/acme/gw/gw-1", 5), offset: 7,
	}
	w.addKey("log", testLog.origin(), w.log, 0, nil)
	w.addKey("archive", testLog.origin(), w.archive, 0, nil)
	w.addKey("anchor", testDeployment+"/anchors", w.anchor, 0, nil)
	w.addKey("gateway", "acme/gw-1", w.gateway, 0, nil)
	return w
}

func (w *world) addKey(role, subject string, s signer, from int64, until any) {
	w.addVkey(role, subject, s.vkey(), from, until)
}

func (w *world) addVkey(role, subject, vkey string, from int64, until any) {
	note := w.root.statement(w.t, map[string]any{
		"from": from, "kind": "cairn/key", "number": w.keyNotes, "previous": w.lastKey.String(), "reason": "", "role": role,
		"subject": subject, "until": until, "v": 1, "vkey": vkey,
	})
	w.bucket[fmt.Sprintf("key/%020d.note", w.keyNotes)] = note
	w.keyNotes++
	w.lastKey = sha256.Sum256(note)
}

func appendLong(to []byte, value int64) []byte {
	return binary.AppendUvarint(to, uint64(value<<1)^uint64(value>>63))
}

// record encodes, chains and perhaps signs the next event, and gives its datum.
func (w *world) record(kind string) []byte {
	previous := w.head
	if w.seq == 0 {
		previous = genesisHash(w.org, w.gatewayID, w.epoch, w.head)
	}
	w.micros += 1_000_000
	text := func(to []byte, text string) []byte { return append(appendLong(to, int64(len(text))), text...) }
	isSigned := kind != "tool_call"
	var datum []byte
	for _, field := range w.schema.fields {
		switch field.mark {
		case markOrg:
			datum = text(datum, w.org)
		case markGateway:
			datum = text(datum, w.gatewayID)
		case markKind:
			datum = appendLong(datum, w.schema.kindNumber(kind))
		case markTimestamp:
			datum = appendLong(datum, w.micros)
		case markEpoch:
			datum = appendLong(datum, w.epoch)
		case markSeq:
			datum = appendLong(datum, w.seq)
		case markPrevHash:
			datum = append(datum, previous[:]...)
		case markKeyID:
			datum = text(datum, fmt.Sprintf("%08x", keyID(w.gateway.name, typeEd25519, w.gateway.public())))
		case markSignature:
			if !isSigned {
				datum = appendLong(datum, 0)
				break
			}
			signed := append([]byte("audit-event/v1\n"), w.schema.sha256[:]...)
			signed = binary.BigEndian.AppendUint32(signed, uint32(len(datum)))
			signed = append(signed, datum...)
			datum = append(appendLong(datum, 1), ed25519.Sign(w.gateway.key, signed)...)
		default:
			datum = appendDefault(datum, field)
		}
	}
	w.seq++
	w.head = w.leafOf(datum)
	return datum
}

func (w *world) leafOf(datum []byte) hash {
	return leafHash(slices.Concat([]byte{0xc3, 0x01}, w.schema.crc64[:], datum))
}

// appendDefault writes what is shortest of a type.
func appendDefault(to []byte, s step) []byte {
	switch s.op {
	case opFixed:
		return append(to, make([]byte, s.size)...)
	case opRecord:
		for _, field := range s.inner {
			to = appendDefault(to, field)
		}
		return to
	case opUnion:
		return appendDefault(append(to, 0), s.inner[0])
	case opNull:
		return to
	}
	return append(to, 0)
}

// append makes a datum the next leaf.
func (w *world) append(datum []byte) {
	received := int64(1_795_000_000_000) + w.offset*1_000
	written := append(appendLong(appendLong(nil, w.offset), received), datum...)
	if w.facts == nil {
		w.facts = newSegmentFacts(w.tree.end, 1)
	}
	var e event
	if n, err := w.schema.walk(datum, &e); err != nil || n != len(datum) {
		w.t.Fatalf("the test's own datum does not pass the walk: %v", err)
	}
	leaf := w.leafOf(datum)
	w.bundled = append(w.bundled, append(appendLong(nil, w.tree.end+w.facts.count), written...))
	w.facts.add(&row{
		offset: w.offset, received: received, leaf: leaf, event: e, isClose: e.kind == w.schema.kindNumber("stream_close"),
	}, 0, nil)
	w.rows = append(w.rows, written)
	w.leaves = append(w.leaves, leaf)
	w.offset++
}

// stream records an opening, calls and a seal, each a leaf.
func (w *world) stream(calls int) {
	w.append(w.record("stream_open"))
	for range calls {
		w.append(w.record("tool_call"))
	}
	w.append(w.record("seal"))
}

func (w *world) container(rows [][]byte, c container) []byte {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true))
	if err != nil {
		w.t.Fatal(err)
	}
	marker := c.marker()
	text := func(to []byte, text string) []byte { return append(appendLong(to, int64(len(text))), text...) }
	out := []byte("Obj\x01\x0a")
	for _, pair := range [][2]string{
		{"avro.schema", string(w.schema.containerText(c.proven))}, {"avro.codec", "zstandard"}, {"cairn.origin", c.origin},
		{"cairn.first", strconv.FormatInt(c.first, 10)}, {"cairn.end", strconv.FormatInt(c.end, 10)},
	} {
		out = text(text(out, pair[0]), pair[1])
	}
	out = append(append(out, 0), marker[:]...)
	for block := range slices.Chunk(rows, blockRowsMax) {
		frame := encoder.EncodeAll(slices.Concat(block...), nil)
		out = append(appendLong(appendLong(out, int64(len(block))), int64(len(frame))), frame...)
		out = append(out, marker[:]...)
	}
	return out
}

// cut ends the segment: its object, its manifest, its checkpoint.
func (w *world) cut() {
	f := w.facts
	f.tree.closePiece()
	first, end := w.tree.end, w.tree.end+f.count
	c := container{origin: testLog.origin(), first: first, end: end, schemaHash: w.schema.sha256}
	object := w.container(w.rows, c)
	key := testLog.segmentName(first, 1)
	w.bucket[key] = object
	w.tree.addNodes(end, f.tree.whole.hashes())
	hexOf := func(hashes []hash) []string {
		texts := make([]string, len(hashes))
		for i, h := range hashes {
			texts[i] = h.String()
		}
		return texts
	}
	var streams []map[string]any
	for _, s := range f.streams {
		streams = append(streams, map[string]any{
			"closed": s.closed, "epoch": s.epoch, "events": s.events, "first_seq": s.firstSeq, "gateway": s.gateway,
			"head": s.head.String(), "last_seq": s.lastSeq, "link": s.link.String(), "org": s.org, "sealed_to": s.sealedTo,
			"whole": s.whole,
		})
	}
	sum := hash(sha256.Sum256(object))
	note := w.archive.statement(w.t, map[string]any{
		"end": end, "first": first, "kind": "cairn/manifest", "nodes": hexOf(f.tree.whole.hashes()),
		"objects": []map[string]any{{
			"crc64": hex.EncodeToString(w.schema.crc64[:]), "key": key, "leaves": f.count, "schema": 1,
			"schema_sha256": w.schema.sha256.String(), "sha256": sum.String(), "size": len(object), "version_id": "",
		}},
		"offsets": map[string]any{"first": f.offsets.least, "last": f.offsets.most}, "origin": testLog.origin(),
		"pieces": hexOf(f.tree.pieces), "previous": w.previous.String(),
		"received":  map[string]any{"max": f.received.most, "min": f.received.least},
		"retention": map[string]any{"class": "standard", "mode": "NONE", "policy": "p1", "until": 0},
		"root":      w.tree.root().String(), "streams": streams,
		"timestamps": map[string]any{"max": f.timestamp.most, "min": f.timestamp.least}, "v": 1,
	})
	w.bucket[testLog.noteName("manifest", first)] = note
	w.previous = sha256.Sum256(note)
	w.checkpoint(end, w.tree.root())
	w.rows, w.facts = nil, nil
	w.bundled = nil
}

func (w *world) checkpoint(size int64, root hash) {
	w.bucket[testLog.noteName("checkpoint", size)] = w.log.note(checkpointText(testLog.origin(), size, root))
}

func checkpointText(origin string, size int64, root hash) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]))
}

// anchorRound makes notes entries of the anchor log.
func (w *world) anchorRound(notes ...[]byte) {
	var entries []byte
	first := w.anchorTree.end
	for _, note := range notes {
		entries = append(binary.BigEndian.AppendUint16(entries, uint16(len(note))), note...)
		w.anchorTree.add(0, leafHash(note))
	}
	w.bucket[fmt.Sprintf("anchor/entries/%020d.bin", first)] = entries
	text := checkpointText(w.anchor.name, w.anchorTree.end, w.anchorTree.root())
	w.bucket[fmt.Sprintf("anchor/checkpoint/%020d.note", w.anchorTree.end)] = w.anchor.note(text)
}

// cutBundled ends the only segment of the log, anchors its checkpoint and gives the bundle over it.
func (w *world) cutBundled() []byte {
	end, rows := w.facts.count, w.bundled
	w.cut()
	w.anchorRound(w.bucket[testLog.noteName("checkpoint", end)])
	c := container{origin: testLog.origin(), first: 0, end: end, schemaHash: w.schema.sha256, proven: true}
	var leaves []byte
	for _, leaf := range w.leaves {
		leaves = append(leaves, leaf[:]...)
	}
	at := fmt.Sprintf("%s/%d/%020d", testLog.topic, testLog.partition, 0)
	type member struct {
		name string
		raw  []byte
	}
	members := []member{{"VERIFY.md", []byte("How to verify it.\n")}}
	for _, name := range w.bucket.names() {
		if len(name) > 4 && name[:4] == "key/" {
			members = append(members, member{name, w.bucket[name]})
		}
	}
	members = append(members,
		member{"leaves/" + at + ".bin", leaves},
		member{"events/" + at + "-1.avro", w.container(rows, c)},
		member{"tree/" + at + ".json", []byte(canonicalOf(w.t, map[string]any{
			"after": []string{}, "before": []string{}, "end": end, "first": 0, "size": end,
		}) + "\n")},
	)
	for _, name := range w.bucket.names() {
		if name[:4] == "chec" || name[:4] == "anch" {
			members = append(members, member{name, w.bucket[name]})
		}
	}
	var listed []map[string]any
	for _, m := range members {
		sum := hash(sha256.Sum256(m.raw))
		listed = append(listed, map[string]any{"name": m.name, "sha256": sum.String(), "size": len(m.raw)})
	}
	note := w.archive.statement(w.t, map[string]any{
		"created_at": 1, "from": 0, "kind": "cairn/bundle", "members": listed, "org": w.org, "query": "", "to": 2, "v": 1,
	})
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, m := range append([]member{{"bundle.note", note}}, members...) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: m.name, Size: int64(len(m.raw)), Mode: 0o644, Format: tar.FormatUSTAR}
		if err := writer.WriteHeader(header); err != nil {
			w.t.Fatal(err)
		}
		if _, err := writer.Write(m.raw); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		w.t.Fatal(err)
	}
	return out.Bytes()
}

func (w *world) settings() settings {
	key, err := parseVerifierKey(w.root.vkey())
	if err != nil {
		w.t.Fatal(err)
	}
	return settings{rootKey: &key, progress: func(string, int64) {}}
}

func (w *world) verify() *report {
	w.t.Helper()
	r, err := verifyBucket(w.bucket, w.settings())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func verifyBundleBytes(t testing.TB, raw []byte, s settings) *report {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bundle.tar")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := verifyBundle(path, s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
