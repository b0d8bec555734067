package main

// Segments: Avro object container files of rows `offset | received_at | datum` (schemas/ledger.md, "Segment"), and the
// containers of a bundle, whose rows begin with the leaf's index.
//
//	'Obj' 01 | metadata map of 5 | sync marker | blocks: count | size | one zstd frame | sync marker

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	blockRowsMax   = 32_768
	blockBytesMax  = 16_777_216
	windowBytesMax = 8 << 20
	schemaBytesMax = 1 << 20
	segmentLeaves  = 65_536
)

// container says what a container must be.
type container struct {
	origin     string
	first, end int64
	schema     *schema // nil when the id is unknown here: then the header's own counts, if it has schemaHash
	schemaHash hash
	proven     bool // of a bundle: rows begin with the leaf's index
}

func (c container) marker() [16]byte {
	what := "cairn-segment/v1\n"
	if c.proven {
		what = "cairn-bundle/v1\n"
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s%s\n%d\n%d\n%s\n", what, c.origin, c.first, c.end, c.schemaHash))
	return [16]byte(sum[:16])
}

// row is one event as it was read. Its slices lie in its block and end with it.
type row struct {
	leafIndex        int64 // in a bundle
	offset, received int64
	leaf             hash
	event            event
	signed           signatureState
	isOpen, isClose  bool
}

// damage is why a container could not be read on.
type damage struct {
	reason string
	detail string
}

func formDamage(detail string) *damage { return &damage{"segment-form", detail} }

// block is one block of a container, on its way through the workers.
type block struct {
	from   *containerReader
	frame  []byte
	count  int
	rows   []row
	bytes  []byte
	damage *damage // after rows
	last   bool    // nothing follows
	ready  chan struct{}
}

// pool decodes blocks on all cores while they are consumed in order. Its memory is bounded: each container has at most
// `ahead` blocks under way.
type pool struct {
	jobs  chan *block
	keys  *keyHistory
	ahead int
	spare sync.Pool // blocks, whose buffers serve for the next container
}

func newPool(keys *keyHistory) *pool {
	workers := runtime.GOMAXPROCS(0)
	p := &pool{jobs: make(chan *block), keys: keys, ahead: workers + 1}
	for range workers {
		go p.work()
	}
	return p
}

func (p *pool) close() { close(p.jobs) }

func (p *pool) work() {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowBytesMax),
		zstd.WithDecoderMaxMemory(blockBytesMax+entryRoom), zstd.WithDecoderLowmem(false))
	if err != nil {
		panic(err) // the options are constants
	}
	defer decoder.Close()
	for b := range p.jobs {
		b.decode(decoder, p.keys)
		b.ready <- struct{}{}
	}
}

// containerReader gives the blocks of one container in order.
type containerReader struct {
	want   container
	schema *schema
	open   int64 // the enum's index of stream_open
	closed int64
	blocks chan *block
	free   chan *block
	// Filled when the last block was given.
	size   int64
	sha256 hash
}

// read begins to read a container. The caller takes every block to the last one, in any case, and
// puts each back into free but that.
func (p *pool) read(file io.Reader, want container) *containerReader {
	r := &containerReader{
		want: want, blocks: make(chan *block, p.ahead), free: make(chan *block, p.ahead+2),
	}
	for range p.ahead + 1 {
		b, ok := p.spare.Get().(*block)
		if !ok {
			b = &block{ready: make(chan struct{}, 1)}
		}
		b.from, b.damage = r, nil
		r.free <- b
	}
	go r.run(p, file)
	return r
}

// next waits for the next block.
func (r *containerReader) next() *block {
	b := <-r.blocks
	<-b.ready
	return b
}

func (r *containerReader) run(p *pool, file io.Reader) {
	sum := sha256.New()
	counted := &countingReader{from: io.TeeReader(file, sum)}
	input := bufio.NewReaderSize(counted, 1<<18)
	found := r.readHeader(input)
	marker := r.want.marker()
	for found == nil {
		b := <-r.free
		var ended bool
		if ended, found = b.readFrom(input, marker); ended || found != nil {
			r.free <- b
			break
		}
		p.jobs <- b
		r.blocks <- b
	}
	// The rest is hashed whatever it is: the manifest's SHA-256 is over the whole object.
	if _, err := io.Copy(io.Discard, counted); err != nil && found == nil {
		found = formDamage(err.Error())
	}
	r.size, r.sha256 = counted.size, hash(sum.Sum(nil))
	end := &block{from: r, damage: found, last: true, ready: make(chan struct{}, 1)}
	end.ready <- struct{}{}
	r.blocks <- end
}

// giveBack returns the buffers of a container that was read to its last block.
func (p *pool) giveBack(r *containerReader) {
	for len(r.free) > 0 {
		p.spare.Put(<-r.free)
	}
}

type countingReader struct {
	from io.Reader
	size int64
}

