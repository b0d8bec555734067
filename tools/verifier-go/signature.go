package main

// Signed events: Ed25519 over "audit-event/v1\n" | SHA-256 of the schema's canonical form | length of B, 4 bytes | B, where
// B is the datum without its last 65 bytes.

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
)

type signatureState byte

const (
	signatureNone signatureState = iota
	signatureValid
	signatureFalse
	signatureUnknownKey
)

const signatureTail = 1 + ed25519.SignatureSize

func judgeSignature(keys *keyHistory, s *schema, e *event, datum []byte) signatureState {
	body := datum[:len(datum)-signatureTail]
	signed := make([]byte, 0, 64+len(body))
	signed = append(signed, "audit-event/v1\n"...)
	signed = append(signed, s.sha256[:]...)
	signed = binary.BigEndian.AppendUint32(signed, uint32(len(body)))
	signed = append(signed, body...)
	state := signatureUnknownKey
	for _, key := range keys.at("gateway", string(e.org)+"/"+string(e.gateway), e.epoch) {
		if fmt.Sprintf("%08x", key.id) != string(e.keyID) || key.name != keys.deployment+"/"+string(e.org)+"/gw/"+string(e.gateway) {
			continue
		}
		if ed25519.Verify(key.key, signed, e.signature) {
			return signatureValid
		}
		state = signatureFalse
	}
	return state
}
