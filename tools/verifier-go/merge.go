package main

// The rows of a segment's objects, in order of offset. Almost always there is one object.

import "io"

type merge struct{ parts []*mergePart }

type mergePart struct {
	file   io.ReadCloser
	reader *containerReader
	object string
	block  *block
	at     int
}

// unreadable stands for an object that is listed and cannot be opened.
type unreadable struct{ err error }

func (u unreadable) Read([]byte) (int, error) { return 0, u.err }
func (u unreadable) Close() error             { return nil }

func (m *merge) add(workers *pool, file io.ReadCloser, want container, object string) {
	m.parts = append(m.parts, &mergePart{file: file, reader: workers.read(file, want), object: object})
}

// next gives the next row and its object's number; nil at the end. The row is good until the next call.
func (m *merge) next() (*row, int, *harm) {
	least := -1
	for i, part := range m.parts {
		for part.block == nil || part.at == len(part.block.rows) {
			if part.block != nil {
				if part.block.damage != nil {
					return nil, i, &harm{*part.block.damage, part.object}
				}
				if part.block.last {
					break
				}
				part.reader.free <- part.block
			}
			part.block, part.at = part.reader.next(), 0
		}
		if part.at < len(part.block.rows) && (least < 0 || part.row().offset < m.parts[least].row().offset) {
			least = i
		}
	}
	if least < 0 {
		return nil, 0, nil
	}
	r := m.parts[least].row()
	m.parts[least].at++
	return r, least, nil
}

func (p *mergePart) row() *row { return &p.block.rows[p.at] }

// end takes what is left of every object, so that its size and SHA-256 are known.
func (m *merge) end(workers *pool) []*containerReader {
	readers := make([]*containerReader, len(m.parts))
	for i, part := range m.parts {
		for part.block == nil || !part.block.last {
			if part.block != nil {
				part.reader.free <- part.block
			}
			part.block = part.reader.next()
		}
		workers.giveBack(part.reader)
		part.file.Close()
		readers[i] = part.reader
	}
	return readers
}
