package main

// Where evidence lies: a bucket laid out in a directory, or the members of a bundle. Names of objects as in
// schemas/ledger.md, "Names in the bucket".

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// source gives objects by name. open answers fs.ErrNotExist for one that is not there.
type source interface {
	names() []string
	open(name string) (io.ReadCloser, error)
}

// readNote reads a small object whole.
func readNote(from source, name string) ([]byte, error) {
	file, err := from.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, noteBytesMax+1))
}

type directory struct {
	root string
	list []string
}

func openDirectory(root string) (*directory, error) {
	d := &directory{root: root}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Type().IsRegular() {
			relative, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			d.list = append(d.list, filepath.ToSlash(relative))
		}
		return nil
	})
	return d, err
}

func (d *directory) names() []string { return d.list }

func (d *directory) open(name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(d.root, filepath.FromSlash(name)))
}

// logName is a log without its deployment.
type logName struct {
	deployment, topic string
	partition         int64
}

func (l logName) origin() string { return fmt.Sprintf("%s/%s/%d", l.deployment, l.topic, l.partition) }

func (l logName) segmentName(first, schema int64) string {
	return fmt.Sprintf("segment/%s/%d/%020d-%d.avro", l.topic, l.partition, first, schema)
}

func (l logName) noteName(kind string, number int64) string {
	return fmt.Sprintf("%s/%s/%d/%020d.note", kind, l.topic, l.partition, number)
}

func (l logName) deletionName(first int64) string {
	return fmt.Sprintf("tombstone/%s/%d/%020d.done.note", l.topic, l.partition, first)
}

// objectName is a name taken apart.
type objectName struct {
	name, kind string
	log        logName
	number     int64  // first leaf, size, or number of a key statement
	by         string // witness or authority
}

const (
	logForm    = `/([a-z0-9][a-z0-9.-]{0,62})/(0|[1-9][0-9]{0,15})/([0-9]{20})`
	nameOfForm = `([a-z0-9][a-z0-9-]{0,62})`
)

var objectForms = []struct {
	kind string
	form *regexp.Regexp
}{
	{"segment", regexp.MustCompile(`^segment` + logForm + `-[1-9][0-9]{0,9}\.avro$`)},
	{"manifest", regexp.MustCompile(`^manifest` + logForm + `\.note$`)},
	{"checkpoint", regexp.MustCompile(`^checkpoint` + logForm + `\.note$`)},
	{"tombstone", regexp.MustCompile(`^tombstone` + logForm + `\.note$`)},
	{"deletion", regexp.MustCompile(`^tombstone` + logForm + `\.done\.note$`)},
	{"entries", regexp.MustCompile(`^anchor/entries/()()([0-9]{20})\.bin$`)},
	{"anchor", regexp.MustCompile(`^anchor/checkpoint/()()([0-9]{20})\.note$`)},
	{"cosigned", regexp.MustCompile(`^anchor/cosigned/()()([0-9]{20})\.` + nameOfForm + `\.note$`)},
	{"timestamp", regexp.MustCompile(`^anchor/timestamp/()()([0-9]{20})\.` + nameOfForm + `\.tsr$`)},
	{"key", regexp.MustCompile(`^key/()()([0-9]{20})\.note$`)},
	{"hold", regexp.MustCompile(`^hold/()()([0-9]{20})\.note$`)}, // known by name; not judged here
	{"leaves", regexp.MustCompile(`^leaves` + logForm + `\.bin$`)},
	{"events", regexp.MustCompile(`^events` + logForm + `-[1-9][0-9]{0,9}\.avro$`)},
	{"proof", regexp.MustCompile(`^anchor/proof` + logForm + `\.tlog-proof$`)},
	{"tree", regexp.MustCompile(`^tree` + logForm + `\.json$`)},
}

// parseObjectName reads a name; false for one that is not of the bucket.
func parseObjectName(name, deployment string) (objectName, bool) {
	for _, known := range objectForms {
		match := known.form.FindStringSubmatch(name)
		if match == nil {
			continue
		}
		number, err := strconv.ParseInt(match[3], 10, 64)
		if err != nil || number >= 1<<53 {
			return objectName{}, false
		}
		read := objectName{name: name, kind: known.kind, number: number}
		if match[1] != "" {
			partition, _ := strconv.ParseInt(match[2], 10, 64)
			read.log = logName{deployment, match[1], partition}
		}
		if len(match) > 4 {
			read.by = match[4]
		}
		return read, true
	}
	return objectName{}, false
}
