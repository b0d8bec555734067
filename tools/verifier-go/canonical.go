package main

// Canonical JSON (RFC 8785) of statements: integers only, members exactly as listed.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// parseCanonical reads JSON and refuses every spelling but the canonical one, by writing it again and comparing.
func parseCanonical(text string) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, errors.New("no JSON")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON")
	}
	var again bytes.Buffer
	if err := writeCanonical(&again, value); err != nil {
		return nil, err
	}
	if again.String() != text {
		return nil, errors.New("JSON that is not canonical (RFC 8785)")
	}
	return value, nil
}

func writeCanonical(out *bytes.Buffer, value any) error {
	switch value := value.(type) {
	case nil:
		out.WriteString("null")
	case bool:
		out.WriteString(strconv.FormatBool(value))
	case json.Number:
		number, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || number < -1 || number >= 1<<53 {
			return errors.New("a number that is no integer in [-1, 2^53)")
		}
		out.WriteString(strconv.FormatInt(number, 10))
	case string:
		writeCanonicalString(out, value)
	case []any:
		out.WriteByte('[')
		for i, item := range value {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeCanonical(out, item); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case map[string]any:
		names := make([]string, 0, len(value))
		for name := range value {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int {
			return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		})
		out.WriteByte('{')
		for i, name := range names {
			if i > 0 {
				out.WriteByte(',')
			}
			writeCanonicalString(out, name)
			out.WriteByte(':')
			if err := writeCanonical(out, value[name]); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	}
	return nil
}

func writeCanonicalString(out *bytes.Buffer, text string) {
	const short = "\b\t\n\f\r"
	out.WriteByte('"')
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case b == '"' || b == '\\':
			out.WriteByte('\\')
			out.WriteByte(b)
		case strings.IndexByte(short, b) >= 0:
			out.WriteByte('\\')
			out.WriteByte("btnfr"[strings.IndexByte(short, b)])
		case b < 0x20:
			fmt.Fprintf(out, "\\u%04x", b)
		default:
			out.WriteByte(b)
		}
	}
	out.WriteByte('"')
}

// members reads an object member by member; done refuses what was not asked for. The first mistake is kept.
type members struct {
	values map[string]any
	asked  int
	err    error
}

func membersOf(value any) *members {
	values, ok := value.(map[string]any)
	if !ok {
		return &members{err: errors.New("no object")}
	}
	return &members{values: values}
}

func (m *members) fail(name, what string) {
	if m.err == nil {
		m.err = fmt.Errorf("member %q %s", name, what)
	}
}

func (m *members) get(name string) any {
	value, ok := m.values[name]
	if !ok {
		m.fail(name, "is missing")
	}
	m.asked++
	return value
}

func (m *members) text(name string) string {
	text, ok := m.get(name).(string)
	if !ok {
		m.fail(name, "is no text")
	}
	return text
}

// number reads an integer of at least least.
func (m *members) number(name string, least int64) int64 {
	written, _ := m.get(name).(json.Number)
	number, err := strconv.ParseInt(string(written), 10, 64)
	if err != nil || number < least {
		m.fail(name, fmt.Sprintf("is no integer from %d", least))
	}
	return number
}

func (m *members) boolean(name string) bool {
	value, ok := m.get(name).(bool)
	if !ok {
		m.fail(name, "is not true or false")
	}
	return value
}

func (m *members) hash(name string) hash {
	read, ok := hashFromHex(m.text(name))
	if !ok {
		m.fail(name, "is no SHA-256 in lower-case hex")
	}
	return read
}

func (m *members) list(name string) []any {
	list, ok := m.get(name).([]any)
	if !ok {
		m.fail(name, "is no list")
	}
	return list
}

func (m *members) hashes(name string) []hash {
	list := m.list(name)
	hashes := make([]hash, len(list))
	for i, item := range list {
		text, _ := item.(string)
		read, ok := hashFromHex(text)
		if !ok {
			m.fail(name, "holds something else than hashes")
		}
		hashes[i] = read
	}
	return hashes
}

func (m *members) object(name string) *members {
	inner := membersOf(m.get(name))
	if inner.err != nil {
		m.fail(name, "is no object")
	}
	return inner
}

// take ends an inner object: its mistakes are this one's.
func (m *members) take(inner *members) {
	if err := inner.done(); err != nil && m.err == nil {
		m.err = err
	}
}

func (m *members) done() error {
	if m.err == nil && m.asked != len(m.values) {
		m.err = errors.New("members that are not the format's")
	}
	return m.err
}

// parseStatement reads a note's one line of canonical JSON of this kind, version 1.
func parseStatement(text, kind string) (*members, error) {
	line, ok := strings.CutSuffix(text, "\n")
	if !ok || strings.Contains(line, "\n") {
		return nil, errors.New("a statement is one line")
	}
	value, err := parseCanonical(line)
	if err != nil {
		return nil, err
	}
	read := membersOf(value)
	if read.text("kind") != kind {
		read.fail("kind", "is not "+kind)
	}
	if read.number("v", 0) != 1 {
		read.fail("v", "is not 1")
	}
	return read, read.err
}