func (c *countingReader) Read(into []byte) (int, error) {
	n, err := c.from.Read(into)
	c.size += int64(n)
	return n, err
}

func (r *containerReader) readHeader(input *bufio.Reader) *damage {
	magic := make([]byte, 5)
	if _, err := io.ReadFull(input, magic); err != nil || string(magic) != "Obj\x01\x0a" {
		return formDamage("no Avro container with five entries of metadata")
	}
	expected := [5][2]string{
		{"avro.schema", ""}, {"avro.codec", "zstandard"}, {"cairn.origin", r.want.origin},
		{"cairn.first", strconv.FormatInt(r.want.first, 10)}, {"cairn.end", strconv.FormatInt(r.want.end, 10)},
	}
	for i, pair := range expected {
		key, err := readBytes(input, 64)
		if err != nil || string(key) != pair[0] {
			return formDamage("the metadata has no " + pair[0] + " in its place")
		}
		value, err := readBytes(input, schemaBytesMax)
		if err != nil || (i > 0 && string(value) != pair[1]) {
			return formDamage("the metadata's " + pair[0] + " is not that of this segment")
		}
		if i == 0 {
			if err := r.readSchema(value); err != nil {
				return formDamage(err.Error())
			}
		}
	}
	rest := make([]byte, 17)
	marker := r.want.marker()
	if _, err := io.ReadFull(input, rest); err != nil || rest[0] != 0 || !bytes.Equal(rest[1:], marker[:]) {
		return formDamage("the header does not end with its marker")
	}
	return nil
}

// readSchema demands the one text that the container of a known schema has. Of a schema that is not known here the text is
// read: its fields behind the prefix must have the canonical form that the manifest names.
func (r *containerReader) readSchema(text []byte) error {
	read := r.want.schema
	if read != nil {
		if !bytes.Equal(text, read.containerText(r.want.proven)) {
			return errors.New("the container's schema is not the writer's behind its prefix")
		}
	} else {
		var record struct{ Fields []any }
		if err := json.Unmarshal(text, &record); err != nil || len(record.Fields) < 3 {
			return errors.New("the container's schema is no record")
		}
		var err error
		read, err = schemaOf(map[string]any{
			"type": "record", "name": "AuditEvent", "namespace": "cairn", "fields": record.Fields[r.want.prefixFields():],
		})
		if err != nil {
			return err
		}
		if read.sha256 != r.want.schemaHash {
			return errors.New("the container's schema is not the one that its manifest names")
		}
	}
	r.schema = read
	r.open, r.closed = read.kindNumber("stream_open"), read.kindNumber("stream_close")
	return nil
}

func (c container) prefixFields() int {
	if c.proven {
		return 3
	}
	return 2
}

// containerText is the schema of a container of this schema's events, as compact JSON.
func (s *schema) containerText(proven bool) []byte {
	name, leaf := "ArchivedEvent", ""
	if proven {
		name, leaf = "ProvenEvent", `{"name":"leaf","type":"long"},`
	}
	return fmt.Appendf(nil, `{"type":"record","name":"%s","namespace":"cairn","fields":[%s{"name":"offset","type":"long"},`+
		`{"name":"received_at","type":{"type":"long","logicalType":"timestamp-millis"}},%s]}`, name, leaf, s.fieldsText)
}

func (s *schema) kindNumber(kind string) int64 {
	for i, symbol := range s.kinds {
		if symbol == kind {
			return int64(i)
		}
	}
	return -1
}

func readBytes(input *bufio.Reader, bytesMax int64) ([]byte, error) {
	length, err := readStreamLong(input)
	if err != nil || length < 0 || length > bytesMax {
		return nil, errors.New("no length")
	}
	text := make([]byte, length)
	_, err = io.ReadFull(input, text)
	return text, err
}

// readStreamLong reads a zigzag varint of the shortest spelling; io.EOF only when nothing is left.
func readStreamLong(input *bufio.Reader) (int64, error) {
	head, err := input.Peek(binary.MaxVarintLen64)
	if len(head) == 0 {
		return 0, err
	}
	value, length := readLong(head)
	if length == 0 {
		return 0, errors.New("a number that is not written in the shortest way")
	}
	_, err = input.Discard(length)
	return value, err
}

// readFrom reads one block's bytes; ended when the container ends here.
func (b *block) readFrom(input *bufio.Reader, marker [16]byte) (ended bool, found *damage) {
	count, err := readStreamLong(input)
	if err == io.EOF {
		return true, nil
	}
	if err != nil || count < 1 || count > blockRowsMax {
		return false, formDamage("a block's count is not between 1 and 32,768")
	}
	size, err := readStreamLong(input)
	// A frame is never much longer than its content: what does not compress is stored, with 3 bytes for each 128 KiB.
	if err != nil || size < 1 || size > blockBytesMax+4096 {
		return false, formDamage("a block's size is out of bounds")
	}
	if int64(cap(b.frame)) < size+16 {
		b.frame = make([]byte, size+16)
	}
	b.frame = b.frame[:size+16]
	if _, err := io.ReadFull(input, b.frame); err != nil {
		return false, formDamage("the container ends within a block")
	}
	if !bytes.Equal(b.frame[size:], marker[:]) {
		return false, formDamage("a block does not end with the marker")
	}
	b.frame, b.count = b.frame[:size], int(count)
	return false, nil
}

