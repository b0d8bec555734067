package main

// The walk of a datum (schemas/README.md, "One event"): canonical form to the last byte, building nothing.

import (
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"
)

const (
	datumBytesMax = 61_430
	textBytesMax  = 32_768
	arrayItemsMax = 4_096
	numberLimit   = 1 << 52
)

const (
	opNull byte = iota
	opBoolean
	opInt
	opLong
	opFloat
	opDouble
	opBytes
	opText
	opFixed
	opEnum
	opUnion
	opArray
	opRecord
	opNever
)

const (
	markNone byte = iota
	markOrg
	markGateway
	markKind
	markTimestamp
	markEpoch
	markSeq
	markPrevHash
	markKeyID
	markSignature
)

// step is one type of the schema: a union's branches, an array's items or a record's fields are inner.
type step struct {
	op    byte
	mark  byte // of a field of the event that is read
	size  int  // bytes of a fixed, symbols of an enum
	inner []step
}

// event is what a verifier reads of a datum. Its slices lie in the datum.
type event struct {
	org, gateway, keyID []byte
	prevHash, signature []byte // signature is nil when there is none
	kind                int64
	timestamp           int64
	epoch, seq          int64
}

var errDatum = errors.New("the datum is not in canonical form")

// walker walks one datum. It lives on the stack; failed is looked at once, at the end of each field.
type walker struct {
	data  []byte
	at    int
	items int // of all arrays together
}

// walk reads one datum at the beginning of data, fills e, and gives the datum's length.
func (s *schema) walk(data []byte, e *event) (int, error) {
	if len(data) > datumBytesMax {
		data = data[:datumBytesMax]
	}
	w := walker{data: data}
	for i := range s.fields {
		field := &s.fields[i]
		if field.mark == markNone && w.passShort(field) {
			continue
		}
		start := w.at
		number, ok := w.walk(field)
		if !ok {
			return 0, errDatum
		}
		switch field.mark {
		case markNone:
		case markOrg:
			e.org = w.textAt(start)
		case markGateway:
			e.gateway = w.textAt(start)
		case markKeyID:
			e.keyID = w.textAt(start)
		case markKind:
			e.kind = number
		case markTimestamp:
			e.timestamp = number
		case markEpoch:
			e.epoch = number
		case markSeq:
			e.seq = number
		case markPrevHash:
			e.prevHash = w.data[start:w.at]
		case markSignature:
			e.signature = nil
			if number == 1 {
				e.signature = w.data[start+1 : w.at]
			}
		}
	}
	return w.at, nil
}

// passShort passes what most fields hold without a call for each part: a text shorter than 64 bytes, an empty array, null, a
// hash behind its union's index, a small number. False, and nothing is passed, for everything else.
func (w *walker) passShort(s *step) bool {
	if w.at >= len(w.data) || w.data[w.at] >= 0x80 || w.data[w.at]&1 != 0 {
		return false
	}
	value, next := int(w.data[w.at]>>1), w.at+1
	switch s.op {
	case opText:
		if value > len(w.data)-next || !utf8.Valid(w.data[next:next+value]) {
			return false
		}
		next += value
	case opUnion:
		if value >= len(s.inner) {
			return false
		}
		switch branch := &s.inner[value]; branch.op {
		case opNull:
		case opFixed:
			if branch.size > len(w.data)-next {
				return false
			}
			next += branch.size
		default:
			return false
		}
	case opEnum:
		if value >= s.size {
			return false
		}
	case opArray:
		if value != 0 {
			return false
		}
	case opLong, opInt:
	default:
		return false
	}
	w.at = next
	return true
}

// textAt gives the bytes of the text that began at start and ends here.
func (w *walker) textAt(start int) []byte {
	for w.data[start]&0x80 != 0 {
		start++
	}
	return w.data[start+1 : w.at]
}

// walk passes one value; number is that of an int, long, enum or union.
func (w *walker) walk(s *step) (number int64, ok bool) {
	switch s.op {
	case opText:
		length, ok := w.long()
		if !ok || length < 0 || length > textBytesMax || length > int64(len(w.data)-w.at) {
			return 0, false
		}
		text := w.data[w.at : w.at+int(length)]
		w.at += int(length)
		return 0, utf8.Valid(text)
	case opUnion:
		branch, ok := w.long()
		if !ok || branch < 0 || branch >= int64(len(s.inner)) {
			return 0, false
		}
		_, ok = w.walk(&s.inner[branch])
		return branch, ok
	case opNull:
		return 0, true
	case opEnum:
		symbol, ok := w.long()
		return symbol, ok && symbol >= 0 && symbol < int64(s.size)
	case opLong:
		value, ok := w.long()
		return value, ok && value > -numberLimit && value < numberLimit
	case opInt:
		value, ok := w.long()
		return value, ok && value >= math.MinInt32 && value <= math.MaxInt32
	case opFixed:
		return 0, w.skip(s.size)
	case opArray:
		return 0, w.walkArray(&s.inner[0])
	case opRecord:
		for i := range s.inner {
			if _, ok := w.walk(&s.inner[i]); !ok {
				return 0, false
			}
		}
		return 0, true
	case opBytes:
		length, ok := w.long()
		return 0, ok && length >= 0 && length <= datumBytesMax && w.skip(int(length))
	case opBoolean:
		return 0, w.skip(1) && w.data[w.at-1] <= 1
	case opFloat:
		return 0, w.skip(4) && !isNaN(float64(math.Float32frombits(binary.LittleEndian.Uint32(w.data[w.at-4:]))))
	case opDouble:
		return 0, w.skip(8) && !isNaN(math.Float64frombits(binary.LittleEndian.Uint64(w.data[w.at-8:])))
	}
	return 0, false
}

func isNaN(value float64) bool { return value != value }

// walkArray passes one block of a positive count and its end, or the end alone.
func (w *walker) walkArray(items *step) bool {
	count, ok := w.long()
	if !ok || count < 0 || count > arrayItemsMax {
		return false
	}
	if count == 0 {
		return true
	}
	if w.items += int(count); w.items > arrayItemsMax {
		return false
	}
	for range count {
		if _, ok := w.walk(items); !ok {
			return false
		}
	}
	end, ok := w.long()
	return ok && end == 0
}

func (w *walker) skip(length int) bool {
	if length > len(w.data)-w.at {
		return false
	}
	w.at += length
	return true
}

// long reads a zigzag varint of the shortest spelling.
func (w *walker) long() (int64, bool) {
	if w.at < len(w.data) && w.data[w.at] < 0x80 {
		b := w.data[w.at]
		w.at++
		return int64(b>>1) ^ -int64(b&1), true
	}
	value, length := readLong(w.data[w.at:])
	w.at += length
	return value, length > 0
}

// readLong gives a zigzag varint and its length, 0 when there is none or it is longer than it must be.
func readLong(data []byte) (int64, int) {
	raw, length := binary.Uvarint(data)
	if length <= 0 || (length > 1 && data[length-1] == 0) {
		return 0, 0
	}
	return int64(raw>>1) ^ -int64(raw&1), length
}
