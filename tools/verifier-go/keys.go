package main

// The key history: key/<number>.note, each signed by the root key and naming the one before.

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

type keyStatement struct {
	role, subject string
	vkey          string
	key           verifierKey
	from, until   int64 // positions: from inclusive, until exclusive
}

// keyHistory answers which keys are valid for a role and subject at a position. Nothing else is trusted.
type keyHistory struct {
	deployment string
	statements int
	bySubject  map[[2]string][]keyStatement
}

// readKeyHistory reads the notes in order. With a root key every note must open with it; without, the auditor vouches for
// the notes himself. The first that does not hold ends the history: err, at its number.
func readKeyHistory(notes [][]byte, root *verifierKey) (*keyHistory, error) {
	history := &keyHistory{bySubject: map[[2]string][]keyStatement{}}
	if root != nil {
		deployment, ok := strings.CutSuffix(root.name, "/root")
		if !ok || !isNamePart(deployment) || root.kind != typeEd25519 {
			return nil, errors.New("the root key's name is not <deployment>/root")
		}
		history.deployment = deployment
	}
	previous := hash{}
	for number, raw := range notes {
		if err := history.read(int64(number), raw, root, previous); err != nil {
			return history, err
		}
		history.statements++
		previous = sha256.Sum256(raw)
	}
	return history, nil
}

func (h *keyHistory) read(number int64, raw []byte, root *verifierKey, previous hash) error {
	read, err := parseNote(raw)
	if err != nil {
		return err
	}
	if root != nil {
		if err := read.open([]verifierKey{*root}); err != nil {
			return err
		}
	}
	body, err := parseStatement(read.text, "cairn/key")
	if err != nil {
		return err
	}
	statement := keyStatement{
		role: body.text("role"), subject: body.text("subject"), vkey: body.text("vkey"),
		from: body.number("from", 0), until: math.MaxInt64,
	}
	written, named := body.number("number", 0), body.hash("previous")
	body.text("reason")
	if until := body.get("until"); until != nil {
		text, _ := until.(json.Number)
		if statement.until, err = strconv.ParseInt(string(text), 10, 64); err != nil || statement.until < statement.from {
			body.fail("until", "is neither null nor a position from `from` on")
		}
	}
	if err := body.done(); err != nil {
		return err
	}
	if written != number || named != previous {
		return errors.New("it does not follow the statement before")
	}
	if statement.key, err = parseVerifierKey(statement.vkey); err != nil {
		return err
	}
	if h.deployment == "" {
		names := statement.subject
		if statement.role == "gateway" || statement.role == "person" {
			names = statement.key.name
		}
		h.deployment, _, _ = strings.Cut(names, "/")
	}
	if !h.isNameOf(statement) {
		return fmt.Errorf("the key's name is not one of a %s key for its subject", statement.role)
	}
	return h.replace(statement)
}

// isNameOf compares the key's name with that of its role and subject; a witness has a name of its own.
func (h *keyHistory) isNameOf(s keyStatement) bool {
	if s.role == "witness" {
		return s.subject == h.deployment+"/anchors"
	}
	if s.key.kind != typeEd25519 {
		return false
	}
	switch s.role {
	case "gateway":
		rest, ok := strings.CutPrefix(s.key.name, h.deployment+"/")
		for at := range rest {
			if ok && strings.HasPrefix(rest[at:], "/gw/") && rest[:at]+"/"+rest[at+4:] == s.subject {
				return true
			}
		}
		return false
	case "log":
		return isOriginOf(s.subject, h.deployment) && s.key.name == s.subject
	case "archive":
		return isOriginOf(s.subject, h.deployment) && s.key.name == h.deployment+"/archive"
	case "person":
		return isPersonName(s.subject) && s.key.name == h.deployment+"/person/"+s.subject
	case "anchor":
		return s.subject == h.deployment+"/anchors" && s.key.name == s.subject
	}
	return false
}

// replace puts the statement in the place of an earlier one about the same key, whose `from` it must repeat.
func (h *keyHistory) replace(s keyStatement) error {
	place := [2]string{s.role, s.subject}
	for i, earlier := range h.bySubject[place] {
		if earlier.vkey == s.vkey {
			if earlier.from != s.from {
				return errors.New("it moves the beginning of a key's validity")
			}
			h.bySubject[place][i] = s
			return nil
		}
	}
	h.bySubject[place] = append(h.bySubject[place], s)
	return nil
}

func (h *keyHistory) at(role, subject string, position int64) []verifierKey {
	var keys []verifierKey
	for _, s := range h.bySubject[[2]string{role, subject}] {
		if s.from <= position && position < s.until {
			keys = append(keys, s.key)
		}
	}
	return keys
}

// archiveKeys are all that ever signed for the archive: a bundle is of no one log and of no position.
func (h *keyHistory) archiveKeys() []verifierKey {
	var keys []verifierKey
	for place, statements := range h.bySubject {
		if place[0] == "archive" {
			for _, s := range statements {
				keys = append(keys, s.key)
			}
		}
	}
	return keys
}

// splitNotes cuts a file of notes that stand one behind another: a statement begins where a line begins with "{".
func splitNotes(raw []byte) [][]byte {
	var notes [][]byte
	start := 0
	for at := 1; at < len(raw); at++ {
		if raw[at] == '{' && raw[at-1] == '\n' {
			notes = append(notes, raw[start:at])
			start = at
		}
	}
	return append(notes, raw[start:])
}

// isNamePart is the form of deployments and topics: [a-z0-9][a-z0-9.-]{0,62}.
func isNamePart(text string) bool {
	if text == "" || len(text) > 63 || text[0] == '.' || text[0] == '-' {
		return false
	}
	for _, b := range []byte(text) {
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '.' && b != '-' {
			return false
		}
	}
	return true
}

func isOriginOf(origin, deployment string) bool {
	parts := strings.Split(origin, "/")
	if len(parts) != 3 || parts[0] != deployment || !isNamePart(parts[1]) {
		return false
	}
	_, err := parseDecimal(parts[2])
	return err == nil
}

// isPersonName: 1 to 128 of a-z, 0-9 and "._@-", beginning with a letter.
func isPersonName(name string) bool {
	if name == "" || len(name) > 128 || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("._@-", rune(c)) {
			return false
		}
	}
	return true
}
