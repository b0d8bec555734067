package main

// Signed notes (C2SP signed-note): text ending in a newline | newline | lines "— <name> base64(id | signature)".

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	noteBytesMax      = 16 << 20
	noteSignaturesMax = 100

	typeEd25519     = 0x01
	typeCosignature = 0x04
)

// strictBase64 refuses line breaks and stray bits, so that a note has one spelling.
var strictBase64 = base64.StdEncoding.Strict()

func decodeBase64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("a line break in base64")
	}
	return strictBase64.DecodeString(text)
}

// verifierKey is a public key under its name: "<name>+<id>+base64(type | key)".
type verifierKey struct {
	name string
	id   uint32
	kind byte
	key  ed25519.PublicKey
}

func keyID(name string, kind byte, key []byte) uint32 {
	hash := sha256.New()
	hash.Write([]byte(name))
	hash.Write([]byte{'\n', kind})
	hash.Write(key)
	return binary.BigEndian.Uint32(hash.Sum(nil))
}

func parseVerifierKey(text string) (verifierKey, error) {
	name, rest, _ := strings.Cut(text, "+")
	id, encoded, ok := strings.Cut(rest, "+")
	if !ok || !isKeyName(name) || len(id) != 8 || strings.ToLower(id) != id {
		return verifierKey{}, errors.New("no verifier key")
	}
	number, err := strconv.ParseUint(id, 16, 32)
	if err != nil {
		return verifierKey{}, errors.New("no verifier key: id is not hex")
	}
	raw, err := decodeBase64(encoded)
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || (raw[0] != typeEd25519 && raw[0] != typeCosignature) {
		return verifierKey{}, errors.New("no verifier key of Ed25519")
	}
	key := verifierKey{name: name, id: uint32(number), kind: raw[0], key: ed25519.PublicKey(raw[1:])}
	if keyID(name, key.kind, key.key) != key.id {
		return verifierKey{}, errors.New("the verifier key's id is not that of its name and key")
	}
	return key, nil
}

func isKeyName(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.Contains(name, "+") && strings.IndexFunc(name, unicode.IsSpace) < 0
}

type noteSignature struct {
	name      string
	id        uint32
	signature []byte
}

// note is what was read of a signed note; nothing of it is believed before open.
type note struct {
	text       string
	signatures []noteSignature
}

func parseNote(raw []byte) (note, error) {
	if len(raw) > noteBytesMax {
		return note{}, errors.New("a note above 16 MiB")
	}
	if !utf8.Valid(raw) {
		return note{}, errors.New("a note that is not UTF-8")
	}
	for _, b := range raw {
		if b < 0x20 && b != '\n' {
			return note{}, errors.New("a control character in a note")
		}
	}
	split := bytes.LastIndex(raw, []byte("\n\n"))
	if split < 0 || raw[len(raw)-1] != '\n' || split+2 >= len(raw) {
		return note{}, errors.New("no signed note: text, an empty line and signatures are expected")
	}
	read := note{text: string(raw[:split+1])}
	for _, line := range strings.Split(string(raw[split+2:len(raw)-1]), "\n") {
		rest, ok := strings.CutPrefix(line, "— ")
		name, encoded, separated := strings.Cut(rest, " ")
		signature, err := decodeBase64(encoded)
		if !ok || !separated || !isKeyName(name) || err != nil || len(signature) < 5 {
			return note{}, errors.New("a line that is no signature line")
		}
		read.signatures = append(read.signatures, noteSignature{name, binary.BigEndian.Uint32(signature), signature[4:]})
		if len(read.signatures) > noteSignaturesMax {
			return note{}, errors.New("more than 100 signature lines")
		}
	}
	return read, nil
}

var (
	errNoKey        = errors.New("the key history has no key for this at its position")
	errBadSignature = errors.New("its signature does not verify")
	errNotSigned    = errors.New("it has no signature by a key that is valid at its position")
)

// open demands a line by one of the keys, and that no line by one of them is false.
func (n note) open(keys []verifierKey) error {
	if len(keys) == 0 {
		return errNoKey
	}
	opened := false
	for _, line := range n.signatures {
		for _, key := range keys {
			if key.kind != typeEd25519 || key.name != line.name || key.id != line.id {
				continue
			}
			if len(line.signature) != ed25519.SignatureSize || !ed25519.Verify(key.key, []byte(n.text), line.signature) {
				return errBadSignature
			}
			opened = true
		}
	}
	if !opened {
		return errNotSigned
	}
	return nil
}

// cosignedAt gives the time, seconds since 1970, of a witness's cosignature/v1 line over the note's text.
func (n note) cosignedAt(witness verifierKey) (uint64, error) {
	id := keyID(witness.name, typeCosignature, witness.key)
	for _, line := range n.signatures {
		if line.name != witness.name || line.id != id {
			continue
		}
		if len(line.signature) != 8+ed25519.SignatureSize {
			return 0, errBadSignature
		}
		at := binary.BigEndian.Uint64(line.signature)
		signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at, n.text)
		if !ed25519.Verify(witness.key, []byte(signed), line.signature[8:]) {
			return 0, errBadSignature
		}
		return at, nil
	}
	return 0, errNotSigned
}

// checkpoint is a C2SP tlog-checkpoint without extension lines.
type checkpoint struct {
	origin string
	size   int64
	root   hash
}

func parseCheckpoint(text string) (checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] == "" {
		return checkpoint{}, errors.New("no checkpoint of three lines")
	}
	size, err := parseDecimal(lines[1])
	if err != nil {
		return checkpoint{}, errors.New("the checkpoint's size is no decimal number")
	}
	root, err := decodeBase64(lines[2])
	if err != nil || len(root) != len(hash{}) {
		return checkpoint{}, errors.New("the checkpoint's root is no hash")
	}
	return checkpoint{lines[0], size, hash(root)}, nil
}

// parseDecimal reads a number without sign and leading zeros, below 2^53.
func parseDecimal(text string) (int64, error) {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(value, 10) != text || value < 0 || value >= 1<<53 {
		return 0, errors.New("no decimal number")
	}
	return value, nil
}