// entryPrefix is what stands before a datum when it is hashed: 00 | C3 01 | CRC-64-AVRO. entryRoom is left for it before
// the first row.
const (
	entryPrefix = 1 + 2 + 8
	entryRoom   = 16
)

// decode takes a block's frame apart into rows, with leaf hashes and judged signatures.
func (b *block) decode(decoder *zstd.Decoder, keys *keyHistory) {
	b.rows, b.damage = b.rows[:0], nil
	size, err := contentSize(b.frame)
	if err != nil {
		b.damage = formDamage(err.Error())
		return
	}
	if cap(b.bytes) < size+entryRoom {
		b.bytes = make([]byte, 0, size+entryRoom)
	}
	whole, err := decoder.DecodeAll(b.frame, b.bytes[:entryRoom])
	if err != nil || len(whole) != size+entryRoom {
		b.damage = formDamage("a block's frame does not decompress to its size")
		return
	}
	b.bytes = whole
	if cap(b.rows) < b.count {
		b.rows = make([]row, 0, b.count)
	}
	s := b.from.schema
	var prefix [entryPrefix]byte
	prefix[1], prefix[2] = 0xc3, 0x01
	copy(prefix[3:], s.crc64[:])
	at := entryRoom
	for len(b.rows) < b.count {
		b.rows = b.rows[:len(b.rows)+1]
		r := &b.rows[len(b.rows)-1]
		length, ok := b.readRowHead(r, whole[at:])
		if !ok {
			b.rows = b.rows[:len(b.rows)-1]
			b.damage = formDamage("what stands before a row's datum is not as it must be")
			return
		}
		start := at + length
		if length, err = s.walk(whole[start:], &r.event); err != nil {
			b.rows = b.rows[:len(b.rows)-1]
			b.damage = &damage{"datum-form", "the row's datum does not pass the walk"}
			return
		}
		end := start + length
		datum := whole[start:end]
		r.isOpen, r.isClose = r.event.kind == b.from.open, r.event.kind == b.from.closed
		r.signed = signatureNone
		if r.event.signature != nil {
			r.signed = judgeSignature(keys, s, &r.event, datum)
		}
		// The prefix is laid over the row's head and the end of the row before, which is put back.
		var saved [entryPrefix]byte
		copy(saved[:], whole[start-entryPrefix:start])
		copy(whole[start-entryPrefix:start], prefix[:])
		r.leaf = sha256.Sum256(whole[start-entryPrefix : end])
		copy(whole[start-entryPrefix:start], saved[:])
		at = end
	}
	if at != len(whole) {
		b.damage = formDamage("a block's frame holds more than its rows")
	}
}

func (b *block) readRowHead(r *row, data []byte) (int, bool) {
	at := 0
	if b.from.want.proven {
		index, length := readLong(data)
		if length == 0 {
			return 0, false
		}
		r.leafIndex, at = index, length
	}
	offset, length := readLong(data[at:])
	if length == 0 || offset < 0 || offset >= numberLimit {
		return 0, false
	}
	at += length
	received, length := readLong(data[at:])
	if length == 0 || received < 0 || received >= numberLimit {
		return 0, false
	}
	r.offset, r.received = offset, received
	return at + length, true
}

// contentSize demands that frame is exactly one zstd frame (RFC 8878) that holds its content's size, and gives that.
func contentSize(frame []byte) (int, error) {
	var header zstd.Header
	if err := header.Decode(frame); err != nil || header.Skippable || !header.HasFCS || header.DictionaryID != 0 {
		return 0, errors.New("a block is no zstd frame that holds its content's size")
	}
	if header.FrameContentSize == 0 || header.FrameContentSize > blockBytesMax || header.WindowSize > windowBytesMax {
		return 0, errors.New("a block's frame is larger than 16 MiB or its window than 8")
	}
	at, isLast := header.HeaderSize, false
	for !isLast {
		if at+3 > len(frame) {
			return 0, errors.New("a block's frame ends early")
		}
		head := uint32(frame[at]) | uint32(frame[at+1])<<8 | uint32(frame[at+2])<<16
		isLast = head&1 == 1
		size := int(head >> 3)
		if kind := head >> 1 & 3; kind == 1 {
			size = 1
		}
		at += 3 + size
	}
	if header.HasCheckSum {
		at += 4
	}
	if at != len(frame) {
		return 0, errors.New("a block is not exactly one zstd frame")
	}
	return int(header.FrameContentSize), nil
}
