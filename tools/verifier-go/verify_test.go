package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// smallWorld has two segments of one stream, and an anchored round.
func smallWorld(t testing.TB) *world {
	w := newWorld(t)
	w.stream(300)
	w.cut()
	w.append(w.record("tool_call"))
	w.append(w.record("stream_close"))
	w.epoch, w.seq = 1, 0
	w.stream(5)
	w.cut()
	w.anchorRound(w.bucket[testLog.noteName("checkpoint", 302)], w.bucket[testLog.noteName("checkpoint", 311)])
	return w
}

func reasonsOf(r *report) []string {
	var reasons []string
	for _, f := range slices.Concat(r.Keys.Findings, r.Anchors.Findings) {
		reasons = append(reasons, f.Reason)
	}
	for _, log := range r.Logs {
		for reason := range log.Reasons {
			reasons = append(reasons, reason)
		}
	}
	slices.Sort(reasons)
	return slices.Compact(reasons)
}

func TestAWholeArchiveIsIntactWithExactCounts(t *testing.T) {
	r := smallWorld(t).verify()
	if r.Verdict != intact || len(r.Logs) != 1 {
		t.Fatalf("verdict %s, reasons %v", r.Verdict, reasonsOf(r))
	}
	log := r.Logs[0]
	if log.Size != 311 || log.Proven != 311 || log.AnchoredTo != 311 || len(log.Streams) != 2 {
		t.Errorf("log %+v", log)
	}
	if s := log.Streams[0]; s.Events != 304 || !s.Closed || s.AuthenticatedTo != 303 {
		t.Errorf("stream %+v", s)
	}
	total := int64(0)
	for _, p := range log.Population {
		total += p.Events
	}
	if total != 311 {
		t.Errorf("population %d", total)
	}
}

func TestEveryByteOfEveryObjectIsVouchedFor(t *testing.T) {
	w := newWorld(t)
	w.stream(3)
	w.cut()
	w.append(w.record("seal"))
	w.cut()
	w.anchorRound(w.bucket[testLog.noteName("checkpoint", 5)], w.bucket[testLog.noteName("checkpoint", 6)])
	for _, name := range w.bucket.names() {
		whole := w.bucket[name]
		for at := 0; at < len(whole); at += stride() {
			flipped := bytes.Clone(whole)
			flipped[at] ^= 1 << (at % 8)
			w.bucket[name] = flipped
			if r := w.verify(); r.Verdict == intact {
				t.Fatalf("byte %d of %s: intact", at, name)
			}
		}
		w.bucket[name] = whole
	}
}

// stride is how many bytes lie between two that are flipped: none in a full run.
func stride() int {
	if testing.Short() {
		return 23
	}
	return 1
}

func TestWhatIsDoneToAnArchiveIsCalledByItsName(t *testing.T) {
	object := testLog.segmentName(302, 1)
	trials := map[string]struct {
		harm   func(w *world)
		reason string
		leaf   int64
	}{
		"an object is lost":     {func(w *world) { delete(w.bucket, object) }, "missing", 302},
		"a manifest is deleted": {func(w *world) { delete(w.bucket, testLog.noteName("manifest", 302)) }, "missing", 302},
		"a checkpoint in the middle is lost": {
			func(w *world) { delete(w.bucket, testLog.noteName("checkpoint", 302)) }, "missing", 302,
		},
		"the log is rolled back": {
			func(w *world) { delete(w.bucket, testLog.noteName("checkpoint", 311)) }, "rollback", 302,
		},
		"another history is signed": {
			func(w *world) { w.checkpoint(311, hash{1}) }, "manifest-mismatch", 302,
		},
		"a checkpoint stands within a segment": {
			func(w *world) { w.checkpoint(305, hash{1}) }, "checkpoint-form", 305,
		},
		"an object is longer": {
			func(w *world) { w.bucket[object] = append(w.bucket[object], 0) }, "object-altered", 302,
		},
		"a checkpoint is signed by another log": {
			func(w *world) {
				w.bucket[testLog.noteName("checkpoint", 311)] = w.log.note(checkpointText("audit.test/other/0", 311, w.tree.root()))
			}, "rollback", 302,
		},
		"an entry of the anchor log is lost": {
			func(w *world) { delete(w.bucket, "anchor/entries/00000000000000000000.bin") }, "", -1,
		},
	}
	for name, trial := range trials {
		t.Run(name, func(t *testing.T) {
			w := smallWorld(t)
			trial.harm(w)
			r := w.verify()
			if r.Verdict != broken {
				t.Fatalf("verdict %s", r.Verdict)
			}
			if trial.leaf < 0 {
				return
			}
			if bad := r.Logs[0].FirstBad; bad == nil || bad.Reason != trial.reason || bad.Leaf != trial.leaf {
				t.Errorf("first bad %+v, reasons %v", bad, reasonsOf(r))
			}
		})
	}
}

func TestOneEventThatIsNotAsItWasIsFoundByItsLeaf(t *testing.T) {
	trials := map[string]struct {
		change func(datums [][]byte) [][]byte
		reason string
		leaf   int64
	}{
		"removed":  {func(d [][]byte) [][]byte { return slices.Delete(d, 4, 5) }, "gap", 4},
		"repeated": {func(d [][]byte) [][]byte { return slices.Insert(d, 7, d[4]) }, "repeated", 7},
		"swapped":  {func(d [][]byte) [][]byte { d[4], d[5] = d[5], d[4]; return d }, "order", 5},
		"inserted": {func(d [][]byte) [][]byte { return slices.Insert(d, 5, changedDatum(d[4])) }, "fork", 5},
		"changed":  {func(d [][]byte) [][]byte { d[4] = changedDatum(d[4]); return d }, "link", 5},
		"unsealed": {func(d [][]byte) [][]byte { d[9] = changedDatum(d[9]); return d }, "bad-signature", 9},
		"headless": {func(d [][]byte) [][]byte { return d[1:] }, "not-opened", 0},
	}
	for name, trial := range trials {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			datums := [][]byte{w.record("stream_open")}
			for range 8 {
				datums = append(datums, w.record("tool_call"))
			}
			datums = append(datums, w.record("seal"))
			for _, datum := range trial.change(datums) {
				w.append(datum)
			}
			w.cut()
			r := w.verify()
			bad := r.Logs[0].FirstBad
			if r.Logs[0].Streams[0].Verdict != broken || bad == nil || bad.Reason != trial.reason || bad.Leaf != trial.leaf {
				t.Errorf("first bad %+v, reasons %v", bad, reasonsOf(r))
			}
		})
	}
}

