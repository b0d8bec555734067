package main

// Findings and verdicts, and their shape as JSON (schemas/ledger.md, "The verdict as JSON").

import (
	"cmp"
	"slices"
)

const findingsMax = 1_000

const (
	intact        = "intact"
	broken        = "broken"
	notVerifiable = "not verifiable here"
)

var classOf = map[string]string{
	"missing": "broken", "object-altered": "broken", "segment-form": "broken", "datum-form": "broken",
	"root-mismatch": "broken", "manifest-form": "broken", "manifest-mismatch": "broken", "bad-signature": "broken",
	"checkpoint-form": "broken", "rollback": "broken", "split-view": "broken", "tombstone-form": "broken",
	"key-form": "broken", "bundle-form": "broken",
	"gap": "broken", "repeated": "broken", "order": "broken", "fork": "broken", "link": "broken", "not-opened": "broken",
	"after-close": "broken",
	"unknown-key": "unverifiable", "unlinked-epoch": "unverifiable", "unsealed-tail": "unverifiable",
	"history-missing": "unverifiable", "not-anchored": "unverifiable", "time-missing": "unverifiable",
	"tombstone-late": "unverifiable",
	"open-tail":      "remark", "deleted": "remark", "silence": "remark", "uncommitted": "remark",
	"disturbed": "remark", // told of a store with versions; a directory has none
}

type streamName struct {
	Epoch   int64  `json:"epoch"`
	Gateway string `json:"gateway"`
	Org     string `json:"org"`
}

type finding struct {
	Class  string      `json:"class"`
	Detail string      `json:"detail"`
	Leaf   int64       `json:"leaf"`
	Object string      `json:"object"`
	Reason string      `json:"reason"`
	Seq    int64       `json:"seq"`
	Stream *streamName `json:"stream"`
}

type firstBad struct {
	Leaf       int64  `json:"leaf"`
	Object     string `json:"object"`
	Reason     string `json:"reason"`
	isOfStream bool
}

// findings keeps the first of them, counts all, and remembers the least bad leaf.
type findings struct {
	list  []finding
	count map[string]int64
	bad   *firstBad
}

func (f *findings) add(found finding) {
	found.Class = classOf[found.Reason]
	if f.count == nil {
		f.count = map[string]int64{}
	}
	f.count[found.Reason]++
	if found.Class == "broken" {
		f.consider(firstBad{found.Leaf, found.Object, found.Reason, found.Stream != nil})
	}
	if len(f.list) < findingsMax {
		f.list = append(f.list, found)
	}
}

// consider keeps the one of the least leaf; at one leaf what is wrong with the log goes before what is with a stream.
func (f *findings) consider(bad firstBad) {
	if f.bad == nil || bad.Leaf < f.bad.Leaf || (bad.Leaf == f.bad.Leaf && f.bad.isOfStream && !bad.isOfStream) {
		f.bad = &bad
	}
}

// note adds a finding about an object of a log, the anchor log or the keys.
func (f *findings) note(reason string, leaf int64, object, detail string) {
	f.add(finding{Reason: reason, Leaf: leaf, Object: object, Detail: detail, Seq: -1})
}

func (f *findings) kept() []finding {
	if f.list == nil {
		return []finding{}
	}
	return f.list
}

func (f *findings) verdict() string { return verdictOf(f.count) }

func verdictOf(reasons map[string]int64) string {
	verdict := intact
	for reason := range reasons {
		switch classOf[reason] {
		case "broken":
			return broken
		case "unverifiable":
			verdict = notVerifiable
		}
	}
	return verdict
}

type populationEntry struct {
	Day     string `json:"day"`
	Events  int64  `json:"events"`
	Gateway string `json:"gateway"`
	Org     string `json:"org"`
}

type streamReport struct {
	AuthenticatedTo int64    `json:"authenticated_to"`
	Closed          bool     `json:"closed"`
	Deleted         int64    `json:"deleted"`
	Epoch           int64    `json:"epoch"`
	Events          int64    `json:"events"`
	FirstSeq        int64    `json:"first_seq"`
	Gateway         string   `json:"gateway"`
	LastSeq         int64    `json:"last_seq"`
	Org             string   `json:"org"`
	Reasons         []string `json:"reasons"`
	SilenceMS       int64    `json:"silence_ms"`
	Verdict         string   `json:"verdict"`
}

type logReport struct {
	AnchoredTo int64             `json:"anchored_to"`
	Deleted    int64             `json:"deleted"`
	Findings   []finding         `json:"findings"`
	FirstBad   *firstBad         `json:"first_bad"`
	Origin     string            `json:"origin"`
	Population []populationEntry `json:"population"`
	Proven     int64             `json:"proven"`
	Reasons    map[string]int64  `json:"reasons"`
	Root       string            `json:"root"`
	Size       int64             `json:"size"`
	Streams    []streamReport    `json:"streams"`
	Verdict    string            `json:"verdict"`
}

type cosignatureReport struct {
	Size    int64  `json:"size"`
	Time    uint64 `json:"time"`
	Verdict string `json:"verdict"`
	Witness string `json:"witness"`
}

type timestampReport struct {
	Authority string `json:"authority"`
	Size      int64  `json:"size"`
	Time      string `json:"time"`
	Verdict   string `json:"verdict"`
}

type anchorReport struct {
	Cosignatures []cosignatureReport `json:"cosignatures"`
	Findings     []finding           `json:"findings"`
	Root         string              `json:"root"`
	Size         int64               `json:"size"`
	Timestamps   []timestampReport   `json:"timestamps"`
	Verdict      string              `json:"verdict"`
}

type keysReport struct {
	Findings   []finding `json:"findings"`
	Statements int       `json:"statements"`
	Verdict    string    `json:"verdict"`
}

type bundleReport struct {
	Findings []finding `json:"findings"`
	From     int64     `json:"from"`
	Org      string    `json:"org"`
	To       int64     `json:"to"`
	Verdict  string    `json:"verdict"`
}

type report struct {
	Anchors    anchorReport  `json:"anchors"`
	Bundle     *bundleReport `json:"bundle"`
	Deployment string        `json:"deployment"`
	Keys       keysReport    `json:"keys"`
	Kind       string        `json:"kind"`
	Logs       []logReport   `json:"logs"`
	V          int           `json:"v"`
	Verdict    string        `json:"verdict"`
	ignored    int
}

// conclude gives the worst of all verdicts.
func (r *report) conclude() {
	verdicts := []string{r.Keys.Verdict, r.Anchors.Verdict}
	if r.Bundle != nil {
		verdicts = append(verdicts, r.Bundle.Verdict)
	}
	for _, log := range r.Logs {
		verdicts = append(verdicts, log.Verdict)
	}
	r.Verdict = slices.MaxFunc(verdicts, func(a, b string) int { return cmp.Compare(severity(a), severity(b)) })
}

// worstOf is the verdict of a log: its own, and those of its streams.
func worstOf(own string, streams []streamReport) string {
	for _, stream := range streams {
		if severity(stream.Verdict) > severity(own) {
			own = stream.Verdict
		}
	}
	return own
}

func severity(verdict string) int {
	return slices.Index([]string{intact, notVerifiable, broken}, verdict)
}

// exitCode is 1 if anything is broken, else 2 if anything is not verifiable here, else 0.
func exitCode(verdict string) int { return [3]int{0, 2, 1}[severity(verdict)] }
