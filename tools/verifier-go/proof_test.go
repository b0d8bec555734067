package main

import (
	"fmt"
	"testing"
)

func TestInclusionProofsOfGolangOrgXModLeadToTheRoot(t *testing.T) {
	var vectors struct {
		Roots     map[string]string
		Inclusion []struct {
			Index, Size int64
			Hashes      []string
		}
	}
	readVectors(t, "ledger-go.json", &vectors)
	if len(vectors.Inclusion) == 0 {
		t.Fatal("no proofs")
	}
	for _, v := range vectors.Inclusion {
		proof := &inclusionProof{entry: fmt.Appendf(nil, "event-%d", v.Index), index: v.Index}
		for _, text := range v.Hashes {
			step, ok := hashFromHex(text)
			if !ok {
				t.Fatal(text)
			}
			proof.path = append(proof.path, step)
		}
		want := vectors.Roots[fmt.Sprint(v.Size)]
		if root, ok := proof.rootOf(v.Size); !ok || root.String() != want {
			t.Errorf("leaf %d of %d leads to %s", v.Index, v.Size, root)
		}
		proof.entry = append(proof.entry, '!')
		if root, ok := proof.rootOf(v.Size); ok && root.String() == want {
			t.Errorf("another leaf %d of %d leads to the root", v.Index, v.Size)
		}
		if len(proof.path) > 0 {
			proof.path = proof.path[1:]
			if _, ok := proof.rootOf(v.Size); ok {
				t.Errorf("leaf %d of %d: a shorter path is taken", v.Index, v.Size)
			}
		}
	}
}
