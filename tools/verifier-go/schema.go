package main

// Writer schemas: their parsing canonical form (Avro 1.11), its fingerprints, and the program that walks a datum.

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"sync"
)

// Copies of the released schemas; a test holds them to those in the repository.
//
//go:generate sh -c "cp ../../schemas/registry.json ../../schemas/history/*.avsc schemas/"
//go:embed schemas
var releasedSchemas embed.FS

type schema struct {
	id     int64
	form   string // parsing canonical form
	sha256 hash
	crc64  [8]byte // as entries carry it, little-endian
	fields []step
	kinds  []string
	// fieldsText is the fields as they stand in the released file, as compact JSON without brackets.
	fieldsText []byte
}

// loadSchemas gives the released schemas, each held to the fingerprints in the registry, by id.
var loadSchemas = sync.OnceValues(readSchemas)

func readSchemas() (map[int64]*schema, error) {
	raw, err := releasedSchemas.ReadFile("schemas/registry.json")
	if err != nil {
		return nil, err
	}
	var registry struct {
		Schemas []struct {
			ID            int64
			File          string
			CRC64, SHA256 string
		}
	}
	if err := json.Unmarshal(raw, &registry); err != nil {
		return nil, err
	}
	schemas := map[int64]*schema{}
	for _, entry := range registry.Schemas {
		text, err := releasedSchemas.ReadFile("schemas/" + path.Base(entry.File))
		if err != nil {
			return nil, err
		}
		read, err := parseSchema(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.File, err)
		}
		if read.sha256.String() != entry.SHA256 || hex.EncodeToString(read.crc64[:]) != entry.CRC64 {
			return nil, fmt.Errorf("%s has other fingerprints than the registry says", entry.File)
		}
		read.id = entry.ID
		schemas[entry.ID] = read
	}
	return schemas, nil
}

func parseSchema(text []byte) (*schema, error) {
	var value any
	var record struct{ Fields json.RawMessage }
	var fields bytes.Buffer
	if err := errors.Join(json.Unmarshal(text, &value), json.Unmarshal(text, &record)); err != nil {
		return nil, err
	}
	if err := json.Compact(&fields, record.Fields); err != nil {
		return nil, err
	}
	read, err := schemaOf(value)
	if err == nil {
		read.fieldsText = fields.Bytes()[1 : fields.Len()-1]
	}
	return read, err
}

func schemaOf(value any) (*schema, error) {
	reader := schemaReader{named: map[string]step{}}
	form, root, err := reader.read(value, "")
	if err != nil {
		return nil, err
	}
	if root.op != opRecord {
		return nil, errors.New("the schema of an event is a record")
	}
	read := &schema{form: form, sha256: sha256.Sum256([]byte(form)), fields: root.inner, kinds: reader.kinds}
	binary.LittleEndian.PutUint64(read.crc64[:], crc64Avro([]byte(form)))
	for _, field := range eventFields {
		if !field.isIn(read.fields) {
			return nil, fmt.Errorf("the schema has no field %s of the expected type", field.name)
		}
	}
	if last := read.fields[len(read.fields)-1]; last.mark != markSignature {
		return nil, errors.New("the signature is not the last field")
	}
	return read, nil
}

// eventFields are those that a verifier reads; every released schema has them.
var eventFields = []eventField{
	{"org_id", markOrg, opText}, {"kind", markKind, opEnum}, {"timestamp", markTimestamp, opLong},
	{"gateway_id", markGateway, opText}, {"epoch", markEpoch, opLong}, {"seq", markSeq, opLong},
	{"prev_hash", markPrevHash, opFixed}, {"key_id", markKeyID, opText}, {"signature", markSignature, opUnion},
}

type eventField struct {
	name string
	mark byte
	op   byte
}

func (f eventField) isIn(fields []step) bool {
	for _, field := range fields {
		if field.mark == f.mark {
			return field.op == f.op && (f.mark != markPrevHash || field.size == sha256.Size) &&
				(f.mark != markSignature || isOptionalSignature(field))
		}
	}
	return false
}

func isOptionalSignature(field step) bool {
	return len(field.inner) == 2 && field.inner[0].op == opNull && field.inner[1].op == opFixed && field.inner[1].size == 64
}

// schemaReader reads one schema, names resolved, into its canonical form and its steps.
type schemaReader struct {
	named map[string]step
	kinds []string
}

var primitives = map[string]byte{
	"null": opNull, "boolean": opBoolean, "int": opInt, "long": opLong, "float": opFloat, "double": opDouble,
	"bytes": opBytes, "string": opText,
}

