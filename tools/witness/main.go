// A witness of the C2SP protocol, from a library that is not ours, with its memory in the process. Tests start it; it is
// nothing to run in earnest.
//
//	witness <name> <origin> <vkey of the log>
//
// It prints one line of JSON, with its address and its own vkey, and serves until it is ended.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"

	formats "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	name, origin := os.Args[1], os.Args[2]
	verifier := must(note.NewVerifier(os.Args[3]))
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		log.Fatal(err)
	}
	served := must(witness.New(context.Background(), witness.Opts{
		Persistence: inmemory.New(),
		Signers:     []note.Signer{must(formats.NewSignerForCosignatureV1(secret))},
		VerifierForLog: func(_ context.Context, asked string) (note.Verifier, bool, error) {
			return verifier, asked == origin, nil
		},
	}))
	http.HandleFunc("POST /add-checkpoint", witness.NewHTTPHandler(served).AddCheckpoint)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	started := map[string]string{
		"url":  "http://" + listener.Addr().String(),
		"vkey": must(formats.VKeyToCosignatureV1(public)),
	}
	if err := json.NewEncoder(os.Stdout).Encode(started); err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, nil))
}
