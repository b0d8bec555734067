package main

// The archive file of a bundle: POSIX ustar, written in one way only. A header is 512 bytes (name 100, mode 8, uid 8, gid 8,
// size 12, mtime 12, checksum 8, type 1, link 100, "ustar\0" "00", owner 32, group 32, device 16, prefix 155); content is
// padded to 512; two or more blocks of zeros end it.

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

const tarBlock = 512

type tarMember struct {
	name         string
	offset, size int64
	sha256       hash
}

// tarFile gives the members of a bundle by name.
type tarFile struct {
	file    *os.File
	members []tarMember
	byName  map[string]tarMember
}

// openTar reads a bundle through once. What is wrong with it ends the reading: err, with what was read until then.
func openTar(path string) (*tarFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t := &tarFile{file: file, byName: map[string]tarMember{}}
	return t, t.read()
}

func (t *tarFile) read() error {
	header := make([]byte, tarBlock)
	for at := int64(0); ; {
		if _, err := t.file.ReadAt(header, at); err != nil {
			return errors.New("the archive ends without its end")
		}
		if isZero(header) {
			return t.readEnd(at)
		}
		member, err := parseTarHeader(header)
		if err != nil {
			return fmt.Errorf("at byte %d: %w", at, err)
		}
		if _, twice := t.byName[member.name]; twice {
			return fmt.Errorf("two members are named %q", member.name)
		}
		member.offset = at + tarBlock
		sum := sha256.New()
		if n, err := io.Copy(sum, io.NewSectionReader(t.file, member.offset, member.size)); err != nil || n != member.size {
			return fmt.Errorf("member %q ends early", member.name)
		}
		member.sha256 = hash(sum.Sum(nil))
		padding := make([]byte, -member.size&(tarBlock-1))
		if _, err := t.file.ReadAt(padding, member.offset+member.size); (err != nil && len(padding) > 0) || !isZero(padding) {
			return fmt.Errorf("member %q is not padded with zeros", member.name)
		}
		t.members = append(t.members, member)
		t.byName[member.name] = member
		at = member.offset + member.size + int64(len(padding))
	}
}

// readEnd demands nothing but zeros from here, two blocks at least.
func (t *tarFile) readEnd(at int64) error {
	buffer := make([]byte, 1<<16)
	rest := io.NewSectionReader(t.file, at, 1<<62)
	total := int64(0)
	for {
		n, err := rest.Read(buffer)
		total += int64(n)
		if !isZero(buffer[:n]) {
			return errors.New("something follows the archive's end")
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if total < 2*tarBlock || total%tarBlock != 0 {
		return errors.New("the archive does not end with two blocks of zeros")
	}
	return nil
}

func parseTarHeader(h []byte) (tarMember, error) {
	sum := 8 * int(' ')
	for i, b := range h {
		if i < 148 || i >= 156 {
			sum += int(b)
		}
	}
	if string(h[148:156]) != fmt.Sprintf("%06o\x00 ", sum) {
		return tarMember{}, errors.New("the header's checksum is not its own")
	}
	if string(h[257:265]) != "ustar\x0000" || h[156] != '0' || string(h[100:108]) != "0000644\x00" ||
		string(h[108:116]) != "0000000\x00" || string(h[116:124]) != "0000000\x00" || string(h[136:148]) != "00000000000\x00" {
		return tarMember{}, errors.New("the header is not that of a bundle's member")
	}
	size, err := strconv.ParseInt(string(h[124:135]), 8, 64)
	if err != nil || h[135] != 0 {
		return tarMember{}, errors.New("the header has no size")
	}
	name, prefix := untilZero(h[:100]), untilZero(h[345:500])
	if prefix != "" {
		name = prefix + "/" + name
	}
	return tarMember{name: name, size: size}, nil
}

func untilZero(field []byte) string {
	text, _, _ := bytes.Cut(field, []byte{0})
	return string(text)
}

func isZero(data []byte) bool {
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}

func (t *tarFile) names() []string {
	names := make([]string, len(t.members))
	for i, member := range t.members {
		names[i] = member.name
	}
	return names
}

func (t *tarFile) open(name string) (io.ReadCloser, error) {
	member, ok := t.byName[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return io.NopCloser(io.NewSectionReader(t.file, member.offset, member.size)), nil
}