func (r *schemaReader) read(value any, namespace string) (string, step, error) {
	switch value := value.(type) {
	case string:
		if op, ok := primitives[value]; ok {
			return quoted(value), step{op: op}, nil
		}
		name := fullName(value, namespace)
		known, ok := r.named[name]
		if !ok {
			return "", step{}, fmt.Errorf("unknown type %s", name)
		}
		return quoted(name), known, nil
	case []any:
		return r.readUnion(value, namespace)
	case map[string]any:
		return r.readComplex(value, namespace)
	}
	return "", step{}, errors.New("no Avro schema")
}

func (r *schemaReader) readUnion(branches []any, namespace string) (string, step, error) {
	var form bytes.Buffer
	union := step{op: opUnion}
	for i, branch := range branches {
		text, inner, err := r.read(branch, namespace)
		if err != nil {
			return "", step{}, err
		}
		if i > 0 {
			form.WriteByte(',')
		}
		form.WriteString(text)
		union.inner = append(union.inner, inner)
	}
	return "[" + form.String() + "]", union, nil
}

func (r *schemaReader) readComplex(value map[string]any, namespace string) (string, step, error) {
	kind, _ := value["type"].(string)
	if _, ok := primitives[kind]; ok {
		return r.read(kind, namespace)
	}
	if kind == "array" {
		text, items, err := r.read(value["items"], namespace)
		return `{"type":"array","items":` + text + `}`, step{op: opArray, inner: []step{items}}, err
	}
	short, _ := value["name"].(string)
	if space, ok := value["namespace"].(string); ok {
		namespace = space
	}
	name := fullName(short, namespace)
	if at := bytes.LastIndexByte([]byte(name), '.'); at >= 0 {
		namespace = name[:at]
	}
	if _, twice := r.named[name]; twice || short == "" {
		return "", step{}, fmt.Errorf("the type %q has no name or one that is taken", name)
	}
	switch kind {
	case "fixed":
		size, ok := value["size"].(float64)
		if !ok || size < 0 || size > datumBytesMax || size != float64(int(size)) {
			return "", step{}, errors.New("a fixed type without its size")
		}
		r.named[name] = step{op: opFixed, size: int(size)}
		return fmt.Sprintf(`{"name":%s,"type":"fixed","size":%d}`, quoted(name), int(size)), r.named[name], nil
	case "enum":
		return r.readEnum(value, name)
	case "record":
		return r.readRecord(value, name, namespace)
	}
	return "", step{}, fmt.Errorf("a type %q that events do not use", kind)
}

func (r *schemaReader) readEnum(value map[string]any, name string) (string, step, error) {
	list, _ := value["symbols"].([]any)
	symbols := make([]string, len(list))
	for i, item := range list {
		symbols[i], _ = item.(string)
	}
	if name == "cairn.Kind" {
		r.kinds = symbols
	}
	text, err := json.Marshal(symbols)
	r.named[name] = step{op: opEnum, size: len(symbols)}
	return `{"name":` + quoted(name) + `,"type":"enum","symbols":` + string(text) + `}`, r.named[name], err
}

func (r *schemaReader) readRecord(value map[string]any, name, namespace string) (string, step, error) {
	r.named[name] = step{op: opNever} // a record that holds itself is not used
	list, _ := value["fields"].([]any)
	if len(list) == 0 {
		return "", step{}, errors.New("a record without fields")
	}
	var form bytes.Buffer
	record := step{op: opRecord}
	for i, item := range list {
		field, _ := item.(map[string]any)
		fieldName, _ := field["name"].(string)
		text, inner, err := r.read(field["type"], namespace)
		if err != nil {
			return "", step{}, fmt.Errorf("field %s: %w", fieldName, err)
		}
		for _, known := range eventFields {
			// Marks inside of inner records are never looked at.
			if known.name == fieldName {
				inner.mark = known.mark
			}
		}
		if i > 0 {
			form.WriteByte(',')
		}
		form.WriteString(`{"name":` + quoted(fieldName) + `,"type":` + text + `}`)
		record.inner = append(record.inner, inner)
	}
	r.named[name] = record
	return `{"name":` + quoted(name) + `,"type":"record","fields":[` + form.String() + `]}`, record, nil
}

func fullName(name, namespace string) string {
	if namespace == "" || bytes.IndexByte([]byte(name), '.') >= 0 {
		return name
	}
	return namespace + "." + name
}

func quoted(text string) string {
	raw, _ := json.Marshal(text)
	return string(raw)
}

const crc64Empty = 0xc15d213aa4d7a795

// crc64Avro is the Rabin fingerprint of the Avro specification, "Schema Fingerprints".
func crc64Avro(data []byte) uint64 {
	sum := uint64(crc64Empty)
	for _, b := range data {
		sum ^= uint64(b)
		for range 8 {
			sum = sum>>1 ^ crc64Empty&-(sum&1)
		}
	}
	return sum
}