// changedDatum is the same event under another id.
func changedDatum(datum []byte) []byte {
	other := bytes.Clone(datum)
	other[3] ^= 1
	return other
}

func TestASealByAKeyThatTheHistoryDoesNotHaveIsNotVerifiableHere(t *testing.T) {
	w := newWorld(t)
	w.gateway = newSigner(w.gateway.name, 9)
	w.stream(3)
	w.cut()
	r := w.verify()
	if r.Verdict != notVerifiable || !slices.Contains(reasonsOf(r), "unknown-key") {
		t.Errorf("verdict %s, reasons %v", r.Verdict, reasonsOf(r))
	}
}

func TestARotatedKeyStillVouchesForWhatItSigned(t *testing.T) {
	w := newWorld(t)
	w.addKey("gateway", "acme/gw-1", w.gateway, 0, 1)
	w.stream(3)
	later := newSigner(w.gateway.name, 9)
	w.addKey("gateway", "acme/gw-1", later, 1, nil)
	w.gateway, w.epoch, w.seq = later, 1, 0
	w.stream(3)
	w.cut()
	if r := w.verify(); r.Verdict != intact {
		t.Errorf("verdict %s, reasons %v", r.Verdict, reasonsOf(r))
	}
	w.epoch, w.seq = 2, 0
	w.gateway = newSigner(w.gateway.name, 5)
	w.stream(3)
	w.cut()
	if r := w.verify(); !slices.Contains(reasonsOf(r), "unknown-key") {
		t.Errorf("a key beyond its range: %v", reasonsOf(r))
	}
}

func TestABundleProvesItsEvents(t *testing.T) {
	w := newWorld(t)
	w.stream(40)
	raw := w.cutBundled()
	r := verifyBundleBytes(t, raw, w.settings())
	if r.Verdict != intact || r.Bundle.Verdict != intact || r.Logs[0].Proven != 42 || r.Logs[0].AnchoredTo != 42 {
		t.Fatalf("verdict %s, bundle %+v, logs %+v", r.Verdict, r.Bundle, r.Logs)
	}
}

func TestEveryByteOfABundleIsVouchedFor(t *testing.T) {
	w := newWorld(t)
	w.stream(4)
	raw := w.cutBundled()
	path := filepath.Join(t.TempDir(), "bundle.tar")
	s := w.settings()
	for at := 0; at < len(raw); at += stride() {
		flipped := bytes.Clone(raw)
		flipped[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := verifyBundle(path, s); err != nil || r.Verdict == intact {
			t.Fatalf("byte %d of %d: intact (%v)", at, len(raw), err)
		}
	}
}

func TestTheCommandAnswersWithItsVerdict(t *testing.T) {
	w := smallWorld(t)
	directory := t.TempDir()
	for name, raw := range w.bucket {
		path := filepath.Join(directory, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, progress bytes.Buffer
	code, err := run([]string{"-json", "-root-key", w.root.vkey(), directory}, &out, &progress)
	var read report
	if code != 0 || err != nil || json.Unmarshal(out.Bytes(), &read) != nil || read.Verdict != intact {
		t.Errorf("exit %d, %v: %s", code, err, out.String())
	}
	if err := os.Remove(filepath.Join(directory, filepath.FromSlash(testLog.segmentName(302, 1)))); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	code, err = run([]string{"-root-key", w.root.vkey(), directory}, &out, &progress)
	if code != 1 || err != nil || !strings.Contains(out.String(), "first bad: leaf 302, missing") {
		t.Errorf("exit %d, %v: %s", code, err, out.String())
	}
	out.Reset()
	keep := filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(keep, w.log.note(checkpointText(testLog.origin(), 400, hash{2})), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _ = run([]string{"-quiet", "-checkpoint", keep, "-root-key", w.root.vkey(), directory}, &out, &progress)
	if code != 1 || !strings.Contains(out.String(), "rollback") {
		t.Errorf("exit %d: %s", code, out.String())
	}
	if code, _ := run([]string{directory}, &out, &progress); code != exitUsage {
		t.Errorf("without a key: exit %d", code)
	}
}

// BenchmarkArchive verifies one segment of 65,536 events of the shortest kind, sealed every 256. GOMAXPROCS=1 gives what
// one core does.
func BenchmarkArchive(b *testing.B) {
	w := newWorld(b)
	w.append(w.record("stream_open"))
	for i := 1; i < segmentLeaves; i++ {
		kind := "tool_call"
		if i%256 == 255 {
			kind = "seal"
		}
		w.append(w.record(kind))
	}
	w.cut()
	s := w.settings()
	for b.Loop() {
		r, err := verifyBucket(w.bucket, s)
		if err != nil || r.Verdict != intact || r.Logs[0].Proven != segmentLeaves {
			b.Fatal("not intact", err)
		}
	}
	b.ReportMetric(float64(b.N)*segmentLeaves/b.Elapsed().Seconds(), "events/s")
}
